//! Where people and their joints, faces and hands are (DWPose): a detector of people (YOLOX), then for each of them a model of 133 places (RTMPose), drawn
//! as OpenPose draws.

mod detector;
mod draw;
mod places;
#[cfg(test)]
mod tests;

pub use detector::{Person, PersonDetector};
pub use draw::{Parts, draw};
pub use places::{Body, BodyPlaces, Spot};
