//! The functions of OpenCV that nodes use, over [`Picture`](super::Picture)s.

mod canny;
mod distance;
mod inpaint;
mod morphology;
mod resize;
pub mod yuv;

pub use canny::canny;
pub use distance::distance_to_black;
pub use inpaint::inpaint_telea;
pub use morphology::{Extreme, ellipse, square};
pub use resize::{resize_area, resize_cubic, resize_nearest};
