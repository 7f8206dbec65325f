//! FLUX.1 in single files: transformers, LoRA in the layouts of its trainers, ControlNets, image prompts.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Header, adapter::preprocessor, class};
use crate::models::peft;

/// Before the names of a transformer that was bundled with other models.
const BUNDLED: &str = "model.diffusion_model.";
/// The width of FLUX.1's transformer.
const WIDTH: usize = 3072;
/// The width of its hidden layers between attentions.
const HIDDEN: usize = 4 * WIDTH;
/// Widths of the text embeddings that FLUX.2's transformers take.
const LATER_CONTEXTS: &[usize] = &[7680, 12288, 15360];
/// Widths of the pooled text embeddings that FLUX.2's transformers take.
const LATER_VECTORS: &[usize] = &[2560, 4096, 5120];

/// Whether a name of the transformer's stands in a file, bare or bundled.
fn holds(header: &Header, name: &str) -> bool {
    shape(header, name).is_some()
}

fn shape<'a>(header: &'a Header, name: &str) -> Option<&'a [usize]> {
    header.shape(name).or_else(|| header.shape(&format!("{BUNDLED}{name}")))
}

/// The class of a transformer of FLUX.1; `None` if it is something else, one of FLUX.2 for instance.
pub(super) fn main(header: &Header) -> Option<Map<String, Value>> {
    const NF4: &str = "double_blocks.0.img_attn.proj.weight.quant_state.bitsandbytes__nf4";
    const NORM: &str = "double_blocks.0.img_attn.norm.key_norm.scale";
    let bare = || {
        header
            .iter()
            .any(|(name, _)| name.starts_with("double_blocks.") && !name.contains("ip_adapter"))
    };
    if !header.any_starts(&["cond_stage_model.", "first_stage_model.", BUNDLED]) && !bare() {
        return None;
    }
    // XLabs' ControlNets hold a transformer's first blocks as well.
    if is_controlnet(header) {
        return None;
    }
    let channels = shape(header, "img_in.weight")?.get(1).copied()?;
    let wide_context = shape(header, "context_embedder.weight")
        .and_then(|s| s.get(1))
        .is_some_and(|n| *n > 4096);
    let format = if holds(header, NF4) {
        "bnb_quantized_nf4b"
    } else if wide_context || channels == 128 {
        return None;
    } else if header.is_gguf() {
        "gguf_quantized"
    } else if holds(header, NORM) {
        "checkpoint"
    } else {
        return None;
    };
    let variant = match (holds(header, "guidance_in.out_layer.weight"), channels) {
        (true, 384) => "dev_fill",
        (true, _) => "dev",
        (false, _) => "schnell",
    };
    let shared = json!({"type": "main", "trigger_phrases": null, "default_settings": null, "config_path": null});
    let own = if format == "checkpoint" {
        json!({"format": format, "base": "flux", "variant": variant})
    } else {
        json!({"base": "flux", "format": format, "variant": variant})
    };
    let mut found = class(shared);
    found.extend(class(own));
    Some(found)
}

/// The class of a T5 encoder as llama.cpp's converters write it.
pub(super) fn t5(header: &Header) -> Option<Map<String, Value>> {
    let is_one = header.is_gguf() && (header.any_starts(&["enc.blk."]) || header.any_ends(&["enc.output_norm.weight"]));
    is_one.then(|| class(json!({"config_path": null, "base": "any", "type": "t5_encoder", "format": "gguf_quantized", "cpu_only": null})))
}

/// How the keys of a LoRA for FLUX are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Names of diffusers with dots, q, k and v apart.
    Diffusers,
    /// A LoRA that widens the first layer for a control picture.
    Control,
    /// Any other: kohya's, OneTrainer's, AI Toolkit's, XLabs', names of Black Forest Labs with PEFT's or LyCORIS' endings.
    Other,
}

/// The text after a number and an underscore.
fn after_number(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < text.len()).then(|| rest.strip_prefix('_')).flatten()
}

