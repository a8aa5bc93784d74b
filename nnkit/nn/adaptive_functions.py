"""Pools to a given size as functions: PyTorch's definitions, names and defaults.

An input is (B, C, *S), or (C, *S) without samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nnkit import ops
from nnkit.backends.windows import Window
from nnkit.errors import ShapeError
from nnkit.nn.sizes import numbers
from nnkit.nn.windowed_functions import batched
from nnkit.tensors.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
]


def _adaptive(
    name: str, axes: int, input: Tensor, output_size: Any, pool: Callable[[Tensor, Window], Tensor],
    of_part: Callable[[Tensor, int], Tensor],
) -> Tensor:  # fmt: skip
    """A pool whose windows split each axis as evenly as they can: window i begins at i S // P, and may overlap."""

    def of(x: Tensor) -> Tensor:
        sizes = x.shape[2:]
        given = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * axes
        wanted = numbers("output_size", [n if p is None else p for p, n in zip(given, sizes, strict=True)], axes)
        if any(n == 0 for n in sizes):
            raise ShapeError(f"{name}: the input of shape {x.shape} has no places")
        if all(n % p == 0 for n, p in zip(sizes, wanted, strict=True)):
            kernel = tuple(n // p for n, p in zip(sizes, wanted, strict=True))
            return pool(x, Window(kernel, kernel, ((0, 0),) * axes, (1,) * axes))
        for axis, (n, p) in enumerate(zip(sizes, wanted, strict=True), 2):
            if n != p:
                spans = [(k * n // p, -(-(k + 1) * n // p)) for k in range(p)]
                before = (slice(None),) * axis
                x = ops.cat([of_part(x[(*before, slice(*span))], axis) for span in spans], dim=axis)
        return x

    return batched(name, input, axes, of)


def _mean_pool(x: Tensor, window: Window) -> Tensor:
    if window.kernel == x.shape[2:]:
        return x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)
    return ops.sum_pool(x, window, 1.0 / math.prod(window.kernel))


def _adaptive_avg(axes: int, input: Tensor, output_size: Any) -> Tensor:
    def of_part(x: Tensor, axis: int) -> Tensor:
        return x.mean(dim=axis, keepdim=True)

    return _adaptive(f"adaptive_avg_pool{axes}d", axes, input, output_size, _mean_pool, of_part)


def _adaptive_max(axes: int, input: Tensor, output_size: Any, return_indices: bool) -> Tensor:
    name = f"adaptive_max_pool{axes}d"
    if return_indices:
        raise NotImplementedError(f"{name}: return_indices=True is not supported")
    pool = ops.max_pool
    return _adaptive(name, axes, input, output_size, pool, lambda x, axis: x.max(dim=axis, keepdim=True).values)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The means of ``output_size`` windows that split the places evenly: (B, C, L) -> (B, C, output_size).

    >>> import nnkit
    >>> adaptive_avg_pool1d(nnkit.tensor([[[1.0, 2.0, 3.0]]]), 2).tolist()
    [[[1.5, 2.5]]]
    """
    return _adaptive_avg(1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The same of images: (B, C, H, W) -> (B, C, *output_size); None keeps an axis.

    >>> import nnkit
    >>> adaptive_avg_pool2d(nnkit.arange(4.0).reshape(1, 1, 2, 2), 1).item()
    1.5
    """
    return _adaptive_avg(2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """The same of volumes.

    >>> import nnkit
    >>> adaptive_avg_pool3d(nnkit.zeros(1, 3, 4, 6, 8), 2).shape
    (1, 3, 2, 2, 2)
    """
    return _adaptive_avg(3, input, output_size)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    """The greatest elements of ``output_size`` windows that split the places evenly.

    >>> import nnkit
    >>> adaptive_max_pool1d(nnkit.tensor([[[1.0, 2.0, 3.0]]]), 2).tolist()
    [[[2.0, 3.0]]]
    """
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    """The same of images: (B, C, H, W) -> (B, C, *output_size).

    >>> import nnkit
    >>> adaptive_max_pool2d(nnkit.tensor([[[1.0, 4.0], [3.0, 2.0]]]), 1).item()
    4.0
    """
    return _adaptive_max(2, input, output_size, return_indices)
