//! `cv2.resize` with `INTER_NEAREST`, `INTER_LINEAR`, `INTER_CUBIC` and `INTER_AREA`. The nearest and the linear are OpenCV's to the bit; the others may differ
//! by one level, since OpenCV's own depend on the processor.

use crate::imaging::Picture;

/// Source pixel floor(i x scale).
pub fn resize_nearest(picture: &Picture, width: usize, height: usize) -> Picture {
    let positions = |from: usize, to: usize| {
        let scale = from as f64 / to as f64;
        (0..to).map(move |i| ((i as f64 * scale).floor() as usize).min(from - 1))
    };
    let n = picture.bands();
    let columns: Vec<usize> = positions(picture.width(), width).collect();
    let mut data = Vec::with_capacity(width * height * n);
    for y in positions(picture.height(), height) {
        let row = picture.row(y);
        for x in &columns {
            data.extend_from_slice(&row[x * n..(x + 1) * n]);
        }
    }
    Picture::trusted(picture.mode(), width, height, data)
}

/// The source positions and weights of one target position.
type Taps = Vec<(usize, f32)>;

fn cubic_taps(from: usize, to: usize) -> Vec<Taps> {
    const A: f32 = -0.75;
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|i| {
            let at = ((i as f64 + 0.5) * scale - 0.5) as f32;
            let base = at.floor();
            let x = at - base;
            let w0 = ((A * (x + 1.0) - 5.0 * A) * (x + 1.0) + 8.0 * A) * (x + 1.0) - 4.0 * A;
            let w1 = ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
            let w2 = ((A + 2.0) * (1.0 - x) - (A + 3.0)) * (1.0 - x) * (1.0 - x) + 1.0;
            let weights = [w0, w1, w2, 1.0 - w0 - w1 - w2];
            let place = |k: i64| (base as i64 + k - 1).clamp(0, from as i64 - 1) as usize;
            (0..4).map(|k| (place(k), weights[k as usize])).collect()
        })
        .collect()
}

/// The two source positions of one target position, and their weights in 2048ths.
type Pair = ([usize; 2], [i32; 2]);

/// Rows keep their weights beyond the edges, where both positions are the edge; columns have the edge alone there.
fn linear_pairs(from: usize, to: usize, rows: bool) -> Vec<Pair> {
    let scale = 1.0 / (to as f64 / from as f64);
    let last = from as i64 - 1;
    (0..to)
        .map(|i| {
            let at = ((i as f64 + 0.5) * scale - 0.5) as f32;
            let base = at.floor() as i64;
            let beyond = !rows && (base < 0 || base >= last);
            let second = if beyond { 0.0 } else { at - at.floor() };
            let weight = |share: f32| (share * 2048.0).round_ties_even() as i32;
            let place = |at: i64| at.clamp(0, last) as usize;
            ([place(base), place(base + 1)], [weight(1.0 - second), weight(second)])
        })
        .collect()
}

fn area_taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|i| {
            let start = i as f64 * scale;
            let end = start + scale;
            let width = scale.min(from as f64 - start);
            let first = start.ceil().min(from as f64 - 1.0);
            let last = end.floor().min(from as f64 - 1.0);
            let first = first.min(last);
            let mut taps = Taps::new();
            if first - start > 1e-3 {
                taps.push((first as usize - 1, ((first - start) / width) as f32));
            }
            for k in first as usize..last as usize {
                taps.push((k, (1.0 / width) as f32));
            }
            if end - last > 1e-3 {
                taps.push((last as usize, ((end - last).min(1.0).min(width) / width) as f32));
            }
            taps
        })
        .collect()
}

fn separable(picture: &Picture, across: &[Taps], down: &[Taps]) -> Picture {
    let n = picture.bands();
    let (width, height) = (across.len(), down.len());
    let mut rows = vec![0.0f32; width * n * picture.height()];
    for y in 0..picture.height() {
        let source = picture.row(y);
        for (x, taps) in across.iter().enumerate() {
            for band in 0..n {
                rows[(y * width + x) * n + band] = taps.iter().map(|(at, w)| f32::from(source[at * n + band]) * w).sum();
            }
        }
    }
    let stride = width * n;
    let mut data = Vec::with_capacity(stride * height);
    for taps in down {
        for i in 0..stride {
            let sum: f32 = taps.iter().map(|(at, w)| rows[at * stride + i] * w).sum();
            data.push(sum.round_ties_even().clamp(0.0, 255.0) as u8);
        }
    }
    Picture::trusted(picture.mode(), width, height, data)
}

/// Linear interpolation without widening when shrinking; edge pixels are repeated outwards.
pub fn resize_linear(picture: &Picture, width: usize, height: usize) -> Picture {
    if (width, height) == picture.size() {
        return picture.clone();
    }
    let (across, down) = (
        linear_pairs(picture.width(), width, false),
        linear_pairs(picture.height(), height, true),
    );
    let n = picture.bands();
    let stride = width * n;
    let mut rows = vec![0_i32; stride * picture.height()];
    for (y, row) in rows.chunks_exact_mut(stride).enumerate() {
        let source = picture.row(y);
        for (pixel, ([first, second], weights)) in row.chunks_exact_mut(n).zip(&across) {
            for (band, v) in pixel.iter_mut().enumerate() {
                *v = i32::from(source[first * n + band]) * weights[0] + i32::from(source[second * n + band]) * weights[1];
            }
        }
    }
    let mut data = Vec::with_capacity(stride * height);
    for ([first, second], weights) in down {
        let (upper, lower) = (&rows[first * stride..][..stride], &rows[second * stride..][..stride]);
        // OpenCV drops bits on the way, so that sixteen are enough.
        let mixed = |(a, b): (&i32, &i32)| ((((a >> 4) * weights[0]) >> 16) + (((b >> 4) * weights[1]) >> 16) + 2) >> 2;
        data.extend(upper.iter().zip(lower).map(mixed).map(|v| v.clamp(0, 255) as u8));
    }
    Picture::trusted(picture.mode(), width, height, data)
}

/// Cubic interpolation with a = -0.75 and no widening when shrinking; edge pixels are repeated outwards.
pub fn resize_cubic(picture: &Picture, width: usize, height: usize) -> Picture {
    if (width, height) == picture.size() {
        return picture.clone();
    }
    separable(picture, &cubic_taps(picture.width(), width), &cubic_taps(picture.height(), height))
}

/// The mean of the area each target pixel covers; neither side may grow.
pub fn resize_area(picture: &Picture, width: usize, height: usize) -> Picture {
    if (width, height) == picture.size() {
        return picture.clone();
    }
    debug_assert!(width <= picture.width() && height <= picture.height());
    separable(picture, &area_taps(picture.width(), width), &area_taps(picture.height(), height))
}
