//! What `MediaPipe`'s model of faces has more than others: it looks once more, and closer, where it found eyes and lips.

use candle_core::{Result, Tensor, bail};

use super::elements;
use crate::diffusion::ops::pixels_as_tokens;

/// The part of a picture around some landmarks, turned so that two of them lie level.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// The landmarks that lie level.
    pub level: [usize; 2],
    /// Those that it is around.
    pub around: Vec<usize>,
    /// How much larger it is than these: across and down.
    pub scale: [f32; 2],
    /// Into how many pixels it is to become: across and down.
    pub size: [f32; 2],
}

impl Region {
    /// How pixels of the region lie in the picture: a matrix `[1, 4, 4]`, for landmarks `[1, n, 3]` in pixels of the picture.
    pub(super) fn matrix(&self, landmarks: &Tensor) -> Result<Tensor> {
        let (_, n, dimensions) = landmarks.dims3()?;
        let all: Vec<f32> = landmarks.flatten_all()?.to_vec1()?;
        if dimensions != 3 || self.around.iter().chain(&self.level).any(|i| *i >= n) {
            bail!("a region around landmarks that {:?} does not have", landmarks.dims());
        }
        let place = |i: usize| (all[i * 3], all[i * 3 + 1]);
        let ((x0, y0), (x1, y1)) = (place(self.level[0]), place(self.level[1]));
        let angle = (y1 - y0).atan2(x1 - x0);
        let (sin, cos) = angle.sin_cos();
        let (mut least, mut most) = ((f32::MAX, f32::MAX), (f32::MIN, f32::MIN));
        for i in &self.around {
            let (x, y) = place(*i);
            let (x, y) = (x * cos + y * sin, y * cos - x * sin);
            least = (least.0.min(x), least.1.min(y));
            most = (most.0.max(x), most.1.max(y));
        }
        let (x, y) = (f32::midpoint(least.0, most.0), f32::midpoint(least.1, most.1));
        let middle = (x * cos - y * sin, x * sin + y * cos);
        let across = self.scale[0] * (most.0 - least.0) / self.size[0];
        let down = self.scale[1] * (most.1 - least.1) / self.size[1];
        let [a, b, c, d] = [cos * across, -sin * down, sin * across, cos * down];
        let (half_x, half_y) = (self.size[0] / 2.0, self.size[1] / 2.0);
        let rows = [
            [a, b, 0.0, middle.0 - a * half_x - b * half_y],
            [c, d, 0.0, middle.1 - c * half_x - d * half_y],
            [0.0, 0.0, 1.0, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ];
        Tensor::from_vec(rows.concat(), (1, 4, 4), landmarks.device())
    }
}

/// The first two rows of a matrix without their third column.
fn rows(matrix: &Tensor) -> Result<[[f32; 3]; 2]> {
    let all: Vec<f32> = matrix.flatten_all()?.to_vec1()?;
    if matrix.dims() != [1, 4, 4] {
        bail!("a matrix of {:?}, expected [1, 4, 4]", matrix.dims());
    }
    Ok([[all[0], all[1], all[3]], [all[4], all[5], all[7]]])
}

/// `size` (down, across) pixels of a picture `[1, c, h, w]`, each from where the matrix says its centre lies; black where that is outside.
pub(super) fn sample(picture: &Tensor, matrix: &Tensor, [oh, ow]: [usize; 2]) -> Result<Tensor> {
    let (b, c, h, w) = picture.dims4()?;
    if b != 1 || h * w == 0 {
        bail!("a part of {:?}, expected one picture", picture.dims());
    }
    elements(&[c, oh, ow])?;
    let matrix = rows(matrix)?;
    let from: Vec<f32> = pixels_as_tokens(picture)?.flatten_all()?.to_vec1()?;
    let mut to = vec![0.0; oh * ow * c];
    for (i, pixel) in to.chunks_exact_mut(c.max(1)).enumerate() {
        let (x, y) = ((i % ow) as f32 + 0.5, (i / ow) as f32 + 0.5);
        let [x, y] = matrix.map(|[a, b, shift]| a * x + b * y + shift - 0.5);
        // Written so that what is not a number lies outside too.
        if !(x >= 0.0 && y >= 0.0 && x <= (w - 1) as f32 && y <= (h - 1) as f32) {
            continue;
        }
        let (left, top) = (x as usize, y as usize);
        let (right, below) = ((left + 1).min(w - 1), (top + 1).min(h - 1));
        let (fx, fy) = (x - left as f32, y - top as f32);
        let at = |x: usize, y: usize| &from[(y * w + x) * c..][..c];
        let corners = at(left, top).iter().zip(at(right, top)).zip(at(left, below)).zip(at(right, below));
        for (v, (((q11, q21), q12), q22)) in pixel.iter_mut().zip(corners) {
            let upper = (1.0 - fx) * q11 + fx * q21;
            let lower = (1.0 - fx) * q12 + fx * q22;
            *v = (1.0 - fy) * upper + fy * lower;
        }
    }
    Tensor::from_vec(to, (1, oh, ow, c), picture.device())?.permute((0, 3, 1, 2))
}

/// Landmarks `[1, n, 2]` of a region, in the picture.
pub(super) fn transform(landmarks: &Tensor, matrix: &Tensor) -> Result<Tensor> {
    if landmarks.dims3()?.2 != 2 {
        bail!("landmarks of {:?}, expected two numbers each", landmarks.dims());
    }
    let matrix = rows(matrix)?;
    let all: Vec<f32> = landmarks.flatten_all()?.to_vec1()?;
    let moved: Vec<f32> = all
        .as_chunks::<2>()
        .0
        .iter()
        .flat_map(|[x, y]| matrix.map(|[a, b, shift]| a * x + b * y + shift))
        .collect();
    Tensor::from_vec(moved, landmarks.shape(), landmarks.device())
}
