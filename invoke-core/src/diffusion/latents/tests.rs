//! Against torch, recorded by `tests/numerics/record_latents.py`, and against plain arithmetic.

use candle_core::{Device, Tensor};
use serde::Deserialize;

use super::*;

const RECORDED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/numerics/latents.json"));

#[derive(Deserialize)]
struct Recording {
    input: Vec<f32>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    mode: String,
    antialias: bool,
    size: (usize, usize),
    factor: Option<f64>,
    values: Vec<f32>,
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn resizing_follows_torch() {
    let recording: Recording = serde_json::from_str(RECORDED).unwrap();
    let x = Tensor::from_vec(recording.input, (1, 2, 5, 7), &Device::Cpu).unwrap();
    for case in recording.cases {
        let mode: Interpolation = case.mode.parse().unwrap();
        let label = format!(
            "{} antialias {} to {:?}, factor {:?}",
            case.mode, case.antialias, case.size, case.factor
        );
        let y = match case.factor {
            Some(factor) => scale(&x, factor, mode, case.antialias).unwrap(),
            None => resize(&x, case.size.0, case.size.1, mode, case.antialias).unwrap(),
        };
        assert_eq!(y.dims4().unwrap(), (1, 2, case.size.0, case.size.1), "{label}");
        let worst = values(&y).iter().zip(&case.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 5e-6, "{label}: {worst}");
    }
}

#[test]
fn modes_for_other_numbers_of_axes_are_refused() {
    for mode in ["linear", "trilinear", "cubic"] {
        assert!(mode.parse::<Interpolation>().unwrap_err().starts_with("mode: "));
    }
}

#[test]
fn blending_goes_round_the_sphere() {
    let a = Tensor::new(&[[[[1f32, 0.0]]]], &Device::Cpu).unwrap();
    let b = Tensor::new(&[[[[0f32, 1.0]]]], &Device::Cpu).unwrap();
    let half = values(&blend(&a, &b, 0.5).unwrap());
    let root = 0.5f32.sqrt();
    assert!(half.iter().all(|v| (v - root).abs() < 1e-6), "{half:?}");
    // Nearly parallel tensors are mixed in a straight line.
    let c = (&a * 3.0).unwrap();
    assert_eq!(values(&blend(&a, &c, 0.25).unwrap()), [1.5, 0.0]);
    let d = Tensor::new(&[[[[1f32]]]], &Device::Cpu).unwrap();
    assert!(blend(&a, &d, 0.5).unwrap_err().to_string().contains("one size"));
}

#[test]
fn a_mask_picks_the_first() {
    let a = Tensor::full(1f32, (1, 2, 1, 2), &Device::Cpu).unwrap();
    let b = Tensor::zeros((1, 2, 1, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
    let mask = Tensor::new(&[[[[1f32, 0.25]]]], &Device::Cpu).unwrap();
    assert_eq!(values(&mix_by_mask(&a, &b, &mask).unwrap()), [1.0, 0.25, 1.0, 0.25]);
}

#[test]
fn crops_are_cut_at_the_edge() {
    let x = Tensor::arange(0f32, 12.0, &Device::Cpu).unwrap().reshape((1, 1, 3, 4)).unwrap();
    assert_eq!(values(&crop(&x, 1, 2, 2, 2).unwrap()), [6.0, 7.0, 10.0, 11.0]);
    assert_eq!(values(&crop(&x, 2, 3, 5, 5).unwrap()), [11.0]);
    assert!(crop(&x, 3, 0, 1, 1).is_err());
}
