//! HiDiffusion (Zhang et al., 2023): pictures larger than a denoiser was trained on. In the first steps the denoiser's inside is made smaller
//! (RAU-Net), and the self-attention of the largest picture looks at quarters of it (window attention).

use std::cell::Cell;

use candle_core::{Result as Computed, Tensor};
use parking_lot::Mutex;

use super::config::UNetConfig;
use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::latents::{Interpolation, resize};
use crate::diffusion::noise::TorchGenerator;

/// Share of the steps during which SDXL's inside shrinks twice.
const AGGRESSIVE: f64 = 8.0 / 50.0;
/// Latents of SDXL with a side below this take the aggressive course.
const SMALL: usize = 512;

/// What of HiDiffusion is on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HiDiffusionSettings {
    /// Whether the denoiser's inside shrinks.
    pub raunet: bool,
    /// Whether self-attention is split into windows.
    pub window_attention: bool,
    /// Share of the steps during which the outer block shrinks, 0 to 1.
    pub t1: f64,
    /// The same for the inner block.
    pub t2: f64,
}

/// Which blocks take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Stable Diffusion 1 and 2: the first convolution down, the second block; windows in the outermost blocks.
    Sd,
    /// SDXL: the second block and its convolution down; windows in the second blocks.
    Sdxl,
}

/// HiDiffusion for one run: the windows' places are drawn on over its evaluations.
#[derive(Debug)]
pub struct HiDiffusion {
    settings: HiDiffusionSettings,
    layout: Layout,
    generator: Mutex<TorchGenerator>,
}

/// Where the four windows of an attention lie: shifted by so many quarters of a window, 0 to 3.
pub(crate) type Shift = usize;

/// HiDiffusion at one evaluation.
#[derive(Debug)]
pub struct HiStep {
    layout: Layout,
    raunet: bool,
    /// Whether the convolution down takes a stride of 4.
    far: bool,
    /// Whether the block with attention halves its picture after its first layer.
    pools: bool,
    /// One for each transformer block that has windows, in the order they run; empty if none has.
    shifts: Vec<Shift>,
    /// The picture's size before it was halved.
    size: Cell<Option<(usize, usize)>>,
}

impl HiDiffusion {
    /// For a denoiser of these shapes; `seed` is the run's. Errors for a denoiser without the layout of Stable Diffusion 1, 2 or XL.
    pub fn new(config: &UNetConfig, settings: HiDiffusionSettings, seed: u64) -> Result<Self> {
        let attention = |block: usize| config.down.get(block).and_then(|b| b.attention.as_deref());
        let full = |block: usize, depth: usize| {
            attention(block).is_some_and(|layers| layers.len() >= 2 && layers.iter().all(|layer| layer.depth >= depth))
        };
        let layout = if config.down.len() >= 4 && (0..3).all(|block| full(block, 1)) {
            Layout::Sd
        } else if config.down.len() >= 3 && full(1, 2) && full(2, 10) {
            Layout::Sdxl
        } else {
            return Err(ModelError::Input(
                "hidiffusion: this denoiser has not the layout of Stable Diffusion 1, 2 or XL; switch HiDiffusion off".into(),
            ));
        };
        Ok(Self {
            settings,
            layout,
            generator: Mutex::new(TorchGenerator::new(seed)),
        })
    }

    /// What holds at evaluation `step` of `total`, counted from 0, for latents of `size` (height, width). Draws the windows' places.
    pub fn at(&self, step: usize, total: usize, size: (usize, usize)) -> HiStep {
        let HiDiffusionSettings {
            raunet,
            window_attention,
            t1,
            t2,
        } = self.settings;
        let share = |ratio: f64| (ratio * total as f64) as usize;
        let (far, pools) = match self.layout {
            Layout::Sd => (step < share(t1), step < share(t2)),
            Layout::Sdxl if size.0 < SMALL || size.1 < SMALL => (step < share(AGGRESSIVE), step >= share(AGGRESSIVE) && step < share(t1)),
            Layout::Sdxl => (step < share(t2), step < share(t1)),
        };
        let windows = match self.layout {
            _ if !window_attention => 0,
            Layout::Sd => 5,
            Layout::Sdxl => 10,
        };
        let quarter = |place: f32| ((place * 4.0).ceil() as usize).saturating_sub(1);
        HiStep {
            layout: self.layout,
            raunet,
            far: raunet && far,
            pools: raunet && pools,
            shifts: self.generator.lock().rand(windows).into_iter().map(quarter).collect(),
            size: Cell::new(None),
        }
    }
}

