"""Choosing between elements, comparing them, and logic on booleans."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.errors import DtypeError, ShapeError
from nnkit.ops.elementwise import elementwise, limited
from nnkit.ops.mapped import mapped, sum_to, unbroadcast
from nnkit.ops.promotion import as_operand, broadcast_shape, check_held, pair, result_type
from nnkit.tensors import dtypes
from nnkit.tensors.creation import as_tensor, tensor
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import OPS, op
from nnkit.tensors.results import Asked, result, same_backend
from nnkit.tensors.tensor import Tensor


def where(condition: Tensor, x: Any = None, y: Any = None) -> Any:
    """x where the condition holds, else y, with broadcasting.

    What is not chosen gets a gradient of 0. That 0 is then multiplied by the slope of how x or y was made: an infinite
    one makes it NaN, as in PyTorch. So ``where(x > 0, log(x), 0.0)`` has no gradient at 0; write ``log(where(x > 0, x,
    1.0))``, which has. Raises DtypeError for a number that a tensor of integers does not hold. The condition alone: the
    places where it holds. Shapes broadcast, and ShapeError is raised where they do not; the dtype is that of
    ``result_type(x, y)``. Source: ``torch.where``.

    >>> where(tensor([True, False]), 1.0, tensor([5.0, 6.0]))
    tensor([1., 6.])
    """
    if x is None and y is None:
        return OPS["nonzero"](condition, as_tuple=True)
    x, y = as_operand(x, condition.device, "where"), as_operand(y, condition.device, "where")
    dtype = result_type(x, y)
    for value in (x, y):
        check_held("where", value, dtype)
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        x = tensor(x, dtype=dtype, device=condition.device)
    x, y, backend, _ = pair("where", x, y)
    same_backend("where", condition, x)
    holds = condition.bool().detach()
    chooser = holds.array
    out = backend.empty(broadcast_shape("where", condition, x, y), x.dtype)
    backend.map("select", (chooser, x.array, y.array), (out,))

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any, ...]:
        nothing = backend.zeros((), x.dtype)
        chosen = []
        for place, t, reads in ((into[1], x, (dy, nothing)), (into[2], y, (nothing, dy))):
            dx = None
            if place is not None:
                dx = backend.empty(tuple(dy.shape), x.dtype)
                backend.map("select", (chooser, *reads), (dx,))
                dx = unbroadcast(backend, dx, t.shape)
            chosen.append(dx)
        return (None, *chosen)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor | None, ...]:
        dx = sum_to(where(holds, dy, 0.0), x.shape) if asked.wanted[1] else None
        return None, dx, sum_to(where(holds, 0.0, dy), y.shape) if asked.wanted[2] else None

    return result("where", out, backend, (holds, x, y), pullback, ((), (holds,), (holds,)), rule)


@op
def where_self(x: Tensor, condition: Tensor, other: Any) -> Tensor:
    """x where the condition holds, else other."""
    return where(condition, x, other)


@op
def clamp(x: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """x limited to [min, max]: numbers, or tensors that broadcast with x; either bound may be left out.

    NaN stays NaN, a bound that is NaN makes NaN, and where min is above max, the result is max. At a bound x gets the
    gradient; beside NaN it gets 0. Whole numbers with a float bound become floats. Raises ShapeError without a bound,
    and DtypeError for one that a tensor of integers does not hold.

    >>> clamp(tensor([-2, 5]), 0, 3), clamp(tensor([1, 5]), max=2.5)
    (tensor([0, 3]), tensor([1. , 2.5]))
    """
    min, max = (None if bound is None else as_operand(bound, x.device, "clamp") for bound in (min, max))
    given = [bound for bound in (min, max) if bound is not None]
    if not given:
        raise ShapeError("clamp: expected min, max or both, got neither")
    dtype = result_type(x, *given)
    if dtype == dtypes.bool_:
        raise DtypeError("clamp: expected numbers, got booleans; convert them with .long()")
    for bound in given:
        check_held("clamp", bound, dtype)
    if any(isinstance(bound, Tensor) for bound in given):
        floats = dtypes.is_float(dtype)
        least, most = (-math.inf, math.inf) if floats else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        low, high = least if min is None else min, most if max is None else max
        return _clamp_between(x.to(dtype), *(as_tensor(b, dtype, x.device) for b in (low, high)))
    low, high = -math.inf if min is None else min, math.inf if max is None else max
    if not dtypes.is_float(dtype):
        return limited(x.to(dtype), low, high)
    return elementwise("clamp", "clamp", x.to(dtype), (float(low), float(high)))


def _clamp_between(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """x limited to [low, high], all of one type, with broadcasting."""
    backend, inputs = same_backend("clamp", x, low, high), (x, low, high)
    arrays = [t.array for t in inputs]
    y = backend.empty(broadcast_shape("clamp", *inputs), x.dtype)
    backend.map("larger", (x.array, low.array), (y,))
    backend.map("smaller", (y, high.array), (y,))

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any, ...]:
        gradients = []
        for name, t, place in zip(("", "_low", "_high"), inputs, into, strict=True):
            gradient = None
            if place is not None:
                whole = backend.empty(tuple(dy.shape), x.dtype)
                backend.map(f"clamp_between{name}_grad", (dy, *arrays), (whole,))
                gradient = unbroadcast(backend, whole, t.shape)
            gradients.append(gradient)
        return tuple(gradients)

    def rule(dy: Tensor, asked: Asked) -> list[Tensor | None]:
        return [
            sum_to(mapped(f"clamp_between{name}_grad", (dy, *inputs)), t.shape) if wanted else None
            for name, t, wanted in zip(("", "_low", "_high"), inputs, asked.wanted, strict=True)
        ]

    return result("clamp", y, backend, inputs, pullback, (inputs, inputs, inputs), rule)


# ---- comparison and logic: the result is a tensor of booleans -----------------------------------------------------


def _named(name: str, says: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = says
    return op(function)


def _compared(name: str, formula: str, says: str) -> Callable[[Any, Any], Tensor]:
    def function(x: Any, y: Any) -> Tensor:
        x, y, backend, shape = pair(name, x, y)
        if x.dtype == dtypes.bool_ and formula not in ("equal", "not_equal"):
            x, y = x.to(dtypes.uint8), y.to(dtypes.uint8)
        out = backend.empty(shape, dtypes.bool_)
        backend.map(formula, (x.array, y.array), (out,))
        return Tensor(out, backend)

    return _named(name, says, function)


def _logical(name: str, formula: str, says: str) -> Callable[[Any, Any], Tensor]:
    def function(x: Any, y: Any) -> Tensor:
        x, y, backend, shape = pair(name, x, y)
        out = backend.empty(shape, dtypes.bool_)
        backend.map(formula, (x.bool().array, y.bool().array), (out,))
        return Tensor(out, backend)

    return _named(name, says, function)


eq = _compared("eq", "equal", "Whether elements are equal.")
ne = _compared("ne", "not_equal", "Whether elements differ.")
lt = _compared("lt", "less", "Whether x is less than y.")
le = _compared("le", "less_equal", "Whether x is at most y.")
gt = _compared("gt", "greater", "Whether x is greater than y.")
ge = _compared("ge", "greater_equal", "Whether x is at least y.")
logical_and = _logical("logical_and", "both", "Whether both elements are not 0.")
logical_or = _logical("logical_or", "either", "Whether one of two elements is not 0.")


@op
def logical_not(x: Tensor) -> Tensor:
    """Whether an element is 0.

    >>> logical_not(tensor([0, 2]))
    tensor([ True, False])
    """
    out = x.backend.empty(x.shape, dtypes.bool_)
    x.backend.map("negation", (x.bool().array,), (out,))
    return Tensor(out, x.backend)


# ---- bit by bit: the operators & | ~ on whole numbers and booleans --------------------------------------------------


def _bits(name: str, x: Tensor) -> None:
    if x.is_floating_point():
        raise DtypeError(f"{name}: expected booleans or whole numbers, got {x.dtype}; compare first, e.g. x > 0")


def _bitwise(name: str, formula: str, says: str) -> Callable[[Any, Any], Tensor]:
    def function(x: Any, y: Any) -> Tensor:
        x, y, backend, shape = pair(name, x, y)
        _bits(name, x)
        out = backend.empty(shape, x.dtype)
        backend.map(formula, (x.array, y.array), (out,))
        return Tensor(out, backend)

    return _named(name, says, function)


bitwise_and = _bitwise("bitwise_and", "both", "The bits that both whole numbers have; of booleans, whether both hold.")
bitwise_xor = _bitwise(
    "bitwise_xor", "exclusive", "The bits in which whole numbers differ; of booleans, whether they do."
)
bitwise_or = _bitwise("bitwise_or", "either", "The bits that either whole number has; of booleans, whether one holds.")


@op
def bitwise_not(x: Tensor) -> Tensor:
    """The bits that a whole number lacks; of a boolean, whether it does not hold.

    Raises DtypeError for floats. A Tensor of any shape, whose shape and dtype the result has. Source:
    ``torch.bitwise_not``.

    >>> bitwise_not(tensor([True, False])), bitwise_not(tensor([0, 5]))
    (tensor([False,  True]), tensor([-1, -6]))
    """
    _bits("bitwise_not", x)
    out = x.backend.empty(x.shape, x.dtype)
    x.backend.map("negation", (x.array,), (out,))
    return Tensor(out, x.backend)
