//! Masks as tensors: 1 where something holds, `[1, h, w]`.

use candle_core::{DType, Device, Tensor};
use image::{DynamicImage, GrayImage, RgbaImage};
use invoke_macros::Node;
use serde::Deserialize;

use crate::nodes::{
    Invoke, NodeCx, NodeEntry, NodeError, entry,
    fields::{ImageField, TensorField},
    outputs::{ImageOutput, MaskOutput},
    save,
    workbench::{keep, tensor},
};

pub(super) const NODES: &[NodeEntry] = &[
    entry::<AlphaMaskToTensor>(),
    entry::<ApplyMaskTensorToImage>(),
    entry::<ImageMaskToTensor>(),
    entry::<InvertTensorMask>(),
    entry::<MaskTensorToImage>(),
    entry::<RectangleMask>(),
];

fn kept(cx: &dyn NodeCx, bits: Vec<u8>, w: usize, h: usize) -> Result<MaskOutput, NodeError> {
    let mask = Tensor::from_vec(bits, (1, h, w), &Device::Cpu)?;
    Ok(MaskOutput {
        mask: TensorField {
            tensor_name: keep(cx, mask),
        },
        width: w as i64,
        height: h as i64,
    })
}

/// A kept mask as bytes 0 or 1, with its width and height. Masks of numbers count as set above one half.
fn bits(cx: &dyn NodeCx, mask: &TensorField) -> Result<(Vec<u8>, usize, usize), NodeError> {
    let mask = tensor(cx, &mask.tensor_name)?;
    let (w, h) = match *mask.dims() {
        [h, w] | [1, h, w] | [1, 1, h, w] => (w, h),
        ref dims => {
            return Err(NodeError::value(format!(
                "the mask has the shape {dims:?}, expected [height, width] with ones before it"
            )));
        }
    };
    let set: Vec<u8> = match mask.dtype() {
        DType::U8 => mask.flatten_all()?.to_vec1::<u8>()?.into_iter().map(|v| u8::from(v > 0)).collect(),
        _ => mask
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1::<f32>()?
            .into_iter()
            .map(|v| u8::from(v > 0.5))
            .collect(),
    };
    Ok((set, w, h))
}

/// Where a picture is not wholly transparent.
#[derive(Debug, Deserialize, Node)]
#[node(id = "alpha_mask_to_tensor", title = "Alpha Mask to Tensor", version = "1.0.0", category = "mask", tags("conditioning"), output = MaskOutput)]
struct AlphaMaskToTensor {
    image: ImageField,
    #[field(default = false)]
    invert: bool,
}

impl Invoke for AlphaMaskToTensor {
    fn invoke(self, cx: &dyn NodeCx) -> Result<MaskOutput, NodeError> {
        let picture = cx.load_image(&self.image.image_name)?.to_rgba8();
        let bits = picture.pixels().map(|p| u8::from((p.0[3] > 0) != self.invert)).collect();
        kept(cx, bits, picture.width() as usize, picture.height() as usize)
    }
}

/// Where a picture is dark.
#[derive(Debug, Deserialize, Node)]
#[node(id = "image_mask_to_tensor", title = "Image Mask to Tensor", version = "1.0.0", category = "mask", tags("conditioning"), output = MaskOutput, metadata)]
struct ImageMaskToTensor {
    image: ImageField,
    #[field(default = 128, ge = 0, le = 255)]
    cutoff: i64,
    #[field(default = false)]
    invert: bool,
}

impl Invoke for ImageMaskToTensor {
    fn invoke(self, cx: &dyn NodeCx) -> Result<MaskOutput, NodeError> {
        let picture = super::grey(&*cx.load_image(&self.image.image_name)?)?;
        let bits = picture
            .data()
            .iter()
            .map(|&v| u8::from((i64::from(v) < self.cutoff) != self.invert))
            .collect();
        kept(cx, bits, picture.width(), picture.height())
    }
}

/// The other pixels.
#[derive(Debug, Deserialize, Node)]
#[node(id = "invert_tensor_mask", title = "Invert Tensor Mask", version = "1.1.0", category = "mask", tags("conditioning"), output = MaskOutput)]
struct InvertTensorMask {
    mask: TensorField,
}

impl Invoke for InvertTensorMask {
    fn invoke(self, cx: &dyn NodeCx) -> Result<MaskOutput, NodeError> {
        let (set, w, h) = bits(cx, &self.mask)?;
        kept(cx, set.into_iter().map(|v| 1 - v).collect(), w, h)
    }
}

/// A rectangle.
#[derive(Debug, Deserialize, Node)]
#[node(id = "rectangle_mask", title = "Create Rectangle Mask", version = "1.0.1", category = "mask", tags("conditioning"), output = MaskOutput, metadata)]
struct RectangleMask {
    width: i64,
    height: i64,
    x_left: i64,
    y_top: i64,
    rectangle_width: i64,
    rectangle_height: i64,
}

impl Invoke for RectangleMask {
    fn invoke(self, cx: &dyn NodeCx) -> Result<MaskOutput, NodeError> {
        const MOST: i64 = 1 << 15;
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if !(1..=MOST).contains(&side) {
                return Err(NodeError::value(format!("{name} is {side}, expected 1 to {MOST}")));
            }
        }
        let inside = |at: i64, from: i64, size: i64| at >= from && at < from.saturating_add(size);
        let (w, h) = (self.width, self.height);
        let bits = (0..h)
            .flat_map(|y| (0..w).map(move |x| (x, y)))
            .map(|(x, y)| u8::from(inside(x, self.x_left, self.rectangle_width) && inside(y, self.y_top, self.rectangle_height)))
            .collect();
        kept(cx, bits, w as usize, h as usize)
    }
}

/// A mask as a grey picture: white where it is set.
#[derive(Debug, Deserialize, Node)]
#[node(id = "tensor_mask_to_image", title = "Tensor Mask to Image", version = "1.1.0", category = "mask", tags("mask"), output = ImageOutput, board, metadata)]
struct MaskTensorToImage {
    mask: TensorField,
}

impl Invoke for MaskTensorToImage {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let (set, w, h) = bits(cx, &self.mask)?;
        let samples = set.into_iter().map(|v| v * 255).collect();
        let picture = GrayImage::from_raw(w as u32, h as u32, samples)
            .ok_or_else(|| NodeError::runtime("the mask has the wrong number of pixels"))?;
        save(cx, DynamicImage::ImageLuma8(picture))
    }
}

/// A picture that is transparent where a mask is not set. What was transparent before stays so.
#[derive(Debug, Deserialize, Node)]
#[node(id = "apply_tensor_mask_to_image", title = "Apply Tensor Mask to Image", version = "1.0.0", category = "mask", tags("mask"), output = ImageOutput, board, metadata)]
struct ApplyMaskTensorToImage {
    mask: TensorField,
    image: ImageField,
    #[field(default = false)]
    invert: bool,
}

impl Invoke for ApplyMaskTensorToImage {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let (set, w, h) = bits(cx, &self.mask)?;
        let mut picture: RgbaImage = cx.load_image(&self.image.image_name)?.to_rgba8();
        if (picture.width() as usize, picture.height() as usize) != (w, h) {
            return Err(NodeError::value(format!(
                "the mask is {w}×{h}, the picture {}×{}: expected the same size",
                picture.width(),
                picture.height()
            )));
        }
        for (pixel, set) in picture.pixels_mut().zip(set) {
            if pixel.0[3] > 0 {
                pixel.0[3] = if (set > 0) == self.invert { 0 } else { 255 };
            }
        }
        save(cx, DynamicImage::ImageRgba8(picture))
    }
}
