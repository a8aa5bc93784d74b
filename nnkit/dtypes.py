"""Element types: numpy's dtype objects under PyTorch's names, and the rules for mixing them."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit.state import changed

float16 = half = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = double = np.dtype(np.float64)
int8 = np.dtype(np.int8)
int16 = short = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = long = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
bool_ = np.dtype(np.bool_)

_default = [float32]


def get_default_dtype() -> np.dtype:
    """The type of tensors made from Python floats: float32 unless set otherwise."""
    return _default[0]


def set_default_dtype(dtype: Any) -> None:
    """Make new float tensors float32 or float64. Raises TypeError for another type."""
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"dtype: expected a float type for the default, got {dtype}")
    _default[0] = dtype
    changed()


def is_float(dtype: np.dtype) -> bool:
    """Whether the type can carry gradients."""
    return dtype.kind == "f"


def promote(first: np.dtype, second: np.dtype) -> np.dtype:
    """The type of a result of two tensors, as PyTorch has it: a float type wins over any integer type.

    >>> promote(int64, float32)
    dtype('float32')
    """
    if first == second:
        return first
    if is_float(first) != is_float(second):
        return first if is_float(first) else second
    return np.promote_types(first, second)
