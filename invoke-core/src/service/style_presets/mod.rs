//! Pairs of prompt templates that people keep and share.

mod exchange;
mod shipped;

use std::{path::PathBuf, sync::Arc};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, covers};
use crate::{
    authz::{Actor, Scope, acts, administer, authorize, authorize_global},
    domain::{
        Error, Result,
        library::{Origin, StylePreset},
        limits::{NAME, TEXT, at_most},
        shape::{Check, Extra, Field, ObjectShape, Shape},
    },
    repo::style_presets as repo,
};

/// Use of style presets.
#[derive(Clone)]
pub struct StylePresets {
    pub(crate) shared: Arc<Shared>,
}

/// A preset as a client sends it.
#[derive(Debug, Clone, Deserialize)]
pub struct PresetForm {
    name: String,
    positive_prompt: String,
    negative_prompt: String,
    #[serde(rename = "type")]
    origin: Origin,
    is_public: bool,
}

static FORM: ObjectShape = ObjectShape {
    name: "StylePresetFormData",
    fields: &[
        Field::required("name", Shape::STR),
        Field::required("positive_prompt", Shape::STR),
        Field::required("negative_prompt", Shape::STR),
        Field::required("type", Shape::Enum(Origin::TEXTS)),
        Field::with("is_public", Shape::BOOL, "false"),
    ],
    extra: Extra::Ignore,
};

impl PresetForm {
    /// Reads a client's JSON.
    ///
    /// # Errors
    /// [`Error::BadRequest`] if it is none, or lacks something.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::BadRequest("Invalid preset data".into());
        let given = serde_json::from_str(text).map_err(|_| wrong())?;
        let checked = Check::at("data").run(&Shape::Object(&FORM), given).map_err(|_| wrong())?;
        serde_json::from_value(checked).map_err(|error| Error::internal("reading a checked preset", error))
    }
}

/// A picture that a client sends along.
#[derive(Debug, Clone, Copy)]
pub struct SentPicture<'a> {
    /// Its content type, as the client says.
    pub content_type: Option<&'a str>,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Refuses a preset that would be a burden in everybody's list.
fn bearable(name: &str, positive: &str, negative: &str) -> Result<()> {
    at_most("name", name, NAME)?;
    at_most("positive_prompt", positive, TEXT)?;
    at_most("negative_prompt", negative, TEXT)
}

