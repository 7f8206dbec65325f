//! Group and layer normalisation.

use crate::buffer::{Shared, filled, scratch};
use crate::parallel::{run, run_if, split};
use crate::simd::{Isa, moments, normalise_rows, scale_shift};

/// Elements worth a second thread.
const WORTH: usize = 16_384;

/// Normalises each group of channels of each picture of `x [batch, pixels, channels]` to mean 0 and variance 1, scales and shifts by
/// channel, and applies SiLU if asked for.
pub fn group_norm(x: &[f32], batch: usize, groups: usize, weight: &[f32], bias: &[f32], eps: f64, silu: bool) -> Vec<f32> {
    let channels = weight.len();
    assert!(
        groups > 0 && channels.is_multiple_of(groups) && bias.len() == channels,
        "groups of channels"
    );
    assert!(
        batch > 0 && x.len().is_multiple_of(batch * channels),
        "pictures of {channels} channels"
    );
    let isa = Isa::best();
    let pixels = x.len() / batch / channels;
    let worth = x.len() > WORTH;
    // Some pixels of one picture for each task.
    let (parts, range) = if worth {
        split(pixels, 8, 1.max(4 / batch))
    } else {
        (1, split(pixels, pixels, 1).1)
    };
    let picture = |i: usize| &x[i * pixels * channels..][..pixels * channels];
    let part = |i: usize| {
        let pixels = range(i % parts);
        (i / parts, pixels.start * channels..pixels.end * channels)
    };
    scratch(2 * channels * (batch * parts + batch), |room| {
        let (sums, factors) = room.split_at_mut(2 * channels * batch * parts);
        let shared = Shared::new(sums);
        run_if(worth, batch * parts, |i| {
            let (image, floats) = part(i);
            // SAFETY: each task has its own part of the sums.
            let own = unsafe { std::slice::from_raw_parts_mut(shared.at(2 * channels * i), 2 * channels) };
            let (sum, square) = own.split_at_mut(channels);
            moments(isa, &picture(image)[floats], &picture(image)[..channels], sum, square);
        });
        for image in 0..batch {
            let sums = &sums[2 * channels * image * parts..][..2 * channels * parts];
            let (scale, shift) = factors[2 * channels * image..][..2 * channels].split_at_mut(channels);
            let affine = Affine {
                origin: picture(image),
                weight,
                bias,
                eps,
                pixels,
            };
            for group in 0..groups {
                affine.group(sums, group * channels / groups..(group + 1) * channels / groups, scale, shift);
            }
        }
        // SAFETY: the parts cover all pixels.
        unsafe {
            filled(x.len(), |out| {
                run_if(worth, batch * parts, |i| {
                    let (image, floats) = part(i);
                    let (scale, shift) = factors[2 * channels * image..][..2 * channels].split_at(channels);
                    let to = out.at(image * pixels * channels + floats.start);
                    scale_shift(isa, &picture(image)[floats], scale, shift, silu, to);
                });
            })
        }
    })
}

/// A factor and a term for each channel of one picture, with which its groups have mean 0 and variance 1 and then the norm's weight and bias.
#[derive(Debug, Clone)]
pub struct GroupFactors {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl GroupFactors {
    /// Of one picture that is given in parts `[pixels, channels]`, as [`group_norm`] finds them for a whole one.
    pub fn measure(parts: &[&[f32]], groups: usize, weight: &[f32], bias: &[f32], eps: f64) -> Self {
        let channels = weight.len();
        assert!(
            groups > 0 && channels.is_multiple_of(groups) && bias.len() == channels,
            "groups of channels"
        );
        assert!(
            parts.iter().all(|part| part.len().is_multiple_of(channels)) && parts.iter().any(|part| !part.is_empty()),
            "pixels of {channels} channels"
        );
        let isa = Isa::best();
        let origin = parts.iter().find(|part| !part.is_empty()).map_or(&[][..], |part| &part[..channels]);
        // Some pixels of one part for each task.
        let tasks: Vec<&[f32]> = parts
            .iter()
            .flat_map(|part| {
                let (count, range) = split(part.len() / channels, 8, 4);
                (0..count).map(move |i| &part[range(i).start * channels..range(i).end * channels])
            })
            .collect();
        let mut factors = Self {
            scale: vec![0.0; channels],
            shift: vec![0.0; channels],
        };
        scratch(2 * channels * tasks.len(), |sums| {
            let shared = Shared::new(sums);
            run(tasks.len(), |i| {
                // SAFETY: each task has its own part of the sums.
                let own = unsafe { std::slice::from_raw_parts_mut(shared.at(2 * channels * i), 2 * channels) };
                let (sum, square) = own.split_at_mut(channels);
                moments(isa, tasks[i], origin, sum, square);
            });
            let affine = Affine {
                origin,
                weight,
                bias,
                eps,
                pixels: tasks.iter().map(|task| task.len() / channels).sum(),
            };
            for group in 0..groups {
                let channels = group * channels / groups..(group + 1) * channels / groups;
                affine.group(sums, channels, &mut factors.scale, &mut factors.shift);
            }
        });
        factors
    }

