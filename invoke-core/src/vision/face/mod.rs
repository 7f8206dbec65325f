//! Faces: where they are, and 468 points of each, as MediaPipe finds them in single pictures.
//!
//! A detector looks at the whole picture, 128 pixels wide, and says roughly where faces and their eyes are; a mesh looks at each, turned upright, and says
//! where its points are. The mesh may look once more at eyes and lips; it then knows the irises too.

mod detector;
mod mesh;
mod network;
mod region;
pub mod sketch;
#[cfg(test)]
mod tests;

pub use detector::{Detection, Detector};
pub use mesh::{Mesh, POINTS};
pub use region::Region;

/// Points of a face: across and down, as shares of the picture's sides; they may lie outside it.
pub type Points = Vec<(f32, f32)>;
