//! Fields of models' records.

use serde_json::Value;

use crate::domain::{
    model_kind::{SCHEDULERS, TYPES},
    shape::{Bounds, Default, Extra, Field, Length, ObjectShape, Rule, Shape},
    validation::Issue,
};

const STR: Shape = Shape::STR;
const STR_OR_NULL: Shape = Shape::Nullable(&Shape::STR);
const BOOL: Shape = Shape::BOOL;
const BOOL_OR_NULL: Shape = Shape::Nullable(&Shape::BOOL);
const FLOAT_OR_NULL: Shape = Shape::Nullable(&Shape::FLOAT);
const STRINGS: Shape = Shape::list(&Shape::STR);
const ABOVE_ZERO: Shape = Shape::Int(Bounds::NONE.gt(0.0));
const ABOVE_ZERO_OR_NULL: Shape = Shape::Nullable(&ABOVE_ZERO);
const NAMED: Shape = Shape::Str(Length::ANY.min(1));

/// A field of every record.
const fn must(name: &'static str, shape: Shape) -> Field {
    Field::required(name, shape)
}

/// A field of settings, null where nothing is set.
const fn may(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        default: Default::Unprinted("null"),
    }
}

macro_rules! object {
    ($(#[$doc:meta])* $vis:vis $name:ident = $wire:literal { $($field:expr),* $(,)? }) => {
        $(#[$doc])*
        $vis const $name: Shape = Shape::Object(&ObjectShape { name: $wire, fields: &[$($field),*], extra: Extra::Forbid });
    };
}

pub(super) const KEY: Field = must("key", STR);
pub(super) const HASH: Field = must("hash", STR);
pub(super) const PATH: Field = must("path", STR);
pub(super) const FILE_SIZE: Field = must("file_size", Shape::INT);
pub(super) const NAME: Field = must("name", STR);
pub(super) const DESCRIPTION: Field = must("description", STR_OR_NULL);
pub(super) const SOURCE: Field = must("source", STR);
pub(super) const SOURCE_TYPE: Field = must("source_type", SOURCE_TYPES);
pub(super) const SOURCE_API_RESPONSE: Field = must("source_api_response", STR_OR_NULL);
pub(super) const SOURCE_URL: Field = must("source_url", STR_OR_NULL);
pub(super) const COVER_IMAGE: Field = must("cover_image", STR_OR_NULL);

/// Where models come from.
pub const SOURCE_TYPES: Shape = Shape::Enum(&["path", "url", "hf_repo_id", "external"]);
/// What a denoiser predicts.
pub const PREDICTIONS: Shape = Shape::Enum(&["epsilon", "v_prediction", "sample"]);

pub(super) const PHRASES: Field = must("trigger_phrases", Shape::Nullable(&STRINGS));
pub(super) const CONFIG_PATH: Field = must("config_path", STR_OR_NULL);
pub(super) const CPU_ONLY: Field = must("cpu_only", BOOL_OR_NULL);
pub(super) const PREDICTION: Field = must("prediction_type", PREDICTIONS);
pub(super) const REPO_VARIANT: Field = must("repo_variant", Shape::Enum(&["", "fp16", "fp32", "onnx", "openvino", "flax"]));
pub(super) const IMAGE_ENCODER: Field = must("image_encoder_model_id", STR);
pub(super) const DUAL_EXPERT: Field = must("has_dual_expert", BOOL);
pub(super) const BOUNDARY_RATIO: Field = must("boundary_ratio", FLOAT_OR_NULL);
pub(super) const CONDITION_CHANNELS: Field = must("cond_in_channels", Shape::Nullable(&Shape::INT));
pub(super) const LATENT_CHANNELS: Field = must("latent_channels", Shape::IntEnum(&[16, 48]));
pub(super) const EXPERT: Field = must("expert", Shape::Enum(&["high", "low", "none"]));
pub(super) const EXPERT_OR_NULL: Field = must("expert", Shape::Nullable(&Shape::Enum(&["high", "low"])));
pub(super) const PROVIDER: Field = must("provider_id", NAMED);
pub(super) const PROVIDER_MODEL: Field = must("provider_model_id", NAMED);
pub(super) const CAPABILITIES: Field = must("capabilities", EXTERNAL_CAPABILITIES);
pub(super) const PANEL: Field = must("panel_schema", Shape::Nullable(&EXTERNAL_PANEL));
pub(super) const TAGS: Field = must("tags", Shape::Nullable(&STRINGS));
pub(super) const IS_DEFAULT: Field = must("is_default", BOOL);
pub(super) const MAIN_SETTINGS: Field = must("default_settings", Shape::Nullable(&MAIN_DEFAULTS));
pub(super) const LORA_SETTINGS: Field = must("default_settings", Shape::Nullable(&LORA_DEFAULTS));
pub(super) const CONTROL_SETTINGS: Field = must("default_settings", Shape::Nullable(&CONTROL_DEFAULTS));
pub(super) const EXTERNAL_SETTINGS: Field = must("default_settings", Shape::Nullable(&EXTERNAL_DEFAULTS));
pub(super) const SUBMODELS: Field = must("submodels", Shape::Nullable(&Shape::Map(&SUBMODEL)));

/// The type by which the class is told.
pub(super) const fn kind(text: &'static str) -> Field {
    must("type", Shape::Const(text))
}

/// The format by which the class is told.
pub(super) const fn format(text: &'static str) -> Field {
    must("format", Shape::Const(text))
}

/// The base by which the class is told.
pub(super) const fn base(text: &'static str) -> Field {
    must("base", Shape::Const(text))
}

/// The variant by which the class is told.
pub(super) const fn size(text: &'static str) -> Field {
    must("variant", Shape::Const(text))
}

pub(super) const fn variant(words: &'static Shape) -> Field {
    must("variant", *words)
}

pub(super) const fn variant_or_null(words: &'static Shape) -> Field {
    must("variant", Shape::Nullable(words))
}

pub(super) const MODEL: &Shape = &Shape::Enum(&["normal", "inpaint", "depth"]);
const CLIP: &Shape = &Shape::Enum(&["large", "gigantic"]);
pub(super) const FLUX: &Shape = &Shape::Enum(&["schnell", "dev", "dev_fill"]);
pub(super) const FLUX2: &Shape = &Shape::Enum(&["klein_4b", "klein_4b_base", "klein_9b", "klein_9b_base", "dev"]);
pub(super) const ZIMAGE: &Shape = &Shape::Enum(&["turbo", "zbase"]);
pub(super) const QWEN_IMAGE: &Shape = &Shape::Enum(&["generate", "edit"]);
pub(super) const WAN: &Shape = &Shape::Enum(&["t2v_a14b", "i2v_a14b", "ti2v_5b"]);
pub(super) const WAN_LORA: &Shape = &Shape::Enum(&["a14b", "5b"]);
pub(super) const QWEN3: &Shape = &Shape::Enum(&["qwen3_4b", "qwen3_8b", "qwen3_06b"]);
pub(super) const KREA2: &Shape = &Shape::Enum(&["krea2_turbo", "krea2_base"]);
pub(super) const MISTRAL: &Shape = &Shape::Enum(&["cow_mistral3_small", "mistral3_24b"]);
pub(super) const PID: &Shape = &Shape::Enum(&["res2k_sr4x", "res2kto4k_sr4x"]);

/// The variants of a family, by the name that issues call them by.
macro_rules! family {
    ($words:ident, $name:literal) => {
        Shape::Ruled(
            $words,
            &Rule {
                label: concat!("str-enum[", $name, "]"),
                check: Rule::nothing,
            },
        )
    };
}

/// Variants of every family, or null.
pub const ANY_VARIANT: Shape = Shape::Nullable(&Shape::Union(&[
    family!(MODEL, "ModelVariantType"),
    family!(CLIP, "ClipVariantType"),
    family!(FLUX, "FluxVariantType"),
    family!(FLUX2, "Flux2VariantType"),
    family!(ZIMAGE, "ZImageVariantType"),
    family!(QWEN_IMAGE, "QwenImageVariantType"),
    family!(WAN, "WanVariantType"),
    family!(WAN_LORA, "WanLoRAVariantType"),
    family!(QWEN3, "Qwen3VariantType"),
    family!(KREA2, "Krea2VariantType"),
    family!(MISTRAL, "MistralVariantType"),
    family!(PID, "PiDDecoderVariantType"),
]));

const SIDE: Shape = Shape::Nullable(&Shape::Int(Bounds::NONE.ge(64.0).multiple_of(8.0)));
const FROM_ONE: Shape = Shape::Nullable(&Shape::Float(Bounds::NONE.ge(1.0)));

object!(
    /// What a main model is used with if nothing else is said.
    pub MAIN_DEFAULTS = "MainModelDefaultSettings" {
        may("vae", STR_OR_NULL),
        may("vae_precision", Shape::Nullable(&Shape::Enum(&["fp16", "fp32"]))),
        may("scheduler", Shape::Nullable(&Shape::Enum(SCHEDULERS))),
        may("steps", ABOVE_ZERO_OR_NULL),
        may("cfg_scale", FROM_ONE),
        may("cfg_rescale_multiplier", Shape::Nullable(&Shape::Float(Bounds::NONE.ge(0.0).lt(1.0)))),
        may("width", SIDE),
        may("height", SIDE),
        may("guidance", FROM_ONE),
        may("cpu_only", BOOL_OR_NULL),
        may("fp8_storage", BOOL_OR_NULL),
    }
);
object!(
    /// What a LoRA is used with if nothing else is said.
    pub LORA_DEFAULTS = "LoraModelDefaultSettings" {
        may("weight", FLOAT_OR_NULL),
        may("weight_min", FLOAT_OR_NULL),
        may("weight_max", FLOAT_OR_NULL),
    }
);
/// [`LORA_DEFAULTS`] as somebody may set them: the weight lies between its bounds, which are -1 and 2 where nothing else is said.
pub const LORA_DEFAULTS_TO_SET: Shape = Shape::Ruled(&LORA_DEFAULTS, &WEIGHT_BOUNDS);
static WEIGHT_BOUNDS: Rule = Rule {
    label: "function-after[_validate_weight_bounds(), LoraModelDefaultSettings]",
    check: |settings, loc| {
        let number = |key: &str| settings.get(key).and_then(Value::as_f64);
        let (least, most) = (number("weight_min").unwrap_or(-1.0), number("weight_max").unwrap_or(2.0));
        let text = if least >= most {
            format!("effective weight range is invalid: min ({least}) must be less than max ({most})")
        } else {
            let weight = number("weight").filter(|weight| !(least..=most).contains(weight))?;
            format!("weight ({weight}) must be within the effective range [{least}, {most}]")
        };
        Some(Issue::value_error(loc, text, settings.clone()))
    },
};
object!(
    /// What a control model is used with if nothing else is said.
    pub CONTROL_DEFAULTS = "ControlAdapterDefaultSettings" {
        must("preprocessor", STR_OR_NULL),
        may("fp8_storage", BOOL_OR_NULL),
    }
);
object!(
    /// What a provider's model is used with if nothing else is said.
    pub EXTERNAL_DEFAULTS = "ExternalApiModelDefaultSettings" {
        may("width", ABOVE_ZERO_OR_NULL),
        may("height", ABOVE_ZERO_OR_NULL),
        may("num_images", ABOVE_ZERO_OR_NULL),
    }
);
object!(
    /// A size of pictures.
    EXTERNAL_SIZE = "ExternalImageSize" { must("width", ABOVE_ZERO), must("height", ABOVE_ZERO) }
);
object!(
    /// A size of pictures by name.
    EXTERNAL_PRESET = "ExternalResolutionPreset" {
        must("label", NAMED),
        must("aspect_ratio", NAMED),
        must("image_size", NAMED),
        must("width", ABOVE_ZERO),
        must("height", ABOVE_ZERO),
    }
);
const MODES: Shape = Shape::list(&Shape::Enum(&["txt2img", "img2img", "inpaint"]));
object!(
    /// What a provider's model can do.
    pub EXTERNAL_CAPABILITIES = "ExternalModelCapabilities" {
        Field { name: "modes", shape: MODES, default: Default::Unprinted(r#"["txt2img"]"#) },
        Field::with("supports_reference_images", BOOL, "false"),
        Field::with("supports_negative_prompt", BOOL, "true"),
        Field::with("supports_seed", BOOL, "false"),
        Field::with("supports_guidance", BOOL, "false"),
        Field::with("supports_steps", BOOL, "false"),
        may("max_images_per_request", ABOVE_ZERO_OR_NULL),
        may("max_image_size", Shape::Nullable(&EXTERNAL_SIZE)),
        may("allowed_aspect_ratios", Shape::Nullable(&STRINGS)),
        may("aspect_ratio_sizes", Shape::Nullable(&Shape::Map(&EXTERNAL_SIZE))),
        may("resolution_presets", Shape::Nullable(&Shape::list(&EXTERNAL_PRESET))),
        may("max_reference_images", ABOVE_ZERO_OR_NULL),
        Field::with("mask_format", Shape::Enum(&["alpha", "binary", "none"]), "\"none\""),
        may("input_image_required_for", Shape::Nullable(&MODES)),
    }
);
object!(
    /// One control of a panel for a provider's model.
    EXTERNAL_CONTROL = "ExternalModelPanelControl" {
        must("name", Shape::Enum(&["reference_images", "dimensions", "seed"])),
        may("slider_min", FLOAT_OR_NULL),
        may("slider_max", FLOAT_OR_NULL),
        may("number_input_min", FLOAT_OR_NULL),
        may("number_input_max", FLOAT_OR_NULL),
        may("fine_step", FLOAT_OR_NULL),
        may("coarse_step", FLOAT_OR_NULL),
        may("marks", Shape::Nullable(&Shape::list(&Shape::FLOAT))),
    }
);
const CONTROLS: Shape = Shape::list(&EXTERNAL_CONTROL);
object!(
    /// Which controls a page shows for a provider's model.
    pub EXTERNAL_PANEL = "ExternalModelPanelSchema" {
        Field { name: "prompts", shape: CONTROLS, default: Default::Unprinted("[]") },
        Field { name: "image", shape: CONTROLS, default: Default::Unprinted("[]") },
        Field { name: "generation", shape: CONTROLS, default: Default::Unprinted("[]") },
    }
);
const SUBMODEL: Shape = Shape::Object(&ObjectShape {
    name: "SubmodelDefinition",
    fields: &[
        must("path_or_prefix", STR),
        must("model_type", Shape::Enum(TYPES)),
        may("variant", ANY_VARIANT),
    ],
    extra: Extra::Ignore,
});
