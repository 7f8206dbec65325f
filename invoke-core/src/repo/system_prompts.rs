//! System prompts' records.

use rusqlite::{OptionalExtension, Row};

use crate::{
    authz::{Permit, Scope, Sealed, acts},
    db::{ReadTx, WriteTx},
    domain::library::SystemPrompt,
    env::Timestamp,
};

const COLUMNS: &str = "id, user_id, is_public, name, content, created_at, updated_at";

fn prompt(row: &Row<'_>) -> rusqlite::Result<SystemPrompt> {
    let time = |text: String| Timestamp::parse(&text).unwrap_or(Timestamp::from_millis(0));
    Ok(SystemPrompt {
        id: row.get(0)?,
        user_id: row.get(1)?,
        is_public: row.get(2)?,
        name: row.get(3)?,
        content: row.get(4)?,
        created_at: time(row.get(5)?),
        updated_at: time(row.get(6)?),
    })
}

/// This prompt, sealed.
pub fn find(tx: &ReadTx<'_>, id: &str) -> rusqlite::Result<Sealed<SystemPrompt>> {
    let sql = format!("SELECT {COLUMNS} FROM system_prompts WHERE id = ?1");
    Ok(tx.seal(tx.sql().prepare_cached(&sql)?.query_row([id], prompt).optional()?))
}

/// Prompts in a scope and those that others share, by name.
pub fn list(tx: &ReadTx<'_>, scope: &Scope) -> rusqlite::Result<Vec<SystemPrompt>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM system_prompts WHERE (?1 IS NULL OR user_id = ?1 OR is_public) AND ?1 IS NOT char(0) ORDER BY LOWER(name), rowid"
    );
    tx.sql()
        .prepare_cached(&sql)?
        .query_map([scope.owner_parameter()], prompt)?
        .collect()
}

/// Adds a prompt.
pub fn insert(tx: &mut WriteTx<'_>, _leave: &Permit<acts::UseServer, ()>, new: &SystemPrompt) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "INSERT INTO system_prompts (id, user_id, is_public, name, content, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((&new.id, &new.user_id, new.is_public, &new.name, &new.content, new.created_at.sql(), new.updated_at.sql()))?;
    Ok(())
}

/// What changes of a prompt; `None` leaves a thing as it is.
#[derive(Debug, Clone, Default)]
pub struct Changes<'a> {
    /// Name.
    pub name: Option<&'a str>,
    /// The instruction.
    pub content: Option<&'a str>,
    /// Whether everybody may see it.
    pub is_public: Option<bool>,
}

/// Changes a prompt.
pub fn update(
    tx: &mut WriteTx<'_>,
    prompt: &Permit<acts::UpdateSystemPrompt, SystemPrompt>,
    changes: &Changes<'_>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "UPDATE system_prompts SET name = COALESCE(?2, name), content = COALESCE(?3, content), is_public = COALESCE(?4, is_public),
                    updated_at = ?5 WHERE id = ?1",
        )?
        .execute((&prompt.id, changes.name, changes.content, changes.is_public, now.sql()))?;
    Ok(())
}

/// Deletes a prompt.
pub fn delete(tx: &mut WriteTx<'_>, prompt: &Permit<acts::DeleteSystemPrompt, SystemPrompt>) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("DELETE FROM system_prompts WHERE id = ?1")?
        .execute([&prompt.id])?;
    Ok(())
}
