//! Whole models next to diffusers: a picture of the shipped model, from latents alone and from a prompt through the queue to the picture in
//! hand, several pictures as one batch next to one by one, and a step of a UNet of Stable Diffusion 1.5's size.
//!
//!     cargo bench -p invoke-core --bench denoise -- [--python python3] [--rounds 5] [--unet FOLDER] [--only step]
//!
//! With `--unet` the last is measured too, in single and in half floats on both sides; the folder is made with random weights (3.4 GB) if it
//! does not exist. Both sides take turns, and the results are compared.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "common/compare.rs"]
mod compare;
#[path = "common/torch.rs"]
mod torch;

use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use invoke_core::Core;
use invoke_core::authz::Actor;
use invoke_core::diffusion::Seamless;
use invoke_core::diffusion::denoise::{Guidance, Job, Plan, Prompt, UNetDenoiser, denoise};
use invoke_core::diffusion::noise::{TorchGenerator, randn};
use invoke_core::diffusion::schedulers::{SchedulerConfig, SchedulerName};
use invoke_core::diffusion::text::Conditioning;
use invoke_core::diffusion::unet::{CrossBias, StepInputs, UNet};
use invoke_core::diffusion::vae::{Vae, to_rgb};
use invoke_core::service::text_to_image::TextToImage;

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/models/invoke-tiny");

fn main() {
    compare::begin_peak();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut torch = torch::option("python").map(|python| torch::Torch::start(&python, threads));
    let rounds = torch::option("rounds").map_or(5, |n| n.parse().expect("--rounds takes a number"));
    println!("{}, {threads} threads", torch::processor());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let result = folder.path().join("result");

    if torch::option("only").as_deref() != Some("step") {
        let tiny = Tiny::open();
        let mut ours = |_: &str| {
            let start = Instant::now();
            let picture = tiny.picture().expect("the shipped model computes");
            to_rgb(&picture).expect("a picture");
            (start.elapsed().as_secs_f64(), picture)
        };
        let case = format!("tiny {TINY} {}", result.display());
        compare("256 x 256, 20 steps, guidance 5", rounds, &mut ours, torch.as_mut(), &case, &result);

        whole(rounds, torch.as_mut(), folder.path(), &result);
        together(rounds, &tiny);
    }

    if let Some(unet) = torch::option("unet") {
        if !Path::new(&unet).join("config.json").exists() {
            torch.as_mut().expect("--python makes the folder").run(&format!("make_unet {unet}"));
        }
        let (mut exact, single): (Option<Tensor>, _) = (None, folder.path().join("single"));
        for (dtype, name) in [(DType::F32, "float32"), (DType::BF16, "bfloat16")] {
            let model = UNet::open(Path::new(&unet), dtype, &Device::Cpu).expect("the UNet's folder");
            let text = compare::ramp(&[2, 77, 768]);
            let context = model.prepare(&text, CrossBias::None, None).expect("a context");
            let sample = compare::ramp(&[2, 4, 64, 64]);
            let mut ours = |_: &str| {
                let start = Instant::now();
                let noise = model
                    .forward(&sample, 500.0, &context, &StepInputs::default())
                    .expect("the UNet computes");
                (start.elapsed().as_secs_f64(), noise)
            };
            let case = format!("unet {unet} {name} {}", result.display());
            let noise = compare(
                &format!("step, 2 x 64 x 64, {name}"),
                rounds,
                &mut ours,
                torch.as_mut(),
                &case,
                &result,
            );
            match &exact {
                None => {
                    std::fs::write(&single, bytes(&noise)).expect("a temporary file");
                    exact = Some(noise);
                }
                Some(exact) => {
                    println!("  from ours in single floats: ours {:.1e}", compare::difference(&noise, &single));
                    if torch.is_some() {
                        println!("  from ours in single floats: theirs {:.1e}", compare::difference(exact, &result));
                    }
                }
            }
        }
    }
    println!(
        "peak memory: ours {:.0} MB{}",
        compare::peak() / 1e6,
        torch.map_or(String::new(), |mut t| format!(", theirs {:.0} MB", t.run("peak") / 1e6))
    );
}

