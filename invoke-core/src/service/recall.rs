//! Parameters that a program sends to somebody's open client.

use std::{io::Write, sync::Arc};

use serde::Serialize;
use serde_json::{Map, Serializer, Value, json, ser::Formatter};

use super::{Shared, images::Images, models::Models};
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::{Error, ImageName, QueueId, Result, page::Direction},
    events::Event,
    repo::{client_state, models::ModelFilter},
};

/// Use of the way to somebody's open client.
#[derive(Clone)]
pub struct Recall {
    pub(crate) shared: Arc<Shared>,
    pub(crate) images: Images,
    pub(crate) models: Models,
}

/// Lists of things that name a model, a picture or both, with the types that the model may have, the likeliest first.
const LISTS: &[(&str, &[&str])] = &[
    ("loras", &["lora"]),
    ("control_layers", &["controlnet", "t2i_adapter", "lora"]),
    ("ip_adapters", &["ip_adapter", "flux_redux"]),
    ("reference_images", &[]),
];

/// JSON with spaces behind commas and colons, ASCII alone, as programs that compare it know it from the original.
fn spaced(value: &Value) -> String {
    struct Spaced;
    impl Formatter for Spaced {
        fn begin_array_value<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> std::io::Result<()> {
            to.write_all(if first { b"" } else { b", " })
        }

        fn begin_object_key<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> std::io::Result<()> {
            to.write_all(if first { b"" } else { b", " })
        }

        fn begin_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> std::io::Result<()> {
            to.write_all(b": ")
        }

        fn write_string_fragment<W: ?Sized + Write>(&mut self, to: &mut W, text: &str) -> std::io::Result<()> {
            let mut units = [0; 2];
            text.chars().try_for_each(|c| match c {
                ' '..='~' => to.write_all(&[c as u8]),
                _ => c.encode_utf16(&mut units).iter().try_for_each(|unit| write!(to, "\\u{unit:04x}")),
            })
        }
    }
    let mut out = Vec::new();
    let written = value.serialize(&mut Serializer::with_formatter(&mut out, Spaced));
    written.expect("a JSON value can be written to memory");
    String::from_utf8_lossy(&out).into_owned()
}

impl Recall {
    pub(crate) fn new(shared: Arc<Shared>, images: Images, models: Models) -> Self {
        Self { shared, images, models }
    }

    /// Keeps parameters for one's own client and tells it. `given` has been checked; with `strict`, what is not given is forgotten; with
    /// `append`, reference pictures are added to those that are there.
    pub fn update(&self, actor: &Actor, queue_id: &QueueId, given: Map<String, Value>, strict: bool, append: bool) -> Result<Value> {
        let leave = authorize_global::<acts::UseServer>(actor)?;
        if strict && append {
            return Err(Error::BadRequest(
                "The 'strict' and 'append' query parameters are mutually exclusive".into(),
            ));
        }
        if !actor.is_admin() {
            self.may_see_pictures(actor, &given)?;
        }
        self.shared.maintenance.refuse_if_active()?;
        let is_list = |key: &str| LISTS.iter().any(|(name, _)| *name == key);
        let mut parameters: Map<String, Value> = given
            .into_iter()
            .filter(|(_, value)| strict || !value.is_null())
            .map(|(key, value)| {
                if value.is_null() && is_list(&key) {
                    (key, json!([]))
                } else {
                    (key, value)
                }
            })
            .collect();
        if parameters.is_empty() {
            return Ok(json!({"status": "no_parameters_provided", "updated_count": 0}));
        }
        let updated_count = parameters.len();
        let now = self.shared.env.now();
        self.shared.db.write(|tx| {
            parameters
                .iter()
                .try_for_each(|(key, value)| client_state::set(tx, &leave, actor, &format!("recall_{key}"), &spaced(value), now))
        })?;
        self.resolve(actor, &mut parameters)?;
        if append {
            parameters.insert("append".into(), json!(true));
        }
        self.shared.bus.publish(
            now,
            Event::RecallParametersUpdated {
                queue_id: queue_id.clone(),
                user_id: actor.user_id().clone(),
                parameters: Value::Object(parameters.clone()),
            },
        );
        Ok(json!({"status": "success", "queue_id": queue_id, "updated_count": updated_count, "parameters": parameters}))
    }

