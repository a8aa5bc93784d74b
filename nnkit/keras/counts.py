"""Metrics of right and wrong decisions, counted over all outputs at one threshold or several: ``keras.metrics``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.keras.masks import by_step
from nnkit.keras.metric import Metric
from nnkit.keras.shapes import matched
from nnkit.tensors.creation import as_tensor
from nnkit.tensors.tensor import Tensor

__all__ = [
    "FalseNegatives", "FalsePositives", "Precision", "Recall", "TrueNegatives", "TruePositives",
]  # fmt: skip

Thresholds = float | Sequence[float] | None


class _Counts(Metric):
    """Sums (4, T): true and false positives, false and true negatives above each threshold."""

    def __init__(
        self, thresholds: Thresholds, name: str | None, dtype: Any, top_k: int | None = None,
        class_id: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        kind = type(self).__name__
        given = [thresholds] if thresholds is None or isinstance(thresholds, (int, float)) else list(thresholds)
        default = 0.5 if top_k is None else -np.inf
        self.limits = [default if limit is None else float(limit) for limit in given]
        if any(limit is not None and not 0 <= limit <= 1 for limit in given) or not given:
            raise ValueError(f"{kind}: thresholds must be numbers from 0 to 1, one or several; got {thresholds!r}")
        self.thresholds, self.top_k, self.class_id = thresholds, top_k, class_id
        self.is_number = len(self.limits) == 1

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        prediction, target, weight = by_step(prediction, target, weight)
        if prediction.shape != target.shape:
            raise ShapeError(
                f"metric {self.name!r} needs prediction and target of one shape, got {tuple(prediction.shape)} and "
                f"{tuple(target.shape)}"
            )
        scores, true = prediction.double(), ops.ne(target, 0).double()
        if self.top_k is not None:
            least = ops.topk(scores, self.top_k)[0][..., -1:]
            scores = ops.where(ops.ge(scores, least), scores, -np.inf)
        if self.class_id is not None:
            scores, true = (part[..., self.class_id].unsqueeze(-1) for part in (scores, true))
        factors = self._factors(weight, scores)
        limits = as_tensor(np.array(self.limits), dtype="float64", device=scores.device).reshape(-1, 1)
        above = ops.gt(scores.reshape(1, -1), limits).double()
        true = true.reshape(1, -1)
        if factors is None:
            found, missed = true, 1.0 - true
        else:
            found, missed = true * factors, (1.0 - true) * factors
        hits, false = (above * found).sum(dim=1), (above * missed).sum(dim=1)
        return ops.stack([hits, false, found.sum() - hits, missed.sum() - false])

    def _factors(self, weight: Tensor | None, scores: Tensor) -> Tensor | None:
        """The weight of each decision (1, N)."""
        if weight is None:
            return None
        weight = weight.double()
        if weight.ndim and weight.ndim < scores.ndim:
            weight = weight.reshape(*weight.shape, *[1] * (scores.ndim - weight.ndim))
        try:
            return ops.broadcast_to(weight, scores.shape).reshape(1, -1)
        except ValueError as error:
            raise ShapeError(
                f"metric {self.name!r}: sample_weight has shape {tuple(weight.shape)}; expected one number, or one for "
                f"each of {scores.shape[0]} samples"
            ) from error

    def paired(self, target: Tensor, output_shape: tuple[int, ...]) -> Tensor:
        return matched(target, output_shape)

    def value(self, sums: Tensor) -> Tensor:
        values = self.of_counts(*sums)
        return values[0] if self.is_number else values

    def of_counts(self, hits: Tensor, false: Tensor, missed: Tensor, rest: Tensor) -> Tensor:
        """The metric at each threshold, from true and false positives, false and true negatives."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        names = ("thresholds", "top_k", "class_id") if isinstance(self, (Precision, Recall)) else ("thresholds",)
        return {"name": self.name, **{name: getattr(self, name) for name in names}}


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    none = ops.eq(whole, 0.0)
    return ops.where(none, 0.0, part / ops.where(none, 1.0, whole))


class Precision(_Counts):
    """Of the outputs above ``thresholds`` (0.5), the share that the target confirms; 0 where there are none.

    Several outputs are counted together, so one-hot targets are needed there; ``class_id`` looks at one of them, and
    with ``top_k`` the largest of each sample alone are called positive.

    >>> float(Precision()([0, 1, 1, 1], [1, 0, 1, 1]))  # doctest: +ELLIPSIS
    0.666...
    """

    def __init__(
        self, thresholds: Thresholds = None, top_k: int | None = None, class_id: int | None = None,
        name: str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(thresholds, name, dtype, top_k, class_id)

    def of_counts(self, hits: Tensor, false: Tensor, missed: Tensor, rest: Tensor) -> Tensor:
        return _ratio(hits, hits + false)


class Recall(_Counts):
    """Of the outputs that the target calls positive, the share above ``thresholds`` (0.5); 0 where none are.

    >>> metric = Recall()
    >>> metric.update_state([0.0, 1.0, 1.0, 0.0], [0.25, 0.75, 0.25, 0.25])
    >>> round(float(metric.result()), 4)
    0.5
    """

    def __init__(
        self, thresholds: Thresholds = None, top_k: int | None = None, class_id: int | None = None,
        name: str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(thresholds, name, dtype, top_k, class_id)

    def of_counts(self, hits: Tensor, false: Tensor, missed: Tensor, rest: Tensor) -> Tensor:
        return _ratio(hits, hits + missed)


class _Number(_Counts):
    def __init__(self, thresholds: Thresholds = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(thresholds, name, dtype)


class TruePositives(_Number):
    """How many outputs above ``thresholds`` (0.5) the target confirms.

    >>> metric = TruePositives()
    >>> metric.update_state([0.0, 1.0, 1.0, 0.0], [0.25, 0.75, 0.25, 0.25])
    >>> round(float(metric.result()), 4)
    1.0
    """

    def of_counts(self, hits: Tensor, false: Tensor, missed: Tensor, rest: Tensor) -> Tensor:
        return hits


class FalsePositives(_Number):
    """How many outputs above ``thresholds`` (0.5) the target does not confirm.

    >>> metric = FalsePositives()
    >>> metric.update_state([0.0, 1.0, 1.0, 0.0], [0.25, 0.75, 0.25, 0.25])
    >>> round(float(metric.result()), 4)
    0.0
    """

    def of_counts(self, hits: Tensor, false: Tensor, missed: Tensor, rest: Tensor) -> Tensor:
        return false


class FalseNegatives(_Number):
    """How many outputs that the target calls positive are not above ``thresholds`` (0.5).

    >>> metric = FalseNegatives()
    >>> metric.update_state([0.0, 1.0, 1.0, 0.0], [0.25, 0.75, 0.25, 0.25])
    >>> round(float(metric.result()), 4)
    1.0
    """

    def of_counts(self, hits: Tensor, false: Tensor, missed: Tensor, rest: Tensor) -> Tensor:
        return missed


class TrueNegatives(_Number):
    """How many outputs that the target does not call positive are not above ``thresholds`` (0.5).

    >>> metric = TrueNegatives()
    >>> metric.update_state([0.0, 1.0, 1.0, 0.0], [0.25, 0.75, 0.25, 0.25])
    >>> round(float(metric.result()), 4)
    2.0
    """

    def of_counts(self, hits: Tensor, false: Tensor, missed: Tensor, rest: Tensor) -> Tensor:
        return rest
