"""The metrics, under Keras's names and defaults.

In ``compile(metrics=[...])`` a metric is a name, an object of one of these classes, or a function of
``(y_true, y_pred)``. By hand an object adds up batches: ``update_state``, ``result``, ``reset_state``. The name
"accuracy" means what the shapes say: one output is a yes or no, several are one class of many, and the target
is a class number or a one-hot row. Definitions: ``keras.metrics``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nnkit.keras import objects
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
from nnkit.keras.loss_metrics import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
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
from nnkit.keras.told import tell, tell_of_names
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


#: What is told of each class, and of each function.
OF_ALL = """Targets and predictions (B, …), or values of any shape, of any dtype; the result is float32. Raises
ShapeError where they do not fit, DtypeError for what are no numbers, TypeError for an argument that it has not. Source:
``keras.metrics.{name}``."""
OF_SAMPLES = """Targets and predictions (B, …), of any dtype; the result is of a floating dtype. Raises ShapeError where
they do not fit, DtypeError for what are no numbers. Source: ``keras.metrics.{name}``."""
tell(globals(), [name for name in __all__ if isinstance(globals()[name], type)], OF_ALL)
tell(globals(), [name for name in __all__ if name not in ("get", "deserialize", "serialize")], OF_SAMPLES)
tell_of_names(globals(), "metrics")


def __dir__() -> list[str]:
    return sorted(__all__)
