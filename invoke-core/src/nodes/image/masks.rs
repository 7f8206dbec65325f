//! Masks made of pictures and pictures cut by masks.

use invoke_macros::Node;
use serde::Deserialize;

use super::{color_bytes, load, load_as, place, store, store_mask};
use crate::{
    imaging::{Mode, chops, masks, paste},
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{BoundingBoxField, ColorField, ImageField},
        outputs::{BoundingBoxOutput, ImageOutput},
    },
};

/// The blur of a mask, in pixels.
fn blur(value: i64) -> Result<usize, NodeError> {
    const MOST: i64 = 1 << 14;
    usize::try_from(value)
        .ok()
        .filter(|_| value <= MOST)
        .ok_or_else(|| NodeError::value(format!("mask_blur must lie between 0 and {MOST}, got {value}")))
}

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<MaskFromAlpha>(),
    entry::<MaskEdge>(),
    entry::<MaskCombine>(),
    entry::<MaskFromID>(),
    entry::<ExpandMaskWithFade>(),
    entry::<ApplyMaskToImage>(),
    entry::<GetMaskBoundingBox>(),
    entry::<CanvasPasteBack>(),
    entry::<CanvasV2MaskAndCrop>(),
];

/// The opacity of a picture, or its last channel, as a mask.
#[derive(Debug, Deserialize, Node)]
#[node(id = "tomask", title = "Mask from Alpha", version = "1.2.2", category = "mask", tags("image", "mask"), output = ImageOutput, board, metadata)]
struct MaskFromAlpha {
    image: ImageField,
    #[field(default = false)]
    invert: bool,
}

impl Invoke for MaskFromAlpha {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let mask = masks::from_last_band(&load(cx, &self.image)?);
        store_mask(cx, if self.invert { chops::invert(&mask) } else { mask })
    }
}

/// A mask of the edges of a mask.
#[derive(Debug, Deserialize, Node)]
#[node(id = "mask_edge", title = "Mask Edge", version = "1.2.2", category = "mask", tags("image", "mask", "inpaint"), output = ImageOutput, board, metadata)]
struct MaskEdge {
    image: ImageField,
    edge_size: i64,
    edge_blur: i64,
    low_threshold: i64,
    high_threshold: i64,
}

impl Invoke for MaskEdge {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let mask = load(cx, &self.image)?;
        store_mask(
            cx,
            masks::edge(&mask, self.edge_size, self.edge_blur, self.low_threshold, self.high_threshold),
        )
    }
}

/// Two masks multiplied.
#[derive(Debug, Deserialize, Node)]
#[node(id = "mask_combine", title = "Combine Masks", version = "1.2.2", category = "mask", tags("image", "mask", "multiply"), output = ImageOutput, board, metadata)]
struct MaskCombine {
    mask1: ImageField,
    mask2: ImageField,
}

impl Invoke for MaskCombine {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let (first, second) = (load_as(cx, &self.mask1, Mode::L)?, load_as(cx, &self.mask2, Mode::L)?);
        store_mask(cx, chops::multiply(&first, &second)?)
    }
}

/// A mask of what is near a colour.
#[derive(Debug, Deserialize, Node)]
#[node(id = "mask_from_id", title = "Mask from Segmented Image", version = "1.0.1", category = "mask", tags("image", "mask", "id"), output = ImageOutput, board, metadata)]
struct MaskFromID {
    image: ImageField,
    color: ColorField,
    #[field(default = 100)]
    threshold: i64,
    #[field(default = false)]
    invert: bool,
}

impl Invoke for MaskFromID {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let mask = masks::from_color(&load(cx, &self.image)?, color_bytes(self.color), self.threshold);
        store_mask(cx, if self.invert { chops::invert(&mask) } else { mask })
    }
}

/// A mask in two tones, its white fading in from its black.
#[derive(Debug, Deserialize, Node)]
#[node(id = "expand_mask_with_fade", title = "Expand Mask with Fade", version = "1.0.1", category = "mask", tags("image", "mask"), output = ImageOutput, board, metadata)]
struct ExpandMaskWithFade {
    mask: ImageField,
    #[field(default = 0, ge = 0, le = 255)]
    threshold: i64,
    #[field(default = 32, ge = 0)]
    fade_size_px: i64,
}

impl Invoke for ExpandMaskWithFade {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let mask = load(cx, &self.mask)?;
        let fade = usize::try_from(self.fade_size_px).unwrap_or(0);
        store_mask(cx, masks::fade(&mask, self.threshold as u8, fade))
    }
}

