//! What can be done to a picture while it is uploaded.

use image::{DynamicImage, GenericImageView, imageops::FilterType};

use crate::domain::shape::{Bounds, Check, Extra, Field, ObjectShape, Shape};

const SIDE: Shape = Shape::Int(Bounds::NONE.gt(0.0));
/// Pixels that a picture may be resized to.
const MOST_PIXELS: u64 = 4096 * 4096;

/// The part of a picture that shows something: what is not wholly transparent or, without transparency, not black. All of it if there is
/// no such part.
pub(super) fn crop_to_visible(picture: DynamicImage) -> DynamicImage {
    let has_alpha = picture.color().has_alpha();
    let shows = |x: u32, y: u32| {
        let [r, g, b, a] = picture.get_pixel(x, y).0;
        if has_alpha { a > 0 } else { r > 0 || g > 0 || b > 0 }
    };
    let (width, height) = picture.dimensions();
    let row_shows = |&y: &u32| (0..width).any(|x| shows(x, y));
    let Some(top) = (0..height).find(row_shows) else { return picture };
    let bottom = (top..height).rev().find(row_shows).unwrap_or(top);
    let column_shows = |&x: &u32| (top..=bottom).any(|y| shows(x, y));
    let left = (0..width).find(column_shows).unwrap_or(0);
    let right = (left..width).rev().find(column_shows).unwrap_or(left);
    if (left, top, right + 1, bottom + 1) == (0, 0, width, height) {
        return picture;
    }
    picture.crop_imm(left, top, right - left + 1, bottom - top + 1)
}

/// The size in a text `{"width": W, "height": H}`; `None` if it is none.
pub(super) fn wanted_size(text: &str) -> Option<(u32, u32)> {
    static SIZE: ObjectShape = ObjectShape {
        name: "Size",
        fields: &[Field::required("width", SIDE), Field::required("height", SIDE)],
        extra: Extra::Ignore,
    };
    let size = Check::at("resize_to")
        .run(&Shape::Object(&SIZE), serde_json::from_str(text).ok()?)
        .ok()?;
    let side = |key: &str| u32::try_from(size[key].as_u64()?).ok();
    let (width, height) = (side("width")?, side("height")?);
    (u64::from(width) * u64::from(height) <= MOST_PIXELS).then_some((width, height))
}

/// The picture in this size, whatever its shape.
pub(super) fn resize(picture: &DynamicImage, (width, height): (u32, u32)) -> DynamicImage {
    if picture.dimensions() == (width, height) {
        picture.clone()
    } else {
        picture.resize_exact(width, height, FilterType::Lanczos3)
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    #[test]
    fn cropping_keeps_what_shows() {
        let mut clear = RgbaImage::from_pixel(30, 20, Rgba([255, 255, 255, 0]));
        clear.put_pixel(5, 4, Rgba([0, 0, 0, 255]));
        clear.put_pixel(24, 13, Rgba([0, 0, 0, 1]));
        assert_eq!(crop_to_visible(clear.into()).dimensions(), (20, 10));
        let mut black = RgbImage::new(9, 9);
        black.put_pixel(3, 3, Rgb([0, 0, 1]));
        assert_eq!(crop_to_visible(black.into()).dimensions(), (1, 1));
        assert_eq!(crop_to_visible(RgbaImage::new(4, 4).into()).dimensions(), (4, 4));
    }

    #[test]
    fn sizes_are_objects_within_bounds() {
        for good in [r#"{"width": 30, "height": 20}"#, r#"{"width": 30.0, "height": "20", "depth": 1}"#] {
            assert_eq!(wanted_size(good), Some((30, 20)), "{good}");
        }
        for bad in [
            "[30, 20]",
            "big",
            "{\"width\": 30}",
            "{\"width\": 0, \"height\": 5}",
            "{\"width\": 5000, \"height\": 5000}",
            "{\"width\": 1.5, \"height\": 2}",
        ] {
            assert_eq!(wanted_size(bad), None, "{bad}");
        }
    }
}
