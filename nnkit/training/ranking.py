"""Metrics of the order in which scores put the samples: scikit-learn's, exact, whatever the batches."""

from __future__ import annotations

import math

import numpy as np

from nnkit import ops
from nnkit.tensors.tensor import Tensor
from nnkit.training import metrics
from nnkit.training.kept import RowMetric
from nnkit.training.metric import columns, labels_of, one_hot, ones

__all__ = ["AUC", "AveragePrecision"]


class _Ranking(RowMetric):
    """A metric of how well scores put those that are positive before those that are not.

    prediction and target, with the scores of

    - yes or no: (B,) or (B, 1), both
    - two classes: (B, 2) and labels (B,); class 1 is the positive one
    - C classes: (B, C) and labels (B,); the mean over the classes of each against all others
    - L outputs, each yes or no: (B, L), both; the mean over the outputs

    Logits or probabilities: only their order counts, within a class. ``softmax``: the scores are logits of classes, of
    which softmax makes what is compared, and a target (B, C) is one-hot; a metric by name does so under
    "cross_entropy". A class without a positive and a negative sample is left out; NaN where there is no other.
    """

    def __init__(self, name: str | None = None, weighted: bool = False, *, softmax: bool = False) -> None:
        super().__init__(name, weighted)
        self.softmax = softmax

    def rows(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """float64 (B, 2K + 1): K scores, for each of them 1 where it is true, and the weight."""
        several = prediction.ndim == 2 and prediction.shape[1] > 1
        if several and (self.softmax or prediction.shape != target.shape):
            true = one_hot(labels_of(self.name, prediction, target), prediction).double()
            scores = prediction.double()
            scores = ops.log_softmax(scores, dim=1) if self.softmax else scores
            if scores.shape[1] == 2:
                scores, true = scores[:, 1:], true[:, 1:]
        else:
            scores, positive = columns(self.name, prediction, target)
            true = ops.gt(positive, 0.5).double()
        weights = ones(scores[:, :1]) if weight is None else weight.double().unsqueeze(1)
        return ops.cat([scores, true, weights], dim=1)

    def result(self, sums: np.ndarray) -> float:
        scores, true = np.split(sums[:, :-1], 2, axis=1)
        found = [self._of_class(*column, sums[:, -1]) for column in zip(scores.T, true.T, strict=True)]
        defined = [value for value in found if value is not None]
        return float(np.mean(defined)) if defined else math.nan

    def _of_class(self, scores: np.ndarray, true: np.ndarray, weight: np.ndarray) -> float | None:
        """The metric of one class; None where all weight is on one side."""
        if np.isnan(scores).any():
            return math.nan
        order = np.argsort(-scores, kind="stable")
        hits, misses = (np.cumsum(part[order]) for part in (true * weight, (1.0 - true) * weight))
        if not len(order) or not hits[-1] > 0.0 or not misses[-1] > 0.0:
            return None
        ordered = scores[order]
        last = np.append(ordered[1:] != ordered[:-1], True)  # of those that have the same score
        return self.score(hits[last], misses[last])

    def score(self, hits: np.ndarray, misses: np.ndarray) -> float:
        """The metric, from the weight of positives and of negatives down to each of the scores, the largest first."""
        raise NotImplementedError


class AUC(_Ranking):
    """The area under the receiver operating characteristic: how often a positive sample is before a negative one.

    Source: ``sklearn.metrics.roc_auc_score(average="macro", multi_class="ovr")``.

    Scores (B,) or (B, C), of any floating dtype; target labels (B,) or one-hot (B, C). Raises ShapeError for other
    shapes.

    >>> import nnkit
    >>> metric = AUC()
    >>> metric.result(metric.rows(nnkit.tensor([0.1, 0.4, 0.35, 0.8]), nnkit.tensor([0.0, 0.0, 1.0, 1.0])).numpy())
    0.75
    """

    name = "auc"

    def score(self, hits: np.ndarray, misses: np.ndarray) -> float:
        heights = hits + np.append(0.0, hits[:-1])
        return float(heights @ np.diff(misses, prepend=0.0)) / (2.0 * hits[-1] * misses[-1])


class AveragePrecision(_Ranking):
    """The mean of the precision at each score, weighted by how much it adds to the recall.

    Source: ``sklearn.metrics.average_precision_score``.

    Scores (B,) or (B, C), of any floating dtype; target labels (B,) or one-hot (B, C). Raises ShapeError for other
    shapes.

    >>> import nnkit
    >>> metric = AveragePrecision()
    >>> rows = metric.rows(nnkit.tensor([0.1, 0.4, 0.35, 0.8]), nnkit.tensor([0.0, 0.0, 1.0, 1.0]))
    >>> round(metric.result(rows.numpy()), 4)
    0.8333
    """

    name = "average_precision"

    def score(self, hits: np.ndarray, misses: np.ndarray) -> float:
        called = hits + misses
        precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0.0)
        return float(precision @ np.diff(hits, prepend=0.0)) / float(hits[-1])


metrics.NAMES.update(auc=AUC, average_precision=AveragePrecision)
