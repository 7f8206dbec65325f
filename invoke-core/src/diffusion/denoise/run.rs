//! The loop itself.

use candle_core::{DType, Tensor};

use super::Denoiser;
use super::condition::{Half, Prompt};
use super::control::{AdapterInput, At, ControlInput, Controlled, ImageInput};
use super::evaluate::{Evaluator, Part};
use super::guidance::Guidance;
use super::mask::{DenoiseMask, Masked};
use super::plan::{Course, Plan};
use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::noise::{TorchGenerator, randn};
use crate::diffusion::schedulers::Scheduler;

/// A picture to be made. Latents are `[1, channels, h, w]`; everything is moved to the device of the latents or the noise.
pub struct Job<'a> {
    /// What to begin from; zeros if there is noise.
    pub latents: Option<Tensor>,
    /// Noise to add at the beginning. Without any the latents count as noised already.
    pub noise: Option<Tensor>,
    /// Seed of the noise that steps add.
    pub seed: u64,
    /// What to show; several for parts of the picture.
    pub positive: Vec<Prompt>,
    /// What to keep away from.
    pub negative: Vec<Prompt>,
    /// How strongly.
    pub guidance: Guidance,
    /// What may change.
    pub mask: Option<DenoiseMask>,
    /// ControlNets.
    pub controls: Vec<ControlInput<'a>>,
    /// T2I-Adapters.
    pub adapters: Vec<AdapterInput>,
    /// Image prompts. A job that has any runs alone.
    pub images: Vec<ImageInput>,
    /// Who is told of progress, and says when to stop.
    pub watcher: &'a dyn Watcher,
}

/// How far a job has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Evaluations made; 0 before the first.
    pub step: usize,
    /// Evaluations to be made.
    pub total: usize,
    /// Evaluations per step of the user's.
    pub order: usize,
    /// The timestep just left; the number of training steps before the first.
    pub timestep: usize,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// How far it has got.
    pub stage: Stage,
    /// The sample, `[1, c, h, w]`.
    pub latents: &'a Tensor,
    /// The finished picture as foreseen now, if the sampler foresees one.
    pub predicted: Option<&'a Tensor>,
}

/// Follows a job.
pub trait Watcher: Sync {
    /// Asked before every evaluation.
    fn is_cancelled(&self) -> bool {
        false
    }

    /// Told after every evaluation, and once before the first.
    fn progressed(&self, _progress: Progress<'_>) {}

    /// Told when the job was stopped and others of its batch go on.
    fn left(&self) {}
}

/// Watches nothing.
impl Watcher for () {}

/// How a job ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Latents, `[1, c, h, w]` in f32.
    Done(Tensor),
    /// Its watcher stopped it.
    Cancelled,
}

/// What the checks of a job leave: latents and noise in f32 on one device.
pub(super) struct Start {
    pub(super) latents: Tensor,
    pub(super) noise: Option<Tensor>,
    pub(super) negative: Half,
    pub(super) positive: Half,
}

impl Job<'_> {
    /// Checks the job against the plan and prepares what it begins with. `part` is the size of what the denoiser sees at a time
    /// (height, width), if not the whole.
    pub(super) fn start(&self, plan: &Plan<'_>, part: Option<(usize, usize)>) -> Result<Start> {
        if let Some(problem) = self.guidance.problem(plan.steps) {
            return Err(ModelError::Input(problem));
        }
        let (latents, noise) = match (&self.latents, &self.noise) {
            (Some(latents), noise) => (latents.to_dtype(DType::F32)?, noise.clone()),
            (None, Some(noise)) => (noise.to_dtype(DType::F32)?.zeros_like()?, Some(noise.clone())),
            (None, None) => return Err(ModelError::Input("latents or noise: neither is given, expected one or both".into())),
        };
        let (b, _, h, w) = latents.dims4()?;
        let device = latents.device().clone();
        let noise = noise.map(|noise| noise.to_dtype(DType::F32)?.to_device(&device)).transpose()?;
        if b != 1 || noise.as_ref().is_some_and(|noise| noise.dims() != latents.dims()) {
            let noise = noise.as_ref().map(Tensor::dims);
            return Err(ModelError::Input(format!(
                "latents {:?} and noise {noise:?} do not fit together, expected one sample of one shape",
                latents.dims()
            )));
        }
        let size = part.unwrap_or((h, w));
        let negative = Half::join("negative_conditioning", &self.negative, size, &device)?;
        let positive = Half::join("positive_conditioning", &self.positive, size, &device)?;
        Ok(Start {
            latents,
            noise,
            negative,
            positive,
        })
    }
}

/// A job under way.
struct Active<'j, 'a> {
    place: usize,
    job: &'j Job<'a>,
    start: Start,
    latents: Tensor,
    sampler: Box<dyn Scheduler>,
    generator: TorchGenerator,
    mask: Option<(Masked, Tensor)>,
    controls: Vec<Controlled<'j>>,
}

