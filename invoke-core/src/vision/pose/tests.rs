//! Held to InvokeAI's own by `tests/numerics/record_pose.py`.

use std::{collections::HashMap, path::PathBuf};

use candle_core::{DType, Device, Tensor};

use super::{detector::*, places::*, *};
use crate::vision::testing::noise;
use crate::{
    diffusion::ModelError,
    imaging::{Mode, Picture, cv},
    vision::network::{Runner, onnx},
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/numerics/vision/pose")
}

struct Recorded(HashMap<String, Tensor>);

impl Recorded {
    fn open() -> Self {
        Self(candle_core::safetensors::load(folder().join("pose.safetensors"), &Device::Cpu).unwrap())
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
        self.0[name].to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn rows<const N: usize>(&self, name: &str) -> Vec<[f64; N]> {
        self.numbers(name).as_chunks::<N>().0.to_vec()
    }

    fn picture(&self, name: &str) -> Picture {
        let rgb = image::load_from_memory(&self.0[name].to_vec1::<u8>().unwrap()).unwrap().into_rgb8();
        Picture::from_samples(Mode::Rgb, rgb.width() as usize, rgb.height() as usize, rgb.into_raw()).unwrap()
    }
}

/// The script's `thin`.
fn thin(t: &Tensor, keep: usize) -> Vec<f64> {
    let all: Vec<f32> = t.flatten_all().unwrap().to_vec1().unwrap();
    let stride = all.len().div_ceil(keep).max(1) | 1;
    all.into_iter().step_by(stride).map(f64::from).collect()
}

#[track_caller]
fn close(found: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(found.len(), want.len());
    let apart = found.iter().zip(want).map(|(a, b)| (a - b).abs());
    let worst = apart.fold(0.0, |worst: f64, v| if v.is_nan() { f64::INFINITY } else { worst.max(v) });
    assert!(worst <= tolerance, "{worst} apart");
}

fn go_on() -> Result<(), ModelError> {
    Ok(())
}

#[test]
fn what_the_networks_see_is_what_the_originals_see() {
    let recorded = Recorded::open();
    let picture = recorded.picture("picture");
    let (square, ratio) = letterbox(&picture).unwrap();
    assert_eq!(ratio, recorded.numbers("ratio")[0]);
    close(&thin(&square, 4000), &recorded.numbers("letterbox"), 0.0);
    let views = recorded.rows::<4>("views");
    let parts = recorded.numbers("parts");
    for (view, want) in views.iter().zip(parts.chunks(parts.len() / views.len())) {
        let part = View::around(*view, 288, 384).part(&picture).unwrap();
        close(&thin(&part, 2500), want, 0.0);
    }
}

#[test]
fn guesses_become_people() {
    let recorded = Recorded::open();
    let mut guesses = noise("guesses", 8400 * 85);
    for row in guesses.chunks_exact_mut(85) {
        for (i, v) in row.iter_mut().enumerate() {
            *v = *v * 0.5 + 0.5;
            *v = if i < 4 { *v * 3.0 - 1.0 } else { *v * *v };
        }
    }
    let ratio = recorded.numbers("ratio")[0];
    let found = people(&guesses, 85, ratio).unwrap();
    let want = recorded.rows::<4>("guessed");
    assert!(found.len() > want.len());
    close(found[..want.len()].as_flattened(), want.as_flattened(), 1e-4);
    guesses[2] = f32::INFINITY;
    guesses[4] = 1.0;
    guesses[5] = 1.0;
    assert!(people(&guesses, 85, ratio).is_err());
    assert_eq!(people(&vec![0.0; 8400 * 85], 85, ratio).unwrap(), Vec::<Person>::new());
}

#[test]
fn positions_become_places_in_openposes_order() {
    let recorded = Recorded::open();
    let axis = |name: &str, weight: &str, positions: usize| -> Vec<Vec<f32>> {
        let all = noise(name, 133 * positions);
        let rows = all.chunks(positions).zip(noise(weight, 133));
        rows.map(|(row, weight)| row.iter().map(|v| (v - 0.65) * weight).collect())
            .collect()
    };
    let view = View::around([0.0, 0.0, 200.0, 144.0], 288, 384);
    let (x, y) = (axis("simcc_x", "weight_x", 576), axis("simcc_y", "weight_y", 768));
    let found: Vec<Spot> = x.iter().zip(&y).map(|(x, y)| view.spot(x, y)).collect();
    let body = ordered(&found).unwrap();
    let found: Vec<f64> = body.iter().flat_map(|spot| [spot.x, spot.y, spot.score]).collect();
    close(&found, &recorded.numbers("ordered"), 1e-10);
    assert!(ordered(&body[..100]).is_err() && ordered(&[]).is_err());
}

#[test]
fn shapes_are_drawn_as_opencv_draws_them() {
    let recorded = Recorded::open();
    let outlines = recorded.rows::<2>("outlines");
    let mut left = outlines.as_slice();
    let mut degrees = -180;
    while let [[count, _], rest @ ..] = left {
        let (want, more) = rest.split_at(*count as usize);
        let found = cv::ellipse_outline((11, -7), (37, 5), degrees);
        let found: Vec<[f64; 2]> = found.iter().map(|(x, y)| [f64::from(*x), f64::from(*y)]).collect();
        assert_eq!(found, want, "{degrees}");
        (left, degrees) = (more, degrees + 45);
    }
    let mut canvas = Picture::new(Mode::Rgb, 161, 117);
    for (i, v) in noise("shapes", 240).chunks(4).enumerate() {
        let whole = |v: f32, times: f32, more: f32| (v * times + more) as i32;
        let (center, turn, size) = (
            (whole(v[0], 100.0, 80.0), whole(v[1], 80.0, 58.0)),
            whole(v[2], 400.0, 0.0),
            whole(v[3], 30.0, 30.0),
        );
        let color = [i as u8 + 1, 255 - i as u8, 2 * i as u8];
        if i % 2 == 1 {
            cv::fill_circle(&mut canvas, center, (size / 3) as u16, &color);
        } else {
            let outline = cv::ellipse_outline(center, (size, 4), turn.rem_euclid(360) - 180);
            cv::fill_convex(&mut canvas, &outline, &color);
        }
    }
    assert!(canvas == recorded.picture("shapes"));
}

#[test]
fn people_are_drawn_as_the_original_draws_them() {
    let recorded = Recorded::open();
    let mut numbers: Vec<f64> = noise("drawn", 4 * 134 * 3).into_iter().map(f64::from).collect();
    let mut walk = [90.0, 70.0];
    let steps = noise("walk", 134 * 2);
    for (i, v) in numbers.chunks_exact_mut(3).enumerate() {
        (v[0], v[1], v[2]) = (v[0] * 90.0 + 80.0, v[1] * 70.0 + 60.0, v[2] * 0.6 + 0.6);
        if i / 134 == 3 {
            (v[0], v[1]) = (v[0] / 512.0 + 70.0, v[1] / 512.0 + 70.0);
        }
        if i / 134 == 2 {
            for axis in 0..2 {
                walk[axis] += f64::from(steps[i % 134 * 2 + axis]) * 7.0;
            }
            v[..2].copy_from_slice(&walk);
        }
    }
    let spots: Vec<Spot> = numbers
        .chunks(3)
        .map(|v| Spot {
            x: v[0],
            y: v[1],
            score: v[2],
        })
        .collect();
    let bodies: Vec<Body> = spots.chunks(134).map(|body| body.try_into().unwrap()).collect();
    for (name, body, hands, face) in [
        ("body", true, false, false),
        ("hands", false, true, false),
        ("face", false, false, true),
        ("all", true, true, true),
        ("none", false, false, false),
    ] {
        let drawn = draw(161, 117, &bodies, Parts { body, hands, face });
        let want = recorded.picture(&format!("drawn_{name}"));
        let wrong = drawn.data().iter().zip(want.data()).filter(|(a, b)| a != b).count();
        assert!(drawn == want, "{name}: {wrong} samples differ");
    }
}

#[test]
fn networks_of_the_same_kinds_agree_with_onnxruntime() {
    let recorded = Recorded::open();
    let picture = recorded.picture("picture");
    let run = |file: &str, input: Tensor| {
        let runner = Runner::new(onnx::open(&folder().join(file)).unwrap(), &Device::Cpu).unwrap();
        runner.run(vec![input], go_on).unwrap()
    };
    let (square, _) = letterbox(&picture).unwrap();
    let outputs = run("people.onnx", square);
    assert_eq!(outputs[0].dims(), [1, 8400, 85]);
    close(&thin(&outputs[0], 1500), &recorded.numbers("people_out"), 1e-4);
    let person = recorded.rows::<4>("boxes")[0];
    let outputs = run("places.onnx", View::around(person, 288, 384).part(&picture).unwrap());
    for (output, name) in outputs.iter().zip(["places_x", "places_y"]) {
        close(&thin(output, 1500), &recorded.numbers(name), 1e-4);
    }
}

#[test]
fn networks_of_other_kinds_are_refused() {
    let people = || onnx::open(&folder().join("people.onnx")).unwrap();
    let error = BodyPlaces::load(people(), &Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("expected one picture of a fixed size, and two"), "{error}");
    let mut other = people();
    other.outputs.insert(0, other.steps[0].outputs[0].clone());
    let detector = PersonDetector::load(other, &Device::Cpu).unwrap();
    let picture = Picture::new(Mode::Rgb, 20, 20);
    let error = detector.people(&picture, go_on).unwrap_err().to_string();
    assert!(error.contains("expected [1, 8400, 6 or more]"), "{error}");
    let thin = Picture::new(Mode::Rgb, 1, 700);
    assert!(letterbox(&thin).unwrap_err().to_string().contains("1x700"));
}
