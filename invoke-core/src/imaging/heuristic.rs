//! Resizing a control picture by what it seems to be: edge maps stay edge maps, maps of few colours keep their colours.

use std::collections::HashSet;

use super::{
    Mode, Picture,
    cv::{self, Extreme},
};

/// OpenCV's grey of a picture taken for BGR, so that red counts as blue.
fn swapped_grey(picture: &Picture) -> Picture {
    picture.each::<3, 1>(Mode::L, |[b, g, r]| {
        let sum = u32::from(b) * 1868 + u32::from(g) * 9617 + u32::from(r) * 4899 + (1 << 13);
        [(sum >> 14) as u8]
    })
}

/// The threshold that best parts a grey picture's histogram (Otsu, 1979).
fn otsu(grey: &Picture) -> u8 {
    let mut counts = [0u32; 256];
    for v in grey.data() {
        counts[usize::from(*v)] += 1;
    }
    let scale = 1.0 / grey.data().len().max(1) as f64;
    let mean: f64 = counts.iter().enumerate().map(|(i, c)| i as f64 * f64::from(*c)).sum::<f64>() * scale;
    let (mut low_mean, mut low, mut best, mut threshold) = (0.0f64, 0.0f64, 0.0f64, 0u8);
    for (i, count) in counts.iter().enumerate() {
        let share = f64::from(*count) * scale;
        low_mean *= low;
        low += share;
        let high = 1.0 - low;
        if low.min(high) < f64::from(f32::EPSILON) || low.max(high) > 1.0 - f64::from(f32::EPSILON) {
            continue;
        }
        low_mean = (low_mean + i as f64 * share) / low;
        let high_mean = (mean - low * low_mean) / high;
        let spread = low * high * (low_mean - high_mean) * (low_mean - high_mean);
        if spread > best {
            (best, threshold) = (spread, i as u8);
        }
    }
    threshold
}

/// Keeps the samples of a grey picture that are the largest along at least one of four directions; the others become 0.
fn ridges(grey: &Picture) -> Picture {
    let (width, height) = (grey.width() as i64, grey.height() as i64);
    let at = |x: i64, y: i64| {
        if x < 0 || y < 0 || x >= width || y >= height {
            0
        } else {
            grey.data()[(y * width + x) as usize]
        }
    };
    let mut out = Picture::new(Mode::L, grey.width(), grey.height());
    for y in 0..height {
        for x in 0..width {
            let v = at(x, y);
            let largest = [(1, 0), (0, 1), (1, 1), (1, -1)]
                .iter()
                .any(|(dx, dy)| v >= at(x + dx, y + dy) && v >= at(x - dx, y - dy));
            if largest {
                out.data_mut()[(y * width + x) as usize] = v;
            }
        }
    }
    out
}

/// Thins white lines on black to one pixel (Zhang and Suen, 1984). The outermost pixels stay.
fn thin(picture: &mut Picture) {
    let (width, height) = picture.size();
    if width < 3 || height < 3 {
        return;
    }
    loop {
        let mut changed = false;
        for pass in 0..2 {
            let data = picture.data();
            let mut remove = Vec::new();
            for y in 1..height - 1 {
                for x in 1..width - 1 {
                    let at = y * width + x;
                    if data[at] == 0 {
                        continue;
                    }
                    // Clockwise from above.
                    let around = [
                        at - width,
                        at - width + 1,
                        at + 1,
                        at + width + 1,
                        at + width,
                        at + width - 1,
                        at - 1,
                        at - width - 1,
                    ]
                    .map(|i| data[i] != 0);
                    let count = around.iter().filter(|v| **v).count();
                    let rises = (0..8).filter(|i| !around[*i] && around[(i + 1) % 8]).count();
                    let [up, right, down, left] = [around[0], around[2], around[4], around[6]];
                    // What must not be removed: a corner seen from the side this pass works on.
                    let keep = if pass == 0 {
                        right && down && (up || left)
                    } else {
                        up && left && (right || down)
                    };
                    if rises == 1 && (2..=6).contains(&count) && !keep {
                        remove.push(at);
                    }
                }
            }
            changed |= !remove.is_empty();
            for at in remove {
                picture.data_mut()[at] = 0;
            }
        }
        if !changed {
            return;
        }
    }
}

/// An RGB control picture at another size: nearest where it has 3 to 199 colours, the mean of areas where it shrinks, cubic where it
/// grows; a picture of black and white edges is made two-toned, and thin again where its edges were thin.
pub fn heuristic_resize(picture: &Picture, width: usize, height: usize) -> Picture {
    if picture.size() == (width, height) {
        return picture.clone();
    }
    let colours: HashSet<[u8; 3]> = picture.data().chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
    let darkest = picture.data().iter().min().copied().unwrap_or(0);
    let brightest = picture.data().iter().max().copied().unwrap_or(0);
    let two_toned = colours.len() == 2 && darkest < 16 && brightest > 240;
    let thin_edges = two_toned && {
        let grey = swapped_grey(picture);
        let (high, low) = (cv::square(&grey, 3, 1, Extreme::Max), cv::square(&grey, 3, 1, Extreme::Min));
        let edges = high.data().iter().zip(low.data()).filter(|(a, b)| a != b).count();
        let lit = grey.data().iter().filter(|v| **v > 127).count();
        2 * edges > lit
    };
    let resized = if (3..200).contains(&colours.len()) {
        cv::resize_nearest(picture, width, height)
    } else if width * height < picture.width() * picture.height() {
        cv::resize_area(picture, width, height)
    } else {
        cv::resize_cubic(picture, width, height)
    };
    if !two_toned {
        return resized;
    }
    let ridges = ridges(&swapped_grey(&resized));
    let threshold = otsu(&ridges);
    let mut lines = ridges.map(|v| if v > threshold { 255 } else { 0 });
    if thin_edges {
        thin(&mut lines);
    }
    lines.convert(Mode::Rgb)
}
