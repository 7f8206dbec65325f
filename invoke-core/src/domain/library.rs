//! What people keep for later use: workflows, style presets and system prompts.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{UserId, image::wire_enum};
use crate::env::Timestamp;

wire_enum! {
    /// Whose a workflow or preset is.
    Origin {
        /// Somebody's own.
        User = "user",
        /// Shipped with the program.
        Default = "default",
    }
}

/// A workflow of the library.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// Identifier.
    pub workflow_id: String,
    /// Its owner.
    pub user_id: UserId,
    /// Whether everybody may see it.
    pub is_public: bool,
    /// Own or shipped.
    pub category: Origin,
    /// Name.
    pub name: String,
    /// Description.
    pub description: String,
    /// Tags, in one text with commas between them.
    pub tags: String,
    /// When it was made.
    pub created_at: String,
    /// When it last changed, or was opened.
    pub updated_at: String,
    /// When it was last opened.
    pub opened_at: Option<String>,
    /// The document itself, as the editor wrote it.
    pub document: Value,
}

impl Workflow {
    /// Whether it ships with the program.
    pub fn is_default(&self) -> bool {
        self.category == Origin::Default
    }

    /// Its tags one by one.
    pub fn tag_list(&self) -> impl Iterator<Item = &str> {
        self.tags.split(',').map(str::trim).filter(|tag| !tag.is_empty())
    }
}

/// A pair of prompt templates with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StylePreset {
    /// Identifier.
    pub id: String,
    /// Its owner.
    pub user_id: UserId,
    /// Whether everybody may see it.
    pub is_public: bool,
    /// Own or shipped.
    pub origin: Origin,
    /// Name.
    pub name: String,
    /// Template of the prompt; `{prompt}` stands for what a person typed.
    pub positive_prompt: String,
    /// Template of the negative prompt.
    pub negative_prompt: String,
}

impl StylePreset {
    /// Whether it ships with the program.
    pub fn is_default(&self) -> bool {
        self.origin == Origin::Default
    }
}

/// An instruction for language models, with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemPrompt {
    /// Identifier.
    pub id: String,
    /// Its owner.
    pub user_id: UserId,
    /// Whether everybody may see it.
    pub is_public: bool,
    /// Name.
    pub name: String,
    /// The instruction.
    pub content: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A system prompt as the wire carries it.
#[derive(Debug, Clone, Serialize)]
pub struct SystemPromptDto {
    name: String,
    content: String,
    id: String,
    user_id: UserId,
    is_public: bool,
    created_at: String,
    updated_at: String,
}

impl From<&SystemPrompt> for SystemPromptDto {
    fn from(prompt: &SystemPrompt) -> Self {
        Self {
            name: prompt.name.clone(),
            content: prompt.content.clone(),
            id: prompt.id.clone(),
            user_id: prompt.user_id.clone(),
            is_public: prompt.is_public,
            created_at: prompt.created_at.iso_micros(),
            updated_at: prompt.updated_at.iso_micros(),
        }
    }
}
