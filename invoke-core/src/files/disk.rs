//! The store in a folder.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};

use super::{ImageStore, Recovered, Staged, StoreError, StoredFile, Victim, decode_picture, subfolder, thumbnail_webp};
use crate::{
    config::Config,
    domain::{ImageName, image::ImageCategory},
    env::{Env, Timestamp},
};

/// Folder for files while they are written.
const INCOMING: &str = ".incoming";
/// Ends the name of a note about a picture without a record.
const NOTE: &str = ".note";
/// Folder for files that are set aside.
const STAGED: &str = ".staged";
/// List of the pictures in one folder of [`STAGED`].
const MANIFEST: &str = "manifest.json";

/// Pictures in a folder, thumbnails in `thumbnails/` below it.
///
/// Before a picture is renamed into place, a note with its name is laid into [`INCOMING`], and taken away once its record is written: whatever a note
/// is left for has no record, or one that was written at the last moment.
///
/// A file is written elsewhere on the same file system and renamed into place, the thumbnail first, so a picture is there whole or not at
/// all, whatever dies. A picture is flushed to the disk before it is renamed, since its record may outlive a power cut; a thumbnail is
/// not, since it can be made again.
pub struct DiskStore {
    folder: PathBuf,
    config: Arc<Config>,
    env: Env,
}

/// What [`MANIFEST`] holds.
#[derive(Serialize, Deserialize)]
struct Manifest {
    victims: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: ImageName,
    subfolder: String,
}

/// Where one picture's two files lie.
struct Place {
    full: PathBuf,
    thumbnail: PathBuf,
}

impl DiskStore {
    /// The store in this folder, which is made if need be.
    pub fn open(folder: PathBuf, config: Arc<Config>, env: Env) -> Result<Self, StoreError> {
        let store = Self { folder, config, env };
        for name in ["thumbnails", INCOMING, STAGED] {
            fs::create_dir_all(store.folder.join(name)).map_err(StoreError::at("making a folder for pictures"))?;
        }
        Ok(store)
    }

    fn place(&self, name: &ImageName, subfolder: &str) -> Result<Place, StoreError> {
        let below = subfolder::path(subfolder)?;
        let thumbnail = Path::new(name.as_str()).with_extension("webp");
        Ok(Place {
            full: self.folder.join(&below).join(name.as_str()),
            thumbnail: self.folder.join("thumbnails").join(below).join(thumbnail),
        })
    }

    fn staged(&self, id: &str) -> PathBuf {
        self.folder.join(STAGED).join(id)
    }

