//! Holds the nodes to what InvokeAI 6.14.2 computed; `tests/imaging/record_nodes.py` says how the recordings were made.

use std::{collections::HashMap, fs, path::PathBuf, sync::Arc};

use serde_json::{Value, json};

use super::{from_dynamic, into_dynamic};
use crate::{
    imaging::{Mode, Picture},
    nodes::{
        NodeError,
        testing::{TestCx, run_in},
    },
};

fn recorded(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/imaging/nodes"));
    fs::read(folder.join(name)).unwrap()
}

fn picture(name: &str) -> Arc<image::DynamicImage> {
    Arc::new(image::load_from_memory(&recorded(&format!("{name}.png"))).unwrap())
}

/// All names of pictures in a value.
fn names(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(name)) = map.get("image_name") {
                found.push(name.clone());
            }
            map.values().for_each(|v| names(v, found));
        }
        Value::Array(list) => list.iter().for_each(|v| names(v, found)),
        _ => {}
    }
}

/// A context that knows these pictures.
fn context(fields: &Value) -> TestCx {
    let cx = TestCx::default();
    let mut wanted = Vec::new();
    names(fields, &mut wanted);
    for name in wanted {
        cx.images.lock().push((name.clone(), picture(&name), None));
    }
    cx
}

fn result(cx: &TestCx, output: &Value) -> Picture {
    let name = output["image"]["image_name"].as_str().unwrap();
    let images = cx.images.lock();
    let (_, pixels, _) = images.iter().find(|(known, ..)| known == name).unwrap();
    assert_eq!(
        (output["width"].as_u64(), output["height"].as_u64()),
        (Some(u64::from(pixels.width())), Some(u64::from(pixels.height())))
    );
    from_dynamic(pixels)
}

/// Says what is wrong with a result, if anything.
fn compare(case: &Value, sheets: &mut HashMap<String, Picture>) -> Option<String> {
    let (node, fields) = (case["type"].as_str().unwrap(), &case["fields"]);
    let cx = context(fields);
    let ran = run_in(&cx, node, fields.clone());
    if case["error"].is_string() {
        return ran
            .ok()
            .map(|output| format!("returned {output} where {} was raised", case["error"]));
    }
    if !case["output"].is_null() {
        let mut want = case["output"].clone();
        want.as_object_mut().unwrap().remove("output_meta");
        return match ran {
            Ok(got) if got == want => None,
            other => Some(format!("{other:?} instead of {want}")),
        };
    }
    let out = &case["out"];
    let mode = out["mode"].as_str().unwrap();
    if !["L", "LA", "RGB", "RGBA"].contains(&mode) {
        // Such a picture was computed but cannot be stored.
        return ran.ok().map(|output| format!("stored a {mode} picture: {output}"));
    }
    let output = match ran {
        Ok(output) => output,
        Err(error) => return Some(error.to_string()),
    };
    let got = result(&cx, &output);
    let sheet = sheets
        .entry(mode.to_owned())
        .or_insert_with(|| from_dynamic(&picture(&format!("results_{mode}"))));
    let number = |key: &str| out[key].as_i64().unwrap();
    let want = sheet.crop(0, number("top"), number("width"), number("top") + number("height"));
    if (got.mode(), got.size()) != (want.mode(), want.size()) {
        return Some(format!("{got:?} instead of {want:?}"));
    }
    let tolerance = case["tolerance"].as_u64().unwrap() as u8;
    let off: Vec<u8> = got.data().iter().zip(want.data()).map(|(a, b)| a.abs_diff(*b)).collect();
    let within = off.iter().filter(|d| **d <= tolerance).count() as f64 / off.len() as f64;
    let largest = off.iter().max().unwrap();
    (within < case["share"].as_f64().unwrap()).then(|| format!("{:.1} % within {tolerance}, largest difference {largest}", within * 100.0))
}

