//! Boards, and putting pictures on them.

use std::sync::Arc;

use serde::Serialize;

use super::{
    Shared,
    images::{Images, MAX_BATCH, distinct},
};
use crate::{
    authz::{Actor, Scope, Sealed, acts, authorize, authorize_global},
    domain::{
        BoardId, Error, ImageName, Result,
        board::{AffectedBoards, BoardChanges, BoardDto, BoardOrder, DeletedBoard},
        image::ImageCategory,
        page::{Direction, NameList, OffsetPage},
    },
    repo::{
        boards::{self as repo, BoardFilter, Whereabouts},
        gallery::{self, ImageFilter, OnBoard},
        images,
    },
};

/// Use of boards.
#[derive(Clone)]
pub struct Boards {
    pub(super) shared: Arc<Shared>,
}

/// What putting pictures on a board did.
#[derive(Debug, Default, Serialize)]
pub struct Added {
    /// The board, and those that the pictures came from.
    pub affected_boards: AffectedBoards,
    /// Those that lie on it now.
    pub added_images: Vec<ImageName>,
    /// Always empty: all are moved, or none.
    pub failed_images: Vec<ImageName>,
}

/// What taking pictures off their boards did.
#[derive(Debug, Default, Serialize)]
pub struct Removed {
    /// The boards that they lay on, and `none`.
    pub affected_boards: AffectedBoards,
    /// Those that lie on no board now.
    pub removed_images: Vec<ImageName>,
    /// Always empty: all are taken off, or none.
    pub failed_images: Vec<ImageName>,
}

/// An order of boards.
#[derive(Debug, Clone, Copy)]
pub struct BoardListing {
    /// By this.
    pub order: BoardOrder,
    /// In this direction.
    pub direction: Direction,
    /// Archived ones as well.
    pub include_archived: bool,
}

/// The order in which a board's pictures are named where no order is asked for.
fn oldest_first() -> ImageFilter {
    ImageFilter {
        starred_first: false,
        direction: Direction::Asc,
        ..ImageFilter::default()
    }
}

impl Boards {
    /// The boards of a core.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Makes a private board.
    pub fn create(&self, actor: &Actor, name: &str) -> Result<BoardDto> {
        let leave = authorize_global::<acts::UseServer>(actor)?;
        let board_id = BoardId::new(self.shared.env.uuid());
        self.shared.db.write(|tx| {
            repo::insert(tx, &leave, &board_id, name, actor.user_id(), self.shared.env.now())?;
            authorize::<acts::ReadBoard, _>(actor, repo::find(tx, &board_id)?).map(|board| board.into_inner().into())
        })
    }

    /// One board.
    pub fn get(&self, actor: &Actor, board_id: &BoardId) -> Result<BoardDto> {
        self.shared
            .db
            .read(|tx| authorize::<acts::ReadBoard, _>(actor, repo::find(tx, board_id)?).map(|board| board.into_inner().into()))
    }

    /// Renames, archives or shares a board.
    pub fn update(&self, actor: &Actor, board_id: &BoardId, changes: &BoardChanges) -> Result<BoardDto> {
        self.shared.db.write(|tx| {
            let board = authorize::<acts::UpdateBoard, _>(actor, repo::find(tx, board_id)?)?;
            repo::update(tx, &board, changes, self.shared.env.now())?;
            authorize::<acts::ReadBoard, _>(actor, repo::find(tx, board_id)?).map(|board| board.into_inner().into())
        })
    }

    fn list(&self, actor: &Actor, listing: BoardListing, ignore_case: bool, offset: i64, limit: i64) -> Result<Vec<BoardDto>> {
        authorize_global::<acts::UseServer>(actor)?;
        let filter = BoardFilter {
            order: listing.order,
            direction: listing.direction,
            include_archived: listing.include_archived,
            ignore_case,
        };
        let boards = self
            .shared
            .db
            .read(|tx| repo::list(tx, &Scope::of(actor), filter, actor.is_admin(), offset, limit))?;
        Ok(boards.into_iter().map(BoardDto::from).collect())
    }

