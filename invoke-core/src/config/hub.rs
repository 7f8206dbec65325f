//! Where the model hub is, and where its token is kept: by the variables and the file that the hub's own tools use, so that a sign-in made with
//! those holds here, and one made here holds there.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Environment, Secret};

/// The hub if no variable names another.
const ENDPOINT: &str = "https://huggingface.co";
/// Longest token that is read, in bytes.
const MOST_BYTES: u64 = 4096;

/// The hub and the place of its token.
#[derive(Debug, Clone)]
pub struct HubPlace {
    endpoint: String,
    fixed: Option<Secret>,
    file: Option<PathBuf>,
}

impl HubPlace {
    /// A hub at an address, its token kept in a file.
    pub fn new(endpoint: impl Into<String>, file: Option<PathBuf>) -> Self {
        Self {
            endpoint: endpoint.into(),
            fixed: None,
            file,
        }
    }

    /// By `HF_ENDPOINT`; the token by `HF_TOKEN`, else in the file `HF_TOKEN_PATH`, else in `token` in the folder `HF_HOME`, which is
    /// `huggingface` in the user's folder of caches.
    pub(super) fn of(environment: &Environment) -> Self {
        let path = |name: &str| environment.get(name).map(PathBuf::from);
        let home = || path("HOME").or_else(|| path("USERPROFILE"));
        let caches = || path("XDG_CACHE_HOME").or_else(|| home().map(|home| home.join(".cache")));
        let folder = || path("HF_HOME").or_else(|| caches().map(|caches| caches.join("huggingface")));
        Self {
            endpoint: environment.get("HF_ENDPOINT").unwrap_or(ENDPOINT).to_owned(),
            fixed: environment
                .get("HF_TOKEN")
                .or_else(|| environment.get("HUGGING_FACE_HUB_TOKEN"))
                .map(Secret::new),
            file: path("HF_TOKEN_PATH").or_else(|| folder().map(|folder| folder.join("token"))),
        }
    }

    /// Address of the hub.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The token, if there is one.
    pub fn token(&self) -> Option<Secret> {
        if let Some(token) = &self.fixed {
            return Some(token.clone());
        }
        let file = self.file.as_deref()?;
        let small = fs::metadata(file).is_ok_and(|about| about.is_file() && about.len() <= MOST_BYTES);
        let text = small.then(|| fs::read_to_string(file).ok()).flatten()?;
        let token = text.trim();
        (!token.is_empty()).then(|| Secret::new(token))
    }

    /// Keeps a token, readable for this user alone, or forgets it; and says whether there was anything to do.
    pub fn set_token(&self, token: Option<&Secret>) -> io::Result<bool> {
        let Some(file) = &self.file else {
            if token.is_none() {
                // Where none can be kept there is none to forget.
                return Ok(false);
            }
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no place for a token of the hub"));
        };
        match token {
            Some(token) => {
                if let Some(folder) = file.parent() {
                    fs::create_dir_all(folder)?;
                }
                write_private(file, token.expose()).map(|()| true)
            }
            None => match fs::remove_file(file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                removed => removed.map(|()| true),
            },
        }
    }
}

impl Default for HubPlace {
    fn default() -> Self {
        Self::new(ENDPOINT, None)
    }
}

/// Writes a file that nobody else may read, whole or not at all.
fn write_private(file: &Path, text: &str) -> io::Result<()> {
    let beside = file.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    io::Write::write_all(&mut options.open(&beside)?, text.as_bytes())?;
    fs::rename(beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_where_the_hubs_tools_look_and_prints_nowhere() {
        let home = tempfile::tempdir().unwrap();
        let place = HubPlace::of(&Environment::of([("HOME", home.path().to_str().unwrap())]));
        assert_eq!((place.endpoint(), place.token()), (ENDPOINT, None));
        assert!(place.set_token(Some(&Secret::new("hf_secret"))).unwrap());
        let file = home.path().join(".cache/huggingface/token");
        assert_eq!(fs::read_to_string(&file).unwrap(), "hf_secret");
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions()) & 0o077,
            0
        );
        assert_eq!(place.token().unwrap().expose(), "hf_secret");
        assert!(place.set_token(None).unwrap() && !place.set_token(None).unwrap());
        assert_eq!(place.token(), None);
        let fixed = HubPlace {
            fixed: Some(Secret::new("hf_fixed")),
            ..place
        };
        assert!(!fixed.set_token(None).unwrap() && fixed.token().is_some());

        let variables = [("HF_ENDPOINT", "http://mirror"), ("HF_HOME", "/hub"), ("HF_TOKEN", "hf_other")];
        let place = HubPlace::of(&Environment::of(variables));
        assert_eq!(place.endpoint(), "http://mirror");
        assert_eq!(
            (place.token().unwrap().expose(), place.file.as_deref()),
            ("hf_other", Some(Path::new("/hub/token")))
        );
        assert!(!format!("{place:?}").contains("hf_other"));
    }
}
