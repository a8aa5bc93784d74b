"""The losses as metrics: the mean of each as a number to watch, without weights. Definitions: ``keras.metrics``."""

from __future__ import annotations

from typing import Any

from nnkit import ops
from nnkit.keras import losses
from nnkit.keras.means import MeanMetricWrapper
from nnkit.tensors.tensor import Tensor

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "RootMeanSquaredError",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
]


class _LossMetric(MeanMetricWrapper):
    """The mean of a loss, without weights of its own, as a number to watch."""

    def __init__(self, loss: losses.Loss, name: str | None, dtype: Any = None) -> None:
        super().__init__(loss, name, dtype)
        self.loss = loss

    def get_config(self) -> dict[str, Any]:
        config = self.loss.get_config()
        return {"name": self.name, **{key: config[key] for key in self.config_names}}

    def paired(self, target: Tensor, output_shape: tuple[int, ...]) -> Tensor:
        return target


class MeanSquaredError(_LossMetric):
    """The mean of ``(y_true - y_pred)²``.

    >>> metric = MeanSquaredError()
    >>> metric.update_state([[1.0], [2.0], [4.0]], [[1.5], [2.0], [3.0]])
    >>> round(float(metric.result()), 4)
    0.4167
    """

    def __init__(self, name: str = "mean_squared_error", dtype: Any = None) -> None:
        super().__init__(losses.MeanSquaredError(None), name, dtype)


