//! The loop with a small function in place of a model.

use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{D, Device, Tensor};

use super::*;
use crate::diffusion::noise::latent_noise;
use crate::diffusion::schedulers::{SchedulerConfig, SchedulerName};
use crate::diffusion::text::Conditioning;

/// Predicts a mixture of the sample and a number that the text stands for, and counts rows.
#[derive(Default)]
struct Toy {
    rows: AtomicUsize,
    prepared: AtomicUsize,
}

impl Denoiser for Toy {
    type Context = Tensor;

    fn in_channels(&self) -> usize {
        4
    }

    fn prepare(&self, text: &TextBatch, _: &[ImagePrompt]) -> Result<Tensor> {
        self.prepared.fetch_add(1, Ordering::Relaxed);
        let sum = text.embeds.sum_keepdim((1, 2))?;
        Ok(sum.unsqueeze(D::Minus1)?)
    }

    fn predict(&self, sample: &Tensor, timestep: f64, context: &Tensor, _: StepInputs<'_>) -> Result<Tensor> {
        self.rows.fetch_add(sample.dim(0)?, Ordering::Relaxed);
        Ok((sample * 0.3)?.broadcast_add(context)?.affine(1.0, timestep / 2000.0)?)
    }
}

fn config() -> SchedulerConfig {
    let json = r#"{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1, "clip_sample": false,
                   "set_alpha_to_one": false, "timestep_spacing": "leading"}"#;
    SchedulerConfig::from_json(json).unwrap()
}

fn prompt(value: f32, tokens: usize) -> Vec<Prompt> {
    let embeds = Tensor::full(value / tokens as f32, (1, tokens, 1), &Device::Cpu).unwrap();
    vec![Prompt {
        conditioning: Conditioning { embeds, sdxl: None },
        mask: None,
    }]
}

fn job(seed: u64, scale: f64, watcher: &dyn Watcher) -> Job<'_> {
    Job {
        latents: None,
        noise: Some(latent_noise(seed, 4, 6, 4).unwrap()),
        seed,
        positive: prompt(0.01 * seed as f32, 77),
        negative: prompt(-0.02, 77),
        guidance: Guidance::fixed(scale),
        mask: None,
        controls: Vec::new(),
        adapters: Vec::new(),
        images: Vec::new(),
        watcher,
    }
}

fn done(outcome: &Outcome) -> Vec<f32> {
    match outcome {
        Outcome::Done(latents) => latents.flatten_all().unwrap().to_vec1().unwrap(),
        Outcome::Cancelled => panic!("the job was cancelled"),
    }
}

fn close(a: &[f32], b: &[f32]) {
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(a.len() == b.len() && worst < 1e-5, "{worst}");
}

/// Stops a job after some evaluations.
struct StopAfter(usize, AtomicUsize);

impl Watcher for StopAfter {
    fn is_cancelled(&self) -> bool {
        self.1.load(Ordering::Relaxed) > self.0
    }

    fn progressed(&self, progress: Progress<'_>) {
        assert_eq!(progress.stage.step, self.1.fetch_add(1, Ordering::Relaxed));
    }
}

#[test]
fn company_changes_nothing() {
    let config = config();
    for scheduler in [
        SchedulerName::Dpmpp3mK,
        SchedulerName::EulerA,
        SchedulerName::DpmppSde,
        SchedulerName::Heun,
    ] {
        let plan = Plan {
            scheduler,
            config: &config,
            steps: 8,
            start: 0.0,
            end: 1.0,
        };
        let toy = Toy::default();
        let alone: Vec<Vec<f32>> = (1..4)
            .map(|seed| done(&denoise(&toy, &plan, &[job(seed, 5.0, &())]).unwrap()[0]))
            .collect();
        let stop = StopAfter(3, AtomicUsize::new(0));
        let together = denoise(&toy, &plan, &[job(1, 5.0, &()), job(2, 5.0, &stop), job(3, 5.0, &())]).unwrap();
        close(&done(&together[0]), &alone[0]);
        assert!(matches!(together[1], Outcome::Cancelled));
        close(&done(&together[2]), &alone[2]);
        assert_ne!(alone[0], alone[1]);
    }
}

