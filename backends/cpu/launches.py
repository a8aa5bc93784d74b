"""Launches of the other primitives: reductions, classification, rows by number, random numbers.

Each function has the signature of the primitive that it is named after, and returns its launch, or the reason why no
kernel fits. A kernel takes contiguous arrays of one type, float32 or float64; whatever else comes (other types,
strides, broadcasting) is for the reference body.
"""

from __future__ import annotations

import math

import numpy as np

from nnkit.backends.cpu import elementwise
from nnkit.backends.cpu.launch import (
    INT64,
    TYPES,
    Launch,
    address,
    address_or_0,
    common_type,
    cut,
    new_launch,
    number_addresses,
    why_not,
)  # fmt: skip
from nnkit.backends.recording import recorder
from nnkit.kernels.cpu import classification, memory, random, reductions
from nnkit.kernels.philox import PURPOSES


def reduce(kind: str, x: np.ndarray, axes: tuple[int, ...], out: np.ndarray) -> Launch | str:
    """Contiguous arrays of one type, reduced over neighbouring axes."""
    if x.dtype not in TYPES or x.dtype != out.dtype or not out.flags.c_contiguous:
        return why_not(x, out)
    if not x.flags.c_contiguous:
        return _reduce_of_copy(kind, x, axes, out)
    if not x.size or (kind in ("any", "all")) != (x.dtype.kind == "b"):
        return "an array is empty, or of another kind"
    if not axes:
        return elementwise.map("identity", (x,), (out.reshape(x.shape),))
    if axes != tuple(range(axes[0], axes[-1] + 1)):
        return "the reduced axes are not neighbours"
    A, K, B = (math.prod(x.shape[i] for i in r) for r in _around(axes, x.ndim))
    kernel = reductions.reduce_kernel(kind, TYPES[x.dtype], B == 1)
    return new_launch(kernel, [A, K, B, address(x), address(out)])


def _reduce_of_copy(kind: str, x: np.ndarray, axes: tuple[int, ...], out: np.ndarray) -> Launch | str:
    """What is strided is copied first."""
    room = elementwise.room_for(x)
    copied = elementwise.copy_strided(x, room)
    if copied is None:
        return why_not(x, out)
    launch = reduce(kind, room, axes, out)
    if isinstance(launch, str):
        return launch
    return Launch(launch.name, [*copied.stages, *launch.stages], launch, room if recorder() is None else None)


def _around(axes: tuple[int, ...], ndim: int) -> tuple[range, tuple[int, ...], range]:
    return range(axes[0]), axes, range(axes[-1] + 1, ndim)


