"""The same elements in another shape, order or number: reshape, transpose, join, split, repeat, pad."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.keras.ops.reducing import sum as total
from nnkit.keras.ops.types import axes_of, convert_to_tensor, of_type, to_list, together
from nnkit.nn import functional
from nnkit.tensors import dtypes
from nnkit.tensors.tensor import Tensor


def reshape(x: Any, newshape: Any) -> Tensor:
    """The elements in their order in another shape, one entry of which may be -1: what is left over."""
    return ops.reshape(convert_to_tensor(x), to_list(newshape))


def ravel(x: Any) -> Tensor:
    """All elements in one row."""
    return ops.reshape(convert_to_tensor(x), (-1,))


def transpose(x: Any, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in another order; turned around without one.

    >>> import nnkit
    >>> transpose(nnkit.zeros(2, 3, 4)).shape
    (4, 3, 2)
    """
    x = convert_to_tensor(x)
    return ops.permute(x, axes_of(axes, x.ndim) if axes is not None else tuple(range(x.ndim))[::-1])


def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    """Two axes in each other's place."""
    return ops.transpose(convert_to_tensor(x), axis1, axis2)


def moveaxis(x: Any, source: Any, destination: Any) -> Tensor:
    """Axes at other places."""
    return ops.movedim(convert_to_tensor(x), source, destination)


def expand_dims(x: Any, axis: Any) -> Tensor:
    """New axes of size 1, at these places of the result."""
    x = convert_to_tensor(x)
    for place in sorted(axes_of(axis, x.ndim + (1 if isinstance(axis, int) else len(axis)))):
        x = ops.unsqueeze(x, place)
    return x


def squeeze(x: Any, axis: Any = None) -> Tensor:
    """Without axes of size 1: without these, or without all.

    Raises ValueError where one is larger.
    """
    x = convert_to_tensor(x)
    if axis is None:
        return ops.squeeze(x)
    axes = axes_of(axis, x.ndim)
    if builtins.any(x.shape[k] != 1 for k in axes):
        raise ValueError(f"squeeze: axis {axis!r} must have size 1; x has shape {tuple(x.shape)}")
    return ops.reshape(x, [n for k, n in enumerate(x.shape) if k not in axes])


def broadcast_to(x: Any, shape: Any) -> Tensor:
    """x as if it were repeated along axes of size 1."""
    return ops.broadcast_to(convert_to_tensor(x), to_list(shape))


def flip(x: Any, axis: Any = None) -> Tensor:
    """From the end to the beginning, along one axis, several or all."""
    x = convert_to_tensor(x)
    return ops.flip(x, axes_of(axis, x.ndim))


def fliplr(x: Any) -> Tensor:
    """Turned around along axis 1."""
    return flip(x, 1)


def flipud(x: Any) -> Tensor:
    """Turned around along axis 0."""
    return flip(x, 0)


def roll(x: Any, shift: Any, axis: Any = None) -> Tensor:
    """Shifted along axes; what falls out at the end comes in at the front."""
    return ops.roll(convert_to_tensor(x), shift, axis)


