//! Taking a backdrop out of a picture.

use super::{Mode, Picture};

/// Makes pixels whose squared distance from `key` in RGBA is below `threshold` squared transparent black.
pub fn remove_color(picture: &Picture, key: [f64; 4], threshold: f64) -> Picture {
    picture.convert(Mode::Rgba).each::<4, 4>(Mode::Rgba, |p| {
        let square: f64 = p.iter().zip(key).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
        if square < threshold * threshold { [0; 4] } else { p }
    })
}

/// Makes the connected pixels around (`x`, `y`) whose samples differ from that pixel's by `threshold` or less in sum transparent black.
fn flood(picture: &mut Picture, x: usize, y: usize, threshold: u32) {
    let (width, height) = picture.size();
    let difference = |p: &[u8], q: &[u8]| p.iter().zip(q).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
    let background: [u8; 4] = picture.pixel(x, y).try_into().expect("RGBA has four samples");
    if difference(&[0; 4], &background) <= threshold {
        return;
    }
    let data = picture.data_mut();
    let mut clear = |at: usize| {
        let pixel = &mut data[at * 4..at * 4 + 4];
        let inside = difference(pixel, &background) <= threshold;
        if inside {
            pixel.fill(0);
        }
        inside
    };
    clear(y * width + x);
    let mut stack = vec![(x, y)];
    while let Some((x, y)) = stack.pop() {
        let next = [(x + 1, y), (x.wrapping_sub(1), y), (x, y + 1), (x, y.wrapping_sub(1))];
        for (x, y) in next {
            if x < width && y < height && clear(y * width + x) {
                stack.push((x, y));
            }
        }
    }
}

/// The picture in RGBA with what can be reached from its four corners made transparent.
pub fn remove_from_corners(picture: &Picture, threshold: u32) -> Picture {
    let mut out = picture.convert(Mode::Rgba);
    let (right, bottom) = (out.width() - 1, out.height() - 1);
    for (x, y) in [(0, 0), (0, bottom), (right, 0), (right, bottom)] {
        flood(&mut out, x, y, threshold);
    }
    out
}
