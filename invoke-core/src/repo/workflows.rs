//! Workflows' records.

use rusqlite::{OptionalExtension, Row, types::Value as Sql};

use crate::{
    authz::{Permit, Scope, Sealed, acts},
    db::{ReadTx, WriteTx},
    domain::{
        UserId,
        library::{Origin, Workflow},
        page::Direction,
    },
    env::Timestamp,
};

const COLUMNS: &str = "workflow_id, user_id, is_public, category, name, description, tags, created_at, updated_at, opened_at, workflow";

fn workflow(row: &Row<'_>) -> rusqlite::Result<Workflow> {
    Ok(Workflow {
        workflow_id: row.get(0)?,
        user_id: row.get::<_, Option<UserId>>(1)?.unwrap_or_else(UserId::system),
        is_public: row.get(2)?,
        category: if row.get::<_, String>(3)? == Origin::Default.as_str() {
            Origin::Default
        } else {
            Origin::User
        },
        name: row.get(4)?,
        description: row.get(5)?,
        tags: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
        created_at: row.get(7)?,
        updated_at: row.get(8)?,
        opened_at: row.get(9)?,
        document: serde_json::from_str(&row.get::<_, String>(10)?).unwrap_or_default(),
    })
}

/// This workflow, sealed.
pub fn find(tx: &ReadTx<'_>, workflow_id: &str) -> rusqlite::Result<Sealed<Workflow>> {
    let sql = format!("SELECT {COLUMNS} FROM workflow_library WHERE workflow_id = ?1");
    Ok(tx.seal(tx.sql().prepare_cached(&sql)?.query_row([workflow_id], workflow).optional()?))
}

/// Which workflows a list covers.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Own or shipped; empty for both.
    pub categories: Vec<Origin>,
    /// Texts of which one at least is found among the tags; empty for all.
    pub tags: Vec<String>,
    /// A text found in name, description or tags.
    pub query: Option<String>,
    /// Opened before, or never.
    pub has_been_opened: Option<bool>,
    /// Everybody's to see, or not.
    pub is_public: Option<bool>,
}

/// Columns by which a list may be ordered.
pub const ORDERS: &[&str] = &["name", "created_at", "updated_at", "opened_at", "is_public"];

/// Conditions and their parameters. A regular user's list of their own workflows shows what ships with the program as well; a list of what is
/// everybody's, or only of what ships, is the same for all.
fn conditions(scope: &Scope, filter: &Filter) -> (String, Vec<Sql>) {
    let mut parts: Vec<String> = vec!["1".into()];
    let mut values: Vec<Sql> = Vec::new();
    let mut bound = |value: Sql| {
        values.push(value);
        format!("?{}", values.len())
    };
    // The signs of patterns mean in a text what they mean in SQL.
    let like = |text: &str| Sql::Text(format!("%{text}%"));
    let covers_own = filter.categories.is_empty() || filter.categories.contains(&Origin::User);
    match scope {
        Scope::Nothing => parts.push("0".into()),
        Scope::Own(user_id) if covers_own && filter.is_public != Some(true) => {
            let owner = bound(Sql::Text(user_id.to_string()));
            parts.push(format!("(user_id = {owner} OR category = 'default')"));
        }
        Scope::All | Scope::Own(_) => {}
    }
    if !filter.categories.is_empty() {
        let names: Vec<String> = filter
            .categories
            .iter()
            .map(|category| bound(Sql::Text(category.to_string())))
            .collect();
        parts.push(format!("category IN ({})", names.join(", ")));
    }
    if !filter.tags.is_empty() {
        let found: Vec<String> = filter
            .tags
            .iter()
            .map(|tag| format!("tags LIKE {}", bound(like(tag.trim()))))
            .collect();
        parts.push(format!("({})", found.join(" OR ")));
    }
    if let Some(query) = filter.query.as_deref().map(str::trim).filter(|query| !query.is_empty()) {
        let text = bound(like(query));
        parts.push(format!("(name LIKE {text} OR description LIKE {text} OR tags LIKE {text})"));
    }
    if let Some(opened) = filter.has_been_opened {
        parts.push(if opened {
            "opened_at IS NOT NULL".into()
        } else {
            "opened_at IS NULL".into()
        });
    }
    if let Some(is_public) = filter.is_public {
        parts.push(format!("is_public = {}", bound(Sql::Integer(i64::from(is_public)))));
    }
    (parts.join(" AND "), values)
}

/// How many a list has.
pub fn count(tx: &ReadTx<'_>, scope: &Scope, filter: &Filter) -> rusqlite::Result<i64> {
    let (conditions, values) = conditions(scope, filter);
    let sql = format!("SELECT COUNT(*) FROM workflow_library WHERE {conditions}");
    tx.sql()
        .prepare_cached(&sql)?
        .query_row(rusqlite::params_from_iter(values), |row| row.get(0))
}

