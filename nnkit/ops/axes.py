"""Axes that are reduced: which, what is left of a shape, and spreading a gradient over them again."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from nnkit.backends.precision import is_half
from nnkit.errors import ShapeError
from nnkit.tensors import dtypes
from nnkit.tensors.methods import Dims
from nnkit.tensors.tensor import Tensor

F = TypeVar("F", bound=Callable[..., Tensor])


def axes_of(x: Tensor, dim: Dims, name: str) -> tuple[int, ...]:
    """``dim`` as sorted axes from 0. Raises ShapeError when one is out of range or comes twice."""
    if dim is None:
        return tuple(range(x.ndim))
    given = (dim,) if isinstance(dim, int) else tuple(dim)
    rank = builtins.max(x.ndim, 1)
    for axis in given:
        if not -rank <= axis < rank:
            raise ShapeError(f"{name}: dim {axis} is out of range for a tensor of shape {x.shape}")
    axes = tuple(sorted(axis % rank for axis in given))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: dim {given} names an axis twice")
    return axes if x.ndim else ()


def kept_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if i in axes else size for i, size in enumerate(shape))


def dropped_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for i, size in enumerate(shape) if i not in axes)


def reduced(kind: str, x: Tensor, axes: tuple[int, ...], keepdim: bool, dtype: np.dtype) -> Any:
    out = x.backend.empty((kept_shape if keepdim else dropped_shape)(x.shape, axes), dtype)
    x.backend.reduce(kind, x.array, axes, out)
    return out


def spread(x: Tensor, dy: Any, axes: tuple[int, ...]) -> Any:
    """A gradient of a reduced tensor, repeated over the axes that were reduced; a view."""
    return x.backend.broadcast_to(x.backend.reshape(dy, kept_shape(x.shape, axes)), x.shape)


def spread_tensor(x: Tensor, dy: Tensor, axes: tuple[int, ...]) -> Tensor:
    """``spread`` of a tensor, on the tape."""
    return dy.reshape(kept_shape(x.shape, axes)).expand(x.shape)


def in_float32(function: F) -> F:
    """Half types are computed in float32, as PyTorch does: their sums and squares would soon be infinite."""

    @functools.wraps(function)
    def computed(x: Tensor, *args: Any, **options: Any) -> Tensor:
        if not is_half(x.dtype):
            return function(x, *args, **options)
        return function(x.to(dtypes.float32), *args, **options).to(x.dtype)

    return computed  # type: ignore[return-value]


def floats(x: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.to(dtypes.get_default_dtype())
