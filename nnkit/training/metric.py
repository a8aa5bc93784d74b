"""What a metric is: sums over samples, and a result of them; and the sums that metrics have in common.

Sums are float64 and made on the device, batch after batch; the result is made on the host, at the end. So a metric over
unequal batches is exactly the metric over all the data, which the mean of the batches' metrics is not (see ``kept`` for
what no sums give).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.recording.observer import call
from nnkit.tensors.creation import arange, full, tensor
from nnkit.tensors.tensor import Tensor

__all__ = [
    "FunctionMetric", "Metric", "columns", "labels_of", "one_hot", "ones", "ratio", "ratios", "weighted_sum",
    "with_one",
]  # fmt: skip


class Metric:
    """The base of the metrics: ``sums`` of a batch on the device, and the ``result`` of all sums on the host.

    ``weighted``: whether ``sums`` is given the sample weights; as in Keras, a metric by name is not. Prediction and
    target are (B, ...), of any dtype; sums are float64 (k,). The base raises NotImplementedError for both.

    >>> import nnkit
    >>> class Largest(Metric):
    ...     name = "largest"
    ...     def sums(self, prediction, target, weight=None):
    ...         return nnkit.stack([prediction.max(), nnkit.ones(())]).double()
    ...     def result(self, sums):
    ...         return float(sums[0] / sums[1])
    >>> nnkit.nn.Identity().evaluate([1.0, 2.0], [1.0, 4.0], loss="mse", metrics=[Largest()])["largest"]
    2.0
    """

    name = "metric"
    #: Whether ``result`` is one number, as training needs it.
    is_number = True

    def __init__(self, name: str | None = None, weighted: bool = False) -> None:
        self.name = name or self.name
        self.weighted = weighted

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """float64 (k,): what this batch adds. prediction (B, ...), target (B, ...), weight (B,) or None."""
        raise NotImplementedError(f"{type(self).__name__} has no sums method")

    def result(self, sums: np.ndarray) -> float:
        """The metric, from the total of all batches' sums."""
        raise NotImplementedError(f"{type(self).__name__} has no result method")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


class FunctionMetric(Metric):
    """Any function (prediction, target) -> scalar Tensor, its mean over batches weighted by their samples.

    Both arguments are (B, ...), of any dtype. Raises ShapeError where the function returns more than one number.
    Source: nnkit's own.

    >>> import nnkit
    >>> metric = FunctionMetric(lambda y, target: abs(y - target).mean(), "distance")
    >>> nnkit.nn.Identity().evaluate([1.0, 2.0], [1.0, 4.0], loss="mse", metrics=[metric])["distance"]
    1.0
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], name: str | None = None) -> None:
        super().__init__(name or getattr(function, "__name__", None) or type(function).__name__)
        self.function = function

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        rows = prediction.shape[0]
        value = call(self.function, prediction, target)
        if value.numel() != 1:
            raise ShapeError(f"metric {self.name!r} must return a scalar Tensor, got shape {tuple(value.shape)}")
        value = value.double().reshape(1) * rows
        return ops.cat([value, full((1,), rows, dtype="float64", device=prediction.device)])

    def result(self, sums: np.ndarray) -> float:
        return ratio(sums[0], sums[1])


# ---- on the device ---------------------------------------------------------------------------------------


def columns(name: str, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float64 (B, k)."""
    if prediction.shape != target.shape:
        raise ShapeError(
            f"metric {name!r} needs prediction and target of one shape, got {tuple(prediction.shape)} and "
            f"{tuple(target.shape)}"
        )
    rows = prediction.shape[0]
    return prediction.double().reshape(rows, -1), target.double().reshape(rows, -1)


def labels_of(name: str, prediction: Tensor, target: Tensor) -> Tensor:
    """The true classes (B,), from labels (B,) or (B, 1) or one-hot rows (B, C), for predictions (B, C)."""
    if prediction.ndim == 2:
        if target.shape == prediction.shape:
            return target.argmax(dim=-1)
        if target.shape in (prediction.shape[:1], (prediction.shape[0], 1)):
            return target.reshape(-1).long()
    raise ShapeError(
        f"metric {name!r} needs scores (B, C) and labels (B,) or one-hot rows (B, C), got {tuple(prediction.shape)} "
        f"and {tuple(target.shape)}"
    )


def one_hot(labels: Tensor, scores: Tensor) -> Tensor:
    """Boolean (B, C): whether the label is the column's number."""
    return ops.eq(labels.unsqueeze(1), _class_numbers(scores.shape[1], str(scores.device)))


@lru_cache(maxsize=64)
def _class_numbers(classes: int, device: str) -> Tensor:
    """0, 1, ..., made once for each device: a copy from the host has no place in a training step."""
    return arange(classes, device=device)


def ones(like: Tensor) -> Tensor:
    return full(like.shape, 1.0, dtype="float64", device=like.device)


def with_one(values: Tensor) -> Tensor:
    """float64 values (B, 1), each with a 1 for its sample: (B, 2)."""
    return ops.where(tensor([[True, False]], device=values.device), values, 1.0)


def weighted_sum(columns: Tensor, weight: Tensor | None) -> Tensor:
    """The sum over samples of float64 columns (B, k), each row times its weight: (k,)."""
    return (columns if weight is None else columns * weight.double().unsqueeze(1)).sum(dim=0)


# ---- on the host -----------------------------------------------------------------------------------------


def ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else math.nan


def ratios(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where whole is 0."""
    return np.where(whole > 0, part, 0.0) / np.where(whole > 0, whole, 1.0)
