"""Pools and patches of images, signals and volumes: (B, C, *S), by windows; and padding.

What PyTorch's arguments mean, a ``Window`` says; ``nnkit.nn.functional`` makes it of them. Arrays whose channels lie
last in memory (Keras's order, seen through ``permute``) give results that lie so, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.windows import Window
from nnkit.errors import ShapeError
from nnkit.ops.elementwise import check_float
from nnkit.ops.indexing import add_rows
from nnkit.tensors import dtypes
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import OPS, op
from nnkit.tensors.results import Asked, result
from nnkit.tensors.tape import is_grad_enabled
from nnkit.tensors.tensor import Tensor

Shape = tuple[int, ...]


def room_like(backend: Backend, x: Any, shape: Shape, dtype: Any) -> Any:
    """Memory for an array (B, C, *S) whose channels lie last where x's do."""
    if len(shape) < 3 or backend.is_contiguous(x):
        return backend.empty(shape, dtype)
    back = (0, *range(2, len(shape)), 1)
    if not backend.is_contiguous(backend.permute(x, back)):
        return backend.empty(shape, dtype)
    return backend.permute(
        backend.empty(tuple(shape[k] for k in back), dtype), (0, len(shape) - 1, *range(1, len(shape) - 1))
    )


def places_of(name: str, window: Window, sizes: Shape) -> Shape:
    """How many windows there are along each axis. Raises ShapeError where none fits."""
    places = window.places(sizes)
    if any(n < 1 for n in places):
        padded, reach = window.padded(sizes), window.reach()
        raise ShapeError(
            f"{name}: the kernel reaches over {_sizes(reach)} places, and the input has {_sizes(padded)} with its "
            "padding: use a larger input, a smaller kernel or dilation, or more padding"
        )
    return places


def _sizes(sizes: Shape) -> str:
    return " x ".join(map(str, sizes))


# ---- pools ----------------------------------------------------------------------------------------------------------


@op
def max_pool(x: Tensor, window: Window) -> Tensor:
    """The greatest element in each window, and NaN where there is one: x (B, C, *S), result (B, C, *places).

    The gradient goes to the first of the greatest elements. The dtype is that of x. Raises DtypeError for whole
    numbers, ShapeError where no window fits. Source: nnkit's own, behind ``torch.nn.functional.max_pool2d``.

    >>> import nnkit
    >>> window = Window((2,), (2,), ((0, 0),), (1,))
    >>> max_pool(nnkit.tensor([[[1.0, 4.0, 3.0, 2.0]]]), window)
    tensor([[[4., 3.]]])
    """
    check_float("max_pool", x)
    backend, shape = x.backend, (*x.shape[:2], *places_of("max_pool", window, x.shape[2:]))
    y, wanted = room_like(backend, x.array, shape, x.dtype), is_grad_enabled() and x.requires_grad
    places = room_like(backend, x.array, shape, dtypes.int64) if wanted else None
    backend.max_pool(x.array, window, y, places)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = room_like(backend, y, x.shape, x.dtype)
        backend.max_pool_grad(dy, places, window, dx)
        return (dx,)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor]:
        area = math.prod(x.shape[2:])
        first = np.arange(math.prod(shape[:2]), dtype=np.int64).reshape(*shape[:2], *(1 for _ in shape[2:])) * area
        rows = OPS["add"](Tensor(places, backend), Tensor(backend.asarray(first), backend)).reshape(-1)
        return (add_rows(dy.reshape(-1), rows, (x.numel(),)).reshape(x.shape),)

    return result("max_pool", y, backend, (x,), pullback, (), rule)


@op
def sum_pool(x: Tensor, window: Window, factor: float = 1.0) -> Tensor:
    """factor times the sum of the elements in each window, 0 for padding: x (B, C, *S), result (B, C, *places).

    The dtype is that of x. Raises DtypeError for whole numbers, ShapeError where no window fits. Source: nnkit's own,
    behind ``torch.nn.functional.avg_pool2d``.

    >>> import nnkit
    >>> window = Window((2,), (2,), ((0, 0),), (1,))
    >>> sum_pool(nnkit.tensor([[[1.0, 4.0, 3.0, 2.0]]]), window, factor=0.5)
    tensor([[[2.5, 2.5]]])
    """
    check_float("sum_pool", x)
    backend, shape = x.backend, (*x.shape[:2], *places_of("sum_pool", window, x.shape[2:]))
    y = room_like(backend, x.array, shape, x.dtype)
    backend.sum_pool(x.array, window, factor, y)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = room_like(backend, y, x.shape, x.dtype)
        backend.sum_pool_grad(dy, window, factor, dx)
        return (dx,)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor]:
        return (spread_pool(dy, window, factor, x.shape[2:]),)

    return result("sum_pool", y, backend, (x,), pullback, (), rule)


