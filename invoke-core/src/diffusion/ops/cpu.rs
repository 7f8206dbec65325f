//! Tensors of single floats on the CPU, as slices; and the memory layout of pictures there.
//!
//! Pictures are `[b, c, h, w]` everywhere. On the CPU their memory is channels-last (`[b, h, w, c]`), which a permuted tensor
//! expresses without a copy; the operations here return such tensors and take either layout, the other at the price of a copy.

use candle_core::{CpuStorage, DType, Device, Result, Storage, StorageRef, Tensor};

/// Whether the kernels apply to a tensor.
pub(super) fn suits(x: &Tensor) -> bool {
    x.dtype() == DType::F32 && x.device().is_cpu()
}

/// Whether there are kernels for a layer of such weights: single floats, or bfloat16, with which they take and give single floats all the same.
pub(super) fn suits_weights(x: &Tensor) -> bool {
    matches!(x.dtype(), DType::F32 | DType::BF16) && x.device().is_cpu()
}

/// Weights that are few, in the type of what they are applied to: on the CPU that is never bfloat16.
pub(super) fn single(x: Tensor) -> Result<Tensor> {
    if x.dtype() == DType::BF16 && x.device().is_cpu() {
        x.to_dtype(DType::F32)
    } else {
        Ok(x)
    }
}

/// A tensor's bfloat16 numbers, copied.
pub(super) fn halves(x: &Tensor) -> Result<Vec<half::bf16>> {
    x.flatten_all()?.to_vec1()
}

/// A contiguous tensor's floats, or a wider view's (see [`rows`]), while they are looked at.
pub(super) struct Floats<'a> {
    storage: StorageRef<'a>,
    start: usize,
    len: Option<usize>,
}

impl Floats<'_> {
    /// The floats.
    pub(super) fn slice(&self) -> Result<&[f32]> {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(all)) => Ok(self
                .len
                .map_or_else(|| &all[self.start..], |len| &all[self.start..self.start + len])),
            _ => candle_core::bail!("single floats on the cpu were expected"),
        }
    }
}

/// The floats of a contiguous tensor.
pub(super) fn floats(x: &Tensor) -> Result<Floats<'_>> {
    if !x.is_contiguous() {
        candle_core::bail!("a contiguous tensor was expected, not strides {:?} of {:?}", x.stride(), x.dims());
    }
    let (storage, layout) = x.storage_and_layout();
    Ok(Floats {
        storage,
        start: layout.start_offset(),
        len: Some(x.elem_count()),
    })
}

/// The floats from the start of `x [b, n, width]` on, if its rows are whole and evenly spaced, and the distance between them.
pub(super) fn rows(x: &Tensor) -> Result<Option<(Floats<'_>, usize)>> {
    let (b, n, width) = x.dims3()?;
    let [outer, stride, inner] = *x.stride() else {
        candle_core::bail!("three strides were expected")
    };
    // The stride of an axis of length 1 says nothing.
    let distance = match (b, n) {
        (_, 2..) => stride,
        (2.., _) => outer,
        _ => width,
    };
    let even = (b <= 1 || n <= 1 || outer == n * stride) && (width <= 1 || inner == 1) && distance >= width;
    let (storage, layout) = x.storage_and_layout();
    Ok(even.then(|| {
        (
            Floats {
                storage,
                start: layout.start_offset(),
                len: None,
            },
            distance,
        )
    }))
}

/// A picture's memory as a contiguous tensor `[b, h, w, c]`.
pub(super) fn channels_last(x: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let last = x.permute((0, 2, 3, 1))?;
    if last.is_contiguous() {
        return Ok(last);
    }
    let x = x.contiguous()?;
    let swapped = invoke_kernels::to_channels_last(floats(&x)?.slice()?, b, c);
    Tensor::from_vec(swapped, (b, h, w, c), &Device::Cpu)
}

/// A picture `[b, c, h, w]` from channels-last floats.
pub(super) fn picture(data: Vec<f32>, (b, c, h, w): (usize, usize, usize, usize)) -> Result<Tensor> {
    Tensor::from_vec(data, (b, h, w, c), &Device::Cpu)?.permute((0, 3, 1, 2))
}
