"""From a model to a graph: it runs on batches of three sizes, watched, and what it did becomes nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.errors import ShapeError
from nnkit.nn.module import Module
from nnkit.onnx.errors import OnnxError
from nnkit.onnx.graph import Graph, Value
from nnkit.onnx.memory import Part
from nnkit.onnx.rules import RULES, codes
from nnkit.onnx.sizes import TRIED, Ref, constant, differs, less, together
from nnkit.onnx.watching import Step, Watch
from nnkit.tensors import dtypes
from nnkit.tensors.default_device import resolve
from nnkit.tensors.tensor import Tensor
from nnkit.training.modes import evaluating

__all__ = ["Inputs", "add_model", "arrays_of"]

Names = list[str]


class Inputs:
    """The example: arrays by name, how they are given to the model, and which axis of theirs is the batch."""

    def __init__(self, arrays: dict[str, np.ndarray], call: Callable[[list[Tensor]], Any], axis: int | None) -> None:
        self.arrays, self.call, self.axis = arrays, call, axis
        for name, array in arrays.items():
            if axis is not None and array.ndim <= axis:
                raise ShapeError(
                    f"example: {name} of shape {array.shape} has no axis {axis} of samples: use dynamic=False"
                )
            if 0 in array.shape:
                raise ShapeError(f"example: {name} has shape {array.shape}: expected at least one sample")
        counts = {array.shape[axis] for array in arrays.values()} if axis is not None else set()
        if len(counts) > 1:
            raise ShapeError(f"example: the inputs have {sorted(counts)} samples: expected the same number of each")

    def of(self, rows: int) -> list[np.ndarray]:
        """So many samples: those of the example, again and again, each a little different.

        So what a model computes of them by means that nobody watches is not the same in two runs, or in two rows.
        """
        batches = []
        for array in self.arrays.values():
            if self.axis is not None:
                array = np.take(array, np.arange(rows) % array.shape[self.axis], axis=self.axis)
            if dtypes.is_float(array.dtype):
                axis = self.axis or 0
                steps = (np.arange(array.shape[axis] if array.ndim else 1) * 7 + rows) % 31
                factors = (1.0 - steps / 4096.0).reshape((-1,) + (1,) * (array.ndim - 1 - axis) if array.ndim else ())
                array = array * factors.astype(array.dtype)
            batches.append(np.ascontiguousarray(array).reshape(array.shape))
        return batches


def arrays_of(example: Any, dtype: Any) -> tuple[dict[str, np.ndarray], Callable[[list[Tensor]], Any]]:
    """Arrays by name, and how they are given to a model: one, several in order, or by name."""
    if isinstance(example, dict):
        named = {str(name): _array(value, str(name), dtype) for name, value in example.items()}
        return named, lambda tensors: (dict(zip(example, tensors, strict=True)),)
    if isinstance(example, (tuple, list)) and example and all(_is_array(part) for part in example):
        named = {f"input_{i}": _array(part, f"input_{i}", dtype) for i, part in enumerate(example)}
        return named, tuple
    return {"input": _array(example, "example", dtype)}, tuple


def _is_array(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray))


def _array(value: Any, name: str, dtype: Any) -> np.ndarray:
    array = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "biuf" and not dtypes.is_float(array.dtype):
        raise OnnxError(f"example: {name} is of {array.dtype}; expected numbers, as the model takes them")
    return array.astype(dtype) if array.dtype == np.float64 and not isinstance(value, Tensor) else array


def backend_of(model: Module) -> Backend:
    """Where a model computes."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.backend
    return resolve(None)


