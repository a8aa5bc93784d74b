"""ONNX's numbers of element types."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit.onnx.errors import OnnxError
from nnkit.tensors import dtypes

__all__ = ["STRING", "dtype_of", "number_of"]

#: numpy's name -> TensorProto's number.
NUMBERS = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "object": 8, "bool": 9,
    "float16": 10, "float64": 11, "uint32": 12, "uint64": 13, "bfloat16": 16,
}  # fmt: skip
STRING = NUMBERS["object"]
_NAMES = {number: name for name, number in NUMBERS.items()}


def number_of(dtype: Any) -> int:
    """The number of a type. Raises OnnxError for one that ONNX does not have.

    >>> number_of("int64")
    7
    """
    dtype = np.dtype(dtype)
    name = "object" if dtype.kind == "U" else dtype.name
    if name not in NUMBERS:
        raise OnnxError(f"export: ONNX has no element type {name}")
    return NUMBERS[name]


def dtype_of(number: int) -> np.dtype:
    """The type of a number, for tensors. Raises OnnxError for one that nnkit does not have."""
    if number not in _NAMES or number == STRING:
        raise OnnxError(f"nnkit has no tensors of ONNX's element type {number}; it has {', '.join(NUMBERS)}")
    return dtypes.as_dtype(_NAMES[number])
