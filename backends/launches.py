"""From a primitive's arguments to a kernel and its argument block, or to the reason why no kernel fits.

Each function has the signature of the primitive that it is named after. A kernel takes contiguous arrays of one
type, float32 or float64; whatever else comes (other types, strides, broadcasting) is for the reference body.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends import threads
from nnkit.backends.base import Scalar
from nnkit.kernels.cpu import classification, elementwise, memory, random, reductions
from nnkit.kernels.cpu import linear as linear_kernels
from nnkit.kernels.cpu.compiler import Kernel
from nnkit.kernels.philox import PURPOSES

FLOATS = {np.dtype(np.float32): "float32", np.dtype(np.float64): "float64"}
INT64 = np.dtype(np.int64)
TYPES = FLOATS | {INT64: "int64", np.dtype(np.bool_): "bool"}
#: Formulas that on whole numbers are exact: the others are computed in floats, by NumPy's rules.
WHOLE = frozenset({
    "add", "sub", "mul", "neg", "square", "identity", "select", "equal", "not_equal", "less", "less_equal", "greater",
    "greater_equal",
})  # fmt: skip


class Launch(NamedTuple):
    """A kernel, its argument block, and what the block points to and nobody else may hold.

    A large loop has ``pieces``: blocks over parts of its memory, to be run together instead of ``block``.
    """

    kernel: Kernel
    block: Any
    alive: tuple[Any, ...] = ()
    pieces: tuple[Any, ...] = ()

    def run(self) -> None:
        """Run the kernel now."""
        if self.pieces:
            threads.run_together([functools.partial(self.kernel.call, ctypes.addressof(b)) for b in self.pieces])
        else:
            self.kernel.call(ctypes.addressof(self.block))


def _documented_address(array: np.ndarray) -> int:
    return array.ctypes.data


def _field_address(array: np.ndarray) -> int:
    # The data pointer is the first field of the array object, behind Python's object header. Reading it costs a tenth
    # of ``array.ctypes.data``, which builds two objects; it is checked below and not used where it disagrees.
    return ctypes.c_size_t.from_address(id(array) + object.__basicsize__).value


_sample = np.arange(6.0).reshape(2, 3)[1:]
address = _field_address if _field_address(_sample) == _sample.ctypes.data else _documented_address


def _launch(kernel: Kernel, arguments: list[int], *alive: Any) -> Launch:
    return Launch(kernel, (ctypes.c_int64 * len(arguments))(*arguments), alive)


def _cut(launch: Launch, size: int, moving: dict[int, int], width: int, count: int = 1, step: int = 1) -> Launch:
    """The launch in pieces, where it is large: a loop over ``size`` elements of ``width`` bytes in all.

    ``moving``: place in the block -> bytes an element, for what lies further on in a later piece; ``count`` is the
    place of the number of elements. A piece begins at a multiple of ``step``.
    """
    workers = threads.get_num_threads()
    if size * width < threads.LARGE or workers < 2:
        return launch
    share = -(-size // (workers * 64 * step)) * 64 * step
    pieces = []
    for first in range(0, size, share):
        block = type(launch.block)(*launch.block)
        block[count] = min(share, size - first)
        for place, stride in moving.items():
            block[place] += first * stride
        pieces.append(block)
    return launch._replace(pieces=tuple(pieces))


def _common_type(*arrays: np.ndarray) -> str | None:
    """The float type that all of these contiguous arrays share, or None."""
    dtype = arrays[0].dtype
    for array in arrays:
        if array.dtype != dtype or not array.flags.c_contiguous:
            return None
    return FLOATS.get(dtype)


def _why_not(*arrays: np.ndarray) -> str:
    """Why ``_common_type`` found none, in words."""
    types = sorted({str(a.dtype) for a in arrays})
    if len(types) > 1 or types[0] not in FLOATS.values():
        return f"element types {', '.join(types)}"
    return "an array is not contiguous" if not all(a.flags.c_contiguous for a in arrays) else "an array is empty"


def _address_or_0(array: np.ndarray | None) -> int:
    return 0 if array is None else address(array)


def _numbers(scalars: Sequence[Scalar]) -> tuple[list[int], list[Any]]:
    """Addresses of float64 scalars: a device scalar's own, or that of a box made for a Python number."""
    boxes = [s if isinstance(s, np.ndarray) else ctypes.c_double(s) for s in scalars]
    return [address(b) if isinstance(b, np.ndarray) else ctypes.addressof(b) for b in boxes], boxes


