//! Lists of images, in the order in which a gallery shows them.
//!
//! A list is a few ranges of one index, one for each combination of "marked" and "intermediate" that it covers, merged by date. The
//! index holds all that the usual filters look at, and totals come from counts that are kept as rows are written: so neither a list of
//! names nor the first page of it grows expensive with the number of images beside it.

use rusqlite::{ToSql, params_from_iter};

use super::images;
use crate::{
    authz::Scope,
    db::ReadTx,
    domain::{
        BoardId, ImageName,
        image::{Image, ImageCategory, ImageOrigin},
        page::{Direction, NameList},
    },
};

/// Which board's images a list covers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum OnBoard {
    /// Any.
    #[default]
    Any,
    /// None: the uncategorised ones.
    None,
    /// This one.
    Board(BoardId),
}

/// What a list of images covers, and its order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageFilter {
    /// Made here or uploaded.
    pub origin: Option<ImageOrigin>,
    /// What they are for; empty for everything.
    pub categories: Vec<ImageCategory>,
    /// Only steps on the way, or none of them.
    pub is_intermediate: Option<bool>,
    /// On which board.
    pub board: OnBoard,
    /// Made on this day (`YYYY-MM-DD`, UTC); a text that is no day covers nothing.
    pub day: Option<String>,
    /// A text in the metadata or the date; the case of ASCII letters does not matter.
    pub search_term: Option<String>,
    /// Marked ones first.
    pub starred_first: bool,
    /// By time of creation, then by name.
    pub direction: Direction,
}

impl Default for ImageFilter {
    fn default() -> Self {
        Self {
            origin: None,
            categories: Vec::new(),
            is_intermediate: None,
            board: OnBoard::Any,
            day: None,
            search_term: None,
            starred_first: true,
            direction: Direction::Desc,
        }
    }
}

/// How many images a list has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Marked ones.
    pub starred: i64,
    /// The others.
    pub plain: i64,
}

impl Totals {
    /// All of them.
    pub fn all(self) -> i64 {
        self.starred + self.plain
    }
}

/// A list as SQL.
struct Query {
    index: &'static str,
    /// Conditions on a row of the table, each with its parameter.
    conditions: Vec<String>,
    /// Conditions on a row of the counts; `None` if the counts do not tell.
    counted: Option<Vec<String>>,
    parameters: Vec<Box<dyn ToSql>>,
    intermediate: &'static [bool],
    direction: Direction,
}

const BOTH: &[bool] = &[true, false];

impl Query {
    fn new(scope: &Scope, filter: &ImageFilter) -> Self {
        let owner = scope.owner_parameter();
        let index = match (&filter.board, owner) {
            (OnBoard::Any, Some(_)) => "idx_gallery_user",
            (OnBoard::Any, None) => "idx_gallery_all",
            (OnBoard::None, Some(_)) => "idx_gallery_loose",
            (OnBoard::None, None) | (OnBoard::Board(_), _) => "idx_gallery_board",
        };
        let intermediate = match filter.is_intermediate {
            Some(true) => &BOTH[..1],
            Some(false) => &BOTH[1..],
            None => BOTH,
        };
        let mut query = Self {
            index,
            conditions: Vec::new(),
            counted: Some(Vec::new()),
            parameters: Vec::new(),
            intermediate,
            direction: filter.direction,
        };
        if let Some(owner) = owner {
            query.both("user_id = ?#", "user_id = ?#", Box::new(owner.to_owned()));
        }
        match &filter.board {
            OnBoard::Any => {}
            OnBoard::None => {
                query.conditions.push("gallery_board = ''".into());
                query.counted.iter_mut().for_each(|counted| counted.push("board_id = ''".into()));
            }
            // No board has this identifier, which stands for none in the tables.
            OnBoard::Board(board) if board.as_str().is_empty() => query.row_only("?# IS NULL", Box::new(0)),
            OnBoard::Board(board) => query.both("gallery_board = ?#", "board_id = ?#", Box::new(board.clone())),
        }
        if let Some(origin) = filter.origin {
            query.both("image_origin = ?#", "image_origin = ?#", Box::new(origin.as_str()));
        }
        match filter.categories[..] {
            [] => {}
            [only] => query.both("image_category = ?#", "image_category = ?#", Box::new(only.as_str())),
            _ => {
                // Texts of an enumeration, so nothing of a request gets into the statement.
                let mut names: Vec<&str> = filter.categories.iter().map(|category| category.as_str()).collect();
                names.sort_unstable();
                names.dedup();
                let condition = format!("image_category IN ('{}')", names.join("', '"));
                query.counted.iter_mut().for_each(|counted| counted.push(condition.clone()));
                query.conditions.push(condition);
            }
        }
        if let Some(day) = &filter.day {
            let day = if day.chars().count() == 10 { day.clone() } else { "\u{0}".into() };
            // Every text that begins with the day lies between the day and the day with the last of all characters behind it.
            query.row_only("created_at BETWEEN ?# AND ?# || '\u{10ffff}'", Box::new(day));
        }
        if let Some(term) = filter.search_term.as_deref().filter(|term| !term.is_empty()) {
            // The signs of patterns mean in a term what they mean in SQL.
            let pattern = format!("%{}%", term.to_lowercase());
            query.row_only("(metadata LIKE ?# OR created_at LIKE ?#)", Box::new(pattern));
        }
        query
    }

