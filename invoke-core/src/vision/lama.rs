//! LaMa, which fills holes of any size: convolutions near by, and by the picture's frequencies far away.

use std::{collections::HashMap, path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};
use parking_lot::Mutex;

use super::layers::{Enlarging, Norm, at_least, conv_with};
use crate::diffusion::{
    Result,
    ops::{Border, Conv2d, ConvConfig, Linear, PaddingMode, add, cat_channels, crop, pad, relu, sigmoid},
    weights::{Source, Weights, open_weights},
};

const EPS: f64 = 1e-5;
/// What the sides must be multiples of: three halvings.
const MULTIPLE: usize = 8;
/// Names under which the generator is found in the published files, with and without what it was trained in.
const PLACES: &[&str] = &["model.generator.model", "generator.model", "model.model", "model"];

/// Both directions of a transform along an axis, as products.
type Pair = Arc<[Linear; 2]>;

/// Discrete Fourier transforms of real rows and of complex columns, made once for each length.
#[derive(Debug, Default)]
struct Transforms(Mutex<HashMap<(usize, bool), Pair>>);

impl Transforms {
    /// Rows of `n` real numbers to `n / 2 + 1` complex ones and back: `[n]` to `[re…, im…]`. Columns of `n` complex numbers and back:
    /// `[re…, im…]` to the same. All keep the sum of squares.
    fn of(&self, n: usize, columns: bool, device: &Device) -> Result<Pair> {
        if let Some(known) = self.0.lock().get(&(n, columns)) {
            return Ok(known.clone());
        }
        let scale = 1.0 / (n as f64).sqrt();
        let wave = |i: usize, k: usize| {
            // Whole turns are taken away while the numbers are whole.
            let angle = std::f64::consts::TAU * ((i * k) % n) as f64 / n as f64;
            (angle.cos() * scale, angle.sin() * scale)
        };
        let matrix = |rows: usize, width: usize, at: &dyn Fn(usize, usize) -> f64| -> Result<Linear> {
            let values: Vec<f32> = (0..rows * width).map(|i| at(i / width, i % width) as f32).collect();
            Ok(Linear::new(Tensor::from_vec(values, (rows, width), device)?, None)?)
        };
        let half = n / 2 + 1;
        let pair = if columns {
            let turn = |sign: f64| {
                matrix(2 * n, 2 * n, &move |out: usize, input: usize| {
                    let (cos, sin) = wave(out % n, input % n);
                    match (out < n, input < n) {
                        (true, true) | (false, false) => cos,
                        (true, false) => sign * sin,
                        (false, true) => -sign * sin,
                    }
                })
            };
            [turn(1.0)?, turn(-1.0)?]
        } else {
            let forth = matrix(2 * half, n, &|out, x| {
                let (cos, sin) = wave(out % half, x);
                if out < half { cos } else { -sin }
            })?;
            let back = matrix(n, 2 * half, &|x, input| {
                let k = input % half;
                let (cos, sin) = wave(k, x);
                // Every frequency but the lowest, and the highest of an even length, stands for two.
                let twice = if k == 0 || 2 * k == n { 1.0 } else { 2.0 };
                twice * if input < half { cos } else { -sin }
            })?;
            [forth, back]
        };
        let pair: Pair = Arc::new(pair);
        self.0.lock().insert((n, columns), pair.clone());
        Ok(pair)
    }

    /// The spectrum of `x [1, c, h, w]`: `[h * (w / 2 + 1), 2 c]`, real and imaginary part of each channel side by side.
    fn spectrum(&self, x: &Tensor) -> Result<Tensor> {
        let (_, c, h, w) = x.dims4()?;
        let half = w / 2 + 1;
        let (rows, columns) = (self.of(w, false, x.device())?, self.of(h, true, x.device())?);
        let y = rows[0].forward(&x.contiguous()?.reshape((c * h, w))?)?;
        let y = y.reshape((c, h, 2, half))?.permute((0, 3, 2, 1))?.contiguous()?;
        let y = columns[0].forward(&y.reshape((c * half, 2 * h))?)?;
        let y = y.reshape((c, half, 2, h))?.permute((3, 1, 0, 2))?.contiguous()?;
        Ok(y.reshape((h * half, 2 * c))?)
    }