def float_of(model: Module) -> Any:
    """The float type that a model takes."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return np.dtype(np.float32)


def add_model(g: Graph, model: Module, given: Inputs, values: Sequence[Value]) -> dict[str, Value]:
    """Add what a model does with inputs, which are ``values`` of the graph; its outputs by name."""
    runs = [_watched(model, given.of(rows), given.call) for rows in TRIED]
    return _said(g, [watch for watch, _ in runs], [outputs for _, outputs in runs], values)


def _watched(model: Module, arrays: list[np.ndarray], call: Callable[[list[Tensor]], Any]) -> tuple[Watch, Any]:
    backend = backend_of(model)
    watch = Watch(model, backend, codes())
    tensors = [Tensor(backend.asarray(array), backend) for array in arrays]
    for tensor in tensors:
        watch.input(tensor.array)
    with evaluating(model), watch.watching():
        output = model(*call(tensors))
        return watch, _outputs(output, watch)


def _outputs(output: Any, watch: Watch) -> dict[str, Ref]:
    """The Refs of what a model returns, by name."""
    if isinstance(output, Tensor):
        return {"output": watch.ref(output.array)}
    if isinstance(output, dict):
        found = {str(name): part for name, part in output.items()}
    else:
        found = {f"output_{place}": part for place, part in enumerate(_flat(output))}
    for name, part in found.items():
        if not isinstance(part, Tensor):
            raise OnnxError(f"export: the model returned a {type(part).__name__} as {name}; expected Tensors")
    return {name: watch.ref(part.array) for name, part in found.items()}


def _flat(output: Any) -> list[Any]:
    if isinstance(output, (tuple, list)):
        return [part for one in output for part in _flat(one)]
    return [] if output is None else [output]


def _said(g: Graph, runs: list[Watch], outputs: list[dict[str, Ref]], values: Sequence[Value]) -> dict[str, Value]:
    """The steps that all runs have in common, as nodes."""
    for place, value in enumerate(values):
        g.values["input", place] = value
    first = runs[0]
    for steps in _aligned(runs):
        g.where = steps[0].where
        args, outs = together([list(step[1:3]) for step in steps], g.where)
        rule = RULES.get(steps[0].rule)
        if rule is None:
            raise g.refuse(f"nnkit.onnx has no rule for {steps[0].rule.removeprefix('primitive ')!r}")
        _constants(g, runs, args, first)
        found = _applied(g, rule, steps[0].rule, outs, args)
        for ref, value in zip(outs, found if isinstance(found, list) else [found], strict=True):
            if value is not None:
                g.define(ref, value)
    g.where = "the model"
    named = together(outputs, "the output")
    _constants(g, runs, named, first)
    return {name: g.value(ref) for name, ref in named.items()}


def _applied(g: Graph, rule: Callable[..., Any], name: str, outs: list[Any], args: dict[str, Any]) -> Any:
    """What a rule makes; where it cannot compute with a size that grows, an error that says so."""
    try:
        return rule(g, outs, **args)
    except (TypeError, ValueError, IndexError) as error:
        if isinstance(error, OnnxError):
            raise
        name = name.removeprefix("primitive ")
        raise g.refuse(
            f"nnkit.onnx cannot say {name!r} where these sizes depend on the number of rows ({error}): export with "
            "dynamic=False for one size of batch"
        ) from error


def _aligned(runs: list[Watch]) -> list[list[Step]]:
    for watch in runs[1:]:
        for one, other in zip(runs[0].steps, watch.steps, strict=False):
            if one.rule != other.rule:
                raise differs(one.where)
        if len(watch.steps) != len(runs[0].steps) or len(watch.constants) != len(runs[0].constants):
            raise differs(runs[0].steps[-1].where if runs[0].steps else "the model")
    return [list(steps) for steps in zip(*(watch.steps for watch in runs), strict=True)]


def _constants(g: Graph, runs: list[Watch], tree: Any, first: Watch) -> None:
    """Make the constants that a call is given, where they are not there yet."""
    for ref in _refs(tree):
        if ref.kind != "constant" or (ref.kind, ref.number) in g.values:
            continue
        parts = [watch.parts.get(ref.number) for watch in runs]
        if all(part is not None for part in parts):
            part = together(parts, g.where)
            g.values[ref.kind, ref.number] = _part(g, part, first)._replace(shape=ref.shape)
            continue
        name = first.names.get(ref.number)
        if name is not None and all(watch.names.get(ref.number) == name for watch in runs):
            g.values[ref.kind, ref.number] = g.constant(first.constants[ref.number], name=name)
            continue
        found = constant([watch.constants[ref.number] for watch in runs], g.where)
        value = g.constant(found) if isinstance(found, np.ndarray) else g.repeated(found)
        g.values[ref.kind, ref.number] = value


def _part(g: Graph, part: Part, first: Watch) -> Value:
    """A view of a weight, made of the weight in the file."""
    whole = first.ref(part.weight)
    if ("constant", whole.number) not in g.values:
        name = first.names.get(whole.number)
        g.values["constant", whole.number] = g.constant(first.constants[whole.number], name=name)
    value = g.values["constant", whole.number]
    if (part.start, part.end) != (0, value.shape[0]):
        value = g.cut(value, 0, part.start, part.end, (less(part.end, part.start), *value.shape[1:]))
    return g.transpose(g.reshape(value, part.shape), part.order)


def _refs(tree: Any) -> list[Ref]:
    if isinstance(tree, Ref):
        return [tree]
    if isinstance(tree, dict):
        return [ref for part in tree.values() for ref in _refs(part)]
    return [ref for part in tree for ref in _refs(part)] if isinstance(tree, (tuple, list)) else []
