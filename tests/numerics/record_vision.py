"""Records what the models of pictures compute, for `invoke-core/tests/numerics/vision` and `models/torch_file/tests.rs`.

    python record_vision.py [part…]     needs torch, spandrel and what each part imports; parts are the functions below named record_*

Weights and inputs are numbers drawn from their names by `noise`, which the tests repeat, so that nothing but shapes (shapes.json) and some elements of
the results (vision.safetensors) are kept. All is computed in f32 on the CPU.
"""
import json, math, os, sys
import numpy as np
import torch
from safetensors.torch import load_file, save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vision")
torch.set_grad_enabled(False)


def noise(name, shape):
    """Numbers from -1 to 1, evenly spread, the same for the same name."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 & 0xFFFFFFFF
    h = (np.arange(math.prod(shape), dtype=np.uint64) + seed) & 0xFFFFFFFF
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        h = ((h ^ (h >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    return torch.from_numpy(((h >> np.uint64(8)).astype(np.float32) / np.float32(2**23) - np.float32(1)).reshape(shape))


def weight(name, shape):
    """A weight: of a size that keeps activations about as large as they are; scales near 1, shifts small."""
    values = noise(name, shape)
    if len(shape) >= 2:
        return values * np.float32(math.sqrt(6 / (math.prod(shape) / shape[0])))
    if name.endswith(("weight", "running_var", "gamma", "lambda1")):
        return values * 0.25 + 1
    return values * 0.1


def thin(t, keep=1500):
    t = t.detach().float().flatten()
    stride = max(1, -(-t.numel() // keep)) | 1
    return t[::stride].clone().contiguous()


def fill(model):
    """Fills a model's weights and returns their shapes."""
    state = {n: t for n, t in model.state_dict().items() if t.is_floating_point()}
    for n, t in state.items():
        t.copy_(weight(n, list(t.shape)) if t.dim() else torch.tensor(0.5))
    model.eval()
    return {n: list(t.shape) for n, t in state.items()}


def keep(kind, arrays, shapes=None):
    """Adds arrays and shapes of a kind to the files, in place of its old ones."""
    for path, new, load, save in [
        (os.path.join(HERE, "vision.safetensors"), arrays, load_file, save_file),
        (os.path.join(HERE, "shapes.json"), shapes or {}, lambda p: json.load(open(p)), lambda d, p: open(p, "w").write(json.dumps(d, separators=(",", ":"), sort_keys=True) + "\n")),
    ]:
        old = load(path) if os.path.exists(path) else {}
        old = {k: v for k, v in old.items() if not k.startswith(kind + "/")}
        old.update({f"{kind}/{k}": v for k, v in new.items()})
        save(old, path)
    print(kind, len(arrays), "arrays,", sum(v.numel() for v in arrays.values()) * 4 // 1024, "kB")


def record_torch_files():
    """Small files as torch saves them."""
    plain = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    state = {"plain": plain, "inner": {"turned": plain.T, "view": torch.arange(8, dtype=torch.bfloat16)[2:4] * 0 + torch.tensor([0.5, 1.5], dtype=torch.bfloat16)}, "counted": torch.tensor(7), "note": "a text", "list": [1.5, None]}
    for name, zipped in [("archive.pth", True), ("before_1_6.pth", False)]:
        torch.save({"params_ema": state, "epoch": 3}, os.path.join(HERE, name), _use_new_zipfile_serialization=zipped)
    # A whole upscaler as it is published: Real-ESRGAN Compact, twice as large, with one layer.
    compact = {"body.0.weight": [8, 3, 3, 3], "body.0.bias": [8], "body.1.weight": [8], "body.2.weight": [8, 8, 3, 3], "body.2.bias": [8], "body.3.weight": [8], "body.4.weight": [12, 8, 3, 3], "body.4.bias": [12]}
    torch.save({"params": {n: torch.as_tensor(weight(n, s)).half() * 0.1 for n, s in compact.items()}}, os.path.join(HERE, "compact.pth"))
    class Wrapper(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1))
            self.model[0].bias.copy_(torch.tensor([0.25, -2.0]))
        def forward(self, x): return self.model(x)
    torch.jit.trace(Wrapper().eval(), torch.rand(1, 1, 4, 4)).save(os.path.join(HERE, "script.pt"))


