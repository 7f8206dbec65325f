//! `cv2.ellipse2Poly` of whole ellipses, and `cv2.circle` filled.

use super::convex::fill_row;
use crate::imaging::Picture;

/// The sine of whole degrees to seven digits, as OpenCV's table has it.
fn sine(degrees: i32) -> f64 {
    f64::from(((f64::from(degrees).to_radians().sin() * 1e7).round() / 1e7) as f32)
}

/// The outline of an ellipse in steps of a degree: its centre, half its axes, and by how many degrees the first is turned towards the second. Pixels that
/// follow each other are different.
pub fn ellipse_outline(center: (i32, i32), axes: (i32, i32), degrees: i32) -> Vec<(i32, i32)> {
    let turned = degrees.rem_euclid(360);
    let (cosine_of, sine_of) = (sine(450 - turned), sine(turned));
    let mut outline: Vec<(i32, i32)> = Vec::new();
    for i in 0..=360 {
        let (x, y) = (f64::from(axes.0) * sine(450 - i), f64::from(axes.1) * sine(i));
        let point = (
            (f64::from(center.0) + x * cosine_of - y * sine_of).round_ties_even() as i32,
            (f64::from(center.1) + x * sine_of + y * cosine_of).round_ties_even() as i32,
        );
        if outline.last() != Some(&point) {
            outline.push(point);
        }
    }
    if outline.len() == 1 {
        outline.push(outline[0]);
    }
    outline
}

/// Fills a circle of `color`, which has a value for each band; it may lie outside the picture.
pub fn fill_circle(picture: &mut Picture, center: (i32, i32), radius: u16, color: &[u8]) {
    let (x, y) = (i64::from(center.0), i64::from(center.1));
    let radius = i64::from(radius);
    let (mut long, mut short) = (radius, 0);
    let (mut error, mut plus, mut minus) = (0, 1, 2 * radius - 1);
    // An eighth of the circle, from the side to the diagonal; the others mirror it.
    while long >= short {
        for (rows, reach) in [(short, long), (long, short)] {
            fill_row(picture, y - rows, x - reach, x + reach, color);
            fill_row(picture, y + rows, x - reach, x + reach, color);
        }
        short += 1;
        error += plus;
        plus += 2;
        if error > 0 {
            error -= minus;
            long -= 1;
            minus -= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::Mode;

    #[test]
    fn circles_are_round() {
        let mut picture = Picture::new(Mode::L, 7, 5);
        fill_circle(&mut picture, (2, 2), 2, &[1]);
        let rows: Vec<&[u8]> = picture.data().chunks(7).collect();
        assert_eq!(rows[0], [0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(rows[1], [0, 1, 1, 1, 0, 0, 0]);
        assert_eq!(rows[2], [1, 1, 1, 1, 1, 0, 0]);
        fill_circle(&mut picture, (i32::MIN, i32::MAX), 9, &[2]);
        assert!(!picture.data().contains(&2));
    }

    #[test]
    fn outlines_go_around() {
        assert_eq!(ellipse_outline((3, 4), (0, 0), 7), [(3, 4), (3, 4)]);
        let outline = ellipse_outline((0, 0), (10, 2), 90);
        assert_eq!((outline[0], outline.last()), ((0, 10), Some(&(0, 10))));
        assert_eq!(outline, ellipse_outline((0, 0), (10, 2), -270));
    }
}
