"""Convolutions of images, signals and volumes: (B, C, *S), by windows.

What PyTorch's arguments mean, a ``Window`` says; ``nnkit.nn.functional`` makes it of them. Arrays whose channels lie
last in memory (Keras's order, seen through ``permute``) give results that lie so, too.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from nnkit.backends import Backend
from nnkit.backends.base import keeps_input
from nnkit.backends.windows import Window
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.registered import present
from nnkit.ops.elementwise import activation_scalars, check_float
from nnkit.ops.mapped import mapped
from nnkit.ops.windows import Shape, max_pool, places_of, room_like
from nnkit.tensors import dtypes
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import OPS, op
from nnkit.tensors.precision import autocast_type, rounding
from nnkit.tensors.results import OUTPUT, Asked, changes, require_unchanged, result, same_backend
from nnkit.tensors.tape import is_grad_enabled
from nnkit.tensors.tensor import Tensor


@op
def conv(
    x: Tensor, w: Tensor, b: Tensor | None, window: Window, groups: int = 1, activation: str | None = None,
    **scalars: float,
) -> Tensor:  # fmt: skip
    """activation(w over x + b): x (B, C, *S), w (O, C / groups, *kernel), b (O,), result (B, O, *places).

    Cross-correlation, as in PyTorch and Keras: the kernel is not turned around. ``activation`` is a name of
    ``kernels.formulas.ACTIVATIONS``. Under ``autocast`` x, w and in the gradient dz are rounded where they are
    multiplied. All are of one float type, or become so. Raises DtypeError for whole numbers, ShapeError where sizes do
    not match, and where no window fits.

    >>> import nnkit
    >>> window = Window((2,), (2,), ((0, 0),), (1,))
    >>> conv(nnkit.tensor([[[1.0, 2.0, 3.0, 4.0]]]), nnkit.ones(1, 1, 2), None, window)
    tensor([[[3., 7.]]])
    """
    given = _given(x, w, b, window, groups, activation, scalars)
    backend, x_array, name = x.backend, given.x.array, given.activation
    y = room_like(backend, x_array, given.shape, given.x.dtype)
    z = room_like(backend, x_array, given.shape, given.x.dtype) if keeps_input(name) else None
    operands, half = given.operands()
    bias = None if given.b is None else given.b.array
    backend.conv(*operands, bias, window, groups, name, z, y, given.scalars)
    return _conv_result(name, given.scalars, (given.x, given.w, given.b), operands, y, z, window, groups, half)


@op
def conv_pooled(
    x: Tensor, w: Tensor, b: Tensor | None, window: Window, pool: Window, groups: int = 1,
    activation: str | None = None, **scalars: float,
) -> Tensor:  # fmt: skip
    """``max_pool(conv(x, …), pool)``, with the same result; at one go where no gradient is wanted.

    x (B, C, *S), w (O, C / groups, *kernel) and b (O,) are of one float type, or become so. Raises ShapeError and
    DtypeError as ``conv`` and ``max_pool``. Source: nnkit's own.

    >>> import nnkit
    >>> window = Window((2,), (2,), ((0, 0),), (1,))
    >>> conv_pooled(nnkit.tensor([[[1.0, 2.0, 3.0, 4.0]]]), nnkit.ones(1, 1, 2), None, window, window)
    tensor([[[7.]]])
    """
    if is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, w, b)):
        return max_pool(conv(x, w, b, window, groups, activation, **scalars), pool)
    given = _given(x, w, b, window, groups, activation, scalars)
    backend, x_array, dtype = x.backend, given.x.array, given.x.dtype
    places = places_of("max_pool", pool, given.shape[2:])
    room = room_like(backend, x_array, given.shape, dtype)
    y = room_like(backend, room, (*given.shape[:2], *places), dtype)
    operands, _ = given.operands()
    bias = None if given.b is None else given.b.array
    backend.conv_pooled(*operands, bias, window, groups, given.activation, pool, room, y, given.scalars)
    return result("conv_pooled", y, backend, [t for t in (given.x, given.w, given.b) if t is not None], _never)


def _never(dy: Any, into: Sequence[Gradient | None]) -> list[Any]:
    raise AssertionError("conv_pooled is not on the tape")


class _Given(NamedTuple):
    """The arguments of a convolution, checked and of one type; ``shape`` is that of its result."""

    x: Tensor
    w: Tensor
    b: Tensor | None
    activation: str
    scalars: tuple[float, ...]
    shape: Shape

    def operands(self) -> tuple[tuple[Any, Any], str | None]:
        """The arrays to multiply, under ``autocast`` rounded; and to which type."""
        backend, half = self.x.backend, autocast_type() if self.x.dtype == dtypes.float32 else None
        x, w = (t.array if half is None else backend.rounded(t.array, half) for t in (self.x, self.w))
        return (x, w), half


def _given(
    x: Tensor, w: Tensor, b: Tensor | None, window: Window, groups: int, activation: str | None,
    scalars: dict[str, float],
) -> _Given:  # fmt: skip
    name = present(activation or "identity")
    if name not in ACTIVATIONS:
        raise UnknownNameError("activation", name, ACTIVATIONS)
    same_backend("conv", x, w, *([] if b is None else [b]))
    check_float("conv", x)
    x, w, b = _of_one_type(x, w, b)
    check_channels("conv", x, w, groups, w.shape[1] * groups)
    check_bias("conv", b, w.shape[0])
    numbers, places = activation_scalars(name, scalars), places_of("conv", window, x.shape[2:])
    return _Given(x, w, b, name, numbers, (x.shape[0], w.shape[0], *places))


def _conv_result(
    name: str, numbers: tuple[float, ...], given: tuple[Tensor, Tensor, Tensor | None], operands: tuple[Any, Any],
    y: Any, z: Any, window: Window, groups: int, half: str | None,
) -> Tensor:  # fmt: skip
    """y = activation(z) on the tape; z is kept where the activation's gradient reads it."""
    (x, w, b), (x_array, w_array), backend, dtype = given, operands, given[0].backend, given[0].dtype
    shape = tuple(y.shape)
    gradient = backend.conv_grad if half is None else functools.partial(_half_conv_grad, backend, half)
    kept = y if z is None else z
    counts = None if half is None else (changes(x), changes(w))

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> list[Any]:
        dz = dy if name == "identity" else room_like(backend, x_array, shape, dtype)
        dx = room_like(backend, x_array, x.shape, dtype) if into[0] is not None else None
        dw, add_w = into[1].place(backend, w.shape, dtype) if into[1] is not None else (None, False)
        bias = into[2] if b is not None else None
        db, add_b = bias.place(backend, b.shape, dtype) if bias is not None and b is not None else (None, False)
        gradient(x_array, w_array, kept, dy, window, groups, name, dz, dx, dw, db, (add_w, add_b), numbers)
        return [dx, None] if b is None else [dx, None, None]

    def rule(dy: Tensor, asked: Asked) -> list[Tensor | None]:
        if counts is not None:
            require_unchanged("conv", (x, w), counts)
        dz = dy
        if name != "identity":
            plain = asked.output(y) if z is None else _conv_result(
                "identity", (), given, operands, z, None, window, groups, half
            )  # fmt: skip
            dz = mapped(f"{ACTIVATIONS[name]}_grad", (dy, plain), numbers)
        with rounding(half):
            dx = conv_transpose(dz, w, None, window, x.shape[2:], groups) if asked.wanted[0] else None
            dw = conv_weights(x, dz, window, groups, w.shape) if asked.wanted[1] else None
        return [dx, dw] if b is None else [dx, dw, _over_places(dz) if asked.wanted[2] else None]

    inputs = (x, w) if b is None else (x, w, b)
    active = (OUTPUT,) if z is None and name != "identity" else ()
    reads = (((w, *active), (x, *active)) if half is None else (active, active)) + ((active,) if b is not None else ())
    return result("conv", y, backend, inputs, pullback, reads, rule)


