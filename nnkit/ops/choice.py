"""Choosing between elements, comparing them, and logic on booleans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nnkit import dtypes
from nnkit.creation import tensor
from nnkit.errors import DtypeError
from nnkit.methods import op
from nnkit.ops.elementwise import broadcast_shape, pair, unbroadcast
from nnkit.tape import Gradient
from nnkit.tensor import Tensor, result, same_backend


def where(condition: Tensor, x: Any, y: Any) -> Tensor:
    """x where the condition holds, else y, with broadcasting.

    >>> where(tensor([True, False]), 1.0, tensor([5.0, 6.0]))
    tensor([1., 6.])
    """
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        x = tensor(x, device=condition.device)
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

    return result("where", out, backend, (holds, x, y), pullback, ((), (holds,), (holds,)))


@op
def where_self(x: Tensor, condition: Tensor, other: Any) -> Tensor:
    """x where the condition holds, else other."""
    return where(condition, x, other)


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
bitwise_or = _bitwise("bitwise_or", "either", "The bits that either whole number has; of booleans, whether one holds.")


@op
def bitwise_not(x: Tensor) -> Tensor:
    """The bits that a whole number lacks; of a boolean, whether it does not hold. Raises DtypeError for floats.

    >>> bitwise_not(tensor([True, False])), bitwise_not(tensor([0, 5]))
    (tensor([False,  True]), tensor([-1, -6]))
    """
    _bits("bitwise_not", x)
    out = x.backend.empty(x.shape, x.dtype)
    x.backend.map("negation", (x.array,), (out,))
    return Tensor(out, x.backend)
