//! An autoencoder of Stable Diffusion's size next to diffusers': seconds, and the memory that the work takes beyond the weights.
//!
//!     cargo bench -p invoke-core --bench autoencoder -- [--python python3] [--rounds 1] [--size 1024] [--folder FOLDER]
//!
//! The folder is made with random weights (335 MB) if it does not exist; without `--python` it has to. Both sides take turns, decode latents of
//! the same numbers, encode the same picture, and the results are compared. Memory is read where Linux tells it.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "common/compare.rs"]
mod compare;
#[path = "common/torch.rs"]
mod torch;

use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use invoke_core::diffusion::Seamless;
use invoke_core::diffusion::vae::Vae;

fn main() {
    let number = |name: &str, default: usize| torch::option(name).map_or(default, |n| n.parse().expect("a number"));
    let (size, rounds) = (number("size", 1024), number("rounds", 1));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut theirs = torch::option("python").map(|python| torch::Torch::start(&python, threads));
    println!("{}, {threads} threads", torch::processor());
    let own = tempfile::tempdir().expect("a temporary folder");
    let folder = torch::option("folder").unwrap_or_else(|| own.path().join("vae").display().to_string());
    if !Path::new(&folder).join("config.json").exists() {
        theirs
            .as_mut()
            .expect("--python makes the folder")
            .run(&format!("make_vae {folder}"));
    }
    let vae = Vae::open(Path::new(&folder), DType::F32, &Device::Cpu).expect("the autoencoder's folder");
    let latents = compare::ramp(&[1, 4, size / 8, size / 8]);
    let picture = compare::ramp(&[1, 3, size, size]);
    let decode = || vae.decode(&latents, Seamless::default(), None).expect("latents decode");
    let encode = || vae.encode(&picture, None, None).expect("a picture encodes");
    for (name, work) in [("decode", &decode as &dyn Fn() -> Tensor), ("encode", &encode)] {
        let (mut best, mut most, mut their_best, mut their_most, mut result) = (f64::INFINITY, 0.0_f64, f64::INFINITY, 0.0_f64, None);
        let file = own.path().join("result");
        for _ in 0..=rounds {
            let before = compare::begin_peak();
            let start = Instant::now();
            result = Some(work());
            best = best.min(start.elapsed().as_secs_f64());
            most = most.max(compare::peak() - before);
            if let Some(theirs) = &mut theirs {
                their_best = their_best.min(theirs.run(&format!("vae_{name} {folder} {size} {}", file.display())));
                their_most = their_most.max(theirs.run("beyond"));
            }
        }
        println!("{name} {size} x {size}: ours {best:.2} s, {:.0} MB beyond the weights", most / 1e6);
        if their_best.is_finite() {
            println!(
                "{name} {size} x {size}: theirs {their_best:.2} s, {:.0} MB; ratio {:.3} of the time, {:.3} of the memory, relative difference {:.1e}",
                their_most / 1e6,
                best / their_best,
                most / their_most,
                compare::difference(&result.expect("there is a first round"), &file)
            );
        }
    }
}
