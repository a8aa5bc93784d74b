"""Metrics of classes: F scores, intersection over union, one rate while another holds. Source: ``keras.metrics``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.keras.counts import _Counts, _ratio
from nnkit.keras.metric import Metric
from nnkit.tensors.creation import arange, as_tensor
from nnkit.tensors.tensor import Tensor

__all__ = [
    "BinaryIoU", "F1Score", "FBetaScore", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU", "PrecisionAtRecall",
    "RecallAtPrecision", "SensitivityAtSpecificity", "SpecificityAtSensitivity",
]  # fmt: skip

EPSILON = 1e-7
AVERAGES = (None, "micro", "macro", "weighted")


class FBetaScore(Metric):
    """``(1 + beta²) P R / (beta² P + R)`` of precision P and recall R, for targets and predictions (batch, classes).

    Args:
        average: None for one number for each class; "micro" counts all classes together; "macro" is the mean of the
            classes, "weighted" that by how often they are right answers.
        beta: how much more recall counts than precision.
        threshold: what a prediction must exceed; None: the largest of each sample is meant.
        name, dtype: see :class:`Metric`.

    >>> round(float(F1Score("macro", 0.5)([[0, 1], [1, 1]], [[0.2, 0.6], [0.3, 0.7]])), 4)
    0.5
    """

    config_names: ClassVar[tuple[str, ...]] = ("average", "beta", "threshold")

    def __init__(
        self, average: str | None = None, beta: float = 1.0, threshold: float | None = None,
        name: str | None = "fbeta_score", dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        kind = type(self).__name__
        if average not in AVERAGES:
            raise ValueError(f"{kind}: average must be one of {AVERAGES}; got {average!r}")
        if not isinstance(beta, float) or not beta > 0:
            raise ValueError(f"{kind}: beta must be a float greater than 0; got {beta!r}")
        if threshold is not None and not (isinstance(threshold, float) and 0 < threshold <= 1):
            raise ValueError(f"{kind}: threshold must be None or a float from 0 to 1, not 0; got {threshold!r}")
        self.average, self.beta, self.threshold = average, beta, threshold
        self.is_number = average is not None

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Sums (3, classes): true positives, false positives, false negatives."""
        if prediction.ndim != 2 or target.shape != prediction.shape:
            raise ShapeError(
                f"metric {self.name!r} needs targets and predictions of one shape (batch, classes); got "
                f"{tuple(target.shape)} and {tuple(prediction.shape)}: one-hot targets by utils.to_categorical"
            )
        scores, true = prediction.double(), target.double()
        if self.threshold is None:
            chosen = ops.logical_and(
                ops.ge(scores, ops.amax(scores, dim=-1, keepdim=True)), ops.gt(ops.abs(scores), 1e-9)
            )
        else:
            chosen = ops.gt(scores, self.threshold)
        guess = chosen.double()
        parts = [guess * true, guess * (1.0 - true), (1.0 - guess) * true]
        factors = self.per_sample(weight, scores.shape[0])
        if factors is not None:
            parts = [part * factors.double().unsqueeze(1) for part in parts]
        return ops.stack([part.sum(dim=0) for part in parts])

    def value(self, sums: Tensor) -> Tensor:
        weights = sums[0] + sums[2]
        if self.average == "micro":
            sums = sums.sum(dim=1, keepdim=True)
        hits, false, missed = sums[0], sums[1], sums[2]
        precision, recall = hits / (hits + false + EPSILON), hits / (hits + missed + EPSILON)
        scores = (1 + self.beta**2) * precision * recall / (self.beta**2 * precision + recall + EPSILON)
        if self.average == "weighted":
            return (scores * weights / (weights.sum() + EPSILON)).sum()
        return scores if self.average is None else scores.mean()