def record_upscalers():
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact
    from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet
    from invokeai.backend.image_util.basicsr.rrdbnet_arch import RRDBNet as NewRRDBNet
    from spandrel import ModelLoader
    from spandrel.__helpers.canonicalize import canonicalize_state_dict
    arrays, shapes = {}, {}

    def one(name, shape, size, rename=lambda n: n):
        """Runs spandrel on weights of these names and shapes."""
        state = {n: weight(n, s) for n, s in shape.items()}
        found = ModelLoader().load_from_state_dict(dict(state)).eval()
        h, w = size
        x = noise("picture", [1, found.input_channels, h, w]) * 0.5 + 0.5
        y = found.model(x)
        arrays[name] = thin(y); shapes[name] = shape
        if h % 4 or w % 4: arrays[name + ".run"] = thin(found(x))
        print(name, found.architecture.id, found.scale, list(y.shape), float(y.abs().max()))

    def shape_of(model): return {n: list(t.shape) for n, t in model.state_dict().items()}

    one("compact_x4", shape_of(SRVGGNetCompact(num_feat=24, num_conv=3, upscale=4)), (20, 24))
    one("compact_x1", shape_of(SRVGGNetCompact(num_feat=16, num_conv=2, upscale=1)), (20, 24))
    for name, arguments in [("x4", dict(scale=4)), ("x2", dict(scale=2)), ("x1", dict(scale=1)), ("plus", dict(scale=2, plus=True))]:
        one(f"rrdb_{name}", shape_of(RRDBNet(num_filters=32, num_blocks=2, **arguments)), (20, 24))
    for name, scale in [("x4", 4), ("x2", 2), ("x1", 1)]:
        one(f"real_{name}", shape_of(NewRRDBNet(3, 3, scale=scale, num_feat=32, num_block=2)), (20, 24) if scale == 4 else (22, 27))
    trunk = {n.replace("conv_body", "trunk_conv").replace("body.", "RRDB_trunk.").replace("rdb", "RDB").replace("conv_up", "upconv").replace("conv_hr", "HRconv"): s
             for n, s in shape_of(NewRRDBNet(3, 3, scale=4, num_feat=32, num_block=2)).items()}
    one("trunk_x4", trunk, (20, 24))
    from spandrel.architectures.SPAN.__arch.span import SPAN
    one("span", shape_of(SPAN(num_in_ch=3, num_out_ch=3, feature_channels=12, upscale=2)), (20, 24))
    one("span_plain", shape_of(SPAN(num_in_ch=3, num_out_ch=3, feature_channels=12, upscale=2, norm=False)), (20, 24))
    from spandrel.architectures.PLKSR.__arch.PLKSR import PLKSR
    from spandrel.architectures.PLKSR.__arch.RealPLKSR import RealPLKSR
    one("plksr", shape_of(PLKSR(dim=16, n_blocks=2, upscaling_factor=2, kernel_size=9, split_ratio=0.25)), (20, 24))
    one("plksr_real", shape_of(RealPLKSR(dim=16, n_blocks=2, upscaling_factor=3, kernel_size=9)), (20, 24))
    one("plksr_sampled", shape_of(RealPLKSR(dim=16, n_blocks=2, upscaling_factor=2, kernel_size=9, dysample=True, layer_norm=True, use_ea=False)), (20, 24))
    from spandrel.architectures.MoSR.__arch.mosr_arch import MoSR
    for name, more in [("ps", dict(upscale=3)), ("gps", dict(upscale=2, upsampler="gps", conv_ratio=0.5)), ("dys", dict(upscale=2, upsampler="dys", expansion_ratio=1, kernel_size=5))]:
        one(f"mosr_{name}", shape_of(MoSR(n_block=2, dim=16, **more)), (20, 24))
    from spandrel.architectures.RealCUGAN.__arch import upcunet_v3 as cugan
    for name, net, size in [("x2", cugan.UpCunet2x(), (35, 40)), ("x3_pro", cugan.UpCunet3x(pro=True), (35, 42)), ("x4", cugan.UpCunet4x(), (33, 36)), ("fast", cugan.UpCunet2x_fast(), (44, 40))]:
        one(f"cugan_{name}", shape_of(net), size)
    from spandrel.architectures.SCUNet.__arch.SCUNet import SCUNet
    one("scunet", shape_of(SCUNet(dim=64, config=[2, 1, 1, 2, 1, 1, 2])), (44, 60))
    keep("upscalers", arrays, shapes)


