"""Making tensors of random numbers, drawn on the device. PyTorch's names and arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnkit.errors import DtypeError, ShapeError
from nnkit.kernels.philox import PURPOSES
from nnkit.tensors import dtypes, random
from nnkit.tensors.creation import blank, shape_of
from nnkit.tensors.shares import part_of
from nnkit.tensors.tensor import Tensor


def _blank_floats(name: str, shape: tuple[int, ...], dtype: Any, device: Any) -> Tensor:
    out = blank(shape, dtype, device)
    if not out.is_floating_point():
        raise DtypeError(f"{name}: expected a float type, got {out.dtype}; for whole numbers there is randint")
    return out


def rand(
    *sizes: Any, size: Any = None, generator: random.Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Uniform numbers in [0, 1), drawn on the device from ``generator``; equal to the bit on every device.

    float32 unless ``dtype`` is given, of any shape. Raises ShapeError for sizes below 0, TypeError for what are no
    sizes, DtypeError for a type of whole numbers. As ``torch.rand``.

    >>> rand(2, 3).shape
    (2, 3)
    """
    shape = shape_of(sizes, size)
    part = part_of(shape)
    if part is not None:  # those of the whole batch, of which these are some
        axis, start, rows = part.axis, part.start, shape[part.axis]
        shape = (*shape[:axis], part.whole, *shape[axis + 1 :])
    out = _blank_floats("rand", shape, dtype, device)
    with random.using(generator):
        out.backend.uniform(random.current().next_key(out.backend), PURPOSES["sample"], out.array)
    if part is not None:
        out = out[(slice(None),) * axis + (slice(start, start + rows),)].clone()
    return out.requires_grad_(requires_grad)


def randn(
    *sizes: Any, size: Any = None, generator: random.Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Standard normal numbers, drawn on the device by the Box-Muller transform of two uniforms.

    float32 unless ``dtype`` is given, of any shape. Raises ShapeError for sizes below 0, TypeError for what are no
    sizes, DtypeError for a type of whole numbers. As ``torch.randn``.

    >>> randn(2, 3).shape
    (2, 3)
    """
    out = _blank_floats("randn", shape_of(sizes, size), dtype, device)
    u, v = (rand(out.shape, generator=generator, dtype=out.dtype, device=out.device) for _ in range(2))
    out.backend.map("box_muller", (u.array, v.array), (out.array,))
    return out.requires_grad_(requires_grad)


def rand_like(
    x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    generator: random.Generator | None = None,
) -> Tensor:  # fmt: skip
    """Uniform numbers in the shape, type and device of ``x``.

    Its dtype is that of ``x`` unless given. Raises TypeError where ``x`` is no Tensor, DtypeError for a type of whole
    numbers. As ``torch.rand_like``.

    >>> rand_like(rand(2, 3)).shape
    (2, 3)
    """
    return rand(
        x.shape, generator=generator, dtype=dtype or x.dtype, device=device or x.device, requires_grad=requires_grad
    )


def randn_like(
    x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    generator: random.Generator | None = None,
) -> Tensor:  # fmt: skip
    """Standard normal numbers in the shape, type and device of ``x``.

    Its dtype is that of ``x`` unless given. Raises TypeError where ``x`` is no Tensor, DtypeError for a type of whole
    numbers. As ``torch.randn_like``.

    >>> randn_like(rand(2, 3)).shape
    (2, 3)
    """
    return randn(
        x.shape, generator=generator, dtype=dtype or x.dtype, device=device or x.device, requires_grad=requires_grad
    )


def randint(
    low: int, high: Any = None, size: Any = None, *, generator: random.Generator | None = None, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Whole numbers from low to high - 1 (from 0 to low - 1 with one bound), int64, drawn on the device.

    Raises ShapeError where there is no number from low to high - 1. As ``torch.randint``, of shape ``size``.

    >>> randint(3, (2,)).shape, randint(1, 2, (2,))
    ((2,), tensor([1, 1]))
    """
    if isinstance(high, Sequence):  # randint(high, size)
        high, size = None, high
    first, last = (0, int(low)) if high is None else (int(low), int(high))
    if last <= first:
        raise ShapeError(f"high: expected more than low = {first}, got {last}")
    bits = _bits(shape_of((() if size is None else size,)), device, generator)
    drawn = bits % (last - first) + first
    return drawn.to(dtypes.int64 if dtype is None else dtype).requires_grad_(requires_grad)


def _bits(shape: tuple[int, ...], device: Any, generator: random.Generator | None) -> Tensor:
    """63 random bits in each element."""
    out = blank((math.prod(shape),), dtypes.int64, device)
    with random.using(generator):
        out.backend.random_bits(random.next_key(out.backend), PURPOSES["shuffle"], out.array)
    return out.reshape(shape)


def randperm(
    n: int, *, generator: random.Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """0 … n - 1 in random order, int64: the places of random numbers in order, drawn on the device.

    A vector. Raises ValueError for n below 0. As ``torch.randperm``.

    >>> randperm(4).shape
    (4,)
    """
    bits = _bits((int(n),), device, generator)
    backend = bits.backend
    values, places = backend.empty(bits.shape, bits.dtype), backend.empty(bits.shape, dtypes.int64)
    backend.sort(bits.array, 0, False, values, places)
    return Tensor(places, backend).to(dtypes.int64 if dtype is None else dtype).requires_grad_(requires_grad)