def _layout(x: np.ndarray, shape: tuple[int, ...]) -> tuple[str, int] | None:
    """How x, broadcast to ``shape``, lies in memory: a letter of ``kernels.cpu.elementwise`` and C for r, R for c."""
    if x.shape == shape and x.flags.c_contiguous:
        return "f", 0
    lead = len(shape) - x.ndim
    steps = [0] * lead + [0 if n == 1 else s // x.itemsize for n, s in zip(x.shape, x.strides, strict=True)]
    whole, size = [], 1
    for n in reversed(shape):
        whole.append(size)
        size *= n
    whole.reverse()
    axes = [i for i, n in enumerate(shape) if n > 1]
    varying = [i for i in axes if steps[i]]
    if not varying:
        return "1", 0
    first, last = varying[0], varying[-1]
    if all(steps[i] == whole[i] for i in axes if i >= first):
        return "r", math.prod(shape[first:])
    columns = whole[last]  # elements behind one of the column
    if all(steps[i] * columns == whole[i] for i in axes if i <= last):
        return "c", size // columns
    return None


def map(
    formula: str, inputs: Sequence[np.ndarray], out: Sequence[np.ndarray], scalars: Sequence[Scalar] = ()
) -> Launch | str:
    """Outputs contiguous and of one shape; inputs that are full, or repeat a row, a column or an element."""
    return _map_alike(formula, inputs, out, scalars) or _map_any(formula, inputs, out, scalars)


def _map_alike(
    formula: str, inputs: Sequence[np.ndarray], out: Sequence[np.ndarray], scalars: Sequence[Scalar]
) -> Launch | None:
    """The commonest case, decided quickly: contiguous float arrays, all of one shape and type, no device scalars."""
    first = out[0]
    dtype, shape, size = first.dtype, first.shape, first.size
    name = FLOATS.get(dtype)
    if name is None or not size:
        return None
    for a in (*inputs, *out):
        if a.dtype is not dtype or a.shape != shape or not a.flags.c_contiguous:
            return None
    for s in scalars:
        if type(s) is not float:
            return None
    sources, targets = [address(a) for a in inputs], [address(a) for a in out]
    aliases = tuple([sources.index(t) if t in sources else -1 for t in targets])
    kernel = _alike_kernel(formula, name, len(sources), aliases)
    boxes = [ctypes.c_double(s) for s in scalars]
    numbers = [ctypes.addressof(b) for b in boxes]
    launch = _launch(kernel, [1, size, *sources, *numbers, *targets], boxes)
    if size * (len(inputs) + len(out)) < threads.LARGE // 8:
        return launch
    return _cut_map(launch, inputs, out, "f" * len(inputs), len(numbers))


@functools.cache
def _alike_kernel(formula: str, dtype: str, inputs: int, aliases: tuple[int, ...]) -> Kernel:
    shape = elementwise.Shape((dtype,) * inputs, (dtype,) * len(aliases), "f" * inputs, aliases)
    return elementwise.map_kernel(formula, shape)


def _cut_map(
    launch: Launch, inputs: Sequence[np.ndarray], out: Sequence[np.ndarray], layout: str, numbers: int
) -> Launch:
    moving = {2 + k: a.itemsize for k, (a, kind) in enumerate(zip(inputs, layout, strict=True)) if kind == "f"}
    moving |= {2 + len(inputs) + numbers + k: a.itemsize for k, a in enumerate(out)}
    return _cut(launch, out[0].size, moving, sum(moving.values()))


def _map_any(
    formula: str, inputs: Sequence[np.ndarray], out: Sequence[np.ndarray], scalars: Sequence[Scalar]
) -> Launch | str:
    shape, size = out[0].shape, out[0].size
    if any(a.dtype not in TYPES for a in inputs) or any(a.dtype not in TYPES for a in out):
        return _why_not(*inputs, *out)
    if any(a.shape != shape or not a.flags.c_contiguous for a in out) or not size:
        return "an output is not contiguous, or empty"
    types = {a.dtype for a in inputs if a.dtype.kind != "b"}
    if len(types) > 1 or (INT64 in types and formula not in WHOLE):
        return _why_not(*inputs)
    if any(isinstance(s, np.ndarray) and (s.dtype != np.float64 or s.size != 1) for s in scalars):
        return "a scalar is not one float64"
    kinds = [_layout(a, shape) for a in inputs]
    sizes = {size // n if k == "r" else n for k, n in filter(None, kinds) if k in "rc"}
    if None in kinds or len(sizes) > 1:
        return "an input is strided"
    R = sizes.pop() if sizes else 1
    sources, targets = [address(a) for a in inputs], [address(a) for a in out]
    aliases = tuple(sources.index(t) if t in sources else -1 for t in targets)
    numbers, boxes = _numbers(scalars)
    layout = "".join(kind[0] for kind in kinds if kind)
    names = tuple(TYPES[a.dtype] for a in inputs), tuple(TYPES[a.dtype] for a in out)
    kernel = elementwise.map_kernel(formula, elementwise.Shape(*names, layout, aliases))
    launch = _launch(kernel, [R, size // R, *sources, *numbers, *targets], boxes)
    return _cut_map(launch, inputs, out, layout, len(numbers)) if set(layout) <= {"f", "1"} else launch


def fill(value: float, out: np.ndarray) -> Launch | str:
    """A contiguous array that may be written; int64 takes what float64 holds exactly."""
    if out.dtype not in TYPES or not out.flags.carray:
        return _why_not(out)
    if out.dtype == INT64 and not abs(value) <= 2**53:
        return "a whole number that float64 does not hold"
    numbers, boxes = _numbers([float(value)])
    return _launch(memory.fill_kernel(TYPES[out.dtype]), [out.size, *numbers, address(out)], boxes)


def copy(x: np.ndarray, out: np.ndarray) -> Launch | str:
    """A copy that may change the type or repeat x."""
    if out.dtype.kind == "b" and x.dtype.kind != "b":
        return "a conversion to booleans"
    if not out.flags.writeable:
        return "a read-only array"  # NumPy refuses it
    if address(x) != address(out) and np.may_share_memory(x, out):
        return "the arrays overlap"
    return map("identity", (x,), (out,))


def reduce(kind: str, x: np.ndarray, axes: tuple[int, ...], out: np.ndarray) -> Launch | str:
    """Contiguous arrays of one type, reduced over neighbouring axes."""
    if x.dtype not in TYPES or x.dtype != out.dtype or not (x.flags.c_contiguous and out.flags.c_contiguous):
        return _why_not(x, out)
    if not x.size or (kind in ("any", "all")) != (x.dtype.kind == "b"):
        return "an array is empty, or of another kind"
    if not axes:
        return map("identity", (x,), (out.reshape(x.shape),))
    if axes != tuple(range(axes[0], axes[-1] + 1)):
        return "the reduced axes are not neighbours"
    A, K, B = (math.prod(x.shape[i] for i in r) for r in _around(axes, x.ndim))
    kernel = reductions.reduce_kernel(kind, TYPES[x.dtype], B == 1)
    return _launch(kernel, [A, K, B, address(x), address(out)])


def _around(axes: tuple[int, ...], ndim: int) -> tuple[range, tuple[int, ...], range]:
    return range(axes[0]), axes, range(axes[-1] + 1, ndim)


def arg_reduce(kind: str, x: np.ndarray, axis: int, out: np.ndarray) -> Launch | str:
    """Along the last axis of a contiguous array; the result in int64."""
    if x.dtype not in TYPES or x.dtype.kind == "b" or not x.flags.c_contiguous or not out.flags.c_contiguous:
        return _why_not(x)
    if axis not in (-1, x.ndim - 1) or out.dtype != INT64 or not x.size:
        return "not along the last axis"
    K = x.shape[-1]
    return _launch(reductions.position_kernel(kind, TYPES[x.dtype]), [x.size // K, K, address(x), address(out)])


def take_rows(x: np.ndarray, indices: np.ndarray, out: np.ndarray) -> Launch | str:
    """Contiguous rows of a multiple of 4 bytes; indices int64."""
    width = out.nbytes // max(len(indices), 1)
    if width % 4 or x.dtype != out.dtype or indices.dtype != INT64 or not out.size:
        return "a row is not a multiple of 4 bytes, or an array is empty"
    if not (x.flags.c_contiguous and indices.flags.c_contiguous and out.flags.c_contiguous):
        return "an array is not contiguous"
    arrays = [address(x), address(indices), address(out)]
    return _launch(memory.take_rows_kernel(), [*arrays, len(indices), width // 4, x.shape[0]])


def take_batch(x: np.ndarray, order: np.ndarray, cursor: np.ndarray, out: np.ndarray) -> Launch | str:
    """Contiguous rows of a multiple of 4 bytes; order and cursor int64."""
    width = out.nbytes // max(len(out), 1)
    if width % 4 or x.dtype != out.dtype or not out.size or not (x.flags.c_contiguous and out.flags.c_contiguous):
        return "a row is not a multiple of 4 bytes, or an array is empty or not contiguous"
    arrays = [address(x), address(order), address(cursor), address(out)]
    return _launch(memory.take_batch_kernel(), [*arrays, len(out), width // 4])


def add_rows(y: np.ndarray, indices: np.ndarray, out: np.ndarray) -> Launch | str:
    """Contiguous floats; indices int64."""
    dtype = _common_type(y, out)
    if dtype is None or indices.dtype != INT64 or not indices.flags.c_contiguous or not y.size:
        return _why_not(y, out)
    arrays = [address(y), address(indices), address(out)]
    return _launch(memory.add_rows_kernel(dtype), [*arrays, len(indices), y.size // len(indices), out.shape[0]])


def next_key(state: np.ndarray, key: np.ndarray) -> Launch | str:
    """Always."""
    return _launch(memory.next_key_kernel(), [address(state), address(key)])


def softmax_grad(dy: np.ndarray, y: np.ndarray, log: bool, out: np.ndarray) -> Launch | str:
    """Contiguous floats."""
    dtype = _common_type(dy, y, out)
    if dtype is None or not y.size:
        return _why_not(dy, y, out)
    C = y.shape[-1]
    kernel = classification.softmax_grad_kernel(dtype, log)
    return _launch(kernel, [address(dy), address(y), address(out), y.size // C, C])


def linear(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, activation: str, z: np.ndarray | None, out: np.ndarray,
    scalars: Sequence[float] = (),
) -> Launch | str:  # fmt: skip
    """Every array contiguous and of one type."""
    dtype = _common_type(*(a for a in (x, w, b, z, out) if a is not None))
    if dtype is None or out.size == 0 or w.shape[1] == 0:
        return _why_not(*(a for a in (x, w, b, z, out) if a is not None))
    numbers, boxes = _numbers(scalars)
    sizes = [x.shape[0], x.shape[1], w.shape[0]]
    arrays = [address(x), address(w), _address_or_0(b), _address_or_0(z), address(out)]
    kernel = linear_kernels.linear_kernel(activation, dtype)
    return _launch(kernel, [linear_kernels.gemm_address(dtype), *arrays, *sizes, *numbers], boxes)


def linear_grad(
    x: np.ndarray, w: np.ndarray, kept: np.ndarray, dy: np.ndarray, activation: str, dz: np.ndarray,
    dx: np.ndarray | None, dw: np.ndarray | None, db: np.ndarray | None, add: tuple[bool, bool],
    scalars: Sequence[float] = (),
) -> Launch | str:  # fmt: skip
    """Every array contiguous and of one type."""
    dtype = _common_type(*(a for a in (x, w, kept, dy, dz, dx, dw, db) if a is not None))
    if dtype is None or dz.size == 0 or w.shape[1] == 0:
        return _why_not(*(a for a in (x, w, kept, dy, dz, dx, dw, db) if a is not None))
    numbers, boxes = _numbers(scalars)
    arrays = [address(x), address(w), address(kept), address(dy), address(dz)]
    gradients = [_address_or_0(dx), _address_or_0(dw), _address_or_0(db)]
    sizes = [x.shape[0], x.shape[1], w.shape[0], int(add[0]), int(add[1])]
    kernel = linear_kernels.linear_grad_kernel(activation, dtype)
    block = [linear_kernels.gemm_address(dtype), *arrays, *gradients, *sizes, *numbers]
    return _launch(kernel, block, boxes)


def _matrix(x: np.ndarray) -> tuple[np.ndarray, int] | None:
    """A matrix as BLAS takes it: the contiguous array, and whether it is to be read transposed."""
    if x.ndim != 2 or x.dtype not in FLOATS:
        return None
    if x.flags.c_contiguous:
        return x, 0
    return (x.T, 1) if x.flags.f_contiguous else None


def matmul(x: np.ndarray, y: np.ndarray, out: np.ndarray) -> Launch | str:
    """Two matrices, contiguous or transposed; batches are for NumPy."""
    left, right = _matrix(x), _matrix(y)
    if left is None or right is None or _common_type(left[0], right[0], out) is None:
        return "not two matrices of one float type, contiguous or transposed"
    (M, N), K = out.shape, x.shape[1]
    if 0 in (M, N, K):
        return "an array is empty"
    dtype = FLOATS[out.dtype]
    arrays = [linear_kernels.gemm_address(dtype), address(left[0]), address(right[0]), address(out)]
    return _launch(linear_kernels.matmul_kernel(dtype), [*arrays, M, N, K, left[1], right[1]])


def softmax(x: np.ndarray, log: bool, out: np.ndarray) -> Launch | str:
    """Contiguous arrays of at least one element a row."""
    dtype = _common_type(x, out)
    if dtype is None or x.size == 0 or x.ndim == 0:
        return _why_not(x, out)
    C = x.shape[-1]
    return _launch(classification.softmax_kernel(dtype, log), [address(x), address(out), x.size // C, C])


def cross_entropy(
    z: np.ndarray, labels: np.ndarray, row_weights: np.ndarray | None, loss: np.ndarray, dz: np.ndarray
) -> Launch | str:
    """Contiguous arrays; labels int64."""
    dtype = _common_type(*(a for a in (z, row_weights, loss, dz) if a is not None))
    if dtype is None or z.size == 0 or labels.dtype != INT64 or not labels.flags.c_contiguous:
        return _why_not(z, loss, dz)
    arrays = [address(z), address(labels), _address_or_0(row_weights), address(loss), address(dz)]
    return _launch(classification.cross_entropy_kernel(dtype), [*arrays, *z.shape])


def random_bits(key: np.ndarray, purpose: int, out: np.ndarray) -> Launch | str:
    """Contiguous int64."""
    if out.dtype != INT64 or not out.flags.c_contiguous:
        return _why_not(out)
    return _launch(random.bits_kernel(), [0, 2 * out.size, address(key), purpose, address(out)])


def uniform(key: np.ndarray, purpose: int, out: np.ndarray) -> Launch | str:
    """A contiguous float array."""
    dtype = _common_type(out)
    if dtype is None:
        return _why_not(out)
    return _launch(random.uniform_kernel(dtype), [0, out.size, address(key), purpose, address(out)])


def dropout(x: np.ndarray, p: float, key: np.ndarray, out: np.ndarray) -> Launch | str:
    """Contiguous float arrays."""
    dtype = _common_type(x, out)
    if dtype is None:
        return _why_not(x, out)
    numbers, boxes = _numbers([p])
    block = [0, out.size, address(key), PURPOSES["dropout"], address(x), *numbers, address(out)]
    launch = _launch(random.dropout_kernel(dtype), block, boxes)
    # A number costs as much as moving some 16 bytes.
    return _cut(launch, out.size, {0: 1, 4: x.itemsize, 6: out.itemsize}, 16)
