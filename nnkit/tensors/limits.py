"""The limits of element types."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit.tensors import dtypes

__all__ = ["finfo", "iinfo"]


class finfo:
    """The limits of a float type, of the default one unless given: PyTorch's ``finfo``.

    Raises TypeError for an integer type.

    >>> finfo("float32").eps, finfo().bits
    (1.1920928955078125e-07, 32)
    """

    def __init__(self, type: Any = None) -> None:
        dtype = dtypes.get_default_dtype() if type is None else dtypes.as_dtype(type)
        if not dtypes.is_float(dtype):
            raise TypeError(f"finfo is for float types, got {dtype}; use iinfo")
        found: Any = np.finfo(dtype) if dtype.kind == "f" else _half_limits(dtype)
        self.dtype = str(dtype)
        self.bits = dtype.itemsize * 8
        self.eps, self.max, self.min = float(found.eps), float(found.max), float(found.min)
        self.tiny = self.smallest_normal = float(found.tiny)
        self.resolution = float(found.resolution)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


def _half_limits(dtype: np.dtype) -> Any:
    import ml_dtypes

    return ml_dtypes.finfo(dtype)


class iinfo:
    """The limits of an integer type: PyTorch's ``iinfo``.

    Raises TypeError for a float type.

    >>> iinfo("int8").max
    127
    """

    def __init__(self, type: Any) -> None:
        dtype = dtypes.as_dtype(type)
        if dtype.kind not in "iu":
            raise TypeError(f"iinfo is for integer types, got {dtype}; use finfo")
        found = np.iinfo(dtype)
        self.dtype, self.bits, self.max, self.min = str(dtype), found.bits, int(found.max), int(found.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
