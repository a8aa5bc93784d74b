"""Metrics: how good predictions are, in numbers that people read. ``metric`` says how each is made of sums.

Definitions are scikit-learn's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.nn import losses
from nnkit.tensors.tensor import Tensor
from nnkit.training.metric import (
    FunctionMetric,
    Metric,
    columns,
    labels_of,
    one_hot,
    ones,
    ratio,
    ratios,
    weighted_sum,
    with_one,
)

__all__ = [
    "F1", "MAE", "MSE", "R2", "RMSE", "Accuracy", "Decision", "FunctionMetric", "Metric", "Precision", "Recall",
    "TopKAccuracy", "get",
]  # fmt: skip


# ---- regression -------------------------------------------------------------------------------------------


class _MeanError(Metric):
    """The mean over samples, and over whatever else the prediction has, of an elementwise error."""

    def error(self, difference: Tensor) -> Tensor:
        """The error of each element."""
        raise NotImplementedError

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        p, t = columns(self.name, prediction, target)
        errors = self.error(p - t).mean(dim=1, keepdim=True)
        return weighted_sum(with_one(errors), weight)

    def result(self, sums: np.ndarray) -> float:
        return ratio(sums[0], sums[1])


class MSE(_MeanError):
    """The mean squared error.

    Prediction and target are of one shape (B, ...) and any dtype. Raises ShapeError for unlike shapes. Source:
    ``sklearn.metrics.mean_squared_error``.

    >>> import nnkit
    >>> MSE().sums(nnkit.tensor([1.0, 2.0]), nnkit.tensor([1.0, 4.0])).tolist()
    [4.0, 2.0]
    """

    name = "mse"

    def error(self, difference: Tensor) -> Tensor:
        return difference * difference


class RMSE(MSE):
    """The square root of the mean squared error over all elements.

    Prediction and target are of one shape (B, ...) and any dtype. Raises ShapeError for unlike shapes. Source:
    ``sklearn.metrics.root_mean_squared_error``.

    >>> import nnkit
    >>> RMSE().result(RMSE().sums(nnkit.tensor([[1.0], [5.0]]), nnkit.tensor([[2.0], [6.0]])).numpy())
    1.0
    """

    name = "rmse"

    def result(self, sums: np.ndarray) -> float:
        return math.sqrt(super().result(sums))


class MAE(_MeanError):
    """The mean absolute error.

    Prediction and target are of one shape (B, ...) and any dtype. Raises ShapeError for unlike shapes. Source:
    ``sklearn.metrics.mean_absolute_error``.

    >>> import nnkit
    >>> MAE().result(MAE().sums(nnkit.tensor([[1.0], [2.0]]), nnkit.tensor([[2.0], [2.0]])).numpy())
    0.5
    """

    name = "mae"

    def error(self, difference: Tensor) -> Tensor:
        return ops.abs(difference)


class R2(Metric):
    """1 - (residual sum of squares) / (total sum of squares), the mean over output columns.

    Prediction and target are of one shape (B,) or (B, n) and any dtype. Raises ShapeError for unlike shapes. Source:
    ``sklearn.metrics.r2_score``.

    >>> import nnkit
    >>> R2().result(R2().sums(nnkit.tensor([[1.0], [2.0]]), nnkit.tensor([[1.0], [2.0]])).numpy())
    1.0
    """

    name = "r2"

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        p, t = columns(self.name, prediction, target)
        return weighted_sum(ops.cat([ones(p[:, :1]), t, t * t, (t - p) * (t - p)], dim=1), weight)

    def result(self, sums: np.ndarray) -> float:
        count = sums[0]
        if not count:
            return math.nan
        total, squares, residual = sums[1:].reshape(3, -1)
        spread = squares - total * total / count
        constant = spread <= 1e-14 * squares  # Nothing but rounding is left.
        scores = 1.0 - residual / np.where(constant, 1.0, spread)
        return float(np.where(constant, np.where(residual > 0, 0.0, 1.0), scores).mean())


# ---- classification ---------------------------------------------------------------------------------------


class Decision(Metric):
    """A metric of decisions. Which decision a prediction stands for follows from its shape:

    - (B,) or (B, 1), or any shape where ``threshold`` is given: yes where the value exceeds the threshold (0.5 for
      probabilities; 0 for logits, which a metric by name uses under the loss "bce_with_logits")
    - (B, C): the column with the largest value; the target holds labels (B,) or one-hot rows (B, C)
    """

    def __init__(self, name: str | None = None, weighted: bool = False, *, threshold: float | None = None) -> None:
        super().__init__(name, weighted)
        self.threshold = threshold

    def is_binary(self, prediction: Tensor) -> bool:
        return self.threshold is not None or prediction.ndim == 1 or prediction.shape[-1] == 1

    def binary(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Predicted and true yes, boolean (B, L)."""
        p, t = columns(self.name, prediction, target)
        return ops.gt(p, 0.5 if self.threshold is None else self.threshold), self.true(t)

    def true(self, target: Tensor) -> Tensor:
        """The decisions that a target stands for."""
        return ops.gt(target, 0.5)


