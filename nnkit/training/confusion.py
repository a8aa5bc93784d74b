"""Metrics of which class was taken for which, and how sure the model was: scikit-learn's definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.tensors.tensor import Tensor
from nnkit.training import metrics
from nnkit.training.metric import Metric, columns, labels_of, one_hot, ratio, weighted_sum, with_one
from nnkit.training.metrics import Decision

__all__ = ["BalancedAccuracy", "ConfusionMatrix", "LogLoss", "Matthews"]


class _Confusion(Decision):
    """A metric of the table (true class, decided class), C x C; 2 x 2 for yes or no.

    Raises ShapeError for several yes-or-no decisions a sample: they have no such table.
    """

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        if self.is_binary(prediction):
            yes, true = (positive.double() for positive in self.binary(prediction, target))
            if yes.shape[1] > 1:
                raise ShapeError(
                    f"metric {self.name!r} needs one decision per sample, got {yes.shape[1]} yes-or-no outputs: "
                    "measure each output by itself, or use accuracy, precision, recall or f1"
                )
            guess, actual = (ops.cat([1.0 - positive, positive], dim=1) for positive in (yes, true))
        else:
            guess = one_hot(prediction.argmax(dim=-1), prediction).double()
            actual = one_hot(labels_of(self.name, prediction, target), prediction).double()
        if weight is not None:
            actual = actual * weight.double().unsqueeze(1)
        return (actual.T @ guess).reshape(-1)

    def table(self, sums: np.ndarray) -> np.ndarray:
        """The counts (C, C): row, the true class; column, the one that was decided."""
        classes = math.isqrt(sums.size)
        return np.asarray(sums, np.float64).reshape(classes, classes)


class ConfusionMatrix(_Confusion):
    """How often class i (row) was taken for class j (column): an array (C, C), so for use by hand, not in ``fit``.

    Source: ``sklearn.metrics.confusion_matrix``.

    Scores (B,) or (B, C), of any floating dtype; target labels (B,) or one-hot (B, C). Raises ShapeError for other
    shapes.

    >>> import nnkit
    >>> metric = ConfusionMatrix()
    >>> metric.result(metric.sums(nnkit.tensor([[2.0, 1.0], [0.0, 3.0]]), nnkit.tensor([0, 0])).numpy()).tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """

    name = "confusion_matrix"
    is_number = False

    def result(self, sums: np.ndarray) -> Any:
        return self.table(sums)


class BalancedAccuracy(_Confusion):
    """The mean of each class's recall, over the classes that occur.

    Source: ``sklearn.metrics.balanced_accuracy_score``.

    Scores (B,) or (B, C), of any floating dtype; target labels (B,) or one-hot (B, C). Raises ShapeError for other
    shapes.

    >>> import nnkit
    >>> metric = BalancedAccuracy()
    >>> metric.result(metric.sums(nnkit.tensor([[2.0, 1.0], [0.0, 3.0]]), nnkit.tensor([0, 1])).numpy())
    1.0
    """

    name = "balanced_accuracy"

    def result(self, sums: np.ndarray) -> float:
        table = self.table(sums)
        actual = table.sum(axis=1)
        return float((np.diag(table)[actual > 0] / actual[actual > 0]).mean()) if actual.any() else math.nan


class Matthews(_Confusion):
    """Matthews' correlation of the decided with the true classes, -1 to 1; 0 where either never changes.

    Source: ``sklearn.metrics.matthews_corrcoef`` (Gorodkin, 2004, for more than two classes).

    Scores (B,) or (B, C), of any floating dtype; target labels (B,) or one-hot (B, C). Raises ShapeError for other
    shapes.

    >>> import nnkit
    >>> metric = Matthews()
    >>> metric.result(metric.sums(nnkit.tensor([[2.0, 1.0], [0.0, 3.0]]), nnkit.tensor([0, 1])).numpy())
    1.0
    """

    name = "matthews"

    def result(self, sums: np.ndarray) -> float:
        table = self.table(sums)
        actual, guessed, total = table.sum(axis=1), table.sum(axis=0), table.sum()
        spread = (total**2 - (guessed**2).sum()) * (total**2 - (actual**2).sum())
        return float((np.trace(table) * total - actual @ guessed) / math.sqrt(spread)) if spread > 0 else 0.0


class LogLoss(Metric):
    """-log of the probability that the true class was given, the mean over samples.

    Source: ``sklearn.metrics.log_loss``. prediction: probabilities (B,), (B, 1) of yes or (B, C) of the classes; with
    ``from_logits`` scores, as a metric by name takes them under "cross_entropy", "nll" and "bce_with_logits". With
    ``multilabel``, as by name under "bce" and "bce_with_logits", the columns of (B, C) are outputs of yes or no, each
    by itself, and the loss is the mean over them.

    Any floating dtype. Raises ShapeError for other shapes.

    >>> import nnkit
    >>> metric = LogLoss()
    >>> round(metric.result(metric.sums(nnkit.tensor([[0.5, 0.5]]), nnkit.tensor([1])).numpy()), 4)
    0.6931
    """

    name = "log_loss"

    def __init__(
        self, name: str | None = None, weighted: bool = False, *, from_logits: bool = False, multilabel: bool = False
    ) -> None:
        super().__init__(name, weighted)
        self.from_logits, self.multilabel = from_logits, multilabel

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        # As scikit-learn: the least step of float64 or float32 away from 0.
        least = float(np.finfo(np.float64 if prediction.dtype == np.float64 else np.float32).eps)
        if self.multilabel or prediction.ndim == 1 or prediction.shape[-1] == 1:
            p, t = columns(self.name, prediction, target)
            losses = -(t * _log(ops.sigmoid(p) if self.from_logits else p, least))
            losses = losses - (1.0 - t) * _log(ops.sigmoid(-p) if self.from_logits else 1.0 - p, least)
            losses = losses.mean(dim=1, keepdim=True)
        else:
            true = one_hot(labels_of(self.name, prediction, target), prediction).double()
            p = prediction.double()
            scores = ops.log_softmax(p, dim=1) if self.from_logits else _log(p / p.sum(dim=1, keepdim=True), least)
            losses = -(scores * true).sum(dim=1, keepdim=True)
        return weighted_sum(with_one(losses), weight)

    def result(self, sums: np.ndarray) -> float:
        return ratio(sums[0], sums[1])


def _log(p: Tensor, least: float) -> Tensor:
    return ops.log(ops.clamp(p, least, 1.0))


metrics.NAMES.update(balanced_accuracy=BalancedAccuracy, log_loss=LogLoss, matthews=Matthews)