def _over_places(dz: Tensor) -> Tensor:
    """The gradient of a bias."""
    return OPS["sum"](dz, (0, *range(2, dz.ndim)))


def conv_weights(x: Tensor, dz: Tensor, window: Window, groups: int, shape: Shape) -> Tensor:
    """The gradient of a convolution's weights as an op of its own: x (B, C, *S), dz (B, O, *places)."""
    backend, dtype = x.backend, x.dtype
    half = autocast_type() if dtype == dtypes.float32 else None
    counts = changes(x), changes(dz)
    x_array, dz_array = (t.array if half is None else backend.rounded(t.array, half) for t in (x, dz))

    def gradients(of: Any, weights: Any, dx: Any, dw: Any) -> None:
        never = (False, False)
        backend.conv_grad(x_array, weights, of, of, window, groups, "identity", of, dx, dw, None, never)

    dw = backend.empty(shape, dtype)
    gradients(dz_array, dw, None, dw)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any, Any]:
        weights, dx, ddz = dy if half is None else backend.rounded(dy, half), None, None
        if into[0] is not None:
            dx = room_like(backend, x_array, x.shape, dtype)
            gradients(dz_array, weights, dx, None)
        if into[1] is not None:
            ddz = room_like(backend, x_array, dz.shape, dtype)
            backend.conv(x_array, weights, None, window, groups, "identity", None, ddz)
        return dx, ddz

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor | None, ...]:
        require_unchanged("conv_weights", (x, dz), counts)
        with rounding(half):
            dx = conv_transpose(dz, dy, None, window, x.shape[2:], groups) if asked.wanted[0] else None
            return dx, conv(x, dy, None, window, groups) if asked.wanted[1] else None

    return result("conv_weights", dw, backend, (x, dz), pullback, ((dz,), (x,)) if half is None else (), rule)


