"""Records what InvokeAI's pose detector (DWPose) computes, for `vision/pose/tests.rs` and `nodes/image/pose.rs`: vision/pose/pose.safetensors, and,
as ONNX files beside it, small networks of the two kinds that it runs and one that sees nobody.

    python record_pose.py     needs invokeai, onnx, onnxruntime, torch
"""
import os, warnings
import cv2
import onnx
import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from invokeai.backend.image_util.dw_openpose import DWOpenposeDetector, onnxdet, onnxpose
from record_vision import HERE, noise, thin

warnings.filterwarnings("ignore")
OUT = os.path.join(HERE, "pose")
os.makedirs(OUT, exist_ok=True)
arrays = {}


def numbers(name, *shape):
    return noise(name, list(shape)).numpy()


def picture(name, width, height):
    """Broad blots: what a picture without sharp edges looks like. The tests have it as the PNG that is kept."""
    rough = (numbers(name, height // 8 + 2, width // 8 + 2, 3) * 127.5 + 127.5).astype(np.uint8)
    return cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)


def png(image):
    ok, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return torch.from_numpy(data.flatten().copy())


# ---------------------------------------------------------------------------------------------------------------------------------- YOLOX, small

class Conv(nn.Module):
    def __init__(self, i, o, k=1, s=1, groups=1, pad=None):
        super().__init__()
        self.conv = nn.Conv2d(i, o, k, s, k // 2 if pad is None else pad, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(o, eps=1e-3)
    def forward(self, x):
        return F.silu(self.norm(self.conv(x)))


class Csp(nn.Module):
    def __init__(self, i, o, shortcut=True):
        super().__init__()
        h = max(o // 2, 1)
        self.a, self.b, self.c = Conv(i, h), Conv(i, h), Conv(2 * h, o)
        self.one, self.two, self.shortcut = Conv(h, h), Conv(h, h, 3), shortcut
    def forward(self, x):
        y = self.a(x)
        z = self.two(self.one(y))
        return self.c(torch.cat([z + y if self.shortcut else z, self.b(x)], 1))


class Spp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a, self.b = Conv(c, c // 2), Conv(c * 2, c)
    def forward(self, x):
        x = self.a(x)
        return self.b(torch.cat([x] + [F.max_pool2d(x, k, 1, k // 2) for k in (5, 9, 13)], 1))


class Head(nn.Module):
    def __init__(self, i, c, classes):
        super().__init__()
        self.stem = Conv(i, c)
        self.cls_convs, self.reg_convs = nn.Sequential(Conv(c, c, 3), Conv(c, c, 3)), nn.Sequential(Conv(c, c, 3), Conv(c, c, 3))
        self.cls, self.reg, self.obj = nn.Conv2d(c, classes, 1), nn.Conv2d(c, 4, 1), nn.Conv2d(c, 1, 1)
    def forward(self, x):
        x = self.stem(x)
        r = self.reg_convs(x)
        return torch.cat([self.reg(r), self.obj(r).sigmoid(), self.cls(self.cls_convs(x)).sigmoid()], 1)


class Yolox(nn.Module):
    """What YOLOX is: Focus, a CSP trunk with pooling over places, a pyramid there and back, and a head for each of three sizes."""
    def __init__(self, c=2, classes=80):
        super().__init__()
        self.stem = Conv(12, c, 3)
        self.dark2 = nn.Sequential(Conv(c, 2 * c, 3, 2), Csp(2 * c, 2 * c))
        self.dark3 = nn.Sequential(Conv(2 * c, 4 * c, 3, 2), Csp(4 * c, 4 * c))
        self.dark4 = nn.Sequential(Conv(4 * c, 8 * c, 3, 2), Csp(8 * c, 8 * c))
        self.dark5 = nn.Sequential(Conv(8 * c, 16 * c, 3, 2), Spp(16 * c), Csp(16 * c, 16 * c, False))
        self.lateral, self.reduce = Conv(16 * c, 8 * c), Conv(8 * c, 4 * c)
        self.p4, self.p3 = Csp(16 * c, 8 * c, False), Csp(8 * c, 4 * c, False)
        self.down3, self.n3 = Conv(4 * c, 4 * c, 3, 2), Csp(8 * c, 8 * c, False)
        self.down4, self.n4 = Conv(8 * c, 8 * c, 3, 2), Csp(16 * c, 16 * c, False)
        self.heads = nn.ModuleList([Head(n * c, 4 * c, classes) for n in (4, 8, 16)])
    def forward(self, x):
        x = torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)
        d3 = self.dark3(self.dark2(self.stem(x)))
        d4 = self.dark4(d3)
        l5 = self.lateral(self.dark5(d4))
        f4 = self.p4(torch.cat([F.interpolate(l5, scale_factor=2, mode="nearest"), d4], 1))
        l4 = self.reduce(f4)
        o3 = self.p3(torch.cat([F.interpolate(l4, scale_factor=2, mode="nearest"), d3], 1))
        o4 = self.n3(torch.cat([self.down3(o3), l4], 1))
        o5 = self.n4(torch.cat([self.down4(o4), l5], 1))
        return torch.cat([h(o).flatten(2) for h, o in zip(self.heads, (o3, o4, o5))], 2).permute(0, 2, 1)


# -------------------------------------------------------------------------------------------------------------------------------- RTMPose, small

class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.fc = nn.Conv2d(c, c, 1)
    def forward(self, x):
        return x * F.hardsigmoid(self.fc(F.adaptive_avg_pool2d(x, 1)))


class NextBlock(nn.Module):
    def __init__(self, c, shortcut):
        super().__init__()
        self.conv1, self.depth, self.point, self.shortcut = Conv(c, c, 3), Conv(c, c, 5, groups=c), Conv(c, c), shortcut
    def forward(self, x):
        y = self.point(self.depth(self.conv1(x)))
        return y + x if self.shortcut else y


class NextStage(nn.Module):
    def __init__(self, c, shortcut=True):
        super().__init__()
        h = max(c // 2, 1)
        self.main, self.short, self.final, self.block, self.attention = Conv(c, h), Conv(c, h), Conv(2 * h, c), NextBlock(h, shortcut), Attention(2 * h)
    def forward(self, x):
        return self.final(self.attention(torch.cat([self.block(self.main(x)), self.short(x)], 1)))


class ScaleNorm(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.scale, self.g = n ** -0.5, nn.Parameter(torch.ones(1))
    def forward(self, x):
        return x / (torch.norm(x, dim=2, keepdim=True) * self.scale).clamp(min=1e-5) * self.g


class Gau(nn.Module):
    """A gated attention unit, with a square of what is positive in place of a softmax."""
    def __init__(self, n, s=8):
        super().__init__()
        self.e, self.s, self.ln = 2 * n, s, ScaleNorm(n)
        self.uv, self.o = nn.Linear(n, 2 * self.e + s, bias=False), nn.Linear(self.e, n, bias=False)
        self.gamma, self.beta, self.res = nn.Parameter(torch.randn(2, s)), nn.Parameter(torch.randn(2, s) * 0.1), nn.Parameter(torch.ones(n))
    def forward(self, x):
        u, v, base = torch.split(F.silu(self.uv(self.ln(x))), [self.e, self.e, self.s], dim=2)
        base = base.unsqueeze(2) * self.gamma[None, None, :] + self.beta
        q, k = torch.unbind(base, dim=2)
        kernel = torch.square(F.relu(torch.bmm(q, k.permute(0, 2, 1)) / self.s ** 0.5))
        return self.res * x + self.o(u * torch.bmm(kernel, v))


class RtmPose(nn.Module):
    """What RTMPose is: a CSPNeXt trunk, a broad convolution to one map a place, and a gated attention unit between the places before each axis is told."""
    def __init__(self, size=(288, 384), places=133, c=(2, 4, 4, 8, 8), n=16):
        super().__init__()
        self.stem = nn.Sequential(Conv(3, c[0], 3, 2), Conv(c[0], c[0], 3), Conv(c[0], c[0], 3))
        self.stages = nn.Sequential(*[nn.Sequential(*([Conv(i, o, 3, 2)] + ([Spp(o)] if k == 3 else []) + [NextStage(o, k < 3)])) for k, (i, o) in enumerate(zip(c, c[1:]))])
        self.final = nn.Conv2d(c[-1], places, 7, padding=3)
        pixels = size[0] // 32 * (size[1] // 32)
        self.mlp, self.gau = nn.Sequential(ScaleNorm(pixels), nn.Linear(pixels, n, bias=False)), Gau(n)
        self.x, self.y = nn.Linear(n, size[0] * 2, bias=False), nn.Linear(n, size[1] * 2, bias=False)
    def forward(self, x):
        y = self.gau(self.mlp(self.final(self.stages(self.stem(x))).flatten(2)))
        return self.x(y), self.y(y)


def randomise(model, seed):
    torch.manual_seed(seed)
    for name, m in model.named_modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            m.weight.normal_(0, (2.2 / m.weight[0].numel()) ** 0.5)
            if m.bias is not None: m.bias.normal_(0, 0.1)
        if isinstance(m, nn.BatchNorm2d):
            m.weight.uniform_(0.8, 1.2); m.bias.normal_(0, 0.1); m.running_mean.normal_(0, 0.1); m.running_var.uniform_(0.5, 1.5)
    return model.eval()


def export(model, shape, name, outputs):
    path = os.path.join(OUT, name)
    torch.onnx.export(model, (torch.zeros(shape),), path, opset_version=11, input_names=["input"], output_names=outputs, dynamo=False, dynamic_axes=None)
    print(name, os.path.getsize(path) // 1024, "kB")
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


image = picture("people", 200, 144)
arrays["picture"] = png(image)
yolox, pose = Yolox(), RtmPose()
square, ratio = onnxdet.preprocess(image, (640, 640))
randomise(yolox, 1)
# Guesses as far apart as a trained network's: a few clear ones, of sizes around some cells.
given = {}
for head in yolox.heads:
    for m in (head.obj, head.reg, head.cls): m.register_forward_hook(lambda m, x, y: given.__setitem__(m, y))
yolox(torch.from_numpy(square[None]))
for head in yolox.heads:
    for m, spread, at in ((head.obj, 1.5, -4.5), (head.reg, 0.4, 0.0), (head.cls, 1.0, 0.0)):
        y = given[m]
        factor = spread / y.std(dim=(0, 2, 3)).clamp(min=1e-6)
        m.weight *= factor[:, None, None, None]
        m.bias.copy_(at + factor * (m.bias - y.mean(dim=(0, 2, 3))))
    head.reg.bias[2:] += 1.8; head.cls.bias[0] += 3
det = export(yolox, (1, 3, 640, 640), "people.onnx", ["output"])
boxes = onnxdet.inference_detector(det, image)
print("boxes", boxes.shape)
randomise(pose, 2)
(small, _, _) = onnxpose.preprocess(image, boxes[:1], (288, 384))
x, y = pose(torch.from_numpy(small[0].transpose(2, 0, 1)[None]).float())
scale = 0.3 / torch.minimum(x.amax(2), y.amax(2)).quantile(0.2)
pose.x.weight *= scale; pose.y.weight *= scale
net = export(pose, (1, 3, 384, 288), "places.onnx", ["simcc_x", "simcc_y"])

# The networks' outputs.
arrays["people_out"] = thin(torch.from_numpy(det.run(None, {"input": square[None]})[0]))
sx, sy = net.run(None, {"input": np.float32(small[0].transpose(2, 0, 1)[None])})
arrays["places_x"], arrays["places_y"] = thin(torch.from_numpy(sx)), thin(torch.from_numpy(sy))
arrays["boxes"] = torch.from_numpy(np.ascontiguousarray(boxes))

# What goes in.
arrays["letterbox"], arrays["ratio"] = thin(torch.from_numpy(square), 4000), torch.tensor([ratio], dtype=torch.float64)
views = np.array([[0, 0, 200, 144], [20.5, -7.25, 90, 130.75], [150, 100, 260, 120], [60, 60, 64, 70]], dtype=np.float64)
imgs, centers, scales = onnxpose.preprocess(image, views, (288, 384))
arrays["views"] = torch.from_numpy(views)
arrays["parts"] = torch.stack([thin(torch.from_numpy(i.transpose(2, 0, 1)[None].astype(np.float32)), 2500) for i in imgs])

# What comes out, of numbers from names.
raw = numbers("guesses", 1, 8400, 85) * 0.5 + 0.5
raw[..., :4] = raw[..., :4] * 3 - 1
raw[..., 4:] = raw[..., 4:] ** 2
class Answer:
    def get_inputs(self): return [type("Input", (), {"name": "input", "shape": [1, 3, 384, 288]})]
    def get_outputs(self): return [type("Output", (), {"name": "x"}), type("Output", (), {"name": "y"})]
    def __init__(self, outputs): self.outputs = outputs
    def run(self, names, feed): return [o.copy() for o in self.outputs]
found = onnxdet.inference_detector(Answer([raw]), image)
arrays["guessed"] = torch.from_numpy(np.ascontiguousarray(found[:300]))
print("guessed", found.shape)
simcc = [numbers("simcc_x", 1, 133, 576) - np.float32(0.65), numbers("simcc_y", 1, 133, 768) - np.float32(0.65)]
simcc = [s * numbers(n, 1, 133, 1) for s, n in zip(simcc, ("weight_x", "weight_y"))]
keypoints, scores = DWOpenposeDetector(Answer([raw * 0]), Answer(simcc)).pose_estimation(image)
arrays["ordered"] = torch.from_numpy(np.concatenate([keypoints, scores[..., None]], -1)[0])

# Drawings: people of places from names, some beyond the picture and some not seen.
people = numbers("drawn", 4, 134, 3).astype(np.float64)
people[..., 0] = people[..., 0] * 90 + 80; people[..., 1] = people[..., 1] * 70 + 60; people[..., 2] = people[..., 2] * 0.6 + 0.6
people[3, :, :2] = people[3, :, :2] / 2 ** 9 + 70
# One whose places lie close to each other, as in a true picture.
people[2, :, :2] = np.cumsum(numbers("walk", 134, 2).astype(np.float64) * 7, 0) + [90, 70]
class Known(DWOpenposeDetector):
    def __init__(self): pass
    def pose_estimation(self, image): return people[..., :2].copy(), people[..., 2].copy()
blank = Image.new("RGB", (161, 117))
for name, parts in [("body", (True, False, False)), ("hands", (False, True, False)), ("face", (False, False, True)), ("all", (True, True, True)), ("none", (False, False, False))]:
    drawn = Known().run(blank, draw_body=parts[0], draw_hands=parts[1], draw_face=parts[2])
    arrays["drawn_" + name] = png(np.array(drawn))
shapes = np.zeros((117, 161, 3), np.uint8)
for i, v in enumerate(numbers("shapes", 60, 4)):
    x, y, a, r = int(v[0] * 100 + 80), int(v[1] * 80 + 58), int(v[2] * 400), int(v[3] * 30 + 30)
    color = (i + 1, 255 - i, 2 * i)
    if i % 2: cv2.circle(shapes, (x, y), r // 3, color, thickness=-1)
    else: cv2.fillConvexPoly(shapes, cv2.ellipse2Poly((x, y), (r, 4), a % 360 - 180, 0, 360, 1), color)
arrays["shapes"] = png(shapes)
outline = [cv2.ellipse2Poly((11, -7), (37, 5), a, 0, 360, 1) for a in range(-180, 181, 45)]
arrays["outlines"] = torch.from_numpy(np.concatenate([np.concatenate([[[len(o), 0]], o]) for o in outline]).astype(np.int64))

# A detector that sees nobody.
empty = helper.make_graph(
    [helper.make_node("ConstantOfShape", ["shape"], ["output"])], "nobody", [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 640, 640])],
    [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 8400, 85])], [helper.make_tensor("shape", TensorProto.INT64, [3], [1, 8400, 85])])
onnx.save(helper.make_model(empty, opset_imports=[helper.make_opsetid("", 11)], ir_version=7), os.path.join(OUT, "nobody.onnx"))
nobody = ort.InferenceSession(os.path.join(OUT, "nobody.onnx"), providers=["CPUExecutionProvider"])

# Whole runs through both networks.
for name, parts in [("body", (True, False, False)), ("all", (True, True, True))]:
    arrays["whole_" + name] = png(np.array(DWOpenposeDetector(det, net).run(Image.fromarray(image), draw_body=parts[0], draw_hands=parts[1], draw_face=parts[2])))
wide = picture("nobody", 90, 40)
arrays["picture_of_nobody"], arrays["whole_of_nobody"] = png(wide), png(np.array(DWOpenposeDetector(nobody, net).run(Image.fromarray(wide), draw_body=True, draw_hands=True, draw_face=True)))
save_file(arrays, os.path.join(OUT, "pose.safetensors"))
print(os.path.getsize(os.path.join(OUT, "pose.safetensors")) // 1024, "kB")
