//! The table of keys: name, kind, default, limits, and whether a running server may change it.
//!
//! A key marked `@live` may be changed while a server runs; one marked `@inert` is read and kept, and nothing asks for it.
//!
//! A key is secret by its kind: [`Secret`], [`UrlToken`] and [`ProxyUrl`] are shown masked wherever they are shown.

use std::path::PathBuf;

use serde_json::{Map, Value as Json, json};

use super::{
    BasePath, Devices, LogFormat, LogLevel, ProxyUrl, QueueMode, Secret, SubfolderStrategy, UrlToken,
    value::{Setting, is_device},
};
use crate::domain::shape::{Bounds, Field, HasShape, Shape};

/// Version of the layout of `invokeai.yaml`.
pub const SCHEMA_VERSION: &str = "4.0.3";

/// A limit: whether a value is within it, and what it is, to follow "must be".
struct Limit<T>(fn(&T) -> bool, &'static str);

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name in files and on the wire; in the environment upper-case behind `INVOKEAI_`.
    pub name: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Whether a running server may change it.
    pub live: bool,
    /// Whether nothing here asks for it: it is kept because files of InvokeAI may have it.
    pub inert: bool,
}

/// Why a key cannot be set.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is no such key.
    Unknown,
    /// It must be this.
    Expected(&'static str),
}

/// Whether a key bears a mark.
macro_rules! marked {
    (live live) => {
        true
    };
    (inert inert) => {
        true
    };
    ($mark:ident $($other:ident)?) => {
        false
    };
}

/// What a key is for.
macro_rules! help {
    (inert $($doc:literal)+) => {
        concat!($($doc,)+ " Without effect here; kept for InvokeAI's files.")
    };
    ($(live)? $($doc:literal)+) => {
        concat!($($doc),+)
    };
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $(@$mark:ident)? $name:ident: $kind:ty $(as [$shape:expr])? = $default:expr $(, $limit:expr)?;)+) => {
        /// Every key's value.
        #[derive(Debug, Clone)]
        pub struct Settings { $(#[doc = help!($($mark)? $($doc)+)] pub $name: $kind),+ }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($name: $default),+ }
            }
        }

        impl Settings {
            /// Every key, in the order in which they are shown.
            pub const KEYS: &'static [Key] = &[$(Key {
                name: stringify!($name),
                help: help!($($mark)? $($doc)+),
                live: marked!(live $($mark)?),
                inert: marked!(inert $($mark)?),
            }),+];

            /// What each looks like in a document of the interface.
            pub const FIELDS: &'static [Field] = &[$(Field::optional(stringify!($name), shape!($kind $(, $shape)?))),+];

            /// What a key looks like in a document of the interface.
            ///
            /// # Panics
            /// If there is no such key: ask in constants, then that is an error of the compiler.
            pub const fn shape_of(key: &str) -> Shape {
                let mut at = 0;
                while at < Self::FIELDS.len() {
                    if same(Self::FIELDS[at].name, key) {
                        return Self::FIELDS[at].shape;
                    }
                    at += 1;
                }
                panic!("there is no such key")
            }

            /// Sets a key from a file's or a request's value.
            pub(super) fn set(&mut self, key: &str, json: &Json) -> Result<(), Refused> {
                match key {
                    $(stringify!($name) => {
                        let value = <$kind as Setting>::read(json).ok_or(Refused::Expected(<$kind as Setting>::EXPECTED))?;
                        $(
                            let limit: Limit<$kind> = $limit;
                            if !(limit.0)(&value) {
                                return Err(Refused::Expected(limit.1));
                            }
                        )?
                        self.$name = value;
                        Ok(())
                    })+
                    _ => Err(Refused::Unknown),
                }
            }

            /// Sets a key from a variable's or a flag's text: lists and objects are JSON, anything else stands for itself.
            pub(super) fn set_text(&mut self, key: &str, text: &str) -> Result<(), Refused> {
                let from_json = match key {
                    $(stringify!($name) => <$kind as Setting>::FROM_JSON_TEXT,)+
                    _ => return Err(Refused::Unknown),
                };
                let json = if from_json { serde_json::from_str(text).unwrap_or_else(|_| json!(text)) } else { json!(text) };
                self.set(key, &json)
            }

            /// A key's value as it is written into a file, secrets and all.
            pub(super) fn written(&self, key: &str) -> Option<Json> {
                match key {
                    $(stringify!($name) => Some(Setting::show(&self.$name)),)+
                    _ => None,
                }
            }

            /// Every key's value, secrets masked.
            pub fn redacted(&self) -> Map<String, Json> {
                let mut all = Map::new();
                $(all.insert(stringify!($name).into(), Setting::redacted(&self.$name));)+
                all
            }
        }
    };
}

