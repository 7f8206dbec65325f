//! Holds `imaging` to what Pillow and OpenCV computed; `record.py` beside this file says how the recordings were made.
#![expect(clippy::unwrap_used, reason = "a broken recording fails the test")]

use std::{fs, path::PathBuf};

use invoke_core::{
    imaging::{LabPrecision, Mode, Picture, Resample, adjust, alpha_composite, box_blur, chops, cv, gaussian_blur, paste, resize, smooth},
    numeric_rng::{DefaultRng, RandomState},
};
use serde_json::Value;

fn mode_of(name: &str) -> Mode {
    use Mode::{Cmyk, Hsv, L, La, Lab, Rgb, Rgba, YCbCr};
    [L, La, Rgb, Rgba, Cmyk, YCbCr, Lab, Hsv]
        .into_iter()
        .find(|m| m.name() == name)
        .unwrap()
}

fn load(entry: &Value) -> Picture {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/imaging/fixtures")).join(entry["file"].as_str().unwrap());
    let image = image::load_from_memory(&fs::read(path).unwrap()).unwrap();
    let (width, height) = (image.width() as usize, image.height() as usize);
    let mode = mode_of(entry["mode"].as_str().unwrap());
    Picture::from_samples(mode, width, height, image.into_bytes()).unwrap()
}

/// The same samples as another mode of as many bands.
fn read_as(picture: &Picture, mode: Mode) -> Picture {
    Picture::from_samples(mode, picture.width(), picture.height(), picture.data().to_vec()).unwrap()
}

fn compute(op: &str, input: &[Picture], args: &Value) -> Picture {
    let number = |name: &str| args[name].as_f64().unwrap();
    let real = |name: &str| number(name) as f32;
    let pair = |name: &str| (args[name][0].as_i64().unwrap(), args[name][1].as_i64().unwrap());
    let size = || {
        let (w, h) = pair("size");
        (w as usize, h as usize)
    };
    let mode = || mode_of(args["mode"].as_str().unwrap());
    let which = || {
        if args["which"] == "max" {
            cv::Extreme::Max
        } else {
            cv::Extreme::Min
        }
    };
    let first = &input[0];
    match op {
        "convert" => first.convert(mode()),
        "convert_from" => read_as(first, mode()).convert(Mode::Rgb),
        "convert_high" => first.convert_with(mode(), LabPrecision::High),
        "convert_high_from" => read_as(first, mode()).convert_with(Mode::Rgb, LabPrecision::High),
        "resize" => {
            let filter = match args["filter"].as_str().unwrap() {
                "nearest" => Resample::Nearest,
                "box" => Resample::Box,
                "bilinear" => Resample::Bilinear,
                "hamming" => Resample::Hamming,
                "bicubic" => Resample::Bicubic,
                _ => Resample::Lanczos,
            };
            resize(first, size().0, size().1, filter)
        }
        "gaussian_blur" => gaussian_blur(first, real("radius")),
        "box_blur" => box_blur(first, real("radius")),
        "smooth" => smooth(first),
        "multiply" => chops::multiply(first, &input[1]).unwrap(),
        "invert" => chops::invert(first),
        "blend" => chops::blend(first, &input[1], real("factor")).unwrap(),
        "enhance" => match args["kind"].as_str().unwrap() {
            "Color" => adjust::color(first, real("factor")),
            "Contrast" => adjust::contrast(first, real("factor")),
            "Brightness" => adjust::brightness(first, real("factor")),
            _ => adjust::sharpness(first, real("factor")),
        },
        "alpha_composite" => alpha_composite(first, &input[1]).unwrap(),
        "paste" => {
            let mut out = first.clone();
            paste(&mut out, &input[1], pair("at").0, pair("at").1, input.get(2)).unwrap();
            out
        }
        "crop" => {
            let at = |i: usize| args["box"][i].as_i64().unwrap();
            first.crop(at(0), at(1), at(2), at(3))
        }
        "canny" => cv::canny(first, number("low") as i32, number("high") as i32),
        "cv_nearest" => cv::resize_nearest(first, size().0, size().1),
        "cv_cubic" => cv::resize_cubic(first, size().0, size().1),
        "cv_area" => cv::resize_area(first, size().0, size().1),
        "cv_square" => cv::square(first, number("side") as usize, number("iterations") as usize, which()),
        "cv_ellipse" => cv::ellipse(first, pair("radius").0 as usize, pair("radius").1 as usize, which()),
        "cv_distance" | "cv_distance_inverted" => {
            let picture = if op == "cv_distance" { first.clone() } else { chops::invert(first) };
            let data = cv::distance_to_black(&picture)
                .into_iter()
                .map(|d| (f64::from(d) * number("factor")) as u8)
                .collect();
            Picture::from_samples(Mode::L, first.width(), first.height(), data).unwrap()
        }
        "cv_inpaint" => cv::inpaint_telea(first, &input[1], 3).unwrap(),
        "cv_to_yuv" | "cv_from_yuv" => {
            let f = if op == "cv_to_yuv" { cv::yuv::from_rgb } else { cv::yuv::to_rgb };
            let data = first.data().chunks_exact(3).flat_map(|p| f([p[0], p[1], p[2]])).collect();
            Picture::from_samples(Mode::Rgb, first.width(), first.height(), data).unwrap()
        }
        other => panic!("no such operation: {other}"),
    }
}