    /// The picture `[1, c, h, w]` of a spectrum.
    fn picture(&self, spectrum: &Tensor, h: usize, w: usize) -> Result<Tensor> {
        let (half, c) = (w / 2 + 1, spectrum.dim(1)? / 2);
        let device = spectrum.device();
        let (rows, columns) = (self.of(w, false, device)?, self.of(h, true, device)?);
        let y = spectrum.reshape((h, half, c, 2))?.permute((2, 1, 3, 0))?.contiguous()?;
        let y = columns[1].forward(&y.reshape((c * half, 2 * h))?)?;
        let y = y.reshape((c, half, 2, h))?.permute((0, 3, 2, 1))?.contiguous()?;
        let y = rows[1].forward(&y.reshape((c * h, 2 * half))?)?;
        Ok(y.reshape((1, c, h, w))?)
    }
}

/// From far to far: through the spectrum.
#[derive(Debug)]
struct Spectral {
    narrow: Conv2d,
    spectrum: Linear,
    widen: Conv2d,
}

/// A convolution between a near and a far part of the channels, normalised and rectified.
#[derive(Debug)]
struct Mixed {
    near_to_near: Conv2d,
    near_to_far: Option<Conv2d>,
    far_to_near: Option<Conv2d>,
    far_to_far: Option<Spectral>,
    padding: usize,
}

/// Takes a scale into the weights of a 1×1 or square convolution and gives it a shift, if it is the one that has it.
fn scaled(weights: &Weights, scale: &Tensor, shift: Option<&Tensor>, config: ConvConfig) -> Result<Conv2d> {
    let weight = weights.read("weight")?.to_dtype(DType::F32)?;
    let weight = weight.broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?.to_dtype(weights.dtype())?;
    let shift = shift.map(|shift| shift.to_dtype(weights.dtype())).transpose()?;
    Ok(Conv2d::new(weight, shift, config)?)
}

impl Mixed {
    fn load(weights: &Weights, stride: usize, padding: usize) -> Result<Self> {
        let ffc = weights.at("ffc");
        let config = ConvConfig { stride, padding: [0; 4] };
        let near = Norm::load(&weights.at("bn_l"), EPS)?;
        let far = if weights.at("bn_g").has("running_mean") {
            Some(Norm::load(&weights.at("bn_g"), EPS)?)
        } else {
            None
        };
        let optional = |name: &str, norm: &Norm, shift: bool| -> Result<Option<Conv2d>> {
            let part = ffc.at(name);
            part.has("weight")
                .then(|| scaled(&part, &norm.scale, shift.then_some(&norm.shift), config))
                .transpose()
        };
        let spectral = ffc.at("convg2g");
        let far_to_far = match &far {
            Some(norm) if spectral.has("conv1.0.weight") => Some(Spectral::load(&spectral, norm)?),
            _ => None,
        };
        Ok(Self {
            near_to_near: scaled(&ffc.at("convl2l"), &near.scale, Some(&near.shift), config)?,
            near_to_far: match &far {
                Some(norm) => optional("convl2g", norm, true)?,
                None => None,
            },
            far_to_near: optional("convg2l", &near, false)?,
            far_to_far,
            padding,
        })
    }