/// A block of the denoiser, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Down(usize),
    Up(usize),
}

impl HiStep {
    /// Shifts of the transformer blocks of layer `layer` of a block, for as many of its first transformer blocks as have windows.
    pub(crate) fn windows(&self, place: Place, layer: usize) -> &[Shift] {
        let (first, each) = match (self.layout, place) {
            (Layout::Sd, Place::Down(0)) => (0, 1),
            (Layout::Sd, Place::Up(3)) => (2, 1),
            (Layout::Sdxl, Place::Down(1)) => (0, 2),
            (Layout::Sdxl, Place::Up(1)) => (4, 2),
            _ => return &[],
        };
        let most = if matches!(place, Place::Down(_)) { 2 } else { 3 };
        if layer >= most || self.shifts.is_empty() {
            return &[];
        }
        &self.shifts[first + layer * each..first + (layer + 1) * each]
    }

    /// Whether a block's change of size is HiDiffusion's, which pads with zeros whatever is set; and if so, whether it goes down by 4 instead of 2.
    pub(crate) fn resampling(&self, place: Place) -> Option<bool> {
        let own = match self.layout {
            Layout::Sd => matches!(place, Place::Down(0) | Place::Up(2)),
            Layout::Sdxl => matches!(place, Place::Down(1) | Place::Up(0)),
        };
        (self.raunet && own).then_some(self.far)
    }

    /// The picture after a layer on the way down: halved after the first layer of the block that shrinks.
    pub(crate) fn after_down(&self, block: usize, layer: usize, x: Tensor) -> Computed<Tensor> {
        if !self.pools || block != 1 || layer != 0 {
            return Ok(x);
        }
        let (_, _, h, w) = x.dims4()?;
        self.size.set(Some((h, w)));
        crate::diffusion::ops::halve(&x)
    }

    /// The picture after a layer on the way up: back to the size it had before it was halved.
    pub(crate) fn after_up(&self, block: usize, layer: usize, x: Tensor) -> Computed<Tensor> {
        let own = match self.layout {
            Layout::Sd => 2,
            Layout::Sdxl => 1,
        };
        match self.size.get() {
            Some((h, w)) if self.pools && block == own && layer == 1 => resize(&x, h, w, Interpolation::Bicubic, false),
            _ => Ok(x),
        }
    }
}

/// `x [b, h*w, c]` cut into its four windows, `[4 b, pixels of a window, c]`. Odd sides are stretched to even ones first.
pub(crate) fn cut(x: &Tensor, (h, w): (usize, usize), shift: Shift) -> Computed<Tensor> {
    let (b, _, c) = x.dims3()?;
    let (wh, ww) = (h.div_ceil(2), w.div_ceil(2));
    let x = stretched(&x.reshape((b, h, w, c))?, (2 * wh, 2 * ww))?;
    let [down, right] = steps((wh, ww), shift);
    let x = rolled(&x, -(down as i32), -(right as i32))?;
    x.reshape(&[b, 2, wh, 2, ww, c][..])?
        .permute(vec![0, 1, 3, 2, 4, 5])?
        .contiguous()?
        .reshape((b * 4, wh * ww, c))
}

/// The inverse of [`cut`].
pub(crate) fn join(x: &Tensor, (h, w): (usize, usize), shift: Shift) -> Computed<Tensor> {
    let (b, _, c) = x.dims3()?;
    let (b, wh, ww) = (b / 4, h.div_ceil(2), w.div_ceil(2));
    let x = x
        .reshape(&[b, 2, 2, wh, ww, c][..])?
        .permute(vec![0, 1, 3, 2, 4, 5])?
        .contiguous()?
        .reshape((b, 2 * wh, 2 * ww, c))?;
    let [down, right] = steps((wh, ww), shift);
    stretched(&rolled(&x, down as i32, right as i32)?, (h, w))?.reshape((b, h * w, c))
}

/// Pixels by which windows are shifted. A shift of none along the first axis is none at all.
fn steps((wh, ww): (usize, usize), shift: Shift) -> [usize; 2] {
    match wh / 4 * shift {
        0 => [0, 0],
        down => [down, ww / 4 * shift],
    }
}

