//! The journal of moves of pictures between subfolders, in the tables in which InvokeAI keeps it: what either program has begun, either
//! can finish.
//!
//! A job names some pictures with where they lie and where they belong. It is written before the first file is touched; its end, in one
//! transaction, is where the records learn the new places. Items of ended jobs are removed, as a picture that one of them names could
//! not be deleted.

use rusqlite::{OptionalExtension, Row};

use crate::{
    authz::{Permit, acts},
    config::SubfolderStrategy,
    db::{ReadTx, WriteTx},
    domain::ImageName,
};

/// Leave to look after the store.
type Leave = Permit<acts::ManageServer, ()>;
/// Leave to see how it is looked after.
type LeaveToSee = Permit<acts::ReadServer, ()>;

/// A picture that lies elsewhere than new ones like it would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misplaced {
    /// Its name.
    pub image_name: ImageName,
    /// Whether it is a step on the way, whose file may be missing.
    pub is_intermediate: bool,
    /// The subfolder it lies in.
    pub from: String,
    /// The subfolder it belongs in.
    pub to: String,
}

/// A job as its row tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// `planned`, `moving`, `moved`, `committed` or `error`.
    pub state: String,
    /// What went wrong, a line for each picture.
    pub error_message: Option<String>,
}

/// The subfolder of a row of `images` as SQL; the same as the store chooses for a new picture of that time.
fn belongs(strategy: SubfolderStrategy) -> &'static str {
    match strategy {
        SubfolderStrategy::Flat => "''",
        SubfolderStrategy::Date => "REPLACE(SUBSTR(created_at, 1, 10), '-', '/')",
        SubfolderStrategy::Type => "CASE WHEN is_intermediate THEN 'intermediate' ELSE image_category END",
        SubfolderStrategy::Hash => "SUBSTR(image_name, 1, 2)",
    }
}

/// How many pictures lie elsewhere than they belong.
pub fn misplaced_count(tx: &ReadTx<'_>, _leave: &LeaveToSee, strategy: SubfolderStrategy) -> rusqlite::Result<i64> {
    let sql = format!("SELECT COUNT(*) FROM images WHERE image_subfolder <> {}", belongs(strategy));
    tx.sql().prepare_cached(&sql)?.query_row([], |row| row.get(0))
}

/// Some of the pictures that lie elsewhere than they belong, by name, those after a name.
pub fn misplaced(
    tx: &ReadTx<'_>,
    _leave: &Leave,
    strategy: SubfolderStrategy,
    after: &str,
    limit: usize,
) -> rusqlite::Result<Vec<Misplaced>> {
    let belongs = belongs(strategy);
    let sql = format!(
        "SELECT image_name, is_intermediate, image_subfolder, {belongs} FROM images
         WHERE image_name > ?1 AND image_subfolder <> {belongs} ORDER BY image_name LIMIT ?2"
    );
    tx.sql().prepare_cached(&sql)?.query_map((after, limit as i64), item)?.collect()
}

fn item(row: &Row<'_>) -> rusqlite::Result<Misplaced> {
    let name: String = row.get(0)?;
    Ok(Misplaced {
        image_name: ImageName::parse(&name)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))?,
        is_intermediate: row.get(1)?,
        from: row.get(2)?,
        to: row.get(3)?,
    })
}

/// Writes down a job that is about to begin, and returns its number.
pub fn begin(tx: &mut WriteTx<'_>, _leave: &Leave, pictures: &[Misplaced]) -> rusqlite::Result<i64> {
    tx.sql()
        .execute("INSERT INTO image_subfolder_move_jobs (state) VALUES ('moving')", [])?;
    let job = tx.sql().last_insert_rowid();
    let mut add = tx.sql().prepare_cached(
        "INSERT INTO image_subfolder_move_items (job_id, image_name, old_subfolder, new_subfolder, is_intermediate, old_path, new_path,
                                                 old_thumbnail_path, new_thumbnail_path, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'planned')",
    )?;
    for picture in pictures {
        let name = picture.image_name.as_str();
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        add.execute((
            job,
            name,
            &picture.from,
            &picture.to,
            picture.is_intermediate,
            format!("{}/{name}", picture.from),
            format!("{}/{name}", picture.to),
            format!("thumbnails/{}/{stem}.webp", picture.from),
            format!("thumbnails/{}/{stem}.webp", picture.to),
        ))?;
    }
    Ok(job)
}

/// The jobs that have begun and not ended, the first one first.
pub fn unfinished(tx: &ReadTx<'_>) -> rusqlite::Result<Vec<i64>> {
    tx.sql()
        .prepare_cached("SELECT id FROM image_subfolder_move_jobs WHERE state NOT IN ('committed', 'error') ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// What is left to do of a job.
pub fn items(tx: &ReadTx<'_>, _leave: &Leave, job: i64) -> rusqlite::Result<Vec<Misplaced>> {
    tx.sql()
        .prepare_cached(
            "SELECT image_name, is_intermediate, old_subfolder, new_subfolder FROM image_subfolder_move_items
             WHERE job_id = ?1 AND state NOT IN ('committed', 'error') ORDER BY image_name",
        )?
        .query_map([job], item)?
        .collect()
}

/// Ends a job: the records of what was moved name the new places, and what could not be is written down.
pub fn end(tx: &mut WriteTx<'_>, _leave: &Leave, job: i64, moved: &[Misplaced], failed: &[String]) -> rusqlite::Result<()> {
    let mut repoint = tx
        .sql()
        .prepare_cached("UPDATE images SET image_subfolder = ?3 WHERE image_name = ?1 AND image_subfolder = ?2")?;
    for picture in moved {
        repoint.execute((&picture.image_name, &picture.from, &picture.to))?;
    }
    tx.sql()
        .execute("DELETE FROM image_subfolder_move_items WHERE job_id = ?1", [job])?;
    let (state, message) = if failed.is_empty() {
        ("committed", None)
    } else {
        ("error", Some(failed.join("\n")))
    };
    tx.sql().execute(
        "UPDATE image_subfolder_move_jobs SET state = ?2, error_message = ?3 WHERE id = ?1",
        (job, state, message),
    )?;
    Ok(())
}

/// Notes what stopped a job that has not ended.
pub fn note(tx: &mut WriteTx<'_>, _leave: &Leave, job: i64, message: &str) -> rusqlite::Result<()> {
    tx.sql().execute(
        "UPDATE image_subfolder_move_jobs SET error_message = ?2 WHERE id = ?1",
        (job, message),
    )?;
    Ok(())
}

/// The newest job.
pub fn latest(tx: &ReadTx<'_>, _leave: &LeaveToSee) -> rusqlite::Result<Option<Job>> {
    tx.sql()
        .prepare_cached("SELECT id, state, error_message FROM image_subfolder_move_jobs ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| {
            Ok(Job {
                id: row.get(0)?,
                state: row.get(1)?,
                error_message: row.get(2)?,
            })
        })
        .optional()
}
