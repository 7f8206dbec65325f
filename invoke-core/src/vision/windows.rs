//! Attention within windows of a picture, as Swin transformers and those after them have it.

use candle_core::{DType, Device, Tensor};

use super::layers::{softmax, unit};
use crate::diffusion::{
    Result,
    ops::{AttentionMask, Linear, attention},
    weights::Weights,
};

/// Windows that are computed at a time: their biases are made for each head and would not fit into memory for all.
const AT_A_TIME: usize = 64;
/// Biases that are made at a time, if one window has no more: so many floats.
const BIASES_AT_A_TIME: usize = 1 << 25;
/// The most biases that a file may have made for a window.
const MOST_BIASES: usize = 1 << 22;
/// Bytes that a model of windows takes at most.
const MOST_BYTES: u64 = 4 << 30;
/// What the table of biases by distance is called in most files.
pub(super) const BIASES: &str = "relative_position_bias_table";

/// How a picture is cut into windows.
#[derive(Debug)]
pub(super) struct Cut {
    /// Pixels down and across a window.
    sides: [usize; 2],
    /// The picture's height and width.
    size: [usize; 2],
    /// For each pixel of each window its place in the picture.
    order: Tensor,
    /// The other way round.
    back: Tensor,
    /// For each pixel of each window which part of the picture it is from: pixels of different parts do not see each other.
    parts: Option<Vec<u8>>,
}

impl Cut {
    /// Of a picture whose sides are multiples of `side`, after it was pushed `shift` pixels up and to the left, around its edges.
    pub(super) fn new(h: usize, w: usize, side: usize, shift: usize, device: &Device) -> Result<Self> {
        Self::rectangles([h, w], [side; 2], [shift; 2], device)
    }

    /// The same with windows that may be taller than broad, or the other way round; of all pairs the first is along the height.
    pub(super) fn rectangles([h, w]: [usize; 2], sides: [usize; 2], shifts: [usize; 2], device: &Device) -> Result<Self> {
        let fits = |n: usize, side: usize, shift: usize| side > 0 && n.is_multiple_of(side) && shift < side;
        if !fits(h, sides[0], shifts[0]) || !fits(w, sides[1], shifts[1]) {
            return Err(candle_core::Error::Msg(format!(
                "{h}x{w} pixels do not divide into windows of {sides:?}, pushed by {shifts:?}"
            ))
            .into());
        }
        let [tall, broad] = sides;
        let mut parts = Vec::new();
        // What was pushed around an edge is a part of its own, as is the last window before it.
        let part = |at: usize, n: usize, axis: usize| u8::from(at >= n - sides[axis]) + u8::from(at >= n - shifts[axis]);
        let cut = Self::by([h, w], sides, device, |[row, column], [down, across]| {
            let (y, x) = (row * tall + down, column * broad + across);
            parts.push(3 * part(y, h, 0) + part(x, w, 1));
            [(y + shifts[0]) % h, (x + shifts[1]) % w]
        })?;
        Ok(Self {
            parts: (shifts != [0, 0]).then_some(parts),
            ..cut
        })
    }

    /// With windows that are spread over the picture: of each rectangle that has a pixel for every window, each window has the pixel in the same place.
    pub(super) fn spread([h, w]: [usize; 2], sides: [usize; 2], device: &Device) -> Result<Self> {
        let [tall, broad] = [h / sides[0].max(1), w / sides[1].max(1)];
        if sides.contains(&0) || [tall * sides[0], broad * sides[1]] != [h, w] {
            return Err(candle_core::Error::Msg(format!("{h}x{w} pixels do not divide among windows of {sides:?}")).into());
        }
        Self::by([h, w], sides, device, |[row, column], [down, across]| {
            [down * tall + row, across * broad + column]
        })
    }

    /// With what `place` says of the pixel in a row and column of the window in a row and column: its own row and column.
    fn by(
        [h, w]: [usize; 2],
        sides: [usize; 2],
        device: &Device,
        mut place: impl FnMut([usize; 2], [usize; 2]) -> [usize; 2],
    ) -> Result<Self> {
        let ([tall, broad], columns) = (sides, w / sides[1]);
        let (mut order, mut back) = (Vec::new(), vec![0_u32; h * w]);
        for window in 0..h / tall * columns {
            for pixel in 0..tall * broad {
                let [y, x] = place([window / columns, window % columns], [pixel / broad, pixel % broad]);
                back[y * w + x] = order.len() as u32;
                order.push((y * w + x) as u32);
            }
        }
        Ok(Self {
            sides,
            size: [h, w],
            order: Tensor::from_vec(order, h * w, device)?,
            back: Tensor::from_vec(back, h * w, device)?,
            parts: None,
        })
    }

