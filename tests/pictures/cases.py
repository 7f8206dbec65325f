"""What is compared: settings of whole runs, each a graph from prompts to a picture."""
import os, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "contract", "pictures"))
from flows import box_alpha, drawing, gradient, hole
from flux_cases import FLUX


class Kit:
    """A loaded model inside a graph. `single` names the model by its file of one piece, where the server has that."""

    def __init__(self, g, model, base, loras=(), clip_skip=0, seamless=None, freeu=None):
        self.g, self.base = g, base
        loader = {"sdxl": "sdxl_model_loader"}.get(base, "main_model_loader")
        m = g.node(loader, model=g.model(model))
        self.unet, self.clip, self.vae = m["unet"], m["clip"], m["vae"]
        self.clip2 = m["clip2"] if base == "sdxl" else None
        for name, weight in loras:
            kind = {"sdxl": "sdxl_lora_loader"}.get(base, "lora_loader")
            l = g.node(kind, lora=g.model(name), weight=weight, unet=self.unet, clip=self.clip)
            self.unet, self.clip = l["unet"], l["clip"]
        if clip_skip: self.clip = g.node("clip_skip", clip=self.clip, skipped_layers=clip_skip)["clip"]
        if seamless:
            s = g.node("seamless", unet=self.unet, vae=self.vae, seamless_x=seamless[0], seamless_y=seamless[1])
            self.unet, self.vae = s["unet"], s["vae"]
        if freeu: self.unet = g.node("freeu", unet=self.unet, **freeu)["unet"]

    def cond(self, text, region=None, size=None, style=""):
        kw = {}
        if region: kw["mask"] = self.g.node("alpha_mask_to_tensor", image=self.g.upload(box_alpha(region, *size)))["mask"]
        if self.base == "sdxl": return self.g.node("sdxl_compel_prompt", clip=self.clip, clip2=self.clip2, prompt=text, style=style, **kw)["conditioning"]
        return self.g.node("compel", clip=self.clip, prompt=text, **kw)["conditioning"]


def run(model="invoke-tiny", base="sd-1", prompt="a red circle on a blue background", negative="", size=(256, 256), seed=7, kit=None, regions=None, init=None, first=None, mask=None, controls=(), t2i=(), ip=(), limit_db=None,
        style="", type_="denoise_latents", decode=None, **denoise):
    w, h = size

    def build(g):
        k = Kit(g, model, base, **(kit or {}))
        pos = g.node("collect", item=[k.cond(t, r, size) for t, r in regions])["collection"] if regions else k.cond(prompt, style=style)
        kw = {"steps": 10, "cfg_scale": 5.0, "scheduler": "ddim", **denoise}
        kw["noise"] = g.node("noise", seed=seed, width=w, height=h, use_cpu=True)["noise"]
        guided = {"positive_conditioning": pos, "negative_conditioning": k.cond(negative), "unet": k.unet}
        masked = {}
        if init:
            image = g.upload(init(w, h))
            kw["latents"] = g.node("i2l", image=image, vae=k.vae, fp32=True)["latents"]
            masked = {"image": image, "vae": k.vae}
        if first:
            # What another run made is begun from: as from a picture, but nothing is drawn without a seed.
            noise = g.node("noise", seed=first, width=w, height=h, use_cpu=True)["noise"]
            whole = {name: value for name, value in kw.items() if name not in ("noise", "denoising_start")}
            kw["latents"] = g.node(type_, **guided, **whole, noise=noise)["latents"]
        if mask: kw["denoise_mask"] = g.node("create_gradient_mask", mask=g.upload(mask(w, h)), unet=k.unet, fp32=True, edge_radius=16, **masked)["denoise_mask"]
        for field, type_of, model_field, given in (("control", "controlnet", "control_model", controls), ("t2i_adapter", "t2i_adapter", "t2i_adapter_model", t2i), ("ip_adapter", "ip_adapter", "ip_adapter_model", ip)):
            made = []
            for one in given:
                one = dict(one)
                picture = one.pop("picture", drawing)
                if region := one.pop("region", None): one["mask"] = g.node("alpha_mask_to_tensor", image=g.upload(box_alpha(region, w, h)))["mask"]
                name = {"control": "control", "t2i_adapter": "t2i_adapter", "ip_adapter": "ip_adapter"}[field]
                pw, ph = one.pop("picture_size", (w, h))
                made.append(g.node(type_of, **{model_field: g.model(one.pop("model"))}, image=g.upload(picture(pw, ph)), **one)[name])
            if made: kw[field] = g.node("collect", item=made)["collection"] if len(made) > 1 else made[0]
        latents = g.node(type_, **guided, **kw)["latents"]
        return g.done(g.node("l2i", latents=latents, vae=k.vae, fp32=True, **(decode or {})))
    build.limit_db = limit_db or (36.0 if init else 40.0)
    # InvokeAI draws from its encoder without a seed: its own pictures differ from run to run.
    build.is_drawn_anew = bool(init)
    return build


