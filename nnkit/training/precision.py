"""In which precision ``fit`` multiplies: ``autocast`` around the model and the loss, and loss scaling for float16."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

from nnkit.optim import GradScaler, Optimizer
from nnkit.recording.observer import call
from nnkit.tensors.precision import autocast, half_type
from nnkit.tensors.tensor import Tensor

__all__ = ["FULL", "Precision", "precision_of"]


class Precision:
    """What a training step does otherwise in a half type; with ``half`` None nothing.

    ``scaler`` keeps float16 gradients from underflowing; bfloat16 has float32's range and needs none.
    """

    def __init__(self, half: str | None, scaler: GradScaler | None = None) -> None:
        self.half = half
        self.scaler = scaler

    def products(self) -> AbstractContextManager[None]:
        """The block for the model and the loss."""
        return contextlib.nullcontext() if self.half is None else autocast(self.half)

    def backward(self, loss: Tensor, optimizer: Optimizer) -> None:
        """Leave the gradients of the loss, unscaled, in their places."""
        if self.scaler is None:
            loss.backward()
        else:
            self.scaler.scale(loss).backward()
            self.scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer) -> None:
        """The optimizer's step, left out where a scaled gradient overflowed."""
        if self.scaler is None:
            call(optimizer.step)
        else:
            self.scaler.step(optimizer)
            self.scaler.update()


#: float32 throughout.
FULL = Precision(None)


def precision_of(precision: Any, scaler: GradScaler | None) -> Precision:
    """What ``fit(precision=...)`` stands for: None, or a half type by name or as a dtype.

    ``scaler`` is one to go on with in float16. Raises UnknownNameError for another type.
    """
    if precision is None:
        return FULL
    half = half_type(precision)
    return Precision(half, (scaler or GradScaler()) if half == "float16" else None)
