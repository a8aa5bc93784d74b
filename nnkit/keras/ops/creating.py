"""New tensors: of one value, of numbers in a row, of windows."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.keras.ops.types import convert_to_tensor, floats, of_type, to_list, together
from nnkit.tensors import creation, dtypes
from nnkit.tensors.dtypes import get_default_dtype, is_float
from nnkit.tensors.tensor import Tensor


def zeros(shape: Any, dtype: Any = None) -> Tensor:
    """Zeros, in ``floatx`` unless told otherwise."""
    return creation.zeros(*to_list(shape), dtype=of_type(dtype))


def ones(shape: Any, dtype: Any = None) -> Tensor:
    """Ones, in ``floatx`` unless told otherwise."""
    return creation.ones(*to_list(shape), dtype=of_type(dtype))


def empty(shape: Any, dtype: Any = None) -> Tensor:
    """Zeros, as Keras has it on JAX."""
    return zeros(shape, dtype)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """One value, or values that are broadcast, everywhere; in ``floatx`` unless told otherwise."""
    value = ops.to(convert_to_tensor(fill_value), dtype=of_type(dtype))
    return ops.clone(ops.broadcast_to(value, to_list(shape)))


def _kind(x: Tensor, dtype: Any) -> np.dtype:
    return x.dtype if dtype is None else of_type(dtype)


def zeros_like(x: Any, dtype: Any = None) -> Tensor:
    """Zeros in the shape and type of x."""
    x = convert_to_tensor(x)
    return creation.zeros(*x.shape, dtype=_kind(x, dtype), device=x.device)


def ones_like(x: Any, dtype: Any = None) -> Tensor:
    """Ones in the shape and type of x."""
    x = convert_to_tensor(x)
    return creation.ones(*x.shape, dtype=_kind(x, dtype), device=x.device)


def empty_like(x: Any, dtype: Any = None) -> Tensor:
    """Zeros in the shape and type of x."""
    return zeros_like(x, dtype)


def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """One value in the shape and type of x."""
    x = convert_to_tensor(x)
    value = ops.to(convert_to_tensor(fill_value), device=x.device, dtype=_kind(x, dtype))
    return ops.clone(ops.broadcast_to(value, x.shape))


def array(x: Any, dtype: Any = None) -> Tensor:
    """A copy of numbers as a tensor."""
    return ops.clone(convert_to_tensor(x, dtype))


def copy(x: Any) -> Tensor:
    """A copy."""
    return ops.clone(convert_to_tensor(x))


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Tensor:
    """Numbers from start to before stop, ``step`` apart; from 0 where stop is not given.

    >>> arange(3).tolist(), arange(1.0, 2.0, 0.5).tolist()
    ([0, 1, 2], [1.0, 1.5])
    """
    start, stop = (0, start) if stop is None else (start, stop)
    step = 1 if step is None else step
    ends = [x.item() if isinstance(x, (Tensor, np.generic)) else x for x in (start, stop, step)]
    if dtype is None:
        kind = get_default_dtype() if builtins.any(isinstance(x, float) for x in ends) else dtypes.int32
    else:
        kind = of_type(dtype)
    return creation.tensor(np.arange(*ends), dtype=kind)


def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    """``num`` numbers from start to stop, which is among them unless ``endpoint`` is False.

    >>> linspace(0.0, 1.0, 3).tolist()
    [0.0, 0.5, 1.0]
    """
    first, last = (floats(x) if isinstance(x, Tensor) else x for x in together(start, stop))
    kind = get_default_dtype()
    for end in (first, last):
        kind = end.dtype if isinstance(end, Tensor) and not (end.ndim == 0 and end.dtype == dtypes.bool_) else kind
    first, last = (convert_to_tensor(x, kind) for x in (first, last))
    gaps = builtins.max(num - 1 if endpoint else num, 1)
    step = (last - first) / float(gaps) if num > 1 or not endpoint else (last - first) * math.nan
    shape = (-1, *[1] * builtins.max(first.ndim, last.ndim))
    shares = creation.tensor(np.arange(num) / gaps, dtype=kind, device=first.device)
    shares = ops.reshape(shares, shape)
    found = first * (1.0 - shares) + last * shares
    found = ops.movedim(found, 0, axis) if axis not in (0, -found.ndim) else found
    if dtype is not None:
        found = ops.to(found if is_float(of_type(dtype)) else ops.floor(found), dtype=of_type(dtype))
    return (found, step) if retstep else found


def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10, dtype: Any = None, axis: int = 0
) -> Tensor:
    """``base`` to the power of numbers from start to stop."""
    powers = linspace(start, stop, num, endpoint, False, None, axis)
    found = ops.exp(powers * math.log(base))
    return found if dtype is None else ops.to(found, dtype=of_type(dtype))


def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Tensor:
    """Numbers from start to stop, each a fixed number of times the one before."""
    first, last = floats(start), floats(stop)
    sign = ops.sign(first)
    powers = linspace(ops.log(first * sign), ops.log(last * sign), num, endpoint, False, None, axis)
    found = ops.exp(powers) * sign
    return found if dtype is None else ops.to(found, dtype=of_type(dtype))


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Tensor:
    """Ones on the k-th diagonal of an (N, M) matrix, zeros elsewhere."""
    return creation.tensor(np.eye(N, M, k), dtype=of_type(dtype))


def identity(n: int, dtype: Any = None) -> Tensor:
    """Ones on the diagonal of an (n, n) matrix."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Tensor:
    """Ones on and below the k-th diagonal of an (N, M) matrix."""
    return creation.tensor(np.tri(N, M, k), dtype=of_type(dtype))


def meshgrid(*x: Any, indexing: str = "xy") -> list[Tensor]:
    """Vectors as the coordinates of a grid; with "xy" the first runs along axis 1, with "ij" along axis 0."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing must be 'xy' or 'ij'; got {indexing!r}")
    vectors = [convert_to_tensor(v) for v in x]
    shape = [v.numel() for v in vectors]
    found = [
        ops.broadcast_to(ops.reshape(v, [-1 if k == place else 1 for k in range(len(shape))]), shape)
        for place, v in enumerate(vectors)
    ]
    return [ops.transpose(v, 0, 1) for v in found] if indexing == "xy" and len(found) > 1 else found


# ---- windows --------------------------------------------------------------------------------------------------------


def _window(x: Any, values: Any) -> Tensor:
    return creation.tensor(values(int(x)), dtype=get_default_dtype())


def bartlett(x: Any) -> Tensor:
    """Bartlett's window of x points: a triangle."""
    return _window(x, np.bartlett)


def blackman(x: Any) -> Tensor:
    """Blackman's window of x points: three cosines."""
    return _window(x, np.blackman)


def hamming(x: Any) -> Tensor:
    """Hamming's window of x points: a cosine that does not reach 0."""
    return _window(x, np.hamming)


def hanning(x: Any) -> Tensor:
    """Hann's window of x points: a cosine."""
    return _window(x, np.hanning)


def kaiser(x: Any, beta: Any) -> Tensor:
    """Kaiser's window of x points."""
    return _window(x, lambda count: np.kaiser(count, float(beta)))
