"""Accuracies: how often decisions are right. Definitions: ``keras.metrics``."""

from __future__ import annotations

import math
from typing import Any

from nnkit import get_default_dtype, ops
from nnkit.errors import ShapeError
from nnkit.keras.means import MeanMetricWrapper
from nnkit.keras.shapes import as_labels, matched
from nnkit.tensors.creation import as_tensor
from nnkit.tensors.tensor import Tensor

__all__ = [
    "Accuracy", "BinaryAccuracy", "CategoricalAccuracy", "SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy", "top_k_categorical_accuracy",
]  # fmt: skip


# ---- as functions: of each sample -------------------------------------------------------------------------


def _pair(y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    prediction = y_pred if isinstance(y_pred, Tensor) else as_tensor(y_pred, dtype=get_default_dtype())
    return as_tensor(y_true, device=prediction.device), prediction.detach()


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Tensor:
    """1 where ``y_pred > threshold``, as 0 or 1, equals ``y_true``, else 0: of each element.

    >>> binary_accuracy([[1.0], [0.0]], [[0.9], [0.6]]).tolist()
    [[1.0], [0.0]]
    """
    target, prediction = _pair(y_true, y_pred)
    target = matched(target, tuple(prediction.shape))
    guess = ops.gt(prediction, threshold).to(prediction.dtype)
    return ops.eq(target.to(prediction.dtype), guess).to(prediction.dtype)


def _found(labels: Tensor, prediction: Tensor) -> Tensor:
    """Whether the largest output is the one of that number."""
    if labels.shape != prediction.shape[:-1]:
        raise ShapeError(
            f"accuracy of classes needs outputs (…, classes) and their numbers (…); got {tuple(prediction.shape)} and "
            f"{tuple(labels.shape)}"
        )
    return ops.eq(prediction.argmax(dim=-1), labels.long()).to(get_default_dtype())


def categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 where the largest output is the one that the one-hot target marks: of each sample.

    >>> import nnkit
    >>> categorical_accuracy(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.25, 0.75]])).tolist()
    [1.0]
    """
    target, prediction = _pair(y_true, y_pred)
    return _found(target.argmax(dim=-1), prediction)


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 where the largest output is the one whose number the target is: of each sample.

    >>> sparse_categorical_accuracy([2, 1], [[0.1, 0.6, 0.3], [0.05, 0.95, 0.0]]).tolist()
    [0.0, 1.0]
    """
    target, prediction = _pair(y_true, y_pred)
    return _found(as_labels(target, tuple(prediction.shape)), prediction)


def _among(labels: Tensor, prediction: Tensor, k: int) -> Tensor:
    """Whether fewer than k outputs are larger than the one of that number."""
    own = ops.gather(prediction, -1, labels.long().unsqueeze(-1))
    larger = ops.gt(prediction, own).to(get_default_dtype()).sum(dim=-1)
    return ops.lt(larger, float(k)).to(get_default_dtype())


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Tensor:
    """1 where the class that the one-hot target marks is among the ``k`` largest outputs: of each sample.

    >>> import nnkit
    >>> top_k_categorical_accuracy(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.25, 0.75]]), k=1).tolist()
    [1.0]
    """
    target, prediction = _pair(y_true, y_pred)
    return _among(target.argmax(dim=-1), prediction, k)


def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False) -> Tensor:
    """1 where the class whose number the target is is among the ``k`` largest outputs: of each sample.

    >>> import nnkit
    >>> sparse_top_k_categorical_accuracy(nnkit.tensor([1]), nnkit.tensor([[0.25, 0.75]]), k=1).tolist()
    [1.0]
    """
    if from_sorted_ids:
        raise ValueError("sparse_top_k_categorical_accuracy: from_sorted_ids is not supported; pass scores")
    target, prediction = _pair(y_true, y_pred)
    return _among(as_labels(target, tuple(prediction.shape)), prediction, k)


