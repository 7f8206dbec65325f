//! `cv2.warpPerspective` with `INTER_LINEAR`, for what keeps parallels: a turned and stretched part of a picture.

use rayon::prelude::*;

use crate::imaging::Picture;

/// What lies beyond a picture's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// Zeros.
    Zeros,
    /// The pixel at the edge.
    Edge,
}

/// A parallelogram in a picture: its upper left corner, and the sides that lead across and down from it. (x, y) in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parallelogram {
    /// Upper left corner.
    pub corner: (f64, f64),
    /// To the upper right corner.
    pub across: (f64, f64),
    /// To the lower left corner.
    pub down: (f64, f64),
}

/// Places are kept to a 32nd of a pixel, as OpenCV keeps them.
const STEPS: f64 = 32.0;

/// The part of a picture within a parallelogram, as a picture of `width` times `height` pixels. To the bit, but for places that lie halfway between two
/// 32nds of a pixel.
pub fn warp_linear(picture: &Picture, from: &Parallelogram, width: usize, height: usize, beyond: Beyond) -> Picture {
    let (w, h, n) = (picture.width() as i64, picture.height() as i64, picture.bands());
    let mut out = Picture::new(picture.mode(), width, height);
    if w * h == 0 || width * height == 0 {
        return out;
    }
    let share = |side: (f64, f64), n: usize| (side.0 / n as f64, side.1 / n as f64);
    let (across, down) = (share(from.across, width), share(from.down, height));
    let data = picture.data();
    let at = |x: i64, y: i64| -> Option<&[u8]> {
        let (x, y) = match beyond {
            Beyond::Edge => (x.clamp(0, w - 1), y.clamp(0, h - 1)),
            Beyond::Zeros => (x, y),
        };
        let inside = (0..w).contains(&x) && (0..h).contains(&y);
        inside.then(|| &data[(y * w + x) as usize * n..][..n])
    };
    out.data_mut().par_chunks_mut(width * n).enumerate().for_each(|(row, pixels)| {
        for (column, pixel) in pixels.chunks_exact_mut(n).enumerate() {
            let (x, y) = (column as f64, row as f64);
            // Beyond 2^30 lies no picture.
            let place =
                |corner: f64, across: f64, down: f64| ((corner + x * across + y * down).clamp(-1e9, 1e9) * STEPS).round_ties_even() as i64;
            let x = place(from.corner.0, across.0, down.0);
            let y = place(from.corner.1, across.1, down.1);
            blend(pixel, [x, y], &at);
        }
    });
    out
}

/// The pixel at a place in 1/32 of pixels, of the four around it, as `at` has them; those that it has not are zero.
pub(super) fn blend<'a>(pixel: &mut [u8], [x, y]: [i64; 2], at: &impl Fn(i64, i64) -> Option<&'a [u8]>) {
    let (fx, fy) = ((x & 31) as u32, (y & 31) as u32);
    let (x, y) = (x >> 5, y >> 5);
    let corners = [
        (at(x, y), (32 - fx) * (32 - fy)),
        (at(x + 1, y), fx * (32 - fy)),
        (at(x, y + 1), (32 - fx) * fy),
        (at(x + 1, y + 1), fx * fy),
    ];
    for (k, v) in pixel.iter_mut().enumerate() {
        let sum: u32 = corners
            .iter()
            .map(|(corner, weight)| corner.map_or(0, |pixel| u32::from(pixel[k]) * weight))
            .sum();
        *v = ((sum + 512) >> 10) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::Mode;

    const STILL: Parallelogram = Parallelogram {
        corner: (0.0, 0.0),
        across: (3.0, 0.0),
        down: (0.0, 2.0),
    };

    fn picture() -> Picture {
        Picture::from_samples(Mode::L, 3, 2, vec![10, 20, 30, 40, 50, 60]).unwrap()
    }

    #[test]
    fn the_whole_is_itself() {
        assert_eq!(warp_linear(&picture(), &STILL, 3, 2, Beyond::Zeros), picture());
    }

    #[test]
    fn turned_by_a_quarter_it_lies_on_its_side() {
        let turned = Parallelogram {
            corner: (0.0, 1.0),
            across: (0.0, -2.0),
            down: (3.0, 0.0),
        };
        assert_eq!(
            warp_linear(&picture(), &turned, 2, 3, Beyond::Zeros).data(),
            [40, 10, 50, 20, 60, 30]
        );
    }

    #[test]
    fn what_lies_beyond_is_black_or_the_edge() {
        let moved = Parallelogram {
            corner: (1.5, 0.0),
            ..STILL
        };
        assert_eq!(warp_linear(&picture(), &moved, 3, 2, Beyond::Zeros).data(), [25, 15, 0, 55, 30, 0]);
        assert_eq!(warp_linear(&picture(), &moved, 3, 2, Beyond::Edge).data(), [25, 30, 30, 55, 60, 60]);
        let far = Parallelogram {
            corner: (f64::INFINITY, f64::NAN),
            ..STILL
        };
        assert_eq!(warp_linear(&picture(), &far, 1, 1, Beyond::Zeros).data(), [0]);
    }
}
