"""torch's and diffusers' side of the benchmarks `kernels`, `denoise` and `autoencoder`.

Reads one case a line from standard input, times it (best of several runs, on as many threads as the first argument says), and writes the
seconds to standard output. Whole models also write the result to a file for comparison.
"""

import resource
import sys
import time
from functools import partial

import torch
import torch.nn.functional as F

torch.set_num_threads(int(sys.argv[1]))


def ramp(*shape):
    """The same numbers on both sides."""
    return torch.sin(torch.arange(torch.Size(shape).numel(), dtype=torch.float64) * 0.7).float().view(shape)


def best(work, seconds=0.4, runs=4):
    work()
    least, start, done = float("inf"), time.perf_counter(), 0
    while done < runs or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - before)
        done += 1
    return least


def linear(rows, inputs, outputs, dtype=torch.float32):
    x, w = torch.randn(rows, inputs, dtype=dtype), torch.randn(outputs, inputs, dtype=dtype)
    return lambda: F.linear(x, w)


def conv(batch, inputs, outputs, size, kernel, stride, dtype=torch.float32):
    x, w = torch.randn(batch, inputs, size, size, dtype=dtype), torch.randn(outputs, inputs, kernel, kernel, dtype=dtype)
    if dtype == torch.bfloat16:
        x, w = (t.to(memory_format=torch.channels_last) for t in (x, w))
    return lambda: F.conv2d(x, w, stride=stride, padding=kernel // 2)


def attention(batch, queries, keys, heads, dim, dtype=torch.float32):
    q, k = torch.randn(batch, queries, heads * dim, dtype=dtype), torch.randn(batch, keys, heads * dim, dtype=dtype)

    def work():
        a = q.view(batch, queries, heads, dim).transpose(1, 2)
        b = k.view(batch, keys, heads, dim).transpose(1, 2)
        return F.scaled_dot_product_attention(a, b, b).transpose(1, 2).reshape(batch, queries, heads * dim)

    return work


def group_norm_silu(batch, channels, pixels, groups):
    x, w = torch.randn(batch, channels, pixels), torch.randn(channels)
    return lambda: F.silu(F.group_norm(x, groups, w, w))


def layer_norm(rows, width):
    x, w = torch.randn(rows, width), torch.randn(width)
    return lambda: F.layer_norm(x, (width,), w, w)


def geglu(rows, inputs, outputs, dtype=torch.float32):
    x, w = torch.randn(rows, inputs, dtype=dtype), torch.randn(2 * outputs, inputs, dtype=dtype)

    def work():
        value, gate = F.linear(x, w).chunk(2, -1)
        return value * F.gelu(gate)

    return work


KERNELS = {f.__name__: f for f in (linear, conv, attention, group_norm_silu, layer_norm, geglu)}
KERNELS |= {f"half_{f.__name__}": partial(f, dtype=torch.bfloat16) for f in (linear, conv, geglu, attention)}
KEPT = {}


def make_unet(folder):
    """Writes a UNet of Stable Diffusion 1.5's size with random weights."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    UNet2DConditionModel(
        sample_size=64, cross_attention_dim=768, attention_head_dim=8, block_out_channels=(320, 640, 1280, 1280), norm_num_groups=32
    ).save_pretrained(folder)


def make_vae(folder):
    """Writes an autoencoder of Stable Diffusion's size with random weights."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2, latent_channels=4, sample_size=1024, scaling_factor=0.13025,
    ).save_pretrained(folder)


