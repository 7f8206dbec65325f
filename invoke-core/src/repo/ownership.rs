//! Everything that an account owns, taken together: handing it to another account, or removing it.

use rusqlite::Row;

use super::queue;
use crate::{
    authz::{Permit, acts},
    db::{ReadTx, WriteTx},
    domain::{ImageName, user::User},
};

/// Tables whose rows have an owner, and how their rows are called.
const OWNED: &[(&str, &str)] = &[
    ("images", "images"),
    ("videos", "videos"),
    ("boards", "boards"),
    ("workflow_library", "workflows"),
    ("style_presets", "style_presets"),
    ("system_prompts", "system_prompts"),
    ("session_queue", "queue_items"),
];

/// How many things of each kind.
pub type Counts = Vec<(&'static str, usize)>;

/// Counts what an account owns.
pub fn count(tx: &ReadTx<'_>, of: &Permit<acts::ManageUsers, User>) -> rusqlite::Result<Counts> {
    let rows = |table: &str| {
        tx.sql()
            .prepare_cached(&format!("SELECT COUNT(*) FROM {table} WHERE user_id = ?1"))?
            .query_row([&of.user_id], |row| row.get(0))
    };
    OWNED.iter().map(|&(table, name)| Ok((name, rows(table)?))).collect()
}

/// Hands everything from one account to another.
pub fn transfer(
    tx: &mut WriteTx<'_>,
    from: &Permit<acts::ManageUsers, User>,
    to: &Permit<acts::ManageUsers, User>,
) -> rusqlite::Result<Counts> {
    let mut counts = Counts::new();
    for &(table, name) in OWNED {
        let n = if table == "session_queue" {
            queue::hand_over(tx, &from.user_id, &to.user_id)?
        } else {
            let sql = format!("UPDATE {table} SET user_id = ?2 WHERE user_id = ?1");
            tx.sql().prepare_cached(&sql)?.execute((&from.user_id, &to.user_id))?
        };
        counts.push((name, n));
    }
    Ok(counts)
}

/// The names and folders of an account's pictures.
pub fn images(tx: &ReadTx<'_>, of: &Permit<acts::ManageUsers, User>) -> rusqlite::Result<Vec<(ImageName, String)>> {
    let image = |row: &Row<'_>| {
        let name: String = row.get(0)?;
        let name = ImageName::parse(&name)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))?;
        Ok((name, row.get(1)?))
    };
    tx.sql()
        .prepare_cached("SELECT image_name, image_subfolder FROM images WHERE user_id = ?1 ORDER BY image_name")?
        .query_map([&of.user_id], image)?
        .collect()
}

/// Identifiers of an account's workflows and of its style presets, beside which small pictures lie.
pub fn with_small_pictures(tx: &ReadTx<'_>, of: &Permit<acts::ManageUsers, User>) -> rusqlite::Result<(Vec<String>, Vec<String>)> {
    let ids =
        |sql| -> rusqlite::Result<Vec<String>> { tx.sql().prepare_cached(sql)?.query_map([&of.user_id], |row| row.get(0))?.collect() };
    Ok((
        ids("SELECT workflow_id FROM workflow_library WHERE user_id = ?1")?,
        ids("SELECT id FROM style_presets WHERE user_id = ?1")?,
    ))
}

/// Removes everything but pictures and what runs at this moment. Other people's pictures on the account's boards lose their board.
pub fn remove_all_but_images(tx: &mut WriteTx<'_>, of: &Permit<acts::ManageUsers, User>) -> rusqlite::Result<Counts> {
    let mut counts = Counts::new();
    for &(table, name) in OWNED.iter().filter(|(table, _)| *table != "images") {
        let but = if table == "session_queue" {
            " AND status <> 'in_progress'"
        } else {
            ""
        };
        let sql = format!("DELETE FROM {table} WHERE user_id = ?1{but}");
        counts.push((name, tx.sql().prepare_cached(&sql)?.execute([&of.user_id])?));
    }
    Ok(counts)
}

/// Removes the records of these pictures, as far as the account owns them.
pub fn remove_images(tx: &mut WriteTx<'_>, of: &Permit<acts::ManageUsers, User>, names: &[ImageName]) -> rusqlite::Result<usize> {
    let list = serde_json::to_string(names).expect("names are JSON texts");
    tx.sql()
        .prepare_cached("DELETE FROM images WHERE user_id = ?1 AND image_name IN (SELECT value FROM json_each(?2))")?
        .execute((&of.user_id, list))
}
