//! Networks that `tests/numerics/record_faces.py` made, held to what MediaPipe's runtime gives for them, and files that nobody should open.

use super::*;

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
    let recorded = candle_core::safetensors::load_buffer(&read("faces.safetensors"), &candle_core::Device::Cpu).unwrap();
    let unit = |v: u8| f32::from(v) / 255.0;
    let signed = |v: u8| f32::from(v) / 127.5 - 1.0;
    for (name, input, outputs) in [
        ("detector", samples(128, signed), 2),
        ("mesh", samples(192, unit), 2),
        ("attention", samples(192, unit), 7),
    ] {
        let network = Network::parse(&read(&format!("{name}.tflite")), name).unwrap();
        let found = network.run(&input).unwrap();
        assert_eq!(found.len(), outputs, "{name}");
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
    let parse = || Network::parse(&read("mesh.tflite"), "mesh.tflite").unwrap();
    assert!(parse().expect(192, &[1404, 1]).is_ok());
    for (side, outputs, why) in [
        (128, vec![1404, 1], "expected [1, 128, 128, 3]"),
        (192, vec![1404], "it gives 2 tensors, expected 1"),
        (192, vec![1404, 2], "[1404, 1] numbers, expected [1404, 2]"),
    ] {
        let error = parse().expect(side, &outputs).unwrap_err().to_string();
        assert!(error.contains("mesh.tflite") && error.contains(why), "{error}");
    }
    // A picture of another size is no input.
    assert!(parse().run(&[0.0; 12]).is_err());
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
        let sound = Network::parse(&whole, name).unwrap();
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
            match Network::parse(&bad, name) {
                Err(error) => {
                    assert!(error.to_string().contains(name), "{error}");
                    refused += 1;
                }
                Ok(network) if runs > 0 && network.input_shape == sound.input_shape => {
                    runs -= 1;
                    let _ = network.run(&vec![0.5; network.input_shape.iter().product()]);
                }
                Ok(_) => {}
            }
        }
    }
    assert!(refused > 300, "{refused} of 1800 files were refused");
    assert!(Network::parse(&[], "x").is_err());
    assert!(Network::parse(b"\x08\0\0\0TFL3\0\0\0\0", "x").is_err());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Network::open(Path::new("/nowhere/face.tflite")).unwrap_err().to_string();
    assert!(error.contains("face.tflite"), "{error}");
}

#[test]
fn what_needs_too_much_memory_is_refused_before_it_is_taken() {
    use crate::diffusion::ops::{Conv2d, ConvConfig, Depthwise};
    let zeros = |shape: [usize; 4]| Tensor::zeros(&shape, candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    let after = layers::After::Nothing;
    // A pixel of many channels, and kernels far larger than it.
    let config = ConvConfig {
        stride: 1,
        padding: [0; 4],
    };
    let conv = Layer::Conv {
        same: true,
        conv: Conv2d::new(zeros([1, 1, 32, 32]), None, config).unwrap(),
        kernel: [32, 32],
        stride: 1,
        after,
    };
    let depthwise = Layer::Depthwise {
        same: true,
        conv: Depthwise::new(&zeros([1, 1, 31, 31]), None, 1).unwrap(),
        kernel: 31,
        stride: 1,
        after,
    };
    for layer in [conv, depthwise] {
        let error = layer.forward(&[zeros([1, 1 << 13, 1, 1])]).unwrap_err().to_string();
        assert!(error.contains("more than 4194304 numbers"), "{error}");
    }
    // Tensors that are all kept, and such of which only the last is.
    let run = |outputs: &[usize]| {
        let step = |i| Step {
            layer: Layer::Activation(after),
            inputs: vec![i],
            output: i + 1,
            done: Vec::new(),
        };
        let mut steps: Vec<Step> = (0..17).map(step).collect();
        find_done(&mut steps, outputs);
        let network = Network {
            steps,
            constants: vec![None; 18],
            input: 0,
            input_shape: vec![1, 2048, 2048, 1],
            outputs: outputs.to_vec(),
            file: "large.tflite".to_owned(),
            bytes: 0,
        };
        network.run(&vec![0.0; 1 << 22])
    };
    assert_eq!(run(&[17]).unwrap()[0].len(), 1 << 22);
    let error = run(&(1..18).collect::<Vec<_>>()).unwrap_err().to_string();
    assert!(error.contains("large.tflite") && error.contains("numbers at a time"), "{error}");
}
