//! The nodes held to InvokeAI's own on MediaPipe, by `tests/numerics/record_faces.py`: with small models in place of MediaPipe's, which see three faces.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::json;

use super::*;
use crate::nodes::{
    image::{from_dynamic, into_dynamic},
    testing::{TestCx, run_in},
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/numerics/vision/faces")
        .join(name)
}

/// The script's picture.
fn picture(width: usize, height: usize) -> Picture {
    let sample = |i: usize| {
        let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
        ((3 * x + 5 * y + 40 * c + x * y / 16) % 256) as u8
    };
    Picture::from_samples(Mode::Rgb, width, height, (0..width * height * 3).map(sample).collect()).unwrap()
}

/// The sizes of the script's pictures.
const SIZES: [(usize, usize); 2] = [(320, 240), (152, 408)];

/// A context with a picture and the models.
fn context(image: Picture) -> TestCx {
    let source = |file: &str| format!("https://storage.googleapis.com/mediapipe-assets/{file}.tflite");
    let cx = TestCx {
        downloads: [
            ("face_detection_short_range", "detector"),
            ("face_landmark", "mesh"),
            ("face_landmark_with_attention", "attention"),
        ]
        .map(|(known, ours)| (source(known), fixture(&format!("{ours}.tflite"))))
        .into(),
        ..TestCx::default()
    };
    cx.images.lock().push(("in.png".into(), into_dynamic(image).into(), None));
    cx
}

fn run(cx: &TestCx, node: &str, mut inputs: Value) -> Value {
    inputs["image"] = json!({"image_name": "in.png"});
    run_in(cx, node, inputs).unwrap()
}

/// A picture that a node stored.
fn stored(cx: &TestCx, field: &Value) -> Picture {
    let name = field["image_name"].as_str().unwrap();
    let images = cx.images.lock();
    from_dynamic(&images.iter().find(|(known, ..)| known == name).unwrap().1)
}

/// Holds a picture to the script's. Points that lie on the border of two pixels may be rounded to either.
#[track_caller]
fn check(found: &Picture, name: &str, most: usize) {
    let want = from_dynamic(&image::open(fixture("out").join(format!("{name}.png"))).unwrap());
    assert_eq!((found.mode(), found.size()), (want.mode(), want.size()), "{name}");
    let other = found.data().iter().zip(want.data()).filter(|(a, b)| a != b).count();
    assert!(other <= most, "{name}: {other} of {} samples differ", want.data().len());
}

fn recorded() -> std::collections::HashMap<String, Tensor> {
    candle_core::safetensors::load(fixture("faces.safetensors"), &Device::Cpu).unwrap()
}

#[test]
fn points_lie_where_mediapipe_finds_them() {
    let recorded = recorded();
    for (width, height) in SIZES {
        let cx = context(picture(width, height));
        for (kind, attention) in [("mesh", false), ("attention", true)] {
            let finder = Finder::open(&cx, attention).unwrap();
            let faces = finder.find(&cx, &picture(width, height), 9, 0.5, 0.5).unwrap();
            assert_eq!(faces.len(), 3, "{width}x{height} {kind}");
            assert_eq!(finder.find(&cx, &picture(width, height), 2, 0.5, 0.5).unwrap(), faces[..2]);
            for (i, points) in faces.iter().enumerate() {
                let want: Vec<Vec<f32>> = recorded[&format!("{width}x{height}.{kind}.{i}")].to_vec2().unwrap();
                assert_eq!(points.len(), want.len());
                for ((x, y), want) in points.iter().zip(want) {
                    let off = ((x - want[0]) * width as f32).hypot((y - want[1]) * height as f32);
                    assert!(off < 0.01, "{width}x{height} {kind} {i}: ({x}, {y}), expected {want:?}");
                }
            }
        }
    }
}

#[test]
fn faces_are_drawn_as_the_original_draws_them() {
    for (width, height) in SIZES {
        for most in [1, 9] {
            let cx = context(picture(width, height));
            let output = run(&cx, "mediapipe_face_detection", json!({"max_faces": most}));
            assert_eq!((&output["width"], &output["height"]), (&json!(width), &json!(height)));
            check(&stored(&cx, &output["image"]), &format!("{width}x{height}.drawn{most}"), 30);
        }
    }
    // Of a face that is surer than asked for nothing remains.
    let cx = context(picture(320, 240));
    let output = run(&cx, "mediapipe_face_detection", json!({"min_confidence": 0.999}));
    assert!(stored(&cx, &output["image"]).data().iter().all(|v| *v == 0));
}

