"""Further losses of Keras's: relative, logarithmic, of margins, angles and counts. Definitions: ``keras.losses``."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from nnkit import ops
from nnkit.keras.loss import Loss
from nnkit.nn import functional
from nnkit.tensors.tensor import Tensor

__all__ = [
    "CategoricalHinge", "CosineSimilarity", "Hinge", "LogCosh", "MeanAbsolutePercentageError",
    "MeanSquaredLogarithmicError", "Poisson", "SquaredHinge", "categorical_hinge", "cosine_similarity", "hinge",
    "log_cosh", "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "poisson", "squared_hinge",
]  # fmt: skip

EPSILON = 1e-7


class _Named(Loss):
    """A loss with nothing to set but its reduction."""

    called: ClassVar[str]

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(self.called if name is None else name, reduction)


class MeanAbsolutePercentageError(_Named):
    """The mean over the last axis of ``100 |y_true - y_pred| / |y_true|``.

    >>> MeanAbsolutePercentageError()([[2.0, 4.0]], [[1.0, 4.0]]).item()
    25.0
    """

    called = "mean_absolute_percentage_error"

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return 100.0 * (ops.abs(y_true - y_pred) / ops.clamp(ops.abs(y_true), min=EPSILON)).mean(dim=-1)


class MeanSquaredLogarithmicError(_Named):
    """The mean over the last axis of ``(log(1 + y_true) - log(1 + y_pred))²``; below 1e-7 both count as that.

    >>> import nnkit
    >>> round(MeanSquaredLogarithmicError()(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.5, 1.0]])).item(), 4)
    0.0822
    """

    called = "mean_squared_logarithmic_error"

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        true, guess = (ops.log(ops.clamp(y, min=EPSILON) + 1.0) for y in (y_true, y_pred))
        return ((true - guess) ** 2).mean(dim=-1)


def _signs(y_true: Tensor) -> Tensor:
    """Targets 0 and 1 as -1 and 1; others as they are."""
    binary = ops.logical_or(ops.eq(y_true, 0.0), ops.eq(y_true, 1.0)).all()
    return ops.where(binary, 2.0 * y_true - 1.0, y_true)


class Hinge(_Named):
    """The mean over the last axis of ``max(1 - y_true * y_pred, 0)``, targets -1 and 1, or 0 and 1.

    >>> Hinge()([[1.0], [-1.0]], [[0.5], [2.0]]).item()
    1.75
    """

    called = "hinge"

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return ops.clamp(1.0 - _signs(y_true) * y_pred, min=0.0).mean(dim=-1)


class SquaredHinge(_Named):
    """The mean over the last axis of ``max(1 - y_true * y_pred, 0)²``.

    >>> import nnkit
    >>> round(SquaredHinge()(nnkit.tensor([[-1.0, 1.0]]), nnkit.tensor([[0.5, 0.5]])).item(), 4)
    1.25
    """

    called = "squared_hinge"

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return (ops.clamp(1.0 - _signs(y_true) * y_pred, min=0.0) ** 2).mean(dim=-1)


class CategoricalHinge(_Named):
    """``max(the largest wrong output - the right one + 1, 0)`` for one-hot targets.

    >>> import nnkit
    >>> round(CategoricalHinge()(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.25, 0.75]])).item(), 4)
    0.5
    """

    called = "categorical_hinge"

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        right = (y_true * y_pred).sum(dim=-1)
        wrong = ops.amax((1.0 - y_true) * y_pred, dim=-1)
        return ops.clamp(wrong - right + 1.0, min=0.0)


class LogCosh(_Named):
    """The mean over the last axis of ``log(cosh(y_pred - y_true))``.

    >>> import nnkit
    >>> round(LogCosh()(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.5, 1.0]])).item(), 4)
    0.0601
    """

    called = "log_cosh"

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        apart = y_pred - y_true
        return (apart + functional.softplus(-2.0 * apart) - math.log(2.0)).mean(dim=-1)


class Poisson(_Named):
    """The mean over the last axis of ``y_pred - y_true * log(y_pred)``.

    >>> import nnkit
    >>> round(Poisson()(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.5, 1.0]])).item(), 4)
    0.75
    """

    called = "poisson"

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return (y_pred - y_true * ops.log(y_pred + EPSILON)).mean(dim=-1)


class CosineSimilarity(Loss):
    """The negative cosine of the angle between target and prediction along ``axis``: -1 where they agree.

    >>> CosineSimilarity()([[0.0, 2.0]], [[0.0, 1.0]]).item()
    -1.0
    """

    def __init__(
        self, axis: int = -1, reduction: str | None = "sum_over_batch_size", name: str = "cosine_similarity",
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction)
        self.axis = axis

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        true, guess = (
            y / ops.sqrt(ops.clamp((y * y).sum(dim=self.axis, keepdim=True), min=1e-12)) for y in (y_true, y_pred)
        )
        return -(true * guess).sum(dim=self.axis)

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis, **super().get_config()}


# ---- as functions: the loss of each sample ----------------------------------------------------------------


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Tensor:
    """:class:`MeanAbsolutePercentageError` of each sample.

    >>> import nnkit
    >>> mean_absolute_percentage_error(nnkit.tensor([[2.0, 1.0]]), nnkit.tensor([[1.0, 1.0]]))
    tensor([25.])
    """
    return MeanAbsolutePercentageError(None)(y_true, y_pred)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Tensor:
    """:class:`MeanSquaredLogarithmicError` of each sample.

    >>> import nnkit
    >>> mean_squared_logarithmic_error(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.5, 1.0]]))
    tensor([0.0822])
    """
    return MeanSquaredLogarithmicError(None)(y_true, y_pred)


def hinge(y_true: Any, y_pred: Any) -> Tensor:
    """:class:`Hinge` of each sample.

    >>> import nnkit
    >>> hinge(nnkit.tensor([[-1.0, 1.0]]), nnkit.tensor([[0.5, 0.5]]))
    tensor([1.])
    """
    return Hinge(None)(y_true, y_pred)


def squared_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """:class:`SquaredHinge` of each sample.

    >>> import nnkit
    >>> squared_hinge(nnkit.tensor([[-1.0, 1.0]]), nnkit.tensor([[0.5, 0.5]]))
    tensor([1.25])
    """
    return SquaredHinge(None)(y_true, y_pred)


def categorical_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """:class:`CategoricalHinge` of each sample.

    >>> import nnkit
    >>> categorical_hinge(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.25, 0.75]]))
    tensor([0.5])
    """
    return CategoricalHinge(None)(y_true, y_pred)


def log_cosh(y_true: Any, y_pred: Any) -> Tensor:
    """:class:`LogCosh` of each sample.

    >>> import nnkit
    >>> log_cosh(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.5, 1.0]]))
    tensor([0.0601])
    """
    return LogCosh(None)(y_true, y_pred)


def poisson(y_true: Any, y_pred: Any) -> Tensor:
    """:class:`Poisson` of each sample.

    >>> import nnkit
    >>> poisson(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.5, 1.0]]))
    tensor([0.75])
    """
    return Poisson(None)(y_true, y_pred)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """:class:`CosineSimilarity` of each sample.

    >>> import nnkit
    >>> cosine_similarity(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.5, 1.0]]))
    tensor([-0.8944])
    """
    return CosineSimilarity(axis, None)(y_true, y_pred)
