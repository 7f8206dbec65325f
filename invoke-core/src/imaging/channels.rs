//! Changing one channel of a picture in the colour space that has it.

use super::{Mode, Picture};

/// A channel: the mode to convert to and which of its samples to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// The mode that has the channel.
    pub mode: Mode,
    /// Its place in a pixel.
    pub index: usize,
}

impl Channel {
    fn is_alpha(self) -> bool {
        self.mode == Mode::Rgba && self.index == 3
    }

    fn is_hue(self) -> bool {
        self.mode == Mode::Hsv && self.index == 0
    }

    /// NumPy sees Lab's colour axes as signed bytes, so what the nodes compute with has the highest bit turned.
    fn flip(self) -> u8 {
        if self.mode == Mode::Lab && self.index > 0 { 0x80 } else { 0 }
    }

    /// The picture in RGBA with this channel's samples put through `f`; its own opacity comes back unless that is the channel.
    fn change(self, picture: &Picture, f: impl Fn(u8) -> u8) -> Picture {
        let rgba = picture.convert(Mode::Rgba);
        let mut work = rgba.convert(self.mode);
        let n = work.bands();
        for v in work.data_mut().iter_mut().skip(self.index).step_by(n) {
            *v = f(*v ^ self.flip()) ^ self.flip();
        }
        let out = work.convert(Mode::Rgba);
        if self.is_alpha() {
            return out;
        }
        let alpha = rgba.alpha().expect("RGBA has opacity");
        out.with_alpha(&alpha).expect("opacity of a picture is of its size")
    }

    /// The channel plus `offset`, clipped; hue wraps round.
    pub fn offset(self, picture: &Picture, offset: i32) -> Picture {
        self.change(picture, |v| {
            let sum = i32::from(v) + offset;
            if self.is_hue() {
                sum.rem_euclid(256) as u8
            } else {
                sum.clamp(0, 255) as u8
            }
        })
    }

    /// The channel times `scale`, clipped, and then turned round if `invert`.
    pub fn multiply(self, picture: &Picture, scale: f64, invert: bool) -> Picture {
        self.change(picture, |v| {
            let scaled = (f64::from(v) * scale).clamp(0.0, 255.0);
            (if invert { 255.0 - scaled } else { scaled }) as u8
        })
    }
}
