//! `cv2.convexHull`, `cv2.fillConvexPoly` and `cv2.line` of two pixels' width.

use super::line::{clipped, draw_line};
use crate::imaging::Picture;

/// Places between pixels have so many more bits.
const BITS: u32 = 16;
const ONE: i64 = 1 << BITS;
const HALF: i64 = ONE / 2;

/// The corners of the smallest convex shape around points, in order around it; none of them lies between two others.
pub fn convex_hull(points: &[(i32, i32)]) -> Vec<(i32, i32)> {
    let mut sorted = points.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() < 3 {
        return sorted;
    }
    let turn = |a: (i32, i32), b: (i32, i32), c: (i32, i32)| {
        let [ax, ay, bx, by, cx, cy] = [a.0, a.1, b.0, b.1, c.0, c.1].map(i128::from);
        (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    };
    let side = |points: &mut dyn Iterator<Item = &(i32, i32)>| {
        let mut hull: Vec<(i32, i32)> = Vec::new();
        for point in points {
            while let [.., a, b] = hull[..]
                && turn(a, b, *point) <= 0
            {
                hull.pop();
            }
            hull.push(*point);
        }
        hull.pop();
        hull
    };
    let mut hull = side(&mut sorted.iter());
    hull.extend(side(&mut sorted.iter().rev()));
    hull
}

/// Fills a convex shape with `color`, which has a value for each band; its outline belongs to it. Corners are pixels and may lie outside the picture.
pub fn fill_convex(picture: &mut Picture, corners: &[(i32, i32)], color: &[u8]) {
    let Some(mut before) = corners.last().copied() else { return };
    for corner in corners {
        draw_line(picture, before, *corner, color);
        before = *corner;
    }
    let fine: Vec<_> = corners
        .iter()
        .map(|(x, y)| (i64::from(*x) << BITS, i64::from(*y) << BITS))
        .collect();
    fill_between(picture, &fine, color);
}

/// Draws a line of two pixels' width, with round ends.
pub fn draw_broad_line(picture: &mut Picture, start: (i32, i32), end: (i32, i32), color: &[u8]) {
    let fine = |(x, y): (i32, i32)| (i64::from(x) << BITS, i64::from(y) << BITS);
    let (from, to) = (fine(start), fine(end));
    let (across, down) = (f64::from(start.0) - f64::from(end.0), f64::from(end.1) - f64::from(start.1));
    let length = (across * across + down * down).sqrt();
    if length > 0.0 {
        let scale = ONE as f64 / length;
        let (x, y) = ((down * scale).round_ties_even() as i64, (across * scale).round_ties_even() as i64);
        let corners = [
            (from.0 + x, from.1 + y),
            (from.0 - x, from.1 - y),
            (to.0 - x, to.1 - y),
            (to.0 + x, to.1 + y),
        ];
        let mut before = corners[3];
        for corner in corners {
            draw_fine_line(picture, before, corner, color);
            before = corner;
        }
        fill_between(picture, &corners, color);
    }
    for (x, y) in [start, end] {
        let (x, y) = (i64::from(x), i64::from(y));
        fill_row(picture, y, x - 1, x + 1, color);
        fill_row(picture, y - 1, x, x, color);
        fill_row(picture, y + 1, x, x, color);
    }
}

/// Fills the pixels of a row from `left` to `right`, as far as they lie within the picture.
pub(super) fn fill_row(picture: &mut Picture, y: i64, left: i64, right: i64, color: &[u8]) {
    let ((width, height), n) = (picture.size(), picture.bands());
    let (left, right) = (left.max(0), right.min(width as i64 - 1));
    if !(0..height as i64).contains(&y) || left > right {
        return;
    }
    let start = (y as usize * width + left as usize) * n;
    for pixel in picture.data_mut()[start..][..(right - left + 1) as usize * n].chunks_exact_mut(n) {
        pixel.copy_from_slice(&color[..n]);
    }
}

/// One of the two sides of a shape, followed down from its highest corner.
struct Side {
    /// The corner that was reached, and how many corners lie between one and the next.
    corner: usize,
    step: usize,
    /// Where the side is in the current row, and how far it moves to the next.
    x: i64,
    slope: i64,
    /// The row of the next corner.
    until: i64,
}

/// Fills what lies between a convex shape's two sides, row by row; corners in finer places.
fn fill_between(picture: &mut Picture, corners: &[(i64, i64)], color: &[u8]) {
    let n = corners.len();
    let row = |i: usize| (corners[i].1 + HALF) >> BITS;
    let Some(top) = (0..n).min_by_key(|i| corners[*i].1) else { return };
    if n < 3 {
        return;
    }
    let bottom = (0..n).map(row).max().unwrap_or_default().min(picture.height() as i64 - 1);
    if bottom < 0 {
        return;
    }
    let first = row(top);
    let side = |step| Side {
        corner: top,
        step,
        x: -ONE,
        slope: 0,
        until: first,
    };
    let mut sides = [side(1), side(n - 1)];
    let mut edges = n;
    let mut y = first;
    while y <= bottom {
        for side in &mut sides {
            if y < side.until {
                continue;
            }
            // On to the next corner that lies lower.
            let mut from = side.corner;
            while edges > 0 {
                edges -= 1;
                let to = (from + side.step) % n;
                let rows = row(to) - y;
                if rows > 0 {
                    let (start, end) = (corners[from].0, corners[to].0);
                    side.until = row(to);
                    side.slope = ((end - start) * 2 + rows) / (2 * rows);
                    side.x = start;
                    side.corner = to;
                    break;
                }
                from = to;
            }
        }
        if y >= 0 {
            let [a, b] = [sides[0].x, sides[1].x];
            fill_row(picture, y, (a.min(b) + HALF) >> BITS, (a.max(b) + HALF) >> BITS, color);
            for side in &mut sides {
                side.x += side.slope;
            }
            y += 1;
        } else {
            // Rows above the picture are left out together, up to the next corner.
            let next = sides.iter().map(|s| s.until).filter(|until| *until > y).min().unwrap_or(0).min(0);
            let rows = (next - y).max(1);
            for side in &mut sides {
                side.x += side.slope * rows;
            }
            y += rows;
        }
    }
}

/// Draws a line of one pixel's width between finer places.
fn draw_fine_line(picture: &mut Picture, from: (i64, i64), to: (i64, i64), color: &[u8]) {
    let (width, height) = ((picture.width() as i64) << BITS, (picture.height() as i64) << BITS);
    let Some([x1, y1, x2, y2]) = clipped([from.0, from.1, to.0, to.1], width - 1, height - 1) else {
        return;
    };
    let flat = (x2 - x1).abs() > (y2 - y1).abs();
    // Along the longer axis a pixel a step, along the other as many as it takes.
    let (mut a, mut b) = if flat { ((x1, y1), (x2, y2)) } else { ((y1, x1), (y2, x2)) };
    if b.0 < a.0 {
        (a, b) = (b, a);
    }
    let slope = (b.1 - a.1) * ONE / ((b.0 - a.0) | 1);
    let last = if flat { b } else { (b.1, b.0) };
    let last = ((last.0 + HALF) >> BITS, (last.1 + HALF) >> BITS);
    fill_row(picture, last.1, last.0, last.0, color);
    let (mut long, mut short) = ((a.0 + HALF) >> BITS, a.1 + HALF);
    for _ in 0..=(b.0 - a.0) >> BITS {
        let (x, y) = if flat { (long, short >> BITS) } else { (short >> BITS, long) };
        fill_row(picture, y, x, x, color);
        long += 1;
        short += slope;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::Mode;

    #[test]
    fn hulls_have_no_points_within_or_between() {
        let points = [(0, 0), (4, 0), (2, 0), (4, 4), (0, 4), (1, 2), (2, 2), (0, 0)];
        let mut hull = convex_hull(&points);
        hull.sort_unstable();
        assert_eq!(hull, [(0, 0), (0, 4), (4, 0), (4, 4)]);
        assert_eq!(convex_hull(&[(1, 1), (1, 1)]), [(1, 1)]);
        assert_eq!(convex_hull(&[(3, 3), (1, 1), (2, 2)]).len(), 2);
        assert_eq!(convex_hull(&[(i32::MIN, i32::MIN), (i32::MAX, i32::MIN), (0, i32::MAX)]).len(), 3);
        assert!(convex_hull(&[]).is_empty());
    }

    fn rows(picture: &Picture) -> Vec<String> {
        let row = |y| picture.row(y).iter().map(|v| if *v == 0 { '.' } else { '#' }).collect();
        (0..picture.height()).map(row).collect()
    }

    #[test]
    fn shapes_are_filled_with_their_outline() {
        let mut picture = Picture::new(Mode::L, 7, 5);
        fill_convex(&mut picture, &[(3, 0), (6, 3), (0, 3)], &[9]);
        assert_eq!(rows(&picture), ["...#...", "..###..", ".#####.", "#######", "......."]);
        // What lies outside is left away, however far.
        let mut picture = Picture::new(Mode::L, 4, 3);
        fill_convex(&mut picture, &[(2, -1_000_000_000), (1_000_000_000, 1), (2, 1_000_000_000)], &[9]);
        assert_eq!(rows(&picture), ["..##", "..##", "..##"]);
        fill_convex(&mut picture, &[], &[9]);
        let (far, above) = (2_000_000_000, -2_000_000_000);
        let mut picture = Picture::new(Mode::L, 4, 3);
        fill_convex(&mut picture, &[(-far, above), (far, above + 1), (0, above + 1)], &[9]);
        assert_eq!(rows(&picture), ["...."; 3]);
    }

    #[test]
    fn broad_lines_have_round_ends() {
        let mut picture = Picture::new(Mode::L, 8, 5);
        draw_broad_line(&mut picture, (2, 2), (5, 2), &[9]);
        assert_eq!(rows(&picture), ["........", "..####..", ".######.", "..####..", "........"]);
        let mut picture = Picture::new(Mode::L, 3, 3);
        draw_broad_line(&mut picture, (0, 0), (0, 0), &[9]);
        assert_eq!(rows(&picture), ["##.", "#..", "..."]);
    }
}
