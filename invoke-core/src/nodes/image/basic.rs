//! Sizes and places: cropping, padding, scaling, pasting.

use invoke_macros::Node;
use serde::Deserialize;

use super::{ResampleMode, color_bytes, load, load_as, place, sides, size, store};
use crate::{
    domain::shape::choices,
    imaging::{Mode, Picture, alpha_composite, chops, paste},
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{BoundingBoxField, ColorField, ImageField},
        outputs::ImageOutput,
    },
};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<BlankImage>(),
    entry::<ImageCrop>(),
    entry::<CenterPadCrop>(),
    entry::<ImagePaste>(),
    entry::<ImageResize>(),
    entry::<ImageScale>(),
    entry::<CropImageToBoundingBox>(),
    entry::<PasteImageIntoBoundingBox>(),
];

choices! {
    enum BlankMode { Rgb = "RGB", Rgba = "RGBA" }
}

/// A picture of one colour.
#[derive(Debug, Deserialize, Node)]
#[node(id = "blank_image", title = "Blank Image", version = "1.2.2", category = "image", tags("image"), output = ImageOutput, board, metadata)]
struct BlankImage {
    #[field(default = 512)]
    width: i64,
    #[field(default = 512)]
    height: i64,
    #[field(default = "RGB")]
    mode: BlankMode,
    #[field(json = "{\"r\": 0, \"g\": 0, \"b\": 0, \"a\": 255}")]
    color: ColorField,
}

impl Invoke for BlankImage {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let color = color_bytes(self.color);
        let mode = match self.mode {
            BlankMode::Rgb => Mode::Rgb,
            BlankMode::Rgba => Mode::Rgba,
        };
        let (width, height) = size(self.width, self.height)?;
        store(cx, Picture::filled(mode, width, height, &color))
    }
}

/// A rectangle of a picture, transparent where it reaches outside.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_crop", title = "Crop Image", version = "1.2.2", category = "image", tags("image", "crop"), output = ImageOutput, board, metadata)]
struct ImageCrop {
    image: ImageField,
    #[field(default = 0)]
    x: i64,
    #[field(default = 0)]
    y: i64,
    #[field(default = 512, gt = 0)]
    width: i64,
    #[field(default = 512, gt = 0)]
    height: i64,
}

impl Invoke for ImageCrop {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let (width, height) = size(self.width, self.height)?;
        let mut out = Picture::new(Mode::Rgba, width, height);
        paste(
            &mut out,
            &load(cx, &self.image)?,
            place(-place(self.x)),
            place(-place(self.y)),
            None,
        )?;
        store(cx, out)
    }
}

/// A picture with its sides moved outwards (transparent) or, by negative numbers, inwards.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_pad_crop", title = "Center Pad or Crop Image", version = "1.0.0", category = "image", tags("image", "pad", "crop"), output = ImageOutput)]
struct CenterPadCrop {
    image: ImageField,
    #[field(default = 0)]
    left: i64,
    #[field(default = 0)]
    right: i64,
    #[field(default = 0)]
    top: i64,
    #[field(default = 0)]
    bottom: i64,
}

impl Invoke for CenterPadCrop {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load(cx, &self.image)?;
        let (left, top) = (place(self.left), place(self.top));
        let (width, height) = size(
            image.width() as i64 + left + place(self.right),
            image.height() as i64 + top + place(self.bottom),
        )?;
        let mut out = Picture::new(Mode::Rgba, width, height);
        paste(&mut out, &image, left, top, None)?;
        store(cx, out)
    }
}

/// A picture laid on another, where the mask is black; the canvas grows to hold both unless it is cut to the base.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_paste", title = "Paste Image", version = "1.2.2", category = "image", tags("image", "paste"), output = ImageOutput, board, metadata)]
struct ImagePaste {
    base_image: ImageField,
    image: ImageField,
    mask: Option<ImageField>,
    #[field(default = 0)]
    x: i64,
    #[field(default = 0)]
    y: i64,
    #[field(default = false)]
    crop: bool,
}

