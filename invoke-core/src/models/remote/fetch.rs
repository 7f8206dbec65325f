//! Bringing one file: as it arrives it is written beside its place, and it goes to its place when it is whole. What was begun is gone on with where
//! the other side agrees that it is still the same file.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use sha2::{Digest, Sha256};

use super::{HttpError, Line, Part, PartStatus, Reply};

/// Bytes that are read at a time.
const CHUNK: usize = 128 << 10;
/// Bytes between two reports where the whole is not known.
const STEP: u64 = 1 << 20;
/// Bytes that are left free on the disk, and how often it is looked at.
const SPARE: u64 = 64 << 20;
const LOOK: u64 = 256 << 20;
/// Largest file that is brought, whatever the disk would hold.
const MOST_BYTES: u64 = 1 << 40;

/// What somebody wants of a running download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// That it goes on.
    GoOn,
    /// That it stops, what is there being kept.
    Pause,
    /// That it stops for good.
    Cancel,
}

/// A handle to stop downloads that use one line.
#[derive(Debug)]
pub struct Stop {
    wish: AtomicU8,
    line: Line,
    waiting: Mutex<()>,
    told: Condvar,
}

impl Stop {
    /// A handle for what goes over this line.
    pub fn new(line: Line) -> Self {
        Self {
            wish: AtomicU8::new(0),
            line,
            waiting: Mutex::default(),
            told: Condvar::new(),
        }
    }

    /// The line.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// What is wanted.
    pub fn wish(&self) -> Wish {
        match self.wish.load(Ordering::Acquire) {
            0 => Wish::GoOn,
            1 => Wish::Pause,
            _ => Wish::Cancel,
        }
    }

    /// Stops. Calling off wins over pausing.
    pub fn stop(&self, cancel: bool) {
        self.wish.fetch_max(if cancel { 2 } else { 1 }, Ordering::AcqRel);
        drop(self.waiting.lock());
        self.told.notify_all();
        self.line.cut();
    }

    /// Waits so long, or until it is stopped.
    pub fn wait(&self, most: Duration) {
        let mut waiting = self.waiting.lock();
        if self.wish() == Wish::GoOn {
            self.told.wait_for(&mut waiting, most);
        }
    }
}

/// Why a file is not there.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Somebody stopped it.
    #[error("it was stopped")]
    Stopped,
    /// It broke off, or the other side does not go on with it; the part says which. What is there stays.
    #[error("it broke off")]
    Interrupted,
    /// It failed: class and text.
    #[error("{0}: {1}")]
    Failed(String, String),
}

impl FetchError {
    fn failed(class: &str, text: impl Into<String>) -> Self {
        Self::Failed(class.into(), text.into())
    }
}

impl From<io::Error> for FetchError {
    fn from(error: io::Error) -> Self {
        Self::failed("OSError", error.to_string())
    }
}

