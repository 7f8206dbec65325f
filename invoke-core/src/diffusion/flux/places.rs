//! Where tokens are: three coordinates each, which turn the channels of queries and keys.

use super::dype::Stretch;

/// A token's coordinates: which picture (0 for the one that is made, 1 for those it refers to), row and column.
pub type Place = [f64; 3];

/// What the lengths of waves are powers of.
const THETA: f64 = 10_000.0;

/// Places of the tokens of a picture of `rows` by `columns` tokens, row by row.
pub fn places_of(picture: usize, (rows, columns): (usize, usize), (down, right): (usize, usize)) -> Vec<Place> {
    let row = |y: usize| (0..columns).map(move |x| [picture as f64, (y + down) as f64, (x + right) as f64]);
    (0..rows).flat_map(row).collect()
}

/// Angles of the pairs of a head, `axes` channels for each coordinate, token by token.
pub(super) fn angles(places: &[Place], axes: [usize; 3], stretch: Stretch) -> Vec<f64> {
    let frequencies = axes.map(|channels| {
        let theta = stretch.theta(THETA, channels);
        (0..channels / 2)
            .map(|i| 1.0 / theta.powf((2 * i) as f64 / channels as f64))
            .collect::<Vec<_>>()
    });
    places
        .iter()
        .flat_map(|place| {
            place
                .iter()
                .zip(&frequencies)
                .flat_map(|(at, frequencies)| frequencies.iter().map(move |frequency| at * frequency))
        })
        .collect()
}
