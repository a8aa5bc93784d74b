"""What training makes small: the loss of a batch, with sample weights, plus the model's penalties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from nnkit.errors import DataError, ShapeError
from nnkit.nn.class_losses import weighted_mean
from nnkit.nn.losses import CrossEntropyLoss, Loss, NLLLoss
from nnkit.nn.module import Module
from nnkit.recording.observer import call
from nnkit.tensors.tensor import Tensor
from nnkit.training.batches import Batch
from nnkit.training.outputs import LossOfOutputs

__all__ = ["BatchLoss", "Objective"]

LABELS = (CrossEntropyLoss, NLLLoss)


class BatchLoss(NamedTuple):
    """A batch's loss: the scalar to make small, and its parts for the loss over all data.

    ``total`` is the sum of the samples' losses (None: ``value`` times the samples), ``excess`` by how much what the
    mean is divided by exceeds the number of samples (None: not at all), ``penalty`` what is not in ``total``;
    ``parts`` are the losses of several outputs that are told beside their sum.
    """

    value: Tensor
    total: Tensor | None = None
    excess: Tensor | None = None
    penalty: Tensor | None = None
    parts: tuple[Tensor, ...] = ()


class Objective:
    """The loss of a batch as a scalar: the weighted mean that ``nnkit.nn.losses`` defines, or the loss itself.

    To it comes ``model.penalty()``, the L1/L2 of the layers, where the model has any. Weights need a loss with
    ``per_sample(prediction, target) -> (B,)``, which every loss of ``nnkit.nn`` has.
    """

    #: Whether the ``total`` that is told is of another number than the one that is made small.
    shown_apart = False

    def __init__(self, model: Module, loss: Callable[..., Tensor]) -> None:
        self.model = model
        self.loss = loss
        reduction = getattr(loss, "reduction", "mean")
        self.summed = reduction == "sum"
        #: Whether several processes have to count what a mean of labels is over: then ``total`` is always there.
        self.counted = False
        self._labels = isinstance(loss, LABELS) and type(loss).__module__.partition(".")[0] == "nnkit"
        if reduction == "none":
            raise ShapeError("loss has reduction='none'; training needs a scalar: use 'mean' or 'sum'")
        self._of_outputs = (
            [None if part is None else Objective(model, part) for part in loss.parts]
            if isinstance(loss, LossOfOutputs)
            else None
        )

    @property
    def part_names(self) -> list[str]:
        """What the losses of several outputs are called."""
        return self.loss.told if isinstance(self.loss, LossOfOutputs) else []

    def __call__(self, prediction: Any, batch: Batch) -> BatchLoss:
        loss = self._data_loss(prediction, batch)
        penalty = self.model.penalty()
        if penalty is None:
            return loss
        value = loss.value + penalty
        total = loss.total
        if total is None and self._labels:  # other batches of the epoch may be divided by less than their samples
            total = loss.value * float(batch.rows)
        if total is None:
            return BatchLoss(value, parts=loss.parts)
        return loss._replace(value=value, total=total, penalty=penalty)

    def _loss_of_outputs(self, objectives: list[Objective | None], prediction: Any, batch: Batch) -> BatchLoss:
        total, told = None, []
        weights = [None] * len(objectives) if batch.weight is None else batch.weight.parts
        for place in self.loss.order:  # type: ignore[attr-defined]
            objective = objectives[place]
            assert objective is not None
            part = Batch(batch.x, batch.y.parts[place], weights[place])
            value = objective._data_loss(prediction.parts[place], part).value
            if self.loss.names[place]:  # type: ignore[attr-defined]
                told.append(value)
            factor = self.loss.weights[place]  # type: ignore[attr-defined]
            value = value if factor == 1.0 else value * factor
            total = value if total is None else total + value
        assert total is not None
        return BatchLoss(total, parts=tuple(told))

    def _data_loss(self, prediction: Any, batch: Batch) -> BatchLoss:
        if self._of_outputs is not None:
            return self._loss_of_outputs(self._of_outputs, prediction, batch)
        if self._labels and not (self.loss._forward_hooks or self.loss._forward_pre_hooks):  # type: ignore[attr-defined]
            return self._label_loss(prediction, batch)
        if batch.weight is None:
            value = self._scalar(call(self.loss, prediction, batch.y))
            return BatchLoss(value, value if self.summed else None)
        if self.summed and isinstance(self.loss, Loss):
            total = call(self.loss.total, prediction, batch.y, batch.weight)
        else:
            total = (call(self._per_sample(), prediction, batch.y) * batch.weight).sum()
        return BatchLoss(total, total) if self.summed else BatchLoss(total / float(batch.rows))

    def _label_loss(self, prediction: Tensor, batch: Batch) -> BatchLoss:
        """A loss of labels, whose mean is over class weights and leaves ignored labels out."""
        losses, counts = call(self.loss.terms, prediction, batch.y)  # type: ignore[attr-defined]
        if batch.weight is not None:
            losses = losses * (batch.weight if losses.ndim == 1 else batch.weight.unsqueeze(1))
        if self.summed:
            total = losses.sum()
            return BatchLoss(total, total)
        if counts is None:
            return BatchLoss(losses.mean(), losses.sum() / (losses.numel() / batch.rows) if self.counted else None)
        places = losses.numel() / batch.rows  # each sample has so many labels
        total, count = losses.sum() / places, counts.sum() / places
        return BatchLoss(weighted_mean(total, count), total, count - float(batch.rows))

    def _scalar(self, value: Any) -> Tensor:
        if not isinstance(value, Tensor):
            raise TypeError(
                f"loss {self.name!r} must return a Tensor, got {type(value).__name__}: compute it with nnkit"
            )
        if value.ndim and value.numel() != 1:
            raise ShapeError(
                f"loss {self.name!r} returned shape {tuple(value.shape)}; expected a scalar: end it with .mean()"
            )
        return value.reshape(()) if value.ndim else value

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
