//! Pictures that tile.

use crate::diffusion::ops::PaddingMode;

/// The axes along which convolutions wrap around instead of padding with zeros, so that the picture tiles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seamless {
    /// Left and right edges meet.
    pub x: bool,
    /// Top and bottom edges meet.
    pub y: bool,
}

impl Seamless {
    /// Padding modes in the order convolutions take them: `[y, x]`.
    pub(crate) fn modes(self) -> [PaddingMode; 2] {
        let mode = |on| if on { PaddingMode::Circular } else { PaddingMode::Zeros };
        [mode(self.y), mode(self.x)]
    }
}
