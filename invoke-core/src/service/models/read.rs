//! What everybody may know of models.

use serde_json::{Value, json};

use super::Models;
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::{Error, ModelKey, Result, page::Direction},
    engine::ModelOnDisk,
    models::{ModelRecord, starters},
    repo::models::{self as repo, ModelFilter},
};

pub(super) fn absent() -> Error {
    Error::NotFound("model not found".into())
}

fn parsed(text: &str) -> Option<ModelRecord> {
    let record = ModelRecord::parse(text);
    if record.is_none() {
        tracing::warn!("a model's record is unreadable");
    }
    record
}

impl Models {
    /// A record as the wire carries it: with the address of its picture, if it has one.
    pub(super) fn dressed(&self, record: &ModelRecord) -> Value {
        let mut value = json!(record);
        let picture = self.cover_file(record.key()).filter(|file| file.is_file());
        if let Some(map) = value.as_object_mut() {
            let address = picture.map(|_| format!("api/v2/models/i/{}/image?{}", record.key(), self.shared.env.uuid()));
            map.insert("cover_image".into(), json!(address));
        }
        value
    }

    fn records(&self, actor: &Actor, filter: &ModelFilter, order: &str, direction: Direction) -> Result<Vec<ModelRecord>> {
        let leave = authorize_global::<acts::ReadModels>(actor)?;
        let order = repo::ORDERS
            .iter()
            .find(|(name, _)| *name == order)
            .map_or("name COLLATE NOCASE", |(_, sql)| sql);
        let texts = self
            .shared
            .db
            .read(|tx| repo::list(tx, &leave, filter, order, direction == Direction::Desc))?;
        Ok(texts.iter().filter_map(|text| parsed(text)).collect())
    }

    /// Records of a list; unreadable ones are left out. `order` is a name of [`repo::ORDERS`].
    pub fn list(&self, actor: &Actor, filter: &ModelFilter, order: &str, direction: Direction) -> Result<Vec<Value>> {
        Ok(self
            .records(actor, filter, order, direction)?
            .iter()
            .map(|record| self.dressed(record))
            .collect())
    }

    pub(super) fn record(&self, actor: &Actor, key: &str) -> Result<ModelRecord> {
        let leave = authorize_global::<acts::ReadModels>(actor)?;
        let text = self.shared.db.read(|tx| repo::get(tx, &leave, key))?;
        text.as_deref().and_then(parsed).ok_or_else(absent)
    }

    /// One record.
    pub fn get(&self, actor: &Actor, key: &ModelKey) -> Result<Value> {
        self.record(actor, key.as_str()).map(|record| self.dressed(&record))
    }

    /// The first record with these attributes.
    pub fn get_by_attrs(&self, actor: &Actor, name: &str, model_type: &str, base: &str) -> Result<Value> {
        let filter = ModelFilter {
            bases: vec![base.into()],
            model_type: Some(model_type.into()),
            name: Some(name.into()),
            ..ModelFilter::default()
        };
        let found = self.list(actor, &filter, "name", Direction::Asc)?.into_iter().next();
        found.ok_or_else(|| Error::NotFound("No model found with these attributes".into()))
    }

    /// The first record with this hash.
    pub fn get_by_hash(&self, actor: &Actor, hash: &str) -> Result<Value> {
        let filter = ModelFilter {
            hash: Some(hash.into()),
            ..ModelFilter::default()
        };
        let found = self.list(actor, &filter, "name", Direction::Asc)?.into_iter().next();
        found.ok_or_else(|| Error::NotFound("No model found with this hash".into()))
    }

    /// Models that could be installed by a click, and groups of them; each is marked if a model from its source, or of its name, base and type, is
    /// installed.
    pub fn starters(&self, actor: &Actor) -> Result<Value> {
        authorize_global::<acts::ReadServer>(actor)?;
        let all = self.records(actor, &ModelFilter::default(), "name", Direction::Asc)?;
        Ok(starters(&|source, name, base, kind| {
            let same = |record: &ModelRecord| record.name() == name && record.base() == base && record.model_type() == kind;
            all.iter().any(|record| record.source() == source || same(record))
        }))
    }

    /// Records whose files are gone.
    pub fn missing(&self, actor: &Actor) -> Result<Vec<Value>> {
        let all = self.records(actor, &ModelFilter::default(), "name", Direction::Asc)?;
        Ok(all
            .iter()
            .filter(|record| record.base() != "external" && record.format() != "external_api" && !self.path_of(record).exists())
            .map(|record| self.dressed(record))
            .collect())
    }

    /// A model's record with its place on disk.
    pub fn on_disk(&self, actor: &Actor, key: &ModelKey) -> Result<Option<ModelOnDisk>> {
        match self.record(actor, key.as_str()) {
            Ok(record) => Ok(Some(ModelOnDisk {
                path: self.path_of(&record),
                record: json!(record),
            })),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
