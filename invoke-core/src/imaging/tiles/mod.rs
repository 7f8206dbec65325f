//! Cutting a picture into overlapping tiles and putting it together again.

mod merge;
mod seam;

use thiserror::Error;

pub use merge::{TileBlend, merge};

/// A rectangle's or a tile's four sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sides {
    /// First row, or rows shared with the tile above.
    pub top: usize,
    /// Row after the last, or rows shared with the tile below.
    pub bottom: usize,
    /// First column, or columns shared with the tile to the left.
    pub left: usize,
    /// Column after the last, or columns shared with the tile to the right.
    pub right: usize,
}

/// A tile of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Where it lies in the picture.
    pub coords: Sides,
    /// How much it shares with its neighbours.
    pub overlap: Sides,
}

/// Why a picture cannot be tiled, or tiles not be merged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TileError {
    /// The picture is smaller than one tile.
    #[error("the picture ({picture} pixels) is smaller than a tile ({tile} pixels)")]
    Small {
        /// Side of the picture.
        picture: usize,
        /// Side of a tile.
        tile: usize,
    },
    /// Tiles overlap completely.
    #[error("the overlap ({overlap} pixels) must be smaller than a tile ({tile} pixels)")]
    Overlap {
        /// Overlap asked for.
        overlap: usize,
        /// Side of a tile.
        tile: usize,
    },
    /// A side is no multiple of eight.
    #[error("picture size {0}x{1} must be divisible by 8")]
    Multiple(usize, usize),
    /// More is to be blended than overlaps.
    #[error("tiles overlap by {overlap} pixels, too little to blend {blend}")]
    Blend {
        /// Pixels that overlap.
        overlap: usize,
        /// Pixels to blend.
        blend: usize,
    },
    /// A tile's picture has not the tile's size.
    #[error("a tile's picture is {}x{} where its tile is {}x{}", .0.0, .0.1, .1.0, .1.1)]
    Size((usize, usize), (usize, usize)),
    /// There is nothing to merge.
    #[error("there are no tiles")]
    Empty,
}

/// Tiles for every pair of row and column spans, row by row, with their overlaps filled in.
fn grid(rows: &[(usize, usize)], columns: &[(usize, usize)]) -> Vec<Tile> {
    let shared = |spans: &[(usize, usize)], i: usize| {
        let between = |a: usize| spans[a].1.saturating_sub(spans[a + 1].0);
        (
            if i > 0 { between(i - 1) } else { 0 },
            if i + 1 < spans.len() { between(i) } else { 0 },
        )
    };
    let mut out = Vec::with_capacity(rows.len() * columns.len());
    for (r, (top, bottom)) in rows.iter().enumerate() {
        let (above, below) = shared(rows, r);
        for (c, (left, right)) in columns.iter().enumerate() {
            let (before, after) = shared(columns, c);
            out.push(Tile {
                coords: Sides {
                    top: *top,
                    bottom: *bottom,
                    left: *left,
                    right: *right,
                },
                overlap: Sides {
                    top: above,
                    bottom: below,
                    left: before,
                    right: after,
                },
            });
        }
    }
    out
}

/// Tiles of one size at even steps, the last shifted back so that it ends with the picture.
pub fn with_overlap(width: usize, height: usize, tile_width: usize, tile_height: usize, overlap: usize) -> Result<Vec<Tile>, TileError> {
    let spans = |picture: usize, tile: usize| {
        if picture < tile {
            return Err(TileError::Small { picture, tile });
        }
        if overlap >= tile {
            return Err(TileError::Overlap { overlap, tile });
        }
        let step = tile - overlap;
        let place = |i: usize| {
            let start = (i * step).min(picture - tile);
            (start, start + tile)
        };
        Ok((0..(picture - overlap).div_ceil(step)).map(place).collect::<Vec<_>>())
    };
    Ok(grid(&spans(height, tile_height)?, &spans(width, tile_width)?))
}

