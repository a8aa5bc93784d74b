"""A graph as a file: what nobody reads is left out, the rest checked, and written in one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nnkit.onnx.element_types import number_of
from nnkit.onnx.errors import OnnxError, onnx_package
from nnkit.onnx.graph import Graph, Value
from nnkit.onnx.sizes import Size
from nnkit.version import __version__

#: The versions of the operators that nnkit writes.
OLDEST, NEWEST = 17, 22
#: Version of the operators -> the oldest version of the format that has it, so that older readers take the file.
FORMATS = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10}
#: Protocol buffers hold no more.
LARGEST = (1 << 31) - (1 << 20)


def check_opset(opset: Any) -> int:
    """A version of the operators. Raises OnnxError for one that nnkit does not write."""
    if not isinstance(opset, int) or not OLDEST <= opset <= NEWEST:
        raise OnnxError(f"opset: expected a whole number from {OLDEST} to {NEWEST}, got {opset!r}")
    return opset


def model_of(g: Graph, inputs: Sequence[Value], outputs: Mapping[str, Value], title: str) -> Any:
    """The model, as ``onnx.helper`` makes it, checked in full."""
    onnx = onnx_package()
    ends = _ends(g, list(outputs.values()))
    nodes = _alive(g.nodes, [end.name for end in ends])
    renamed = {end.name: name for end, name in zip(ends, _free(g, outputs), strict=True)}
    for node in nodes:
        node.output[:] = [renamed.get(name, name) for name in node.output]
        node.input[:] = [renamed.get(name, name) for name in node.input]
    read = {name for node in nodes for name in node.input}
    kept = {name: array for name, array in g.initializers.items() if name in read and name not in g.plain}
    nodes = [
        _constant(name, array) for name, array in g.initializers.items() if name in g.plain and name in read
    ] + nodes
    nbytes = sum(array.nbytes for array in kept.values())
    if nbytes > LARGEST:
        raise OnnxError(
            f"export: the weights have {nbytes:,} bytes, and a file of ONNX holds at most {LARGEST:,}: make the model "
            "smaller, or half of it with model.half()"
        )
    results = [v._replace(name=name) for name, v in zip(renamed.values(), outputs.values(), strict=True)]
    graph = onnx.helper.make_graph(
        nodes, "nnkit", [_info(v) for v in inputs], [_info(v) for v in results],
        [_tensor(name, array) for name, array in kept.items()],
    )  # fmt: skip
    imports = [onnx.helper.make_opsetid("", g.opset)]
    if any(node.domain == "ai.onnx.ml" for node in nodes):
        imports.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    model = onnx.helper.make_model(
        graph, opset_imports=imports, ir_version=FORMATS[g.opset], producer_name="nnkit", producer_version=__version__,
        doc_string=title,
    )  # fmt: skip
    onnx.helper.set_model_props(model, {"nnkit": __version__, "model": title})
    onnx.checker.check_model(model, full_check=True)
    return model


def _ends(g: Graph, outputs: list[Value]) -> list[Value]:
    """The outputs as results of nodes, each of one of its own."""
    made = {name for node in g.nodes for name in node.output}
    ends: list[Value] = []
    for value in outputs:
        taken = value.name not in made or any(value.name == end.name for end in ends)
        ends.append(g.node("Identity", [value], shape=value.shape) if taken else value)
    return ends


def _free(g: Graph, outputs: Mapping[str, Value]) -> list[str]:
    """The outputs' names, changed where a weight has one of them."""
    return [g.name(name) for name in outputs]


def _alive(nodes: Sequence[Any], wanted: Sequence[str]) -> list[Any]:
    """The nodes that the outputs depend on."""
    needed, alive = set(wanted), []
    for node in reversed(nodes):
        if any(name in needed for name in node.output):
            alive.append(node)
            needed.update(node.input)
    return alive[::-1]


def _tensor(name: str, array: np.ndarray) -> Any:
    return onnx_package().numpy_helper.from_array(np.array(array, order="C"), name)


def _constant(name: str, array: np.ndarray) -> Any:
    return onnx_package().helper.make_node("Constant", [], [name], value=_tensor("", array))


def _info(value: Value) -> Any:
    shape = [_dimension(size) for size in value.shape]
    return onnx_package().helper.make_tensor_value_info(value.name, number_of(value.dtype), shape)


def _dimension(size: Any) -> Any:
    if not isinstance(size, Size):
        return size
    factor = "batch" if size.factor == 1 else f"{size.factor} batch"
    return f"{factor} + {size.more}" if size.more else factor
