//! Channels and sample values.

use invoke_macros::Node;
use serde::Deserialize;

use super::{load, load_as, store};
use crate::{
    domain::shape::choices,
    imaging::{Mode, channels::Channel, chops, effects},
    nodes::{Invoke, NodeCx, NodeEntry, NodeError, entry, fields::ImageField, outputs::ImageOutput},
};

/// Pictures are stored as PNG, which has no such mode.
fn unwritable(mode: &str) -> NodeError {
    NodeError::new(
        "ImageFileSaveException",
        format!("Image file not saved: a PNG cannot hold mode {mode}"),
    )
}

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<ImageChannel>(),
    entry::<ImageConvert>(),
    entry::<ImageChannelOffset>(),
    entry::<ImageChannelMultiply>(),
    entry::<ImageLerp>(),
    entry::<ImageInverseLerp>(),
    entry::<ImageMultiply>(),
];

choices! {
    enum BandName { A = "A", R = "R", G = "G", B = "B" }
}

/// One channel of a picture in grey.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_chan", title = "Extract Image Channel", version = "1.2.2", category = "image", tags("image", "channel"), output = ImageOutput, board, metadata)]
struct ImageChannel {
    image: ImageField,
    #[field(default = "A")]
    channel: BandName,
}

impl Invoke for ImageChannel {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load(cx, &self.image)?;
        let name = match self.channel {
            BandName::A => "A",
            BandName::R => "R",
            BandName::G => "G",
            BandName::B => "B",
        };
        let index = image
            .mode()
            .band_index(name)
            .ok_or_else(|| NodeError::value(format!("The image has no channel \"{name}\"")))?;
        store(cx, image.band(index))
    }
}

choices! {
    enum ModeName { L = "L", Rgb = "RGB", Rgba = "RGBA", Cmyk = "CMYK", YCbCr = "YCbCr", Lab = "LAB", Hsv = "HSV", I = "I", F = "F" }
}

/// A picture in another mode. Of the modes, PNG holds only L, RGB and RGBA; the others cannot be stored.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_conv", title = "Convert Image Mode", version = "1.2.2", category = "image", tags("image", "convert"), output = ImageOutput, board, metadata)]
struct ImageConvert {
    image: ImageField,
    #[field(default = "L")]
    mode: ModeName,
}

impl Invoke for ImageConvert {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let (mode, name) = match self.mode {
            ModeName::L => (Mode::L, "L"),
            ModeName::Rgb => (Mode::Rgb, "RGB"),
            ModeName::Rgba => (Mode::Rgba, "RGBA"),
            ModeName::Cmyk => return Err(unwritable("CMYK")),
            ModeName::YCbCr => return Err(unwritable("YCbCr")),
            ModeName::Lab => return Err(unwritable("LAB")),
            ModeName::Hsv => return Err(unwritable("HSV")),
            ModeName::I => return Err(unwritable("I")),
            ModeName::F => return Err(unwritable("F")),
        };
        debug_assert_eq!(mode.name(), name);
        store(cx, load_as(cx, &self.image, mode)?)
    }
}

choices! {
    enum ChannelName { RedRgba = "Red (RGBA)", GreenRgba = "Green (RGBA)", BlueRgba = "Blue (RGBA)", AlphaRgba = "Alpha (RGBA)", CyanCmyk = "Cyan (CMYK)", MagentaCmyk = "Magenta (CMYK)", YellowCmyk = "Yellow (CMYK)", BlackCmyk = "Black (CMYK)", HueHsv = "Hue (HSV)", SaturationHsv = "Saturation (HSV)", ValueHsv = "Value (HSV)", LuminosityLab = "Luminosity (LAB)", ALab = "A (LAB)", BLab = "B (LAB)", YYCbCr = "Y (YCbCr)", CbYCbCr = "Cb (YCbCr)", CrYCbCr = "Cr (YCbCr)" }
}

