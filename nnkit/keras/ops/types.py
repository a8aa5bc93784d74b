"""What the functions of ``keras.ops`` do with their arguments: make them tensors, of the types that Keras's rules give.

A Python number has no type of its own: beside a float16 tensor it is float16, by itself ``floatx`` or int32. Lists of
Python numbers are made of int32 or ``floatx``; arrays keep their types. Source: ``keras.backend.result_type``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.errors import DtypeError
from nnkit.keras.masks import unmasked
from nnkit.tensors import dtypes
from nnkit.tensors.creation import tensor
from nnkit.tensors.dtypes import as_dtype, get_default_dtype, is_float, promote
from nnkit.tensors.tensor import Tensor

__all__ = [
    "axes_of",
    "convert_to_tensor",
    "floats",
    "of_type",
    "result_type",
    "standardize_dtype",
    "to_list",
    "together",
]

#: Python's types -> the names that Keras has for them.
PYTHON = {bool: "bool", int: "int32", "int": "int32", "float": "float32", "str": "string", str: "string"}
#: The signed type that holds all of an unsigned one.
SIGNED: dict[int, np.dtype] = {1: dtypes.int16, 2: dtypes.int32, 4: dtypes.int64}


def standardize_dtype(dtype: Any) -> str:
    """The name of a type: of a dtype, a name, a type of Python's, or None for ``floatx``.

    Raises DtypeError for what is no dtype. Source: ``keras.backend.standardize_dtype``.

    >>> standardize_dtype(None), standardize_dtype(int), standardize_dtype("float16")
    ('float32', 'int32', 'float16')
    """
    if dtype is None or dtype is float:
        return get_default_dtype().name
    if isinstance(dtype, (type, str)) and dtype in PYTHON:
        return PYTHON[dtype]
    return as_dtype(dtype).name


def of_type(dtype: Any) -> np.dtype:
    """NumPy's dtype object of what Keras takes for a type."""
    return as_dtype(standardize_dtype(dtype))


def result_type(*dtypes: Any) -> str:
    """The name of the type of a result of these types; ``int`` and ``float`` stand for numbers of Python's.

    Raises DtypeError for what is no dtype. Source: ``keras.backend.result_type``.

    >>> result_type("int32", float), result_type("float16", float), result_type("uint8", "int8")
    ('float32', 'float16', 'int16')
    """
    return _common(tuple(given if given is int or given is float else of_type(given) for given in dtypes)).name


def _common(given: tuple[Any, ...]) -> np.dtype:
    """The type of a result of dtypes and, for numbers of Python's, of ``int`` and ``float``."""
    return _least(given, get_default_dtype())


@functools.lru_cache(256)
def _least(given: tuple[Any, ...], default: np.dtype) -> np.dtype:
    found: np.dtype | None = None
    for dtype in given:
        if not isinstance(dtype, type):
            found = dtype if found is None else _pair(found, dtype)
    weak: set[Any] = {dtype for dtype in given if isinstance(dtype, type)}
    if found is None:
        return default if float in weak or not weak else dtypes.int32
    if float in weak and not is_float(found):
        return default
    return dtypes.int32 if int in weak and found == dtypes.bool_ else found


def _pair(first: np.dtype, second: np.dtype) -> np.dtype:
    """The type of a result of two types."""
    signs = {first.kind, second.kind}
    if signs == {"u", "i"}:
        unsigned, signed = (first, second) if first.kind == "u" else (second, first)
        if unsigned.itemsize == 8:
            return get_default_dtype()
        held = SIGNED[unsigned.itemsize]
        return held if held.itemsize > signed.itemsize else signed
    return promote(first, second)


def convert_to_tensor(x: Any, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None) -> Tensor:
    """A tensor of numbers, arrays, lists, or a tensor itself; in ``dtype``, where one is given.

    >>> convert_to_tensor([1, 2]).dtype, convert_to_tensor([1, 2.5]).dtype, convert_to_tensor(True).dtype
    (dtype('int32'), dtype('float32'), dtype('bool'))
    """
    if sparse or ragged:
        raise ValueError("convert_to_tensor: nnkit has no sparse or ragged tensors; leave sparse and ragged out")
    if not isinstance(x, Tensor):
        found = _of_data(x)
    else:
        found = unmasked(x) if dtype is None else x
    if dtype is None or standardize_dtype(dtype) == found.dtype.name:
        return found
    return ops.to(found, dtype=of_type(dtype))


