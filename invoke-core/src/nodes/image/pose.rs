//! People's poses, drawn for control models.

use std::sync::Arc;

use candle_core::Device;
use invoke_macros::Node;
use serde::Deserialize;

use super::{load_as, loading, store};
use crate::{
    imaging::Mode,
    nodes::{Invoke, NodeCx, NodeEntry, NodeError, entry, fields::ImageField, outputs::ImageOutput},
    vision::pose::{BodyPlaces, Parts, PersonDetector, draw},
};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[entry::<DwOpenposeDetection>()];

/// The models' files.
const DETECTOR: &str = "https://huggingface.co/yzd-v/DWPose/resolve/main/yolox_l.onnx";
const PLACES: &str = "https://huggingface.co/yzd-v/DWPose/resolve/main/dw-ll_ucoco_384.onnx";

/// A pose as OpenPose draws it, found by DWPose.
#[derive(Debug, Deserialize, Node)]
#[node(id = "dw_openpose_detection", title = "DW Openpose Detection", version = "1.1.1", category = "controlnet_preprocessors", tags("controlnet", "dwpose", "openpose"), output = ImageOutput, board, metadata)]
struct DwOpenposeDetection {
    image: ImageField,
    #[field(default = true)]
    draw_body: bool,
    #[field(default = false)]
    draw_face: bool,
    #[field(default = false)]
    draw_hands: bool,
}

impl Invoke for DwOpenposeDetection {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        let device: &Device = &cx.workbench().device;
        let detector: Arc<PersonDetector> = loading::fetched(cx, DETECTOR, "dw_openpose_people", |path| {
            let model = PersonDetector::open(path, device)?;
            let bytes = model.bytes();
            Ok((model, bytes))
        })?;
        let places: Arc<BodyPlaces> = loading::fetched(cx, PLACES, "dw_openpose_places", |path| {
            let model = BodyPlaces::open(path, device)?;
            let bytes = model.bytes();
            Ok((model, bytes))
        })?;
        let (width, height) = image.size();
        let mut people = detector.people(&image, || cx.check_canceled())?;
        if people.is_empty() {
            // Somebody may fill the whole picture.
            people.push([0.0, 0.0, width as f64, height as f64]);
        }
        let bodies = people
            .into_iter()
            .map(|person| places.places(&image, person, || cx.check_canceled()));
        let bodies = bodies.collect::<Result<Vec<_>, NodeError>>()?;
        let parts = Parts {
            body: self.draw_body,
            hands: self.draw_hands,
            face: self.draw_face,
        };
        store(cx, draw(width, height, &bodies, parts))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, path::PathBuf, sync::Arc};

    use candle_core::Tensor;
    use image::DynamicImage;
    use serde_json::json;

    use super::*;
    use crate::nodes::testing::{TestCx, run_in};

    fn folder() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/numerics/vision/pose")
    }

    /// What InvokeAI's own gave of these pictures with these networks (`tests/numerics/record_pose.py`).
    fn recorded() -> HashMap<String, Tensor> {
        candle_core::safetensors::load(folder().join("pose.safetensors"), &Device::Cpu).unwrap()
    }

    fn decoded(recorded: &HashMap<String, Tensor>, name: &str) -> DynamicImage {
        image::load_from_memory(&recorded[name].to_vec1::<u8>().unwrap()).unwrap()
    }

    fn with_models(picture: DynamicImage) -> TestCx {
        let cx = TestCx {
            downloads: vec![
                (DETECTOR.into(), folder().join("people.onnx")),
                (PLACES.into(), folder().join("places.onnx")),
            ],
            ..TestCx::default()
        };
        cx.images.lock().push(("in.png".into(), Arc::new(picture), None));
        cx
    }

    /// Draws everything of the only picture in `cx`, and holds it to the recording `name`.
    #[track_caller]
    fn check(cx: &TestCx, options: serde_json::Value, recorded: &HashMap<String, Tensor>, name: &str) {
        let mut inputs = json!({"image": {"image_name": "in.png"}});
        let more = options.as_object().unwrap().clone();
        inputs.as_object_mut().unwrap().extend(more);
        let output = run_in(cx, "dw_openpose_detection", inputs).unwrap();
        let want = decoded(recorded, name).into_rgb8();
        assert_eq!((&output["width"], &output["height"]), (&json!(want.width()), &json!(want.height())));
        let found = cx.images.lock().last().unwrap().1.to_rgb8();
        let wrong = found.pixels().zip(want.pixels()).filter(|(a, b)| a != b).count();
        assert_eq!(wrong, 0, "{name}: {wrong} pixels differ");
        assert!(found.pixels().any(|pixel| pixel.0 != [0; 3]), "{name} is black");
    }

    #[test]
    fn people_are_found_and_drawn_as_the_original_finds_and_draws_them() {
        let recorded = recorded();
        let cx = with_models(decoded(&recorded, "picture"));
        check(&cx, json!({}), &recorded, "whole_body");
        let all = json!({"draw_face": true, "draw_hands": true});
        check(&cx, all.clone(), &recorded, "whole_all");
        // Where nobody is found, somebody may fill the picture.
        let mut cx = with_models(decoded(&recorded, "picture_of_nobody"));
        cx.downloads[0].1 = folder().join("nobody.onnx");
        check(&cx, all, &recorded, "whole_of_nobody");
    }

    #[test]
    fn without_a_model_or_with_a_damaged_one_the_error_says_so() {
        let recorded = recorded();
        let mut cx = with_models(decoded(&recorded, "picture_of_nobody"));
        let image = json!({"image": {"image_name": "in.png"}});
        let broken = tempfile::tempdir().unwrap();
        let broken = broken.path().join("broken.onnx");
        std::fs::write(&broken, &std::fs::read(folder().join("places.onnx")).unwrap()[..9000]).unwrap();
        cx.downloads[1].1 = broken;
        let error = run_in(&cx, "dw_openpose_detection", image.clone()).unwrap_err().to_string();
        assert!(error.contains("broken.onnx` is damaged"), "{error}");
        cx.downloads.clear();
        let error = run_in(
            &TestCx {
                downloads: Vec::new(),
                ..cx
            },
            "dw_openpose_detection",
            image,
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains("yolox_l.onnx"), "{error}");
    }
}
