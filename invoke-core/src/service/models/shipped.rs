//! Registering the shipped model at the first start.

use serde_json::{Map, Value, json};

use super::{Models, install::Order};
use crate::{
    domain::{Error, Result},
    models::{MODEL_DESCRIPTION, MODEL_NAME, MODEL_SIDE, Origin, write_shipped},
    repo::settings,
};

/// Set once the shipped model was registered, so that it does not come back after somebody deleted it.
const REGISTERED: &str = "invoke_shipped_model";

impl Models {
    /// Puts the shipped model into the catalogue, once in the life of a root.
    pub(crate) fn register_shipped(&self) -> Result<()> {
        if self.shared.db.read(|tx| settings::get(tx, REGISTERED))?.is_some() {
            return Ok(());
        }
        let folder = self
            .shared
            .layout
            .models_dir()
            .join(format!("tmpinstall_{}", self.shared.env.uuid()));
        write_shipped(&folder)?;
        let mut settings_of_size = Map::new();
        for side in ["width", "height"] {
            settings_of_size.insert(side.into(), json!(MODEL_SIDE));
        }
        let Value::Object(wishes) = json!({
            "name": MODEL_NAME, "description": MODEL_DESCRIPTION, "default_settings": settings_of_size,
        }) else {
            unreachable!("the literal above is an object");
        };
        let order = Order {
            path: &folder,
            inplace: false,
            wishes: &wishes,
            origin: Origin {
                source: MODEL_NAME.into(),
                source_type: "path",
                answer: None,
            },
        };
        let installed = self.install_now(None, &order);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        installed.map_err(|(kind, text)| Error::internal("registering the shipped model", format!("{kind}: {text}")))?;
        self.shared
            .db
            .write(|tx| settings::get_or_set(tx, REGISTERED, "1", self.shared.env.now()))?;
        Ok(())
    }
}