fn rolled(x: &Tensor, down: i32, right: i32) -> Computed<Tensor> {
    if down == 0 {
        Ok(x.clone())
    } else {
        x.roll(down, 1)?.roll(right, 2)
    }
}

/// `[b, h, w, c]` at another size.
fn stretched(x: &Tensor, (height, width): (usize, usize)) -> Computed<Tensor> {
    let (_, h, w, _) = x.dims4()?;
    if (h, w) == (height, width) {
        return Ok(x.clone());
    }
    let planes = x.permute((0, 3, 1, 2))?.contiguous()?;
    resize(&planes, height, width, Interpolation::Bicubic, false)?
        .permute((0, 2, 3, 1))?
        .contiguous()
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::diffusion::Base;

    const SETTINGS: HiDiffusionSettings = HiDiffusionSettings {
        raunet: true,
        window_attention: true,
        t1: 0.4,
        t2: 0.2,
    };

    fn of(base: Base) -> HiDiffusion {
        HiDiffusion::new(&base.unet(4, base.unet_widths(), 1280).unwrap(), SETTINGS, 7).unwrap()
    }

    #[test]
    fn windows_come_together_again() {
        let x = Tensor::arange(0f32, 2.0 * 48.0 * 3.0, &Device::Cpu)
            .unwrap()
            .reshape((2, 48, 3))
            .unwrap();
        for shift in 0..4 {
            let windows = cut(&x, (8, 6), shift).unwrap();
            assert_eq!(windows.dims(), [8, 12, 3]);
            let back = join(&windows, (8, 6), shift).unwrap();
            assert_eq!(back.to_vec3::<f32>().unwrap(), x.to_vec3::<f32>().unwrap(), "{shift}");
        }
        // 8 rows have windows of 4, whose quarter is 1: the first window of shift 1 begins a row further down.
        let first = cut(&x, (8, 6), 1)
            .unwrap()
            .get(0)
            .unwrap()
            .get(0)
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert_eq!(first, [18.0, 19.0, 20.0]);
    }

    #[test]
    fn odd_sides_keep_their_size() {
        let x = Tensor::zeros((1, 35, 2), DType::F32, &Device::Cpu).unwrap();
        let windows = cut(&x, (7, 5), 2).unwrap();
        assert_eq!(windows.dims(), [4, 12, 2]);
        assert_eq!(join(&windows, (7, 5), 2).unwrap().dims(), [1, 35, 2]);
    }

    #[test]
    fn shrinking_follows_the_steps() {
        let course = |base, size| -> Vec<(bool, bool)> {
            let hi = of(base);
            (0..20).map(|step| hi.at(step, 20, size)).map(|at| (at.far, at.pools)).collect()
        };
        let count = |course: &[(bool, bool)]| (course.iter().filter(|c| c.0).count(), course.iter().filter(|c| c.1).count());
        assert_eq!(count(&course(Base::Sd1, (64, 64))), (8, 4));
        let xl = course(Base::Sdxl, (128, 128));
        assert_eq!((count(&xl), xl[2], xl[3]), ((3, 5), (true, false), (false, true)));
        assert_eq!(count(&course(Base::Sdxl, (512, 512))), (4, 8));
    }

    #[test]
    fn windows_are_where_the_pictures_are_largest() {
        let xl = of(Base::Sdxl).at(0, 10, (64, 64));
        assert_eq!(
            (
                xl.shifts.len(),
                xl.windows(Place::Down(1), 1).len(),
                xl.windows(Place::Up(1), 2).len()
            ),
            (10, 2, 2)
        );
        assert!(xl.windows(Place::Down(2), 0).is_empty() && xl.resampling(Place::Down(0)).is_none());
        let sd = of(Base::Sd1).at(0, 10, (64, 64));
        assert_eq!((sd.windows(Place::Down(0), 1).len(), sd.windows(Place::Up(3), 2).len()), (1, 1));
        assert_eq!(sd.resampling(Place::Down(0)), Some(true));
        let refiner = Base::SdxlRefiner;
        let refused = HiDiffusion::new(&refiner.unet(4, refiner.unet_widths(), 1280).unwrap(), SETTINGS, 7);
        assert!(refused.unwrap_err().to_string().starts_with("hidiffusion:"));
    }
}
