//! Where a model comes from.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use url::{Position, Url};

use crate::models::remote::{Token, Variant};

/// A source.
#[derive(Debug, Clone, PartialEq)]
pub enum InstallSource {
    /// A file or folder of this machine.
    Local {
        /// Where it lies, absolute.
        path: PathBuf,
        /// Whether it stays there.
        inplace: bool,
    },
    /// A repository of the hub.
    Hub {
        /// `owner/name`.
        id: String,
        /// The variant that is wanted.
        variant: Option<Variant>,
        /// A folder or file of it, or several folders joined by `+`.
        subfolder: Option<String>,
        /// What is sent along.
        token: Option<Token>,
    },
    /// An address.
    Url {
        /// The address.
        url: Url,
        /// What is sent along.
        token: Option<Token>,
    },
    /// A model that a provider runs.
    External {
        /// The provider.
        provider: String,
        /// Its name for the model.
        model: String,
    },
}

impl InstallSource {
    /// Reads what a caller names: a model of a provider, a path that exists, a repository, an address, in this order.
    ///
    /// # Errors
    /// What cannot be read, in words.
    pub fn parse(text: &str, inplace: bool, token: Option<Token>) -> Result<Self, String> {
        let plain = text.trim().trim_matches('"');
        if let Some(named) = plain.strip_prefix("external://") {
            return match named.split_once('/') {
                Some((provider, model)) if !provider.is_empty() && !model.is_empty() => Ok(Self::External {
                    provider: provider.into(),
                    model: model.into(),
                }),
                _ => Err(format!("Invalid external model source: '{plain}'")),
            };
        }
        if !plain.is_empty() && Path::new(plain).exists() {
            let path = std::path::absolute(plain).map_err(|error| error.to_string())?;
            return Ok(Self::Local { path, inplace });
        }
        let unsupported = || format!("Unsupported model source: '{text}'");
        if plain.starts_with("http://") || plain.starts_with("https://") {
            let url = Url::parse(plain).map_err(|_| unsupported())?;
            return Ok(Self::Url { url, token });
        }
        repository(plain, token).ok_or_else(unsupported)
    }

    /// Whether its files are fetched.
    pub const fn is_remote(&self) -> bool {
        matches!(self, Self::Hub { .. } | Self::Url { .. })
    }

    /// Whether two name the same thing, whatever is sent along.
    pub fn is_same(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }

    /// The word for its kind in records.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Local { .. } => "path",
            Self::Hub { .. } => "hf_repo_id",
            Self::Url { .. } => "url",
            Self::External { .. } => "external",
        }
    }

    /// Folders of a repository that are wanted; none for all of it.
    pub fn subfolders(&self) -> Vec<String> {
        match self {
            Self::Hub {
                subfolder: Some(subfolder),
                ..
            } => subfolder.split('+').map(|part| part.trim().to_owned()).collect(),
            _ => Vec::new(),
        }
    }

    /// What is sent along.
    pub const fn token(&self) -> Option<&Token> {
        match self {
            Self::Hub { token, .. } | Self::Url { token, .. } => token.as_ref(),
            Self::Local { .. } | Self::External { .. } => None,
        }
    }

    /// What the record calls it: without what an address may hold of secrets.
    pub fn named(&self) -> String {
        let Self::Url { url, .. } = self else { return self.to_string() };
        format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPath])
    }

    /// The JSON of the wire.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Local { path, inplace } => json!({"path": path.display().to_string(), "inplace": inplace, "type": "local"}),
            Self::Hub {
                id,
                variant,
                subfolder,
                token,
            } => json!({
                "repo_id": id, "variant": variant.map(Variant::as_str), "subfolder": subfolder,
                "access_token": Token::to_json(token.as_ref()), "type": "hf",
            }),
            Self::Url { url, token } => json!({"url": url.as_str(), "access_token": Token::to_json(token.as_ref()), "type": "url"}),
            Self::External { provider, model } => json!({"provider_id": provider, "provider_model_id": model, "type": "external"}),
        }
    }
}

