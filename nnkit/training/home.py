"""Where a model lives: the device its data must come to, and the type their numbers must have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nnkit.nn.module import Module
from nnkit.tensors.creation import empty
from nnkit.tensors.tensor import Tensor

__all__ = ["home"]


def home(model: Module) -> tuple[Any, np.dtype[Any]]:
    """The device and floating-point dtype of the model: its first parameter's, or the defaults."""
    parameters: Iterator[Tensor] = (p for p in model.parameters() if p.is_floating_point())
    first = next(parameters, None)
    first = empty(0) if first is None else first
    return first.device, first.dtype