/// Whether a key names a layer of one of FLUX' text encoders as kohya's scripts do.
fn of_text_encoder(key: &str) -> bool {
    let clip = || {
        let rest = after_number(key.strip_prefix("lora_te1_text_model_encoder_layers_")?)?;
        Some(rest.starts_with("mlp_") || rest.starts_with("self_attn_"))
    };
    let t5 = || {
        let rest = after_number(key.strip_prefix("lora_te2_encoder_block_")?)?;
        let rest = after_number(rest.strip_prefix("layer_")?)?;
        Some(rest.starts_with("DenseReluDense_") || rest.starts_with("SelfAttention_"))
    };
    clip() == Some(true) || t5() == Some(true)
}

/// Whether a key names a layer of the transformer as kohya's scripts do.
fn of_kohya(key: &str) -> bool {
    const PARTS: &[&str] = &[
        "img_attn",
        "img_mlp",
        "img_mod",
        "txt_attn",
        "txt_mlp",
        "txt_mod",
        "linear1",
        "linear2",
        "modulation",
    ];
    let in_block = || {
        let rest = key.strip_prefix("lora_unet_")?;
        let rest = ["double_blocks_", "single_blocks_"]
            .iter()
            .find_map(|blocks| rest.strip_prefix(blocks))?;
        let rest = after_number(rest)?;
        Some(PARTS.iter().any(|part| rest.starts_with(part)))
    };
    in_block() == Some(true) || key.starts_with("lora_unet_final_layer_linear")
}

fn of_onetrainer(key: &str) -> bool {
    let rest = key
        .strip_prefix("lora_transformer_single_transformer_blocks_")
        .or_else(|| key.strip_prefix("lora_transformer_transformer_blocks_"));
    rest.and_then(after_number).is_some_and(|rest| rest.contains('.'))
}

/// `double_blocks.N.processor.{qkv,proj}_lora{1,2}.{down,up}.weight`
fn of_xlabs(key: &str) -> bool {
    let rest = key
        .strip_prefix("double_blocks.")
        .map(|r| r.trim_start_matches(|c: char| c.is_ascii_digit()));
    let rest = rest.and_then(|r| r.strip_prefix(".processor.")).unwrap_or_default();
    ["qkv_lora1", "qkv_lora2", "proj_lora1", "proj_lora2"]
        .iter()
        .any(|part| matches!(rest.strip_prefix(part), Some(".down.weight" | ".up.weight")))
}

/// The names of a file's tensors, without the name of PEFT's adapter where it has one and the same everywhere.
fn plain_names(header: &Header) -> BTreeSet<String> {
    let plain = peft::plain(header.iter().map(|(name, _)| name));
    header.iter().map(|(name, _)| plain(name)).collect()
}

/// The layout of a LoRA for FLUX.1 or 2; `None` if it is none.
fn layout(header: &Header) -> Option<Layout> {
    let names = plain_names(header);
    let all = |test: &dyn Fn(&str) -> bool| !names.is_empty() && names.iter().all(|name| test(name));
    let any = |test: &dyn Fn(&str) -> bool| names.iter().any(|name| test(name));
    if all(&|name| of_kohya(name) || of_text_encoder(name)) || all(&|name| of_onetrainer(name) || of_text_encoder(name)) {
        return Some(Layout::Other);
    }
    let is_split = |name: &str| {
        [".qkv.0.", ".qkv.1.", ".qkv.2.", ".linear1.0."]
            .iter()
            .any(|part| name.contains(part))
    };
    let in_block = |name: &str| name.starts_with("transformer.double_blocks.") || name.starts_with("transformer.single_blocks.");
    let endings = ["lora_down.weight", "lora_up.weight", "alpha"];
    if all(&|name| name.starts_with("transformer.") && endings.iter().any(|end| name.ends_with(end))) && any(&is_split) && any(&in_block) {
        return Some(Layout::Other);
    }
    if is_diffusers(&names) {
        return Some(Layout::Diffusers);
    }
    if is_control(header) {
        return Some(Layout::Control);
    }
    if is_aitoolkit(header, &names) || all(&of_xlabs) || is_plain(&names) {
        return Some(Layout::Other);
    }
    None
}