def fill_and_run(arrays, shapes, name, model, *inputs, pick=lambda y: y):
    shapes[name] = fill(model)
    y = pick(model(*inputs))
    arrays[name] = thin(y)
    print(name, list(y.shape), float(y.min()), float(y.max()))


def picture(h, w, channels=3): return noise("picture", [1, channels, h, w]) * 0.5 + 0.5


def record_swin():
    from spandrel.architectures.SwinIR.__arch.SwinIR import SwinIR
    from spandrel import ModelLoader
    arrays, shapes = {}, {}
    common = dict(img_size=32, embed_dim=24, depths=[2, 2], num_heads=[3, 2], window_size=8, mlp_ratio=2)
    for name, more in [("shuffle", dict(upsampler="pixelshuffle", upscale=2)), ("direct", dict(upsampler="pixelshuffledirect", upscale=3)), ("nearest", dict(upsampler="nearest+conv", upscale=4, resi_connection="3conv")), ("jpeg", dict(upsampler="", upscale=1, window_size=7, img_range=255.0, img_size=28))]:
        state = SwinIR(**{**common, **more}).state_dict()
        shape = {n: list(t.shape) for n, t in state.items() if t.is_floating_point() and not n.endswith("attn_mask")}
        for n, s in shape.items(): state[n] = weight(n, s)
        model = ModelLoader().load_from_state_dict(state)
        arrays[name] = thin(model.model.eval()(picture(26, 37))); shapes[name] = shape
        print(name, model.architecture.id, model.scale)
    from spandrel.architectures.HAT.__arch.HAT import HAT
    state = HAT(img_size=32, embed_dim=24, depths=[2, 1], num_heads=[3, 2], window_size=8, mlp_ratio=2, compress_ratio=3, squeeze_factor=6, upscale=2).state_dict()
    shape = {n: list(t.shape) for n, t in state.items() if t.is_floating_point()}
    for n, s in shape.items(): state[n] = weight(n, s)
    model = ModelLoader().load_from_state_dict(state)
    arrays["hat"] = thin(model.model.eval()(picture(26, 37))); shapes["hat"] = shape
    print("hat", model.architecture.id, model.scale)
    from spandrel.architectures.DAT.__arch.DAT import DAT
    for name, more in [("dat", dict(upscale=2, split_size=[4, 8])), ("dat_light", dict(upscale=3, split_size=[8, 8], upsampler="pixelshuffledirect", resi_connection="3conv", depth=[3, 2]))]:
        state = DAT(**{**dict(img_size=32, embed_dim=32, depth=[4, 5], num_heads=[4, 2], expansion_factor=2), **more}).state_dict()
        # Distances are no weights: they stay what they are, and the test makes them anew.
        shape = {n: list(t.shape) for n, t in state.items() if t.is_floating_point() and "attn_mask" not in n}
        for n, s in shape.items():
            if not n.endswith("rpe_biases"): state[n] = weight(n, s)
        model = ModelLoader().load_from_state_dict(state)
        arrays[name] = thin(model.model.eval()(picture(26, 37))); shapes[name] = shape
        print(name, model.architecture.id, model.scale)
    from spandrel.architectures.Swin2SR.__arch.Swin2SR import Swin2SR
    from spandrel.architectures.OmniSR.__arch.OmniSR import OmniSR
    from spandrel.architectures.RGT.__arch.rgt import RGT
    from spandrel.architectures.DRCT.__arch.drct_arch import DRCT
    from spandrel.architectures.ATD.__arch.atd_arch import ATD
    # ATD lets equal ones come in any order; here they keep the one they had.
    sort = torch.sort
    torch.sort = lambda x, dim, stable: sort(x, dim=dim, stable=True)
    atd = dict(embed_dim=24, depths=[3, 2], num_heads=[3, 2], num_tokens=16, window_size=7, upscale=2, upsampler="pixelshuffle")
    for name, net in [
        ("omni", OmniSR(num_feat=16, res_num=2, up_scale=2)), ("omni_plain", OmniSR(num_feat=24, block_num=2, pe=False, bias=False, up_scale=3)), ("omni_odd", OmniSR(num_feat=16, window_size=5, up_scale=1)),
        *[(f"swin2_{name}", Swin2SR(**{**common, **more})) for name, more in [("shuffle", dict(upsampler="pixelshuffle", upscale=2)), ("aux", dict(upsampler="pixelshuffle_aux", upscale=4, qkv_bias=False, resi_connection="3conv")), ("jpeg", dict(upsampler="", upscale=1, window_size=7, img_size=28))]],
        ("rgt", RGT(embed_dim=32, depth=[4, 5], num_heads=[4, 2], mlp_ratio=2, split_size=[4, 8], upscale=2)), ("rgt_odd", RGT(embed_dim=32, depth=[3], num_heads=[2], mlp_ratio=2, split_size=[8, 8], qkv_bias=False, c_ratio=0.75, resi_connection="3conv", upscale=3)),
        ("drct", DRCT(embed_dim=24, depths=[6, 6], num_heads=[3, 2], gc=8, window_size=8, mlp_ratio=2, upscale=2, upsampler="pixelshuffle")), ("drct_identity", DRCT(embed_dim=24, depths=[6], num_heads=[2], gc=12, window_size=16, qkv_bias=False, patch_norm=False, resi_connection="identity", upscale=4, upsampler="pixelshuffle")),
        ("atd", ATD(**atd)), ("atd_light", ATD(**{**atd, "embed_dim": 48, "window_size": 8, "upsampler": "pixelshuffledirect", "upscale": 3})), ("atd_plain", ATD(**{**atd, "upsampler": "", "upscale": 1, "norm": False, "qkv_bias": False, "resi_connection": "3conv"})),
    ]:
        state = net.state_dict()
        shape = {n: list(t.shape) for n, t in state.items() if t.is_floating_point() and "attn_mask" not in n}
        for n, s in shape.items():
            if not n.endswith("rpe_biases"): state[n] = weight(n, s)
        model = ModelLoader().load_from_state_dict(state)
        # DRCT does not fill up its last windows by itself.
        side = net.window_size if name.startswith("drct") else 1
        more = (0, -37 % side, 0, -26 % side)
        y = model.model.eval()(torch.nn.functional.pad(picture(26, 37), more, "reflect"))
        arrays[name] = thin(y[..., : 26 * model.scale, : 37 * model.scale]); shapes[name] = shape
        print(name, model.architecture.id, model.scale, float(y.abs().max()), model.model.hyperparameters)
    torch.sort = sort
    keep("swin", arrays, shapes)


