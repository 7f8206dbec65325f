//! Whole runs of the shipped model against pictures that InvokeAI made of it, from prompt to pixels.
//!
//! The pictures are those of the contract (`tests/contract/pictures`), whose own program asks a running server for them. Here are
//! the cases that need no picture to begin from and no add-on.

use candle_core::{DType, Device, Tensor};
use invoke_core::diffusion::Seamless;
use invoke_core::diffusion::denoise::{Denoiser, Guidance, GuidanceScale, Job, Outcome, Plan, Prompt, UNetDenoiser, denoise};
use invoke_core::diffusion::noise::latent_noise;
use invoke_core::diffusion::schedulers::{SchedulerConfig, SchedulerName};
use invoke_core::diffusion::text::compel::{Encoder, encode};
use invoke_core::diffusion::text::{ClipTextModel, Conditioning, HiddenState, Tokenizer};
use invoke_core::diffusion::unet::UNet;
use invoke_core::diffusion::vae::{Vae, to_rgb};

use super::{root, tiny};

/// What a case of the contract may set, with the contract's defaults.
struct Case {
    prompt: &'static str,
    negative: &'static str,
    regions: Vec<(&'static str, [usize; 4])>,
    size: (usize, usize),
    seed: u64,
    scheduler: &'static str,
    steps: usize,
    guidance: Guidance,
    end: f64,
    seamless: bool,
    sequential: bool,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            prompt: "a red circle on a blue background",
            negative: "",
            regions: Vec::new(),
            size: (256, 256),
            seed: 7,
            scheduler: "ddim",
            steps: 20,
            guidance: Guidance::fixed(5.0),
            end: 1.0,
            seamless: false,
            sequential: false,
        }
    }
}

/// The shipped model.
struct Model {
    tokenizer: Tokenizer,
    text: ClipTextModel,
    unet: UNet,
    vae: Vae,
    config: SchedulerConfig,
}

impl Model {
    /// With the denoiser held in a data type.
    fn open(denoiser: DType) -> Self {
        let (dtype, device) = (DType::F32, Device::Cpu);
        let config = std::fs::read_to_string(tiny("scheduler").join("scheduler_config.json")).unwrap();
        Self {
            tokenizer: Tokenizer::open(&tiny("tokenizer")).unwrap(),
            text: ClipTextModel::open(&tiny("text_encoder"), dtype, &device).unwrap(),
            unet: UNet::open(&tiny("unet"), denoiser, &device).unwrap(),
            vae: Vae::open(&tiny("vae"), dtype, &device).unwrap(),
            config: SchedulerConfig::from_json(&config).unwrap(),
        }
    }

    fn prompt(&self, text: &str, mask: Option<Tensor>) -> Prompt {
        let encoder = Encoder {
            tokenizer: &self.tokenizer,
            model: &self.text,
            state: HiddenState::Last,
            skip: 0,
            inversions: None,
        };
        Prompt {
            conditioning: Conditioning {
                embeds: encode(text, encoder).unwrap(),
                sdxl: None,
            },
            mask,
        }
    }

    fn render(&self, case: &Case) -> (usize, usize, Vec<u8>) {
        let (width, height) = case.size;
        let positive = if case.regions.is_empty() {
            vec![self.prompt(case.prompt, None)]
        } else {
            let region = |(text, [left, top, right, bottom]): &(&str, [usize; 4])| {
                let inside = |i: usize| (*left..=*right).contains(&(i % width)) && (*top..=*bottom).contains(&(i / width));
                let mask: Vec<f32> = (0..width * height).map(|i| f32::from(u8::from(inside(i)))).collect();
                self.prompt(text, Some(Tensor::from_vec(mask, (1, height, width), &Device::Cpu).unwrap()))
            };
            case.regions.iter().map(region).collect()
        };
        let job = Job {
            latents: None,
            noise: Some(latent_noise(case.seed, 4, height / 8, width / 8).unwrap()),
            seed: case.seed,
            positive,
            negative: vec![self.prompt(case.negative, None)],
            guidance: case.guidance.clone(),
            mask: None,
            controls: Vec::new(),
            adapters: Vec::new(),
            images: Vec::new(),
            watcher: &(),
        };
        let scheduler: SchedulerName = case.scheduler.parse().unwrap();
        let plan = Plan {
            scheduler,
            config: &self.config,
            steps: case.steps,
            start: 0.0,
            end: case.end,
        };
        let seamless = Seamless {
            x: case.seamless,
            y: case.seamless,
        };
        let denoiser = UNetDenoiser {
            hidiffusion: None,
            sequential: case.sequential,
            unet: &self.unet,
            seamless,
            free_u: None,
        };
        assert_eq!(denoiser.in_channels(), 4);
        let outcomes = denoise(&denoiser, &plan, &[job]).unwrap();
        let [Outcome::Done(latents)] = outcomes.as_slice() else {
            panic!("{outcomes:?}")
        };
        to_rgb(&self.vae.decode(latents, seamless, None).unwrap()).unwrap()
    }
}

/// Holds a case to the contract's picture: 40 dB and more, and 44 of single floats' 80 where the denoiser is of
/// bfloat16.
#[track_caller]
fn check(name: &str, case: &Case) {
    check_in(DType::F32, 40.0, name, case);
    check_in(DType::BF16, 44.0, name, case);
}

