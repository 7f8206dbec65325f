"""Records what MediaPipe and InvokeAI make of faces, for `invoke-core/src/vision/face/tests.rs` and `nodes/image/faces/tests.rs`.

    python record_faces.py     needs mediapipe, invokeai, ai-edge-litert (for the layout of TFLite files)

MediaPipe's own models are too large to be kept here. Small ones stand in for them: weights drawn from their names, shapes of inputs and outputs and kinds of
operators as MediaPipe's have, and constants that make them see faces at fixed places. MediaPipe runs them as it runs its own.
"""
import os, re, sys, types
import numpy as np
import flatbuffers
from flatbuffers import flexbuffers
from ai_edge_litert import schema_py_generated as s
from record_vision import noise

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vision", "faces")
MODULES = "mediapipe/modules/"
FILES = {"detector": "face_detection/face_detection_short_range.tflite", "mesh": "face_landmark/face_landmark.tflite", "attention": "face_landmark/face_landmark_with_attention.tflite"}


class Net:
    """A TFLite file in the making; weights are half floats that an operator widens, as in MediaPipe's files."""
    def __init__(self, name, shape):
        self.name, self.tensors, self.buffers, self.ops, self.codes = name, [], [s.BufferT()], [], []
        self.input = self.tensor(shape)

    def tensor(self, shape, data=None, kind=s.TensorType.FLOAT32):
        t = s.TensorT()
        t.shape, t.type, t.name, t.buffer = [int(n) for n in shape], kind, f"t{len(self.tensors)}", 0
        if data is not None:
            b = s.BufferT(); b.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.buffers.append(b); t.buffer = len(self.buffers) - 1
        self.tensors.append(t)
        return len(self.tensors) - 1

    def op(self, code, inputs, shape, options=None, kind=0, name=None, custom=None, version=1):
        key = (code, name, version)
        if key not in self.codes: self.codes.append(key)
        o = s.OperatorT()
        o.opcodeIndex, o.inputs, o.outputs = self.codes.index(key), inputs, [self.tensor(shape)]
        o.builtinOptionsType, o.builtinOptions = kind, options
        if custom is not None: o.customOptions = np.frombuffer(bytes(custom), np.uint8)
        self.ops.append(o)
        return o.outputs[0]

    def shape(self, t): return list(self.tensors[t].shape)

    def const(self, values):
        values = np.asarray(values, np.float16)
        half = self.tensor(values.shape, values, s.TensorType.FLOAT16)
        return self.op(s.BuiltinOperator.DEQUANTIZE, [half], values.shape, s.DequantizeOptionsT(), s.BuiltinOptions.DequantizeOptions)

    def ints(self, values):
        values = np.asarray(values, np.int32)
        return self.tensor(values.shape, values, s.TensorType.INT32)

    def drawn(self, name, shape, size): return np.asarray(noise(f"{self.name}.{name}", shape)) * np.float32(size)

    def conv(self, x, name, outputs, kernel=1, stride=1, same=True, bias=None, size=1.0):
        _, h, w, c = self.shape(x)
        weight = self.const(self.drawn(name, [outputs, kernel, kernel, c], size * (3 / (kernel * kernel * c)) ** 0.5))
        bias = self.const(self.drawn(name + ".bias", [outputs], 0.1) if bias is None else bias)
        o = s.Conv2DOptionsT(); o.padding, o.strideW, o.strideH, o.dilationWFactor, o.dilationHFactor = 0 if same else 1, stride, stride, 1, 1
        side = lambda n: -(-n // stride) if same else (n - kernel) // stride + 1
        return self.op(s.BuiltinOperator.CONV_2D, [x, weight, bias], [1, side(h), side(w), outputs], o, s.BuiltinOptions.Conv2DOptions)

    def depthwise(self, x, name, stride=1, kernel=3):
        _, h, w, c = self.shape(x)
        weight, bias = self.const(self.drawn(name, [1, kernel, kernel, c], 0.5)), self.const(self.drawn(name + ".bias", [c], 0.1))
        o = s.DepthwiseConv2DOptionsT(); o.padding, o.strideW, o.strideH, o.depthMultiplier, o.dilationWFactor, o.dilationHFactor = 0, stride, stride, 1, 1, 1
        return self.op(s.BuiltinOperator.DEPTHWISE_CONV_2D, [x, weight, bias], [1, -(-h // stride), -(-w // stride), c], o, s.BuiltinOptions.DepthwiseConv2DOptions)

    def prelu(self, x, name): return self.op(s.BuiltinOperator.PRELU, [x, self.const(self.drawn(name, [1, 1, self.shape(x)[3]], 0.5))], self.shape(x))

    def relu(self, x): return self.op(s.BuiltinOperator.RELU, [x], self.shape(x))

    def halve(self, x):
        _, h, w, c = self.shape(x)
        o = s.Pool2DOptionsT(); o.padding, o.strideW, o.strideH, o.filterWidth, o.filterHeight = 1, 2, 2, 2, 2
        return self.op(s.BuiltinOperator.MAX_POOL_2D, [x], [1, h // 2, w // 2, c], o, s.BuiltinOptions.Pool2DOptions)

    def widen(self, x, more):
        shape = self.shape(x); shape[3] += more
        return self.op(s.BuiltinOperator.PAD, [x, self.ints([[0, 0], [0, 0], [0, 0], [0, more]])], shape, s.PadOptionsT(), s.BuiltinOptions.PadOptions)

    def add(self, x, y): return self.op(s.BuiltinOperator.ADD, [x, y], self.shape(x), s.AddOptionsT(), s.BuiltinOptions.AddOptions)

    def mul(self, x, y): return self.op(s.BuiltinOperator.MUL, [x, y], self.shape(x), s.MulOptionsT(), s.BuiltinOptions.MulOptions)

    def reshape(self, x, shape, given=None):
        o = s.ReshapeOptionsT(); o.newShape = given or shape
        return self.op(s.BuiltinOperator.RESHAPE, [x, self.ints(o.newShape)], shape, o, s.BuiltinOptions.ReshapeOptions)

    def join(self, x, y):
        shape = self.shape(x); shape[1] += self.shape(y)[1]
        o = s.ConcatenationOptionsT(); o.axis = 1
        return self.op(s.BuiltinOperator.CONCATENATION, [x, y], shape, o, s.BuiltinOptions.ConcatenationOptions)

    def same(self, x):
        shape = self.shape(x)
        return self.op(s.BuiltinOperator.STRIDED_SLICE, [x, self.ints([0] * 4), self.ints(shape), self.ints([1] * 4)], shape, s.StridedSliceOptionsT(), s.BuiltinOptions.StridedSliceOptions)

    def custom(self, name, inputs, shape, settings):
        return self.op(s.BuiltinOperator.CUSTOM, inputs, shape, name=name, custom=settings, version=2)

    def save(self, outputs, path):
        m, g = s.ModelT(), s.SubGraphT()
        m.version, m.description, m.buffers, m.operatorCodes = 3, self.name, self.buffers, []
        for code, name, version in self.codes:
            c = s.OperatorCodeT(); c.deprecatedBuiltinCode = c.builtinCode = code; c.version = version
            if name: c.customCode = name
            m.operatorCodes.append(c)
        g.tensors, g.operators, g.inputs, g.outputs, g.name = self.tensors, self.ops, [self.input], outputs, "main"
        m.subgraphs = [g]
        b = flatbuffers.Builder(1 << 16); b.Finish(m.Pack(b), b"TFL3")
        open(path, "wb").write(bytes(b.Output()))
        print(path, len(b.Output()), "bytes")


def settings(**values):
    b = flexbuffers.Builder()
    with b.Map():
        for name, value in values.items():
            b.Key(name)
            if isinstance(value, list): b.TypedVectorFromElements(value)
            elif isinstance(value, float): b.Float(value)
            else: b.Int(value)
    return b.Finish()


def save_detector(path):
    net = Net("detector", [1, 128, 128, 3])
    fine = net.relu(net.conv(net.input, "first", 8, kernel=8, stride=8))
    fine = net.relu(net.add(fine, net.depthwise(fine, "second")))
    coarse = net.relu(net.add(net.widen(net.halve(fine), 4), net.conv(net.depthwise(fine, "third", stride=2), "fourth", 12)))
    scores, boxes = np.full([1, 896, 1], -14.0), np.zeros([1, 896, 16])
    def face(guess, score, numbers): scores[0, guess] = score; boxes[0, guess] = numbers + [0, 8, 0, 16, -20, 0, 20, 0]
    # Twice the same face, one that is turned, and one that nearly lies on the first.
    face(2 * (16 * 6 + 4), 4.0, [1, 2, 36, 34, -8, -6, 9, -5])
    face(512 + 6 * (8 * 3 + 2) + 3, 3.0, [-2, -4, 40, 36, -7, -8, 10, -7])
    face(2 * (16 * 8 + 11) + 1, 2.0, [0, 0, 30, 33, -6, -9, 7, 3])
    face(512 + 6 * (8 * 5 + 2), 1.0, [0, 0, 28, 28, -6, -2, 6, -3])
    head = lambda x, name, n, size: net.reshape(net.conv(x, name, n * size, size=0.3), [1, np.prod(net.shape(x)[1:3]) * n, size], [1, -1, size])
    give = lambda name, size, more: net.add(net.join(head(fine, name + ".fine", 2, size), head(coarse, name + ".coarse", 6, size)), net.const(more))
    net.save([give("boxes", 16, boxes), give("scores", 1, scores)], path)


def save_mesh(path, regions=None):
    net = Net("mesh", [1, 192, 192, 3])
    x = net.prelu(net.conv(net.input, "first", 4, kernel=3, stride=2), "slopes")
    x = seen = net.prelu(net.depthwise(x, "second", stride=2), "slopes2")
    for _ in range(3): x = net.halve(x)
    x = net.conv(x, "third", 8, kernel=6, same=False)
    points = np.asarray(noise("points", [468, 3])) * np.array([62, 74, 20]) + np.array([96, 96, 0])
    mesh, flag = net.conv(x, "mesh", 1404, bias=points.reshape(-1), size=3.0), net.conv(x, "flag", 1, bias=[2.5])
    if regions is None: return net.save([mesh, flag], path)
    matrices, outputs, irises = [], [], []
    for name, (level, around) in regions.items():
        small = net.mul(net.reshape(mesh, [1, 468, 3]), net.const([0.25]))
        matrix = net.custom("Landmarks2TransformMatrix", [small], [1, 4, 4], settings(left_rotation_idx=level[0], output_height=8, output_width=8, right_rotation_idx=level[1], scale_x=0.5, scale_y=0.5, subset_idxs=around, target_rotation_radians=0.0))
        part = net.custom("TransformTensorBilinear", [seen, matrix], [1, 8, 8, 4], settings(output_height=8, output_width=8))
        part = net.conv(part, name, 4, kernel=8, same=False)
        large = net.mul(matrix, net.const([[[4] * 4, [4] * 4, [1] * 4, [1] * 4]]))
        def give(what, n):
            bias = 4 + 4 * np.asarray(noise(f"{name}.{what}", [2 * n]))
            found = net.reshape(net.conv(part, f"{name}.{what}", 2 * n, bias=bias), [1, n, 2])
            return net.reshape(net.custom("TransformLandmarks", [found, large], [1, n, 2], settings(dimensions=2)), [1, 1, 1, 2 * n])
        outputs.append(give("points", len(around)))
        if name != "lips": irises.append(give("iris", 5))
    net.save([net.same(mesh)] + outputs + irises + [flag], path)


def regions():
    """Which points MediaPipe puts lips' and eyes' own results to, as its graph says."""
    from mediapipe.python._framework_bindings import validated_graph_config
    import mediapipe
    graph = validated_graph_config.ValidatedGraphConfig()
    graph.initialize(binary_graph_path=os.path.join(os.path.dirname(mediapipe.__file__), "modules/face_landmark/face_landmark_front_cpu.binarypb"))
    lists = [[int(i) for i in re.findall(r"indexes_mapping: (\d+)", part)] for part in graph.text_config.split("refinement {")[1:]]
    lists = [l for l in lists if l]
    return {"lips": ([61, 291], lists[1]), "left": ([33, 133], lists[2]), "right": ([362, 263], lists[3])}


def picture(w, h):
    y, x, c = np.mgrid[0:h, 0:w, 0:3]
    return ((3 * x + 5 * y + 40 * c + x * y // 16) % 256).astype(np.uint8)


def raw(file, image, low, outputs):
    """What MediaPipe's runtime gives for a picture of the model's size."""
    from google.protobuf import text_format
    from mediapipe.framework import calculator_pb2
    from mediapipe.python import packet_creator, packet_getter
    from mediapipe.python._framework_bindings import calculator_graph, image_frame
    import mediapipe.calculators.tensor.image_to_tensor_calculator_pb2, mediapipe.calculators.tensor.inference_calculator_pb2, mediapipe.calculators.core.split_vector_calculator_pb2, mediapipe.calculators.tensor.tensors_to_floats_calculator_pb2
    size = image.shape[0]
    text = f'''input_stream: "image"
node {{ calculator: "TfLiteCustomOpResolverCalculator" output_side_packet: "OP_RESOLVER:r" }}
node {{ calculator: "ImageToTensorCalculator" input_stream: "IMAGE:image" output_stream: "TENSORS:x" options {{ [mediapipe.ImageToTensorCalculatorOptions.ext] {{ output_tensor_width: {size} output_tensor_height: {size} output_tensor_float_range {{ min: {low} max: 1 }} }} }} }}
node {{ calculator: "InferenceCalculatorCpu" input_stream: "TENSORS:x" output_stream: "TENSORS:y" input_side_packet: "OP_RESOLVER:r" options {{ [mediapipe.InferenceCalculatorOptions.ext] {{ model_path: "{file}" delegate {{ xnnpack {{}} }} }} }} }}
node {{ calculator: "SplitTensorVectorCalculator" input_stream: "y" {" ".join(f'output_stream: "t{i}"' for i in range(outputs))} options {{ [mediapipe.SplitVectorCalculatorOptions.ext] {{ {" ".join(f"ranges {{ begin: {i} end: {i + 1} }}" for i in range(outputs))} }} }} }}
''' + "".join(f'node {{ calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:t{i}" output_stream: "FLOATS:f{i}" }}\n' for i in range(outputs))
    graph, got = calculator_graph.CalculatorGraph(graph_config=text_format.Parse(text, calculator_pb2.CalculatorGraphConfig())), {}
    for i in range(outputs):
        graph.observe_output_stream(f"f{i}", lambda name, packet: got.__setitem__(name, np.array(packet_getter.get_float_list(packet), np.float32)))
    graph.start_run()
    graph.add_packet_to_input_stream("image", packet_creator.create_image_frame(image_format=image_frame.ImageFormat.SRGB, data=image).at(0))
    graph.close_all_packet_sources(); graph.wait_until_done()
    return [got[f"f{i}"] for i in range(outputs)]


def main():
    from PIL import Image
    from mediapipe.python import solution_base
    from safetensors.numpy import save_file
    os.makedirs(os.path.join(HERE, "out"), exist_ok=True)
    at = lambda name: os.path.join(HERE, name + ".tflite")
    save_detector(at("detector")); save_mesh(at("mesh")); save_mesh(at("attention"), regions())
    # MediaPipe looks for its models below this folder.
    import tempfile
    root, set_folder = tempfile.mkdtemp(), solution_base.resource_util.set_resource_dir
    for name, place in FILES.items():
        os.makedirs(os.path.dirname(os.path.join(root, MODULES + place)), exist_ok=True)
        os.symlink(at(name), os.path.join(root, MODULES + place))
    solution_base.resource_util.set_resource_dir = lambda _: set_folder(root)
    set_folder(root)
    arrays = {}
    for name, size, low, outputs in [("detector", 128, -1, 2), ("mesh", 192, 0, 2), ("attention", 192, 0, 7)]:
        for i, y in enumerate(raw(MODULES + FILES[name], picture(size, size), low, outputs)):
            arrays[f"{name}.{i}"] = np.ascontiguousarray(y[::7]) if len(y) > 2000 else y
            print(name, i, y.shape, float(np.abs(y).max()))

    from invokeai.app.invocations import facetools
    from invokeai.backend.image_util.mediapipe_face import detect_faces
    from mediapipe.python.solutions.face_mesh import FaceMesh
    context = types.SimpleNamespace(logger=types.SimpleNamespace(info=lambda _: None, warning=lambda text: print("   ", text)))
    keep = lambda name, image: image.save(os.path.join(HERE, "out", name + ".png"), optimize=True)
    # Sides are multiples of four: the detector sees others through places halfway between the 32nds of a pixel that OpenCV knows, which errors of 1e-16 round.
    for size in [(320, 240), (152, 408)]:
        image, name = Image.fromarray(picture(*size)), f"{size[0]}x{size[1]}"
        for refined in (False, True):
            found = FaceMesh(static_image_mode=True, max_num_faces=9, refine_landmarks=refined).process(np.array(image)).multi_face_landmarks or []
            print(name, "attention" if refined else "mesh", len(found), "faces")
            for i, face in enumerate(found): arrays[f"{name}.{'attention' if refined else 'mesh'}.{i}"] = np.array([[p.x, p.y] for p in face.landmark], np.float32)
        for most in (1, 9): keep(f"{name}.drawn{most}", detect_faces(image, most, 0.5))
        for case, inputs in {"plain": {}, "shaped": dict(face_id=1, x_offset=1.5, y_offset=-0.5, padding=20), "sure": dict(minimum_confidence=0.95), "chunked": dict(chunk=True, face_id=1), "none": dict(face_id=9)}.items():
            node = facetools.FaceOffInvocation.model_construct(**{**dict(id="n", face_id=0, minimum_confidence=0.5, x_offset=0.0, y_offset=0.0, padding=0, chunk=False), **inputs})
            cut = node.faceoff(context, image)
            print(name, case, None if cut is None else [cut[k] for k in ("x_min", "y_min", "x_max", "y_max")])
            arrays[f"{name}.{case}"] = np.array([] if cut is None else [cut[k] for k in ("x_min", "y_min", "x_max", "y_max")], np.float32)
            if cut is not None:
                keep(f"{name}.{case}", cut["bounded_mask"])
                sides = [cut[k] for k in ("x_min", "y_min", "x_max", "y_max")]
                assert cut["bounded_image"].mode == "RGBA" and cut["bounded_image"].tobytes() == image.crop(sides).convert("RGBA").tobytes()
        for case, inputs in {"all": {}, "some": dict(face_ids="0,7,2", invert_mask=True), "chunks": dict(chunk=True, y_offset=1.0)}.items():
            node = facetools.FaceMaskInvocation.model_construct(**{**dict(id="n", face_ids="", minimum_confidence=0.5, x_offset=0.0, y_offset=0.0, chunk=False, invert_mask=False), **inputs})
            keep(f"{name}.{case}", node.facemask(context, image)["mask"])
    save_file(arrays, os.path.join(HERE, "faces.safetensors"))


if __name__ == "__main__":
    main()