def spread_pool(x: Tensor, window: Window, factor: float, sizes: Shape) -> Tensor:
    """The gradient of ``sum_pool`` as an op of its own: x (B, C, *places), result (B, C, *sizes)."""
    backend = x.backend
    y = room_like(backend, x.array, (*x.shape[:2], *sizes), x.dtype)
    backend.sum_pool_grad(x.array, window, factor, y)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = room_like(backend, y, x.shape, x.dtype)
        backend.sum_pool(dy, window, factor, dx)
        return (dx,)

    return result("spread_pool", y, backend, (x,), pullback, (), lambda dy, asked: (sum_pool(dy, window, factor),))


# ---- patches --------------------------------------------------------------------------------------------------------


@op
def patches(x: Tensor, window: Window) -> Tensor:
    """What each window sees: x (B, C, *S), result (B, C, taps, *places).

    The dtype is that of x. Raises DtypeError for whole numbers, ShapeError where no window fits. Source: nnkit's own,
    behind ``torch.nn.functional.unfold``.

    >>> import nnkit
    >>> window = Window((2,), (2,), ((0, 0),), (1,))
    >>> patches(nnkit.tensor([[[1.0, 2.0, 3.0, 4.0]]]), window)
    tensor([[[[1., 3.],
              [2., 4.]]]])
    """
    check_float("patches", x)
    backend, places = x.backend, places_of("patches", window, x.shape[2:])
    y = backend.empty((*x.shape[:2], math.prod(window.kernel), *places), x.dtype)
    backend.patches(x.array, window, y)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = backend.empty(x.shape, x.dtype)
        backend.patches_grad(dy, window, dx)
        return (dx,)

    return result("patches", y, backend, (x,), pullback, (), lambda dy, asked: (sum_patches(dy, window, x.shape[2:]),))


@op
def sum_patches(x: Tensor, window: Window, sizes: Shape) -> Tensor:
    """The sum at each place of what windows see of it: x (B, C, taps, *places), result (B, C, *sizes).

    The dtype is that of x; the caller knows that places and sizes match. Raises DtypeError for whole numbers. Source:
    nnkit's own, behind ``torch.nn.functional.fold``.

    >>> import nnkit
    >>> window = Window((2,), (2,), ((0, 0),), (1,))
    >>> sum_patches(nnkit.tensor([[[[1.0, 3.0], [2.0, 4.0]]]]), window, (4,))
    tensor([[[1., 2., 3., 4.]]])
    """
    check_float("sum_patches", x)
    backend = x.backend
    y = backend.empty((*x.shape[:2], *sizes), x.dtype)
    backend.patches_grad(x.array, window, y)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = backend.empty(x.shape, x.dtype)
        backend.patches(dy, window, dx)
        return (dx,)

    return result("sum_patches", y, backend, (x,), pullback, (), lambda dy, asked: (patches(dy, window),))


# ---- padding --------------------------------------------------------------------------------------------------------


@op
def pad_with(x: Tensor, padding: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """x with so many elements of ``value`` before and behind each of its axes.

    x has any shape and dtype, which the result has. Raises ValueError where there is not one pair for each axis.
    Source: nnkit's own, behind ``torch.nn.functional.pad``.

    >>> import nnkit
    >>> pad_with(nnkit.tensor([1, 2]), [(1, 2)])
    tensor([0, 1, 2, 0, 0])
    """
    shape = tuple(before + n + behind for n, (before, behind) in zip(x.shape, padding, strict=True))
    inside = tuple(slice(before, before + n) for n, (before, _) in zip(x.shape, padding, strict=True))
    backend = x.backend
    y = room_like(backend, x.array, shape, x.dtype)
    backend.fill(value, y)
    backend.copy(x.array, y[inside])

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = room_like(backend, dy, x.shape, x.dtype)
        backend.copy(dy[inside], dx)
        return (dx,)

    return result("pad_with", y, backend, (x,), pullback, (), lambda dy, asked: (dy[inside],))