    /// A condition that rows and counts can both answer.
    fn both(&mut self, row: &str, counted: &str, parameter: Box<dyn ToSql>) {
        self.parameters.push(parameter);
        let number = format!("?{}", self.parameters.len());
        self.conditions.push(row.replace("?#", &number));
        self.counted
            .iter_mut()
            .for_each(|conditions| conditions.push(counted.replace("?#", &number)));
    }

    /// A condition that only rows can answer.
    fn row_only(&mut self, row: &str, parameter: Box<dyn ToSql>) {
        self.parameters.push(parameter);
        self.conditions.push(row.replace("?#", &format!("?{}", self.parameters.len())));
        self.counted = None;
    }

    fn range(&self, columns: &str, starred: bool, intermediate: bool) -> String {
        let mut sql = format!(
            "SELECT {columns} FROM images INDEXED BY {} WHERE is_intermediate = {} AND starred = {}",
            self.index,
            u8::from(intermediate),
            u8::from(starred)
        );
        for condition in &self.conditions {
            sql.push_str(" AND ");
            sql.push_str(condition);
        }
        sql
    }

    /// The names of the ranges with these marks, in this order.
    fn names(&self, starred: &[bool], direction: Direction) -> String {
        let mut ranges = Vec::new();
        for &starred in starred {
            ranges.extend(
                self.intermediate
                    .iter()
                    .map(|&intermediate| self.range("image_name, created_at", starred, intermediate)),
            );
        }
        let direction = direction.sql();
        format!(
            "{} ORDER BY created_at {direction}, image_name {direction}",
            ranges.join(" UNION ALL ")
        )
    }

    fn totals(&self, tx: &ReadTx<'_>) -> rusqlite::Result<Totals> {
        let mut totals = Totals::default();
        if let Some(counted) = &self.counted {
            let mut sql = String::from("SELECT starred, SUM(n) FROM gallery_counts WHERE TRUE");
            if let [only] = self.intermediate {
                sql.push_str(if *only {
                    " AND is_intermediate = 1"
                } else {
                    " AND is_intermediate = 0"
                });
            }
            for condition in counted {
                sql.push_str(" AND ");
                sql.push_str(condition);
            }
            sql.push_str(" GROUP BY starred");
            let mut statement = tx.sql().prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(self.parameters.iter()))?;
            while let Some(row) = rows.next()? {
                if row.get(0)? {
                    totals.starred = row.get(1)?;
                } else {
                    totals.plain = row.get(1)?;
                }
            }
            return Ok(totals);
        }
        for &starred in BOTH {
            let n = if starred { &mut totals.starred } else { &mut totals.plain };
            for &intermediate in self.intermediate {
                let sql = self.range("COUNT(*)", starred, intermediate);
                *n += tx
                    .sql()
                    .prepare_cached(&sql)?
                    .query_row(params_from_iter(self.parameters.iter()), |row| row.get::<_, i64>(0))?;
            }
        }
        Ok(totals)
    }

    /// Hands a window of a part of the list to `take`, name by name.
    fn window(
        &self,
        tx: &ReadTx<'_>,
        starred: &[bool],
        direction: Direction,
        offset: i64,
        limit: i64,
        mut take: impl FnMut(&str),
    ) -> rusqlite::Result<()> {
        let sql = format!("{} LIMIT {limit} OFFSET {offset}", self.names(starred, direction));
        let mut statement = tx.sql().prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(self.parameters.iter()))?;
        while let Some(row) = rows.next()? {
            take(row.get_ref(0)?.as_str()?);
        }
        Ok(())
    }

    /// Adds a window of a part of the list, which has `n` names. A window in its second half is read from its end, as skipping names costs
    /// as much as reading them.
    fn add_window(
        &self,
        tx: &ReadTx<'_>,
        starred: &[bool],
        n: i64,
        offset: i64,
        limit: i64,
        to: &mut Vec<ImageName>,
    ) -> rusqlite::Result<()> {
        let limit = limit.min(n - offset);
        if limit <= 0 {
            return Ok(());
        }
        let from_end = offset > n / 2;
        let (direction, offset) = if from_end {
            (self.direction.reversed(), n - offset - limit)
        } else {
            (self.direction, offset)
        };
        let begin = to.len();
        self.window(tx, starred, direction, offset, limit, |name| match ImageName::parse(name) {
            Ok(name) => to.push(name),
            // A row of another program; it can be listed by nobody and fetched by nobody.
            Err(error) => tracing::warn!("an image's record is unusable: {error}"),
        })?;
        if from_end {
            to[begin..].reverse();
        }
        Ok(())
    }
}

