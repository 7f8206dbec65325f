#!/usr/bin/env python3
"""record_probe.py > probe.json

What InvokeAI 6.14.2 takes models for: small made-up files and folders of the Stable Diffusion families, of FLUX.1, and of what goes with them, with its
answer for each. Needs an environment with invokeai==6.14.2; asks nothing on the network. The test that reads probe.json makes the same files: tensors of zeros
(F16) by their names and shapes, metadata, JSON and text files; of GGUF files, tensors of zeros in blocks of 8 bits where a row is made of whole blocks, and
in single floats elsewhere."""
import json
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from invokeai.backend.model_manager.configs.factory import ModelConfigFactory

COMMON = {"key", "hash", "path", "file_size", "name", "description", "source", "source_type", "source_api_response", "source_url", "cover_image"}


def st(tensors, **metadata):
    return {"tensors": tensors, "metadata": metadata}


def js(**value):
    return {"json": value}


def gguf(tensors):
    return {"gguf": tensors}


CASES = {}


def one(name, tensors, **metadata):
    CASES[name] = {"": st(tensors, **metadata)}


def folder(name, **files):
    CASES[name] = {path.replace("__", "/").replace("_dot_", "."): content for path, content in files.items()}


# main models, single files
IN2 = "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"
IN4 = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
FIRST = "model.diffusion_model.input_blocks.0.0.weight"
for base, key, width in (("sd1", IN2, 768), ("sd2", IN2, 1024), ("sdxl", IN4, 2048), ("refiner", IN4, 1280)):
    for channels in (4, 9, 5, 7):
        one(f"main-{base}-{channels}.safetensors", {key: [2, width], FIRST: [2, channels, 1, 1]})
one("main-odd.safetensors", {IN2: [2, 640], FIRST: [2, 4, 1, 1]})
one("main-headless.safetensors", {IN2: [2, 768], "first_stage_model.x": [1]})
one("main-with-lora.safetensors", {IN2: [2, 768], FIRST: [2, 4, 1, 1], "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight": [1, 768]})
one("text-only.safetensors", {"cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": [2, 768]})
one("main-step.safetensors", {IN2: [2, 1024], FIRST: [2, 4, 1, 1]}, global_step="220000")

# VAE, single files
for name in ("vae", "my-sdxl-vae", "sd2-vae", "something", "xlarge", "vae-ft-mse-840000-ema-pruned", "SDXL_VAE", "sd 2 vae", "sd-2.1"):
    one(f"{name}.safetensors", {"encoder.conv_in.weight": [2, 3, 1, 1], "decoder.conv_in.weight": [2, 4, 1, 1]})
one("flux-ae.safetensors", {"encoder.conv_in.weight": [2, 3, 1, 1], "decoder.conv_in.weight": [2, 16, 1, 1]})
one("encoder-only-xl.safetensors", {"encoder.conv_in.weight": [2, 3, 1, 1]})
one("encoder-only.safetensors", {"encoder.conv_in.weight": [2, 3, 1, 1]})

# LoRA, single files
K = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
IN = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_v"
TE = "lora_te_text_model_encoder_layers_0_self_attn_k_proj"
TE1, TE2 = TE.replace("lora_te_", "lora_te1_"), TE.replace("lora_te_", "lora_te2_")
for width in (768, 1024, 2048, 640, 1280):
    one(f"kohya-{width}.safetensors", {f"{K}.lora_down.weight": [1, width], f"{K}.lora_up.weight": [4, 1], f"{K}.alpha": []})
