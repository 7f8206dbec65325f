//! YOLOX: boxes around people.

use std::path::Path;

use candle_core::{Device, Tensor};

use crate::{
    diffusion::{ModelError, Result},
    imaging::{Mode, Picture, cv},
    vision::network::{Network, Runner, onnx},
};

/// Side of the square picture that the network sees.
const SIDE: usize = 640;
/// What fills the square where there is no picture.
const GREY: u8 = 114;
/// Sides of the squares of pixels that the network makes a guess for.
const STRIDES: [usize; 3] = [8, 16, 32];
/// Boxes of lower scores are not looked at, and of lower ones than the second not taken.
const FAINT: f32 = 0.1;
const CLEAR: f64 = 0.3;
/// A box that overlaps a better one by more is the same person again.
const OVERLAP: f32 = 0.45;

/// A box in a picture's pixels: left, top, right, bottom.
pub type Person = [f64; 4];

/// The network.
#[derive(Debug)]
pub struct PersonDetector {
    runner: Runner,
}

impl PersonDetector {
    /// Opens an ONNX file.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        Self::load(onnx::open(path)?, device)
    }

    /// From a network that takes a picture of 640×640 pixels.
    pub fn load(network: Network, device: &Device) -> Result<Self> {
        let runner = Runner::new(network, device)?;
        if runner.inputs().len() != 1 || runner.outputs() == 0 {
            return Err(ModelError::Input(
                "a detector of people takes one picture and gives its guesses".into(),
            ));
        }
        Ok(Self { runner })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.runner.bytes()
    }

    /// The people in an RGB picture, best first; `between` is asked before each step whether to go on.
    ///
    /// # Errors
    /// [`ModelError::Input`] if the picture is too thin, or the network gives something else than such networks give.
    pub fn people<E: From<ModelError>>(&self, picture: &Picture, between: impl FnMut() -> Result<(), E>) -> Result<Vec<Person>, E> {
        let (input, ratio) = letterbox(picture)?;
        let outputs = self.runner.run(vec![input], between)?;
        let guesses = guesses(&outputs[0])?;
        Ok(people(&guesses.0, guesses.1, ratio)?)
    }
}

/// The picture in the upper left of a grey square, `[1, 3, 640, 640]` in 0 to 255, and by how much it became larger.
pub(super) fn letterbox(picture: &Picture) -> Result<(Tensor, f64)> {
    let (width, height) = picture.size();
    if width * height == 0 || picture.mode() != Mode::Rgb {
        return Err(ModelError::Input(format!(
            "the picture is {width}x{height} {:?}, expected RGB",
            picture.mode()
        )));
    }
    let ratio = (SIDE as f64 / height as f64).min(SIDE as f64 / width as f64);
    let (across, down) = ((width as f64 * ratio) as usize, (height as f64 * ratio) as usize);
    if across * down == 0 {
        return Err(ModelError::Input(format!(
            "the picture is {width}x{height}, expected one that is at most {SIDE} times as long as wide"
        )));
    }
    let small = cv::resize_linear(picture, across, down);
    let mut samples = vec![f32::from(GREY); 3 * SIDE * SIDE];
    for y in 0..down {
        for (x, pixel) in small.row(y).chunks_exact(3).enumerate() {
            for (band, v) in pixel.iter().enumerate() {
                samples[(band * SIDE + y) * SIDE + x] = f32::from(*v);
            }
        }
    }
    Ok((Tensor::from_vec(samples, (1, 3, SIDE, SIDE), &Device::Cpu)?, ratio))
}

/// The guesses' numbers, and how many each has.
fn guesses(output: &Tensor) -> Result<(Vec<f32>, usize)> {
    let expected: usize = STRIDES.iter().map(|stride| (SIDE / stride) * (SIDE / stride)).sum();
    match *output.dims() {
        [1, count, numbers] if count == expected && numbers >= 6 => Ok((output.flatten_all()?.to_vec1()?, numbers)),
        ref other => Err(ModelError::Input(format!(
            "a detector of people gave {other:?}, expected [1, {expected}, 6 or more]"
        ))),
    }
}

/// A box and how sure the network is of it.
struct Guess {
    corners: [f32; 4],
    score: f32,
}

impl Guess {
    fn area(&self) -> f32 {
        let [left, top, right, bottom] = self.corners;
        (right - left + 1.0) * (bottom - top + 1.0)
    }

    /// What both cover, as a share of what either covers.
    fn overlap(&self, other: &Self) -> f32 {
        let [a, b] = [self.corners, other.corners];
        let width = (a[2].min(b[2]) - a[0].max(b[0]) + 1.0).max(0.0);
        let height = (a[3].min(b[3]) - a[1].max(b[1]) + 1.0).max(0.0);
        let both = width * height;
        both / (self.area() + other.area() - both)
    }
}

/// The people among guesses of `numbers` numbers each: centre, size, that there is anything, and that it is each kind of thing, people being the first.
pub(super) fn people(guesses: &[f32], numbers: usize, ratio: f64) -> Result<Vec<Person>> {
    let places = STRIDES.iter().flat_map(|stride| {
        let side = SIDE / stride;
        (0..side * side).map(move |i| (i % side, i / side, *stride))
    });
    let mut found = Vec::new();
    for (guess, (x, y, stride)) in guesses.chunks_exact(numbers).zip(places) {
        let score = guess[4] * guess[5];
        if score > FAINT {
            let stride = stride as f64;
            let center = [(f64::from(guess[0]) + x as f64) * stride, (f64::from(guess[1]) + y as f64) * stride].map(|v| v as f32);
            let half = [2, 3].map(|i| (f64::from(guess[i].exp()) * stride) as f32 / 2.0);
            let corners = [center[0] - half[0], center[1] - half[1], center[0] + half[0], center[1] + half[1]];
            found.push(Guess {
                corners: corners.map(|v| v / ratio as f32),
                score,
            });
        }
    }
    // Of equal scores the later comes first.
    found.reverse();
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Guess> = Vec::new();
    for guess in found {
        if kept.iter().all(|better| better.overlap(&guess) <= OVERLAP) {
            kept.push(guess);
        }
    }
    let clear = kept.into_iter().filter(|guess| f64::from(guess.score) > CLEAR);
    let people: Vec<Person> = clear.map(|guess| guess.corners.map(f64::from)).collect();
    if people.iter().flatten().any(|v| !v.is_finite()) {
        return Err(ModelError::Input("a detector of people gave a box without an end".into()));
    }
    Ok(people)
}
