//! Finding what a text names.

use candle_core::DType;
use invoke_macros::Node;
use serde::Deserialize;

use super::{load_as, loading};
use crate::{
    domain::shape::choices,
    imaging::Mode,
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{BoundingBoxField, ImageField},
        outputs::BoundingBoxCollectionOutput,
    },
    vision::grounding::{Found, GroundingDino as Model},
};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[entry::<GroundingDino>()];

choices! {
    /// The model.
    enum DetectionModel { Tiny = "grounding-dino-tiny", Base = "grounding-dino-base" }
}

impl DetectionModel {
    /// Where it is from.
    fn source(self) -> &'static str {
        match self {
            Self::Tiny => "IDEA-Research/grounding-dino-tiny",
            Self::Base => "IDEA-Research/grounding-dino-base",
        }
    }
}

/// Boxes around what a text names.
#[derive(Debug, Deserialize, Node)]
#[node(id = "grounding_dino", title = "Grounding DINO (Text Prompt Object Detection)", version = "1.0.0", category = "segmentation", tags("prompt", "object detection"), output = BoundingBoxCollectionOutput)]
struct GroundingDino {
    model: DetectionModel,
    prompt: String,
    image: ImageField,
    #[field(default = 0.3, ge = 0.0, le = 1.0)]
    detection_threshold: f64,
}

impl Invoke for GroundingDino {
    fn invoke(self, cx: &dyn NodeCx) -> Result<BoundingBoxCollectionOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        // The model was trained on phrases that a full stop ends.
        let stop = if self.prompt.ends_with('.') { "" } else { "." };
        let text = format!("{}{stop}", self.prompt);
        // The original computes in full precision everywhere.
        let model = loading::fetched(cx, self.model.source(), "grounding_dino", |path| {
            let model = Model::open(path, DType::F32, &cx.workbench().device)?;
            let bytes = model.bytes();
            Ok((model, bytes))
        })?;
        let found = model.find(&image, &text, self.detection_threshold as f32, &|| cx.check_canceled())?;
        let field = |found: Found| {
            // Towards zero, as the original does it.
            let [x_min, y_min, x_max, y_max] = found.corners.map(|v| v as i64);
            BoundingBoxField {
                x_min,
                x_max,
                y_min,
                y_max,
                score: Some(f64::from(found.score)),
            }
        };
        Ok(BoundingBoxCollectionOutput {
            collection: found.into_iter().map(field).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, path::Path};

    use candle_core::{Device, Tensor};
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        imaging::{Picture, Resample},
        nodes::{
            image::into_dynamic,
            testing::{TestCx, run_in},
        },
        vision::testing::noise,
    };

