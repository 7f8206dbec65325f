//! Parts of pictures in which one face is looked at.

use super::{Points, detector::overlap};
use crate::imaging::{
    Picture,
    cv::{Beyond, Parallelogram, warp_linear},
};

/// Two regions are of one face if more than this share of both is in both.
const SAME: f32 = 0.5;

/// A turned rectangle: its middle and its sides as shares of the picture's, and by how much it is turned (clockwise, in radians).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Across to its middle.
    pub x: f32,
    /// Down to its middle.
    pub y: f32,
    /// Across, as if it were not turned.
    pub width: f32,
    /// Down, as if it were not turned.
    pub height: f32,
    /// How far it is turned.
    pub angle: f32,
}

impl Region {
    fn sides(&self) -> [f32; 4] {
        let (w, h) = (self.width / 2.0, self.height / 2.0);
        [self.x - w, self.y - h, self.x + w, self.y + h]
    }

    /// Regions without those that lie on a later one.
    pub fn apart(regions: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut kept: Vec<Self> = Vec::new();
        for region in regions {
            kept.retain(|other| overlap(&region.sides(), &other.sides()) <= SAME);
            kept.push(region);
        }
        kept
    }

    /// Whether there is anything of it.
    pub(super) fn is_something(&self) -> bool {
        let numbers = [self.x, self.y, self.width, self.height, self.angle];
        numbers.iter().all(|v| v.is_finite()) && self.width > 0.0 && self.height > 0.0
    }

    /// What lies in it, upright, as a square picture of `side` pixels; beyond the picture its edge goes on.
    pub(super) fn cut(&self, picture: &Picture, side: usize) -> Picture {
        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let (x, y, w, h) = (self.x * width, self.y * height, self.width * width, self.height * height);
        let (sin, cos) = (self.angle.sin() * 0.5, self.angle.cos() * 0.5);
        let (top_left, bottom_left) = (
            (x + sin * h - cos * w, y - cos * h - sin * w),
            (x - sin * h - cos * w, y + cos * h - sin * w),
        );
        let top_right = (2.0 * x - bottom_left.0, 2.0 * y - bottom_left.1);
        let way = |from: (f32, f32), to: (f32, f32)| (f64::from(to.0) - f64::from(from.0), f64::from(to.1) - f64::from(from.1));
        let part = Parallelogram {
            corner: (top_left.0.into(), top_left.1.into()),
            across: way(top_left, top_right),
            down: way(top_left, bottom_left),
        };
        warp_linear(picture, &part, side, side, Beyond::Edge)
    }

    /// Points of it, in shares of its own sides, in shares of the picture's.
    pub(super) fn place(&self, points: impl IntoIterator<Item = (f32, f32)>) -> Points {
        let (sin, cos) = self.angle.sin_cos();
        points
            .into_iter()
            .map(|(x, y)| {
                let (x, y) = (x - 0.5, y - 0.5);
                (
                    (cos * x - sin * y) * self.width + self.x,
                    (sin * x + cos * y) * self.height + self.y,
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: Region = Region {
        x: 0.5,
        y: 0.5,
        width: 0.4,
        height: 0.4,
        angle: 0.0,
    };

    #[test]
    fn later_regions_take_the_place_of_those_they_lie_on() {
        let near = Region { x: 0.55, ..MIDDLE };
        let far = Region { x: 0.8, ..MIDDLE };
        assert_eq!(Region::apart([MIDDLE, far, near]), [far, near]);
    }

    #[test]
    fn points_are_turned_with_their_region() {
        let turned = Region {
            angle: std::f32::consts::FRAC_PI_2,
            ..MIDDLE
        };
        let placed = turned.place([(0.5, 0.5), (1.0, 0.5), (0.5, 1.0)]);
        for ((x, y), (wx, wy)) in placed.into_iter().zip([(0.5, 0.5), (0.5, 0.7), (0.3, 0.5)]) {
            assert!((x - wx).abs() < 1e-6 && (y - wy).abs() < 1e-6, "{x} {y}");
        }
        assert!(!Region { x: f32::NAN, ..MIDDLE }.is_something());
    }
}
