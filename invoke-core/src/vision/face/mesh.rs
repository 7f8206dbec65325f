//! The points of one face.

use std::path::Path;

use super::{
    Points, Region,
    network::{Known, regions},
};
use crate::{
    diffusion::{ModelError, Result},
    imaging::Picture,
    vision::network::tflite,
};

/// Points of a face without its irises.
pub const POINTS: usize = 468;
/// Points of an iris; they follow the others, first those of the iris further left in the picture.
const IRIS: usize = 5;
/// Pixels along each side of what the network sees.
const SIDE: usize = 192;

/// The network.
#[derive(Debug)]
pub struct Mesh {
    network: Known,
    /// Which points lips and both eyes are looked at for once more; empty if they are not.
    again: Vec<Vec<usize>>,
}

impl Mesh {
    /// Opens MediaPipe's file without attention: 468 points.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or holds another network.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            network: Known::open(path, SIDE, &[3 * POINTS, 1])?,
            again: Vec::new(),
        })
    }

    /// Opens MediaPipe's file with attention, which looks once more at lips and eyes: 478 points.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_attention(path: &Path) -> Result<Self> {
        let network = tflite::open(path)?;
        let again = regions(&network);
        if again.len() != 3 || again.iter().flatten().any(|i| *i >= POINTS) {
            return Err(ModelError::Corrupt {
                file: network.name,
                reason: format!("it looks once more at {} parts of a face, expected lips and two eyes", again.len()),
            });
        }
        let [lips, left, right] = [0, 1, 2].map(|i| 2 * again[i].len());
        let network = Known::new(network, SIDE, &[3 * POINTS, lips, left, right, 2 * IRIS, 2 * IRIS, 1])?;
        Ok(Self { network, again })
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> u64 {
        self.network.bytes()
    }

    /// The points of the face in a region of a picture in RGB, if it is one with a likelihood of more than `least`, from 0 to 1. `between` is asked before
    /// each step whether to go on.
    ///
    /// # Errors
    /// If the network cannot be computed, and what `between` fails with.
    pub fn points<E: From<ModelError>>(
        &self,
        picture: &Picture,
        region: &Region,
        least: f32,
        between: impl FnMut() -> Result<(), E>,
    ) -> Result<Option<Points>, E> {
        if !region.is_something() {
            return Ok(None);
        }
        let seen = region.cut(picture, SIDE);
        let samples: Vec<f32> = seen.data().iter().map(|v| f32::from(*v) * (1.0 / 255.0)).collect();
        let outputs = self.network.run(&samples, between)?;
        let [mesh, finer @ .., flag] = outputs.as_slice() else {
            return Ok(None);
        };
        let likely = flag.first().is_some_and(|flag| 1.0 / (1.0 + (-flag).exp()) > least);
        let share = |v: f32| v / SIDE as f32;
        let mut points: Points = mesh.as_chunks::<3>().0.iter().map(|[x, y, _]| (share(*x), share(*y))).collect();
        for (i, numbers) in finer.iter().enumerate() {
            let places = numbers.as_chunks::<2>().0.iter().map(|[x, y]| (share(*x), share(*y)));
            match self.again.get(i) {
                Some(known) => known.iter().zip(places).for_each(|(to, place)| points[*to] = place),
                None => points.extend(places),
            }
        }
        // A face whose points are no numbers cannot be drawn.
        let sound = points.iter().all(|(x, y)| x.is_finite() && y.is_finite());
        Ok((likely && sound).then(|| region.place(points)))
    }
}
