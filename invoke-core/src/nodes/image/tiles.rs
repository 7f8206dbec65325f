//! Tiles.

use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};

use super::{load, size, store};
use crate::{
    domain::shape::choices,
    imaging::tiles::{self, Sides, TileBlend, TileError},
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{ImageField, TBLR, Tile, TileWithImage},
        outputs::ImageOutput,
    },
};

/// The tiles of a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "calculate_image_tiles_output")]
struct CalculateImageTilesOutput {
    tiles: Vec<Tile>,
}

/// The parts of a tile.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "tile_to_properties_output")]
struct TileToPropertiesOutput {
    coords_left: i64,
    coords_right: i64,
    coords_top: i64,
    coords_bottom: i64,
    width: i64,
    height: i64,
    overlap_top: i64,
    overlap_bottom: i64,
    overlap_left: i64,
    overlap_right: i64,
}

/// A tile with its picture.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "pair_tile_image_output")]
struct PairTileImageOutput {
    tile_with_image: TileWithImage,
}

fn failed(error: TileError) -> NodeError {
    NodeError::value(error.to_string())
}

/// A length in pixels.
fn side(value: i64) -> Result<usize, NodeError> {
    const MOST: i64 = 1 << 24;
    usize::try_from(value)
        .ok()
        .filter(|_| value <= MOST)
        .ok_or_else(|| NodeError::value(format!("a length must lie between 0 and {MOST} pixels, got {value}")))
}

/// A number of tiles along one side.
fn count(value: i64) -> Result<usize, NodeError> {
    usize::try_from(value)
        .ok()
        .filter(|count| *count <= MOST_TILES)
        .ok_or_else(|| NodeError::value(format!("at most {MOST_TILES} tiles can be asked for, got {value}")))
}

fn sides_of(sides: TBLR) -> Result<Sides, NodeError> {
    Ok(Sides {
        top: side(sides.top)?,
        bottom: side(sides.bottom)?,
        left: side(sides.left)?,
        right: side(sides.right)?,
    })
}

const MOST_TILES: usize = 1 << 14;

fn calculated(found: Result<Vec<tiles::Tile>, TileError>) -> Result<CalculateImageTilesOutput, NodeError> {
    let found = found.map_err(failed)?;
    let sides = |s: Sides| TBLR {
        top: s.top as i64,
        bottom: s.bottom as i64,
        left: s.left as i64,
        right: s.right as i64,
    };
    let tiles = found
        .into_iter()
        .map(|t| Tile {
            coords: sides(t.coords),
            overlap: sides(t.overlap),
        })
        .collect();
    Ok(CalculateImageTilesOutput { tiles })
}

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<CalculateImageTiles>(),
    entry::<CalculateImageTilesEvenSplit>(),
    entry::<CalculateImageTilesMinimumOverlap>(),
    entry::<TileToProperties>(),
    entry::<PairTileImage>(),
    entry::<MergeTilesToImage>(),
];

/// Tiles of one size that overlap by a given amount.
#[derive(Debug, Deserialize, Node)]
#[node(id = "calculate_image_tiles", title = "Calculate Image Tiles", version = "1.0.1", category = "tiles", tags("tiles"), output = CalculateImageTilesOutput)]
struct CalculateImageTiles {
    #[field(default = 1024, ge = 1)]
    image_width: i64,
    #[field(default = 1024, ge = 1)]
    image_height: i64,
    #[field(default = 576, ge = 1)]
    tile_width: i64,
    #[field(default = 576, ge = 1)]
    tile_height: i64,
    #[field(default = 128, ge = 0)]
    overlap: i64,
}

impl Invoke for CalculateImageTiles {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<CalculateImageTilesOutput, NodeError> {
        calculated(tiles::with_overlap(
            side(self.image_width)?,
            side(self.image_height)?,
            side(self.tile_width)?,
            side(self.tile_height)?,
            side(self.overlap)?,
        ))
    }
}

/// A given number of tiles across and down.
#[derive(Debug, Deserialize, Node)]
#[node(id = "calculate_image_tiles_even_split", title = "Calculate Image Tiles Even Split", version = "1.1.1", category = "tiles", tags("tiles"), output = CalculateImageTilesOutput)]
struct CalculateImageTilesEvenSplit {
    #[field(default = 1024, ge = 1)]
    image_width: i64,
    #[field(default = 1024, ge = 1)]
    image_height: i64,
    #[field(default = 2, ge = 1)]
    num_tiles_x: i64,
    #[field(default = 2, ge = 1)]
    num_tiles_y: i64,
    #[field(default = 128, ge = 0, multiple_of = 8)]
    overlap: i64,
}

