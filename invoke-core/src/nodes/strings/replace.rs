//! Replacing with templates in Python's notation: `\1`, `\g<name>`, `\n`.

use fancy_regex::{Captures, Regex};

use crate::nodes::NodeError;

/// A part of a template.
enum Piece {
    Text(String),
    Group(usize),
    Named(String),
}

fn bad(text: impl Into<String>) -> NodeError {
    NodeError::new("PatternError", text)
}

/// Replaces every match by the template.
pub(super) fn replace_all(pattern: &Regex, text: &str, template: &str) -> Result<String, NodeError> {
    let pieces = parse(template)?;
    for piece in &pieces {
        match piece {
            Piece::Group(group) if *group >= pattern.captures_len() => return Err(bad(format!("invalid group reference {group}"))),
            Piece::Named(name) if !pattern.capture_names().flatten().any(|known| known == name) => {
                return Err(NodeError::new("IndexError", format!("unknown group name '{name}'")));
            }
            _ => {}
        }
    }
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for found in pattern.captures_iter(text) {
        let found = found.map_err(|error| bad(error.to_string()))?;
        let whole = found.get(0).expect("a match has a group 0");
        out.push_str(&text[done..whole.start()]);
        pieces.iter().for_each(|piece| write(piece, &found, &mut out));
        done = whole.end();
    }
    out.push_str(&text[done..]);
    Ok(out)
}

fn write(piece: &Piece, found: &Captures<'_>, out: &mut String) {
    match piece {
        Piece::Text(text) => out.push_str(text),
        Piece::Group(group) => out.push_str(found.get(*group).map_or("", |group| group.as_str())),
        Piece::Named(name) => out.push_str(found.name(name).map_or("", |group| group.as_str())),
    }
}

fn parse(template: &str) -> Result<Vec<Piece>, NodeError> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else {
            return Err(bad("bad escape (end of pattern)"));
        };
        if let Some(named) = rest.strip_prefix("g<") {
            let (name, after) = named.split_once('>').ok_or_else(|| bad("missing >, unterminated name"))?;
            pieces.push(Piece::Text(std::mem::take(&mut text)));
            pieces.push(name.parse().map_or_else(|_| Piece::Named(name.to_owned()), Piece::Group));
            rest = after;
            continue;
        }
        let digits = rest.chars().take(2).take_while(char::is_ascii_digit).count();
        if c != '0' && digits > 0 {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
            pieces.push(Piece::Group(rest[..digits].parse().map_err(|_| bad("invalid group reference"))?));
            rest = &rest[digits..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            'a' => text.push('\x07'),
            'b' => text.push('\x08'),
            'f' => text.push('\x0c'),
            'v' => text.push('\x0b'),
            '0' => text.push('\0'),
            c if c.is_ascii_alphabetic() => return Err(bad(format!("bad escape \\{c}"))),
            // Anything else is what it is, and so is its backslash; only a second backslash is dropped.
            '\\' => text.push('\\'),
            c => text.extend(['\\', c]),
        }
    }
    text.push_str(rest);
    pieces.push(Piece::Text(text));
    Ok(pieces)
}
