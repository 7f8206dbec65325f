//! Where faces are cut out of pictures, and their masks.

use crate::{
    imaging::{
        Mode, Picture,
        cv::{convex_hull, fill_convex},
        gaussian_blur,
    },
    vision::face::Points,
};

/// How much larger than the face its mask is: fifths of it, across and down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    pub(super) wider: f64,
    pub(super) higher: f64,
}

/// Pixels around a face that are cut out with it; and the smallest cut.
const AROUND: i64 = 128;
/// How soft the mask's edge becomes, in pixels.
const SOFT: f32 = 2.0;
/// Beyond this lies no picture.
const FAR: i64 = 1 << 32;

/// A face's outline in a part of a picture.
#[derive(Debug, Clone, PartialEq)]
struct Outline {
    /// The corners of a convex shape, in pixels of the part; what lies outside the part is left away.
    corners: Vec<(i32, i32)>,
    /// Where the part's upper left corner lies, and its size.
    at: (usize, usize),
    size: (usize, usize),
}

/// A face.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Face {
    /// What its mask covers, which is drawn only where it is needed: there may be thousands of faces.
    outlines: Vec<Outline>,
    /// The mask's width and height: from the picture's upper left corner on as far as was looked at.
    extent: (usize, usize),
    /// The middle of its points, in pixels of the picture.
    pub(super) middle: (f64, f64),
    /// Pixels from its leftmost to its rightmost point, and from the highest to the lowest.
    pub(super) size: (i64, i64),
}

/// A face cut out.
#[derive(Debug)]
pub(super) struct Cut {
    /// Left, top, right and bottom; they may lie outside the picture.
    pub(super) sides: [i64; 4],
    /// Black on the face, with a soft edge.
    pub(super) mask: Picture,
}

impl Face {
    /// Of points in a part of a picture that has `size` and its upper left corner at `corner`.
    pub(super) fn new(points: &Points, size: (usize, usize), corner: (usize, usize), shape: &Shape) -> Self {
        let along = |of: fn(&(f32, f32)) -> f32, n: usize| {
            let shares: Vec<f64> = points.iter().map(|p| f64::from(of(p))).collect();
            let (least, most) = shares.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
            let pixels: Vec<f64> = shares.iter().map(|v| v * n as f64).collect();
            let middle = pixels.iter().sum::<f64>() / pixels.len().max(1) as f64;
            (pixels, middle, ((most - least) * n as f64) as i64)
        };
        let (xs, x, width) = along(|p| p.0, size.0);
        let (ys, y, height) = along(|p| p.1, size.1);
        let moved = |v: f64, middle: f64, more: f64| (v + 0.2 * more * (v - middle)) as i32;
        let outline: Vec<(i32, i32)> = xs
            .iter()
            .zip(&ys)
            .map(|(px, py)| (moved(*px, x, shape.wider), moved(*py, y, shape.higher)))
            .collect();
        Self {
            outlines: vec![Outline {
                corners: convex_hull(&outline),
                at: corner,
                size,
            }],
            extent: (size.0 + corner.0, size.1 + corner.1),
            middle: (x + corner.0 as f64, y + corner.1 as f64),
            size: (width, height),
        }
    }

    /// Whether another face's middle lies within the ellipse that this one fills.
    fn holds(&self, other: &Self) -> bool {
        let share = |from: f64, to: f64, size: i64| ((to - from) / (size as f64 / 2.0)).powi(2);
        share(self.middle.0, other.middle.0, self.size.0) + share(self.middle.1, other.middle.1, self.size.1) < 1.0
    }

    /// The same face seen once more.
    fn add(&mut self, other: Self) {
        self.outlines.extend(other.outlines);
        self.extent = (self.extent.0.max(other.extent.0), self.extent.1.max(other.extent.1));
        self.middle = (self.middle.0.max(other.middle.0), self.middle.1.max(other.middle.1));
        self.size = (self.size.0.max(other.size.0), self.size.1.max(other.size.1));
    }

