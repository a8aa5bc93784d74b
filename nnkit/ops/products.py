"""Matrix products, and the linear layer fused with its activation."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.base import keeps_input
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.registered import present
from nnkit.ops.elementwise import activation_scalars
from nnkit.ops.mapped import mapped, sum_to, unbroadcast
from nnkit.ops.promotion import operand
from nnkit.ops.reductions import sum
from nnkit.ops.shape import reshape
from nnkit.tensors import dtypes
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import op
from nnkit.tensors.precision import autocast_type, rounding
from nnkit.tensors.results import ITSELF, OUTPUT, Asked, changes, require_unchanged, result, same_backend
from nnkit.tensors.tensor import Tensor


@op
def matmul(x: Any, y: Any) -> Tensor:
    """x (..., M, K) times y (..., K, N), batch axes broadcast; vectors are rows on the left, columns on the right.

    Under ``autocast`` x, y and in the gradient dz are rounded.

    >>> import nnkit
    >>> matmul(nnkit.ones(2, 3), nnkit.ones(3))
    tensor([3., 3.])
    """
    x = x if isinstance(x, Tensor) else operand(x, y, "matmul")
    y = operand(y, x, "matmul")
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(f"matmul: expected at least one axis on both sides, got shapes {x.shape} and {y.shape}")
    if x.shape[-1] != y.shape[-2:][0]:
        raise ShapeError(
            f"matmul: x of shape {x.shape} ends in {x.shape[-1]}, but y of shape {y.shape} takes {y.shape[-2:][0]}"
        )
    if x.ndim == 1 or y.ndim == 1:
        left = reshape(x, (1, -1)) if x.ndim == 1 else x
        right = reshape(y, (-1, 1)) if y.ndim == 1 else y
        z = matmul(left, right)
        keep = z.shape[:-2] + (() if x.ndim == 1 else z.shape[-2:-1]) + (() if y.ndim == 1 else z.shape[-1:])
        return reshape(z, keep)
    return _matmul(x, y)


def _matmul(x: Tensor, y: Tensor) -> Tensor:
    backend = same_backend("matmul", x, y)
    dtype = dtypes.promote(x.dtype, y.dtype)
    x, y = x.to(dtype), y.to(dtype)
    batch, half = _batch(x, y), _half_for(dtype)
    a, b = _operand(backend, x.array, half), _operand(backend, y.array, half)
    z = backend.empty((*batch, x.shape[-2], y.shape[-1]), dtype)
    backend.matmul(a, b, z)

    def summed(a: Any, b: Any, shape: tuple[int, ...]) -> Any:
        out = backend.empty((*batch, a.shape[-2], b.shape[-1]), dtype)
        backend.matmul(a, b, out)
        return unbroadcast(backend, out, shape)

    def pullback(dz: Any, into: Sequence[Gradient | None]) -> tuple[Any, Any]:
        dz = _operand(backend, dz, half)
        return (
            summed(dz, _transposed(backend, b), x.shape) if into[0] is not None else None,
            summed(_transposed(backend, a), dz, y.shape) if into[1] is not None else None,
        )

    counts = None if half is None else (changes(x), changes(y))  # else what is read is noted below

    def rule(dz: Tensor, asked: Asked) -> tuple[Tensor | None, ...]:
        if counts is not None:
            require_unchanged("matmul", (x, y), counts)
        with rounding(half):
            dx = product(dz, y, False, True, x.shape) if asked.wanted[0] else None
            return dx, product(x, dz, True, False, y.shape) if asked.wanted[1] else None

    return result("matmul", z, backend, (x, y), pullback, ((y,), (x,)) if half is None else (), rule)


def product(
    x: Tensor, y: Tensor, left: bool = False, right: bool = False, shape: tuple[int, ...] | None = None
) -> Tensor:
    """x y, of which one may be turned on its side first (``left`` or ``right``): gradients of products are made of it.

    So no gradient comes out on its side. With ``shape``, summed to that over batch axes.
    """
    backend, half = x.backend, _half_for(x.dtype)
    z = _multiplied(backend, _operand(backend, x.array, half), _operand(backend, y.array, half), left, right)

    def pullback(dz: Any, into: Sequence[Gradient | None]) -> list[Any]:
        arrays = [_operand(backend, a, half) for a in (x.array, y.array, dz)]
        return [
            unbroadcast(backend, _multiplied(backend, arrays[a], arrays[b], first, second), t.shape)
            if place is not None
            else None
            for (a, b, first, second), t, place in zip(_ways(left, right), (x, y), into, strict=True)
        ]

    def rule(dz: Tensor, asked: Asked) -> list[Tensor | None]:
        given = x, y, dz
        with rounding(half):
            return [
                product(given[a], given[b], first, second, t.shape) if wanted else None
                for (a, b, first, second), t, wanted in zip(_ways(left, right), (x, y), asked.wanted, strict=True)
            ]

    out = result("product", z, backend, (x, y), pullback, ((y,), (x,)), rule)
    return out if shape is None else sum_to(out, shape)


def _ways(left: bool, right: bool) -> tuple[tuple[int, int, bool, bool], ...]:
    """How the gradients of x and y are products of x (0), y (1) and dz (2), and which of those is turned."""
    if left:
        return (1, 2, False, True), (0, 2, False, False)
    return ((2, 1, False, False), (2, 0, True, False)) if right else ((2, 1, False, True), (0, 2, True, False))


def _multiplied(backend: Backend, a: Any, b: Any, left: bool, right: bool) -> Any:
    """The product, in memory of its own. A right factor is laid out anew: it is the small one, and read often."""
    a = _transposed(backend, _in_order(backend, a)) if left else _in_order(backend, a)
    b = _in_order(backend, _transposed(backend, b) if right else b)
    batch = np.broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    out = backend.empty((*batch, a.shape[-2], b.shape[-1]), backend.dtype_of(a))
    backend.matmul(a, b, out)
    return out


def _in_order(backend: Backend, a: Any) -> Any:
    if backend.is_contiguous(a):
        return a
    out = backend.empty(tuple(a.shape), backend.dtype_of(a))
    backend.copy(a, out)
    return out


def _half_for(dtype: Any) -> str | None:
    """The half type that a product of this type takes its operands in: that of ``autocast``, for float32."""
    return autocast_type() if dtype == dtypes.float32 else None


def _operand(backend: Backend, x: Any, half: str | None) -> Any:
    return x if half is None else backend.rounded(x, half)


def _transposed(backend: Backend, x: Any) -> Any:
    axes = range(len(x.shape))
    return backend.permute(x, (*axes[:-2], axes[-1], axes[-2]))


def _batch(x: Tensor, y: Tensor) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        raise ShapeError(f"matmul: batch axes of {x.shape} and {y.shape} do not broadcast") from None


@op
def linear(x: Tensor, w: Tensor, b: Tensor | None = None, activation: str | None = None, **scalars: float) -> Tensor:
    """activation(x w^T + b) as one fused primitive: x (..., I), w (O, I), b (O,), result (..., O).

    ``activation`` is a name of ``kernels.formulas.ACTIVATIONS``, its scalars come by name. Weight gradients are written
    straight into their place in the optimizer's flat buffer. Under ``autocast`` x, w and in the gradient dz are rounded
    where they are multiplied. All are of one float type, or become so. Raises ShapeError when sizes do not match, and
    for weights of whole numbers. Source: nnkit's own, behind ``torch.nn.functional.linear``.

    >>> import nnkit
    >>> linear(nnkit.ones(1, 2), nnkit.ones(3, 2), activation="relu")
    tensor([[2., 2., 2.]])
    """
    name = present(activation or "identity")
    if name not in ACTIVATIONS:
        raise UnknownNameError("activation", name, ACTIVATIONS)
    backend = same_backend("linear", x, w, *([] if b is None else [b]))
    _check_linear(x, w, b)
    numbers = activation_scalars(name, scalars)
    lead, (O, I) = x.shape[:-1], w.shape
    dtype = x.dtype
    if dtype != w.dtype or (b is not None and dtype != b.dtype):
        dtype = dtypes.promote(dtype, w.dtype)
        x, w, b = x.to(dtype), w.to(dtype), b if b is None else b.to(dtype)
    x2 = x if x.ndim == 2 else reshape(x, (-1, I))
    M = x2.shape[0]
    y = backend.empty((M, O), dtype)
    z = backend.empty((M, O), dtype) if keeps_input(name) else None
    half = _half_for(dtype)
    x_array, w_array = _operand(backend, x2.array, half), _operand(backend, w.array, half)
    backend.linear(x_array, w_array, None if b is None else b.array, name, z, y, numbers)
    out = _linear_result(name, numbers, x2, w, b, x_array, w_array, y, z, half, dtype)
    return out if x.ndim == 2 else reshape(out, (*lead, O))


def _linear_result(
    name: str, numbers: tuple[float, ...], x: Tensor, w: Tensor, b: Tensor | None, x_array: Any, w_array: Any, y: Any,
    z: Any, half: str | None, dtype: Any,
) -> Tensor:  # fmt: skip
    """y = activation(z) on the tape; z is kept where the activation's gradient reads it."""
    backend = x.backend
    gradient = backend.linear_grad if half is None else functools.partial(backend.half_linear_grad, half)
    kept = y if z is None else z
    counts = None if half is None else (changes(x), changes(w))

    def pullback(dy: Any, into: Any) -> list[Any]:
        if type(into) is Asked:
            given = name, numbers, x, w, b, x_array, w_array, kept, z, half, dtype, counts
            return _linear_rule(*given, dy, into)
        (M, O), I = kept.shape, w_array.shape[1]
        dz = dy if name == "identity" else backend.empty((M, O), dtype)
        dx = backend.empty((M, I), dtype) if into[0] is not None else None
        dw, add_w = into[1].place(backend, (O, I), dtype) if into[1] is not None else (None, False)
        bias = into[2] if b is not None else None
        db, add_b = bias.place(backend, (O,), dtype) if bias is not None else (None, False)
        gradient(x_array, w_array, kept, dy, name, dz, dx, dw, db, (add_w, add_b), numbers)
        return [dx, None] if b is None else [dx, None, None]

    inputs = (x, w) if b is None else (x, w, b)
    active = (OUTPUT,) if z is None and name != "identity" else ()
    reads = (((w, *active), (x, *active)) if half is None else (active, active)) + ((active,) if b is not None else ())
    return result("linear", y, backend, inputs, pullback, reads, ITSELF)


