//! Which part of which schedule a run goes through.

use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::schedulers::{Scheduler, SchedulerConfig, SchedulerName};

/// The schedule of a run; all jobs of a batch share it.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The sampler.
    pub scheduler: SchedulerName,
    /// The model's scheduler config, its prediction type set to what the model's record says.
    pub config: &'a SchedulerConfig,
    /// Steps of the whole schedule, of which a run may take a part.
    pub steps: usize,
    /// Where to begin, 0 (pure noise) to 1 (a finished picture).
    pub start: f64,
    /// Where to end, from `start` to 1.
    pub end: f64,
}

/// A sampler with the timesteps to visit.
pub(super) struct Course {
    pub(super) sampler: Box<dyn Scheduler>,
    /// Timesteps of the part to run.
    pub(super) visits: Vec<f64>,
    /// The timestep to which a picture is noised at first; `None` if the run begins after the last.
    pub(super) first: Option<f64>,
}

impl Plan<'_> {
    /// A sampler for one job.
    pub(super) fn open(&self, seed: u64) -> Result<Course> {
        for (field, value) in [("denoising_start", self.start), ("denoising_end", self.end)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(ModelError::Input(format!("{field}: {value} is out of range, expected 0 to 1")));
            }
        }
        let sampler = self
            .scheduler
            .build(self.config, self.steps, seed)
            .map_err(|e| ModelError::Input(e.to_string()))?;
        let (all, order) = (sampler.timesteps(), sampler.order());
        // Steps are counted, not evaluations; a share of the way is a timestep, rounded half to even.
        let whole: Vec<f64> = all.iter().step_by(order).copied().collect();
        let limit = |share: f64| (sampler.train_timesteps() as f64 * (1.0 - share)).round_ties_even();
        let begin = whole.iter().filter(|&&t| t >= limit(self.start)).count();
        let taken = whole[begin..].iter().filter(|&&t| t >= limit(self.end)).count();
        let (begin, end) = (begin * order, (begin + taken) * order);
        let visits = all.get(begin..end.min(all.len())).unwrap_or_default().to_vec();
        let first = all.get(begin).copied();
        Ok(Course { visits, first, sampler })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visits(scheduler: SchedulerName, steps: usize, start: f64, end: f64) -> (Vec<f64>, Option<f64>) {
        let json = r#"{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1, "timestep_spacing": "leading"}"#;
        let config = SchedulerConfig::from_json(json).unwrap();
        let course = Plan {
            scheduler,
            config: &config,
            steps,
            start,
            end,
        }
        .open(0)
        .unwrap();
        (course.visits, course.first)
    }

    #[test]
    fn parts_of_a_schedule() {
        assert_eq!(
            visits(SchedulerName::Ddim, 5, 0.0, 1.0),
            (vec![801.0, 601.0, 401.0, 201.0, 1.0], Some(801.0))
        );
        assert_eq!(visits(SchedulerName::Ddim, 5, 0.4, 1.0), (vec![401.0, 201.0, 1.0], Some(401.0)));
        // Both halves meet without a gap or an overlap.
        assert_eq!(visits(SchedulerName::Euler, 4, 0.0, 0.5).0, [751.0, 501.0]);
        assert_eq!(visits(SchedulerName::Euler, 4, 0.5, 1.0).0, [251.0, 1.0]);
    }

    #[test]
    fn second_order_methods_are_cut_between_steps() {
        assert_eq!(visits(SchedulerName::Heun, 4, 0.0, 0.5).0, [751.0, 501.0, 501.0, 251.0]);
        assert_eq!(visits(SchedulerName::Heun, 4, 0.5, 1.0).0, [251.0, 1.0, 1.0]);
    }

    #[test]
    fn nothing_is_left_to_do_at_the_end() {
        assert_eq!(visits(SchedulerName::Ddim, 5, 1.0, 1.0), (vec![], None));
        // A run that ends where it begins still noises the picture.
        assert_eq!(visits(SchedulerName::Ddim, 5, 0.4, 0.4), (vec![], Some(401.0)));
    }
}
