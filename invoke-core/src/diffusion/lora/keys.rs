//! What the keys of LoRA files mean.

use super::flux::{self, Rows};

/// The part of a model that a layer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The denoiser.
    UNet,
    /// The only text encoder, or the smaller one of SDXL and FLUX.
    Text,
    /// SDXL's larger text encoder, or FLUX' T5.
    SecondText,
}

/// What a tensor is to its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Field {
    Down,
    Up,
    Mid,
    Alpha,
    /// DoRA's magnitude, one entry for each input.
    InputMagnitude,
    /// DoRA's magnitude, one entry for each output.
    OutputMagnitude,
    Hada1A,
    Hada1B,
    Hada2A,
    Hada2B,
    HadaT1,
    HadaT2,
    Kron1,
    Kron1A,
    Kron1B,
    Kron2,
    Kron2A,
    Kron2B,
    KronT2,
    /// The difference itself.
    Full,
    FullBias,
    /// IA³: a factor for each input or output.
    Factor,
    OnInput,
}

/// Endings of keys, longest first where one ends in another.
const FIELDS: [(&str, Field); 40] = [
    ("_lora.down.weight", Field::Down),
    ("_lora.up.weight", Field::Up),
    (".lora_linear_layer.down.weight", Field::Down),
    (".lora_linear_layer.up.weight", Field::Up),
    (".lora.down.weight", Field::Down),
    (".lora.up.weight", Field::Up),
    (".lora_down.weight", Field::Down),
    (".lora_up.weight", Field::Up),
    (".lora_A.default.weight", Field::Down),
    (".lora_B.default.weight", Field::Up),
    (".lora_A.weight", Field::Down),
    (".lora_B.weight", Field::Up),
    (".lora_B.bias", Field::FullBias),
    (".lora_mid.weight", Field::Mid),
    (".alpha", Field::Alpha),
    (".network_alpha", Field::Alpha),
    (".dora_scale", Field::InputMagnitude),
    (".lora_magnitude_vector.default.weight", Field::OutputMagnitude),
    (".lora_magnitude_vector.weight", Field::OutputMagnitude),
    (".lora_magnitude_vector", Field::OutputMagnitude),
    (".dora_magnitude", Field::OutputMagnitude),
    (".magnitude", Field::OutputMagnitude),
    (".hada_w1_a", Field::Hada1A),
    (".hada_w1_b", Field::Hada1B),
    (".hada_w2_a", Field::Hada2A),
    (".hada_w2_b", Field::Hada2B),
    (".hada_t1", Field::HadaT1),
    (".hada_t2", Field::HadaT2),
    (".lokr_w1", Field::Kron1),
    (".lokr_w1_a", Field::Kron1A),
    (".lokr_w1_b", Field::Kron1B),
    (".lokr_w2", Field::Kron2),
    (".lokr_w2_a", Field::Kron2A),
    (".lokr_w2_b", Field::Kron2B),
    (".lokr_t2", Field::KronT2),
    (".diff", Field::Full),
    (".diff_b", Field::FullBias),
    (".w_norm", Field::Full),
    (".b_norm", Field::FullBias),
    (".on_input", Field::OnInput),
];

/// Beginnings of keys.
const PARTS: [(&str, Part); 10] = [
    ("lora_unet_", Part::UNet),
    ("lora_te1_", Part::Text),
    ("lora_te2_", Part::SecondText),
    ("lora_te_", Part::Text),
    ("unet.", Part::UNet),
    ("text_encoder_2.", Part::SecondText),
    ("text_encoder.", Part::Text),
    ("te1.", Part::Text),
    ("te2.", Part::SecondText),
    ("base_model.model.", Part::UNet),
];

/// A layer of a patch: which part it is for, which module (underscores for dots), and which rows of it.
pub(super) type Place = (Part, String, Rows);