class Accuracy(Decision):
    """The share of correct decisions; with a threshold and several outputs, of all outputs' decisions.

    Scores (B,) or (B, C), of any floating dtype; target labels (B,) or one-hot (B, C). Raises ShapeError for other
    shapes. Source: ``sklearn.metrics.accuracy_score``.

    >>> import nnkit
    >>> Accuracy().sums(nnkit.tensor([[2.0, 1.0], [0.0, 3.0]]), nnkit.tensor([0, 0])).tolist()
    [1.0, 2.0]
    """

    name = "accuracy"

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        if self.is_binary(prediction):
            yes, true = self.binary(prediction, target)
            correct = ops.eq(yes, true).double().mean(dim=1, keepdim=True)
        else:
            labels = labels_of(self.name, prediction, target)
            correct = ops.eq(prediction.argmax(dim=-1), labels).double().unsqueeze(1)
        return weighted_sum(with_one(correct), weight)

    def result(self, sums: np.ndarray) -> float:
        return ratio(sums[0], sums[1])


class TopKAccuracy(Metric):
    """The share of samples whose true class is among the ``k`` with the largest scores; ties count as among them.

    prediction (B, C), target labels (B,) or one-hot (B, C).

    Scores are of any floating dtype. Raises ShapeError for other shapes. Source:
    ``sklearn.metrics.top_k_accuracy_score``, which breaks ties otherwise.

    >>> import nnkit
    >>> metric = TopKAccuracy(2)
    >>> metric.result(metric.sums(nnkit.tensor([[2.0, 1.0, 0.0]]), nnkit.tensor([1])).numpy())
    1.0
    """

    def __init__(self, k: int = 5, name: str | None = None, weighted: bool = False) -> None:
        super().__init__(name or f"top_{k}_accuracy", weighted)
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        self.k = k

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        labels = labels_of(self.name, prediction, target)
        own = (prediction * one_hot(labels, prediction).to(prediction.dtype)).sum(dim=1, keepdim=True)
        larger = ops.gt(prediction, own).double().sum(dim=1, keepdim=True)
        hit = ops.lt(larger, float(self.k)).double()
        return weighted_sum(with_one(hit), weight)

    def result(self, sums: np.ndarray) -> float:
        return ratio(sums[0], sums[1])


class _Counts(Decision):
    """A metric of true positives, predicted positives and actual positives of each class.

    ``average``: "binary" (class ``pos_label`` of two), "macro" (mean over the classes that occur), "weighted" (the
    same, each as often as it occurs), "micro" (all counts together), or None (an array of each class's: by hand, not
    in ``fit``). "auto" is "binary" for yes or no and for two classes, "macro" for more and for several decisions a
    sample. Where a share is 0 / 0 it is 0. Source: ``sklearn.metrics.precision_recall_fscore_support``.
    """

    def __init__(
        self,
        name: str | None = None,
        weighted: bool = False,
        *,
        average: str | None = "auto",
        threshold: float | None = None,
        pos_label: int = 1,
    ) -> None:
        super().__init__(name, weighted, threshold=threshold)
        if average is not None and average not in _AVERAGES:
            raise UnknownNameError("average", average, _AVERAGES)
        if pos_label not in (0, 1):
            raise ValueError(f"pos_label must be 0 or 1, the positive one of two classes, got {pos_label!r}")
        self.average, self.pos_label = average, pos_label
        self.is_number = average is not None

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        if self.is_binary(prediction):
            guess, true = (positive.double() for positive in self.binary(prediction, target))
            if self.pos_label == 0:
                guess, true = 1.0 - guess, 1.0 - true
        else:
            labels = labels_of(self.name, prediction, target)
            guess = one_hot(prediction.argmax(dim=-1), prediction).double()
            true = one_hot(labels, prediction).double()
        return weighted_sum(ops.cat([guess * true, guess, true, ones(guess[:, :1])], dim=1), weight)

    def result(self, sums: np.ndarray) -> Any:
        counts, total = sums[:-1].reshape(3, -1), sums[-1]
        if counts.shape[1] == 1 and self.average in ("macro", "micro", "weighted"):  # of yes and of no
            hits, guessed, actual = counts
            counts = np.stack(
                [[total - guessed - actual + hits, hits], [total - guessed, guessed], [total - actual, actual]]
            )
            return self._averaged(counts.reshape(3, 2), several=False)
        return self._averaged(counts, self.threshold is not None)

    def _averaged(self, counts: np.ndarray, several: bool) -> Any:
        classes = counts.shape[1]
        if self.average is None:
            return self.score(*counts)
        if self.average == "binary" and classes > 2:
            raise ShapeError(f"metric {self.name!r}: average='binary' needs 1 or 2 outputs, got {classes}")
        if classes == 2 and (self.average == "binary" or (self.average == "auto" and not several)):
            counts = counts[:, self.pos_label : self.pos_label + 1]
        elif self.average == "micro":
            counts = counts.sum(axis=1, keepdims=True)
        elif not several and classes > 1:
            counts = counts[:, (counts[1] + counts[2]) > 0]
        scores = self.score(*counts)
        if self.average == "weighted":
            return ratio(scores @ counts[2], counts[2].sum())
        return float(scores.mean()) if scores.size else math.nan

    def score(self, hits: np.ndarray, guessed: np.ndarray, actual: np.ndarray) -> np.ndarray:
        """The metric of each class from its counts."""
        raise NotImplementedError