impl StylePresets {
    /// The presets of a core.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn picture_file(&self, id: &str) -> Option<PathBuf> {
        covers::file(&self.shared.layout.style_preset_images_dir(), id)
    }

    /// A record as the wire carries it.
    fn dressed(&self, preset: &StylePreset) -> Value {
        let picture = self.picture_file(&preset.id).filter(|file| file.is_file());
        json!({
            "name": preset.name,
            "preset_data": {"positive_prompt": preset.positive_prompt, "negative_prompt": preset.negative_prompt},
            "type": preset.origin,
            "is_public": preset.is_public,
            "id": preset.id,
            "user_id": preset.user_id,
            "image": picture.map(|_| format!("api/v1/style_presets/i/{}/image?{}", preset.id, self.shared.env.uuid())),
        })
    }

    /// One's own, what others share and what ships with the program, by name.
    pub fn list(&self, actor: &Actor) -> Result<Vec<Value>> {
        authorize_global::<acts::UseServer>(actor)?;
        let presets = self.shared.db.read(|tx| repo::list(tx, &Scope::of(actor)))?;
        Ok(presets.iter().map(|preset| self.dressed(preset)).collect())
    }

    /// One preset.
    pub fn get(&self, actor: &Actor, id: &str) -> Result<Value> {
        let preset = self
            .shared
            .db
            .read(|tx| authorize::<acts::ReadStylePreset, _>(actor, repo::find(tx, id)?))?;
        Ok(self.dressed(&preset))
    }

    /// A preset's positive and negative prompt.
    pub fn prompts(&self, actor: &Actor, id: &str) -> Result<(String, String)> {
        let preset = self
            .shared
            .db
            .read(|tx| authorize::<acts::ReadStylePreset, _>(actor, repo::find(tx, id)?))?
            .into_inner();
        Ok((preset.positive_prompt, preset.negative_prompt))
    }

    /// A preset's picture, WebP.
    pub fn picture(&self, actor: &Actor, id: &str) -> Result<Vec<u8>> {
        let preset = self
            .shared
            .db
            .read(|tx| authorize::<acts::ReadStylePreset, _>(actor, repo::find(tx, id)?))?;
        covers::read(self.picture_file(&preset.id))
    }

    /// Keeps a preset, and its picture if it has one.
    pub fn create(&self, actor: &Actor, form: PresetForm, picture: Option<SentPicture<'_>>) -> Result<Value> {
        let leave = authorize_global::<acts::UseServer>(actor)?;
        let id = self.shared.env.uuid();
        let deed = match form.origin {
            Origin::Default => administer::<acts::ManageServer>(actor, "style_presets.create_default")
                .map(|deed| Some(deed.to(&id)))
                .map_err(|_| Error::Forbidden("Only admins can create default presets".into()))?,
            Origin::User => None,
        };
        let picture = picture.map(|sent| covers::thumbnail(sent.content_type, sent.bytes)).transpose()?;
        bearable(&form.name, &form.positive_prompt, &form.negative_prompt)?;
        let preset = StylePreset {
            id,
            user_id: actor.user_id().clone(),
            is_public: form.is_public,
            origin: form.origin,
            name: form.name,
            positive_prompt: form.positive_prompt,
            negative_prompt: form.negative_prompt,
        };
        self.shared.db.write(|tx| {
            if let Some(deed) = &deed {
                tx.carry_out(deed);
            }
            repo::insert(tx, &leave, &preset, self.shared.env.now())
        })?;
        if let Some(webp) = picture {
            covers::write(self.picture_file(&preset.id), &webp)?;
        }
        Ok(self.dressed(&preset))
    }

    /// Overwrites a preset. Without a picture the one it has goes.
    pub fn update(&self, actor: &Actor, id: &str, form: PresetForm, picture: Option<SentPicture<'_>>) -> Result<Value> {
        self.may_update(actor, id)?;
        bearable(&form.name, &form.positive_prompt, &form.negative_prompt)?;
        let picture = picture.map(|sent| covers::thumbnail(sent.content_type, sent.bytes)).transpose()?;
        let changed = self.shared.db.write(|tx| -> Result<_> {
            let preset = authorize::<acts::UpdateStylePreset, _>(actor, repo::find(tx, id)?)?;
            let to = StylePreset {
                name: form.name,
                positive_prompt: form.positive_prompt,
                negative_prompt: form.negative_prompt,
                is_public: form.is_public,
                ..StylePreset::clone(&preset)
            };
            repo::update(tx, &preset, &to, self.shared.env.now())?;
            Ok(to)
        })?;
        match picture {
            Some(webp) => covers::write(self.picture_file(id), &webp)?,
            None => drop(covers::remove(self.picture_file(id))?),
        }
        Ok(self.dressed(&changed))
    }

    /// Deletes a preset and its picture.
    pub fn delete(&self, actor: &Actor, id: &str) -> Result<()> {
        self.may_update(actor, id)?;
        self.shared.db.write(|tx| -> Result<_> {
            let preset = authorize::<acts::UpdateStylePreset, _>(actor, repo::find(tx, id)?)?;
            Ok(repo::delete(tx, &preset)?)
        })?;
        covers::remove(self.picture_file(id)).map(drop)
    }

    /// Refuses early, and in the words for what ships with the program.
    fn may_update(&self, actor: &Actor, id: &str) -> Result<()> {
        self.shared
            .db
            .read(|tx| match authorize::<acts::UpdateStylePreset, _>(actor, repo::find(tx, id)?) {
                Err(Error::Forbidden(_)) if repo::is_default(tx, id)? => {
                    Err(Error::Forbidden("Default style presets cannot be modified".into()))
                }
                other => other.map(drop),
            })
    }

    /// Everybody's own presets as a table, for administrators.
    pub fn export_csv(&self, actor: &Actor) -> Result<String> {
        let leave = authorize_global::<acts::ReadServer>(actor)?;
        Ok(exchange::to_csv(&self.shared.db.read(|tx| repo::made_by_people(tx, &leave))?))
    }

    /// Keeps the presets of a table or a JSON list for the administrator who sends it.
    pub fn import(&self, actor: &Actor, content_type: Option<&str>, bytes: &[u8]) -> Result<()> {
        let deed = administer::<acts::ManageServer>(actor, "style_presets.import")?;
        let leave = authorize_global::<acts::UseServer>(actor)?;
        let rows = match content_type.unwrap_or_default() {
            "text/csv" => exchange::from_csv(bytes)?,
            "application/json" => exchange::from_json(bytes)?,
            _ => return Err(Error::Unsupported(String::new())),
        };
        self.shared.db.write(|tx| -> Result<_> {
            tx.carry_out(&deed);
            for row in rows {
                bearable(&row.name, &row.positive_prompt, &row.negative_prompt)?;
                let preset = StylePreset {
                    id: self.shared.env.uuid(),
                    user_id: actor.user_id().clone(),
                    is_public: false,
                    origin: Origin::User,
                    name: row.name,
                    positive_prompt: row.positive_prompt,
                    negative_prompt: row.negative_prompt,
                };
                repo::insert(tx, &leave, &preset, self.shared.env.now())?;
            }
            Ok(())
        })
    }

    /// Brings the presets that ship with the program up to date.
    pub(crate) fn sync_shipped(&self) -> Result<()> {
        Ok(self
            .shared
            .db
            .write(|tx| repo::replace_shipped(tx, &shipped::presets(), self.shared.env.now()))?)
    }
}
