"""Settings of whole runs of FLUX.1, each a graph from prompts to a picture."""
from flows import box_alpha, drawing, hole


def flux(model="small-flux-dev", prompt="a photo of a cat, by the sea", negative=None, regions=None, size=(128, 192), seed=7, loras=(), init=None, first=None, mask=None, limit_db=None, **denoise):
    w, h = size

    def build(g):
        parts = {"t5_encoder_model": "small-flux-t5", "clip_embed_model": "small-flux-clip", "vae_model": "small-flux-vae"}
        m = g.node("flux_model_loader", model=g.model(model), **{field: g.model(name) for field, name in parts.items()})
        length, vae = 256 if "schnell" in model else 512, m["vae"]
        parts = {part: m[part] for part in ("transformer", "clip", "t5_encoder")}
        for name, weight in loras:
            l = g.node("flux_lora_loader", lora=g.model(name), weight=weight, **parts)
            parts = {part: l[part] for part in parts}

        def cond(text, region=None):
            where = {"mask": g.node("alpha_mask_to_tensor", image=g.upload(box_alpha(region, w, h)))["mask"]} if region else {}
            return g.node("flux_text_encoder", clip=parts["clip"], t5_encoder=parts["t5_encoder"], t5_max_seq_len=length, prompt=text, **where)["conditioning"]

        kw = {"num_steps": 4, "guidance": 3.5, "width": w, "height": h, "seed": seed, **denoise}
        kw["transformer"] = parts["transformer"]
        kw["positive_text_conditioning"] = g.node("collect", item=[cond(t, r) for t, r in regions])["collection"] if regions else cond(prompt)
        if negative is not None: kw["negative_text_conditioning"] = cond(negative)
        if init: kw["latents"] = g.node("flux_vae_encode", image=g.upload(init(w, h)), vae=vae)["latents"]
        if first: kw["latents"] = g.node("flux_denoise", **{**kw, "seed": first, "denoising_start": 0})["latents"]
        if mask: kw["denoise_mask"] = g.node("create_gradient_mask", mask=g.upload(mask(w, h)), fp32=True, edge_radius=16)["denoise_mask"]
        return g.done(g.node("flux_vae_decode", latents=g.node("flux_denoise", **kw)["latents"], vae=vae))
    # InvokeAI computes in half floats, and is 50 dB and more from itself in single ones (`original.py`).
    build.limit_db = limit_db or 45.0
    build.is_drawn_anew = False
    return build


SCHNELL = dict(model="small-flux-schnell")
FLUX = {
    "flux dev": flux(),
    "flux dev, guidance": flux(guidance=8, num_steps=6, seed=8),
    "flux schnell": flux(**SCHNELL),
    "flux schnell, one step": flux(**SCHNELL, num_steps=1),
    "flux Q8": flux(model="small-flux-q8.gguf"),
    "flux NF4": flux(model="small-flux-nf4"),
    "flux heun": flux(scheduler="heun"),
    # Between its steps InvokeAI draws without a seed.
    "flux lcm, one step": flux(**SCHNELL, scheduler="lcm", num_steps=1),
    "flux odd size": flux(size=(144, 112)),
    "flux negative": flux(negative="blurry", cfg_scale=3, cfg_scale_start_step=1),
    "flux negative, list": flux(negative="blurry", cfg_scale=[1, 2, 4, 2]),
    "flux LoRA": flux(loras=[("small-flux-lora", 0.7)]),
    "flux LoRA on Q8": flux(model="small-flux-q8.gguf", loras=[("small-flux-lora", 0.7)]),
    "flux image to image": flux(init=drawing, denoising_start=0.4),
    "flux image to image, schnell, ending early": flux(**SCHNELL, init=drawing, denoising_start=0.3, denoising_end=0.9),
    "flux image to image, from another run's latents": flux(first=9, denoising_start=0.4),
    "flux inpainting": flux(init=drawing, mask=hole, denoising_start=0.2),
    "flux inpainting, heun": flux(init=drawing, mask=hole, scheduler="heun"),
    "flux regions": flux(regions=[("a red circle", (0, 0, 63, 191)), ("a blue square", (64, 0, 127, 191)), ("a beach", None)]),
    "flux regions, schnell": flux(**SCHNELL, regions=[("a red circle", (0, 0, 63, 191)), ("a beach", None)], num_steps=3),
}
