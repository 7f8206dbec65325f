//! Boards.

use invoke_bindings::{BoardListing, Session, parsed};
use invoke_core::domain::{BoardId, board::BoardChanges, image::BoardVisibility};
use pyo3::{Python, pyclass, pymethods};

use crate::{
    call::{Answer, read, write},
    error::raised,
};

/// Boards.
#[pyclass(frozen, module = "invoke_py")]
pub(crate) struct Boards(pub(crate) Session);

#[pymethods]
impl Boards {
    /// All boards that one may see.
    #[pyo3(signature = (*, order="created_at", descending=true, include_archived=false))]
    fn list(&self, py: Python<'_>, order: &str, descending: bool, include_archived: bool) -> Answer {
        let listing = BoardListing {
            order: order.to_owned(),
            descending,
            include_archived,
        };
        let listing = listing.read().map_err(|fault| raised(py, fault))?;
        read(py, &self.0, |core, actor| core.boards.list_all(actor, listing))
    }

    /// Makes a private board.
    fn create(&self, py: Python<'_>, name: &str) -> Answer {
        write(py, &self.0, |core, actor| core.boards.create(actor, name))
    }

    /// One board.
    fn get(&self, py: Python<'_>, board_id: &str) -> Answer {
        read(py, &self.0, |core, actor| core.boards.get(actor, &BoardId::new(board_id)))
    }

    /// Renames, archives or shares a board (`private`, `shared`, `public`); what is None stays.
    #[pyo3(signature = (board_id, *, name=None, visibility=None, archived=None))]
    fn update(&self, py: Python<'_>, board_id: &str, name: Option<String>, visibility: Option<&str>, archived: Option<bool>) -> Answer {
        let visibility = visibility.map(|text| parsed::<BoardVisibility>("visibility", text)).transpose();
        let changes = BoardChanges {
            board_name: name,
            board_visibility: visibility.map_err(|fault| raised(py, fault))?,
            archived,
            ..BoardChanges::default()
        };
        write(py, &self.0, |core, actor| {
            core.boards.update(actor, &BoardId::new(board_id), &changes)
        })
    }

    /// Deletes a board, and with `include_images` what lies on it.
    #[pyo3(signature = (board_id, *, include_images=false))]
    fn delete(&self, py: Python<'_>, board_id: &str, include_images: bool) -> Answer {
        write(py, &self.0, |core, actor| {
            core.boards.delete(actor, &BoardId::new(board_id), include_images)
        })
    }

    /// Names of the pictures on a board; on None, of the own ones on no board.
    #[pyo3(signature = (board_id=None))]
    fn image_names(&self, py: Python<'_>, board_id: Option<&str>) -> Answer {
        let board = board_id.map(BoardId::new);
        read(py, &self.0, |core, actor| {
            core.boards.image_names(actor, board.as_ref(), Vec::new(), None)
        })
    }

    /// Puts own pictures on a board.
    fn add_images(&self, py: Python<'_>, board_id: &str, image_names: Vec<String>) -> Answer {
        write(py, &self.0, |core, actor| {
            core.boards.add_images(actor, &BoardId::new(board_id), &image_names)
        })
    }

    /// Takes pictures off their boards, as far as one may change those.
    fn remove_images(&self, py: Python<'_>, image_names: Vec<String>) -> Answer {
        write(py, &self.0, |core, actor| core.boards.remove_images(actor, &image_names))
    }
}
