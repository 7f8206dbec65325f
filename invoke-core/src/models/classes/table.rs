//! The table of classes: the name of each in documents, and the fields that it has after those of every record, in the order of the wire.

use super::fields::{
    BOUNDARY_RATIO, CAPABILITIES, CONDITION_CHANNELS, CONFIG_PATH, CONTROL_SETTINGS, COVER_IMAGE, CPU_ONLY, DESCRIPTION, DUAL_EXPERT,
    EXPERT, EXPERT_OR_NULL, EXTERNAL_SETTINGS, FILE_SIZE, FLUX, FLUX2, HASH, IMAGE_ENCODER, IS_DEFAULT, KEY, KREA2, LATENT_CHANNELS,
    LORA_SETTINGS, MAIN_SETTINGS, MISTRAL, MODEL, NAME, PANEL, PATH, PHRASES, PID, PREDICTION, PROVIDER, PROVIDER_MODEL, QWEN_IMAGE, QWEN3,
    REPO_VARIANT, SOURCE, SOURCE_API_RESPONSE, SOURCE_TYPE, SOURCE_URL, SUBMODELS, TAGS, WAN, WAN_LORA, ZIMAGE, base, format, kind, size,
    variant, variant_or_null,
};
use crate::domain::shape::{Extra, ObjectShape, Shape};

macro_rules! classes {
    ($($name:literal: [$($field:expr),+];)+) => {
        /// A model's record, of any class.
        pub const RECORD: Shape = Shape::Union(&[$(Shape::Object(&ObjectShape {
            name: $name,
            fields: &[
                KEY, HASH, PATH, FILE_SIZE, NAME, DESCRIPTION, SOURCE, SOURCE_TYPE, SOURCE_API_RESPONSE, SOURCE_URL, COVER_IMAGE, $($field),+
            ],
            extra: Extra::Ignore,
        })),+]);
    };
}

