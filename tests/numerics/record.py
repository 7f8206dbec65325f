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


if __name__ == "__main__":
    parts = sys.argv[1:] or [n[7:] for n in list(globals()) if n.startswith("record_")]
    for part in parts: globals()["record_" + part]()
