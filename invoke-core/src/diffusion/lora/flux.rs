//! Names that LoRA for FLUX.1 give to the transformer's layers, led to those of its weights. Where a file has a projection in parts and the weights
//! have it fused, a part is some rows of it.

use super::keys::Field;

/// Rows of a fused projection `[outputs, width]`: of query, key and value, `width` each, and in single blocks what the hidden layer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Rows {
    /// All of them.
    All,
    /// The first, second or third `width` of them.
    Square(usize),
    /// Those after three times `width`.
    Rest,
}

impl Rows {
    /// Where they begin in a weight of this shape and how many they are; `None` if it has none such.
    pub(super) fn of(self, shape: &[usize]) -> Option<(usize, usize)> {
        let &[outputs, width] = shape else { return None };
        let (start, count) = match self {
            Self::All => return None,
            Self::Square(number) => (width.checked_mul(number)?, width),
            Self::Rest => {
                let start = width.checked_mul(3)?;
                (start, outputs.checked_sub(start)?)
            }
        };
        (count > 0 && start.checked_add(count)? <= outputs).then_some((start, count))
    }

    /// Those of a part, by its number.
    fn part(number: usize) -> Self {
        if number < 3 { Self::Square(number) } else { Self::Rest }
    }
}

/// Names of diffusers inside a double block, with underscores for dots, those of the weights, and which part of the fused projection it is.
const DOUBLE: &[(&str, &str, Rows)] = &[
    ("norm1_linear", "img_mod_lin", Rows::All),
    ("norm1_context_linear", "txt_mod_lin", Rows::All),
    ("attn_to_q", "img_attn_qkv", Rows::Square(0)),
    ("attn_to_k", "img_attn_qkv", Rows::Square(1)),
    ("attn_to_v", "img_attn_qkv", Rows::Square(2)),
    ("attn_add_q_proj", "txt_attn_qkv", Rows::Square(0)),
    ("attn_add_k_proj", "txt_attn_qkv", Rows::Square(1)),
    ("attn_add_v_proj", "txt_attn_qkv", Rows::Square(2)),
    ("attn_to_out_0", "img_attn_proj", Rows::All),
    ("attn_to_add_out", "txt_attn_proj", Rows::All),
    ("ff_net_0_proj", "img_mlp_0", Rows::All),
    ("ff_net_2", "img_mlp_2", Rows::All),
    ("ff_context_net_0_proj", "txt_mlp_0", Rows::All),
    ("ff_context_net_2", "txt_mlp_2", Rows::All),
];

/// The same inside a single block.
const SINGLE: &[(&str, &str, Rows)] = &[
    ("norm_linear", "modulation_lin", Rows::All),
    ("attn_to_q", "linear1", Rows::Square(0)),
    ("attn_to_k", "linear1", Rows::Square(1)),
    ("attn_to_v", "linear1", Rows::Square(2)),
    ("proj_mlp", "linear1", Rows::Rest),
    ("proj_out", "linear2", Rows::All),
];

/// The same outside of blocks.
const OUTSIDE: &[(&str, &str)] = &[
    ("time_text_embed_timestep_embedder_linear_1", "time_in_in_layer"),
    ("time_text_embed_timestep_embedder_linear_2", "time_in_out_layer"),
    ("time_text_embed_text_embedder_linear_1", "vector_in_in_layer"),
    ("time_text_embed_text_embedder_linear_2", "vector_in_out_layer"),
    ("time_text_embed_guidance_embedder_linear_1", "guidance_in_in_layer"),
    ("time_text_embed_guidance_embedder_linear_2", "guidance_in_out_layer"),
    ("context_embedder", "txt_in"),
    ("x_embedder", "img_in"),
    ("proj_out", "final_layer_linear"),
];

/// Begins the names of the transformer's modules. Only where a name begins so is what follows FLUX' alone.
const BEGINNINGS: &[&str] = &[
    "lora_transformer_",
    "transformer.",
    "diffusion_model.",
    "base_model.model.",
    "lora_unet_",
];

/// Splits a number and an underscore off.
fn numbered(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
    Some((&text[..end], text[end..].strip_prefix('_')?))
}

/// Whether a name is one of kohya's for the transformer's last layer, of which the original makes nothing either.
pub(super) fn is_left_out(name: &str) -> bool {
    name.starts_with("lora_unet_final_layer")
}

/// The layer of the weights that a module's name means, underscores for dots, and which of its rows; `None` if the name is none of FLUX'.
pub(super) fn module(name: &str) -> Option<(String, Rows)> {
    let rest = BEGINNINGS.iter().find_map(|beginning| name.strip_prefix(beginning)).unwrap_or(name);
    let flat = rest.replace('.', "_");
    if let Some(found) = of_blocks(&flat) {
        return Some(found);
    }
    for (blocks, table, target) in [
        ("single_transformer_blocks_", SINGLE, "single_blocks"),
        ("transformer_blocks_", DOUBLE, "double_blocks"),
    ] {
        if let Some((number, layer)) = flat.strip_prefix(blocks).and_then(numbered) {
            let (_, layer, rows) = table.iter().find(|(known, ..)| *known == layer)?;
            return Some((format!("{target}_{number}_{layer}"), *rows));
        }
    }
    let has_prefix = rest.len() < name.len() && !name.starts_with("lora_unet_");
    let outside = OUTSIDE
        .iter()
        .find(|(known, _)| *known == flat)
        .map(|(_, layer)| (*layer).to_owned());
    let known = ["img_in", "txt_in", "time_in_", "vector_in_", "guidance_in_", "final_layer_"];
    let own = || known.iter().any(|known| flat.starts_with(known)).then(|| flat.clone());
    outside.filter(|_| has_prefix).or_else(own).map(|layer| (layer, Rows::All))
}