/// Brings a file. `tell` is called once it begins (`true`) and as it gets on (`false`).
pub fn fetch(part: &mut Part, stop: &Stop, tell: &mut dyn FnMut(&Part, bool)) -> Result<(), FetchError> {
    let had_marks = part.etag.is_some() || part.last_modified.is_some();
    if part.into_folder && part.path.is_none() {
        part.path = Part::unfinished_in(&part.dest);
    } else if !part.into_folder {
        part.path = Some(part.dest.clone());
    }
    let there = part
        .path
        .as_deref()
        .and_then(|path| Part::unfinished(path).metadata().ok())
        .map_or(0, |about| about.len());
    part.bytes = there;
    if there == 0 && had_marks {
        part.from_scratch = true;
        part.resume_message = Some("The part that had been there is gone; the download begins anew.".into());
    }

    let range = format!("bytes={there}-");
    // A weak mark does not promise the same bytes.
    let strong = part.etag.clone().filter(|etag| !etag.starts_with("W/"));
    let condition = strong.or_else(|| part.last_modified.clone());
    let mut headers = Vec::new();
    if there > 0 {
        headers.push(("range", range.as_str()));
        if let Some(condition) = &condition {
            headers.push(("if-range", condition.as_str()));
        }
    }
    let token = part.token.as_ref().map(|token| token.secret.expose().to_owned());
    let reply = match stop.line().get(&part.url, &headers, token.as_deref()) {
        Ok(reply) => reply,
        Err(_) if stop.wish() != Wish::GoOn => return Err(FetchError::Stopped),
        Err(error @ HttpError::Failed { .. }) if there > 0 => return Err(interrupted(part, format!("{error}. It can be resumed."))),
        Err(error) => return Err(FetchError::failed(error.class(), error.to_string())),
    };
    part.final_url = Some(reply.url.to_string());
    let begin = match (reply.status, there) {
        (206, 1..) if range_of(&reply).is_some_and(|(first, _)| first == there) => there,
        (416, 1..) => return ended_before(part, &reply, there, tell),
        (200 | 206, 1..) => return Err(interrupted(part, refused())),
        (200, _) => 0,
        _ => return Err(FetchError::failed("HTTPError", reply.reason())),
    };
    part.content_type = reply.header("content-type").map(str::to_owned);
    part.etag = reply.header("etag").map(str::to_owned).or(part.etag.take());
    part.last_modified = reply.header("last-modified").map(str::to_owned).or(part.last_modified.take());
    let length = reply.header("content-length").and_then(|text| text.parse::<u64>().ok());
    let whole = match range_of(&reply) {
        Some((_, whole)) if begin > 0 => whole.or(length.map(|length| begin + length)),
        _ => length,
    };
    part.bytes = begin;
    if let Some(whole) = whole {
        part.total_bytes = whole;
        part.expected_bytes = Some(whole);
    }
    let path = place(part, &reply)?;
    part.path = Some(path.clone());
    if begin == 0 && path.exists() {
        let length = path.metadata()?.len();
        if part.total_bytes > 0 && length == part.total_bytes && part.sha256.is_none() {
            part.bytes = length;
            part.status = PartStatus::Running;
            tell(part, true);
            return Ok(());
        }
        std::fs::remove_file(&path)?;
    }
    room(&path, part.total_bytes.saturating_sub(begin))?;
    part.status = PartStatus::Running;
    tell(part, true);
    receive(part, reply, &path, begin, stop, tell)
}

fn refused() -> String {
    "The other side does not go on with the file where it broke off. It has to begin anew.".into()
}

fn interrupted(part: &mut Part, why: String) -> FetchError {
    part.resume_required = true;
    part.resume_message = Some(why);
    FetchError::Interrupted
}

/// First byte and whole length of a reply in part.
fn range_of(reply: &Reply) -> Option<(u64, Option<u64>)> {
    let (range, whole) = reply.header("content-range")?.trim().strip_prefix("bytes ")?.split_once('/')?;
    let first = range.split_once('-')?.0.trim().parse().ok()?;
    Some((first, whole.trim().parse().ok()))
}

/// There is nothing after what is there: it is whole, or another file.
fn ended_before(part: &mut Part, reply: &Reply, there: u64, tell: &mut dyn FnMut(&Part, bool)) -> Result<(), FetchError> {
    let told = reply
        .header("content-range")
        .and_then(|text| text.strip_prefix("bytes */")?.parse().ok());
    let known = (part.total_bytes > 0).then_some(part.total_bytes);
    if told.or(part.expected_bytes).or(known) != Some(there) {
        return Err(interrupted(part, refused()));
    }
    let path = part.path.clone().unwrap_or_else(|| part.dest.clone());
    (part.total_bytes, part.expected_bytes, part.bytes) = (there, Some(there), there);
    part.status = PartStatus::Running;
    tell(part, true);
    finish(part, &path, None)
}

/// Where the file goes, its name from the reply or the address where it goes into a folder.
fn place(part: &Part, reply: &Reply) -> Result<PathBuf, FetchError> {
    if !part.into_folder {
        if let Some(folder) = part.dest.parent() {
            std::fs::create_dir_all(folder)?;
        }
        return Ok(part.dest.clone());
    }
    if let Some(path) = &part.path {
        return Ok(path.clone());
    }
    let proposed = reply
        .header("content-disposition")
        .and_then(|text| text.split_once("filename=\"")?.1.split_once('"').map(|(name, _)| name.to_owned()))
        .filter(|name| is_plain_name(name));
    let of_address = || part.url.path_segments().and_then(|mut all| all.next_back().map(str::to_owned));
    let name = proposed.or_else(of_address).unwrap_or_default();
    if !is_plain_name(&name) {
        return Err(FetchError::failed(
            "ValueError",
            format!("No safe name for a file follows from {} ('{name}')", part.url),
        ));
    }
    Ok(part.dest.join(name))
}

