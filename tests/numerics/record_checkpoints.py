"""Records what single-file checkpoints of small random models compute, for `invoke-core/src/nodes/latents/tests`.

    python record_checkpoints.py     needs torch, diffusers, transformers, compel, safetensors

The models have the layout of Stable Diffusion 1, 2 and XL and of XL's refiner, with narrow blocks. Their weights are formulas of a
tensor's name and the element's number (`weight`), which the tests repeat: `checkpoints.json` lists names and shapes, as the files
of one piece have them, and nothing else needs to be kept. diffusers' own conversion makes folders' weights of them.
"""
import json, math, os
import numpy as np
import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
ASSETS = os.path.join(os.path.dirname(os.path.dirname(HERE)), "assets")
torch.set_grad_enabled(False)


def weight(name, shape):
    """Uniform around zero with variance 1 / inputs, from a hash of name and element, which repeats after 65,521; norms' weights are around 1. In half
    precision."""
    seed = 0x811C9DC5
    for byte in name.encode(): seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF
    n = math.prod(shape)
    h = np.arange(n, dtype=np.uint32) % np.uint32(65521) * np.uint32(2654435761) + np.uint32(seed)
    h ^= h >> np.uint32(15); h *= np.uint32(2246822519); h ^= h >> np.uint32(13)
    u = h.astype(np.float64) / 2 ** 31 - 1
    if len(shape) > 1: v = u * math.sqrt(3 / math.prod(shape[1:]))
    elif name.endswith(".weight"): v = 1 + u * 0.1
    else: v = u * 0.1
    return torch.from_numpy(v.astype(np.float32)).half().float().reshape(shape)


def unet_names(unet):
    """(name in a file of one piece, shape) of every tensor."""
    layers, res = 2, {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}
    old = {"input_blocks.0.0": unet.conv_in, "time_embed.0": unet.time_embedding.linear_1, "time_embed.2": unet.time_embedding.linear_2, "middle_block.0": unet.mid_block.resnets[0],
           "middle_block.1": unet.mid_block.attentions[0], "middle_block.2": unet.mid_block.resnets[1], "out.0": unet.conv_norm_out, "out.2": unet.conv_out}
    if unet.config.addition_embed_type: old |= {"label_emb.0.0": unet.add_embedding.linear_1, "label_emb.0.2": unet.add_embedding.linear_2}
    for i, block in enumerate(unet.down_blocks):
        for j in range(layers):
            old[f"input_blocks.{1 + i * 3 + j}.0"] = block.resnets[j]
            if hasattr(block, "attentions"): old[f"input_blocks.{1 + i * 3 + j}.1"] = block.attentions[j]
        if block.downsamplers: old[f"input_blocks.{(i + 1) * 3}.0.op"] = block.downsamplers[0].conv
    for i, block in enumerate(unet.up_blocks):
        for j in range(layers + 1):
            k = i * 3 + j
            old[f"output_blocks.{k}.0"] = block.resnets[j]
            if hasattr(block, "attentions"): old[f"output_blocks.{k}.1"] = block.attentions[j]
            if block.upsamplers and j == layers: old[f"output_blocks.{k}.{2 if hasattr(block, 'attentions') else 1}.conv"] = block.upsamplers[0].conv
    for prefix, module in old.items():
        for k, v in module.state_dict().items():
            if hasattr(module, "time_emb_proj"): k = res[k.rsplit(".", 1)[0]] + "." + k.rsplit(".", 1)[1]
            yield f"model.diffusion_model.{prefix}.{k}", list(v.shape)


def vae_names(vae):
    n = len(vae.config.block_out_channels)
    for k, v in vae.state_dict().items():
        for new, old in {"mid_block.resnets.0": "mid.block_1", "mid_block.resnets.1": "mid.block_2", "mid_block.attentions.0": "mid.attn_1", "conv_norm_out": "norm_out", "conv_shortcut": "nin_shortcut",
                         "group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out", "resnets": "block", "downsamplers.0": "downsample", "upsamplers.0": "upsample"}.items(): k = k.replace(new, old)
        for i in range(n): k = k.replace(f"down_blocks.{i}.", f"down.{i}.").replace(f"up_blocks.{i}.", f"up.{n - 1 - i}.")
        yield "first_stage_model." + k, list(v.shape) + ([1, 1] if "attn_1" in k and v.ndim == 2 else [])


def open_clip(prefix, width, layers, projection):
    """A text encoder as OpenCLIP names it: (name, shape) of its tensors."""
    yield prefix + "token_embedding.weight", [49408, width]
    yield prefix + "positional_embedding", [77, width]
    for i in range(layers):
        block = f"{prefix}transformer.resblocks.{i}."
        yield block + "attn.in_proj_weight", [3 * width, width]
        yield block + "attn.in_proj_bias", [3 * width]
        for name, (o, i_) in {"attn.out_proj": (width, width), "mlp.c_fc": (4 * width, width), "mlp.c_proj": (width, 4 * width)}.items():
            yield f"{block}{name}.weight", [o, i_]
            yield f"{block}{name}.bias", [o]
        for name in ("ln_1", "ln_2"): yield f"{block}{name}.weight", [width]; yield f"{block}{name}.bias", [width]
    yield prefix + "ln_final.weight", [width]
    yield prefix + "ln_final.bias", [width]
    if projection: yield prefix + "text_projection", [width, width]


