"""Records what Pillow, OpenCV and NumPy compute, for the tests of `imaging` to be held to.

Run with Pillow, opencv-python and numpy installed; writes cases.json and PNG files to `fixtures` beside this file. A picture in a mode that
PNG cannot hold is stored band by band as RGB or RGBA; its mode stands in the case.
"""
import json
import os
import warnings

import cv2
import numpy as np
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

warnings.filterwarnings("ignore")
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
os.makedirs(OUT, exist_ok=True)
for name in os.listdir(OUT):
    os.remove(os.path.join(OUT, name))
rng = np.random.default_rng(1)
cases = []
W, H = 37, 29


def store(im, name):
    im = im.copy()
    if im.mode not in ("L", "LA", "RGB", "RGBA"):
        bands = im.split()
        im = Image.merge("RGB" if len(bands) == 3 else "RGBA", bands)
    im.save(os.path.join(OUT, name + ".png"), optimize=True)
    return name + ".png"


def photo(w=W, h=H, seed=0):
    r = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w]
    a = np.stack([128 + 120 * np.sin(x / 7 + y / 11), 255 * x / w, 255 * ((x - w / 2) ** 2 + (y - h / 2) ** 2) / (w * w / 4 + h * h / 4)], -1)
    a += r.normal(0, 12, a.shape)
    a[4:11, 6:22] = (250, 20, 40)
    a[15:22, 22:32] = (0, 0, 0)
    a[22:26, 4:15] = (255, 255, 255)
    return Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))


def noise(w=W, h=H, bands=3, seed=3):
    a = np.random.default_rng(seed).integers(0, 256, (h, w, bands), dtype=np.uint8)
    return Image.fromarray(a.squeeze() if bands == 1 else a, mode={1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[bands])


INPUTS = {"photo": photo(), "noise": noise()}
alpha = np.clip(np.mgrid[0:H, 0:W][1] * 8 - 60, 0, 255).astype(np.uint8)
rgba = photo(seed=5)
rgba.putalpha(Image.fromarray(alpha))
INPUTS["rgba"] = rgba
INPUTS["noise4"] = noise(bands=4)
INPUTS["grey"] = photo(seed=6).convert("L")
INPUTS["la"] = noise(bands=2)
mask = np.full((H, W), 0, np.uint8)
cv2.circle(mask, (18, 14), 9, 255, -1)
INPUTS["disc"] = Image.fromarray(mask)
INPUTS["soft"] = INPUTS["disc"].filter(ImageFilter.GaussianBlur(4))
# Every pair of the three bands' high bits, for conversions.
steps = np.array([0, 1, 7, 33, 64, 100, 127, 128, 160, 191, 200, 222, 240, 250, 254, 255], np.uint8)
cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(64, 64, 3)
INPUTS["cube"] = Image.fromarray(cube)
for name, im in INPUTS.items():
    store(im, "in_" + name)


def case(op, inputs, output, tolerance=0, **args):
    name = f"{len(cases):03d}_{op}"
    entry = {"name": name, "op": op, "in": [{"file": f"in_{i}.png", "mode": INPUTS[i].mode} for i in inputs], "args": args, "tolerance": tolerance}
    entry["out"] = {"file": store(output, name), "mode": output.mode}
    cases.append(entry)


def by_bands(mode, im):
    return Image.merge(mode, im.split())


# Conversions.
for source in ("photo", "grey", "la", "rgba"):
    for mode in ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"):
        if mode != INPUTS[source].mode:
            case("convert", [source], INPUTS[source].convert(mode), mode=mode)
for mode in ("CMYK", "YCbCr", "HSV"):
    case("convert", ["cube"], INPUTS["cube"].convert(mode), mode=mode)
case("convert", ["cube"], INPUTS["cube"].convert("LAB"), 1, mode="LAB")
case("convert", ["rgba"], INPUTS["rgba"].convert("LAB"), 1, mode="LAB")
for mode in ("YCbCr", "HSV"):
    case("convert_from", ["cube"], by_bands(mode, INPUTS["cube"]).convert("RGB"), mode=mode)
case("convert_from", ["cube"], by_bands("LAB", INPUTS["cube"]).convert("RGB"), 1, mode="LAB")
case("convert_from", ["noise4"], by_bands("CMYK", INPUTS["noise4"]).convert("RGB"), mode="CMYK")
from PIL import ImageCms  # noqa: E402

srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB", colorTemp=6500)
to_lab = ImageCms.buildTransformFromOpenProfiles(srgb, lab, "RGB", "LAB", renderingIntent=2, flags=0x2400)
to_rgb = ImageCms.buildTransformFromOpenProfiles(lab, srgb, "LAB", "RGB", renderingIntent=2, flags=0x2400)
case("convert_high", ["cube"], ImageCms.applyTransform(INPUTS["cube"], to_lab), 1, mode="LAB")
case("convert_high_from", ["cube"], ImageCms.applyTransform(by_bands("LAB", INPUTS["cube"]), to_rgb), 1, mode="LAB")

# Resizing.
FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
for name, f in FILTERS.items():
    for size in ((14, 11), (61, 50), (37, 60), (21, 29), (1, 1)):
        case("resize", ["photo"], INPUTS["photo"].resize(size, f), filter=name, size=size)
    case("resize", ["rgba"], INPUTS["rgba"].resize((20, 40), f), filter=name, size=(20, 40))
    case("resize", ["la"], INPUTS["la"].resize((20, 40), f), filter=name, size=(20, 40))
case("resize", ["noise"], INPUTS["noise"].resize((23, 51), 1), filter="lanczos", size=(23, 51))

# Blurs.
for r in (0, 0.3, 1, 2.5, 6, 30, 100):
    case("gaussian_blur", ["photo"], INPUTS["photo"].filter(ImageFilter.GaussianBlur(r)), radius=r)
    case("box_blur", ["photo"], INPUTS["photo"].filter(ImageFilter.BoxBlur(r)), radius=r)
case("gaussian_blur", ["noise4"], INPUTS["noise4"].filter(ImageFilter.GaussianBlur(3)), radius=3)
case("smooth", ["noise4"], INPUTS["noise4"].filter(ImageFilter.SMOOTH))

# Arithmetic.
case("multiply", ["photo", "noise"], ImageChops.multiply(INPUTS["photo"], INPUTS["noise"]))
case("invert", ["photo"], ImageOps.invert(INPUTS["photo"]))
for f in (0, 0.3, 0.77, 1, 1.7):
    case("blend", ["photo", "noise"], Image.blend(INPUTS["photo"], INPUTS["noise"], f), factor=f)
for kind in ("Color", "Contrast", "Brightness", "Sharpness"):
    for f in (0.0, 0.4, 1.8):
        for source in ("photo", "rgba", "grey", "la"):
            case("enhance", [source], getattr(ImageEnhance, kind)(INPUTS[source]).enhance(f), kind=kind, factor=f)
case("alpha_composite", ["rgba", "noise4"], Image.alpha_composite(INPUTS["rgba"], INPUTS["noise4"]))
case("alpha_composite", ["noise4", "rgba"], Image.alpha_composite(INPUTS["noise4"], INPUTS["rgba"]))


def pasted(base, image, box, mask):
    out = INPUTS[base].copy()
    out.paste(INPUTS[image], box, mask and INPUTS[mask])
    return out


for base, image, box, m in (("photo", "noise", (-9, 7), "soft"), ("rgba", "noise4", (15, -11), "soft"), ("photo", "rgba", (3, 3), "rgba"),
                            ("rgba", "photo", (10, 10), None), ("grey", "noise", (0, 0), "la")):
    case("paste", [base, image] + ([m] if m else []), pasted(base, image, box, m), at=box)
case("crop", ["photo"], INPUTS["photo"].crop((-5, 10, 60, 30)), box=(-5, 10, 60, 30))

# OpenCV.
arr = {k: np.array(v) for k, v in INPUTS.items()}
for lo, hi in ((100, 200), (80, 180), (20, 60), (200, 100)):
    case("canny", ["photo"], Image.fromarray(cv2.Canny(arr["photo"][..., ::-1].copy(), lo, hi)), low=lo, high=hi)
    case("canny", ["grey"], Image.fromarray(cv2.Canny(arr["grey"], lo, hi)), low=lo, high=hi)
for size in ((13, 10), (61, 50), (37, 20), (1, 1)):
    case("cv_nearest", ["photo"], Image.fromarray(cv2.resize(arr["photo"], size, interpolation=cv2.INTER_NEAREST)), size=size)
    case("cv_cubic", ["photo"], Image.fromarray(cv2.resize(arr["photo"], size, interpolation=cv2.INTER_CUBIC)), 1, size=size)
for size in ((13, 10), (18, 14), (37, 20), (1, 1), (30, 23)):
    case("cv_area", ["photo"], Image.fromarray(cv2.resize(arr["photo"], size, interpolation=cv2.INTER_AREA)), 1, size=size)
for side, n in ((0, 3), (1, 1), (2, 3), (3, 2), (8, 3), (5, 0)):
    k = np.ones((side, side), np.uint8)
    case("cv_square", ["photo"], Image.fromarray(cv2.dilate(arr["photo"], k, iterations=n)), side=side, iterations=n, which="max")
    case("cv_square", ["grey"], Image.fromarray(cv2.erode(arr["grey"], k, iterations=n)), side=side, iterations=n, which="min")
for rw, rh in ((0, 0), (4, 4), (1, 1), (7, 2), (2, 9), (5, 0), (0, 5)):
    k = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rw + 1, 2 * rh + 1))
    case("cv_ellipse", ["photo"], Image.fromarray(cv2.dilate(arr["photo"], k)), radius=(rw, rh), which="max")
    case("cv_ellipse", ["noise4"], Image.fromarray(cv2.erode(arr["noise4"], k), mode="RGBA"), radius=(rw, rh), which="min")
