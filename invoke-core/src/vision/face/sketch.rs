//! A face drawn in lines.

use super::{Points, mesh::POINTS};
use crate::imaging::{
    Mode, Picture,
    cv::{draw_broad_line, fill_convex},
};

/// Faces narrower or lower than this are not drawn, in pixels.
const SMALLEST: f64 = 64.0;

type Chain = &'static [usize];

/// Colours and the points that lines lead along.
const LINES: [([u8; 3], &[Chain]); 6] = [
    (
        [10, 200, 10],
        &[&[
            10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58,
            132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10,
        ]],
    ),
    (
        [10, 200, 180],
        &[
            &[263, 466, 388, 387, 386, 385, 384, 398, 362],
            &[263, 249, 390, 373, 374, 380, 381, 382, 362],
        ],
    ),
    ([10, 220, 180], &[&[276, 283, 282, 295, 285], &[300, 293, 334, 296, 336]]),
    (
        [180, 200, 10],
        &[
            &[33, 7, 163, 144, 145, 153, 154, 155, 133],
            &[33, 246, 161, 160, 159, 158, 157, 173, 133],
        ],
    ),
    ([180, 220, 10], &[&[46, 53, 52, 65, 55], &[70, 63, 105, 66, 107]]),
    (
        [10, 180, 10],
        &[
            &[61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291],
            &[61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291],
            &[78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308],
            &[78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308],
        ],
    ),
];
/// The irises' middles.
const PUPILS: [(usize, [u8; 3]); 2] = [(POINTS, [250, 200, 10]), (POINTS + 5, [10, 200, 250])];

/// Draws each face that is large enough on black, in RGB, `width` times `height` pixels.
pub fn draw(faces: &[Points], width: usize, height: usize) -> Picture {
    let mut picture = Picture::new(Mode::Rgb, width, height);
    let (w, h) = (width as f64, height as f64);
    let range = |of: &mut dyn Iterator<Item = f32>| of.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v.into()), b.max(v.into())));
    for points in faces {
        let (left, right) = range(&mut points.iter().map(|p| p.0));
        let (top, bottom) = range(&mut points.iter().map(|p| p.1));
        if ((right - left) * w).min((bottom - top) * h) < SMALLEST {
            continue;
        }
        // Lines to points outside the picture are left away.
        let pixel = |i: &usize| -> Option<(i32, i32)> {
            let (x, y) = *points.get(*i)?;
            let along = |v: f32, n: usize| {
                (0.0..=1.0)
                    .contains(&v)
                    .then(|| ((f64::from(v) * n as f64) as usize).min(n - 1) as i32)
            };
            Some((along(x, width)?, along(y, height)?))
        };
        for (color, chains) in LINES {
            for pair in chains.iter().flat_map(|chain| chain.windows(2)) {
                if let (Some(from), Some(to)) = (pixel(&pair[0]), pixel(&pair[1])) {
                    draw_broad_line(&mut picture, from, to, &color);
                }
            }
        }
        for (middle, color) in PUPILS {
            let inside = points.get(middle).is_some_and(|(x, y)| *x < 1.0 && *y < 1.0);
            // The original draws no pupil that the picture's left or upper edge would cut.
            if let Some((x, y)) = pixel(&middle).filter(|(x, y)| inside && *x >= 2 && *y >= 2) {
                let (right, bottom) = ((x + 1).min(width as i32 - 1), (y + 1).min(height as i32 - 1));
                fill_convex(
                    &mut picture,
                    &[(x - 2, y - 2), (right, y - 2), (right, bottom), (x - 2, bottom)],
                    &color,
                );
            }
        }
    }
    picture
}
