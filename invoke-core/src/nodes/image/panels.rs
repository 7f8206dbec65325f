//! Rectangles and panels.

use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{load_as, size, store};
use crate::{
    graph::meta::BrokenRule,
    imaging::{Mode, Picture, Resample, paste},
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{BoundingBoxField, ImageField},
        outputs::{BoundingBoxOutput, ImageOutput},
    },
};

/// Where a panel lies.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "image_panel_coordinate_output")]
struct ImagePanelCoordinateOutput {
    x_left: i64,
    y_top: i64,
    width: i64,
    height: i64,
}

/// Sizes that FLUX.1 Kontext was trained on, width and height.
const PREFERRED: &[(usize, usize)] = &[
    (672, 1568),
    (688, 1504),
    (720, 1456),
    (752, 1392),
    (800, 1328),
    (832, 1248),
    (880, 1184),
    (944, 1104),
    (1024, 1024),
    (1104, 944),
    (1184, 880),
    (1248, 832),
    (1328, 800),
    (1392, 752),
    (1456, 720),
    (1504, 688),
    (1568, 672),
];

/// Sides are multiples of this.
const STEP: usize = 16;

/// The largest multiple of [`STEP`] that is not above, at least one.
fn multiple(value: usize) -> usize {
    (value / STEP * STEP).max(STEP)
}

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<BoundingBox>(),
    entry::<ImagePanelLayout>(),
    entry::<FluxKontextConcatenateImages>(),
];

/// A rectangle.
#[derive(Debug, Deserialize, Node)]
#[node(id = "bounding_box", title = "Bounding Box", version = "1.0.0", category = "primitives", tags("primitives", "segmentation", "collection", "bounding box"), output = BoundingBoxOutput)]
struct BoundingBox {
    #[field(default = 0)]
    x_min: i64,
    #[field(default = 0)]
    y_min: i64,
    #[field(default = 0)]
    x_max: i64,
    #[field(default = 0)]
    y_max: i64,
}

impl Invoke for BoundingBox {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<BoundingBoxOutput, NodeError> {
        if self.x_min > self.x_max {
            return Err(NodeError::value(format!(
                "x_min ({}) is greater than x_max ({}).",
                self.x_min, self.x_max
            )));
        }
        if self.y_min > self.y_max {
            return Err(NodeError::value(format!(
                "y_min ({}) is greater than y_max ({}).",
                self.y_min, self.y_max
            )));
        }
        Ok(BoundingBoxOutput {
            bounding_box: BoundingBoxField {
                x_min: self.x_min,
                x_max: self.x_max,
                y_min: self.y_min,
                y_max: self.y_max,
                score: None,
            },
        })
    }
}

fn check_panel(values: &Map<String, Value>) -> Result<(), BrokenRule> {
    let number = |field: &str| values.get(field).and_then(Value::as_i64);
    for (field, among) in [("panel_col_idx", "num_cols"), ("panel_row_idx", "num_rows")] {
        if let (Some(index), Some(count)) = (number(field), number(among))
            && index >= count
        {
            return Err(BrokenRule::of(field, format!("{field} must be between 0 and {}", count - 1)));
        }
    }
    Ok(())
}

/// Where one panel of a grid lies.
#[derive(Debug, Deserialize, Node)]
#[node(id = "image_panel_layout", check = check_panel, title = "Image Panel Layout", version = "1.0.0", category = "canvas", tags("image", "panel", "layout"), output = ImagePanelCoordinateOutput, classification = Prototype)]
struct ImagePanelLayout {
    width: i64,
    height: i64,
    #[field(default = 1, ge = 1)]
    num_cols: i64,
    #[field(default = 1, ge = 1)]
    num_rows: i64,
    #[field(default = 0, ge = 0)]
    panel_col_idx: i64,
    #[field(default = 0, ge = 0)]
    panel_row_idx: i64,
}

impl Invoke for ImagePanelLayout {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<ImagePanelCoordinateOutput, NodeError> {
        let (width, height) = (self.width.div_euclid(self.num_cols), self.height.div_euclid(self.num_rows));
        Ok(ImagePanelCoordinateOutput {
            x_left: self.panel_col_idx * width,
            y_top: self.panel_row_idx * height,
            width,
            height,
        })
    }
}

/// Reference pictures side by side, at sizes that the model prefers. The result is RGB.
#[derive(Debug, Deserialize, Node)]
#[node(id = "flux_kontext_image_prep", title = "FLUX Kontext Image Prep", version = "1.0.0", category = "conditioning", tags("image", "concatenate", "flux", "kontext"), output = ImageOutput, board, metadata)]
struct FluxKontextConcatenateImages {
    #[field(min_items = 1, max_items = 10)]
    images: Vec<ImageField>,
    #[field(default = true)]
    use_preferred_resolution: bool,
}

impl Invoke for FluxKontextConcatenateImages {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let mut images = Vec::with_capacity(self.images.len());
        for image in &self.images {
            images.push(load_as(cx, image, Mode::Rgba)?);
        }
        let first = images
            .first()
            .ok_or_else(|| NodeError::value("images must hold at least one picture"))?;
        let ratio = |image: &Picture| image.width() as f64 / image.height() as f64;
        let (width, height) = if self.use_preferred_resolution {
            let away = |(width, height): &(usize, usize)| (ratio(first) - *width as f64 / *height as f64).abs();
            let best = PREFERRED
                .iter()
                .min_by(|a, b| away(a).total_cmp(&away(b)))
                .copied()
                .unwrap_or(PREFERRED[0]);
            (best.0 / STEP * STEP, best.1 / STEP * STEP)
        } else {
            (multiple(first.width()), multiple(first.height()))
        };
        let widths: Vec<usize> = images
            .iter()
            .enumerate()
            .map(|(i, image)| {
                if i == 0 {
                    width
                } else {
                    multiple((height as f64 * ratio(image)) as usize)
                }
            })
            .collect();
        let (total, _) = size(widths.iter().sum::<usize>() as i64, height as i64)?;
        let mut out = Picture::new(Mode::Rgb, total, height);
        let mut x = 0;
        for (image, width) in images.iter().zip(widths) {
            paste(&mut out, &image.resize(width, height, Resample::Lanczos), x, 0, None)?;
            x += width as i64;
        }
        store(cx, out)
    }
}