d = cv2.distanceTransform(arr["disc"], cv2.DIST_L2, 5)
case("cv_distance", ["disc"], Image.fromarray((d * 16).astype(np.uint8)), 1, factor=16)
d = cv2.distanceTransform(255 - arr["disc"], cv2.DIST_L2, 5)
case("cv_distance_inverted", ["disc"], Image.fromarray((d * 5).astype(np.uint8)), 1, factor=5)
stripes = np.zeros((H, W), np.uint8)
stripes[0:5, 7:30] = 255
stripes[10:11, :] = 255
stripes[16:, 34:] = 255
INPUTS["stripes"] = Image.fromarray(stripes)
store(INPUTS["stripes"], "in_stripes")
for m in ("disc", "stripes"):
    case("cv_inpaint", ["photo", m], Image.fromarray(cv2.inpaint(arr["photo"][..., ::-1].copy(), np.array(INPUTS[m]), 3, cv2.INPAINT_TELEA)[..., ::-1].copy()), 1)
case("cv_to_yuv", ["cube"], Image.fromarray(cv2.cvtColor(arr["cube"][..., ::-1].copy(), cv2.COLOR_BGR2YUV)))
case("cv_from_yuv", ["cube"], Image.fromarray(cv2.cvtColor(arr["cube"], cv2.COLOR_YUV2BGR)[..., ::-1].copy()))

with open(os.path.join(OUT, "cases.json"), "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
print(len(cases), "cases", sum(os.path.getsize(os.path.join(OUT, n)) for n in os.listdir(OUT)), "bytes")
