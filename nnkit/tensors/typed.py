"""PyTorch's old names of tensors by element type: ``FloatTensor([1, 2])``, ``LongTensor(2, 3)``.

Each makes a tensor of its type, of data or of sizes; ``isinstance`` asks for that type. ``nnkit.cuda`` has the same
names for tensors on a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit.errors import UnknownNameError
from nnkit.tensors import creation, dtypes
from nnkit.tensors.default_device import set_default_device
from nnkit.tensors.tensor import Tensor

__all__ = [
    "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor", "LongTensor",
    "ShortTensor", "set_default_tensor_type", "twins",
]  # fmt: skip


class TypedMaker(type):
    """The class of FloatTensor and the others: calling one makes a Tensor."""

    dtype: np.dtype
    place: str

    def __call__(cls, *given: Any, device: Any = None) -> Any:
        return creation.of_data_or_sizes(given, cls.dtype, device or (None if cls.place == "cpu" else cls.place))

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, Tensor) and value.dtype == cls.dtype and value.device.type == cls.place

    def __repr__(cls) -> str:
        return f"<class '{cls.__module__}.{cls.__name__}'>"


def _maker(name: str, dtype: np.dtype, place: str = "cpu") -> TypedMaker:
    module = "nnkit" if place == "cpu" else f"nnkit.{place}"
    where = "" if place == "cpu" else " on a GPU"
    shown = f"{module}.{name}(2, 3).shape" if place == "cpu" else f"isinstance(nnkit.zeros(1), {module}.{name})"
    source = f"{module.replace('nnkit', 'torch')}.{name}"
    text = f"""A {dtype} tensor{where} of data, or of sizes with values that are not set: PyTorch's old name.

    Of any shape. Raises TypeError for a text, DtypeError for data that are no numbers.
    Source: ``{source}``.

    >>> import nnkit
    >>> {shown}
    {"(2, 3)" if place == "cpu" else "False"}"""
    return TypedMaker(name, (), {"dtype": dtype, "place": place, "__doc__": text, "__module__": module})


FloatTensor = _maker("FloatTensor", dtypes.float32)
DoubleTensor = _maker("DoubleTensor", dtypes.float64)
HalfTensor = _maker("HalfTensor", dtypes.float16)
LongTensor = _maker("LongTensor", dtypes.int64)
IntTensor = _maker("IntTensor", dtypes.int32)
ShortTensor = _maker("ShortTensor", dtypes.int16)
CharTensor = _maker("CharTensor", dtypes.int8)
ByteTensor = _maker("ByteTensor", dtypes.uint8)
BoolTensor = _maker("BoolTensor", dtypes.bool_)

_ALL = (BoolTensor, ByteTensor, CharTensor, DoubleTensor, FloatTensor, HalfTensor, IntTensor, LongTensor, ShortTensor)
MAKERS = {made.__name__: made for made in _ALL}


def twins(place: str) -> dict[str, TypedMaker]:
    """The same names for another kind of device."""
    return {name: _maker(name, made.dtype, place) for name, made in MAKERS.items()}


def set_default_tensor_type(t: Any) -> None:
    """The type (and, for ``cuda``'s, the device) of new float tensors: ``FloatTensor``, or its name as PyTorch says it.

    Raises UnknownNameError for another name, TypeError for a type that is no float type. Source:
    ``torch.set_default_tensor_type``.

    >>> set_default_tensor_type("torch.DoubleTensor"); creation.zeros(1).dtype
    dtype('float64')
    >>> set_default_tensor_type(FloatTensor)
    """
    if isinstance(t, str):
        places = t.split(".")
        if places[-1] not in MAKERS:
            raise UnknownNameError("tensor type", t, [f"torch.{name}" for name in MAKERS])
        dtype, place = MAKERS[places[-1]].dtype, "cuda" if "cuda" in places else "cpu"
    elif isinstance(t, TypedMaker):
        dtype, place = t.dtype, t.place
    else:
        raise TypeError(f"t: expected a tensor type such as nnkit.FloatTensor, or its name, got {t!r}")
    dtypes.set_default_dtype(dtype)
    set_default_device(place)
