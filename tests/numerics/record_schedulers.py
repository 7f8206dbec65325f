"""Records whole runs of diffusers' schedulers for invoke-core's tests.

    python tests/numerics/record_schedulers.py tests/numerics/schedulers.json

Needs diffusers, torchsde, scipy and InvokeAI 6.14 (for ER-SDE). The stand-in for a denoiser is
eps(x, t) = 0.3 * scale_model_input(x) + t / 2000, so that a run depends on every timestep, sigma and coefficient.
For each case the timesteps and the samples at four places of the run are kept.
"""
import inspect
import json
import sys

import torch
from invokeai.backend.stable_diffusion.schedulers.schedulers import SCHEDULER_MAP

SD1 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "steps_offset": 1,
       "set_alpha_to_one": False, "skip_prk_steps": True, "clip_sample": False}
LEADING = {**SD1, "timestep_spacing": "leading"}
TRAILING_V = {**SD1, "timestep_spacing": "trailing", "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
SEED = 7


def run(name, config, steps, start=0):
    cls, extra = SCHEDULER_MAP[name]
    config = {**config, **extra}
    if "noise_sampler_seed" in config:
        config["noise_sampler_seed"] = SEED
    sampler = cls.from_config(config)
    sampler.set_timesteps(steps)
    timesteps = sampler.timesteps
    visits = timesteps[start * sampler.order:]
    noise = torch.linspace(-1, 1, 32).reshape(1, 2, 4, 4)
    picture = torch.linspace(0.5, -0.25, 32).reshape(1, 2, 4, 4) if start else torch.zeros_like(noise)
    x = sampler.add_noise(picture, noise, visits[:1])
    kwargs = {}
    if "generator" in inspect.signature(sampler.step).parameters:
        kwargs["generator"] = torch.Generator().manual_seed(SEED ^ 0xFFFFFFFF)
    if name == "tcd":
        kwargs["eta"] = 1.0
    trace = []
    keep = {0, 1, len(visits) // 2, len(visits) - 1}
    for i, t in enumerate(visits):
        eps = 0.3 * sampler.scale_model_input(x, t) + t.float() / 2000
        x = sampler.step(eps.float(), t, x, **kwargs).prev_sample
        if i in keep:
            trace.append([i, [float(v) for v in x.flatten()[::5]]])
    sigma = sampler.init_noise_sigma
    return {"name": name, "steps": steps, "start": start, "timesteps": [float(t) for t in timesteps.double()],
            "init_noise_sigma": float(sigma), "trace": trace}


def main(path):
    cases = []
    for label, config in (("sd1", SD1), ("leading", LEADING), ("trailing_v", TRAILING_V)):
        for name in SCHEDULER_MAP:
            if label == "trailing_v" and name in ("pndm",):
                continue
            for steps, start in ((6, 0), (10, 4), (25, 0)) if label == "sd1" else ((20, 0), (20, 7)):
                try:
                    cases.append({"config": label, **run(name, config, steps, start)})
                except Exception as e:
                    print(label, name, steps, start, repr(e)[:200])
    with open(path, "w") as f:
        json.dump({"configs": {"sd1": SD1, "leading": LEADING, "trailing_v": TRAILING_V}, "seed": SEED, "cases": cases}, f)


main(sys.argv[1])
