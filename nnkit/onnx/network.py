"""A file of ONNX as a Module: its weights are parameters, and its nodes are run one after the other by nnkit's ops.

Values are tensors on the model's device, or, where they depend on sizes and constants alone, numpy arrays on the host:
so a shape that the file computes is known when the ops that need it are called, and a pass can be recorded.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.recording import paused
from nnkit.io.registry import register_module
from nnkit.nn.module import Module
from nnkit.onnx.call import Call
from nnkit.onnx.errors import OnnxError, onnx_package
from nnkit.onnx.reading import LARGEST, Content, Operation, content_of, parsed
from nnkit.onnx.words import WORDS
from nnkit.tensors import dtypes
from nnkit.tensors.creation import as_tensor
from nnkit.tensors.default_device import resolve
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Parameter, Tensor

__all__ = ["Network", "made_of"]

#: What nnkit's ops and Python raise for shapes, types and attributes that do not fit.
FAULTS = (ValueError, KeyError, IndexError, TypeError, AttributeError, ZeroDivisionError, OverflowError)

#: Operator -> which of its inputs are statistics, which no optimizer changes.
STATISTICS = {"BatchNormalization": (3, 4)}
#: Operator -> which of its inputs are numbers that have to be known on the host.
NUMBERS = {"Resize": (1, 2), "Clip": (1, 2), "Pad": (2,), "Range": (0, 1, 2)}


class Part(Module):
    """Some of a file's weights: those whose names begin alike."""