/// One window of a list. `order` is one of [`ORDERS`]; a negative limit is none.
pub fn list(
    tx: &ReadTx<'_>,
    scope: &Scope,
    filter: &Filter,
    order: &str,
    direction: Direction,
    offset: i64,
    limit: i64,
) -> rusqlite::Result<Vec<Workflow>> {
    let (conditions, mut values) = conditions(scope, filter);
    let order = ORDERS.iter().find(|known| **known == order).unwrap_or(&ORDERS[0]);
    let n = values.len();
    values.extend([Sql::Integer(limit), Sql::Integer(offset)]);
    let direction = direction.sql();
    let sql = format!(
        "SELECT {COLUMNS} FROM workflow_library WHERE {conditions} ORDER BY {order} {direction}, rowid LIMIT ?{} OFFSET ?{}",
        n + 1,
        n + 2
    );
    tx.sql()
        .prepare_cached(&sql)?
        .query_map(rusqlite::params_from_iter(values), workflow)?
        .collect()
}

/// The tag texts of a list.
pub fn tag_texts(tx: &ReadTx<'_>, scope: &Scope, filter: &Filter) -> rusqlite::Result<Vec<String>> {
    let (conditions, values) = conditions(scope, filter);
    let sql = format!("SELECT DISTINCT tags FROM workflow_library WHERE {conditions} AND tags <> ''");
    tx.sql()
        .prepare_cached(&sql)?
        .query_map(rusqlite::params_from_iter(values), |row| row.get(0))?
        .collect()
}

/// A workflow to be added.
#[derive(Debug)]
pub struct NewWorkflow<'a> {
    /// Identifier.
    pub workflow_id: &'a str,
    /// Its owner.
    pub user_id: &'a UserId,
    /// Whether everybody may see it.
    pub is_public: bool,
    /// The document.
    pub document: &'a str,
    /// When.
    pub now: Timestamp,
}

/// Adds a workflow.
pub fn insert(tx: &mut WriteTx<'_>, _leave: &Permit<acts::UseServer, ()>, new: &NewWorkflow<'_>) -> rusqlite::Result<()> {
    put(tx, new)
}

fn put(tx: &mut WriteTx<'_>, new: &NewWorkflow<'_>) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "INSERT INTO workflow_library (workflow_id, user_id, is_public, workflow, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        )?
        .execute((new.workflow_id, new.user_id, new.is_public, new.document, new.now.sql()))?;
    Ok(())
}

/// Replaces a workflow's document, and whether everybody may see it.
pub fn update(
    tx: &mut WriteTx<'_>,
    workflow: &Permit<acts::UpdateWorkflow, Workflow>,
    document: &str,
    is_public: bool,
) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("UPDATE workflow_library SET workflow = ?2, is_public = ?3 WHERE workflow_id = ?1 AND category <> 'default'")?
        .execute((&workflow.workflow_id, document, is_public))?;
    Ok(())
}

/// Notes that a workflow was opened.
pub fn set_opened(tx: &mut WriteTx<'_>, workflow: &Permit<acts::OpenWorkflow, Workflow>, now: Timestamp) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("UPDATE workflow_library SET opened_at = ?2 WHERE workflow_id = ?1")?
        .execute((&workflow.workflow_id, now.sql()))?;
    Ok(())
}

/// Deletes a workflow.
pub fn delete(tx: &mut WriteTx<'_>, workflow: &Permit<acts::DeleteWorkflow, Workflow>) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("DELETE FROM workflow_library WHERE workflow_id = ?1")?
        .execute([&workflow.workflow_id])?;
    Ok(())
}

/// Brings the workflows that ship with the program up to date: adds new ones, replaces changed ones, removes those that no longer ship.
pub fn sync_shipped(tx: &mut WriteTx<'_>, shipped: &[(&str, &str)], now: Timestamp) -> rusqlite::Result<()> {
    let present: Vec<(String, String)> = tx
        .sql()
        .prepare("SELECT workflow_id, workflow FROM workflow_library WHERE category = 'default'")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (id, document) in &present {
        match shipped.iter().find(|(shipped_id, _)| shipped_id == id) {
            Some((_, text)) if text == document => {}
            Some((_, text)) => drop(
                tx.sql()
                    .execute("UPDATE workflow_library SET workflow = ?2 WHERE workflow_id = ?1", (id, text))?,
            ),
            None => drop(tx.sql().execute("DELETE FROM workflow_library WHERE workflow_id = ?1", [id])?),
        }
    }
    for (id, document) in shipped.iter().filter(|(id, _)| !present.iter().any(|(known, _)| known == id)) {
        put(
            tx,
            &NewWorkflow {
                workflow_id: id,
                user_id: &UserId::system(),
                is_public: false,
                document,
                now,
            },
        )?;
    }
    Ok(())
}
