//! Main models in single files, by the widths of their cross-attention.

use serde_json::{Map, Value, json};

use super::{Header, class, main_settings};

const DENOISER: &str = "model.diffusion_model.";
const FIRST_ATTENTION: &str = "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight";
const DEEPER_ATTENTION: &str = "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight";
const FIRST_CONVOLUTION: &str = "input_blocks.0.0.weight";

/// The class of a main checkpoint; `None` if it is something else.
pub(super) fn class_of(header: &Header) -> Option<Map<String, Value>> {
    // A file that holds the denoiser alone may name its tensors without what tells them apart; ControlNets do, too.
    let is_control = || header.any_starts(&["zero_convs.", "input_hint_block."]);
    let prefix = if header.any_starts(&["cond_stage_model.", "first_stage_model.", DENOISER]) {
        DENOISER
    } else if header.shape(FIRST_CONVOLUTION).is_some() && !is_control() {
        ""
    } else {
        return None;
    };
    let shape = |name: &str| header.shape(&format!("{prefix}{name}"));
    let width = |name: &str| shape(name).and_then(|shape| shape.last().copied());
    let (base, size) = match (width(FIRST_ATTENTION), width(DEEPER_ATTENTION)) {
        (Some(768), _) => ("sd-1", Some(512)),
        (Some(1024), _) => ("sd-2", Some(768)),
        (_, Some(2048)) => ("sdxl", Some(1024)),
        (_, Some(1280)) => ("sdxl-refiner", None),
        _ => return None,
    };
    let variant = match shape(FIRST_CONVOLUTION).and_then(|shape| shape.get(1).copied()) {
        Some(4) => "normal",
        Some(9) => "inpaint",
        Some(5) if base == "sd-2" => "depth",
        _ => return None,
    };
    let prediction = if base == "sd-2" { "v_prediction" } else { "epsilon" };
    let settings = if base == "sdxl-refiner" { Value::Null } else { main_settings(size) };
    Some(class(json!({
        "type": "main", "trigger_phrases": null, "default_settings": settings, "config_path": null, "format": "checkpoint",
        "prediction_type": prediction, "variant": variant, "base": base,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_tell_the_base() {
        let base = |name: &str, width: usize| {
            let of = |prefix: &str, more: &str| {
                let (name, first) = (format!("{prefix}{name}"), format!("{prefix}{FIRST_CONVOLUTION}"));
                let header = Header::of(&[(&name, &[320, width]), (&first, &[320, 4, 3, 3]), (more, &[1])]);
                class_of(&header).map(|c| c["base"].clone())
            };
            assert_eq!(of(DENOISER, "x"), of("", "x"));
            assert_eq!(of("", "zero_convs.0.0.weight"), None);
            of(DENOISER, "x")
        };
        assert_eq!(base(FIRST_ATTENTION, 768), Some(json!("sd-1")));
        assert_eq!(base(FIRST_ATTENTION, 1024), Some(json!("sd-2")));
        assert_eq!(base(DEEPER_ATTENTION, 2048), Some(json!("sdxl")));
        assert_eq!(base(DEEPER_ATTENTION, 1280), Some(json!("sdxl-refiner")));
        assert_eq!(base("x", 7), None);
    }
}
