"""Records what the picture nodes of InvokeAI 6.14.2 compute, for this project's nodes to be held to.

Run with that version installed. Writes to `nodes` beside this file: inputs as PNG, cases.json, and the results packed below each other into
one PNG a mode. A case names the node, its fields (pictures by the name of their file), and where its result lies.
"""
import importlib
import json
import os
import warnings

import numpy as np
from PIL import Image, ImageFilter

warnings.filterwarnings("ignore")
from invokeai.app.invocations.baseinvocation import InvocationRegistry  # noqa: E402

for module in ("image", "infill", "mask", "cv", "canny", "color_map", "canvas", "composition-nodes", "tiles", "controlnet"):
    importlib.import_module(f"invokeai.app.invocations.{module}")
CLASSES = InvocationRegistry.get_invocations_map()
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nodes")
os.makedirs(OUT, exist_ok=True)
for name in os.listdir(OUT):
    os.remove(os.path.join(OUT, name))
PICTURES, CASES, SHELVES = {}, [], {}


class Dto:
    def __init__(self, name, im):
        self.image_name, self.width, self.height = name, im.width, im.height


class Images:
    saved = None

    def get_pil(self, name, mode=None):
        im = PICTURES[name].copy()
        return im.convert(mode) if mode and mode != im.mode else im

    def get_dto(self, name):
        Images.saved = PICTURES[name]
        return Dto(name, PICTURES[name])

    def save(self, image, *_, **__):
        Images.saved = image
        return Dto("saved.png", image)


class Context:
    images = Images()
    logger = None


def add(name, im):
    PICTURES[name] = im
    im.save(os.path.join(OUT, name + ".png"), optimize=True)


def drawing(w, h, seed):
    r = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w]
    a = np.stack([128 + 120 * np.sin(x / 5 + y / 9 + seed), 255 * x / w, 255 * y / h], -1) + r.normal(0, 14, (h, w, 3))
    a[2:8, 3:14] = (250, 20, 40)
    a[10:14, 8:20] = 0
    a[h - 6:h - 2, 2:10] = 255
    a[h - 6:h - 2, 12:18] = 128
    return Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))


