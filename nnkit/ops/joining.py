"""Tensors joined, cut apart, brought to one shape: the family of ``stack`` and ``split``. PyTorch's names and rules."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from nnkit.errors import ShapeError
from nnkit.ops import shape
from nnkit.ops.gathering import axis_of, index_select
from nnkit.ops.indexing import getitem
from nnkit.ops.promotion import broadcast_shape
from nnkit.ops.rearranging import select
from nnkit.tensors.creation import arange
from nnkit.tensors.methods import op
from nnkit.tensors.tensor import Tensor

EVERY = slice(None)


# ---- at least so many axes ------------------------------------------------------------------------------------------


def _each(given: tuple[Any, ...], one: Callable[[Tensor], Tensor]) -> Any:
    """What one does to a tensor, or to each of several, given one by one or as a sequence."""
    if len(given) == 1 and isinstance(given[0], Tensor):
        return one(given[0])
    return tuple(map(one, given[0] if len(given) == 1 else given))


def atleast_1d(*tensors: Any) -> Any:
    """Each tensor with at least one axis."""
    return _each(tensors, lambda x: x if x.ndim else shape.reshape(x, (1,)))


def atleast_2d(*tensors: Any) -> Any:
    """Each tensor with at least two axes; a vector is a row."""
    return _each(tensors, lambda x: x if x.ndim > 1 else shape.reshape(x, (1, -1)))


def atleast_3d(*tensors: Any) -> Any:
    """Each tensor with at least three axes; a vector is (1, n, 1), a matrix (m, n, 1)."""
    return _each(tensors, lambda x: x if x.ndim > 2 else shape.reshape(x, (*x.shape, 1) if x.ndim == 2 else (1, -1, 1)))


# ---- joined ---------------------------------------------------------------------------------------------------------


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined as rows, along the first axis.

    >>> from nnkit import tensor
    >>> vstack([tensor([1, 2]), tensor([3, 4])]).shape
    (2, 2)
    """
    return shape.cat([atleast_2d(t) for t in tensors], 0)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined side by side: vectors along their axis, others along the second."""
    parts = [atleast_1d(t) for t in tensors]
    return shape.cat(parts, 0 if parts and parts[0].ndim == 1 else 1)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the third axis."""
    return shape.cat([atleast_3d(t) for t in tensors], 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined side by side, vectors as columns."""
    return shape.cat([shape.reshape(t, (-1, 1)) if t.ndim < 2 else t for t in tensors], 1)


def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with matrices along its diagonal, and 0 elsewhere."""
    blocks = [atleast_2d(t) for t in tensors]
    width = sum(block.shape[1] for block in blocks)
    rows, left = [], 0
    for block in blocks:
        before, behind = block.new_zeros((block.shape[0], left)), width - left - block.shape[1]
        rows.append(shape.cat([before, block, block.new_zeros((block.shape[0], behind))], 1))
        left += block.shape[1]
    return shape.cat(rows, 0)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """Every choice of one element from each of several vectors, as rows."""
    if len(tensors) == 1:
        return tensors[0]
    return shape.stack([shape.reshape(t, (-1,)) for t in meshgrid(*tensors, indexing="ij")], 1)


@op
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """Every choice of r elements of a vector, in order, as rows.

    The vector is of any dtype, and so is the result (count, r). Raises ShapeError for other than one axis, and for r
    below 0. As ``torch.combinations``.
    """
    if input.ndim != 1 or r < 0:
        raise ShapeError(
            f"combinations: expected a vector and r of 0 or more, got shape {tuple(input.shape)} and r = {r}"
        )
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    chosen = list(pick(range(input.numel()), r))
    if not chosen:
        return input.new_empty((0, r))
    places = [place for row in chosen for place in row]
    return shape.reshape(index_select(input, 0, arange(0, device=input.device).new_tensor(places)), (-1, r))


# ---- to one shape ---------------------------------------------------------------------------------------------------


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Each tensor repeated to the shape that they broadcast to; views."""
    sizes = broadcast_shape("broadcast_tensors", *tensors)
    return tuple(shape.expand(t, sizes) for t in tensors)


@op
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """Axes of size 1 and new leading axes repeated; a view."""
    return shape.expand(input, tuple(size))


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """For each of several vectors, its coordinate at every point of the grid that they make; views.

    With "ij" the first vector runs along the first axis, with "xy" along the second.

    >>> from nnkit import tensor
    >>> [t.tolist() for t in meshgrid(tensor([1, 2]), tensor([3, 4]))]
    [[[1, 1], [2, 2]], [[3, 4], [3, 4]]]
    """
    if indexing not in ("ij", "xy"):
        raise ShapeError(f"indexing: expected 'ij' or 'xy', got {indexing!r}")
    vectors = list(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else list(tensors)
    for number, t in enumerate(vectors):
        if t.ndim > 1:
            raise ShapeError(f"meshgrid: expected vectors, got shape {t.shape} as tensors[{number}]")
    swapped = indexing == "xy" and len(vectors) > 1
    if swapped:
        vectors[:2] = vectors[1], vectors[0]
    sizes = [t.numel() for t in vectors]
    grids = [
        shape.expand(shape.reshape(t, tuple(t.numel() if i == k else 1 for i in range(len(sizes)))), sizes)
        for k, t in enumerate(vectors)
    ]
    if swapped:
        grids[:2] = grids[1], grids[0]
    return tuple(grids)


# ---- cut apart ------------------------------------------------------------------------------------------------------


@op
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most so many pieces along an axis, of one size but for the last; views."""
    if chunks < 1:
        raise ShapeError(f"chunks: expected 1 or more, got {chunks}")
    size = input.shape[axis_of(input, dim, "chunk")]
    return shape.split(input, max(-(-size // chunks), 1), dim) if size else tuple(input for _ in range(chunks))


@op
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """So many pieces along an axis, the first ones larger by one where need be; or cut at given places; views."""
    axis = axis_of(input, dim, "tensor_split")
    size, lead = input.shape[axis], (EVERY,) * axis
    cuts = indices_or_sections.tolist() if isinstance(indices_or_sections, Tensor) else indices_or_sections
    if isinstance(cuts, int):
        if cuts < 1:
            raise ShapeError(f"tensor_split: expected 1 section or more, got {cuts}")
        share, larger = divmod(size, cuts)
        ends = [share * k + min(k, larger) for k in range(cuts + 1)]
    else:
        ends = [0, *cuts, size]
    return tuple(getitem(input, (*lead, slice(a, b))) for a, b in itertools.pairwise(ends))


def _split_at(name: str, least: int, axis: int, x: Tensor, cuts: Any) -> tuple[Tensor, ...]:
    if x.ndim < least:
        raise ShapeError(f"{name}: expected a tensor of at least {least} axes, got shape {x.shape}")
    if isinstance(cuts, int) and (cuts < 1 or x.shape[axis] % cuts):
        raise ShapeError(f"{name}: {cuts} sections do not divide {x.shape[axis]}, the size of dim {axis}")
    return tensor_split(x, cuts, axis)


@op
def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Cut into columns: along the second axis, or that of a vector."""
    return _split_at("hsplit", 1, 0 if input.ndim == 1 else 1, input, indices_or_sections)


@op
def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Cut into rows: along the first axis."""
    return _split_at("vsplit", 2, 0, input, indices_or_sections)


@op
def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Cut along the third axis."""
    return _split_at("dsplit", 3, 2, input, indices_or_sections)


@op
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Each part along an axis, without that axis; views."""
    axis = axis_of(input, dim, "unbind")
    if input.ndim == 0:
        raise ShapeError("unbind: expected a tensor of at least one axis, got shape ()")
    return tuple(select(input, axis, i) for i in range(input.shape[axis]))


concat = concatenate = shape.cat
row_stack = vstack