fn is_diffusers(names: &BTreeSet<String>) -> bool {
    const ENDINGS: &[&str] = &["lora_A.weight", "lora_B.weight", "lora.down.weight", "lora.up.weight"];
    if !names.iter().all(|name| ENDINGS.iter().any(|end| name.ends_with(end))) {
        return false;
    }
    let first = |prefix: &str| {
        let layers = ["single_transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.add_q_proj"];
        layers.iter().all(|layer| {
            ["lora_A", "lora_B"]
                .iter()
                .all(|side| names.contains(&format!("{prefix}{layer}.{side}.weight")))
        })
    };
    let later = |prefix: &str| {
        names.iter().any(|name| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with("single_transformer_blocks.") || rest.starts_with("transformer_blocks."))
        }) && names.iter().any(|name| is_later_name(name))
    };
    ["transformer.", "base_model.model."].iter().any(|prefix| first(prefix))
        || ["transformer.", "base_model.model.", ""].iter().any(|prefix| later(prefix))
}

/// Whether a key names a layer that diffusers' transformer of FLUX.2 alone has.
fn is_later_name(name: &str) -> bool {
    ["to_qkv_mlp_proj", "ff.linear_in", "ff_context.linear_in"]
        .iter()
        .any(|part| name.contains(part))
}

fn is_control(header: &Header) -> bool {
    let length = |name: &str, axis: usize| header.shape(name).and_then(|shape| shape.get(axis).copied());
    let ends = |name: &str| {
        [".lora_A.weight", ".lora_B.weight", ".lora_B.bias", ".scale"]
            .iter()
            .any(|end| name.contains(end))
    };
    length("img_in.lora_A.weight", 1) == Some(128)
        && length("img_in.lora_B.weight", 0) == Some(WIDTH)
        && length("img_in.lora_B.bias", 0) == Some(WIDTH)
        && header.iter().all(|(name, _)| ends(name))
}

/// Endings that LyCORIS' trainers give to the tensors of a layer.
const LYCORIS: &[&str] = &[
    "lokr_w1",
    "lokr_w2",
    "lokr_w1_a",
    "lokr_w1_b",
    "lokr_w2_a",
    "lokr_w2_b",
    "lokr_t2",
    "hada_w1_a",
    "hada_w1_b",
    "hada_w2_a",
    "hada_w2_b",
    "hada_t1",
    "hada_t2",
];

fn is_aitoolkit(header: &Header, names: &BTreeSet<String>) -> bool {
    let in_block = |name: &String| name.starts_with("diffusion_model.double_blocks.") || name.starts_with("diffusion_model.single_blocks.");
    let of_lycoris = |name: &String| LYCORIS.iter().any(|end| name.ends_with(end));
    if !names.iter().any(in_block) || names.iter().any(of_lycoris) {
        return false;
    }
    if !header.has_notes() {
        return true;
    }
    let software = header.note("software").and_then(|text| serde_json::from_str::<Value>(text).ok());
    software.is_some_and(|software| software.get("name").and_then(Value::as_str) == Some("ai-toolkit"))
}

/// Whether all names are those of Black Forest Labs with a prefix and endings of PEFT or LyCORIS.
fn is_plain(names: &BTreeSet<String>) -> bool {
    const PREFIXES: &[&str] = &["diffusion_model.", "base_model.model."];
    let rest = |name: &str| PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).map(str::to_owned);
    let known = |name: &str| {
        let more = ["lora_A.weight", "lora_B.weight", "alpha", "dora_scale", "diff"];
        more.iter().chain(LYCORIS).any(|end| name.ends_with(end))
    };
    let in_block = |name: &str| rest(name).is_some_and(|rest| rest.starts_with("double_blocks.") || rest.starts_with("single_blocks."));
    !names.is_empty() && names.iter().all(|name| known(name) && rest(name).is_some()) && names.iter().any(|name| in_block(name))
}

/// How many inputs and outputs a layer has that a LoRA was trained for; those that the tensor tells.
fn sides(header: &Header, name: &str, shape: &[usize]) -> (Option<usize>, Option<usize>) {
    let side = |part: &str, axis: usize| {
        let (layer, _) = name.rsplit_once('.')?;
        header.shape(&format!("{layer}.{part}"))?.get(axis).copied()
    };
    let product = |a: &str, b: &str, axis: usize| side(a, axis)?.checked_mul(side(b, axis)?);
    let (first, second) = (shape.first().copied(), shape.get(1).copied());
    if name.ends_with(".lora_down.weight") || (name.contains(".lora_A.") && name.ends_with(".weight")) {
        (second, None)
    } else if name.ends_with(".lora_up.weight") || (name.contains(".lora_B.") && name.ends_with(".weight")) {
        (None, first)
    } else if name.ends_with(".lokr_w1") {
        (product("lokr_w1", "lokr_w2", 1), product("lokr_w1", "lokr_w2", 0))
    } else if name.ends_with(".lokr_w1_b") {
        (product("lokr_w1_b", "lokr_w2_b", 1), None)
    } else if name.ends_with(".lokr_w1_a") {
        (None, product("lokr_w1_a", "lokr_w2_a", 0))
    } else {
        (None, None)
    }
}

