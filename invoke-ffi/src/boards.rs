//! Boards.

use invoke_bindings::{BoardListing, Session, parsed};
use invoke_core::domain::{BoardId, board::BoardChanges, image::BoardVisibility};

use crate::{
    error::Result,
    records::{Board, record},
};

/// Boards.
#[derive(Debug, uniffi::Object)]
pub struct Boards(pub(crate) Session);

#[uniffi::export]
impl Boards {
    /// All boards that one may see, newest first.
    #[uniffi::method(default(include_archived = false))]
    pub fn list(&self, include_archived: bool) -> Result<Vec<Board>> {
        let listing = BoardListing::newest_first(include_archived).read()?;
        record(&self.0.read(|core, actor| core.boards.list_all(actor, listing))?)
    }

    /// Makes a private board.
    pub fn create(&self, name: String) -> Result<Board> {
        record(&self.0.write(|core, actor| core.boards.create(actor, &name))?)
    }

    /// One board.
    pub fn get(&self, board_id: String) -> Result<Board> {
        record(&self.0.read(|core, actor| core.boards.get(actor, &BoardId::new(board_id)))?)
    }

    /// Renames, archives or shares a board (`private`, `shared`, `public`); what is null stays.
    #[uniffi::method(default(name = None, visibility = None, archived = None))]
    pub fn update(&self, board_id: String, name: Option<String>, visibility: Option<String>, archived: Option<bool>) -> Result<Board> {
        let visibility = visibility.map(|text| parsed::<BoardVisibility>("visibility", &text)).transpose()?;
        let changes = BoardChanges {
            board_name: name,
            archived,
            board_visibility: visibility,
            cover_image_name: None,
        };
        record(
            &self
                .0
                .write(|core, actor| core.boards.update(actor, &BoardId::new(board_id), &changes))?,
        )
    }

    /// Deletes a board, and with `include_images` what lies on it.
    #[uniffi::method(default(include_images = false))]
    pub fn delete(&self, board_id: String, include_images: bool) -> Result<()> {
        self.0
            .write(|core, actor| core.boards.delete(actor, &BoardId::new(board_id), include_images))?;
        Ok(())
    }

    /// Puts own pictures on a board; gives the names of those that lie there now.
    pub fn add_pictures(&self, board_id: String, names: Vec<String>) -> Result<Vec<String>> {
        record(
            &self
                .0
                .write(|core, actor| core.boards.add_images(actor, &BoardId::new(board_id), &names))?
                .added_images,
        )
    }

    /// Takes pictures off their boards, as far as one may change those; gives the names of those that lie on none now.
    pub fn remove_pictures(&self, names: Vec<String>) -> Result<Vec<String>> {
        record(&self.0.write(|core, actor| core.boards.remove_images(actor, &names))?.removed_images)
    }
}
