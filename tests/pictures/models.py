"""Makes the small models that the pictures here are made of, from formulas: no weights are kept in the project.

    python models.py OUT_DIR [--list FILE] [--true-size]     needs torch, diffusers, transformers, safetensors, and for FLUX invokeai and gguf

Denoisers, autoencoders and text encoders are those of `tests/numerics/record_checkpoints.py`, as folders and as files of one piece; besides
there are adapters for them and for the shipped model, and models of FLUX.1 (`flux_models.py`). `--list` writes the names and shapes of the adapters' tensors, from which the tests in
Rust make the same files. `--true-size` makes models of the size of Stable Diffusion 1.5 and XL instead, with random weights, and a LoRA and a ControlNet
for the first (11 GB).
"""
import argparse, json, os, sys
import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "numerics"))
import record_checkpoints as rc
from flux_models import flux_models

torch.set_grad_enabled(False)
SCHEDULER = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000, steps_offset=1, clip_sample=False, set_alpha_to_one=False)


def filled(module):
    """A module with every weight from the formula; returns names and shapes too."""
    state = {k: rc.weight(k, list(v.shape)) for k, v in module.state_dict().items() if v.is_floating_point()}
    module.load_state_dict(state, strict=False)
    return module.eval(), {k: list(v.shape) for k, v in state.items()}


def main_model(kind, folder):
    """A folder of diffusers' layout, and beside it the file of one piece with the same weights."""
    from diffusers.loaders import single_file_utils as s
    unet, vae = rc.KINDS[kind](), rc.vae_of()
    weights = {n: rc.weight(n, shape) for n, shape in rc.names(kind, unet, vae)}
    save_file({k: v.half().contiguous() for k, v in weights.items()}, folder + ".safetensors")
    unet.load_state_dict(s.convert_ldm_unet_checkpoint(dict(weights), dict(unet.config)))
    unet.half().save_pretrained(os.path.join(folder, "unet"))
    if kind == "sdxl": vae.register_to_config(scaling_factor=0.13025, sample_size=1024)
    else: vae.register_to_config(sample_size=512)
    if kind == "inpaint":  # its other parts are the first model's
        weights = {n: rc.weight(n, shape) for n, shape in rc.names("sd-1", rc.KINDS["sd-1"](), vae)}
        kind = "sd-1"
    vae.load_state_dict(s.convert_ldm_vae_checkpoint(dict(weights), dict(vae.config)))
    vae.half().save_pretrained(os.path.join(folder, "vae"))
    if kind == "sd-1":
        rc.text_model(768, 2, "quick_gelu", weights=weights, prefix="cond_stage_model.transformer.").half().save_pretrained(os.path.join(folder, "text_encoder"))
    else:
        rc.text_model(768, 2, "quick_gelu", weights=weights, prefix="conditioner.embedders.0.transformer.").half().save_pretrained(os.path.join(folder, "text_encoder"))
        rc.text_model(1280, 2, "gelu", projection=True, open_prefix="conditioner.embedders.1.model.", weights=weights).half().save_pretrained(os.path.join(folder, "text_encoder_2"))
    pipeline(folder, xl=kind != "sd-1")


def pipeline(folder, xl):
    """What makes a pipeline of the models in a folder: tokenizers, scheduler, index."""
    from diffusers import DDIMScheduler
    index = {"_class_name": "StableDiffusionXLPipeline" if xl else "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
             "text_encoder": ["transformers", "CLIPTextModel"]}
    if xl: index["text_encoder_2"] = ["transformers", "CLIPTextModelWithProjection"]
    index["tokenizer"] = ["transformers", "CLIPTokenizer"]
    if xl: index["tokenizer_2"] = ["transformers", "CLIPTokenizer"]
    index["scheduler"] = ["diffusers", "EulerDiscreteScheduler" if xl else "DDIMScheduler"]
    for part, pad in (("tokenizer", "<|endoftext|>"), ("tokenizer_2", "!"))[: 1 + xl]: rc.tokenizer(pad).save_pretrained(os.path.join(folder, part))
    if xl:
        os.makedirs(os.path.join(folder, "scheduler"), exist_ok=True)
        with open(os.path.join(folder, "scheduler", "scheduler_config.json"), "w") as f: json.dump({"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading", **SCHEDULER}, f)
    else: DDIMScheduler(**SCHEDULER).save_pretrained(os.path.join(folder, "scheduler"))
    with open(os.path.join(folder, "model_index.json"), "w") as f: json.dump({"_diffusers_version": "0.30.0", **index}, f)