/// All names of a list, and how many of them are marked (0 where marked ones do not come first).
pub fn names(tx: &ReadTx<'_>, scope: &Scope, filter: &ImageFilter) -> rusqlite::Result<(NameList, usize)> {
    let query = Query::new(scope, filter);
    let mut names = NameList::default();
    if !filter.starred_first {
        query.window(tx, BOTH, filter.direction, 0, -1, |name| names.push(name))?;
        return Ok((names, 0));
    }
    query.window(tx, &[true], filter.direction, 0, -1, |name| names.push(name))?;
    let starred = names.len();
    query.window(tx, &[false], filter.direction, 0, -1, |name| names.push(name))?;
    Ok((names, starred))
}

/// Counts all changes of what lists of this scope show; lists that were read at the same count are the same.
pub fn changes(tx: &ReadTx<'_>, scope: &Scope) -> rusqlite::Result<i64> {
    tx.sql()
        .prepare_cached("SELECT COALESCE((SELECT n FROM gallery_changes WHERE user_id = ?1), 0)")?
        .query_row([scope.owner_parameter().unwrap_or_default()], |row| row.get(0))
}

/// How many images a list has.
pub fn totals(tx: &ReadTx<'_>, scope: &Scope, filter: &ImageFilter) -> rusqlite::Result<Totals> {
    Query::new(scope, filter).totals(tx)
}

/// The names in one window of a list that has so many images.
fn window(
    tx: &ReadTx<'_>,
    query: &Query,
    starred_first: bool,
    totals: Totals,
    offset: i64,
    limit: i64,
) -> rusqlite::Result<Vec<ImageName>> {
    let mut names = Vec::new();
    if starred_first {
        query.add_window(tx, &[true], totals.starred, offset, limit, &mut names)?;
        let left = limit - (totals.starred - offset).clamp(0, limit);
        query.add_window(tx, &[false], totals.plain, (offset - totals.starred).max(0), left, &mut names)?;
    } else {
        query.add_window(tx, BOTH, totals.all(), offset, limit, &mut names)?;
    }
    Ok(names)
}

/// The first image of a list.
pub fn first_name(tx: &ReadTx<'_>, scope: &Scope, filter: &ImageFilter) -> rusqlite::Result<Option<ImageName>> {
    let query = Query::new(scope, filter);
    let parts: &[&[bool]] = if filter.starred_first { &[&[true], &[false]] } else { &[BOTH] };
    let mut first = None;
    for part in parts {
        query.window(tx, part, filter.direction, 0, 1, |name| first = ImageName::parse(name).ok())?;
        if first.is_some() {
            break;
        }
    }
    Ok(first)
}

/// One window of a list, and the length of the whole.
pub fn page(tx: &ReadTx<'_>, scope: &Scope, filter: &ImageFilter, offset: i64, limit: i64) -> rusqlite::Result<(Vec<Image>, i64)> {
    let query = Query::new(scope, filter);
    let totals = query.totals(tx)?;
    let names = if limit > 0 {
        window(tx, &query, filter.starred_first, totals, offset, limit)?
    } else {
        Vec::new()
    };
    Ok((images::listed(tx, &names)?, totals.all()))
}

/// What was made on one day, intermediates left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// `YYYY-MM-DD`, UTC.
    pub day: String,
    /// Images of category `general`.
    pub image_count: i64,
    /// Images of the other categories.
    pub asset_count: i64,
}

/// The days on which something was made, the last one first.
pub fn days(tx: &ReadTx<'_>, scope: &Scope) -> rusqlite::Result<Vec<Day>> {
    tx.sql()
        .prepare_cached(
            "SELECT day, SUM(CASE WHEN image_category = 'general' THEN n ELSE 0 END), SUM(CASE WHEN image_category = 'general' THEN 0 ELSE n END)
             FROM gallery_days WHERE ?1 IS NULL OR user_id = ?1 GROUP BY day HAVING SUM(n) > 0 ORDER BY day DESC",
        )?
        .query_map([scope.owner_parameter()], |row| Ok(Day { day: row.get(0)?, image_count: row.get(1)?, asset_count: row.get(2)? }))?
        .collect()
}
