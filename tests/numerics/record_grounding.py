"""Records what Grounding DINO computes, for `invoke-core/tests/numerics/grounding.rs` and the tests of its node.

    python record_grounding.py     needs torch, transformers and invokeai

Weights and inputs are drawn from their names as record_vision.py draws them. Kept are shapes, configs, tokens, sizes and boxes (vision/grounding.json) and
some elements of the results (vision/grounding.safetensors).
"""
import json, os, tempfile
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import BertTokenizer, GroundingDinoConfig, GroundingDinoForObjectDetection, GroundingDinoImageProcessor, pipeline
from transformers.image_transforms import get_size_with_aspect_ratio
from invokeai.backend.image_util.grounding_dino.grounding_dino_pipeline import GroundingDinoPipeline
from record_vision import HERE, noise, thin, weight

WORDS = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 999: "!", 1005: "'", 1010: ",", 1011: "-", 1012: ".", 1029: "?", 200: "a", 201: "cat", 202: "##s", 203: "dog", 204: "red",
         205: "cafe", 206: "un", 207: "##lucky", 208: "##a", 209: "7", 210: "##8", 211: "中", 212: "t", 213: "and", 214: "bird", 215: "strasse", 216: "##t", 217: "café", 218: "$"}
TEXTS = ["a cat.", "A Red CAT. dogs? bird", "Caf\u00e9, cafe\u0301!", "unlucky uncat unseen.", "don't-a 78 $7", " a\tcat \n and\u00a0dog\u3000bird ", "中国 cat中a", "", ".", "cats" * 30 + " a", "a" * 120, "[SEP] a [MASK] [sep]",
         "\u0000a\u200bcat\ufffd dog\u007f", "stra\u00dfe \u0130", "cat…dog—a", "a.b.cat"]
SIZES = [(800, 1066), (1066, 800), (640, 480), (480, 640), (512, 512), (800, 800), (1333, 800), (4000, 100), (100, 4000), (3000, 2001), (37, 53), (1, 1), (1, 2), (1024, 1023), (333, 200), (1999, 1200), (2000, 1199), (850, 1425)]
TEXT = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, vocab_size=1040, max_position_embeddings=40)
COMMON = dict(text_config=TEXT, d_model=32, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=48, decoder_ffn_dim=40, encoder_attention_heads=4, decoder_attention_heads=2, num_queries=20)
MODELS = {
    # Two stages, both of them seen, and two levels that follow from the last one.
    "small": GroundingDinoConfig(backbone_config=dict(model_type="swin", embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4, out_indices=[1, 2]), **COMMON),
    # Three stages with windows of an odd side, the first not seen; each layer of the decoder moves boxes by weights of its own.
    "apart": GroundingDinoConfig(backbone_config=dict(model_type="swin", embed_dim=8, depths=[2, 3, 1], num_heads=[1, 2, 4], window_size=3, out_indices=[2, 3]), decoder_bbox_embed_share=False, encoder_n_points=3, num_feature_levels=3, **COMMON),
}


def drawn(config):
    """A model and the shapes of what its file holds: a weight that has several names is there once."""
    model = GroundingDinoForObjectDetection(config).eval()
    kept = {}
    for name, tensor in model.state_dict().items():
        twice = name.startswith("model.decoder.bbox_embed") or (config.decoder_bbox_embed_share and name.startswith("bbox_embed.") and not name.startswith("bbox_embed.0"))
        if tensor.is_floating_point() and not twice: kept[name] = tensor
    for name, tensor in kept.items():
        # Small at the end, so that scores are not all near 1.
        tensor.copy_(weight(name, list(tensor.shape)) * (0.1 if name.startswith("model.decoder.layer_norm.") else 1))
    return model, {name: list(tensor.shape) for name, tensor in kept.items()}


def bytes_of(name, h, w):
    return ((noise(name, [h, w, 3]) * 0.5 + 0.5) * 255).round().byte().numpy()


