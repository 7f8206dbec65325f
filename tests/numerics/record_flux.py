"""Records what InvokeAI's FLUX modules and transformers' T5 compute, for `invoke-core/tests/numerics/flux.rs` and `invoke-core/src/nodes/flux/tests`.

    python record_flux.py     needs invokeai, torch, transformers, sentencepiece, safetensors

Weights are drawn from names (`record_checkpoints.weight`), inputs are the formula of `record.py`; `flux.json` lists names and shapes, and what is no array. All
is computed in f32 on the CPU. `models/t5/tokenizer_2` holds a small tokenizer in both forms.
"""
import json, math, os, shutil, tempfile
import torch
import record, record_checkpoints as rc
from record import HERE, TINY, thin, wave
from invokeai.backend.flux import sampling_utils, util
from invokeai.backend.flux.denoise import denoise
from invokeai.backend.flux.dype.presets import get_dype_config_from_preset
from invokeai.backend.flux.extensions.dype_extension import DyPEExtension
from invokeai.backend.flux.extensions.kontext_extension import generate_img_ids_with_offset
from invokeai.backend.flux.extensions.regional_prompting_extension import RegionalPromptingExtension as Regions
from invokeai.backend.flux.model import Flux, FluxParams
from invokeai.backend.flux.modules.autoencoder import AutoEncoder, AutoEncoderParams
from invokeai.backend.flux.schedulers import FLUX_SCHEDULER_MAP
from invokeai.backend.flux.text_conditioning import FluxTextConditioning as Text
from invokeai.backend.rectified_flow.rectified_flow_inpaint_extension import RectifiedFlowInpaintExtension as Inpaint

TOKENS = os.path.join(HERE, "models", "t5", "tokenizer_2")
CPU, F32 = torch.device("cpu"), torch.float32
arrays, told = {}, {"shapes": {}}