    fn forward(&self, near: &Tensor, far: Option<&Tensor>, transforms: &Transforms) -> Result<(Tensor, Option<Tensor>)> {
        let frame = |x: &Tensor| pad(x, [self.padding; 4], Border::Reflect);
        let framed = frame(near)?;
        let mut to_near = self.near_to_near.forward(&framed)?;
        if let (Some(conv), Some(far)) = (&self.far_to_near, far) {
            to_near = conv.forward_with(&frame(far)?, [PaddingMode::Zeros; 2], Some(&to_near))?;
        }
        let mut to_far = self.near_to_far.as_ref().map(|conv| conv.forward(&framed)).transpose()?;
        if let (Some(spectral), Some(far), Some(sum)) = (&self.far_to_far, far, &to_far) {
            to_far = Some(add(sum, &spectral.forward(far, transforms)?)?);
        }
        Ok((relu(&to_near)?, to_far.map(|far| relu(&far)).transpose()?))
    }
}

impl Spectral {
    /// `after` is the normalisation of the sum that this is a part of.
    fn load(weights: &Weights, after: &Norm) -> Result<Self> {
        let config = ConvConfig::padded(0);
        let norm = Norm::load(&weights.at("conv1.1"), EPS)?;
        let unit = Norm::load(&weights.at("fu.bn"), EPS)?;
        let (weight, shift) = unit.into_weights(&weights.at("fu.conv_layer"), 0)?;
        let (outputs, inputs, _, _) = weight.dims4()?;
        Ok(Self {
            narrow: scaled(&weights.at("conv1.0"), &norm.scale, Some(&norm.shift), config)?,
            spectrum: Linear::new(weight.reshape((outputs, inputs))?, Some(shift))?,
            widen: scaled(&weights.at("conv2"), &after.scale, None, config)?,
        })
    }

    fn forward(&self, x: &Tensor, transforms: &Transforms) -> Result<Tensor> {
        let narrow = relu(&self.narrow.forward(x)?)?;
        let (_, _, h, w) = narrow.dims4()?;
        let changed = relu(&self.spectrum.forward(&transforms.spectrum(&narrow)?)?)?;
        let far = transforms.picture(&changed, h, w)?;
        Ok(self.widen.forward(&add(&narrow, &far)?)?)
    }
}

/// The model.
#[derive(Debug)]
pub struct Lama {
    first: Mixed,
    halvings: Vec<Mixed>,
    blocks: Vec<[Mixed; 2]>,
    doublings: Vec<Enlarging>,
    last: Conv2d,
    transforms: Transforms,
    dtype: DType,
    bytes: u64,
}

impl Lama {
    /// Opens a file of weights: one of torch's, TorchScript included, or safetensors.
    pub fn open(path: &Path, dtype: DType, device: &Device) -> Result<Self> {
        Self::load(open_weights(path)?, dtype, device)
    }