/// The shape of a key: that of its kind, unless the table says it more closely.
macro_rules! shape {
    ($kind:ty) => {
        <$kind as HasShape>::SHAPE
    };
    ($kind:ty, $shape:expr) => {
        $shape
    };
}

/// Equality of texts in constants.
const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

settings! {
    /// Version of the layout of this file; not for people to change.
    schema_version: String = SCHEMA_VERSION.into();
    /// Path of a models.yaml of long ago.
    @inert legacy_models_yaml_path: Option<PathBuf> = None;
    /// Address to listen on; 0.0.0.0 lets other machines in.
    host: String = "127.0.0.1".into();
    /// Port to listen on.
    port: i64 = 9090, Limit(|port| (0..=65_535).contains(port), "a port from 0 to 65535 (0 takes any free one)");
    /// Other sites whose pages may use the server.
    allow_origins: Vec<String> = Vec::new();
    /// Whether such pages may send credentials.
    allow_credentials: bool = true;
    /// Methods that such pages may use.
    allow_methods: Vec<String> = texts(&["*"]);
    /// Headers that such pages may send.
    allow_headers: Vec<String> = texts(&["*"]);
    /// Certificate, PEM; with its key the server speaks https.
    ssl_certfile: Option<PathBuf> = None;
    /// Key of the certificate, PEM.
    ssl_keyfile: Option<PathBuf> = None;
    /// Path below which a reverse proxy serves this server.
    base_url: Option<BasePath> = None;
    /// Addresses of proxies whose headers are believed.
    forwarded_allow_ips: String = "127.0.0.1".into();
    /// How hard answers are compressed, 0 to 9; 0 is not at all.
    http_compression_level: i64 = 9, Limit(|level| (0..=9).contains(level), "a whole number from 0 to 9");
    /// Whether the parts of prompts are logged.
    @inert log_tokenization: bool = false;
    /// Whether patch-based infilling is used.
    @inert patchmatch: bool = true;
    /// Folder of the models.
    models_dir: PathBuf = "models".into();
    /// Folder of converted models.
    @inert convert_cache_dir: PathBuf = "models/.convert_cache".into();
    /// Folder of downloads.
    download_cache_dir: PathBuf = "models/.download_cache".into();
    /// Folder of the descriptions that single-file models need.
    @inert legacy_conf_dir: PathBuf = "configs".into();
    /// Folder of the database.
    db_dir: PathBuf = "databases".into();
    /// Folder of the images.
    outputs_dir: PathBuf = "outputs".into();
    /// Folder of fonts for the canvas.
    fonts_dir: PathBuf = "fonts".into();
    /// Into which folders new images are sorted: flat, date, type or hash.
    @live image_subfolder_strategy: SubfolderStrategy = SubfolderStrategy::Flat;
    /// Folder of nodes added by hand.
    custom_nodes_dir: PathBuf = "nodes".into();
    /// Folder of the style presets' pictures.
    style_presets_dir: PathBuf = "style_presets".into();
    /// Folder of the workflows' pictures.
    workflow_thumbnails_dir: PathBuf = "workflow_thumbnails".into();
    /// Where log lines go: console, file=PATH, syslog=ADDRESS.
    @inert log_handlers: Vec<String> = texts(&["console"]);
    /// How log lines look: color (in a terminal), plain, syslog (without the time, which syslog adds) or legacy (as color).
    log_format: LogFormat = LogFormat::Color;
    /// How much is logged: debug, info, warning, error or critical.
    log_level: LogLevel = LogLevel::Info;
    /// Whether database statements are logged.
    @inert log_sql: bool = false;
    /// How much the network part logs.
    log_level_network: LogLevel = LogLevel::Warning;
    /// Whether the database lives in memory only.
    use_memory_db: bool = false;
    /// For developers: reload changed code.
    @inert dev_reload: bool = false;
    /// For developers: profile each session.
    @inert profile_graphs: bool = false;
    /// What profiles' names begin with.
    @inert profile_prefix: Option<String> = None;
    /// Folder of profiles.
    @inert profiles_dir: PathBuf = "profiles".into();
    /// Memory for models between uses, in GiB; null decides by itself.
    max_cache_ram_gb: Option<f64> = None, Limit(|gb| gb.is_none_or(|gb| gb > 0.0), "a number above 0, or null");
    /// The same on the accelerator.
    max_cache_vram_gb: Option<f64> = None, Limit(|gb| gb.is_none_or(|gb| gb >= 0.0), "a number not below 0, or null");
    /// Whether the use of memory is logged.
    @inert log_memory_usage: bool = false;
    /// How long an unused model stays in memory, in minutes; 0 keeps it.
    model_cache_keep_alive_min: f64 = 0.0, Limit(|minutes| *minutes >= 0.0, "a number not below 0");
    /// Memory on the accelerator left for the work itself, in GiB.
    device_working_mem_gb: f64 = 3.0, Limit(|gb| *gb >= 0.0, "a number not below 0");
    /// Whether a model may lie partly on the accelerator.
    enable_partial_loading: bool = true;
    /// Whether a copy of weights on the accelerator is kept in memory.
    @inert keep_ram_copy_of_weights: bool = true;
    /// Memory for models, as it was named long ago.
    @inert ram: Option<f64> = None, Limit(|gb| gb.is_none_or(|gb| gb > 0.0), "a number above 0, or null");
    /// The same on the accelerator, as it was named long ago.
    @inert vram: Option<f64> = None, Limit(|gb| gb.is_none_or(|gb| gb >= 0.0), "a number not below 0, or null");
    /// Whether models stay on the accelerator until their place is needed.
    @inert lazy_offload: bool = true;
    /// Settings of torch's memory on CUDA.
    @inert pytorch_cuda_alloc_conf: Option<String> = None;
    /// The device that runs sessions: auto, cpu, cuda, cuda:1, mps.
    device: String = "auto".into(), Limit(|name| name == "auto" || is_device(name), "`auto` or a device such as `cpu`, `cuda`, `cuda:1` or `mps`");
    /// The devices that run sessions side by side: auto, or a list.
    @live generation_devices: Devices = Devices::Auto;
    /// Whether text encoders run on idle devices.
    @inert offload_text_encoders_to_idle_gpus: bool = true;
    /// Number format of models: auto, float16, bfloat16 or float32. On the CPU they compute in float32, but for denoisers and ControlNets with bfloat16.
    precision: String as [Shape::Enum(PRECISIONS)] = "auto".into(),
        Limit(|p| PRECISIONS.contains(&p.as_str()), "one of auto, float16, bfloat16, float32");
    /// Whether both halves of guidance run one after the other, in less memory.
    sequential_guidance: bool = false;
    /// Whether Wan models save memory.
    @inert wan_memory_optimization: bool = false;
    /// Whether PiD models save memory.
    @inert pid_memory_optimization: bool = false;
    /// How attention is computed.
    @inert attention_type: String as [Shape::Enum(ATTENTION_TYPES)] = "auto".into(),
        Limit(|t| ATTENTION_TYPES.contains(&t.as_str()), "one of auto, normal, xformers, sliced, torch-sdp");
    /// Size of a slice of sliced attention: auto, balanced, max, or 1 to 8.
    @inert attention_slice_size: SliceSize = SliceSize(json!("auto"));
    /// Whether pictures are always decoded in tiles.
    force_tiled_decode: bool = false;
    /// How hard PNG files are compressed, 0 to 9.
    pil_compress_level: i64 = 1, Limit(|level| (0..=9).contains(level), "a whole number from 0 to 9");
    /// Items that may wait in the queue.
    max_queue_size: i64 = 10_000, Limit(|size| *size > 0, "a whole number above 0");
    /// Whose item runs next: FIFO, round_robin or fair.
    session_queue_mode: QueueMode as [QUEUE_MODES] = QueueMode::RoundRobin;
    /// Whether the queue is emptied at start.
    clear_queue_on_startup: bool = false;
    /// Finished items that each start keeps in the queue, the newest ones; null keeps all.
    @live max_queue_history: Option<i64> as [Shape::Nullable(&Shape::Int(Bounds::NONE.ge(0.0)))] = None, Limit(|n| n.is_none_or(|n| n >= 0), "a whole number not below 0, or null");
    /// The only nodes that may be used; null allows all.
    allow_nodes: Option<Vec<String>> = None;
    /// Nodes that may not be used.
    deny_nodes: Option<Vec<String>> = None;
    /// Results of nodes kept for reuse.
    node_cache_size: i64 = 512, Limit(|size| *size >= 0, "a whole number not below 0");
    /// How models' hashes are computed.
    @inert hashing_algorithm: String as [Shape::Enum(HASHES)] = "blake3_single".into(), Limit(
        |name| HASHES.contains(&name.as_str()),
        "one of blake3_multi, blake3_single, random, md5, sha1, sha224, sha256, sha384, sha512, blake2b, blake2s, sha3_224, sha3_256, sha3_384, sha3_512, shake_128, shake_256"
    );
    /// Tokens to send along with downloads: a list of url_regex and token.
    remote_api_tokens: Option<Vec<UrlToken>> = None;
    /// Whether the models folder is searched at start.
    @inert scan_models_on_startup: bool = false;
    /// Whether models may be downloaded from private addresses.
    allow_private_download_urls: bool = false;
    /// Proxy for downloads.
    download_proxy: Option<ProxyUrl> = None;
    /// Whether pickled models are loaded without a look inside.
    @inert unsafe_disable_picklescan: bool = false;
    /// Whether models of unknown kind may be installed.
    allow_unknown_models: bool = true;
    /// Whether people log in, each with things of their own.
    multiuser: bool = false;
    /// Whether passwords need 8 characters, upper and lower case, and a digit.
    strict_password_checking: bool = false;
    /// Key for Alibaba Cloud.
    @inert external_alibabacloud_api_key: Option<Secret> = None;
    /// Address of Alibaba Cloud.
    @inert external_alibabacloud_base_url: Option<String> = None;
    /// Key for Gemini.
    @inert external_gemini_api_key: Option<Secret> = None;
    /// Key for OpenAI.
    @inert external_openai_api_key: Option<Secret> = None;
    /// Address of Gemini.
    @inert external_gemini_base_url: Option<String> = None;
    /// Address of OpenAI.
    @inert external_openai_base_url: Option<String> = None;
    /// Key for Seedream.
    @inert external_seedream_api_key: Option<Secret> = None;
    /// Address of Seedream.
    @inert external_seedream_base_url: Option<String> = None;
}

