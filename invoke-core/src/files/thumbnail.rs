//! Thumbnails.

use image::DynamicImage;

/// Longest side of a thumbnail in pixels.
pub const THUMBNAIL_SIDE: u32 = 256;

/// WebP quality of thumbnails, 0 to 100.
const QUALITY: f32 = 80.0;

/// A thumbnail could not be encoded.
#[derive(Debug, thiserror::Error)]
#[error("the WebP encoder failed: {0}")]
pub struct ThumbnailError(String);

/// Width and height of the largest picture of this shape within a square; never larger than the picture itself.
fn fitted(width: u32, height: u32, side: u32) -> (u32, u32) {
    if width <= side && height <= side {
        return (width, height);
    }
    let aspect = f64::from(width) / f64::from(height);
    // Of the two whole numbers next to the exact length, the one that keeps the shape better.
    let nearer = |exact: f64, error: &dyn Fn(f64) -> f64| -> u32 {
        let (low, high) = (exact.floor(), exact.ceil());
        (if error(low) <= error(high) { low } else { high }).max(1.0) as u32
    };
    let long = f64::from(side);
    if aspect <= 1.0 {
        (nearer(long * aspect, &|n| (aspect - n / long).abs()), side)
    } else {
        (
            side,
            nearer(long / aspect, &|n| if n == 0.0 { 0.0 } else { (aspect - long / n).abs() }),
        )
    }
}

/// The picture as a lossy WebP, fitted into [`THUMBNAIL_SIDE`] both ways; its transparency is kept.
pub fn thumbnail_webp(picture: &DynamicImage) -> Result<Vec<u8>, ThumbnailError> {
    let (width, height) = fitted(picture.width(), picture.height(), THUMBNAIL_SIDE);
    let small = if (width, height) == (picture.width(), picture.height()) {
        None
    } else {
        Some(picture.thumbnail_exact(width, height))
    };
    let small = small.as_ref().unwrap_or(picture);
    let encoded = if small.color().has_alpha() {
        webp::Encoder::from_rgba(&small.to_rgba8(), width, height).encode_simple(false, QUALITY)
    } else {
        webp::Encoder::from_rgb(&small.to_rgb8(), width, height).encode_simple(false, QUALITY)
    };
    encoded
        .map(|bytes| bytes.to_vec())
        .map_err(|error| ThumbnailError(format!("{error:?}")))
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage, RgbaImage};

    use super::*;

    #[test]
    fn thumbnails_keep_shape_and_do_not_grow() {
        let cases = [
            ((64, 48), (64, 48)),
            ((300, 200), (256, 171)),
            ((200, 300), (171, 256)),
            ((512, 512), (256, 256)),
            ((10_000, 3), (256, 1)),
        ];
        for ((width, height), expected) in cases {
            assert_eq!(fitted(width, height, 256), expected, "{width}x{height}");
        }
    }

    #[test]
    fn a_thumbnail_is_a_small_lossy_webp() {
        let picture = DynamicImage::ImageRgb8(RgbImage::from_fn(512, 384, |x, y| {
            let noise = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) >> 27;
            Rgb([(x / 2) as u8 ^ noise as u8, (y / 2) as u8, 90])
        }));
        let webp = thumbnail_webp(&picture).unwrap();
        assert_eq!(&webp[12..16], b"VP8 ", "lossy, without alpha");
        assert!(webp.len() < 20_000, "{}", webp.len());
        let back = image::load_from_memory(&webp).unwrap();
        assert_eq!((back.width(), back.height()), (256, 192));
        let clear = thumbnail_webp(&DynamicImage::ImageRgba8(RgbaImage::new(8, 8))).unwrap();
        assert!(image::load_from_memory(&clear).unwrap().color().has_alpha());
    }
}