    /// Pixels `[1, h * w, c]` by windows `[windows, pixels of one, c]`.
    pub(super) fn windows(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, c) = x.dims3()?;
        let pixels = self.sides[0] * self.sides[1];
        Ok(x.contiguous()?.index_select(&self.order, 1)?.reshape(((), pixels, c))?)
    }

    /// Pixels `[1, h * w, c]` by larger windows around those of a cut into squares without a shift, zeros beyond the picture: `[windows, larger², c]`.
    pub(super) fn around(&self, x: &Tensor, larger: usize) -> Result<Tensor> {
        let ([h, w], (_, _, c)) = (self.size, x.dims3()?);
        let side = self.sides[0];
        let margin = (larger - side) / 2;
        let mut order = Vec::new();
        for window in 0..(h / side) * (w / side) {
            let (top, left) = (window / (w / side) * side, window % (w / side) * side);
            for pixel in 0..larger * larger {
                let (y, x) = (top + pixel / larger, left + pixel % larger);
                let inside = (margin..h + margin).contains(&y) && (margin..w + margin).contains(&x);
                // The last row is of zeros.
                order.push(if inside { (y - margin) * w + x - margin } else { h * w } as u32);
            }
        }
        let count = order.len();
        let order = Tensor::from_vec(order, count, x.device())?;
        let zeros = Tensor::zeros((1, 1, c), x.dtype(), x.device())?;
        let all = Tensor::cat(&[&x.contiguous()?, &zeros], 1)?;
        Ok(all.index_select(&order, 1)?.reshape(((), larger * larger, c))?)
    }

    /// The other way round.
    pub(super) fn pixels(&self, x: &Tensor) -> Result<Tensor> {
        let (n, pixels, c) = x.dims3()?;
        Ok(x.reshape((1, n * pixels, c))?.index_select(&self.back, 1)?)
    }

    /// Which pixels of windows `from..from + count` do not see each other: `[count, 1, n, n]` of 0 and -100 for windows of `n` pixels.
    pub(super) fn mask(&self, from: usize, count: usize, device: &Device) -> Result<Option<Tensor>> {
        let Some(parts) = &self.parts else { return Ok(None) };
        let pixels = self.sides[0] * self.sides[1];
        let mut mask = Vec::with_capacity(count * pixels * pixels);
        for window in parts[from * pixels..(from + count) * pixels].chunks_exact(pixels) {
            for a in window {
                mask.extend(window.iter().map(|b| if a == b { 0.0_f32 } else { -100.0 }));
            }
        }
        Ok(Some(Tensor::from_vec(mask, (count, 1, pixels, pixels), device)?))
    }
}

/// Attention with a bias for each head and distance.
#[derive(Debug)]
pub(super) struct WindowAttention {
    qkv: Linear,
    out: Linear,
    /// `[heads, side², side²]`
    bias: Tensor,
    heads: usize,
}

/// Side of the windows that a table of biases is for.
pub(super) fn side_of_table(rows: usize) -> Option<usize> {
    let all = rows.isqrt();
    (all * all == rows && all % 2 == 1 && all <= 127).then(|| all.div_ceil(2))
}

/// Whether heads of windows whose pixels see so many others have more biases than anybody needs.
pub(super) fn too_many_biases(heads: usize, own: usize, others: usize) -> bool {
    heads.checked_mul(own * others).is_none_or(|n| n > MOST_BIASES)
}

impl WindowAttention {
    /// `weights` has `qkv`, `proj` and `relative_position_bias_table [(2 side - 1)², heads]`.
    pub(super) fn load(weights: &Weights, width: usize) -> Result<(Self, usize)> {
        let (qkv, out) = (
            weights.at("qkv").linear(width, 3 * width)?,
            weights.at("proj").linear(width, width)?,
        );
        Self::new(weights, BIASES, width, qkv, out)
    }

    /// From the products for queries, keys and values as one, the product for what was seen, and the tensor `table [(2 side - 1)², heads]`
    /// in `weights`; with the side of its windows.
    pub(super) fn new(weights: &Weights, table: &str, width: usize, qkv: Linear, out: Linear) -> Result<(Self, usize)> {
        match weights.require(table)?.as_slice() {
            [_, heads] if *heads > 0 && width.is_multiple_of(*heads) => {}
            other => return Err(weights.corrupt(format!("`{}.{table}` has shape {other:?}", weights.path()))),
        }
        Self::with_table(weights, table, &weights.read(table)?, qkv, out)
    }

