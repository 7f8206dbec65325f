//! UniPC: a predictor of order p, and a corrector that takes the next step's evaluation into the last one at no extra cost.

use candle_core::{Result, Tensor};

use super::config::{SchedulerConfig, Training};
use super::ddim::PLAIN_BETAS;
use super::dpm_multistep::grid;
use super::timetable::{self, SigmaSchedule, alpha_sigma, clean_of_alpha_sigma, lambda};
use super::{Built, Error, Scheduler, StepOutput, TorchGenerator, combine};

/// The choice of B(h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// `B(h) = h`.
    Bh1,
    /// `B(h) = exp(h) - 1`.
    Bh2,
}

#[derive(Debug, Clone)]
pub(super) struct UniPc {
    schedule: SigmaSchedule,
    config: SchedulerConfig,
    order: usize,
    variant: Variant,
    /// Clean pictures of the last steps, the newest last.
    cleans: Vec<Tensor>,
    /// Steps taken, up to the order.
    warmed: usize,
    /// Corrected sample of the last step and the order it was left with.
    last: Option<(Tensor, usize)>,
}

impl UniPc {
    pub(super) fn new(config: &SchedulerConfig, steps: usize, karras: bool) -> Built<Self> {
        if config.predict_x0 == Some(false) {
            return Err(Error::unsupported("predict_x0", "false", "true"));
        }
        let order = config.solver_order.unwrap_or(2);
        if !(1..=3).contains(&order) {
            return Err(Error::unsupported("solver_order", &order.to_string(), "1 to 3"));
        }
        let variant = match config.solver_type.as_deref() {
            Some("bh1") => Variant::Bh1,
            None | Some("bh2" | "midpoint" | "heun" | "logrho") => Variant::Bh2,
            Some(other) => return Err(Error::unsupported("solver_type", other, "bh1 or bh2")),
        };
        let training = Training::new(config, PLAIN_BETAS, true)?;
        let range = SchedulerConfig {
            beta_schedule: None,
            ..config.clone()
        };
        let (timesteps, sigmas) = grid(&range, &training, timetable::multistep(config, steps)?, karras);
        let mut sigmas: Vec<f32> = sigmas.into_iter().map(|s| s as f32).collect();
        sigmas.push(match (config.ends_at_zero()?, karras) {
            (true, _) => 0.0,
            (false, true) => sigmas[steps - 1],
            (false, false) => training.sigmas[0],
        });
        Ok(Self {
            schedule: SigmaSchedule::new(timesteps, sigmas),
            config: config.clone(),
            order,
            variant,
            cleans: Vec::new(),
            warmed: 0,
            last: None,
        })
    }

    fn pair(&self, i: usize) -> (f32, f32) {
        alpha_sigma(self.schedule.sigmas[i])
    }

    /// One update from step `from` to the next. Clean pictures of `order` steps up to `from` are taken from the history; with
    /// `ahead`, the clean picture at the far end, the update corrects, without it predicts.
    fn update(&self, sample: &Tensor, from: usize, order: usize, ahead: Option<&Tensor>) -> Result<Tensor> {
        let (start, end) = (self.pair(from), self.pair(from + 1));
        let h = lambda(end) - lambda(start);
        let newest = &self.cleans[self.cleans.len() - 1];
        let mut places = Vec::new();
        let mut differences = Vec::new();
        for back in 1..order {
            let place = (lambda(self.pair(from - back)) - lambda(start)) / h;
            let older = &self.cleans[self.cleans.len() - 1 - back];
            differences.push(((older - newest)? / f64::from(place))?);
            places.push(f64::from(place));
        }
        places.push(1.0);
        let growth = (-h).exp_m1();
        let scale = match self.variant {
            Variant::Bh1 => -h,
            Variant::Bh2 => growth,
        };
        let targets = targets(f64::from(-h), f64::from(scale), order);
        let weights = match (ahead.is_some(), order) {
            (true, 1) | (false, 2) => vec![0.5],
            (true, _) => solve(&places, &targets),
            (false, _) => solve(&places[..order - 1], &targets[..order - 1]),
        };
        let step = -(end.0 * scale);
        let mut terms = vec![(end.1 / start.1, sample), (-(end.0 * growth), newest)];
        terms.extend(weights.iter().zip(&differences).map(|(&w, d)| (step * w as f32, d)));
        let change = ahead.map(|clean| clean - newest).transpose()?;
        if let (Some(change), Some(&weight)) = (&change, weights.last()) {
            terms.push((step * weight as f32, change));
        }
        combine(&terms)
    }
}