def rot90(array: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """Turned by ``k`` times 90 degrees, from the first of the axes to the second."""
    return ops.rot90(convert_to_tensor(array), k, axes)


def view(x: Any, dtype: Any = None) -> Tensor:
    """Refused but for the type that x has: memory is not read as another type."""
    x = convert_to_tensor(x)
    if dtype is not None and of_type(dtype) != x.dtype:
        raise ValueError(f"view: memory of {x.dtype} is not read as {dtype}; cast(x, dtype) converts the numbers")
    return x


# ---- joining and splitting ------------------------------------------------------------------------------------------


def _alike(xs: Sequence[Any]) -> list[Tensor]:
    parts = [convert_to_tensor(x) for x in xs]
    return together(*parts)


def concatenate(xs: Sequence[Any], axis: int | None = 0) -> Tensor:
    """Tensors one behind the other along an axis, in their common type.

    >>> concatenate([[1, 2], [0.5]]).tolist()
    [1.0, 2.0, 0.5]
    """
    parts = _alike(xs)
    return ops.cat([ravel(part) for part in parts], 0) if axis is None else ops.cat(parts, axis)


def stack(x: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    return ops.stack(_alike(x), axis)


def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Tensor]:
    """The parts along an axis, without it."""
    return list(ops.unbind(convert_to_tensor(x), axis))


def append(x1: Any, x2: Any, axis: int | None = None) -> Tensor:
    """x2 behind x1 along an axis; with None, all in one row."""
    return concatenate([x1, x2], axis)


def hstack(xs: Sequence[Any]) -> Tensor:
    """Joined along axis 1; vectors along axis 0."""
    parts = [ops.atleast_1d(part) for part in _alike(xs)]
    return ops.cat(parts, 0 if parts[0].ndim == 1 else 1)


def vstack(xs: Sequence[Any]) -> Tensor:
    """Joined along axis 0, vectors as rows."""
    return ops.cat([ops.atleast_2d(part) for part in _alike(xs)], 0)


def dstack(xs: Sequence[Any]) -> Tensor:
    """Joined along axis 2, matrices with a last axis of size 1."""
    return ops.cat([ops.atleast_3d(part) for part in _alike(xs)], 2)


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Parts of equal size along an axis, or cut at these places.

    >>> [part.tolist() for part in split([1, 2, 3, 4], [1, 3])]
    [[1], [2, 3], [4]]
    """
    x = convert_to_tensor(x)
    size = x.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)) and size % int(indices_or_sections):
        raise ValueError(
            f"split: axis {axis} of shape {tuple(x.shape)} cannot be cut into {indices_or_sections} equal parts; "
            "array_split makes parts of unequal size"
        )
    return array_split(x, indices_or_sections, axis)


def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Parts along an axis, of equal size or one longer, or cut at these places."""
    cut = indices_or_sections
    cut = int(cut) if isinstance(cut, (int, np.integer)) else to_list(cut)
    return list(ops.tensor_split(convert_to_tensor(x), cut, axis))


def hsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """:func:`split` along axis 1; of vectors along axis 0."""
    x = convert_to_tensor(x)
    return split(x, indices_or_sections, 0 if x.ndim == 1 else 1)


def vsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """:func:`split` along axis 0."""
    return split(x, indices_or_sections, 0)


def dsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """:func:`split` along axis 2."""
    return split(x, indices_or_sections, 2)


# ---- repeating and padding ------------------------------------------------------------------------------------------


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Tensor:
    """Each element several times, along an axis; with None, of all in one row."""
    x = convert_to_tensor(x)
    x, axis = (ravel(x), 0) if axis is None else (x, axis)
    counts = to_list(repeats)
    if len(counts) == 1:
        return ops.repeat_interleave(x, counts[0], axis)
    return ops.repeat_interleave(x, convert_to_tensor(np.asarray(counts, np.int64)), axis)


def tile(x: Any, repeats: Any) -> Tensor:
    """The whole several times along each axis."""
    return ops.tile(convert_to_tensor(x), *to_list(repeats))


MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Tensor:
    """More elements before and behind each axis: of one value, or of what is there, as ``numpy.pad`` has it.

    Args:
        x: a tensor.
        pad_width: one number, a pair for all axes, or a pair (before, behind) for each.
        mode: "constant", "edge" (the last element), "reflect" (turned around at it), "symmetric" (behind it), "wrap".
        constant_values: the value; 0 unless given.

    >>> pad([1, 2, 3], (2, 1), "reflect").tolist()
    [3, 2, 1, 2, 3, 2]
    """
    x = convert_to_tensor(x)
    if mode not in MODES:
        raise ValueError(f"pad: mode must be one of {', '.join(MODES)}; got {mode!r}")
    if constant_values is not None and mode != "constant":
        raise ValueError(f"pad: constant_values belongs to mode='constant'; got mode={mode!r}")
    pairs = np.broadcast_to(np.asarray(pad_width, np.int64), (x.ndim, 2)).tolist()
    if mode == "constant" and not builtins.any(before < 0 or behind < 0 for before, behind in pairs):
        kind, x = x.dtype, ops.to(x, dtype=dtypes.int32) if x.dtype == dtypes.bool_ else x
        value = 0 if constant_values is None else constant_values
        value = value.item() if isinstance(value, (Tensor, np.generic)) else value
        return ops.to(ops.pad_with(x, [(a, b) for a, b in pairs], value), dtype=kind)
    for axis, (before, behind) in enumerate(pairs):
        if before or behind:
            places = np.pad(np.arange(x.shape[axis]), (before, behind), mode)  # type: ignore[call-overload]
            x = ops.index_select(x, axis, convert_to_tensor(places))
    return x


# ---- diagonals and triangles ----------------------------------------------------------------------------------------


def diag(x: Any, k: int = 0) -> Tensor:
    """The k-th diagonal of a matrix, or a matrix with a vector on it."""
    return ops.diag(convert_to_tensor(x), k)


def diagflat(x: Any, k: int = 0) -> Tensor:
    """A matrix with all elements on its k-th diagonal."""
    return ops.diagflat(convert_to_tensor(x), k)


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The diagonal along two axes, as the last axis."""
    return ops.diagonal(convert_to_tensor(x), offset, axis1, axis2)


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sum along the diagonal."""
    return total(diagonal(x, offset, axis1, axis2), -1)


def tril(x: Any, k: int = 0) -> Tensor:
    """What stands on and below the k-th diagonal; 0 above."""
    return ops.tril(convert_to_tensor(x), k)


def triu(x: Any, k: int = 0) -> Tensor:
    """What stands on and above the k-th diagonal; 0 below."""
    return ops.triu(convert_to_tensor(x), k)


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers of a vector as columns, the highest first unless ``increasing``."""
    x = convert_to_tensor(x)
    count = x.shape[0] if N is None else N
    powers = convert_to_tensor(np.arange(count) if increasing else np.arange(count)[::-1].copy())
    return ops.pow(ops.unsqueeze(x, -1), ops.to(powers, dtype=x.dtype))


def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> Tensor:
    """Axes named, split, merged and moved, as ``einops.rearrange`` has it: ``"b h w c -> b (h w) c"``.

    >>> import nnkit
    >>> rearrange(nnkit.zeros(2, 6, 3), "b (h w) c -> (b c) h w", h=2).shape
    (6, 2, 3)
    """
    x = convert_to_tensor(tensor)
    left, right = (_groups(side) for side in pattern.split("->"))
    if len(left) != x.ndim:
        raise ValueError(f"rearrange: {pattern!r} names {len(left)} axes; the tensor has shape {tuple(x.shape)}")
    sizes = dict(axes_lengths)
    for group, size in zip(left, x.shape, strict=True):
        unknown = [name for name in group if name not in sizes]
        known = int(np.prod([sizes[name] for name in group if name in sizes], dtype=np.int64))
        if len(unknown) > 1 or (known and size % known):
            raise ValueError(f"rearrange: {pattern!r} does not say how the axis of size {size} is split; give lengths")
        if unknown:
            sizes[unknown[0]] = size // known
    names = [name for group in left for name in group]
    order = [name for group in right for name in group]
    if sorted(names) != sorted(order):
        raise ValueError(f"rearrange: both sides of {pattern!r} must have the same names")
    x = ops.permute(ops.reshape(x, [sizes[name] for name in names]), [names.index(name) for name in order])
    return ops.reshape(x, [int(np.prod([sizes[name] for name in group], dtype=np.int64)) for group in right])


def _groups(side: str) -> list[list[str]]:
    """The names of each axis.

    >>> _groups("b (h w) 1")
    [['b'], ['h', 'w'], []]
    """
    groups: list[list[str]] = []
    inside = False
    for word in side.replace("(", " ( ").replace(")", " ) ").split():
        if word in "()":
            inside = word == "("
            if inside:
                groups.append([])
        elif inside:
            groups[-1].append(word)
        else:
            groups.append([] if word == "1" else [word])
    return groups


def _lengths(x: Tensor, block_size: int, data_format: str) -> tuple[int, int, int, int, int]:
    last = data_format == "channels_last"
    b, h, w, c = x.shape if last else (x.shape[0], *x.shape[2:], x.shape[1])
    return b, h, w, c, block_size


def depth_to_space(x: Any, block_size: int, data_format: str = "channels_last") -> Tensor:
    """Channels as squares of places: (B, H, W, C s²) -> (B, H s, W s, C)."""
    x = convert_to_tensor(x)
    b, h, w, c, s = _lengths(x, block_size, data_format)
    if data_format == "channels_last":
        parts = ops.permute(ops.reshape(x, (b, h, w, s, s, c // s**2)), (0, 1, 3, 2, 4, 5))
        return ops.reshape(parts, (b, h * s, w * s, c // s**2))
    parts = ops.permute(ops.reshape(x, (b, c // s**2, s, s, h, w)), (0, 1, 4, 2, 5, 3))
    return ops.reshape(parts, (b, c // s**2, h * s, w * s))


def space_to_depth(x: Any, block_size: int, data_format: str = "channels_last") -> Tensor:
    """Squares of places as channels: (B, H s, W s, C) -> (B, H, W, C s²)."""
    x = convert_to_tensor(x)
    b, h, w, c, s = _lengths(x, block_size, data_format)
    if data_format == "channels_last":
        parts = ops.permute(ops.reshape(x, (b, h // s, s, w // s, s, c)), (0, 1, 3, 2, 4, 5))
        return ops.reshape(parts, (b, h // s, w // s, c * s**2))
    parts = ops.permute(ops.reshape(x, (b, c, h // s, s, w // s, s)), (0, 1, 3, 5, 2, 4))
    return ops.reshape(parts, (b, c * s**2, h // s, w // s))


def fold(x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Patches added up to images: (B, C k, count) -> (B, C, H, W)."""
    return functional.fold(convert_to_tensor(x), output_size, kernel_size, dilation, padding, stride)


def unfold(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Patches of images as columns: (B, C, H, W) -> (B, C k, count)."""
    return functional.unfold(convert_to_tensor(x), kernel_size, dilation, padding, stride)
