//! Noise levels from 1 to 0.

use crate::diffusion::error::{ModelError, Result};

/// What counts as the same level.
const CLOSE: f64 = 1e-6;

/// `steps + 1` levels, evenly spaced or, with `shift`, the higher ones closer together the more `tokens` the picture has. In single precision, as torch
/// computes them.
pub fn schedule(steps: usize, tokens: usize, shift: bool) -> Vec<f64> {
    let even = even(steps);
    if !shift {
        return even.into_iter().map(f64::from).collect();
    }
    // A line through 0.5 at 256 tokens and 1.15 at 4096.
    let slope = (1.15 - 0.5) / (4096.0 - 256.0);
    let mu: f64 = slope * tokens as f64 + (0.5 - slope * 256.0);
    let high = mu.exp();
    // torch divides a number by a tensor by way of the reciprocal.
    let shifted = |t: f32| (high as f32 + (1.0 / t - 1.0)).recip() * high as f32;
    even.into_iter().map(|t| f64::from(shifted(t))).collect()
}

/// torch's `linspace(1, 0, steps + 1)` of single floats: either half counts from its own end.
fn even(steps: usize) -> Vec<f32> {
    let step = -1.0_f32 / steps as f32;
    (0..=steps)
        .map(|i| {
            if i < steps.div_ceil(2) {
                step.mul_add(i as f32, 1.0)
            } else {
                -step * (steps - i) as f32
            }
        })
        .collect()
}

/// The part of a schedule from `1 - start` to `1 - end`, both of them exactly.
pub fn clipped(levels: &[f64], start: f64, end: f64) -> Result<Vec<f64>> {
    if !(0.0..=1.0).contains(&start) || !(0.0..=1.0).contains(&end) || start > end {
        return Err(ModelError::Input(format!(
            "denoising_start is {start} and denoising_end {end}, expected 0 to 1 and the start no later than the end"
        )));
    }
    let (first, last) = (1.0 - start, 1.0 - end);
    let at_least = |level: f64| levels.iter().filter(|t| **t >= level - CLOSE).count();
    // The highest level is 1.
    let from = at_least(first).max(1) - 1;
    let to = at_least(last).max(from + 1);
    let mut part: Vec<f64> = levels.get(from..to).unwrap_or_default().to_vec();
    match part.first_mut() {
        Some(begin) => *begin = first,
        None => part.push(first),
    }
    if part.last().is_some_and(|t| *t > last + CLOSE) {
        part.push(last);
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_met_exactly() {
        let levels = schedule(4, 256, false);
        assert_eq!(levels, [1.0, 0.75, 0.5, 0.25, 0.0]);
        let of = |start, end| clipped(&levels, start, end).unwrap();
        assert_eq!(of(0.0, 1.0), levels);
        assert_eq!(of(0.25, 1.0), [0.75, 0.5, 0.25, 0.0]);
        assert_eq!(of(0.4, 0.625), [0.6, 0.5, 0.375]);
        assert_eq!(of(0.3, 0.3), [0.7]);
        assert_eq!(of(1.0, 1.0), [0.0]);
        assert!(clipped(&levels, 0.6, 0.5).is_err());
    }
}
