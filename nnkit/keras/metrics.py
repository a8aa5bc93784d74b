"""The metrics, under Keras's names and defaults.

In ``compile(metrics=[...])`` a metric is a name, an object of one of these classes, or a function of
``(y_true, y_pred)``. By hand an object adds up batches: ``update_state``, ``result``, ``reset_state``. The name
"accuracy" means what the shapes say: one output is a yes or no, several are one class of many, and the target
is a class number or a one-hot row. Definitions: ``keras.metrics``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nnkit import ops
from nnkit.keras import losses, objects
from nnkit.keras.accuracies import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from nnkit.keras.auc import AUC
from nnkit.keras.counts import FalseNegatives, FalsePositives, Precision, Recall, TrueNegatives, TruePositives
from nnkit.keras.losses import (
    KLD,
    MAE,
    MAPE,
    MSE,
    MSLE,
    binary_crossentropy,
    categorical_crossentropy,
    categorical_hinge,
    cosine_similarity,
    hinge,
    huber,
    kl_divergence,
    kld,
    log_cosh,
    logcosh,
    mae,
    mape,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    mse,
    msle,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from nnkit.keras.masks import by_step
from nnkit.keras.means import Mean, MeanMetricWrapper, Sum
from nnkit.keras.metric import Metric
from nnkit.keras.naming import resolve
from nnkit.keras.scores import (
    BinaryIoU,
    F1Score,
    FBetaScore,
    IoU,
    MeanIoU,
    OneHotIoU,
    OneHotMeanIoU,
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from nnkit.tensors.tensor import Tensor
from nnkit.training import metrics as core

# fmt: off
__all__ = [
    "BinaryIoU", "F1Score", "FBetaScore", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU", "PrecisionAtRecall",
    "RecallAtPrecision", "SensitivityAtSpecificity", "SpecificityAtSensitivity",
    "AUC", "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "CategoricalAccuracy", "CategoricalCrossentropy",
    "CategoricalHinge", "CosineSimilarity", "FalseNegatives", "FalsePositives", "Hinge", "KLD", "KLDivergence",
    "LogCoshError", "MAE", "MAPE", "MSE", "MSLE", "Mean", "MeanAbsoluteError", "MeanAbsolutePercentageError",
    "MeanMetricWrapper", "MeanSquaredError", "MeanSquaredLogarithmicError", "Metric", "Poisson", "Precision",
    "R2Score", "Recall", "RootMeanSquaredError", "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy", "SquaredHinge", "Sum", "TopKCategoricalAccuracy", "TrueNegatives",
    "TruePositives", "binary_accuracy", "binary_crossentropy", "categorical_accuracy", "categorical_crossentropy",
    "categorical_hinge", "cosine_similarity", "deserialize", "get", "hinge", "huber", "kl_divergence", "kld",
    "log_cosh", "logcosh", "mae", "mape", "mean_absolute_error", "mean_absolute_percentage_error",
    "mean_squared_error", "mean_squared_logarithmic_error", "mse", "msle", "poisson", "serialize",
    "sparse_categorical_accuracy", "sparse_categorical_crossentropy", "sparse_top_k_categorical_accuracy",
    "squared_hinge", "top_k_categorical_accuracy",
]
# fmt: on


# ---- losses and functions as metrics ----------------------------------------------------------------------


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


class R2Score(Metric, core.R2):
    """1 less the share of the target's variance that is left unexplained; the mean over outputs.

    >>> metric = R2Score()
    >>> metric.update_state([[1.0], [2.0], [4.0]], [[1.5], [2.0], [3.0]])
    >>> round(float(metric.result()), 4)
    0.7321
    """

    def __init__(self, name: str = "r2_score", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        prediction, target, weight = by_step(prediction, target, weight)
        return core.R2.sums(self, prediction, target, self.per_sample(weight, prediction.shape[0]))

    def _number(self, sums: Any) -> float:
        return core.R2.result(self, sums)


# ---- by name ----------------------------------------------------------------------------------------------

_CLASSES: dict[str, type[Metric]] = {
    "accuracy": Accuracy,
    "auc": AUC,
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "precision": Precision,
    "recall": Recall,
    "true_positives": TruePositives,
    "true_negatives": TrueNegatives,
    "false_positives": FalsePositives,
    "false_negatives": FalseNegatives,
    "mean": Mean,
    "sum": Sum,
    "mean_absolute_percentage_error": MeanAbsolutePercentageError,
    "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
    "cosine_similarity": CosineSimilarity,
    "log_cosh_error": LogCoshError,
    "hinge": Hinge,
    "squared_hinge": SquaredHinge,
    "categorical_hinge": CategoricalHinge,
    "poisson": Poisson,
    "mean_squared_error": MeanSquaredError,
    "root_mean_squared_error": RootMeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "r2_score": R2Score,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "kl_divergence": KLDivergence,
    "binary_io_u": BinaryIoU,
    "f1_score": F1Score,
    "fbeta_score": FBetaScore,
    "io_u": IoU,
    "mean_io_u": MeanIoU,
    "one_hot_io_u": OneHotIoU,
    "one_hot_mean_io_u": OneHotMeanIoU,
    "precision_at_recall": PrecisionAtRecall,
    "recall_at_precision": RecallAtPrecision,
    "sensitivity_at_specificity": SensitivityAtSpecificity,
    "specificity_at_sensitivity": SpecificityAtSensitivity,
}
_BY_NAME: dict[str, type[Metric]] = {
    "acc": Accuracy,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
    "bce": BinaryCrossentropy,
    "kld": KLDivergence,
    "logcosh": LogCoshError,
    **_CLASSES,
    **{cls.__name__: cls for cls in _CLASSES.values()},
}


def get(identifier: str | Mapping[str, Any] | core.Metric | Callable[..., Any]) -> core.Metric:
    """The metric that a name, a class, a config, a metric or a function ``(y_true, y_pred)`` stands for.

    A metric asked for by name is called by that very name in the results.

    Raises:
        UnknownNameError: no metric has this name; the message lists the nearest.

    >>> get("acc").name, get("mse").name
    ('acc', 'mse')
    """
    if isinstance(identifier, core.Metric):
        return identifier
    if isinstance(identifier, type):
        return identifier()
    if callable(identifier):
        return MeanMetricWrapper(identifier)
    metric: Any = resolve("metric", identifier, _BY_NAME)
    if not isinstance(metric, core.Metric):
        metric = get(metric)
    if isinstance(identifier, str):
        metric.name = identifier
    return metric


def serialize(metric: Any) -> Any:
    """A metric as ``{"class_name", "config"}``, for JSON.

    >>> serialize(MeanSquaredError())["class_name"]
    'MeanSquaredError'
    """
    return objects.described(metric)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The metric that ``serialize`` described, or that a name stands for.

    >>> type(deserialize(serialize(MeanSquaredError()))).__name__
    'MeanSquaredError'
    """
    with objects.CustomObjectScope(custom_objects or {}):
        return get(config)


def __dir__() -> list[str]:
    return sorted(__all__)
