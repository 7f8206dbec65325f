//! Along the flow: from noise to the tokens of a picture.

use candle_core::{DType, Tensor};

use super::inpaint::Inpaint;
use super::latents::unpack;
use crate::diffusion::denoise::{Outcome, Progress, Stage, Watcher};
use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::noise::{TorchGenerator, randn};

/// How steps are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampler {
    /// Straight on, over the levels given.
    Euler,
    /// By the mean of two slopes, two evaluations for each step but the last, over levels of its own.
    Heun,
    /// To the foreseen picture and back with fresh noise, over levels of its own.
    Lcm,
}

/// One evaluation of the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Velocity {
    /// The noise level, 1 to 0.
    pub level: f64,
    /// The user's step that it belongs to.
    pub step: usize,
}

/// A run.
pub struct Sampling<'a> {
    /// How steps are made.
    pub sampler: Sampler,
    /// Levels from the first to the last; two at least. Of those of [`Sampler::Heun`] and [`Sampler::Lcm`] the number alone counts.
    pub levels: &'a [f64],
    /// What stays of another picture.
    pub inpaint: Option<&'a Inpaint>,
    /// Of the noise that [`Sampler::Lcm`] adds.
    pub seed: u64,
    /// Sides of the latents, height and width.
    pub size: (usize, usize),
    /// Who is told of progress, and says when to stop.
    pub watcher: &'a dyn Watcher,
}

/// A change of level, and how it is made.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Move {
    from: f64,
    to: f64,
    kind: Kind,
    step: usize,
    /// Whether a user's step ends with it.
    ends: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Straight on.
    Straight,
    /// The first slope of two.
    First,
    /// The second: it is evaluated at the end, and what results goes from the beginning by the mean of both.
    Second,
    /// To the foreseen picture and back.
    Renewed,
}

/// The moves of a run of so many steps.
fn moves(sampler: Sampler, levels: &[f64]) -> Vec<Move> {
    let steps = levels.len().saturating_sub(1);
    let own: Vec<f64> = own_levels(steps);
    let straight = |levels: &[f64], kind: Kind| -> Vec<Move> {
        let pairs = levels.windows(2).enumerate();
        pairs
            .map(|(step, pair)| Move {
                from: pair[0],
                to: pair[1],
                kind,
                step,
                ends: step < steps,
            })
            .collect()
    };
    match sampler {
        Sampler::Euler => {
            let mut all = levels.to_vec();
            // The original's scheduler goes on to 0 wherever the levels end.
            if all.last().is_some_and(|last| *last > 0.0) {
                all.push(0.0);
            }
            straight(&all, Kind::Straight)
        }
        Sampler::Lcm => straight(&own, Kind::Renewed),
        Sampler::Heun => straight(&own, Kind::First)
            .into_iter()
            .flat_map(|one| {
                if one.to == 0.0 {
                    vec![Move {
                        kind: Kind::Straight,
                        ..one
                    }]
                } else {
                    let second = Move { kind: Kind::Second, ..one };
                    vec![Move { ends: false, ..one }, second]
                }
            })
            .collect(),
    }
}

/// Evenly from 1 to a thousandth, then 0.
fn own_levels(steps: usize) -> Vec<f64> {
    let last = steps.saturating_sub(1).max(1) as f64;
    let level = |i: usize| f64::from((1.0 - i as f64 * 0.999 / last) as f32);
    (0..steps).map(level).chain([0.0]).collect()
}