class Precision(_Counts):
    """Of the samples called positive, the share that are.

    Scores (B,) or (B, C), of any floating dtype; target labels (B,) or one-hot (B, C). Raises ShapeError for other
    shapes, UnknownNameError for another ``average``. Source: ``sklearn.metrics.precision_score``.

    >>> import nnkit
    >>> y, truth = nnkit.tensor([[2.0, 1.0], [0.0, 3.0]]), nnkit.tensor([0, 1])
    >>> Precision().result(Precision().sums(y, truth).numpy())
    1.0
    """

    name = "precision"

    def score(self, hits: np.ndarray, guessed: np.ndarray, actual: np.ndarray) -> np.ndarray:
        return ratios(hits, guessed)


class Recall(_Counts):
    """Of the samples that are positive, the share called so.

    Scores (B,) or (B, C), of any floating dtype; target labels (B,) or one-hot (B, C). Raises ShapeError for other
    shapes, UnknownNameError for another ``average``. Source: ``sklearn.metrics.recall_score``.

    >>> import nnkit
    >>> y, truth = nnkit.tensor([[2.0, 1.0], [0.0, 3.0]]), nnkit.tensor([0, 1])
    >>> Recall().result(Recall().sums(y, truth).numpy())
    1.0
    """

    name = "recall"

    def score(self, hits: np.ndarray, guessed: np.ndarray, actual: np.ndarray) -> np.ndarray:
        return ratios(hits, actual)


class F1(_Counts):
    """The harmonic mean of precision and recall: 2 hits / (called positive + positive).

    Scores (B,) or (B, C), of any floating dtype; target labels (B,) or one-hot (B, C). Raises ShapeError for other
    shapes, UnknownNameError for another ``average``. Source: ``sklearn.metrics.f1_score``.

    >>> import nnkit
    >>> y, truth = nnkit.tensor([[2.0, 1.0], [0.0, 3.0]]), nnkit.tensor([0, 1])
    >>> F1().result(F1().sums(y, truth).numpy())
    1.0
    """

    name = "f1"

    def score(self, hits: np.ndarray, guessed: np.ndarray, actual: np.ndarray) -> np.ndarray:
        return ratios(2.0 * hits, guessed + actual)


# ---- by name ----------------------------------------------------------------------------------------------

_AVERAGES = ("auto", "binary", "macro", "micro", "weighted")

#: Name -> class, for ``get``; "top_<k>_accuracy" besides.
NAMES: dict[str, type[Metric]] = {
    "accuracy": Accuracy, "acc": Accuracy, "precision": Precision, "recall": Recall, "f1": F1,
    "mse": MSE, "mean_squared_error": MSE, "rmse": RMSE, "mae": MAE, "mean_absolute_error": MAE, "r2": R2,
}  # fmt: skip


def get(metric: Any, loss: Callable[..., Any] | None = None) -> Metric:
    """A metric by name (its name in the results), a Metric, or a function (prediction, target) -> scalar Tensor.

    ``loss`` tells a metric by name what predictions are: under BCEWithLogitsLoss each output is a logit, decided at
    0, and under BCELoss a probability, decided at 0.5. Raises UnknownNameError, which lists the nearest names.

    >>> get("acc"), get("top_3_accuracy").k
    (Accuracy(name='acc'), 3)
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, type):
        raise TypeError(f"metric must be a name, a Metric or a function: write {metric.__name__}()")
    if callable(metric):
        return FunctionMetric(metric)
    top = re.fullmatch(r"top_(\d+)_accuracy", str(metric))
    if top:
        return TopKAccuracy(int(top[1]))
    if metric not in NAMES:
        raise UnknownNameError("metric", metric, [*NAMES, "top_5_accuracy"])
    found = NAMES[metric](metric)
    if isinstance(found, Decision):
        logits, probabilities = isinstance(loss, losses.BCEWithLogitsLoss), isinstance(loss, losses.BCELoss)
        found.threshold = 0.0 if logits else 0.5 if probabilities else None
    elif hasattr(found, "from_logits") and hasattr(found, "multilabel"):
        # The logarithms of probabilities are logits, too.
        found.from_logits = isinstance(loss, (losses.BCEWithLogitsLoss, losses.CrossEntropyLoss, losses.NLLLoss))
        found.multilabel = isinstance(loss, (losses.BCEWithLogitsLoss, losses.BCELoss))
    elif hasattr(found, "softmax"):
        found.softmax = isinstance(loss, losses.CrossEntropyLoss)
    return found
