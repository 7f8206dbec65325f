//! What accompanies a main model and lies in a single file: VAE, LoRA, ControlNet, T2I-adapter, IP-adapter, textual inversion, upscaler.

use serde_json::{Map, Value, json};

use super::{Header, class};

/// The class of an add-on; `None` if it is something else.
pub(super) fn class_of(header: &Header, name: &str) -> Option<Map<String, Value>> {
    vae(header, name)
        .or_else(|| lora(header))
        .or_else(|| controlnet(header, name))
        .or_else(|| ip_adapter(header))
        .or_else(|| embedding(header))
        .or_else(|| upscaler(header))
}

fn vae(header: &Header, name: &str) -> Option<Map<String, Value>> {
    if !header.any_starts(&["encoder.conv_in", "decoder.conv_in"]) {
        return None;
    }
    let lower = name.to_lowercase();
    let base = match header.shape("decoder.conv_in.weight").and_then(|shape| shape.get(1).copied()) {
        Some(16) => "flux",
        _ if lower.contains("xl") => "sdxl",
        _ if lower.contains("sd2") => "sd-2",
        _ => "sd-1",
    };
    Some(class(
        json!({"config_path": null, "type": "vae", "format": "checkpoint", "cpu_only": null, "base": base}),
    ))
}

/// The width of the text embeddings that a LoRA's cross-attention or text encoder was trained against.
fn token_width(header: &Header) -> Option<usize> {
    let down = |name: &str| {
        ["lora_down.weight", "lora_A.weight", "lora.down.weight", "hada_w1_b", "hada_w2_b"]
            .iter()
            .any(|s| name.ends_with(s))
    };
    for (name, shape) in header.iter() {
        let flat = name.replace('.', "_");
        let last = shape.last().copied();
        if down(name) && shape.len() == 2 && (flat.contains("attn2_to_k") || flat.contains("attn2_to_v")) {
            return last;
        }
    }
    let mut widths = [None, None];
    for (name, shape) in header.iter() {
        let flat = name.replace('.', "_");
        if down(name) && shape.len() == 2 && (flat.contains("self_attn_q_proj") || flat.contains("self_attn_k_proj")) {
            let second = flat.starts_with("lora_te2_") || flat.starts_with("text_encoder_2_");
            widths[usize::from(second)] = shape.last().copied();
        }
    }
    match widths {
        [Some(a), Some(b)] => Some(a + b),
        [a, b] => a.or(b),
    }
}

fn deep_blocks_only(header: &Header) -> bool {
    header.iter().any(|(name, _)| {
        let flat = name.replace('.', "_");
        flat.split("transformer_blocks_")
            .nth(1)
            .and_then(|rest| rest.split('_').next())
            .and_then(|n| n.parse::<usize>().ok())
            .is_some_and(|n| n >= 2)
    })
}

/// The base of a LoRA, by the widths it was trained against.
pub(super) fn lora_base(header: &Header) -> Option<&'static str> {
    match token_width(header) {
        Some(768) => Some("sd-1"),
        Some(1024) => Some("sd-2"),
        Some(1280 | 2048) => Some("sdxl"),
        _ if deep_blocks_only(header) => Some("sdxl"),
        _ => None,
    }
}

fn lora(header: &Header) -> Option<Map<String, Value>> {
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
    if !is_one {
        return None;
    }
    let base = lora_base(header)?;
    Some(class(json!({
        "type": "lora", "trigger_phrases": null, "default_settings": {"weight": null, "weight_min": null, "weight_max": null},
        "format": "lycoris", "base": base,
    })))
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
        ("lineart_anime", "lineart_anime_image_processor"),
        ("lineart", "lineart_image_processor"),
        ("softedge", "hed_image_processor"),
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
    const PROBES: &[&str] = &[
        "control_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight",
        "control_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
        "controlnet_mid_block.bias",
        "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight",
        "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
        "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    ];
    let width = PROBES
        .iter()
        .find_map(|probe| header.shape(probe))
        .and_then(|shape| shape.last().copied());
    let base = match width {
        Some(768) => "sd-1",
        Some(1024) => "sd-2",
        Some(1280 | 2048) => "sdxl",
        _ => return None,
    };
    Some(class(json!({
        "config_path": null, "type": "controlnet", "format": "checkpoint",
        "default_settings": {"preprocessor": preprocessor(name), "fp8_storage": null}, "base": base,
    })))
}

fn ip_adapter(header: &Header) -> Option<Map<String, Value>> {
    if !header.any_starts(&["image_proj.", "ip_adapter."]) {
        return None;
    }
    let base = match header.shape("ip_adapter.1.to_k_ip.weight").and_then(|shape| shape.last().copied()) {
        Some(768) => "sd-1",
        Some(1024) => "sd-2",
        Some(2048) => "sdxl",
        _ => return None,
    };
    Some(class(json!({"type": "ip_adapter", "format": "checkpoint", "base": base})))
}

fn embedding(header: &Header) -> Option<Map<String, Value>> {
    let named = header.any_starts(&["string_to_param", "emb_params", "clip_g"]);
    let vectors = header.len() < 10
        && header
            .iter()
            .all(|(_, shape)| matches!(shape.len(), 1 | 2) && matches!(shape.last(), Some(768 | 1024 | 1280)));
    if header.len() == 0 || !(named || vectors) {
        return None;
    }
    let widths: Vec<usize> = header.iter().filter_map(|(_, shape)| shape.last().copied()).collect();
    let base = match widths.iter().max() {
        Some(768) => "sd-1",
        Some(1024) => "sd-2",
        Some(1280) => "sdxl",
        _ => return None,
    };
    Some(class(json!({"type": "embedding", "format": "embedding_file", "base": base})))
}

fn upscaler(header: &Header) -> Option<Map<String, Value>> {
    let esrgan_old = header.shape("model.0.weight").is_some() && header.any_starts(&["model.1.sub."]);
    let esrgan_new = header.shape("conv_first.weight").is_some()
        && header.any_starts(&["body.0.rdb1.", "body.0."])
        && header.shape("conv_last.weight").is_some();
    (esrgan_old || esrgan_new).then(|| class(json!({"base": "any", "type": "spandrel_image_to_image", "format": "checkpoint"})))
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
