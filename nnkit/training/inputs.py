"""The door for inputs: are these samples, and can the model's first layer take them?"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from nnkit.errors import DataError, ShapeError
from nnkit.nn import Dropout, Flatten, Identity, Linear, Sequential
from nnkit.nn.module import Module
from nnkit.tensors.dtypes import int64
from nnkit.tensors.tensor import Tensor
from nnkit.training.checked import Checked
from nnkit.training.several import Several, named
from nnkit.training.values import columns_of, floats, numbers, variable

__all__ = ["Inputs", "first_linear"]


class Inputs:
    """What x must be, from the model that reads it; ``convert`` checks and converts."""

    def __init__(self, model: Module, dtype: np.dtype[Any]) -> None:
        self.model = model
        self.dtype = dtype
        # An embedding among its parts takes whole numbers as they are; to others they are features like any.
        self._reads_whole_numbers = any(getattr(module, "reads_whole_numbers", False) for module in model.modules())

    def convert(self, value: Any, name: str, finite: bool = True) -> Any:
        """x as the model takes it, of its dtype; each of several by itself.

        Raises ShapeError for a single number and for what the first Linear cannot take, DataError for emptiness, NaN,
        infinity (where ``finite``) or values beyond the dtype, and whatever ``numbers`` raises.
        """
        if isinstance(value, Several):
            checked = [self._converted(part, own, finite) for own, part in named(**{name: value}).items()]
            return Several(checked, value.names, value.form)
        found = self._converted(value, name, finite)
        _check_first_layer(self.model, found.shape, name)
        return found

    def _converted(self, value: Any, name: str, finite: bool) -> Checked:
        array = _with_features(numbers(value, name), name)
        found = floats(array, name, self.dtype, finite, columns_of(value))
        if self._reads_whole_numbers and array.dtype.kind in "iu":
            found = Checked(array, int64)
        return dataclasses.replace(found, tensor=value) if isinstance(value, Tensor) else found


def _with_features(array: np.ndarray, name: str) -> np.ndarray:
    """Refuse what has no samples, or samples of no numbers."""
    if array.ndim == 0:
        raise ShapeError(f"{name} is a single number; expected an array whose first dimension is the samples")
    if array.shape[0] == 0:
        raise DataError(f"{name} has 0 samples (shape {array.shape}); expected at least one row")
    if array.size == 0:
        raise DataError(f"{name} has 0 features (shape {array.shape}); expected at least one column")
    return array


def _check_first_layer(model: Module, shape: tuple[int, ...], name: str) -> None:
    """Refuse inputs that the Linear at the front of the model cannot take; other models speak for themselves."""
    first, flattened = first_linear(model, False)
    if first is None:
        return
    wanted = first.in_features
    given = math.prod(shape[1:]) if flattened else shape[-1]
    if len(shape) > 1 and given == wanted:
        return
    fix = ""
    if len(shape) == 1:
        fix = f": write {variable(name)}.reshape({'-1, 1' if wanted == 1 else '1, -1'})"
        fix = fix if wanted in (1, shape[0]) else ""
    elif math.prod(shape[1:]) == wanted:
        fix = f": write {variable(name)}.reshape(len({variable(name)}), -1), or put nn.Flatten() first"
    raise ShapeError(
        f"{name} has shape {tuple(shape)}; the model's first layer, {first!r}, expects {wanted} "
        f"feature{'' if wanted == 1 else 's'} per sample, shape {(shape[0], wanted)}{fix}"
    )


def first_linear(module: Module, flattened: bool) -> tuple[Linear | None, bool]:
    """The Linear that sees the model's input, and whether a Flatten stands before it; None where that is not plain."""
    if isinstance(module, Linear):
        return module, flattened
    if type(module) is Sequential:
        for child in module:
            if isinstance(child, Flatten):
                flattened = True
            elif not isinstance(child, (Dropout, Identity)):
                return first_linear(child, flattened)
    return None, flattened