def record_normals():
    import types
    from invokeai.backend.image_util.normal_bae.nets.NNET import NNET
    import torchvision.transforms as transforms
    arrays, shapes = {}, {}
    model = NNET(types.SimpleNamespace(mode="client", architecture="BN", pretrained="scannet", sampling_ratio=0.4, importance_ratio=0.7))
    norm = transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    shapes["bae"] = fill(model)
    arrays["bae"] = thin(model(norm(picture(40, 72)))[0][-1][:, :3])
    keep("normals", arrays, shapes)


def record_segment():
    from transformers import SamConfig, SamModel
    arrays, shapes = {}, {}
    config = SamConfig(vision_config=dict(hidden_size=24, num_hidden_layers=3, num_attention_heads=2, image_size=64, patch_size=8, window_size=3, global_attn_indexes=[1], mlp_dim=32, output_channels=32, num_pos_feats=16),
                       prompt_encoder_config=dict(hidden_size=32, image_size=64, patch_size=8, mask_input_channels=4),
                       mask_decoder_config=dict(hidden_size=32, mlp_dim=40, iou_head_hidden_dim=16))
    model = SamModel(config)
    def same_waves(model):  # the prompts' waves are the picture's
        name = "shared_image_embedding.positional_embedding"
        waves = weight(name, list(model.shared_image_embedding.positional_embedding.shape))
        for part in (model.shared_image_embedding, model.prompt_encoder.shared_embedding): part.positional_embedding.copy_(waves)
    shapes["sam"] = fill(model)
    same_waves(model)
    mean, std = torch.tensor([123.675, 116.28, 103.53]).reshape(1, 3, 1, 1), torch.tensor([58.395, 57.12, 57.375]).reshape(1, 3, 1, 1)
    x = torch.zeros(1, 3, 64, 64); x[:, :, :48] = (picture(48, 64) * 255 - mean) / std
    points = torch.tensor([[[[20.0, 11.0], [40.5, 30.0], [3.0, 4.0]]]]); labels = torch.tensor([[[1, 0, -1]]])
    boxes = torch.tensor([[[5.0, 6.0, 50.0, 33.0]]])
    arrays["points"] = thin(model(x, input_points=points, input_labels=labels).pred_masks[0, 0])
    arrays["box"] = thin(model(x, input_boxes=boxes).pred_masks[0, 0])
    arrays["both"] = thin(model(x, input_points=points, input_labels=labels, input_boxes=boxes).pred_masks[0, 0])
    from transformers import Sam2Config, Sam2Model
    backbone = dict(hidden_size=8, blocks_per_stage=[1, 2, 2, 1], embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 2, 4, 8], window_size_per_stage=[4, 2, 6, 3], global_attention_blocks=[4], image_size=[128, 128], window_positional_embedding_background_size=[5, 5])
    config = Sam2Config(vision_config=dict(backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]], fpn_hidden_size=32),
                        prompt_encoder_config=dict(hidden_size=32, image_size=128, patch_size=16, mask_input_channels=4), mask_decoder_config=dict(hidden_size=32, mlp_dim=40, iou_head_hidden_dim=16))
    model = Sam2Model(config)
    shapes["sam2"] = fill(model)
    same_waves(model)
    x = (picture(128, 128) * 255 - mean) / std
    arrays["second_points"] = thin(model(x, input_points=points, input_labels=labels).pred_masks[0, 0])
    arrays["second_both"] = thin(model(x, input_points=points, input_labels=labels, input_boxes=boxes).pred_masks[0, 0])
    keep("segment", arrays, shapes)