    /// What the way is good for; it tells no values.
    pub fn describe(&self, actor: &Actor, queue_id: &QueueId) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        Ok(json!({
            "status": "success",
            "queue_id": queue_id,
            "note": "Parameters are kept under the keys recall_<name> of the client state; POST here to change them.",
        }))
    }

    fn may_see_pictures(&self, actor: &Actor, given: &Map<String, Value>) -> Result<()> {
        let entries = LISTS.iter().filter_map(|(list, _)| given.get(*list)?.as_array()).flatten();
        for name in entries.filter_map(|entry| entry["image_name"].as_str()) {
            if self.picture(actor, name)?.is_none() {
                return Err(Error::Forbidden(format!("Not authorized to access image {name}")));
            }
        }
        Ok(())
    }

    /// A picture's name and size, if the actor may see it.
    fn picture(&self, actor: &Actor, name: &str) -> Result<Option<Value>> {
        let Ok(parsed) = ImageName::parse(name) else { return Ok(None) };
        match self.images.dto(actor, &parsed) {
            Ok(dto) => {
                let dto = json!(dto);
                Ok(Some(json!({"image_name": name, "width": dto["width"], "height": dto["height"]})))
            }
            Err(Error::Forbidden(_) | Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn model_key(&self, actor: &Actor, name: &str, types: &[&str]) -> Result<Option<Value>> {
        for kind in types {
            let filter = ModelFilter {
                name: Some(name.to_owned()),
                model_type: Some((*kind).to_owned()),
                ..ModelFilter::default()
            };
            if let Some(record) = self.models.list(actor, &filter, "name", Direction::Asc)?.first() {
                return Ok(Some(record["key"].clone()));
            }
        }
        Ok(None)
    }

    /// Turns names into what a client can use: models' keys, pictures' sizes. What is not there is left out.
    fn resolve(&self, actor: &Actor, parameters: &mut Map<String, Value>) -> Result<()> {
        if let Some(name) = parameters.get("model").and_then(Value::as_str).map(str::to_owned) {
            match self.model_key(actor, &name, &["main"])? {
                Some(key) => drop(parameters.insert("model".into(), key)),
                None => drop(parameters.shift_remove("model")),
            }
        }
        for (list, types) in LISTS {
            let Some(Value::Array(entries)) = parameters.get(*list).cloned() else {
                continue;
            };
            let mut resolved = Vec::new();
            for entry in entries {
                let Value::Object(mut entry) = entry else { continue };
                entry.retain(|_, value| !value.is_null());
                let mut out = Map::new();
                if !types.is_empty() {
                    let name = entry.shift_remove("model_name").unwrap_or_default();
                    let Some(key) = self.model_key(actor, name.as_str().unwrap_or_default(), types)? else {
                        continue;
                    };
                    out.insert("model_key".into(), key);
                }
                if let Some(name) = entry.shift_remove("image_name") {
                    let picture = self.picture(actor, name.as_str().unwrap_or_default())?;
                    // Without its picture there is nothing to an entry that names no model.
                    if picture.is_none() && types.is_empty() {
                        continue;
                    }
                    out.extend(picture.map(|picture| ("image".to_owned(), picture)));
                }
                out.extend(entry);
                resolved.push(Value::Object(out));
            }
            parameters.insert((*list).into(), Value::Array(resolved));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_spaced_ascii() {
        let value = json!([{"name": "é \"🦊\"\n", "n": 0.75}, [], null]);
        let text = r#"[{"name": "\u00e9 \"\ud83e\udd8a\"\n", "n": 0.75}, [], null]"#;
        assert_eq!(spaced(&value), text);
    }
}
