//! Copies and invisible marks.

use invoke_macros::Node;
use serde::Deserialize;

use super::{load, pass, store};
use crate::{
    imaging::watermark,
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::ImageField,
        outputs::{ImageOutput, StringOutput},
    },
};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<SaveImage>(),
    entry::<CanvasOutput>(),
    entry::<ShowImage>(),
    entry::<ImageWatermark>(),
    entry::<DecodeInvisibleWatermark>(),
];

/// A copy of a picture.
#[derive(Debug, Deserialize, Node)]
#[node(id = "save_image", title = "Save Image", version = "1.2.2", category = "image", tags("primitives", "image"), output = ImageOutput, cache = false, board, metadata)]
struct SaveImage {
    image: ImageField,
}

impl Invoke for SaveImage {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        store(cx, load(cx, &self.image)?)
    }
}

/// A copy of a picture, for a canvas to show.
#[derive(Debug, Deserialize, Node)]
#[node(id = "canvas_output", title = "Canvas Output", version = "1.0.0", category = "canvas", tags("canvas", "output", "image"), output = ImageOutput, cache = false)]
struct CanvasOutput {
    image: ImageField,
}

impl Invoke for CanvasOutput {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        store(cx, load(cx, &self.image)?)
    }
}

/// A picture passed on. A server has no screen to show it on.
#[derive(Debug, Deserialize, Node)]
#[node(id = "show_image", title = "Show Image", version = "1.0.1", category = "image", tags("image"), output = ImageOutput)]
struct ShowImage {
    image: ImageField,
}

impl Invoke for ShowImage {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let picture = load(cx, &self.image)?;
        Ok(pass(self.image, &picture))
    }
}

/// A picture with an invisible text in it. The result is RGBA.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_watermark", title = "Add Invisible Watermark", version = "1.2.2", category = "image", tags("image", "watermark"), output = ImageOutput, board, metadata)]
struct ImageWatermark {
    image: ImageField,
    #[field(default = "InvokeAI")]
    text: String,
}

impl Invoke for ImageWatermark {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load(cx, &self.image)?;
        if image.width() * image.height() < watermark::LEAST_PIXELS {
            return Err(NodeError::runtime("image too small, should be larger than 256x256"));
        }
        if self.text.is_empty() {
            return Err(NodeError::value("text must not be empty"));
        }
        store(cx, watermark::add(&image, &self.text))
    }
}

/// The invisible text in a picture; empty where none can be read.
#[derive(Debug, Deserialize, Node)]
#[node(id = "decode_watermark", title = "Decode Invisible Watermark", version = "1.0.0", category = "image", tags("image", "watermark"), output = StringOutput)]
struct DecodeInvisibleWatermark {
    image: ImageField,
    #[field(default = 8)]
    length: i64,
}

impl Invoke for DecodeInvisibleWatermark {
    fn invoke(self, cx: &dyn NodeCx) -> Result<StringOutput, NodeError> {
        const MOST: i64 = 1 << 16;
        let length = usize::try_from(self.length.min(MOST)).unwrap_or(0);
        Ok(StringOutput {
            value: watermark::read(&load(cx, &self.image)?, length).unwrap_or_default(),
        })
    }
}
