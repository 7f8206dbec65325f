//! Parts that a model lacks: a file may hold the denoiser alone, as those with few bits an element mostly do. Its text encoder and autoencoder are then
//! taken from another installed model with the same denoiser in shape.

use std::path::Path;

use super::load::installed;
use crate::{
    diffusion::{Result as Read, open_unet, unet::UNetConfig},
    nodes::{ModelOnDisk, ModelQuery, NodeCx, NodeError, fields::ModelIdentifierField},
};

/// The denoiser's shapes, whether it is one for inpainting or not.
fn shapes(path: &Path) -> Read<UNetConfig> {
    let folder = path.join("unet");
    let (config, _) = open_unet(if folder.is_dir() { &folder } else { path })?;
    Ok(UNetConfig { in_channels: 0, ..config })
}

/// The model that `part` of a chosen model comes from: the chosen one, or the first by name that has the part and fits. Files are looked into unless the
/// chosen one's part is in memory, as `is_loaded` says.
pub(super) fn holder(
    cx: &dyn NodeCx,
    chosen: &ModelIdentifierField,
    part: &str,
    is_loaded: bool,
    has: impl Fn(&Path) -> Read<bool>,
) -> Result<(ModelIdentifierField, ModelOnDisk), NodeError> {
    let own = installed(cx, chosen)?;
    // What is wrong with a file is told when its part is opened.
    if is_loaded || own.path.is_dir() || has(&own.path).unwrap_or(true) {
        return Ok((chosen.clone(), own));
    }
    let wanted = shapes(&own.path)?;
    let query = ModelQuery {
        base: Some(&chosen.base),
        kind: Some("main"),
        name: None,
    };
    for record in cx.find_models(query)? {
        let Ok(other) = serde_json::from_value::<ModelIdentifierField>(record) else {
            continue;
        };
        let Some(found) = cx.model(&other.key)? else { continue };
        let fits = has(&found.path).unwrap_or(false) && shapes(&found.path).is_ok_and(|shapes| shapes == wanted);
        if fits {
            let submodel_type = chosen.submodel_type.clone();
            return Ok((ModelIdentifierField { submodel_type, ..other }, found));
        }
    }
    let part = part.trim_end_matches("_2").replace('_', " ");
    Err(NodeError::value(format!(
        "{} holds no {part}, and no other model of base {} is installed that has one and a denoiser of the same shape: install one, or choose another model",
        chosen.name, chosen.base
    )))
}
