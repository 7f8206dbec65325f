//! Putting the configuration together, and changing it while the server runs.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Mutex, RwLock};
use serde_json::{Map, Value as Json};

use super::{
    ConfigError, Environment, HubPlace, Layout, QueueMode, SCHEMA_VERSION, Settings, SubfolderStrategy, keys::Refused, resolve_root, yaml,
};

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--root`.
    pub root: Option<PathBuf>,
    /// `--config`: another file than `invokeai.yaml` in the root.
    pub config: Option<PathBuf>,
    /// `--host`.
    pub host: Option<String>,
    /// `--port`.
    pub port: Option<u16>,
    /// `--web-dir`: the built web page.
    pub web_dir: Option<PathBuf>,
    /// `--log-level`.
    pub log_level: Option<String>,
}

/// The configuration in force.
#[derive(Debug)]
pub struct Config {
    root: PathBuf,
    /// Where changes are kept; `None` keeps them in memory only.
    files: Option<Files>,
    web_dir: Option<PathBuf>,
    hub: HubPlace,
    state: RwLock<State>,
    /// Held while a change is written, so that changes do not overwrite each other.
    changing: Mutex<()>,
}

#[derive(Debug)]
struct Files {
    settings: PathBuf,
    provider_keys: PathBuf,
}

#[derive(Debug, Clone)]
struct State {
    settings: Arc<Settings>,
    set: Vec<&'static str>,
}

/// What the names of the keys in `api_keys.yaml` begin with.
const EXTERNAL: &str = "external_";

/// What a new installation begins with. Whose turn it is stands here, not among the defaults: people who start afresh are served first come, first
/// served; a file of InvokeAI's that does not speak of it means `round_robin`, as it does there.
fn first_text() -> String {
    format!(
        "\
# The configuration. `invokeai.example.yaml` beside this file lists every key with its default; copy lines from there.
# Changes take effect at the next start.

# Version of this file's layout; leave it as it is.
schema_version: {SCHEMA_VERSION}

# Whose item runs next: FIFO (first come, first served), round_robin (each user one item per turn) or fair (by the work done for each).
session_queue_mode: FIFO
"
    )
}

impl Config {
    /// Reads files, variables and flags. Writes nothing.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        let root = resolve_root(flags.root.as_deref(), environment)?;
        let files = Files {
            settings: flags.config.clone().unwrap_or_else(|| root.join("invokeai.yaml")),
            provider_keys: root.join("api_keys.yaml"),
        };
        let mut state = Draft::default();
        let text = yaml::text(&files.settings)?.unwrap_or_else(first_text);
        let map = of_this_version(&files.settings, yaml::parse(&files.settings, &text)?)?;
        state.take(&files.settings, &map)?;
        if let Some(text) = yaml::text(&files.provider_keys)? {
            let map = yaml::parse(&files.provider_keys, &text)?;
            if let Some(key) = map.keys().find(|key| !key.starts_with(EXTERNAL)) {
                return Err(refused(&files.provider_keys.display().to_string(), key, Refused::Unknown));
            }
            state.take(&files.provider_keys, &map)?;
        }
        for (variable, key, text) in environment.keys() {
            match state.settings.set_text(&key, text) {
                Ok(()) => state.mark(&key),
                // The environment holds variables of others too.
                Err(Refused::Unknown) => {}
                Err(why) => return Err(refused(&format!("environment variable {variable}"), &key, why)),
            }
        }
        let port = flags.port.map(|port| port.to_string());
        for (key, text) in [("host", &flags.host), ("port", &port), ("log_level", &flags.log_level)] {
            if let Some(text) = text {
                state
                    .settings
                    .set_text(key, text)
                    .map_err(|why| refused(&format!("--{}", key.replace('_', "-")), key, why))?;
                state.mark(key);
            }
        }
        Ok(Self {
            root,
            files: Some(files),
            web_dir: flags.web_dir.clone(),
            hub: HubPlace::of(environment),
            state: RwLock::new(state.done()),
            changing: Mutex::default(),
        })
    }

    /// A configuration made by hand; changes to it are kept in memory only.
    pub fn from_settings(root: impl Into<PathBuf>, settings: Settings) -> Self {
        let state = State {
            settings: Arc::new(settings),
            set: Vec::new(),
        };
        Self {
            root: root.into(),
            files: None,
            web_dir: None,
            hub: HubPlace::default(),
            state: RwLock::new(state),
            changing: Mutex::default(),
        }
    }

    /// The same, with another hub of models.
    #[must_use]
    pub fn with_hub(self, hub: HubPlace) -> Self {
        Self { hub, ..self }
    }

    /// The hub of models.
    pub fn hub(&self) -> &HubPlace {
        &self.hub
    }

    /// Writes `invokeai.yaml` if there is none, and `invokeai.example.yaml` with every key and its default. The root must exist.
    pub fn write_initial(&self) -> Result<(), ConfigError> {
        let Some(files) = &self.files else { return Ok(()) };
        if !files.settings.exists() {
            yaml::replace(&files.settings, &first_text(), false)?;
        }
        yaml::replace(&self.root.join("invokeai.example.yaml"), &example(), false)
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folders that follow from it.
    pub fn layout(&self) -> Layout {
        Layout::new(&self.root, &self.settings())
    }

    /// The built web page, if the command line names one.
    pub fn web_dir(&self) -> Option<&Path> {
        self.web_dir.as_deref()
    }

    /// Every value as it is at this moment.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.state.read().settings)
    }

    /// Whether people log in.
    pub fn multiuser(&self) -> bool {
        self.state.read().settings.multiuser
    }

    /// Whose queue item runs next. With a single user the oldest item always does.
    pub fn queue_mode(&self) -> QueueMode {
        let settings = self.settings();
        if settings.multiuser {
            settings.session_queue_mode
        } else {
            QueueMode::Fifo
        }
    }

    /// Items that may wait in the queue, at least 1.
    pub fn max_queue_size(&self) -> i64 {
        self.state.read().settings.max_queue_size
    }

    /// Compression of PNG files, 0 to 9.
    pub fn pil_compress_level(&self) -> u8 {
        u8::try_from(self.state.read().settings.pil_compress_level).unwrap_or(1)
    }

    /// Into which folders new images are sorted.
    pub fn image_subfolder_strategy(&self) -> SubfolderStrategy {
        self.state.read().settings.image_subfolder_strategy
    }

    /// Names of the keys that a file, a variable, a flag or a change has set.
    pub fn set_fields(&self) -> Vec<&'static str> {
        self.state.read().set.clone()
    }

    /// Names of the keys that are set and have no effect here.
    pub fn set_in_vain(&self) -> Vec<&'static str> {
        let set = self.set_fields();
        let inert = Settings::KEYS.iter().filter(|key| key.inert).map(|key| key.name);
        inert.filter(|name| set.contains(name)).collect()
    }

    /// Every key's value, secrets masked.
    pub fn redacted(&self) -> Json {
        Json::Object(self.settings().redacted())
    }

    /// Changes keys that may change while the server runs, all or none, in memory and in `invokeai.yaml`; and names those that had another value.
    pub fn change(&self, changes: &Map<String, Json>) -> Result<Vec<String>, ConfigError> {
        let fixed = |key: &&String| Settings::KEYS.iter().any(|known| known.name == *key && !known.live);
        if let Some(key) = changes.keys().find(fixed) {
            return Err(ConfigError::Fixed(key.clone()));
        }
        self.apply(changes, self.files.as_ref().map(|files| files.settings.as_path()), false)
    }

    /// Changes the keys and addresses of external providers, all or none, in memory and in `api_keys.yaml`; null clears one. Names those
    /// that had another value.
    pub fn change_providers(&self, changes: &Map<String, Json>) -> Result<Vec<String>, ConfigError> {
        if let Some(key) = changes.keys().find(|key| !key.starts_with(EXTERNAL)) {
            return Err(ConfigError::Fixed(key.clone()));
        }
        self.apply(changes, self.files.as_ref().map(|files| files.provider_keys.as_path()), true)
    }

    fn apply(&self, changes: &Map<String, Json>, file: Option<&Path>, private: bool) -> Result<Vec<String>, ConfigError> {
        let _turn = self.changing.lock();
        let now = self.state.read().clone();
        let mut draft = Draft {
            settings: (*now.settings).clone(),
            set: now.set,
        };
        for (key, value) in changes {
            draft.settings.set(key, value).map_err(|why| refused("request", key, why))?;
            draft.mark(key);
        }
        if let Some(file) = file {
            let text = yaml::text(file)?.unwrap_or_else(|| if private { String::new() } else { first_text() });
            let values: Vec<(&str, Json)> = changes
                .keys()
                .map(|key| (key.as_str(), draft.settings.written(key).unwrap_or(Json::Null)))
                .collect();
            let changed = yaml::with_keys(&text, &values);
            // What was written must read back, whatever the file looked like.
            let back = yaml::parse(file, &changed)?;
            if let Some((key, _)) = values.iter().find(|(key, value)| back.get(*key) != Some(value)) {
                return Err(ConfigError::Syntax {
                    file: file.to_owned(),
                    reason: format!("`{key}` cannot be changed in it by this program"),
                });
            }
            yaml::replace(file, &changed, private)?;
        }
        let differs = |key: &&String| draft.settings.written(key) != now.settings.written(key);
        let changed = changes.keys().filter(differs).cloned().collect();
        *self.state.write() = draft.done();
        Ok(changed)
    }
}

/// Settings while they are put together.
#[derive(Default)]
struct Draft {
    settings: Settings,
    set: Vec<&'static str>,
}

impl Draft {
    fn take(&mut self, file: &Path, map: &Map<String, Json>) -> Result<(), ConfigError> {
        for (key, value) in map {
            self.settings
                .set(key, value)
                .map_err(|why| refused(&file.display().to_string(), key, why))?;
            self.mark(key);
        }
        Ok(())
    }

    fn mark(&mut self, key: &str) {
        if let Some(known) = Settings::KEYS.iter().find(|known| known.name == key) {
            self.set.push(known.name);
        }
    }

    fn done(self) -> State {
        let set = Settings::KEYS
            .iter()
            .map(|key| key.name)
            .filter(|name| self.set.contains(name))
            .collect();
        State {
            settings: Arc::new(self.settings),
            set,
        }
    }
}

fn refused(place: &str, key: &str, why: Refused) -> ConfigError {
    match why {
        Refused::Expected(expected) => ConfigError::Value {
            place: place.into(),
            key: key.into(),
            expected: expected.into(),
        },
        Refused::Unknown => {
            let alike = Settings::KEYS.iter().map(|known| (distance(known.name, key), known.name)).min();
            let hint = alike
                .filter(|(n, _)| *n <= 3)
                .map(|(_, name)| format!("; did you mean `{name}`?"))
                .unwrap_or_default();
            ConfigError::UnknownKey {
                place: place.into(),
                key: key.into(),
                hint,
            }
        }
    }
}

/// Letters to insert, delete or replace to make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Reads what earlier 4.0 layouts wrote otherwise; refuses other layouts.
fn of_this_version(file: &Path, mut map: Map<String, Json>) -> Result<Map<String, Json>, ConfigError> {
    if map.contains_key("InvokeAI") {
        let hint = "; start InvokeAI 6.14.2 on it once, which brings the file up to date";
        return Err(ConfigError::SchemaVersion {
            file: file.to_owned(),
            found: "3".into(),
            hint,
        });
    }
    let version = match map.get("schema_version") {
        Some(Json::String(version)) => version.clone(),
        Some(other) => other.to_string(),
        None => return Err(ConfigError::NoSchemaVersion { file: file.to_owned() }),
    };
    if !["4.0.0", "4.0.1", "4.0.2", SCHEMA_VERSION].contains(&version.as_str()) {
        return Err(ConfigError::SchemaVersion {
            file: file.to_owned(),
            found: version,
            hint: "",
        });
    }
    if version == "4.0.0" && map.get("precision").and_then(Json::as_str) == Some("autocast") {
        map.insert("precision".into(), "auto".into());
    }
    if ["4.0.0", "4.0.1"].contains(&version.as_str()) {
        map.remove("convert_cache");
    }
    map.insert("schema_version".into(), SCHEMA_VERSION.into());
    Ok(map)
}

fn example() -> String {
    let defaults = Settings::default();
    let mut text = String::from("# Every key with its default. This file is written anew at every start and never read.\n");
    for key in Settings::KEYS {
        let value = defaults.written(key.name).unwrap_or(Json::Null);
        let _ = write!(text, "\n#{}\n{}: {value}\n", key.help, key.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn load(root: &Path, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::load(
            &Flags {
                root: Some(root.to_owned()),
                ..Flags::default()
            },
            &Environment::of(variables.iter().copied()),
        )
    }

    #[test]
    fn flags_win_over_variables_over_keys_over_file_over_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let yaml = "schema_version: 4.0.3\nhost: file\nport: 1\nlog_level: error\nexternal_openai_api_key: file\nmax_queue_size: 5\n";
        std::fs::write(dir.path().join("invokeai.yaml"), yaml).unwrap();
        std::fs::write(
            dir.path().join("api_keys.yaml"),
            "external_openai_api_key: keys\nexternal_gemini_api_key: keys\n",
        )
        .unwrap();
        let flags = Flags {
            root: Some(dir.path().to_owned()),
            host: Some("flag".into()),
            ..Flags::default()
        };
        let variables = [
            ("INVOKEAI_HOST", "variable"),
            ("InvokeAI_port", "2"),
            ("INVOKEAI_EXTERNAL_GEMINI_API_KEY", "variable"),
            ("INVOKEAI_NOISE", "x"),
            ("INVOKEAI_LOG_LEVEL", ""),
        ];
        let config = Config::load(&flags, &Environment::of(variables)).unwrap();
        let settings = config.settings();
        assert_eq!(
            (settings.host.as_str(), settings.port, settings.log_level.as_str()),
            ("flag", 2, "error")
        );
        assert_eq!(settings.external_openai_api_key.as_ref().unwrap().expose(), "keys");
        assert_eq!(settings.external_gemini_api_key.as_ref().unwrap().expose(), "variable");
        assert_eq!((config.max_queue_size(), settings.http_compression_level), (5, 9));
        assert!(config.set_fields().contains(&"max_queue_size") && !config.set_fields().contains(&"multiuser"));
        assert_eq!(config.redacted()["external_openai_api_key"], json!("**********"));
    }

    #[test]
    fn g05_g06_a_line_anywhere_in_the_file_counts() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("invokeai.yaml"),
            "# top\nmultiuser: true\nschema_version: 4.0.3\nhost: 0.0.0.0\n",
        )
        .unwrap();
        let config = load(dir.path(), &[]).unwrap();
        assert!(config.multiuser());
        assert_eq!(config.settings().host, "0.0.0.0");
        assert_eq!(load(&dir.path().join("none"), &[]).unwrap().settings().host, "127.0.0.1");
    }

    #[test]
    fn mistakes_name_the_place_the_key_and_what_was_expected() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("invokeai.yaml");
        let failure = |yaml: &str, variables: &[(&str, &str)]| {
            std::fs::write(&file, yaml).unwrap();
            load(dir.path(), variables).unwrap_err().to_string()
        };
        let unknown = failure("schema_version: 4.0.3\nmultiusr: true\n", &[]);
        assert!(
            unknown.contains("invokeai.yaml") && unknown.contains("`multiusr`") && unknown.contains("`multiuser`"),
            "{unknown}"
        );
        let value = failure("schema_version: 4.0.3\nport: many\n", &[]);
        assert!(value.contains("invokeai.yaml") && value.contains("`port` must be a"), "{value}");
        let variable = failure("schema_version: 4.0.3\n", &[("INVOKEAI_ALLOW_ORIGINS", "[oops")]);
        assert!(
            variable.contains("INVOKEAI_ALLOW_ORIGINS") && variable.contains("a list of texts"),
            "{variable}"
        );
        assert!(failure("multiuser: true\n", &[]).contains("schema_version: 4.0.3"));
        assert!(failure("InvokeAI:\n  Web: {}\n", &[]).contains("6.14.2"));
        assert!(failure("schema_version: 9.9.9\n", &[]).contains("9.9.9"));
        std::fs::write(&file, "schema_version: 4.0.3\n").unwrap();
        std::fs::write(dir.path().join("api_keys.yaml"), "host: x\n").unwrap();
        assert!(load(dir.path(), &[]).unwrap_err().to_string().contains("api_keys.yaml"));
    }

    #[test]
    fn older_layouts_of_version_4_are_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("invokeai.yaml"),
            "schema_version: 4.0.0\nprecision: autocast\nconvert_cache: 20\n",
        )
        .unwrap();
        assert_eq!(load(dir.path(), &[]).unwrap().settings().precision, "auto");
    }

    #[test]
    fn what_is_written_first_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let config = load(dir.path(), &[]).unwrap();
        config.write_initial().unwrap();
        let again = load(dir.path(), &[]).unwrap();
        assert_eq!(again.set_fields(), ["schema_version", "session_queue_mode"]);
        assert_eq!((again.set_fields(), again.redacted()), (config.set_fields(), config.redacted()));
    }

    #[test]
    fn the_example_lists_every_key_and_means_the_defaults() {
        let dir = tempfile::tempdir().unwrap();
        load(dir.path(), &[]).unwrap().write_initial().unwrap();
        std::fs::copy(dir.path().join("invokeai.example.yaml"), dir.path().join("invokeai.yaml")).unwrap();
        let all = load(dir.path(), &[]).unwrap();
        assert_eq!(all.set_fields().len(), Settings::KEYS.len());
        assert_eq!(all.redacted(), Json::Object(Settings::default().redacted()));
    }

    #[test]
    fn g35_new_installations_serve_first_come_first_served() {
        let dir = tempfile::tempdir().unwrap();
        let people = [("INVOKEAI_MULTIUSER", "true")];
        let fresh = load(dir.path(), &people).unwrap();
        fresh.write_initial().unwrap();
        assert_eq!(
            [fresh.queue_mode(), load(dir.path(), &people).unwrap().queue_mode()],
            [QueueMode::Fifo; 2]
        );
        // A file that was there before means what InvokeAI reads in it.
        std::fs::write(dir.path().join("invokeai.yaml"), "schema_version: 4.0.3\nmultiuser: true\n").unwrap();
        assert_eq!(load(dir.path(), &[]).unwrap().queue_mode(), QueueMode::RoundRobin);
    }

    #[test]
    fn a_change_holds_now_and_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("invokeai.yaml"), "# mine\nschema_version: 4.0.3\n").unwrap();
        let config = load(dir.path(), &[]).unwrap();
        let changes = |value: Json| value.as_object().unwrap().clone();
        config
            .change(&changes(json!({"max_queue_history": 100, "image_subfolder_strategy": "date"})))
            .unwrap();
        for config in [&config, &load(dir.path(), &[]).unwrap()] {
            assert_eq!(config.settings().max_queue_history, Some(100));
            assert_eq!(config.image_subfolder_strategy(), SubfolderStrategy::Date);
        }
        assert!(
            std::fs::read_to_string(dir.path().join("invokeai.yaml"))
                .unwrap()
                .starts_with("# mine\n")
        );
        let half = config.change(&changes(json!({"max_queue_history": 5, "image_subfolder_strategy": "zigzag"})));
        assert!(matches!(half, Err(ConfigError::Value { .. })));
        assert_eq!(config.settings().max_queue_history, Some(100));
        assert!(matches!(
            config.change(&changes(json!({"multiuser": true}))),
            Err(ConfigError::Fixed(_))
        ));
        config
            .change_providers(&changes(json!({"external_openai_api_key": "sk-1"})))
            .unwrap();
        assert!(load(dir.path(), &[]).unwrap().settings().external_openai_api_key.is_some());
        config.change_providers(&changes(json!({"external_openai_api_key": null}))).unwrap();
        assert!(config.settings().external_openai_api_key.is_none());
    }
}
