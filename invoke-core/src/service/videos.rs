//! Videos. This program makes and keeps none; what is to be said of one that is asked for still depends on who asks, as in an installation without any.

use std::convert::Infallible;

use super::boards::Boards;
use crate::{
    authz::{Action, Actor, Decision, Facts, acts, authorize_global, decide},
    domain::{BoardId, Error, Result},
};

/// Answers about videos.
#[derive(Clone)]
pub struct Videos {
    boards: Boards,
}

/// What somebody wants to do with a video. It asks for the leave that the same asks for with a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoChange {
    /// Change or delete it.
    Update,
    /// Put it on a board, or take it off.
    Move,
}

/// Whether this would be allowed with what belongs to somebody else and is shared with nobody: all that a video that is not there can be.
fn allowed(actor: &Actor, action: Action) -> bool {
    decide(actor.standing(), action, Facts::FOREIGN) == Decision::Allow
}

impl Videos {
    pub(crate) const fn new(boards: Boards) -> Self {
        Self { boards }
    }

    /// Asks whether the videos of a board, or of none, may be listed. Whoever may not see a board may not learn either that no video is on it.
    ///
    /// # Errors
    /// The board is not there, or not for this actor.
    pub fn may_list(&self, actor: &Actor, board_id: Option<&BoardId>) -> Result<()> {
        authorize_global::<acts::UseServer>(actor)?;
        match board_id.filter(|board| board.as_str() != "none" && !allowed(actor, Action::ReadBoard)) {
            Some(board) => self.boards.get(actor, board).map(drop),
            None => Ok(()),
        }
    }

    /// Asks for the addresses of a video, which whoever may see everything is told without a look at what there is.
    ///
    /// # Errors
    /// There is no such video.
    pub fn may_ask_addresses(&self, actor: &Actor) -> Result<()> {
        if allowed(actor, Action::ReadImage) {
            Ok(())
        } else {
            self.open(actor).map(|never| match never {})
        }
    }

    /// Asks for a video, of which there is none.
    ///
    /// # Errors
    /// There is no such video, in the words for this actor.
    pub fn open(&self, actor: &Actor) -> Result<Infallible> {
        let text = if allowed(actor, Action::ReadImage) {
            "Not Found"
        } else {
            "Video not found"
        };
        Err(Error::NotFound(text.into()))
    }

    /// Whether what an actor asks to be done with videos that are not there is told to be nobody's, name by name; to others they are somebody else's.
    pub fn may_change(&self, actor: &Actor) -> bool {
        allowed(actor, Action::UpdateImage)
    }

    /// Asks for leave to change a video that is not there.
    ///
    /// # Errors
    /// To somebody who may not change everything, it is one of somebody else's.
    pub fn change(&self, actor: &Actor, change: VideoChange) -> Result<()> {
        let (action, text) = match change {
            VideoChange::Update => (Action::UpdateImage, "Not authorized to modify this video"),
            VideoChange::Move => (Action::MoveImage, "Not authorized to move this video"),
        };
        if allowed(actor, action) {
            Ok(())
        } else {
            Err(Error::Forbidden(text.into()))
        }
    }

    /// Asks for leave to put a video on a board.
    ///
    /// # Errors
    /// The board is not there or not for this actor, or what [`Videos::change`] says.
    pub fn put_on_board(&self, actor: &Actor, board_id: &BoardId) -> Result<()> {
        // Putting no pictures on the board asks for the same leave.
        self.boards.add_images(actor, board_id, &[])?;
        self.change(actor, VideoChange::Move)
    }
}
