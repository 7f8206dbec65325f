//! Whole-picture effects, as the image nodes define them: blurs that mind opacity, sharpening, ranges and hue.

use super::{
    Mode, Picture,
    color::{linear_from_oklab, linear_from_srgb, oklab_from_linear, oklab_from_oklch, oklch_from_oklab, srgb_from_linear, unit},
    gaussian_blur,
};

/// Maps every pixel of an RGB picture in 0..=1 to another, truncated to bytes after clamping.
fn map_rgb(picture: &Picture, f: impl Fn([f32; 3]) -> [f32; 3] + Sync) -> Picture {
    picture.each::<3, 3>(Mode::Rgb, |p| f(p.map(unit)).map(|v| (v.clamp(0.0, 1.0) * 255.0) as u8))
}

/// An RGB result in the mode, and with the opacity, of the picture it was made from.
pub fn restore(rgb: Picture, original: &Picture) -> Picture {
    match original.alpha() {
        None => rgb.convert(original.mode()),
        Some(alpha) => {
            let colours = if original.mode() == Mode::La { rgb.convert(Mode::L) } else { rgb };
            colours.with_alpha(&alpha).expect("opacity of a picture is of its size")
        }
    }
}

/// A blur of the premultiplied picture, divided by the blurred opacity afterwards. The result is RGBA.
pub fn blur_with_opacity(picture: &Picture, blur: impl Fn(&Picture) -> Picture) -> Picture {
    let rgba = picture.convert(Mode::Rgba);
    let premultiplied = rgba.each::<4, 4>(Mode::Rgba, |[r, g, b, a]| {
        let times = |v: u8| (u32::from(v) * u32::from(a) / 255) as u8;
        [times(r), times(g), times(b), a]
    });
    blur(&premultiplied).each::<4, 4>(Mode::Rgba, |[r, g, b, a]| {
        let opacity = unit(a) + 1e-6;
        let divide = |v: u8| (f32::from(v) / opacity).clamp(0.0, 255.0) as u8;
        [divide(r), divide(g), divide(b), a]
    })
}

/// The difference to the picture's Gaussian blur added `strength` percent; mode and opacity stay.
pub fn unsharp_mask(picture: &Picture, radius: f32, strength: f64) -> Picture {
    let rgb = picture.convert(Mode::Rgb);
    let soft = gaussian_blur(&rgb, radius);
    let factor = strength / 100.0;
    let pairs = rgb.data().iter().zip(soft.data());
    let data = pairs
        .map(|(v, s)| {
            let (v, s) = (f64::from(*v) / 255.0, f64::from(*s) / 255.0);
            ((v + (v - s) * factor).clamp(0.0, 1.0) * 255.0) as u8
        })
        .collect();
    restore(Picture::trusted(Mode::Rgb, rgb.width(), rgb.height(), data), picture)
}

/// As [`unsharp_mask`], on Oklab's lightness alone.
pub fn unsharp_mask_oklab(picture: &Picture, radius: f32, strength: f64) -> Picture {
    let rgb = picture.convert(Mode::Rgb);
    let soft = gaussian_blur(&rgb, radius);
    let factor = (strength / 100.0) as f32;
    let lab = |p: &[u8]| oklab_from_linear(linear_from_srgb([unit(p[0]), unit(p[1]), unit(p[2])]));
    let pairs = rgb.data().chunks_exact(3).zip(soft.data().chunks_exact(3));
    let data = pairs
        .flat_map(|(p, s)| {
            let mut c = lab(p);
            c[0] += (c[0] - lab(s)[0]) * factor;
            let c = c.map(|v| v.clamp(-1.0, 1.0));
            srgb_from_linear(linear_from_oklab(c)).map(|v| (v * 255.0) as u8)
        })
        .collect();
    restore(Picture::trusted(Mode::Rgb, rgb.width(), rgb.height(), data), picture)
}

/// Every sample, opacity included, from 0..=255 to `min`..=`max`.
pub fn lerp(picture: &Picture, min: i32, max: i32) -> Picture {
    picture.clone().map(|v| (unit(v) * (max - min) as f32 + min as f32) as i32 as u8)
}

/// Every sample, opacity included, from `min`..=`max` to 0..=255, clipped. With equal bounds, samples above them become 255.
pub fn inverse_lerp(picture: &Picture, min: i32, max: i32) -> Picture {
    picture.clone().map(|v| {
        let above = (f32::from(v) - min as f32).max(0.0);
        let share = above / (max - min) as f32;
        let share = if share > 1.0 { 1.0 } else { share };
        (share * 255.0) as i32 as u8
    })
}

/// Hue turned by whole degrees in byte HSV. The result is RGBA and opaque.
pub fn adjust_hue(picture: &Picture, degrees: i64) -> Picture {
    let turn = (256.0 * (degrees.rem_euclid(360) as f64 / 360.0)) as u8;
    let turned = picture
        .convert(Mode::Hsv)
        .each::<3, 3>(Mode::Hsv, |[h, s, v]| [h.wrapping_add(turn), s, v]);
    turned.convert(Mode::Rgba)
}

/// Hue turned by degrees in Oklch; mode and opacity stay.
pub fn adjust_hue_oklch(picture: &Picture, degrees: i64) -> Picture {
    let rgb = map_rgb(&picture.convert(Mode::Rgb), |c| {
        let [l, c, h] = oklch_from_oklab(oklab_from_linear(linear_from_srgb(c)));
        let h = (h + degrees as f32).rem_euclid(360.0);
        srgb_from_linear(linear_from_oklab(oklab_from_oklch([l, c, h])))
    });
    restore(rgb, picture)
}