#[test]
fn a_cancelled_job_stops_at_the_next_step() {
    let (toy, config) = (Toy::default(), config());
    let plan = Plan {
        scheduler: SchedulerName::Ddim,
        config: &config,
        steps: 20,
        start: 0.0,
        end: 1.0,
    };
    let stop = StopAfter(4, AtomicUsize::new(0));
    let outcomes = denoise(&toy, &plan, &[job(1, 5.0, &stop)]).unwrap();
    assert!(matches!(outcomes[0], Outcome::Cancelled));
    assert_eq!(toy.rows.load(Ordering::Relaxed), 8);
    assert_eq!(toy.prepared.load(Ordering::Relaxed), 1);
}

#[test]
fn without_guidance_only_one_half_is_evaluated() {
    let (toy, config) = (Toy::default(), config());
    let plan = Plan {
        scheduler: SchedulerName::Ddim,
        config: &config,
        steps: 5,
        start: 0.0,
        end: 1.0,
    };
    let one = done(&denoise(&toy, &plan, &[job(1, 1.0, &())]).unwrap()[0]);
    assert_eq!(toy.rows.load(Ordering::Relaxed), 5);
    let almost = done(&denoise(&toy, &plan, &[job(1, 1.000_000_1, &())]).unwrap()[0]);
    assert_eq!(toy.rows.load(Ordering::Relaxed), 15);
    close(&one, &almost);
}

#[test]
fn a_scale_for_each_step() {
    let (toy, config) = (Toy::default(), config());
    let plan = Plan {
        scheduler: SchedulerName::Ddim,
        config: &config,
        steps: 4,
        start: 0.0,
        end: 1.0,
    };
    let with = |scale: GuidanceScale| {
        let mut job = job(1, 1.0, &());
        job.guidance.scale = scale;
        denoise(&toy, &plan, &[job]).map(|outcomes| done(&outcomes[0]))
    };
    close(
        &with(GuidanceScale::PerStep(vec![3.0; 4])).unwrap(),
        &with(GuidanceScale::Fixed(3.0)).unwrap(),
    );
    let wrong = with(GuidanceScale::PerStep(vec![3.0; 3])).unwrap_err().to_string();
    assert_eq!(wrong, "cfg_scale: 3 values, expected one for each of the 4 steps");
    assert!(
        with(GuidanceScale::Fixed(0.5))
            .unwrap_err()
            .to_string()
            .contains("expected 1 or more")
    );
}

#[test]
fn rescaling_draws_the_contrast_back() {
    let positive = (Tensor::arange(0f32, 16.0, &Device::Cpu).unwrap() / 64.0)
        .unwrap()
        .reshape((1, 4, 2, 2))
        .unwrap();
    let negative = (&positive * 0.1).unwrap();
    // Guided is 8.2 times the positive prediction; half way back to the same contrast is 4.6 times.
    let guidance = Guidance {
        scale: GuidanceScale::Fixed(9.0),
        rescale: 0.5,
    };
    let guided = guidance.combine(&negative, &positive, 0).unwrap();
    let expected = (positive * 4.6).unwrap();
    close(
        &guided.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        &expected.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
    );
}

#[test]
fn what_a_mask_keeps_comes_back() {
    let (toy, config) = (Toy::default(), config());
    let plan = Plan {
        scheduler: SchedulerName::Euler,
        config: &config,
        steps: 8,
        start: 0.3,
        end: 1.0,
    };
    let original = Tensor::full(0.5f32, (1, 4, 6, 4), &Device::Cpu).unwrap();
    // Left half kept, at the pixels' size.
    let keep: Vec<f32> = (0..48 * 32).map(|i| if i % 32 < 16 { 1.0 } else { 0.0 }).collect();
    let keep = Tensor::from_vec(keep, (1, 1, 48, 32), &Device::Cpu).unwrap();
    for gradient in [false, true] {
        let mut job = job(5, 4.0, &());
        job.latents = Some(original.clone());
        job.mask = Some(DenoiseMask {
            mask: keep.clone(),
            gradient,
            masked_latents: None,
        });
        let out = done(&denoise(&toy, &plan, &[job]).unwrap()[0]);
        for (i, value) in out.iter().enumerate() {
            let kept = i % 4 < 2;
            assert_eq!((value - 0.5).abs() < 1e-6, kept, "gradient {gradient}, column {}: {value}", i % 4);
        }
    }
}

