//! Installed models.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Shared;
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::{Error, ModelKey, Result, page::Direction},
    engine::ModelOnDisk,
    models::ModelRecord,
    repo::models::{self as repo, ModelFilter},
};

/// Use of models.
#[derive(Clone)]
pub struct Models {
    pub(super) shared: Arc<Shared>,
}

fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(text).inspect_err(|error| tracing::warn!("a model's record is unreadable: {error}")).ok()
}

impl Models {
    /// Records of a list; unreadable ones are left out. `order` is a name of [`repo::ORDERS`].
    pub fn list(&self, actor: &Actor, filter: &ModelFilter, order: &str, direction: Direction) -> Result<Vec<Value>> {
        let leave = authorize_global::<acts::ReadModels>(actor)?;
        let order = repo::ORDERS.iter().find(|(name, _)| *name == order).map_or(repo::ORDERS[3].1, |(_, sql)| sql);
        let texts = self.shared.db.read(|tx| repo::list(tx, &leave, filter, order, direction == Direction::Desc))?;
        Ok(texts.iter().filter_map(|text| parsed(text)).collect())
    }

    /// One record.
    pub fn get(&self, actor: &Actor, key: &ModelKey) -> Result<Value> {
        let leave = authorize_global::<acts::ReadModels>(actor)?;
        let text = self.shared.db.read(|tx| repo::get(tx, &leave, key))?;
        text.as_deref().and_then(parsed).ok_or_else(|| Error::NotFound("model not found".into()))
    }

    /// The first record with these attributes.
    pub fn get_by_attrs(&self, actor: &Actor, name: &str, model_type: &str, base: &str) -> Result<Value> {
        let filter = ModelFilter { bases: vec![base.into()], model_type: Some(model_type.into()), name: Some(name.into()), ..ModelFilter::default() };
        let found = self.list(actor, &filter, "name", Direction::Asc)?.into_iter().next();
        found.ok_or_else(|| Error::NotFound("No model found with these attributes".into()))
    }

    /// The first record with this hash.
    pub fn get_by_hash(&self, actor: &Actor, hash: &str) -> Result<Value> {
        let filter = ModelFilter { hash: Some(hash.into()), ..ModelFilter::default() };
        let found = self.list(actor, &filter, "name", Direction::Asc)?.into_iter().next();
        found.ok_or_else(|| Error::NotFound("No model found with this hash".into()))
    }

    /// Records whose files are gone.
    pub fn missing(&self, actor: &Actor) -> Result<Vec<Value>> {
        let all = self.list(actor, &ModelFilter::default(), "name", Direction::Asc)?;
        Ok(all.into_iter().filter(|record| self.path_of(record).is_none_or(|path| !path.exists())).collect())
    }

    fn path_of(&self, record: &Value) -> Option<std::path::PathBuf> {
        record["path"].as_str().map(|path| self.shared.layout.models_dir().join(path))
    }

    /// A model's record with its place on disk.
    pub fn on_disk(&self, actor: &Actor, key: &ModelKey) -> Result<Option<ModelOnDisk>> {
        match self.get(actor, key) {
            Ok(record) => Ok(self.path_of(&record).map(|path| ModelOnDisk { record, path })),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds a record.
    pub fn register(&self, actor: &Actor, record: &ModelRecord) -> Result<()> {
        let leave = authorize_global::<acts::ManageModels>(actor)?;
        let config = json!(record).to_string();
        self.shared.db.write(|tx| repo::insert(tx, &leave, record.key(), &config, self.shared.env.now()))?;
        Ok(())
    }
}