#[test]
fn faces_are_cut_out_as_the_original_cuts_them() {
    let recorded = recorded();
    for (width, height) in SIZES {
        for (case, inputs) in [
            ("plain", json!({})),
            ("shaped", json!({"face_id": 1, "x_offset": 1.5, "y_offset": -0.5, "padding": 20})),
            ("sure", json!({"minimum_confidence": 0.95})),
            ("chunked", json!({"chunk": true, "face_id": 1})),
            ("none", json!({"face_id": 9})),
        ] {
            let name = format!("{width}x{height}.{case}");
            let whole = picture(width, height);
            let cx = context(whole.clone());
            let output = run(&cx, "face_off", inputs);
            let (cut, mask) = (stored(&cx, &output["image"]), stored(&cx, &output["mask"]));
            let place = (output["x"].as_i64().unwrap(), output["y"].as_i64().unwrap());
            assert_eq!(
                (output["width"].as_u64(), output["height"].as_u64()),
                (Some(cut.width() as u64), Some(cut.height() as u64))
            );
            let sides: Vec<f32> = recorded[&name].to_vec1().unwrap();
            let Ok([left, top, right, bottom]) = <[f32; 4]>::try_from(sides).map(|sides| sides.map(|v| v as i64)) else {
                assert_eq!((cut, place), (whole, (0, 0)), "{name}");
                assert_eq!(mask, Picture::filled(Mode::L, width, height, &[255]), "{name}");
                continue;
            };
            assert_eq!(place, (left, top), "{name}");
            assert_eq!(cut, whole.crop(left, top, right, bottom).convert(Mode::Rgba), "{name}");
            check(&mask, &name, mask.data().len() / 1000);
        }
    }
}

#[test]
fn faces_are_masked_as_the_original_masks_them() {
    for (width, height) in SIZES {
        for (case, inputs) in [
            ("all", json!({})),
            ("some", json!({"face_ids": "0,7,2", "invert_mask": true})),
            ("chunks", json!({"chunk": true, "y_offset": 1.0})),
        ] {
            let cx = context(picture(width, height));
            let output = run(&cx, "face_mask_detection", inputs);
            assert_eq!(stored(&cx, &output["image"]), picture(width, height).convert(Mode::Rgba));
            check(
                &stored(&cx, &output["mask"]),
                &format!("{width}x{height}.{case}"),
                width * height / 1000,
            );
        }
        // Faces that are not there: the picture goes on as it is.
        let cx = context(picture(width, height));
        let output = run(
            &cx,
            "face_mask_detection",
            json!({"face_ids": "7,99999999999999999999999", "invert_mask": true}),
        );
        assert_eq!(stored(&cx, &output["image"]), picture(width, height));
        assert_eq!(stored(&cx, &output["mask"]), Picture::filled(Mode::L, width, height, &[255]));
    }
}

#[test]
fn pictures_of_every_kind_are_looked_at() {
    for mode in [Mode::L, Mode::La, Mode::Rgba] {
        let whole = picture(320, 240).convert(mode);
        let cx = context(whole.clone());
        let output = run(&cx, "face_off", json!({"padding": -1_000_000_000_000_i64, "face_id": 0}));
        let (x, y) = (output["x"].as_i64().unwrap(), output["y"].as_i64().unwrap());
        assert_eq!(
            stored(&cx, &output["image"]),
            whole.crop(x, y, x + 128, y + 128).convert(Mode::Rgba),
            "{mode}"
        );
    }
    // A picture with no face in it, and too small for one.
    let cx = context(Picture::new(Mode::Rgb, 1, 3));
    let output = run(&cx, "face_off", json!({"minimum_confidence": 1.0}));
    assert_eq!(
        (&output["width"], &output["height"], &output["x"]),
        (&json!(1), &json!(3), &json!(0))
    );
}

#[test]
fn what_cannot_be_done_is_said() {
    for ids in ["1,,2", "a", "1,", "-1", " 1"] {
        let inputs = json!({"image": {"image_name": "in.png"}, "face_ids": ids});
        let error = run_in(&context(picture(8, 8)), "face_mask_detection", inputs)
            .unwrap_err()
            .to_string();
        assert!(error.contains("comma-separated list of integers"), "{ids}: {error}");
    }
    let cx = TestCx::default();
    cx.images.lock().push(("in.png".into(), into_dynamic(picture(8, 8)).into(), None));
    for node in ["face_off", "face_mask_detection", "mediapipe_face_detection"] {
        let error = run_in(&cx, node, json!({"image": {"image_name": "in.png"}}))
            .unwrap_err()
            .to_string();
        assert!(error.contains("face_detection_short_range.tflite"), "{node}: {error}");
    }
    // The file of another model.
    let mut cx = context(picture(8, 8));
    cx.downloads[0].1 = fixture("mesh.tflite");
    let error = run_in(&cx, "face_off", json!({"image": {"image_name": "in.png"}}))
        .unwrap_err()
        .to_string();
    assert!(error.contains("expected [1, 128, 128, 3]"), "{error}");
}

#[test]
fn squares_overlap_by_half() {
    let chunks = |width, height| chunks(width, height).collect::<Vec<_>>();
    assert_eq!(chunks(100, 100), []);
    assert_eq!(chunks(200, 100), [(0, 0), (25, 0), (50, 0), (75, 0), (100, 0)]);
    assert_eq!(chunks(100, 150), [(0, 0), (0, 16), (0, 33), (0, 50)]);
    assert_eq!(chunks(0, 5), []);
    assert_eq!(super::chunks(usize::MAX / 4, 1).next(), Some((0, 0)));
}
