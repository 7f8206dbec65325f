#!/usr/bin/env python3
"""record_selection.py > selection.json

Which files of a repository InvokeAI 6.14.2 downloads, for made-up listings, variants and subfolders. Needs an environment with
invokeai==6.14.2; asks nothing on the network."""
import json
import sys
from pathlib import Path

from invokeai.backend.model_manager.taxonomy import ModelRepoVariant
from invokeai.backend.model_manager.util.select_hf_files import filter_files

SD1 = ["README.md", "model_index.json", "v1-5.ckpt", "v1-5-pruned.safetensors", "feature_extractor/preprocessor_config.json",
       "safety_checker/config.json", "safety_checker/model.safetensors", "safety_checker/model.fp16.safetensors",
       "safety_checker/pytorch_model.bin", "safety_checker/pytorch_model.fp16.bin",
       "scheduler/scheduler_config.json", "text_encoder/config.json", "text_encoder/model.safetensors",
       "text_encoder/model.fp16.safetensors", "text_encoder/pytorch_model.bin", "text_encoder/pytorch_model.fp16.bin",
       "tokenizer/merges.txt", "tokenizer/special_tokens_map.json", "tokenizer/tokenizer_config.json", "tokenizer/vocab.json",
       "unet/config.json", "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.bin",
       "unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.non_ema.bin",
       "unet/diffusion_pytorch_model.non_ema.safetensors", "unet/diffusion_pytorch_model.safetensors",
       "vae/config.json", "vae/diffusion_pytorch_model.bin", "vae/diffusion_pytorch_model.fp16.bin",
       "vae/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.safetensors", "sample.png"]
BINS = ["model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json", "text_encoder/pytorch_model.bin",
        "tokenizer/vocab.json", "unet/config.json", "unet/diffusion_pytorch_model.bin", "vae/config.json",
        "vae/diffusion_pytorch_model.bin"]
MIXED = ["model_index.json", "a/config.json", "a/pytorch_model.bin", "b/config.json", "b/model.safetensors", "b/pytorch_model.bin",
         "c/config.json", "c/pytorch_model.bin"]
SHARDS = ["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json",
          "t/model.fp16-00001-of-00002.safetensors", "t/model.fp16-00002-of-00002.safetensors", "t/model-00001-of-00003.safetensors",
          "t/model-00002-of-00003.safetensors", "t/model-00003-of-00003.safetensors", "t/model.safetensors.index.fp16.json",
          "t/model.safetensors.index.json", "t/config.json"]
ONNX = ["model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.safetensors",
        "unet/model.onnx", "unet/model.onnx_data", "unet/weights.pb", "unet/openvino_model.bin", "unet/openvino_model.xml",
        "text_encoder/config.json", "text_encoder/flax_model.msgpack", "text_encoder/model.safetensors", "text_encoder/model.onnx",
        "vae_decoder/config.json", "vae_decoder/model.onnx", "tokenizer_2/spiece.model", "tokenizer_2/chat.jinja"]
LOOSE = ["README.md", "config.json", "ip_adapter.bin", "image_encoder.txt", "pytorch_lora_weights.safetensors", "learned_embeds.bin",
         "ip-adapter-plus.safetensors", "some.model.v2.ckpt", "deep/er/model.pt", "deep/er/other.pt", ".hidden.model.bin"]
CASES = [("sd1", SD1), ("bins", BINS), ("mixed", MIXED), ("shards", SHARDS), ("onnx", ONNX), ("loose", LOOSE), ("nothing", ["README.md"])]
SUBFOLDERS = [[], ["unet"], ["vae"], ["t"], ["text_encoder", "tokenizer"], ["deep/er"], ["vae/diffusion_pytorch_model.safetensors"],
              ["v1-5.ckpt"], ["absent"]]

out = []
for name, listing in CASES:
    files = [Path("repo", file) for file in listing]
    cases = []
    for variant in ModelRepoVariant:
        for folders in SUBFOLDERS:
            if len(folders) == 1 and "." in folders[0] and folders[0] not in listing:
                continue
            if folders and not any(str(file).startswith(f"repo/{folder}") for file in files for folder in folders) and folders != ["absent"]:
                continue
            one = Path(folders[0]) if len(folders) == 1 else None
            many = [Path(folder) for folder in folders] if len(folders) > 1 else None
            chosen = [str(path) for path in filter_files(files, variant, one, many)]
            cases.append({"variant": variant.value, "subfolders": folders, "chosen": sorted(chosen)})
    out.append({"name": name, "files": [str(file) for file in files], "cases": cases})
json.dump(out, sys.stdout, separators=(",", ":"))
