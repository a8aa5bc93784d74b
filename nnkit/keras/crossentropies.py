"""The losses of probabilities: crossentropies, and Kullback and Leibler's divergence. Definitions: ``keras.losses``.

Probabilities are kept between 1e-7 and 1 - 1e-7 before their logarithm is taken, unless they came straight from a
softmax or sigmoid: then their logits are used instead (see ``logits``).
"""

from __future__ import annotations

from typing import Any

from nnkit import ops
from nnkit.keras import loss_cores
from nnkit.keras.loss import Loss
from nnkit.tensors.tensor import Tensor

__all__ = [
    "BinaryCrossentropy", "CategoricalCrossentropy", "KLDivergence", "SparseCategoricalCrossentropy",
    "binary_crossentropy", "categorical_crossentropy", "kl_divergence", "sparse_categorical_crossentropy",
]  # fmt: skip


class BinaryCrossentropy(Loss):
    """``-(y log p + (1 - y) log(1 - p))``, the mean over the last axis, for yes-or-no outputs.

    Args:
        from_logits: whether predictions are logits; otherwise they are probabilities.
        label_smoothing: from 0 to 1; moves targets towards 1/2.
        axis: of the classes; the last one.
        reduction, name, dtype: as in :class:`Loss`.

    >>> round(BinaryCrossentropy()([1.0], [[0.5]]).item(), 4)
    0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        _last(axis)
        core = loss_cores.BinaryFromLogits if from_logits else loss_cores.BinaryFromProbabilities
        super().__init__(name, reduction, core(label_smoothing))
        self.from_logits, self.label_smoothing = from_logits, label_smoothing

    def get_config(self) -> dict[str, Any]:
        own = {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing}
        return {**own, **super().get_config()}


class CategoricalCrossentropy(Loss):
    """``-sum(y log p)`` over the classes, for one-hot targets or probabilities of the output's shape.

    Args:
        from_logits: whether predictions are logits; otherwise they are probabilities.
        label_smoothing: from 0 to 1; this share of each target is spread over all classes.
        axis: of the classes; the last one.
        reduction, name, dtype: as in :class:`Loss`.

    >>> round(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
    0.6931
    """

    target_kind = "one-hot"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        _last(axis)
        super().__init__(name, reduction, loss_cores.Classes(from_logits, label_smoothing))
        self.from_logits, self.label_smoothing = from_logits, label_smoothing

    def get_config(self) -> dict[str, Any]:
        own = {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing}
        return {**own, **super().get_config()}


class SparseCategoricalCrossentropy(Loss):
    """``-log p[y]`` for class numbers ``y`` of shape (n,) or (n, 1) and predictions (n, classes).

    Args:
        from_logits: whether predictions are logits; otherwise they are probabilities.
        ignore_class: a class number whose samples count 0.
        axis: of the classes; the last one.
        reduction, name, dtype: as in :class:`Loss`.

    >>> round(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]).item(), 4)
    0.6931
    """

    target_kind = "labels"

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        _last(axis)
        super().__init__(name, reduction, loss_cores.Classes(from_logits, ignore_class=ignore_class))
        self.from_logits, self.ignore_class = from_logits, ignore_class

    def kept(self, y_true: Tensor) -> Tensor | None:
        return None if self.ignore_class is None else ops.ne(y_true, self.ignore_class).float()

    def get_config(self) -> dict[str, Any]:
        own = {"from_logits": self.from_logits, "ignore_class": self.ignore_class}
        return {**own, **super().get_config()}


class KLDivergence(Loss):
    """``sum(y log(y / p))`` over the last axis: how far ``p`` is from ``y`` (Kullback & Leibler, 1951).

    >>> import nnkit
    >>> round(KLDivergence()(nnkit.tensor([[0.25, 0.75]]), nnkit.tensor([[0.5, 0.5]])).item(), 4)
    0.1308
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "kl_divergence", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, loss_cores.Divergence())


# ---- as functions: the loss of each sample ----------------------------------------------------------------


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """:class:`BinaryCrossentropy` of each sample.

    >>> import nnkit
    >>> binary_crossentropy(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.5, 1.0]]))
    tensor([0.3466])
    """
    _last(axis)
    return BinaryCrossentropy(from_logits, label_smoothing, reduction=None)(y_true, y_pred)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """:class:`CategoricalCrossentropy` of each sample.

    >>> import nnkit
    >>> categorical_crossentropy(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.25, 0.75]]))
    tensor([0.2877])
    """
    _last(axis)
    return CategoricalCrossentropy(from_logits, label_smoothing, reduction=None)(y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Tensor:
    """:class:`SparseCategoricalCrossentropy` of each sample.

    >>> import nnkit
    >>> sparse_categorical_crossentropy(nnkit.tensor([1]), nnkit.tensor([[0.25, 0.75]]))
    tensor([0.2877])
    """
    _last(axis)
    return SparseCategoricalCrossentropy(from_logits, ignore_class, reduction=None)(y_true, y_pred)


def kl_divergence(y_true: Any, y_pred: Any) -> Tensor:
    """:class:`KLDivergence` of each sample.

    >>> import nnkit
    >>> kl_divergence(nnkit.tensor([[0.25, 0.75]]), nnkit.tensor([[0.5, 0.5]]))
    tensor([0.1308])
    """
    return KLDivergence(reduction=None)(y_true, y_pred)


def _last(axis: int) -> None:
    """Refuse classes along another axis than the last."""
    if axis != -1:
        raise ValueError(f"axis must be -1, the last one, of the classes; got {axis!r}: move it there")