    /// Writes a file under a name of its own and renames it into place.
    fn write(&self, to: &Path, bytes: &[u8], flush: bool) -> io::Result<()> {
        let fresh = self.folder.join(INCOMING).join(self.env.uuid());
        let written = (|| {
            let mut file = File::create(&fresh)?;
            file.write_all(bytes)?;
            if flush {
                file.sync_data()?;
            }
            rename(&fresh, to)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        written
    }

    /// The note that a picture has no record yet.
    fn note(&self, name: &ImageName) -> PathBuf {
        self.folder.join(INCOMING).join(format!("{name}{NOTE}"))
    }

    /// Removes the picture of a note if it has no record, and then the note.
    fn settle_note(&self, note: &Path, exists: &mut dyn FnMut(&ImageName) -> bool) -> Result<bool, StoreError> {
        let failed = StoreError::at("removing a picture without a record");
        let name = note.file_name().and_then(|name| name.to_str()?.strip_suffix(NOTE));
        let Some(name) = name.and_then(|name| ImageName::parse(name).ok()) else {
            return remove_if_there(note).map(|()| false).map_err(&failed);
        };
        let orphan = !exists(&name);
        if orphan {
            // A note that was cut off names no folder; its picture was not in place yet.
            let subfolder = fs::read_to_string(note).map_err(&failed)?;
            if let Some(subfolder) = subfolder.strip_suffix('\n') {
                let place = self.place(&name, subfolder)?;
                remove_if_there(&place.full)
                    .and_then(|()| remove_if_there(&place.thumbnail))
                    .map_err(&failed)?;
            }
        }
        remove_if_there(note).map_err(&failed)?;
        Ok(orphan)
    }

    /// Brings one picture's files back from a folder of [`STAGED`].
    fn bring_back(&self, from: &Path, index: usize, victim: &Victim) -> Result<(), StoreError> {
        let place = self.place(&victim.name, &victim.subfolder)?;
        let (full, thumbnail) = set_aside(from, index);
        for (from, to) in [(thumbnail, place.thumbnail), (full, place.full)] {
            if from.exists() {
                rename(&from, &to).map_err(StoreError::at("bringing back a picture"))?;
            }
        }
        Ok(())
    }

    /// Brings back the pictures to keep from a folder of [`STAGED`], and removes it with the others.
    fn settle(&self, folder: &Path, keep: &mut dyn FnMut(&ImageName) -> bool) -> Result<Recovered, StoreError> {
        let mut settled = Recovered::default();
        let victims = match read_manifest(folder) {
            Ok(victims) => victims,
            // Without a list nothing has been moved yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => {
                return Err(StoreError::Io {
                    step: "reading a list of pictures set aside",
                    source,
                });
            }
        };
        for (index, victim) in victims.iter().enumerate() {
            if keep(&victim.name) {
                self.bring_back(folder, index, victim)?;
                settled.restored += 1;
            } else {
                settled.removed += 1;
            }
        }
        fs::remove_dir_all(folder).map_err(StoreError::at("removing pictures"))?;
        Ok(settled)
    }
}

/// Renames a file, making the folder it goes to if that is missing.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && from.exists() => {
            to.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::rename(from, to)
        }
        other => other,
    }
}

/// Like [`rename`]; a file that is not there is no error.
fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes a folder and those above it, below a root, as far as they are empty.
fn remove_empty_below(folder: Option<&Path>, root: &Path) {
    let mut folder = folder;
    while let Some(path) = folder.filter(|path| *path != root && path.starts_with(root)) {
        if fs::remove_dir(path).is_err() {
            break;
        }
        folder = path.parent();
    }
}

fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Names of one picture's files in a folder of [`STAGED`].
fn set_aside(folder: &Path, index: usize) -> (PathBuf, PathBuf) {
    (folder.join(format!("{index}.png")), folder.join(format!("{index}.webp")))
}

fn open(path: &Path) -> Result<StoredFile, StoreError> {
    let failed = StoreError::at("opening a picture");
    let file = File::open(path).map_err(&failed)?;
    let found = file.metadata().map_err(&failed)?;
    let millis = found
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |age| age.as_millis());
    let modified = Timestamp::from_millis(i64::try_from(millis).unwrap_or(0));
    Ok(StoredFile::new(found.len(), modified, file))
}

impl ImageStore for DiskStore {
    fn put(&self, name: &ImageName, subfolder: &str, png: &[u8], webp: &[u8]) -> Result<(), StoreError> {
        let place = self.place(name, subfolder)?;
        let note = self.note(name);
        fs::write(&note, format!("{subfolder}\n")).map_err(StoreError::at("noting a picture without a record"))?;
        let thumbnail = self
            .write(&place.thumbnail, webp, false)
            .map_err(StoreError::at("writing a thumbnail"));
        let written = thumbnail.and_then(|()| self.write(&place.full, png, true).map_err(StoreError::at("writing a picture")));
        if written.is_err() {
            let _ = fs::remove_file(&place.thumbnail);
            let _ = fs::remove_file(&note);
        }
        written
    }

    fn confirm(&self, name: &ImageName) {
        if let Err(error) = remove_if_there(&self.note(name)) {
            // The next start finds the record and takes the note away.
            tracing::warn!("a note about a picture could not be removed: {error}");
        }
    }