/// Runs jobs of one shape as a batch, in the order given. An error fails all of them.
pub fn denoise<D: Denoiser>(denoiser: &D, plan: &Plan<'_>, jobs: &[Job<'_>]) -> Result<Vec<Outcome>> {
    let mut outcomes: Vec<Option<Outcome>> = jobs.iter().map(|_| None).collect();
    let mut active = Vec::new();
    let mut visits = Vec::new();
    for (place, job) in jobs.iter().enumerate() {
        let start = job.start(plan, None)?;
        let course = plan.open(job.seed)?;
        if course.first.is_none() {
            outcomes[place] = Some(Outcome::Done(start.latents));
            continue;
        }
        visits.clone_from(&course.visits);
        active.push(begin(place, job, start, course)?);
    }
    if let Some(first) = active.first()
        && let Some(other) = active.iter().find(|other| other.latents.dims() != first.latents.dims())
    {
        let (found, expected) = (other.latents.dims(), first.latents.dims());
        return Err(ModelError::Input(format!(
            "a batch holds latents of {found:?} and {expected:?}, expected one shape"
        )));
    }

    let total = visits.len();
    for one in &active {
        let (latents, sampler) = (&one.latents, &one.sampler);
        one.report(Progress {
            stage: Stage {
                step: 0,
                total,
                order: sampler.order(),
                timestep: sampler.train_timesteps(),
            },
            latents,
            predicted: None,
        });
    }
    let mut evaluator = Evaluator::new(denoiser);
    let mut stopped: Vec<&dyn Watcher> = Vec::new();
    for (step, &timestep) in visits.iter().enumerate() {
        let before = active.len();
        active.retain(|one| {
            let goes_on = !one.job.watcher.is_cancelled();
            if !goes_on {
                outcomes[one.place] = Some(Outcome::Cancelled);
                stopped.push(one.job.watcher);
            }
            goes_on
        });
        if active.is_empty() {
            break;
        }
        if active.len() != before {
            evaluator.forget();
            stopped.drain(..).for_each(Watcher::left);
        }
        advance(&mut evaluator, &mut active, At { timestep, step, total }, total)?;
    }
    for one in active {
        let latents = match &one.mask {
            Some((mask, _)) => mask.finish(&one.latents)?,
            None => one.latents,
        };
        outcomes[one.place] = Some(Outcome::Done(latents));
    }
    Ok(outcomes
        .into_iter()
        .map(|outcome| outcome.expect("every job was finished, cancelled or had nothing to do"))
        .collect())
}

fn begin<'j, 'a>(place: usize, job: &'j Job<'a>, start: Start, course: Course) -> Result<Active<'j, 'a>> {
    let Course { sampler, first, .. } = course;
    let latents = match (&start.noise, first) {
        (Some(noise), Some(first)) => sampler.add_noise(&start.latents, noise, first)?,
        _ => start.latents.clone(),
    };
    let mask = match &job.mask {
        None => None,
        Some(mask) => {
            let noise = match &start.noise {
                Some(noise) => noise.clone(),
                None => randn(start.latents.dims(), &mut TorchGenerator::new(job.seed), start.latents.device())?,
            };
            Some((Masked::new(mask, &start.latents)?, noise))
        }
    };
    let controls = job
        .controls
        .iter()
        .map(|input| Controlled::new(input, None))
        .collect::<Result<_>>()?;
    Ok(Active {
        place,
        job,
        start,
        latents,
        sampler,
        generator: TorchGenerator::for_steps(job.seed),
        mask,
        controls,
    })
}

/// One evaluation for all jobs.
fn advance<D: Denoiser>(evaluator: &mut Evaluator<'_, D>, active: &mut [Active<'_, '_>], at: At, total: usize) -> Result<()> {
    let mut parts = Vec::new();
    for one in active.iter_mut() {
        // A model trained to inpaint sees the mask and needs no help.
        let guided = one.mask.as_ref().filter(|_| !evaluator.inpaints(&one.latents));
        if let Some((mask, noise)) = guided {
            one.latents = mask.apply(&one.latents, noise, one.sampler.as_ref(), at.timestep)?;
        }
        let sample = one.sampler.scale_model_input(&one.latents, at.timestep)?;
        parts.push(Part {
            sample,
            text: [&one.start.negative, &one.start.positive],
            guidance: &one.job.guidance,
            mask: one.mask.as_ref().map(|(mask, _)| mask),
            controls: &mut one.controls,
            adapters: &one.job.adapters,
            images: &one.job.images,
        });
    }
    let outputs = evaluator.predict(&mut parts, at)?;
    drop(parts);
    for (one, output) in active.iter_mut().zip(outputs) {
        let moved = one.sampler.step(&output, at.timestep, &one.latents, &mut one.generator)?;
        one.latents = moved.sample;
        let mut predicted = moved.predicted;
        if let (Some(clean), Some((mask, noise)), Some(&last)) = (&predicted, &one.mask, one.sampler.timesteps().last()) {
            predicted = Some(mask.apply(clean, noise, one.sampler.as_ref(), last)?);
        }
        one.report(Progress {
            stage: Stage {
                step: at.step + 1,
                total,
                order: one.sampler.order(),
                timestep: at.timestep as usize,
            },
            latents: &one.latents,
            predicted: predicted.as_ref(),
        });
    }
    Ok(())
}

impl Active<'_, '_> {
    fn report(&self, progress: Progress<'_>) {
        self.job.watcher.progressed(progress);
    }
}