class RootMeanSquaredError(MeanSquaredError):
    """The square root of the mean of ``(y_true - y_pred)²``.

    >>> metric = RootMeanSquaredError()
    >>> metric.update_state([[1.0], [2.0], [4.0]], [[1.5], [2.0], [3.0]])
    >>> round(float(metric.result()), 4)
    0.6455
    """

    def __init__(self, name: str = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def value(self, sums: Tensor) -> Tensor:
        return ops.sqrt(super().value(sums))


class MeanAbsoluteError(_LossMetric):
    """The mean of ``|y_true - y_pred|``.

    >>> metric = MeanAbsoluteError()
    >>> metric.update_state([[1.0], [2.0], [4.0]], [[1.5], [2.0], [3.0]])
    >>> round(float(metric.result()), 4)
    0.5
    """

    def __init__(self, name: str = "mean_absolute_error", dtype: Any = None) -> None:
        super().__init__(losses.MeanAbsoluteError(None), name, dtype)


class MeanAbsolutePercentageError(_LossMetric):
    """The mean of ``100 |y_true - y_pred| / |y_true|``.

    >>> metric = MeanAbsolutePercentageError()
    >>> metric.update_state([[1.0], [2.0], [4.0]], [[1.5], [2.0], [3.0]])
    >>> round(float(metric.result()), 4)
    25.0
    """

    def __init__(self, name: str = "mean_absolute_percentage_error", dtype: Any = None) -> None:
        super().__init__(losses.MeanAbsolutePercentageError(None), name, dtype)


class MeanSquaredLogarithmicError(_LossMetric):
    """The mean of ``(log(1 + y_true) - log(1 + y_pred))²``.

    >>> metric = MeanSquaredLogarithmicError()
    >>> metric.update_state([[1.0], [2.0], [4.0]], [[1.5], [2.0], [3.0]])
    >>> round(float(metric.result()), 4)
    0.0332
    """

    def __init__(self, name: str = "mean_squared_logarithmic_error", dtype: Any = None) -> None:
        super().__init__(losses.MeanSquaredLogarithmicError(None), name, dtype)


class CosineSimilarity(_LossMetric):
    """The mean cosine of the angle between ``y_true`` and ``y_pred`` along ``axis``: 1 where they agree.

    >>> metric = CosineSimilarity()
    >>> metric.update_state([[0.0, 1.0], [1.0, 0.0]], [[0.25, 0.75], [0.25, 0.75]])
    >>> round(float(metric.result()), 4)
    0.6325
    """

    config_names = ("axis",)

    def __init__(self, name: str = "cosine_similarity", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(losses.CosineSimilarity(axis, None), name, dtype)
        self.axis = axis

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return -super().values(y_true, y_pred)


class LogCoshError(_LossMetric):
    """The mean of ``log(cosh(y_pred - y_true))``.

    >>> metric = LogCoshError()
    >>> metric.update_state([[1.0], [2.0], [4.0]], [[1.5], [2.0], [3.0]])
    >>> round(float(metric.result()), 4)
    0.1846
    """

    def __init__(self, name: str = "logcosh", dtype: Any = None) -> None:
        super().__init__(losses.LogCosh(None), name, dtype)


class Hinge(_LossMetric):
    """The mean of ``max(1 - y_true * y_pred, 0)``.

    >>> metric = Hinge()
    >>> metric.update_state([[-1.0, 1.0]], [[0.5, 0.5]])
    >>> round(float(metric.result()), 4)
    1.0
    """

    def __init__(self, name: str = "hinge", dtype: Any = None) -> None:
        super().__init__(losses.Hinge(None), name, dtype)


class SquaredHinge(_LossMetric):
    """The mean of ``max(1 - y_true * y_pred, 0)²``.

    >>> metric = SquaredHinge()
    >>> metric.update_state([[-1.0, 1.0]], [[0.5, 0.5]])
    >>> round(float(metric.result()), 4)
    1.25
    """

    def __init__(self, name: str = "squared_hinge", dtype: Any = None) -> None:
        super().__init__(losses.SquaredHinge(None), name, dtype)


class CategoricalHinge(_LossMetric):
    """The mean of ``losses.CategoricalHinge``.

    >>> metric = CategoricalHinge()
    >>> metric.update_state([[0.0, 1.0], [1.0, 0.0]], [[0.25, 0.75], [0.25, 0.75]])
    >>> round(float(metric.result()), 4)
    1.0
    """

    def __init__(self, name: str = "categorical_hinge", dtype: Any = None) -> None:
        super().__init__(losses.CategoricalHinge(None), name, dtype)


class Poisson(_LossMetric):
    """The mean of ``y_pred - y_true * log(y_pred)``.

    >>> metric = Poisson()
    >>> metric.update_state([[1.0], [2.0], [4.0]], [[1.5], [2.0], [3.0]])
    >>> round(float(metric.result()), 4)
    0.1046
    """

    def __init__(self, name: str = "poisson", dtype: Any = None) -> None:
        super().__init__(losses.Poisson(None), name, dtype)


class BinaryCrossentropy(_LossMetric):
    """The mean of ``losses.BinaryCrossentropy``.

    >>> metric = BinaryCrossentropy()
    >>> metric.update_state([0.0, 1.0, 1.0, 0.0], [0.25, 0.75, 0.25, 0.25])
    >>> round(float(metric.result()), 4)
    0.5623
    """

    config_names = ("from_logits", "label_smoothing")

    def __init__(
        self, name: str = "binary_crossentropy", dtype: Any = None, from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(losses.BinaryCrossentropy(from_logits, label_smoothing, reduction=None), name, dtype)


class CategoricalCrossentropy(_LossMetric):
    """The mean of ``losses.CategoricalCrossentropy``.

    >>> metric = CategoricalCrossentropy()
    >>> metric.update_state([[0.0, 1.0], [1.0, 0.0]], [[0.25, 0.75], [0.25, 0.75]])
    >>> round(float(metric.result()), 4)
    0.837
    """

    config_names = ("from_logits", "label_smoothing")

    def __init__(
        self, name: str = "categorical_crossentropy", dtype: Any = None, from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(losses.CategoricalCrossentropy(from_logits, label_smoothing, reduction=None), name, dtype)


class SparseCategoricalCrossentropy(_LossMetric):
    """The mean of ``losses.SparseCategoricalCrossentropy``.

    >>> metric = SparseCategoricalCrossentropy()
    >>> metric.update_state([1, 0], [[0.25, 0.75], [0.25, 0.75]])
    >>> round(float(metric.result()), 4)
    0.837
    """

    config_names = ("from_logits",)

    def __init__(
        self, name: str = "sparse_categorical_crossentropy", dtype: Any = None, from_logits: bool = False
    ) -> None:
        super().__init__(losses.SparseCategoricalCrossentropy(from_logits, None, reduction=None), name, dtype)


class KLDivergence(_LossMetric):
    """The mean of ``losses.KLDivergence``.

    >>> metric = KLDivergence()
    >>> metric.update_state([[0.0, 1.0], [1.0, 0.0]], [[0.25, 0.75], [0.25, 0.75]])
    >>> round(float(metric.result()), 4)
    0.837
    """

    def __init__(self, name: str = "kl_divergence", dtype: Any = None) -> None:
        super().__init__(losses.KLDivergence(None), name, dtype)