@register_module(name="onnx.Network")
class Network(Module):
    """The network of a file, which ``load`` makes. Inputs and outputs are in the file's order; several outputs are a
    tuple.

    ``input_names`` and ``output_names`` are the file's, ``classes`` the texts that an output of numbers stands for, by
    the output's name. Weights have the file's names, of which dots make parts.
    """

    def __init__(self, content: Content, bare: bytes) -> None:
        super().__init__()
        self._bare = bare
        self._sizes = {n: [list(a.shape), a.dtype.name] for n, a in content.arrays.items() if n in weights_of(content)}
        self._opset, self._operations = content.opset, content.operations
        self.input_names, self.output_names = list(content.inputs), content.outputs
        self._texts: dict[str, list[str]] = {}
        self._constants: dict[str, np.ndarray] = {}
        self._places: dict[str, tuple[Module, str]] = {}
        weights, statistics = weights_of(content), _used_at(content.operations, STATISTICS)
        for name, array in content.arrays.items():
            if name in weights:
                self._keep(name, array, array.ndim > 0 and name not in statistics)
            else:
                self._constants[name] = array
        self._fold()
        self._find_texts()
        self._last = _last_uses(self._operations, self.output_names)

    def _keep(self, name: str, array: np.ndarray, trained: bool) -> None:
        owner, last = _place_for(self, name)
        value = as_tensor(array)
        if trained:
            owner.register_parameter(last, Parameter(value))
        else:
            owner.register_buffer(last, value)
        self._places[name] = owner, last

    def _fold(self) -> None:
        """Compute once what depends on constants alone."""
        left = []
        for step in self._operations:
            if step.op == "Constant" or (step.inputs and all(n in self._constants for n in step.inputs if n)):
                self._constants |= self._run(step, dict(self._constants), resolve("numpy"))
            else:
                left.append(step)
        self._operations = left

    def _find_texts(self) -> None:
        """Texts are numbered, and their numbers computed with."""
        for name, array in self._constants.items():
            if array.dtype == object:
                self._texts[name] = [str(text) for text in array.ravel()]
                self._constants[name] = np.arange(array.size).reshape(array.shape)
        for step in self._operations:
            if step.op in PASSING and step.inputs[0] in self._texts:
                self._texts[step.outputs[0]] = self._texts[step.inputs[0]]
            elif any(name in self._texts for name in step.inputs):
                raise OnnxError(f"the node {step.name!r} ({step.op}) computes with texts, which no tensor holds")

    @property
    def classes(self) -> dict[str, list[str]]:
        """Of each output that the file has as texts: the texts by number."""
        return {name: self._texts[name] for name in self.output_names if name in self._texts}

    def forward(self, *inputs: Any) -> Any:
        """The outputs for the inputs, a Tensor each. Raises ShapeError and OnnxError for what does not fit."""
        if len(inputs) == 1 and isinstance(inputs[0], dict):
            inputs = tuple(inputs[0][name] for name in self.input_names)
        if len(inputs) != len(self.input_names):
            raise OnnxError(
                f"inputs: expected {len(self.input_names)}, {', '.join(self.input_names)}; got {len(inputs)}"
            )
        values: dict[str, Any] = dict(zip(self.input_names, inputs, strict=True))
        backend = inputs[0].backend if inputs else resolve(None)
        values |= {name: getattr(owner, last) for name, (owner, last) in self._places.items()}
        values |= self._constants
        for step in self._operations:
            values |= self._run(step, values, backend)
            for name in self._last.get(id(step), ()):
                del values[name]
        found = tuple(_tensor(values[name], backend) for name in self.output_names)
        return found[0] if len(found) == 1 else found

    def _run(self, step: Operation, values: dict[str, Any], backend: Backend) -> dict[str, Any]:
        inputs = [values[name] if name else None for name in step.inputs]
        on_host = all(value is None or isinstance(value, np.ndarray) for value in inputs)
        call = Call(
            step.op, inputs, step.attributes, len(step.outputs), self._opset,
            resolve("numpy") if on_host else backend, step.name,
        )  # fmt: skip
        if not on_host:
            return dict(zip(step.outputs, _said(call), strict=False))
        with paused(), no_grad():
            parts = [part.numpy() if isinstance(part, Tensor) else part for part in _said(call)]
        return dict(zip(step.outputs, parts, strict=False))

    def get_config(self) -> dict[str, Any]:
        """The graph without weights, and their sizes, for nnkit's own files."""
        return {"graph": base64.b64encode(self._bare).decode(), "weights": self._sizes}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The network of a graph, whose weights are still to be loaded."""
        try:
            raw = base64.b64decode(config["graph"], validate=True)
            weights = {str(n): (tuple(map(int, shape)), str(dtype)) for n, (shape, dtype) in config["weights"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise OnnxError(f"the file holds no graph of ONNX: {error}") from error
        return made_of(raw, "the graph in the file", weights)  # type: ignore[return-value]

    def extra_repr(self) -> str:
        """Shown between the brackets of ``repr``."""
        return f"{len(self._operations)} nodes, {', '.join(self.input_names)} -> {', '.join(self.output_names)}"


#: Operators whose outputs are texts where their first input is.
PASSING = (
    "Identity",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Gather",
    "ai.onnx.ml.ArrayFeatureExtractor",
    "Cast",
    "Flatten",
)


def _said(call: Call) -> list[Any]:
    """What a node makes. Raises OnnxError where it cannot be what it says."""
    try:
        found = WORDS[call.op](call)
    except OnnxError:
        raise
    except FAULTS as error:
        raise call.wrong(f"does not fit what it is given: {error}") from error
    return list(found) if isinstance(found, (tuple, list)) else [found]


def made_of(raw: bytes, what: str, weights: dict[str, tuple[tuple[int, ...], str]] | None = None) -> Network:
    """The network that bytes hold; ``weights`` are those that they lack, by shape and type."""
    onnx = onnx_package()
    model = parsed(raw, what)
    for name, (shape, dtype) in (weights or {}).items():
        if any(n < 0 for n in shape) or math.prod(shape) > LARGEST:
            raise OnnxError(f"{what} is damaged: {name!r} has the sizes {shape}")
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(shape, dtypes.as_dtype(dtype)), name))
    content = content_of(model, WORDS, what)
    if any(not isinstance(name, str) for step in content.operations for name in (*step.inputs, *step.outputs)):
        raise OnnxError(f"{what} is damaged: a name is no text")
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in weights_of(content)]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return Network(content, bytes(model.SerializeToString(deterministic=True)))


def weights_of(content: Content) -> set[str]:
    """The names of the arrays that are weights: those of floats, but for numbers that have to be known on the host."""
    numbers = _used_at(content.operations, NUMBERS)
    return {name for name, array in content.arrays.items() if dtypes.is_float(array.dtype) and name not in numbers}


def _used_at(operations: Sequence[Operation], places: Mapping[str, tuple[int, ...]]) -> set[str]:
    """What is given to certain operators at certain places."""
    return {
        step.inputs[place] for step in operations for place in places.get(step.op, ()) if place < len(step.inputs)
    } - {""}


def _place_for(root: Module, name: str) -> tuple[Module, str]:
    """The part, and the name in it, under which ``state_dict`` calls an array what the file calls it, if it can."""
    *parts, last = [piece or "_" for piece in name.split(".")]
    owner: Module = root
    for piece in parts:
        inner = owner._modules.get(piece)
        if inner is None:
            inner = Part()
            owner.add_module(_free(owner, piece), inner)
        owner = inner
    return owner, _free(owner, last)


def _free(owner: Module, name: str) -> str:
    name = f"_{name.lstrip('_')}" if name.startswith("__") else name  # Python's own
    while hasattr(type(owner), name) or name in owner.__dict__ or any(name in place for place in owner._registries()):
        name += "_"
    return name


def _last_uses(operations: Sequence[Operation], kept: Sequence[str]) -> dict[int, list[str]]:
    """After which node each value is of no use any more."""
    last = {name: step for step in operations for name in step.inputs if name}
    made = {name for step in operations for name in step.outputs}
    uses: dict[int, list[str]] = {}
    for name, step in last.items():
        if name in made and name not in kept:
            uses.setdefault(id(step), []).append(name)
    return uses


def _tensor(value: Any, backend: Backend) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if value.dtype == object:
        raise OnnxError("an output is a text whatever the input is: nnkit has no tensors of texts")
    return Tensor(backend.asarray(value), backend)