    /// The same from a table that was computed from the tensor `from` in `weights`; heads divide the width.
    pub(super) fn with_table(weights: &Weights, from: &str, table: &Tensor, qkv: Linear, out: Linear) -> Result<(Self, usize)> {
        let ((rows, heads), path) = (table.dims2()?, weights.path());
        let side = side_of_table(rows).ok_or_else(|| weights.corrupt(format!("`{path}.{from}` is of no square window")))?;
        let pixels = side * side;
        if too_many_biases(heads, pixels, pixels) {
            return Err(weights.corrupt(format!("`{path}.{from}` is for windows of {side} pixels and {heads} heads")));
        }
        let distances: Vec<u32> = (0..pixels * pixels)
            .map(|i| {
                let (a, b) = (i / pixels, i % pixels);
                let apart = |a: usize, b: usize| a + side - 1 - b;
                (apart(a / side, b / side) * (2 * side - 1) + apart(a % side, b % side)) as u32
            })
            .collect();
        let distances = Tensor::from_vec(distances, pixels * pixels, weights.device())?;
        let bias = table.index_select(&distances, 0)?;
        // It is far larger than its table, and there is one for each of any number of blocks.
        weights.count(&bias);
        if weights.bytes_loaded() > MOST_BYTES {
            return Err(weights.corrupt(format!("the biases of its windows take more than {} GiB", MOST_BYTES >> 30)));
        }
        let attention = Self {
            qkv,
            out,
            bias: bias.t()?.contiguous()?.reshape((heads, pixels, pixels))?,
            heads,
        };
        Ok((attention, side))
    }

    /// From the two products alone: no distance counts for more than another within windows of `side`.
    pub(super) fn without_distances(qkv: Linear, out: Linear, heads: usize, side: usize, weights: &Weights) -> Result<Self> {
        let bias = Tensor::zeros((heads, side * side, side * side), weights.dtype(), weights.device())?;
        Ok(Self { qkv, out, bias, heads })
    }

    pub(super) fn heads(&self) -> usize {
        self.heads
    }

    /// Pixels `[1, h * w, width]` after attention within the windows of `cut`.
    pub(super) fn forward(&self, x: &Tensor, cut: &Cut) -> Result<Tensor> {
        self.look(&self.products(x)?, cut)
    }

    /// Queries, keys and values of pixels: `[1, h * w, 3 width]`.
    pub(super) fn products(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.qkv.forward(x)?)
    }

    /// The attention alone, from queries, keys and values.
    pub(super) fn look(&self, qkv: &Tensor, cut: &Cut) -> Result<Tensor> {
        let (qkv, device) = (cut.windows(qkv)?, qkv.device());
        let width = qkv.dim(2)? / 3;
        let part = |i: usize| qkv.narrow(2, i * width, width);
        let parts = [part(0)?, part(1)?, part(2)?];
        let seen = wide_attention([&parts[0], &parts[1], &parts[2]], self.heads, &self.bias, |from, count| {
            cut.mask(from, count, device)
        })?;
        Ok(self.out.forward(&cut.pixels(&seen)?)?)
    }
}

/// Attention within each window, `q [windows, n, c]`, `k, v [windows, m, c]`, with a bias for each head `[heads, n, m]` and what `mask` adds for windows
/// from one on, so many, `[count, 1, n, m]`.
pub(super) fn wide_attention(
    all: [&Tensor; 3],
    heads: usize,
    bias: &Tensor,
    mask: impl Fn(usize, usize) -> Result<Option<Tensor>>,
) -> Result<Tensor> {
    let ((windows, n, width), m) = (all[0].dims3()?, all[1].dim(1)?);
    let each = width / heads;
    let step = (BIASES_AT_A_TIME / (heads * n * m).max(1)).clamp(1, AT_A_TIME);
    let mut done = Vec::new();
    for from in (0..windows).step_by(step) {
        let count = step.min(windows - from);
        let split = |x: &Tensor, pixels: usize| -> Result<Tensor> {
            let part = x.narrow(0, from, count)?.contiguous()?.reshape((count, pixels, heads, each))?;
            Ok(part.permute((0, 2, 1, 3))?.contiguous()?.reshape((count * heads, pixels, each))?)
        };
        let (q, k, v) = (split(all[0], n)?, split(all[1], m)?, split(all[2], m)?);
        let bias = match mask(from, count)? {
            Some(mask) => bias.unsqueeze(0)?.broadcast_add(&mask.to_dtype(bias.dtype())?)?,
            None => bias.unsqueeze(0)?.broadcast_as((count, heads, n, m))?.contiguous()?,
        };
        let bias = bias.reshape((count * heads, n, m))?;
        let seen = attention(&q, &k, &v, 1, AttentionMask::Bias(&bias))?;
        let seen = seen.reshape((count, heads, n, each))?.permute((0, 2, 1, 3))?.contiguous()?;
        done.push(seen.reshape((count, n, width))?);
    }
    Ok(Tensor::cat(&done, 0)?)
}

