//! Which timesteps a run visits, and the noise at each: the arithmetic of numpy that diffusers' schedules rest on.

use super::config::{SchedulerConfig, TimestepSpacing, Training};
use super::{Built, Error, PredictionType};

/// The rounding of numpy's and Python's `round`: to the nearest whole number, halves to the even one.
pub(super) fn round(x: f64) -> f64 {
    x.round_ties_even()
}

/// numpy's `linspace(start, end, count)`.
pub(super) fn linspace(start: f64, end: f64, count: usize) -> Vec<f64> {
    if count < 2 {
        return vec![start; count];
    }
    let step = (end - start) / (count - 1) as f64;
    let mut values: Vec<f64> = (0..count).map(|i| i as f64 * step + start).collect();
    values[count - 1] = end;
    values
}

/// The number of steps must be at least 1 and at most the training steps.
pub(super) fn check_steps(steps: usize, limit: usize) -> Built<()> {
    if steps == 0 || steps > limit {
        Err(Error::Steps { steps, limit })
    } else {
        Ok(())
    }
}

/// Falling timesteps of a one-step method (`steps` of them). Leading and trailing are whole numbers; linspace is left fractional.
pub(super) fn plain(config: &SchedulerConfig, default: TimestepSpacing, steps: usize) -> Built<Vec<f64>> {
    let train = config.train_timesteps();
    check_steps(steps, train)?;
    Ok(match config.timestep_spacing.unwrap_or(default) {
        TimestepSpacing::Linspace => linspace(0.0, (train - 1) as f64, steps).into_iter().rev().collect(),
        TimestepSpacing::Leading => {
            let ratio = train / steps;
            let offset = config.steps_offset.unwrap_or(0) as f64;
            (0..steps).rev().map(|i| (i * ratio) as f64 + offset).collect()
        }
        TimestepSpacing::Trailing => trailing(train as f64, train as f64 / steps as f64),
    })
}

/// Falling whole timesteps of a multistep solver, whose grid has one more point at the clean end that is not visited.
pub(super) fn multistep(config: &SchedulerConfig, steps: usize) -> Built<Vec<f64>> {
    let train = config.train_timesteps();
    check_steps(steps, train)?;
    Ok(match config.timestep_spacing.unwrap_or(TimestepSpacing::Linspace) {
        TimestepSpacing::Linspace => multistep_linspace(train, steps),
        TimestepSpacing::Leading => {
            let ratio = train / (steps + 1);
            let offset = config.steps_offset.unwrap_or(0) as f64;
            (1..=steps).rev().map(|i| (i * ratio) as f64 + offset).collect()
        }
        TimestepSpacing::Trailing => trailing(train as f64, train as f64 / steps as f64),
    })
}

/// The linspace variant of [`multistep`].
pub(super) fn multistep_linspace(train: usize, steps: usize) -> Vec<f64> {
    linspace(0.0, (train - 1) as f64, steps + 1)
        .into_iter()
        .skip(1)
        .rev()
        .map(round)
        .collect()
}

fn trailing(from: f64, ratio: f64) -> Vec<f64> {
    let count = (from / ratio).ceil() as usize;
    // numpy's arange measures its own step from the first two values.
    let step = (from - ratio) - from;
    (0..count).map(|i| round(from + i as f64 * step) - 1.0).collect()
}

/// Training sigma at a fractional timestep, by linear interpolation.
pub(super) fn sigma_at(training: &Training, timestep: f64) -> f64 {
    let last = training.sigmas.len() - 1;
    let below = (timestep.max(0.0) as usize).min(last);
    let low = f64::from(training.sigmas[below]);
    if below == last {
        return low;
    }
    let slope = f64::from(training.sigmas[below + 1]) - low;
    slope * (timestep - below as f64).max(0.0) + low
}

/// Karras et al. (2022), equation 5 with ρ = 7: `count` sigmas from `largest` to `smallest`.
pub(super) fn karras(largest: f64, smallest: f64, count: usize) -> Vec<f64> {
    const RHO: f64 = 7.0;
    let (low, high) = (smallest.powf(1.0 / RHO), largest.powf(1.0 / RHO));
    linspace(0.0, 1.0, count)
        .into_iter()
        .map(|ramp| (high + ramp * (low - high)).powf(RHO))
        .collect()
}

/// Karras sigmas over the whole training range, or the range that the config names.
pub(super) fn karras_of_training(config: &SchedulerConfig, training: &Training, count: usize) -> Vec<f64> {
    let first = f64::from(training.sigmas[0]);
    let last = f64::from(training.sigmas[training.sigmas.len() - 1]);
    karras(config.sigma_max.unwrap_or(last), config.sigma_min.unwrap_or(first), count)
}

