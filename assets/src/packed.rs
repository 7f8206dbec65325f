//! Files as the program carries them: packed when it is built, unpacked as they are written.

use std::io::{self, Read as _, Write};

use flate2::read::DeflateDecoder;

/// A file in two parts. Of weights in half precision the bytes at even offsets, which are noise, are `low` as they were, and those at odd
/// offsets are `high`, deflated; of any other file `low` is empty and all of it is `high`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed {
    pub(crate) low: &'static [u8],
    pub(crate) high: &'static [u8],
}

impl Packed {
    /// Writes the file as it was, a piece at a time.
    pub(crate) fn unpack(self, to: &mut impl Write) -> io::Result<()> {
        let mut inflated = DeflateDecoder::new(self.high);
        if self.low.is_empty() {
            io::copy(&mut inflated, to)?;
            return Ok(());
        }
        let (mut low, mut piece, mut file) = (self.low, vec![0; 1 << 15], Vec::with_capacity(1 << 16));
        loop {
            let n = inflated.read(&mut piece)?;
            let (now, later) = low.split_at(if n == 0 { low.len() } else { n.min(low.len()) });
            low = later;
            file.clear();
            let mut high = piece[..n].iter();
            for &even in now {
                file.push(even);
                file.extend(high.next());
            }
            to.write_all(&file)?;
            if n == 0 {
                return Ok(());
            }
        }
    }
}