impl Sampling<'_> {
    /// Goes from `tokens [1, n, c]` along the slopes that `slope` predicts; returns latents `[1, c / 4, h, w]`.
    pub fn run(&self, tokens: &Tensor, slope: impl Fn(&Tensor, Velocity) -> Result<Tensor>) -> Result<Outcome> {
        let moves = moves(self.sampler, self.levels);
        let total = self.levels.len().saturating_sub(1);
        let mut now = tokens.to_dtype(DType::F32)?;
        self.tell(0, 1.0, &now, None)?;
        let mut generator = TorchGenerator::for_steps(self.seed);
        let mut first: Option<(Tensor, Tensor)> = None;
        for one in moves {
            if self.watcher.is_cancelled() {
                return Ok(Outcome::Cancelled);
            }
            let level = if one.kind == Kind::Second { one.to } else { one.from };
            let evaluated = slope(
                &now,
                Velocity {
                    level,
                    step: one.step.min(total.max(1) - 1),
                },
            );
            let change = match evaluated {
                Err(ModelError::Stopped) => return Ok(Outcome::Cancelled),
                other => other?,
            };
            let foreseen = (&now - (&change * level)?)?;
            now = match (one.kind, first.take()) {
                (Kind::First, _) => {
                    let moved = (&now + (&change * (one.to - one.from))?)?;
                    first = Some((now, change));
                    moved
                }
                (Kind::Second, Some((begin, slope))) => {
                    let mean = ((slope + change)? * 0.5)?;
                    (begin + (mean * (one.to - one.from))?)?
                }
                (Kind::Renewed, _) => {
                    let noise = randn(now.dims(), &mut generator, now.device())?;
                    ((&foreseen * (1.0 - one.to))? + (noise * one.to)?)?
                }
                (Kind::Straight | Kind::Second, _) => (now + (change * (one.to - one.from))?)?,
            };
            let mut foreseen = foreseen;
            if let Some(inpaint) = self.inpaint {
                now = inpaint.merge(&now, one.to)?;
                foreseen = inpaint.merge(&foreseen, 0.0)?;
            }
            if one.ends {
                self.tell(one.step + 1, level, &now, Some(&foreseen))?;
            }
        }
        Ok(Outcome::Done(unpack(&now, self.size)?))
    }

    fn tell(&self, step: usize, level: f64, now: &Tensor, foreseen: Option<&Tensor>) -> Result<()> {
        let latents = unpack(now, self.size)?;
        let predicted = foreseen.map(|foreseen| unpack(foreseen, self.size)).transpose()?;
        self.watcher.progressed(Progress {
            stage: Stage {
                step,
                total: self.levels.len().saturating_sub(1),
                order: 1,
                timestep: (level * 1000.0) as usize,
            },
            latents: &latents,
            predicted: predicted.as_ref(),
        });
        Ok(())
    }
}