def adapters(out):
    """T2I-Adapters, IP-Adapters with their encoder, a ControlNet, a LoRA and textual inversions. Returns their tensors' names and shapes."""
    from diffusers import ControlNetModel, T2IAdapter
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
    listed = {}
    for name, kind, channels, factor in (("small-t2i", "light_adapter", (32, 64, 96, 96), 8), ("small-t2i-xl", "full_adapter_xl", (64, 128, 192, 192), 16)):
        adapter, listed[name] = filled(T2IAdapter(in_channels=3, channels=list(channels), num_res_blocks=1, downscale_factor=factor, adapter_type=kind))
        adapter.half().save_pretrained(os.path.join(out, name))
    vision = CLIPVisionModelWithProjection(CLIPVisionConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2, image_size=224, patch_size=32, projection_dim=20, hidden_act="gelu"))
    vision, listed["IP Adapter SD1.5 Image Encoder"] = filled(vision)
    vision.half().save_pretrained(os.path.join(out, "IP Adapter SD1.5 Image Encoder"))

    unet = rc.KINDS["sd-1"]()
    attention, n = {}, 0
    for i, name in enumerate(unet.attn_processors):
        if "attn2" not in name: continue
        width = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape[0]
        attention |= {f"ip_adapter.{i}.to_k_ip.weight": [width, 768], f"ip_adapter.{i}.to_v_ip.weight": [width, 768]}
    plain = {"proj.weight": [4 * 768, 20], "proj.bias": [4 * 768], "norm.weight": [768], "norm.bias": [768]}
    plus = {"latents": [1, 5, 32], "proj_in.weight": [32, 32], "proj_in.bias": [32], "proj_out.weight": [768, 32], "proj_out.bias": [768], "norm_out.weight": [768], "norm_out.bias": [768]}
    for i in range(4):
        plus |= {f"layers.{i}.0.norm1.weight": [32], f"layers.{i}.0.norm1.bias": [32], f"layers.{i}.0.norm2.weight": [32], f"layers.{i}.0.norm2.bias": [32], f"layers.{i}.0.to_q.weight": [768, 32],
                 f"layers.{i}.0.to_kv.weight": [1536, 32], f"layers.{i}.0.to_out.weight": [32, 768], f"layers.{i}.1.0.weight": [32], f"layers.{i}.1.0.bias": [32], f"layers.{i}.1.1.weight": [128, 32], f"layers.{i}.1.3.weight": [32, 128]}
    for name, projection in (("small-ip", plain), ("small-ip-plus", plus)):
        listed[name] = {"image_proj." + k: v for k, v in projection.items()} | attention
        save_file({k: rc.weight(k, v).half() for k, v in listed[name].items()}, os.path.join(out, name + ".safetensors"))

    control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32, 32, 64))
    control, listed["small-control"] = filled(control)
    control.half().save_pretrained(os.path.join(out, "small-control"))
    lora = {}
    for name, p in unet.named_parameters():
        if p.ndim == 2 and ("attn" in name or ".ff." in name):
            key = "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
            lora |= {key + ".lora_up.weight": [p.shape[0], 4], key + ".lora_down.weight": [4, p.shape[1]]}
    listed["small-lora"] = lora
    save_file({k: rc.weight(k, v).half() * 0.5 for k, v in lora.items()}, os.path.join(out, "small-lora.safetensors"))
    for name, tensors in (("small-style", {"emb_params": [2, 768]}), ("small-style-xl", {"clip_g": [2, 1280], "clip_l": [2, 768]})):
        listed[name] = tensors
        save_file({k: rc.weight(k, v).half() for k, v in tensors.items()}, os.path.join(out, name + ".safetensors"))
    return listed


def true_size(out):
    """Models of true size with random weights, a LoRA and a ControlNet."""
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection
    torch.manual_seed(20)
    cross = lambda kinds, name: tuple(f"CrossAttn{name}" if kind else name for kind in kinds)
    layouts = {
        "true-sd1": dict(block_out_channels=(320, 640, 1280, 1280), layers_per_block=2, cross_attention_dim=768, attention_head_dim=8, sample_size=64,
                         down_block_types=cross((1, 1, 1, 0), "DownBlock2D"), up_block_types=cross((0, 1, 1, 1), "UpBlock2D")),
        "true-sdxl": dict(block_out_channels=(320, 640, 1280), layers_per_block=2, cross_attention_dim=2048, attention_head_dim=(5, 10, 20), sample_size=128,
                          transformer_layers_per_block=(1, 2, 10), use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
                          projection_class_embeddings_input_dim=2816, down_block_types=cross((0, 1, 1), "DownBlock2D"), up_block_types=cross((1, 1, 0), "UpBlock2D")),
    }
    large = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, hidden_act="quick_gelu", projection_dim=768, eos_token_id=2)
    giant = CLIPTextConfig(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20, hidden_act="gelu", projection_dim=1280, eos_token_id=2)
    for name, layout in layouts.items():
        folder, xl = os.path.join(out, name), name == "true-sdxl"
        unet = UNet2DConditionModel(**layout).eval()
        vae = AutoencoderKL(in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, block_out_channels=(128, 256, 512, 512),
                            layers_per_block=2, latent_channels=4, scaling_factor=0.13025 if xl else 0.18215, sample_size=1024 if xl else 512)
        parts = {"vae": vae, "text_encoder": CLIPTextModel(large)} | ({"text_encoder_2": CLIPTextModelWithProjection(giant)} if xl else {})
        if not xl:
            control, lora = ControlNetModel.from_unet(unet).eval(), {}
            # As made its outputs are all zero.
            for p in control.parameters():
                if not p.any(): torch.nn.init.normal_(p, std=0.02)
            control.half().save_pretrained(os.path.join(out, "true-control"))
            del control
            for key, p in unet.named_parameters():
                if p.ndim == 2 and "attn" in key:
                    key = "lora_unet_" + key.removesuffix(".weight").replace(".", "_")
                    lora |= {key + ".lora_up.weight": torch.randn(p.shape[0], 4).half() * 0.02, key + ".lora_down.weight": torch.randn(4, p.shape[1]).half() * 0.02}
            save_file(lora, os.path.join(out, "true-lora.safetensors"))
        parts["unet"] = unet
        for part, module in parts.items(): module.half().save_pretrained(os.path.join(folder, part))
        pipeline(folder, xl)
        del unet, vae, parts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--list")
    parser.add_argument("--true-size", action="store_true")
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    if args.true_size: return true_size(args.out)
    for kind, name in (("sd-1", "small-sd1"), ("inpaint", "small-inpaint"), ("sdxl", "small-sdxl")):
        main_model(kind, os.path.join(args.out, name))
    listed = adapters(args.out)
    flux_models(args.out)
    if args.list:
        with open(args.list, "w") as f: json.dump(listed, f, separators=(",", ":")); f.write("\n")
    print(args.out, sorted(os.listdir(args.out)))


if __name__ == "__main__": main()