    /// All boards that the caller may see. Administrators see everybody's, with the owners' names.
    pub fn list_all(&self, actor: &Actor, listing: BoardListing) -> Result<Vec<BoardDto>> {
        self.list(actor, listing, true, 0, -1)
    }

    /// One window of them. Its total is the number of boards in the window: that is what clients of the original get.
    pub fn list_page(&self, actor: &Actor, listing: BoardListing, offset: i64, limit: i64) -> Result<OffsetPage<BoardDto>> {
        let items = self.list(actor, listing, false, offset, limit)?;
        Ok(OffsetPage {
            limit,
            offset,
            total: items.len() as i64,
            items,
        })
    }

    /// Names of the pictures on a board; on none, the caller's own. The oldest come first.
    pub fn image_names(
        &self,
        actor: &Actor,
        board: Option<&BoardId>,
        categories: Vec<ImageCategory>,
        is_intermediate: Option<bool>,
    ) -> Result<NameList> {
        authorize_global::<acts::UseServer>(actor)?;
        let on = board.map_or(OnBoard::None, |board| OnBoard::Board(board.clone()));
        let filter = ImageFilter {
            board: on,
            categories,
            is_intermediate,
            ..oldest_first()
        };
        self.shared.db.read(|tx| {
            let scope = match board {
                Some(board) => authorize::<acts::ReadBoard, _>(actor, repo::rights(tx, board)?).map(|_| Scope::All)?,
                None => Scope::of(actor),
            };
            Ok(self.shared.names.names(tx, &scope, &filter)?.0)
        })
    }

    /// Deletes a board. Its pictures are uncategorised from then on; with `include_images` those are deleted that the caller owns, for an
    /// administrator all.
    pub fn delete(&self, actor: &Actor, board_id: &BoardId, include_images: bool) -> Result<DeletedBoard> {
        self.shared
            .db
            .read(|tx| authorize::<acts::DeleteBoard, _>(actor, repo::find(tx, board_id)?).map(drop))?;
        let everything = ImageFilter {
            board: OnBoard::Board(board_id.clone()),
            ..oldest_first()
        };
        let images = Images::new(Arc::clone(&self.shared));
        let deleted = if include_images {
            images.delete_listed(actor, None, &Scope::of(actor), &everything)?
        } else {
            Default::default()
        };
        let left = self.shared.db.write(|tx| -> Result<_> {
            let board = authorize::<acts::DeleteBoard, _>(actor, repo::find(tx, board_id)?)?;
            let left = if include_images {
                NameList::default()
            } else {
                gallery::names(tx, &Scope::All, &everything)?.0
            };
            repo::delete(tx, &board)?;
            Ok(left)
        })?;
        Ok(DeletedBoard {
            board_id: board_id.clone(),
            deleted_board_images: left,
            deleted_images: deleted.deleted_images,
            deleted_board_videos: Vec::new(),
            deleted_videos: Vec::new(),
            failed_images: deleted.failed_images,
            failed_videos: Vec::new(),
        })
    }

    /// Puts a picture of the caller's on a board.
    pub fn add_image(&self, actor: &Actor, board_id: &BoardId, name: &str) -> Result<Added> {
        let name = distinct(&[name.to_owned()]);
        self.shared.db.write(|tx| {
            let board = authorize::<acts::WriteBoard, _>(actor, repo::rights(tx, board_id)?)?;
            let sealed = name.first().map_or(Ok(Sealed::absent()), |name| images::find(tx, name))?;
            let image = authorize::<acts::MoveImage, _>(actor, sealed).map_err(absent_is_a_fault)?;
            self.shared.maintenance.refuse_if_active()?;
            let mut added = Added::default();
            added.affected_boards.add(image.board_id.as_ref());
            added.affected_boards.add(Some(board_id));
            repo::move_image(tx, &board, &image, self.shared.env.now())?;
            added.added_images.push(image.image_name.clone());
            Ok(added)
        })
    }

