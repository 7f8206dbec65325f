//! Installed models' records.

use rusqlite::OptionalExtension;

use crate::{
    authz::{Permit, SeesModels, acts},
    db::{ReadTx, WriteTx},
    env::Timestamp,
};

/// The record of this key, as JSON.
pub fn get<A: SeesModels>(tx: &ReadTx<'_>, _leave: &Permit<A, ()>, key: &str) -> rusqlite::Result<Option<String>> {
    tx.sql()
        .prepare_cached("SELECT config FROM models WHERE id = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// What a list of models covers.
#[derive(Debug, Clone, Default)]
pub struct ModelFilter {
    /// Bases; empty for all.
    pub bases: Vec<String>,
    /// Type.
    pub model_type: Option<String>,
    /// Exact name.
    pub name: Option<String>,
    /// Format.
    pub format: Option<String>,
    /// Hash.
    pub hash: Option<String>,
}

/// Columns that a list of models may be ordered by: the name on the wire and the SQL.
pub const ORDERS: &[(&str, &str)] = &[
    ("default", "type, base, name COLLATE NOCASE, format"),
    ("type", "type"),
    ("base", "base"),
    ("name", "name COLLATE NOCASE"),
    ("format", "format"),
    ("size", "file_size"),
    ("created_at", "created_at"),
    ("updated_at", "updated_at"),
    ("path", "path"),
];

/// Records as JSON. `order` is one of [`ORDERS`]' SQL texts.
pub fn list(
    tx: &ReadTx<'_>,
    _leave: &Permit<acts::ReadModels, ()>,
    filter: &ModelFilter,
    order: &'static str,
    descending: bool,
) -> rusqlite::Result<Vec<String>> {
    let direction = if descending { "DESC" } else { "ASC" };
    let order: Vec<String> = order.split(", ").map(|column| format!("{column} {direction}")).collect();
    let sql = format!(
        "SELECT config FROM models
         WHERE (json_array_length(?1) = 0 OR base IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR type = ?2)
           AND (?3 IS NULL OR name = ?3) AND (?4 IS NULL OR format = ?4) AND (?5 IS NULL OR hash = ?5)
         ORDER BY {}, id",
        order.join(", ")
    );
    let bases = serde_json::to_string(&filter.bases).expect("a list of texts is JSON");
    tx.sql()
        .prepare_cached(&sql)?
        .query_map((bases, &filter.model_type, &filter.name, &filter.format, &filter.hash), |row| {
            row.get(0)
        })?
        .collect()
}

/// Adds a record.
pub fn insert(
    tx: &mut WriteTx<'_>,
    _leave: &Permit<acts::ManageModels, ()>,
    key: &str,
    config: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("INSERT INTO models (id, config, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)")?
        .execute((key, config, now.sql()))?;
    Ok(())
}

/// Whether a model lies at this path.
pub fn path_is_taken<A: SeesModels>(tx: &ReadTx<'_>, _leave: &Permit<A, ()>, path: &str) -> rusqlite::Result<bool> {
    tx.sql().prepare_cached("SELECT 1 FROM models WHERE path = ?1")?.exists([path])
}

/// Key of a model that came from this source.
pub fn key_of_source<A: SeesModels>(tx: &ReadTx<'_>, _leave: &Permit<A, ()>, source: &str) -> rusqlite::Result<Option<String>> {
    tx.sql()
        .prepare_cached("SELECT id FROM models WHERE source = ?1")?
        .query_row([source], |row| row.get(0))
        .optional()
}

/// Sources and paths of all models.
pub fn places<A: SeesModels>(tx: &ReadTx<'_>, _leave: &Permit<A, ()>) -> rusqlite::Result<Vec<(String, String)>> {
    tx.sql()
        .prepare_cached("SELECT source, path FROM models")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Replaces a record.
pub fn replace(
    tx: &mut WriteTx<'_>,
    _leave: &Permit<acts::ManageModels, ()>,
    key: &str,
    config: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("UPDATE models SET config = ?2, updated_at = ?3 WHERE id = ?1")?
        .execute((key, config, now.sql()))?;
    Ok(())
}

/// Deletes a record; false if there was none.
pub fn delete(tx: &mut WriteTx<'_>, _leave: &Permit<acts::ManageModels, ()>, key: &str) -> rusqlite::Result<bool> {
    Ok(tx.sql().prepare_cached("DELETE FROM models WHERE id = ?1")?.execute([key])? > 0)
}

/// Relates two models, in either order once.
pub fn relate(
    tx: &mut WriteTx<'_>,
    _leave: &Permit<acts::ManageModels, ()>,
    one: &str,
    other: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    tx.sql()
        .prepare_cached("INSERT OR IGNORE INTO model_relationships (model_key_1, model_key_2, created_at) VALUES (?1, ?2, ?3)")?
        .execute((first, second, now.sql()))?;
    Ok(())
}

/// Ends the relation of two models.
pub fn unrelate(tx: &mut WriteTx<'_>, _leave: &Permit<acts::ManageModels, ()>, one: &str, other: &str) -> rusqlite::Result<()> {
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    tx.sql()
        .prepare_cached("DELETE FROM model_relationships WHERE model_key_1 = ?1 AND model_key_2 = ?2")?
        .execute((first, second))?;
    Ok(())
}

/// Keys of the models related to any of these.
pub fn related(tx: &ReadTx<'_>, _leave: &Permit<acts::ReadModels, ()>, keys: &[String]) -> rusqlite::Result<Vec<String>> {
    let keys = serde_json::to_string(keys).expect("a list of texts is JSON");
    tx.sql()
        .prepare_cached(
            "SELECT model_key_2 FROM model_relationships WHERE model_key_1 IN (SELECT value FROM json_each(?1))
             UNION SELECT model_key_1 FROM model_relationships WHERE model_key_2 IN (SELECT value FROM json_each(?1))",
        )?
        .query_map([keys], |row| row.get(0))?
        .collect()
}