# ---- as metrics -------------------------------------------------------------------------------------------


class Accuracy(MeanMetricWrapper):
    """How often the prediction is right: yes or no at 0.5 for one output, the largest of several otherwise.

    This is what the name "accuracy" stands for. (Keras's class of this name compares numbers for equality.)

    >>> metric = Accuracy()
    >>> metric.update_state([1, 2, 3, 4], [1, 2, 0, 4])
    >>> round(float(metric.result()), 4)
    0.75
    """

    config_names = ()

    def __init__(self, name: str = "accuracy", dtype: Any = None) -> None:
        super().__init__(self._right, name, dtype)

    def _right(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if y_pred.ndim == 1 or y_pred.shape[-1] == 1:
            target = matched(y_true, tuple(y_pred.shape))
            yes, true = ops.gt(y_pred, 0.5), ops.gt(target.to(y_pred.dtype), 0.5)
            return ops.eq(yes, true).to(y_pred.dtype)
        if tuple(y_true.shape) == tuple(y_pred.shape):
            return categorical_accuracy(y_true, y_pred)
        return sparse_categorical_accuracy(y_true, y_pred)

    def paired(self, target: Tensor, output_shape: tuple[int, ...]) -> Tensor:
        return target

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


class BinaryAccuracy(MeanMetricWrapper):
    """How often ``y_pred > threshold``, as 0 or 1, equals ``y_true``; with several outputs, the mean over them.

    >>> float(BinaryAccuracy()([0.0, 1.0, 0.3, 0.9], [0.2, 0.8, 0.2, 0.8]))  # neither 0.3 nor 0.9 is 0 or 1
    0.5
    """

    config_names = ("threshold",)

    def __init__(self, name: str = "binary_accuracy", dtype: Any = None, threshold: float = 0.5) -> None:
        if not math.isfinite(threshold):
            raise ValueError(f"BinaryAccuracy: threshold must be a finite number; got {threshold}")
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)
        self.threshold = threshold


class CategoricalAccuracy(Accuracy):
    """How often the largest output is the one that the one-hot target marks.

    >>> metric = CategoricalAccuracy()
    >>> metric.update_state([[0.0, 1.0], [1.0, 0.0]], [[0.25, 0.75], [0.25, 0.75]])
    >>> round(float(metric.result()), 4)
    0.5
    """

    def __init__(self, name: str = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(name, dtype)


class SparseCategoricalAccuracy(Accuracy):
    """How often the largest output is the one whose number the target is.

    >>> float(SparseCategoricalAccuracy()([2, 1], [[0.1, 0.6, 0.3], [0.05, 0.95, 0.0]]))
    0.5
    """

    def __init__(self, name: str = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(name, dtype)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the class that the target marks is among the ``k`` largest outputs.

    >>> metric = TopKCategoricalAccuracy(1)
    >>> metric.update_state([[0.0, 1.0], [1.0, 0.0]], [[0.25, 0.75], [0.25, 0.75]])
    >>> round(float(metric.result()), 4)
    0.5
    """

    config_names = ("k",)

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy", dtype: Any = None) -> None:
        if k < 1:
            raise ValueError(f"{type(self).__name__}: k must be at least 1; got {k}")
        super().__init__(self._among, name, dtype)
        self.k = k

    def _among(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if tuple(y_true.shape) == tuple(y_pred.shape):
            return top_k_categorical_accuracy(y_true, y_pred, self.k)
        return sparse_top_k_categorical_accuracy(y_true, y_pred, self.k)

    def paired(self, target: Tensor, output_shape: tuple[int, ...]) -> Tensor:
        return target


class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """How often the class whose number the target is is among the ``k`` largest outputs.

    >>> metric = SparseTopKCategoricalAccuracy(1)
    >>> metric.update_state([1, 0], [[0.25, 0.75], [0.25, 0.75]])
    >>> round(float(metric.result()), 4)
    0.5
    """

    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(k, name, dtype)
