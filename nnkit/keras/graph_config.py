"""A graph of layers as a description that JSON can hold, and graphs made again of descriptions or of other graphs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.errors import ModelFileError
from nnkit.io.registry import lookup, name_of
from nnkit.keras.graph import Graph, Slot
from nnkit.keras.input_layer import InputLayer
from nnkit.keras.layer import Layer
from nnkit.keras.symbolic import KerasTensor, Operation, function_of, leaves
from nnkit.recording.structures import rebuilt
from nnkit.tensors.creation import tensor
from nnkit.tensors.tensor import Tensor

__all__ = ["described", "described_graph", "graph_of", "layer_of", "one_description", "with_operations"]


# ---- layers ---------------------------------------------------------------------------------------------------


class _Met(threading.local):
    """The layers of the description that this thread is writing, or reading, in the order in which they are met."""

    written: list[Layer] | None = None
    read: list[Layer | None] | None = None


_met = _Met()


@contextlib.contextmanager
def one_description(kind: str) -> Iterator[list[Any]]:
    """The layers met so far: of the description that has begun, else of a new one."""
    known = getattr(_met, kind)
    if known is not None:
        yield known
        return
    setattr(_met, kind, [])
    try:
        yield getattr(_met, kind)
    finally:
        setattr(_met, kind, None)


def described(layer: Layer) -> Any:
    """A layer as a configuration; the layer itself where its class is not registered, for messages to name.

    One that was described before, in a nested model or outside of it, is ``{"again": which}``: it is one layer.
    """
    with one_description("written") as known:
        for place, other in enumerate(known):
            if other is layer:
                return {"again": place}
        known.append(layer)
        name = name_of(type(layer))
        return layer if name is None else {"class_name": name, "config": layer.get_config()}


def layer_of(description: Any) -> Layer:
    """The layer that ``described`` described; raises ModelFileError for what is none."""
    with one_description("read") as known:
        if isinstance(description, Mapping) and "again" in description:
            return _again(description["again"], known)
        place = len(known)
        known.append(None)
        known[place] = _layer_of(description)
        return known[place]


def _again(place: Any, known: Sequence[Layer | None]) -> Layer:
    found = known[place] if type(place) is int and 0 <= place < len(known) else None
    if found is None:
        raise ModelFileError(f"the file refers to its layer {str(place)[:20]}, which does not come before")
    return found


def _layer_of(description: Any) -> Layer:
    if isinstance(description, Layer):
        return description
    if not isinstance(description, Mapping) or not {"class_name", "config"} <= set(description):
        raise ModelFileError(f"expected the class and configuration of a layer, got {str(description)[:100]}")
    cls = lookup(description["class_name"])
    if not (isinstance(cls, type) and issubclass(cls, Layer)):
        raise ModelFileError(f"{description['class_name']!r} is no layer of nnkit.keras")
    return cls.from_config(description["config"])


# ---- graphs ---------------------------------------------------------------------------------------------------


def described_graph(graph: Graph) -> dict[str, Any]:
    """Layers and functions, their calls in order, and what goes in and comes out."""
    places = {id(operation): place for place, operation in enumerate(graph.operations)}
    heads = {operation.name: place for place, operation in enumerate(graph.operations)}
    with one_description("written"):
        operations = [_described_operation(operation) for operation in graph.operations]
    return {
        "operations": operations,
        "heads": [heads[spec.name] for spec in graph.flat_inputs],
        "calls": [
            [places[id(step.operation)], _encoded(step.args), _encoded(step.kwargs), list(step.made)]
            for step in graph.steps
        ],
        "inputs": _encoded(graph.slots[0]),
        "outputs": _encoded(graph.slots[1]),
    }


def _described_operation(operation: Any) -> Any:
    if isinstance(operation, Operation):
        return {"function": operation.called, "name": operation.name}
    return described(operation)


def graph_of(description: Any) -> tuple[Any, Any]:
    """The inputs and outputs, symbolic, of a described graph; its layers are made anew, and built.

    Raises ModelFileError where it is no such description, or names what is not there.
    """
    try:
        with one_description("read"):
            operations = [_operation_of(part) for part in description["operations"]]
        calls = [
            _Call(operations[place], _decoded(args), _decoded(kwargs), made)
            for place, args, kwargs, made in description["calls"]
        ]
        heads = [operations[place] for place in description["heads"]]
        sides = _decoded(description["inputs"]), _decoded(description["outputs"])
    except (KeyError, TypeError, IndexError, ValueError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"the description of a functional model is damaged: {error!r}") from error
    return _run(calls, heads, sides)


def with_operations(graph: Graph, change: Callable[[Any], Any], inputs: Sequence[Any] | None = None) -> tuple[Any, Any]:
    """The inputs and outputs of a graph with the calls of another and ``change(operation)`` for each operation.

    ``inputs``: symbolic tensors to begin with, in place of new ones.
    """
    changed = {id(operation): change(operation) for operation in graph.operations}
    calls = [_Call(changed[id(step.operation)], step.args, step.kwargs, step.made) for step in graph.steps]
    by_name = {operation.name: changed[id(operation)] for operation in graph.operations}
    heads = [by_name[spec.name] for spec in graph.flat_inputs]
    return _run(calls, heads, graph.slots, inputs)


class _Call(NamedTuple):
    operation: Any
    args: Any
    kwargs: Any
    made: Sequence[int]


def _run(
    calls: Sequence[_Call], heads: Sequence[Any], sides: tuple[Any, Any], inputs: Sequence[Any] | None = None
) -> tuple[Any, Any]:
    """Make the calls on symbolic tensors."""
    if not all(isinstance(head, InputLayer) for head in heads):
        raise ModelFileError("the description of a functional model has an input that is no InputLayer")
    values: dict[int, Any] = dict(enumerate([head.output for head in heads] if inputs is None else inputs))

    def fill(leaf: Any) -> Any:
        if type(leaf) is not Slot:
            return leaf
        if leaf.number not in values:
            raise ModelFileError("the description of a functional model uses a tensor before it is made")
        return values[leaf.number]

    for operation, args, kwargs, made in calls:
        found = operation.symbolically(*rebuilt(args, fill), **rebuilt(kwargs, fill))
        tensors = [leaf for leaf in leaves(found) if isinstance(leaf, KerasTensor)]
        if len(tensors) != len(made):
            raise ModelFileError(f"{operation.name!r} returns {len(tensors)} tensors, the file says {len(made)}")
        values |= zip(made, tensors, strict=True)
    return rebuilt(sides[0], fill), rebuilt(sides[1], fill)


def _operation_of(description: Any) -> Any:
    if isinstance(description, Mapping) and "function" in description:
        return Operation(_function(description["function"]), str(description["name"]))
    return layer_of(description)


def _function(name: Any) -> Callable[..., Any]:
    try:
        return function_of(name)
    except KeyError:
        raise ModelFileError(
            f"the file needs the function {str(name)[:100]!r}, which is not there: decorate it with "
            "nnkit.keras.symbolic.symbolic in your program before you load the file"
        ) from None


# ---- arguments ------------------------------------------------------------------------------------------------


def _encoded(value: Any) -> Any:
    """An argument as JSON: what is no number, text or list is an object with one entry, its kind."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Slot):
        return {"slot": value.number}
    if isinstance(value, list):
        return [_encoded(part) for part in value]
    if isinstance(value, tuple):
        return {"tuple": [_encoded(part) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[key, _encoded(part)] for key, part in value.items()]}
    if isinstance(value, slice):
        return {"slice": [_encoded(part) for part in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return {"dtype": str(np.dtype(value))}
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        array = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
        return {"array": array.tolist(), "dtype": str(array.dtype)}
    return value  # for the writer of files to name


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(part) for part in value]
    if not isinstance(value, Mapping):
        return value
    kind, content = next(iter(value.items()))
    if kind == "slot":
        return Slot(int(content))
    if kind == "tuple":
        return tuple(_decoded(part) for part in content)
    if kind == "dict":
        return {key: _decoded(part) for key, part in content}
    if kind == "slice":
        return slice(*map(_decoded, content))
    if kind == "ellipsis":
        return Ellipsis
    if kind == "dtype":
        return np.dtype(content)
    if kind == "array":
        return tensor(np.array(content, dtype=value["dtype"]))
    raise ModelFileError(f"cannot read the argument {str(value)[:100]} of a functional model")
