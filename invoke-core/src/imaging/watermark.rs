//! An invisible watermark: bits in the low frequencies of one colour difference.

use super::{Mode, Picture, cv::yuv};

/// Quantisation step of the coefficient that carries a bit.
const SCALE: f64 = 36.0;
/// Side of a block of low-frequency coefficients that carries one bit.
const BLOCK: usize = 4;
/// Fewest pixels a marked picture has.
pub const LEAST_PIXELS: usize = 256 * 256;

const ROOT: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// One level of the Haar transform: half-size planes of means and of differences down, across and both.
struct Haar {
    width: usize,
    height: usize,
    planes: [Vec<f64>; 4],
}

impl Haar {
    fn forward(plane: &[f64], width: usize, height: usize) -> Self {
        let (w, h) = (width / 2, height / 2);
        let mut planes = [(); 4].map(|()| vec![0.0; w * h]);
        for y in 0..h {
            for x in 0..w {
                let at = |dy: usize, dx: usize| plane[(2 * y + dy) * width + 2 * x + dx];
                let low = |dx: usize| ROOT * at(1, dx) + ROOT * at(0, dx);
                let high = |dx: usize| -ROOT * at(1, dx) + ROOT * at(0, dx);
                planes[0][y * w + x] = ROOT * low(1) + ROOT * low(0);
                planes[1][y * w + x] = ROOT * high(1) + ROOT * high(0);
                planes[2][y * w + x] = -ROOT * low(1) + ROOT * low(0);
                planes[3][y * w + x] = -ROOT * high(1) + ROOT * high(0);
            }
        }
        Self {
            width: w,
            height: h,
            planes,
        }
    }

    /// The plane again, with the differences down and across exchanged: the original does so, and marks are only alike if we do.
    fn backward_exchanged(&self) -> Vec<f64> {
        let width = self.width * 2;
        let mut out = vec![0.0; width * self.height * 2];
        let [mean, across, down, both] = &self.planes;
        for y in 0..self.height {
            for x in 0..self.width {
                let i = y * self.width + x;
                for dx in 0..2 {
                    let sign = if dx == 0 { ROOT } else { -ROOT };
                    let low = ROOT * mean[i] + sign * across[i];
                    let high = ROOT * down[i] + sign * both[i];
                    out[2 * y * width + 2 * x + dx] = ROOT * low + ROOT * high;
                    out[(2 * y + 1) * width + 2 * x + dx] = ROOT * low - ROOT * high;
                }
            }
        }
        out
    }

    /// For every whole block, row by row, the place of its largest coefficient, its first one left out.
    fn carriers(&self) -> Vec<usize> {
        let mut out = Vec::new();
        for y in (0..self.height / BLOCK * BLOCK).step_by(BLOCK) {
            for x in (0..self.width / BLOCK * BLOCK).step_by(BLOCK) {
                let places = (1..BLOCK * BLOCK).map(|k| (y + k / BLOCK) * self.width + x + k % BLOCK);
                let mut best = None;
                for place in places {
                    let value = self.planes[0][place].abs();
                    if best.is_none_or(|(_, largest)| value > largest) {
                        best = Some((place, value));
                    }
                }
                out.extend(best.map(|(place, _)| place));
            }
        }
        out
    }
}

/// The pictures colour difference and its size cut to multiples of four, and all of luma and differences.
fn plane(picture: &Picture) -> (Vec<[u8; 3]>, Haar) {
    let colours: Vec<[u8; 3]> = picture
        .convert(Mode::Rgb)
        .data()
        .chunks_exact(3)
        .map(|p| yuv::from_rgb([p[0], p[1], p[2]]))
        .collect();
    let (width, height) = (picture.width() / 4 * 4, picture.height() / 4 * 4);
    let mut u = Vec::with_capacity(width * height);
    for y in 0..height {
        u.extend(colours[y * picture.width()..][..width].iter().map(|c| f64::from(c[1])));
    }
    let haar = Haar::forward(&u, width, height);
    (colours, haar)
}

/// The picture in RGBA with `text`'s bits, most significant first, repeated over it. The picture must have [`LEAST_PIXELS`], and the text a
/// byte.
pub fn add(picture: &Picture, text: &str) -> Picture {
    let bits: Vec<f64> = text
        .bytes()
        .flat_map(|b| (0..8).rev().map(move |i| f64::from(b >> i & 1)))
        .collect();
    let (mut colours, mut haar) = plane(picture);
    for (n, place) in haar.carriers().into_iter().enumerate() {
        let value = haar.planes[0][place];
        let level = ((value.abs() / SCALE).floor() + 0.25 + 0.5 * bits[n % bits.len()]) * SCALE;
        haar.planes[0][place] = if value >= 0.0 { level } else { -level };
    }
    let marked = haar.backward_exchanged();
    let width = haar.width * 2;
    for (y, row) in marked.chunks_exact(width.max(1)).enumerate() {
        for (x, v) in row.iter().enumerate() {
            colours[y * picture.width() + x][1] = *v as i64 as u8;
        }
    }
    let data = colours.into_iter().flat_map(yuv::to_rgb).collect();
    Picture::trusted(Mode::Rgb, picture.width(), picture.height(), data).convert(Mode::Rgba)
}

/// The text of `length` bytes that the picture carries, without what is not UTF-8 and without zeros at its end; none where the picture is
/// too small to carry any.
pub fn read(picture: &Picture, length: usize) -> Option<String> {
    if picture.width() * picture.height() < LEAST_PIXELS || length == 0 {
        return None;
    }
    let (_, haar) = plane(picture);
    let count = length * 8;
    let mut votes = vec![(0u32, 0u32); count];
    for (n, place) in haar.carriers().into_iter().enumerate() {
        let (ones, all) = &mut votes[n % count];
        *ones += u32::from(haar.planes[0][place].abs() % SCALE > 0.5 * SCALE);
        *all += 1;
    }
    let bit = |(ones, all): (u32, u32)| u8::from(f64::from(ones) / f64::from(all) * 255.0 > 127.0);
    let bytes: Vec<u8> = votes
        .chunks_exact(8)
        .map(|byte| byte.iter().fold(0, |sum, vote| sum << 1 | bit(*vote)))
        .collect();
    let text: String = bytes.utf8_chunks().map(|chunk| chunk.valid()).collect();
    Some(text.trim_end_matches('\0').to_owned())
}