/// A layer that is named as the weights are; OneTrainer numbers the parts of fused projections.
fn of_blocks(flat: &str) -> Option<(String, Rows)> {
    let inner = flat
        .strip_prefix("double_blocks_")
        .or_else(|| flat.strip_prefix("single_blocks_"))?;
    let (_, layer) = numbered(inner)?;
    let part = layer
        .rsplit_once('_')
        .filter(|(fused, _)| matches!(*fused, "img_attn_qkv" | "txt_attn_qkv" | "linear1"))
        .and_then(|(_, number)| number.parse::<usize>().ok());
    match part.zip(flat.rsplit_once('_')) {
        Some((number @ 0..4, (fused, _))) => Some((fused.to_owned(), Rows::part(number))),
        Some(_) => None,
        None => Some((flat.to_owned(), Rows::All)),
    }
}

/// Which layer and field a key of XLabs' names: `double_blocks.N.processor.{qkv,proj}_lora{1,2}.{down,up}.weight`; the first is of the picture, the second
/// of the text.
pub(super) fn xlabs(key: &str) -> Option<(String, Field)> {
    let rest = key.strip_prefix("double_blocks.")?;
    let (number, rest) = rest
        .split_once(".processor.")
        .filter(|(number, _)| number.bytes().all(|b| b.is_ascii_digit()))?;
    let (layer, side) = rest.strip_suffix(".weight")?.split_once('.')?;
    let (layer, stream) = layer.split_once("_lora").filter(|(layer, _)| matches!(*layer, "qkv" | "proj"))?;
    let stream = match stream {
        "1" => "img_attn",
        "2" => "txt_attn",
        _ => return None,
    };
    let field = match side {
        "down" => Field::Down,
        "up" => Field::Up,
        _ => return None,
    };
    Some((format!("double_blocks_{number}_{stream}_{layer}"), field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_layouts_lead_to_the_weights() {
        for (name, layer, rows) in [
            ("lora_unet_double_blocks_3_img_attn_qkv", "double_blocks_3_img_attn_qkv", Rows::All),
            ("lora_unet_single_blocks_37_linear1", "single_blocks_37_linear1", Rows::All),
            (
                "lora_transformer_transformer_blocks_3_attn_add_k_proj",
                "double_blocks_3_txt_attn_qkv",
                Rows::Square(1),
            ),
            (
                "lora_transformer_single_transformer_blocks_3_proj_mlp",
                "single_blocks_3_linear1",
                Rows::Rest,
            ),
            (
                "transformer.transformer_blocks.0.ff.net.0.proj",
                "double_blocks_0_img_mlp_0",
                Rows::All,
            ),
            (
                "base_model.model.single_transformer_blocks.0.attn.to_v",
                "single_blocks_0_linear1",
                Rows::Square(2),
            ),
            (
                "transformer.double_blocks.0.txt_attn.qkv.2",
                "double_blocks_0_txt_attn_qkv",
                Rows::Square(2),
            ),
            ("transformer.single_blocks.0.linear1.3", "single_blocks_0_linear1", Rows::Rest),
            ("diffusion_model.double_blocks.0.img_mlp.2", "double_blocks_0_img_mlp_2", Rows::All),
            ("transformer.context_embedder", "txt_in", Rows::All),
            ("diffusion_model.guidance_in.in_layer", "guidance_in_in_layer", Rows::All),
            ("single_blocks.0.linear2", "single_blocks_0_linear2", Rows::All),
        ] {
            assert_eq!(module(name), Some((layer.to_owned(), rows)), "{name}");
        }
        for name in [
            "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
            "transformer.single_blocks.0.linear1.4",
            "unet.mid_block.attentions.0.proj_out",
            "lora_unet_mid_block_attentions_0_proj_out",
            "lora_te1_text_model_encoder_layers_0_mlp_fc1",
            "context_embedder",
        ] {
            assert_eq!(module(name), None, "{name}");
        }
        assert_eq!(
            xlabs("double_blocks.7.processor.proj_lora2.up.weight"),
            Some(("double_blocks_7_txt_attn_proj".to_owned(), Field::Up))
        );
        assert_eq!(xlabs("double_blocks.7.processor.proj_lora3.up.weight"), None);
    }

    #[test]
    fn rows_lie_within_the_weight() {
        assert_eq!(Rows::Square(2).of(&[12, 4]), Some((8, 4)));
        assert_eq!(Rows::Rest.of(&[28, 4]), Some((12, 16)));
        assert_eq!((Rows::Rest.of(&[12, 4]), Rows::Square(2).of(&[8, 4])), (None, None));
        assert_eq!((Rows::Rest.of(&[4, usize::MAX]), Rows::Square(0).of(&[4])), (None, None));
    }
}
