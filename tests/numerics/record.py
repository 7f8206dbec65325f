"""Records what diffusers, transformers and compel compute, for the tests in `invoke-core/tests/numerics`.

    python record.py [part…]     needs torch, diffusers, transformers, compel, safetensors; parts are the functions below named record_*

Inputs are formulas that the tests repeat, weights are the shipped model's or random ones made here from fixed seeds and kept
beside this file in half precision. Of every output only some elements are kept: `thin` takes them at an odd stride, so that the
files stay small. All is computed in f32 on the CPU.
"""
import json, math, os, sys
import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TINY = os.path.join(ROOT, "assets", "models", "invoke-tiny")
torch.set_grad_enabled(False)
torch.manual_seed(0)


def wave(*shape, phase=0.0, scale=1.0):
    """The tests' inputs: a sine of the element's number, whose step never repeats."""
    n = math.prod(shape)
    i = torch.arange(n, dtype=torch.float64)
    return (torch.sin(i * 0.7390851 + i * i * 0.0001234 + phase) * scale).float().reshape(shape)


def thin(t, keep=1500):
    t = t.detach().float().flatten()
    stride = max(1, -(-t.numel() // keep)) | 1
    return t[::stride].clone().contiguous()


def save(name, tensors):
    save_file({k: v.float().contiguous() for k, v in tensors.items()}, os.path.join(HERE, name + ".safetensors"))
    print(name, len(tensors), "arrays,", sum(v.numel() for v in tensors.values()) * 4 // 1024, "kB")


def tiny(kind, part):
    return kind.from_pretrained(os.path.join(TINY, part), torch_dtype=torch.float32).eval()


# --- prompts -----------------------------------------------------------------------------------------------------------------

PARSES = [
    "", "   ", "a red circle", "a (red, big cat)1.3, dog", "a,b,,c", "c++ code", "red++", "red--", "red+ ++", "(red)++", "(red blue)--", "a red+++ star on a (green background)--",
    '"two words"++ more', '"a b"0.5', "(red)1.4 (blue)0.6", "(red) 1.4", "(red)-1", "(red).5", "(red)1.", "(red)+1.5", "(a (b)1.5)0.5", "((a)++ b)--", "(a", "a)", "((", "()", "()-", "(a)()b",
    "(red:1.3) [x]", "a\\(b\\)", "\\(not a weight\\)1.3", "a \\+ b", 'say \\"hi\\"', '"unclosed', '"closed" \\"', '"esc \\" aped"++', '""++ a', '" "-- b', "a.swap(b)", "a cat.swap(dog, s_start=0.5) eats",
    "(a big cat)1.2.swap(dog)", '"a cat".swap("a dog")+', "a . b.", "x--.attend(2)", "(x).attend(++)", "(x y).attend(0.3)", "word.attend(-)", "withLora(foo)", "a withLora(foo,0.5) b", "useLora(x, 1.2) start",
    '("a red circle", "a blue square").blend(0.6, 0.4)', '("a", "b").blend(1,1,no_normalize)', '("a","b").blend()', '("a b++", c).blend(0.5, no_normalize)', '("a","b").blend(1,1) foo', '("a", "b").blend(1, x)',
    '(a, b).blend(1, 2)', '((a)++, b).blend(1, 2)', '("a (b)1.2", "c").blend(-0.5, 1.5)', '("a","b","c").and()', '("a","b").and(1, 0.5)', '("a", "b").and() more', '("a", "b").add(0.3, 0.7)', '("", "x").and(0.5, 1)',
    '("a=b", "c").blend(1, 1)', '("a.swap(b)", "c").blend(1, 1)', '("a","b").and(1)', "well-known thing", "a-b--", "-5 +3 - +", "1.5", "(1)1.5", "(a=b)1.2 c", "(a + b)1.2", "tab\there", "line\nbreak (x)1.1",
    '"line\nbreak"++', "über (straße)1.2 日本語", "a (b, c.)1.1, d. e", "(a,b)1.1", "a(b)1.2", "a (b)1.2c", "((a b)1.5 (c)0.5)2", "hyphen-ated+ (two-words here)-", "50% (off!)1.1", "a's (b's)1.1", "<cat>++ (<dog>)0.5",
]


def describe(c):
    from compel.prompt_parser import Blend, CrossAttentionControlSubstitute

    def flat(prompt):
        for f in prompt.children:
            yield from f.original if isinstance(f, CrossAttentionControlSubstitute) else [f]

    def frags(p): return "|".join(f"{f.text}@{f.weight:.6f}" for f in flat(p))

    if not c.prompts: return "[@1.000000]*1.000000"  # compel fails later on; it is taken as an empty prompt here
    out = []
    for p, w in zip(c.prompts, c.weights):
        if isinstance(p, Blend): out.append(f"blend({' / '.join(f'{frags(x)}%{v:.6f}' for x, v in zip(p.prompts, p.weights))}){'' if p.normalize_weights else '!'}*{w:.6f}")
        else: out.append(f"[{frags(p)}]*{w:.6f}")
    return " & ".join(out)


def record_parses():
    from compel import Compel
    out = []
    for p in PARSES:
        try: out.append([p, describe(Compel.parse_prompt_string(p))])
        except Exception: out.append([p, "error"])
    path = os.path.join(ROOT, "invoke-core", "src", "diffusion", "text", "compel", "recorded_parses.json")
    with open(path, "w") as f: json.dump(out, f, ensure_ascii=False, indent=1); f.write("\n")
    print("parses", len(out))


LONG = "a red circle on a blue background. a green star, two yellow houses by the sea; a tree at night, " * 4
PROMPTS = {
    "plain": "a red circle on a blue background",
    "empty": "",
    "weights": "a (red)1.4 circle on a (blue)0.6 background",
    "signs": "a red+++ star on a (green background)--",
    "hidden twice": "a (red)0.3 circle and a (blue square)0.7 on (green)0",
    "negative": "a (red)-0.5 circle",
    "blend": '("a red circle on a white background", "a blue square on a white background").blend(0.6, 0.4)',
    "blend raw": '("a red circle", "a (blue)1.3 square").blend(0.8, -0.3, no_normalize)',
    "and": '("a red circle", "a blue square").and(1, 0.5)',
    "swap": "a cat.swap(dog) by the sea",
    "long": LONG,
    "long weights": "(" + LONG + ")0.8 end",
    "long blend": f'("{LONG}", "a boat").blend(0.5, 0.5)',
    "spelt out": "a <|endoftext|> b",
    "strange": "ÀÉ  ñ 12\u3000ok don't !?",
}


def record_text():
    from compel import Compel, ReturnedEmbeddingsType, SplitLongTextMode
    from transformers import CLIPTextModel, CLIPTokenizer
    tokenizer = CLIPTokenizer.from_pretrained(os.path.join(TINY, "tokenizer"))
    model = tiny(CLIPTextModel, "text_encoder")
    compel = Compel(tokenizer=tokenizer, text_encoder=model, truncate_long_prompts=False, split_long_text_mode=SplitLongTextMode.SENTENCES)
    out = {}
    for name, prompt in PROMPTS.items():
        c, _ = compel.build_conditioning_tensor_for_conjunction(Compel.parse_prompt_string(prompt))
        out[name] = thin(c)
        out[name + ".tokens"] = torch.tensor([c.shape[1]])
    out["pooled"] = thin(compel.conditioning_provider.get_pooled_embeddings([PROMPTS["plain"]]))
    save("text", out)
    with open(os.path.join(HERE, "prompts.json"), "w") as f: json.dump(PROMPTS, f, ensure_ascii=False, indent=1); f.write("\n")


# --- the shipped model ---------------------------------------------------------------------------------------------------------

def wrap_around(model, x=True, y=True):
    """Convolutions that pad around the picture, as `seamless` wants them."""
    for m in model.modules():
        if isinstance(m, torch.nn.Conv2d) and m.padding != (0, 0):
            def forward(t, w, b, m=m):
                py, px = m.padding
                t = torch.nn.functional.pad(t, (px, px, 0, 0), mode="circular" if x else "constant")
                t = torch.nn.functional.pad(t, (0, 0, py, py), mode="circular" if y else "constant")
                return torch.nn.functional.conv2d(t, w, b, m.stride)
            m._conv_forward = forward
    return model


class Biased:
    """Attention with an additive bias by number of pixels, for cross-attention only."""
    def __init__(self, by_pixels): self.by_pixels = by_pixels

    def __call__(self, attn, x, encoder_hidden_states=None, attention_mask=None, temb=None):
        c = x if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (m(t).unflatten(2, (attn.heads, -1)).transpose(1, 2) for m, t in ((attn.to_q, x), (attn.to_k, c), (attn.to_v, c)))
        mask = None if encoder_hidden_states is None else self.by_pixels[x.shape[1]][:, None]
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return attn.to_out[0](y.transpose(1, 2).flatten(2))


def region(h, w):
    """The tests' region: the left third."""
    m = torch.zeros(h, w); m[:, : (w + 2) // 3] = 1
    return m


def record_unet():
    from diffusers import UNet2DConditionModel
    unet = tiny(UNet2DConditionModel, "unet")
    out = {}
    context = wave(2, 77, 768, phase=1)
    for name, (b, h, w, t) in {"square": (2, 32, 32, 999), "last": (2, 32, 32, 1), "fraction": (1, 16, 16, 499.25), "odd": (1, 31, 33, 601), "wide": (1, 24, 48, 301), "tiny": (1, 8, 8, 50)}.items():
        out[name] = thin(unet(wave(b, 4, h, w), torch.tensor(t), encoder_hidden_states=context[:b]).sample)
    mask = torch.ones(2, 154); mask[0, 77:] = 0
    long = wave(2, 154, 768, phase=2)
    out["padded"] = thin(unet(wave(2, 4, 16, 16), 400, encoder_hidden_states=long, encoder_attention_mask=mask).sample)
    unet.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)
    out["freeu"] = thin(unet(wave(1, 4, 24, 16), 301, encoder_hidden_states=context[:1]).sample)
    out["freeu tiny"] = thin(unet(wave(1, 4, 8, 8), 301, encoder_hidden_states=context[:1]).sample)
    unet.disable_freeu()
    down = [wave(1, c, -(-16 // d), -(-24 // d), phase=i, scale=0.3) for i, (c, d) in enumerate([(32, 1), (32, 1), (32, 2), (64, 2), (64, 4), (128, 4), (128, 8), (160, 8)])]
    middle = wave(1, 160, 2, 3, phase=9, scale=0.3)
    out["control"] = thin(unet(wave(1, 4, 16, 24), 301, encoder_hidden_states=context[:1], down_block_additional_residuals=down, mid_block_additional_residual=middle).sample)
    states = [wave(1, c, 16 // d, 24 // d, phase=i, scale=0.3) for i, (c, d) in enumerate([(32, 2), (64, 4), (128, 4), (160, 8)])]
    out["adapter"] = thin(unet(wave(1, 4, 16, 24), 301, encoder_hidden_states=context[:1], down_intrablock_additional_residuals=states).sample)
    h, w = 15, 20
    m, by_pixels = region(h, w)[None, None], {}
    for _ in range(4):
        bias = torch.zeros(1, m.shape[2] * m.shape[3], 77)
        bias[0, m.flatten() <= 0.5, 10:40] = -10000.0
        by_pixels[m.shape[2] * m.shape[3]] = bias
        m = torch.nn.functional.max_pool2d(m, 2, 2, ceil_mode=True)
    unet.set_attn_processor(Biased(by_pixels))
    out["regions"] = thin(unet(wave(1, 4, h, w), 301, encoder_hidden_states=context[:1]).sample)
    for axes, (x, y) in {"xy": (True, True), "x": (True, False)}.items():
        out["seamless " + axes] = thin(wrap_around(tiny(UNet2DConditionModel, "unet"), x, y)(wave(1, 4, 16, 16), 301, encoder_hidden_states=context[:1]).sample)
    save("unet", out)


def record_vae():
    from diffusers import AutoencoderKL
    vae = tiny(AutoencoderKL, "vae")
    out = {}

    def decode(vae, *shape): return thin(vae.decode(wave(*shape) / vae.config.scaling_factor).sample)
    out["decode"] = decode(vae, 1, 4, 24, 16)
    moments = vae.encode(wave(1, 3, 64, 96)).latent_dist
    out["mean"], out["log variance"] = thin(moments.mean), thin(moments.logvar)
    out["sample"] = thin((moments.mean + moments.std * wave(1, 4, 8, 12, phase=3)) * vae.config.scaling_factor)
    vae.enable_tiling()
    vae.tile_sample_min_size, vae.tile_latent_min_size, vae.tile_overlap_factor = 128, 16, 0.25
    out["decode tiled"] = decode(vae, 1, 4, 30, 41)
    tiled = vae.encode(wave(1, 3, 200, 264)).latent_dist
    out["mean tiled"], out["log variance tiled"] = thin(tiled.mean), thin(tiled.logvar)
    out["decode seamless"] = decode(wrap_around(tiny(AutoencoderKL, "vae")), 1, 4, 16, 16)
    save("vae", out)

# --- random small models of other shapes -----------------------------------------------------------------------------------------

def randomise(model, seed, scale=1.0):
    """Weights of a fixed seed, rounded to half precision, with nothing left at zero."""
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        fan = p[0].numel() if p.ndim > 1 else 1
        noise = torch.randn(p.shape, generator=g)
        p.copy_((1 + noise * 0.1 if p.ndim == 1 and "norm" in name and name.endswith("weight") else noise * (0.1 if p.ndim == 1 else scale / fan ** 0.5)).half().float())
    return model.eval()


def keep(model, *path):
    """Saves a model in half precision, which its weights already have."""
    folder = os.path.join(HERE, "models", *path)
    model.to(torch.float16).save_pretrained(folder)
    model.float()


UNETS = {
    "sd-2": dict(block_out_channels=(8, 16, 24), down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
                 attention_head_dim=(1, 2, 3), cross_attention_dim=24, norm_num_groups=4, layers_per_block=1, use_linear_projection=True, sample_size=16),
    "inpaint": dict(in_channels=9, block_out_channels=(8, 16), down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=2,
                    cross_attention_dim=16, norm_num_groups=2, layers_per_block=2, sample_size=16),
    "sdxl": dict(block_out_channels=(8, 16, 24), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                 attention_head_dim=(1, 2, 3), cross_attention_dim=40, norm_num_groups=4, layers_per_block=2, transformer_layers_per_block=(1, 1, 2), use_linear_projection=True, addition_embed_type="text_time",
                 addition_time_embed_dim=6, projection_class_embeddings_input_dim=24 + 36, sample_size=16),
}


def unet_of(name, seed=11):
    from diffusers import UNet2DConditionModel
    return randomise(UNet2DConditionModel(**UNETS[name]), seed)


def record_shapes():
    from diffusers import ControlNetModel, T2IAdapter
    out = {}
    for name in ("sd-2", "inpaint"):
        unet = unet_of(name); keep(unet, name, "unet")
        c, w = unet.config.in_channels, unet.config.cross_attention_dim
        out[name] = thin(unet(wave(2, c, 16, 12), 601, encoder_hidden_states=wave(2, 77, w, phase=1)).sample)
    unet = unet_of("sdxl"); keep(unet, "sdxl", "unet")
    ids = torch.tensor([[1024, 768, 0, 16, 1024, 512], [64, 64, 8, 0, 64, 64.0]])
    added = {"text_embeds": wave(2, 24, phase=5), "time_ids": ids}
    step = dict(encoder_hidden_states=wave(2, 77, 40, phase=1), added_cond_kwargs=added)
    out["sdxl"] = thin(unet(wave(2, 4, 16, 12), 601, **step).sample)
    control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8, 8, 12), controlnet_conditioning_channel_order="bgr")
    randomise(control, 12); keep(control, "sdxl", "control")
    picture = (wave(2, 3, 128, 96, phase=2) + 1) / 2
    for kind, guess in {"control": False, "control ramp": True}.items():
        down, mid = control(wave(2, 4, 16, 12), 601, controlnet_cond=picture, conditioning_scale=0.7, guess_mode=guess, return_dict=False, **step)
        for i, d in enumerate([*down, mid]): out[f"{kind} {i}"] = thin(d, 60)
        out[f"{kind} result"] = thin(unet(wave(2, 4, 16, 12), 601, down_block_additional_residuals=down, mid_block_additional_residual=mid, **step).sample)
    for kind, channels in {"full_adapter": (8, 16, 24), "full_adapter_xl": (8, 16, 24, 24), "light_adapter": (8, 16, 24)}.items():
        adapter = randomise(T2IAdapter(in_channels=3, channels=list(channels), num_res_blocks=2, downscale_factor=8 if kind != "full_adapter_xl" else 16, adapter_type=kind), 13, 1.4)
        keep(adapter, kind)
        states = adapter((wave(1, 3, 128, 96, phase=2) + 1) / 2)
        for i, s in enumerate(states): out[f"{kind} {i}"] = thin(s, 200)
        if kind == "full_adapter_xl":
            states = adapter((wave(2, 3, 128, 96, phase=2) + 1) / 2)
            out["adapter result"] = thin(unet(wave(2, 4, 16, 12), 601, down_intrablock_additional_residuals=[s.clone() for s in states], **step).sample)
    save("shapes", out)


def record_sdxl_text():
    from compel import Compel, ReturnedEmbeddingsType, SplitLongTextMode
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
    tokenizer = CLIPTokenizer.from_pretrained(os.path.join(TINY, "tokenizer"))
    shape = dict(vocab_size=777, bos_token_id=775, num_attention_heads=2, max_position_embeddings=77)
    one = randomise(CLIPTextModel(CLIPTextConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=3, eos_token_id=2, pad_token_id=776, **shape)), 21)
    two = randomise(CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=24, intermediate_size=32, num_hidden_layers=4, projection_dim=24, hidden_act="gelu", eos_token_id=776, pad_token_id=0, **shape)), 22)
    keep(one, "sdxl", "text_encoder"); keep(two, "sdxl", "text_encoder_2")
    # The second once more, as OpenCLIP names it in single-file checkpoints.
    w, old = {k.removeprefix("text_model."): v.half() for k, v in two.state_dict().items()}, {}
    for i in range(4):
        new, to = f"encoder.layers.{i}.", f"transformer.resblocks.{i}."
        for field in ("weight", "bias"):
            old[f"{to}attn.in_proj_{field}"] = torch.cat([w[f"{new}self_attn.{p}_proj.{field}"] for p in "qkv"])
            for a, b in {"attn.out_proj": "self_attn.out_proj", "ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}.items(): old[f"{to}{a}.{field}"] = w[f"{new}{b}.{field}"]
    old |= {"token_embedding.weight": w["embeddings.token_embedding.weight"], "positional_embedding": w["embeddings.position_embedding.weight"], "ln_final.weight": w["final_layer_norm.weight"],
            "ln_final.bias": w["final_layer_norm.bias"], "text_projection": w["text_projection.weight"].T.contiguous()}
    save_file({"conditioner.embedders.1.model." + k: v.contiguous() for k, v in old.items()}, os.path.join(HERE, "models", "openclip.safetensors"))
    out = {}
    prompts = {"short": (PROMPTS["weights"], ""), "long": (LONG, "a (blue)0.7 boat")}
    for name, (prompt, style) in prompts.items():
        parts = []
        for model, text in ((one, prompt), (two, style or prompt)):
            compel = Compel(tokenizer=tokenizer, text_encoder=model, truncate_long_prompts=False, returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED, split_long_text_mode=SplitLongTextMode.SENTENCES)
            parts.append(compel.build_conditioning_tensor_for_conjunction(Compel.parse_prompt_string(text))[0])
            if model is two: out[name + " pooled"] = thin(two(torch.tensor(compel.conditioning_provider.get_token_ids([text], padding="max_length", truncation_override=True))).text_embeds)
        n = max(p.shape[1] for p in parts)
        out[name] = thin(torch.cat([torch.nn.functional.pad(p, (0, 0, 0, n - p.shape[1])) for p in parts], 2))
    ids = torch.tensor([tokenizer("a red circle", padding="max_length", max_length=77)["input_ids"]])
    out["first pooled"] = thin(one(ids).pooler_output)
    one.text_model.encoder.layers = one.text_model.encoder.layers[:-1] if hasattr(one, "text_model") else one.encoder.layers[:-1]
    out["skipped"] = thin(one(ids).last_hidden_state)
    save("sdxl_text", out)


def record_lora():
    """Patched weights and what the patched denoiser predicts. Deltas are written out here, by the formulas of LyCORIS and PEFT."""
    g = torch.Generator().manual_seed(31)
    unet = unet_of("sdxl")
    weights = dict(unet.named_parameters())

    def r(*shape): return (torch.randn(*shape, generator=g) * 0.2).half().float()
    kohya, deltas, rank = {}, {}, 3

    def key(module): return "lora_unet_" + module.replace(".", "_")

    def layer(module, delta, **tensors):
        deltas[module] = delta
        kohya.update({f"{key(module)}.{n}": t for n, t in tensors.items()})
    m = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"; w = weights[m + ".weight"]
    up, down = r(w.shape[0], rank), r(rank, w.shape[1])
    layer(m, up @ down * (2 / rank), **{"lora_up.weight": up, "lora_down.weight": down, "alpha": torch.tensor(2.0)})
    m = "down_blocks.0.resnets.0.conv1"; w = weights[m + ".weight"]
    up, down = r(w.shape[0], rank, 1, 1), r(rank, w.shape[1], 3, 3)
    layer(m, torch.einsum("or,rikl->oikl", up[..., 0, 0], down), **{"lora_up.weight": up, "lora_down.weight": down})
    m = "down_blocks.2.resnets.1.conv2"; w = weights[m + ".weight"]
    up, mid, down = r(w.shape[0], rank, 1, 1), r(rank, rank, 3, 3), r(rank, w.shape[1], 1, 1)
    layer(m, torch.einsum("mnkl,im,nj->ijkl", mid, up[..., 0, 0], down[..., 0, 0]), **{"lora_up.weight": up, "lora_mid.weight": mid, "lora_down.weight": down})
    m = "mid_block.attentions.0.transformer_blocks.1.ff.net.2"; w = weights[m + ".weight"]
    a, b, c, d = r(w.shape[0], rank), r(rank, w.shape[1]), r(w.shape[0], rank), r(rank, w.shape[1])
    layer(m, (a @ b) * (c @ d) * (6 / rank), hada_w1_a=a, hada_w1_b=b, hada_w2_a=c, hada_w2_b=d, alpha=torch.tensor(6.0))
    m = "up_blocks.0.resnets.2.conv1"; w = weights[m + ".weight"]
    a, b, t, c, d, u = r(rank, w.shape[0]), r(rank, w.shape[1]), r(rank, rank, 3, 3), r(rank, w.shape[0]), r(rank, w.shape[1]), r(rank, rank, 3, 3)
    layer(m, torch.einsum("ijkl,jr,ip->prkl", t, b, a) * torch.einsum("ijkl,jr,ip->prkl", u, d, c), hada_w1_a=a, hada_w1_b=b, hada_t1=t, hada_w2_a=c, hada_w2_b=d, hada_t2=u)
    m = "up_blocks.1.attentions.2.transformer_blocks.0.attn2.to_v"; w = weights[m + ".weight"]
    a, b, c = r(4, 5), r(w.shape[0] // 4, rank), r(rank, w.shape[1] // 5)
    layer(m, torch.kron(a, b @ c) * (1 / rank), lokr_w1=a, lokr_w2_a=b, lokr_w2_b=c, alpha=torch.tensor(1.0))
    m = "up_blocks.2.resnets.0.conv1"; w = weights[m + ".weight"]
    a, b = r(2, 2), r(w.shape[0] // 2, w.shape[1] // 2, 3, 3)
    layer(m, torch.kron(a[..., None, None], b), lokr_w1=a, lokr_w2=b)
    m = "conv_out"; w = weights[m + ".weight"]
    diff, bias = r(*w.shape), r(w.shape[0])
    layer(m, diff, diff=diff, diff_b=bias); deltas[m + ".bias"] = bias
    m = "down_blocks.1.attentions.1.transformer_blocks.0.ff.net.0.proj"; w = weights[m + ".weight"]
    up, down, scale = r(w.shape[0], rank), r(rank, w.shape[1]), (1 + r(1, w.shape[1]) * 0.2).half().float()
    v = w + up @ down
    layer(m, v * scale / v.norm(dim=0, keepdim=True) - w, **{"lora_up.weight": up, "lora_down.weight": down, "dora_scale": scale})
    m = "down_blocks.1.attentions.1.proj_in"; w = weights[m + ".weight"]
    factor = (1 + r(w.shape[0])).half().float()
    layer(m, w * factor[:, None], weight=factor, on_input=torch.tensor(0.0))
    stability = {}
    for k, t in kohya.items():  # some layers under the names of single-file checkpoints
        for new, old in {"down_blocks_1_attentions_0": "input_blocks_4_1", "down_blocks_0_resnets_0_conv1": "input_blocks_1_0_in_layers_2", "mid_block_attentions_0": "middle_block_1", "up_blocks_0_resnets_2_conv1": "output_blocks_2_0_in_layers_2",
                         "up_blocks_1_attentions_2": "output_blocks_5_1", "conv_out": "out_2"}.items(): k = k.replace("lora_unet_" + new, "lora_unet_" + old)
        stability[k] = t
    stability["lora_unet_no_such_layer.alpha"] = torch.tensor(1.0)
    stability["lora_unet_no_such_layer.lora_up.weight"] = r(2, 2); stability["lora_unet_no_such_layer.lora_down.weight"] = r(2, 2)
    m = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k"; w = weights[m + ".weight"]
    up, down, magnitude = r(w.shape[0], rank), r(rank, w.shape[1]), (1 + r(w.shape[0]) * 0.2).half().float()
    v = w + up @ down
    peft = {f"unet.{m}.lora_A.weight": down, f"unet.{m}.lora_B.weight": up, f"unet.{m}.lora_magnitude_vector": magnitude}
    folder = os.path.join(HERE, "models", "lora"); os.makedirs(folder, exist_ok=True)
    for n, t in {"kohya": kohya, "stability": stability, "peft": peft}.items(): save_file({k: x.half().contiguous() for k, x in t.items()}, os.path.join(folder, n + ".safetensors"))
    out = {f"{m}{'' if m.endswith('.bias') else '.weight'}": thin(weights[m if m.endswith(".bias") else m + ".weight"] + 0.5 * d, 200) for m, d in deltas.items()}
    out["peft"] = thin(w + 0.5 * (v * (magnitude / v.norm(dim=1))[:, None] - w), 200)
    for m, d in deltas.items(): weights[m if m.endswith(".bias") else m + ".weight"].add_(0.5 * d)
    added = {"text_embeds": wave(2, 24, phase=5), "time_ids": torch.tensor([[1024, 768, 0, 16, 1024, 512], [64, 64, 8, 0, 64, 64.0]])}
    out["result"] = thin(unet(wave(2, 4, 16, 12), 601, encoder_hidden_states=wave(2, 77, 40, phase=1), added_cond_kwargs=added).sample)
    save("lora", out)


def record_ip_adapter():
    """A small image encoder, and IP-Adapters of the three kinds on the SD-2-shaped denoiser."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
    vision = randomise(CLIPVisionModelWithProjection(CLIPVisionConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2, image_size=32, patch_size=8, projection_dim=20, hidden_act="gelu")), 41)
    keep(vision, "clip_vision")
    seen = vision(wave(2, 3, 32, 32), output_hidden_states=True)
    out = {"pooled": thin(seen.image_embeds), "penultimate": thin(seen.hidden_states[-2])}
    g = torch.Generator().manual_seed(42)

    def r(*shape): return (torch.randn(*shape, generator=g) * shape[-1] ** -0.5).half().float()

    def norm(n): return (1 + torch.randn(n, generator=g) * 0.1).half().float()
    unet = unet_of("sd-2")
    context = unet.config.cross_attention_dim
    dim, inner = 16, 128
    kinds = {"plain": {"proj.weight": r(4 * context, 20), "proj.bias": r(4 * context), "norm.weight": norm(context), "norm.bias": r(context)},
             "full": {"proj.0.weight": r(16, 16), "proj.0.bias": r(16), "proj.2.weight": r(context, 16), "proj.2.bias": r(context), "proj.3.weight": norm(context), "proj.3.bias": r(context)},
             "plus": {"latents": r(1, 5, dim), "proj_in.weight": r(dim, 16), "proj_in.bias": r(dim), "proj_out.weight": r(context, dim), "proj_out.bias": r(context), "norm_out.weight": norm(context), "norm_out.bias": r(context)}}
    for i in range(4):
        kinds["plus"] |= {f"layers.{i}.0.{k}": v for k, v in {"norm1.weight": norm(dim), "norm1.bias": r(dim), "norm2.weight": norm(dim), "norm2.bias": r(dim), "to_q.weight": r(inner, dim), "to_kv.weight": r(2 * inner, dim), "to_out.weight": r(dim, inner)}.items()}
        kinds["plus"] |= {f"layers.{i}.1.{k}": v for k, v in {"0.weight": norm(dim), "0.bias": r(dim), "1.weight": r(4 * dim, dim), "3.weight": r(dim, 4 * dim)}.items()}
    for kind, projection in kinds.items():
        unet = unet_of("sd-2")
        attention, n = {}, 1
        for name, p in unet.attn_processors.items():
            if "attn2" not in name: continue
            width = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape[0]
            attention |= {f"{n}.to_k_ip.weight": r(width, context), f"{n}.to_v_ip.weight": r(width, context)}
            n += 2
        folder = os.path.join(HERE, "models", "ip_adapter"); os.makedirs(folder, exist_ok=True)
        save_file({"image_proj." + k: v.half() for k, v in projection.items()} | {"ip_adapter." + k: v.half() for k, v in attention.items()}, os.path.join(folder, kind + ".safetensors"))
        unet._load_ip_adapter_weights([{"image_proj": dict(projection), "ip_adapter": dict(attention)}], low_cpu_mem_usage=False)
        features = (seen.image_embeds if kind == "plain" else seen.hidden_states[-2])[:, None]
        out[kind] = thin(unet.encoder_hid_proj([features])[0])
        for p in unet.attn_processors.values():
            if hasattr(p, "scale"): p.scale = [0.6]
        out[kind + " result"] = thin(unet(wave(2, 4, 16, 12), 601, encoder_hidden_states=wave(2, 77, context, phase=1), added_cond_kwargs={"image_embeds": [features]}).sample)
    save("ip_adapter", out)


def record_names():
    """Names of single-file checkpoints' tensors and what diffusers makes of them, for the small models here."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from diffusers.loaders import single_file_utils as s
    out = {}
    for name in ("sd-2", "sdxl", "inpaint"):
        unet = unet_of(name)
        n, layers = len(unet.config.block_out_channels), unet.config.layers_per_block
        old = {}
        for i, block in enumerate(unet.down_blocks):
            for j in range(layers):
                old[f"input_blocks.{1 + i * (layers + 1) + j}.0"] = block.resnets[j]
                if hasattr(block, "attentions"): old[f"input_blocks.{1 + i * (layers + 1) + j}.1"] = block.attentions[j]
            if block.downsamplers: old[f"input_blocks.{(i + 1) * (layers + 1)}.0.op"] = block.downsamplers[0].conv
        for i, block in enumerate(unet.up_blocks):
            for j in range(layers + 1):
                k = i * (layers + 1) + j
                old[f"output_blocks.{k}.0"] = block.resnets[j]
                if hasattr(block, "attentions"): old[f"output_blocks.{k}.1"] = block.attentions[j]
                if block.upsamplers and j == layers: old[f"output_blocks.{k}.{2 if hasattr(block, 'attentions') else 1}.conv"] = block.upsamplers[0].conv
        old |= {"input_blocks.0.0": unet.conv_in, "time_embed.0": unet.time_embedding.linear_1, "time_embed.2": unet.time_embedding.linear_2, "middle_block.0": unet.mid_block.resnets[0],
                "middle_block.1": unet.mid_block.attentions[0], "middle_block.2": unet.mid_block.resnets[1], "out.0": unet.conv_norm_out, "out.2": unet.conv_out}
        if unet.config.addition_embed_type: old |= {"label_emb.0.0": unet.add_embedding.linear_1, "label_emb.0.2": unet.add_embedding.linear_2}
        res = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}
        checkpoint = {}
        for prefix, module in old.items():
            for k, v in module.state_dict().items():
                if hasattr(module, "time_emb_proj"): k = res[k.rsplit(".", 1)[0]] + "." + k.rsplit(".", 1)[1]
                checkpoint[f"model.diffusion_model.{prefix}.{k}"] = v
        new = s.convert_ldm_unet_checkpoint(dict(checkpoint), dict(unet.config))
        by_tensor = {v.data_ptr(): k for k, v in checkpoint.items()}
        out[name] = {by_tensor[v.data_ptr()]: k for k, v in new.items()}
        assert set(out[name].values()) == set(unet.state_dict()), name
    vae = tiny(AutoencoderKL, "vae")
    n, checkpoint = len(vae.config.block_out_channels), {}
    for k, v in vae.state_dict().items():
        for new, old in {"mid_block.resnets.0": "mid.block_1", "mid_block.resnets.1": "mid.block_2", "mid_block.attentions.0": "mid.attn_1", "conv_norm_out": "norm_out", "conv_shortcut": "nin_shortcut", "group_norm": "norm",
                         "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out", "resnets": "block", "downsamplers.0": "downsample", "upsamplers.0": "upsample"}.items(): k = k.replace(new, old)
        for i in range(n): k = k.replace(f"down_blocks.{i}.", f"down.{i}.").replace(f"up_blocks.{i}.", f"up.{n - 1 - i}.")
        checkpoint["first_stage_model." + k] = v[..., None, None] if "attn_1" in k and v.ndim == 2 else v
    new = s.convert_ldm_vae_checkpoint(dict(checkpoint), dict(vae.config))
    by_tensor = {v.data_ptr(): k for k, v in checkpoint.items()}
    out["vae"] = {by_tensor[v.data_ptr()]: k for k, v in new.items()}
    assert set(out["vae"].values()) == set(vae.state_dict())
    with open(os.path.join(HERE, "names.json"), "w") as f: json.dump(out, f, separators=(",", ":"), sort_keys=True); f.write("\n")
    print("names", {k: len(v) for k, v in out.items()})


if __name__ == "__main__":
    parts = sys.argv[1:] or [n[7:] for n in list(globals()) if n.startswith("record_")]
    for part in parts: globals()["record_" + part]()
