"""Records what onnxruntime computes of small ONNX graphs, for `vision/network/onnx/tests.rs`: one file (vision/network.safetensors) with each graph as
bytes, what is given to it and what it gives.

    python record_network.py     needs onnx, onnxruntime
"""
import os
import numpy as np
import onnx, onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from record_vision import HERE, noise

arrays = {}


def numbers(name, *shape):
    return noise(name, list(shape)).numpy()


def case(name, op, inputs, opset=13, consts=None, outputs=1, more=(), order=None, **attributes):
    """A graph of one operator (and `more` nodes behind it), given `inputs`, with constants after them or in the order of names `order`."""
    consts = consts or {}
    names = [f"x{i}" for i in range(len(inputs))]
    order = order if order is not None else names + list(consts)
    outs = [f"y{i}" for i in range(outputs)]
    nodes = [helper.make_node(op, order, outs, **attributes)] + list(more)
    if more: outs = list(more[-1].output)
    kinds = {np.dtype("float32"): TensorProto.FLOAT, np.dtype("int64"): TensorProto.INT64, np.dtype("bool"): TensorProto.BOOL}
    graph = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info(n, kinds[x.dtype], [None] * x.ndim) for n, x in zip(names, inputs)],
        [helper.make_empty_tensor_value_info(n) for n in outs],
        [c if isinstance(c, TensorProto) else numpy_helper.from_array(c, n) for n, c in consts.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    model = onnx.shape_inference.infer_shapes(model)
    keep(name, model.SerializeToString(), dict(zip(names, inputs)))


def stored(x):
    return torch.from_numpy(np.array(x, np.uint8 if x.dtype == bool else x.dtype, order="C"))


def keep(name, data, feed):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for i, n in enumerate(x.name for x in session.get_inputs()): arrays[f"{name}/in{i}"] = stored(feed[n])
    for i, y in enumerate(session.run(None, feed)): arrays[f"{name}/out{i}"] = stored(y)
    arrays[f"{name}/model"] = torch.from_numpy(np.frombuffer(data, np.uint8).copy())


f32, i64 = np.float32, np.int64
x = numbers("x", 2, 6, 5, 6)
small = numbers("small", 2, 3, 4)
ints = lambda *v: np.array(v, dtype=i64)

# Convolutions and pools.
for name, groups, k, a in [
    ("plain", 1, (3, 3), dict(pads=[1, 1, 1, 1])), ("strided", 1, (3, 3), dict(strides=[2, 2], pads=[1, 0, 2, 1])), ("uneven", 1, (3, 2), dict(strides=[1, 2])),
    ("dilated", 1, (3, 3), dict(dilations=[2, 3], pads=[2, 3, 2, 3])), ("grouped", 2, (3, 3), dict(pads=[1, 1, 1, 1])), ("by_channels", 6, (5, 5), dict(pads=[2, 2, 2, 2])),
    ("by_channels_strided", 6, (3, 3), dict(strides=[2, 2], auto_pad="SAME_UPPER")), ("same_lower", 1, (2, 2), dict(strides=[2, 2], auto_pad="SAME_LOWER")), ("valid", 1, (3, 3), dict(auto_pad="VALID")),
]:
    out = 6 if groups == 6 else 4
    case("conv_" + name, "Conv", [x], consts={"w": numbers("w", out, 6 // groups, *k), "b": numbers("b", out)}, group=groups, kernel_shape=list(k), **a)
case("conv_without_bias", "Conv", [x], consts={"w": numbers("w", 4, 6, 1, 1)})
case("max_pool", "MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
case("max_pool_5", "MaxPool", [x], kernel_shape=[5, 5], pads=[2, 2, 2, 2])
case("max_pool_ceil", "MaxPool", [x], kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)
case("max_pool_dilated", "MaxPool", [x], kernel_shape=[2, 2], dilations=[2, 3])
case("average_pool", "AveragePool", [x], kernel_shape=[3, 3], strides=[2, 1], pads=[1, 1, 1, 0])
case("average_pool_counted", "AveragePool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)
case("global_average_pool", "GlobalAveragePool", [x])
bn = {n: (numbers(n, 6) * 0.3 + (1 if n in ("scale", "var") else 0)).astype(f32) for n in ("scale", "bias", "mean", "var")}
case("batch_normalization", "BatchNormalization", [x], consts=bn, epsilon=1e-3)
case("batch_normalization_of_rows", "BatchNormalization", [numbers("rows", 5, 6)], consts=bn)

# Functions of elements.
for op in ["Relu", "Sigmoid", "Tanh", "Exp", "Neg", "Abs", "Floor", "Ceil", "Erf", "Identity"]: case(op.lower(), op, [x * 3 if op in ("Floor", "Ceil") else x])
for op in ["Sqrt", "Log", "Reciprocal"]: case(op.lower(), op, [np.abs(x) + f32(0.1)])
case("leaky_relu", "LeakyRelu", [x], alpha=0.2)
case("leaky_relu_steep", "LeakyRelu", [x], alpha=1.5)
case("hard_sigmoid", "HardSigmoid", [x * 4], alpha=1 / 6, beta=0.5)
case("prelu", "PRelu", [x], consts={"slope": numbers("slope", 6, 1, 1)})
case("prelu_one", "PRelu", [x], consts={"slope": numbers("slope", 1)})
case("prelu_each", "PRelu", [small], consts={"slope": numbers("slope", 3, 4)})
case("clip", "Clip", [x], consts={"min": f32(-0.5), "max": f32(0.25)})
case("clip_6", "Clip", [x * 9], opset=9, min=0.0, max=6.0)
case("clip_above", "Clip", [x], consts={"max": f32(0.25)}, order=["x0", "", "max"])
case("clip_whole", "Clip", [ints(-3, 2, 9)], consts={"min": np.array(0, i64), "max": np.array(5, i64)})
for op in ["Add", "Sub", "Mul", "Div", "Max", "Min"]:
    case(op.lower(), op, [x, numbers("y", 2, 6, 5, 6) + f32(1.5)])
    case(op.lower() + "_channels", op, [x], consts={"c": numbers("c", 6, 1, 1) + f32(2)})
    case(op.lower() + "_number", op, [small], consts={"c": np.array(0.7, f32)})
case("add_outer", "Add", [numbers("row", 1, 5), numbers("column", 4, 1)])
case("mul_after_conv", "Conv", [x], consts={"w": numbers("w", 4, 6, 3, 3)}, more=(helper.make_node("Sigmoid", ["y0"], ["s"]), helper.make_node("Mul", ["y0", "s"], ["z"])))
case("add_to_conv", "Conv", [x], consts={"w": numbers("w", 4, 6, 3, 3), "c": numbers("c", 1, 4, 1, 1)}, order=["x0", "w"], more=(helper.make_node("Sub", ["c", "y0"], ["z"]),))
case("max_of_three", "Max", [small, -small, small * 2])
case("pow_2", "Pow", [small], consts={"e": np.array(2, f32)})
case("pow", "Pow", [np.abs(small)], consts={"e": np.array(1.7, f32)})
case("pow_each", "Pow", [np.abs(small), numbers("e", 4) + f32(1)])
for op in ["Add", "Sub", "Mul", "Div", "Max", "Min"]: case(op.lower() + "_whole", op, [ints(7, -7, 9), ints(2, 2, -4)])
for op in ["Equal", "Less", "Greater"]: case(op.lower(), op, [ints(1, 2, 3), ints(2, 2, 2)]); case(op.lower() + "_floats", op, [small, numbers("other", 3, 4)])
case("where", "Where", [np.array([[True], [False], [True]]), small, numbers("other", 4)])
case("not", "Not", [np.array([True, False])])
case("cast", "Cast", [small * 5], to=TensorProto.INT64)
case("cast_truth", "Cast", [np.array([0.0, 1.5, -2], f32)], to=TensorProto.BOOL)
case("cast_float", "Cast", [ints(3, -4)], to=TensorProto.FLOAT)

# Shapes.
case("concat", "Concat", [x, numbers("other", 2, 3, 5, 6), x], axis=1)
case("concat_rows", "Concat", [x, x], axis=-2)
case("concat_whole", "Concat", [ints(1, 2), ints(3)], axis=0)
case("reshape", "Reshape", [x], consts={"s": ints(0, -1, 6)})
case("reshape_after_conv", "Conv", [x], consts={"w": numbers("w", 4, 6, 3, 3), "s": ints(2, 4, -1)}, order=["x0", "w"], more=(helper.make_node("Reshape", ["y0", "s"], ["z"]), helper.make_node("Transpose", ["z"], ["t"], perm=[0, 2, 1])))
case("transpose", "Transpose", [x], perm=[0, 3, 1, 2])
case("transpose_all", "Transpose", [small])
case("pad_9", "Pad", [x], opset=9, pads=[0, 0, 1, 2, 0, 0, 3, 0], value=0.5)
case("pad_zeros", "Pad", [x], consts={"p": ints(0, 0, 1, 2, 0, 0, 3, 0)})
case("pad_channels", "Pad", [x], consts={"p": ints(0, 1, 0, -2, 1, 0, 2, 0), "v": np.array(-1.5, f32)})
for mode in ["reflect", "edge"]: case("pad_" + mode, "Pad", [x], consts={"p": ints(0, 0, 1, 2, 0, 0, 3, 4)}, mode=mode)
case("slice_9", "Slice", [x], opset=9, starts=[1, 2], ends=[5, -1], axes=[1, 3])
case("slice_every_second", "Slice", [x], consts={"s": ints(1, 0), "e": ints(2**63 - 1, 2**62), "a": ints(2, 3), "t": ints(2, 2)})
case("slice_back", "Slice", [small], consts={"s": ints(-1), "e": ints(-(2**63)), "a": ints(-1), "t": ints(-2)})
case("slice_first_axes", "Slice", [small], consts={"s": ints(1, 0), "e": ints(9, 2)})
case("split_11", "Split", [small], opset=11, outputs=2, axis=2, split=[1, 3])
case("split", "Split", [small], outputs=2, consts={"s": ints(1, 3)}, axis=-1)
case("split_evenly", "Split", [x], outputs=3, axis=1)
case("flatten", "Flatten", [x], axis=2)
case("flatten_0", "Flatten", [small], axis=0)
case("squeeze_11", "Squeeze", [numbers("x", 1, 3, 1, 2)], opset=11, axes=[2])
case("squeeze", "Squeeze", [numbers("x", 1, 3, 1, 2)], consts={"a": ints(0, -2)})
case("squeeze_all", "Squeeze", [numbers("x", 1, 3, 1, 2)])
case("unsqueeze_11", "Unsqueeze", [small], opset=11, axes=[0, 4])
case("unsqueeze", "Unsqueeze", [small], consts={"a": ints(-1, 1)})
case("shape", "Shape", [x])
case("shape_part", "Shape", [x], opset=15, start=1, end=-1)
case("gather", "Gather", [small], consts={"i": np.array([[0, -1], [2, 1]], i64)}, axis=1)
case("gather_one", "Gather", [ints(5, 6, 7)], consts={"i": np.array(1, i64)})
case("constant_of_shape", "ConstantOfShape", [ints(2, 3)], value=numpy_helper.from_array(np.array([0.25], f32)))
case("constant_of_shape_whole", "ConstantOfShape", [ints(2)], value=numpy_helper.from_array(np.array([7], i64)))
case("expand", "Expand", [numbers("x", 3, 1)], consts={"s": ints(2, 1, 4)})
for name, a, s in [("nearest", dict(coordinate_transformation_mode="asymmetric", nearest_mode="floor"), [1, 1, 2, 2]), ("half_pixel", {}, [1, 1, 1.7, 0.6]), ("ceil", dict(nearest_mode="ceil"), [1, 1, 1.5, 2]), ("prefer_ceil", dict(nearest_mode="round_prefer_ceil", coordinate_transformation_mode="align_corners"), [1, 1, 2, 3]), ("linear", dict(mode="linear"), [1, 1, 2, 3]), ("linear_corners", dict(mode="linear", coordinate_transformation_mode="align_corners"), [1, 1, 2, 3])]:
    case("resize_" + name, "Resize", [x], consts={"s": np.array(s, f32)}, order=["x0", "", "s"], **a)
case("resize_to", "Resize", [x], consts={"s": ints(2, 6, 4, 12)}, order=["x0", "", "", "s"], mode="linear", coordinate_transformation_mode="pytorch_half_pixel")
case("resize_10", "Resize", [x], opset=10, consts={"s": np.array([1, 1, 2, 3], f32)})
case("upsample", "Upsample", [x], opset=9, consts={"s": np.array([1, 1, 2, 2], f32)})

# Products and sums.
case("matmul", "MatMul", [small], consts={"m": numbers("m", 4, 5)})
case("matmul_batches", "MatMul", [numbers("a", 2, 1, 3, 4), numbers("b", 5, 4, 2)])
case("matmul_row", "MatMul", [numbers("a", 4), numbers("b", 4, 2)])
case("matmul_column", "MatMul", [small, numbers("b", 4)])
case("gemm", "Gemm", [numbers("a", 3, 4)], consts={"b": numbers("b", 5, 4), "c": numbers("c", 5)}, transB=1)
case("gemm_scaled", "Gemm", [numbers("a", 4, 3), numbers("b", 4, 5), numbers("c", 3, 1)], transA=1, alpha=0.5, beta=2.0)
case("gemm_alone", "Gemm", [numbers("a", 3, 4)], consts={"b": numbers("b", 4, 5)})
case("softmax", "Softmax", [x])
case("softmax_channels", "Softmax", [x], axis=1)
case("softmax_11", "Softmax", [x], opset=11, axis=2)
for op in ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2"]: case(op.lower(), op, [small], opset=11, axes=[0, -1]); case(op.lower() + "_all", op, [small], opset=11, keepdims=0)
case("reducesum_13", "ReduceSum", [small], consts={"a": ints(1)}, keepdims=0)
case("reducesum_none", "ReduceSum", [small], consts={"a": np.zeros(0, i64)}, noop_with_empty_axes=1)
case("reducemean_pixels", "ReduceMean", [x], axes=[2, 3])
case("reducemean_18", "ReduceMean", [x], opset=18, consts={"a": ints(2, 3)}, keepdims=0)

# Kinds of numbers: as raw bytes and as lists, as constants and as nodes.
values = [0.5, -2.0, 3.25]
for kind in ["FLOAT", "DOUBLE", "FLOAT16"]:
    for raw in [False, True]:
        dtype = helper.tensor_dtype_to_np_dtype(getattr(TensorProto, kind))
        t = helper.make_tensor("c", getattr(TensorProto, kind), [3], np.array(values, dtype).tobytes() if raw else values, raw=raw)
        cast = helper.make_node("Cast", ["c"], ["f"], to=TensorProto.FLOAT)
        graph = helper.make_graph([cast, helper.make_node("Add", ["x", "f"], ["y"])], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])], [helper.make_empty_tensor_value_info("y")], [t])
        keep(f"constants_{kind.lower()}_{raw}".lower(), helper.make_model(onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])).graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7).SerializeToString(), {"x": np.ones(3, f32)})
