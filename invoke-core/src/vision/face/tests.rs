//! Networks that `tests/numerics/record_faces.py` made, held to what MediaPipe's runtime gives for them, and files that nobody should open.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::network::Known;
use crate::{
    diffusion::ModelError,
    vision::network::{Runner, tflite},
};

fn go_on() -> Result<(), ModelError> {
    Ok(())
}

fn read(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/numerics/vision/faces");
    std::fs::read(folder.join(name)).unwrap()
}

/// The script's picture, each sample made a number by `number`.
fn samples(side: usize, number: impl Fn(u8) -> f32) -> Vec<f32> {
    (0..side * side * 3)
        .map(|i| {
            let (x, y, c) = (i / 3 % side, i / 3 / side, i % 3);
            number(((3 * x + 5 * y + 40 * c + x * y / 16) % 256) as u8)
        })
        .collect()
}

#[test]
fn networks_give_what_they_give_in_mediapipe() {
    let recorded = candle_core::safetensors::load_buffer(&read("faces.safetensors"), &Device::Cpu).unwrap();
    let unit = |v: u8| f32::from(v) / 255.0;
    let signed = |v: u8| f32::from(v) / 127.5 - 1.0;
    for (name, side, input, outputs) in [
        ("detector", 128, samples(128, signed), &[14336, 896][..]),
        ("mesh", 192, samples(192, unit), &[1404, 1]),
        ("attention", 192, samples(192, unit), &[1404, 160, 142, 142, 10, 10, 1]),
    ] {
        let network = tflite::read(&read(&format!("{name}.tflite")), name).unwrap();
        let found = Known::new(network, side, outputs).unwrap().run(&input, go_on).unwrap();
        for (i, numbers) in found.iter().enumerate() {
            let want: Vec<f32> = recorded[&format!("{name}.{i}")].flatten_all().unwrap().to_vec1().unwrap();
            let stride = if numbers.len() > 2000 { 7 } else { 1 };
            assert_eq!(numbers.len().div_ceil(stride), want.len(), "{name} {i}");
            let largest = want.iter().fold(0.0, |most: f32, v| most.max(v.abs()));
            for (found, want) in numbers.iter().step_by(stride).zip(&want) {
                assert!((found - want).abs() <= 1e-5 * largest, "{name} {i}: {found}, expected {want}");
            }
        }
    }
}

#[test]
fn a_network_for_something_else_is_refused() {
    let known = |side, outputs: &[usize]| Known::new(tflite::read(&read("mesh.tflite"), "mesh.tflite").unwrap(), side, outputs);
    for (side, outputs, why) in [
        (128, vec![1404, 1], "expected [1, 128, 128, 3]"),
        (192, vec![1404], "it gives 2 tensors, expected 1"),
        (192, vec![1404, 2], "[1404, 1] numbers, expected [1404, 2]"),
    ] {
        let error = known(side, &outputs).unwrap_err().to_string();
        assert!(error.contains("mesh.tflite") && error.contains(why), "{error}");
    }
    // A picture of another size is no input.
    assert!(known(192, &[1404, 1]).unwrap().run(&[0.0; 12], go_on).is_err());
}

#[test]
fn a_network_may_be_stopped_in_its_midst() {
    let network = tflite::read(&read("mesh.tflite"), "mesh.tflite").unwrap();
    let (steps, mut asked) = (network.steps.len(), 0);
    let stop = || {
        asked += 1;
        if asked > steps / 2 {
            return Err(ModelError::Input("stopped".into()));
        }
        Ok(())
    };
    let error = Known::new(network, 192, &[1404, 1]).unwrap().run(&samples(192, f32::from), stop);
    assert!(error.unwrap_err().to_string().contains("stopped"));
    assert_eq!(asked, steps / 2 + 1);
}

#[test]
fn damaged_files_are_refused_without_a_panic() {
    let mut chance = 1_u32;
    let mut below = |n: usize| {
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (chance >> 8) as usize % n
    };
    let mut refused = 0;
    for name in ["detector.tflite", "mesh.tflite", "attention.tflite"] {
        let whole = read(name);
        let sound = tflite::read(&whole, name).unwrap();
        let mut runs = 8;
        for round in 0..600 {
            let mut bad = whole.clone();
            if round % 8 == 0 {
                bad.truncate(below(whole.len()));
            }
            for _ in 0..=below(4) {
                // Tables lie at both ends; between them are weights, of which any are as good as others.
                let place = match below(3) {
                    0 => below(bad.len().clamp(1, 4096)),
                    1 => bad.len().saturating_sub(1 + below(bad.len().clamp(1, 12_000))),
                    _ => below(bad.len().max(1)),
                };
                if let Some(byte) = bad.get_mut(place) {
                    *byte = [0, 1, 0x7f, 0x80, 0xff, below(256) as u8][below(6)];
                }
            }
            let runner = tflite::read(&bad, name).and_then(|network| Runner::new(network, &Device::Cpu));
            match runner {
                Err(error) => {
                    assert!(error.to_string().contains(name), "{error}");
                    refused += 1;
                }
                Ok(runner) if runs > 0 && runner.inputs() == sound.inputs => {
                    runs -= 1;
                    let shape: Vec<usize> = sound.inputs[0].shape.iter().copied().flatten().collect();
                    let input = Tensor::full(0.5_f32, shape, &Device::Cpu).unwrap();
                    let _ = runner.run(vec![input], go_on);
                }
                Ok(_) => {}
            }
        }
    }
    assert!(refused > 300, "{refused} of 1800 files were refused");
    assert!(tflite::read(&[], "x").is_err());
    assert!(tflite::read(b"\x08\0\0\0TFL3\0\0\0\0", "x").is_err());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = tflite::open(Path::new("/nowhere/face.tflite")).unwrap_err().to_string();
    assert!(error.contains("face.tflite"), "{error}");
}