def _of_data(x: Any) -> Tensor:
    if isinstance(x, (bool, int, float)) and not isinstance(x, np.generic):  # NumPy's float64 is a float, with a type
        return tensor(x, dtype=dtypes.bool_ if isinstance(x, bool) else _common((_leaf_type(x),)))
    if isinstance(x, (list, tuple)) and any(isinstance(part, Tensor) for part in _leaves(x)):
        parts = [convert_to_tensor(part) for part in x]
        kind = _common(tuple(part.dtype for part in parts))
        return ops.stack([ops.to(part, dtype=kind) for part in parts])
    if isinstance(x, (list, tuple)):
        kind = _common(tuple({_leaf_type(leaf) for leaf in _leaves(x)}))
        return tensor(np.asarray(x, dtype=kind))
    array = np.asarray(x)
    if array.dtype.kind in "OSUMm":
        raise DtypeError(f"a tensor holds numbers; got {type(x).__name__} of {array.dtype}")
    return tensor(array)


def _leaves(x: Any) -> list[Any]:
    if isinstance(x, (list, tuple)):
        return [leaf for part in x for leaf in _leaves(part)]
    return [x]


def _leaf_type(leaf: Any) -> Any:
    """``int`` or ``float`` for a number of Python's, else the dtype."""
    if isinstance(leaf, bool):
        return dtypes.bool_
    if isinstance(leaf, (int, float)) and not isinstance(leaf, np.generic):
        return type(leaf) if type(leaf) in (int, float) else (int if isinstance(leaf, int) else float)
    found = np.asarray(leaf).dtype
    if found.kind in "OSUMm":
        raise DtypeError(f"a tensor holds numbers; got {leaf!r}")
    return found


def together(*given: Any) -> list[Any]:
    """Arguments of one result type; numbers of Python's stay numbers, unless there is nothing else.

    >>> [x.dtype.name for x in together([True], [2])], together([1.0], 2)[1]
    (['int32', 'int32'], 2)
    """
    kinds = [_weak(x) for x in given]
    if all(kinds):
        dtype = _common(tuple(kinds))
        return [tensor(x, dtype=dtype) for x in given]
    parts = [x if weak else convert_to_tensor(x) for x, weak in zip(given, kinds, strict=True)]
    dtype = _common(tuple(weak or part.dtype for part, weak in zip(parts, kinds, strict=True)))
    return [x if weak or x.dtype == dtype else ops.to(x, dtype=dtype) for x, weak in zip(parts, kinds, strict=True)]


def _weak(x: Any) -> Any:
    if isinstance(x, np.generic) or not isinstance(x, (int, float)):
        return None
    return None if isinstance(x, bool) else (int if isinstance(x, int) else float)


def floats(x: Any) -> Tensor:
    """As a tensor of floats: whole numbers and booleans in ``floatx``."""
    x = convert_to_tensor(x)
    return x if is_float(x.dtype) else ops.to(x, dtype=get_default_dtype())


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """Axes counted from the front: of None (all), of a number or of several.

    >>> axes_of(-1, 3), axes_of(None, 2), axes_of((0, -1), 3)
    ((2,), (0, 1), (0, 2))
    """
    if axis is None:
        return tuple(range(ndim))
    given = (axis,) if isinstance(axis, (int, np.integer)) else tuple(axis)
    for one in given:
        if not -ndim <= one < ndim:
            raise ValueError(f"axis: expected numbers from {-ndim} to {ndim - 1} for {ndim} axes, got {axis!r}")
    return tuple(int(one) % ndim for one in given)


def to_list(x: Any) -> list[Any]:
    """Whole numbers of a shape or of indices, from a tensor, an array, a sequence or one number."""
    if isinstance(x, Tensor):
        return [int(n) for n in np.asarray(x).reshape(-1)]
    return [x] if not isinstance(x, Sequence | np.ndarray) else list(x)
