//! Which folder is the root.

use std::path::{Path, PathBuf};

use super::{ConfigError, Environment};

/// The root folder: the flag, else `INVOKEAI_ROOT`, else the folder that holds the active virtual environment, else `invokeai` in the
/// home folder. Absolute; a leading `~/` stands for the home folder.
pub fn resolve_root(flag: Option<&Path>, environment: &Environment) -> Result<PathBuf, ConfigError> {
    let home = environment
        .get("HOME")
        .or_else(|| environment.get("USERPROFILE"))
        .map(PathBuf::from);
    let root = if let Some(flag) = flag {
        flag.to_owned()
    } else if let Some(root) = environment.get("INVOKEAI_ROOT") {
        PathBuf::from(root)
    } else if let Some(parent) = environment.get("VIRTUAL_ENV").and_then(|venv| Path::new(venv).parent()) {
        parent.to_owned()
    } else {
        home.as_deref().ok_or(ConfigError::NoRoot)?.join("invokeai")
    };
    let root = match (root.strip_prefix("~"), &home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => root,
    };
    std::path::absolute(&root).map_err(|source| ConfigError::Folder { folder: root, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g17_root_is_flag_then_variable_then_virtual_environment_then_home() {
        let all = [
            ("HOME", "/home/ann"),
            ("INVOKEAI_ROOT", "/data/invoke"),
            ("VIRTUAL_ENV", "/opt/invoke/.venv"),
        ];
        let root = |flag: Option<&str>, variables: &[(&str, &str)]| {
            resolve_root(flag.map(Path::new), &Environment::of(variables.iter().copied())).unwrap()
        };
        assert_eq!(root(Some("/flag"), &all), Path::new("/flag"));
        assert_eq!(root(Some("~/here"), &all), Path::new("/home/ann/here"));
        assert_eq!(root(None, &all), Path::new("/data/invoke"));
        assert_eq!(root(None, &[all[0], all[2]]), Path::new("/opt/invoke"));
        assert_eq!(root(None, &[all[0], ("INVOKEAI_ROOT", "")]), Path::new("/home/ann/invokeai"));
        assert!(matches!(resolve_root(None, &Environment::default()), Err(ConfigError::NoRoot)));
    }
}