#[test]
fn nothing_to_do_returns_what_was_given() {
    let (toy, config) = (Toy::default(), config());
    let plan = Plan {
        scheduler: SchedulerName::Ddim,
        config: &config,
        steps: 5,
        start: 1.0,
        end: 1.0,
    };
    let mut job = job(1, 5.0, &());
    job.latents = Some(Tensor::full(0.25f32, (1, 4, 6, 4), &Device::Cpu).unwrap());
    assert!(
        done(&denoise(&toy, &plan, &[job]).unwrap()[0])
            .iter()
            .all(|v| (v - 0.25).abs() < 1e-7)
    );
}

#[test]
fn unfit_jobs_are_refused_by_name() {
    let (toy, config) = (Toy::default(), config());
    let plan = Plan {
        scheduler: SchedulerName::Ddim,
        config: &config,
        steps: 5,
        start: 0.0,
        end: 1.0,
    };
    let refused = |change: &dyn Fn(&mut Job<'_>)| {
        let mut job = job(1, 5.0, &());
        change(&mut job);
        denoise(&toy, &plan, &[job]).unwrap_err().to_string()
    };
    assert!(refused(&|job| job.noise = None).starts_with("latents or noise"));
    assert!(refused(&|job| job.positive.clear()).starts_with("positive_conditioning"));
    assert!(refused(&|job| job.latents = Some(latent_noise(1, 4, 8, 8).unwrap())).contains("do not fit together"));
    let late = Plan { end: 1.5, ..plan };
    assert!(
        denoise(&toy, &late, &[job(1, 5.0, &())])
            .unwrap_err()
            .to_string()
            .starts_with("denoising_end")
    );
}

#[test]
fn texts_of_different_length_are_filled_up_unseen() {
    let (toy, config) = (Toy::default(), config());
    let plan = Plan {
        scheduler: SchedulerName::Ddim,
        config: &config,
        steps: 5,
        start: 0.0,
        end: 1.0,
    };
    let mut long = job(1, 5.0, &());
    long.positive = prompt(0.01, 154);
    close(
        &done(&denoise(&toy, &plan, &[long]).unwrap()[0]),
        &done(&denoise(&toy, &plan, &[job(1, 5.0, &())]).unwrap()[0]),
    );
}

#[test]
fn tiles_cover_the_whole_evenly() {
    let tiles = tiles_with_overlap(48, 64, (32, 32), 8).unwrap();
    let corners: Vec<(usize, usize)> = tiles.iter().map(|tile| (tile.top, tile.left)).collect();
    assert_eq!(corners, [(0, 0), (0, 16), (0, 32), (16, 0), (16, 16), (16, 32)]);
    assert_eq!(tiles[1].overlap, [0, 16, 16, 16]);
    assert_eq!(tiles[5].overlap, [16, 0, 16, 0]);
    let whole = tiles_with_overlap(8, 8, (32, 32), 4).unwrap();
    assert_eq!(
        whole,
        [Tile {
            top: 0,
            left: 0,
            height: 8,
            width: 8,
            overlap: [0; 4]
        }]
    );
    assert!(
        tiles_with_overlap(64, 64, (16, 16), 16)
            .unwrap_err()
            .to_string()
            .starts_with("tile_overlap")
    );
}

#[test]
fn tiles_of_a_pixelwise_model_make_the_same_picture() {
    let (toy, config) = (Toy::default(), config());
    let plan = Plan {
        scheduler: SchedulerName::Dpmpp2mK,
        config: &config,
        steps: 6,
        start: 0.2,
        end: 1.0,
    };
    let big = |seed| {
        let mut job = job(seed, 3.0, &());
        job.noise = Some(latent_noise(seed, 4, 12, 20).unwrap());
        job
    };
    let tiles = tiles_with_overlap(12, 20, (8, 8), 3).unwrap();
    let tiled = denoise_tiled(&toy, &plan, &big(3), &tiles).unwrap();
    close(&done(&tiled), &done(&denoise(&toy, &plan, &[big(3)]).unwrap()[0]));
}
