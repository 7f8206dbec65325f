"""Records what InvokeAI adds to FLUX.1's weights for a LoRA of every layout, for `invoke-core/tests/numerics/flux_lora.rs`.

    python record_flux_lora.py     needs invokeai 6.14.2

The transformer is a FLUX.1 of width 8, the text encoders have a layer of each kind that LoRA change; their weights and the LoRA are drawn from their names
and kept in `models/flux_lora`, beside the patched weights of every layer at half strength. InvokeAI's converter of diffusers' names has the true
model's width written in; here it runs with the small one's.
"""
import inspect, os, sys
import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from record import thin
from record_checkpoints import weight
import invokeai.backend.model_manager.load  # else the imports below go in circles
from invokeai.backend.flux.model import Flux, FluxParams
from invokeai.backend.patches.lora_conversions import flux_diffusers_lora_conversion_utils as diffusers
from invokeai.backend.patches.lora_conversions import flux_onetrainer_lora_conversion_utils as onetrainer
from invokeai.backend.patches.lora_conversions import flux_aitoolkit_lora_conversion_utils as aitoolkit
from invokeai.backend.patches.lora_conversions import flux_bfl_peft_lora_conversion_utils as bfl
from invokeai.backend.patches.lora_conversions import flux_kohya_lora_conversion_utils as kohya
from invokeai.backend.patches.lora_conversions import flux_onetrainer_bfl_lora_conversion_utils as onetrainer_bfl
from invokeai.backend.patches.lora_conversions import flux_xlabs_lora_conversion_utils as xlabs
from invokeai.backend.patches.lora_conversions.flux_lora_constants import FLUX_LORA_CLIP_PREFIX, FLUX_LORA_T5_PREFIX, FLUX_LORA_TRANSFORMER_PREFIX
from invokeai.backend.patches.lora_conversions.formats import flux_format_from_state_dict

torch.set_grad_enabled(False)
WIDTH, RANK, STRENGTH = 8, 3, 0.5
source = inspect.getsource(diffusers.lora_layers_from_flux_diffusers_grouped_state_dict)
assert "hidden_size = 3072" in source
exec(source.replace("hidden_size = 3072", f"hidden_size = {WIDTH}"), diffusers.__dict__)
onetrainer.lora_layers_from_flux_diffusers_grouped_state_dict = diffusers.lora_layers_from_flux_diffusers_grouped_state_dict

CONVERTERS = {
    "flux.kohya": kohya.lora_model_from_flux_kohya_state_dict,
    "flux.onetrainer": onetrainer.lora_model_from_flux_onetrainer_state_dict,
    "flux.onetrainer_bfl": onetrainer_bfl.lora_model_from_flux_onetrainer_bfl_state_dict,
    "flux.diffusers": lambda sd: diffusers.lora_model_from_flux_diffusers_state_dict(sd, alpha=None),
    "flux.aitoolkit": aitoolkit.lora_model_from_flux_aitoolkit_state_dict,
    "flux.xlabs": xlabs.lora_model_from_flux_xlabs_state_dict,
    "flux.bfl_peft": bfl.lora_model_from_flux_bfl_peft_state_dict,
}


def base():
    """The weights that are patched, by part."""
    with torch.device("meta"):
        model = Flux(FluxParams(in_channels=4, vec_in_dim=6, context_in_dim=10, hidden_size=WIDTH, mlp_ratio=4.0, num_heads=1, depth=2, depth_single_blocks=2, axes_dim=[2, 2, 4], theta=10000, qkv_bias=True, guidance_embed=True))
    shapes = {k: list(v.shape) for k, v in model.state_dict().items()}
    clip, t5 = {}, {}
    for layer in ("self_attn.q_proj", "self_attn.out_proj", "mlp.fc1"):
        outputs = 4 * WIDTH if "mlp" in layer else WIDTH
        clip |= {f"text_model.encoder.layers.0.{layer}.weight": [outputs, WIDTH], f"text_model.encoder.layers.0.{layer}.bias": [outputs]}
    for layer, shape in {"layer.0.SelfAttention.q": [6, WIDTH], "layer.1.DenseReluDense.wi_0": [20, WIDTH], "layer.1.DenseReluDense.wo": [WIDTH, 20]}.items(): t5[f"encoder.block.0.{layer}.weight"] = shape
    return {part: {k: weight(k.replace(".scale", ".weight"), shape) for k, shape in names.items()} for part, names in (("transformer", shapes), ("clip", clip), ("t5", t5))}


