"""Runs InvokeAI with the sizes of the small models of FLUX.1 (`flux_models.py`) in the place of its own. Arguments are InvokeAI's.

`SINGLE_PRECISION=1` has FLUX' transformer compute in single floats, of which it knows nothing otherwise: what then is left between the two is no rounding.
"""
import os, sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "numerics")]
from flux_models import patch_sizes


def single_precision():
    """What FLUX' transformer is handed stays rounded to half floats as it is; the transformer and what is made of its answers are single floats."""
    import torch
    from invokeai.app.invocations import flux_denoise
    from invokeai.backend.flux import model
    from invokeai.backend.model_manager.load.model_loaders import flux
    from invokeai.backend.stable_diffusion.diffusion.conditioning_data import FLUXConditioningInfo

    class Single:
        """torch, in whose eyes half floats have 32 bits."""
        bfloat16 = torch.float32
        def __getattr__(self, name): return getattr(torch, name)

    noise, embedding, move = flux_denoise.get_noise, model.timestep_embedding, FLUXConditioningInfo.to
    flux_denoise.get_noise = lambda *args, **kw: noise(*args, **kw).bfloat16().float()
    model.timestep_embedding = lambda t, dim: embedding(t.bfloat16(), dim).float()
    FLUXConditioningInfo.to = lambda self, device=None, dtype=None: move(move(self, dtype=torch.bfloat16), device=device, dtype=dtype)
    flux_denoise.torch = flux.torch = Single()


def main():
    patch_sizes()
    if os.environ.get("SINGLE_PRECISION"): single_precision()
    from invokeai.app.run_app import run_app
    run_app()


if __name__ == "__main__": main()
