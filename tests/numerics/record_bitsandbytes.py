"""Records what bitsandbytes makes of weights that it has packed, for the tests of `diffusion/weights/bitsandbytes.rs`.

    python record_bitsandbytes.py     needs bitsandbytes (its CPU half) and torch
"""
import os
import bitsandbytes.functional as F
import torch
from safetensors.torch import save_file
from record_checkpoints import weight

HERE = os.path.dirname(os.path.abspath(__file__))
packed, plain = {}, {}
# Scales packed in turn, as the files in use have them, and not; a last block that is not whole; both tables of 4 bits. Rows are made of whole blocks, or odd:
# of others bitsandbytes' own arithmetic on a CPU is wrong.
for name, shape, kind, nested in (("nested", (50, 384), "nf4", True), ("plain", (6, 25), "nf4", False), ("other", (5, 64), "fp4", False)):
    own = weight(name, list(shape))
    quantized, state = F.quantize_4bit(own, blocksize=64, quant_type=kind, compress_statistics=nested)
    packed |= {f"{name}.weight": quantized, f"{name}.bias": weight(name + ".bias", [shape[0]])}
    packed |= {f"{name}.weight.{k}": v for k, v in state.as_dict(packed=True).items()}
    plain |= {f"{name}.weight": F.dequantize_4bit(quantized, state), f"{name}.bias": packed[f"{name}.bias"]}
own = weight("rows", [7, 20])
quantized, scales, _ = F.int8_vectorwise_quant(own.half())
packed |= {"rows.weight": quantized, "rows.SCB": scales.flatten().float(), "rows.weight_format": torch.tensor(0, dtype=torch.uint8)}
plain["rows.weight"] = F.int8_vectorwise_dequant(quantized, scales).float()
save_file({k: v.contiguous() for k, v in packed.items()}, os.path.join(HERE, "models", "bitsandbytes.safetensors"))
save_file({k: v.float().contiguous() for k, v in plain.items()}, os.path.join(HERE, "bitsandbytes.safetensors"))
print({k: (tuple(v.shape), v.dtype) for k, v in packed.items()})
