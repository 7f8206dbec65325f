//! The hub of models: what a repository holds, the token, installing by a link.

use serde_json::{Map, Value, json};

use super::{
    Models, PlanError,
    plan::{client, hub},
};
use crate::{
    authz::{Actor, acts, administer, authorize_global},
    config::Secret,
    domain::{Error, Result},
    models::remote::{HubError, Line, Repository},
};

/// How the hub takes the token that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStatus {
    /// It knows it.
    Valid,
    /// There is none.
    Invalid,
    /// It could not be asked, or does not know it.
    Unknown,
}

impl TokenStatus {
    /// The text on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Unknown => "unknown",
        }
    }
}

/// What became of a wish to install a repository by a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkOutcome {
    /// It is being installed.
    Begun,
    /// There is no such repository.
    Unknown,
    /// It holds several models; which one has to be said.
    Several,
    /// It cannot be installed.
    Failed,
}

impl Models {
    fn line(&self) -> Result<Line, PlanError> {
        Ok(client(&self.shared.config)?.line())
    }

    fn ask_hub(&self, id: &str) -> Result<Repository, PlanError> {
        let token = self.shared.config.hub().token();
        let repository = hub(&self.shared.config)?.repository(&self.line()?, id, None, token.as_ref().map(Secret::expose));
        Ok(repository?)
    }

    /// What a repository of the hub holds: the addresses of its checkpoints, unless it is of the diffusers kind.
    pub fn hub_repository(&self, actor: &Actor, name: Option<&str>) -> Result<Value> {
        authorize_global::<acts::ReadServer>(actor)?;
        let unknown = || Error::BadRequest("No HuggingFace repository found".into());
        let id = name.map(|name| name.split("::").next().unwrap_or(name)).ok_or_else(unknown)?;
        match self.ask_hub(id) {
            Ok(repository) => {
                let urls = repository
                    .checkpoints()
                    .map(|all| all.iter().map(|url| url.as_str()).collect::<Vec<_>>());
                Ok(json!({"urls": urls, "is_diffusers": repository.is_diffusers()}))
            }
            Err(PlanError::Hub(HubError::Unknown(_))) => Err(unknown()),
            Err(error) => Err(Error::BadRequest(error.to_string())),
        }
    }

    /// Begins to install a repository that a link on the hub's pages names.
    pub fn install_by_link(&self, actor: &Actor, id: &str) -> Result<LinkOutcome> {
        authorize_global::<acts::ReadServer>(actor)?;
        let source = match self.ask_hub(id.split("::").next().unwrap_or(id)) {
            Err(PlanError::Hub(HubError::Unknown(_))) => return Ok(LinkOutcome::Unknown),
            Err(error) => {
                tracing::warn!("the hub could not be asked: {error}");
                return Ok(LinkOutcome::Failed);
            }
            Ok(repository) if repository.is_diffusers() => id.to_owned(),
            Ok(repository) => match repository.checkpoints().as_deref() {
                Some([only]) => only.to_string(),
                _ => return Ok(LinkOutcome::Several),
            },
        };
        match self.install(actor, &source, false, None, Map::new()) {
            Ok(_) => Ok(LinkOutcome::Begun),
            Err(error) => {
                tracing::warn!("a repository cannot be installed: {error}");
                Ok(LinkOutcome::Failed)
            }
        }
    }

    /// How the hub takes the token that is kept.
    pub fn hub_token_status(&self, actor: &Actor) -> Result<TokenStatus> {
        authorize_global::<acts::ReadServer>(actor)?;
        let Some(token) = self.shared.config.hub().token() else {
            return Ok(TokenStatus::Invalid);
        };
        Ok(if self.hub_knows(&token) {
            TokenStatus::Valid
        } else {
            TokenStatus::Unknown
        })
    }

    fn hub_knows(&self, token: &Secret) -> bool {
        let asked = || -> Result<bool, PlanError> { Ok(hub(&self.shared.config)?.knows(&self.line()?, token.expose())?) };
        asked().unwrap_or_else(|error| {
            tracing::warn!("the hub could not be asked about a token: {error}");
            false
        })
    }

    /// Keeps a token if the hub knows it; one that it does not know leaves everything as it was.
    pub fn set_hub_token(&self, actor: &Actor, token: &str) -> Result<TokenStatus> {
        let deed = administer::<acts::ManageModels>(actor, "models.set_hub_token")?;
        let token = Secret::new(token.trim());
        // What a header cannot carry is no token.
        let plain = !token.expose().is_empty() && token.expose().bytes().all(|byte| byte.is_ascii_graphic());
        if plain && self.hub_knows(&token) {
            self.shared.config.hub().set_token(Some(&token))?;
            self.shared.db.record(deed)?;
        }
        self.hub_token_status(actor)
    }

    /// Forgets the token.
    pub fn forget_hub_token(&self, actor: &Actor) -> Result<TokenStatus> {
        let deed = administer::<acts::ManageModels>(actor, "models.forget_hub_token")?;
        if self.shared.config.hub().set_token(None)? {
            self.shared.db.record(deed)?;
        }
        self.hub_token_status(actor)
    }
}
