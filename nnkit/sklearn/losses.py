"""The losses of scikit-learn's perceptrons, and their sum with the L2 penalty.

What is descended and what is shown differ there in places: the gradient of several outputs is that of their sum, while
their mean is shown; probabilities are cut at the dtype's precision in what is shown, so that it stays finite. Each loss
here says both: ``terms`` are descended, ``shown`` is made of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit import nn, ops
from nnkit.nn import losses
from nnkit.parallel import MPI
from nnkit.tensors.tensor import Tensor
from nnkit.training.batches import Batch
from nnkit.training.divided import sum_of_all
from nnkit.training.objective import BatchLoss, Objective

__all__ = ["CLASSES", "NUMBERS", "PenalizedObjective", "loss_of", "takes_labels"]


class HalfSquaredError(nn.MSELoss):
    """Half the squared error of each output; shown is the mean of the outputs, descended their sum.

    >>> import nnkit
    >>> loss = HalfSquaredError(); terms = loss.parts(nnkit.tensor([[1.0, 3.0]]), nnkit.zeros(1, 2))
    >>> terms.tolist(), loss.shown(terms).tolist()
    ([[0.5, 4.5]], [2.5])
    """

    def parts(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.compute(prediction, target, "none") * 0.5

    def shown(self, terms: Tensor) -> Tensor:
        return terms.mean(dim=1)


class HalfPoissonDeviance(nn.PoissonNLLLoss):
    """exp(z) - y z of each output z, which is the logarithm of the rate; shown with y log y - y, so 0 at its best.

    >>> import nnkit
    >>> loss = HalfPoissonDeviance(); loss.parts(nnkit.tensor([[0.0]]), nnkit.tensor([[1.0]])).tolist()
    [[0.0]]
    """

    def parts(self, prediction: Tensor, target: Tensor) -> Tensor:
        constant = ops.xlogy(target, target) - target
        return self.compute(prediction, target, "none") + constant

    def shown(self, terms: Tensor) -> Tensor:
        return terms.sum(dim=1)


class LogLoss(nn.CrossEntropyLoss):
    """-log softmax(scores)[label]; shown with probabilities cut to [eps, 1 - eps], eps of the dtype."""

    def parts(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.compute(prediction, target, "none").reshape(-1, 1)

    def shown(self, terms: Tensor) -> Tensor:
        return _cut(terms).sum(dim=1)


class BinaryLogLoss(nn.BCEWithLogitsLoss):
    """-y log p - (1 - y) log(1 - p), p the sigmoid of a score, summed over the outputs; shown cut as ``LogLoss``."""

    def parts(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.compute(prediction, target, "none")

    def shown(self, terms: Tensor) -> Tensor:
        return _cut(terms).sum(dim=1)


def _cut(terms: Tensor) -> Tensor:
    """-log p for p cut to [eps, 1 - eps]."""
    eps = float(np.finfo(terms.dtype).eps)
    return terms.clamp(-math.log1p(-eps), -math.log(eps))


OWN = (HalfSquaredError, HalfPoissonDeviance, LogLoss, BinaryLogLoss)
#: Losses that take the label of a class instead of one number for each.
LABELLED = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)
#: scikit-learn's names of losses, for classes and for numbers.
CLASSES, NUMBERS = ("log_loss",), ("squared_error", "poisson")


def loss_of(loss: Any, multiclass: bool = False) -> Callable[..., Any]:
    """The loss of scikit-learn's or nnkit's name; a function or Module passes through. Raises UnknownNameError."""
    if loss == "log_loss":
        return LogLoss() if multiclass else BinaryLogLoss()
    if loss == "squared_error":
        return HalfSquaredError()
    if loss == "poisson":
        return HalfPoissonDeviance()
    return losses.get(loss)


def takes_labels(loss: Callable[..., Any]) -> bool:
    """Whether targets are labels (n,), not rows of numbers (n, outputs)."""
    return isinstance(loss, LABELLED)


class PenalizedObjective(Objective):
    """The loss of a batch plus ``alpha / 2`` times the sum of the squared ``weights``, over the samples of the batch.

    With sample weights both are over the sum of the weights of the batch, as in scikit-learn.
    """

    def __init__(self, model: nn.Module, loss: Callable[..., Any], weights: list[Tensor], alpha: float) -> None:
        super().__init__(model, loss)
        self.ranks: MPI | None = None
        self.shown_apart = isinstance(loss, OWN)
        self._weights = weights
        self._half_alpha = 0.5 * alpha

    def __call__(self, prediction: Tensor, batch: Batch) -> BatchLoss:
        whole = float(batch.rows if batch.share is None else batch.share.whole)
        count: Any = whole if batch.weight is None else self._sum_of_weights(batch)
        if not isinstance(self.loss, OWN):
            weight = None if batch.weight is None else batch.weight * (whole / count)
            loss = super().__call__(prediction, Batch(batch.x, batch.y, weight))
        else:
            terms = self.loss.parts(prediction, batch.y)
            shown = self.loss.shown(terms.detach())
            if batch.weight is None:
                loss = BatchLoss(terms.sum() / float(batch.rows), shown.sum())
            else:
                total = (terms * batch.weight.reshape(-1, 1)).sum() * (whole / float(batch.rows))
                loss = BatchLoss(total / count, (shown * batch.weight).sum() * (whole / count))
        return self._penalized(loss, count)

    def _sum_of_weights(self, batch: Batch) -> Tensor:
        """Of the whole batch, of which other processes may have parts."""
        assert batch.weight is not None
        own: Tensor = batch.weight.sum()
        return own if self.ranks is None or batch.share is None else sum_of_all(own, batch.share, self.ranks)

    def _penalized(self, loss: BatchLoss, count: Any) -> BatchLoss:
        if not self._half_alpha:
            return loss
        squares: Tensor | None = None
        for weight in self._weights:
            square = ops.sum(ops.square(weight))
            squares = square if squares is None else squares + square
        assert squares is not None
        penalty = squares * (self._half_alpha / count)
        if loss.total is None:
            return BatchLoss(loss.value + penalty)
        before = loss.penalty
        return loss._replace(value=loss.value + penalty, penalty=penalty if before is None else before + penalty)
