//! Which models go together.

use super::Models;
use crate::{
    authz::{Actor, acts, administer, authorize_global},
    domain::{Error, Result},
    repo::models as repo,
};

impl Models {
    /// Relates two models.
    pub fn relate(&self, actor: &Actor, one: &str, other: &str) -> Result<()> {
        let deed = administer::<acts::ManageModels>(actor, "models.relate")?.to_all([one, other]);
        if one == other {
            return Err(Error::BadRequest("Cannot relate a model to itself.".into()));
        }
        self.shared.db.write(|tx| -> Result<()> {
            let leave = tx.carry_out(&deed);
            for key in [one, other] {
                repo::get(tx, &leave, key)?.ok_or_else(|| Error::NotFound(format!("model {key} not found")))?;
            }
            Ok(repo::relate(tx, &leave, one, other, self.shared.env.now())?)
        })
    }

    /// Ends a relation; ending what is not there is fine.
    pub fn unrelate(&self, actor: &Actor, one: &str, other: &str) -> Result<()> {
        let deed = administer::<acts::ManageModels>(actor, "models.unrelate")?.to_all([one, other]);
        if one == other {
            return Err(Error::BadRequest("Cannot unlink a model from itself.".into()));
        }
        Ok(self.shared.db.write(|tx| {
            let leave = tx.carry_out(&deed);
            repo::unrelate(tx, &leave, one, other)
        })?)
    }

    /// Keys of the models related to any of these.
    pub fn related(&self, actor: &Actor, keys: &[String]) -> Result<Vec<String>> {
        let leave = authorize_global::<acts::ReadModels>(actor)?;
        Ok(self.shared.db.read(|tx| repo::related(tx, &leave, keys))?)
    }
}
