//! The kernels next to torch, shape by shape: those of Stable Diffusion 1.5 (batch 2, latents 64 x 64) and of the shipped model.
//!
//!     cargo bench -p invoke-kernels --bench kernels -- [--python python3] [--only conv]

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "common/torch.rs"]
mod torch;

use std::hint::black_box;
use std::time::Instant;

use half::bf16;
use invoke_kernels::{
    AttentionShape, Conv, ConvInput, Edges, Epilogue, Geometry, Isa, Mask, Matrix, Weight, attention, group_norm, layer_norm, threads,
};

const CASES: &[&str] = &[
    // rows, inputs, outputs
    "linear 8192 320 320",
    "linear 8192 1280 320",
    "linear 2048 640 640",
    "linear 512 1280 1280",
    "linear 128 1280 1280",
    "linear 128 128 128",
    "linear 32 160 160",
    "linear 2 1280 1280",
    // rows, inputs, outputs
    "geglu 8192 320 1280",
    "geglu 512 1280 5120",
    "geglu 128 128 512",
    // batch, inputs, outputs, size, kernel, stride
    "conv 2 4 320 64 3 1",
    "conv 2 320 320 64 3 1",
    "conv 2 640 320 64 3 1",
    "conv 2 640 640 32 3 1",
    "conv 2 1280 1280 16 3 1",
    "conv 2 1280 1280 8 3 1",
    "conv 2 2560 1280 8 3 1",
    "conv 2 320 320 64 3 2",
    "conv 2 320 4 64 3 1",
    "conv 1 128 128 512 3 1",
    "conv 2 32 32 32 3 1",
    "conv 2 64 64 16 3 1",
    "conv 2 128 128 8 3 1",
    "conv 2 160 160 4 3 1",
    "conv 1 16 16 256 3 1",
    // batch, queries, keys, heads, dim
    "attention 2 4096 4096 8 40",
    "attention 2 1024 1024 8 80",
    "attention 2 256 256 8 160",
    "attention 2 4096 77 8 40",
    "attention 1 4096 4096 1 512",
    "attention 2 64 64 2 64",
    "attention 2 16 77 4 40",
    // the same with half floats (torch: bfloat16)
    "half_linear 8192 320 320",
    "half_linear 8192 1280 320",
    "half_linear 2048 640 640",
    "half_linear 512 1280 1280",
    "half_linear 128 1280 1280",
    "half_geglu 8192 320 1280",
    "half_geglu 512 1280 5120",
    "half_conv 2 320 320 64 3 1",
    "half_conv 2 1280 1280 16 3 1",
    "half_conv 2 1280 1280 8 3 1",
    "half_conv 2 320 320 64 3 2",
    "half_attention 2 4096 4096 8 40",
    "half_attention 2 1024 1024 8 80",
    "half_attention 2 256 256 8 160",
    // batch, channels, pixels, groups
    "group_norm_silu 2 320 4096 32",
    "group_norm_silu 2 32 1024 8",
    "group_norm_silu 2 160 16 8",
    // rows, width
    "layer_norm 8192 320",
    "layer_norm 128 128",
];

fn main() {
    let mut torch = torch::option("python").map(|python| torch::Torch::start(&python, threads()));
    let only = torch::option("only").unwrap_or_default();
    println!("{}, {} threads, {}", torch::processor(), threads(), Isa::best().name());
    println!("{:<34} {:>10} {:>10} {:>6}   milliseconds", "", "ours", "torch", "ratio");
    for case in CASES.iter().filter(|case| case.contains(&only)) {
        let ours = run(case) * 1e3;
        match torch.as_mut().map(|torch| torch.run(case) * 1e3) {
            Some(theirs) => println!("{case:<34} {ours:>10.3} {theirs:>10.3} {:>6.2}", ours / theirs),
            None => println!("{case:<34} {ours:>10.3}"),
        }
    }
}

/// The best of several runs, in seconds.
fn best<T>(mut work: impl FnMut() -> T) -> f64 {
    black_box(work());
    let (start, mut least, mut done) = (Instant::now(), f64::INFINITY, 0);
    while done < 4 || start.elapsed().as_secs_f64() < 0.4 {
        let before = Instant::now();
        black_box(work());
        least = least.min(before.elapsed().as_secs_f64());
        done += 1;
    }
    least
}

fn noise(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 1009) as f32 / 1009.0 - 0.5).collect()
}

fn run(case: &str) -> f64 {
    let mut words = case.split(' ');
    let name = words.next().expect("a case has a name");
    let numbers: Vec<usize> = words.map(|word| word.parse().expect("cases are written in numbers")).collect();
    match name.strip_prefix("half_") {
        Some(name) => layer(name, &numbers, bf16::from_f32),
        None => layer(name, &numbers, |x| x),
    }
}

/// A layer whose weights are made by `weight`.
fn layer<W: Weight>(name: &str, numbers: &[usize], weight: impl Fn(f32) -> W) -> f64 {
    let weights = |len: usize| -> Vec<W> { noise(len).into_iter().map(&weight).collect() };
    match (name, numbers) {
        ("linear", &[rows, inputs, outputs]) => {
            let (x, matrix) = (noise(rows * inputs), Matrix::new(&weights(inputs * outputs), inputs, None));
            best(|| matrix.product(&x, None))
        }
        ("geglu", &[rows, inputs, outputs]) => {
            let (x, matrix) = (noise(rows * inputs), Matrix::gated(&weights(inputs * outputs * 2), inputs, None));
            best(|| matrix.product(&x, None))
        }
        ("conv", &[batch, inputs, outputs, size, kernel, stride]) => {
            let pixels = noise(batch * inputs * size * size);
            let geometry = Geometry {
                kernel: [kernel; 2],
                stride,
                padding: [kernel / 2; 4],
            };
            let conv = Conv::new(&weights(inputs * outputs * kernel * kernel), inputs, geometry, None);
            let input = ConvInput {
                pixels: &pixels,
                batch,
                size: [size; 2],
                doubled: false,
                edges: [Edges::Zeros; 2],
            };
            best(|| conv.forward(input, Epilogue::default()))
        }
        ("attention", &[batch, queries, keys, heads, dim]) => {
            let (q, k) = (noise(batch * queries * heads * dim), noise(batch * keys * heads * dim));
            let shape = AttentionShape {
                halves: size_of::<W>() == 2,
                ..AttentionShape::dense(batch, queries, keys, heads, dim)
            };
            best(|| attention(&q, &k, &k, shape, Mask::None))
        }
        ("group_norm_silu", &[batch, channels, pixels, groups]) => {
            let (x, w) = (noise(batch * channels * pixels), noise(channels));
            best(|| group_norm(&x, batch, groups, &w, &w, 1e-5, true))
        }
        ("layer_norm", &[rows, width]) => {
            let (x, w) = (noise(rows * width), noise(width));
            best(|| layer_norm(&x, &w, &w, 1e-5))
        }
        _ => unreachable!("a case for every kind"),
    }
}
