//! The distance transform with OpenCV's 5x5 chamfer mask.

use crate::imaging::Picture;

const STRAIGHT: u32 = 65536;
const DIAGONAL: u32 = 91750;
const KNIGHT: u32 = 143976;
const FAR: u32 = u32::MAX >> 2;

/// For every pixel of a grey picture the distance to the nearest zero pixel, approximating the Euclidean one. Where there is no zero
/// pixel every distance is larger than any picture.
pub fn distance_to_black(picture: &Picture) -> Vec<f32> {
    let (width, height) = picture.size();
    let stride = width + 4;
    let mut d = vec![FAR; stride * (height + 4)];
    let steps: [(isize, u32); 8] = {
        let s = stride as isize;
        [
            (-2 * s - 1, KNIGHT),
            (-2 * s + 1, KNIGHT),
            (-s - 2, KNIGHT),
            (-s - 1, DIAGONAL),
            (-s, STRAIGHT),
            (-s + 1, DIAGONAL),
            (-s + 2, KNIGHT),
            (-1, STRAIGHT),
        ]
    };
    for y in 0..height {
        for x in 0..width {
            let at = (y + 2) * stride + x + 2;
            d[at] = if picture.data()[y * width + x] == 0 {
                0
            } else {
                steps
                    .iter()
                    .map(|(step, cost)| d[at.wrapping_add_signed(*step)] + cost)
                    .fold(FAR, u32::min)
            };
        }
    }
    let mut out = vec![0.0; width * height];
    for y in (0..height).rev() {
        for x in (0..width).rev() {
            let at = (y + 2) * stride + x + 2;
            let best = steps
                .iter()
                .map(|(step, cost)| d[at.wrapping_add_signed(-step)] + cost)
                .fold(d[at], u32::min);
            d[at] = best;
            out[y * width + x] = best as f32 / 65536.0;
        }
    }
    out
}
