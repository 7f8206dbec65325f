//! Working in overlapping tiles, so that memory does not grow with the picture.

use candle_core::{DType, Tensor};

use crate::diffusion::error::{ModelError, Result};

/// Part of a tile that it shares with its neighbour.
const OVERLAP: f64 = 0.25;

/// How a picture is cut into tiles. Neighbours share a quarter of a tile's side and are blended linearly there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// Side of a tile in pixels.
    pub pixels: usize,
    /// Side of a tile in latents.
    pub latent: usize,
}

impl Tiling {
    /// `tile_size` in pixels, 0 for the model's own size; `scale` pixels make a latent. Errors if a tile is under four latents.
    pub(super) fn new(tile_size: usize, own_size: usize, scale: usize) -> Result<Self> {
        let pixels = if tile_size == 0 { own_size } else { tile_size };
        let latent = pixels / scale;
        if latent < 4 {
            return Err(ModelError::Input(format!(
                "`tile_size` is {pixels} pixels, at least {} expected",
                4 * scale
            )));
        }
        Ok(Self { pixels, latent })
    }

    /// Whether something of `h` by `w` is larger than a tile with sides of `tile`.
    pub(super) fn is_needed(h: usize, w: usize, tile: usize) -> bool {
        h > tile || w > tile
    }

    /// Runs `work` on tiles of `x [b, c, h, w]` with sides of up to `tile_in`, whose results have sides of up to `tile_out`, and
    /// joins the results.
    pub(super) fn run(
        x: &Tensor,
        tile_in: usize,
        tile_out: usize,
        work: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
    ) -> candle_core::Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let stride = (tile_in as f64 * (1.0 - OVERLAP)) as usize;
        let blend = (tile_out as f64 * OVERLAP) as usize;
        let keep = tile_out - blend;
        let crop = |tile: &Tensor| {
            let (_, _, th, tw) = tile.dims4()?;
            tile.narrow(2, 0, th.min(keep))?.narrow(3, 0, tw.min(keep))
        };
        let mut above: Vec<Tensor> = Vec::new();
        let mut rows = Vec::new();
        for top in (0..h).step_by(stride) {
            let mut row: Vec<Tensor> = Vec::new();
            for (column, left) in (0..w).step_by(stride).enumerate() {
                let part = x
                    .narrow(2, top, tile_in.min(h - top))?
                    .narrow(3, left, tile_in.min(w - left))?
                    .contiguous()?;
                let mut tile = work(&part)?;
                if let Some(upper) = above.get(column) {
                    tile = blend_edge(upper, &tile, 2, blend)?;
                }
                if let Some(before) = row.last() {
                    tile = blend_edge(before, &tile, 3, blend)?;
                }
                row.push(tile);
            }
            let kept: Vec<Tensor> = row.iter().map(crop).collect::<candle_core::Result<_>>()?;
            rows.push(Tensor::cat(&kept, 3)?);
            above = row;
        }
        Tensor::cat(&rows, 2)
    }
}

/// Blends the end of `a` along `axis` into the beginning of `b`, over at most `extent` pixels.
fn blend_edge(a: &Tensor, b: &Tensor, axis: usize, extent: usize) -> candle_core::Result<Tensor> {
    let (len_a, len_b) = (a.dim(axis)?, b.dim(axis)?);
    let extent = extent.min(len_a).min(len_b);
    if extent == 0 {
        return Ok(b.clone());
    }
    let ramp: Vec<f32> = (0..extent).map(|i| i as f32 / extent as f32).collect();
    let mut shape = [1; 4];
    shape[axis] = extent;
    let ramp = Tensor::from_vec(ramp, &shape, b.device())?;
    let fade = ramp.affine(-1.0, 1.0)?.to_dtype(b.dtype())?;
    let ramp = ramp.to_dtype(b.dtype())?;
    let end = a.narrow(axis, len_a - extent, extent)?;
    let begin = b.narrow(axis, 0, extent)?;
    let mixed = (end.broadcast_mul(&fade)? + begin.broadcast_mul(&ramp)?)?;
    match len_b - extent {
        0 => Ok(mixed),
        rest => Tensor::cat(&[&mixed, &b.narrow(axis, extent, rest)?], axis),
    }
}

/// A decoded picture, `[3, h, w]` or `[1, 3, h, w]` in -1 to 1, as rows of RGB bytes: halved, raised, clamped and rounded.
/// Returns (width, height, bytes).
pub fn to_rgb(picture: &Tensor) -> Result<(usize, usize, Vec<u8>)> {
    let picture = if picture.rank() == 4 { picture.get(0)? } else { picture.clone() };
    let (channels, h, w) = picture.dims3()?;
    if channels != 3 {
        return Err(ModelError::Input(format!("a picture has 3 channels, not {channels}")));
    }
    let values: Vec<f32> = picture
        .to_dtype(DType::F32)?
        .permute((1, 2, 0))?
        .contiguous()?
        .flatten_all()?
        .to_vec1()?;
    let bytes = values
        .iter()
        .map(|v| ((v / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8)
        .collect();
    Ok((w, h, bytes))
}
