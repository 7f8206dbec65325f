//! `cv2.line` of one pixel's width.

use crate::imaging::Picture;

/// The part of a line that lies within `0..=right` and `0..=bottom`, cut as OpenCV cuts; `None` if there is none.
pub(super) fn clipped([mut x1, mut y1, mut x2, mut y2]: [i64; 4], right: i64, bottom: i64) -> Option<[i64; 4]> {
    let beside = |x: i64| {
        if x < 0 {
            1
        } else if x > right {
            2
        } else {
            0
        }
    };
    let side = |x: i64, y: i64| {
        beside(x)
            + if y < 0 {
                4
            } else if y > bottom {
                8
            } else {
                0
            }
    };
    let share = |from: i64, to: i64, all: i64, whole: i64| ((to - from) as f64 * all as f64 / whole as f64) as i64;
    let (mut c1, mut c2) = (side(x1, y1), side(x2, y2));
    if c1 & c2 == 0 && c1 | c2 != 0 {
        if c1 & 0b1100 != 0 {
            let edge = if c1 < 8 { 0 } else { bottom };
            x1 += share(y1, edge, x2 - x1, y2 - y1);
            y1 = edge;
            c1 = beside(x1);
        }
        if c2 & 0b1100 != 0 {
            let edge = if c2 < 8 { 0 } else { bottom };
            x2 += share(y2, edge, x2 - x1, y2 - y1);
            y2 = edge;
            c2 = beside(x2);
        }
        if c1 & c2 == 0 && c1 | c2 != 0 {
            if c1 != 0 {
                let edge = if c1 == 1 { 0 } else { right };
                y1 += share(x1, edge, y2 - y1, x2 - x1);
                x1 = edge;
                c1 = 0;
            }
            if c2 != 0 {
                let edge = if c2 == 1 { 0 } else { right };
                y2 += share(x2, edge, y2 - y1, x2 - x1);
                x2 = edge;
                c2 = 0;
            }
        }
    }
    (c1 | c2 == 0).then_some([x1, y1, x2, y2])
}

/// Draws a line between two pixels, each across and down; both may lie outside. `color` has a value for each band.
pub fn draw_line(picture: &mut Picture, start: (i32, i32), end: (i32, i32), color: &[u8]) {
    let ((width, height), n) = (picture.size(), picture.bands());
    if width * height == 0 {
        return;
    }
    let ends = [start.0, start.1, end.0, end.1].map(i64::from);
    let Some([mut x1, mut y1, mut x2, mut y2]) = clipped(ends, width as i64 - 1, height as i64 - 1) else {
        return;
    };
    if x2 < x1 {
        (x1, y1, x2, y2) = (x2, y2, x1, y1);
    }
    let (across, down, step) = (x2 - x1, (y2 - y1).abs(), (y2 - y1).signum());
    let steep = down > across;
    let (long, short) = if steep { (down, across) } else { (across, down) };
    let mut error = long - 2 * short;
    let (mut x, mut y) = (x1, y1);
    for _ in 0..=long {
        let place = (y as usize * width + x as usize) * n;
        picture.data_mut()[place..place + n].copy_from_slice(&color[..n]);
        let turns = error < 0;
        error += if turns { 2 * long } else { 0 } - 2 * short;
        if steep || turns {
            y += step;
        }
        if !steep || turns {
            x += 1;
        }
    }
}