impl Invoke for ImagePaste {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let base = load_as(cx, &self.base_image, Mode::Rgba)?;
        let image = load_as(cx, &self.image, Mode::Rgba)?;
        let mask = self
            .mask
            .map(|mask| load_as(cx, &mask, Mode::L))
            .transpose()?
            .map(|mask| chops::invert(&mask));
        let (x, y) = (place(self.x), place(self.y));
        let (left, top) = (x.min(0), y.min(0));
        let right = (base.width() as i64).max(image.width() as i64 + x);
        let bottom = (base.height() as i64).max(image.height() as i64 + y);
        let (width, height) = size(right - left, bottom - top)?;
        let mut under = Picture::new(Mode::Rgba, width, height);
        paste(&mut under, &base, -left, -top, None)?;
        let mut over = Picture::new(Mode::Rgba, width, height);
        paste(&mut over, &image, x.max(0), y.max(0), mask.as_ref())?;
        let both = alpha_composite(&under, &over)?;
        let out = if self.crop {
            both.crop(-left, -top, base.width() as i64 - left, base.height() as i64 - top)
        } else {
            both
        };
        store(cx, out)
    }
}

/// A picture at another size.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_resize", title = "Resize Image", version = "1.2.2", category = "image", tags("image", "resize"), output = ImageOutput, board, metadata)]
struct ImageResize {
    image: ImageField,
    #[field(default = 512, gt = 0)]
    width: i64,
    #[field(default = 512, gt = 0)]
    height: i64,
    #[field(default = "bicubic")]
    resample_mode: ResampleMode,
}

impl Invoke for ImageResize {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let (width, height) = size(self.width, self.height)?;
        store(cx, load(cx, &self.image)?.resize(width, height, self.resample_mode.filter()))
    }
}

/// A picture, its sides multiplied by a factor and truncated.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_scale", title = "Scale Image", version = "1.2.2", category = "image", tags("image", "scale"), output = ImageOutput, board, metadata)]
struct ImageScale {
    image: ImageField,
    #[field(default = 2.0, gt = 0)]
    scale_factor: f64,
    #[field(default = "bicubic")]
    resample_mode: ResampleMode,
}

impl Invoke for ImageScale {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load(cx, &self.image)?;
        let side = |v: usize| (v as f64 * self.scale_factor) as i64;
        let (width, height) = size(side(image.width()), side(image.height()))?;
        store(cx, image.resize(width, height, self.resample_mode.filter()))
    }
}

/// A rectangle of a picture, or what of the picture is not transparent or black.
#[derive(Debug, Deserialize, Node)]
#[node(id = "crop_image_to_bounding_box", title = "Crop Image to Bounding Box", version = "1.0.0", category = "image", tags("image", "crop"), output = ImageOutput, board, metadata)]
struct CropImageToBoundingBox {
    image: ImageField,
    bounding_box: Option<BoundingBoxField>,
}

impl Invoke for CropImageToBoundingBox {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load(cx, &self.image)?;
        let [left, top, right, bottom] = match &self.bounding_box {
            Some(bounds) => sides(bounds),
            None => match image.bounding_box() {
                Some((left, top, right, bottom)) => [left as i64, top as i64, right as i64, bottom as i64],
                None => [0, 0, image.width() as i64, image.height() as i64],
            },
        };
        size(right - left, bottom - top)?;
        store(cx, image.crop(left, top, right, bottom))
    }
}

/// A picture laid on another inside a rectangle of its own size.
#[derive(Debug, Deserialize, Node)]
#[node(id = "paste_image_into_bounding_box", title = "Paste Image into Bounding Box", version = "1.0.0", category = "image", tags("image", "crop"), output = ImageOutput, board, metadata)]
struct PasteImageIntoBoundingBox {
    source_image: ImageField,
    target_image: ImageField,
    bounding_box: BoundingBoxField,
}

impl Invoke for PasteImageIntoBoundingBox {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let source = load_as(cx, &self.source_image, Mode::Rgba)?;
        let mut target = load_as(cx, &self.target_image, Mode::Rgba)?;
        let [left, top, right, bottom] = sides(&self.bounding_box);
        if (right - left, bottom - top) != (source.width() as i64, source.height() as i64) {
            return Err(NodeError::value(format!(
                "bounding_box is {}x{} where source_image is {}x{}",
                right - left,
                bottom - top,
                source.width(),
                source.height()
            )));
        }
        paste(&mut target, &source, left, top, Some(&source))?;
        store(cx, target)
    }
}
