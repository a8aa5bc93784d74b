"""What training makes small: the loss of a batch, with sample weights, plus the model's penalties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnkit.errors import DataError, ShapeError
from nnkit.nn.module import Module
from nnkit.observer import call
from nnkit.tensor import Tensor
from nnkit.training.batches import Batch

__all__ = ["Objective"]


class Objective:
    """The loss of a batch as a scalar: ``sum(w_i * l_i) / B`` with weights (Keras's definition), else the loss itself.

    To it comes ``model.penalty()``, the L1/L2 of the layers, where the model has any. Weights need a loss with
    ``per_sample(prediction, target) -> (B,)``, which every loss of ``nnkit.nn`` has.
    """

    def __init__(self, model: Module, loss: Callable[..., Tensor]) -> None:
        self.model = model
        self.loss = loss
        self._reduction = getattr(loss, "reduction", "mean")
        if self._reduction == "none":
            raise ShapeError("loss has reduction='none'; training needs a scalar: use 'mean' or 'sum'")

    def __call__(self, prediction: Tensor, batch: Batch) -> Tensor:
        value = self._data_loss(prediction, batch)
        if value.ndim:
            if value.numel() != 1:
                raise ShapeError(
                    f"loss {self.name!r} returned shape {tuple(value.shape)}; expected a scalar: end it with .mean()"
                )
            value = value.reshape(())
        penalty = self.model.penalty()
        return value if penalty is None else value + penalty

    def _data_loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        if batch.weight is None:
            return call(self.loss, prediction, batch.y)
        total = (call(self._per_sample(), prediction, batch.y) * batch.weight).sum()
        return total if self._reduction == "sum" else total / float(batch.rows)

    def _per_sample(self) -> Callable[[Tensor, Tensor], Tensor]:
        function: Any = getattr(self.loss, "per_sample", None)
        if function is None:
            raise DataError(
                f"sample_weight and class_weight need a loss that gives a value for each sample, and {self.name!r} "
                "gives one number: use a loss of nnkit.nn, or give yours per_sample(prediction, target) -> (B,)"
            )
        return function

    @property
    def name(self) -> str:
        """What messages call the loss."""
        return getattr(self.loss, "__name__", None) or type(self.loss).__name__
