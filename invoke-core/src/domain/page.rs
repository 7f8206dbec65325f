//! Pages of lists.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeSeq};

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
pub enum Direction {
    /// Smallest first.
    #[serde(rename = "ASC")]
    Asc,
    /// Largest first.
    #[default]
    #[serde(rename = "DESC")]
    Desc,
}

impl Direction {
    /// The other one.
    pub const fn reversed(self) -> Self {
        match self {
            Self::Asc => Self::Desc,
            Self::Desc => Self::Asc,
        }
    }

    /// The SQL keyword.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Asc => "ASC",
            Self::Desc => "DESC",
        }
    }
}

/// Many names in one piece of memory: hundreds of thousands of them are made, counted and written out without one allocation each.
///
/// A copy shares that memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameList(Arc<Names>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    text: String,
    ends: Vec<usize>,
}

impl NameList {
    /// Adds a name.
    pub fn push(&mut self, name: &str) {
        let names = Arc::make_mut(&mut self.0);
        names.text.push_str(name);
        names.ends.push(names.text.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let Names { text, ends } = &*self.0;
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(ends).map(|(start, &end)| &text[start..end])
    }

    /// Bytes that it takes, without what is kept free for more.
    pub fn bytes(&self) -> usize {
        self.0.text.len() + self.0.ends.len() * size_of::<usize>()
    }
}

impl Serialize for NameList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.len()))?;
        for name in self.iter() {
            list.serialize_element(name)?;
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_in_order() {
        let mut names = NameList::default();
        assert_eq!(serde_json::to_string(&names).unwrap(), "[]");
        for name in ["a.png", "", "日本.png"] {
            names.push(name);
        }
        assert_eq!(names.iter().collect::<Vec<_>>(), ["a.png", "", "日本.png"]);
        assert_eq!(serde_json::to_string(&names).unwrap(), r#"["a.png","","日本.png"]"#);
    }
}
