//! An open file of weights, of which stretches of bytes are read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::diffusion::error::{ModelError, Result, short};

/// The file, with its place for errors. Several threads may read; they take turns.
#[derive(Debug)]
pub(super) struct Spans {
    path: PathBuf,
    file: Mutex<File>,
}

impl Spans {
    /// Reads from `file`, which was opened at `path`.
    pub(super) fn new(path: &Path, file: File) -> Self {
        Self {
            path: path.to_owned(),
            file: Mutex::new(file),
        }
    }

    /// The file, by its folder and name.
    pub(super) fn label(&self) -> String {
        short(&self.path)
    }

    /// So many `bytes` from `start` on. That they lie inside the file is to be checked before.
    pub(super) fn read(&self, start: u64, bytes: usize) -> Result<Vec<u8>> {
        let mut span = vec![0; bytes];
        let mut file = self.file.lock();
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut span));
        read.map_err(|source| ModelError::Io {
            file: self.label(),
            source,
        })?;
        Ok(span)
    }
}