def record_lama():
    from spandrel.architectures.LaMa.__arch import LaMa as arch
    arrays, shapes = {}, {}
    generator = arch.FFCResNetGenerator
    class Small(torch.nn.Module):  # as spandrel's, which has 18 blocks of 512 channels
        def __init__(self):
            super().__init__()
            self.model = generator(4, 3, ngf=16, n_blocks=2)
        forward = arch.LaMa.forward
    hole = torch.zeros(1, 1, 48, 40); hole[:, :, 10:30, 8:33] = 1
    fill_and_run(arrays, shapes, "small", Small(), picture(48, 40), hole)
    keep("lama", arrays, shapes)


def record_edges():
    from invokeai.backend.image_util.hed import ControlNetHED_Apache2
    from invokeai.backend.image_util.lineart import Generator
    from invokeai.backend.image_util.lineart_anime import UnetGenerator
    from invokeai.backend.image_util.pidi.model import PiDiNet, config_model
    import cv2, functools
    arrays, shapes = {}, {}
    class Hed(ControlNetHED_Apache2):
        def __call__(self, x):
            h, w = x.shape[2:]
            return torch.from_numpy(np.mean([cv2.resize(e[0, 0].numpy(), (w, h), interpolation=cv2.INTER_LINEAR) for e in super().__call__(x)], axis=0))
    fill_and_run(arrays, shapes, "hed", Hed(), picture(36, 50) * 255)
    fill_and_run(arrays, shapes, "lineart", Generator(3, 1, 3), picture(24, 32))
    norm = functools.partial(torch.nn.InstanceNorm2d, affine=False, track_running_stats=False)
    fill_and_run(arrays, shapes, "anime", UnetGenerator(3, 1, 6, 8, norm_layer=norm), picture(128, 64) * 2 - 1)
    fill_and_run(arrays, shapes, "pidi", PiDiNet(12, config_model("carv4"), dil=8, sa=True), picture(36, 50), pick=lambda y: y[-1])
    keep("edges", arrays, shapes)