def smooth(h, w):
    return np.asarray(Image.fromarray(bytes_of("picture", 9, 11)).resize((w, h), Image.Resampling.BICUBIC))


def record():
    arrays, told = {}, {"configs": {}, "shapes": {}}
    pixels = noise("picture", [1, 3, 70, 90]) * 2
    ids = torch.tensor([[101, 200, 201, 1012, 204, 203, 202, 1029, 214, 213, 102]])
    with torch.no_grad():
        for name, config in MODELS.items():
            model, told["shapes"][name] = drawn(config)
            told["configs"][name] = json.loads(config.to_json_string())
            out = model(pixel_values=pixels, input_ids=ids)
            logits = out.logits[0, :, : ids.shape[1]]
            assert torch.isfinite(logits).all()
            arrays[f"{name}.logits"], arrays[f"{name}.boxes"] = logits.contiguous(), out.pred_boxes[0].contiguous()
            print(name, "logits", float(logits.min()), float(logits.max()), "boxes", float(out.pred_boxes.min()), float(out.pred_boxes.max()), float(out.pred_boxes.std(1).mean()))
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = os.path.join(folder, "vocab.txt")
        with open(vocabulary, "w") as file: file.write("".join(WORDS.get(i, f"[unused{i}]") + "\n" for i in range(1040)))
        tokenizer = BertTokenizer.from_pretrained(folder)
        told["words"] = {str(i): word for i, word in WORDS.items()}
        told["tokens"] = [[text, tokenizer(text)["input_ids"]] for text in TEXTS]
        tokenizer.save_pretrained(folder)
        with open(os.path.join(folder, "tokenizer.json")) as file: told["tokenizer"] = json.load(file)
        del told["tokenizer"]["model"]["vocab"]  # the words once more
        told["sizes"] = [[w, h, *reversed(get_size_with_aspect_ratio((h, w), 800, 1333))] for w, h in SIZES]
        processor = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 100})
        for name, h, w in [("larger", 40, 50), ("smaller", 130, 170), ("narrow", 60, 200)]:
            picture = Image.fromarray(bytes_of(name, h, w))
            values = processor(picture, return_tensors="pt")["pixel_values"][0]
            exact = np.asarray(picture.resize((values.shape[2], values.shape[1]), Image.Resampling.BILINEAR)).astype(np.float32)
            mean, std = np.float32([0.485, 0.456, 0.406]) * 255, np.float32([0.229, 0.224, 0.225]) * 255
            apart = np.abs(values.numpy().transpose(1, 2, 0) * std + mean - exact)
            print(name, list(values.shape), "from Pillow at most", apart.max(), "levels, apart in", (apart > 0.5).mean())
            arrays[f"pixels.{name}"] = thin(values)
        # The whole of what InvokeAI's node calls, on a folder as it is downloaded; a picture that is enlarged, which torch does just as Pillow.
        model, _ = drawn(MODELS["small"])
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        loaded = pipeline(model=folder, task="zero-shot-object-detection", local_files_only=True)
        image = Image.fromarray(smooth(50, 75))
        found = GroundingDinoPipeline(loaded).detect(image=image, candidate_labels=["a red cat. dogs."], threshold=0.73)
        scores = [f.score for f in GroundingDinoPipeline(loaded).detect(image=image, candidate_labels=["a red cat. dogs."], threshold=0)]
        assert len(found) < len(scores) and all(abs(score - 0.73) > 1e-3 for score in scores), scores
        told["found"] = [[f.score, f.box.xmin, f.box.ymin, f.box.xmax, f.box.ymax] for f in found]
        print(len(found), "found", told["found"][:3])
        print(sorted(os.listdir(folder)), type(loaded.image_processor), loaded.model.dtype)
    save_file(arrays, os.path.join(HERE, "grounding.safetensors"))
    with open(os.path.join(HERE, "grounding.json"), "w") as file: file.write(json.dumps(told, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n")
    print({name: os.path.getsize(os.path.join(HERE, name)) for name in ["grounding.safetensors", "grounding.json"]})


if __name__ == "__main__":
    record()