/// The original's two, and ours.
const QUEUE_MODES: Shape = Shape::Union(&[Shape::Enum(&["FIFO", "round_robin"]), Shape::Const("fair")]);

const PRECISIONS: &[&str] = &["auto", "float16", "bfloat16", "float32"];

const ATTENTION_TYPES: &[&str] = &["auto", "normal", "xformers", "sliced", "torch-sdp"];

const HASHES: &[&str] = &[
    "blake3_multi",
    "blake3_single",
    "random",
    "md5",
    "sha1",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "blake2b",
    "blake2s",
    "sha3_224",
    "sha3_256",
    "sha3_384",
    "sha3_512",
    "shake_128",
    "shake_256",
];

/// Size of a slice of sliced attention: a word or a number from 1 to 8.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceSize(Json);

impl HasShape for SliceSize {
    const SHAPE: Shape = Shape::Union(&[Shape::Enum(&["auto", "balanced", "max"]), Shape::IntEnum(&[1, 2, 3, 4, 5, 6, 7, 8])]);
}

impl Setting for SliceSize {
    const EXPECTED: &'static str = "one of auto, balanced, max, or a whole number from 1 to 8";

    fn read(json: &Json) -> Option<Self> {
        if let Some(word @ ("auto" | "balanced" | "max")) = json.as_str() {
            return Some(Self(json!(word)));
        }
        i64::read(json).filter(|n| (1..=8).contains(n)).map(|n| Self(json!(n)))
    }