WEIGHTS = base()
PREFIXES = {"transformer": FLUX_LORA_TRANSFORMER_PREFIX, "clip": FLUX_LORA_CLIP_PREFIX, "t5": FLUX_LORA_T5_PREFIX}


def sides(module, part="transformer"): return list(WEIGHTS[part][module + ".weight"].shape)


def low(key, outputs, inputs, down="lora_down.weight", up="lora_up.weight", alpha=None):
    """A layer of low rank."""
    made = {f"{key}.{down}": weight(f"{key} down", [RANK, inputs]), f"{key}.{up}": weight(f"{key} up", [outputs, RANK])}
    return made | ({f"{key}.alpha": torch.tensor(alpha)} if alpha else {})


def peft(key, outputs, inputs): return low(key, outputs, inputs, "lora_A.weight", "lora_B.weight")


def kinds(keys):
    """Layers of LyCORIS' kinds: keys by kind, with the sides of what they change."""
    made = {}
    for kind, (key, (outputs, inputs)) in keys.items():
        t = lambda name, *shape: weight(f"{key} {name}", list(shape))
        made |= {
            "loha": lambda: {f"{key}.hada_w1_a": t("a", outputs, RANK), f"{key}.hada_w1_b": t("b", RANK, inputs), f"{key}.hada_w2_a": t("c", outputs, RANK), f"{key}.hada_w2_b": t("d", RANK, inputs), f"{key}.alpha": torch.tensor(2.0)},
            "lokr": lambda: {f"{key}.lokr_w1": t("a", 2, 2), f"{key}.lokr_w2_a": t("b", outputs // 2, RANK), f"{key}.lokr_w2_b": t("c", RANK, inputs // 2), f"{key}.alpha": torch.tensor(2.0)},
            "lokr whole": lambda: {f"{key}.lokr_w1": t("a", 4, 2), f"{key}.lokr_w2": t("b", outputs // 4, inputs // 2)},
            "diff": lambda: {f"{key}.diff": t("a", outputs, inputs)},
            "dora": lambda: low(key, outputs, inputs, alpha=2.0) | {f"{key}.dora_scale": 1 + 0.2 * t("s", 1, inputs)},
        }[kind]()
    return made


def layouts():
    """The files, by name."""
    modules = [k.removesuffix(".weight") for k, v in WEIGHTS["transformer"].items() if v.ndim == 2 and "_blocks." in k]
    outside = [k.removesuffix(".weight") for k, v in WEIGHTS["transformer"].items() if v.ndim == 2 and "_blocks." not in k and "adaLN" not in k]
    text = {}
    for module in ("self_attn.q_proj", "self_attn.out_proj", "mlp.fc1"): text |= low("lora_te1_text_model_encoder_layers_0_" + module.replace(".", "_"), *sides("text_model.encoder.layers.0." + module, "clip"), alpha=2.0)
    for module in ("layer.0.SelfAttention.q", "layer.1.DenseReluDense.wi_0", "layer.1.DenseReluDense.wo"): text |= low("lora_te2_encoder_block_0_" + module.replace(".", "_"), *sides("encoder.block.0." + module, "t5"), alpha=1.5)
    flat = {}
    for module in modules: flat |= low("lora_unet_" + module.replace(".", "_"), *sides(module), alpha=2.0)
    files = {"kohya": flat | text | low("lora_unet_final_layer_linear", *sides("final_layer.linear"), alpha=2.0)}
    key = lambda module: ("lora_unet_" + module.replace(".", "_"), sides(module))
    files["kohya_kinds"] = kinds({"loha": key("double_blocks.0.img_attn.qkv"), "lokr": key("double_blocks.1.txt_mlp.0"), "lokr whole": key("single_blocks.0.linear1"), "diff": key("double_blocks.0.txt_mod.lin"), "dora": key("single_blocks.1.linear2")})

    # diffusers' names and what they are made for
    named = {}
    W, H = WIDTH, 4 * WIDTH
    for i in range(2):
        named |= {f"transformer_blocks.{i}.{n}": s for n, s in {"norm1.linear": (6 * W, W), "norm1_context.linear": (6 * W, W), "attn.to_q": (W, W), "attn.to_k": (W, W), "attn.to_v": (W, W), "attn.add_q_proj": (W, W), "attn.add_k_proj": (W, W),
                  "attn.add_v_proj": (W, W), "attn.to_out.0": (W, W), "attn.to_add_out": (W, W), "ff.net.0.proj": (H, W), "ff.net.2": (W, H), "ff_context.net.0.proj": (H, W), "ff_context.net.2": (W, H)}.items()}
        named |= {f"single_transformer_blocks.{i}.{n}": s for n, s in {"norm.linear": (3 * W, W), "attn.to_q": (W, W), "attn.to_k": (W, W), "attn.to_v": (W, W), "proj_mlp": (H, W), "proj_out": (W, W + H)}.items()}
    # Single blocks may lack parts.
    del named["single_transformer_blocks.1.attn.to_k"]
    more = {"time_text_embed.timestep_embedder.linear_1": (W, 256), "time_text_embed.timestep_embedder.linear_2": (W, W), "time_text_embed.text_embedder.linear_1": (W, 6), "time_text_embed.text_embedder.linear_2": (W, W),
            "context_embedder": (W, 10), "x_embedder": (W, 4), "proj_out": (4, W)}
    for name, prefix in (("diffusers", "transformer."), ("diffusers_peft", "base_model.model.")):
        files[name] = {}
        for module, shape in (named | more).items(): files[name] |= peft(prefix + module, *shape)
    # Of OneTrainer's names InvokeAI's converter cannot read those with `_context`.
    files["onetrainer"] = {k: v for module, shape in named.items() if "_context" not in module for k, v in low("lora_transformer_" + module.replace(".", "_"), *shape, alpha=2.0).items()} | text
    dora = "lora_transformer_transformer_blocks_1_attn_to_k"
    files["onetrainer"][dora + ".dora_scale"] = 1 + 0.2 * weight("scale", [1, W])

    split = {}
    for module in modules:
        outputs, inputs = sides(module)
        parts = {"qkv": 3 * [W], "linear1": 3 * [W] + [H]}.get(module.rsplit(".", 1)[1])
        for n, rows in enumerate(parts or []): split |= low(f"transformer.{module}.{n}", rows, inputs, alpha=2.0)
        if not parts: split |= low(f"transformer.{module}", outputs, inputs, alpha=2.0)
    files["onetrainer_bfl"] = split
    files["aitoolkit"] = {k: v for module in modules + outside for k, v in peft("diffusion_model." + module, *sides(module)).items()}
    files["bfl_peft"] = {k: v for module in modules for k, v in peft("base_model.model." + module, *sides(module)).items()}
    key = lambda module: ("diffusion_model." + module, sides(module))
    files["bfl_kinds"] = kinds({"loha": key("single_blocks.0.linear1"), "lokr": key("double_blocks.0.img_attn.qkv"), "lokr whole": key("double_blocks.1.txt_mlp.0"), "diff": key("double_blocks.0.img_attn.proj")})
    files["xlabs"] = {}
    for i in range(2):
        for part, outputs in (("qkv", 3 * W), ("proj", W)):
            for stream in (1, 2): files["xlabs"] |= low(f"double_blocks.{i}.processor.{part}_lora{stream}", outputs, W, "down.weight", "up.weight")
    return files


def main():
    folder = os.path.join(HERE, "models", "flux_lora")
    os.makedirs(folder, exist_ok=True)
    for part, weights in WEIGHTS.items(): save_file({k: v.half().contiguous() for k, v in weights.items()}, os.path.join(folder, part + ".safetensors"))
    out = {}
    for name, tensors in layouts().items():
        tensors = {k: v.half().float().contiguous() for k, v in tensors.items()}
        save_file({k: v.half() for k, v in tensors.items()}, os.path.join(folder, name + ".safetensors"))
        layout = flux_format_from_state_dict(tensors, {})
        print(name, layout.value, len(tensors))
        for key, layer in CONVERTERS[layout.value](dict(tensors)).layers.items():
            part = next(part for part, prefix in PREFIXES.items() if key.startswith(prefix))
            module = key.removeprefix(PREFIXES[part]).removeprefix("transformer.").removeprefix("base_model.model.")
            own = {n: WEIGHTS[part][f"{module}.{n}"].half().float() for n in ("weight", "bias") if f"{module}.{n}" in WEIGHTS[part]}
            if not own: print("  no such layer:", key); continue
            for field, delta in layer.get_parameters(dict(own), STRENGTH).items(): out[f"{name}/{part}/{module}.{field}"] = thin(own[field] + delta)
    save_file(out, os.path.join(HERE, "flux_lora.safetensors"))
    print(len(out), "arrays,", sum(v.numel() for v in out.values()) * 4 // 1024, "kB")


if __name__ == "__main__": main()
