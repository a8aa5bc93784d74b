"""The words of PyTorch's pickles: what stands for each name that a file may use, and nothing else.

A name becomes a ``Word``, which only the table below can make; no class of Python or of anybody else is looked up.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.backends import Device
from nnkit.errors import ModelFileError
from nnkit.tensors.dtypes import as_dtype
from nnkit.tensors.tensor import Size

__all__ = ["ARRAY", "STORAGES", "ArrayOfNumpy", "DtypeOfNumpy", "StorageType", "Word", "plain_words"]

#: Storage classes -> their element types; complex and quantized ones are refused by name.
STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip
DTYPES = {
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
}  # fmt: skip
#: The kinds and sizes of NumPy's types that a file may have.
NUMPY_TYPES = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}


class Word:
    """A name that a pickle may call: ``make(*arguments)``."""

    def __init__(self, name: str, make: Callable[..., Any]) -> None:
        self.name, self.make = name, make


class StorageType:
    """A name of PyTorch's storages, which is only named, never called."""

    def __init__(self, name: str) -> None:
        self.dtype_name = STORAGES[name]


class DtypeOfNumpy:
    """A numpy dtype in the making: its state follows its arguments."""

    def __init__(self, name: Any, *rest: Any) -> None:
        if name not in NUMPY_TYPES:
            raise ModelFileError(f"the file holds NumPy's type {str(name)[:50]!r}; numbers of up to 8 bytes are read")
        self.dtype = np.dtype(name)

    def build(self, state: Any) -> None:
        """Take the byte order, which is all that the state of such a type has to say."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise ModelFileError("a NumPy type of the file has an impossible state")
        self.dtype = self.dtype.newbyteorder(state[1])


#: What stands for the class ``numpy.ndarray``.
ARRAY = Word("numpy.ndarray", lambda *given: None)


class ArrayOfNumpy:
    """A numpy array in the making."""

    def __init__(self, kind: Any, shape: Any, letter: Any) -> None:
        if kind is not ARRAY:
            raise ModelFileError("the file holds an array of an unknown class")
        self.values: np.ndarray = np.empty(0)

    def build(self, state: Any) -> None:
        """Take shape, type, order and bytes."""
        _, shape, dtype, by_columns, content = state
        if not isinstance(dtype, DtypeOfNumpy) or not isinstance(content, bytes) or not isinstance(shape, tuple):
            raise ModelFileError("a NumPy array of the file has an impossible state")
        flat = np.frombuffer(content, dtype.dtype).astype(dtype.dtype.newbyteorder("="))
        self.values = flat.reshape(shape, order="F" if by_columns else "C")


def _scalar(dtype: Any, content: Any) -> Any:
    if not isinstance(dtype, DtypeOfNumpy) or not isinstance(content, bytes):
        raise ModelFileError("a NumPy number of the file has an impossible state")
    (value,) = np.frombuffer(content, dtype.dtype)
    return value


def _encode(text: Any, coding: Any = "utf-8") -> bytes:
    if not isinstance(text, str) or coding not in ("latin1", "latin-1", "utf-8"):
        raise ModelFileError("the file encodes a text in an unknown way")
    return text.encode(coding)


def _ordered(pairs: Any = ()) -> OrderedDict[Any, Any]:
    return OrderedDict(pairs)


def _set(items: Any = ()) -> set[Any]:
    if not isinstance(items, list | tuple):
        raise ModelFileError("a set of the file has an impossible state")
    return set(items)


def _size(sizes: Any) -> Size:
    if not isinstance(sizes, list | tuple) or any(type(size) is not int for size in sizes):
        raise ModelFileError("a shape of the file is no list of whole numbers")
    return Size(sizes)


def _device(kind: Any, index: Any = None) -> Device:
    if not isinstance(kind, str) or not isinstance(index, int | None):
        raise ModelFileError("a device of the file has no name")
    return Device(kind[:50], index)


def plain_words() -> dict[str, Any]:
    """The names that need no tensor: "module.name" -> what stands for it."""
    made: dict[str, Any] = {
        "collections.OrderedDict": Word("OrderedDict", _ordered),
        "_codecs.encode": Word("encode", _encode),
        "torch.Size": Word("torch.Size", _size),
        "torch.device": Word("torch.device", _device),
        "numpy.dtype": Word("numpy.dtype", DtypeOfNumpy),
        "numpy.ndarray": ARRAY,
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        made[f"{module}.scalar"] = Word("scalar", _scalar)
        made[f"{module}._reconstruct"] = Word("_reconstruct", ArrayOfNumpy)
    for module in ("builtins", "__builtin__"):
        made[f"{module}.set"] = Word("set", _set)
    for name in STORAGES:
        made[f"torch.{name}"] = StorageType(name)
    for name in sorted(DTYPES - {"bfloat16"}):
        made[f"torch.{name}"] = as_dtype(name)
    return made
