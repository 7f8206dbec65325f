//! Pages of lists.

use serde::Serialize;

/// A window into a list, by offset.
#[derive(Debug, Clone, Serialize)]
pub struct OffsetPage<T> {
    /// The most items that were asked for.
    pub limit: i64,
    /// Items skipped before the first one here.
    pub offset: i64,
    /// Items in the whole list.
    pub total: i64,
    /// The items.
    pub items: Vec<T>,
}

/// Direction of an ordering.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Asc,
    /// Largest first.
    #[default]
    Desc,
}

impl Direction {
    /// The SQL keyword.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Asc => "ASC",
            Self::Desc => "DESC",
        }
    }
}