SD1 = dict(model="small-sd1", size=(128, 192), prompt="a (photo)1.2 of a cat, by the sea", negative="blurry")
XL = dict(model="small-sdxl", base="sdxl", size=(128, 192), prompt="a (photo)1.2 of a cat, by the sea", negative="blurry", scheduler="euler")
TRUE1 = dict(model="true-sd1", size=(256, 256), prompt="a cat by the sea", negative="blurry", steps=4)
TRUE_XL = dict(model="true-sdxl", base="sdxl", size=(256, 256), prompt="a cat by the sea", negative="blurry", scheduler="euler", steps=3)
# Models of true size with random weights.
TRUE_SIZE = {
    "SD 1.5, text to image": run(**TRUE1),
    "SD 1.5, LoRA": run(**TRUE1, kit={"loras": [("true-lora", 0.8)]}),
    "SD 1.5, ControlNet": run(**TRUE1, controls=[{"model": "true-control", "control_weight": 0.7}]),
    "SD 1.5, image to image": run(**TRUE1, init=drawing, denoising_start=0.4),
    "SD 1.5, inpainting": run(**TRUE1, init=drawing, mask=hole, denoising_start=0.2),
    "SD 1.5, image to image, from another run's latents": run(**TRUE1, first=8, denoising_start=0.4),
    "SD 1.5, inpainting, from another run's latents": run(**TRUE1, first=8, mask=hole, denoising_start=0.2),
    "SDXL, text to image": run(**TRUE_XL),
    "SDXL, image to image, from another run's latents": run(**TRUE_XL, first=8, denoising_start=0.4),
    "SDXL, inpainting, from another run's latents": run(**TRUE_XL, first=8, mask=hole, denoising_start=0.2),
}
CASES = {
    # the shipped model
    "tiny ddim": run(steps=20),
    "tiny dpmpp_3m_k": run("invoke-tiny", prompt="a house with a red roof", seed=11, scheduler="dpmpp_3m_k", steps=20, cfg_scale=7.5),
    "tiny euler_a, weights": run(prompt="a red+++ star on a (green background)--", seed=12, scheduler="euler_a", steps=20),
    "tiny img2img": run(prompt="a pink circle on a green background", init=drawing, denoising_start=0.4, seed=13, steps=20),
    "tiny inpaint": run(prompt="a yellow star on a blue background", init=drawing, mask=hole, denoising_start=0.2, seed=14, steps=20),
    "tiny LoRA": run(seed=15, kit={"loras": [("tiny-lora", 0.8)]}, steps=15),
    "tiny ControlNet": run(seed=16, controls=[{"model": "tiny-control", "control_weight": 0.9}], steps=15),
    "tiny textual inversion": run(seed=18, prompt="a red circle, <small-style>", steps=15),
    "tiny FreeU, seamless": run(seed=19, kit={"freeu": {"b1": 1.1, "b2": 1.2, "s1": 0.9, "s2": 0.2}, "seamless": (True, False)}, steps=15),
    # Stable Diffusion 1's layout with random weights
    "sd-1 ddim": run(**SD1),
    "sd-1 dpmpp_2m_k, clip skip": run(**SD1, scheduler="dpmpp_2m_k", kit={"clip_skip": 1}),
    "sd-1 LoRA": run(**SD1, kit={"loras": [("small-lora", 0.7)]}),
    "sd-1 ControlNet": run(**SD1, controls=[{"model": "small-control", "control_weight": 0.5, "control_mode": "more_prompt", "picture_size": (200, 150), "resize_mode": "crop_resize"}]),
    "sd-1 T2I-Adapter": run(**SD1, t2i=[{"model": "small-t2i", "weight": 0.7, "picture": gradient, "resize_mode": "just_resize_simple", "picture_size": (256, 256)}]),
    "sd-1 IP-Adapter": run(**SD1, ip=[{"model": "small-ip", "weight": 0.8, "picture": gradient, "picture_size": (300, 240)}]),
    "sd-1 IP-Adapter plus, mask, style": run(**SD1, ip=[{"model": "small-ip-plus", "weight": 0.9, "region": (0, 0, 63, 191), "method": "style_precise", "begin_step_percent": 0.1}, {"model": "small-ip", "weight": 0.5, "picture": gradient}]),
    "sd-1 HiDiffusion": run(**SD1, hidiffusion=True, hidiffusion_t1_ratio=0.5, hidiffusion_t2_ratio=0.3),
    "sd-1 HiDiffusion, ControlNet, odd size": run(**{**SD1, "size": (136, 200)}, hidiffusion=True, hidiffusion_t2_ratio=0.2, controls=[{"model": "small-control", "control_weight": 0.5}]),
    "sd-1 regions": run(**SD1, regions=[("a red circle", (0, 0, 63, 191)), ("a blue square", (64, 0, 127, 191))]),
    "sd-1 image to image, from another run's latents": run(**SD1, first=8, denoising_start=0.4),
    "sd-1 inpainting, from another run's latents": run(**SD1, first=8, mask=hole, denoising_start=0.2),
    "sd-1 inpainting model": run(**{**SD1, "model": "small-inpaint"}),
    # SDXL's layout with random weights
    "sdxl euler": run(**XL),
    "sdxl style, inversion": run(**{**XL, "prompt": "a cat, <small-style-xl>"}, style="<small-style-xl> photo"),
    "sdxl T2I-Adapter": run(**XL, t2i=[{"model": "small-t2i-xl", "weight": 0.7}]),
    "sdxl HiDiffusion": run(**XL, hidiffusion=True, hidiffusion_t1_ratio=0.6),
    "sdxl image to image, from another run's latents": run(**XL, first=8, denoising_start=0.4),
    "sdxl inpainting, from another run's latents": run(**XL, first=8, mask=hole, denoising_start=0.2),
    # InvokeAI collects prompts in an order that differs from run to run; one without a region decides what SDXL's pooled embedding is.
    "sdxl regions": run(**XL, regions=[("a red circle", (0, 0, 63, 191)), ("a blue square", (64, 0, 127, 191)), ("a beach", None)]),
    "sdxl cfg rescale": run(**{**XL, "scheduler": "dpmpp_2m"}, cfg_rescale_multiplier=0.6),
    # FLUX.1's layout with random weights
    **FLUX,
}
