"""Formulas of tensors that have gradients of every order: what the gradients of elementwise ops are made of.

A derivative of a formula is a formula (``kernels.derivatives``), so one op is enough for all orders.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from nnkit.backends import Backend
from nnkit.backends.base import FORMULAS
from nnkit.kernels.derivatives import derivative, incoming
from nnkit.kernels.symbols import Table, traced
from nnkit.kernels.vocabulary import element_names
from nnkit.ops.promotion import broadcast_shape
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import OPS
from nnkit.tensors.results import Asked, result
from nnkit.tensors.tensor import Tensor


def mapped(formula: str, inputs: Sequence[Tensor], scalars: Sequence[float] = ()) -> Tensor:
    """A formula of tensors of one type and device, broadcast; its gradient is found from its text."""
    if passes(formula) and len(inputs) == 1:
        return inputs[0]
    (out,) = _computed(formula, inputs, scalars, 1)
    return _on_tape(formula, out, inputs, scalars)


@functools.cache
def passes(formula: str) -> bool:
    """Whether the result is the formula's first element as it is."""
    expression = traced(Table(), formula)
    return getattr(expression, "word", "") == "parameter" and expression.args[0] == element_names(FORMULAS[formula])[0]


def _computed(formula: str, inputs: Sequence[Tensor], scalars: Sequence[float], count: int) -> list[Any]:
    backend, shape, dtype = inputs[0].backend, broadcast_shape(formula, *inputs), inputs[0].dtype
    out = [backend.empty(shape, dtype) for _ in range(count)]
    backend.map(formula, [t.array for t in inputs], out, tuple(scalars))
    return out


def _on_tape(formula: str, out: Any, inputs: Sequence[Tensor], scalars: Sequence[float]) -> Tensor:
    backend, shape = inputs[0].backend, tuple(out.shape)

    def pullback(dz: Any, into: Sequence[Gradient | None]) -> list[Any]:
        gradients: list[Any] = [None] * len(inputs)
        for numbers, name in _groups(formula, [k for k, p in enumerate(into) if p is not None], inputs, shape):
            arrays = [t.array if isinstance(t, Tensor) else t for t in _read(formula, name, dz, inputs)]
            found = [backend.empty(shape, backend.dtype_of(dz)) for _ in numbers]
            backend.map(name, arrays, found, tuple(scalars))
            for k, gradient in zip(numbers, found, strict=True):
                gradients[k] = unbroadcast(backend, gradient, inputs[k].shape)
        return gradients

    def rule(dz: Tensor, asked: Asked) -> list[Tensor | None]:
        gradients: list[Tensor | None] = [None] * len(inputs)
        for numbers, name in _groups(formula, [k for k, w in enumerate(asked.wanted) if w], inputs, shape):
            for k, gradient in zip(numbers, _together(formula, name, numbers, dz, inputs, scalars), strict=True):
                gradients[k] = sum_to(gradient, inputs[k].shape)
        return gradients

    return result(formula, out, backend, inputs, pullback, (inputs,) * len(inputs), rule)


def _groups(
    formula: str, numbers: list[int], inputs: Sequence[Tensor], shape: tuple[int, ...]
) -> list[tuple[list[int], str]]:
    """The inputs whose gradients one formula gives at once, and that formula: those that are not broadcast."""
    names = element_names(FORMULAS[formula])
    sloping = [k for k in numbers if derivative(formula, (names[k],)) is not None]
    whole = [k for k in sloping if inputs[k].shape == shape]
    groups = [whole] if whole else []
    groups += [[k] for k in sloping if k not in whole]
    return [(group, str(derivative(formula, tuple(names[k] for k in group)))) for group in groups]


def _read(formula: str, name: str, dz: Any, inputs: Sequence[Tensor]) -> list[Any]:
    """What the derivative of that name reads."""
    meant = dict(zip(element_names(FORMULAS[formula]), inputs, strict=True)) | {incoming(formula): dz}
    return [meant[element] for element in element_names(FORMULAS[name])]


def _together(
    formula: str, name: str, numbers: list[int], dz: Tensor, inputs: Sequence[Tensor], scalars: Sequence[float]
) -> list[Tensor]:
    """The gradients of several inputs: computed at once, each on the tape by its own formula."""
    if len(numbers) == 1:
        return [mapped(name, _read(formula, name, dz, inputs), scalars)]
    arrays = _computed(name, _read(formula, name, dz, inputs), scalars, len(numbers))
    elements = element_names(FORMULAS[formula])
    found = []
    for k, array in zip(numbers, arrays, strict=True):
        own = str(derivative(formula, (elements[k],)))
        found.append(_on_tape(own, array, _read(formula, own, dz, inputs), scalars))
    return found


def unbroadcast(backend: Backend, gradient: Any, shape: tuple[int, ...]) -> Any:
    """The sum of a gradient over the axes that broadcasting added or repeated."""
    if tuple(gradient.shape) == shape:
        return gradient
    out = backend.empty(shape, backend.dtype_of(gradient))
    backend.reduce("sum", gradient, _repeated(tuple(gradient.shape), shape), out)
    return out


def sum_to(gradient: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``unbroadcast`` of a tensor, on the tape."""
    if gradient.shape == shape:
        return gradient
    return OPS["reshape"](OPS["sum"](gradient, _repeated(gradient.shape, shape), keepdim=True), shape)


def _repeated(whole: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    lead = len(whole) - len(shape)
    return tuple(range(lead)) + tuple(lead + i for i, size in enumerate(shape) if size == 1 and whole[lead + i] != 1)