def memory(name):
    """Bytes, as Linux tells them of this process."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))


def vae(folder, size, path, work, numbers):
    """`work` with the autoencoder and `numbers` of that size, and the memory that it took beyond what was held before."""
    from diffusers import AutoencoderKL

    if "vae" not in KEPT:
        KEPT["vae"] = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32).eval()
    model = KEPT["vae"]
    x = numbers(int(size))
    before = memory("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    start = time.perf_counter()
    result = work(model, x)
    seconds = time.perf_counter() - start
    KEPT["beyond"] = memory("VmHWM") - before
    write(result, path)
    return seconds


def vae_decode(folder, size, path):
    decode = lambda model, x: model.decode(x / model.config.scaling_factor, return_dict=False)[0]
    return vae(folder, size, path, decode, lambda size: ramp(1, 4, size // 8, size // 8))


def vae_encode(folder, size, path):
    encode = lambda model, x: model.encode(x).latent_dist.mean * model.config.scaling_factor
    return vae(folder, size, path, encode, lambda size: ramp(1, 3, size, size))


def write(tensor, path):
    with open(path, "wb") as file:
        file.write(tensor.detach().float().contiguous().numpy().tobytes())


def unet(folder, dtype, path):
    """One step of a UNet of Stable Diffusion 1's size: batch 2, latents 64 x 64."""
    from diffusers import UNet2DConditionModel

    dtype = getattr(torch, dtype)
    if ("unet", dtype) not in KEPT:
        KEPT.clear()
        KEPT["unet", dtype] = UNet2DConditionModel.from_pretrained(folder, torch_dtype=dtype).eval()
        if dtype == torch.bfloat16:
            KEPT["unet", dtype].to(memory_format=torch.channels_last)
    model = KEPT["unet", dtype]
    x, text = ramp(2, 4, 64, 64).to(dtype), ramp(2, 77, 768).to(dtype)
    work = lambda: model(x, 500, text, return_dict=False)[0]
    seconds = best(work, seconds=0, runs=1)
    write(work(), path)
    return seconds


def tiny(folder, path):
    """A picture of 256 x 256: text embeddings given, 20 steps of DDIM with guidance 5, decoding."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    if "tiny" not in KEPT:
        KEPT["tiny"] = tuple(
            kind.from_pretrained(folder, subfolder=name, torch_dtype=torch.float32).eval()
            for kind, name in ((UNet2DConditionModel, "unet"), (AutoencoderKL, "vae"))
        ) + (DDIMScheduler.from_pretrained(folder, subfolder="scheduler"),)
    model, vae, scheduler = KEPT["tiny"]
    text = ramp(2, 77, 768)

    def work():
        scheduler.set_timesteps(20)
        x = ramp(1, 4, 32, 32)
        for t in scheduler.timesteps:
            without, given = model(torch.cat([x, x]), t, text, return_dict=False)[0].chunk(2)
            x = scheduler.step(without + 5.0 * (given - without), t, x, return_dict=False)[0]
        return vae.decode(x / vae.config.scaling_factor, return_dict=False)[0]

    seconds = best(work, seconds=0, runs=2)
    write(work(), path)
    return seconds


def pipeline(folder, seed, path):
    """A picture of 256 x 256 from a prompt, by diffusers' pipeline."""
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import logging

    if "pipeline" not in KEPT:
        logging.disable_progress_bar()
        KEPT["pipeline"] = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, torch_dtype=torch.float32)
        KEPT["pipeline"].set_progress_bar_config(disable=True)
    pipe = KEPT["pipeline"]

    def work():
        return pipe(
            "a red circle on a blue background",
            width=256,
            height=256,
            num_inference_steps=20,
            guidance_scale=5.0,
            generator=torch.Generator("cpu").manual_seed(int(seed)),
        ).images[0]

    seconds = best(work, seconds=0, runs=1)
    picture = work()
    write(torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8), path)
    return seconds


with torch.inference_mode():
    for line in sys.stdin:
        name, *words = line.split()
        if name == "make_unet":
            make_unet(words[0])
            print("0", flush=True)
        elif name == "make_vae":
            make_vae(words[0])
            print("0", flush=True)
        elif name == "beyond":
            print(KEPT["beyond"], flush=True)
        elif name == "peak":
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
        elif name in KERNELS:
            print(best(KERNELS[name](*map(int, words))), flush=True)
        else:
            print({"unet": unet, "tiny": tiny, "pipeline": pipeline, "vae_decode": vae_decode, "vae_encode": vae_encode}[name](*words), flush=True)