    fn open_full(&self, name: &ImageName, subfolder: &str) -> Result<StoredFile, StoreError> {
        open(&self.place(name, subfolder)?.full)
    }

    fn open_thumbnail(&self, name: &ImageName, subfolder: &str) -> Result<StoredFile, StoreError> {
        let place = self.place(name, subfolder)?;
        match open(&place.thumbnail) {
            // A power cut can leave an empty file behind.
            Ok(file) if file.len() > 0 => return Ok(file),
            Ok(_) | Err(StoreError::Absent) => {}
            Err(error) => return Err(error),
        }
        let png = fs::read(&place.full).map_err(StoreError::at("reading a picture"))?;
        let picture = decode_picture(&png).map_err(|error| StoreError::Thumbnail(error.to_string()))?;
        let webp = thumbnail_webp(&picture).map_err(|error| StoreError::Thumbnail(error.to_string()))?;
        self.write(&place.thumbnail, &webp, false)
            .map_err(StoreError::at("writing a thumbnail"))?;
        Ok(StoredFile::of_bytes(webp, self.env.now()))
    }

    fn relocate(&self, name: &ImageName, from: &str, to: &str) -> Result<(), StoreError> {
        let (old, new) = (self.place(name, from)?, self.place(name, to)?);
        let failed = StoreError::at("moving a picture");
        match (old.full.exists(), new.full.exists()) {
            (true, true) => return Err(StoreError::Twice(format!("Both old and new image files exist for {name}"))),
            (false, false) => return Err(StoreError::Absent),
            (is_old, _) => {
                if old.thumbnail.exists() {
                    rename(&old.thumbnail, &new.thumbnail).map_err(&failed)?;
                }
                if is_old {
                    rename(&old.full, &new.full).map_err(&failed)?;
                }
            }
        }
        for (folder, root) in [
            (old.full.parent(), self.folder.clone()),
            (old.thumbnail.parent(), self.folder.join("thumbnails")),
        ] {
            remove_empty_below(folder, &root);
        }
        Ok(())
    }

    fn delete(&self, name: &ImageName, subfolder: &str) -> Result<(), StoreError> {
        let place = self.place(name, subfolder)?;
        remove_if_there(&place.full)
            .and_then(|()| remove_if_there(&place.thumbnail))
            .and_then(|()| remove_if_there(&self.note(name)))
            .map_err(StoreError::at("removing a picture"))
    }

    fn stage_delete(&self, victims: Vec<Victim>) -> Result<Staged, StoreError> {
        let id = self.env.uuid();
        let folder = self.staged(&id);
        let failed = StoreError::at("setting pictures aside");
        fs::create_dir_all(&folder).map_err(&failed)?;
        let entries = victims
            .iter()
            .map(|victim| Entry {
                name: victim.name.clone(),
                subfolder: victim.subfolder.clone(),
            })
            .collect();
        let manifest = serde_json::to_vec(&Manifest { victims: entries }).expect("names and folders are JSON");
        // The list is on the disk before any file moves; without it, nobody would know where they belong.
        self.write(&folder.join(MANIFEST), &manifest, true).map_err(&failed)?;
        let mut staged = Staged {
            id,
            moved: Vec::with_capacity(victims.len()),
            failed: Vec::new(),
        };
        for (index, victim) in victims.into_iter().enumerate() {
            let moved = self.place(&victim.name, &victim.subfolder).and_then(|place| {
                let (full, thumbnail) = set_aside(&folder, index);
                rename_if_there(&place.full, &full)
                    .and_then(|()| rename_if_there(&place.thumbnail, &thumbnail))
                    .map_err(&failed)
            });
            match moved {
                Ok(()) => staged.moved.push(victim),
                Err(error) => {
                    tracing::warn!("a picture's files cannot be removed: {error}");
                    if let Err(error) = self.bring_back(&folder, index, &victim) {
                        tracing::warn!("a picture's files cannot be brought back: {error}");
                    }
                    staged.failed.push(victim.name);
                }
            }
        }
        Ok(staged)
    }

