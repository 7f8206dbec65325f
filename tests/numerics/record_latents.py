"""Records torch's interpolate for invoke-core's tests.

    python tests/numerics/record_latents.py tests/numerics/latents.json
"""
import json
import sys

import torch
import torch.nn.functional as F

torch.manual_seed(0)
x = torch.randn(1, 2, 5, 7)
cases = []
for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area"):
    for antialias in (False, True) if mode in ("bilinear", "bicubic") else (False,):
        for size, factor in (((8, 13), None), ((3, 4), None), ((5, 5), None), ((1, 1), None), (None, 1.7), (None, 0.6)):
            y = F.interpolate(x, size=size, scale_factor=factor, mode=mode, antialias=antialias)
            cases.append({"mode": mode, "antialias": antialias, "size": list(y.shape[2:]), "factor": factor,
                          "values": [round(v, 6) for v in y.flatten().tolist()]})
json.dump({"input": x.flatten().tolist(), "cases": cases}, open(sys.argv[1], "w"))
