//! Words by which the wire, the records and the nodes tell models, and what is used with them, apart.

/// Families of models that share a latent space.
pub const BASES: &[&str] = &[
    "any",
    "sd-1",
    "sd-2",
    "sd-3",
    "sdxl",
    "sdxl-refiner",
    "flux",
    "flux2",
    "cogview4",
    "z-image",
    "ernie-image",
    "ideogram-4",
    "external",
    "qwen-image",
    "anima",
    "krea-2",
    "wan",
    "unknown",
];

/// What models are for.
pub const TYPES: &[&str] = &[
    "onnx",
    "main",
    "vae",
    "lora",
    "control_lora",
    "controlnet",
    "embedding",
    "ip_adapter",
    "clip_vision",
    "clip_embed",
    "t2i_adapter",
    "t5_encoder",
    "qwen3_encoder",
    "qwen_vl_encoder",
    "qwen3_vl_encoder",
    "mistral_encoder",
    "wan_t5_encoder",
    "gemma2_encoder",
    "spandrel_image_to_image",
    "siglip",
    "flux_redux",
    "llava_onevision",
    "prompt_enhancer",
    "text_llm",
    "external_image_generator",
    "pid_decoder",
    "unknown",
];

/// How models are stored.
pub const FORMATS: &[&str] = &[
    "omi",
    "diffusers",
    "checkpoint",
    "lycoris",
    "onnx",
    "olive",
    "embedding_file",
    "embedding_folder",
    "invokeai",
    "t5_encoder",
    "qwen3_encoder",
    "qwen_vl_encoder",
    "qwen3_vl_encoder",
    "mistral_encoder",
    "wan_t5_encoder",
    "gemma2_encoder",
    "bnb_quantized_int8b",
    "bnb_quantized_nf4b",
    "gguf_quantized",
    "external_api",
    "sdnq_quantized",
    "unknown",
];

/// Names of the schedulers of the Stable Diffusion families.
pub const SCHEDULERS: &[&str] = &[
    "ddim",
    "ddpm",
    "deis",
    "deis_k",
    "lms",
    "lms_k",
    "pndm",
    "heun",
    "heun_k",
    "euler",
    "euler_k",
    "euler_a",
    "kdpm_2",
    "kdpm_2_k",
    "kdpm_2_a",
    "kdpm_2_a_k",
    "dpmpp_2s",
    "dpmpp_2s_k",
    "dpmpp_2m",
    "dpmpp_2m_k",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_k",
    "dpmpp_3m",
    "dpmpp_3m_k",
    "dpmpp_sde",
    "dpmpp_sde_k",
    "er_sde",
    "unipc",
    "unipc_k",
    "lcm",
    "tcd",
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    #[test]
    fn the_words_are_those_of_the_contract() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/contract/openapi-6.14.2.json");
        let document: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        for (name, words) in [("BaseModelType", BASES), ("ModelType", TYPES), ("ModelFormat", FORMATS)] {
            let recorded: BTreeSet<&str> = document["components"]["schemas"][name]["enum"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(serde_json::Value::as_str)
                .collect();
            assert_eq!(words.iter().copied().collect::<BTreeSet<_>>(), recorded, "{name}");
            assert_eq!(words.len(), recorded.len(), "{name} has a word twice");
        }
    }
}
