//! Fonts that an administrator put into the fonts' folder, for writing on the canvas.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::Utilities;
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::{Error, Result},
};

/// Extensions of fonts, and their content types.
const KINDS: &[(&str, &str)] = &[
    ("ttf", "font/ttf"),
    ("otf", "font/otf"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
];
/// Folders below the fonts' folder that are looked into, at most.
const DEEPEST: usize = 4;
/// Words at the end of a file's name that say how heavy a face is.
const WEIGHTS: &[(&str, u16)] = &[
    ("thin", 100),
    ("extralight", 200),
    ("semibold", 600),
    ("extrabold", 800),
    ("light", 300),
    ("medium", 500),
    ("bold", 700),
    ("black", 900),
    ("regular", 400),
];

/// A font's bytes and content type.
#[derive(Debug)]
pub struct FontFile {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The content type.
    pub media: &'static str,
}

fn kind_of(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    KINDS.iter().find(|(known, _)| *known == extension).map(|(_, media)| *media)
}

/// Fonts below a folder, relative to it. Links are not followed.
fn below(folder: &Path, relative: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder.join(relative)) else {
        return;
    };
    for entry in entries.flatten() {
        let path = relative.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth < DEEPEST => below(folder, &path, depth + 1, found),
            Ok(kind) if kind.is_file() && kind_of(&path).is_some() => found.push(path),
            _ => {}
        }
    }
}

/// Family, weight and style, from a file's name: `Open Sans-BoldItalic.ttf`.
fn face(path: &Path) -> (String, u16, &'static str) {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let (family, kind) = stem.rsplit_once(['-', '_']).unwrap_or((stem, ""));
    let kind = kind.to_ascii_lowercase().replace(' ', "");
    let (weight_word, is_italic) = match kind.strip_suffix("italic").or_else(|| kind.strip_suffix("oblique")) {
        Some(rest) => (rest.to_owned(), true),
        None => (kind, false),
    };
    let weight = WEIGHTS.iter().find(|(word, _)| *word == weight_word).map(|(_, weight)| *weight);
    match (weight, weight_word.is_empty() && is_italic) {
        (None, false) => (stem.to_owned(), 400, "normal"),
        (weight, _) => (
            family.to_owned(),
            weight.unwrap_or(400),
            if is_italic { "italic" } else { "normal" },
        ),
    }
}

fn url_of(path: &Path) -> (String, String) {
    let text = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/");
    let escaped: String = text
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    (text, format!("/api/v1/utilities/fonts/{escaped}"))
}

impl Utilities {
    /// All fonts, by family.
    pub fn fonts(&self, actor: &Actor) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let mut files = Vec::new();
        below(self.shared.layout.fonts_dir(), Path::new(""), 0, &mut files);
        files.sort_unstable();
        let mut families: BTreeMap<String, (String, Vec<Value>)> = BTreeMap::new();
        for file in &files {
            let (family, weight, style) = face(file);
            let (path, url) = url_of(file);
            let faces = &mut families.entry(family.to_lowercase()).or_insert_with(|| (family, Vec::new())).1;
            faces.push(json!({"path": path, "url": url, "weight": weight, "style": style}));
        }
        let fonts: Vec<Value> = families
            .into_iter()
            .map(|(key, (family, faces))| {
                let usual = faces
                    .iter()
                    .find(|face| face["weight"] == 400 && face["style"] == "normal")
                    .or(faces.first());
                let (path, url) = (usual.map(|face| face["path"].clone()), usual.map(|face| face["url"].clone()));
                json!({"id": format!("user:{key}"), "family": family, "label": family, "path": path, "url": url, "faces": faces})
            })
            .collect();
        Ok(json!({ "fonts": fonts }))
    }

    /// One font by its path below the fonts' folder.
    pub fn font(&self, actor: &Actor, path: &str) -> Result<FontFile> {
        authorize_global::<acts::UseServer>(actor)?;
        let absent = || Error::NotFound("Font file not found".into());
        let leads_away = |part: &str| part.is_empty() || matches!(part, "." | "..") || part.contains(['\\', ':', '\0']);
        if path.split('/').any(leads_away) {
            return Err(Error::BadRequest("Invalid font path".into()));
        }
        if path.split('/').any(|part| part.starts_with('.')) {
            return Err(absent());
        }
        let folder = self.shared.layout.fonts_dir().canonicalize().map_err(|_| absent())?;
        let file = folder.join(path);
        // The same file after links are followed: then there was none on the way.
        if file.canonicalize().ok().as_deref() != Some(file.as_path()) || !file.is_file() {
            return Err(absent());
        }
        let media = kind_of(Path::new(path)).ok_or_else(|| Error::BadRequest("Unsupported font format".into()))?;
        Ok(FontFile {
            bytes: std::fs::read(file)?,
            media,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faces_are_read_from_names() {
        assert_eq!(face(Path::new("a/Open Sans-BoldItalic.ttf")), ("Open Sans".into(), 700, "italic"));
        assert_eq!(face(Path::new("Inter-Italic.woff2")), ("Inter".into(), 400, "italic"));
        assert_eq!(face(Path::new("Semi-Condensed.ttf")), ("Semi-Condensed".into(), 400, "normal"));
        assert_eq!(face(Path::new("Plain.otf")), ("Plain".into(), 400, "normal"));
        assert_eq!(url_of(Path::new("a b/ü.ttf")).1, "/api/v1/utilities/fonts/a%20b/%C3%BC.ttf");
    }
}
