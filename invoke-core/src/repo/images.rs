//! Images' records.

use rusqlite::{OptionalExtension, Row};

use crate::{
    authz::{Permit, Sealed, acts},
    db::{ReadTx, WriteTx},
    domain::{
        ImageName, SessionId, UserId,
        image::{Image, ImageCategory, ImageChanges, ImageOrigin},
    },
    env::Timestamp,
};

/// What a row of [`FROM`] is read from.
const IMAGE: &str =
    "i.image_name, i.user_id, i.image_origin, i.image_category, i.width, i.height, i.created_at, i.updated_at, i.is_intermediate,
    i.session_id, i.node_id, i.starred, i.has_workflow, i.image_subfolder, b.board_id, b.board_visibility, b.user_id";
const FROM: &str = "images i LEFT JOIN boards b ON b.board_id = i.gallery_board";

fn parsed<T: std::str::FromStr<Err = String>>(index: usize, text: &str) -> rusqlite::Result<T> {
    text.parse()
        .map_err(|error: String| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, error.into()))
}

fn timestamp(row: &Row<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    let text: String = row.get(index)?;
    Ok(Timestamp::parse(&text).unwrap_or(Timestamp::from_millis(0)))
}

fn image(row: &Row<'_>) -> rusqlite::Result<Image> {
    let name: String = row.get(0)?;
    let visibility: Option<String> = row.get(15)?;
    Ok(Image {
        image_name: ImageName::parse(&name)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))?,
        user_id: row.get::<_, Option<UserId>>(1)?.unwrap_or_else(UserId::system),
        origin: parsed(2, &row.get::<_, String>(2)?)?,
        category: parsed(3, &row.get::<_, String>(3)?)?,
        width: row.get(4)?,
        height: row.get(5)?,
        created_at: timestamp(row, 6)?,
        updated_at: timestamp(row, 7)?,
        is_intermediate: row.get(8)?,
        session_id: row.get(9)?,
        node_id: row.get(10)?,
        starred: row.get(11)?,
        has_workflow: row.get(12)?,
        image_subfolder: row.get(13)?,
        board_id: row.get(14)?,
        board_visibility: visibility.map(|text| parsed(15, &text)).transpose()?,
        board_owner: row.get(16)?,
    })
}

/// The image of this name, sealed.
pub fn find(tx: &ReadTx<'_>, name: &ImageName) -> rusqlite::Result<Sealed<Image>> {
    let found = tx
        .sql()
        .prepare_cached(&format!("SELECT {IMAGE} FROM {FROM} WHERE i.image_name = ?1"))?
        .query_row([name], image)
        .optional()?;
    Ok(tx.seal(found))
}

fn rows(tx: &ReadTx<'_>, names: &[ImageName]) -> rusqlite::Result<Vec<Image>> {
    let list = serde_json::to_string(names).expect("names are JSON texts");
    tx.sql()
        .prepare_cached(&format!(
            "SELECT {IMAGE} FROM json_each(?1) n CROSS JOIN {FROM} WHERE i.image_name = n.value ORDER BY n.key"
        ))?
        .query_map([list], image)?
        .collect()
}

/// The images of these names that exist, in the order of the names, sealed.
pub fn find_many(tx: &ReadTx<'_>, names: &[ImageName]) -> rusqlite::Result<Vec<Sealed<Image>>> {
    Ok(rows(tx, names)?.into_iter().map(|image| tx.seal(Some(image))).collect())
}

/// The images that a list within some scope has named.
pub(super) fn listed(tx: &ReadTx<'_>, names: &[ImageName]) -> rusqlite::Result<Vec<Image>> {
    rows(tx, names)
}

/// An image's metadata as the JSON text it was stored with.
pub fn metadata(tx: &ReadTx<'_>, image: &Permit<acts::ReadImage, Image>) -> rusqlite::Result<Option<String>> {
    tx.sql()
        .prepare_cached("SELECT metadata FROM images WHERE image_name = ?1")?
        .query_row([&image.image_name], |row| row.get(0))
}

/// A new image's record.
pub struct NewImage<'a> {
    /// Its name.
    pub image_name: &'a ImageName,
    /// Its owner.
    pub user_id: &'a UserId,
    /// Made here or uploaded.
    pub origin: ImageOrigin,
    /// What it is for.
    pub category: ImageCategory,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// A step on the way.
    pub is_intermediate: bool,
    /// The session that made it.
    pub session_id: Option<&'a SessionId>,
    /// The execution node that made it.
    pub node_id: Option<&'a str>,
    /// Its metadata as JSON.
    pub metadata: Option<&'a str>,
    /// Whether a workflow or graph is embedded.
    pub has_workflow: bool,
    /// Folder below the image folder.
    pub image_subfolder: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// Adds a record.
pub fn insert(tx: &mut WriteTx<'_>, _leave: &Permit<acts::UseServer, ()>, new: &NewImage<'_>) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "INSERT INTO images (image_name, image_origin, image_category, width, height, session_id, node_id, metadata, is_intermediate,
                                 created_at, updated_at, has_workflow, user_id, image_subfolder)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, ?11, ?12, ?13)",
        )?
        .execute(rusqlite::params![
            new.image_name,
            new.origin.as_str(),
            new.category.as_str(),
            new.width,
            new.height,
            new.session_id,
            new.node_id,
            new.metadata,
            new.is_intermediate,
            new.now.sql(),
            new.has_workflow,
            new.user_id,
            new.image_subfolder,
        ])?;
    Ok(())
}

/// Changes a record; what is `None` stays.
pub fn update(
    tx: &mut WriteTx<'_>,
    image: &Permit<acts::UpdateImage, Image>,
    changes: &ImageChanges,
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "UPDATE images SET image_category = COALESCE(?2, image_category), session_id = COALESCE(?3, session_id),
                    is_intermediate = COALESCE(?4, is_intermediate), starred = COALESCE(?5, starred), updated_at = ?6
             WHERE image_name = ?1",
        )?
        .execute(rusqlite::params![
            image.image_name,
            changes.image_category.map(ImageCategory::as_str),
            changes.session_id,
            changes.is_intermediate,
            changes.starred,
            now.sql(),
        ])?;
    Ok(())
}

/// Deletes a record.
pub fn delete(tx: &mut WriteTx<'_>, image: &Permit<acts::UpdateImage, Image>) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("DELETE FROM images WHERE image_name = ?1")?
        .execute([&image.image_name])?;
    Ok(())
}

/// Whether an image of this name has a record; for putting the files right after a crash.
pub fn exists(tx: &ReadTx<'_>, name: &ImageName) -> rusqlite::Result<bool> {
    tx.sql()
        .prepare_cached("SELECT 1 FROM images WHERE image_name = ?1")?
        .exists([name])
}
