//! From one mode to another, to the bit as Pillow's `Image.convert` (Lab: within one level).

use rayon::prelude::*;

use super::{LabPrecision, Mode, PARALLEL_FROM, Picture, hsv, lab};

/// Luma by ITU-R BT.601 with 16-bit weights.
pub(super) fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}

/// `factor` times `steps` in 26.6 fixed point. The addition of a half before truncation towards zero is Pillow's rounding of its tables.
fn fixed(factor: f64, steps: i32) -> i32 {
    (factor * 64.0 * f64::from(steps) + 0.5) as i32
}

struct YccTables {
    forward: [[[i32; 256]; 3]; 3],
    red_of_cr: [i32; 256],
    green_of_cb: [i32; 256],
    green_of_cr: [i32; 256],
    blue_of_cb: [i32; 256],
}

fn ycc() -> &'static YccTables {
    static TABLES: std::sync::OnceLock<YccTables> = std::sync::OnceLock::new();
    TABLES.get_or_init(|| {
        let factors = [[0.299, 0.587, 0.114], [-0.16874, -0.33126, 0.5], [0.5, -0.41869, -0.08131]];
        let centred = |factor: f64| std::array::from_fn(|i| fixed(factor, i as i32 - 128));
        YccTables {
            forward: factors.map(|row| row.map(|factor| std::array::from_fn(|i| fixed(factor, i as i32)))),
            red_of_cr: centred(1.402),
            green_of_cb: centred(-0.34414),
            green_of_cr: centred(-0.71414),
            blue_of_cb: centred(1.772),
        }
    })
}

fn clip(v: i32) -> u8 {
    v.clamp(0, 255) as u8
}

/// a x b / 255, rounded to nearest.
pub(super) fn mul_div_255(a: u8, b: u8) -> u8 {
    let t = u32::from(a) * u32::from(b) + 128;
    (((t >> 8) + t) >> 8) as u8
}

impl Picture {
    /// The picture in another mode. Opacity is dropped, or gained as fully opaque, without touching colours.
    #[must_use]
    pub fn convert(&self, mode: Mode) -> Self {
        self.convert_with(mode, LabPrecision::Default)
    }

    /// As [`Picture::convert`], with Lab taken through a lattice of the given precision.
    #[must_use]
    pub fn convert_with(&self, mode: Mode, precision: LabPrecision) -> Self {
        if mode == self.mode() {
            return self.clone();
        }
        match (self.mode(), mode) {
            (Mode::L, Mode::La) => self.each::<1, 2>(mode, |[l]| [l, 255]),
            (Mode::L, Mode::Rgb) => self.each::<1, 3>(mode, |[l]| [l; 3]),
            (Mode::L, Mode::Rgba) => self.each::<1, 4>(mode, |[l]| [l, l, l, 255]),
            (Mode::L, Mode::YCbCr) => self.each::<1, 3>(mode, |[l]| [l, 128, 128]),
            (Mode::L, Mode::Cmyk) => self.each::<1, 4>(mode, |[l]| [0, 0, 0, !l]),
            (Mode::La, Mode::L) => self.each::<2, 1>(mode, |[l, _]| [l]),
            (Mode::La, Mode::Rgb) => self.each::<2, 3>(mode, |[l, _]| [l; 3]),
            (Mode::La, Mode::Rgba) => self.each::<2, 4>(mode, |[l, a]| [l, l, l, a]),
            (Mode::Rgb, Mode::L) => self.each::<3, 1>(mode, |[r, g, b]| [luma(r, g, b)]),
            (Mode::Rgb, Mode::La) => self.each::<3, 2>(mode, |[r, g, b]| [luma(r, g, b), 255]),
            (Mode::Rgb, Mode::Rgba) => self.each::<3, 4>(mode, |[r, g, b]| [r, g, b, 255]),
            (Mode::Rgb, Mode::Cmyk) => self.each::<3, 4>(mode, |[r, g, b]| [!r, !g, !b, 0]),
            (Mode::Rgb, Mode::YCbCr) => {
                let t = &ycc().forward;
                self.each::<3, 3>(mode, |rgb| {
                    let sum = |c: usize| (0..3).map(|i| t[c][i][usize::from(rgb[i])]).sum::<i32>() >> 6;
                    [clip(sum(0)), clip(sum(1) + 128), clip(sum(2) + 128)]
                })
            }
            (Mode::Rgb, Mode::Hsv) => self.each::<3, 3>(mode, hsv::from_rgb),
            (Mode::Rgb, Mode::Lab) => self.each::<3, 3>(mode, lab::from_rgb(precision)),
            (Mode::Rgba, Mode::L) => self.each::<4, 1>(mode, |[r, g, b, _]| [luma(r, g, b)]),
            (Mode::Rgba, Mode::La) => self.each::<4, 2>(mode, |[r, g, b, a]| [luma(r, g, b), a]),
            (Mode::Rgba, Mode::Rgb) => self.each::<4, 3>(mode, |[r, g, b, _]| [r, g, b]),
            (Mode::Cmyk, Mode::Rgb) => self.each::<4, 3>(mode, |[c, m, y, k]| {
                let light = 255 - k;
                [c, m, y].map(|ink| light - mul_div_255(ink, light))
            }),
            (Mode::YCbCr, Mode::L) => self.each::<3, 1>(mode, |[y, _, _]| [y]),
            (Mode::YCbCr, Mode::Rgb) => {
                let t = ycc();
                self.each::<3, 3>(mode, |[y, cb, cr]| {
                    let (y, cb, cr) = (i32::from(y), usize::from(cb), usize::from(cr));
                    [
                        clip(y + (t.red_of_cr[cr] >> 6)),
                        clip(y + ((t.green_of_cb[cb] + t.green_of_cr[cr]) >> 6)),
                        clip(y + (t.blue_of_cb[cb] >> 6)),
                    ]
                })
            }
            (Mode::Hsv, Mode::Rgb) => self.each::<3, 3>(mode, hsv::to_rgb),
            (Mode::Lab, Mode::Rgb) => self.each::<3, 3>(mode, lab::to_rgb(precision)),
            // Grey with opacity has grey for its base; every other remaining pair goes over RGB.
            (Mode::La, Mode::Cmyk | Mode::YCbCr) => self.convert_with(Mode::L, precision).convert_with(mode, precision),
            _ => self.convert_with(Mode::Rgb, precision).convert_with(mode, precision),
        }
    }

    /// Maps every pixel of `A` samples to one of `B`.
    pub(super) fn each<const A: usize, const B: usize>(&self, mode: Mode, f: impl Fn([u8; A]) -> [u8; B] + Sync) -> Self {
        debug_assert_eq!((self.bands(), mode.bands()), (A, B));
        let mut data = vec![0u8; self.width() * self.height() * B];
        let work = |(to, from): (&mut [u8], &[u8])| {
            for (to, from) in to.chunks_exact_mut(B).zip(from.chunks_exact(A)) {
                to.copy_from_slice(&f(from.try_into().expect("chunks are of A samples")));
            }
        };
        if data.len() < PARALLEL_FROM {
            work((&mut data, self.data()));
        } else {
            data.par_chunks_mut(4096 * B).zip(self.data().par_chunks(4096 * A)).for_each(work);
        }
        Self::trusted(mode, self.width(), self.height(), data)
    }
}
