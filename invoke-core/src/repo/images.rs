//! Images' records.

use rusqlite::{OptionalExtension, Row, ToSql};

use crate::{
    authz::{Permit, Scope, Sealed, acts},
    db::{ReadTx, WriteTx},
    domain::{
        BoardId, ImageName, SessionId, UserId,
        image::{Image, ImageCategory, ImageOrigin},
        page::Direction,
    },
    env::Timestamp,
};

const IMAGE: &str = "i.image_name, i.user_id, i.image_origin, i.image_category, i.width, i.height, i.created_at, i.updated_at, i.is_intermediate,
    i.session_id, i.node_id, i.starred, i.has_workflow, i.image_subfolder, b.board_id, b.board_visibility, b.user_id";
const FROM: &str = "images i LEFT JOIN board_images bi ON bi.image_name = i.image_name LEFT JOIN boards b ON b.board_id = bi.board_id";

fn parsed<T: std::str::FromStr<Err = String>>(index: usize, text: &str) -> rusqlite::Result<T> {
    text.parse().map_err(|error: String| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, error.into()))
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
    let found =
        tx.sql().prepare_cached(&format!("SELECT {IMAGE} FROM {FROM} WHERE i.image_name = ?1"))?.query_row([name], image).optional()?;
    Ok(Sealed::new(found))
}

/// Whether there is a record of this name: for the store's own recovery, before anybody can ask for anything.
pub fn exists(tx: &ReadTx<'_>, name: &ImageName) -> rusqlite::Result<bool> {
    tx.sql().prepare_cached("SELECT 1 FROM images WHERE image_name = ?1")?.exists([name])
}

/// An image's metadata as the JSON text it was stored with.
pub fn metadata(tx: &ReadTx<'_>, image: &Permit<acts::ReadImage, Image>) -> rusqlite::Result<Option<String>> {
    tx.sql().prepare_cached("SELECT metadata FROM images WHERE image_name = ?1")?.query_row([&image.image_name], |row| row.get(0))
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

/// Takes back a record whose file could not be stored.
pub fn remove_unstored(tx: &mut WriteTx<'_>, _leave: &Permit<acts::UseServer, ()>, name: &ImageName) -> rusqlite::Result<()> {
    tx.sql().prepare_cached("DELETE FROM images WHERE image_name = ?1")?.execute([name])?;
    Ok(())
}

/// Which board's images a list covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnBoard {
    /// Any.
    Any,
    /// None: the uncategorised ones.
    None,
    /// This one.
    Board(BoardId),
}

/// What a list of images covers.
#[derive(Debug, Clone)]
pub struct ImageFilter {
    /// Made here or uploaded.
    pub origin: Option<ImageOrigin>,
    /// What they are for; empty for everything.
    pub categories: Vec<ImageCategory>,
    /// Only steps on the way, or none of them.
    pub is_intermediate: Option<bool>,
    /// On which board.
    pub board: OnBoard,
    /// A text in the metadata or the date.
    pub search_term: Option<String>,
    /// Marked ones first.
    pub starred_first: bool,
    /// By time of creation.
    pub direction: Direction,
}

struct Query {
    condition: String,
    parameters: Vec<Box<dyn ToSql>>,
}

fn query(scope: &Scope, filter: &ImageFilter) -> Query {
    let mut q = Query { condition: "TRUE".into(), parameters: Vec::new() };
    let mut and = |condition: &str, parameter: Option<Box<dyn ToSql>>| {
        q.condition.push_str(" AND ");
        if let Some(parameter) = parameter {
            q.parameters.push(parameter);
            q.condition.push_str(&condition.replace("?#", &format!("?{}", q.parameters.len())));
        } else {
            q.condition.push_str(condition);
        }
    };
    if let Some(owner) = scope.owner_parameter() {
        and("i.user_id = ?#", Some(Box::new(owner.to_owned())));
    }
    if let Some(origin) = filter.origin {
        and("i.image_origin = ?#", Some(Box::new(origin.as_str())));
    }
    if !filter.categories.is_empty() {
        let list = serde_json::to_string(&filter.categories).expect("categories are JSON texts");
        and("i.image_category IN (SELECT value FROM json_each(?#))", Some(Box::new(list)));
    }
    if let Some(is_intermediate) = filter.is_intermediate {
        and("i.is_intermediate = ?#", Some(Box::new(is_intermediate)));
    }
    match &filter.board {
        OnBoard::Any => {}
        OnBoard::None => and("bi.board_id IS NULL", None),
        OnBoard::Board(board) => and("bi.board_id = ?#", Some(Box::new(board.clone()))),
    }
    if let Some(term) = filter.search_term.as_deref().filter(|term| !term.is_empty()) {
        let pattern = format!("%{}%", term.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"));
        and("(i.metadata LIKE ?# ESCAPE '\\' OR i.created_at LIKE ?# ESCAPE '\\')", Some(Box::new(pattern)));
    }
    q
}

fn order(filter: &ImageFilter) -> String {
    let starred = if filter.starred_first { "i.starred DESC, " } else { "" };
    let direction = filter.direction.sql();
    format!("{starred}i.created_at {direction}, i.image_name {direction}")
}

/// One window of a list, and the length of the whole.
pub fn page(tx: &ReadTx<'_>, scope: &Scope, filter: &ImageFilter, offset: i64, limit: i64) -> rusqlite::Result<(Vec<Image>, i64)> {
    let q = query(scope, filter);
    let parameters: Vec<&dyn ToSql> = q.parameters.iter().map(AsRef::as_ref).collect();
    let total = tx.sql().prepare_cached(&format!("SELECT COUNT(*) FROM {FROM} WHERE {}", q.condition))?.query_row(&*parameters, |row| row.get(0))?;
    if limit == 0 {
        return Ok((Vec::new(), total));
    }
    let n = parameters.len();
    let sql = format!("SELECT {IMAGE} FROM {FROM} WHERE {} ORDER BY {} LIMIT ?{} OFFSET ?{}", q.condition, order(filter), n + 1, n + 2);
    let mut parameters = parameters;
    parameters.push(&limit);
    parameters.push(&offset);
    let items = tx.sql().prepare_cached(&sql)?.query_map(&*parameters, image)?.collect::<Result<_, _>>()?;
    Ok((items, total))
}

/// All names of a list, and how many of them are marked.
pub fn names(tx: &ReadTx<'_>, scope: &Scope, filter: &ImageFilter) -> rusqlite::Result<(Vec<String>, i64)> {
    let q = query(scope, filter);
    let parameters: Vec<&dyn ToSql> = q.parameters.iter().map(AsRef::as_ref).collect();
    let sql = format!("SELECT i.image_name, i.starred FROM {FROM} WHERE {} ORDER BY {}", q.condition, order(filter));
    let (mut names, mut starred) = (Vec::new(), 0);
    let mut statement = tx.sql().prepare_cached(&sql)?;
    let mut rows = statement.query(&*parameters)?;
    while let Some(row) = rows.next()? {
        names.push(row.get(0)?);
        starred += i64::from(row.get::<_, bool>(1)?);
    }
    Ok((names, if filter.starred_first { starred } else { 0 }))
}
