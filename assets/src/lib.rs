//! The model that ships with the program, and CLIP's vocabulary, packed. A crate of its own, so that 25 MB are compiled once and not with every
//! change of the core.

mod packed;

use std::io::{self, Write};

use packed::Packed;

/// A file of the shipped model.
#[derive(Debug, Clone, Copy)]
pub struct ModelFile {
    /// Its path below the model's folder.
    pub path: &'static str,
    packed: Packed,
}

impl ModelFile {
    /// Writes its content.
    ///
    /// # Errors
    /// What `to` cannot take.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        self.packed.unpack(to)
    }
}

/// Name of the shipped model.
pub const MODEL_NAME: &str = "invoke-tiny";

/// Side of the pictures it was trained on, in pixels.
pub const MODEL_SIDE: u32 = 256;

/// What it can draw, for its record.
pub const MODEL_DESCRIPTION: &str = "Ships with the program. Draws simple pictures at 256×256: \
    a red circle on a blue background, a house with a red roof, a boat on the sea, mountains at sunset …";

/// Every file of the shipped model.
pub const MODEL_FILES: &[ModelFile] = include!(concat!(env!("OUT_DIR"), "/index.rs"));

/// The merges of CLIP's tokenizer, from which its vocabulary follows: a line of version, then 48,894 rules. Checkpoints of a single file come without.
/// Made by OpenAI and published under the MIT licence (`clip/LICENSE`).
pub const CLIP_MERGES: &str = include_str!("../clip/merges.txt");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_comes_out_as_it_went_in() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(MODEL_NAME);
        for file in MODEL_FILES {
            let mut unpacked = Vec::new();
            file.write(&mut unpacked).unwrap();
            assert!(unpacked == std::fs::read(folder.join(file.path)).unwrap(), "{}", file.path);
        }
        let weights = MODEL_FILES.iter().filter(|file| file.path.ends_with(".safetensors"));
        assert_eq!(weights.count(), 3);
    }

    #[test]
    fn a_file_of_an_odd_length_keeps_its_last_byte() {
        // "abcde" as build.rs packs it; the high bytes are one stored block.
        let packed = Packed {
            low: b"ace",
            high: &[1, 2, 0, 253, 255, b'b', b'd'],
        };
        let mut unpacked = Vec::new();
        packed.unpack(&mut unpacked).unwrap();
        assert_eq!(unpacked, b"abcde");
    }
}