def record_lines():
    from invokeai.backend.image_util.mlsd.models.mbv2_mlsd_large import MobileV2_MLSD_Large
    arrays, shapes = {}, {}
    fill_and_run(arrays, shapes, "mlsd", MobileV2_MLSD_Large(), picture(64, 128, 4) * 2 - 1)
    keep("lines", arrays, shapes)


def record_depth():
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation
    arrays, shapes = {}, {}
    backbone = dict(model_type="dinov2", hidden_size=24, num_hidden_layers=4, num_attention_heads=3, image_size=42, patch_size=14, out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False)
    config = DepthAnythingConfig(backbone_config=backbone, reassemble_hidden_size=24, neck_hidden_sizes=[8, 12, 16, 16], fusion_hidden_size=8, head_hidden_size=6)
    fill_and_run(arrays, shapes, "depth", DepthAnythingForDepthEstimation(config), picture(42, 56) * 2 - 1, pick=lambda y: y.predicted_depth)
    fill_and_run(arrays, shapes, "depth_square", DepthAnythingForDepthEstimation(config), picture(42, 42) * 2 - 1, pick=lambda y: y.predicted_depth)
    keep("depth", arrays, shapes)


def record_cv():
    """OpenCV's filters, as bytes."""
    import cv2
    from invokeai.backend.image_util.util import nms
    arrays = {}
    image = (noise("picture", [40, 56]).numpy() * 127.5 + 127.5).astype(np.uint8)
    smooth = cv2.GaussianBlur(image, (0, 0), 1.5)
    arrays["smooth"] = torch.from_numpy(smooth.astype(np.float32))
    def scribble(edges):
        edges = cv2.GaussianBlur(nms(edges, 127, 3.0), (0, 0), 3.0)
        edges[edges > 4] = 255
        edges[edges < 255] = 0
        return edges
    lines = np.zeros((40, 56), np.uint8)
    cv2.circle(lines, (26, 20), 12, 255, 3); cv2.line(lines, (2, 3), (50, 33), 255, 2)
    arrays["scribble_from"] = torch.from_numpy(lines.astype(np.float32))
    arrays["scribble"] = torch.from_numpy(scribble(lines).astype(np.float32))
    arrays["blur"] = torch.from_numpy(cv2.GaussianBlur(image, (0, 0), 3.0).astype(np.float32))
    arrays["linear"] = torch.from_numpy(cv2.resize(image, (75, 61), interpolation=cv2.INTER_LINEAR).astype(np.float32))
    segments = [(0, 0, 55, 39), (55, 0, 0, 20), (10, 50, 30, -8), (-20, 5, 90, 17), (7, 7, 7, 7), (3, 39, 3, 0), (40, 2, 12, 2), (100, 100, 120, 90), (54, 10, 60, 44), (-5, -5, 20, 60)]
    canvas = np.zeros((40, 56), np.uint8)
    for x0, y0, x1, y1 in segments: cv2.line(canvas, (x0, y0), (x1, y1), 255, 1)
    arrays["segments"] = torch.tensor(segments, dtype=torch.float32); arrays["lines"] = torch.from_numpy(canvas.astype(np.float32))
    keep("cv", arrays)


if __name__ == "__main__":
    os.makedirs(HERE, exist_ok=True)
    parts = sys.argv[1:] or [n[len("record_"):] for n in dir() if n.startswith("record_")]
    for part in parts: globals()["record_" + part]()
