"""From a primitive's arguments to a kernel and its argument block, or None where no kernel fits.

Each function has the signature of the primitive that it is named after. A kernel takes contiguous arrays of one
type, float32 or float64; whatever else comes (other types, strides, broadcasting) is for the reference body.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends.base import Scalar
from nnkit.kernels.cpu import classification, elementwise, random
from nnkit.kernels.cpu import linear as linear_kernels
from nnkit.kernels.cpu.compiler import Kernel
from nnkit.kernels.philox import PURPOSES

FLOATS = {np.dtype(np.float32): "float32", np.dtype(np.float64): "float64"}
INT64 = np.dtype(np.int64)


class Launch(NamedTuple):
    """A kernel, its argument block, and what the block points to and nobody else may hold."""

    kernel: Kernel
    block: Any
    alive: tuple[Any, ...] = ()

    def run(self) -> None:
        """Run the kernel now."""
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


def _common_type(*arrays: np.ndarray) -> str | None:
    """The float type that all of these contiguous arrays share, or None."""
    dtype = arrays[0].dtype
    for array in arrays:
        if array.dtype != dtype or not array.flags.c_contiguous:
            return None
    return FLOATS.get(dtype)


def _address_or_0(array: np.ndarray | None) -> int:
    return 0 if array is None else address(array)


def _numbers(scalars: Sequence[Scalar]) -> tuple[list[int], list[Any]]:
    """Addresses of float64 scalars: a device scalar's own, or that of a box made for a Python number."""
    boxes = [s if isinstance(s, np.ndarray) else ctypes.c_double(s) for s in scalars]
    return [address(b) if isinstance(b, np.ndarray) else ctypes.addressof(b) for b in boxes], boxes


def map(
    formula: str, inputs: Sequence[np.ndarray], out: Sequence[np.ndarray], scalars: Sequence[Scalar] = ()
) -> Launch | None:
    """Arrays of one shape; device scalars in float64."""
    dtype = _common_type(*inputs, *out)
    shape = out[0].shape
    if dtype is None or any(a.shape != shape for a in inputs) or any(a.shape != shape for a in out):
        return None
    if any(isinstance(s, np.ndarray) and (s.dtype != np.float64 or s.size != 1) for s in scalars):
        return None
    sources, targets = [address(a) for a in inputs], [address(a) for a in out]
    aliases = tuple(sources.index(t) if t in sources else -1 for t in targets)
    numbers, boxes = _numbers(scalars)
    kernel = elementwise.map_kernel(formula, dtype, aliases)
    return _launch(kernel, [out[0].size, *sources, *numbers, *targets], boxes)


def linear(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, activation: str, z: np.ndarray | None, out: np.ndarray,
    scalars: Sequence[float] = (),
) -> Launch | None:  # fmt: skip
    """Every array contiguous and of one type."""
    dtype = _common_type(*(a for a in (x, w, b, z, out) if a is not None))
    if dtype is None or out.size == 0 or w.shape[1] == 0:
        return None
    numbers, boxes = _numbers(scalars)
    sizes = [x.shape[0], x.shape[1], w.shape[0]]
    arrays = [address(x), address(w), _address_or_0(b), _address_or_0(z), address(out)]
    kernel = linear_kernels.linear_kernel(activation, dtype)
    return _launch(kernel, [linear_kernels.gemm_address(dtype), *arrays, *sizes, *numbers], boxes)


def linear_grad(
    x: np.ndarray, w: np.ndarray, kept: np.ndarray, dy: np.ndarray, activation: str, dz: np.ndarray,
    dx: np.ndarray | None, dw: np.ndarray | None, db: np.ndarray | None, add: tuple[bool, bool],
    scalars: Sequence[float] = (),
) -> Launch | None:  # fmt: skip
    """Every array contiguous and of one type."""
    dtype = _common_type(*(a for a in (x, w, kept, dy, dz, dx, dw, db) if a is not None))
    if dtype is None or dz.size == 0 or w.shape[1] == 0:
        return None
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


def matmul(x: np.ndarray, y: np.ndarray, out: np.ndarray) -> Launch | None:
    """Two matrices, contiguous or transposed; batches are for NumPy."""
    left, right = _matrix(x), _matrix(y)
    if left is None or right is None or _common_type(left[0], right[0], out) is None:
        return None
    (M, N), K = out.shape, x.shape[1]
    if 0 in (M, N, K):
        return None
    dtype = FLOATS[out.dtype]
    arrays = [linear_kernels.gemm_address(dtype), address(left[0]), address(right[0]), address(out)]
    return _launch(linear_kernels.matmul_kernel(dtype), [*arrays, M, N, K, left[1], right[1]], left, right)


def softmax(x: np.ndarray, log: bool, out: np.ndarray) -> Launch | None:
    """Contiguous arrays of at least one element a row."""
    dtype = _common_type(x, out)
    if dtype is None or x.size == 0 or x.ndim == 0:
        return None
    C = x.shape[-1]
    return _launch(classification.softmax_kernel(dtype, log), [address(x), address(out), x.size // C, C])


def cross_entropy(
    z: np.ndarray, labels: np.ndarray, row_weights: np.ndarray | None, loss: np.ndarray, dz: np.ndarray
) -> Launch | None:
    """Contiguous arrays; labels int64."""
    dtype = _common_type(*(a for a in (z, row_weights, loss, dz) if a is not None))
    if dtype is None or z.size == 0 or labels.dtype != INT64 or not labels.flags.c_contiguous:
        return None
    arrays = [address(z), address(labels), _address_or_0(row_weights), address(loss), address(dz)]
    return _launch(classification.cross_entropy_kernel(dtype), [*arrays, *z.shape])


def uniform(key: np.ndarray, purpose: int, out: np.ndarray) -> Launch | None:
    """A contiguous float array."""
    dtype = _common_type(out)
    if dtype is None:
        return None
    return _launch(random.uniform_kernel(dtype), [out.size, address(key), purpose, address(out)])


def dropout(x: np.ndarray, p: float, key: np.ndarray, out: np.ndarray) -> Launch | None:
    """Contiguous float arrays."""
    dtype = _common_type(x, out)
    if dtype is None:
        return None
    numbers, boxes = _numbers([p])
    block = [out.size, address(key), PURPOSES["dropout"], address(x), *numbers, address(out)]
    return _launch(random.dropout_kernel(dtype), block, boxes)