#[test]
fn pictures_equal_the_recorded_ones() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("fixtures/cases.json")).unwrap();
    assert!(cases.len() > 100, "the recordings are there");
    let mut wrong = Vec::new();
    for case in &cases {
        let input: Vec<Picture> = case["in"].as_array().unwrap().iter().map(load).collect();
        let want = load(&case["out"]);
        let got = compute(case["op"].as_str().unwrap(), &input, &case["args"]);
        if (got.mode(), got.size()) != (want.mode(), want.size()) {
            wrong.push(format!("{}: {got:?} instead of {want:?}", case["name"]));
            continue;
        }
        let off: Vec<u8> = got.data().iter().zip(want.data()).map(|(a, b)| a.abs_diff(*b)).collect();
        let largest = u64::from(off.iter().copied().max().unwrap_or(0));
        if largest > case["tolerance"].as_u64().unwrap() {
            let count = off.iter().filter(|d| **d > 0).count();
            wrong.push(format!(
                "{} {}: off by up to {largest} in {count} of {} samples",
                case["name"],
                case["args"],
                off.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn generators_draw_numpys_numbers() {
    let mut pcg = DefaultRng::new(7);
    let small: Vec<i64> = (0..10).map(|_| pcg.integer(0, 13).unwrap()).collect();
    assert_eq!(small, [12, 8, 8, 11, 7, 10, 10, 2, 0, 3]);
    let large: Vec<i64> = (0..3).map(|_| pcg.integer(-5, 1_000_000_000_000).unwrap()).collect();
    assert_eq!(large, [873_553_445_395, 5_265_304_560, 821_228_418_381]);
    let mut pcg = DefaultRng::new(u64::from(u32::MAX));
    let wide: Vec<i64> = (0..4).map(|_| pcg.integer(0, 2_147_483_647).unwrap()).collect();
    assert_eq!(wide, [409_763_535, 541_044_692, 1_555_309_568, 470_440_214]);

    let mut legacy = RandomState::from_sequence(5);
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    for want in [-0.34301050157138524, -2.0993811667831506, -0.16676971232042534, 1.0995646460988258] {
        close(legacy.normal(), want);
    }
    for want in [0.34290969230076174, 0.10828728399347476, 0.1442758851900109] {
        close(legacy.random(), want);
    }
    let mut legacy = RandomState::from_sequence(123_456_789);
    let last = (0..1000).map(|_| legacy.random()).last().unwrap();
    close(last, 0.4893842424132931);
}