def text_model(width, layers, act, projection=False, open_prefix=None, weights=None, prefix=None):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection
    config = CLIPTextConfig(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=width // 64, vocab_size=49408, hidden_act=act, projection_dim=width,
                            bos_token_id=49406, eos_token_id=49407, pad_token_id=1)
    model = (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()
    if weights is None: return model
    inner = model if not hasattr(model, "text_model") else model.text_model
    state = {}
    for k in inner.state_dict():
        if open_prefix is None: state[k] = weights[f"{prefix}text_model.{k}"]; continue
        if "position_ids" in k: continue
        o = k
        if k.startswith("encoder.layers."):
            _, _, layer, rest = k.split(".", 3)
            base = f"{open_prefix}transformer.resblocks.{layer}."
            if any(p in rest for p in ("q_proj", "k_proj", "v_proj")):
                third = "qkv".index(rest.split(".")[1][0])
                state[k] = weights[base + "attn.in_proj_" + rest.rsplit(".", 1)[1]].chunk(3)[third]; continue
            for new, old in {"self_attn.out_proj": "attn.out_proj", "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}.items(): rest = rest.replace(new, old)
            state[k] = weights[base + rest]; continue
        o = {"embeddings.token_embedding.weight": "token_embedding.weight", "embeddings.position_embedding.weight": "positional_embedding", "final_layer_norm.weight": "ln_final.weight", "final_layer_norm.bias": "ln_final.bias"}[k]
        state[k] = weights[open_prefix + o]
    inner.load_state_dict(state, strict=False)
    if projection: model.text_projection.weight.copy_(weights[open_prefix + "text_projection"].T)
    return model


ATTENTION = dict(sd=((1, 1, 1, 0), (0, 1, 1, 1)), xl=((0, 1, 1), (1, 1, 0)), refiner=((0, 1, 1, 0), (0, 1, 1, 0)))


def unet_of(kind, widths, **more):
    from diffusers import UNet2DConditionModel
    down, up = ATTENTION[kind]
    return UNet2DConditionModel(block_out_channels=widths, down_block_types=["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in down], up_block_types=["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in up],
                                layers_per_block=2, **more).eval()


def vae_of():
    from diffusers import AutoencoderKL
    return AutoencoderKL(block_out_channels=(32, 32, 64, 64), down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4, layers_per_block=2).eval()


XL = dict(use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256)
KINDS = {
    "sd-1": lambda: unet_of("sd", (32, 64, 96, 96), attention_head_dim=8, cross_attention_dim=768),
    "sd-2": lambda: unet_of("sd", (64, 64, 64, 128), attention_head_dim=(1, 1, 1, 2), cross_attention_dim=1024, use_linear_projection=True),
    "inpaint": lambda: unet_of("sd", (32, 64, 96, 96), in_channels=9, attention_head_dim=8, cross_attention_dim=768),
    "sdxl": lambda: unet_of("xl", (64, 128, 192), attention_head_dim=(1, 2, 3), cross_attention_dim=2048, transformer_layers_per_block=(1, 2, 10), projection_class_embeddings_input_dim=1280 + 6 * 256, **XL),
    "refiner": lambda: unet_of("refiner", (64, 64, 64, 64), attention_head_dim=(1, 1, 1, 1), cross_attention_dim=1280, transformer_layers_per_block=4, projection_class_embeddings_input_dim=1280 + 5 * 256, **XL),
}


def names(kind, unet, vae):
    yield from unet_names(unet)
    if kind in ("inpaint", "refiner"): return
    yield from vae_names(vae)
    if kind == "sd-2": yield from open_clip("cond_stage_model.model.", 1024, 2, False); return
    prefix = "cond_stage_model.transformer." if kind == "sd-1" else "conditioner.embedders.0.transformer."
    for k, v in text_model(768, 2, "quick_gelu").state_dict().items():
        yield prefix + ("" if k.startswith("text_model.") else "text_model.") + k, list(v.shape)
    if kind == "sdxl": yield from open_clip("conditioner.embedders.1.model.", 1280, 2, True)


def wave(*shape, phase=0.0):
    i = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(i * 0.7390851 + i * i * 0.0001234 + phase).float().reshape(shape)


def tokenizer(pad):
    """CLIP's tokenizer from the merges that ship with the program."""
    import tempfile
    from transformers import CLIPTokenizer
    with open(os.path.join(ASSETS, "clip", "merges.txt"), encoding="utf-8") as f: merges = f.read().split("\n")
    order = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    letters = [chr(b) for b in order] + [chr(256 + i) for i in range(256 - len(order))]
    words = letters + [c + "</w>" for c in letters] + ["".join(m.split()) for m in merges[1:] if m] + ["<|startoftext|>", "<|endoftext|>"]
    folder = tempfile.mkdtemp()
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as f: json.dump({w: i for i, w in enumerate(words)}, f)
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as f: f.write("\n".join(merges))
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f: json.dump({"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": pad, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}, f)
    return CLIPTokenizer.from_pretrained(folder)


def encoded(prompt, pad, model, penultimate):
    from compel import Compel, ReturnedEmbeddingsType, SplitLongTextMode
    kind = ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED if penultimate else ReturnedEmbeddingsType.LAST_HIDDEN_STATES_NORMALIZED
    compel = Compel(tokenizer=tokenizer(pad), text_encoder=model, truncate_long_prompts=False, returned_embeddings_type=kind, split_long_text_mode=SplitLongTextMode.SENTENCES)
    return compel.build_conditioning_tensor_for_conjunction(Compel.parse_prompt_string(prompt))[0]


PROMPT, NEGATIVE = "a (photo)1.2 of a cat, by the sea", "blurry"


def run(kind, unet, vae, weights):
    """Four steps from noise to a picture, as InvokeAI's nodes make it."""
    from diffusers import DDIMScheduler, EulerDiscreteScheduler
    base = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000, steps_offset=1)
    added = {}
    if kind == "sd-1":
        text = text_model(768, 2, "quick_gelu", weights=weights, prefix="cond_stage_model.transformer.")
        context = torch.cat([encoded(p, "<|endoftext|>", text, False) for p in (NEGATIVE, PROMPT)])
    elif kind == "sd-2":
        text = text_model(1024, 1, "gelu", open_prefix="cond_stage_model.model.", weights=weights)
        context = torch.cat([encoded(p, "!", text, False) for p in (NEGATIVE, PROMPT)])
    else:
        one = text_model(768, 2, "quick_gelu", weights=weights, prefix="conditioner.embedders.0.transformer.")
        two = text_model(1280, 2, "gelu", projection=True, open_prefix="conditioner.embedders.1.model.", weights=weights)
        context = torch.cat([torch.cat([encoded(p, "<|endoftext|>", one, True), encoded(p, "!", two, True)], 2) for p in (NEGATIVE, PROMPT)])
        ids = torch.tensor([tokenizer("!")(p, padding="max_length", max_length=77)["input_ids"] for p in (NEGATIVE, PROMPT)])
        added = dict(added_cond_kwargs={"text_embeds": two(ids).text_embeds, "time_ids": torch.tensor([[1024.0, 1024, 0, 0, 1024, 1024]] * 2)})
    scheduler = EulerDiscreteScheduler(timestep_spacing="leading", **base) if kind == "sdxl" else DDIMScheduler(clip_sample=False, set_alpha_to_one=False, prediction_type="v_prediction" if kind == "sd-2" else "epsilon", **base)
    scheduler.set_timesteps(4)
    x = torch.randn(1, 4, 16, 8, generator=torch.Generator().manual_seed(5))
    x = scheduler.add_noise(torch.zeros_like(x), x, scheduler.timesteps[:1])
    for t in scheduler.timesteps:
        both = unet(scheduler.scale_model_input(torch.cat([x, x]), t), t, encoder_hidden_states=context, **added).sample
        negative, positive = both.chunk(2)
        x = scheduler.step(negative + 4.0 * (positive - negative), t, x).prev_sample
    picture = vae.decode(x / (0.13025 if kind == "sdxl" else 0.18215)).sample
    return x, ((picture / 2 + 0.5).clamp(0, 1) * 255).round()


def main():
    from diffusers.loaders import single_file_utils as s
    listed, out = {}, {}
    for kind, make in KINDS.items():
        unet, vae = make(), vae_of()
        listed[kind] = dict(names(kind, unet, vae))
        weights = {name: weight(name, shape) for name, shape in listed[kind].items()}
        unet.load_state_dict(s.convert_ldm_unet_checkpoint(dict(weights), dict(unet.config)))
        if kind in ("inpaint", "refiner"):
            c, w = unet.config.in_channels, unet.config.cross_attention_dim
            added = dict(added_cond_kwargs={"text_embeds": wave(1, 1280, phase=5), "time_ids": torch.tensor([[64.0, 64, 0, 0, 6]])}) if kind == "refiner" else {}
            out[kind] = unet(wave(1, c, 16, 8), 601, encoder_hidden_states=wave(1, 77, w, phase=1), **added).sample
            continue
        vae.load_state_dict(s.convert_ldm_vae_checkpoint(dict(weights), dict(vae.config)))
        latents, picture = run(kind, unet, vae, weights)
        print(kind, "latents", latents.std().item(), "picture", picture.mean().item(), picture.std().item())
        out[kind + " latents"], out[kind] = latents, picture
    save_file({k: v.to(torch.uint8 if k in ("sd-1", "sd-2", "sdxl") else torch.float32).contiguous() for k, v in out.items()}, os.path.join(HERE, "checkpoints.safetensors"))
    with open(os.path.join(HERE, "checkpoints.json"), "w") as f: json.dump(listed, f, separators=(",", ":")); f.write("\n")
    print({k: len(v) for k, v in listed.items()})


if __name__ == "__main__": main()