def _half_conv_grad(
    backend: Backend, half: str, x: Any, w: Any, kept: Any, dy: Any, window: Window, groups: int, activation: str,
    dz: Any, dx: Any, dw: Any, db: Any, add: tuple[bool, bool], scalars: Sequence[float],
) -> None:  # fmt: skip
    """``conv_grad`` under ``autocast``: x and w are rounded, dz is rounded before it is multiplied; db is its sum."""
    if activation != "identity" or db is not None:
        backend.conv_grad(x, w, kept, dy, window, groups, activation, dz, None, None, db, add, scalars)
    if dx is not None or dw is not None:
        operand = backend.rounded(dz, half)
        backend.conv_grad(x, w, operand, operand, window, groups, "identity", operand, dx, dw, None, add)


@op
def conv_transpose(x: Tensor, w: Tensor, b: Tensor | None, window: Window, sizes: Shape, groups: int = 1) -> Tensor:
    """The gradient of a convolution as an op of its own: x (B, C, *places), w (C, O / groups, *kernel), b (O,), result
    (B, O, *sizes).

    Each element of x adds w times itself where the convolution over ``sizes`` places would have looked. Dumoulin and
    Visin, A guide to convolution arithmetic for deep learning, 2016. All are of one float type, or become so. Raises
    DtypeError for whole numbers, ShapeError where sizes do not match.

    >>> import nnkit
    >>> window = Window((2,), (2,), ((0, 0),), (1,))
    >>> conv_transpose(nnkit.tensor([[[3.0, 7.0]]]), nnkit.ones(1, 1, 2), None, window, (4,))
    tensor([[[3., 3., 7., 7.]]])
    """
    backend = same_backend("conv_transpose", x, w, *([] if b is None else [b]))
    check_float("conv_transpose", x)
    x, w, b = _of_one_type(x, w, b)
    check_channels("conv_transpose", x, w, groups, w.shape[0])
    dtype, out = x.dtype, w.shape[1] * groups
    check_bias("conv_transpose", b, out)
    half = autocast_type() if dtype == dtypes.float32 else None
    x_array, w_array = (t.array if half is None else backend.rounded(t.array, half) for t in (x, w))
    y = room_like(backend, x.array, (x.shape[0], out, *sizes), dtype)
    never = (False, False)
    backend.conv_grad(y, w_array, x_array, x_array, window, groups, "identity", x_array, y, None, None, never)
    if b is not None:
        backend.map("add", (y, backend.reshape(b.array, (out, *(1 for _ in sizes)))), (y,))

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> list[Any]:
        dx, dw, add_w = None, None, False
        operand = dy if half is None else backend.rounded(dy, half)
        if into[0] is not None:
            dx = room_like(backend, x_array, x.shape, dtype)
            backend.conv(operand, w_array, None, window, groups, "identity", None, dx)
        if into[1] is not None:
            dw, add_w = into[1].place(backend, w.shape, dtype)
            backend.conv_grad(
                operand, w_array, x_array, x_array, window, groups, "identity", x_array, None, dw, None, (add_w, False)
            )
        if b is None:
            return [dx, None]
        db = backend.empty((out,), dtype)
        backend.reduce("sum", dy, (0, *range(2, 2 + len(sizes))), db)
        return [dx, None, db]

    counts = None if half is None else (changes(x), changes(w))

    def rule(dy: Tensor, asked: Asked) -> list[Tensor | None]:
        if counts is not None:
            require_unchanged("conv_transpose", (x, w), counts)
        with rounding(half):
            dx = conv(dy, w, None, window, groups) if asked.wanted[0] else None
            dw = conv_weights(dy, x, window, groups, w.shape) if asked.wanted[1] else None
        return [dx, dw] if b is None else [dx, dw, _over_places(dy) if asked.wanted[2] else None]

    inputs = (x, w) if b is None else (x, w, b)
    reads = ((w,), (x,), ()) if half is None else ((), (), ())
    return result("conv_transpose", y, backend, inputs, pullback, reads[: len(inputs)], rule)


def _of_one_type(x: Tensor, w: Tensor, b: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    dtype = x.dtype
    for other in (w, b):
        dtype = dtype if other is None else dtypes.promote(dtype, other.dtype)
    return x.to(dtype), w.to(dtype), None if b is None else b.to(dtype)


def check_channels(name: str, x: Tensor, w: Tensor, groups: int, channels: int) -> None:
    """Raises ShapeError where x is not (B, C, *S) for these weights."""
    if x.ndim != w.ndim:
        raise ShapeError(
            f"{name}: expected an input of {w.ndim} axes, samples, channels and {w.ndim - 2} of places, got {x.shape}"
        )
    if x.shape[1] != channels:
        raise ShapeError(
            f"{name}: the input of shape {x.shape} has {x.shape[1]} channels, and the weights of shape {w.shape} in "
            f"{groups} groups take {channels}"
        )
    if w.shape[0] % groups:
        raise ShapeError(f"{name}: {w.shape[0]} channels of the weights {w.shape} are not {groups} equal groups")


def check_bias(name: str, b: Tensor | None, channels: int) -> None:
    """Raises ShapeError for another number of biases than channels come out."""
    if b is not None and b.shape != (channels,):
        raise ShapeError(f"{name}: expected b of shape ({channels},), one for each channel, got {b.shape}")