def params(head, heads, **more):
    axes = [head // 8, head * 7 // 16, head * 7 // 16]
    return FluxParams(**{**dict(in_channels=64, vec_in_dim=768, context_in_dim=48, hidden_size=head * heads, mlp_ratio=4.0, num_heads=heads, depth=2, depth_single_blocks=2, axes_dim=axes, theta=10_000, qkv_bias=True, guidance_embed=True), **more})


def drawn(name, model, prefix=""):
    """Draws a model's weights. Norms of queries and keys are around 1."""
    shapes = {prefix + k: list(v.shape) for k, v in model.state_dict().items()}
    told["shapes"][name] = shapes
    model.load_state_dict({k.removeprefix(prefix): rc.weight(k.replace(".scale", ".weight"), shape) for k, shape in shapes.items()})
    return model.float().eval()


def texts(mask=None):
    one = Text(wave(1, 7, 48, phase=1.0), wave(1, 768, phase=2.0), None)
    if mask is None: return [one]
    other = [Text(wave(1, n, 48, phase=p), wave(1, 768, phase=p), Regions.preprocess_regional_prompt_mask(m, 4, 6, F32, CPU)) for n, p, m in mask]
    return [*other, one]


# Left and right parts of a picture, which overlap; upper rows stay background.
LEFT, RIGHT = torch.zeros(1, 16, 24, dtype=torch.bool), torch.zeros(1, 16, 24, dtype=torch.bool)
LEFT[:, 5:, :13] = True
RIGHT[:, 5:, 9:] = True


def forward(model, regions, img, ids, t=0.7):
    text = regions.regional_text_conditioning
    return model(img=img, img_ids=ids, txt=text.t5_embeddings, txt_ids=text.t5_txt_ids, timesteps=torch.tensor([t]), y=text.clip_embeddings, guidance=torch.tensor([3.5]), timestep_index=0, total_num_timesteps=1,
                 controlnet_double_block_residuals=None, controlnet_single_block_residuals=None, ip_adapter_extensions=[], regional_prompting_extension=regions)


def record_models():
    img, ids = wave(1, 24, 64, phase=3.0), sampling_utils.generate_img_ids(8, 12, 1, CPU, F32)
    for name, model in {"dev": Flux(params(32, 2)), "schnell": Flux(params(128, 2, depth=1, depth_single_blocks=1, guidance_embed=False)), "fill": Flux(params(32, 2, in_channels=384, out_channels=64, depth=1, depth_single_blocks=1))}.items():
        drawn(name, model)
        x = wave(1, 24, 384, phase=3.0) if name == "fill" else img
        arrays[name] = forward(model, Regions.from_text_conditioning(texts(), [], 24), x, ids)
        if name != "dev": continue
        regions = Regions.from_text_conditioning(texts([(5, 4.0, LEFT), (3, 5.0, RIGHT)]), [], 24)
        arrays["dev regions"] = forward(model, regions, img, ids)
        arrays["regions"] = regions.restricted_attn_mask.float()
        more = [generate_img_ids_with_offset(4, 4, 1, CPU, F32, 1), generate_img_ids_with_offset(2, 6, 1, CPU, F32, 1, h_offset=4)]
        both = torch.cat([img, wave(1, 4, 64, phase=6.0), wave(1, 3, 64, phase=7.0)], 1)
        arrays["dev reference"] = forward(model, Regions.from_text_conditioning(texts(), [], 24), both, torch.cat([ids, *more], 1))
        config = get_dype_config_from_preset("4k", 4096, 2048)
        extension = DyPEExtension(config=config, target_height=2048, target_width=4096)
        embedder, original = extension.patch_model(model)
        extension.update_step_state(embedder, 0.7)
        arrays["dev dype"] = forward(model, Regions.from_text_conditioning(texts(), [], 24), img, ids)
        extension.restore_model(model, original)
    told["dype"] = []
    for preset in ("off", "manual", "auto", "area", "4k"):
        for w, h in ((512, 512), (1024, 1024), (1536, 1024), (1552, 1024), (2048, 1024), (2048, 2048), (4096, 1024), (6144, 6144)):
            for scale, exponent in ((None, None), (3.0, 1.5)):
                c = get_dype_config_from_preset(preset, w, h, scale, exponent)
                told["dype"].append([preset, w, h, scale, exponent, c and c.dype_scale, c and c.dype_exponent])


def record_schedules():
    told["schedules"] = []
    for steps in (1, 2, 3, 4, 5, 7, 8, 9, 16, 20, 28, 50, 100):
        for tokens, shift in ((256, True), (1024, True), (4096, True), (5000, True), (4096, False)):
            levels = sampling_utils.get_schedule(steps, tokens, shift=shift)
            clips = [[s, e, sampling_utils.clip_timestep_schedule_fractional(levels, s, e)] for s, e in ((0.0, 1.0), (0.25, 1.0), (0.4, 0.8), (0.0, 0.33), (0.9, 0.9), (1.0, 1.0))]
            told["schedules"].append([steps, tokens, shift, levels, clips])
    arrays["noise"] = sampling_utils.get_noise(1, 144, 112, CPU, torch.bfloat16, 698760390).float()


def sample(model, x, regions, negative, levels, scheduler, cfg, inpaint=None):
    return denoise(model=model, img=x, img_ids=sampling_utils.generate_img_ids(8, 12, 1, CPU, F32), pos_regional_prompting_extension=regions, neg_regional_prompting_extension=negative, timesteps=levels, step_callback=lambda state: None,
                   guidance=3.5, cfg_scale=cfg, inpaint_extension=inpaint, controlnet_extensions=[], pos_ip_adapter_extensions=[], neg_ip_adapter_extensions=[], img_cond=None, scheduler=FLUX_SCHEDULER_MAP[scheduler](num_train_timesteps=1000))


def record_runs():
    model = drawn("dev", Flux(params(32, 2)))
    regions = Regions.from_text_conditioning(texts(), [], 24)
    negative = Regions.from_text_conditioning([Text(wave(1, 4, 48, phase=8.0), wave(1, 768, phase=9.0), None)], [], 24)
    noise, init = wave(1, 16, 8, 12, phase=10.0), wave(1, 16, 8, 12, phase=11.0)
    mask = 1 - torch.nn.functional.interpolate(wave(1, 1, 64, 96, phase=12.0).clamp(0, 1), (8, 12), mode="bilinear")
    pack, unpack = sampling_utils.pack, lambda x: sampling_utils.unpack(x.float(), 64, 96)
    levels = sampling_utils.get_schedule(4, 24)
    for scheduler in ("euler", "heun"):
        arrays[scheduler] = unpack(sample(model, pack(noise), regions, None, levels, scheduler, [1.0] * 4))
        arrays[scheduler + " guided"] = unpack(sample(model, pack(noise), regions, negative, levels, scheduler, [1.0, 3.0, 2.0, 1.0]))
        clipped = sampling_utils.clip_timestep_schedule_fractional(levels, 0.3, 0.8)
        start = clipped[0] * noise + (1 - clipped[0]) * init
        inpaint = Inpaint(init_latents=pack(init), inpaint_mask=pack(mask.bfloat16().float().expand_as(init)), noise=pack(noise))
        arrays[scheduler + " inpaint"] = unpack(sample(model, pack(start), regions, None, clipped, scheduler, [1.0] * (len(clipped) - 1), inpaint))


def autoencoder():
    return drawn("vae", AutoEncoder(AutoEncoderParams(resolution=256, in_channels=3, ch=32, out_ch=3, ch_mult=[1, 2, 2, 2], num_res_blocks=2, z_channels=16, scale_factor=0.3611, shift_factor=0.1159)))


def record_vae():
    vae, picture = autoencoder(), wave(1, 3, 48, 32, phase=13.0)
    arrays["vae mean"] = vae.encode(picture, sample=False)
    arrays["vae drawn"] = vae.encode(picture, sample=True, generator=torch.Generator().manual_seed(0))
    arrays["vae decoded"] = vae.decode(wave(1, 16, 4, 6, phase=14.0))


# --- T5 ------------------------------------------------------------------------------------------------------------------------

PROMPTS = ["a red circle on a blue background", "", "  two   spaces\tand\nlines ", "Ａ ﬁne ½ day", "unknown: ☃ 猫!", "a <extra_id_0> gap </s> and <pad>", "red circle " * 400, "don't stop", "▁under", "a<extra_id_3>b"]
WORDS = "a red circle on a blue background and the green star by the sea two yellow houses at night photo of a cat picture with stop don't day fine under".split()


def tokenizer():
    import sentencepiece
    from transformers import T5Tokenizer
    shutil.rmtree(TOKENS, ignore_errors=True)
    os.makedirs(TOKENS)
    with tempfile.TemporaryDirectory() as folder:
        text, rules = os.path.join(folder, "text"), os.path.join(folder, "rules.tsv")
        generator = torch.Generator().manual_seed(1)
        with open(text, "w") as f:
            for _ in range(400): f.write(" ".join(WORDS[i] for i in torch.randint(len(WORDS), (8,), generator=generator)) + "\n")
        # Wide letters become plain ones, a ligature and a fraction fall apart.
        alike = {chr(0xFF21 + i): chr(0x41 + i) for i in range(26)} | {"ﬁ": "fi", "½": "1/2", "\t": " ", "\n": " "}
        with open(rules, "w") as f:
            for old, new in alike.items(): f.write(" ".join(f"{ord(c):X}" for c in old) + "\t" + " ".join(f"{ord(c):X}" for c in new) + "\n")
        sentencepiece.SentencePieceTrainer.train(input=text, model_prefix=os.path.join(folder, "spiece"), vocab_size=50, model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_tsv=rules, num_threads=1, character_coverage=1.0)
        without_places(os.path.join(folder, "spiece.model"))
        shutil.copy(os.path.join(folder, "spiece.model"), TOKENS)
        ids = {"spiece.model": T5Tokenizer.from_pretrained(folder_of(folder, "spiece.model"), max_length=512, local_files_only=True)}
        ids["spiece.model"].save_pretrained(os.path.join(folder, "saved"))
        shutil.copy(os.path.join(folder, "saved", "tokenizer.json"), TOKENS)
        ids["tokenizer.json"] = T5Tokenizer.from_pretrained(os.path.join(folder, "saved"), max_length=512, local_files_only=True)
        told["tokens"] = {form: [t(p, truncation=True, max_length=256, padding="max_length")["input_ids"] for p in PROMPTS] for form, t in ids.items()}
        told["prompts"] = PROMPTS
        return ids["spiece.model"]


def without_places(path):
    """Takes out what the trainer writes of where it read and wrote."""
    from transformers.utils import sentencepiece_model_pb2_new as format
    model = format.ModelProto()
    with open(path, "rb") as f: model.ParseFromString(f.read())
    del model.trainer_spec.input[:]
    model.trainer_spec.model_prefix = model.normalizer_spec.normalization_rule_tsv = ""
    with open(path, "wb") as f: f.write(model.SerializeToString())


def folder_of(folder, name):
    inner = os.path.join(folder, "alone")
    os.makedirs(inner)
    shutil.copy(os.path.join(folder, name), inner)
    return inner


def text_encoder(vocabulary):
    from transformers import T5Config, T5EncoderModel
    config = T5Config(vocab_size=vocabulary, d_model=48, d_kv=12, d_ff=96, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu", is_encoder_decoder=False, use_cache=False, tie_word_embeddings=False)
    told["t5"] = {k: v for k, v in config.to_dict().items() if k in ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads", "feed_forward_proj", "relative_attention_num_buckets", "relative_attention_max_distance", "layer_norm_epsilon")}
    model = T5EncoderModel(config)
    shapes = {k: list(v.shape) for k, v in model.state_dict().items() if k != "encoder.embed_tokens.weight"}
    told["shapes"]["t5"] = shapes
    state = {k: rc.weight(k, shape) for k, shape in shapes.items()}
    # Distances shall tell.
    bias = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    state[bias] = state[bias] * 4
    model.load_state_dict({**state, "encoder.embed_tokens.weight": state["shared.weight"]})
    return model.float().eval()


def record_text():
    tokens = tokenizer()
    model = text_encoder(len(tokens))
    for length, prompt in ((256, PROMPTS[0]), (512, PROMPTS[6])):
        ids = tokens([prompt], truncation=True, max_length=length, padding="max_length", return_tensors="pt")["input_ids"]
        arrays[f"t5 {length}"] = model(input_ids=ids, attention_mask=None).last_hidden_state
    return tokens, model


# --- a whole run, as the nodes make it -----------------------------------------------------------------------------------------------

class Rounded(torch.nn.Module):
    """A model whose times and guidance are rounded as those of a model in bfloat16 are."""
    def __init__(self, model): super().__init__(); self.model = model

    def forward(self, timesteps, guidance, **more):
        rounded = lambda x: (x.bfloat16() * 1000).float() / 1000
        return self.model(timesteps=rounded(timesteps), guidance=rounded(guidance), **more)


def record_node(tokens, t5):
    from transformers import CLIPTextModel, CLIPTokenizer
    clip, words = record.tiny(CLIPTextModel, "text_encoder"), CLIPTokenizer.from_pretrained(os.path.join(TINY, "tokenizer"))
    prompt = "a red circle by the sea"
    ids = tokens([prompt], truncation=True, max_length=256, padding="max_length", return_tensors="pt")["input_ids"]
    embeds = t5(input_ids=ids, attention_mask=None).last_hidden_state
    pooled = clip(input_ids=words([prompt], truncation=True, max_length=77, padding="max_length", return_tensors="pt")["input_ids"]).pooler_output
    arrays["node embeds"], arrays["node pooled"] = embeds, pooled
    half = lambda x: x.bfloat16().float()
    model = Rounded(drawn("dev", Flux(params(32, 2))))
    regions = Regions.from_text_conditioning([Text(half(embeds), half(pooled), None)], [], 24)
    noise = sampling_utils.get_noise(1, 64, 96, CPU, torch.bfloat16, 7).float()
    levels = sampling_utils.get_schedule(4, 24)
    latents = sampling_utils.unpack(sample(model, sampling_utils.pack(noise), regions, None, levels, "euler", [1.0] * 4), 64, 96)
    arrays["node latents"] = latents
    img = autoencoder().decode(latents).clamp(-1, 1)
    arrays["node picture"] = (127.5 * (img + 1)).byte().float()


def main():
    record_models()
    record_schedules()
    record_runs()
    record_vae()
    record_node(*record_text())
    whole = ("node", "noise", "regions", "vae mean", "vae drawn")
    record.save("flux", {k: v if k.startswith(whole) else thin(v) for k, v in arrays.items()})
    with open(os.path.join(HERE, "flux.json"), "w") as f: json.dump(told, f, ensure_ascii=False); f.write("\n")


if __name__ == "__main__": main()
