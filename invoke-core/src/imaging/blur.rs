//! Blurs, to the bit as Pillow's `BoxBlur`, `GaussianBlur` and `SMOOTH`.

use rayon::prelude::*;

use super::{Mode, PARALLEL_FROM, Picture};

/// One box blur along a line. Edges are extended by their last sample.
struct LineBox {
    radius: usize,
    weight: u32,
    edge_weight: u32,
}

impl LineBox {
    fn new(radius: f32) -> Self {
        let whole = radius as u32;
        let weight = ((1u32 << 24) as f32 / (radius * 2.0 + 1.0)) as u32;
        let edge_weight = ((1u32 << 24) - (whole * 2 + 1) * weight) / 2;
        Self {
            radius: whole as usize,
            weight,
            edge_weight,
        }
    }

    fn run(&self, target: &mut [u8], source: &[u8]) {
        let last = source.len() - 1;
        let r = self.radius;
        let at = |i: usize| u32::from(source[i.min(last)]);
        // The window that ends before sample r, as if it were centred on sample -1.
        let mut sum = u32::from(source[0]).wrapping_mul(r as u32 + 1);
        for i in 0..r {
            sum = sum.wrapping_add(at(i));
        }
        for (x, out) in target.iter_mut().enumerate() {
            let leaving = u32::from(source[x.saturating_sub(r + 1)]);
            sum = sum.wrapping_add(at(x + r)).wrapping_sub(leaving);
            let bulk = sum
                .wrapping_mul(self.weight)
                .wrapping_add((leaving + at(x + r + 1)).wrapping_mul(self.edge_weight));
            *out = (bulk.wrapping_add(1 << 23) >> 24) as u8;
        }
    }

    /// `passes` blurs along every line of `length` samples.
    fn lines(&self, plane: &mut [u8], length: usize, passes: usize) {
        let line = |line: &mut [u8]| {
            let mut spare = line.to_vec();
            for _ in 0..passes {
                self.run(line, &spare);
                spare.copy_from_slice(line);
            }
        };
        if plane.len() < PARALLEL_FROM {
            plane.chunks_exact_mut(length).for_each(line);
        } else {
            plane.par_chunks_exact_mut(length).for_each(line);
        }
    }
}

fn transpose(plane: &[u8], width: usize, height: usize) -> Vec<u8> {
    const TILE: usize = 32;
    let mut out = vec![0u8; plane.len()];
    for ty in (0..height).step_by(TILE) {
        for tx in (0..width).step_by(TILE) {
            for y in ty..(ty + TILE).min(height) {
                for x in tx..(tx + TILE).min(width) {
                    out[x * height + y] = plane[y * width + x];
                }
            }
        }
    }
    out
}

fn blur(picture: &Picture, radius: f32, passes: usize) -> Picture {
    if radius <= 0.0 || picture.width() == 0 || picture.height() == 0 {
        return picture.clone();
    }
    let (width, height) = picture.size();
    let line = LineBox::new(radius);
    let mut bands = picture.split();
    for band in &mut bands {
        let plane = band.data_mut();
        line.lines(plane, width, passes);
        let mut turned = transpose(plane, width, height);
        line.lines(&mut turned, height, passes);
        plane.copy_from_slice(&transpose(&turned, height, width));
    }
    let bands: Vec<&Picture> = bands.iter().collect();
    Picture::merge(picture.mode(), &bands).expect("bands of one picture are of one size")
}

/// The mean over a square of 2 x `radius` + 1 pixels; fractional radii weigh the rim in part. All bands alike.
pub fn box_blur(picture: &Picture, radius: f32) -> Picture {
    blur(picture, radius, 1)
}

/// Three box blurs that together have the standard deviation `radius`. All bands alike.
pub fn gaussian_blur(picture: &Picture, radius: f32) -> Picture {
    const PASSES: usize = 3;
    let variance = radius * radius / PASSES as f32;
    let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
    let whole = ((f64::from(length) - 1.0) / 2.0).floor() as f32;
    let mut part = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance);
    part /= 6.0 * (variance - (whole + 1.0) * (whole + 1.0));
    blur(picture, whole + part, PASSES)
}

/// The 3x3 kernel 1 1 1 / 1 5 1 / 1 1 1 over 13; the outermost pixels stay.
pub fn smooth(picture: &Picture) -> Picture {
    let (width, height) = picture.size();
    let mut out = picture.clone();
    if width < 3 || height < 3 {
        return out;
    }
    let n = picture.bands();
    let stride = width * n;
    let source = picture.data();
    let (side, centre) = (1.0f32 / 13.0, 5.0f32 / 13.0);
    for y in 1..height - 1 {
        for i in n..stride - n {
            let at = y * stride + i;
            let row = |at: usize, middle: f32| {
                f32::from(source[at - n]) * side + f32::from(source[at]) * middle + f32::from(source[at + n]) * side
            };
            let sum = 0.5 + row(at + stride, side) + row(at, centre) + row(at - stride, side);
            out.data_mut()[at] = sum as u8;
        }
    }
    debug_assert_ne!(out.mode(), Mode::Cmyk, "enhancers see no inks");
    out
}