classes! {
    "Main_Diffusers_SD1_Config": [kind("main"), PHRASES, MAIN_SETTINGS, format("diffusers"), REPO_VARIANT, PREDICTION, variant(MODEL), base("sd-1")];
    "Main_Diffusers_SD2_Config": [kind("main"), PHRASES, MAIN_SETTINGS, format("diffusers"), REPO_VARIANT, PREDICTION, variant(MODEL), base("sd-2")];
    "Main_Diffusers_SDXL_Config": [kind("main"), PHRASES, MAIN_SETTINGS, format("diffusers"), REPO_VARIANT, PREDICTION, variant(MODEL), base("sdxl")];
    "Main_Diffusers_SDXLRefiner_Config": [kind("main"), PHRASES, MAIN_SETTINGS, format("diffusers"), REPO_VARIANT, PREDICTION, variant(MODEL), base("sdxl-refiner")];
    "Main_Diffusers_SD3_Config": [kind("main"), PHRASES, MAIN_SETTINGS, format("diffusers"), REPO_VARIANT, base("sd-3"), SUBMODELS];
    "Main_Diffusers_FLUX_Config": [kind("main"), PHRASES, MAIN_SETTINGS, format("diffusers"), REPO_VARIANT, base("flux"), variant(FLUX)];
    "Main_Diffusers_Flux2_Config": [kind("main"), PHRASES, MAIN_SETTINGS, format("diffusers"), REPO_VARIANT, base("flux2"), variant(FLUX2)];
    "Main_Diffusers_CogView4_Config": [kind("main"), PHRASES, MAIN_SETTINGS, format("diffusers"), REPO_VARIANT, base("cogview4")];
    "Main_Diffusers_QwenImage_Config": [kind("main"), PHRASES, MAIN_SETTINGS, format("diffusers"), REPO_VARIANT, base("qwen-image"), variant_or_null(QWEN_IMAGE)];
    "Main_Diffusers_Wan_Config": [kind("main"), PHRASES, MAIN_SETTINGS, format("diffusers"), REPO_VARIANT, base("wan"), variant(WAN), DUAL_EXPERT, BOUNDARY_RATIO];
    "Main_Diffusers_ZImage_Config": [kind("main"), PHRASES, MAIN_SETTINGS, format("diffusers"), REPO_VARIANT, base("z-image"), variant(ZIMAGE)];
    "Main_Diffusers_ErnieImage_Config": [kind("main"), PHRASES, MAIN_SETTINGS, format("diffusers"), REPO_VARIANT, base("ernie-image")];
    "Main_Diffusers_Ideogram4_Config": [kind("main"), PHRASES, MAIN_SETTINGS, format("diffusers"), REPO_VARIANT, base("ideogram-4")];
    "Main_Diffusers_Krea2_Config": [kind("main"), PHRASES, MAIN_SETTINGS, format("diffusers"), REPO_VARIANT, base("krea-2"), variant(KREA2)];
    "Main_Checkpoint_SD1_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, format("checkpoint"), PREDICTION, variant(MODEL), base("sd-1")];
    "Main_Checkpoint_SD2_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, format("checkpoint"), PREDICTION, variant(MODEL), base("sd-2")];
    "Main_Checkpoint_SDXL_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, format("checkpoint"), PREDICTION, variant(MODEL), base("sdxl")];
    "Main_Checkpoint_SDXLRefiner_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, format("checkpoint"), PREDICTION, variant(MODEL), base("sdxl-refiner")];
    "Main_Checkpoint_Flux2_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, format("checkpoint"), base("flux2"), variant(FLUX2)];
    "Main_Checkpoint_FLUX_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, format("checkpoint"), base("flux"), variant(FLUX)];
    "Main_Checkpoint_QwenImage_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, base("qwen-image"), format("checkpoint"), variant_or_null(QWEN_IMAGE)];
    "Main_Checkpoint_Wan_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, base("wan"), format("checkpoint"), variant(WAN), EXPERT];
    "Main_Checkpoint_ZImage_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, base("z-image"), format("checkpoint"), variant(ZIMAGE)];
    "Main_Checkpoint_Krea2_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, base("krea-2"), format("checkpoint"), variant(KREA2)];
    "Main_Checkpoint_Anima_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, base("anima"), format("checkpoint")];
    "Main_BnBNF4_FLUX_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, base("flux"), format("bnb_quantized_nf4b"), variant(FLUX)];
    "Main_GGUF_Flux2_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, base("flux2"), format("gguf_quantized"), variant(FLUX2)];
    "Main_GGUF_FLUX_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, base("flux"), format("gguf_quantized"), variant(FLUX)];
    "Main_GGUF_QwenImage_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, base("qwen-image"), format("gguf_quantized"), variant_or_null(QWEN_IMAGE)];
    "Main_GGUF_Wan_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, base("wan"), format("gguf_quantized"), variant(WAN), EXPERT];
    "Main_GGUF_ZImage_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, base("z-image"), format("gguf_quantized"), variant(ZIMAGE)];
    "Main_GGUF_Krea2_Config": [kind("main"), PHRASES, MAIN_SETTINGS, CONFIG_PATH, base("krea-2"), format("gguf_quantized"), variant(KREA2)];
    "Main_SDNQ_Diffusers_Flux2_Config": [kind("main"), PHRASES, MAIN_SETTINGS, base("flux2"), format("sdnq_quantized"), variant(FLUX2), REPO_VARIANT, SUBMODELS];
    "Main_SDNQ_Diffusers_FLUX_Config": [kind("main"), PHRASES, MAIN_SETTINGS, base("flux"), format("sdnq_quantized"), variant(FLUX), REPO_VARIANT, SUBMODELS];
    "Main_SDNQ_Diffusers_ZImage_Config": [kind("main"), PHRASES, MAIN_SETTINGS, base("z-image"), format("sdnq_quantized"), variant(ZIMAGE), REPO_VARIANT, SUBMODELS];
    "VAE_Checkpoint_SD1_Config": [CONFIG_PATH, kind("vae"), format("checkpoint"), CPU_ONLY, base("sd-1")];
    "VAE_Checkpoint_SD2_Config": [CONFIG_PATH, kind("vae"), format("checkpoint"), CPU_ONLY, base("sd-2")];
    "VAE_Checkpoint_SDXL_Config": [CONFIG_PATH, kind("vae"), format("checkpoint"), CPU_ONLY, base("sdxl")];
    "VAE_Checkpoint_FLUX_Config": [CONFIG_PATH, kind("vae"), format("checkpoint"), CPU_ONLY, base("flux")];
    "VAE_Checkpoint_Flux2_Config": [CONFIG_PATH, kind("vae"), format("checkpoint"), base("flux2"), CPU_ONLY];
    "VAE_Checkpoint_Wan_Config": [CONFIG_PATH, kind("vae"), format("checkpoint"), base("wan"), CPU_ONLY, LATENT_CHANNELS];
    "VAE_Checkpoint_QwenImage_Config": [CONFIG_PATH, kind("vae"), format("checkpoint"), base("qwen-image"), CPU_ONLY];
    "VAE_Checkpoint_Anima_Config": [CONFIG_PATH, kind("vae"), format("checkpoint"), base("anima"), CPU_ONLY];
    "VAE_Diffusers_SD1_Config": [format("diffusers"), REPO_VARIANT, kind("vae"), CPU_ONLY, base("sd-1")];
    "VAE_Diffusers_SDXL_Config": [format("diffusers"), REPO_VARIANT, kind("vae"), CPU_ONLY, base("sdxl")];
    "VAE_Diffusers_Flux2_Config": [format("diffusers"), REPO_VARIANT, kind("vae"), base("flux2"), CPU_ONLY];
    "VAE_Diffusers_Wan_Config": [format("diffusers"), REPO_VARIANT, kind("vae"), base("wan"), CPU_ONLY, LATENT_CHANNELS];
    "PiDDecoder_Checkpoint_FLUX_Config": [CONFIG_PATH, kind("pid_decoder"), format("checkpoint"), base("flux"), variant(PID)];
    "PiDDecoder_Checkpoint_Flux2_Config": [CONFIG_PATH, kind("pid_decoder"), format("checkpoint"), base("flux2"), variant(PID)];
    "PiDDecoder_Checkpoint_SD3_Config": [CONFIG_PATH, kind("pid_decoder"), format("checkpoint"), base("sd-3"), variant(PID)];
    "PiDDecoder_Checkpoint_SDXL_Config": [CONFIG_PATH, kind("pid_decoder"), format("checkpoint"), base("sdxl"), variant(PID)];
    "PiDDecoder_Checkpoint_QwenImage_Config": [CONFIG_PATH, kind("pid_decoder"), format("checkpoint"), base("qwen-image"), variant(PID)];
    "ControlNet_Checkpoint_SD1_Config": [CONFIG_PATH, kind("controlnet"), format("checkpoint"), CONTROL_SETTINGS, base("sd-1")];
    "ControlNet_Checkpoint_SD2_Config": [CONFIG_PATH, kind("controlnet"), format("checkpoint"), CONTROL_SETTINGS, base("sd-2")];
    "ControlNet_Checkpoint_SDXL_Config": [CONFIG_PATH, kind("controlnet"), format("checkpoint"), CONTROL_SETTINGS, base("sdxl")];
    "ControlNet_Checkpoint_FLUX_Config": [CONFIG_PATH, kind("controlnet"), format("checkpoint"), CONTROL_SETTINGS, base("flux")];
    "ControlNet_Checkpoint_ZImage_Config": [CONFIG_PATH, kind("controlnet"), format("checkpoint"), base("z-image"), CONTROL_SETTINGS];
    "ControlNet_Checkpoint_Anima_Config": [CONFIG_PATH, kind("controlnet"), format("checkpoint"), base("anima"), CONTROL_SETTINGS, CONDITION_CHANNELS];
    "ControlNet_Diffusers_SD1_Config": [format("diffusers"), REPO_VARIANT, kind("controlnet"), CONTROL_SETTINGS, base("sd-1")];
    "ControlNet_Diffusers_SD2_Config": [format("diffusers"), REPO_VARIANT, kind("controlnet"), CONTROL_SETTINGS, base("sd-2")];
    "ControlNet_Diffusers_SDXL_Config": [format("diffusers"), REPO_VARIANT, kind("controlnet"), CONTROL_SETTINGS, base("sdxl")];
    "ControlNet_Diffusers_FLUX_Config": [format("diffusers"), REPO_VARIANT, kind("controlnet"), CONTROL_SETTINGS, base("flux")];
    "LoRA_LyCORIS_SD1_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("lycoris"), base("sd-1")];
    "LoRA_LyCORIS_SD2_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("lycoris"), base("sd-2")];
    "LoRA_LyCORIS_SDXL_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("lycoris"), base("sdxl")];
    "LoRA_LyCORIS_Flux2_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("lycoris"), base("flux2"), variant_or_null(FLUX2)];
    "LoRA_LyCORIS_FLUX_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("lycoris"), base("flux")];
    "LoRA_LyCORIS_ZImage_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("lycoris"), base("z-image"), variant_or_null(ZIMAGE)];
    "LoRA_LyCORIS_Krea2_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("lycoris"), base("krea-2")];
    "LoRA_LyCORIS_QwenImage_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("lycoris"), base("qwen-image")];
    "LoRA_LyCORIS_Wan_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("lycoris"), base("wan"), EXPERT_OR_NULL, variant_or_null(WAN_LORA)];
    "LoRA_LyCORIS_Anima_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("lycoris"), base("anima")];
    "LoRA_OMI_SDXL_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("omi"), base("sdxl")];
    "LoRA_OMI_FLUX_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("omi"), base("flux")];
    "LoRA_Diffusers_SD1_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("diffusers"), base("sd-1")];
    "LoRA_Diffusers_SD2_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("diffusers"), base("sd-2")];
    "LoRA_Diffusers_SDXL_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("diffusers"), base("sdxl")];
    "LoRA_Diffusers_Flux2_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("diffusers"), base("flux2"), variant_or_null(FLUX2)];
    "LoRA_Diffusers_FLUX_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("diffusers"), base("flux")];
    "LoRA_Diffusers_ZImage_Config": [kind("lora"), PHRASES, LORA_SETTINGS, format("diffusers"), base("z-image"), variant_or_null(ZIMAGE)];
    "ControlLoRA_LyCORIS_FLUX_Config": [CONTROL_SETTINGS, base("flux"), kind("control_lora"), format("lycoris"), PHRASES];
    "T5Encoder_T5Encoder_Config": [base("any"), kind("t5_encoder"), format("t5_encoder"), CPU_ONLY];
    "T5Encoder_BnBLLMint8_Config": [base("any"), kind("t5_encoder"), format("bnb_quantized_int8b"), CPU_ONLY];
    "T5Encoder_SDNQ_Config": [base("any"), kind("t5_encoder"), format("sdnq_quantized"), CPU_ONLY];
    "T5Encoder_GGUF_Config": [CONFIG_PATH, base("any"), kind("t5_encoder"), format("gguf_quantized"), CPU_ONLY];
    "Qwen3VLEncoder_Checkpoint_Config": [CONFIG_PATH, base("any"), kind("qwen3_vl_encoder"), format("checkpoint"), CPU_ONLY];
    "Qwen3VLEncoder_Qwen3VLEncoder_Config": [base("any"), kind("qwen3_vl_encoder"), format("qwen3_vl_encoder"), CPU_ONLY];
    "Qwen3Encoder_Qwen3Encoder_Config": [base("any"), kind("qwen3_encoder"), format("qwen3_encoder"), CPU_ONLY, variant(QWEN3)];
    "Qwen3Encoder_Checkpoint_Config": [CONFIG_PATH, base("any"), kind("qwen3_encoder"), format("checkpoint"), CPU_ONLY, variant(QWEN3)];
    "Qwen3Encoder_GGUF_Config": [CONFIG_PATH, base("any"), kind("qwen3_encoder"), format("gguf_quantized"), CPU_ONLY, variant(QWEN3)];
    "Qwen3Encoder_SDNQ_Folder_Config": [base("any"), kind("qwen3_encoder"), format("sdnq_quantized"), CPU_ONLY, variant(QWEN3)];
    "MistralEncoder_Diffusers_Config": [base("any"), kind("mistral_encoder"), format("mistral_encoder"), CPU_ONLY, variant(MISTRAL)];
    "MistralEncoder_Checkpoint_Config": [CONFIG_PATH, base("any"), kind("mistral_encoder"), format("checkpoint"), CPU_ONLY, variant(MISTRAL)];
    "MistralEncoder_GGUF_Config": [CONFIG_PATH, base("any"), kind("mistral_encoder"), format("gguf_quantized"), CPU_ONLY, variant(MISTRAL)];
    "Gemma2Encoder_Gemma2Encoder_Config": [base("any"), kind("gemma2_encoder"), format("gemma2_encoder"), CPU_ONLY];
    "Gemma2Encoder_GGUF_Config": [base("any"), kind("gemma2_encoder"), format("gguf_quantized"), CPU_ONLY];
    "QwenVLEncoder_Diffusers_Config": [base("any"), kind("qwen_vl_encoder"), format("qwen_vl_encoder")];
    "QwenVLEncoder_Checkpoint_Config": [CONFIG_PATH, base("any"), kind("qwen_vl_encoder"), format("checkpoint")];
    "WanT5Encoder_WanT5Encoder_Config": [base("any"), kind("wan_t5_encoder"), format("wan_t5_encoder"), CPU_ONLY];
    "TI_File_SD1_Config": [kind("embedding"), format("embedding_file"), base("sd-1")];
    "TI_File_SD2_Config": [kind("embedding"), format("embedding_file"), base("sd-2")];
    "TI_File_SDXL_Config": [kind("embedding"), format("embedding_file"), base("sdxl")];
    "TI_Folder_SD1_Config": [kind("embedding"), format("embedding_folder"), base("sd-1")];
    "TI_Folder_SD2_Config": [kind("embedding"), format("embedding_folder"), base("sd-2")];
    "TI_Folder_SDXL_Config": [kind("embedding"), format("embedding_folder"), base("sdxl")];
    "IPAdapter_InvokeAI_SD1_Config": [kind("ip_adapter"), format("invokeai"), IMAGE_ENCODER, base("sd-1")];
    "IPAdapter_InvokeAI_SD2_Config": [kind("ip_adapter"), format("invokeai"), IMAGE_ENCODER, base("sd-2")];
    "IPAdapter_InvokeAI_SDXL_Config": [kind("ip_adapter"), format("invokeai"), IMAGE_ENCODER, base("sdxl")];
    "IPAdapter_Checkpoint_SD1_Config": [kind("ip_adapter"), format("checkpoint"), base("sd-1")];
    "IPAdapter_Checkpoint_SD2_Config": [kind("ip_adapter"), format("checkpoint"), base("sd-2")];
    "IPAdapter_Checkpoint_SDXL_Config": [kind("ip_adapter"), format("checkpoint"), base("sdxl")];
    "IPAdapter_Checkpoint_FLUX_Config": [kind("ip_adapter"), format("checkpoint"), base("flux")];
    "T2IAdapter_Diffusers_SD1_Config": [format("diffusers"), REPO_VARIANT, kind("t2i_adapter"), CONTROL_SETTINGS, base("sd-1")];
    "T2IAdapter_Diffusers_SDXL_Config": [format("diffusers"), REPO_VARIANT, kind("t2i_adapter"), CONTROL_SETTINGS, base("sdxl")];
    "Spandrel_Checkpoint_Config": [base("any"), kind("spandrel_image_to_image"), format("checkpoint")];
    "CLIPEmbed_Diffusers_G_Config": [format("diffusers"), REPO_VARIANT, base("any"), kind("clip_embed"), CPU_ONLY, size("gigantic")];
    "CLIPEmbed_Diffusers_L_Config": [format("diffusers"), REPO_VARIANT, base("any"), kind("clip_embed"), CPU_ONLY, size("large")];
    "CLIPVision_Diffusers_Config": [format("diffusers"), REPO_VARIANT, base("any"), kind("clip_vision"), CPU_ONLY];
    "SigLIP_Diffusers_Config": [format("diffusers"), REPO_VARIANT, kind("siglip"), base("any"), CPU_ONLY];
    "FLUXRedux_Checkpoint_Config": [kind("flux_redux"), format("checkpoint"), base("flux")];
    "LlavaOnevision_Diffusers_Config": [format("diffusers"), REPO_VARIANT, kind("llava_onevision"), base("any"), CPU_ONLY];
    "TextLLM_Diffusers_Config": [format("diffusers"), REPO_VARIANT, kind("text_llm"), base("any"), CPU_ONLY];
    "ExternalApiModelConfig": [base("external"), kind("external_image_generator"), format("external_api"), PROVIDER, PROVIDER_MODEL, CAPABILITIES, EXTERNAL_SETTINGS, PANEL, TAGS, IS_DEFAULT];
    "Unknown_Config": [base("unknown"), kind("unknown"), format("unknown")];
}
