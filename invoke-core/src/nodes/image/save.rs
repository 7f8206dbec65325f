//! Copies and invisible marks.

use std::io::Cursor;

use image::{ImageFormat, codecs::jpeg::JpegEncoder};
use invoke_macros::Node;
use serde::Deserialize;

use super::{into_dynamic, load, pass, store};
use crate::{
    domain::shape::choices,
    imaging::{Mode, watermark},
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::ImageField,
        outputs::{ImageOutput, StringOutput},
    },
};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<SaveImage>(),
    entry::<SaveImageToFile>(),
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

choices! {
    enum FileFormat { Png = "png", Jpg = "jpg", Webp = "webp" }
}

/// A copy of a picture, and another as a file below the outputs folder. WebP files are written without loss, whatever the quality.
#[derive(Debug, Deserialize, Node)]
#[node(id = "save_image_to_file", title = "Save Image (Gallery + File Export)", version = "1.0.0", category = "image", tags("image", "export", "file", "save"), output = ImageOutput, cache = false, board, metadata)]
struct SaveImageToFile {
    image: ImageField,
    #[field(default = "")]
    output_directory: String,
    #[field(default = "")]
    prefix: String,
    #[field(default = "")]
    suffix: String,
    #[field(default = "png")]
    file_format: FileFormat,
    #[field(default = 95, ge = 1, le = 100)]
    quality: i64,
}

impl Invoke for SaveImageToFile {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let picture = load(cx, &self.image)?;
        let output = store(cx, picture.clone())?;
        let name = output.image.image_name.as_str();
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let mut bytes = Cursor::new(Vec::new());
        let (extension, written) = match self.file_format {
            FileFormat::Png => ("png", into_dynamic(picture).write_to(&mut bytes, ImageFormat::Png)),
            FileFormat::Jpg => {
                let picture = if picture.mode().has_alpha() {
                    picture.convert(Mode::Rgb)
                } else {
                    picture
                };
                let encoder = JpegEncoder::new_with_quality(&mut bytes, self.quality.clamp(1, 100) as u8);
                ("jpg", into_dynamic(picture).write_with_encoder(encoder))
            }
            FileFormat::Webp => {
                let mode = if picture.mode().has_alpha() { Mode::Rgba } else { Mode::Rgb };
                ("webp", into_dynamic(picture.convert(mode)).write_to(&mut bytes, ImageFormat::WebP))
            }
        };
        written.map_err(NodeError::runtime)?;
        let file = format!("{}{stem}{}.{extension}", self.prefix, self.suffix);
        cx.export_file(&self.output_directory, &file, bytes.get_ref())?;
        Ok(output)
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
