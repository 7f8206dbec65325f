//! Finding things in pictures.

use candle_core::{DType, Device, Tensor};
use invoke_macros::{FieldStruct, Node};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{load_as, loading};
use crate::{
    domain::shape::{Shape, choices},
    graph::meta::BrokenRule,
    imaging::{Mode, Resample, outline::largest_piece},
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{BoundingBoxField, ImageField, TensorField},
        outputs::MaskOutput,
        workbench::keep,
    },
    vision::{
        segment::{Label, Prompt, SegmentAnything as Model},
        to_tensor,
    },
};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[entry::<SegmentAnything>()];

/// What a point says: it lies outside, it says nothing, it lies inside.
const LABELS: Shape = Shape::IntEnum(&[-1, 0, 1]);

/// A point of a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
struct SAMPoint {
    /// Pixels from the left.
    x: i64,
    /// Pixels from the top.
    y: i64,
    /// What it says.
    #[field(shape = LABELS)]
    label: i64,
}

/// Points of one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, FieldStruct)]
struct SAMPointsField {
    /// The points.
    #[field(min_items = 1)]
    points: Vec<SAMPoint>,
}

choices! {
    /// The model.
    enum SegmentModel {
        Base = "segment-anything-base",
        Large = "segment-anything-large",
        Huge = "segment-anything-huge",
        SecondTiny = "segment-anything-2-tiny",
        SecondSmall = "segment-anything-2-small",
        SecondBase = "segment-anything-2-base",
        SecondLarge = "segment-anything-2-large"
    }
}

choices! {
    /// Which of the masks count.
    enum MaskFilter { All = "all", Largest = "largest", HighestBoxScore = "highest_box_score" }
}

impl SegmentModel {
    /// Where it is from.
    fn source(self) -> &'static str {
        match self {
            Self::Base => "facebook/sam-vit-base",
            Self::Large => "facebook/sam-vit-large",
            Self::Huge => "facebook/sam-vit-huge",
            Self::SecondTiny => "facebook/sam2.1-hiera-tiny",
            Self::SecondSmall => "facebook/sam2.1-hiera-small",
            Self::SecondBase => "facebook/sam2.1-hiera-base-plus",
            Self::SecondLarge => "facebook/sam2.1-hiera-large",
        }
    }
}

fn check(values: &Map<String, Value>) -> Result<(), BrokenRule> {
    let length = |key: &str| values.get(key).and_then(Value::as_array).map(Vec::len);
    match (length("point_lists"), length("bounding_boxes")) {
        (Some(points), Some(boxes)) if points != boxes => Err(BrokenRule::of(
            "point_lists",
            "If both point_lists and bounding_boxes are provided, they must have the same length.",
        )),
        _ => Ok(()),
    }
}

/// A mask of what is at points or in boxes.
#[derive(Debug, Deserialize, Node)]
#[node(id = "segment_anything", check = check, title = "Segment Anything", version = "1.3.0", category = "segmentation", tags("prompt", "segmentation", "sam", "sam2"), output = MaskOutput)]
struct SegmentAnything {
    model: SegmentModel,
    image: ImageField,
    #[field(default = null)]
    bounding_boxes: Option<Vec<BoundingBoxField>>,
    #[field(default = null)]
    point_lists: Option<Vec<SAMPointsField>>,
    #[field(default = true)]
    apply_polygon_refinement: bool,
    #[field(default = "all")]
    mask_filter: MaskFilter,
}

impl SegmentAnything {
    /// One prompt for each thing.
    fn prompts(&self) -> Vec<Prompt> {
        let (boxes, points) = (self.bounding_boxes.as_deref(), self.point_lists.as_deref());
        let (boxes, points) = (boxes.unwrap_or_default(), points.unwrap_or_default());
        // Things with fewer points than others have absent ones.
        let most = points.iter().map(|list| list.points.len()).max().unwrap_or(0);
        let prompt = |i: usize| {
            let points = points.get(i).map(|list| list.points.as_slice()).unwrap_or_default();
            let label = |label: i64| match label {
                // The original hands its labels on as they are, and the model takes -1 for a filler and 0 for what lies outside.
                -1 => Label::Filler,
                0 => Label::Outside,
                _ => Label::Inside,
            };
            let mut all: Vec<_> = points.iter().map(|p| ((p.x as f64, p.y as f64), label(p.label))).collect();
            all.resize(most, ((0.0, 0.0), Label::Absent));
            Prompt {
                points: all,
                corners: boxes
                    .get(i)
                    .map(|b| [(b.x_min as f64, b.y_min as f64), (b.x_max as f64, b.y_max as f64)]),
            }
        };
        (0..boxes.len().max(points.len())).map(prompt).collect()
    }