/// Whether a name of the other side's choice is that of a file and leads nowhere else, on any system.
fn is_plain_name(name: &str) -> bool {
    let drive = name.as_bytes().get(1) == Some(&b':');
    !name.is_empty() && name.len() <= 200 && !name.starts_with("..") && name != "." && !drive && !name.contains(['/', '\\', '\0'])
}

/// Refuses what the disk does not hold.
fn room(path: &Path, needed: u64) -> Result<(), FetchError> {
    let folder = path.parent().unwrap_or(path);
    let free = free_bytes(folder).unwrap_or(u64::MAX);
    if needed > MOST_BYTES || needed.saturating_add(SPARE) > free {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        return Err(FetchError::failed(
            "RuntimeError",
            format!(
                "{:.2} GiB are to be downloaded, {:.2} GiB are free on the disk",
                gib(needed),
                gib(free)
            ),
        ));
    }
    Ok(())
}

/// Bytes free for this program where a folder lies.
#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(folder).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

/// Unknown here; writing fails where the disk is full.
#[cfg(not(unix))]
fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}

fn receive(
    part: &mut Part,
    reply: Reply,
    path: &Path,
    begin: u64,
    stop: &Stop,
    tell: &mut dyn FnMut(&Part, bool),
) -> Result<(), FetchError> {
    let unfinished = Part::unfinished(path);
    let mut hasher = part.sha256.is_some().then(Sha256::new);
    let mut options = OpenOptions::new();
    let mut file = if begin > 0 {
        if let Some(hasher) = &mut hasher {
            io::copy(&mut File::open(&unfinished)?, hasher)?;
        }
        options.append(true).open(&unfinished)?
    } else {
        options.write(true).create(true).truncate(true).open(&unfinished)?
    };
    let mut body = reply.body.into_with_config().limit(u64::MAX).reader();
    let mut chunk = vec![0; CHUNK];
    let step = if part.total_bytes > 0 { part.total_bytes / 100 } else { STEP };
    let (mut reported, mut looked) = (part.bytes, part.bytes);
    loop {
        let read = match body.read(&mut chunk) {
            _ if stop.wish() != Wish::GoOn => return Err(FetchError::Stopped),
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(interrupted(part, format!("The download broke off ({error}). It can be resumed."))),
        };
        part.bytes += read as u64;
        if part.bytes > MOST_BYTES || part.total_bytes > 0 && part.bytes > part.total_bytes {
            drop(file);
            std::fs::remove_file(&unfinished)?;
            return Err(FetchError::failed("ValueError", "The file is longer than it was announced to be"));
        }
        if part.total_bytes == 0 && part.bytes - looked >= LOOK {
            looked = part.bytes;
            room(path, LOOK)?;
        }
        file.write_all(&chunk[..read])?;
        if let Some(hasher) = &mut hasher {
            hasher.update(&chunk[..read]);
        }
        if part.bytes - reported >= step.max(1) || part.bytes == part.total_bytes {
            reported = part.bytes;
            tell(part, false);
        }
    }
    file.flush()?;
    drop(file);
    if part.bytes < part.total_bytes {
        return Err(interrupted(part, "The download broke off. It can be resumed.".into()));
    }
    finish(part, path, hasher)
}

/// Checks what is there and puts it to its place.
fn finish(part: &mut Part, path: &Path, hasher: Option<Sha256>) -> Result<(), FetchError> {
    let unfinished = Part::unfinished(path);
    if let Some(expected) = &part.sha256 {
        let hasher = match hasher {
            Some(hasher) => hasher,
            None => {
                let mut hasher = Sha256::new();
                io::copy(&mut File::open(&unfinished)?, &mut hasher)?;
                hasher
            }
        };
        let found = format!("{:x}", hasher.finalize());
        if !found.eq_ignore_ascii_case(expected) {
            std::fs::remove_file(&unfinished)?;
            return Err(FetchError::failed(
                "ValueError",
                format!("The file from {} has the SHA-256 {found} instead of {expected}", part.url),
            ));
        }
    }
    part.total_bytes = part.bytes;
    std::fs::rename(&unfinished, path)?;
    (part.resume_required, part.resume_message) = (false, part.resume_message.take().filter(|_| part.from_scratch));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_other_sides_choice_stay_in_the_folder() {
        for name in ["", ".", "..", "..x", "a/b", "a\\b", "C:x", "/x", "a\0b"] {
            assert!(!is_plain_name(name), "{name:?}");
        }
        assert!(is_plain_name("model.fp16.safetensors") && is_plain_name(".hidden"));
    }
}