/// Right-hand sides of the order conditions.
fn targets(h: f64, scale: f64, order: usize) -> Vec<f64> {
    let mut phi = h.exp_m1() / h - 1.0;
    let mut factorial = 1.0;
    (1..=order)
        .map(|i| {
            let target = phi * factorial / scale;
            factorial *= (i + 1) as f64;
            phi = phi / h - 1.0 / factorial;
            target
        })
        .collect()
}

/// Solves the Vandermonde system `Σ_j places[j]^i · x_j = targets[i]` by Gaussian elimination. The places differ from each other.
fn solve(places: &[f64], targets: &[f64]) -> Vec<f64> {
    let n = places.len();
    let mut rows: Vec<Vec<f64>> = (0..n)
        .map(|i| places.iter().map(|p| p.powi(i as i32)).chain([targets[i]]).collect())
        .collect();
    for column in 0..n {
        let pivot = (column..n)
            .max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))
            .unwrap_or(column);
        rows.swap(column, pivot);
        for row in column + 1..n {
            let factor = rows[row][column] / rows[column][column];
            let pivot = rows[column].clone();
            for (value, above) in rows[row].iter_mut().zip(pivot).skip(column) {
                *value -= factor * above;
            }
        }
    }
    let mut solution = vec![0.0; n];
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|k| rows[row][k] * solution[k]).sum();
        solution[row] = (rows[row][n] - known) / rows[row][row];
    }
    solution
}

impl Scheduler for UniPc {
    fn timesteps(&self) -> &[f64] {
        &self.schedule.timesteps
    }

    fn train_timesteps(&self) -> usize {
        self.config.train_timesteps()
    }

    fn add_noise(&self, picture: &Tensor, noise: &Tensor, timestep: f64) -> Result<Tensor> {
        let (alpha, sigma) = self.pair(self.schedule.position(timestep));
        combine(&[(alpha, picture), (sigma, noise)])
    }

    fn step(&mut self, output: &Tensor, timestep: f64, sample: &Tensor, _: &mut TorchGenerator) -> Result<StepOutput> {
        let at = self.schedule.current(timestep);
        let clean = clean_of_alpha_sigma(self.config.prediction(), self.pair(at), sample, output)?;
        let disabled = self.config.disable_corrector.as_deref().unwrap_or_default();
        let corrected = match &self.last {
            Some((last, order)) if at > 0 && !disabled.contains(&(at - 1)) => self.update(last, at - 1, *order, Some(&clean))?,
            _ => sample.clone(),
        };
        self.cleans.push(clean.clone());
        if self.cleans.len() > self.order {
            self.cleans.remove(0);
        }
        let allowed = if self.config.lower_order_final.unwrap_or(true) {
            self.order.min(self.schedule.timesteps.len() - at)
        } else {
            self.order
        };
        let order = allowed.min(self.warmed + 1);
        let moved = self.update(&corrected, at, order, None)?;
        self.last = Some((corrected, order));
        self.warmed = (self.warmed + 1).min(self.order);
        self.schedule.advance();
        Ok(StepOutput {
            sample: moved,
            predicted: Some(clean),
        })
    }

    fn fork(&self) -> Box<dyn Scheduler> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vandermonde_systems_are_solved() {
        let (places, wanted) = ([-0.7, 2.5, 1.0], [0.3, -1.2, 4.0]);
        let targets: Vec<f64> = (0..3)
            .map(|i| places.iter().zip(wanted).map(|(p, w): (&f64, f64)| p.powi(i) * w).sum())
            .collect();
        for (got, wanted) in solve(&places, &targets).iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-12);
        }
    }
}