/// Attention among the channels of each window by how alike they are: `[windows, c, n]` for queries, keys and values `qkv [windows, n, 3 c]`;
/// `temperature [heads, 1, 1]`.
pub(super) fn channel_attention(qkv: &Tensor, temperature: &Tensor) -> Result<Tensor> {
    let ((windows, pixels, three), heads) = (qkv.dims3()?, temperature.dim(0)?);
    let (width, each) = (three / 3, three / 3 / heads);
    let part = |which: usize| -> Result<Tensor> {
        let part = qkv.narrow(2, which * width, width)?.transpose(1, 2)?.contiguous()?;
        Ok(part.reshape((windows, heads, each, pixels))?)
    };
    let alike = unit(&part(0)?)?.matmul(&unit(&part(1)?)?.transpose(2, 3)?.contiguous()?)?;
    let shares = softmax(&alike.broadcast_mul(temperature)?.to_dtype(DType::F32)?, 3)?.to_dtype(qkv.dtype())?;
    Ok(shares.matmul(&part(2)?)?.reshape((windows, width, pixels))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_back() -> Result<()> {
        let x = Tensor::arange(0_f32, 4.0 * 6.0, &Device::Cpu)?.reshape((1, 24, 1))?;
        for shift in [0, 1] {
            let cut = Cut::new(4, 6, 2, shift, &Device::Cpu)?;
            let windows = cut.windows(&x)?;
            assert_eq!(windows.dims(), [6, 4, 1]);
            let first: Vec<f32> = windows.get(0)?.flatten_all()?.to_vec1()?;
            let expected = if shift == 0 { [0.0, 1.0, 6.0, 7.0] } else { [7.0, 8.0, 13.0, 14.0] };
            assert_eq!(first, expected);
            let back: Vec<f32> = cut.pixels(&windows)?.flatten_all()?.to_vec1()?;
            assert_eq!(back, x.flatten_all()?.to_vec1::<f32>()?);
        }
        // The last window of a shifted cut holds pixels from all four corners; none sees another.
        let cut = Cut::new(4, 6, 2, 1, &Device::Cpu)?;
        let mask: Vec<f32> = cut
            .mask(5, 1, &Device::Cpu)?
            .expect("a shifted cut has a mask")
            .flatten_all()?
            .to_vec1()?;
        assert_eq!(mask.iter().filter(|v| **v == 0.0).count(), 4);
        assert!(Cut::new(4, 6, 4, 0, &Device::Cpu).is_err());
        // Windows of two by three, pushed by one pixel up and two to the left.
        let cut = Cut::rectangles([4, 6], [2, 3], [1, 2], &Device::Cpu)?;
        let first: Vec<f32> = cut.windows(&x)?.get(0)?.flatten_all()?.to_vec1()?;
        assert_eq!(first, [8.0, 9.0, 10.0, 14.0, 15.0, 16.0]);
        let back: Vec<f32> = cut.pixels(&cut.windows(&x)?)?.flatten_all()?.to_vec1()?;
        assert_eq!(back, x.flatten_all()?.to_vec1::<f32>()?);
        assert!(Cut::rectangles([4, 6], [2, 3], [2, 0], &Device::Cpu).is_err());
        // The same windows, spread: of each square of two by two pixels the second window has the one at the upper right.
        let cut = Cut::spread([4, 6], [2, 3], &Device::Cpu)?;
        let second: Vec<f32> = cut.windows(&x)?.get(1)?.flatten_all()?.to_vec1()?;
        assert_eq!(second, [1.0, 3.0, 5.0, 13.0, 15.0, 17.0]);
        let back: Vec<f32> = cut.pixels(&cut.windows(&x)?)?.flatten_all()?.to_vec1()?;
        assert_eq!(back, x.flatten_all()?.to_vec1::<f32>()?);
        assert!(Cut::spread([4, 6], [2, 4], &Device::Cpu).is_err() && Cut::spread([4, 6], [0, 3], &Device::Cpu).is_err());
        assert_eq!(
            (side_of_table(225), side_of_table(169), side_of_table(16)),
            (Some(8), Some(7), None)
        );
        Ok(())
    }
}
