//! What accompanies a main model and lies in a single file: VAE, LoRA, ControlNet, T2I-adapter, IP-adapter, textual inversion, upscaler.

use serde_json::{Map, Value, json};

use super::{Header, class, flux};
use crate::models::upscalers::is_upscaler;

/// The class of an add-on; `None` if it is something else.
pub(super) fn class_of(header: &Header, name: &str) -> Option<Map<String, Value>> {
    vae(header, name)
        .or_else(|| lora(header))
        .or_else(|| flux::control_lora(header, name))
        .or_else(|| controlnet(header, name))
        .or_else(|| ip_adapter(header))
        .or_else(|| flux::redux(header))
        .or_else(|| flux::t5(header))
        .or_else(|| embedding(header))
        .or_else(|| upscaler(header))
}

fn vae(header: &Header, name: &str) -> Option<Map<String, Value>> {
    if !header.any_starts(&["encoder.conv_in", "decoder.conv_in"]) {
        return None;
    }
    let first = header.shape("decoder.conv_in.weight").unwrap_or_default();
    // FLUX.2's have normalisation of batches, those for videos a time axis.
    if header.any_starts(&["bn.running_mean", "bn.running_var"]) || first.len() == 5 || first.get(1) == Some(&32) {
        return None;
    }
    let lower = name.to_lowercase();
    // Three families share a shape; their names tell.
    let by_name = [("xl", "sdxl"), ("sd2", "sd-2"), ("vae", "sd-1")]
        .into_iter()
        .find(|(part, _)| lower.contains(part))
        .map(|(_, base)| base);
    let base = match first.get(1).copied() {
        Some(16) => "flux",
        Some(4) => by_name.unwrap_or("sd-1"),
        _ => by_name?,
    };
    Some(class(
        json!({"config_path": null, "type": "vae", "format": "checkpoint", "cpu_only": null, "base": base}),
    ))
}

/// The width of what a layer of a LoRA takes in, by whichever way it is decomposed.
fn width_of(header: &Header, name: &str, shape: &[usize]) -> Option<usize> {
    let (module, part) = name.split_once('.')?;
    match part {
        "lora_down.weight" | "hada_w1_b" | "hada_w2_b" | "diff" => shape.get(1).copied(),
        "weight" if !module.contains("lora_unet_") => shape.first().copied(),
        _ if part.contains("lokr_") => {
            let side = |part: &str| header.shape(&format!("{module}.{part}")).and_then(|shape| shape.get(1).copied());
            Some(side("lokr_w1")? * side("lokr_w2")?)
        }
        _ => None,
    }
}

/// The width of the text embeddings that a LoRA's cross-attention or text encoder was trained against.
fn token_width(header: &Header) -> Option<usize> {
    let mut encoders = [None, None];
    for (name, shape) in header.iter() {
        let unet = name.starts_with("lora_unet_");
        if unet && (name.contains("_attn2_to_k.") || name.contains("_attn2_to_v.") || name.contains("time_emb_proj.lora_down")) {
            if let Some(width) = width_of(header, name, shape) {
                return Some(width);
            }
        } else if name.contains("_self_attn_") {
            let width = width_of(header, name, shape);
            if name.starts_with("lora_te_") && width.is_some() {
                return width;
            }
            for (encoder, prefix) in encoders.iter_mut().zip(["lora_te1_", "lora_te2_"]) {
                if name.starts_with(prefix) {
                    *encoder = width;
                }
            }
            if let [Some(one), Some(other)] = encoders {
                return Some(one + other);
            }
        }
    }
    // Names of diffusers and of PEFT.
    header.iter().find_map(|(name, shape)| {
        let down = ["lora_A.weight", "lora.down.weight"].iter().any(|end| name.ends_with(end));
        let cross = ["attn2.to_k.", "attn2.to_v.", "attn2.processor.to_k_", "attn2.processor.to_v_"];
        (down && cross.iter().any(|part| name.contains(part)))
            .then(|| shape.last().copied())
            .flatten()
    })
}

