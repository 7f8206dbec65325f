//! Blurring pictures that people may not want to see.

use candle_core::DType;
use invoke_macros::Node;
use serde::Deserialize;

use super::{load, loading, store};
use crate::{
    imaging::{Mode, Picture, Resample, gaussian_blur, paste},
    nodes::{Invoke, NodeCx, NodeEntry, NodeError, entry, fields::ImageField, outputs::ImageOutput},
    vision::{safety::SafetyChecker, to_tensor},
};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[entry::<ImageNSFWBlur>()];

const CHECKER: &str = "CompVis/stable-diffusion-safety-checker";
/// How far the blur of a flagged picture reaches.
const BLUR: f32 = 32.0;

/// Blurs a picture if the checker flags it. Without a checker on the server every picture passes.
#[derive(Debug, Deserialize, Node)]
#[node(id = "img_nsfw", title = "Blur NSFW Image", version = "1.2.3", category = "image", tags("image", "nsfw"), output = ImageOutput, board, metadata)]
struct ImageNSFWBlur {
    image: ImageField,
}

impl Invoke for ImageNSFWBlur {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load(cx, &self.image)?;
        if !is_flagged(cx, &image)? {
            return store(cx, image);
        }
        tracing::warn!("a picture was flagged by the checker and is blurred");
        store(cx, blurred(&image)?)
    }
}

fn is_flagged(cx: &dyn NodeCx, image: &Picture) -> Result<bool, NodeError> {
    let device = &cx.workbench().device;
    let checker = loading::fetched(cx, CHECKER, "safety_checker", |folder| {
        let checker = SafetyChecker::open(folder, DType::F32, device)?;
        let bytes = checker.bytes();
        Ok((checker, bytes))
    });
    let checker = match checker {
        Ok(checker) => checker,
        Err(NodeError::Canceled) => return Err(NodeError::Canceled),
        Err(error) => {
            tracing::warn!("pictures pass unchecked: {error}");
            return Ok(false);
        }
    };
    let side = checker.image_size();
    let middle = square(&image.convert(Mode::Rgb), side);
    Ok(checker.flags(&to_tensor(&middle, DType::F32, device, |v| v / 255.0)?)?)
}

/// The middle of a picture whose shorter side was brought to `side`.
fn square(image: &Picture, side: usize) -> Picture {
    let (width, height) = image.size();
    let shorter = width.min(height);
    let long = |n: usize| if n == shorter { side } else { side * n / shorter };
    let (wide, tall) = (long(width), long(height));
    let resized = image.resize(wide, tall, Resample::Bicubic);
    let (left, top) = (((wide - side) / 2) as i64, ((tall - side) / 2) as i64);
    resized.crop(left, top, left + side as i64, top + side as i64)
}

/// The picture past recognition, with a sign in its middle.
fn blurred(image: &Picture) -> Result<Picture, NodeError> {
    let mut picture = gaussian_blur(image, BLUR);
    let sign = sign();
    let place = |all: usize, own: usize| (all as i64 - own as i64).div_euclid(2);
    let (x, y) = (place(picture.width(), sign.width()), place(picture.height(), sign.height()));
    let shape = sign.band(3);
    let colors = if picture.mode() == Mode::Rgba {
        sign
    } else {
        sign.convert(Mode::Rgb).convert(picture.mode())
    };
    paste(&mut picture, &colors, x, y, Some(&shape))?;
    Ok(picture)
}

/// A warning triangle: yellow with a black rim and an exclamation mark, transparent around.
fn sign() -> Picture {
    const WIDTH: usize = 250;
    const HEIGHT: usize = 220;
    /// Points in a pixel along each side, for soft edges.
    const FINE: usize = 4;
    const RIM: f32 = 16.0;
    let mut picture = Picture::new(Mode::Rgba, WIDTH, HEIGHT);
    let (middle, tall) = (WIDTH as f32 / 2.0, HEIGHT as f32);
    // How far a point lies within the triangle, in pixels, negative outside.
    let slope = (tall * tall + middle * middle).sqrt();
    let depth = |x: f32, y: f32| {
        let side = (y * middle - (x - middle).abs() * tall) / slope;
        side.min(tall - y)
    };
    let in_mark = |x: f32, y: f32| {
        let across = (x - middle).abs();
        let bar = (0.36..0.7).contains(&(y / tall)) && across < 13.0 - 7.0 * (y / tall - 0.36) / 0.34;
        bar || across.hypot(y - tall * 0.81) < 11.0
    };
    for i in 0..WIDTH * HEIGHT {
        let (mut shown, mut yellow) = (0_u32, 0_u32);
        for point in 0..FINE * FINE {
            let at = |n: usize, part: usize| n as f32 + (part as f32 + 0.5) / FINE as f32;
            let (x, y) = (at(i % WIDTH, point % FINE), at(i / WIDTH, point / FINE));
            let deep = depth(x, y);
            shown += u32::from(deep >= 0.0);
            yellow += u32::from(deep >= RIM && !in_mark(x, y));
        }
        let byte = |part: u32, all: u32, value: u32| (value * part / all.max(1)) as u8;
        let pixel = [
            byte(yellow, shown, 255),
            byte(yellow, shown, 204),
            0,
            byte(shown, (FINE * FINE) as u32, 255),
        ];
        picture.data_mut()[i * 4..i * 4 + 4].copy_from_slice(&pixel);
    }
    picture
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::nodes::{
        image::{from_dynamic, into_dynamic},
        testing::{TestCx, run_in},
    };

    #[test]
    fn without_a_checker_pictures_pass() {
        let cx = TestCx::default();
        let picture = Picture::filled(Mode::Rgb, 20, 10, &[1, 2, 3]);
        cx.images.lock().push(("in.png".into(), into_dynamic(picture.clone()).into(), None));
        run_in(&cx, "img_nsfw", json!({"image": {"image_name": "in.png"}})).unwrap();
        let images = cx.images.lock();
        assert_eq!((images.len(), from_dynamic(&images[1].1)), (2, picture));
    }

    #[test]
    fn flagged_pictures_are_blurred_and_signed() {
        for mode in [Mode::L, Mode::Rgb, Mode::Rgba] {
            let mut picture = Picture::filled(mode, 400, 300, &[255, 255, 255, 255]);
            let half = picture.data().len() / 2;
            picture.data_mut()[..half].fill(0);
            let out = blurred(&picture).unwrap();
            assert_eq!((out.mode(), out.size()), (mode, (400, 300)));
            // Far from the sign the edge between black and white is soft.
            let grey = out.pixel(5, 150)[0];
            assert!((60..200).contains(&grey), "{mode}: {grey}");
            assert_ne!(out.pixel(200, 190), out.pixel(5, 190));
        }
        assert_eq!(blurred(&Picture::new(Mode::Rgb, 30, 20)).unwrap().size(), (30, 20));
        assert_eq!(square(&Picture::new(Mode::Rgb, 300, 100), 224).size(), (224, 224));
    }
}
