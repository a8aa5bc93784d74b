"""ONNX Runtime's side: inference only, of a graph written by hand."""

from __future__ import annotations

import importlib
import time
from typing import Any

import numpy as np

from bench.contenders import Steps
from bench.machine import THREADS
from bench.workloads import Workload

onnx: Any = importlib.import_module("onnx")
runtime: Any = importlib.import_module("onnxruntime")


def graph(workload: Workload) -> bytes:
    """The model as an ONNX file: Gemm, and Relu between."""
    make, random = onnx.helper, np.random.default_rng(0)
    nodes, weights, name = [], [], "x"
    pairs = list(zip(workload.sizes, workload.sizes[1:], strict=False))
    for index, (inputs, outputs) in enumerate(pairs):
        w = random.standard_normal((outputs, inputs), np.float32) / np.float32(np.sqrt(inputs))
        weights += [onnx.numpy_helper.from_array(w, f"w{index}")]
        weights += [onnx.numpy_helper.from_array(np.zeros(outputs, np.float32), f"b{index}")]
        nodes.append(make.make_node("Gemm", [name, f"w{index}", f"b{index}"], [f"z{index}"], transB=1))
        name = f"z{index}"
        if index < len(pairs) - 1:
            nodes.append(make.make_node("Relu", [name], [f"h{index}"]))
            name = f"h{index}"
    kind = onnx.TensorProto.FLOAT
    x = make.make_tensor_value_info("x", kind, [None, workload.sizes[0]])
    y = make.make_tensor_value_info(name, kind, [None, workload.sizes[-1]])
    built = make.make_graph(nodes, "network", [x], [y], weights)
    model: bytes = make.make_model(
        built, opset_imports=[make.make_opsetid("", 17)], ir_version=10
    ).SerializeToString()  # fmt: skip
    return model


def build(workload: Workload) -> Steps | None:
    """One ``session.run`` per step, with as many threads as are faster."""
    if workload.kind != "predict" or workload.activation != "relu":
        return None
    x, model = workload.data(workload.batch)[0], graph(workload)

    def with_threads(count: int) -> Steps:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = count
        session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return Steps.repeat(lambda: session.run(None, {"x": x}))

    return min((with_threads(count) for count in sorted({1, THREADS})), key=_seconds)


def _seconds(steps: Steps) -> float:
    steps.run(100)
    start = time.perf_counter()
    steps.run(2000)
    return time.perf_counter() - start
