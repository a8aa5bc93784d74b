"""Losses of scores that should win by a margin: of one class, of several, or of yes and no.

PyTorch's definitions, names, argument order and defaults.
"""

from __future__ import annotations

import math
from typing import Any

from nnkit import ops
from nnkit.errors import LabelError, ShapeError
from nnkit.nn.loss_options import chosen_reduction
from nnkit.nn.loss_terms import matched, reduced, tensors
from nnkit.nn.losses import NAMES, Loss
from nnkit.ops.elementwise import check_float
from nnkit.tensors.creation import arange, as_tensor
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "HingeEmbeddingLoss", "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss", "MultiMarginLoss", "SoftMarginLoss",
    "hinge_embedding_loss", "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss",
    "soft_margin_loss",
]
# fmt: on


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-target input)), without overflow; targets are -1 or 1, of the shape of ``input``.

    >>> import nnkit
    >>> round(soft_margin_loss(nnkit.tensor([0.0]), nnkit.tensor([1.0])).item(), 4)
    0.6931
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    target = matched("soft_margin_loss", input, target)
    return reduced(_softplus(-(target * input)), reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """A distance where the target is 1, max(0, margin - distance) where it is -1; the shapes are equal.

    >>> import nnkit
    >>> hinge_embedding_loss(nnkit.tensor([0.5, 0.25]), nnkit.tensor([1.0, -1.0]), reduction="none").tolist()
    [0.5, 0.75]
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    target = matched("hinge_embedding_loss", input, target)
    near = ops.where(ops.ne(target, -1.0), input, 0.0)
    far = ops.where(ops.ne(target, 1.0), ops.clamp(margin - input, 0.0), 0.0)
    return reduced(near + far, reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The sum over other classes i of max(0, margin - x[label] + x[i])**p, over the number of classes.

    Args:
        input: scores (B, C) or (C,).
        target: integers (B,) or (), from 0 to C - 1.
        p: 1 or 2.
        weight: (C,), what a row's loss is multiplied by, by its label; a mean divides by the rows all the same.

    Raises ValueError for another p, LabelError for labels out of range, ShapeError for shapes that do not fit.

    >>> import nnkit
    >>> multi_margin_loss(nnkit.tensor([[1.0, 0.5]]), nnkit.tensor([0])).item()
    0.25
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    check_power(p)
    tensors("multi_margin_loss", input=input, target=target)
    rows, labels = _rows("multi_margin_loss", input), target.reshape(-1)
    if target.shape != input.shape[:-1]:
        raise ShapeError(f"multi_margin_loss: expected labels of shape {input.shape[:-1]}, got {target.shape}")
    classes = rows.shape[1]
    ops.check_labels(labels, labels.shape, classes)
    own = ops.eq(labels.unsqueeze(1), arange(classes, device=labels.device))
    score = ops.where(own, rows, 0.0).sum(dim=1, keepdim=True)
    excess = ops.relu(ops.where(own, 0.0, margin - score + rows))
    losses = (excess if p == 1 else excess * excess).sum(dim=1) / float(classes)
    if weight is not None:
        if weight.shape != (classes,):
            raise ShapeError(f"weight must have one number for each of {classes} classes, got shape {weight.shape}")
        losses = losses * ops.take_rows(weight.to(rows.dtype), labels, checked=True)
    return reduced(losses.reshape(*target.shape), reduction)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The sum over labels j and classes i that are none of max(0, 1 - x[j] + x[i]), over the number of classes.

    ``input``: scores (B, C) or (C,). ``target``: integers of the same shape: the labels of a row, then -1. Raises
    LabelError for labels that are not from -1 to C - 1, ShapeError for shapes that do not fit.

    >>> import nnkit
    >>> multilabel_margin_loss(nnkit.tensor([[1.0, 0.5]]), nnkit.tensor([[0, -1]])).item()
    0.25
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    tensors("multilabel_margin_loss", input=input, target=target)
    rows = _rows("multilabel_margin_loss", input)
    if target.shape != input.shape:
        raise ShapeError(f"multilabel_margin_loss: expected labels of shape {input.shape}, got {target.shape}")
    classes, labels = rows.shape[1], target.reshape(*rows.shape)
    ops.check_labels(labels.reshape(-1), (labels.numel(),), classes, -1)
    columns = arange(classes, device=labels.device)
    ends = ops.lt(labels, 0).to(rows.dtype)
    up_to = ops.le(columns.unsqueeze(1), columns).to(rows.dtype)
    counts = ops.eq(ops.matmul(ends, up_to), 0.0)  # (B, j): no -1 up to place j
    hits = ops.logical_and(ops.eq(labels.unsqueeze(2), columns), counts.unsqueeze(2))  # (B, j, class)
    others = ops.logical_not(ops.any(hits, dim=1))  # (B, class)
    score = ops.where(hits, rows.unsqueeze(1), 0.0).sum(dim=2, keepdim=True)  # (B, j, 1)
    counted = ops.logical_and(counts.unsqueeze(2), others.unsqueeze(1))
    losses = ops.relu(ops.where(counted, 1.0 - score + rows.unsqueeze(1), 0.0)).sum(dim=(1, 2)) / float(classes)
    return reduced(losses.reshape(*input.shape[:-1]), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes of binary cross-entropy from scores: input and target (..., C), "none" gives (...).

    ``weight`` (C,) multiplies the loss of each class. Raises ShapeError for shapes that do not fit.

    >>> import nnkit
    >>> round(multilabel_soft_margin_loss(nnkit.zeros(1, 3), nnkit.ones(1, 3)).item(), 4)
    0.6931
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    target = matched("multilabel_soft_margin_loss", input, target)
    if input.ndim == 0:
        raise ShapeError("multilabel_soft_margin_loss: expected scores (..., C), got a single number")
    losses = target * _softplus(-input) + (1.0 - target) * _softplus(input)
    return reduced((losses if weight is None else losses * weight).mean(dim=-1), reduction)


def _softplus(x: Tensor) -> Tensor:
    return ops.activation(x, "softplus", threshold=math.inf)


def _rows(loss: str, input: Tensor) -> Tensor:
    """Scores as (B, C)."""
    check_float(f"{loss}: input", input)
    if input.ndim not in (1, 2) or not input.shape[-1]:
        raise ShapeError(f"{loss}: expected scores of shape (B, C) or (C,) with at least one class, got {input.shape}")
    return input if input.ndim == 2 else input.unsqueeze(0)


def check_power(p: int) -> int:
    """``p``, if it is 1 or 2."""
    if p not in (1, 2):
        raise ValueError(f"p must be 1 or 2, got {p!r}")
    return p


# ---- modules ----------------------------------------------------------------------------------------------


class SoftMarginLoss(Loss):
    """``soft_margin_loss`` as a module.

    >>> import nnkit
    >>> round(SoftMarginLoss()(nnkit.tensor([0.0]), nnkit.tensor([1.0])).item(), 4)
    0.6931
    """

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__(chosen_reduction(size_average, reduce, reduction))

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return soft_margin_loss(prediction, target, reduction=reduction)


class HingeEmbeddingLoss(Loss):
    """``hinge_embedding_loss`` as a module.

    >>> import nnkit
    >>> HingeEmbeddingLoss()(nnkit.tensor([0.25]), nnkit.tensor([-1.0])).item()
    0.75
    """

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(chosen_reduction(size_average, reduce, reduction))
        self.margin = margin

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return hinge_embedding_loss(prediction, target, self.margin, reduction=reduction)


class MultiMarginLoss(Loss):
    """``multi_margin_loss`` as a module; ``weight`` is a buffer.

    >>> import nnkit
    >>> MultiMarginLoss()(nnkit.tensor([[1.0, 0.5]]), nnkit.tensor([0])).item()
    0.25
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(chosen_reduction(size_average, reduce, reduction))
        self.p, self.margin = check_power(p), margin
        self.register_buffer("weight", None if weight is None else as_tensor(weight))

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        if isinstance(target, Tensor) and target.dtype.kind == "f":
            raise LabelError(f"labels must be integers, got {target.dtype}: convert whole numbers with y.long()")
        return multi_margin_loss(prediction, target, self.p, self.margin, self.weight, reduction=reduction)


class MultiLabelMarginLoss(Loss):
    """``multilabel_margin_loss`` as a module.

    >>> import nnkit
    >>> MultiLabelMarginLoss()(nnkit.tensor([[1.0, 0.5]]), nnkit.tensor([[0, -1]])).item()
    0.25
    """

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__(chosen_reduction(size_average, reduce, reduction))

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return multilabel_margin_loss(prediction, target, reduction=reduction)


class MultiLabelSoftMarginLoss(Loss):
    """``multilabel_soft_margin_loss`` as a module; ``weight`` is a buffer.

    >>> import nnkit
    >>> round(MultiLabelSoftMarginLoss()(nnkit.zeros(1, 3), nnkit.ones(1, 3)).item(), 4)
    0.6931
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(chosen_reduction(size_average, reduce, reduction))
        self.register_buffer("weight", None if weight is None else as_tensor(weight))

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return multilabel_soft_margin_loss(prediction, target, self.weight, reduction=reduction)


NAMES |= {
    "soft_margin": SoftMarginLoss, "hinge_embedding": HingeEmbeddingLoss, "multi_margin": MultiMarginLoss,
    "multilabel_margin": MultiLabelMarginLoss, "multilabel_soft_margin": MultiLabelSoftMarginLoss,
}  # fmt: skip
