"""The functions of ``cupy``: numpy's, on device arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import array, memory, operators, pinned, queues, streams
from .array import compute, ndarray, to_device
from .operators import refuse_blas

#: Functions that are numpy's own, but for where their arrays live.
PLAIN = (
    "abs", "absolute", "add", "all", "allclose", "amax", "amin", "any", "arccos", "arccosh", "arcsin", "arcsinh",
    "arctan", "arctan2", "arctanh", "argmax", "argmin", "argsort", "around", "array_equal", "atleast_1d",
    "atleast_2d", "average", "bincount", "bitwise_and", "bitwise_count", "bitwise_or", "bitwise_xor",
    "broadcast_arrays", "broadcast_to", "cbrt", "ceil", "clip", "column_stack", "concatenate", "conj", "copysign",
    "cos", "cosh", "count_nonzero", "cumprod", "cumsum", "diag", "diagonal", "diff", "divide", "divmod", "equal",
    "exp", "exp2", "expand_dims", "expm1", "flip", "floor", "floor_divide", "fmax", "fmin", "fmod", "greater",
    "greater_equal", "heaviside", "hstack", "hypot", "imag", "invert", "isclose", "isfinite", "isin", "isinf", "isnan",
    "kron", "ldexp", "left_shift", "less", "less_equal", "log", "log10", "log1p", "log2", "logaddexp", "logical_and",
    "logical_not", "logical_or", "logical_xor", "matrix_transpose", "max", "maximum", "mean", "median", "min",
    "minimum", "mod", "moveaxis", "multiply", "nan_to_num", "nancumsum", "nanmax", "nanmean", "nanmin", "nansum",
    "negative", "nextafter", "not_equal", "pad", "positive", "power", "prod", "ravel", "real", "reciprocal",
    "remainder", "repeat", "reshape", "right_shift", "rint", "roll", "round", "searchsorted", "sign", "signbit", "sin",
    "sinh", "sort", "split", "sqrt", "square", "squeeze", "stack", "std", "subtract", "sum", "swapaxes",
    "take_along_axis", "tan", "tanh", "tile", "trace", "transpose", "tril", "triu", "trunc", "unique",
    "vstack",
    "var",
)  # fmt: skip
#: Names that are the very same objects in numpy.
SHARED = (
    "bool_", "complex128", "complex64", "complexfloating", "dtype", "e", "finfo", "float16", "float32", "float64",
    "floating", "generic", "iinfo", "inexact", "inf", "int16", "int32", "int64", "int8", "int_", "integer", "intp",
    "nan", "newaxis", "number", "pi", "signedinteger", "uint16", "uint32", "uint64", "uint8", "unsignedinteger",
    "broadcast_shapes", "can_cast", "isdtype", "isscalar", "issubdtype", "ndim", "promote_types",
)  # fmt: skip


def _delegate(name: str) -> Any:
    function = getattr(np, name)

    def call(*args: Any, **options: Any) -> Any:
        return compute(function, *args, **options)

    call.__name__ = call.__qualname__ = name
    return call


def array_(
    obj: Any, dtype: Any = None, copy: bool = True, order: str = "K", subok: bool = False, ndmin: int = 0,
    *, blocking: bool = False,
) -> Any:  # fmt: skip
    """A device array with the values of ``obj``."""
    if isinstance(obj, ndarray):
        wanted = obj.dtype if dtype is None else np.dtype(dtype)
        return obj if not copy and wanted == obj.dtype else obj.astype(wanted, order)
    if isinstance(obj, (list, tuple)) and any(isinstance(v, ndarray) for v in obj):
        made = compute(np.stack, [asarray(v) for v in obj])
        return made if dtype is None else made.astype(dtype)
    return to_device(obj, dtype, "C" if order in ("K", "A", None) else order)


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: bool | None = None, blocking: bool = False) -> Any:
    made = array_(a, dtype, copy=bool(copy), order=order or "K")
    if copy is False and made is not a:
        raise ValueError("Unable to avoid copy while creating an array as requested.")
    return made


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    """The values on the host."""
    if isinstance(a, ndarray):
        return a.get(stream=stream, order=order, out=out, blocking=blocking)
    return np.asarray(a, order=order)


def ascontiguousarray(a: Any, dtype: Any = None) -> Any:
    a = asarray(a, dtype)
    return a if a.flags.c_contiguous else a.copy()


def empty(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    return ndarray(shape, dtype, order=order)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> Any:
    if dtype is None:
        dtype = fill_value.dtype if isinstance(fill_value, ndarray) else np.array(fill_value).dtype
    made = empty(shape, dtype, order)
    made[...] = fill_value
    return made


def zeros(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    made = empty(shape, dtype, order)
    if made.nbytes:
        made.data.memset_async(0, made.nbytes)
    return made


def ones(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    return full(shape, 1, dtype, order)


def empty_like(prototype: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None) -> Any:
    return empty(prototype.shape if shape is None else shape, prototype.dtype if dtype is None else dtype)


def zeros_like(a: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None) -> Any:
    return zeros(a.shape if shape is None else shape, a.dtype if dtype is None else dtype)


def ones_like(a: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None) -> Any:
    return ones(a.shape if shape is None else shape, a.dtype if dtype is None else dtype)


def full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None,
) -> Any:  # fmt: skip
    return full(a.shape if shape is None else shape, fill_value, a.dtype if dtype is None else dtype)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Any:
    return compute(lambda: np.arange(*((0, start) if stop is None else (start, stop)), step, dtype))


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = float, order: str = "C") -> Any:
    return compute(lambda: np.eye(N, M, k, dtype))


def identity(n: int, dtype: Any = float) -> Any:
    return eye(n, dtype=dtype)


def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    return compute(lambda: np.linspace(start, stop, num, endpoint, retstep, dtype, axis))


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None:
        return nonzero(condition)
    return compute(np.where, condition, x, y)


def nonzero(a: Any) -> Any:
    array._refuse_while_capturing(streams.get_current_stream())
    return compute(np.nonzero, a)


def take(a: Any, indices: Any, axis: int | None = None, out: Any = None) -> Any:
    return compute(operators.take, a, indices, axis, out=out)


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    array.run(lambda d, s: np.copyto(d, s, casting=casting), dst, src, name="copy")


def copy(a: Any, order: str = "K") -> Any:
    return a.copy()


def astype(x: Any, dtype: Any, /, *, copy: bool = True) -> Any:
    return x.astype(dtype, copy=copy)


def matmul(x1: Any, x2: Any, /, out: Any = None, **options: Any) -> Any:
    refuse_blas(x1, x2)
    return compute(np.matmul, x1, x2, out=out, **options)


def dot(a: Any, b: Any, out: Any = None) -> Any:
    refuse_blas(a, b)
    return compute(np.dot, a, b, out=out)


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    refuse_blas(a, b)
    return compute(np.tensordot, a, b, axes)


def vdot(a: Any, b: Any) -> Any:
    refuse_blas(a, b)
    return compute(np.vdot, a, b)


def outer(a: Any, b: Any, out: Any = None) -> Any:
    refuse_blas(a, b)
    return compute(np.outer, a, b, out=out)


def einsum(subscripts: str, *operands: Any) -> Any:
    refuse_blas(*operands)
    return compute(lambda *hosts: np.einsum(subscripts, *hosts), *operands)


def may_share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return bool(np.may_share_memory(array._hosts(a), array._hosts(b)))


def shares_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return bool(np.shares_memory(array._hosts(a), array._hosts(b)))


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    return np.result_type(*[a.dtype if isinstance(a, ndarray) else a for a in arrays_and_dtypes])


def from_dlpack(array: Any, device: Any = None, copy: Any = None) -> Any:
    raise BufferError("the stand-in exchanges no memory with other libraries")


def get_array_module(*args: Any) -> Any:
    import sys

    return sys.modules["cupy"] if any(isinstance(a, ndarray) for a in args) else np


def meshgrid(*xi: Any, indexing: str = "xy", sparse: bool = False, copy: bool = True) -> Any:
    return compute(lambda *hosts: tuple(np.meshgrid(*hosts, indexing=indexing)), *xi)


SOLVERS = ("cholesky", "det", "eigh", "inv", "lstsq", "norm", "pinv", "qr", "slogdet", "solve", "svd")


def solver(name: str) -> Any:
    """A function of ``cupy.linalg``: it needs cuSOLVER, which CuPy does not call while a stream captures."""
    function = getattr(np.linalg, name)

    def call(*args: Any, **options: Any) -> Any:
        if queues.current_state().capture is not None and name != "norm":
            raise NotImplementedError("calling cuSOLVER API during stream capture is currently unsupported")
        return compute(function, *args, **options)

    call.__name__ = call.__qualname__ = name
    return call


def get_default_memory_pool() -> memory.MemoryPool:
    return pools["device"]


def get_default_pinned_memory_pool() -> pinned.PinnedMemoryPool:
    return pools["pinned"]


pools: dict[str, Any] = {}


def fresh_pools() -> None:
    """The default pools, with nothing in them."""
    pools["device"], pools["pinned"] = memory.MemoryPool(), pinned.PinnedMemoryPool()
    memory._allocator.of_thread = None
    memory.set_allocator(pools["device"].malloc)
    pinned.set_pinned_memory_allocator(pools["pinned"].malloc)


#: Everything that ``cupy`` has by name.
FUNCTIONS = {name: _delegate(name) for name in PLAIN} | {
    f.__name__.rstrip("_"): f
    for f in (
        array_, asarray, asnumpy, ascontiguousarray, empty, full, zeros, ones, empty_like, zeros_like, ones_like,
        full_like, arange, eye, identity, linspace, where, nonzero, take, copyto, copy, astype, matmul, dot, tensordot,
        vdot, outer, einsum, may_share_memory, shares_memory, result_type, from_dlpack, get_array_module, meshgrid,
        get_default_memory_pool, get_default_pinned_memory_pool,
    )
}  # fmt: skip