for kind in ["INT32", "INT64", "UINT8", "INT8", "BOOL"]:
    for raw in [False, True]:
        dtype = helper.tensor_dtype_to_np_dtype(getattr(TensorProto, kind))
        data = np.array([1, 0, 1], dtype)
        t = helper.make_tensor("", getattr(TensorProto, kind), [3], data.tobytes() if raw else data.tolist(), raw=raw)
        graph = helper.make_graph([helper.make_node("Constant", [], ["c"], value=t), helper.make_node("Cast", ["c"], ["f"], to=TensorProto.FLOAT), helper.make_node("Add", ["x", "f"], ["y"])], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])])
        keep(f"constants_{kind.lower()}_{raw}".lower(), helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7).SerializeToString(), {"x": np.ones(3, f32)})

# As torch writes them: sizes taken from the picture, and everything that follows from that.
class Sized(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = torch.nn.BatchNorm2d(4)
        self.linear = torch.nn.Linear(4, 5)
    def forward(self, x):
        y = torch.nn.functional.silu(self.norm(self.conv(x)))
        y = torch.nn.functional.interpolate(y, scale_factor=2, mode="nearest")
        b, c, h, w = y.shape
        y = y.view(b, c, h * w).permute(0, 2, 1)
        ones = torch.ones(1, 1, c).expand(b, h * w, c)
        return torch.softmax(self.linear(y + ones), dim=-1), y.norm(dim=-1, keepdim=True)

import io
torch.manual_seed(1)
for opset in [11, 17]:
    buffer = io.BytesIO()
    torch.onnx.export(Sized().eval(), (torch.zeros(1, 3, 8, 6),), buffer, opset_version=opset, input_names=["x"], dynamic_axes={"x": {0: "b", 2: "h", 3: "w"}}, dynamo=False)
    keep(f"torch_{opset}", buffer.getvalue(), {"x": numbers("x", 2, 3, 6, 10)})

save_file(arrays, os.path.join(HERE, "network.safetensors"))
print(len([n for n in arrays if n.endswith("/model")]), "graphs,", os.path.getsize(os.path.join(HERE, "network.safetensors")) // 1024, "kB")
