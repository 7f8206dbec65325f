//! Pictures computed as Pillow, OpenCV and NumPy compute them.
//!
//! Pure functions over 8-bit pictures: no model, no storage, no node. What Pillow does in integers is reproduced to the bit; where a
//! function works in floating point its documentation states how far a result may lie from the original's.
//!
//! A node's picture must not depend on who computed it, so this module keeps the rounding of the libraries that made the pictures people
//! already have, even where another rounding would be as good.
pub mod adjust;
mod blur;
pub mod chops;
pub mod color;
mod convert;
pub mod cv;
mod hsv;
mod lab;
pub mod numpy_random;
mod paste;
mod picture;
mod resample;

pub use blur::{box_blur, gaussian_blur, smooth};
pub use lab::LabPrecision;
pub use paste::{alpha_composite, paste};
pub use picture::{ImagingError, Mode, Picture};
pub use resample::{Resample, resize};

/// Pictures with fewer bytes than this are computed on the calling thread: handing them out costs more than it saves.
const PARALLEL_FROM: usize = 1 << 16;
