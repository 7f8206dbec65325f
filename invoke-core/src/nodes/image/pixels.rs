//! Between pictures as they are stored and pictures as they are computed with.

use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};

use crate::imaging::{Mode, Picture};

/// The eight high bits of sixteen.
fn high(data: &[u16]) -> Vec<u8> {
    data.iter().map(|v| (v >> 8) as u8).collect()
}

/// The pixels with eight bits a sample; of more, the highest eight.
pub fn from_dynamic(image: &DynamicImage) -> Picture {
    let (mode, data) = match image {
        DynamicImage::ImageLuma8(image) => (Mode::L, image.as_raw().clone()),
        DynamicImage::ImageLumaA8(image) => (Mode::La, image.as_raw().clone()),
        DynamicImage::ImageRgb8(image) => (Mode::Rgb, image.as_raw().clone()),
        DynamicImage::ImageRgba8(image) => (Mode::Rgba, image.as_raw().clone()),
        DynamicImage::ImageLuma16(image) => (Mode::L, high(image.as_raw())),
        DynamicImage::ImageLumaA16(image) => (Mode::La, high(image.as_raw())),
        DynamicImage::ImageRgb16(image) => (Mode::Rgb, high(image.as_raw())),
        DynamicImage::ImageRgba16(image) => (Mode::Rgba, high(image.as_raw())),
        other => (Mode::Rgba, other.to_rgba8().into_raw()),
    };
    Picture::from_samples(mode, image.width() as usize, image.height() as usize, data).expect("a picture has its samples")
}

/// The pixels for storing; modes that PNG does not hold become RGB.
pub fn into_dynamic(picture: Picture) -> DynamicImage {
    let picture = match picture.mode() {
        Mode::L | Mode::La | Mode::Rgb | Mode::Rgba => picture,
        Mode::Cmyk | Mode::YCbCr | Mode::Lab | Mode::Hsv => picture.convert(Mode::Rgb),
    };
    let (width, height, mode) = (picture.width() as u32, picture.height() as u32, picture.mode());
    let data = picture.into_data();
    let image = match mode {
        Mode::L => GrayImage::from_raw(width, height, data).map(Into::into),
        Mode::La => GrayAlphaImage::from_raw(width, height, data).map(Into::into),
        Mode::Rgba => RgbaImage::from_raw(width, height, data).map(Into::into),
        _ => RgbImage::from_raw(width, height, data).map(Into::into),
    };
    image.expect("a picture has its samples")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_come_back_in_their_mode() {
        for mode in [Mode::L, Mode::La, Mode::Rgb, Mode::Rgba] {
            let picture = Picture::filled(mode, 3, 2, &[1, 2, 3, 4]);
            assert_eq!(from_dynamic(&into_dynamic(picture.clone())), picture);
        }
        let deep = DynamicImage::ImageLuma16(image::ImageBuffer::from_pixel(1, 1, image::Luma([0x12ff])));
        assert_eq!(from_dynamic(&deep).data(), [0x12]);
    }
}
