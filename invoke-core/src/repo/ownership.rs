//! Everything that an account owns, taken together: handing it to another account, or removing it.

use rusqlite::Row;

use super::queue;
use crate::{
    authz::{Permit, acts},
    db::{ReadTx, WriteTx},
    domain::{ImageName, user::User},
};

/// A table whose rows have an owner.
struct Owned {
    table: &'static str,
    /// How its rows are called.
    name: &'static str,
    /// Which rows count: what ships with the program is nobody's, though `system` stands in its rows.
    rows: &'static str,
}

const fn owned(table: &'static str, name: &'static str, rows: &'static str) -> Owned {
    Owned { table, name, rows }
}

const OWNED: &[Owned] = &[
    owned("images", "images", "TRUE"),
    owned("videos", "videos", "TRUE"),
    owned("boards", "boards", "TRUE"),
    owned("workflow_library", "workflows", "category <> 'default'"),
    owned("style_presets", "style_presets", "type <> 'default'"),
    owned("system_prompts", "system_prompts", "TRUE"),
    owned("session_queue", "queue_items", "TRUE"),
];

/// How many things of each kind.
pub type Counts = Vec<(&'static str, usize)>;

/// Counts what an account owns.
pub fn count(tx: &ReadTx<'_>, of: &Permit<acts::ManageUsers, User>) -> rusqlite::Result<Counts> {
    let count = |Owned { table, rows, .. }: &Owned| {
        tx.sql()
            .prepare_cached(&format!("SELECT COUNT(*) FROM {table} WHERE user_id = ?1 AND {rows}"))?
            .query_row([&of.user_id], |row| row.get(0))
    };
    OWNED.iter().map(|owned| Ok((owned.name, count(owned)?))).collect()
}

/// Hands everything from one account to another.
pub fn transfer(
    tx: &mut WriteTx<'_>,
    from: &Permit<acts::ManageUsers, User>,
    to: &Permit<acts::ManageUsers, User>,
) -> rusqlite::Result<Counts> {
    let mut counts = Counts::new();
    for &Owned { table, name, rows } in OWNED {
        let n = if table == "session_queue" {
            queue::hand_over(tx, &from.user_id, &to.user_id)?
        } else {
            let sql = format!("UPDATE {table} SET user_id = ?2 WHERE user_id = ?1 AND {rows}");
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

/// Removes everything but pictures; what runs at this moment is asked to end once the account is gone. Other people's pictures on the account's boards lose their board.
pub fn remove_all_but_images(tx: &mut WriteTx<'_>, of: &Permit<acts::ManageUsers, User>) -> rusqlite::Result<Counts> {
    let mut counts = Counts::new();
    for &Owned { table, name, rows } in OWNED.iter().filter(|owned| owned.table != "images") {
        let sql = format!("DELETE FROM {table} WHERE user_id = ?1 AND {rows}");
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