/// A given number of tiles, their sides multiples of eight but for the last, which ends with the picture.
pub fn even_split(width: usize, height: usize, across: usize, down: usize, overlap: usize) -> Result<Vec<Tile>, TileError> {
    const STEP: usize = 8;
    if !width.is_multiple_of(STEP) || !height.is_multiple_of(STEP) {
        return Err(TileError::Multiple(width, height));
    }
    let spans = |picture: usize, count: usize| {
        let tile = if count > 1 {
            (picture + overlap * (count - 1)) / count / STEP * STEP
        } else {
            picture
        };
        if count > 1 && (overlap >= tile || overlap + STEP * (count - 1) > picture) {
            return Err(TileError::Overlap { overlap, tile });
        }
        let place = |i: usize| {
            let start = i * (tile - if count > 1 { overlap } else { 0 });
            (start, if i + 1 == count { picture } else { (start + tile).min(picture) })
        };
        Ok((0..count).map(place).collect::<Vec<_>>())
    };
    Ok(grid(&spans(height, down)?, &spans(width, across)?))
}

/// As few tiles of one size as overlap by at least `overlap`, spread evenly; a tile larger than the picture is cut to it.
pub fn min_overlap(width: usize, height: usize, tile_width: usize, tile_height: usize, overlap: usize) -> Result<Vec<Tile>, TileError> {
    let spans = |picture: usize, tile: usize| {
        let tile_cut = tile.min(picture);
        if overlap >= tile || overlap == tile_cut {
            return Err(TileError::Overlap { overlap, tile: tile_cut });
        }
        if picture < overlap {
            return Ok(vec![(0, picture)]);
        }
        let count = (picture - overlap).div_ceil(tile_cut - overlap);
        let place = |i: usize| {
            let start = if count > 1 { i * (picture - tile_cut) / (count - 1) } else { 0 };
            (start, start + tile_cut)
        };
        Ok((0..count).map(place).collect::<Vec<_>>())
    };
    Ok(grid(&spans(height, tile_height)?, &spans(width, tile_width)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tile_is_shifted_back() {
        let tiles = with_overlap(1024, 576, 576, 576, 128).unwrap();
        assert_eq!(tiles.len(), 2);
        assert_eq!(
            tiles[1].coords,
            Sides {
                top: 0,
                bottom: 576,
                left: 448,
                right: 1024
            }
        );
        assert_eq!((tiles[0].overlap.right, tiles[1].overlap.left), (128, 128));
        let tiles = with_overlap(1000, 600, 576, 576, 128).unwrap();
        assert_eq!(
            tiles.iter().map(|t| (t.coords.left, t.coords.top)).collect::<Vec<_>>(),
            [(0, 0), (424, 0), (0, 24), (424, 24)]
        );
        assert_eq!(
            tiles[3].overlap,
            Sides {
                top: 552,
                bottom: 0,
                left: 152,
                right: 0
            }
        );
        assert_eq!(
            with_overlap(100, 600, 576, 576, 128),
            Err(TileError::Small { picture: 100, tile: 576 })
        );
    }

    #[test]
    fn an_even_split_has_sides_of_eights() {
        let tiles = even_split(1024, 1024, 3, 1, 128).unwrap();
        assert_eq!(
            tiles.iter().map(|t| (t.coords.left, t.coords.right)).collect::<Vec<_>>(),
            [(0, 424), (296, 720), (592, 1024)]
        );
        assert_eq!(even_split(1020, 1024, 3, 1, 128), Err(TileError::Multiple(1020, 1024)));
    }

    #[test]
    fn tiles_of_least_overlap_are_spread() {
        let tiles = min_overlap(1024, 300, 576, 576, 128).unwrap();
        assert_eq!(
            tiles
                .iter()
                .map(|t| (t.coords.left, t.coords.right, t.coords.bottom))
                .collect::<Vec<_>>(),
            [(0, 576, 300), (448, 1024, 300)]
        );
        let tiles = min_overlap(1100, 576, 576, 576, 128).unwrap();
        assert_eq!(tiles.iter().map(|t| t.coords.left).collect::<Vec<_>>(), [0, 262, 524]);
    }
}
