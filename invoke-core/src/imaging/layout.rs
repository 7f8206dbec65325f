//! Fitting a picture to a size, to the bit as Pillow's `ImageOps.pad`, `ImageOps.fit` and `ImageChops.offset`.

use super::{Picture, Resample, paste::paste, resample::resize_part};

fn round(v: f64) -> usize {
    v.round_ties_even() as usize
}

/// The picture scaled (bicubic) to fit inside the size with its aspect kept, centred on a ground of zeros.
pub fn pad(picture: &Picture, width: usize, height: usize) -> Picture {
    let (w, h) = (picture.width() as f64, picture.height() as f64);
    let ratio = w / h;
    let wanted = width as f64 / height as f64;
    let (inner_width, inner_height) = if ratio > wanted {
        (width, round(h / w * width as f64))
    } else if ratio < wanted {
        (round(w / h * height as f64), height)
    } else {
        (width, height)
    };
    let resized = picture.resize(inner_width.max(1), inner_height.max(1), Resample::Bicubic);
    if resized.size() == (width, height) {
        return resized;
    }
    let mut out = Picture::new(picture.mode(), width, height);
    let (x, y) = if resized.width() == width {
        (0, ((height as f64 - resized.height() as f64) * 0.5).round_ties_even() as i64)
    } else {
        (((width as f64 - resized.width() as f64) * 0.5).round_ties_even() as i64, 0)
    };
    paste(&mut out, &resized, x, y, None).expect("no mask, no mismatch");
    out
}

/// The largest centred part of the picture with the size's aspect, scaled (bicubic) to the size.
#[expect(clippy::float_cmp, reason = "only an exact fit is a copy")]
pub fn fit(picture: &Picture, width: usize, height: usize) -> Picture {
    let (w, h) = (picture.width() as f64, picture.height() as f64);
    let ratio = w / h;
    let wanted = width as f64 / height as f64;
    let (part_width, part_height) = if ratio > wanted {
        (wanted * h, h)
    } else if ratio < wanted {
        (w, w / wanted)
    } else {
        (w, h)
    };
    let (left, top) = ((w - part_width) * 0.5, (h - part_height) * 0.5);
    let part = [left as f32, top as f32, (left + part_width) as f32, (top + part_height) as f32];
    if picture.size() == (width, height) && part == [0.0, 0.0, width as f32, height as f32] {
        return picture.clone();
    }
    resize_part(picture, part, width, height, Resample::Bicubic)
}

/// The picture moved right and down, what leaves on one side entering on the other.
pub fn offset(picture: &Picture, x: i64, y: i64) -> Picture {
    let (width, height) = picture.size();
    let n = picture.bands();
    let turn = x.rem_euclid(width.max(1) as i64) as usize * n;
    let mut data = Vec::with_capacity(picture.data().len());
    for row in 0..height as i64 {
        let source = picture.row((row - y).rem_euclid(height as i64) as usize);
        let (kept, wrapped) = source.split_at(source.len() - turn);
        data.extend_from_slice(wrapped);
        data.extend_from_slice(kept);
    }
    Picture::trusted(picture.mode(), width, height, data)
}

/// How an upper picture is brought to the size of the one below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FitTo {
    /// Its width may be scaled to the base's.
    pub width: bool,
    /// Its height may be scaled to the base's.
    pub height: bool,
}

impl FitTo {
    /// Stretched with both set; with one set, padded or cropped so that that side fits; with none, left alone.
    pub fn apply(self, picture: &Picture, width: usize, height: usize) -> Picture {
        let base = width as f64 / height as f64;
        let own = picture.width() as f64 / picture.height() as f64;
        if self.width && self.height {
            picture.resize(width, height, Resample::Bicubic)
        } else if (self.width && base < own) || (self.height && own <= base) {
            pad(picture, width, height)
        } else if self.width || self.height {
            fit(picture, width, height)
        } else {
            picture.clone()
        }
    }
}
