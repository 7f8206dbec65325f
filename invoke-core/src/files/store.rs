//! What a store of pictures does.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use crate::{
    domain::{ImageName, image::ImageCategory},
    env::Timestamp,
};

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such file.
    #[error("no such file")]
    Absent,
    /// A subfolder that is none.
    #[error("`{0}` is no subfolder of a store")]
    Subfolder(String),
    /// A thumbnail could not be made again.
    #[error("remaking a thumbnail: {0}")]
    Thumbnail(String),
    /// Two files where one belongs.
    #[error("{0}")]
    Twice(String),
    /// The machine said no.
    #[error("{step}: {source}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether the reason is that there is no such file.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Whether trying again would end the same.
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }

    /// Wraps a fault with the step that met it; a missing file is [`Self::Absent`].
    pub(super) fn at(step: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| {
            if source.kind() == io::ErrorKind::NotFound {
                Self::Absent
            } else {
                Self::Io { step, source }
            }
        }
    }
}

/// What reads and seeks.
trait ReadSeek: Read + Seek + Send + Sync {}

impl<T: Read + Seek + Send + Sync> ReadSeek for T {}

/// A stored file, open for reading.
pub struct StoredFile {
    len: u64,
    modified: Timestamp,
    reader: Box<dyn ReadSeek>,
}

impl StoredFile {
    /// Wraps an open file of this length.
    pub(crate) fn new(len: u64, modified: Timestamp, reader: impl Read + Seek + Send + Sync + 'static) -> Self {
        Self {
            len,
            modified,
            reader: Box::new(reader),
        }
    }

    /// Wraps bytes in memory.
    pub(super) fn of_bytes(bytes: impl AsRef<[u8]> + Send + Sync + 'static, modified: Timestamp) -> Self {
        Self::new(bytes.as_ref().len() as u64, modified, Cursor::new(bytes))
    }

    /// Its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a stored picture is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// When it was written.
    pub fn modified(&self) -> Timestamp {
        self.modified
    }

    /// The whole content from the beginning.
    pub fn read_all(&mut self) -> io::Result<Vec<u8>> {
        self.reader.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::with_capacity(usize::try_from(self.len).unwrap_or(0));
        self.reader.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl std::fmt::Debug for StoredFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredFile").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Read for StoredFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl Seek for StoredFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader.seek(to)
    }
}

/// A picture whose files are to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// Its name.
    pub name: ImageName,
    /// The subfolder in its record.
    pub subfolder: String,
}

/// Pictures whose files are set aside, to be removed or brought back.
#[must_use]
#[derive(Debug)]
pub struct Staged {
    /// Names the place where they lie.
    pub(super) id: String,
    /// Those that could be set aside; a picture whose files are gone already counts as one.
    pub moved: Vec<Victim>,
    /// Those that could not, and stay where they are.
    pub failed: Vec<ImageName>,
}

/// What recovery found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Pictures brought back, as their records are still there.
    pub restored: usize,
    /// Pictures removed for good, as their records are gone.
    pub removed: usize,
}

/// A store of pictures, each a full-size PNG and a WebP thumbnail.
///
/// To remove pictures: [`stage_delete`](Self::stage_delete), delete the records, then [`settle_delete`](Self::settle_delete), which brings
/// back those whose records stayed. After a crash anywhere in between, [`recover`](Self::recover) asks which records exist and does the
/// same.
pub trait ImageStore: Send + Sync {
    /// Stores a picture and its thumbnail. Either both are there afterwards, whole, or the picture is not. Once its record is written,
    /// [`confirm`](Self::confirm) it: one that a crash left unconfirmed is removed by [`recover`](Self::recover) if it has no record.
    fn put(&self, name: &ImageName, subfolder: &str, png: &[u8], webp: &[u8]) -> Result<(), StoreError>;

    /// The picture's record is written.
    fn confirm(&self, name: &ImageName);

    /// Opens a picture.
    fn open_full(&self, name: &ImageName, subfolder: &str) -> Result<StoredFile, StoreError>;

    /// Opens a thumbnail; one that was lost is made again from the picture.
    fn open_thumbnail(&self, name: &ImageName, subfolder: &str) -> Result<StoredFile, StoreError>;

    /// Moves a picture and its thumbnail to another subfolder. One that is there already is fine, so that a move that was cut off can be
    /// made again.
    fn relocate(&self, name: &ImageName, from: &str, to: &str) -> Result<(), StoreError>;

    /// Removes a picture and its thumbnail at once; one that is not there is no error.
    fn delete(&self, name: &ImageName, subfolder: &str) -> Result<(), StoreError>;

    /// Sets the files of pictures aside.
    fn stage_delete(&self, victims: Vec<Victim>) -> Result<Staged, StoreError>;

    /// Ends a deletion: brings back the pictures to `keep`, and removes the others for good.
    fn settle_delete(&self, staged: Staged, keep: &mut dyn FnMut(&ImageName) -> bool) -> Result<(), StoreError>;

    /// Ends what a crash interrupted: pictures without a record are removed, deletions finished or undone. `exists` tells whether a picture has a record. To be called before anything else.
    fn recover(&self, exists: &mut dyn FnMut(&ImageName) -> bool) -> Result<Recovered, StoreError>;

    /// The subfolder for a new picture, as the configuration sorts them.
    fn subfolder_for(&self, name: &ImageName, is_intermediate: bool, category: ImageCategory, now: Timestamp) -> String;
}