/// Whether a LoRA of such a layout was trained for FLUX.2, by the widths and names in which its transformers differ.
fn is_for_later(header: &Header) -> bool {
    let mut is_as_wide = false;
    let mut hidden = None;
    for (name, shape) in header.iter() {
        if is_later_name(name) {
            return true;
        }
        let (inputs, outputs) = sides(header, name, shape);
        let names = |layers: &[&str]| layers.iter().any(|layer| name.contains(layer));
        if let Some(inputs) = inputs {
            let of_context = names(&["txt_in.", "context_embedder."]) && LATER_CONTEXTS.contains(&inputs);
            let of_vector = names(&[
                "vector_in.in_layer.",
                "vector_in_in_layer.",
                "text_embedder.linear_1.",
                "text_embedder_linear_1.",
            ]) && LATER_VECTORS.contains(&inputs);
            if of_context || of_vector {
                return true;
            }
            if names(&["img_attn.proj.", "img_attn_proj."]) {
                if inputs != WIDTH {
                    return true;
                }
                is_as_wide = true;
            }
        }
        if names(&["img_mlp.0.", "img_mlp_0."]) {
            hidden = hidden.or(outputs);
        }
    }
    is_as_wide && hidden.is_some_and(|hidden| hidden != HIDDEN)
}

/// Whether a file is a LoRA for FLUX.1 that changes weights and needs no picture; in a folder, any such.
pub(super) fn is_lora(header: &Header, in_folder: bool) -> bool {
    layout(header).is_some_and(|layout| in_folder || layout != Layout::Control) && !is_for_later(header)
}

/// Whether a file is a LoRA of some FLUX, whichever.
pub(super) fn is_any_lora(header: &Header) -> bool {
    layout(header).is_some()
}

/// Whether a LoRA of the Open Model Initiative's format may be one: not if its keys are those of another.
pub(super) fn may_be_omi(header: &Header) -> bool {
    !matches!(layout(header), Some(Layout::Control | Layout::Diffusers))
}

/// The class of a LoRA that widens the transformer's first layer for a control picture.
pub(super) fn control_lora(header: &Header, name: &str) -> Option<Map<String, Value>> {
    is_control(header).then(|| {
        class(json!({
            "default_settings": {"preprocessor": preprocessor(name), "fp8_storage": null}, "base": "flux", "type": "control_lora",
            "format": "lycoris", "trigger_phrases": null,
        }))
    })
}

fn holds_layers(header: &Header, layers: &[&str]) -> bool {
    layers.iter().all(|layer| {
        ["bias", "weight"]
            .iter()
            .all(|part| header.shape(&format!("{layer}.{part}")).is_some())
    })
}

/// Whether a file is a ControlNet of XLabs or InstantX.
pub(super) fn is_controlnet(header: &Header) -> bool {
    holds_layers(header, &["controlnet_blocks.0", "input_hint_block.0", "pos_embed_input"])
        || holds_layers(header, &["controlnet_blocks.0", "controlnet_x_embedder"])
}

/// Whether a file is an IP-Adapter of XLabs.
pub(super) fn is_ip_adapter(header: &Header) -> bool {
    let layers = [
        "double_blocks.0.processor.ip_adapter_double_stream_k_proj",
        "double_blocks.0.processor.ip_adapter_double_stream_v_proj",
        "ip_adapter_proj_model.norm",
        "ip_adapter_proj_model.proj",
    ];
    holds_layers(header, &layers)
}

/// The class of the model that turns a picture's embedding into tokens.
pub(super) fn redux(header: &Header) -> Option<Map<String, Value>> {
    let is_one = header.len() == 4 && holds_layers(header, &["redux_down", "redux_up"]);
    is_one.then(|| class(json!({"type": "flux_redux", "format": "checkpoint", "base": "flux"})))
}
