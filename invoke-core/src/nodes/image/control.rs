//! Pictures for control models that need no model of their own.

use invoke_macros::Node;
use serde::Deserialize;

use super::{load, load_as, size, store};
use crate::{
    imaging::{Mode, cv, heuristic_resize, shuffle_content},
    nodes::{Invoke, NodeCx, NodeEntry, NodeError, entry, fields::ImageField, outputs::ImageOutput},
};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<CannyEdgeDetection>(),
    entry::<ColorMap>(),
    entry::<ContentShuffle>(),
    entry::<HeuristicResize>(),
];

/// The edges of a picture, white on black.
#[derive(Debug, Deserialize, Node)]
#[node(id = "canny_edge_detection", title = "Canny Edge Detection", version = "1.0.0", category = "controlnet_preprocessors", tags("controlnet", "canny"), output = ImageOutput, board, metadata)]
struct CannyEdgeDetection {
    image: ImageField,
    #[field(default = 100, ge = 0, le = 255)]
    low_threshold: i64,
    #[field(default = 200, ge = 0, le = 255)]
    high_threshold: i64,
}

impl Invoke for CannyEdgeDetection {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let edges = cv::canny(
            &load_as(cx, &self.image, Mode::Rgb)?,
            self.low_threshold as i32,
            self.high_threshold as i32,
        );
        store(cx, edges.convert(Mode::Rgb))
    }
}

/// A picture in large squares of one colour.
#[derive(Debug, Deserialize, Node)]
#[node(id = "color_map", title = "Color Map", version = "1.0.0", category = "controlnet_preprocessors", tags("controlnet"), output = ImageOutput, board, metadata)]
struct ColorMap {
    image: ImageField,
    #[field(default = 64, ge = 1)]
    tile_size: i64,
}

impl Invoke for ColorMap {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        let (width, height) = image.size();
        let tile = usize::try_from(self.tile_size).unwrap_or(usize::MAX);
        let small = cv::resize_cubic(&image, width / tile.min(width), height / tile.min(height));
        store(cx, cv::resize_nearest(&small, width, height))
    }
}

/// A picture with its content pushed about at random.
#[derive(Debug, Deserialize, Node)]
#[node(id = "content_shuffle", title = "Content Shuffle", version = "1.0.0", category = "controlnet_preprocessors", tags("controlnet", "normal"), output = ImageOutput, board, metadata)]
struct ContentShuffle {
    image: ImageField,
    #[field(default = 256, ge = 0)]
    scale_factor: i64,
}

impl Invoke for ContentShuffle {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let scale = usize::try_from(self.scale_factor).ok().filter(|scale| *scale > 0);
        let scale = scale.ok_or_else(|| NodeError::new("ZeroDivisionError", "scale_factor must be above 0"))?;
        let image = load(cx, &self.image)?;
        let random = || {
            let (high, low) = (cx.random_u32() >> 5, cx.random_u32() >> 6);
            (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
        };
        store(cx, shuffle_content(&image, scale, random))
    }
}

/// A control picture at another size, its edges and colours kept as such.
#[derive(Debug, Deserialize, Node)]
#[node(id = "heuristic_resize", title = "Heuristic Resize", version = "1.1.1", category = "controlnet_preprocessors", tags("image, controlnet"), output = ImageOutput, classification = Prototype)]
struct HeuristicResize {
    image: ImageField,
    #[field(default = 512, ge = 1)]
    width: i64,
    #[field(default = 512, ge = 1)]
    height: i64,
}

impl Invoke for HeuristicResize {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let (width, height) = size(self.width, self.height)?;
        store(cx, heuristic_resize(&load_as(cx, &self.image, Mode::Rgb)?, width, height))
    }
}
