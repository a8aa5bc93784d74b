"""The same elements in another order, repeated, or beside zeros: flips, rolls, tiles, triangles, diagonals, windows.

PyTorch's names and rules. ``diagonal``, ``narrow`` and their like are views where the elements lie so; the others copy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnkit.errors import ShapeError
from nnkit.ops import shape
from nnkit.ops.axes import axes_of
from nnkit.ops.choice import where
from nnkit.ops.gathering import axis_of, index_select
from nnkit.ops.in_place import copy_into
from nnkit.ops.indexing import getitem, take_rows
from nnkit.tensors import dtypes
from nnkit.tensors.creation import arange, tensor, zeros_like
from nnkit.tensors.methods import op
from nnkit.tensors.tensor import Tensor

EVERY = slice(None)
Ints = int | Sequence[int]


def _several(values: Any) -> tuple[int, ...]:
    return (int(values),) if isinstance(values, int) or not hasattr(values, "__iter__") else tuple(map(int, values))


# ---- turned and shifted ---------------------------------------------------------------------------------------------


@op
def flip(input: Tensor, dims: Ints) -> Tensor:
    """The elements in the opposite order along axes.

    >>> from nnkit import tensor
    >>> flip(tensor([1, 2, 3]), 0)
    tensor([3, 2, 1])
    """
    axes = axes_of(input, _several(dims), "flip")
    if not axes:
        return shape.clone(input)
    turned = slice(None, None, -1)
    return shape.clone(getitem(input, tuple(turned if i in axes else EVERY for i in range(input.ndim))))


@op
def fliplr(input: Tensor) -> Tensor:
    """The columns in the opposite order: ``flip`` along axis 1."""
    return _flipped("fliplr", input, 1)


@op
def flipud(input: Tensor) -> Tensor:
    """The rows in the opposite order: ``flip`` along axis 0."""
    return _flipped("flipud", input, 0)


def _flipped(name: str, x: Tensor, axis: int) -> Tensor:
    if x.ndim <= axis:
        raise ShapeError(f"{name}: expected a tensor of at least {axis + 1} axes, got shape {x.shape}")
    return flip(x, axis)


@op
def roll(input: Tensor, shifts: Ints, dims: Any = None) -> Tensor:
    """The elements moved along axes; those that leave at the end come in at the beginning.

    Flattened without ``dims``.

    >>> from nnkit import tensor
    >>> roll(tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    steps = _several(shifts)
    if dims is None or (not isinstance(dims, int) and len(_several(dims)) == 0):
        if len(steps) != 1:
            raise ShapeError(f"roll: expected one shift of the flattened tensor, got {steps}; give dims")
        return shape.reshape(roll(shape.reshape(input, (-1,)), steps, 0), input.shape)
    axes = _several(dims)
    if len(axes) != len(steps):
        raise ShapeError(f"roll: expected a shift for each of {len(axes)} dims, got {len(steps)}")
    x = input
    for step, dim in zip(steps, axes, strict=True):
        axis = axis_of(x, dim, "roll")
        size = x.shape[axis]
        cut = (size - step % size) if size else 0
        lead = (EVERY,) * axis
        x = shape.cat([getitem(x, (*lead, slice(cut, None))), getitem(x, (*lead, slice(None, cut)))], axis)
    return x


@op
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned k times by a right angle in the plane of two axes, from the first to the second."""
    first, second = dims
    turned = {
        0: lambda: shape.clone(input),
        1: lambda: shape.transpose(flip(input, second), first, second),
        2: lambda: flip(input, (first, second)),
        3: lambda: flip(shape.transpose(input, first, second), second),
    }[k % 4]()
    return shape.contiguous(turned)


@op
def movedim(input: Tensor, source: Ints, destination: Ints) -> Tensor:
    """Axes moved to other positions, the others in order; a view."""
    given, wanted = _several(source), _several(destination)
    if len(given) != len(wanted):
        raise ShapeError(f"movedim: expected as many destinations as sources, got {source} and {destination}")
    from_, to = ([axis_of(input, d, "movedim") for d in dims] for dims in (given, wanted))
    if len(set(from_)) != len(from_) or len(set(to)) != len(to):
        raise ShapeError(f"movedim: an axis comes twice in {source} or {destination}")
    places = dict(zip(to, from_, strict=True))
    rest = iter(axis for axis in range(input.ndim) if axis not in from_)
    return shape.permute(input, [places[i] if i in places else next(rest) for i in range(input.ndim)])


# ---- repeated -------------------------------------------------------------------------------------------------------


@op
def repeat(input: Tensor, *sizes: Any) -> Tensor:
    """The whole tensor so many times along each axis; further sizes are new leading axes.

    >>> from nnkit import tensor
    >>> repeat(tensor([1, 2]), 2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    times = _several(sizes[0]) if len(sizes) == 1 else tuple(map(int, sizes))
    lead = len(times) - input.ndim
    if lead < 0 or any(n < 0 for n in times):
        raise ShapeError(f"repeat: expected at least {input.ndim} sizes of 0 or more, got {times}")
    whole = (*(1 for _ in range(lead)), *input.shape)
    columns = [size for n in whole for size in (1, n)]
    repeated = [size for n, size in zip(times, whole, strict=True) for size in (n, size)]
    spread = shape.expand(shape.reshape(input, columns), repeated)
    out = shape.reshape(spread, tuple(n * size for n, size in zip(times, whole, strict=True)))
    return shape.clone(out) if out.version is input.version else out


@op
def tile(input: Tensor, *dims: Any) -> Tensor:
    """``repeat``, where missing leading sizes are 1."""
    times = _several(dims[0]) if len(dims) == 1 else tuple(map(int, dims))
    return repeat(input, (1,) * (input.ndim - len(times)) + times)


@op
def repeat_interleave(
    input: Any, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element along an axis so many times, one number for all or a vector; flattened without ``dim``.

    With a vector alone: the number of each element so many times. A vector is read on the host. A Tensor of any dtype,
    which the result has. Raises ShapeError for numbers that do not fit, or an axis that it does not have, TypeError for
    what is no Tensor. As ``torch.repeat_interleave``.

    >>> from nnkit import tensor
    >>> repeat_interleave(tensor([1, 2]), 2), repeat_interleave(tensor([2, 1]))
    (tensor([1, 1, 2, 2]), tensor([0, 0, 1]))
    """
    if repeats is None:
        return repeat_interleave(arange(input.numel(), device=input.device), input, 0)
    x = shape.reshape(input, (-1,)) if dim is None or input.ndim == 0 else input
    axis = axis_of(x, 0 if dim is None else dim, "repeat_interleave")
    if isinstance(repeats, int) or (isinstance(repeats, Tensor) and repeats.numel() == 1):
        count = int(repeats)
        wide = shape.expand(shape.unsqueeze(x, axis + 1), (*x.shape[: axis + 1], count, *x.shape[axis + 1 :]))
        return shape.reshape(wide, (*x.shape[:axis], x.shape[axis] * count, *x.shape[axis + 1 :]))
    counts = repeats.tolist() if isinstance(repeats, Tensor) else list(repeats)
    if len(counts) != x.shape[axis]:
        raise ShapeError(f"repeats: expected one number, or {x.shape[axis]}, got {len(counts)}")
    places = tensor([i for i, n in enumerate(counts) for _ in range(n)], dtype=dtypes.int64, device=x.device)
    return index_select(x, axis, places)


# ---- triangles and diagonals ----------------------------------------------------------------------------------------


def _offsets(x: Tensor, name: str) -> Tensor:
    """For each element of a matrix how far right of the diagonal it lies."""
    if x.ndim < 2:
        raise ShapeError(f"{name}: expected a tensor of at least two axes, got shape {x.shape}")
    rows, columns = x.shape[-2:]
    return arange(columns, device=x.device) - shape.unsqueeze(arange(rows, device=x.device), 1)


@op
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The elements on and below a diagonal of each matrix; 0 elsewhere. ``diagonal`` counts to the right.

    >>> from nnkit import ones
    >>> tril(ones(2, 3))
    tensor([[1., 0., 0.],
            [1., 1., 0.]])
    """
    return where(_offsets(input, "tril") <= diagonal, input, zeros_like(input.detach()))


@op
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The elements on and above a diagonal of each matrix; 0 elsewhere."""
    return where(_offsets(input, "triu") >= diagonal, input, zeros_like(input.detach()))


def _triangle(row: int, col: int, keep: Any, dtype: Any, device: Any) -> Tensor:
    places = [[i, j] for i in range(row) for j in range(col) if keep(j - i)]
    flat = [[i for i, _ in places], [j for _, j in places]]
    return tensor(flat, dtype=dtypes.int64 if dtype is None else dtype, device=device)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The rows and the columns of the elements that ``tril`` keeps: int64 (2, count).

    As ``torch.tril_indices``. Raises DtypeError for an unknown ``dtype``.
    """
    return _triangle(row, col, lambda right: right <= offset, dtype, device)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The rows and the columns of the elements that ``triu`` keeps: int64 (2, count).

    As ``torch.triu_indices``. Raises DtypeError for an unknown ``dtype``.
    """
    return _triangle(row, col, lambda right: right >= offset, dtype, device)


@op
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The elements on a diagonal of the matrices of two axes, as the last axis; a view where the elements lie in order.

    >>> from nnkit import arange
    >>> diagonal(arange(6).reshape(2, 3), 1)
    tensor([1, 5])
    """
    first, second = axis_of(input, dim1, "diagonal"), axis_of(input, dim2, "diagonal")
    if input.ndim < 2 or first == second:
        raise ShapeError(f"diagonal: expected two different axes, got {dim1} and {dim2} of shape {input.shape}")
    x = movedim(input, (first, second), (-2, -1))
    rows, columns = x.shape[-2:]
    count = max(min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns), 0)
    start = offset if offset >= 0 else -offset * columns
    flat = shape.reshape(x, (*x.shape[:-2], rows * columns))
    if not count:
        return getitem(flat, (Ellipsis, slice(0, 0)))
    return getitem(flat, (Ellipsis, slice(start, start + (count - 1) * (columns + 1) + 1, columns + 1)))


@op
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last axis as a diagonal of new matrices, whose axes are dim1 and dim2; 0 elsewhere."""
    if not input.ndim:
        raise ShapeError("diag_embed: expected a tensor of at least one axis, got shape ()")
    size = input.shape[-1] + abs(offset)
    first, second = (axis_of(shape.unsqueeze(input, 0), dim, "diag_embed") for dim in (dim1, dim2))
    if first == second:
        raise ShapeError(f"diag_embed: expected two different axes, got {dim1} and {dim2}")
    columns = arange(size, device=input.device)
    right = columns - shape.unsqueeze(columns, 1)
    along = columns - max(offset, 0)  # the element of each column's place on the diagonal
    lead = along.clamp(0, max(input.shape[-1] - 1, 0))
    spread = shape.unsqueeze(index_select(input, -1, lead), -2) if input.shape[-1] else input.new_zeros((1, 1))
    matrix = where(right == offset, spread, input.new_zeros(()))
    return movedim(matrix, (-2, -1), (first, second))


@op
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A matrix with a vector on its diagonal, or the diagonal of a matrix, in memory of its own."""
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim != 2:
        raise ShapeError(f"diag: expected a tensor of one or two axes, got shape {input.shape}")
    return shape.clone(_DIAGONAL(input, diagonal))


_DIAGONAL = diagonal


@op
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """A matrix with the elements of a tensor on its diagonal."""
    return diag_embed(shape.reshape(input, (-1,)), offset)


@op
def fill_diagonal(input: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """A matrix, or a cube of several axes, with another value on its main diagonal; ``wrap`` begins anew below it.

    A Tensor of any dtype, which the result has. Raises ShapeError for one axis, and for more than two of unlike sizes,
    DtypeError for a value that is no number. Source: ``torch.Tensor.fill_diagonal_``.

    >>> import nnkit
    >>> fill_diagonal(nnkit.zeros(2, 2), 3.0)
    tensor([[3., 0.],
            [0., 3.]])
    """
    if input.ndim < 2 or (input.ndim > 2 and len(set(input.shape)) > 1):
        raise ShapeError(f"fill_diagonal_: expected a matrix, or axes of one size, got shape {input.shape}")
    step = sum(math.prod(input.shape[i + 1 :]) for i in range(input.ndim))
    end = input.numel() if wrap or input.ndim > 2 else min(input.numel(), input.shape[1] ** 2)
    out = shape.reshape(shape.clone(input), (-1,))
    copy_into(getitem(out, slice(0, end, step)), fill_value)
    return shape.reshape(out, input.shape)


# ---- parts ----------------------------------------------------------------------------------------------------------


@op
def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """``length`` parts along an axis, from ``start`` on; a view.

    Raises ShapeError where they are not there.
    """
    axis = axis_of(input, dim, "narrow")
    size, first = input.shape[axis], int(start)
    first = first + size if first < 0 else first
    if length < 0 or not 0 <= first <= size or first + length > size:
        raise ShapeError(f"narrow: {length} from {start} on do not fit in dim {dim} of size {size}")
    return getitem(input, (*(EVERY,) * axis, slice(first, first + length)))


@op
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The part of a number along an axis, without that axis; a view."""
    axis = axis_of(input, dim, "select")
    if input.ndim == 0 or not -input.shape[axis] <= index < input.shape[axis]:
        raise IndexError(f"select: index {index} is out of range for dim {dim} of shape {input.shape}")
    return getitem(input, (*(EVERY,) * axis, int(index)))


@op
def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of ``size`` elements along an axis, ``step`` apart, which make a new last axis; PyTorch's are a view.

    >>> from nnkit import arange
    >>> unfold(arange(4), 0, 2, 1)
    tensor([[0, 1],
            [1, 2],
            [2, 3]])
    """
    x = shape.reshape(input, (1,)) if input.ndim == 0 else input
    axis = axis_of(x, dimension, "unfold")
    if step < 1 or not 0 <= size <= x.shape[axis]:
        raise ShapeError(
            f"unfold: expected a step above 0 and a size of at most {x.shape[axis]}, got {step} and {size}"
        )
    count = (x.shape[axis] - size) // step + 1
    first = shape.unsqueeze(arange(count, device=x.device) * step, 1)
    places = shape.reshape(first + arange(size, device=x.device), (-1,))
    front = shape.transpose(x, 0, axis)
    rows = shape.transpose(take_rows(front, places, checked=True), 0, axis)
    parts = shape.reshape(rows, (*x.shape[:axis], count, size, *x.shape[axis + 1 :]))
    return movedim(parts, axis + 1, -1)


@op
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One axis as several; one of ``sizes`` may be -1."""
    axis = axis_of(input, dim, "unflatten")
    known = math.prod(n for n in sizes if n != -1)
    size = input.shape[axis]
    if (list(sizes).count(-1) == 1 and (not known or size % known)) or (-1 not in sizes and known != size):
        raise ShapeError(f"unflatten: sizes {tuple(sizes)} do not multiply to {size}, the size of dim {dim}")
    full = tuple(size // known if n == -1 else int(n) for n in sizes)
    return shape.reshape(input, (*input.shape[:axis], *full, *input.shape[axis + 1 :]))