impl Invoke for CalculateImageTilesEvenSplit {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<CalculateImageTilesOutput, NodeError> {
        let (across, down) = (count(self.num_tiles_x)?, count(self.num_tiles_y)?);
        calculated(tiles::even_split(
            side(self.image_width)?,
            side(self.image_height)?,
            across,
            down,
            side(self.overlap)?,
        ))
    }
}

/// Tiles of one size that overlap by at least a given amount.
#[derive(Debug, Deserialize, Node)]
#[node(id = "calculate_image_tiles_min_overlap", title = "Calculate Image Tiles Minimum Overlap", version = "1.0.1", category = "tiles", tags("tiles"), output = CalculateImageTilesOutput)]
struct CalculateImageTilesMinimumOverlap {
    #[field(default = 1024, ge = 1)]
    image_width: i64,
    #[field(default = 1024, ge = 1)]
    image_height: i64,
    #[field(default = 576, ge = 1)]
    tile_width: i64,
    #[field(default = 576, ge = 1)]
    tile_height: i64,
    #[field(default = 128, ge = 0)]
    min_overlap: i64,
}

impl Invoke for CalculateImageTilesMinimumOverlap {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<CalculateImageTilesOutput, NodeError> {
        calculated(tiles::min_overlap(
            side(self.image_width)?,
            side(self.image_height)?,
            side(self.tile_width)?,
            side(self.tile_height)?,
            side(self.min_overlap)?,
        ))
    }
}

/// The parts of a tile.
#[derive(Debug, Deserialize, Node)]
#[node(id = "tile_to_properties", title = "Tile to Properties", version = "1.0.1", category = "tiles", tags("tiles"), output = TileToPropertiesOutput)]
struct TileToProperties {
    tile: Tile,
}

impl Invoke for TileToProperties {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<TileToPropertiesOutput, NodeError> {
        let Tile { coords, overlap } = self.tile;
        let distance = |from: i64, to: i64| {
            to.checked_sub(from)
                .ok_or_else(|| NodeError::value("tile: its sides lie too far apart"))
        };
        Ok(TileToPropertiesOutput {
            coords_left: coords.left,
            coords_right: coords.right,
            coords_top: coords.top,
            coords_bottom: coords.bottom,
            width: distance(coords.left, coords.right)?,
            height: distance(coords.top, coords.bottom)?,
            overlap_top: overlap.top,
            overlap_bottom: overlap.bottom,
            overlap_left: overlap.left,
            overlap_right: overlap.right,
        })
    }
}

/// A tile with its picture.
#[derive(Debug, Deserialize, Node)]
#[node(id = "pair_tile_image", title = "Pair Tile with Image", version = "1.0.1", category = "tiles", tags("tiles"), output = PairTileImageOutput)]
struct PairTileImage {
    image: ImageField,
    tile: Tile,
}

impl Invoke for PairTileImage {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<PairTileImageOutput, NodeError> {
        Ok(PairTileImageOutput {
            tile_with_image: TileWithImage {
                tile: self.tile,
                image: self.image,
            },
        })
    }
}

choices! {
    enum MergeBlend { Linear = "Linear", Seam = "Seam" }
}

/// Tiles put together again. The result is RGB.
#[derive(Debug, Deserialize, Node)]
#[node(id = "merge_tiles_to_image", title = "Merge Tiles to Image", version = "1.1.1", category = "tiles", tags("tiles"), output = ImageOutput, board, metadata)]
struct MergeTilesToImage {
    tiles_with_images: Vec<TileWithImage>,
    #[field(default = "Seam", input = direct)]
    blend_mode: MergeBlend,
    #[field(default = 32, ge = 0)]
    blend_amount: i64,
}

impl Invoke for MergeTilesToImage {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let mut parts = Vec::with_capacity(self.tiles_with_images.len());
        let (mut right, mut bottom) = (0, 0);
        for part in &self.tiles_with_images {
            cx.check_canceled()?;
            let tile = tiles::Tile {
                coords: sides_of(part.tile.coords)?,
                overlap: sides_of(part.tile.overlap)?,
            };
            (right, bottom) = (right.max(part.tile.coords.right), bottom.max(part.tile.coords.bottom));
            parts.push((tile, load(cx, &part.image)?));
        }
        size(right, bottom)?;
        let kind = match self.blend_mode {
            MergeBlend::Linear => TileBlend::Linear,
            MergeBlend::Seam => TileBlend::Seam,
        };
        store(cx, tiles::merge(parts, kind, side(self.blend_amount)?).map_err(failed)?)
    }
}