    /// Leave to put uploads on a board.
    pub fn authorize_upload(&self, actor: &Actor, board_id: &BoardId) -> Result<()> {
        self.shared
            .db
            .read(|tx| authorize::<acts::UploadToBoard, _>(actor, repo::rights(tx, board_id)?).map(drop))
    }

    /// Puts those of the pictures that are the caller's on a board.
    pub fn add_images(&self, actor: &Actor, board_id: &BoardId, names: &[String]) -> Result<Added> {
        let (names, now) = (distinct(names), self.shared.env.now());
        self.shared.db.write(|tx| {
            let board = authorize::<acts::WriteBoard, _>(actor, repo::rights(tx, board_id)?)?;
            self.shared.maintenance.refuse_if_active()?;
            let mut added = Added::default();
            for some in names.chunks(MAX_BATCH) {
                for sealed in images::find_many(tx, some)? {
                    let Ok(image) = authorize::<acts::MoveImage, _>(actor, sealed) else {
                        continue;
                    };
                    added.affected_boards.add(image.board_id.as_ref());
                    added.affected_boards.add(Some(board_id));
                    repo::move_image(tx, &board, &image, now)?;
                    added.added_images.push(image.image_name.clone());
                }
            }
            Ok(added)
        })
    }

    /// Takes a picture off the board that it lies on, for whoever may change that board. One that lies on none needs no leave: nothing
    /// happens to it.
    pub fn remove_image(&self, actor: &Actor, name: &str) -> Result<Removed> {
        authorize_global::<acts::UseServer>(actor)?;
        let names = distinct(&[name.to_owned()]);
        self.shared.db.write(|tx| {
            let mut removed = Removed::default();
            let whereabouts = names.first().map_or(Ok(Whereabouts::Nowhere), |name| repo::of_image(tx, name))?;
            match (whereabouts, names.first()) {
                (Whereabouts::On(sealed), Some(name)) => {
                    let board = authorize::<acts::WriteBoard, _>(actor, sealed)?;
                    self.shared.maintenance.refuse_if_active()?;
                    repo::take_image(tx, &board, name)?;
                    removed.affected_boards.add(Some(&board.board_id));
                }
                (Whereabouts::Uncategorised, _) => {}
                (Whereabouts::Nowhere, _) | (_, None) => {
                    return Err(Error::internal("taking an image off its board", "there is no such image"));
                }
            }
            removed.affected_boards.add(None);
            removed.removed_images = names;
            Ok(removed)
        })
    }

    /// Takes those of the pictures off their boards whose boards the caller may change.
    pub fn remove_images(&self, actor: &Actor, names: &[String]) -> Result<Removed> {
        authorize_global::<acts::UseServer>(actor)?;
        self.shared.maintenance.refuse_if_active()?;
        let names = distinct(names);
        self.shared.db.write(|tx| {
            let mut removed = Removed::default();
            for name in names {
                match repo::of_image(tx, &name)? {
                    Whereabouts::Nowhere => continue,
                    Whereabouts::Uncategorised => {}
                    Whereabouts::On(sealed) => {
                        let Ok(board) = authorize::<acts::WriteBoard, _>(actor, sealed) else {
                            continue;
                        };
                        repo::take_image(tx, &board, &name)?;
                        removed.affected_boards.add(Some(&board.board_id));
                    }
                }
                removed.affected_boards.add(None);
                removed.removed_images.push(name);
            }
            Ok(removed)
        })
    }
}

/// To an administrator, whom nothing is forbidden, a missing picture is a request gone wrong, which the original answers as a fault.
fn absent_is_a_fault(error: Error) -> Error {
    match error {
        Error::NotFound(_) => Error::internal("putting an image on a board", "there is no such image"),
        other => other,
    }
}
