"""The area under a curve of decisions, summed over thresholds as Keras does; exact are the core's "auc" metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnkit import ops
from nnkit.errors import UnknownNameError
from nnkit.keras.masks import by_step
from nnkit.keras.metric import Metric
from nnkit.tensors.creation import as_tensor
from nnkit.tensors.tensor import Tensor
from nnkit.training.metric import columns, ratio, ratios, weighted_sum

__all__ = ["AUC"]

CURVES = ("ROC", "PR")
SUMMATIONS = ("interpolation", "minoring", "majoring")
EPSILON = 1e-7  # the first threshold is so far below 0, the last so far above 1


class AUC(Metric):
    """The area under the ROC curve (recall over false positive rate) or the PR curve (precision over recall).

    A sum over ``num_thresholds`` thresholds, evenly from 0 to 1, as ``keras.metrics.AUC``; between two of them the PR
    curve is interpolated as in Davis and Goadrich, "The Relationship Between Precision-Recall and ROC Curves" (2006).

    Args:
        num_thresholds: how many, at least 2; or ``thresholds``, those between 0 and 1.
        curve: "ROC" or "PR".
        summation_method: "interpolation" (trapezoids for ROC), "minoring" or "majoring" (rectangles).
        name: what it is called in the results.
        multi_label: the mean of each output's area, weighted by ``label_weights``; else all outputs are one.
        from_logits: whether predictions are logits.
        dtype, num_labels: accepted; counts are float64, of as many outputs as come.

    >>> float(AUC(num_thresholds=3)([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9]))
    0.75
    """

    config_names = (
        "num_thresholds", "curve", "summation_method", "thresholds", "multi_label", "label_weights", "from_logits",
    )  # fmt: skip

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: None = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name)
        for what, value, known in (("curve", curve, CURVES), ("summation_method", summation_method, SUMMATIONS)):
            if value not in known:
                raise UnknownNameError(what, value, known)
        if thresholds is None and (not isinstance(num_thresholds, int) or num_thresholds < 2):
            raise ValueError(f"AUC: num_thresholds must be an integer of at least 2; got {num_thresholds!r}")
        between = np.linspace(0, 1, num_thresholds)[1:-1] if thresholds is None else np.sort(thresholds)
        self._thresholds = np.concatenate([[-EPSILON], between, [1 + EPSILON]])
        self.num_thresholds, self.thresholds = len(self._thresholds), None if thresholds is None else list(thresholds)
        self.curve, self.summation_method, self.from_logits = curve, summation_method, from_logits
        self.multi_label, self.label_weights = multi_label, None if label_weights is None else list(label_weights)

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """For each output and threshold the positives above it, and all above it: (2, L, T) in a row."""
        prediction, target, weight = by_step(prediction, target, weight)
        rows, (_, positive) = prediction.shape[0], columns(self.name, prediction, target)
        scores = ops.sigmoid(prediction) if self.from_logits else ops.clamp(prediction, 0.0, 1.0)
        scores = scores.reshape(rows, -1, 1)
        limits = as_tensor(self._thresholds, dtype=scores.dtype, device=scores.device)
        above = ops.gt(scores, limits).double()
        if self.label_weights is not None and not self.multi_label:
            above = above * as_tensor(self.label_weights, dtype="float64", device=scores.device).reshape(1, -1, 1)
        counts = ops.stack([above * positive.unsqueeze(2), above], dim=1)
        if not self.multi_label:
            counts = counts.sum(dim=2)
        return weighted_sum(counts.reshape(rows, -1), self.per_sample(weight, rows))

    def _number(self, sums: np.ndarray) -> float:
        hits, called = np.asarray(sums, np.float64).reshape(2, -1, self.num_thresholds)
        areas = self._areas(hits, called)
        weights = np.ones(len(areas)) if self.label_weights is None or not self.multi_label else self.label_weights
        return ratio(float(areas @ np.asarray(weights)), float(np.sum(weights)))

    def _areas(self, hits: np.ndarray, called: np.ndarray) -> np.ndarray:
        """The area of each output (L,), from what is above each threshold (L, T), the lowest first."""
        recall = ratios(hits, hits[:, :1])
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _interpolated(hits, called)
        false = called - hits
        x, y = (ratios(false, false[:, :1]), recall) if self.curve == "ROC" else (recall, ratios(hits, called))
        left, right = y[:, :-1], y[:, 1:]
        rules = {"interpolation": (left + right) / 2, "minoring": np.minimum(left, right)}
        heights = rules.get(self.summation_method, np.maximum(left, right))
        return ((x[:, :-1] - x[:, 1:]) * heights).sum(axis=1)


def _interpolated(hits: np.ndarray, called: np.ndarray) -> np.ndarray:
    """The area under precision over recall, hits a linear function of what is called positive between thresholds."""
    more_hits, more_called = hits[:, :-1] - hits[:, 1:], called[:, :-1] - called[:, 1:]
    slope = ratios(more_hits, more_called)
    start = hits[:, 1:] - slope * called[:, 1:]  # of the line, at nothing called
    both = (called[:, :-1] > 0) & (called[:, 1:] > 0)
    grown = np.divide(called[:, :-1], called[:, 1:], out=np.ones_like(start), where=both)
    return ratios(slope * (more_hits + start * np.log(grown)), np.broadcast_to(hits[:, :1], start.shape)).sum(axis=1)
