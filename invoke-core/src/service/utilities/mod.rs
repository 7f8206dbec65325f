//! Small helps: prompts with variants, models that write prompts, fonts for the canvas.

mod fonts;
mod text_models;

use std::sync::Arc;

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

pub use fonts::FontFile;

use super::Shared;
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::Result,
    prompts::dynamic,
};

/// Use of the helps.
#[derive(Clone)]
pub struct Utilities {
    pub(crate) shared: Arc<Shared>,
}

impl Utilities {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The prompts that a template with `{alternatives|in|braces}` stands for: at most `most` of them, all in order if `combinatorial`, else
    /// drawn by chance (the same ones for the same seed). What cannot be read stands for itself, with the reason.
    pub fn dynamic_prompts(&self, actor: &Actor, template: &str, most: usize, combinatorial: bool, seed: Option<u64>) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let prompts = if combinatorial {
            dynamic::all(template, most)
        } else {
            let seed = seed.unwrap_or_else(|| u64::from(self.shared.env.random_u32()));
            let mut rng = StdRng::seed_from_u64(seed);
            dynamic::random(template, most, &mut || rng.random())
        };
        Ok(match prompts {
            // An empty template stands for one empty prompt.
            Ok(prompts) if prompts.is_empty() => json!({"prompts": [""], "error": null}),
            Ok(prompts) => json!({"prompts": prompts, "error": null}),
            Err(reason) => json!({"prompts": [template], "error": reason.to_string()}),
        })
    }
}
