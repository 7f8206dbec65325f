//! Subfolders of the store: choosing one, and checking one that a record names.

use std::path::PathBuf;

use super::StoreError;
use crate::{
    config::SubfolderStrategy,
    domain::{ImageName, image::ImageCategory},
    env::Timestamp,
};

/// The subfolder for a new picture. A day is a day in UTC, as in the pictures' records.
pub(super) fn choose(
    strategy: SubfolderStrategy,
    name: &ImageName,
    is_intermediate: bool,
    category: ImageCategory,
    now: Timestamp,
) -> String {
    match strategy {
        SubfolderStrategy::Flat => String::new(),
        SubfolderStrategy::Date => now.sql()[..10].replace('-', "/"),
        SubfolderStrategy::Type if is_intermediate => "intermediate".into(),
        SubfolderStrategy::Type => category.as_str().into(),
        SubfolderStrategy::Hash => name.as_str().chars().take(2).collect(),
    }
}

/// A record's subfolder as a relative path. Records can come from other programs' databases, so each part is checked.
pub(super) fn path(subfolder: &str) -> Result<PathBuf, StoreError> {
    let plain = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    if subfolder.is_empty() {
        return Ok(PathBuf::new());
    }
    if subfolder.len() > 255 || !subfolder.split('/').all(plain) {
        return Err(StoreError::Subfolder(subfolder.chars().take(64).collect()));
    }
    Ok(subfolder.split('/').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_strategy_gives_a_folder_that_is_one() {
        let name = ImageName::parse("0f8c.png").unwrap();
        let now = Timestamp::from_millis(1_790_000_000_000);
        let chosen = |strategy, is_intermediate| choose(strategy, &name, is_intermediate, ImageCategory::Mask, now);
        assert_eq!(chosen(SubfolderStrategy::Flat, false), "");
        assert_eq!(chosen(SubfolderStrategy::Date, false), "2026/09/21");
        assert_eq!(chosen(SubfolderStrategy::Type, true), "intermediate");
        assert_eq!(chosen(SubfolderStrategy::Type, false), "mask");
        assert_eq!(chosen(SubfolderStrategy::Hash, false), "0f");
        for strategy in [
            SubfolderStrategy::Flat,
            SubfolderStrategy::Date,
            SubfolderStrategy::Type,
            SubfolderStrategy::Hash,
        ] {
            assert!(path(&chosen(strategy, false)).is_ok());
        }
    }

    #[test]
    fn a_subfolder_cannot_leave_the_store() {
        for bad in ["..", "../x", "/etc", "a//b", "a/../b", "a\\b", ".delete_x", "a/", "a\0"] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
    }
}
