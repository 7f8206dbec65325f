"""Finds the colours that the model's latents stand for, for previews of unfinished pictures: least squares of small pictures on their latents.

    python latent_rgb.py MODEL_DIR [PICTURE…]     needs torch, diffusers, numpy, Pillow

Writes MODEL_DIR/latent_rgb.json. Without pictures it takes those recorded for the tests of the contract.
"""
import glob, json, os, sys
import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    model = sys.argv[1]
    recorded = os.path.join(HERE, "..", "tests", "contract", "pictures", "reference")
    # Of the recorded pictures those that the model drew; the others are of nodes that change pictures.
    drawn = [p for p in sorted(glob.glob(os.path.join(recorded, "*.png"))) if not os.path.basename(p).startswith(("img_", "blend ", "canny", "color_", "paste", "unsharp"))]
    pictures = sys.argv[2:] or drawn
    vae = AutoencoderKL.from_pretrained(os.path.join(model, "vae"), torch_dtype=torch.float32).eval()
    latents, colours = [], []
    for path in pictures:
        im = Image.open(path).convert("RGB")
        im = im.crop((0, 0, im.width // 8 * 8, im.height // 8 * 8))
        x = torch.from_numpy(np.asarray(im)).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad(): z = vae.encode(x).latent_dist.mean * vae.config.scaling_factor
        latents.append(z[0].flatten(1).T.numpy())
        colours.append(torch.nn.functional.avg_pool2d(x, 8)[0].flatten(1).T.numpy())
    z, c = np.concatenate(latents).astype(np.float64), np.concatenate(colours).astype(np.float64)
    design = np.concatenate([z, np.ones((len(z), 1))], 1)
    solved, *_ = np.linalg.lstsq(design, c, rcond=None)
    error = np.abs(np.clip(design @ solved, -1, 1) - c).mean() * 127.5
    print(f"{len(pictures)} pictures, {len(z)} latents, mean error {error:.1f} of 255")
    with open(os.path.join(model, "latent_rgb.json"), "w") as f:
        json.dump({"factors": np.round(solved[:4], 4).tolist(), "bias": np.round(solved[4], 4).tolist(), "smooth": False}, f)
        f.write("\n")


if __name__ == "__main__": main()