class F1Score(FBetaScore):
    """:class:`FBetaScore` with ``beta=1``: the harmonic mean of precision and recall.

    >>> metric = F1Score()
    >>> metric.update_state([[0.0, 1.0], [1.0, 0.0]], [[0.25, 0.75], [0.25, 0.75]])
    >>> metric.result()
    tensor([0.    , 0.6667])
    """

    config_names: ClassVar[tuple[str, ...]] = ("average", "threshold")

    def __init__(
        self, average: str | None = None, threshold: float | None = None, name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(average, 1.0, threshold, name, dtype)


# ---- intersection over union ------------------------------------------------------------------------------


class IoU(Metric):
    """Of the classes ``target_class_ids`` the mean of |target ∩ prediction| / |target ∪ prediction|.

    Args:
        num_classes: how many there are; other numbers count nothing.
        target_class_ids: which ones count; of these, those that occur.
        ignore_class: a class of the target that counts nothing.
        sparse_y_true, sparse_y_pred: whether they are class numbers; else the largest along ``axis`` is meant.
        name, dtype, axis: see above, and :class:`Metric`.

    >>> round(float(IoU(2, [0])([0, 0, 1, 1], [0, 1, 0, 1])), 4)
    0.3333
    """

    config_names: ClassVar[tuple[str, ...]] = (
        "num_classes", "target_class_ids", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis",
    )  # fmt: skip

    def __init__(
        self, num_classes: int, target_class_ids: Sequence[int], name: str | None = None, dtype: Any = None,
        ignore_class: int | None = None, sparse_y_true: bool = True, sparse_y_pred: bool = True, axis: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        if target_class_ids and max(target_class_ids) >= num_classes:
            raise ValueError(
                f"{type(self).__name__}: target_class_ids must be less than num_classes={num_classes}; got "
                f"{list(target_class_ids)}"
            )
        self.num_classes, self.target_class_ids = num_classes, list(target_class_ids)
        self.ignore_class, self.axis = ignore_class, axis
        self.sparse_y_true, self.sparse_y_pred = sparse_y_true, sparse_y_pred

    def paired(self, target: Tensor, output_shape: tuple[int, ...]) -> Tensor:
        return target

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """The matrix of confusion (classes of the target, of the prediction)."""
        guess, true = self._classes(prediction, target)
        guess, true = guess.reshape(-1), true.reshape(-1)
        if guess.shape != true.shape:
            raise ShapeError(
                f"metric {self.name!r}: {true.shape[0]} targets and {guess.shape[0]} predictions; each needs the "
                "other: see sparse_y_true and sparse_y_pred"
            )
        held = self._is_class(true).double()
        if weight is not None:
            held = held * ops.broadcast_to(weight.double().reshape(-1) if weight.ndim else weight.double(), held.shape)
        numbers = arange(self.num_classes, device=true.device).reshape(1, -1)
        of_target = ops.eq(true.reshape(-1, 1), numbers).double() * held.reshape(-1, 1)
        return of_target.mT @ ops.eq(guess.reshape(-1, 1), numbers).double()

    def _classes(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        guess = prediction if self.sparse_y_pred else ops.argmax(prediction, dim=self.axis)
        true = target if self.sparse_y_true else ops.argmax(target, dim=self.axis)
        return guess.long(), true.long()

    def _is_class(self, true: Tensor) -> Tensor:
        known = ops.logical_and(ops.ge(true, 0), ops.lt(true, self.num_classes))
        return known if self.ignore_class is None else ops.logical_and(known, ops.ne(true, self.ignore_class))

    def value(self, sums: Tensor) -> Tensor:
        both = sums.diagonal()
        either = sums.sum(dim=0) + sums.sum(dim=1) - both
        places = as_tensor(np.array(self.target_class_ids, np.int64), device=sums.device)
        both, either = both[places], either[places]
        occurs = ops.ne(either, 0.0).double()
        return _ratio((_ratio(both, either) * occurs).sum(), occurs.sum())


class MeanIoU(IoU):
    """:class:`IoU` of all classes.

    >>> metric = MeanIoU(2)
    >>> metric.update_state([0, 1, 1, 0], [0, 1, 0, 0])
    >>> round(float(metric.result()), 4)
    0.5833
    """

    config_names: ClassVar[tuple[str, ...]] = ("num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")

    def __init__(
        self, num_classes: int, name: str | None = None, dtype: Any = None, ignore_class: int | None = None,
        sparse_y_true: bool = True, sparse_y_pred: bool = True, axis: int = -1,
    ) -> None:  # fmt: skip
        ids = range(num_classes)
        super().__init__(num_classes, ids, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)


class OneHotIoU(IoU):
    """:class:`IoU` of one-hot targets and a score for each class.

    >>> metric = OneHotIoU(2, (0, 1))
    >>> metric.update_state([[0.0, 1.0], [1.0, 0.0]], [[0.25, 0.75], [0.25, 0.75]])
    >>> round(float(metric.result()), 4)
    0.25
    """

    config_names: ClassVar[tuple[str, ...]] = (
        "num_classes",
        "target_class_ids",
        "ignore_class",
        "sparse_y_pred",
        "axis",
    )

    def __init__(
        self, num_classes: int, target_class_ids: Sequence[int], name: str | None = None, dtype: Any = None,
        ignore_class: int | None = None, sparse_y_pred: bool = False, axis: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)


class OneHotMeanIoU(MeanIoU):
    """:class:`MeanIoU` of one-hot targets and a score for each class.

    >>> metric = OneHotMeanIoU(2)
    >>> metric.update_state([[0.0, 1.0], [1.0, 0.0]], [[0.25, 0.75], [0.25, 0.75]])
    >>> round(float(metric.result()), 4)
    0.25
    """

    config_names: ClassVar[tuple[str, ...]] = ("num_classes", "ignore_class", "sparse_y_pred", "axis")

    def __init__(
        self, num_classes: int, name: str | None = None, dtype: Any = None, ignore_class: int | None = None,
        sparse_y_pred: bool = False, axis: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)


class BinaryIoU(IoU):
    """:class:`IoU` of two classes; predictions of ``threshold`` and more are class 1.

    >>> metric = BinaryIoU()
    >>> metric.update_state([0.0, 1.0, 1.0, 0.0], [0.25, 0.75, 0.25, 0.25])
    >>> round(float(metric.result()), 4)
    0.5833
    """

    config_names: ClassVar[tuple[str, ...]] = ("target_class_ids", "threshold")

    def __init__(
        self, target_class_ids: Sequence[int] = (0, 1), threshold: float = 0.5, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def _classes(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return ops.ge(prediction, self.threshold).long(), target.long()


# ---- one rate while another holds --------------------------------------------------------------------------


class _AtRate(_Counts):
    """The most of one rate at the thresholds where another is at least ``least``."""

    rate = ""

    def __init__(self, least: float, num_thresholds: int, class_id: int | None, name: str | None, dtype: Any) -> None:
        if not 0 <= least <= 1:
            raise ValueError(f"{type(self).__name__}: {self.rate} must be a number from 0 to 1; got {least!r}")
        if num_thresholds < 1:
            raise ValueError(f"{type(self).__name__}: num_thresholds must be at least 1; got {num_thresholds!r}")
        inner = [0.5] if num_thresholds == 1 else [i / (num_thresholds - 1) for i in range(num_thresholds)]
        super().__init__(inner, name, dtype, None, class_id)
        setattr(self, self.rate, least)
        self.least, self.num_thresholds, self.is_number = least, num_thresholds, True

    def value(self, sums: Tensor) -> Tensor:
        held, wanted = self.rates(*sums)
        return ops.amax(ops.where(ops.ge(held, self.least), wanted, 0.0), dim=0)

    def rates(self, hits: Tensor, false: Tensor, missed: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        """The rate that is to hold, and the one that is told."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        names = (self.rate, "num_thresholds", "class_id")
        return {"name": self.name, **{name: getattr(self, name) for name in names}}


class SensitivityAtSpecificity(_AtRate):
    """The largest true positive rate at thresholds where the true negative rate is at least ``specificity``.

    >>> metric = SensitivityAtSpecificity(0.5)
    >>> metric.update_state([0.0, 1.0, 1.0, 0.0], [0.25, 0.75, 0.25, 0.25])
    >>> round(float(metric.result()), 4)
    0.5
    """

    rate = "specificity"

    def __init__(
        self, specificity: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(specificity, num_thresholds, class_id, name, dtype)

    def rates(self, hits: Tensor, false: Tensor, missed: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        return _ratio(rest, rest + false), _ratio(hits, hits + missed)


class SpecificityAtSensitivity(_AtRate):
    """The largest true negative rate at thresholds where the true positive rate is at least ``sensitivity``.

    >>> metric = SpecificityAtSensitivity(0.5)
    >>> metric.update_state([0.0, 1.0, 1.0, 0.0], [0.25, 0.75, 0.25, 0.25])
    >>> round(float(metric.result()), 4)
    1.0
    """

    rate = "sensitivity"

    def __init__(
        self, sensitivity: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)

    def rates(self, hits: Tensor, false: Tensor, missed: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        return _ratio(hits, hits + missed), _ratio(rest, rest + false)


class PrecisionAtRecall(_AtRate):
    """The largest precision at thresholds where the recall is at least ``recall``.

    >>> metric = PrecisionAtRecall(0.5)
    >>> metric.update_state([0.0, 1.0, 1.0, 0.0], [0.25, 0.75, 0.25, 0.25])
    >>> round(float(metric.result()), 4)
    1.0
    """

    rate = "recall"

    def __init__(
        self, recall: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(recall, num_thresholds, class_id, name, dtype)

    def rates(self, hits: Tensor, false: Tensor, missed: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        return _ratio(hits, hits + missed), _ratio(hits, hits + false)


class RecallAtPrecision(_AtRate):
    """The largest recall at thresholds where the precision is at least ``precision``.

    >>> metric = RecallAtPrecision(0.5)
    >>> metric.update_state([0.0, 1.0, 1.0, 0.0], [0.25, 0.75, 0.25, 0.25])
    >>> round(float(metric.result()), 4)
    1.0
    """

    rate = "precision"

    def __init__(
        self, precision: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(precision, num_thresholds, class_id, name, dtype)

    def rates(self, hits: Tensor, false: Tensor, missed: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        return _ratio(hits, hits + false), _ratio(hits, hits + missed)
