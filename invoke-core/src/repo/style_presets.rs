//! Style presets' records.

use rusqlite::{OptionalExtension, Row};
use serde_json::{Value, json};

use crate::{
    authz::{Permit, Scope, Sealed, acts},
    db::{ReadTx, WriteTx},
    domain::{
        UserId,
        library::{Origin, StylePreset},
    },
    env::Timestamp,
};

const COLUMNS: &str = "id, user_id, is_public, type, name, preset_data";

fn preset(row: &Row<'_>) -> rusqlite::Result<StylePreset> {
    let data: Value = serde_json::from_str(&row.get::<_, String>(5)?).unwrap_or_default();
    let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
    Ok(StylePreset {
        id: row.get(0)?,
        user_id: row.get::<_, Option<UserId>>(1)?.unwrap_or_else(UserId::system),
        is_public: row.get(2)?,
        origin: if row.get::<_, String>(3)? == Origin::Default.as_str() {
            Origin::Default
        } else {
            Origin::User
        },
        name: row.get(4)?,
        positive_prompt: text("positive_prompt"),
        negative_prompt: text("negative_prompt"),
    })
}

fn data(preset: &StylePreset) -> String {
    json!({"positive_prompt": preset.positive_prompt, "negative_prompt": preset.negative_prompt}).to_string()
}

/// This preset, sealed.
pub fn find(tx: &ReadTx<'_>, id: &str) -> rusqlite::Result<Sealed<StylePreset>> {
    let sql = format!("SELECT {COLUMNS} FROM style_presets WHERE id = ?1");
    Ok(tx.seal(tx.sql().prepare_cached(&sql)?.query_row([id], preset).optional()?))
}

/// Whether a preset ships with the program.
pub fn is_default(tx: &ReadTx<'_>, id: &str) -> rusqlite::Result<bool> {
    tx.sql()
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM style_presets WHERE id = ?1 AND type = 'default')")?
        .query_row([id], |row| row.get(0))
}

/// Presets in a scope, those that others share and those that ship with the program, by name.
pub fn list(tx: &ReadTx<'_>, scope: &Scope) -> rusqlite::Result<Vec<StylePreset>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM style_presets
         WHERE (?1 IS NULL OR user_id = ?1 OR is_public OR type = 'default') AND ?1 IS NOT char(0) ORDER BY LOWER(name), rowid"
    );
    tx.sql()
        .prepare_cached(&sql)?
        .query_map([scope.owner_parameter()], preset)?
        .collect()
}

/// All presets that people made, by name.
pub fn made_by_people(tx: &ReadTx<'_>, _leave: &Permit<acts::ReadServer, ()>) -> rusqlite::Result<Vec<StylePreset>> {
    let sql = format!("SELECT {COLUMNS} FROM style_presets WHERE type = 'user' ORDER BY LOWER(name), rowid");
    tx.sql().prepare_cached(&sql)?.query_map([], preset)?.collect()
}

/// Adds a preset.
pub fn insert(tx: &mut WriteTx<'_>, _leave: &Permit<acts::UseServer, ()>, new: &StylePreset, now: Timestamp) -> rusqlite::Result<()> {
    put(tx, new, now)
}

fn put(tx: &mut WriteTx<'_>, new: &StylePreset, now: Timestamp) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "INSERT INTO style_presets (id, user_id, is_public, type, name, preset_data, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
        )?
        .execute((
            &new.id,
            &new.user_id,
            new.is_public,
            new.origin.as_str(),
            &new.name,
            data(new),
            now.sql(),
        ))?;
    Ok(())
}

/// Overwrites name, templates and sharing of a preset.
pub fn update(
    tx: &mut WriteTx<'_>,
    preset: &Permit<acts::UpdateStylePreset, StylePreset>,
    to: &StylePreset,
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("UPDATE style_presets SET name = ?2, preset_data = ?3, is_public = ?4, updated_at = ?5 WHERE id = ?1")?
        .execute((&preset.id, &to.name, data(to), to.is_public, now.sql()))?;
    Ok(())
}

/// Deletes a preset.
pub fn delete(tx: &mut WriteTx<'_>, preset: &Permit<acts::UpdateStylePreset, StylePreset>) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("DELETE FROM style_presets WHERE id = ?1")?
        .execute([&preset.id])?;
    Ok(())
}

/// Replaces all presets that ship with the program.
pub fn replace_shipped(tx: &mut WriteTx<'_>, presets: &[StylePreset], now: Timestamp) -> rusqlite::Result<()> {
    tx.sql().execute("DELETE FROM style_presets WHERE type = 'default'", [])?;
    presets.iter().try_for_each(|preset| put(tx, preset, now))
}
