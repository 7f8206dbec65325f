//! The functions of OpenCV that nodes use, over [`Picture`](super::Picture)s.

mod affine;
mod canny;
mod convex;
mod distance;
mod inpaint;
mod line;
mod morphology;
mod resize;
mod round;
mod soft;
mod warp;
pub mod yuv;

pub use affine::warp_affine;
pub use canny::canny;
pub use convex::{convex_hull, draw_broad_line, fill_convex};
pub use distance::distance_to_black;
pub use inpaint::inpaint_telea;
pub use line::draw_line;
pub use morphology::{Extreme, ellipse, square};
pub use resize::{resize_area, resize_cubic, resize_linear, resize_nearest};
pub use round::{ellipse_outline, fill_circle};
pub use soft::{gaussian_blur, scribble};
pub use warp::{Beyond, Parallelogram, warp_linear};
