//! Detectors of edges. Their results are pictures `[1, 1, h, w]` of the size they were given.

mod anime;
mod hed;
mod lineart;
mod pidi;

pub use anime::AnimeLines;
pub use hed::Hed;
pub use lineart::Lineart;
pub use pidi::PidiNet;