    /// From weights.
    pub fn load(source: Arc<dyn Source>, dtype: DType, device: &Device) -> Result<Self> {
        let all = Weights::new(source, dtype, device);
        let found = PLACES
            .iter()
            .map(|place| all.at(place))
            .find(|part| part.has("1.bn_l.running_mean"));
        let weights = found.ok_or_else(|| all.corrupt("it holds no LaMa model"))?;
        let first = Mixed::load(&weights.at(1), 1, 0)?;
        let mut index = 2;
        let mut halvings = Vec::new();
        while weights.has(&format!("{index}.ffc.convl2l.weight")) {
            halvings.push(Mixed::load(&weights.at(index), 2, 1)?);
            index += 1;
        }
        let mut blocks = Vec::new();
        while weights.has(&format!("{index}.conv1.ffc.convl2l.weight")) {
            let part = |name: &str| Mixed::load(&weights.at(index).at(name), 1, 1);
            blocks.push([part("conv1")?, part("conv2")?]);
            index += 1;
        }
        // Here the near and the far part are joined; after each doubling stand its normalisation and an activation.
        index += 1;
        let mut doublings = Vec::new();
        while weights.has(&format!("{}.running_mean", index + 1)) {
            let norm = weights.at(index + 1);
            doublings.push(Enlarging::doubling(&weights.at(index), Some((&norm, EPS)))?);
            index += 3;
        }
        if doublings.len() != halvings.len() || (1 << halvings.len()) > MULTIPLE {
            return Err(weights.corrupt(format!("it halves {} times and doubles {} times", halvings.len(), doublings.len())));
        }
        Ok(Self {
            first,
            halvings,
            blocks,
            doublings,
            last: conv_with(
                &weights.at(index + 1),
                ConvConfig {
                    stride: 1,
                    padding: [0; 4],
                },
            )?,
            transforms: Transforms::default(),
            dtype,
            bytes: all.bytes_loaded(),
        })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// `picture [1, 3, h, w]` in 0 to 1 with what is new where `hole [1, 1, h, w]` is 1 (elsewhere 0). Both sides are at least 16.
    pub fn fill(&self, picture: &Tensor, hole: &Tensor) -> Result<Tensor> {
        let (h, w) = at_least(16, picture)?;
        let more = |n: usize| n.next_multiple_of(MULTIPLE) - n;
        let frame = |x: &Tensor| pad(&x.to_dtype(self.dtype)?, [0, more(h), 0, more(w)], Border::Reflect);
        let (picture, hole) = (frame(picture)?, frame(hole)?);
        let rest = hole.affine(-1.0, 1.0)?;
        let kept = picture.broadcast_mul(&rest)?;
        let made = self.generate(&cat_channels(&kept, &hole)?)?;
        let filled = (made.broadcast_mul(&hole)? + kept)?;
        Ok(crop(&filled, h, w)?)
    }

    fn generate(&self, x: &Tensor) -> Result<Tensor> {
        let frame = |x: &Tensor| pad(x, [3; 4], Border::Reflect);
        let transforms = &self.transforms;
        let (mut near, mut far) = self.first.forward(&frame(x)?, None, transforms)?;
        for mixed in &self.halvings {
            (near, far) = mixed.forward(&near, far.as_ref(), transforms)?;
        }
        for [one, two] in &self.blocks {
            let (a, b) = one.forward(&near, far.as_ref(), transforms)?;
            let (a, b) = two.forward(&a, b.as_ref(), transforms)?;
            near = add(&near, &a)?;
            far = match (far, b) {
                (Some(far), Some(b)) => Some(add(&far, &b)?),
                (far, b) => far.or(b),
            };
        }
        let mut x = match far {
            Some(far) => cat_channels(&near, &far)?,
            None => near,
        };
        for doubling in &self.doublings {
            x = relu(&doubling.forward(&x)?)?;
        }
        Ok(sigmoid(&self.last.forward(&frame(&x)?)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms_are_fouriers() -> Result<()> {
        let transforms = Transforms::default();
        for (h, w) in [(4, 6), (5, 7), (1, 2), (8, 3)] {
            let n = 2 * h * w;
            let values: Vec<f32> = (0..n).map(|i| ((i * 37) % 11) as f32 - 5.0).collect();
            let x = Tensor::from_vec(values.clone(), (1, 2, h, w), &Device::Cpu)?;
            let spectrum = transforms.spectrum(&x)?;
            let back: Vec<f32> = transforms.picture(&spectrum, h, w)?.flatten_all()?.to_vec1()?;
            assert!(back.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-4), "{h}x{w}");
            // One frequency of the second channel, by its definition.
            let (u, v) = (h - 1, w / 2);
            let (mut re, mut im) = (0.0, 0.0);
            for y in 0..h {
                for x in 0..w {
                    let angle = -std::f64::consts::TAU * ((u * y) as f64 / h as f64 + (v * x) as f64 / w as f64);
                    let value = f64::from(values[(h + y) * w + x]) / ((h * w) as f64).sqrt();
                    re += value * angle.cos();
                    im += value * angle.sin();
                }
            }
            let row: Vec<f32> = spectrum.get(u * (w / 2 + 1) + v)?.to_vec1()?;
            assert!(
                (f64::from(row[2]) - re).abs() < 1e-4 && (f64::from(row[3]) - im).abs() < 1e-4,
                "{h}x{w}"
            );
        }
        Ok(())
    }
}
