"""Small models of FLUX.1 from formulas, for `models.py`: transformers for both variants, bare and quantized, an autoencoder, the text encoders, a LoRA.

InvokeAI knows the sizes of FLUX' transformer and autoencoder by the variant alone; `original.py` runs it with the sizes that stand here.
"""
import json, os
import torch
from safetensors.torch import save_file
import record_checkpoints as rc

# Beside these, all is as in FLUX.1: heads of 128, axes of 16, 56 and 56, latents of 16 channels.
TRANSFORMER = dict(context_in_dim=96, hidden_size=256, num_heads=2, depth=2, depth_single_blocks=3)
CHANNELS = 32
WORDS = "a red circle on blue green background photo of cat by the sea house with roof star yellow square beach blurry and".split()
PUNCTUATION = ".,-()':;!?0123456789"


def patch_sizes():
    """Gives InvokeAI's tables the sizes of the models here."""
    from invokeai.backend.flux import util
    for params in util._flux_transformer_params.values():
        for name, value in TRANSFORMER.items(): setattr(params, name, value)
    util.get_flux_ae_params().ch = CHANNELS


def t5(folder):
    """A T5 encoder of two layers in a pipeline's layout, with a tokenizer that knows a few words and all letters. Returns its tensors' names and shapes."""
    from transformers import T5Config, T5EncoderModel, T5Tokenizer
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [("▁" + word, -3.0 - i / 16) for i, word in enumerate(dict.fromkeys(WORDS))]
    pieces += [(letter, -6.0 - i / 16) for i, letter in enumerate("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" + PUNCTUATION)]
    pieces += [(f"<extra_id_{i}>", 0.0) for i in range(99, -1, -1)]
    T5Tokenizer(vocab=pieces, model_max_length=512).save_pretrained(os.path.join(folder, "tokenizer_2"))
    config = T5Config(vocab_size=len(pieces), d_model=TRANSFORMER["context_in_dim"], d_kv=24, d_ff=160, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu",
                      is_encoder_decoder=False, use_cache=False, tie_word_embeddings=False)
    model = T5EncoderModel(config).eval()
    state = {k: rc.weight(k, list(v.shape)) for k, v in model.state_dict().items()}
    state["encoder.embed_tokens.weight"] = state["shared.weight"]
    model.load_state_dict(state)
    inner = os.path.join(folder, "text_encoder_2")
    model.save_pretrained(inner)
    # By its index InvokeAI knows that it is not quantized.
    names = {k: "model.safetensors" for k in state if k != "encoder.embed_tokens.weight"}
    with open(os.path.join(inner, "model.safetensors.index.json"), "w") as f: json.dump({"metadata": {}, "weight_map": names}, f)
    return {k: list(v.shape) for k, v in state.items()}


def clip(folder):
    """CLIP-L of two layers in a pipeline's layout."""
    model = rc.text_model(768, 2, "quick_gelu")
    state = {k: rc.weight("flux." + k, list(v.shape)) for k, v in model.state_dict().items() if v.is_floating_point()}
    model.load_state_dict(state, strict=False)
    model.float().save_pretrained(os.path.join(folder, "text_encoder"))
    rc.tokenizer("<|endoftext|>").save_pretrained(os.path.join(folder, "tokenizer"))


def lora(transformer, text):
    """A LoRA in kohya's layout for all three parts. Of the attentions' outputs it has none: by their width InvokeAI tells FLUX.1 from FLUX.2."""
    tensors = {}

    def add(layer, shape):
        tensors[layer + ".lora_up.weight"], tensors[layer + ".lora_down.weight"] = [shape[0], 4], [4, shape[1]]
        tensors[layer + ".alpha"] = []

    for name, shape in transformer.items():
        module = name.removesuffix(".weight")
        if module != name and len(shape) == 2 and "_blocks." in name and not module.endswith("attn.proj"): add("lora_unet_" + module.replace(".", "_"), shape)
    for layer in range(2):
        for part, (outputs, inputs) in {"self_attn_k_proj": (768, 768), "self_attn_out_proj": (768, 768), "mlp_fc1": (3072, 768)}.items(): add(f"lora_te1_text_model_encoder_layers_{layer}_{part}", (outputs, inputs))
    for name, shape in text.items():
        if name.startswith("encoder.block.") and name.endswith(("SelfAttention.q.weight", "SelfAttention.o.weight", "wi_1.weight", "wo.weight")): add("lora_te2_" + name.removesuffix(".weight").replace(".", "_"), shape)
    return {k: torch.tensor(3.0) if not shape else rc.weight(k, shape) * 0.5 for k, shape in tensors.items()}


def gguf(path, state):
    """Matrices in blocks of 8 bits, everything else in single floats."""
    import gguf as library
    writer = library.GGUFWriter(path, "flux")
    for name, tensor in state.items():
        kind = library.GGMLQuantizationType.Q8_0 if tensor.ndim == 2 and tensor.shape[1] % 32 == 0 else library.GGMLQuantizationType.F32
        writer.add_tensor(name, library.quants.quantize(tensor.float().numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def nf4(path, state):
    """Matrices in 4 bits, as bitsandbytes packs them."""
    import bitsandbytes.functional as library
    packed = {}
    for name, tensor in state.items():
        if tensor.ndim != 2:
            packed[name] = tensor
            continue
        packed[name], quantized = library.quantize_4bit(tensor, blocksize=64, quant_type="nf4", compress_statistics=True)
        packed |= {f"{name}.{k}": v for k, v in quantized.as_dict(packed=True).items()}
    save_file({k: v.contiguous() for k, v in packed.items()}, path)


def flux_models(out):
    """Makes all of them."""
    from invokeai.backend.flux import util
    from invokeai.backend.flux.model import Flux
    from invokeai.backend.flux.modules.autoencoder import AutoEncoder
    from invokeai.backend.model_manager.taxonomy import FluxVariantType
    patch_sizes()
    for variant, name in ((FluxVariantType.Dev, "small-flux-dev"), (FluxVariantType.Schnell, "small-flux-schnell")):
        with torch.device("meta"): shapes = {k: list(v.shape) for k, v in Flux(util.get_flux_transformers_params(variant)).state_dict().items()}
        # Norms of queries and keys are around 1, as other norms' weights are.
        state = {k: (rc.weight(k.replace(".scale", ".weight"), shape)).bfloat16() for k, shape in shapes.items()}
        bundled = "model.diffusion_model." if variant == FluxVariantType.Schnell else ""
        save_file({bundled + k: v for k, v in state.items()}, os.path.join(out, name + ".safetensors"))
        if variant == FluxVariantType.Dev:
            dev = shapes
            gguf(os.path.join(out, "small-flux-q8.gguf"), state)
            nf4(os.path.join(out, "small-flux-nf4.safetensors"), state)
    with torch.device("meta"): vae = {k: list(v.shape) for k, v in AutoEncoder(util.get_flux_ae_params()).state_dict().items()}
    save_file({k: rc.weight(k, shape).half() for k, shape in vae.items()}, os.path.join(out, "small-flux-vae.safetensors"))
    text = t5(os.path.join(out, "small-flux-t5"))
    clip(os.path.join(out, "small-flux-clip"))
    patches = lora(dev, text)
    save_file({k: v.contiguous() for k, v in patches.items()}, os.path.join(out, "small-flux-lora.safetensors"))
