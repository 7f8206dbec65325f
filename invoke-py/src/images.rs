//! Pictures.

use invoke_bindings::{PictureFile, PictureListing, Session};
use invoke_core::domain::BoardId;
use pyo3::{Bound, PyAny, PyResult, Python, pybacked::PyBackedBytes, pyclass, pymethods, types::PyBytes};

use crate::{
    call::{Answer, from_python, read, unlocked, write},
    error::raised,
};

/// Pictures.
#[pyclass(frozen, module = "invoke_py")]
pub(crate) struct Images(pub(crate) Session);

#[pymethods]
impl Images {
    /// One window of a list of pictures: on a board, on no board (`"none"`) or anywhere.
    #[pyo3(signature = (*, board_id=None, categories=Vec::new(), origin=None, is_intermediate=None, search=None, starred_first=true, newest_first=true, offset=0, limit=100))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn list(
        &self,
        py: Python<'_>,
        board_id: Option<String>,
        categories: Vec<String>,
        origin: Option<String>,
        is_intermediate: Option<bool>,
        search: Option<String>,
        starred_first: bool,
        newest_first: bool,
        offset: u32,
        limit: u32,
    ) -> Answer {
        let listing = PictureListing {
            board_id,
            categories,
            origin,
            is_intermediate,
            search,
            starred_first,
            newest_first,
        };
        let filter = listing.read().map_err(|fault| raised(py, fault))?;
        read(py, &self.0, |core, actor| {
            core.images.list(actor, &filter, offset.into(), limit.into())
        })
    }

    /// The names of a whole list of pictures, marked ones first, then newest first.
    #[pyo3(signature = (*, board_id=None, categories=Vec::new(), search=None))]
    fn names(&self, py: Python<'_>, board_id: Option<String>, categories: Vec<String>, search: Option<String>) -> Answer {
        let listing = PictureListing {
            board_id,
            categories,
            search,
            ..PictureListing::default()
        };
        let filter = listing.read().map_err(|fault| raised(py, fault))?;
        read(py, &self.0, |core, actor| {
            core.images.names(actor, &filter).map(|names| names.image_names)
        })
    }

    /// A picture's record.
    fn get(&self, py: Python<'_>, image_name: &str) -> Answer {
        read(py, &self.0, |core, actor| core.images.dto(actor, image_name))
    }

    /// What a picture was made from, or None.
    fn metadata(&self, py: Python<'_>, image_name: &str) -> Answer {
        read(py, &self.0, |core, actor| core.images.metadata(actor, image_name))
    }

    /// A picture's file.
    fn read<'py>(&self, py: Python<'py>, image_name: &str) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = unlocked(py, || {
            self.0.read(|core, actor| Ok(core.images.full(actor, image_name)?.read_all()?))
        })?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// A picture's thumbnail, a WebP file.
    fn thumbnail<'py>(&self, py: Python<'py>, image_name: &str) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = unlocked(py, || {
            self.0.read(|core, actor| Ok(core.images.thumbnail(actor, image_name)?.read_all()?))
        })?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Keeps a picture: the bytes of a PNG, JPEG, WebP, GIF or BMP file.
    #[pyo3(signature = (data, *, category="user".to_owned(), board_id=None, is_intermediate=false, metadata=None))]
    fn upload(
        &self,
        py: Python<'_>,
        data: PyBackedBytes,
        category: String,
        board_id: Option<String>,
        is_intermediate: bool,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> Answer {
        let file = PictureFile {
            category,
            board_id,
            is_intermediate,
            metadata: metadata.map(|value| from_python("metadata", value)).transpose()?,
        };
        let upload = file.read(&data).map_err(|fault| raised(py, fault))?;
        write(py, &self.0, |core, actor| core.images.upload(actor, upload))
    }

    /// Deletes pictures; those that one may not change are passed over.
    fn delete(&self, py: Python<'_>, image_names: Vec<String>) -> Answer {
        write(py, &self.0, |core, actor| core.images.delete_many(actor, &image_names))
    }

    /// Marks pictures, or takes the marks away.
    #[pyo3(signature = (image_names, starred=true))]
    fn star(&self, py: Python<'_>, image_names: Vec<String>, starred: bool) -> Answer {
        if starred {
            write(py, &self.0, |core, actor| core.images.star(actor, &image_names))
        } else {
            write(py, &self.0, |core, actor| core.images.unstar(actor, &image_names))
        }
    }

    /// Puts pictures on a board; on None, takes them off theirs.
    fn move_to(&self, py: Python<'_>, image_names: Vec<String>, board_id: Option<&str>) -> Answer {
        match board_id.map(BoardId::new) {
            Some(board) => write(py, &self.0, |core, actor| core.boards.add_images(actor, &board, &image_names)),
            None => write(py, &self.0, |core, actor| core.boards.remove_images(actor, &image_names)),
        }
    }
}