    /// Of several masks those that count.
    fn filtered(&self, masks: Vec<Vec<bool>>) -> Result<Vec<Vec<bool>>, NodeError> {
        let best = |scores: Vec<f64>| {
            let mut best = 0;
            for (i, score) in scores.iter().enumerate() {
                if *score > scores[best] {
                    best = i;
                }
            }
            best
        };
        let chosen = match self.mask_filter {
            MaskFilter::All => return Ok(masks),
            MaskFilter::Largest => best(masks.iter().map(|mask| mask.iter().filter(|set| **set).count() as f64).collect()),
            MaskFilter::HighestBoxScore => match &self.bounding_boxes {
                // A score of 0 counts as none.
                Some(boxes) if boxes.len() == masks.len() => best(
                    boxes
                        .iter()
                        .map(|b| b.score.filter(|score| *score != 0.0).unwrap_or(-1.0))
                        .collect(),
                ),
                _ => {
                    return Err(NodeError::new(
                        "AssertionError",
                        "bounding_boxes must be provided for the mask filter `highest_box_score`",
                    ));
                }
            },
        };
        Ok(masks.into_iter().skip(chosen).take(1).collect())
    }
}

impl Invoke for SegmentAnything {
    fn invoke(self, cx: &dyn NodeCx) -> Result<MaskOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        let (width, height) = image.size();
        let prompts = self.prompts();
        let mut union = vec![0_u8; width * height];
        if !prompts.is_empty() {
            let device = &cx.workbench().device;
            // The original computes in full precision everywhere.
            let model = loading::fetched(cx, self.model.source(), "segment_anything", |path| {
                let model = Model::open(path, DType::F32, device)?;
                let bytes = model.bytes();
                Ok((model, bytes))
            })?;
            cx.check_canceled()?;
            let (w, h) = model.resized(width, height);
            let seen = model.look(
                &to_tensor(&image.resize(w, h, Resample::Bilinear), DType::F32, device, |v| v)?,
                (width, height),
            )?;
            let mut masks = Vec::new();
            for prompt in &prompts {
                cx.check_canceled()?;
                let mask = model.segment(&seen, prompt)?;
                masks.push(if self.apply_polygon_refinement {
                    largest_piece(&mask, width, height)
                } else {
                    mask
                });
            }
            for mask in self.filtered(masks)? {
                union.iter_mut().zip(mask).for_each(|(to, set)| *to |= u8::from(set));
            }
        }
        let mask = Tensor::from_vec(union, (1, height, width), &Device::Cpu)?;
        Ok(MaskOutput {
            mask: TensorField {
                tensor_name: keep(cx, mask),
            },
            width: width as i64,
            height: height as i64,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        imaging::Picture,
        nodes::{
            image::into_dynamic,
            testing::{TestCx, run_in},
        },
    };

    fn context() -> TestCx {
        let cx = TestCx::default();
        cx.images
            .lock()
            .push(("in.png".into(), into_dynamic(Picture::new(Mode::Rgb, 8, 6)).into(), None));
        cx
    }

    #[test]
    fn nothing_is_at_no_points() {
        let cx = context();
        let output = run_in(
            &cx,
            "segment_anything",
            json!({"model": "segment-anything-2-large", "image": {"image_name": "in.png"}}),
        )
        .unwrap();
        assert_eq!((&output["width"], &output["height"]), (&json!(8), &json!(6)));
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let cx = context();
        let boxes = json!([{"x_min": 0, "x_max": 4, "y_min": 0, "y_max": 4}]);
        let inputs = |model: &str| json!({"model": model, "image": {"image_name": "in.png"}, "bounding_boxes": boxes});
        let error = run_in(&cx, "segment_anything", inputs("segment-anything-2-large"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("facebook/sam2.1-hiera-large"), "{error}");
        let error = run_in(&cx, "segment_anything", inputs("segment-anything-huge"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("facebook/sam-vit-huge"), "{error}");
        let mut both = inputs("segment-anything-huge");
        both["point_lists"] = json!([]);
        let error = run_in(&cx, "segment_anything", both).unwrap_err().to_string();
        assert!(error.contains("same length"), "{error}");
    }

    #[test]
    fn masks_are_filtered() {
        let node = |filter: &str, boxes: Value| -> SegmentAnything {
            serde_json::from_value(json!({
                "model": "segment-anything-huge", "image": {"image_name": "x"}, "bounding_boxes": boxes, "point_lists": null,
                "apply_polygon_refinement": true, "mask_filter": filter,
            }))
            .unwrap()
        };
        let masks = vec![vec![true, false], vec![true, true], vec![false, false]];
        let scored = |score: Value| json!({"x_min": 0, "x_max": 4, "y_min": 0, "y_max": 4, "score": score});
        let boxes = json!([scored(json!(0.2)), scored(json!(0.1)), scored(json!(null))]);
        assert_eq!(node("largest", json!(null)).filtered(masks.clone()).unwrap(), [masks[1].clone()]);
        assert_eq!(
            node("highest_box_score", boxes.clone()).filtered(masks.clone()).unwrap(),
            [masks[0].clone()]
        );
        assert_eq!(node("all", boxes).filtered(masks.clone()).unwrap().len(), 3);
        assert!(node("highest_box_score", json!(null)).filtered(masks).is_err());
    }
}