    fn settle_delete(&self, staged: Staged, keep: &mut dyn FnMut(&ImageName) -> bool) -> Result<(), StoreError> {
        self.settle(&self.staged(&staged.id), keep).map(drop)
    }

    fn recover(&self, exists: &mut dyn FnMut(&ImageName) -> bool) -> Result<Recovered, StoreError> {
        let failed = StoreError::at("ending interrupted deletions");
        let mut found = Recovered::default();
        for left in fs::read_dir(self.folder.join(INCOMING)).map_err(&failed)? {
            let path = left.map_err(&failed)?.path();
            // What is no note is a half-written file.
            found.removed += usize::from(self.settle_note(&path, exists)?);
        }
        for entry in fs::read_dir(self.folder.join(STAGED)).map_err(&failed)? {
            let folder = entry.map_err(&failed)?.path();
            let settled = self.settle(&folder, exists)?;
            found.restored += settled.restored;
            found.removed += settled.removed;
        }
        Ok(found)
    }

    fn subfolder_for(&self, name: &ImageName, is_intermediate: bool, category: ImageCategory, now: Timestamp) -> String {
        subfolder::choose(self.config.image_subfolder_strategy(), name, is_intermediate, category, now)
    }
}

fn read_manifest(folder: &Path) -> io::Result<Vec<Victim>> {
    let manifest: Manifest = serde_json::from_slice(&fs::read(folder.join(MANIFEST))?)?;
    Ok(manifest
        .victims
        .into_iter()
        .map(|entry| Victim {
            name: entry.name,
            subfolder: entry.subfolder,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use image::DynamicImage;

    use super::*;
    use crate::{
        config::Settings,
        files::{Chunks, EncodeOptions, encode_png},
    };

    fn store(folder: &Path) -> DiskStore {
        let config = Arc::new(Config::from_settings(folder, Settings::default()));
        DiskStore::open(folder.to_owned(), config, Env::system()).unwrap()
    }

    fn name(text: &str) -> ImageName {
        ImageName::parse(text).unwrap()
    }

    fn victim(text: &str) -> Victim {
        Victim {
            name: name(text),
            subfolder: String::new(),
        }
    }

    #[test]
    fn what_is_put_is_read_and_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        for subfolder in ["", "2026/09/21"] {
            store.put(&name("a.png"), subfolder, b"full", b"small").unwrap();
            let mut file = store.open_full(&name("a.png"), subfolder).unwrap();
            assert_eq!((file.len(), file.read_all().unwrap()), (4, b"full".to_vec()));
            let mut text = String::new();
            store
                .open_thumbnail(&name("a.png"), subfolder)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(text, "small");
            store.delete(&name("a.png"), subfolder).unwrap();
            assert!(store.open_full(&name("a.png"), subfolder).unwrap_err().is_absent());
            store.delete(&name("a.png"), subfolder).unwrap();
        }
        assert!(store.open_full(&name("a.png"), "../outside").is_err());
    }

    #[test]
    fn a_lost_thumbnail_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let png = encode_png(
            &DynamicImage::new_rgb8(300, 200),
            &Chunks::default(),
            EncodeOptions { compression: 1 },
        )
        .unwrap();
        store.put(&name("a.png"), "", &png, b"").unwrap();
        for _ in 0..2 {
            let webp = store.open_thumbnail(&name("a.png"), "").unwrap().read_all().unwrap();
            assert_eq!(image::load_from_memory(&webp).unwrap().width(), 256);
        }
        assert!(dir.path().join("thumbnails/a.webp").exists());
    }

    #[test]
    fn a_deletion_is_finished_or_undone() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        for text in ["a.png", "b.png"] {
            store.put(&name(text), "", text.as_bytes(), b"small").unwrap();
        }
        let staged = store.stage_delete(vec![victim("a.png"), victim("never.png")]).unwrap();
        assert_eq!((staged.moved.len(), staged.failed.len()), (2, 0));
        assert!(store.open_full(&name("a.png"), "").is_err());
        store.settle_delete(staged, &mut |_| true).unwrap();
        assert_eq!(store.open_full(&name("a.png"), "").unwrap().read_all().unwrap(), b"a.png");
        let staged = store.stage_delete(vec![victim("a.png")]).unwrap();
        store.settle_delete(staged, &mut |_| false).unwrap();
        assert!(store.open_full(&name("a.png"), "").unwrap_err().is_absent());
        assert!(store.open_full(&name("b.png"), "").is_ok());
        assert_eq!(fs::read_dir(dir.path().join(STAGED)).unwrap().count(), 0);
    }

    #[test]
    fn a_crash_while_deleting_leaves_nothing_dangling() {
        let dir = tempfile::tempdir().unwrap();
        let first = store(dir.path());
        for text in ["kept.png", "gone.png"] {
            first.put(&name(text), "x", b"full", b"small").unwrap();
            first.confirm(&name(text));
        }
        let victims = ["kept.png", "gone.png"].map(|text| Victim {
            name: name(text),
            subfolder: "x".into(),
        });
        // The crash: what was staged is forgotten. And one more, before a list was written.
        drop(first.stage_delete(victims.to_vec()).unwrap());
        fs::create_dir(dir.path().join(STAGED).join("early")).unwrap();
        fs::write(dir.path().join(INCOMING).join("half"), "ha").unwrap();
        let second = store(dir.path());
        let recovered = second.recover(&mut |name| name.as_str() == "kept.png").unwrap();
        assert_eq!(recovered, Recovered { restored: 1, removed: 1 });
        assert!(second.open_full(&name("kept.png"), "x").is_ok() && second.open_thumbnail(&name("kept.png"), "x").is_ok());
        assert!(second.open_full(&name("gone.png"), "x").unwrap_err().is_absent());
        for folder in [STAGED, INCOMING] {
            assert_eq!(fs::read_dir(dir.path().join(folder)).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_crash_before_the_record_leaves_no_picture() {
        let dir = tempfile::tempdir().unwrap();
        let first = store(dir.path());
        for (text, subfolder) in [
            ("confirmed.png", ""),
            ("recorded.png", "a/b"),
            ("orphan.png", "a/b"),
            ("undone.png", ""),
        ] {
            first.put(&name(text), subfolder, b"full", b"small").unwrap();
        }
        first.confirm(&name("confirmed.png"));
        first.delete(&name("undone.png"), "").unwrap();
        assert_eq!(fs::read_dir(dir.path().join(INCOMING)).unwrap().count(), 2);
        let second = store(dir.path());
        let recovered = second.recover(&mut |name| name.as_str() == "recorded.png").unwrap();
        assert_eq!(recovered, Recovered { restored: 0, removed: 1 });
        assert!(second.open_full(&name("confirmed.png"), "").is_ok() && second.open_full(&name("recorded.png"), "a/b").is_ok());
        assert!(second.open_full(&name("orphan.png"), "a/b").unwrap_err().is_absent());
        assert!(!dir.path().join("thumbnails/a/b/orphan.webp").exists());
        assert_eq!(fs::read_dir(dir.path().join(INCOMING)).unwrap().count(), 0);
    }

    #[test]
    fn files_that_cannot_be_moved_stay() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        store.put(&name("a.png"), "", b"full", b"small").unwrap();
        let bad = Victim {
            name: name("b.png"),
            subfolder: "../up".into(),
        };
        let staged = store.stage_delete(vec![victim("a.png"), bad]).unwrap();
        assert_eq!((staged.moved.len(), &staged.failed), (1, &vec![name("b.png")]));
    }
}