    /// Some pixels `[pixels, channels]` of that picture normalised, then SiLU if asked for.
    pub fn apply(&self, x: &[f32], silu: bool) -> Vec<f32> {
        let (isa, channels) = (Isa::best(), self.scale.len());
        assert!(x.len().is_multiple_of(channels), "pixels of {channels} channels");
        let (parts, range) = split(x.len() / channels, 8, 4);
        // SAFETY: the parts cover all pixels.
        unsafe {
            filled(x.len(), |out| {
                run_if(x.len() > WORTH, parts, |i| {
                    let floats = range(i).start * channels..range(i).end * channels;
                    scale_shift(isa, &x[floats.clone()], &self.scale, &self.shift, silu, out.at(floats.start));
                });
            })
        }
    }
}

struct Affine<'a> {
    /// What was subtracted before summing, by channel (the first pixel).
    origin: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f64,
    pixels: usize,
}

impl Affine<'_> {
    /// The factor and the term that normalise a group's channels, from the sums of all parts `[part][sum, square][channel]`.
    fn group(&self, sums: &[f32], channels: std::ops::Range<usize>, scale: &mut [f32], shift: &mut [f32]) {
        let all = self.weight.len();
        let pixels = self.pixels as f64;
        let (mut total, mut squares) = (0.0_f64, 0.0_f64);
        for c in channels.clone() {
            let of_parts = |at: usize| sums.chunks_exact(2 * all).map(|part| f64::from(part[at])).sum::<f64>();
            let (sum, square, origin) = (of_parts(c), of_parts(all + c), f64::from(self.origin[c]));
            total += sum + pixels * origin;
            squares += square + 2.0 * origin * sum + pixels * origin * origin;
        }
        let count = pixels * channels.len() as f64;
        let mean = total / count;
        let variance = (squares / count - mean * mean).max(0.0);
        let factor = 1.0 / (variance + self.eps).sqrt();
        for c in channels {
            let by = f64::from(self.weight[c]) * factor;
            scale[c] = by as f32;
            shift[c] = (f64::from(self.bias[c]) - mean * by) as f32;
        }
    }
}

/// Normalises each row of `weight.len()` floats to mean 0 and variance 1, then scales and shifts.
pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32) -> Vec<f32> {
    let width = weight.len();
    assert!(width > 0 && bias.len() == width && x.len().is_multiple_of(width), "rows of {width}");
    let isa = Isa::best();
    let (parts, range) = split(x.len() / width, 1, 2);
    // SAFETY: the parts cover all rows.
    unsafe {
        filled(x.len(), |out| {
            run_if(x.len() > WORTH, parts, |i| normalise_rows(isa, x, weight, bias, eps, range(i), out));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::{close, noise, silu};

    #[test]
    fn groups_of_odd_pictures() {
        for (batch, pixels, channels, groups) in [(1, 1, 4, 2), (2, 7, 6, 3), (3, 100, 40, 4), (2, 1030, 32, 8), (1, 65, 320, 32)] {
            // A mean far from zero would show cancellation.
            let x: Vec<f32> = noise(batch * pixels * channels, 5).iter().map(|x| x + 30.0).collect();
            let (w, b) = (noise(channels, 6), noise(channels, 7));
            let per = channels / groups;
            let mut want = vec![0.0; x.len()];
            for (image, group) in (0..batch).flat_map(|i| (0..groups).map(move |g| (i, g))) {
                let at: Vec<usize> = (0..pixels)
                    .flat_map(|p| (0..per).map(move |c| (image * pixels + p) * channels + group * per + c))
                    .collect();
                let mean = at.iter().map(|i| f64::from(x[*i])).sum::<f64>() / at.len() as f64;
                let var = at.iter().map(|i| (f64::from(x[*i]) - mean).powi(2)).sum::<f64>() / at.len() as f64;
                for i in at {
                    let c = i % channels;
                    want[i] = (((f64::from(x[i]) - mean) / (var + 1e-5).sqrt()) * f64::from(w[c]) + f64::from(b[c])) as f32;
                }
            }
            close(&group_norm(&x, batch, groups, &w, &b, 1e-5, false), &want, 3e-5);
            let want: Vec<f32> = want.into_iter().map(silu).collect();
            close(&group_norm(&x, batch, groups, &w, &b, 1e-5, true), &want, 3e-5);
        }
    }

    #[test]
    fn a_picture_in_parts_is_normalised_as_a_whole() {
        for (pixels, channels, groups) in [(1, 4, 2), (70, 40, 4), (1030, 32, 8)] {
            let x: Vec<f32> = noise(pixels * channels, 5).iter().map(|x| x + 30.0).collect();
            let (w, b) = (noise(channels, 6), noise(channels, 7));
            let (first, rest) = x.split_at(pixels / 3 * channels);
            let factors = GroupFactors::measure(&[first, rest], groups, &w, &b, 1e-5);
            for silu in [false, true] {
                let parts = [factors.apply(first, silu), factors.apply(rest, silu)].concat();
                close(&parts, &group_norm(&x, 1, groups, &w, &b, 1e-5, silu), 3e-5);
            }
        }
    }

    #[test]
    fn rows_of_odd_widths() {
        for (rows, width) in [(1, 1), (3, 5), (20, 33), (600, 320)] {
            let (x, w, b) = (noise(rows * width, 1), noise(width, 2), noise(width, 3));
            let want: Vec<f32> = x
                .chunks(width)
                .flat_map(|row| {
                    let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / width as f64;
                    let var = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / width as f64;
                    let one = move |i: usize| (f64::from(row[i]) - mean) / (var + 1e-5).sqrt();
                    (0..width).map(move |i| one(i) as f32).collect::<Vec<_>>()
                })
                .zip((0..rows).flat_map(|_| w.iter().zip(&b)))
                .map(|(x, (w, b))| x * w + b)
                .collect();
            close(&layer_norm(&x, &w, &b, 1e-5), &want, 1e-5);
        }
    }
}