/// Whether a LoRA reaches into the third transformer block or a later one of some attention, which only SDXL's denoiser has.
fn reaches_deep(header: &Header) -> bool {
    header.iter().any(|(name, _)| {
        let unet = [
            "down_blocks_",
            "up_blocks_",
            "mid_block_",
            "input_blocks_",
            "output_blocks_",
            "middle_block_",
        ];
        let inner = name
            .strip_prefix("lora_unet_")
            .filter(|rest| unet.iter().any(|block| rest.starts_with(block)));
        inner
            .and_then(|rest| rest.split_once("_transformer_blocks_"))
            .and_then(|(_, rest)| rest.split('_').next()?.parse::<usize>().ok())
            .is_some_and(|block| block >= 2)
    })
}

/// The base of a LoRA, by the widths it was trained against.
pub(super) fn lora_base(header: &Header) -> Option<&'static str> {
    match token_width(header) {
        Some(768) => Some("sd-1"),
        Some(1024) => Some("sd-2"),
        Some(1280 | 2048) => Some("sdxl"),
        _ if reaches_deep(header) => Some("sdxl"),
        _ => None,
    }
}

/// The base of a LoRA that says of itself that it is of the Open Model Initiative's format.
fn omi_base(header: &Header) -> Option<&'static str> {
    let is_omi = header.note("modelspec.sai_model_spec").is_some_and(|text| !text.is_empty())
        && header.note("ot_branch") == Some("omi_format")
        && flux::may_be_omi(header);
    match header.note("modelspec.architecture").filter(|_| is_omi)? {
        "stable-diffusion-xl-v1-base/lora" => Some("sdxl"),
        "Flux.1-dev/lora" => Some("flux"),
        _ => None,
    }
}

fn lora(header: &Header) -> Option<Map<String, Value>> {
    let record = |format: &str, base: &str| {
        class(json!({
            "type": "lora", "trigger_phrases": null, "default_settings": {"weight": null, "weight_min": null, "weight_max": null},
            "format": format, "base": base,
        }))
    };
    if let Some(base) = omi_base(header) {
        return Some(record("omi", base));
    }
    if flux::is_any_lora(header) {
        return flux::is_lora(header, false).then(|| record("lycoris", "flux"));
    }
    let is_one = header.any_starts(&["lora_te_", "lora_unet_", "lora_te1_", "lora_te2_", "lora_transformer_"])
        || header.any_ends(&[
            "to_k_lora.up.weight",
            "to_q_lora.down.weight",
            "lora_A.weight",
            "lora_B.weight",
            "lokr_w1",
            "lokr_w2",
            "hada_w1_a",
            "hada_w2_a",
        ]);
    is_one.then(|| lora_base(header)).flatten().map(|base| record("lycoris", base))
}

/// Which preprocessor a control model is made for, guessed from its name as the original does.
pub(super) fn preprocessor(name: &str) -> Option<&'static str> {
    const BY_NAME: &[(&str, &str)] = &[
        ("canny", "canny_image_processor"),
        ("mlsd", "mlsd_image_processor"),
        ("depth", "depth_anything_image_processor"),
        ("bae", "normalbae_image_processor"),
        ("normal", "normalbae_image_processor"),
        ("sketch", "pidi_image_processor"),
        ("scribble", "lineart_image_processor"),
        ("lineart anime", "lineart_anime_image_processor"),
        ("lineart_anime", "lineart_anime_image_processor"),
        ("lineart", "lineart_image_processor"),
        ("soft", "hed_image_processor"),
        ("hed", "hed_image_processor"),
        ("shuffle", "content_shuffle_image_processor"),
        ("pose", "dw_openpose_image_processor"),
        ("mediapipe", "mediapipe_face_processor"),
        ("pidi", "pidi_image_processor"),
        ("zoe", "zoe_depth_image_processor"),
        ("color", "color_map_image_processor"),
    ];
    let lower = name.to_lowercase();
    BY_NAME
        .iter()
        .find(|(part, _)| lower.contains(part))
        .map(|(_, processor)| *processor)
}

