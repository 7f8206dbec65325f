//! BlazeFace, for faces that are near: 896 guesses at where a face is, those alike taken together.

use std::path::Path;

use super::{Region, network::Known};
use crate::{
    diffusion::{ModelError, Result},
    imaging::{
        Picture,
        cv::{Beyond, Parallelogram, warp_linear},
    },
};

/// Pixels along each side of what the network sees.
const SIDE: usize = 128;
/// Numbers of a guess: a box, and six points of a face.
const NUMBERS: usize = 16;
/// Guesses start at the centres of squares: so many along each side, and so many at each centre.
const GRIDS: [(usize, usize); 2] = [(16, 2), (8, 6)];
const GUESSES: usize = 896;
/// Two boxes are of one face if more than this share of both is in both.
const SAME: f32 = 0.3;

/// A face, roughly; all in shares of the picture's sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// How likely it is one, from 0 to 1.
    pub score: f32,
    /// Left, top, right, bottom.
    pub sides: [f32; 4],
    /// The eyes, the one further left of an upright face first: across and down.
    pub eyes: [(f32, f32); 2],
}

/// The network.
#[derive(Debug)]
pub struct Detector(Known);

impl Detector {
    /// Opens MediaPipe's file.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or holds another network.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self(Known::open(path, SIDE, &[GUESSES * NUMBERS, GUESSES])?))
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// The faces of a picture in RGB that are likelier than `least`, from 0 to 1; the likeliest first. `between` is asked before each step whether to go
    /// on.
    ///
    /// # Errors
    /// If the network cannot be computed, and what `between` fails with.
    pub fn find<E: From<ModelError>>(
        &self,
        picture: &Picture,
        least: f32,
        between: impl FnMut() -> Result<(), E>,
    ) -> Result<Vec<Detection>, E> {
        let (width, height) = picture.size();
        let side = width.max(height) as f32;
        let frame = Frame {
            side,
            width: width as f32,
            height: height as f32,
        };
        let square = Parallelogram {
            corner: (f64::from((frame.width - side) / 2.0), f64::from((frame.height - side) / 2.0)),
            across: (side.into(), 0.0),
            down: (0.0, side.into()),
        };
        let seen = warp_linear(picture, &square, SIDE, SIDE, Beyond::Zeros);
        let samples: Vec<f32> = seen.data().iter().map(|v| f32::from(*v) * (2.0 / 255.0) - 1.0).collect();
        let outputs = self.0.run(&samples, between)?;
        let [boxes, scores] = outputs.as_slice() else {
            return Ok(Vec::new());
        };
        Ok(together(guesses(boxes, scores, least)).iter().map(|d| frame.place(d)).collect())
    }
}

/// The square around a picture that the network sees.
struct Frame {
    side: f32,
    width: f32,
    height: f32,
}

impl Frame {
    /// What was found in the square, in the picture.
    fn place(&self, found: &Detection) -> Detection {
        let place = |(x, y): (f32, f32)| {
            let along = |v: f32, n: f32| v * (self.side / n) + (n - self.side) * 0.5 / n;
            (along(x, self.width), along(y, self.height))
        };
        let [left, top, right, bottom] = found.sides;
        let ((left, top), (right, bottom)) = (place((left, top)), place((right, bottom)));
        Detection {
            score: found.score,
            sides: [left, top, right, bottom],
            eyes: found.eyes.map(place),
        }
    }
}

/// What the network's numbers say, in shares of the square: `boxes [896 * 16]`, `scores [896]`.
fn guesses(boxes: &[f32], scores: &[f32], least: f32) -> Vec<Detection> {
    let centres = GRIDS
        .iter()
        .flat_map(|(side, each)| (0..side * side * each).map(move |i| (i / each % side, i / each / side, *side as f32)));
    boxes
        .chunks_exact(NUMBERS)
        .zip(scores)
        .zip(centres)
        .filter_map(|((numbers, score), (x, y, side))| {
            let (x, y) = ((x as f32 + 0.5) / side, (y as f32 + 0.5) / side);
            let at = |i: usize| (numbers[i] / SIDE as f32 + x, numbers[i + 1] / SIDE as f32 + y);
            let (cx, cy) = at(0);
            let (w, h) = (numbers[2] / SIDE as f32, numbers[3] / SIDE as f32);
            let score = 1.0 / (1.0 + (-score.clamp(-100.0, 100.0)).exp());
            // What is not a number is no face.
            let shown = score >= least && w >= 0.0 && h >= 0.0 && numbers.iter().all(|v| v.is_finite());
            shown.then(|| Detection {
                score,
                sides: [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0],
                eyes: [at(4), at(6)],
            })
        })
        .collect()
}

