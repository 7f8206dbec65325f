//! Boards: where users collect images.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    BoardId, ImageName, UserId,
    image::{BoardVisibility, wire_enum},
    page::NameList,
};

/// A board, with what lies on it counted.
#[derive(Debug, Clone)]
pub struct Board {
    /// Identifier.
    pub board_id: BoardId,
    /// Its name; need not be unique.
    pub board_name: String,
    /// Its owner.
    pub user_id: UserId,
    /// When it was made, as stored.
    pub created_at: String,
    /// When it last changed, as stored: without milliseconds once it has changed.
    pub updated_at: String,
    /// Hidden from lists unless asked for.
    pub archived: bool,
    /// Who may see it.
    pub visibility: BoardVisibility,
    /// The best image on it: marked ones before others, then the newest.
    pub cover: Option<ImageName>,
    /// Images of category `general` on it, intermediates left out.
    pub image_count: i64,
    /// Images of the other categories on it, intermediates left out.
    pub asset_count: i64,
    /// The owner's display name or e-mail; only where a list was asked to tell it.
    pub owner_name: Option<String>,
}

/// A board as the wire carries it.
#[derive(Debug, Clone, Serialize)]
pub struct BoardDto {
    board_id: BoardId,
    board_name: String,
    user_id: UserId,
    created_at: String,
    updated_at: String,
    deleted_at: Option<String>,
    cover_image_name: Option<ImageName>,
    archived: bool,
    board_visibility: BoardVisibility,
    cover_video_name: Option<String>,
    image_count: i64,
    video_count: i64,
    asset_count: i64,
    owner_username: Option<String>,
}

impl BoardDto {
    /// Its identifier.
    pub fn board_id(&self) -> &BoardId {
        &self.board_id
    }
}

impl From<Board> for BoardDto {
    fn from(board: Board) -> Self {
        Self {
            board_id: board.board_id,
            board_name: board.board_name,
            user_id: board.user_id,
            created_at: board.created_at,
            updated_at: board.updated_at,
            deleted_at: None,
            cover_image_name: board.cover,
            archived: board.archived,
            board_visibility: board.visibility,
            cover_video_name: None,
            image_count: board.image_count,
            video_count: 0,
            asset_count: board.asset_count,
            owner_username: board.owner_name,
        }
    }
}

/// What changes about a board; what is `None` stays.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct BoardChanges {
    /// Its name.
    #[serde(default)]
    pub board_name: Option<String>,
    /// Its stored cover. It is kept, but lists show the best image.
    #[serde(default)]
    pub cover_image_name: Option<String>,
    /// Whether it is hidden from lists.
    #[serde(default)]
    pub archived: Option<bool>,
    /// Who may see it.
    #[serde(default)]
    pub board_visibility: Option<BoardVisibility>,
}

wire_enum! {
    /// What a list of boards is ordered by.
    BoardOrder {
        /// When they were made.
        CreatedAt = "created_at",
        /// Their names.
        Name = "board_name",
    }
}

/// What became of a board and what was on it.
#[derive(Debug, Clone, Serialize)]
pub struct DeletedBoard {
    /// The board.
    pub board_id: BoardId,
    /// Images that were on it and are still there.
    pub deleted_board_images: NameList,
    /// Images that were deleted with it.
    pub deleted_images: Vec<ImageName>,
    /// Always empty.
    pub deleted_board_videos: Vec<String>,
    /// Always empty.
    pub deleted_videos: Vec<String>,
    /// Images whose files could not be deleted.
    pub failed_images: Vec<ImageName>,
    /// Always empty.
    pub failed_videos: Vec<String>,
}

/// Boards that a change touched; `none` stands for the images on no board.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AffectedBoards(Vec<BoardId>);

impl AffectedBoards {
    /// Adds one, unless it is there.
    pub fn add(&mut self, board: Option<&BoardId>) {
        let board = board.cloned().unwrap_or_else(|| BoardId::new("none"));
        if !self.0.contains(&board) {
            self.0.push(board);
        }
    }

    /// Adds those of another change.
    pub fn merge(&mut self, other: Self) {
        for board in other.0 {
            self.add(Some(&board));
        }
    }
}

impl Serialize for AffectedBoards {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
