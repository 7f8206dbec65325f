//! Small helps for writing prompts.

mod dynamic_prompts;
mod fonts;

use std::sync::Arc;

use serde_json::{Value, json};

pub use fonts::FontFile;

use super::Shared;
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::Result,
};

/// Use of the helps.
#[derive(Clone)]
pub struct Utilities {
    pub(crate) shared: Arc<Shared>,
}

impl Utilities {
    /// The prompts that a template with `{alternatives|in|braces}` stands for: at most `most` of them, all in order if `combinatorial`, else
    /// drawn by chance (the same ones for the same seed). What cannot be read stands for itself, with the reason.
    pub fn dynamic_prompts(&self, actor: &Actor, template: &str, most: usize, combinatorial: bool, seed: Option<u64>) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let read = dynamic_prompts::Template::parse(template);
        Ok(match read {
            Err(reason) => json!({"prompts": [template], "error": reason}),
            Ok(parsed) if combinatorial => match parsed.unknown_wildcards() {
                unknown if unknown.is_empty() => json!({"prompts": parsed.all(most), "error": null}),
                unknown => {
                    let reason = format!("No values found for wildcard(s): {}", unknown.join(", "));
                    json!({"prompts": [template], "error": reason})
                }
            },
            Ok(parsed) => {
                let seed = seed.unwrap_or_else(|| u64::from(self.shared.env.random_u32()));
                json!({"prompts": parsed.drawn(most, seed), "error": null})
            }
        })
    }
}