    /// The recorder's weights.
    fn weight(name: &str, shape: &[usize]) -> Tensor {
        let values = noise(name, shape.iter().product());
        let (factor, shift) = match shape {
            [_] if name.ends_with("weight") => (0.25, 1.0),
            [_] => (0.1, 0.0),
            _ => ((6.0 / shape[1..].iter().product::<usize>() as f64).sqrt() as f32, 0.0),
        };
        let last = if name.starts_with("model.decoder.layer_norm.") { 0.1 } else { 1.0 };
        let values = values.into_iter().map(|v| (v * factor + shift) * last).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn told() -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/numerics/vision/grounding.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// A context with a picture and the recorder's small model, as a folder that was downloaded.
    fn context(told: &Value, folder: &Path) -> TestCx {
        let shapes: HashMap<String, Vec<usize>> = serde_json::from_value(told["shapes"]["small"].clone()).unwrap();
        let weights: HashMap<String, Tensor> = shapes
            .into_iter()
            .map(|(name, shape)| (name.clone(), weight(&name, &shape)))
            .collect();
        candle_core::safetensors::save(&weights, folder.join("model.safetensors")).unwrap();
        std::fs::write(folder.join("config.json"), told["configs"]["small"].to_string()).unwrap();
        let processor = json!({"size": {"shortest_edge": 64, "longest_edge": 100}});
        std::fs::write(folder.join("preprocessor_config.json"), processor.to_string()).unwrap();
        let line = |i: usize| format!("{}\n", told["words"][i.to_string()].as_str().unwrap_or(&format!("[unused{i}]")));
        std::fs::write(folder.join("vocab.txt"), (0..1040).map(line).collect::<String>()).unwrap();
        let samples = noise("picture", 9 * 11 * 3);
        let samples = samples
            .into_iter()
            .map(|v| ((v * 0.5 + 0.5) * 255.0).round_ties_even() as u8)
            .collect();
        let picture = Picture::from_samples(Mode::Rgb, 11, 9, samples)
            .unwrap()
            .resize(75, 50, Resample::Bicubic);
        let cx = TestCx {
            downloads: vec![("IDEA-Research/grounding-dino-tiny".into(), folder.to_owned())],
            ..TestCx::default()
        };
        cx.images.lock().push(("in.png".into(), into_dynamic(picture).into(), None));
        cx
    }

    fn detect(cx: &TestCx, more: Value) -> Result<Value, NodeError> {
        let mut inputs = json!({"model": "grounding-dino-tiny", "prompt": "a red cat. dogs", "image": {"image_name": "in.png"}});
        let given = inputs.as_object_mut().unwrap();
        given.extend(more.as_object().unwrap().clone());
        run_in(cx, "grounding_dino", inputs)
    }

    #[test]
    fn boxes_are_those_of_the_original() {
        let (told, folder) = (told(), tempfile::tempdir().unwrap());
        let cx = context(&told, folder.path());
        let output = detect(&cx, json!({"detection_threshold": 0.73})).unwrap();
        assert_eq!(output["type"], "bounding_box_collection_output");
        let (found, expected) = (output["collection"].as_array().unwrap(), told["found"].as_array().unwrap());
        assert_eq!(found.len(), expected.len());
        assert!(expected.len() > 10);
        for (found, expected) in found.iter().zip(expected) {
            let (score, expected_score) = (found["score"].as_f64().unwrap(), expected[0].as_f64().unwrap());
            assert!((score - expected_score).abs() < 2e-5, "{score} instead of {expected_score}");
            for (i, side) in ["x_min", "y_min", "x_max", "y_max"].into_iter().enumerate() {
                let (at, expected_at) = (found[side].as_i64().unwrap(), expected[i + 1].as_i64().unwrap());
                assert_eq!(at, expected_at, "{side} of {found}, expected {expected}");
            }
        }
        // With the full stop that was added, or without.
        assert_eq!(
            detect(&cx, json!({"detection_threshold": 0.73, "prompt": "a red cat. dogs."})).unwrap(),
            output
        );
        // The default lets all through, and what is certain alone is never found.
        assert_eq!(detect(&cx, json!({})).unwrap()["collection"].as_array().unwrap().len(), 20);
        assert_eq!(detect(&cx, json!({"detection_threshold": 1.0})).unwrap()["collection"], json!([]));
        // The original looks for an empty phrase too.
        assert_eq!(
            detect(&cx, json!({"prompt": ""})).unwrap()["collection"].as_array().unwrap().len(),
            20
        );
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let (told, folder) = (told(), tempfile::tempdir().unwrap());
        let cx = context(&told, folder.path());
        let error = |more: Value| detect(&cx, more).unwrap_err().to_string();
        let base = error(json!({"model": "grounding-dino-base"}));
        assert!(base.contains("IDEA-Research/grounding-dino-base"), "{base}");
        let long = error(json!({"prompt": "a . ".repeat(200)}));
        assert!(long.contains("the prompt has 403 tokens, expected 1 to 256"), "{long}");
        let one = Picture::new(Mode::Rgb, 1, 1);
        cx.images.lock().push(("one.png".into(), into_dynamic(one).into(), None));
        detect(&cx, json!({"image": {"image_name": "one.png"}})).unwrap();
    }

    /// What is found can be cut out: the boxes go where the segmenter takes them, and come out in a shape that it reads.
    #[test]
    fn boxes_lead_to_masks() {
        let edge = |from: [&str; 2], to: [&str; 2]| json!({"source": {"node_id": from[0], "field": from[1]}, "destination": {"node_id": to[0], "field": to[1]}});
        let nodes = json!({"find": {"id": "find", "type": "grounding_dino"}, "cut": {"id": "cut", "type": "segment_anything"}});
        let edges = json!([edge(["find", "collection"], ["cut", "bounding_boxes"])]);
        let registry = crate::nodes::registry(None, None);
        let graph = json!({"nodes": nodes, "edges": edges});
        crate::graph::validate::graph(&registry, graph, &[], || "g".into()).unwrap();
        let (told, folder) = (told(), tempfile::tempdir().unwrap());
        let boxes = detect(&context(&told, folder.path()), json!({})).unwrap()["collection"].take();
        let read: Vec<BoundingBoxField> = serde_json::from_value(boxes).unwrap();
        assert!(!read.is_empty() && read.iter().all(|b| b.x_min <= b.x_max && b.y_min <= b.y_max));
    }

    #[test]
    fn damaged_folders_are_refused() {
        let told = told();
        for file in ["model.safetensors", "config.json", "preprocessor_config.json", "vocab.txt"] {
            let folder = tempfile::tempdir().unwrap();
            let cx = context(&told, folder.path());
            let path = folder.path().join(file);
            let whole = std::fs::read(&path).unwrap();
            std::fs::write(&path, &whole[..whole.len() / 20]).unwrap();
            let error = detect(&cx, json!({})).unwrap_err().to_string();
            assert!(error.contains(file), "{file}: {error}");
        }
    }
}
