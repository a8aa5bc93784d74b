"""Element types: numpy's dtype objects under PyTorch's names, and the rules for mixing them.

``bfloat16`` comes from the package ml_dtypes, which is imported when it is first asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit.backends.precision import is_half
from nnkit.errors import DtypeError, nearest_names
from nnkit.recording.state import changed

float16 = half = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = double = np.dtype(np.float64)
int8 = np.dtype(np.int8)
int16 = short = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = long = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
bool_ = np.dtype(np.bool_)

#: What ``as_dtype`` names where it knows no type of a name.
NAMES = (
    "float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool",
)  # fmt: skip
_default = [float32]


def __getattr__(name: str) -> Any:
    if name == "bfloat16":
        return as_dtype(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def as_dtype(dtype: Any) -> np.dtype:
    """numpy's dtype object for a dtype, a type or a name.

    Raises DtypeError for what is no type, and ModuleNotFoundError for bfloat16 without ml_dtypes.

    >>> as_dtype("float16")
    dtype('float16')
    """
    if isinstance(dtype, str) and dtype == "bfloat16":
        try:
            import ml_dtypes
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "bfloat16 needs ml_dtypes, because numpy has no such type: pip install ml_dtypes", name="ml_dtypes"
            ) from None
        return np.dtype(ml_dtypes.bfloat16)
    try:
        return np.dtype(dtype)
    except TypeError:
        near = nearest_names(str(dtype), NAMES)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        raise DtypeError(f"dtype: unknown element type {dtype!r}{hint} Known: {', '.join(NAMES)}") from None


def get_default_dtype() -> np.dtype:
    """The type of tensors made from Python floats: float32 unless set otherwise.

    >>> get_default_dtype().name
    'float32'
    """
    return _default[0]


def set_default_dtype(dtype: Any) -> None:
    """Make new float tensors float32 or float64.

    Raises TypeError for a type that is no float type. Source: ``torch.set_default_dtype``.

    >>> set_default_dtype(float64); get_default_dtype().name
    'float64'
    >>> set_default_dtype(float32)
    """
    dtype = as_dtype(dtype)
    if not is_float(dtype):
        raise TypeError(f"dtype: expected a float type for the default, got {dtype}")
    _default[0] = dtype
    changed()


def is_float(dtype: np.dtype) -> bool:
    """Whether the type can carry gradients."""
    return dtype.kind == "f" or is_half(dtype)


def can_become(dtype: np.dtype, other: np.dtype) -> bool:
    """Whether a result of ``dtype`` may be written in place into ``other``, as ``torch.can_cast`` has it.

    Not floats into whole numbers, nor either into booleans.

    >>> can_become(float64, float16), can_become(float32, int64), can_become(int64, int8), can_become(int64, bool_)
    (True, False, True, False)
    """
    if other == bool_:
        return dtype == bool_
    return is_float(other) or not is_float(dtype)


def promote(first: np.dtype, second: np.dtype) -> np.dtype:
    """The type of a result of two tensors, as PyTorch has it: a float type wins over any integer type.

    The two half types together give float32.

    >>> promote(int64, float32)
    dtype('float32')
    """
    if first == second:
        return first
    if is_float(first) != is_float(second):
        return first if is_float(first) else second
    return float32 if is_half(first) and is_half(second) else np.promote_types(first, second)
