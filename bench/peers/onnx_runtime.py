"""ONNX Runtime's side: inference only, of a graph written by hand."""

from __future__ import annotations

import importlib
import time
from typing import Any

from bench import layers as kinds
from bench.contenders import Steps
from bench.machine import THREADS
from bench.nets import Net
from bench.workloads import Workload

onnx: Any = importlib.import_module("onnx")
runtime: Any = importlib.import_module("onnxruntime")


def graph(net: Net) -> bytes | None:
    """The network as an ONNX file; None where it has layers that no prediction of the table needs."""
    make, values = onnx.helper, iter(net.initial())
    nodes, weights, name = [], [], "x"
    for number, layer in enumerate(net.layers):
        node = _node(layer)
        if node is None:
            return None
        kind, options = node
        names = [f"w{number}.{index}" for index, _ in enumerate(layer.parameters())]
        weights += [onnx.numpy_helper.from_array(next(values), weight) for weight in names]
        nodes.append(make.make_node(kind, [name, *names], [f"y{number}"], **options))
        name = f"y{number}"
    kind = onnx.TensorProto.FLOAT
    x = make.make_tensor_value_info("x", kind, [None, *net.inputs])
    y = make.make_tensor_value_info(name, kind, [None, net.classes])
    built = make.make_graph(nodes, "network", [x], [y], weights)
    model: bytes = make.make_model(
        built, opset_imports=[make.make_opsetid("", 17)], ir_version=10
    ).SerializeToString()  # fmt: skip
    return model


def _node(layer: kinds.Layer) -> tuple[str, dict[str, Any]] | None:
    """An operator's name, and its attributes."""
    match layer:
        case kinds.Linear():
            return "Gemm", {"transB": 1}
        case kinds.Convolution(_, _, side, stride, groups):
            return "Conv", {"strides": [stride] * 2, "pads": [side // 2] * 4, "group": groups}
        case kinds.Activation("relu"):
            return "Relu", {}
        case kinds.MaxPool(side):
            return "MaxPool", {"kernel_shape": [side] * 2, "strides": [side] * 2}
        case kinds.Flatten():
            return "Flatten", {}
    return None


def build(workload: Workload) -> Steps | None:
    """One ``session.run`` per step, with as many threads as are faster."""
    model = graph(workload.net) if workload.kind == "predict" else None
    if model is None:
        return None
    x = workload.data(workload.batch)[0]

    def with_threads(count: int) -> Steps:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = count
        session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return Steps.repeat(lambda: session.run(None, {"x": x})[0])

    return min((with_threads(count) for count in sorted({1, THREADS})), key=_seconds)


def _seconds(steps: Steps) -> float:
    steps.run(100)
    start = time.perf_counter()
    steps.run(2000)
    return time.perf_counter() - start