one("kohya-sdxl-ldm.safetensors", {f"{IN}.lora_down.weight": [1, 2048], f"{IN}.lora_up.weight": [4, 1]})
one("kohya-te.safetensors", {f"{TE}.lora_down.weight": [1, 768], f"{TE}.lora_up.weight": [4, 1]})
one("kohya-te-sd2.safetensors", {f"{TE}.lora_down.weight": [1, 1024]})
one("kohya-te1.safetensors", {f"{TE1}.lora_down.weight": [1, 768]})
one("kohya-te2.safetensors", {f"{TE2}.lora_down.weight": [1, 1280]})
one("kohya-te12.safetensors", {f"{TE1}.lora_down.weight": [1, 768], f"{TE2}.lora_down.weight": [1, 1280]})
one("kohya-time.safetensors", {"lora_unet_input_blocks_1_0_emb_layers_1_time_emb_proj.lora_down.weight": [1, 1280]})
one("kohya-mlp.safetensors", {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": [1, 768]})
one("kohya-attn1.safetensors", {"lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_k.lora_down.weight": [1, 640]})
for block in (0, 1, 2, 9):
    one(f"slider-{block}.safetensors", {f"lora_unet_down_blocks_2_attentions_1_transformer_blocks_{block}_attn1_to_q.lora_down.weight": [1, 1280]})
one("slider-ldm.safetensors", {"lora_unet_input_blocks_8_1_transformer_blocks_3_attn1_to_q.lora_down.weight": [1, 1280]})
one("slider-mid.safetensors", {"lora_unet_middle_block_1_transformer_blocks_5_attn1_to_q.lora_down.weight": [1, 1280]})
one("slider-dotted.safetensors", {"unet.down_blocks.2.attentions.1.transformer_blocks.5.attn1.to_q.lora_A.weight": [1, 1280]})
one("peft-sd1.safetensors", {"unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight": [1, 768], "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_B.weight": [4, 1]})
one("old-diffusers.safetensors", {"down_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight": [1, 768], "down_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.up.weight": [4, 1]})
one("loha.safetensors", {f"{K}.hada_w1_a": [4, 1], f"{K}.hada_w1_b": [1, 768], f"{K}.hada_w2_a": [4, 1], f"{K}.hada_w2_b": [1, 768]})
one("loha-xl.safetensors", {f"{IN}.hada_w1_a": [4, 1], f"{IN}.hada_w1_b": [1, 2048], f"{IN}.hada_w2_a": [4, 1], f"{IN}.hada_w2_b": [1, 2048]})
one("lokr.safetensors", {f"{K}.lokr_w1": [4, 8], f"{K}.lokr_w2": [4, 96]})
one("lokr-xl.safetensors", {f"{K}.lokr_w1": [4, 16], f"{K}.lokr_w2": [4, 128]})
one("lokr-split.safetensors", {f"{K}.lokr_w1": [4, 8], f"{K}.lokr_w2_a": [4, 1], f"{K}.lokr_w2_b": [1, 96]})
one("full-diff.safetensors", {f"{K}.diff": [4, 768]})
one("ia3.safetensors", {f"{TE}.weight": [768], f"{TE}.on_input": []})
one("bypass-te2-first.safetensors", {f"{TE2}.lora_down.weight": [1, 1280], f"{K}.lora_down.weight": [1, 2048]})
one("omi-xl.safetensors", {"unet.x.lora_down.weight": [1, 2048]}, **{"modelspec.sai_model_spec": "1.0.0", "ot_branch": "omi_format", "modelspec.architecture": "stable-diffusion-xl-v1-base/lora"})
one("omi-odd.safetensors", {"unet.x.lora_down.weight": [1, 2048]}, **{"modelspec.sai_model_spec": "1.0.0", "ot_branch": "omi_format", "modelspec.architecture": "stable-diffusion-v1/lora"})
one("omi-kohya.safetensors", {f"{K}.lora_down.weight": [1, 2048]}, **{"modelspec.sai_model_spec": "1.0.0", "modelspec.architecture": "stable-diffusion-xl-v1-base/lora"})

# LoRA, folders
PEFT = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight"
folder("lora-folder", pytorch_lora_weights_dot_safetensors=st({f"{K}.lora_down.weight": [1, 768]}))
folder("lora-folder-xl", pytorch_lora_weights_dot_safetensors=st({f"{K}.lora_down.weight": [1, 2048]}))
folder("lora-folder-peft", pytorch_lora_weights_dot_safetensors=st({PEFT: [1, 768]}))

# ControlNet
for width in (768, 1024, 2048, 640):
    one(f"control-{width}-canny.safetensors", {"control_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": [2, width]})
one("control-xl4-depth.safetensors", {"control_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": [2, 2048]})
one("control-plain-softedge.safetensors", {"input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": [2, 768]})
one("control-mid-lineart anime.safetensors", {"controlnet_mid_block.bias": [1280], "controlnet_down_blocks.0.bias": [320]})
one("control-diffusers-bae.safetensors", {"controlnet_cond_embedding.conv_in.weight": [2, 3, 1, 1], "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": [2, 768]})
for width, name in ((768, "canny"), (1024, "pose"), (2048, "tile"), (1280, "scribble")):
    folder(f"control-folder-{name}-{width}", config_dot_json=js(_class_name="ControlNetModel", cross_attention_dim=width),
           diffusion_pytorch_model_dot_safetensors=st({"x": [1]}))
folder("control-folder-fp16", config_dot_json=js(_class_name="ControlNetModel", cross_attention_dim=768),
       **{"diffusion_pytorch_model_dot_fp16_dot_safetensors": st({"x": [1]})})

# T2I adapters
for kind in ("full_adapter", "light_adapter", "full_adapter_xl", "odd_adapter"):
    folder(f"t2i-{kind}-sketch", config_dot_json=js(_class_name="T2IAdapter", adapter_type=kind), diffusion_pytorch_model_dot_safetensors=st({"x": [1]}))

# IP adapters
for width in (768, 1024, 2048, 640):
    one(f"ip-{width}.safetensors", {"image_proj.proj.weight": [2, 2], "ip_adapter.1.to_k_ip.weight": [2, width]})
one("ip-headless.safetensors", {"image_proj.proj.weight": [2, 2]})

# textual inversion
for width in (768, 1024, 1280, 640):
    one(f"emb-{width}.safetensors", {"emb_params": [2, width]})
one("clip_g.safetensors", {"clip_g": [2, 1280], "clip_l": [2, 768]})
one("clip_l-only.safetensors", {"clip_l": [2, 768]})
one("vector.safetensors", {"<thing>": [768]})
one("vectors.safetensors", {"<thing>": [768, 2]})
one("two-vectors.safetensors", {"a": [1024], "b": [768]})
one("matrix.safetensors", {"anything": [5, 5]})
one("many.safetensors", {f"t{i}": [768] for i in range(10)})
folder("emb-folder", learned_embeds_dot_safetensors=st({"<thing>": [768]}))
folder("emb-folder-xl", anything_dot_safetensors=st({"clip_g": [2, 1280]}))

# VAE, CLIP, folders
folder("a-vae", config_dot_json=js(_class_name="AutoencoderKL", scaling_factor=0.18215), diffusion_pytorch_model_dot_safetensors=st({"x": [1]}))
folder("vae-by-config", config_dot_json=js(_class_name="AutoencoderKL", scaling_factor=0.13025, sample_size=1024), diffusion_pytorch_model_dot_safetensors=st({"x": [1]}))
folder("vae-by-config-256", config_dot_json=js(_class_name="AutoencoderKL", scaling_factor=0.13025, sample_size=256), diffusion_pytorch_model_dot_safetensors=st({"x": [1]}))
folder("vae-XL", config_dot_json=js(_class_name="AutoencoderKL"), diffusion_pytorch_model_dot_safetensors=st({"x": [1]}))
folder("sdxl-vae-fix", config_dot_json=js(_class_name="AutoencoderTiny"), diffusion_pytorch_model_dot_fp16_dot_safetensors=st({"x": [1]}))
folder("xlvae", config_dot_json=js(_class_name="AutoencoderKL"), diffusion_pytorch_model_dot_safetensors=st({"x": [1]}))
folder("clip-vision", config_dot_json=js(architectures=["CLIPVisionModelWithProjection"], hidden_size=1280), model_dot_safetensors=st({"x": [1]}))
folder("clip-both", config_dot_json=js(architectures=["CLIPModel"], vision_config={}, hidden_size=768), model_dot_safetensors=st({"x": [1]}))
folder("clip-l", config_dot_json=js(architectures=["CLIPTextModel"], hidden_size=768), model_dot_safetensors=st({"x": [1]}))
folder("clip-g", config_dot_json=js(architectures=["CLIPTextModelWithProjection"], hidden_size=1280), model_dot_safetensors=st({"x": [1]}))
folder("clip-odd", config_dot_json=js(architectures=["CLIPTextModel"], hidden_size=512), model_dot_safetensors=st({"x": [1]}))
folder("clip-l-nested", text_encoder__config_dot_json=js(architectures=["CLIPTextModel"], hidden_size=768), text_encoder__model_dot_safetensors=st({"x": [1]}))

# main models, folders
PIPELINES = (("StableDiffusionPipeline", 768), ("StableDiffusionInpaintPipeline", 768), ("StableDiffusionPipeline", 1024), ("StableDiffusionXLPipeline", 2048),
             ("StableDiffusionXLInpaintPipeline", 2048), ("StableDiffusionXLImg2ImgPipeline", 1280), ("LatentConsistencyModelPipeline", 768), ("OddPipeline", 768))
for pipeline, width in PIPELINES:
    for channels, prediction in ((4, "epsilon"), (9, "v_prediction"), (5, "sample")):
        if (channels == 9) != ("Inpaint" in pipeline) and channels != 5:
            continue
        folder(f"main-{pipeline}-{width}-{channels}", model_index_dot_json=js(_class_name=pipeline),
               unet__config_dot_json=js(_class_name="UNet2DConditionModel", cross_attention_dim=width, in_channels=channels),
               scheduler__scheduler_config_dot_json=js(prediction_type=prediction),
               text_encoder__config_dot_json=js(architectures=["CLIPTextModel"], hidden_size=768),
               unet__diffusion_pytorch_model_dot_safetensors=st({"x": [1]}))
folder("main-fp16", model_index_dot_json=js(_class_name="StableDiffusionPipeline"), unet__config_dot_json=js(cross_attention_dim=768, in_channels=4),
       scheduler__scheduler_config_dot_json=js(), unet__diffusion_pytorch_model_dot_fp16_dot_safetensors=st({"x": [1]}))
folder("main-no-scheduler", model_index_dot_json=js(_class_name="StableDiffusionPipeline"), unet__config_dot_json=js(cross_attention_dim=768, in_channels=4),
       unet__diffusion_pytorch_model_dot_safetensors=st({"x": [1]}))
folder("main-odd-width", model_index_dot_json=js(_class_name="StableDiffusionPipeline"), unet__config_dot_json=js(cross_attention_dim=640, in_channels=4),
       scheduler__scheduler_config_dot_json=js(), unet__diffusion_pytorch_model_dot_safetensors=st({"x": [1]}))
folder("unheard", config_dot_json=js(_class_name="UnheardOf"), model_dot_safetensors=st({"anything": [5, 5]}))
folder("empty", notes_dot_txt={"text": "nothing here"})


# FLUX.1: main models
NORM = "double_blocks.0.img_attn.norm.key_norm.scale"
DEV = "guidance_in.out_layer.weight"
PREFIX = "model.diffusion_model."


def flux(channels=64, guided=True, prefix="", **more):
    return {prefix + k: v for k, v in ({NORM: [128], "img_in.weight": [32, channels]} | ({DEV: [32, 32]} if guided else {}) | more).items()}


for prefix, name in (("", "flux"), (PREFIX, "flux-prefixed")):
    for kind, channels, guided in (("dev", 64, True), ("schnell", 64, False), ("fill", 384, True), ("fill-unguided", 384, False), ("flux2", 128, False)):
        one(f"{name}-{kind}.safetensors", flux(channels, guided, prefix))
        CASES[f"{name}-{kind}.gguf"] = {"": gguf(flux(channels, guided, prefix))}
    one(f"{name}-nf4.safetensors", flux(1, True, prefix) | {f"{prefix}double_blocks.0.img_attn.proj.weight.quant_state.bitsandbytes__nf4": [10]})
    one(f"{name}-nf4-schnell.safetensors", flux(1, False, prefix) | {f"{prefix}double_blocks.0.img_attn.proj.weight.quant_state.bitsandbytes__nf4": [10]})
one("flux1-kontext-dev.safetensors", flux())
one("flux-headless.safetensors", {NORM: [128]})
one("flux-no-norm.safetensors", {"double_blocks.0.img_mod.lin.weight": [2, 2], "img_in.weight": [2, 64]})
one("flux-with-clip.safetensors", flux(prefix=PREFIX) | {"text_encoders.clip_l.x": [1]})
one("flux-with-lora.safetensors", flux() | {"lora_unet_double_blocks_0_img_attn_proj.lora_down.weight": [1, 3072]})
CASES["flux-headless.gguf"] = {"": gguf({"double_blocks.0.img_mod.lin.weight": [2, 32]})}
CASES["flux-no-norm.gguf"] = {"": gguf({"double_blocks.0.img_mod.lin.weight": [2, 32], "img_in.weight": [2, 64]})}
for pipeline in ("FluxPipeline", "FluxFillPipeline", "FluxTransformer2DModel"):
    for kind, config in (("dev", {"in_channels": 64, "guidance_embeds": True}), ("schnell", {"in_channels": 64}), ("fill", {"in_channels": 384})):
        folder(f"{pipeline}-{kind}", model_index_dot_json=js(_class_name=pipeline), transformer__config_dot_json=js(_class_name="FluxTransformer2DModel", **config),
               transformer__diffusion_pytorch_model_dot_safetensors=st({"x": [1]}))
folder("FluxPipeline-fp16", model_index_dot_json=js(_class_name="FluxPipeline"), transformer__config_dot_json=js(_class_name="FluxTransformer2DModel"),
       transformer__diffusion_pytorch_model_dot_fp16_dot_safetensors=st({"x": [1]}))
folder("FluxPipeline-bare", model_index_dot_json=js(_class_name="FluxPipeline"), x_dot_safetensors=st({"x": [1]}))

# FLUX.1: autoencoders, text encoders
one("ae.safetensors", {"encoder.conv_in.weight": [2, 3, 1, 1], "decoder.conv_in.weight": [2, 16, 1, 1], "encoder.down.0.block.0.conv1.weight": [2, 2, 1, 1]})
one("flux2-vae.safetensors", {"encoder.conv_in.weight": [2, 3, 1, 1], "decoder.conv_in.weight": [2, 32, 1, 1]})
one("flux2-vae-bn-sdxl.safetensors", {"decoder.conv_in.weight": [2, 4, 1, 1], "bn.running_mean": [2]})
folder("flux-vae", config_dot_json=js(_class_name="AutoencoderKL", latent_channels=16, scaling_factor=0.3611, shift_factor=0.1159, sample_size=1024), diffusion_pytorch_model_dot_safetensors=st({"x": [1]}))
T5 = js(architectures=["T5EncoderModel"], d_model=4096)
folder("t5", text_encoder_2__config_dot_json=T5, text_encoder_2__model_dot_safetensors_dot_index_dot_json=js(weight_map={}), text_encoder_2__model_dot_safetensors=st({"x": [1]}))
folder("t5-two-files", text_encoder_2__config_dot_json=T5, text_encoder_2__model_dot_safetensors_dot_index_dot_json=js(weight_map={}),
       **{"text_encoder_2__model-1_dot_safetensors": st({"x": [1]}), "text_encoder_2__model-2_dot_safetensors": st({"y": [1]}), "tokenizer_2__tokenizer_config_dot_json": js(model_max_length=512)})
folder("t5-no-index", text_encoder_2__config_dot_json=T5, text_encoder_2__model_dot_safetensors=st({"x": [1]}))
folder("t5-int8", text_encoder_2__config_dot_json=T5, text_encoder_2__bnb_llm_int8_model_dot_safetensors=st({"encoder.block.0.layer.0.SelfAttention.k.SCB": [1]}))
folder("t5-int8-no-scales", text_encoder_2__config_dot_json=T5, text_encoder_2__bnb_llm_int8_model_dot_safetensors=st({"x": [1]}))
folder("t5-int8-other-name", text_encoder_2__config_dot_json=T5, text_encoder_2__model_dot_safetensors=st({"x.SCB": [1]}))
folder("t5-odd-class", text_encoder_2__config_dot_json=js(architectures=["T5Model"]), text_encoder_2__model_dot_safetensors_dot_index_dot_json=js(weight_map={}), text_encoder_2__model_dot_safetensors=st({"x": [1]}))
CASES["t5.gguf"] = {"": gguf({"enc.blk.0.attn_k.weight": [2, 32], "enc.output_norm.weight": [2]})}
CASES["t5-norm.gguf"] = {"": gguf({"enc.output_norm.weight": [2]})}
folder("clip-g-nested", text_encoder__config_dot_json=js(architectures=["CLIPTextModelWithProjection"], hidden_size=1280), text_encoder__model_dot_safetensors=st({"x": [1]}))
folder("clip-l-and-t5", text_encoder__config_dot_json=js(architectures=["CLIPTextModel"], hidden_size=768), text_encoder__model_dot_safetensors=st({"x": [1]}),
       text_encoder_2__config_dot_json=T5, text_encoder_2__model_dot_safetensors_dot_index_dot_json=js(weight_map={}))
folder("siglip", config_dot_json=js(architectures=["SiglipModel"], model_type="siglip"), model_dot_safetensors=st({"x": [1]}))

# FLUX.1: LoRA
PROJ = "double_blocks.0.img_attn.proj"


def low(layer, outputs=3072, inputs=3072, down="lora_A.weight", up="lora_B.weight"):
    return {f"{layer}.{down}": [1, inputs], f"{layer}.{up}": [outputs, 1]}


def kohya(layer, outputs=3072, inputs=3072):
    return low(layer, outputs, inputs, "lora_down.weight", "lora_up.weight") | {f"{layer}.alpha": []}


KOHYA = "lora_unet_double_blocks_0_img_attn_proj"
one("flux-kohya.safetensors", kohya(KOHYA))
one("flux-kohya-all.safetensors", kohya(KOHYA) | kohya("lora_unet_single_blocks_37_linear1", 21504) | kohya("lora_unet_double_blocks_0_img_mlp_0", 12288) | kohya(TE1, 768, 768)
    | kohya("lora_te2_encoder_block_0_layer_0_SelfAttention_k", 4096, 4096) | kohya("lora_te2_encoder_block_0_layer_1_DenseReluDense_wi_0", 10240, 4096) | kohya("lora_unet_final_layer_linear", 64))
one("flux-kohya-t5.safetensors", kohya("lora_te2_encoder_block_0_layer_0_SelfAttention_k", 4096, 4096))
one("flux-kohya-loha.safetensors", {f"{KOHYA}.hada_w1_a": [3072, 1], f"{KOHYA}.hada_w1_b": [1, 3072], f"{KOHYA}.hada_w2_a": [3072, 1], f"{KOHYA}.hada_w2_b": [1, 3072]})
one("flux-kohya-lokr.safetensors", {f"{KOHYA}.lokr_w1": [4, 4], f"{KOHYA}.lokr_w2": [768, 768]})
one("flux-kohya-mixed.safetensors", kohya(KOHYA) | kohya("lora_unet_time_in_in_layer", 3072, 256))
one("flux2-kohya-9b.safetensors", kohya(KOHYA, 4096, 4096))
one("flux2-kohya-4b.safetensors", kohya(KOHYA) | kohya("lora_unet_double_blocks_0_img_mlp_0", 18432))
ONE = "lora_transformer_single_transformer_blocks_0_attn_to_k"
one("flux-onetrainer.safetensors", kohya(ONE) | kohya("lora_transformer_transformer_blocks_0_ff_net_0_proj", 12288) | kohya(TE1, 768, 768))
one("flux-onetrainer-dora.safetensors", kohya(ONE) | {f"{ONE}.dora_scale": [1, 3072]})
one("flux-onetrainer-more.safetensors", kohya(ONE) | kohya("lora_transformer_x_embedder", 3072, 64))
one("flux-onetrainer-bfl.safetensors", kohya("transformer.double_blocks.0.img_attn.qkv.0") | kohya("transformer.single_blocks.0.linear1.3", 12288))
one("flux-onetrainer-bfl-no-split.safetensors", kohya(f"transformer.{PROJ}"))
for prefix, name in (("transformer.", "diffusers"), ("base_model.model.", "diffusers-peft"), ("", "diffusers-bare")):
    needed = low(f"{prefix}single_transformer_blocks.0.attn.to_q") | low(f"{prefix}transformer_blocks.0.attn.add_q_proj")
    one(f"flux-{name}.safetensors", needed)
    one(f"flux-{name}-double-only.safetensors", low(f"{prefix}transformer_blocks.0.attn.add_q_proj"))
    one(f"flux2-{name}.safetensors", low(f"{prefix}single_transformer_blocks.0.attn.to_qkv_mlp_proj"))
one("flux-diffusers-alpha.safetensors", low("transformer.single_transformer_blocks.0.attn.to_q") | low("transformer.transformer_blocks.0.attn.add_q_proj") | {"transformer.transformer_blocks.0.attn.add_q_proj.alpha": []})
one("flux-diffusers-named.safetensors", {k.replace(".weight", ".default.weight"): v for k, v in (low("transformer.single_transformer_blocks.0.attn.to_q") | low("transformer.transformer_blocks.0.attn.add_q_proj")).items()})
folder("flux-lora-folder", pytorch_lora_weights_dot_safetensors=st(low("transformer.single_transformer_blocks.0.attn.to_q") | low("transformer.transformer_blocks.0.attn.add_q_proj")))
folder("flux-lora-folder-kohya", pytorch_lora_weights_dot_safetensors=st(kohya(KOHYA)))
one("flux-xlabs.safetensors", low("double_blocks.0.processor.qkv_lora1", 9216, down="down.weight", up="up.weight") | low("double_blocks.0.processor.proj_lora2", down="down.weight", up="up.weight"))
one("flux-xlabs-mixed.safetensors", low("double_blocks.0.processor.qkv_lora1", 9216, down="down.weight", up="up.weight") | {"x": [1]})
for metadata, name in (({}, "aitoolkit"), ({"software": "{\"name\": \"ai-toolkit\"}"}, "aitoolkit-noted"), ({"software": "{\"name\": \"other\"}"}, "bfl-noted"), ({"format": "pt"}, "bfl-pt"), ({"software": "x"}, "bfl-odd-note")):
    one(f"flux-{name}.safetensors", low(f"diffusion_model.{PROJ}") | low("diffusion_model.single_blocks.0.linear1", 21504), **metadata)
one("flux-aitoolkit-extra.safetensors", low(f"diffusion_model.{PROJ}") | {"other.x": [1]})
one("flux-bfl-base.safetensors", low(f"base_model.model.{PROJ}"))
one("flux-bfl-mixed.safetensors", low(f"base_model.model.{PROJ}") | low(f"diffusion_model.{PROJ}"))
one("flux-bfl-lokr.safetensors", {f"diffusion_model.{PROJ}.lokr_w1": [4, 4], f"diffusion_model.{PROJ}.lokr_w2": [768, 768], f"diffusion_model.{PROJ}.alpha": []})
one("flux-bfl-loha.safetensors", {f"diffusion_model.{PROJ}.hada_w1_a": [3072, 1], f"diffusion_model.{PROJ}.hada_w1_b": [1, 3072], f"diffusion_model.{PROJ}.hada_w2_a": [3072, 1], f"diffusion_model.{PROJ}.hada_w2_b": [1, 3072]})
one("flux-bfl-diff.safetensors", {f"base_model.model.{PROJ}.diff": [2, 2]})
one("flux2-bfl-9b.safetensors", low(f"diffusion_model.{PROJ}", 4096, 4096))
one("flux2-bfl-txt.safetensors", low("diffusion_model.double_blocks.0.img_mod.lin") | low("diffusion_model.txt_in", 3072, 7680))
one("flux2-bfl-lokr.safetensors", {f"diffusion_model.{PROJ}.lokr_w1": [4, 4], f"diffusion_model.{PROJ}.lokr_w2": [1024, 1024]})
CONTROL = {"img_in.lora_A.weight": [1, 128], "img_in.lora_B.weight": [3072, 1], "img_in.lora_B.bias": [3072]}
one("flux1-canny-dev-lora.safetensors", CONTROL | low("single_blocks.0.linear1", 21504) | {"single_blocks.0.linear1.lora_B.bias": [21504], NORM: [128]})
one("flux-control-depth.safetensors", CONTROL)
one("flux-control-narrow.safetensors", CONTROL | {"img_in.lora_A.weight": [1, 64]})
one("flux-control-extra.safetensors", CONTROL | {"x": [1]})
FLUX_OMI = {"modelspec.sai_model_spec": "1.0.0", "ot_branch": "omi_format", "modelspec.architecture": "Flux.1-dev/lora"}
one("flux-omi.safetensors", {"transformer.x.lora_down.weight": [1, 3072]}, **FLUX_OMI)

# FLUX.1: ControlNet, IP-Adapter, Redux
XLABS_CONTROL = {f"{k}.{p}": [2] for k in ("controlnet_blocks.0", "input_hint_block.0", "pos_embed_input") for p in ("bias", "weight")}
one("flux-xlabs-canny.safetensors", XLABS_CONTROL)
one("flux-xlabs-depth-full.safetensors", XLABS_CONTROL | flux())
INSTANTX = {f"{k}.{p}": [2] for k in ("controlnet_blocks.0", "controlnet_x_embedder") for p in ("bias", "weight")}
one("flux-instantx-union.safetensors", INSTANTX | {"transformer_blocks.0.attn.to_q.weight": [2, 2]})
folder("flux-control-folder-pose", config_dot_json=js(_class_name="FluxControlNetModel", num_layers=5), diffusion_pytorch_model_dot_safetensors=st(INSTANTX))
folder("flux-control-folder-plain", config_dot_json=js(_class_name="FluxControlNetModel"), diffusion_pytorch_model_dot_safetensors=st({"x": [1]}))
XLABS_IP = {f"double_blocks.0.processor.ip_adapter_double_stream_{p}_proj.{f}": [2] for p in "kv" for f in ("bias", "weight")} | {f"ip_adapter_proj_model.{p}.{f}": [2] for p in ("norm", "proj") for f in ("bias", "weight")}
one("flux-ip.safetensors", XLABS_IP)
one("flux-ip-partial.safetensors", {k: v for k, v in XLABS_IP.items() if "norm" not in k})
one("flux1-redux-dev.safetensors", {f"redux_{p}.{f}": [2] for p in ("down", "up") for f in ("bias", "weight")})
one("flux-redux-extra.safetensors", {f"redux_{p}.{f}": [2] for p in ("down", "up") for f in ("bias", "weight")} | {"x": [1]})


def upscalers():
    """State dicts of the common families of upscalers, as spandrel's own classes make them when they are small."""
    from spandrel.architectures.Compact import Compact
    from spandrel.architectures.ESRGAN import ESRGAN
    from spandrel.architectures.SwinIR import SwinIR

    new = ESRGAN(num_filters=4, num_blocks=1, scale=4)
    one("RealESRGAN_x4.safetensors", {name: list(tensor.shape) for name, tensor in new.state_dict().items()})
    compact = Compact(num_feat=4, num_conv=2, upscale=2)
    one("compact.safetensors", {name: list(tensor.shape) for name, tensor in compact.state_dict().items()})
    swin = SwinIR(img_size=8, embed_dim=4, depths=[2], num_heads=[2], window_size=4, upscale=2, upsampler="pixelshuffledirect")
    one("swinir.safetensors", {name: list(tensor.shape) for name, tensor in swin.state_dict().items()})


def write(place, content):
    place.parent.mkdir(parents=True, exist_ok=True)
    if "json" in content:
        place.write_text(json.dumps(content["json"]))
    elif "text" in content:
        place.write_text(content["text"])
    elif "gguf" in content:
        import numpy as np
        from gguf import GGMLQuantizationType, GGUFWriter

        writer = GGUFWriter(place, "flux")
        for name, shape in content["gguf"].items():
            zeros = np.zeros(shape, np.float32)
            blocks = shape[-1] % 32 == 0
            writer.add_tensor(name, np.zeros([*shape[:-1], shape[-1] // 32 * 34], np.uint8) if blocks else zeros, raw_dtype=GGMLQuantizationType.Q8_0 if blocks else None)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    else:
        save_file({name: torch.zeros(shape, dtype=torch.float16) for name, shape in content["tensors"].items()}, place, metadata=content["metadata"] or None)


def main():
    try:
        upscalers()
    except Exception as error:  # a release of spandrel with other arguments
        print(f"no upscalers: {error}", file=sys.stderr)
    out = []
    with tempfile.TemporaryDirectory() as root:
        for name, files in CASES.items():
            place = Path(root, name)
            for path, content in files.items():
                write(place / path if path else place, content)
            try:
                result = ModelConfigFactory.from_model_on_disk(place)
                found = result.config and {k: v for k, v in result.config.model_dump(mode="json").items() if k not in COMMON}
                title = result.config and result.config.name
            except ValueError as error:
                found, title = {"refused": type(error).__name__}, None
            out.append({"name": name, "files": files, "title": title, "found": found})
    print("[" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in out) + "]")


main()
