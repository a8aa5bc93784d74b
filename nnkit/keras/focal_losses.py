"""Losses for rare classes, masks of images and labels with errors. Definitions: ``keras.losses``."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit import ops
from nnkit.keras.loss import Loss
from nnkit.nn import functional
from nnkit.tensors.creation import as_tensor
from nnkit.tensors.tensor import Tensor

__all__ = [
    "BinaryFocalCrossentropy", "CategoricalFocalCrossentropy", "CategoricalGeneralizedCrossEntropy", "Dice", "Tversky",
    "binary_focal_crossentropy", "categorical_focal_crossentropy", "categorical_generalized_cross_entropy", "dice",
    "tversky",
]  # fmt: skip

EPSILON = 1e-7
Axis = int | tuple[int, ...] | None


class BinaryFocalCrossentropy(Loss):
    """Binary cross-entropy times ``(1 - p) ** gamma``, p the probability given to the target: hard cases count more.

    It is that of Lin et al., "Focal Loss for Dense Object Detection" (2017).

    Args:
        apply_class_balancing: whether to weigh targets 1 by ``alpha``, targets 0 by ``1 - alpha``.
        alpha, gamma: see above.
        from_logits: whether predictions are logits.
        label_smoothing: how far targets are drawn towards 0.5.
        axis: the mean is taken over this one.
        reduction, name, dtype: see :class:`Loss`.

    >>> round(BinaryFocalCrossentropy()([[0.0], [1.0]], [[0.4], [0.9]]).item(), 5)
    0.04139
    """

    def __init__(
        self, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0, from_logits: bool = False,
        label_smoothing: float = 0.0, axis: int = -1, reduction: str | None = "sum_over_batch_size",
        name: str = "binary_focal_crossentropy", dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction)
        self.apply_class_balancing, self.alpha, self.gamma = apply_class_balancing, alpha, gamma
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if self.label_smoothing:
            y_true = y_true * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
        given = ops.sigmoid(y_pred) if self.from_logits else y_pred
        kept = ops.clamp(given, min=EPSILON, max=1.0 - EPSILON)
        entropy = -(y_true * ops.log(kept) + (1.0 - y_true) * ops.log(1.0 - kept))
        of_target = y_true * given + (1.0 - y_true) * (1.0 - given)
        losses = (1.0 - of_target) ** self.gamma * entropy
        if self.apply_class_balancing:
            losses = (y_true * self.alpha + (1.0 - y_true) * (1.0 - self.alpha)) * losses
        return losses.mean(dim=self.axis)

    def get_config(self) -> dict[str, Any]:
        names = ("apply_class_balancing", "alpha", "gamma", "from_logits", "label_smoothing", "axis")
        return {**{name: getattr(self, name) for name in names}, **super().get_config()}


class CategoricalFocalCrossentropy(Loss):
    """Cross-entropy of one-hot targets times ``alpha * (1 - p) ** gamma``; see :class:`BinaryFocalCrossentropy`.

    ``alpha`` is one number, or one for each class.

    >>> import nnkit
    >>> round(CategoricalFocalCrossentropy()(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.25, 0.75]])).item(), 4)
    0.0045
    """

    def __init__(
        self, alpha: Any = 0.25, gamma: float = 2.0, from_logits: bool = False, label_smoothing: float = 0.0,
        axis: int = -1, reduction: str | None = "sum_over_batch_size", name: str = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction)
        self.alpha, self.gamma, self.axis = alpha, gamma, axis
        self.from_logits, self.label_smoothing = from_logits, label_smoothing

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if self.label_smoothing:
            y_true = y_true * (1.0 - self.label_smoothing) + self.label_smoothing / y_true.shape[-1]
        given = functional.softmax(y_pred, dim=self.axis) if self.from_logits else y_pred
        shares = ops.clamp(given / given.sum(dim=self.axis, keepdim=True), min=EPSILON, max=1.0 - EPSILON)
        factor = (1.0 - shares) ** self.gamma
        if isinstance(self.alpha, (int, float)):
            factor = factor * float(self.alpha)
        else:
            factor = factor * as_tensor(np.asarray(self.alpha), dtype=shares.dtype, device=shares.device)
        return (factor * -y_true * ops.log(shares)).sum(dim=self.axis)

    def get_config(self) -> dict[str, Any]:
        names = ("alpha", "gamma", "from_logits", "label_smoothing", "axis")
        return {**{name: getattr(self, name) for name in names}, **super().get_config()}


class Dice(Loss):
    """``1 - 2 |A ∩ B| / (|A| + |B|)`` of target and prediction over ``axis``, by default over the whole batch.

    >>> round(Dice()([[1.0, 0.0]], [[1.0, 1.0]]).item(), 4)
    0.3333
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "dice", axis: Axis = None, dtype: Any = None
    ) -> None:
        super().__init__(name, reduction)
        self.axis = axis

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        both = _sum(y_true * y_pred, self.axis)
        return 1.0 - 2.0 * both / (_sum(y_true, self.axis) + _sum(y_pred, self.axis) + EPSILON)

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis, **super().get_config()}


