//! Kinds of values: how each is read from YAML, JSON or a variable's text, and how it is shown.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{MASK, Secret};
use crate::domain::{
    image::wire_enum,
    shape::{Extra, Field, HasShape, ObjectShape, Shape},
};

/// A kind of value.
pub(super) trait Setting: HasShape + Sized {
    /// What it may be, to follow "must be".
    const EXPECTED: &'static str;
    /// Whether a variable's text is JSON rather than the value itself.
    const FROM_JSON_TEXT: bool = false;

    /// From a parsed file or request. Scalars are accepted as texts too, as the YAML of old installations has them.
    fn read(json: &Json) -> Option<Self>;

    /// As it is written into a file.
    fn show(&self) -> Json;

    /// As it may be seen: without secrets.
    fn redacted(&self) -> Json {
        self.show()
    }
}

impl Setting for String {
    const EXPECTED: &'static str = "a text";

    fn read(json: &Json) -> Option<Self> {
        json.as_str().map(str::to_owned)
    }

    fn show(&self) -> Json {
        json!(self)
    }
}

impl HasShape for PathBuf {
    const SHAPE: Shape = Shape::STR;
}

impl Setting for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn read(json: &Json) -> Option<Self> {
        json.as_str()
            .filter(|text| !text.is_empty() && !text.contains('\0'))
            .map(Self::from)
    }

    fn show(&self) -> Json {
        json!(self.to_string_lossy())
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(json: &Json) -> Option<Self> {
        match json {
            Json::Bool(value) => Some(*value),
            Json::Number(number) => match number.as_i64() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
            Json::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
                "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    fn show(&self) -> Json {
        json!(self)
    }
}

impl Setting for i64 {
    const EXPECTED: &'static str = "a whole number";

    fn read(json: &Json) -> Option<Self> {
        match json {
            Json::Number(number) => number
                .as_i64()
                .or_else(|| number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15).map(|f| f as Self)),
            Json::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    fn show(&self) -> Json {
        json!(self)
    }
}

impl Setting for f64 {
    const EXPECTED: &'static str = "a number";

    fn read(json: &Json) -> Option<Self> {
        let number = match json {
            Json::Number(number) => number.as_f64()?,
            Json::String(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    fn show(&self) -> Json {
        // Whole numbers are shown without a fraction, as they are written in the file.
        if self.fract() == 0.0 && self.abs() < 9e15 {
            json!(*self as i64)
        } else {
            json!(self)
        }
    }
}

impl<T: Setting> Setting for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    const FROM_JSON_TEXT: bool = T::FROM_JSON_TEXT;

    fn read(json: &Json) -> Option<Self> {
        if json.is_null() { Some(None) } else { T::read(json).map(Some) }
    }

    fn show(&self) -> Json {
        self.as_ref().map_or(Json::Null, Setting::show)
    }

    fn redacted(&self) -> Json {
        self.as_ref().map_or(Json::Null, Setting::redacted)
    }
}

impl Setting for Vec<String> {
    const EXPECTED: &'static str = "a list of texts";
    const FROM_JSON_TEXT: bool = true;

    fn read(json: &Json) -> Option<Self> {
        json.as_array()?.iter().map(String::read).collect()
    }

    fn show(&self) -> Json {
        json!(self)
    }
}

impl HasShape for Secret {
    const SHAPE: Shape = Shape::STR;
}

impl Setting for Secret {
    const EXPECTED: &'static str = "a text";

    fn read(json: &Json) -> Option<Self> {
        json.as_str().map(Self::new)
    }

    fn show(&self) -> Json {
        json!(self.expose())
    }

    fn redacted(&self) -> Json {
        json!(MASK)
    }
}

/// A token to send along with downloads from addresses that match a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlToken {
    /// Regular expression on the whole address.
    pub url_regex: String,
    /// What to send.
    pub token: Secret,
}

static URL_TOKEN: ObjectShape = ObjectShape {
    name: "URLRegexTokenPair",
    fields: &[Field::required("url_regex", Shape::STR), Field::required("token", Shape::STR)],
    extra: Extra::Ignore,
};

impl HasShape for UrlToken {
    const SHAPE: Shape = Shape::Object(&URL_TOKEN);
}

impl Setting for Vec<UrlToken> {
    const EXPECTED: &'static str = "a list of `{url_regex, token}`";
    const FROM_JSON_TEXT: bool = true;

    fn read(json: &Json) -> Option<Self> {
        let one = |entry: &Json| {
            let fields = entry.as_object().filter(|fields| fields.len() == 2)?;
            Some(UrlToken {
                url_regex: String::read(fields.get("url_regex")?)?,
                token: Secret::read(fields.get("token")?)?,
            })
        };
        json.as_array()?.iter().map(one).collect()
    }

    fn show(&self) -> Json {
        self.iter()
            .map(|entry| json!({"url_regex": entry.url_regex, "token": entry.token.expose()}))
            .collect()
    }

    fn redacted(&self) -> Json {
        self.iter()
            .map(|entry| json!({"url_regex": entry.url_regex, "token": MASK}))
            .collect()
    }
}

/// Address of a proxy; it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Secret);

impl ProxyUrl {
    /// The address.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    fn visible(&self) -> &str {
        if self.expose().contains('@') { MASK } else { self.expose() }
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.visible())
    }
}

impl HasShape for ProxyUrl {
    const SHAPE: Shape = Shape::STR;
}

impl Setting for ProxyUrl {
    const EXPECTED: &'static str = "an address";

    fn read(json: &Json) -> Option<Self> {
        Secret::read(json).map(Self)
    }

    fn show(&self) -> Json {
        json!(self.expose())
    }

    fn redacted(&self) -> Json {
        json!(self.visible())
    }
}

/// Path below which a proxy serves us: one leading slash, none at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasePath(String);

impl BasePath {
    /// First parts of paths that we serve ourselves.
    const TAKEN: &'static [&'static str] = &["api", "ws", "static", "docs", "redoc", "openapi.json", "locales", "assets"];

    /// The path; empty when it is the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl HasShape for BasePath {
    const SHAPE: Shape = Shape::STR;
}

