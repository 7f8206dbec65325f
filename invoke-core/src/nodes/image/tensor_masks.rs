//! Masks as tensors of shape (1, height, width), one byte an element: 1 is on, 0 is off.

use candle_core::{DType, Device, Tensor};
use invoke_macros::Node;
use serde::Deserialize;

use super::{load_as, size, store};
use crate::{
    imaging::{ImagingError, Mode, Picture},
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{ImageField, TensorField},
        outputs::{ImageOutput, MaskOutput},
        workbench::{keep, tensor},
    },
};

/// Keeps a mask under a fresh name.
fn keep_mask(cx: &dyn NodeCx, data: Vec<u8>, width: usize, height: usize) -> Result<MaskOutput, NodeError> {
    let mask = Tensor::from_vec(data, (1, height, width), &Device::Cpu)?;
    Ok(MaskOutput {
        mask: TensorField {
            tensor_name: keep(cx, mask),
        },
        width: width as i64,
        height: height as i64,
    })
}

/// A kept mask's elements, width and height. Of a tensor of numbers, what is above one half is on.
fn read_mask(cx: &dyn NodeCx, field: &TensorField) -> Result<(Vec<u8>, usize, usize), NodeError> {
    let mask = tensor(cx, &field.tensor_name)?;
    let mask = match mask.dims() {
        [_, _] => mask,
        [1, _, _] => mask.squeeze(0)?,
        other => {
            return Err(NodeError::value(format!(
                "mask: expected a tensor of shape (1, height, width), got {other:?}"
            )));
        }
    };
    let (height, width) = mask.dims2()?;
    let mask = mask.to_device(&Device::Cpu)?.flatten_all()?;
    let data = if mask.dtype() == DType::U8 {
        mask.to_vec1::<u8>()?.into_iter().map(|v| u8::from(v > 0)).collect()
    } else {
        mask.to_dtype(DType::F32)?
            .to_vec1::<f32>()?
            .into_iter()
            .map(|v| u8::from(v > 0.5))
            .collect()
    };
    Ok((data, width, height))
}

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<RectangleMask>(),
    entry::<AlphaMaskToTensor>(),
    entry::<ImageMaskToTensor>(),
    entry::<InvertTensorMask>(),
    entry::<MaskTensorToImage>(),
    entry::<ApplyMaskTensorToImage>(),
];

/// A tensor mask that is on inside a rectangle.
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
        let (width, height) = size(self.width, self.height)?;
        // A negative start counts from the other end, as it does in a slice.
        let span = |start: i64, length: i64, whole: usize| {
            let whole = whole as i64;
            let at = |v: i64| (if v < 0 { v.saturating_add(whole) } else { v }).clamp(0, whole) as usize;
            (at(start), at(start.saturating_add(length)))
        };
        let (left, right) = span(self.x_left, self.rectangle_width, width);
        let (top, bottom) = span(self.y_top, self.rectangle_height, height);
        let mut data = vec![0u8; width * height];
        for row in data.chunks_exact_mut(width).take(bottom).skip(top) {
            if left < right {
                row[left..right].fill(1);
            }
        }
        keep_mask(cx, data, width, height)
    }
}

/// A tensor mask that is on where a picture is not fully transparent, or the other way round.
#[derive(Debug, Deserialize, Node)]
#[node(id = "alpha_mask_to_tensor", title = "Alpha Mask to Tensor", version = "1.0.0", category = "mask", tags("conditioning"), output = MaskOutput)]
struct AlphaMaskToTensor {
    image: ImageField,
    #[field(default = false)]
    invert: bool,
}

impl Invoke for AlphaMaskToTensor {
    fn invoke(self, cx: &dyn NodeCx) -> Result<MaskOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgba)?;
        let data = image
            .data()
            .iter()
            .skip(3)
            .step_by(4)
            .map(|a| u8::from((*a > 0) != self.invert))
            .collect();
        keep_mask(cx, data, image.width(), image.height())
    }
}

/// A tensor mask that is on where a picture is darker than the cutoff, or the other way round.
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
        let image = load_as(cx, &self.image, Mode::L)?;
        let data = image
            .data()
            .iter()
            .map(|v| u8::from((i64::from(*v) < self.cutoff) != self.invert))
            .collect();
        keep_mask(cx, data, image.width(), image.height())
    }
}

/// A tensor mask with on and off exchanged.
#[derive(Debug, Deserialize, Node)]
#[node(id = "invert_tensor_mask", title = "Invert Tensor Mask", version = "1.1.0", category = "mask", tags("conditioning"), output = MaskOutput)]
struct InvertTensorMask {
    mask: TensorField,
}

impl Invoke for InvertTensorMask {
    fn invoke(self, cx: &dyn NodeCx) -> Result<MaskOutput, NodeError> {
        let (data, width, height) = read_mask(cx, &self.mask)?;
        keep_mask(cx, data.into_iter().map(|v| 1 - v).collect(), width, height)
    }
}

/// A tensor mask as a grey picture.
#[derive(Debug, Deserialize, Node)]
#[node(id = "tensor_mask_to_image", title = "Tensor Mask to Image", version = "1.1.0", category = "mask", tags("mask"), output = ImageOutput, board, metadata)]
struct MaskTensorToImage {
    mask: TensorField,
}

impl Invoke for MaskTensorToImage {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let (data, width, height) = read_mask(cx, &self.mask)?;
        store(
            cx,
            Picture::from_samples(Mode::L, width, height, data.into_iter().map(|v| v * 255).collect())?,
        )
    }
}

/// A picture with a tensor mask for its opacity; what was fully transparent stays so.
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
        let image = load_as(cx, &self.image, Mode::Rgba)?;
        let (data, width, height) = read_mask(cx, &self.mask)?;
        if image.size() != (width, height) {
            return Err(ImagingError::Size(image.size(), (width, height)).into());
        }
        let mut out = image;
        for (alpha, on) in out.data_mut().iter_mut().skip(3).step_by(4).zip(data) {
            if *alpha > 0 {
                *alpha = if (on == 1) != self.invert { 255 } else { 0 };
            }
        }
        store(cx, out)
    }
}
