"""Types, and the numbers of tensors and variables, by the names of older Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.keras import ops
from nnkit.keras.config import floatx
from nnkit.keras.naming import automatic_name
from nnkit.keras.ops.types import standardize_dtype
from nnkit.keras.symbolic import KerasTensor
from nnkit.keras.variable import Variable
from nnkit.tensors.tensor import Tensor

# ---- types ----------------------------------------------------------------------------------------------------------


def is_float_dtype(dtype: Any) -> bool:
    """Whether a dtype is one of floats.

    Raises DtypeError for what is no dtype. Source: ``keras.backend.is_float_dtype``.

    >>> is_float_dtype("bfloat16"), is_float_dtype("int8")
    (True, False)
    """
    return "float" in standardize_dtype(dtype)


def is_int_dtype(dtype: Any) -> bool:
    """Whether a dtype is one of whole numbers.

    Raises DtypeError for what is no dtype. Source: ``keras.backend.is_int_dtype``.

    >>> is_int_dtype("uint8"), is_int_dtype("bool")
    (True, False)
    """
    return standardize_dtype(dtype).lstrip("u").startswith("int")


def is_keras_tensor(x: Any) -> bool:
    """Whether x is symbolic.

    Raises nothing. Source: ``keras.backend.is_keras_tensor``.

    >>> is_keras_tensor(KerasTensor((None, 2))), is_keras_tensor([1.0])
    (True, False)
    """
    return isinstance(x, KerasTensor)


def is_tensor(x: Any) -> bool:
    """Whether x is a tensor, of any shape and dtype.

    Raises nothing. Source: ``keras.backend.is_tensor``.

    >>> is_tensor(ops.zeros(2)), is_tensor([0.0])
    (True, False)
    """
    return isinstance(x, Tensor)


def dtype(x: Any) -> str:
    """The name of x's dtype, of any shape.

    Raises AttributeError for what has none. Source: ``keras.backend.dtype``.

    >>> dtype(ops.zeros(2))
    'float32'
    """
    return standardize_dtype(x.dtype)


def get_uid(prefix: str = "") -> int:
    """A number that was not given for this prefix before, from 1 on.

    Raises TypeError for what is no text. Source: ``keras.backend.get_uid``.

    >>> get_uid("part of an example"), get_uid("part of an example")
    (1, 2)
    """
    found = automatic_name(type(prefix or "object", (), {})).rpartition("_")[2]
    return int(found) + 1 if found.isdigit() else 1


# ---- values ---------------------------------------------------------------------------------------------------------


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Any:
    """A tensor of these numbers, of any shape, in ``floatx`` unless ``dtype`` tells otherwise.

    Raises DtypeError for what are no numbers, ShapeError where they cannot be repeated to ``shape``. Source:
    ``keras.backend.constant``.

    >>> constant(2, shape=(2,))
    tensor([2., 2.])
    """
    x = ops.convert_to_tensor(value, dtype or floatx())
    return x if shape is None else ops.broadcast_to(x, shape)


def variable(value: Any, dtype: Any = None, name: str | None = None, constraint: Any = None) -> Any:
    """A variable that begins with this value, of any shape, in ``floatx`` unless ``dtype`` tells otherwise.

    Raises DtypeError for what are no numbers. Source: ``keras.backend.variable``.

    >>> get_value(variable([1, 2]))
    array([1., 2.], dtype=float32)
    """
    return Variable(np.asarray(value), dtype=dtype or floatx(), name=name)


def cast_to_floatx(x: Any) -> Any:
    """As dtype ``floatx``, of x's shape: a tensor of a tensor, else an array.

    Raises ValueError for what are no numbers. Source: ``keras.backend.cast_to_floatx``.

    >>> cast_to_floatx([1, 2])
    array([1., 2.], dtype=float32)
    """
    return ops.cast(x, floatx()) if isinstance(x, (Tensor, KerasTensor)) else np.asarray(x, dtype=floatx())


def get_value(x: Any) -> np.ndarray:
    """The numbers of a tensor as an array of its shape and dtype; also called ``eval``.

    Raises DtypeError for what are no numbers. Source: ``keras.backend.get_value``.

    >>> get_value(ops.ones(2))
    array([1., 1.], dtype=float32)
    """
    return ops.convert_to_numpy(x)


eval = get_value


def set_value(x: Any, value: Any) -> None:
    """Give a variable a value of its shape, which takes its dtype.

    Raises AttributeError for what is no variable. Source: ``keras.backend.set_value``.

    >>> x = variable(1.0); set_value(x, 2.0); get_value(x)
    array(2., dtype=float32)
    """
    x.assign(value)


def batch_get_value(tensors: Sequence[Any]) -> list[np.ndarray]:
    """The numbers of each tensor as an array of its shape and dtype.

    Raises DtypeError for what are no numbers. Source: ``keras.backend.batch_get_value``.

    >>> batch_get_value([ops.ones(1), ops.zeros(1)])
    [array([1.], dtype=float32), array([0.], dtype=float32)]
    """
    return [get_value(x) for x in tensors]


def batch_set_value(tuples: Sequence[tuple[Any, Any]]) -> None:
    """Give each variable its value, of its shape, which takes its dtype.

    Raises AttributeError for what is no variable. Source: ``keras.backend.batch_set_value``.

    >>> x, y = variable(1.0), variable(1.0)
    >>> batch_set_value([(x, 2.0), (y, 3.0)]); batch_get_value([x, y])
    [array(2., dtype=float32), array(3., dtype=float32)]
    """
    for x, value in tuples:
        set_value(x, value)


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The sizes of the axes, None where one is not known.

    Raises AttributeError for what has no shape. Source: ``keras.backend.int_shape``.

    >>> int_shape(KerasTensor((None, 2)))
    (None, 2)
    """
    return tuple(x.shape)
