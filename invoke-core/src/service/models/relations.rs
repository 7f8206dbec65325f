//! Which models go together.

use super::Models;
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::{Error, Result},
    repo::models as repo,
};

impl Models {
    /// Relates two models.
    pub fn relate(&self, actor: &Actor, one: &str, other: &str) -> Result<()> {
        let leave = authorize_global::<acts::ManageModels>(actor)?;
        if one == other {
            return Err(Error::BadRequest("Cannot relate a model to itself.".into()));
        }
        self.shared.db.write(|tx| -> Result<()> {
            for key in [one, other] {
                repo::find(tx, &leave, key)?.ok_or_else(|| Error::NotFound(format!("model {key} not found")))?;
            }
            Ok(repo::relate(tx, &leave, one, other, self.shared.env.now())?)
        })
    }

    /// Ends a relation; ending what is not there is fine.
    pub fn unrelate(&self, actor: &Actor, one: &str, other: &str) -> Result<()> {
        let leave = authorize_global::<acts::ManageModels>(actor)?;
        if one == other {
            return Err(Error::BadRequest("Cannot unlink a model from itself.".into()));
        }
        Ok(self.shared.db.write(|tx| repo::unrelate(tx, &leave, one, other))?)
    }

    /// Keys of the models related to any of these.
    pub fn related(&self, actor: &Actor, keys: &[String]) -> Result<Vec<String>> {
        let leave = authorize_global::<acts::ReadModels>(actor)?;
        Ok(self.shared.db.read(|tx| repo::related(tx, &leave, keys))?)
    }
}