def _linear_rule(
    name: str, numbers: tuple[float, ...], x: Tensor, w: Tensor, b: Tensor | None, x_array: Any, w_array: Any,
    kept: Any, z: Any, half: str | None, dtype: Any, counts: tuple[int, int] | None, dy: Tensor, asked: Asked,
) -> list[Tensor | None]:  # fmt: skip
    """The gradients of ``linear`` in tensors."""
    if counts is not None:
        require_unchanged("linear", (x, w), counts)
    dz = dy
    if name != "identity":
        if z is None:
            read = asked.output(kept)
        else:
            read = _linear_result("identity", (), x, w, b, x_array, w_array, z, None, half, dtype)
        dz = mapped(f"{ACTIVATIONS[name]}_grad", (dy, read), numbers)
    with rounding(half):
        dx = product(dz, w) if asked.wanted[0] else None
        dw = product(dz, x, True) if asked.wanted[1] else None
    return [dx, dw] if b is None else [dx, dw, sum(dz, 0) if asked.wanted[2] else None]


def _check_linear(x: Tensor, w: Tensor, b: Tensor | None) -> None:
    if len(w.array.shape) != 2:
        raise ShapeError(f"linear: expected w of shape (out, in), got {w.shape}")
    if x.ndim == 0 or x.shape[-1] != w.shape[1]:
        raise ShapeError(
            f"linear: x has shape {x.shape}, but w of shape {w.shape} expects {w.shape[1]} features in the last axis"
        )
    if b is not None and b.shape != w.shape[:1]:
        raise ShapeError(f"linear: expected b of shape {w.shape[:1]}, got {b.shape}")
    if not w.is_floating_point():
        raise ShapeError(f"linear: expected w of a float type, got {w.dtype}")