    /// A part of its mask: black on the face and outside the mask, and white elsewhere.
    fn mask(&self, [left, top, right, bottom]: [i64; 4]) -> Picture {
        let mut mask = Picture::new(Mode::L, (right - left).max(0) as usize, (bottom - top).max(0) as usize);
        let inside = |from: i64, to: i64, n: usize| (to.min(n as i64) - from.max(0)).max(0) as usize;
        let white = Picture::filled(
            Mode::L,
            inside(left, right, self.extent.0),
            inside(top, bottom, self.extent.1),
            &[255],
        );
        mask.copy_from(&white, left.min(0).abs(), top.min(0).abs());
        for outline in &self.outlines {
            // Lines are cut off at the part's borders before they are drawn, so all of it is drawn.
            let mut part = Picture::new(Mode::L, outline.size.0, outline.size.1);
            fill_convex(&mut part, &outline.corners, &[255]);
            let (x, y) = (outline.at.0 as i64, outline.at.1 as i64);
            let face = part.crop(left - x, top - y, right - x, bottom - y);
            for (to, drawn) in mask.data_mut().iter_mut().zip(face.data()) {
                *to &= !drawn;
            }
        }
        mask
    }

    /// The square around it, `padding` pixels larger.
    pub(super) fn cut(&self, padding: i64) -> Cut {
        let (width, height) = (self.extent.0 as i64, self.extent.1 as i64);
        let more = AROUND.saturating_add(padding.clamp(-FAR, FAR));
        let wanted = self.size.0.max(self.size.1).saturating_add(more).max(AROUND);
        let side = match wanted.min(width).min(height) {
            small @ ..=AROUND => small,
            large => (large + 7) / 8 * 8,
        };
        let (left, right) = within(self.middle.0, side, width);
        let (top, bottom) = within(self.middle.1, side, height);
        let sides = [left, top, right, bottom];
        Cut {
            sides,
            mask: gaussian_blur(&self.mask(sides), SOFT),
        }
    }
}

/// From where to where `side` pixels around `middle` lie along a side of `n`, moved to lie within it as far as they can.
fn within(middle: f64, side: i64, n: i64) -> (i64, i64) {
    let half = side as f64 / 2.0;
    let (mut from, mut to) = ((middle - half) as i64, (middle + half) as i64);
    if from < 0 {
        to -= from;
        from = 0;
    } else if to > n {
        from -= to - n;
        to = n;
    }
    // Rounding may have taken a pixel.
    let missing = side - (to - from);
    let before = missing.div_euclid(2);
    (from - before, to + missing - before)
}

/// Adds a face to those that are known; one that was found before stays one.
pub(super) fn add(faces: &mut Vec<Face>, face: Face) {
    match faces.iter_mut().find(|known| known.holds(&face)) {
        Some(known) => known.add(face),
        None => faces.push(face),
    }
}

/// Puts faces in order from left to right.
pub(super) fn sort(faces: &mut [Face]) {
    faces.sort_by(|a, b| a.middle.0.total_cmp(&b.middle.0).then(a.middle.1.total_cmp(&b.middle.1)));
}

/// The upper left corners of the squares, half of each over the next, that a picture is looked at in; a square picture has none.
pub(super) fn chunks(width: usize, height: usize) -> impl Iterator<Item = (usize, usize)> {
    let (long, short) = (width.max(height), width.min(height));
    let first = (long != short && short != 0).then_some(0.0);
    let steps = (long as f64 * 2.0 / short.max(1) as f64) as usize + 1;
    let last = (long - short) as f64;
    let step = last / (steps - 1) as f64;
    std::iter::successors(first, move |at| Some(at + step))
        .take_while(move |at| *at <= last)
        .map(move |at| {
            let place = at as usize;
            if width > height { (place, 0) } else { (0, place) }
        })
}