/// How strongly each of `steps` is guided: by its own of `scales` from the step `start` to `end`, both included and counted from the end where negative; not at
/// all (1) elsewhere. Errors name the node's fields.
pub fn guidance_by_step(scales: &[f64], steps: usize, (start, end): (i64, i64)) -> Result<Vec<f64>> {
    if scales.len() != steps {
        return Err(ModelError::Input(format!(
            "cfg_scale has {} entries, expected one for each of {steps} steps",
            scales.len()
        )));
    }
    let place = |name: &str, at: i64| -> Result<usize> {
        let counted = if at < 0 { at.saturating_add(steps as i64) } else { at };
        usize::try_from(counted)
            .ok()
            .filter(|at| *at < steps)
            .ok_or_else(|| ModelError::Input(format!("Invalid {name}. Out of range: {at}.")))
    };
    let (first, last) = (place("cfg_scale_start_step", start)?, place("cfg_scale_end_step", end)?);
    if first > last {
        return Err(ModelError::Input(format!(
            "cfg_scale_start_step ({start}) must be before cfg_scale_end_step ({end})."
        )));
    }
    let guided = scales.iter().copied().enumerate();
    Ok(guided
        .map(|(i, scale)| if (first..=last).contains(&i) { scale } else { 1.0 })
        .collect())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn sampled(sampler: Sampler, levels: &[f64], slope: impl Fn(f64, Velocity) -> f64) -> (f64, Vec<Velocity>) {
        let asked = parking_lot::Mutex::new(Vec::new());
        let start = Tensor::full(1f32, (1, 1, 4), &Device::Cpu).unwrap();
        let sampling = Sampling {
            sampler,
            levels,
            inpaint: None,
            seed: 0,
            size: (2, 2),
            watcher: &(),
        };
        let outcome = sampling.run(&start, |x, at| {
            asked.lock().push(at);
            let value = x.flatten_all()?.to_vec1::<f32>()?[0];
            Ok(Tensor::full(slope(f64::from(value), at) as f32, (1, 1, 4), &Device::Cpu)?)
        });
        let Outcome::Done(latents) = outcome.unwrap() else {
            panic!("cancelled");
        };
        assert_eq!(latents.dims(), [1, 1, 2, 2]);
        let value = latents.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
        (f64::from(value), asked.into_inner())
    }

    #[test]
    fn a_straight_flow_is_followed_exactly() {
        // x(t) = 3 t - 2: the slope is 3 everywhere.
        for sampler in [Sampler::Euler, Sampler::Heun] {
            let (end, _) = sampled(sampler, &[1.0, 0.6, 0.0], |_, _| 3.0);
            assert!((end + 2.0).abs() < 1e-5, "{sampler:?}: {end}");
        }
    }

    #[test]
    fn heun_asks_twice_but_at_the_end() {
        let (end, asked) = sampled(Sampler::Heun, &[1.0, 0.5, 0.25, 0.0], |_, at| 2.0 * at.level);
        let at = |level: f64, step| Velocity {
            level: f64::from(level as f32),
            step,
        };
        assert_eq!(asked, [at(1.0, 0), at(0.5005, 0), at(0.5005, 1), at(0.001, 1), at(0.001, 2)]);
        // x = t², but for the last step.
        assert!(end.abs() < 1e-5, "{end}");
    }

    #[test]
    fn euler_goes_on_to_the_end_of_the_flow() {
        let (end, asked) = sampled(Sampler::Euler, &[1.0, 0.5, 0.2], |_, _| 1.0);
        assert!(end.abs() < 1e-6, "{end}");
        assert_eq!(
            asked.iter().map(|at| (at.level, at.step)).collect::<Vec<_>>(),
            [(1.0, 0), (0.5, 1), (0.2, 1)]
        );
        let (_, asked) = sampled(Sampler::Euler, &[1.0, 0.5, 0.0], |_, _| 1.0);
        assert_eq!(asked.len(), 2);
    }

    #[test]
    fn lcm_ends_at_what_it_foresees() {
        // The foreseen picture is 7 everywhere.
        let (end, asked) = sampled(Sampler::Lcm, &[1.0, 0.4, 0.0], |x, at| (x - 7.0) / at.level);
        assert!((end - 7.0).abs() < 1e-4, "{end}");
        assert_eq!(asked.len(), 2);
    }

    #[test]
    fn guidance_holds_from_step_to_step() {
        let of = |scale: &[f64], steps, part| guidance_by_step(scale, steps, part);
        assert_eq!(of(&[3.0; 4], 4, (0, -1)).unwrap(), [3.0; 4]);
        assert_eq!(of(&[3.0; 4], 4, (1, -2)).unwrap(), [1.0, 3.0, 3.0, 1.0]);
        assert_eq!(of(&[2.0, 3.0], 2, (0, 0)).unwrap(), [2.0, 1.0]);
        for (count, part, field) in [
            (4, (4, -1), "cfg_scale_start_step"),
            (4, (0, 4), "cfg_scale_end_step"),
            (4, (-5, -1), "cfg_scale_start_step"),
            (4, (3, 0), "must be before"),
            (2, (0, -1), "cfg_scale has 2 entries"),
            (4, (i64::MIN, -1), "cfg_scale_start_step"),
        ] {
            assert!(of(&[3.0; 4][..count], 4, part).unwrap_err().to_string().contains(field), "{field}");
        }
    }
}