#[test]
fn nodes_compute_what_was_recorded() {
    let cases: Vec<Value> = serde_json::from_slice(&recorded("cases.json")).unwrap();
    assert!(cases.len() > 500, "the recordings are there");
    let mut sheets = HashMap::new();
    let mut wrong = Vec::new();
    for case in &cases {
        if let Some(what) = compare(case, &mut sheets) {
            wrong.push(format!("{} {}: {what}", case["type"], case["fields"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn a_picture_without_opacity_is_passed_by_infills() {
    let fields = json!({"image": {"image_name": "a"}});
    let cx = context(&fields);
    let output = run_in(&cx, "infill_tile", fields).unwrap();
    assert_eq!(output["image"]["image_name"], "a");
    assert_eq!(cx.images.lock().len(), 1, "nothing was stored");
}

#[test]
fn a_picture_is_shuffled_within_its_colours() {
    let fields = json!({"image": {"image_name": "few"}, "scale_factor": 5});
    let cx = context(&fields);
    let output = run_in(&cx, "content_shuffle", fields).unwrap();
    let out = result(&cx, &output);
    assert_eq!((out.mode(), out.size()), (Mode::Rgb, (28, 24)));
}

#[test]
fn sizes_are_bounded() {
    let fields = json!({"image": {"image_name": "a"}, "width": 1_i64 << 40, "height": 1_i64 << 40});
    for node in ["img_resize", "img_crop", "heuristic_resize"] {
        let error = run_in(&context(&fields), node, fields.clone()).unwrap_err();
        assert!(matches!(error, NodeError::Failed { .. }), "{node}: {error}");
    }
    let fields = json!({"image": {"image_name": "a"}, "left": i64::MAX, "right": i64::MAX});
    run_in(&context(&fields), "img_pad_crop", fields).unwrap_err();
    let fields = json!({"image": {"image_name": "a"}, "x": i64::MIN, "y": i64::MAX, "width": 4, "height": 4});
    let cx = context(&fields);
    let output = run_in(&cx, "img_crop", fields).unwrap();
    assert!(result(&cx, &output).data().iter().all(|v| *v == 0));
}

#[test]
fn masks_are_stored_as_masks() {
    let fields = json!({"image": {"image_name": "clear"}});
    let cx = context(&fields);
    let output = run_in(&cx, "tomask", fields).unwrap();
    let mask = result(&cx, &output);
    assert_eq!(into_dynamic(mask).color(), image::ColorType::L8);
}

#[test]
fn tensor_masks_go_from_picture_to_picture() {
    let fields = json!({"image": {"image_name": "clear"}});
    let cx = context(&fields);
    let run = |node: &str, fields: Value| run_in(&cx, node, fields).unwrap();
    let mask = run("alpha_mask_to_tensor", fields.clone());
    assert_eq!((mask["width"].as_i64(), mask["height"].as_i64()), (Some(28), Some(24)));
    let clear = from_dynamic(&picture("clear")).alpha().unwrap();
    let back = run("tensor_mask_to_image", json!({"mask": mask["mask"]}));
    assert_eq!(result(&cx, &back), clear.clone().map(|a| if a > 0 { 255 } else { 0 }));

    let inverse = run("invert_tensor_mask", json!({"mask": mask["mask"]}));
    let same = run("alpha_mask_to_tensor", json!({"image": {"image_name": "clear"}, "invert": true}));
    let pictures = [inverse, same].map(|mask| result(&cx, &run("tensor_mask_to_image", json!({"mask": mask["mask"]}))));
    assert_eq!(pictures[0], pictures[1]);

    let rectangle = run(
        "rectangle_mask",
        json!({"width": 28, "height": 24, "x_left": 20, "y_top": 4, "rectangle_width": 50, "rectangle_height": 3}),
    );
    let cut = run(
        "apply_tensor_mask_to_image",
        json!({"image": {"image_name": "clear"}, "mask": rectangle["mask"]}),
    );
    let cut = result(&cx, &cut);
    let before = from_dynamic(&picture("clear"));
    for y in 0..24 {
        for x in 0..28 {
            let inside = x >= 20 && (4..7).contains(&y);
            let opaque = if inside { 255 } else { 0 };
            assert_eq!(cut.pixel(x, y)[3], if before.pixel(x, y)[3] > 0 { opaque } else { 0 }, "{x}, {y}");
            assert_eq!(cut.pixel(x, y)[..3], before.pixel(x, y)[..3]);
        }
    }
    let dark = run("image_mask_to_tensor", json!({"image": {"image_name": "clear"}, "cutoff": 100}));
    let grey = before.convert(Mode::L);
    let shown = result(&cx, &run("tensor_mask_to_image", json!({"mask": dark["mask"]})));
    assert_eq!(shown, grey.map(|v| if v < 100 { 255 } else { 0 }));
}

#[test]
fn patches_fill_what_is_transparent() {
    let fields = json!({"image": {"image_name": "hole"}});
    let cx = context(&fields);
    let output = run_in(&cx, "infill_patchmatch", fields).unwrap();
    let (out, hole) = (result(&cx, &output), from_dynamic(&picture("hole")));
    assert_eq!(out.mode(), Mode::Rgb);
    for (filled, given) in out.data().chunks_exact(3).zip(hole.data().chunks_exact(4)) {
        assert!(given[3] != 255 || filled == &given[..3], "what was opaque stays");
    }
}

#[test]
fn a_copy_is_exported_under_the_name_of_the_stored_one() {
    for (format, magic) in [("png", &b"\x89PNG"[..]), ("jpg", b"\xff\xd8\xff"), ("webp", b"RIFF")] {
        let fields =
            json!({"image": {"image_name": "clear"}, "output_directory": "mine", "prefix": "hero_", "suffix": "_2", "file_format": format});
        let cx = context(&fields);
        let output = run_in(&cx, "save_image_to_file", fields).unwrap();
        let stem = output["image"]["image_name"].as_str().unwrap().trim_end_matches(".png").to_owned();
        let exported = cx.exported.lock();
        assert_eq!(exported.len(), 1);
        assert_eq!(exported[0].0, format!("mine|hero_{stem}_2.{format}"));
        assert!(exported[0].1.starts_with(magic), "{format}");
        assert_eq!(image::load_from_memory(&exported[0].1).unwrap().width(), 28);
    }
}
