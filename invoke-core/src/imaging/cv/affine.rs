//! `cv2.warpAffine` with `INTER_LINEAR`, to the bit.

use rayon::prelude::*;

use super::warp::blend;
use crate::imaging::Picture;

/// OpenCV rounds what is added along an axis to 1024ths of a pixel, and the sum to 32nds.
const FINE: f64 = 1024.0;

/// The picture of `width` times `height` pixels whose pixel `matrix · (x, y, 1)` is `picture`'s pixel `(x, y)`; black where there is none. A matrix that
/// cannot be turned around gives the first pixel everywhere.
pub fn warp_affine(picture: &Picture, matrix: [[f64; 3]; 2], width: usize, height: usize) -> Picture {
    let (w, h, n) = (picture.width() as i64, picture.height() as i64, picture.bands());
    let mut out = Picture::new(picture.mode(), width, height);
    if w * h == 0 || width * height == 0 {
        return out;
    }
    let [[a, b, dx], [c, d, dy]] = matrix;
    let area = a * d - b * c;
    let share = if area == 0.0 { 0.0 } else { 1.0 / area };
    let (across, down) = ([d * share, -c * share], [-b * share, a * share]);
    let first = [-across[0] * dx - down[0] * dy, -across[1] * dx - down[1] * dy];
    // Beyond 2^30 lies no picture.
    let fine = |v: f64| (v * FINE).round_ties_even().clamp(-1e12, 1e12) as i64;
    let data = picture.data();
    let at = |x: i64, y: i64| {
        let inside = (0..w).contains(&x) && (0..h).contains(&y);
        inside.then(|| &data[(y * w + x) as usize * n..][..n])
    };
    out.data_mut().par_chunks_mut(width * n).enumerate().for_each(|(row, pixels)| {
        let start = [0, 1].map(|axis| fine(down[axis] * row as f64 + first[axis]) + 16);
        for (column, pixel) in pixels.chunks_exact_mut(n).enumerate() {
            let place = [0, 1].map(|axis| (start[axis] + fine(across[axis] * column as f64)) >> 5);
            blend(pixel, place, &at);
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::Mode;

    #[test]
    fn pictures_are_moved_and_stretched() {
        let picture = Picture::from_samples(Mode::L, 3, 1, vec![10, 20, 30]).unwrap();
        let moved = |matrix, width| warp_affine(&picture, matrix, width, 1).into_data();
        assert_eq!(moved([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], 3), [10, 20, 30]);
        assert_eq!(moved([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]], 4), [5, 15, 25, 15]);
        assert_eq!(moved([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]], 5), [10, 15, 20, 25, 30]);
        assert_eq!(moved([[0.0; 3]; 2], 2), [10, 10]);
        assert_eq!(moved([[f64::NAN; 3]; 2], 1).len(), 1);
    }
}