fn controlnet(header: &Header, name: &str) -> Option<Map<String, Value>> {
    if !header.any_starts(&["controlnet", "control_model", "input_blocks", "controlnet_blocks"]) {
        return None;
    }
    // The middle's bias comes last: it is as wide in all families, and decides only where nothing else is left of the model.
    const PROBES: &[&str] = &[
        "control_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight",
        "control_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
        "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight",
        "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
        "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight",
        "controlnet_mid_block.bias",
    ];
    let base_of = |probe: &&str| match header.shape(probe).and_then(|shape| shape.last().copied()) {
        Some(768) => Some("sd-1"),
        Some(1024) => Some("sd-2"),
        Some(1280 | 2048) => Some("sdxl"),
        _ => None,
    };
    let base = if flux::is_controlnet(header) {
        "flux"
    } else {
        PROBES.iter().find_map(base_of)?
    };
    Some(class(json!({
        "config_path": null, "type": "controlnet", "format": "checkpoint",
        "default_settings": {"preprocessor": preprocessor(name), "fp8_storage": null}, "base": base,
    })))
}

fn ip_adapter(header: &Header) -> Option<Map<String, Value>> {
    let record = |base: &str| class(json!({"type": "ip_adapter", "format": "checkpoint", "base": base}));
    if flux::is_ip_adapter(header) {
        return Some(record("flux"));
    }
    if !header.any_starts(&["image_proj.", "ip_adapter."]) {
        return None;
    }
    let base = match header.shape("ip_adapter.1.to_k_ip.weight").and_then(|shape| shape.last().copied()) {
        Some(768) => "sd-1",
        Some(1024) => "sd-2",
        Some(2048) => "sdxl",
        _ => return None,
    };
    Some(record(base))
}

/// The base of a textual inversion, by the length of its vectors.
pub(super) fn embedding_base(header: &Header) -> Option<&'static str> {
    // torch's files keep the vectors in a dictionary by token.
    let by_token = || {
        header
            .iter()
            .find(|(name, _)| name.starts_with("string_to_param."))
            .map(|(_, shape)| shape)
    };
    let named = ["string_to_param", "emb_params", "clip_g"]
        .iter()
        .find_map(|name| header.shape(name))
        .or_else(by_token);
    let length = match named {
        Some(shape) => shape.last().copied(),
        None if header.len() < 10 => header.iter().next().and_then(|(_, shape)| shape.first().copied()),
        None => None,
    };
    match length {
        Some(768) => Some("sd-1"),
        Some(1024) => Some("sd-2"),
        Some(1280) => Some("sdxl"),
        _ => None,
    }
}

fn embedding(header: &Header) -> Option<Map<String, Value>> {
    let base = embedding_base(header)?;
    Some(class(json!({"type": "embedding", "format": "embedding_file", "base": base})))
}

fn upscaler(header: &Header) -> Option<Map<String, Value>> {
    let is_one = is_upscaler(header.iter().map(|(name, _)| name), |name| header.shape(name).map(<[usize]>::len));
    is_one.then(|| class(json!({"base": "any", "type": "spandrel_image_to_image", "format": "checkpoint"})))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(shapes: &[(&str, &[usize])]) -> Option<String> {
        class_of(&Header::of(shapes), "x").map(|c| {
            format!(
                "{} {} {}",
                c["type"].as_str().unwrap(),
                c["format"].as_str().unwrap(),
                c["base"].as_str().unwrap()
            )
        })
    }

    #[test]
    fn content_tells_the_kind() {
        let cases: &[(&str, &[usize], &str)] = &[
            (
                "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight",
                &[4, 768],
                "lora lycoris sd-1",
            ),
            (
                "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight",
                &[4, 2048],
                "lora lycoris sdxl",
            ),
            (
                "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight",
                &[4, 1024],
                "lora lycoris sd-2",
            ),
            ("decoder.conv_in.weight", &[512, 4, 3, 3], "vae checkpoint sd-1"),
            (
                "control_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight",
                &[320, 768],
                "controlnet checkpoint sd-1",
            ),
            ("emb_params", &[2, 1024], "embedding embedding_file sd-2"),
            ("ip_adapter.1.to_k_ip.weight", &[320, 768], "ip_adapter checkpoint sd-1"),
        ];
        for (name, shape, expected) in cases {
            assert_eq!(kind(&[(name, shape)]).as_deref(), Some(*expected), "{name}");
        }
        assert_eq!(kind(&[("anything", &[5, 5])]), None);
    }
}