impl Setting for BasePath {
    const EXPECTED: &'static str =
        "a path such as /invoke, not beginning with api, ws, static, docs, redoc, openapi.json, locales or assets";

    fn read(json: &Json) -> Option<Self> {
        let path = json.as_str()?.trim().trim_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~%".contains(c);
        let first = path.split('/').next().unwrap_or_default();
        if !path.chars().all(plain) || Self::TAKEN.contains(&first) {
            return None;
        }
        Some(Self(if path.is_empty() { String::new() } else { format!("/{path}") }))
    }

    fn show(&self) -> Json {
        json!(self.0)
    }
}

/// Which devices run sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Devices {
    /// Whatever the machine has.
    Auto,
    /// These, at least one.
    These(Vec<String>),
}

/// Whether a text names a device: `cpu`, `mps`, `cuda`, `cuda:1`, `xpu`, `xpu:0`.
pub fn is_device(text: &str) -> bool {
    let (kind, index) = text.split_once(':').map_or((text, None), |(kind, index)| (kind, Some(index)));
    match index {
        None => matches!(kind, "cpu" | "mps" | "cuda" | "xpu"),
        Some(index) => matches!(kind, "cuda" | "xpu") && index.len() <= 4 && !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()),
    }
}

impl HasShape for Devices {
    const SHAPE: Shape = Shape::Union(&[Shape::Const("auto"), Shape::list(&Shape::STR)]);
}

impl Setting for Devices {
    const EXPECTED: &'static str = "`auto`, or a list of one or more devices such as `cuda:0`, `mps` or `cpu`";
    const FROM_JSON_TEXT: bool = true;

    fn read(json: &Json) -> Option<Self> {
        if json.as_str() == Some("auto") {
            return Some(Self::Auto);
        }
        let devices: Vec<String> = Vec::read(json)?;
        (!devices.is_empty() && devices.iter().all(|device| is_device(device))).then_some(Self::These(devices))
    }

    fn show(&self) -> Json {
        match self {
            Self::Auto => json!("auto"),
            Self::These(devices) => json!(devices),
        }
    }
}

wire_enum! {
    /// Whose queue item runs next.
    QueueMode {
        /// The oldest.
        Fifo = "FIFO",
        /// The oldest of the user whose last run is longest ago.
        RoundRobin = "round_robin",
        /// By the time that each user's runs have taken lately.
        Fair = "fair",
    }
}

wire_enum! {
    /// Into which folders new images are sorted.
    SubfolderStrategy {
        /// All in one.
        Flat = "flat",
        /// One a day.
        Date = "date",
        /// One for each category.
        Type = "type",
        /// By the first two characters of the name.
        Hash = "hash",
    }
}

wire_enum! {
    /// How much is logged.
    LogLevel {
        /// Everything.
        Debug = "debug",
        /// What a person may want to follow.
        Info = "info",
        /// What may be wrong.
        Warning = "warning",
        /// What is wrong.
        Error = "error",
        /// What ends the program.
        Critical = "critical",
    }
}

wire_enum! {
    /// How log lines look.
    LogFormat {
        /// Text.
        Plain = "plain",
        /// Text in colours.
        Color = "color",
        /// For syslog.
        Syslog = "syslog",
        /// Text as long ago.
        Legacy = "legacy",
    }
}

macro_rules! words {
    ($($name:ident: $expected:literal),+) => { $(
        impl HasShape for $name {
            const SHAPE: Shape = Shape::Enum($name::TEXTS);
        }

        impl Setting for $name {
            const EXPECTED: &'static str = $expected;

            fn read(json: &Json) -> Option<Self> {
                json.as_str()?.parse().ok()
            }

            fn show(&self) -> Json {
                json!(self.as_str())
            }
        }
    )+ };
}

words! {
    QueueMode: "one of FIFO, round_robin, fair",
    SubfolderStrategy: "one of flat, date, type, hash",
    LogLevel: "one of debug, info, warning, error, critical",
    LogFormat: "one of plain, color, syslog, legacy"
}