def arg_reduce(kind: str, x: np.ndarray, axis: int, out: np.ndarray) -> Launch | str:
    """Along the last axis of a contiguous array; the result in int64."""
    if x.dtype not in TYPES or x.dtype.kind == "b" or not x.flags.c_contiguous or not out.flags.c_contiguous:
        return why_not(x)
    if axis not in (-1, x.ndim - 1) or out.dtype != INT64 or not x.size:
        return "not along the last axis"
    K = x.shape[-1]
    return new_launch(reductions.position_kernel(kind, TYPES[x.dtype]), [x.size // K, K, address(x), address(out)])


def take_rows(x: np.ndarray, indices: np.ndarray, out: np.ndarray) -> Launch | str:
    """Contiguous rows of a multiple of 4 bytes; indices int64."""
    width = out.nbytes // max(len(indices), 1)
    if width % 4 or x.dtype != out.dtype or indices.dtype != INT64 or not out.size:
        return "a row is not a multiple of 4 bytes, or an array is empty"
    if not (x.flags.c_contiguous and indices.flags.c_contiguous and out.flags.c_contiguous):
        return "an array is not contiguous"
    arrays = [address(x), address(indices), address(out)]
    return new_launch(memory.take_rows_kernel(), [*arrays, len(indices), width // 4, x.shape[0]])


def take_batch(x: np.ndarray, order: np.ndarray, cursor: np.ndarray, out: np.ndarray) -> Launch | str:
    """Contiguous rows of a multiple of 4 bytes; order and cursor int64."""
    width = out.nbytes // max(len(out), 1)
    if width % 4 or x.dtype != out.dtype or not out.size or not (x.flags.c_contiguous and out.flags.c_contiguous):
        return "a row is not a multiple of 4 bytes, or an array is empty or not contiguous"
    arrays = [address(x), address(order), address(cursor), address(out)]
    launch = new_launch(memory.take_batch_kernel(), [*arrays, len(out), width // 4])
    # Rows from all over the memory cost as much as some twelve times as many bytes.
    return cut(launch, len(out), {1: order.itemsize, 3: width}, 12 * width, count=4, step=1)


def add_rows(y: np.ndarray, indices: np.ndarray, out: np.ndarray) -> Launch | str:
    """Contiguous floats; indices int64."""
    dtype = common_type(y, out)
    if dtype is None or indices.dtype != INT64 or not indices.flags.c_contiguous or not y.size:
        return why_not(y, out)
    arrays = [address(y), address(indices), address(out)]
    return new_launch(memory.add_rows_kernel(dtype), [*arrays, len(indices), y.size // len(indices), out.shape[0]])


def gather(x: np.ndarray, indices: np.ndarray, axis: int, out: np.ndarray) -> Launch | str:
    """Contiguous arrays; indices int64."""
    refused = _refused_places(x, indices, out)
    if refused:
        return refused
    kernel = memory.gather_kernel(TYPES[x.dtype])
    return new_launch(kernel, [address(x), address(indices), address(out), *_along(axis, x.shape, indices.shape)])


def scatter(kind: str, y: np.ndarray, indices: np.ndarray, axis: int, out: np.ndarray) -> Launch | str:
    """Contiguous arrays, set or added to; indices int64."""
    refused = _refused_places(y, indices, out)
    if refused or kind not in ("set", "add"):
        return refused or f"the kind {kind}"
    kernel = memory.scatter_kernel(TYPES[out.dtype], kind == "add")
    return new_launch(kernel, [address(y), address(indices), address(out), *_along(axis, out.shape, indices.shape)])


def _refused_places(x: np.ndarray, indices: np.ndarray, out: np.ndarray) -> str | None:
    """Why elements of x cannot be moved by number by a kernel, if they cannot."""
    if x.dtype not in TYPES or x.dtype.kind == "b" or x.dtype != out.dtype or indices.dtype != INT64:
        return "element types that are not the same, or booleans, or numbers that are not int64"
    contiguous = x.flags.c_contiguous and indices.flags.c_contiguous and out.flags.c_contiguous
    return None if contiguous and indices.size else "an array is empty or not contiguous"


def _along(axis: int, whole: tuple[int, ...], part: tuple[int, ...]) -> tuple[int, int, int, int]:
    """How many elements lie before the axis, along it in the whole and in the part, and behind it."""
    return math.prod(part[:axis]), whole[axis], part[axis], math.prod(part[axis + 1 :])


def next_key(state: np.ndarray, key: np.ndarray) -> Launch | str:
    """Always."""
    return new_launch(memory.next_key_kernel(), [address(state), address(key)])


def softmax_grad(dy: np.ndarray, y: np.ndarray, log: bool, out: np.ndarray) -> Launch | str:
    """Contiguous floats."""
    dtype = common_type(dy, y, out)
    if dtype is None or not y.size:
        return why_not(dy, y, out)
    C = y.shape[-1]
    kernel = classification.softmax_grad_kernel(dtype, log)
    return new_launch(kernel, [address(dy), address(y), address(out), y.size // C, C])


def softmax(x: np.ndarray, log: bool, out: np.ndarray) -> Launch | str:
    """Contiguous arrays of at least one element a row."""
    dtype = common_type(x, out)
    if dtype is None or x.size == 0 or x.ndim == 0:
        return why_not(x, out)
    C = x.shape[-1]
    return new_launch(classification.softmax_kernel(dtype, log), [address(x), address(out), x.size // C, C])


def cross_entropy(
    z: np.ndarray, labels: np.ndarray, row_weights: np.ndarray | None, loss: np.ndarray, dz: np.ndarray
) -> Launch | str:
    """Contiguous arrays; labels int64."""
    dtype = common_type(*(a for a in (z, row_weights, loss, dz) if a is not None))
    if dtype is None or z.size == 0 or labels.dtype != INT64 or not labels.flags.c_contiguous:
        return why_not(z, loss, dz)
    arrays = [address(z), address(labels), address_or_0(row_weights), address(loss), address(dz)]
    launch = new_launch(classification.cross_entropy_kernel(dtype), [*arrays, *z.shape])
    B, C = z.shape
    moving = {0: C, 3: 1, 4: C} | ({2: 1} if row_weights is not None else {})
    places = {place: count * z.itemsize for place, count in moving.items()} | {1: labels.itemsize}
    return cut(launch, B, places, 8 * C * z.itemsize, count=5, step=1)


def random_bits(key: np.ndarray, purpose: int, out: np.ndarray) -> Launch | str:
    """Contiguous int64."""
    if out.dtype != INT64 or not out.flags.c_contiguous:
        return why_not(out)
    return new_launch(random.bits_kernel(), [0, 2 * out.size, address(key), purpose, address(out)])


def uniform(key: np.ndarray, purpose: int, out: np.ndarray) -> Launch | str:
    """A contiguous float array."""
    dtype = common_type(out)
    if dtype is None:
        return why_not(out)
    return new_launch(random.uniform_kernel(dtype), [0, out.size, address(key), purpose, address(out)])


def dropout(x: np.ndarray, p: float, key: np.ndarray, out: np.ndarray, first: int = 0) -> Launch | str:
    """Contiguous float arrays that begin with a whole block of four random numbers."""
    dtype = common_type(x, out)
    if first % 4:
        return "its first element is within a block of four random numbers"
    if dtype is None:
        return why_not(x, out)
    numbers, boxes = number_addresses([p])
    block = [first, out.size, address(key), PURPOSES["dropout"], address(x), *numbers, address(out)]
    launch = new_launch(random.dropout_kernel(dtype), block, boxes)
    # A number costs as much as moving some 16 bytes.
    return cut(launch, out.size, {0: 1, 4: x.itemsize, 6: out.itemsize}, 16)
