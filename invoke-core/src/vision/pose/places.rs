//! RTMPose: where a person's joints, feet, face and hands are.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::Person;
use crate::{
    diffusion::{ModelError, Result},
    imaging::{Picture, cv},
    vision::network::{Network, Runner, onnx},
};

/// Places of a person that the network tells: 17 of the body, 6 of the feet, 68 of the face, 21 of each hand.
const PLACES: usize = 133;
/// By how much more than its box of a person the network sees.
const AROUND: f64 = 1.25;
/// What is taken from red, green and blue, and by what the rest is divided.
const MEAN: [f64; 3] = [123.675, 116.28, 103.53];
const DEVIATION: [f64; 3] = [58.395, 57.12, 57.375];
/// Places that the network tells apart within a pixel of what it sees.
const FINER: f32 = 2.0;
/// Longest side of what a network may ask to see.
const LARGEST: usize = 4096;

/// A place, in a picture's pixels from the left and from the top, and how sure the network is of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spot {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
    /// From 0 on; about 1 for what is clearly seen.
    pub score: f64,
}

impl Spot {
    /// Whether it is seen well enough to be drawn.
    pub fn is_seen(&self) -> bool {
        self.score > 0.3
    }
}

/// A person's places in OpenPose's order: 18 of the body (the neck is the second), 6 of the feet, 68 of the face, 21 of the left and of the right hand.
pub type Body = [Spot; PLACES + 1];

/// The network.
#[derive(Debug)]
pub struct BodyPlaces {
    runner: Runner,
    width: usize,
    height: usize,
}

impl BodyPlaces {
    /// Opens an ONNX file.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        Self::load(onnx::open(path)?, device)
    }

    /// From a network that takes one picture, whose size it tells.
    pub fn load(network: Network, device: &Device) -> Result<Self> {
        let runner = Runner::new(network, device)?;
        let shape = runner.inputs().first().map(|input| input.shape.as_slice());
        match (shape, runner.inputs().len(), runner.outputs()) {
            (Some([_, _, Some(height), Some(width)]), 1, 2) if (1..=LARGEST).contains(height) && (1..=LARGEST).contains(width) => {
                let (width, height) = (*width, *height);
                Ok(Self { runner, width, height })
            }
            (shape, inputs, outputs) => Err(ModelError::Input(format!(
                "a model of people's places takes {inputs} inputs, the first of {shape:?}, and gives {outputs} outputs; expected one picture of a fixed size, and two"
            ))),
        }
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.runner.bytes()
    }

    /// The places of the person in a box of an RGB picture; `between` is asked before each step whether to go on.
    ///
    /// # Errors
    /// [`ModelError::Input`] if the network gives something else than such networks give.
    pub fn places<E: From<ModelError>>(
        &self,
        picture: &Picture,
        person: Person,
        between: impl FnMut() -> Result<(), E>,
    ) -> Result<Body, E> {
        let view = View::around(person, self.width, self.height);
        let outputs = self.runner.run(vec![view.part(picture)?], between)?;
        let (x, y) = (rows(&outputs[0])?, rows(&outputs[1])?);
        let found: Vec<Spot> = x.into_iter().zip(y).map(|(x, y)| view.spot(&x, &y)).collect();
        Ok(ordered(&found)?)
    }
}

/// For each place what the network thinks of each position along an axis.
fn rows(output: &Tensor) -> Result<Vec<Vec<f32>>> {
    match *output.dims() {
        [1, PLACES, positions] if positions > 0 => Ok(output.squeeze(0)?.to_vec2()?),
        ref other => Err(ModelError::Input(format!(
            "a model of people's places gave {other:?}, expected [1, {PLACES}, positions]"
        ))),
    }
}

/// What the network sees of a picture.
#[derive(Debug)]
pub(super) struct View {
    center: [f64; 2],
    size: [f64; 2],
    width: usize,
    height: usize,
}

