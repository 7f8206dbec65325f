//! Laying one picture on another, to the bit as Pillow's `Image.paste` and `Image.alpha_composite`.

use super::{ImagingError, Mode, Picture};

/// a x (255 - mask) + b x mask over 255, rounded to nearest.
fn mix(a: u8, b: u8, mask: u8) -> u8 {
    let t = u32::from(a) * (255 - u32::from(mask)) + u32::from(b) * u32::from(mask) + 128;
    (((t >> 8) + t) >> 8) as u8
}

/// Lays `image` on `base` with its upper left corner at (`x`, `y`), by `mask` (the image's size; its opacity if it has one, else its
/// grey) where one is given: 255 takes the image, 0 leaves the base, all bands alike. The image is converted to the base's mode. What
/// falls outside is left away.
pub fn paste(base: &mut Picture, image: &Picture, x: i64, y: i64, mask: Option<&Picture>) -> Result<(), ImagingError> {
    let converted;
    let image = if image.mode() == base.mode() {
        image
    } else {
        converted = image.convert(base.mode());
        &converted
    };
    let Some(mask) = mask else {
        base.copy_from(image, x, y);
        return Ok(());
    };
    if mask.size() != image.size() {
        return Err(ImagingError::Size(image.size(), mask.size()));
    }
    let mask = mask.alpha().unwrap_or_else(|| mask.convert(Mode::L));
    let n = base.bands();
    let width = base.width();
    let x0 = x.max(0);
    let x1 = (x + image.width() as i64).min(width as i64);
    let y0 = y.max(0);
    let y1 = (y + image.height() as i64).min(base.height() as i64);
    if x1 <= x0 {
        return Ok(());
    }
    for row in y0..y1 {
        let from = (row - y) as usize;
        let start = (x0 - x) as usize;
        let len = (x1 - x0) as usize;
        let at = (row as usize * width + x0 as usize) * n;
        let target = &mut base.data_mut()[at..at + len * n];
        let source = &image.row(from)[start * n..];
        let weights = &mask.row(from)[start..start + len];
        for ((to, from), m) in target.chunks_exact_mut(n).zip(source.chunks_exact(n)).zip(weights) {
            for (to, from) in to.iter_mut().zip(from) {
                *to = mix(*to, *from, *m);
            }
        }
    }
    Ok(())
}

/// `over` laid over `under` by opacity; both RGBA (or both LA) and of one size.
pub fn alpha_composite(under: &Picture, over: &Picture) -> Result<Picture, ImagingError> {
    const PRECISION: u32 = 7;
    if under.mode() != over.mode() || !under.mode().has_alpha() {
        return Err(ImagingError::Mode(under.mode(), over.mode()));
    }
    if under.size() != over.size() {
        return Err(ImagingError::Size(under.size(), over.size()));
    }
    let n = under.bands();
    let shift_div_255 = |v: u32| ((v >> 8) + v) >> 8;
    let mut out = under.clone();
    for (dst, src) in out.data_mut().chunks_exact_mut(n).zip(over.data().chunks_exact(n)) {
        let a = u32::from(src[n - 1]);
        if a == 0 {
            continue;
        }
        let below = u32::from(dst[n - 1]) * (255 - a);
        let alpha_255 = a * 255 + below;
        let over_share = a * 255 * 255 * (1 << PRECISION) / alpha_255;
        let under_share = 255 * (1 << PRECISION) - over_share;
        for (d, s) in dst[..n - 1].iter_mut().zip(src) {
            let sum = u32::from(*s) * over_share + u32::from(*d) * under_share;
            *d = (shift_div_255(sum + (0x80 << PRECISION)) >> PRECISION) as u8;
        }
        dst[n - 1] = shift_div_255(alpha_255 + 0x80) as u8;
    }
    Ok(out)
}
