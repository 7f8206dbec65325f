//! People drawn as OpenPose draws them: limbs as coloured ellipses, joints and places as discs, on black.

use super::{Body, Spot};
use crate::imaging::{Mode, Picture, cv};

/// What is drawn of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Limbs and joints.
    pub body: bool,
    /// Both hands.
    pub hands: bool,
    /// Faces.
    pub face: bool,
}

/// Pairs of joints that a limb lies between, in the order of their colours.
const LIMBS: [[usize; 2]; 17] = [
    [1, 2],
    [1, 5],
    [2, 3],
    [3, 4],
    [5, 6],
    [6, 7],
    [1, 8],
    [8, 9],
    [9, 10],
    [1, 11],
    [11, 12],
    [12, 13],
    [1, 0],
    [0, 14],
    [14, 16],
    [0, 15],
    [15, 17],
];
/// Joints of a body.
const JOINTS: usize = 18;
/// Where the faces' places begin, the left hands' and the right hands'.
const FACE: usize = 24;
const LEFT: usize = 92;
const RIGHT: usize = 113;
/// Half the width of a limb, and the radius of a joint and of a hand's place; the radius of a face's.
const BROAD: u16 = 4;
const SMALL: u16 = 3;
/// How bright limbs are, below joints.
const DIM: f64 = 0.6;
/// Pieces of a hand: four for each finger.
const PIECES: usize = 20;

/// Draws people on a black RGB picture of `width` times `height` pixels.
pub fn draw(width: usize, height: usize, people: &[Body], parts: Parts) -> Picture {
    let mut canvas = Picture::new(Mode::Rgb, width, height);
    if parts.body {
        canvas = draw_bodies(canvas, people);
    }
    if parts.hands {
        for first in [LEFT, RIGHT] {
            people.iter().for_each(|body| draw_hand(&mut canvas, &body[first..first + 21]));
        }
    }
    if parts.face {
        for spot in people.iter().flat_map(|body| &body[FACE..LEFT]) {
            if let Some(pixel) = inner(spot, &canvas) {
                cv::fill_circle(&mut canvas, pixel, SMALL, &[255; 3]);
            }
        }
    }
    canvas
}

/// A place as shares of the picture's sides and back, as the original keeps it: the last digit may become another.
fn scaled(spot: &Spot, canvas: &Picture) -> (f64, f64) {
    let side = |v: f64, side: usize| v / side as f64 * side as f64;
    (side(spot.x, canvas.width()), side(spot.y, canvas.height()))
}

fn pixel(spot: &Spot, canvas: &Picture) -> (i32, i32) {
    let (x, y) = scaled(spot, canvas);
    (x as i32, y as i32)
}

/// The pixel of a place of a hand or face that is seen and does not lie outside to the left or above, or in the first row or column.
fn inner(spot: &Spot, canvas: &Picture) -> Option<(i32, i32)> {
    let (x, y) = pixel(spot, canvas);
    (spot.score >= 0.3 && x > 0 && y > 0).then_some((x, y))
}

/// One of 18 colours around the circle, beginning with red.
fn rainbow(i: usize) -> [u8; 3] {
    let step = (i % 3 * 85) as u8;
    match i / 3 % 6 {
        0 => [255, step, 0],
        1 => [255 - step, 255, 0],
        2 => [0, 255, step],
        3 => [0, 255 - step, 255],
        4 => [step, 0, 255],
        _ => [255, 0, 255 - step],
    }
}

fn draw_bodies(mut canvas: Picture, people: &[Body]) -> Picture {
    for (i, limb) in LIMBS.iter().enumerate() {
        for body in people {
            let ends = limb.map(|joint| &body[joint]);
            if ends.iter().all(|spot| spot.is_seen()) {
                let [(x1, y1), (x2, y2)] = ends.map(|spot| scaled(spot, &canvas));
                let length = ((y1 - y2) * (y1 - y2) + (x1 - x2) * (x1 - x2)).sqrt();
                let degrees = (y1 - y2).atan2(x1 - x2).to_degrees();
                let center = (f64::midpoint(x1, x2) as i32, f64::midpoint(y1, y2) as i32);
                let outline = cv::ellipse_outline(center, ((length / 2.0) as i32, BROAD.into()), degrees as i32);
                cv::fill_convex(&mut canvas, &outline, &rainbow(i));
            }
        }
    }
    let mut canvas = canvas.map(|v| (f64::from(v) * DIM) as u8);
    for i in 0..JOINTS {
        for body in people.iter().filter(|body| body[i].is_seen()) {
            let center = pixel(&body[i], &canvas);
            cv::fill_circle(&mut canvas, center, BROAD, &rainbow(i));
        }
    }
    canvas
}

fn draw_hand(canvas: &mut Picture, spots: &[Spot]) {
    for piece in 0..PIECES {
        // Every finger begins at the wrist.
        let from = if piece % 4 == 0 { 0 } else { piece };
        if let (Some(start), Some(end)) = (inner(&spots[from], canvas), inner(&spots[piece + 1], canvas)) {
            cv::draw_broad_line(canvas, start, end, &hue(piece));
        }
    }
    for spot in spots {
        if let Some(center) = inner(spot, canvas) {
            cv::fill_circle(canvas, center, BROAD, &[0, 0, 255]);
        }
    }
}

/// The colour of a piece of a hand, as OpenCV makes it of a hue of whole pairs of degrees.
fn hue(piece: usize) -> [u8; 3] {
    let pairs = (piece as f64 / PIECES as f64 * 180.0) as u8;
    let place = f32::from(pairs) * (6.0_f32 / 180.0);
    let (sector, part) = (place.floor(), place - place.floor());
    let byte = |v: f32| (v * 255.0).round_ties_even() as u8;
    let (falls, rises) = (byte(1.0 - part), byte(1.0 - (1.0 - part)));
    match sector as usize % 6 {
        0 => [255, rises, 0],
        1 => [falls, 255, 0],
        2 => [0, 255, rises],
        3 => [0, falls, 255],
        4 => [rises, 0, 255],
        _ => [255, 0, falls],
    }
}