/// Fractional timestep of a sigma: interpolation between the logarithms of the training sigmas.
pub(super) fn timestep_of(training: &Training, sigma: f64) -> f64 {
    let log = sigma.max(1e-10).ln();
    // The comparison is made in single precision, as numpy makes it for a scalar against an array of singles.
    let below = training
        .sigmas
        .partition_point(|s| log as f32 - s.ln() >= 0.0)
        .saturating_sub(1)
        .min(training.sigmas.len() - 2);
    let low = f64::from(training.sigmas[below].ln());
    let high = f64::from(training.sigmas[below + 1].ln());
    let weight = ((low - log) / (low - high)).clamp(0.0, 1.0);
    (1.0 - weight) * below as f64 + weight * (below + 1) as f64
}

/// The visited timesteps with the sigma at each and after the last, and the place of the run in them.
#[derive(Debug, Clone)]
pub(super) struct SigmaSchedule {
    pub(super) timesteps: Vec<f64>,
    pub(super) sigmas: Vec<f32>,
    next: Option<usize>,
}

impl SigmaSchedule {
    pub(super) fn new(timesteps: Vec<f64>, sigmas: Vec<f32>) -> Self {
        Self {
            timesteps,
            sigmas,
            next: None,
        }
    }

    /// Where a timestep stands. Where it stands twice the second place counts, so that a run that begins in the middle of a
    /// schedule with repeated steps does not begin with a half step.
    pub(super) fn position(&self, timestep: f64) -> usize {
        position(&self.timesteps, timestep)
    }

    /// Index of the step to take, found from the timestep at the first call.
    pub(super) fn current(&mut self, timestep: f64) -> usize {
        let position = self.position(timestep);
        *self.next.get_or_insert(position)
    }

    /// Moves on to the next step.
    pub(super) fn advance(&mut self) {
        self.next = self.next.map(|i| i + 1);
    }

    /// Largest sigma, or the norm of a noised unit sample where the spacing does not reach the end of training.
    pub(super) fn init_noise_sigma(&self, config: &SchedulerConfig) -> f64 {
        let largest = f64::from(self.sigmas.iter().copied().fold(0.0, f32::max));
        match config.timestep_spacing.unwrap_or(TimestepSpacing::Linspace) {
            TimestepSpacing::Leading => (largest * largest + 1.0).sqrt(),
            TimestepSpacing::Linspace | TimestepSpacing::Trailing => largest,
        }
    }
}

/// See [`SigmaSchedule::position`]. A timestep that is not in the list counts as the last one.
pub(super) fn position(timesteps: &[f64], timestep: f64) -> usize {
    let mut places = timesteps.iter().enumerate().filter(|&(_, &t)| t == timestep).map(|(i, _)| i);
    let first = places.next();
    places.next().or(first).unwrap_or(timesteps.len() - 1)
}

/// `sample = picture + sigma * noise`: the clean picture that a denoiser's output stands for.
pub(super) fn clean_of_sigma(
    prediction: PredictionType,
    sigma: f32,
    sample: &candle_core::Tensor,
    output: &candle_core::Tensor,
) -> candle_core::Result<candle_core::Tensor> {
    let square = sigma * sigma + 1.0;
    match prediction {
        PredictionType::Epsilon => super::combine(&[(1.0, sample), (-sigma, output)]),
        PredictionType::VPrediction => super::combine(&[(-sigma / square.sqrt(), output), (1.0 / square, sample)]),
        PredictionType::Sample => Ok(output.clone()),
    }
}

/// `sample = alpha * picture + sigma * noise` with `alpha² + sigma² = 1`: the same.
pub(super) fn clean_of_alpha_sigma(
    prediction: PredictionType,
    (alpha, sigma): (f32, f32),
    sample: &candle_core::Tensor,
    output: &candle_core::Tensor,
) -> candle_core::Result<candle_core::Tensor> {
    match prediction {
        PredictionType::Epsilon => super::combine(&[(1.0, sample), (-sigma, output)])? / f64::from(alpha),
        PredictionType::VPrediction => super::combine(&[(alpha, sample), (-sigma, output)]),
        PredictionType::Sample => Ok(output.clone()),
    }
}

/// Splits a sigma of the first kind into the pair of the second.
pub(super) fn alpha_sigma(sigma: f32) -> (f32, f32) {
    let alpha = 1.0 / (sigma * sigma + 1.0).sqrt();
    (alpha, sigma * alpha)
}

/// Half the logarithm of the signal-to-noise ratio.
pub(super) fn lambda((alpha, sigma): (f32, f32)) -> f32 {
    alpha.ln() - sigma.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_timestep_means_its_second_place() {
        assert_eq!(position(&[5.0, 3.0, 3.0, 1.0], 3.0), 2);
        assert_eq!(position(&[5.0, 3.0, 3.0, 1.0], 5.0), 0);
        assert_eq!(position(&[5.0, 3.0], 4.0), 1);
    }

    #[test]
    fn trailing_steps_of_an_uneven_count() {
        assert_eq!(trailing(1000.0, 1000.0 / 3.0), [999.0, 666.0, 332.0]);
    }
}