/// A picture with a mask for its opacity.
#[derive(Debug, Deserialize, Node)]
#[node(id = "apply_mask_to_image", title = "Apply Mask to Image", version = "1.0.0", category = "mask", tags("image", "mask", "blend"), output = ImageOutput, board, metadata)]
struct ApplyMaskToImage {
    image: ImageField,
    mask: ImageField,
    #[field(default = false)]
    invert_mask: bool,
}

impl Invoke for ApplyMaskToImage {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let mask = load_as(cx, &self.mask, Mode::L)?;
        let mask = if self.invert_mask { chops::invert(&mask) } else { mask };
        store(cx, masks::as_opacity(&load(cx, &self.image)?, &mask)?)
    }
}

/// The rectangle that holds all pixels of a colour, grown by a margin; zeros where there are none.
#[derive(Debug, Deserialize, Node)]
#[node(id = "get_image_mask_bounding_box", title = "Get Image Mask Bounding Box", version = "1.0.0", category = "mask", tags("mask"), output = BoundingBoxOutput)]
struct GetMaskBoundingBox {
    mask: ImageField,
    #[field(default = 0)]
    margin: i64,
    #[field(json = "{\"r\": 255, \"g\": 255, \"b\": 255, \"a\": 255}")]
    mask_color: ColorField,
}

impl Invoke for GetMaskBoundingBox {
    fn invoke(self, cx: &dyn NodeCx) -> Result<BoundingBoxOutput, NodeError> {
        let mask = load_as(cx, &self.mask, Mode::Rgba)?;
        let (width, height) = (mask.width() as i64, mask.height() as i64);
        let of_color = masks::from_color(&mask, color_bytes(self.mask_color), 1);
        let margin = place(self.margin);
        let found = of_color.bounding_box().map_or([0; 4], |(left, top, right, bottom)| {
            // The last row and column found, not those after them.
            let (right, bottom) = (right as i64 - 1, bottom as i64 - 1);
            [
                (left as i64 - margin).max(0),
                (top as i64 - margin).max(0),
                (right + margin).min(width),
                (bottom + margin).min(height),
            ]
        });
        let [x_min, y_min, x_max, y_max] = found;
        Ok(BoundingBoxOutput {
            bounding_box: BoundingBoxField {
                x_min,
                x_max,
                y_min,
                y_max,
                score: None,
            },
        })
    }
}

/// A picture laid on another where the mask is black, its edge widened and blurred.
#[derive(Debug, Deserialize, Node)]
#[node(id = "canvas_paste_back", title = "Canvas Paste Back", version = "1.0.1", category = "canvas", tags("image", "combine"), output = ImageOutput, board, metadata)]
struct CanvasPasteBack {
    source_image: ImageField,
    target_image: ImageField,
    mask: ImageField,
    #[field(default = 0, ge = 0)]
    mask_blur: i64,
}

impl Invoke for CanvasPasteBack {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let mut source = load(cx, &self.source_image)?;
        let target = load(cx, &self.target_image)?;
        let mask = masks::for_pasting(&load(cx, &self.mask)?, blur(self.mask_blur)?);
        paste(&mut source, &target, 0, 0, Some(&mask))?;
        store(cx, source)
    }
}

/// As pasting back; without a source picture, the generated one with the mask for its opacity.
#[derive(Debug, Deserialize, Node)]
#[node(id = "canvas_v2_mask_and_crop", title = "Canvas V2 Mask and Crop", version = "1.0.0", category = "canvas", tags("image", "mask", "id"), output = ImageOutput, classification = Deprecated, board, metadata)]
struct CanvasV2MaskAndCrop {
    source_image: Option<ImageField>,
    generated_image: ImageField,
    mask: ImageField,
    #[field(default = 0, ge = 0)]
    mask_blur: i64,
}

impl Invoke for CanvasV2MaskAndCrop {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let mask = masks::for_pasting(&load(cx, &self.mask)?, blur(self.mask_blur)?);
        let generated = load(cx, &self.generated_image)?;
        let out = match &self.source_image {
            Some(source) => {
                let mut source = load(cx, source)?;
                paste(&mut source, &generated, 0, 0, Some(&mask))?;
                source
            }
            None => generated.with_alpha(&mask)?,
        };
        store(cx, out)
    }
}
