//! Presets as tables and lists, to carry them from one server to another.

use serde_json::{Map, Value, json};

use crate::domain::{Error, Result, library::StylePreset};

/// One preset of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) positive_prompt: String,
    pub(super) negative_prompt: String,
}

fn bad_csv() -> Error {
    Error::BadRequest("Invalid CSV format: must include columns 'name', 'prompt', and 'negative_prompt' and name cannot be blank".into())
}

fn bad_json() -> Error {
    Error::BadRequest(
        "Invalid JSON format: must be a list of objects with keys 'name', 'prompt', and 'negative_prompt' and name cannot be blank".into(),
    )
}

/// A table with a header and one line for each preset.
pub(super) fn to_csv(presets: &[StylePreset]) -> String {
    let mut out = String::from("name,prompt,negative_prompt\r\n");
    for preset in presets {
        let cells = [&preset.name, &preset.positive_prompt, &preset.negative_prompt].map(|text| quoted(text));
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    }
    out
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Records of a table (RFC 4180); blank lines are none.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let (mut record, mut cell, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' if is_quoted => is_quoted = false,
            '"' if cell.is_empty() => is_quoted = true,
            ',' if !is_quoted => record.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted && characters.peek() == Some(&'\n') => {}
            '\n' | '\r' if !is_quoted => {
                record.push(std::mem::take(&mut cell));
                records.push(std::mem::take(&mut record));
            }
            c => cell.push(c),
        }
    }
    if !cell.is_empty() || !record.is_empty() {
        record.push(cell);
        records.push(record);
    }
    records.retain(|record| record.iter().any(|cell| !cell.is_empty()));
    records
}

/// Presets of a table. Columns may stand in any order and all but the name's may be missing; others than ours are refused, and so are
/// lines that are longer or shorter than the header.
pub(super) fn from_csv(bytes: &[u8]) -> Result<Vec<Row>> {
    let text = std::str::from_utf8(bytes).map_err(|_| bad_csv())?;
    let mut records = records(text.strip_prefix('\u{feff}').unwrap_or(text)).into_iter();
    let header = records.next().unwrap_or_default();
    records
        .map(|record| {
            let cells = header.iter().cloned().zip(record.iter().map(|cell| json!(cell))).collect();
            row(cells).filter(|_| record.len() == header.len()).ok_or_else(bad_csv)
        })
        .collect()
}

/// A preset of named texts, with no space around them. The prompt has either of two names, not both.
fn row(mut fields: Map<String, Value>) -> Option<Row> {
    let prompt = if fields.contains_key("positive_prompt") {
        "positive_prompt"
    } else {
        "prompt"
    };
    let mut text = |key: &str| match fields.shift_remove(key) {
        None => Some(String::new()),
        Some(value) => value.as_str().map(|text| text.trim().to_owned()),
    };
    let row = Row {
        name: text("name")?,
        positive_prompt: text(prompt)?,
        negative_prompt: text("negative_prompt")?,
    };
    (!row.name.is_empty() && fields.is_empty()).then_some(row)
}

/// Presets of a JSON list.
pub(super) fn from_json(bytes: &[u8]) -> Result<Vec<Row>> {
    let Ok(Value::Array(items)) = serde_json::from_slice(bytes) else {
        return Err(bad_json());
    };
    let one = |item| match item {
        Value::Object(fields) => row(fields),
        _ => None,
    };
    items.into_iter().map(|item| one(item).ok_or_else(bad_json)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, prompt: &str) -> Row {
        Row {
            name: name.into(),
            positive_prompt: prompt.into(),
            negative_prompt: "n".into(),
        }
    }

    #[test]
    fn tables_survive_the_way_out_and_in() {
        let preset = |row: &Row| StylePreset {
            id: "i".into(),
            user_id: crate::domain::UserId::system(),
            is_public: false,
            origin: crate::domain::library::Origin::User,
            name: row.name.clone(),
            positive_prompt: row.positive_prompt.clone(),
            negative_prompt: row.negative_prompt.clone(),
        };
        let rows = [sample("plain", "a cat"), sample("odd, \"quoted\"", "two\nlines, and a comma")];
        let csv = to_csv(&rows.each_ref().map(preset));
        assert!(csv.starts_with("name,prompt,negative_prompt\r\nplain,a cat,n\r\n"));
        assert_eq!(from_csv(csv.as_bytes()).unwrap(), rows);
    }

    #[test]
    fn tables_without_the_columns_or_names_are_refused() {
        assert_eq!(
            from_csv(b"negative_prompt,name,positive_prompt\nn,x,p\n").unwrap(),
            [sample("x", "p")]
        );
        assert_eq!(from_csv(b"").unwrap(), []);
        assert_eq!(from_csv(b"name\n x \n").unwrap()[0].name, "x");
        for bad in [
            "prompt\ny\n",
            "name,prompt\nx\n",
            "name,prompt,positive_prompt\nx,y,z\n",
            "name,prompt,negative_prompt,extra\nx,y,z,w\n",
            "name,prompt,negative_prompt\n ,y,z\n",
        ] {
            assert!(from_csv(bad.as_bytes()).is_err(), "{bad:?}");
        }
        for bad in [
            "{}",
            "[1]",
            r#"[{"prompt":"x"}]"#,
            r#"[{"name":"x","colour":"y"}]"#,
            r#"[{"name":1}]"#,
        ] {
            assert!(from_json(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert_eq!(
            from_json(br#"[{"name":"x","prompt":"p","negative_prompt":"n"}]"#).unwrap(),
            [sample("x", "p")]
        );
    }
}
