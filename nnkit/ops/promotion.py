"""The type of a result, and operands brought to it: PyTorch's rules, in one place.

Tensors with axes decide first, then tensors without axes, then Python numbers (numpy's scalars count as those). What
comes later counts only where its kind is a higher one: boolean, then whole, then float.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.errors import DtypeError, ShapeError
from nnkit.tensors import dtypes
from nnkit.tensors.creation import tensor
from nnkit.tensors.results import same_backend
from nnkit.tensors.tensor import Tensor

Number = (int, float, bool, np.number, np.bool_)


def result_type(*operands: Any) -> np.dtype:
    """The type of a result of tensors and numbers, as ``torch.result_type`` has it.

    Operands have any shape. Never raises: what is no number counts as a float.

    >>> result_type(tensor([1.0]), tensor(np.float64(0.5))), result_type(tensor([1], dtype="uint8"), 0.5)
    (dtype('float32'), dtype('float32'))
    """
    found: list[np.dtype | None] = [None, None, None]  # of tensors with axes, of those without, of numbers
    for x in operands:
        rank, dtype = (1 if x.ndim == 0 else 0, x.dtype) if isinstance(x, Tensor) else (2, _number_type(x))
        before = found[rank]
        found[rank] = dtype if before is None else dtypes.promote(before, dtype)
    axes, single, number = found
    return _over(axes, _over(single, number))  # type: ignore[return-value]


def _number_type(number: Any) -> np.dtype:
    if isinstance(number, (bool, np.bool_)):
        return dtypes.bool_
    return dtypes.int64 if isinstance(number, (int, np.integer)) else dtypes.get_default_dtype()


def _over(first: np.dtype | None, second: np.dtype | None) -> np.dtype | None:
    """The first type, unless the second is of a higher kind."""
    if first is None or second is None:
        return second if first is None else first
    raised = first == dtypes.bool_ or (dtypes.is_float(second) and not dtypes.is_float(first))
    return dtypes.promote(first, second) if raised else first


def check_held(name: str, number: Any, dtype: np.dtype) -> None:
    """Raises DtypeError for a number that an integer type does not hold."""
    if isinstance(number, Number) and dtype.kind in "iu" and not np.iinfo(dtype).min <= number <= np.iinfo(dtype).max:
        raise DtypeError(f"{name}: {number} is out of range for {dtype}; convert the tensor first, e.g. with .long()")


def operand(value: Any, other: Tensor, name: str) -> Tensor:
    """``value`` as a tensor beside ``other``: a Python number takes its type, where that loses nothing of its kind."""
    value = as_operand(value, other.device, name)
    return tensor(value, dtype=result_type(other, value), device=other.device) if isinstance(value, Number) else value


def pair(name: str, x: Any, y: Any, floats: bool = False) -> tuple[Tensor, Tensor, Backend, tuple[int, ...]]:
    """Two operands as tensors of one type and device, and the shape they broadcast to.

    The type is ``result_type``; where ``floats`` and that is none of those, the default float type.

    A whole number that an integer type does not hold wraps around, as PyTorch has it.
    """
    if isinstance(x, Tensor) and isinstance(y, Tensor) and not floats and x.dtype == y.dtype:
        return x, y, same_backend(name, x, y), broadcast_shape(name, x, y)
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        raise TypeError(f"{name}: expected at least one Tensor, got {type(x).__name__} and {type(y).__name__}")
    device = x.device if isinstance(x, Tensor) else y.device
    x, y = as_operand(x, device, name), as_operand(y, device, name)
    dtype = result_type(x, y)
    dtype = dtypes.get_default_dtype() if floats and not dtypes.is_float(dtype) else dtype
    first, second = (t.to(dtype) if isinstance(t, Tensor) else tensor(t, dtype=dtype, device=device) for t in (x, y))
    return first, second, same_backend(name, first, second), broadcast_shape(name, first, second)


def as_operand(value: Any, device: Any, name: str) -> Any:
    """A tensor or a number as it is, whatever else holds numbers as a tensor. Raises DtypeError for what holds none."""
    if isinstance(value, Tensor) or isinstance(value, Number):
        return value
    if value is None or isinstance(value, (str, bytes, dict, set)):
        raise DtypeError(f"{name}: expected a Tensor, a number or numbers, got {type(value).__name__}: {value!r}")
    return tensor(value, device=device)


def broadcast_shape(name: str, *tensors: Tensor) -> tuple[int, ...]:
    """The shape that tensors broadcast to. Raises ShapeError when they do not."""
    first = tensors[0].shape
    if all(t.shape == first for t in tensors):
        return first
    try:
        return np.broadcast_shapes(*(t.shape for t in tensors))
    except ValueError:
        shapes = " and ".join(str(t.shape) for t in tensors)
        raise ShapeError(
            f"{name}: shapes {shapes} do not broadcast: from the right, sizes must be equal or 1"
        ) from None