/// The share of two boxes (left, top, right, bottom) that is in both.
pub(super) fn overlap(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let area = |[left, top, right, bottom]: &[f32; 4]| (right - left).max(0.0) * (bottom - top).max(0.0);
    let both = area(&[a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let either = area(a) + area(b) - both;
    if either > 0.0 { both / either } else { 0.0 }
}

/// Guesses at the same face become one, each weighed by how likely it is.
fn together(mut left: Vec<Detection>) -> Vec<Detection> {
    left.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut faces = Vec::new();
    while let Some(best) = left.first().copied() {
        let (same, others): (Vec<Detection>, Vec<Detection>) = left.iter().partition(|d| overlap(&d.sides, &best.sides) > SAME);
        if same.is_empty() {
            // A box without area is like none, itself included: the original stops at it.
            faces.push(best);
            break;
        }
        let all: f32 = same.iter().map(|d| d.score).sum();
        let mean = |of: &dyn Fn(&Detection) -> f32| same.iter().map(|d| of(d) * d.score).sum::<f32>() / all;
        faces.push(Detection {
            score: best.score,
            sides: [0, 1, 2, 3].map(|i| mean(&|d| d.sides[i])),
            eyes: [0, 1].map(|i| (mean(&|d| d.eyes[i].0), mean(&|d| d.eyes[i].1))),
        });
        left = others;
    }
    faces
}

impl Detection {
    /// Where the mesh is to look: a square half as large again as the box, turned as the eyes are, in a picture of `width` times `height` pixels.
    pub fn region(&self, width: usize, height: usize) -> Region {
        let (width, height) = (width as f32, height as f32);
        let [left, top, right, bottom] = self.sides;
        let side = ((right - left) * width).max((bottom - top) * height) * 1.5;
        let [(x0, y0), (x1, y1)] = self.eyes;
        Region {
            x: left + (right - left) / 2.0,
            y: top + (bottom - top) / 2.0,
            width: side / width,
            height: side / height,
            angle: ((y1 - y0) * height).atan2((x1 - x0) * width),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(score: f32, sides: [f32; 4]) -> Detection {
        Detection {
            score,
            sides,
            eyes: [(0.25, 0.5), (0.75, 0.5)],
        }
    }

    #[test]
    fn guesses_at_one_face_are_weighed() {
        let faces = together(vec![
            found(0.5, [0.0, 0.0, 0.4, 0.4]),
            found(1.0, [0.1, 0.1, 0.5, 0.5]),
            found(0.75, [0.6, 0.6, 0.9, 0.9]),
        ]);
        assert_eq!(faces.len(), 2);
        assert_eq!((faces[0].score, faces[1].score), (1.0, 0.75));
        for (side, want) in faces[0].sides.iter().zip([0.2 / 3.0, 0.2 / 3.0, 0.7 / 1.5, 0.7 / 1.5]) {
            assert!((side - want).abs() < 1e-6, "{:?}", faces[0].sides);
        }
        assert_eq!(together(vec![found(0.9, [0.5; 4]), found(0.8, [0.5; 4])]).len(), 1);
    }

    #[test]
    fn guesses_stand_at_their_centres() {
        let (mut boxes, mut scores) = (vec![0.0; GUESSES * NUMBERS], vec![-200.0; GUESSES]);
        for (guess, number) in [(3, 0.0), (512 + 6, 64.0), (895, f32::NAN)] {
            scores[guess] = 50.0;
            boxes[guess * NUMBERS] = number;
            boxes[guess * NUMBERS + 2] = 32.0;
        }
        let found = guesses(&boxes, &scores, 0.5);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].sides, [1.5 / 16.0 - 0.125, 0.5 / 16.0, 1.5 / 16.0 + 0.125, 0.5 / 16.0]);
        assert_eq!(found[1].sides, [1.5 / 8.0 + 0.375, 0.5 / 8.0, 1.5 / 8.0 + 0.625, 0.5 / 8.0]);
        assert_eq!(found[1].eyes[0], (1.5 / 8.0, 0.5 / 8.0));
        assert_eq!(guesses(&boxes, &scores, 1.5), []);
    }
}
