//! From identifiers of models to models in memory.

use std::{path::PathBuf, sync::Arc};

use candle_core::DType;

use crate::{
    diffusion::{
        flux::{Flux, LATENT_CHANNELS, open_flux, open_flux_vae, open_t5},
        lora::Part,
        preview::LatentRgb,
        text::{T5Encoder, T5Tokenizer},
        vae::Vae,
        weights::Weights,
    },
    models::{Footprint, PartKey},
    nodes::{
        ModelQuery, NodeCx, NodeError,
        fields::{ModelIdentifierField, T5EncoderField, TransformerField, VAEField},
        latents::load::{cached, installed, patched, place_of, took, variant_of, weight_of},
    },
};

/// T5 with its tokenizer.
pub(super) struct TextEncoder {
    pub(super) tokenizer: T5Tokenizer,
    pub(super) model: T5Encoder,
}

/// The transformer, with its LoRAs.
pub(super) fn transformer(cx: &dyn NodeCx, field: &TransformerField) -> Result<Arc<Flux>, NodeError> {
    let bench = cx.workbench();
    let dtype = bench.wide_dtype();
    let place = place_of(&installed(cx, &field.transformer)?, "transformer");
    cached(
        cx,
        (&field.transformer, "transformer", variant_of(dtype, &field.loras)),
        weight_of(dtype),
        || Ok(open_flux(&place)?),
        |(config, source), room| {
            let source = patched(cx, source, &field.loras, Part::UNet)?;
            let weights = Weights::new(source, dtype, &bench.device).within(room);
            Ok((Flux::load(config, &weights)?, took(bench, &weights)))
        },
    )
}

/// T5, with its LoRAs.
pub(super) fn t5(cx: &dyn NodeCx, field: &T5EncoderField) -> Result<Arc<TextEncoder>, NodeError> {
    let bench = cx.workbench();
    let dtype = bench.wide_dtype();
    // The first is the usual one. Names become folders: no others are taken.
    let part = |model: &ModelIdentifierField, known: [&str; 2]| -> Result<PathBuf, NodeError> {
        let part = model.submodel_type.as_deref().unwrap_or(known[0]);
        let fits = known.contains(&part);
        let fits = fits.then(|| installed(cx, model)).ok_or_else(|| {
            NodeError::value(format!(
                "t5_encoder: its submodel_type is {part}, expected {} or {}",
                known[0], known[1]
            ))
        })?;
        Ok(place_of(&fits?, part))
    };
    let place = part(&field.text_encoder, ["text_encoder_2", "text_encoder_3"])?;
    let tokens = part(&field.tokenizer, ["tokenizer_2", "tokenizer_3"])?;
    if !tokens.is_dir() {
        return Err(NodeError::value(format!(
            "{}: it is a single file without a tokenizer; choose a T5 encoder in a folder, with `text_encoder_2` and `tokenizer_2`",
            field.tokenizer.name
        )));
    }
    cached(
        cx,
        (
            &field.text_encoder,
            "text_encoder_2",
            format!("{} {}", variant_of(dtype, &field.loras), field.tokenizer.key),
        ),
        weight_of(dtype),
        || Ok(open_t5(&place)?),
        |(config, source), room| {
            let tokenizer = T5Tokenizer::open(&tokens)?;
            let source = patched(cx, source, &field.loras, Part::SecondText)?;
            let weights = Weights::new(source, dtype, &bench.device).within(room);
            let model = T5Encoder::load(config, &weights)?;
            Ok((TextEncoder { tokenizer, model }, took(bench, &weights)))
        },
    )
}

/// The picture encoder and decoder, in full precision. A part of its own in the cache: what a single file does not say of itself is taken for FLUX'.
pub(super) fn vae(cx: &dyn NodeCx, field: &VAEField) -> Result<Arc<Vae>, NodeError> {
    let bench = cx.workbench();
    let place = place_of(&installed(cx, &field.vae)?, "vae");
    cached(
        cx,
        (&field.vae, "flux_vae", variant_of(DType::F32, &[])),
        weight_of(DType::F32),
        || {
            let (config, source) = open_flux_vae(&place)?;
            if config.latent_channels != LATENT_CHANNELS {
                return Err(NodeError::value(format!(
                    "vae: {} has latents of {} channels, FLUX' have {LATENT_CHANNELS}",
                    field.vae.name, config.latent_channels
                )));
            }
            Ok((config, source))
        },
        |(config, source), room| {
            let weights = Weights::new(source, DType::F32, &bench.device).within(room);
            Ok((Vae::load(config, &weights)?, took(bench, &weights)))
        },
    )
}

/// The colours of a model's latents: from a file beside it, or measured on the autoencoder given, or on the first that is installed for its base. `None`
/// where there is none.
pub(super) fn latent_rgb(cx: &dyn NodeCx, model: &ModelIdentifierField, given: Option<&VAEField>) -> Option<LatentRgb> {
    let beside = installed(cx, model).ok()?.path.with_extension("latent_rgb.json");
    if let Some(own) = LatentRgb::read(&beside) {
        return Some(own);
    }
    let field = given.cloned().or_else(|| {
        let query = ModelQuery {
            base: Some(&model.base),
            kind: Some("vae"),
            name: None,
        };
        let first = cx.find_models(query).ok()?.into_iter().next()?;
        Some(VAEField {
            vae: serde_json::from_value(first).ok()?,
            seamless_axes: Vec::new(),
        })
    })?;
    let key = PartKey {
        model: field.vae.key.clone(),
        part: "latent_rgb",
        variant: String::new(),
    };
    let measured = cx.workbench().cache.get_or_load(key, Footprint::default(), || {
        let colours = LatentRgb::measured(&*vae(cx, &field)?)?;
        Ok::<_, NodeError>((colours, Footprint::of_main(1 << 10)))
    });
    match measured {
        Ok(colours) => Some(colours.as_ref().clone()),
        Err(error) => {
            tracing::warn!("there are no previews: {error}");
            None
        }
    }
}
