//! Pictures computed as Pillow, OpenCV and NumPy compute them.
//!
//! Pure functions over 8-bit pictures: no model, no storage, no node. What Pillow does in integers is reproduced to the bit; where a
//! function works in floating point its documentation states how far a result may lie from the original's.
//!
//! A node's picture must not depend on who computed it, so this module keeps the rounding of the libraries that made the pictures people
//! already have, even where another rounding would be as good.
pub mod adjust;
pub mod blend;
mod blur;
pub mod channels;
pub mod chops;
pub mod color;
mod convert;
pub mod cv;
pub mod effects;
mod heuristic;
pub mod histogram;
mod hsv;
pub mod hue;
pub mod infill;
pub mod key;
mod lab;
pub mod layout;
pub mod lightness;
pub mod masks;
pub mod noise;
pub mod outline;
mod paste;
mod patchmatch;
mod picture;
mod resample;
mod shuffle;
pub mod tiles;
pub mod watermark;

pub use blur::{box_blur, gaussian_blur, smooth};
pub use heuristic::heuristic_resize;
pub use lab::LabPrecision;
pub use paste::{alpha_composite, paste};
pub use patchmatch::fill_with_patches;
pub use picture::{ImagingError, Mode, Picture};
pub use resample::{Resample, resize, resize_part};
pub use shuffle::shuffle_content;

/// Pictures with fewer bytes than this are computed on the calling thread: handing them out costs more than it saves.
const PARALLEL_FROM: usize = 1 << 16;