/// Which layer and which field a key names; `None` for a key of another kind.
pub(super) fn locate(key: &str) -> Option<(Place, Field)> {
    if let Some((module, field)) = flux::xlabs(key) {
        return Some(((Part::UNet, module, Rows::All), field));
    }
    let (module, field) = FIELDS
        .iter()
        .find_map(|(ending, field)| Some((key.strip_suffix(ending)?, *field)))
        .or_else(|| Some((key.strip_suffix(".weight").filter(|m| m.starts_with("lora_"))?, Field::Factor)))?;
    if flux::is_left_out(module) {
        return None;
    }
    if let Some((module, rows)) = flux::module(module) {
        return Some(((Part::UNet, module, rows), field));
    }
    let (part, module) = match PARTS
        .iter()
        .find_map(|(beginning, part)| Some((*part, module.strip_prefix(beginning)?)))
    {
        Some(found) => found,
        // diffusers' oldest files name the denoiser's modules alone.
        None if ["down_blocks.", "mid_block.", "up_blocks."].iter().any(|b| module.starts_with(b)) => (Part::UNet, module),
        None => return None,
    };
    let mut module = module.replace(".processor", "");
    // `to_out_lora` of those files stands for the first layer of `to_out`.
    if key.contains("_lora.") && module.ends_with("to_out") {
        module.push_str(".0");
    }
    if part != Part::UNet && key.contains("_lora.") {
        for (old, new) in [("to_q", "q_proj"), ("to_k", "k_proj"), ("to_v", "v_proj"), ("to_out.0", "out_proj")] {
            if let Some(rest) = module.strip_suffix(old) {
                module = format!("{rest}{new}");
                break;
            }
        }
    }
    Some(((part, flat(part, &module), Rows::All), field))
}

/// A module's name as layers are looked up: underscores for dots, and no `text_model` in front.
pub(super) fn flat(part: Part, module: &str) -> String {
    let flat = module.replace('.', "_");
    match part {
        Part::UNet => flat,
        Part::Text | Part::SecondText => flat.strip_prefix("text_model_").map_or(flat.clone(), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_all_layouts_lead_to_the_same_layer() {
        let q = "mid_block_attentions_0_transformer_blocks_0_attn1_to_q";
        for key in [
            "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight",
            "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight",
            "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.default.weight",
            "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora.down.weight",
            "unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
            "mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
        ] {
            assert_eq!(locate(key), Some(((Part::UNet, q.to_owned(), Rows::All), Field::Down)), "{key}");
        }
        let out = locate("unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.up.weight").unwrap();
        assert_eq!(out.0.1, "mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0");
        for (key, part) in [
            ("lora_te_text_model_encoder_layers_3_self_attn_q_proj.alpha", Part::Text),
            ("lora_te2_text_model_encoder_layers_3_self_attn_q_proj.alpha", Part::SecondText),
            ("text_encoder.text_model.encoder.layers.3.self_attn.q_proj.alpha", Part::Text),
        ] {
            assert_eq!(
                locate(key),
                Some(((part, "encoder_layers_3_self_attn_q_proj".to_owned(), Rows::All), Field::Alpha)),
                "{key}"
            );
        }
        let old = locate("text_encoder.text_model.encoder.layers.3.self_attn.to_q_lora.up.weight").unwrap();
        assert_eq!(
            old,
            ((Part::Text, "encoder_layers_3_self_attn_q_proj".to_owned(), Rows::All), Field::Up)
        );
        assert_eq!(locate("lora_unet_x.weight").unwrap().1, Field::Factor);
        let t5 = locate("lora_te2_encoder_block_1_layer_1_DenseReluDense_wi_0.lora_up.weight").unwrap();
        assert_eq!(
            t5.0,
            (
                Part::SecondText,
                "encoder_block_1_layer_1_DenseReluDense_wi_0".to_owned(),
                Rows::All
            )
        );
        assert_eq!(locate("model.layers.0.weight"), None);
        assert_eq!(locate("lora_unet_final_layer_linear.lora_down.weight"), None);
    }
}