    fn show(&self) -> Json {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_its_key_may_have() {
        let defaults = Settings::default();
        for key in Settings::KEYS {
            let shown = defaults.written(key.name).unwrap();
            let mut settings = Settings::default();
            assert_eq!(settings.set(key.name, &shown), Ok(()), "{}", key.name);
            assert_eq!(settings.written(key.name), Some(shown), "{}", key.name);
        }
    }

    #[test]
    fn values_out_of_bounds_are_refused_with_what_was_expected() {
        let mut settings = Settings::default();
        let cases = [
            ("port", json!(70_000)),
            ("http_compression_level", json!(10)),
            ("max_queue_size", json!(0)),
            ("max_queue_history", json!(-1)),
            ("device_working_mem_gb", json!(-1)),
            ("image_subfolder_strategy", json!("zigzag")),
            ("image_subfolder_strategy", json!(null)),
            ("generation_devices", json!([])),
            ("generation_devices", json!(["gpu"])),
            ("multiuser", json!("maybe")),
            ("host", json!(7)),
            ("base_url", json!("/api/x")),
            ("remote_api_tokens", json!([{"url_regex": "a"}])),
        ];
        for (key, value) in cases {
            assert!(
                matches!(settings.set(key, &value), Err(Refused::Expected(text)) if !text.is_empty()),
                "{key} {value}"
            );
        }
        assert_eq!(settings.set("hots", &json!("x")), Err(Refused::Unknown));
    }

    #[test]
    fn texts_of_variables_are_read_by_kind() {
        let mut settings = Settings::default();
        for (key, text) in [
            ("port", "9100"),
            ("multiuser", "YES"),
            ("allow_origins", r#"["http://a"]"#),
            ("generation_devices", r#"["cuda:0"]"#),
        ] {
            assert_eq!(settings.set_text(key, text), Ok(()), "{key}");
        }
        assert_eq!((settings.port, settings.multiuser), (9100, true));
        assert_eq!(settings.allow_origins, ["http://a"]);
        assert_eq!(settings.generation_devices, Devices::These(vec!["cuda:0".into()]));
        assert_eq!(settings.set_text("generation_devices", "auto"), Ok(()));
        assert!(settings.set_text("allow_origins", "[\"http://a").is_err());
    }

    #[test]
    fn secrets_are_masked_by_their_kind() {
        let mut settings = Settings::default();
        settings.set("external_openai_api_key", &json!("sk-1")).unwrap();
        settings
            .set("remote_api_tokens", &json!([{"url_regex": "a", "token": "sk-2"}]))
            .unwrap();
        settings.set("download_proxy", &json!("http://me:sk-3@proxy")).unwrap();
        let shown = Json::Object(settings.redacted()).to_string();
        assert!(!shown.contains("sk-") && shown.contains("\"url_regex\":\"a\""), "{shown}");
        assert!(!format!("{settings:?}").contains("sk-"));
        settings.set("download_proxy", &json!("http://proxy:3128")).unwrap();
        assert_eq!(settings.redacted()["download_proxy"], json!("http://proxy:3128"));
    }
}