/// The text that records keep and that [`InstallSource::parse`] reads.
impl std::fmt::Display for InstallSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local { path, .. } => write!(f, "{}", path.display()),
            Self::Hub {
                id, variant, subfolder, ..
            } => {
                f.write_str(id)?;
                match (variant, subfolder) {
                    (None, None) => Ok(()),
                    (Some(variant), None) => write!(f, ":{}", variant.as_str()),
                    (variant, Some(subfolder)) => write!(f, ":{}:{subfolder}", variant.map_or("", Variant::as_str)),
                }
            }
            Self::Url { url, .. } => f.write_str(url.as_str()),
            Self::External { provider, model } => write!(f, "external://{provider}/{model}"),
        }
    }
}

/// `owner/name`, `owner/name:variant`, `owner/name:variant:subfolder`, `owner/name::subfolder`.
fn repository(text: &str, token: Option<Token>) -> Option<InstallSource> {
    let mut parts = text.split(':');
    let id = parts.next()?;
    let word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let (owner, name) = id.split_once('/')?;
    if !word(owner) || !word(name) {
        return None;
    }
    let variant = match parts.next() {
        None | Some("") => None,
        Some(text) => Some(Variant::parse(text)?),
    };
    let subfolder = match parts.next().map(|text| text.strip_prefix('/').unwrap_or(text)) {
        None => None,
        Some("") => return None,
        Some(text) => Some(text.to_owned()),
    };
    let leads_away = |folder: &String| folder.split(['/', '+']).any(|step| step == "..");
    if parts.next().is_some() || subfolder.as_ref().is_some_and(leads_away) {
        return None;
    }
    Some(InstallSource::Hub {
        id: id.to_owned(),
        variant,
        subfolder,
        token,
    })
}

/// The changes of a record that a caller can ask for, in the order of the wire.
const WISHES: &[&str] = &[
    "source",
    "source_type",
    "source_api_response",
    "source_url",
    "name",
    "path",
    "description",
    "base",
    "type",
    "key",
    "hash",
    "file_size",
    "format",
    "trigger_phrases",
    "default_settings",
    "provider_id",
    "provider_model_id",
    "capabilities",
    "cpu_only",
    "variant",
    "prediction_type",
    "upcast_attention",
    "config_path",
];

/// Wishes with every key, null where nothing was wished.
pub(super) fn wishes_in_full(wishes: &Map<String, Value>) -> Map<String, Value> {
    WISHES
        .iter()
        .map(|key| ((*key).to_owned(), wishes.get(*key).cloned().unwrap_or(Value::Null)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_reads_back_from_its_text() {
        for text in [
            "owner/name",
            "owner/na.me:fp16",
            "owner/name::vae",
            "owner/name:fp16:unet/sub",
            "owner/name::text_encoder+tokenizer",
            "https://example.com/x.safetensors",
            "external://gemini/banana",
        ] {
            let source = InstallSource::parse(text, false, None).unwrap();
            assert_eq!(source.to_string(), text);
        }
        let source = InstallSource::parse("owner/name:fp16:/vae", false, None).unwrap();
        assert_eq!(
            source.to_json(),
            json!({"repo_id": "owner/name", "variant": "fp16", "subfolder": "vae", "access_token": null, "type": "hf"})
        );
    }

    #[test]
    fn the_record_names_no_secret() {
        let source = InstallSource::parse("https://me:word@example.com:444/a/b.safetensors?token=t#u", false, None).unwrap();
        assert_eq!(source.named(), "https://example.com:444/a/b.safetensors");
        assert_eq!(
            InstallSource::parse("owner/name:fp16", false, None).unwrap().named(),
            "owner/name:fp16"
        );
    }

    #[test]
    fn what_is_no_source_is_refused() {
        for text in [
            "",
            "not a source",
            "a/b/c",
            "/no/such/file",
            "owner/name:fp99",
            "owner/name::../x",
            "external://x",
            "ftp://a/b",
            "https://",
        ] {
            assert!(InstallSource::parse(text, false, None).is_err(), "{text}");
        }
    }
}