#[track_caller]
fn check_in(denoiser: DType, least: f64, name: &str, case: &Case) {
    let reference = image::open(root().join(format!("tests/contract/pictures/reference/{name}.png")))
        .unwrap()
        .to_rgb8();
    let (width, height, pixels) = Model::open(denoiser).render(case);
    assert_eq!((width as u32, height as u32), reference.dimensions());
    let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
    let error = pixels.iter().zip(reference.as_raw()).map(square).sum::<f64>() / pixels.len() as f64;
    let decibels = 10.0 * (255.0f64.powi(2) / error).log10();
    println!("{name}, {denoiser:?}: {decibels:.1} dB");
    assert!(decibels >= least, "{name}, {denoiser:?}: {decibels:.1} dB");
}

macro_rules! pictures {
    ($($test:ident: $name:literal { $($field:ident: $value:expr),* $(,)? })*) => {$(
        #[test]
        fn $test() {
            check($name, &Case { $($field: $value,)* ..Case::default() });
        }
    )*};
}

pictures! {
    ddim: "ddim" { seed: 7 }
    euler_a: "euler_a" { prompt: "a green ring on a purple background", seed: 3, scheduler: "euler_a", steps: 25 }
    dpmpp_3m_k: "dpmpp_3m_k" {
        prompt: "a house with a red roof", seed: 698760390, scheduler: "dpmpp_3m_k", steps: 30, guidance: Guidance::fixed(7.5)
    }
    regions: "regions" {
        seed: 28,
        regions: vec![
            ("a red circle on a white background", [0, 0, 127, 255]),
            ("a blue square on a white background", [128, 0, 255, 255]),
        ],
    }
    regions_one_row_at_a_time: "regions" {
        seed: 28,
        regions: vec![
            ("a red circle on a white background", [0, 0, 127, 255]),
            ("a blue square on a white background", [128, 0, 255, 255]),
        ],
        sequential: true,
    }
    cfg_list: "cfg list" {
        seed: 27, steps: 6, guidance: Guidance { scale: GuidanceScale::PerStep(vec![9.0, 8.0, 6.0, 4.0, 2.0, 1.0]), rescale: 0.0 }
    }
    cfg_rescale: "cfg rescale" { seed: 26, guidance: Guidance { scale: GuidanceScale::Fixed(9.0), rescale: 0.7 } }
    euler: "euler" { prompt: "a yellow star on a black background", seed: 11, scheduler: "euler" }
    dpmpp_2m: "dpmpp_2m" { prompt: "a boat with a white sail on the sea", seed: 21, scheduler: "dpmpp_2m" }
    dpmpp_2m_k: "dpmpp_2m_k" { prompt: "a boat with a white sail on the sea", seed: 21, scheduler: "dpmpp_2m_k" }
    dpmpp_2m_sde_k: "dpmpp_2m_sde_k" {
        prompt: "a pink heart on a white background", seed: 5, scheduler: "dpmpp_2m_sde_k", steps: 25
    }
    dpmpp_2s: "dpmpp_2s" { prompt: "a blue square on a yellow background", seed: 6, scheduler: "dpmpp_2s" }
    dpmpp_sde: "dpmpp_sde" { prompt: "an orange fish in the sea", seed: 8, scheduler: "dpmpp_sde", steps: 15 }
    heun: "heun" { prompt: "the moon and stars", seed: 9, scheduler: "heun", steps: 12 }
    lms: "lms" { prompt: "a pink flower on the grass", seed: 10, scheduler: "lms" }
    pndm: "pndm" { prompt: "a smiling face on a purple background", seed: 12, scheduler: "pndm" }
    unipc: "unipc" { prompt: "snowy mountains at sunset", seed: 13, scheduler: "unipc", steps: 15 }
    kdpm_2: "kdpm_2" { prompt: "a tree at night", seed: 14, scheduler: "kdpm_2", steps: 12 }
    deis: "deis" { prompt: "the sun over the sea", seed: 15, scheduler: "deis" }
    ddpm: "ddpm" { prompt: "a red square on a white background", seed: 16, scheduler: "ddpm", steps: 25 }
    lcm: "lcm" { prompt: "a red square on a white background", seed: 16, scheduler: "lcm", steps: 8, guidance: Guidance::fixed(1.5) }
    negative_prompt: "negative prompt" { prompt: "a circle", negative: "a blue background", seed: 20 }
    weights: "weights" { prompt: "a (red)1.4 circle on a (blue)0.6 background", seed: 22 }
    plus_minus: "plus minus" { prompt: "a red+++ star on a (green background)--", seed: 23 }
    blend: "blend" {
        prompt: "(\"a red circle on a white background\", \"a blue square on a white background\").blend(0.6, 0.4)", seed: 24
    }
    cfg_1: "cfg 1" { seed: 25, guidance: Guidance::fixed(1.0) }
    wide: "wide" { prompt: "mountains by the sea", size: (384, 192), seed: 30 }
    odd_multiple_of_8: "odd multiple of 8" { prompt: "a tree", size: (264, 248), seed: 31 }
    stop_early: "stop early" { end: 0.7, seed: 44 }
    seamless: "seamless" { prompt: "stars in the night sky", seed: 46, seamless: true }
}