impl View {
    /// A box and what is around it, widened to the shape of `width` times `height` pixels.
    pub(super) fn around([left, top, right, bottom]: Person, width: usize, height: usize) -> Self {
        let (across, down) = ((right - left) * AROUND, (bottom - top) * AROUND);
        let shape = width as f64 / height as f64;
        let size = if across > down * shape {
            [across, across / shape]
        } else {
            [down * shape, down]
        };
        Self {
            center: [(left + right) * 0.5, (top + bottom) * 0.5],
            size,
            width,
            height,
        }
    }

    /// How a picture's pixels lie in the view: by three corners, which are single floats.
    fn matrix(&self) -> [[f64; 3]; 2] {
        let [x, y] = self.center.map(|v| v as f32);
        let above = (self.center[1] - self.size[0] * 0.5) as f32;
        let left = x - (y - above);
        let half = self.width as f64 * 0.5;
        let scale = |from: f32, to: f32| match f64::from(to) - f64::from(from) {
            0.0 => 0.0,
            length => half / length,
        };
        let (across, down) = (scale(left, x), scale(above, y));
        let top = self.height as f64 * 0.5 - half;
        [
            [across, 0.0, half - across * f64::from(x)],
            [0.0, down, top - down * f64::from(above)],
        ]
    }

    /// The view as `[1, 3, height, width]`, as the network was trained to see it.
    pub(super) fn part(&self, picture: &Picture) -> Result<Tensor> {
        let part = cv::warp_affine(picture, self.matrix(), self.width, self.height);
        let pixels = self.width * self.height;
        let mut samples = vec![0.0_f32; 3 * pixels];
        for (i, pixel) in part.data().chunks_exact(3).enumerate() {
            for (band, v) in pixel.iter().enumerate() {
                samples[band * pixels + i] = ((f64::from(*v) - MEAN[band]) / DEVIATION[band]) as f32;
            }
        }
        Ok(Tensor::from_vec(samples, (1, 3, self.height, self.width), &Device::Cpu)?)
    }

    /// Where a place is, by what the network thinks of each position.
    pub(super) fn spot(&self, x: &[f32], y: &[f32]) -> Spot {
        let ((i, x_score), (j, y_score)) = (largest(x), largest(y));
        let score = if x_score > y_score { y_score } else { x_score };
        // Nowhere is left of and above the view.
        let [i, j] = if score <= 0.0 { [-1.0, -1.0] } else { [i as f32, j as f32] };
        let place = |position: f32, pixels: usize, axis: usize| {
            f64::from(position / FINER) / pixels as f64 * self.size[axis] + self.center[axis] - self.size[axis] / 2.0
        };
        Spot {
            x: place(i, self.width, 0),
            y: place(j, self.height, 1),
            score: f64::from(score),
        }
    }
}

/// The first of the largest numbers, and where it is.
fn largest(numbers: &[f32]) -> (usize, f32) {
    let mut best = (0, numbers.first().copied().unwrap_or(0.0));
    for (i, v) in numbers.iter().enumerate() {
        if *v > best.1 {
            best = (i, *v);
        }
    }
    best
}

/// The network's places in OpenPose's order, with a neck between the shoulders.
pub(super) fn ordered(found: &[Spot]) -> Result<Body> {
    /// For each joint of OpenPose's body which of the network's it is; the second is the neck.
    const JOINTS: [usize; 18] = [0, PLACES, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3];
    let (Some(left), Some(right)) = (found.get(5), found.get(6)) else {
        return Err(ModelError::Input(format!("{} places of a person, expected {PLACES}", found.len())));
    };
    let neck = Spot {
        x: f64::midpoint(left.x, right.x),
        y: f64::midpoint(left.y, right.y),
        score: if left.is_seen() && right.is_seen() { 1.0 } else { 0.0 },
    };
    let joints = JOINTS.iter().map(|i| found.get(*i).copied().unwrap_or(neck));
    let all: Vec<Spot> = joints.chain(found.iter().skip(17).copied()).collect();
    all.try_into()
        .map_err(|all: Vec<Spot>| ModelError::Input(format!("{} places of a person, expected {PLACES}", all.len() - 1)))
}