class Tversky(Loss):
    """``1 - TP / (TP + alpha FP + beta FN)`` over ``axis``; with 0.5 twice it is :class:`Dice`.

    It is that of Salehi et al., "Tversky loss function for image segmentation" (2017). As in Keras ``alpha`` weighs
    what the target has and the prediction lacks.

    >>> import nnkit
    >>> round(Tversky()(nnkit.tensor([[[0.0, 1.0]]]), nnkit.tensor([[[0.5, 0.5]]])).item(), 4)
    0.5
    """

    def __init__(
        self, alpha: float = 0.5, beta: float = 0.5, reduction: str | None = "sum_over_batch_size",
        name: str = "tversky", axis: Axis = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction)
        self.alpha, self.beta, self.axis = alpha, beta, axis

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        both = _sum(y_true * y_pred, self.axis)
        lacking, surplus = _sum((1.0 - y_pred) * y_true, self.axis), _sum(y_pred * (1.0 - y_true), self.axis)
        return 1.0 - both / (both + lacking * self.alpha + surplus * self.beta + EPSILON)

    def get_config(self) -> dict[str, Any]:
        return {"alpha": self.alpha, "beta": self.beta, "axis": self.axis, **super().get_config()}


class CategoricalGeneralizedCrossEntropy(Loss):
    """``(1 - p ** q) / q`` of the probability p that the target's class got: between cross-entropy and absolute error.

    Targets are class numbers. It is that of Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural
    Networks with Noisy Labels" (2018). Raises ValueError unless ``q`` is between 0 and 1.

    >>> import nnkit
    >>> round(CategoricalGeneralizedCrossEntropy()(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.25, 0.75]])).item(), 4)
    0.634
    """

    target_kind = "labels"

    def __init__(
        self, q: float = 0.5, reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_generalized_cross_entropy", dtype: Any = None,
    ) -> None:  # fmt: skip
        if not 0 < q < 1:
            raise ValueError(f"{type(self).__name__}: q must be a number between 0 and 1; got {q!r}")
        super().__init__(name, reduction)
        self.q = q

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        labels = y_true.long()
        given = y_pred.gather(-1, labels.unsqueeze(-1) if labels.ndim < y_pred.ndim else labels).squeeze(-1)
        return (1.0 - given**self.q) / self.q

    def get_config(self) -> dict[str, Any]:
        return {"q": self.q, **super().get_config()}


def _sum(values: Tensor, axis: Axis) -> Tensor:
    return values.sum() if axis is None else values.sum(dim=axis)


# ---- as functions: the loss of each sample ----------------------------------------------------------------


def binary_focal_crossentropy(
    y_true: Any, y_pred: Any, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
) -> Tensor:  # fmt: skip
    """:class:`BinaryFocalCrossentropy` of each sample.

    >>> import nnkit
    >>> binary_focal_crossentropy(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.5, 1.0]]))
    tensor([0.0866])
    """
    settings = (apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis)
    return BinaryFocalCrossentropy(*settings, reduction=None)(y_true, y_pred)


def categorical_focal_crossentropy(
    y_true: Any, y_pred: Any, alpha: Any = 0.25, gamma: float = 2.0, from_logits: bool = False,
    label_smoothing: float = 0.0, axis: int = -1,
) -> Tensor:  # fmt: skip
    """:class:`CategoricalFocalCrossentropy` of each sample.

    >>> import nnkit
    >>> categorical_focal_crossentropy(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.25, 0.75]]))
    tensor([0.0045])
    """
    return CategoricalFocalCrossentropy(alpha, gamma, from_logits, label_smoothing, axis, None)(y_true, y_pred)


def dice(y_true: Any, y_pred: Any, axis: Axis = None) -> Tensor:
    """:class:`Dice` over ``axis``.

    >>> import nnkit
    >>> dice(nnkit.tensor([[[0.0, 1.0]]]), nnkit.tensor([[[0.5, 0.5]]]))
    tensor(0.5)
    """
    return Dice(None, axis=axis)(y_true, y_pred)


def tversky(y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Axis = None) -> Tensor:
    """:class:`Tversky` over ``axis``.

    >>> import nnkit
    >>> tversky(nnkit.tensor([[[0.0, 1.0]]]), nnkit.tensor([[[0.5, 0.5]]]))
    tensor(0.5)
    """
    return Tversky(alpha, beta, None, axis=axis)(y_true, y_pred)


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Tensor:
    """:class:`CategoricalGeneralizedCrossEntropy` of each sample.

    >>> import nnkit
    >>> categorical_generalized_cross_entropy(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.25, 0.75]]), q=0.5)
    tensor([[1.    , 0.2679]])
    """
    return CategoricalGeneralizedCrossEntropy(q, None)(y_true, y_pred)
