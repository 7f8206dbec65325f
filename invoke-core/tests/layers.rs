//! Modules use those above them in the list and no others, and each crate of weight is known in few places.

#![expect(clippy::unwrap_used, reason = "what is missing here fails the test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use invoke_core::config::Settings;

/// Leaves first; a module may use itself and what stands before it.
const LAYERS: &[&str] = &[
    "env",
    "domain",
    "config",
    "authz",
    "db",
    "repo",
    "events",
    "files",
    "authn",
    "graph",
    "prompts",
    "numeric_rng",
    "imaging",
    "models",
    "diffusion",
    "vision",
    "nodes",
    "engine",
    "queue",
    "service",
    "core",
];

/// Crates, and the modules or folders that may know them. Those that reach other machines are named whether they are used or not: what is asked
/// elsewhere is asked through the one client, which judges addresses.
const CRATES: &[(&str, &[&str])] = &[
    ("candle_core", &["diffusion", "vision", "nodes", "engine"]),
    ("jsonwebtoken", &["authn"]),
    ("argon2", &["authn"]),
    ("ureq", &["models/remote"]),
    ("TcpStream", &[]),
    ("UdpSocket", &[]),
    ("bcrypt", &["authn"]),
    ("rusqlite", &["db", "repo", "domain", "authn", "service", "config"]),
];

/// Services that know the database itself; the others write through what records.
const BARE: &[&str] = &["service/mod.rs", "service/recorded.rs"];

/// Where leave for the program's own work, of which nothing is written down, is made or asked for.
const OWN_WORK: &[&str] = &["authz/permit.rs", "db/tx.rs", "service/image_moves.rs", "service/models/install.rs"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every source file of this crate that is no test, with its top module and what it says before its tests.
fn files() -> Vec<(String, String, String)> {
    files_of("src", 100)
}

/// The same of a folder beside this crate's manifest, which has so many at least.
fn files_of(folder: &str, least: usize) -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let mut files = Vec::new();
    for path in paths {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        if name == "lib.rs" || name.contains("test") {
            continue;
        }
        let module = name.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(&path).unwrap();
        files.push((name, module, text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned()));
    }
    assert!(files.len() >= least, "the sources were not found");
    files
}

/// First words after `crate::`, those in braces too.
fn used(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            words.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
            continue;
        };
        let (mut depth, mut word) = (0, String::new());
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => words.push(std::mem::take(&mut word)),
                _ if depth == 0 => word.push(c),
                _ => {}
            }
        }
        words.push(word);
    }
    words
        .iter()
        .map(|word| word.trim().split("::").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn modules_use_what_stands_above_them() {
    let rank = |module: &str| LAYERS.iter().position(|layer| *layer == module);
    let mut wrong = Vec::new();
    for (name, module, text) in files() {
        let own = rank(&module).unwrap_or_else(|| panic!("{name}: the module {module} has no place in the list of layers"));
        wrong.extend(
            used(&text)
                .iter()
                .filter(|other| rank(other).is_some_and(|other| other > own))
                .map(|other| format!("{name} uses {other}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn crates_of_weight_are_known_in_few_places() {
    let mut wrong = Vec::new();
    for (name, _, text) in files() {
        for (krate, places) in CRATES {
            let may = |place: &&str| name.strip_prefix(place).is_some_and(|rest| rest.starts_with(['/', '.']));
            let is_known = text.contains(&format!("{krate}::")) || text.contains(&format!("use {krate} "));
            if is_known && !places.iter().any(may) {
                wrong.push(format!("{name} knows {krate}"));
            }
        }
    }
    // What the server and the other fronts ask of other machines they ask through the library.
    for front in ["server", "cli", "bindings", "py", "ffi"] {
        let asking = files_of(&format!("../invoke-{front}/src"), 1)
            .into_iter()
            .filter(|(_, _, text)| text.contains("ureq"));
        wrong.extend(asking.map(|(name, ..)| format!("invoke-{front}: {name} knows ureq")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The files below a folder that say this word.
fn naming(word: &str, folder: &str) -> Vec<String> {
    let says = |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|other| other == word);
    let all = files().into_iter().filter(|(name, _, text)| name.starts_with(folder) && says(text));
    let mut names: Vec<String> = all.map(|(name, ..)| name).collect();
    names.sort();
    names
}

#[test]
fn the_program_gives_itself_leave_in_few_places() {
    assert_eq!(naming("of_program", ""), OWN_WORK);
}

#[test]
fn services_write_through_what_records() {
    assert_eq!(naming("Db", "service/"), BARE);
}

/// Which version a file is of is read from the file, before there are settings.
const READ_FROM_THE_FILE: &str = "schema_version";
/// Makes the folders that InvokeAI expects, whether anything here uses them or not.
const MAKES_FOLDERS: &str = "config/layout.rs";

#[test]
fn every_setting_is_asked_for_unless_it_is_marked_as_inert() {
    let sources: Vec<(String, String, String)> = files().into_iter().chain(files_of("../invoke-server/src", 20)).collect();
    let asks = |key: &str| {
        let field = format!(".{key}");
        let whole = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let says = |text: &str| text.split(&field).skip(1).any(whole);
        let places = sources.iter().filter(|(name, _, _)| name != MAKES_FOLDERS);
        places
            .filter(|(_, _, text)| says(text))
            .map(|(name, ..)| name.clone())
            .collect::<Vec<_>>()
    };
    let folders = &sources.iter().find(|(name, ..)| name == MAKES_FOLDERS).unwrap().2;
    let mut wrong = Vec::new();
    for key in Settings::KEYS.iter().filter(|key| key.name != READ_FROM_THE_FILE) {
        let places = asks(key.name);
        if key.inert && !places.is_empty() {
            wrong.push(format!("{} is marked as inert and asked for in {}", key.name, places.join(", ")));
        } else if !key.inert && places.is_empty() && !folders.contains(&format!("settings.{}", key.name)) {
            wrong.push(format!("{} is asked for nowhere", key.name));
        }
        let says_so = key.help.ends_with("Without effect here; kept for InvokeAI's files.");
        assert_eq!(says_so, key.inert, "{}: {}", key.name, key.help);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