impl ChannelName {
    fn channel(self) -> Channel {
        let (mode, index) = match self {
            Self::RedRgba => (Mode::Rgba, 0),
            Self::GreenRgba => (Mode::Rgba, 1),
            Self::BlueRgba => (Mode::Rgba, 2),
            Self::AlphaRgba => (Mode::Rgba, 3),
            Self::CyanCmyk => (Mode::Cmyk, 0),
            Self::MagentaCmyk => (Mode::Cmyk, 1),
            Self::YellowCmyk => (Mode::Cmyk, 2),
            Self::BlackCmyk => (Mode::Cmyk, 3),
            Self::HueHsv => (Mode::Hsv, 0),
            Self::SaturationHsv => (Mode::Hsv, 1),
            Self::ValueHsv => (Mode::Hsv, 2),
            Self::LuminosityLab => (Mode::Lab, 0),
            Self::ALab => (Mode::Lab, 1),
            Self::BLab => (Mode::Lab, 2),
            Self::YYCbCr => (Mode::YCbCr, 0),
            Self::CbYCbCr => (Mode::YCbCr, 1),
            Self::CrYCbCr => (Mode::YCbCr, 2),
        };
        Channel { mode, index }
    }
}

/// A channel of a picture plus a number, clipped; hue wraps round. The result is RGBA.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_channel_offset", title = "Offset Image Channel", version = "1.2.3", category = "image", tags("image", "offset", "red", "green", "blue", "alpha", "cyan", "magenta", "yellow", "black", "hue", "saturation", "luminosity", "value"), output = ImageOutput, board, metadata)]
struct ImageChannelOffset {
    image: ImageField,
    channel: ChannelName,
    #[field(default = 0, ge = -255, le = 255)]
    offset: i64,
}

impl Invoke for ImageChannelOffset {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        store(cx, self.channel.channel().offset(&load(cx, &self.image)?, self.offset as i32))
    }
}

/// A channel of a picture times a number, clipped, and turned round if asked to. The result is RGBA.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_channel_multiply", title = "Multiply Image Channel", version = "1.2.3", category = "image", tags("image", "invert", "scale", "multiply", "red", "green", "blue", "alpha", "cyan", "magenta", "yellow", "black", "hue", "saturation", "luminosity", "value"), output = ImageOutput, board, metadata)]
struct ImageChannelMultiply {
    image: ImageField,
    channel: ChannelName,
    #[field(default = 1.0, ge = 0.0)]
    scale: f64,
    #[field(default = false)]
    invert_channel: bool,
}

impl Invoke for ImageChannelMultiply {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        store(
            cx,
            self.channel
                .channel()
                .multiply(&load(cx, &self.image)?, self.scale, self.invert_channel),
        )
    }
}

/// All samples of a picture from 0 to 255 to a smaller range.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_lerp", title = "Lerp Image", version = "1.2.2", category = "image", tags("image", "lerp"), output = ImageOutput, board, metadata)]
struct ImageLerp {
    image: ImageField,
    #[field(default = 0, ge = 0, le = 255)]
    min: i64,
    #[field(default = 255, ge = 0, le = 255)]
    max: i64,
}

impl Invoke for ImageLerp {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        store(cx, effects::lerp(&load(cx, &self.image)?, self.min as i32, self.max as i32))
    }
}

/// All samples of a picture from a range to 0 to 255.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_ilerp", title = "Inverse Lerp Image", version = "1.2.2", category = "image", tags("image", "ilerp"), output = ImageOutput, board, metadata)]
struct ImageInverseLerp {
    image: ImageField,
    #[field(default = 0, ge = 0, le = 255)]
    min: i64,
    #[field(default = 255, ge = 0, le = 255)]
    max: i64,
}

impl Invoke for ImageInverseLerp {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        store(cx, effects::inverse_lerp(&load(cx, &self.image)?, self.min as i32, self.max as i32))
    }
}

/// Two pictures of one mode multiplied, where both are.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_mul", title = "Multiply Images", version = "1.2.2", category = "image", tags("image", "multiply"), output = ImageOutput, board, metadata)]
struct ImageMultiply {
    image1: ImageField,
    image2: ImageField,
}

impl Invoke for ImageMultiply {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        store(cx, chops::multiply(&load(cx, &self.image1)?, &load(cx, &self.image2)?)?)
    }
}
