"""Tensors inside nested tuples, lists and dicts: the arguments and results of compiled functions."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nnkit.backends import Device
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor
from nnkit.tensors.views import View, follow

#: What a result may hold besides tensors: values in which none can hide.
PLAIN = (int, float, complex, str, bytes, type(None), np.generic, np.dtype, Device, type, slice, range)


def key_of(value: Any, tensors: list[Tensor]) -> Any:
    """What of an argument a recording depends on; the tensors that are inputs are collected.

    The memory layout counts, for it decides which kernel fits. Raises TypeError for a numpy array.
    """
    if (
        type(value) is Tensor
        and not value._requires_grad
        and value._node is None
        and (value.view_of is None or value.node is None)
    ):
        tensors.append(value)
        array = value.array
        return array.shape, array.dtype, value.backend, getattr(array, "strides", None)
    if isinstance(value, (tuple, list)):
        return (type(value), *[key_of(item, tensors) for item in value])
    if isinstance(value, dict):
        return (type(value), *[(name, key_of(item, tensors)) for name, item in value.items()])
    if isinstance(value, np.ndarray):
        raise TypeError("a compiled function takes Tensors, got a numpy array: make it one with nnkit.tensor(x)")
    if isinstance(value, (int, float, str, bytes, np.generic)):
        return type(value), value or repr(value)  # 0.0 and -0.0 are equal, but not the same
    if isinstance(value, slice):
        return slice, value.start, value.stop, value.step
    return type(value), id(value)


def is_input(value: Any) -> bool:
    """Whether this is a tensor that may differ from call to call; what is trained belongs to the step."""
    return type(value) is Tensor and not value.requires_grad


def rebuilt(value: Any, replace: Callable[[Any], Any]) -> Any:
    """The same structure with each of its leaves replaced."""
    if isinstance(value, (tuple, list)):
        return _sequence(value, [rebuilt(item, replace) for item in value])
    if isinstance(value, dict):
        return _mapping(value, {name: rebuilt(item, replace) for name, item in value.items()})
    return replace(value)


def leaves(value: Any) -> Iterator[Any]:
    """What is inside tuples, lists and dicts."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    else:
        yield value


Maker = Callable[[list[Tensor]], Any]  # of a result, from the arguments of a call


def copier(value: Any, statics: list[Tensor], owns: Callable[[Any], bool]) -> Maker:
    """A function that makes a result anew from the arguments of a call, as the recorded function would.

    What the program computes is copied, each time to memory of its own. An argument, state from outside and what is a
    view of them stay what they are. ``statics`` stand for the arguments; ``owns`` tells the program's arrays.
    """
    if isinstance(value, Tensor):
        return _tensor_maker(value, statics, owns)
    if isinstance(value, (tuple, list)):
        parts = [copier(item, statics, owns) for item in value]
        return lambda tensors: _sequence(value, [part(tensors) for part in parts])
    if isinstance(value, dict):
        named = {name: copier(item, statics, owns) for name, item in value.items()}
        return lambda tensors: _mapping(value, {name: part(tensors) for name, part in named.items()})
    return lambda tensors: value


def _tensor_maker(value: Tensor, statics: list[Tensor], owns: Callable[[Any], bool]) -> Maker:
    array, backend, view = value.array, value.backend, value.view_of
    from_argument = _argument_maker(value, statics)
    if from_argument is not None:
        return from_argument
    if owns(array):
        duplicate = backend.duplicator(array)
        return lambda tensors: Tensor(duplicate(), backend)
    return (lambda tensors: value) if view is None else (lambda tensors: _part(view, view.base))


def _argument_maker(value: Tensor, statics: list[Tensor]) -> Maker | None:
    """How to have of the arguments what a tensor is of the copies that stand for them; None where it is nothing."""
    view, base = value.view_of, value if value.view_of is None else value.view_of.base
    number = next((i for i, static in enumerate(statics) if base is static or value.array is static.array), None)
    if number is None:
        return None
    if value is statics[number]:
        return lambda tensors: tensors[number]
    if view is not None and base is statics[number]:
        return lambda tensors: _part(view, tensors[number])
    return lambda tensors: tensors[number].detach()


def returned(value: Any, statics: list[Tensor], tensors: list[Tensor]) -> Any:
    """A result in which arguments and views of them stand for their copies and views of those."""

    def original(leaf: Any) -> Any:
        make = _argument_maker(leaf, statics) if isinstance(leaf, Tensor) and leaf.node is None else None
        return leaf if make is None else make(tensors)

    return rebuilt(value, original)


def _part(view: View, base: Tensor) -> Tensor:
    with no_grad():
        part: Tensor = follow(view.path, base)
    if part.view_of is not None:
        part.view_of.on_tape = view.on_tape
    return part


def _sequence(like: Any, items: list[Any]) -> Any:
    return type(like)(*items) if hasattr(like, "_fields") else type(like)(items)


def _mapping(like: Any, items: dict[Any, Any]) -> Any:
    if type(like) is dict:
        return items
    made = copy.copy(like)
    made.update(items)
    return made


class Containers:
    """Lists and dicts among a call's arguments and the copies that stand for them (see ``rebuilt``)."""

    def __init__(self, originals: Any, copies: Any) -> None:
        self._pairs: list[tuple[Any, Any, list[Any]]] = []
        self._collect(originals, copies)

    def _collect(self, original: Any, copied: Any) -> None:
        if isinstance(original, (list, dict)):
            self._pairs.append((original, copied, _flat(copied)))
        if isinstance(original, (tuple, list, dict)):
            for one, other in zip(_flat(original), _flat(copied), strict=True):
                self._collect(one, other)

    def give_back(self, originals: dict[int, Any]) -> None:
        """What was done to copies is done to the containers; ``originals`` of the leaves, by the copies' identity."""
        back = originals | {id(copied): original for original, copied, _ in self._pairs}
        for original, copied, before in self._pairs:
            after = _flat(copied)
            if len(after) == len(before) and all(map(operator.is_, after, before)):
                continue
            if isinstance(original, dict):
                items = {name: back.get(id(item), item) for name, item in copied.items()}
                original.clear()
                original.update(items)
            else:
                original[:] = [back.get(id(item), item) for item in copied]


def _flat(container: Any) -> list[Any]:
    return [*container.keys(), *container.values()] if isinstance(container, dict) else list(container)