W, H = 28, 24
add("a", drawing(W, H, 0))
add("b", drawing(W, H, 1))
add("wide", drawing(40, 20, 2))
add("tall", drawing(18, 30, 3))
c = drawing(W, H, 4)
c.putalpha(Image.fromarray(np.clip(np.mgrid[0:H, 0:W][1] * 17 - 100, 0, 255).astype(np.uint8)))
add("clear", c)
hole = np.zeros((H, W), np.uint8)
hole[6:16, 9:20] = 255
c = drawing(W, H, 5)
c.putalpha(Image.fromarray(255 - hole))
add("hole", c)
m = Image.fromarray(255 - hole)
add("mask", m)
add("soft", m.filter(ImageFilter.GaussianBlur(3)))
add("mask3", m.convert("RGB"))
add("grey", drawing(W, H, 6).convert("L"))
la = drawing(W, H, 7).convert("L")
la.putalpha(Image.fromarray(hole // 2 + 100))
add("la", la)
flat = np.full((H, W, 3), (20, 180, 60), np.uint8)
flat[4:20, 6:24] = np.asarray(drawing(18, 16, 8))
add("flat", Image.fromarray(flat))
edges = np.zeros((H, W, 3), np.uint8)
edges[10, 4:24] = 255
edges[5:21, 16] = 255
add("edges", Image.fromarray(edges))
few = np.zeros((H, W, 3), np.uint8)
few[:, 8:16] = (200, 10, 10)
few[10:, 16:] = (10, 200, 10)
few[16:, 22:] = (10, 10, 200)
add("few", Image.fromarray(few))
y, x = np.mgrid[0:257, 0:262]
big = np.stack([x // 2, y // 3 + 60, (x + y) // 4 + 90], -1).astype(np.uint8)
big[60:90, 60:200] = (250, 20, 40)
big[120:200, 100:110] = 255
add("big", Image.fromarray(big))


def case(type_, tolerance=1, share=1.0, **fields):
    """`share`: the least share of samples that must lie within the tolerance."""
    args = {}
    for k, v in fields.items():
        args[k] = {"image_name": v} if isinstance(v, str) and v in PICTURES else v
    for t in args.get("tiles_with_images", []):
        assert t["image"]["image_name"] in PICTURES
    entry = {"type": type_, "fields": args, "tolerance": tolerance, "share": share}
    Images.saved = None
    try:
        out = CLASSES[type_](id="node", **args).invoke(Context())
    except Exception as e:
        entry["error"] = f"{type(e).__name__}: {e}"[:120]
        CASES.append(entry)
        return
    im = Images.saved
    if im is None:
        entry["output"] = {k: v for k, v in json.loads(out.model_dump_json()).items()}
    else:
        shelf = SHELVES.setdefault(im.mode, [])
        entry["out"] = {"mode": im.mode, "top": sum(i.height for i in shelf), "width": im.width, "height": im.height}
        shelf.append(im)
    CASES.append(entry)


OF = ("a", "clear", "grey", "la")
for im in OF:
    for mode in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"):
        case("img_resize", 0, image=im, width=23, height=31, resample_mode=mode)
    case("img_scale", 0, image=im, scale_factor=1.37)
    case("img_crop", 0, image=im, x=-3, y=5, width=20, height=30)
    case("img_pad_crop", 0, image=im, left=3, right=-5, top=-2, bottom=6)
    for kind in ("gaussian", "box"):
        for radius in (0, 0.7, 4):
            case("img_blur", 1, image=im, radius=radius, blur_type=kind)
    case("unsharp_mask", 1, image=im, radius=2, strength=80)
    case("unsharp_mask_oklab", 1, image=im, radius=2, strength=120)
    case("img_lerp", 0, image=im, min=40, max=200)
    case("img_lerp", 0, image=im, min=200, max=40)
    case("img_ilerp", 0, image=im, min=40, max=200)
    case("img_ilerp", 0, image=im, min=200, max=40)
    case("img_ilerp", 0, image=im, min=90, max=90)
    case("img_hue_adjust", 0, image=im, hue=75)
    case("img_hue_adjust", 0, image=im, hue=-200)
    case("img_hue_adjust_oklch", 1, image=im, hue=130)
    case("tomask", 0, image=im)
    case("tomask", 0, image=im, invert=True)
    for ch in "RGBA":
        case("img_chan", 0, image=im, channel=ch)
    for mode in ("L", "RGB", "RGBA", "CMYK", "HSV"):
        case("img_conv", 0, image=im, mode=mode)
    case("crop_image_to_bounding_box", 0, image=im)
    case("crop_image_to_bounding_box", 0, image=im, bounding_box={"x_min": 3, "y_min": 4, "x_max": 33, "y_max": 12})
    case("save_image", 0, image=im)
    case("canvas_output", 0, image=im)
    for noise in ("gaussian", "salt_and_pepper"):
        case("img_noise", 0, image=im, seed=9, noise_type=noise, amount=0.3)
        case("img_noise", 0, image=im, seed=12345, noise_type=noise, amount=0.6, noise_color=False, size=3, mask="soft")
    case("invokeai_ealightness", 2, image=im)
    for f in (dict(invert=True), dict(color=0.3), dict(contrast=1.7), dict(brightness=0.6), dict(sharpness=2.5), dict(invert=True, color=1.4, contrast=0.8, brightness=1.2, sharpness=0)):
        case("invokeai_img_enhance", 0, image=im, **f)
    for mode in ("Dilate", "Erode"):
        case("invokeai_img_dilate_erode", 0, image=im, radius_w=2, radius_h=4, mode=mode)
        case("invokeai_img_dilate_erode", 1, image=im, lightness_only=True, radius_w=3, radius_h=0, mode=mode)
    for f in (dict(), dict(invert_output=True), dict(threshold_upper=0.7, threshold_lower=0.2), dict(threshold_upper=0.7, threshold_lower=0.2, renormalize_values=True),
              dict(threshold_upper=0.7, threshold_lower=0.2, renormalize_values=True, invert_output=True), dict(threshold_upper=0.3, threshold_lower=0.6), dict(threshold_upper=0.3, threshold_lower=0.6, renormalize_values=True, invert_output=True)):
        case("invokeai_img_val_thresholds", 0, image=im, **f)
    for space in ("HSV / HSL / RGB", "Okhsl", "Okhsv", "*Oklch / Oklab", "*LCh / CIELab"):
        case("invokeai_img_hue_adjust_plus", 2, 0.99, image=im, space=space, degrees=75.5)
        case("invokeai_img_hue_adjust_plus", 2, 0.99, image=im, space=space, degrees=-120, preserve_lightness=True, ok_high_precision=False)
add("even", drawing(24, 16, 12))
case("invokeai_img_val_thresholds", 2, 0.99, image="even", lightness_only=True, threshold_upper=0.7, threshold_lower=0.2)
case("invokeai_img_val_thresholds", 0, image="tall", threshold_upper=0.7, threshold_lower=0.2)
for ch in ("Red (RGBA)", "Green (RGBA)", "Blue (RGBA)", "Alpha (RGBA)", "Cyan (CMYK)", "Magenta (CMYK)", "Yellow (CMYK)", "Black (CMYK)", "Hue (HSV)", "Saturation (HSV)",
           "Value (HSV)", "Luminosity (LAB)", "A (LAB)", "B (LAB)", "Y (YCbCr)", "Cb (YCbCr)", "Cr (YCbCr)"):
    t = (2, 0.98) if "LAB" in ch else (0, 1.0)
    case("img_channel_offset", *t, image="clear", channel=ch, offset=40)
    case("img_channel_offset", *t, image="a", channel=ch, offset=-90)
    case("img_channel_multiply", *t, image="clear", channel=ch, scale=1.6)
    case("img_channel_multiply", *t, image="a", channel=ch, scale=0.7, invert_channel=True)
for space in ("RGB", "YCbCr", "YCbCr-Chroma", "YCbCr-Luma"):
    case("color_correct", 0, base_image="a", color_reference="wide", colorspace=space)
    case("color_correct", 0, base_image="clear", color_reference="b", colorspace=space, mask="soft")
case("color_correct", 0, base_image="a", color_reference="b", mask="big")
case("img_mul", 0, image1="a", image2="wide")
case("img_mul", 0, image1="a", image2="clear")
case("mask_combine", 0, mask1="soft", mask2="grey")
case("mask_edge", 0, image="soft", edge_size=5, edge_blur=3, low_threshold=50, high_threshold=150)
case("mask_edge", 0, image="grey", edge_size=0, edge_blur=0, low_threshold=100, high_threshold=200)
case("mask_from_id", 0, image="a", color={"r": 250, "g": 20, "b": 40, "a": 255}, threshold=60)
case("mask_from_id", 0, image="clear", color={"r": 250, "g": 20, "b": 40, "a": 0}, invert=True)
case("get_image_mask_bounding_box", mask="mask", margin=2)
case("get_image_mask_bounding_box", mask="mask", mask_color={"r": 0, "g": 0, "b": 0, "a": 255}, margin=3)
case("get_image_mask_bounding_box", mask="a", mask_color={"r": 1, "g": 2, "b": 3, "a": 4})
for fade in (0, 1, 3, 8, 32):
    case("expand_mask_with_fade", 1, mask="soft", threshold=100, fade_size_px=fade)
case("expand_mask_with_fade", 1, mask="mask3", fade_size_px=6)
case("apply_mask_to_image", 0, image="a", mask="soft")
case("apply_mask_to_image", 0, image="clear", mask="mask3", invert_mask=True)
for blur in (0, 1, 2, 5):
    case("canvas_paste_back", 0, source_image="a", target_image="b", mask="mask3", mask_blur=blur)
    case("canvas_paste_back", 0, source_image="clear", target_image="grey", mask="soft", mask_blur=blur)
    case("canvas_v2_mask_and_crop", 0, source_image="a", generated_image="clear", mask="mask", mask_blur=blur)
    case("canvas_v2_mask_and_crop", 0, generated_image="b", mask="mask", mask_blur=blur)
for x, y in ((0, 0), (-10, 5), (12, -7), (20, 15)):
    case("img_paste", 0, base_image="a", image="clear", x=x, y=y)
    case("img_paste", 0, base_image="clear", image="b", mask="soft", x=x, y=y, crop=True)
add("square", drawing(36, 36, 11))
case("paste_image_into_bounding_box", 0, source_image="tall", target_image="square", bounding_box={"x_min": 3, "y_min": 4, "x_max": 21, "y_max": 34})
case("paste_image_into_bounding_box", 0, source_image="tall", target_image="square", bounding_box={"x_min": 3, "y_min": 4, "x_max": 20, "y_max": 40})
case("blank_image", 0, width=9, height=5, mode="RGBA", color={"r": 1, "g": 2, "b": 3, "a": 4})
case("blank_image", 0, width=9, height=5, color={"r": 1, "g": 2, "b": 3, "a": 4})
for im in ("hole", "clear", "a"):
    case("infill_rgba", 0, image=im, color={"r": 10, "g": 200, "b": 30, "a": 180})
    case("infill_tile", 0, image=im, tile_size=5, seed=3)
    case("infill_cv2", 0, image=im)
case("infill_tile", 0, image="hole", tile_size=32)
case("cv_inpaint", 0, image="a", mask="mask3")
for lo, hi in ((100, 200), (30, 90)):
    case("canny_edge_detection", 0, image="a", low_threshold=lo, high_threshold=hi)
for size in (1, 4, 7, 64):
    case("color_map", 1, image="a", tile_size=size)
for im in ("a", "few", "edges"):
    for size in ((14, 12), (50, 41), (28, 24), (23, 30)):
        case("heuristic_resize", 1, 0.99, image=im, width=size[0], height=size[1])
for f in (dict(), dict(chroma_key="rgb(20, 180, 60)"), dict(chroma_key="(20,180,60)", threshold=5), dict(chroma_key="#14b43c"), dict(fill_x=True, fill_y=False, x_offset=5, y_offset=-3),
          dict(fill_x=True), dict(fill_x=False, fill_y=False)):
    for bg in ("b", "wide", "tall"):
        case("invokeai_img_composite", 0, image_subject="flat", image_background=bg, **f)
case("img_watermark", 0, image="big", text="Hi 1")
case("img_watermark", 0, image="a")
from invokeai.backend.image_util.invisible_watermark import InvisibleWatermark  # noqa: E402

add("marked", InvisibleWatermark.add_watermark(PICTURES["big"], "InvokeAI"))
case("decode_watermark", image="marked")
case("decode_watermark", image="marked", length=4)
case("decode_watermark", image="a")
BLENDS = ("Normal", "Lighten Only", "Darken Only", "Lighten Only (EAL)", "Darken Only (EAL)", "Hue", "Saturation", "Color", "Luminosity", "Linear Dodge (Add)", "Subtract", "Multiply",
          "Divide", "Screen", "Overlay", "Linear Burn", "Difference", "Hard Light", "Soft Light", "Vivid Light", "Linear Light", "Color Burn", "Color Dodge")
SPACES = ("RGB", "Linear RGB", "HSL (RGB)", "HSV (RGB)", "Okhsl", "Okhsv", "Oklch (Oklab)", "LCh (CIELab)")
add("s1", PICTURES["a"].crop((0, 0, 16, 12)))
add("s2", PICTURES["b"].crop((8, 6, 24, 18)))
for mode in BLENDS:
    for space in SPACES:
        case("invokeai_img_blend", 2, 0.97, layer_base="s1", layer_upper="s2", blend_mode=mode, color_space=space)
for gamut, precise in ((0.1, True), (2.0, False)):
    for mode in ("Normal", "Linear Dodge (Add)", "Color Dodge", "Linear Light"):
        for space in SPACES:
            case("invokeai_img_blend", 2, 0.95, layer_base="s1", layer_upper="s2", blend_mode=mode, color_space=space, adaptive_gamut=gamut, high_precision=precise)
for base, upper in (("a", "clear"), ("clear", "b"), ("clear", "hole"), ("grey", "a"), ("a", "wide"), ("a", "tall"), ("la", "b")):
    for f in (dict(), dict(opacity=0.4, mask="soft"), dict(fit_to_width=True, fit_to_height=False), dict(fit_to_width=True), dict(fit_to_width=False, fit_to_height=False), dict(opacity=1.7, mask="tall")):
        case("invokeai_img_blend", 1, layer_base=base, layer_upper=upper, **f)


def tile(name, left, top, right, bottom, ol=0, ot=0, orr=0, ob=0):
    return {"tile": {"coords": dict(top=top, bottom=bottom, left=left, right=right), "overlap": dict(top=ot, bottom=ob, left=ol, right=orr)}, "image": {"image_name": name}}


grid = [tile("a", 0, 0, 28, 24, 0, 0, 12, 10), tile("b", 16, 0, 44, 24, 12, 0, 0, 10), tile("clear", 0, 14, 28, 38, 0, 10, 12, 0), tile("hole", 16, 14, 44, 38, 12, 10, 0, 0)]
for mode in ("Linear", "Seam"):
    for amount in (0, 1, 4, 7, 8, 10, 11):
        case("merge_tiles_to_image", 0, 0.999, tiles_with_images=grid, blend_mode=mode, blend_amount=amount)
    case("merge_tiles_to_image", 0, tiles_with_images=grid[:1], blend_mode=mode, blend_amount=8)
case("calculate_image_tiles")
case("calculate_image_tiles", image_width=1000, image_height=700, tile_width=300, tile_height=256, overlap=40)
case("calculate_image_tiles", image_width=100)
case("calculate_image_tiles_even_split")
case("calculate_image_tiles_even_split", image_width=1000, image_height=1048, num_tiles_x=3, num_tiles_y=4, overlap=32)
case("calculate_image_tiles_even_split", image_width=1001)
case("calculate_image_tiles_even_split", image_width=512, image_height=512, num_tiles_x=8, num_tiles_y=1, overlap=128)
case("calculate_image_tiles_min_overlap")
case("calculate_image_tiles_min_overlap", image_width=1111, image_height=300, tile_width=400, tile_height=500, min_overlap=33)
for im in (["a"], ["wide", "a", "tall"]):
    case("flux_kontext_image_prep", 0, images=[{"image_name": n} for n in im], use_preferred_resolution=False)
for mode, shelf in SHELVES.items():
    sheet = Image.new(mode, (max(i.width for i in shelf), sum(i.height for i in shelf)))
    y = 0
    for im in shelf:
        sheet.paste(im, (0, y))
        y += im.height
    if mode in ("L", "LA", "RGB", "RGBA"):
        sheet.save(os.path.join(OUT, f"results_{mode}.png"), optimize=True)
with open(os.path.join(OUT, "cases.json"), "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c) for c in CASES) + "\n]\n")
print(len(CASES), "cases", sum(os.path.getsize(os.path.join(OUT, n)) for n in os.listdir(OUT)), "bytes")
for c in CASES:
    if "error" in c:
        print(c["type"], {k: v for k, v in c["fields"].items() if k != "tiles_with_images"}, c["error"])
