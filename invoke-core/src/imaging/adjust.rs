//! Colour, contrast, brightness and sharpness, to the bit as Pillow's `ImageEnhance`. Factor 1 is the picture itself, 0 the picture with
//! all of that quality taken away, more than 1 exaggerates. Opacity stays.

use super::{Mode, Picture, chops, smooth};

fn towards(picture: &Picture, degenerate: &Picture, factor: f32) -> Picture {
    chops::blend(degenerate, picture, factor).expect("the degenerate picture was made from the picture")
}

/// Saturation: 0 is grey.
pub fn color(picture: &Picture, factor: f32) -> Picture {
    let grey_mode = if picture.mode().has_alpha() { Mode::La } else { Mode::L };
    let grey = picture.convert(grey_mode).convert(picture.mode());
    towards(picture, &grey, factor)
}

/// Contrast: 0 is the mean grey everywhere.
pub fn contrast(picture: &Picture, factor: f32) -> Picture {
    let grey = picture.convert(Mode::L);
    let sum: u64 = grey.data().iter().map(|v| u64::from(*v)).sum();
    let mean = (sum as f64 / grey.data().len().max(1) as f64 + 0.5) as u8;
    let flat = Picture::filled(Mode::L, picture.width(), picture.height(), &[mean]);
    towards(picture, &chops::spread(&flat, picture.mode(), picture.alpha().as_ref()), factor)
}

/// Brightness: 0 is black.
pub fn brightness(picture: &Picture, factor: f32) -> Picture {
    let black = Picture::new(Mode::L, picture.width(), picture.height());
    towards(picture, &chops::spread(&black, picture.mode(), picture.alpha().as_ref()), factor)
}

/// Sharpness: 0 is smoothed, 2 sharpened.
pub fn sharpness(picture: &Picture, factor: f32) -> Picture {
    let mut soft = smooth(picture);
    if let Some(alpha) = picture.alpha() {
        soft = soft.with_alpha(&alpha).expect("opacity of a picture is of its size");
    }
    towards(picture, &soft, factor)
}
