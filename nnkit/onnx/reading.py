"""Files of ONNX, read with suspicion: what they hold is checked before anything is made of it.

Nothing outside of the file is opened: weights in other files are refused, wherever they are said to lie. Nothing in a
file is run: nodes are looked up in a table of operators.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from nnkit.errors import nearest_names
from nnkit.io.files import PathLike, is_special
from nnkit.onnx.element_types import dtype_of
from nnkit.onnx.errors import OnnxError, onnx_package

__all__ = ["LIMIT", "Content", "Operation", "content_of", "parsed", "read_file"]

#: Elements of an array that a node makes, and nodes, at most.
LIMIT, MOST_NODES = 1 << 28, 100_000
#: Versions of the operators whose meaning is known here.
OLDEST, NEWEST = 13, 24
#: Kinds of attributes, of AttributeProto: numbers and texts, and lists of them.
PLAIN = (1, 2, 3, 6, 7, 8)
#: Protocol buffers hold no more.
LARGEST = 1 << 31


class Operation(NamedTuple):
    """A node: the operator, the names of what goes in and comes out, and its attributes."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    name: str


class Content(NamedTuple):
    """What a file says: arrays by name, nodes in order, and the names of inputs and outputs."""

    arrays: dict[str, np.ndarray]
    operations: list[Operation]
    inputs: dict[str, tuple[Any, ...]]  # name -> shape, where it is said
    outputs: list[str]
    opset: int


def read_file(path: PathLike) -> bytes:
    """The bytes of a file. Raises OnnxError for one larger than a file of ONNX can be, and for a device or a pipe."""
    if is_special(path):
        raise OnnxError(f"{os.fspath(path)!r} is a device, a pipe or a socket; expected a file")
    size = os.stat(path).st_size
    if size > LARGEST:
        raise OnnxError(f"{os.fspath(path)!r} has {size:,} bytes; a file of ONNX has at most {LARGEST:,}")
    with open(path, "rb") as file:
        return file.read()


def parsed(raw: bytes, what: str) -> Any:
    """The model that bytes hold, with its structure checked. Raises OnnxError that says what is wrong."""
    onnx = onnx_package()
    try:
        model = onnx.load_model_from_string(raw)
    except Exception as error:
        raise OnnxError(f"{what} is no file of ONNX, or it is damaged: {_line(error)}") from error
    if not model.graph.node and not model.graph.output:
        raise OnnxError(f"{what} is no file of ONNX, or it is damaged: it has no graph")
    for tensor in _tensors(model.graph):
        _check_tensor(tensor, what)
    if len(model.graph.node) > MOST_NODES:
        raise OnnxError(f"{what} has {len(model.graph.node):,} nodes; at most {MOST_NODES:,} are read")
    if model.functions or model.graph.sparse_initializer:
        kind = "functions of its own" if model.functions else "sparse weights"
        raise OnnxError(f"{what} has {kind}, which nnkit.onnx does not read")
    return model


def content_of(model: Any, known: dict[str, Any], what: str) -> Content:
    """What a model says, in Python's terms. Raises OnnxError for operators that are not ``known``."""
    try:
        return _content(model, known, what)
    except OnnxError:
        raise
    except Exception as error:
        raise OnnxError(f"{what} is damaged: {_line(error)}") from error


def _content(model: Any, known: dict[str, Any], what: str) -> Content:
    opset = _opset(model, what)
    _check_known(model, known, what)
    onnx_package().checker.check_model(model)
    arrays = {tensor.name: _array(tensor, what) for tensor in model.graph.initializer}
    inputs = {given.name: _shape(given) for given in model.graph.input if given.name not in arrays}
    operations = [_operation(node, what) for node in model.graph.node]
    return Content(arrays, operations, inputs, [out.name for out in model.graph.output], opset)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _opset(model: Any, what: str) -> int:
    versions = {imported.domain: imported.version for imported in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx", NEWEST))
    if not OLDEST <= opset <= NEWEST:
        raise OnnxError(
            f"{what} is in version {opset} of ONNX's operators; {OLDEST} to {NEWEST} are read: "
            "onnx.version_converter.convert_version(model, 18) makes another of it"
        )
    return int(opset)


def key_of(node: Any) -> str:
    """How the table of operators calls that of a node."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def _check_known(model: Any, known: dict[str, Any], what: str) -> None:
    strange = sorted({str(key_of(node)) for node in model.graph.node} - set(known))
    if strange:
        near = [name for one in strange for name in nearest_names(one, list(known))]
        advice = f" (near: {', '.join(near)})" if near else ""
        raise OnnxError(
            f"{what} has operators that nnkit.onnx does not know: {', '.join(strange)}{advice}. Known are: "
            f"{', '.join(sorted(known))}"
        )


# ---- arrays ---------------------------------------------------------------------------------------------------------


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else [])
            yield from attribute.tensors


def _check_tensor(tensor: Any, what: str) -> None:
    """Refuse data in other files, and an array that says it is larger than what is there."""
    onnx = onnx_package()
    name = tensor.name or "a constant"
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise OnnxError(
            f"{what} keeps {name!r} in another file, which is not opened: make one file of it where it comes from, "
            "onnx.save(onnx.load(path), path)"
        )
    if any(size < 0 for size in tensor.dims) or math.prod(tensor.dims) > LARGEST:
        raise OnnxError(f"{what} is damaged: {name!r} has the sizes {list(tensor.dims)[:8]}")


def _array(tensor: Any, what: str) -> np.ndarray:
    onnx = onnx_package()
    try:
        if tensor.data_type == onnx.TensorProto.STRING:
            return np.array([text.decode() for text in tensor.string_data], object).reshape(tuple(tensor.dims))
        dtype_of(tensor.data_type)
        wanted = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize * math.prod(tensor.dims)
        if tensor.HasField("raw_data") and len(tensor.raw_data) != wanted:
            raise ValueError(f"it has {len(tensor.raw_data)} bytes where its sizes {list(tensor.dims)} want {wanted}")
        return np.array(onnx.numpy_helper.to_array(tensor))
    except OnnxError:
        raise
    except Exception as error:
        raise OnnxError(f"{what} is damaged: the array {tensor.name or 'of a constant'!r}: {_line(error)}") from error


def _shape(given: Any) -> tuple[Any, ...]:
    kind = given.type.tensor_type
    if not kind.HasField("shape"):
        return ()
    return tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in kind.shape.dim)


def _operation(node: Any, what: str) -> Operation:
    onnx = onnx_package()
    attributes: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.TENSOR:
            attributes[attribute.name] = _array(attribute.t, what)
        elif attribute.type not in PLAIN:
            raise OnnxError(
                f"{what}: {node.op_type} has {attribute.name!r}, a graph or another thing that nnkit.onnx does not read"
            )
        else:
            attributes[attribute.name] = _plain(onnx.helper.get_attribute_value(attribute))
    return Operation(key_of(node), tuple(node.input), tuple(node.output), attributes, node.name or node.op_type)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) or hasattr(value, "append") else value
