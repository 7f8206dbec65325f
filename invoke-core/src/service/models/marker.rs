//! What lies beside the files of an unfinished job, so that the next run of the program goes on with it.

use std::{fs, io, path::Path};

use serde_json::{Map, Value, json};

use super::{
    job::{InstallJob, JobStatus},
    source::{InstallSource, wishes_in_full},
};
use crate::{
    config::Secret,
    env::Timestamp,
    models::remote::{Part, Token},
};

/// Name of the file.
const NAME: &str = ".invokeai_install.json";
/// Version of its layout.
const VERSION: u64 = 1;
/// Largest one that is read, in bytes.
const MOST_BYTES: u64 = 8 << 20;

/// Writes down where a job stands.
pub(super) fn write(job: &InstallJob, status: JobStatus, now: Timestamp) {
    let Some(folder) = &job.folder else { return };
    if let Err(error) = try_write(job, folder, status, now) {
        tracing::warn!("a job's state cannot be kept, it will not go on after a restart: {error}");
    }
}

fn try_write(job: &InstallJob, folder: &Path, status: JobStatus, now: Timestamp) -> io::Result<()> {
    let text = json!({
        "version": VERSION,
        "source": job.source.to_string(),
        "access_token": Token::to_json(job.source.token()),
        "config_in": wishes_in_full(&job.wishes),
        "status": status.as_str(),
        "updated_at": now.sql(),
        "files": job.parts.iter().map(Part::to_marker).collect::<Vec<_>>(),
    })
    .to_string();
    fs::create_dir_all(folder)?;
    let beside = folder.join(format!("{NAME}.new"));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // It may hold a token.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    io::Write::write_all(&mut options.open(&beside)?, text.as_bytes())?;
    fs::rename(beside, folder.join(NAME))
}

/// The job that a folder was left for, if it is to go on.
pub(super) fn read(folder: &Path) -> Option<InstallJob> {
    let file = folder.join(NAME);
    let about = fs::metadata(&file).ok()?;
    if about.len() > MOST_BYTES {
        return None;
    }
    let marker: Map<String, Value> = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    if marker.get("version").and_then(Value::as_u64) != Some(VERSION) {
        return None;
    }
    let text = |key: &str| marker.get(key).and_then(Value::as_str);
    let status = JobStatus::parse(text("status")?).filter(|status| !status.is_over())?;
    let token = text("access_token").map(|token| Token {
        secret: Secret::new(token),
        shown: true,
    });
    let source = InstallSource::parse(text("source")?, false, token).ok()?;
    if !source.is_remote() {
        return None;
    }
    let mut wishes = marker.get("config_in").and_then(Value::as_object).cloned().unwrap_or_default();
    wishes.retain(|_, value| !value.is_null());
    let mut job = InstallJob::new(source, wishes);
    folder.clone_into(&mut job.local_path);
    job.folder = Some(folder.to_owned());
    // What was whole is looked at again: it takes one question a file, and files may have been touched since.
    job.status = if status == JobStatus::Paused { status } else { JobStatus::Waiting };
    for file in marker.get("files").and_then(Value::as_array).into_iter().flatten() {
        if let Some(url) = file.get("url").and_then(Value::as_str) {
            job.kept.insert(url.to_owned(), file.clone());
        }
    }
    Some(job)
}
