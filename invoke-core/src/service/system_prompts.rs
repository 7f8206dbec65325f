//! Instructions for language models that people keep and share.

use std::sync::Arc;

use super::Shared;
use crate::{
    authz::{Actor, Scope, acts, authorize, authorize_global},
    domain::{
        Result,
        library::{SystemPrompt, SystemPromptDto},
        limits::{NAME, TEXT, at_most},
    },
    repo::system_prompts::{self as repo, Changes},
};

/// Use of system prompts.
#[derive(Clone)]
pub struct SystemPrompts {
    pub(crate) shared: Arc<Shared>,
}

impl SystemPrompts {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// One's own and what others share, by name.
    pub fn list(&self, actor: &Actor) -> Result<Vec<SystemPromptDto>> {
        authorize_global::<acts::UseServer>(actor)?;
        let prompts = self.shared.db.read(|tx| repo::list(tx, &Scope::of(actor)))?;
        Ok(prompts.iter().map(SystemPromptDto::from).collect())
    }

    /// One prompt.
    pub fn get(&self, actor: &Actor, id: &str) -> Result<SystemPromptDto> {
        self.shared
            .db
            .read(|tx| authorize::<acts::ReadSystemPrompt, _>(actor, repo::find(tx, id)?).map(|prompt| SystemPromptDto::from(&*prompt)))
    }

    /// Keeps a prompt. Where everybody is the same person it is everybody's, else its owner's alone.
    pub fn create(&self, actor: &Actor, name: &str, content: &str) -> Result<SystemPromptDto> {
        let leave = authorize_global::<acts::UseServer>(actor)?;
        at_most("name", name, NAME)?;
        at_most("content", content, TEXT)?;
        let now = self.shared.env.now();
        let prompt = SystemPrompt {
            id: self.shared.env.uuid(),
            user_id: actor.user_id().clone(),
            is_public: !self.shared.config.multiuser(),
            name: name.to_owned(),
            content: content.to_owned(),
            created_at: now,
            updated_at: now,
        };
        self.shared.db.write(|tx| repo::insert(tx, &leave, &prompt))?;
        Ok(SystemPromptDto::from(&prompt))
    }

    /// Changes a prompt.
    pub fn update(&self, actor: &Actor, id: &str, changes: &Changes<'_>) -> Result<SystemPromptDto> {
        at_most("name", changes.name.unwrap_or_default(), NAME)?;
        at_most("content", changes.content.unwrap_or_default(), TEXT)?;
        self.shared.db.write(|tx| {
            let prompt = authorize::<acts::UpdateSystemPrompt, _>(actor, repo::find(tx, id)?)?;
            repo::update(tx, &prompt, changes, self.shared.env.now())?;
            authorize::<acts::ReadSystemPrompt, _>(actor, repo::find(tx, id)?).map(|prompt| SystemPromptDto::from(&*prompt))
        })
    }

    /// Deletes a prompt.
    pub fn delete(&self, actor: &Actor, id: &str) -> Result<()> {
        self.shared.db.write(|tx| {
            let prompt = authorize::<acts::DeleteSystemPrompt, _>(actor, repo::find(tx, id)?)?;
            Ok(repo::delete(tx, &prompt)?)
        })
    }
}
