"""The metrics, under Keras's names and defaults, over those of ``nnkit.training``.

In ``compile(metrics=[...])`` a metric is a name, an object of one of these classes, or a function of
``(y_true, y_pred)``. By hand an object adds up batches: ``update_state``, ``result``, ``reset_state``. The name
"accuracy" means what the shapes say: one output is a yes or no, several are one class of many, and the target
is a class number or a one-hot row. Definitions: ``keras.metrics``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.creation import as_tensor
from nnkit.errors import ShapeError
from nnkit.keras import losses
from nnkit.keras.auc import AUC
from nnkit.keras.masks import by_step, mask_of, with_mask
from nnkit.keras.metric import Metric
from nnkit.keras.naming import resolve
from nnkit.keras.shapes import as_labels, matched
from nnkit.observer import call
from nnkit.tensor import Tensor
from nnkit.training import metrics as core

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "KLDivergence",
    "MeanAbsoluteError",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "Metric",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "get",
]


# ---- accuracies -------------------------------------------------------------------------------------------


class Accuracy(Metric, core.Accuracy):
    """How often the prediction is right: yes or no at 0.5 for one output, the largest of several otherwise.

    This is what the name "accuracy" stands for. (Keras's class of this name compares numbers for equality.)
    """

    def __init__(self, name: str = "accuracy") -> None:
        super().__init__(name)

    def paired(self, target: Tensor, output_shape: tuple[int, ...]) -> Tensor:
        if output_shape[-1] == 1:
            return matched(target, output_shape)
        return as_labels(target, output_shape)


class BinaryAccuracy(Metric, core.Accuracy):
    """How often ``y_pred > threshold``, as 0 or 1, equals ``y_true``; with several outputs, the mean over them.

    >>> BinaryAccuracy()([0.0, 1.0, 0.3, 0.9], [0.2, 0.8, 0.2, 0.8])  # neither 0.3 nor 0.9 is 0 or 1
    0.5
    """

    config_names = ("threshold",)

    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5) -> None:
        if not math.isfinite(threshold):
            raise ValueError(f"BinaryAccuracy: threshold must be a finite number; got {threshold}")
        super().__init__(name, threshold=threshold)

    def true(self, target: Tensor) -> Tensor:
        return target


class CategoricalAccuracy(Accuracy):
    """How often the largest output is the one that the one-hot target marks."""

    def __init__(self, name: str = "categorical_accuracy") -> None:
        super().__init__(name)


class SparseCategoricalAccuracy(Accuracy):
    """How often the largest output is the one whose number the target is.

    >>> SparseCategoricalAccuracy()([2, 1], [[0.1, 0.6, 0.3], [0.05, 0.95, 0.0]])
    0.5
    """

    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(name)


class TopKCategoricalAccuracy(Metric, core.TopKAccuracy):
    """How often the class that the one-hot target marks is among the ``k`` largest outputs."""

    config_names = ("k",)

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy") -> None:
        super().__init__(k, name)

    def paired(self, target: Tensor, output_shape: tuple[int, ...]) -> Tensor:
        return as_labels(target, output_shape)


class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """How often the class whose number the target is is among the ``k`` largest outputs."""

    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy") -> None:
        super().__init__(k, name)


# ---- counts -----------------------------------------------------------------------------------------------


class _Together(Metric):
    """A share of counts, those of all outputs together."""

    def result(self, sums: np.ndarray | None = None) -> float:
        total = self._total if sums is None else sums
        if total is None:
            return 0.0
        shares = self.score(*np.asarray(total)[:-1].reshape(3, -1).sum(axis=1, keepdims=True))  # type: ignore[attr-defined]
        return float(shares[0])


class Precision(_Together, core.Precision):
    """Of the outputs above ``thresholds`` (0.5), the share that the target confirms; 0 where there are none.

    Several outputs are counted together, so one-hot targets are needed there.
    """

    config_names = ("thresholds",)

    def __init__(self, thresholds: float | None = None, name: str = "precision") -> None:
        super().__init__(name, threshold=_threshold("Precision", thresholds))
        self.thresholds = thresholds


class Recall(_Together, core.Recall):
    """Of the outputs that the target calls positive, the share above ``thresholds`` (0.5); 0 where none are."""

    config_names = ("thresholds",)

    def __init__(self, thresholds: float | None = None, name: str = "recall") -> None:
        super().__init__(name, threshold=_threshold("Recall", thresholds))
        self.thresholds = thresholds


# ---- regression -------------------------------------------------------------------------------------------


class MeanSquaredError(Metric, core.MSE):
    """The mean of ``(y_true - y_pred)²``."""

    def __init__(self, name: str = "mean_squared_error") -> None:
        super().__init__(name)


class RootMeanSquaredError(Metric, core.RMSE):
    """The square root of the mean of ``(y_true - y_pred)²``."""

    def __init__(self, name: str = "root_mean_squared_error") -> None:
        super().__init__(name)


class MeanAbsoluteError(Metric, core.MAE):
    """The mean of ``|y_true - y_pred|``."""

    def __init__(self, name: str = "mean_absolute_error") -> None:
        super().__init__(name)


class R2Score(Metric, core.R2):
    """1 less the share of the target's variance that is left unexplained; the mean over outputs."""

    def __init__(self, name: str = "r2_score") -> None:
        super().__init__(name)


# ---- losses and functions as metrics ----------------------------------------------------------------------


class MeanMetricWrapper(Metric):
    """The mean over samples of a function ``fn(y_true, y_pred)``, which returns one number per sample or one.

    Args:
        fn: the function, of Tensors.
        name: by default the function's name.
        options: further arguments of the function.
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None, **options: Any) -> None:
        super().__init__(name or getattr(fn, "__name__", type(fn).__name__))
        self.function = fn
        self.options = options

    def sums(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        rows, mask = prediction.shape[0], mask_of(prediction)
        values: Any = call(self.function, target, prediction, **self.options)
        if not isinstance(values, Tensor):
            values = as_tensor(values, device=prediction.device)
        if mask is not None and values.shape[: mask.ndim] == mask.shape:
            values, _, weight = by_step(with_mask(values, mask), values, weight)
            rows = mask.numel()
        if values.ndim == 0:
            values = values.expand(rows)
        elif values.shape[0] != rows:
            raise ShapeError(
                f"metric {self.name!r} must return one number, or one per sample; got shape "
                f"{tuple(values.shape)} for {rows} samples"
            )
        means = values.double().reshape(rows, -1).mean(dim=1)
        weights = ops.add(ops.mul(means, 0.0), 1.0) if weight is None else weight.double()
        return ops.stack([(means * weights).sum(), weights.sum()])

    def result(self, sums: np.ndarray | None = None) -> float:
        total = self._total if sums is None else sums
        return float(total[0] / total[1]) if total is not None and total[1] else 0.0


class _LossMetric(MeanMetricWrapper):
    """A loss, without weights, as a number to watch."""

    def __init__(self, loss: losses.Loss, name: str) -> None:
        super().__init__(loss, name)
        self.loss = loss

    def get_config(self) -> dict[str, Any]:
        config = self.loss.get_config()
        return {"name": self.name, **{key: config[key] for key in self.config_names}}

    def paired(self, target: Tensor, output_shape: tuple[int, ...]) -> Tensor:
        return target


class BinaryCrossentropy(_LossMetric):
    """The mean of ``losses.BinaryCrossentropy``."""

    config_names = ("from_logits", "label_smoothing")

    def __init__(
        self, name: str = "binary_crossentropy", from_logits: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(losses.BinaryCrossentropy(from_logits, label_smoothing, None), name)


class CategoricalCrossentropy(_LossMetric):
    """The mean of ``losses.CategoricalCrossentropy``."""

    config_names = ("from_logits", "label_smoothing")

    def __init__(
        self, name: str = "categorical_crossentropy", from_logits: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(losses.CategoricalCrossentropy(from_logits, label_smoothing, None), name)


class SparseCategoricalCrossentropy(_LossMetric):
    """The mean of ``losses.SparseCategoricalCrossentropy``."""

    config_names = ("from_logits",)

    def __init__(self, name: str = "sparse_categorical_crossentropy", from_logits: bool = False) -> None:
        super().__init__(losses.SparseCategoricalCrossentropy(from_logits, None, None), name)


class KLDivergence(_LossMetric):
    """The mean of ``losses.KLDivergence``."""

    def __init__(self, name: str = "kl_divergence") -> None:
        super().__init__(losses.KLDivergence(None), name)


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
    "mean_squared_error": MeanSquaredError,
    "root_mean_squared_error": RootMeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "r2_score": R2Score,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "kl_divergence": KLDivergence,
}
_BY_NAME: dict[str, type[Metric]] = {
    "acc": Accuracy,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
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
    metric: core.Metric = resolve("metric", identifier, _BY_NAME)
    if isinstance(identifier, str):
        metric.name = identifier
    return metric


def _threshold(metric: str, value: float | None) -> float:
    if value is None:
        return 0.5
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{metric}: thresholds must be one number from 0 to 1; got {value!r}")
    return float(value)
