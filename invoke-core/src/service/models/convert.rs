//! Converting a single-file main model to a folder.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{
    Models, PlanError,
    install::Order,
    plan::{client, hub},
};
use crate::{
    authz::{Actor, Deed, acts, administer, authorize_global},
    config::Secret,
    diffusion::{Base, convert_checkpoint, tokenizers_of},
    domain::{Error, ModelKey, Result},
    models::{
        ModelRecord, Origin,
        remote::{Part, Stop, fetch},
    },
    repo::models as repo,
};

/// Where conversions are written before they are installed; no model is ever looked for there.
pub(super) const SCRATCH: &str = ".convert_tmp";
/// Files that make a tokenizer.
const TOKENIZER: &[&str] = &["vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json"];
/// The repository whose tokenizer all of Stable Diffusion's text encoders use.
const TOKENIZER_REPOSITORY: &str = "openai/clip-vit-large-patch14";
/// Bytes of that vocabulary, at least. A model made for tests has a smaller one, which fits no other.
const WHOLE_VOCABULARY: u64 = 500_000;

/// Removes a folder when a conversion is over, however it ends.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("{} was left by a conversion: {error}", self.0.display());
        }
    }
}

impl Models {
    /// Converts a single-file main model to a folder of diffusers' layout, which takes its place: under a new key, with its name, description, source,
    /// hash and picture.
    pub fn convert(&self, actor: &Actor, key: &str) -> Result<Value> {
        let deed = administer::<acts::ManageModels>(actor, "models.convert")?.to(key);
        let _turn = self.installer.converting.try_lock().ok_or_else(|| {
            Error::Conflict("Another model conversion is already in progress. Wait for it to finish and try again.".into())
        })?;
        let _claim = self.claim(key)?;
        let record = self.record(actor, key)?;
        let convertible = record.model_type() == "main"
            && record.format() == "checkpoint"
            && matches!(record.base(), "sd-1" | "sd-2" | "sdxl" | "sdxl-refiner");
        if !convertible {
            return Err(Error::BadRequest(format!(
                "The model with key {key} is not a main SD 1/2/XL checkpoint model."
            )));
        }
        let scratch = Scratch(self.shared.layout.models_dir().join(SCRATCH).join(self.shared.env.uuid()));
        let file = self.path_of(&record);
        let stem = file.file_stem().unwrap_or_default();
        let folder = scratch.0.join(stem);
        let prediction = record.as_map().get("prediction_type").and_then(Value::as_str).unwrap_or("epsilon");
        let base = convert_checkpoint(&file, prediction, &folder).map_err(|error| Error::Conflict(error.to_string()))?;
        self.add_tokenizers(actor, base, &folder)?;
        let new = self.take_over(actor, &deed, &record, &folder)?;
        self.delete_claimed(&record, None)?;
        Ok(new)
    }

    /// Installs the converted folder in the name of the old record.
    fn take_over(&self, actor: &Actor, deed: &Deed<acts::ManageModels>, old: &ModelRecord, folder: &Path) -> Result<Value> {
        let mut wishes = Map::new();
        for name in [
            "name",
            "description",
            "hash",
            "default_settings",
            "trigger_phrases",
            "variant",
            "prediction_type",
        ] {
            if let Some(value) = old.as_map().get(name) {
                wishes.insert(name.into(), value.clone());
            }
        }
        let order = Order {
            path: folder,
            inplace: false,
            wishes: &wishes,
            origin: Origin {
                source: old.source().to_owned(),
                source_type: "path",
                answer: None,
            },
        };
        let new = self
            .install_now(Some(deed), &order)
            .map_err(|(class, text)| Error::Conflict(format!("{class}: {text}")))?;
        let key = new["key"].as_str().unwrap_or_default();
        if let (Some(from), Some(to)) = (self.cover_file(old.key()), self.cover_file(key))
            && from.is_file()
        {
            std::fs::rename(from, to)?;
        }
        self.get(actor, &ModelKey::new(key))
    }

    /// Puts the tokenizers into a converted folder: from another installed model, or else from the hub.
    fn add_tokenizers(&self, actor: &Actor, base: Base, folder: &Path) -> Result<()> {
        let names = tokenizers_of(base);
        let ready = match self.installed_tokenizer(actor)? {
            Some(found) => found,
            None => self.fetched_tokenizer()?,
        };
        for name in names {
            let to = folder.join(name);
            std::fs::create_dir_all(&to)?;
            for file in TOKENIZER {
                let from = ready.join(file);
                if from.is_file() {
                    std::fs::copy(from, to.join(file))?;
                }
            }
        }
        Ok(())
    }

    /// The tokenizer of an installed model that has the whole vocabulary.
    fn installed_tokenizer(&self, actor: &Actor) -> Result<Option<PathBuf>> {
        let leave = authorize_global::<acts::ReadModels>(actor)?;
        let places = self.shared.db.read(|tx| repo::places(tx, &leave))?;
        let models = self.shared.layout.models_dir();
        let whole = |folder: &PathBuf| {
            let vocabulary = std::fs::metadata(folder.join("vocab.json"));
            vocabulary.is_ok_and(|about| about.len() >= WHOLE_VOCABULARY) && folder.join("merges.txt").is_file()
        };
        Ok(places.iter().map(|(_, path)| models.join(path).join("tokenizer")).find(whole))
    }

    /// The tokenizer from the hub, kept in the folder of downloads.
    fn fetched_tokenizer(&self) -> Result<PathBuf> {
        let folder = self.shared.layout.download_cache_dir().join("clip_tokenizer");
        let failed = |text: String| {
            Error::Conflict(format!(
                "The model's tokenizer can neither be taken from an installed model nor be downloaded: {text}"
            ))
        };
        let config = &self.shared.config;
        let line = client(config).map_err(|error| failed(error.to_string()))?.line();
        let hub = hub(config)?;
        let token = config.hub().token();
        for file in TOKENIZER {
            if folder.join(file).is_file() {
                continue;
            }
            let url = hub.file(TOKENIZER_REPOSITORY, file).ok_or(PlanError::Endpoint)?;
            let token = token
                .clone()
                .map(|secret: Secret| crate::models::remote::Token { secret, shown: false });
            let mut part = Part::new(0, url, folder.join(file), false, token);
            fetch(&mut part, &Stop::new(line.clone()), &mut |_, _| {}).map_err(|error| failed(error.to_string()))?;
        }
        Ok(folder)
    }
}

/// What claims of keys are compared by: some file systems take spellings for the same.
pub(super) fn claim_of(key: &str) -> String {
    key.to_lowercase()
}

/// A model's key while something is done with it that must not meet anything else.
pub(super) struct Claim<'c> {
    models: &'c Models,
    key: String,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.models.installer.claims.lock().remove(&self.key);
    }
}

impl Models {
    /// Claims a key until the claim is dropped.
    pub(super) fn claim(&self, key: &str) -> Result<Claim<'_>> {
        let token = claim_of(key);
        if !self.installer.claims.lock().insert(token.clone()) {
            return Err(Error::Conflict(format!(
                "Another operation on model {key} is already in progress. Wait for it to finish and try again."
            )));
        }
        Ok(Claim { models: self, key: token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_one_file_could_stand_for_are_one_claim() {
        assert_eq!(claim_of("Abc"), claim_of("aBC"));
        assert_ne!(claim_of("abc"), claim_of("abd"));
    }
}
