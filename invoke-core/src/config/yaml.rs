//! Reading and changing YAML files of `key: value` lines, comments kept.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use serde_json::{Map, Value as Json};

use super::ConfigError;

/// Largest configuration file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// The file's text, or `None` if there is no file.
pub(super) fn text(file: &Path) -> Result<Option<String>, ConfigError> {
    let failed = |source| ConfigError::Read {
        file: file.to_owned(),
        source,
    };
    match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(found) if found.len() > LARGEST => return Err(failed(io::Error::other("it is larger than 1 MiB"))),
        Ok(_) => {}
    }
    fs::read_to_string(file).map(Some).map_err(failed)
}

/// The keys and values in a text; an empty one has none.
pub(super) fn parse(file: &Path, text: &str) -> Result<Map<String, Json>, ConfigError> {
    let wrong = |reason: String| ConfigError::Syntax {
        file: file.to_owned(),
        reason,
    };
    // Only the place is told, as the parser's own words may quote a secret.
    let parsed = serde_norway::from_str::<Json>(text).map_err(|error| {
        wrong(error.location().map_or_else(
            || "it cannot be read".into(),
            |at| format!("line {}, column {}", at.line(), at.column()),
        ))
    })?;
    match parsed {
        Json::Null => Ok(Map::new()),
        Json::Object(map) => Ok(map),
        _ => Err(wrong("its whole content is a single value".into())),
    }
}

/// The text with these keys set. The lines of other keys, and comments, stay as they are.
pub(super) fn with_keys(text: &str, changes: &[(&str, Json)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (key, value) in changes {
        // JSON is YAML, so a value on one line needs no further care.
        let line = format!("{key}: {value}");
        let begins = |line: &String| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':'));
        let Some(at) = lines.iter().position(begins) else {
            lines.push(line);
            continue;
        };
        // What belongs to a value over several lines is indented, or is a list's dash at the margin.
        let more = lines[at + 1..]
            .iter()
            .take_while(|line| line.starts_with([' ', '\t']) || line.starts_with("- ") || *line == "-")
            .count();
        lines.splice(at..=at + more, [line]);
    }
    lines.join("\n") + "\n"
}

/// Puts a file in place whole: under another name first, then renamed, so that a crash leaves the old or the new one. `private` keeps
/// other accounts of the machine from reading it.
pub(super) fn replace(file: &Path, text: &str, private: bool) -> Result<(), ConfigError> {
    let failed = |source| ConfigError::Write {
        file: file.to_owned(),
        source,
    };
    let fresh = file.with_extension("yaml.new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if private {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = private;
    let mut handle = options.open(&fresh).map_err(failed)?;
    handle.write_all(text.as_bytes()).and_then(|()| handle.sync_all()).map_err(failed)?;
    drop(handle);
    fs::rename(&fresh, file).map_err(failed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn setting_a_key_keeps_comments_and_neighbours() {
        let text = "# mine\nschema_version: 4.0.3\n# devices\ngeneration_devices:\n- cuda:0\n- cuda:1\n\nport: 9090 # usual\nallow_origins:\n  - a\nhost: x\n";
        let changed = with_keys(
            text,
            &[
                ("generation_devices", json!("auto")),
                ("allow_origins", json!([])),
                ("max_queue_history", json!(null)),
            ],
        );
        assert_eq!(
            changed,
            "# mine\nschema_version: 4.0.3\n# devices\ngeneration_devices: \"auto\"\n\nport: 9090 # usual\nallow_origins: []\nhost: x\nmax_queue_history: null\n"
        );
        assert_eq!(parse(Path::new("x"), &changed).unwrap()["host"], json!("x"));
    }

    #[test]
    fn a_syntax_error_tells_the_line_and_no_value() {
        let error = parse(Path::new("keys.yaml"), "a: 1\nb: \"sk-secret\n").unwrap_err().to_string();
        assert!(
            error.contains("keys.yaml") && error.contains("line") && !error.contains("sk-secret"),
            "{error}"
        );
        assert!(parse(Path::new("x"), "just a text").is_err());
        assert!(parse(Path::new("x"), "# nothing\n").unwrap().is_empty());
    }
}
