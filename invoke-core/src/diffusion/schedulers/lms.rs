//! A linear multistep method: Adams-Bashforth of order four on uneven steps.

use candle_core::{Result, Tensor};

use super::config::SchedulerConfig;
use super::euler::{sigma_grid, single};
use super::sigma_method::{SigmaMethod, SigmaRun, Step};
use super::{Built, TorchGenerator, combine};

const ORDER: usize = 4;

#[derive(Debug, Clone)]
pub(super) struct Lms {
    run: SigmaRun,
    /// Slopes of the last steps, the newest last.
    slopes: Vec<Tensor>,
}

impl Lms {
    pub(super) fn new(config: &SchedulerConfig, steps: usize, karras: bool) -> Built<Self> {
        let config = config.plain();
        let (timesteps, sigmas, _) = sigma_grid(&config, steps, karras)?;
        let sigmas = sigmas.into_iter().map(|s| s as f32).chain([0.0]).collect();
        let timesteps = timesteps.into_iter().map(single).collect();
        Ok(Self {
            run: SigmaRun::new(timesteps, sigmas, config),
            slopes: Vec::new(),
        })
    }

    /// Integral over the step at `at` of the Lagrange polynomial that is 1 at the slope `back` steps ago and 0 at the others.
    fn coefficient(&self, order: usize, at: usize, back: usize) -> f64 {
        let sigma = |i: usize| f64::from(self.run.schedule.sigmas[i]);
        let polynomial = |x: f64| {
            let others = (0..order).filter(|&k| k != back);
            others
                .map(|k| (x - sigma(at - k)) / (sigma(at - back) - sigma(at - k)))
                .product::<f64>()
        };
        // Gauss-Legendre with three points is exact up to degree five.
        let (from, to) = (sigma(at), sigma(at + 1));
        let (middle, half) = (0.5 * (from + to), 0.5 * (to - from));
        let reach = half * 0.6_f64.sqrt();
        half * (5.0 * polynomial(middle - reach) + 8.0 * polynomial(middle) + 5.0 * polynomial(middle + reach)) / 9.0
    }
}

impl SigmaMethod for Lms {
    fn run(&self) -> &SigmaRun {
        &self.run
    }

    fn run_mut(&mut self) -> &mut SigmaRun {
        &mut self.run
    }

    fn moved(&mut self, step: &Step<'_>, _: &mut TorchGenerator) -> Result<Tensor> {
        self.slopes.push(step.slope()?);
        if self.slopes.len() > ORDER {
            self.slopes.remove(0);
        }
        // A run that begins in the middle has fewer slopes than its place in the schedule allows: the coefficients are those of
        // the place, applied to the slopes there are.
        let order = ORDER.min(step.at + 1);
        let mut terms = vec![(1.0, step.sample)];
        for (back, slope) in self.slopes.iter().rev().enumerate().take(order) {
            terms.push((self.coefficient(order, step.at, back) as f32, slope));
        }
        combine(&terms)
    }
}