/// A tensor as torch's side writes it.
fn bytes(x: &Tensor) -> Vec<u8> {
    let values: Vec<f32> = x.flatten_all().and_then(|x| x.to_vec1()).expect("single floats");
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Measures both sides in turn and prints the best of each, their ratio and the difference of the results.
fn compare(
    name: &str,
    rounds: usize,
    ours: &mut dyn FnMut(&str) -> (f64, Tensor),
    mut torch: Option<&mut torch::Torch>,
    case: &str,
    result: &Path,
) -> Tensor {
    let (mut least, mut theirs, mut last) = (f64::INFINITY, f64::INFINITY, None);
    for round in 0..=rounds {
        let (seconds, tensor) = ours(case);
        // The first round only warms up.
        least = if round == 0 { least } else { least.min(seconds) };
        last = Some(tensor);
        if let Some(torch) = torch.as_mut().filter(|_| round > 0) {
            theirs = theirs.min(torch.run(case));
        }
    }
    println!("{name}: ours {:.1} ms", least * 1e3);
    let last = last.expect("there is a first round");
    if theirs.is_finite() {
        println!(
            "{name}: theirs {:.1} ms, ratio {:.3}, relative difference {:.1e}",
            theirs * 1e3,
            least / theirs,
            compare::difference(&last, result)
        );
    }
    last
}

/// A picture from a prompt: ours enqueues a graph and counts until the picture is read back from the gallery; theirs calls diffusers' pipeline.
fn whole(rounds: usize, mut torch: Option<&mut torch::Torch>, folder: &Path, result: &Path) {
    let name = "256 x 256 from a prompt, 20 steps, enqueue to picture";
    let core = Core::open_root(folder.join("root")).expect("a fresh root");
    let actor = Actor::single_user_administrator();
    let (mut least, mut theirs, mut apart) = (f64::INFINITY, f64::INFINITY, f64::NAN);
    for round in 0..=rounds {
        // Another seed each time, or the second picture would come from the node cache.
        let request = TextToImage {
            seed: round as u32,
            ..TextToImage::new("a red circle on a blue background")
        };
        let start = Instant::now();
        let made = core.text_to_image(&actor, &request, |_, _| {}).expect("the shipped model draws");
        let seconds = start.elapsed().as_secs_f64();
        least = if round == 0 { least } else { least.min(seconds) };
        if let Some(torch) = torch.as_mut().filter(|_| round > 0) {
            theirs = theirs.min(torch.run(&format!("pipeline {TINY} {round} {}", result.display())));
            let pixels = made.pixels.to_rgb8().into_raw().into_iter().map(f32::from).collect::<Vec<_>>();
            let count = pixels.len();
            let ours = Tensor::from_vec(pixels, count, &Device::Cpu).expect("a tensor");
            apart = compare::difference(&ours, result);
        }
    }
    println!("{name}: ours {:.1} ms", least * 1e3);
    if theirs.is_finite() {
        let ratio = least / theirs;
        println!(
            "{name}: theirs {:.1} ms, ratio {ratio:.3}, relative difference {apart:.1e}",
            theirs * 1e3
        );
    }
}

/// Several pictures as one batch next to the same ones after each other: what a device gains by it.
fn together(rounds: usize, tiny: &Tiny) {
    let text = compare::ramp(&[1, 77, 768]);
    let prompt = || {
        let conditioning = Conditioning {
            embeds: text.clone(),
            sdxl: None,
        };
        vec![Prompt { conditioning, mask: None }]
    };
    let denoiser = UNetDenoiser {
        unet: &tiny.unet,
        seamless: Seamless::default(),
        free_u: None,
        hidiffusion: None,
        sequential: false,
    };
    let plan = Plan {
        scheduler: SchedulerName::Ddim,
        config: &tiny.scheduler,
        steps: 20,
        start: 0.0,
        end: 1.0,
    };
    for side in [16, 32, 64] {
        let jobs = |count: usize| -> Vec<Job<'static>> {
            let job = |seed| Job {
                latents: None,
                noise: Some(randn(&[1, 4, side, side], &mut TorchGenerator::new(seed), &Device::Cpu).expect("noise")),
                seed,
                positive: prompt(),
                negative: prompt(),
                guidance: Guidance::fixed(5.0),
                mask: None,
                controls: Vec::new(),
                adapters: Vec::new(),
                images: Vec::new(),
                watcher: &(),
            };
            (0..count as u64).map(job).collect()
        };
        let mut best = [[f64::INFINITY; 2]; 3];
        for _ in 0..=rounds {
            for (count, best) in [2, 4, 8].into_iter().zip(&mut best) {
                let jobs = jobs(count);
                let start = Instant::now();
                denoise(&denoiser, &plan, &jobs).expect("the shipped model denoises");
                best[0] = best[0].min(start.elapsed().as_secs_f64());
                let start = Instant::now();
                for job in &jobs {
                    denoise(&denoiser, &plan, std::slice::from_ref(job)).expect("the shipped model denoises");
                }
                best[1] = best[1].min(start.elapsed().as_secs_f64());
            }
        }
        for (count, [together, apart]) in [2, 4, 8].into_iter().zip(best) {
            println!(
                "{count} pictures of {0} x {0}, 20 steps: together {1:.1} ms, one by one {2:.1} ms, ratio {3:.3}",
                side * 8,
                together * 1e3,
                apart * 1e3,
                together / apart
            );
        }
    }
}

struct Tiny {
    unet: UNet,
    vae: Vae,
    scheduler: SchedulerConfig,
}

impl Tiny {
    fn open() -> Self {
        let folder = Path::new(TINY);
        let scheduler = std::fs::read_to_string(folder.join("scheduler/scheduler_config.json")).expect("the shipped model's scheduler");
        Self {
            unet: UNet::open(&folder.join("unet"), DType::F32, &Device::Cpu).expect("the shipped model's UNet"),
            vae: Vae::open(&folder.join("vae"), DType::F32, &Device::Cpu).expect("the shipped model's autoencoder"),
            scheduler: SchedulerConfig::from_json(&scheduler).expect("the shipped model's scheduler"),
        }
    }

    fn picture(&self) -> invoke_core::diffusion::Result<Tensor> {
        let mut scheduler = SchedulerName::Ddim.build(&self.scheduler, 20, 0).expect("20 steps");
        let mut generator = TorchGenerator::new(0);
        let context = self.unet.prepare(&compare::ramp(&[2, 77, 768]), CrossBias::None, None)?;
        let mut x = compare::ramp(&[1, 4, 32, 32]);
        for t in scheduler.timesteps().to_vec() {
            let noise = self
                .unet
                .forward(&Tensor::cat(&[&x, &x], 0)?, t, &context, &StepInputs::default())?;
            let (without, given) = (noise.narrow(0, 0, 1)?, noise.narrow(0, 1, 1)?);
            let guided = (&without + ((given - &without)? * 5.0)?)?;
            x = scheduler.step(&guided, t, &x, &mut generator)?.sample;
        }
        self.vae.decode(&x, Seamless::default(), None)
    }
}
