"""The losses of class scores as functions: PyTorch's definitions, names and defaults.

A row of scores has a label, or a row of probabilities. The mean is over what counts: the weights of the labels'
classes, and no ignored label.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from nnkit import ops
from nnkit.errors import LabelError, ShapeError
from nnkit.nn.loss_options import check_smoothing, chosen_reduction
from nnkit.nn.loss_terms import reduced
from nnkit.tensors.tensor import Tensor

__all__ = ["are_probabilities", "cross_entropy", "label_terms", "nll_loss", "weighted_mean"]

RowLoss = Callable[..., Tensor]


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input)[target] for logits (B, C), or (B, C, ...) or (C,).

    ``target``: integer labels (B,), or (B, ...) or (); or probabilities of the shape of ``input``. ``weight``
    (C,) multiplies the loss of each class, and the mean is then over the weights, as PyTorch's. Rows labelled
    ``ignore_index`` count nothing. ``label_smoothing`` moves that share of each target to all classes alike.
    Raises LabelError for labels that are not integers from 0 to C - 1, ShapeError for shapes that do not
    match.

    >>> import nnkit
    >>> round(cross_entropy(nnkit.zeros(2, 10), nnkit.tensor([3, 4])).item(), 4)
    2.3026
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    check_smoothing(label_smoothing)
    if are_probabilities(input, target):
        return _probability_cross_entropy(input, target, weight, reduction, label_smoothing)
    return _label_loss(
        ops.cross_entropy, input, target, weight, ignore_index, reduction, label_smoothing=label_smoothing
    )


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-input[target] for log-probabilities (B, C), as from ``log_softmax``; otherwise like ``cross_entropy``.

    >>> import nnkit
    >>> nll_loss(nnkit.tensor([[-1.0, -2.0]]), nnkit.tensor([1])).item()
    2.0
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    return _label_loss(ops.nll, input, target, weight, ignore_index, reduction)


def _label_loss(
    row_loss: RowLoss,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    *,
    label_smoothing: float = 0.0,
) -> Tensor:
    losses, row_weights = label_terms(row_loss, input, target, weight, ignore_index, label_smoothing)
    if reduction == "mean" and row_weights is not None:
        return weighted_mean(losses.sum(), row_weights.sum())
    return reduced(losses, reduction)


def weighted_mean(total: Tensor, normaliser: Tensor) -> Tensor:
    """``total / normaliser``; 0 where the normaliser is: rows that are all masked count nothing."""
    return total / ops.where(ops.eq(normaliser, 0.0), 1.0, normaliser)


def label_terms(
    row_loss: RowLoss,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor | None]:
    """The losses in the shape of ``target``, and by what their mean is divided: the sum of these (N,), or how many
    there are (None).

    A row's loss is multiplied by its class's weight, and weighs that much in the mean; an ignored row is 0 in both.
    """
    rows, labels = _class_rows(input, target)
    # An ignored label is no class: only where one occurs are rows masked, by a few more ops.
    some_ignored = ops.check_labels(labels, labels.shape, rows.shape[1], ignore_index)
    if weight is None and label_smoothing == 0.0 and not some_ignored:
        return _in_shape(row_loss(rows, labels, checked=True), target), None
    losses, row_weights = _weighted_rows(row_loss, rows, labels, weight, ignore_index, label_smoothing, some_ignored)
    return _in_shape(losses, target), row_weights


def _in_shape(losses: Tensor, target: Tensor) -> Tensor:
    return losses if losses.shape == target.shape else losses.reshape(target.shape)


def _weighted_rows(
    row_loss: RowLoss,
    rows: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    label_smoothing: float,
    some_ignored: bool,
) -> tuple[Tensor, Tensor]:
    """Weighted losses (N,), 0 where ignored, and the weights (N,) by which a mean divides."""
    kept = ops.ne(labels, ignore_index)
    safe = ops.where(kept, labels, 0)
    if some_ignored:  # selected, not multiplied by 0: their scores may be anything
        rows = ops.where(kept.unsqueeze(1), rows, 0.0)
    losses = row_loss(rows, safe, checked=True)
    row_weights = kept.to(rows.dtype)
    if weight is not None:
        weight = _class_weight(rows, weight)
        row_weights = row_weights * ops.take_rows(weight, safe, checked=True)
    losses = losses * row_weights
    if label_smoothing > 0.0:
        scores = ops.log_softmax(rows, dim=1)
        scores = scores if weight is None else scores * weight
        uniform = ops.sum(scores, dim=1) * kept.to(rows.dtype)
        losses = losses * (1.0 - label_smoothing) - uniform * (label_smoothing / rows.shape[1])
    return losses, row_weights


def are_probabilities(input: Tensor, target: Tensor) -> bool:
    """Whether a target is a row of probabilities, not a class number."""
    return isinstance(target, Tensor) and target.shape == input.shape and target.is_floating_point()


def _probability_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    class_dim = min(1, input.ndim - 1)
    classes = input.shape[class_dim]
    target = target.to(input.dtype)
    if label_smoothing > 0.0:
        target = target * (1.0 - label_smoothing) + label_smoothing / classes
    scores = ops.log_softmax(input, dim=class_dim)
    if weight is not None:
        weight = _class_weight(input, weight)
        scores = scores * weight.reshape(classes, *(1,) * (input.ndim - class_dim - 1))
    return reduced(-ops.sum(scores * target, dim=class_dim), reduction)


def _class_rows(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (N, C) and int64 labels (N,), one row per label."""
    if not isinstance(target, Tensor):
        raise LabelError(
            f"labels must be a Tensor of integers from 0 to C - 1, got {type(target).__name__}: "
            "use nnkit.as_tensor (class names become integers by numpy.unique(names, return_inverse=True)[1])"
        )
    if input.ndim == 0:
        raise ShapeError("class scores must have shape (B, C), got a single number")
    class_dim = min(1, input.ndim - 1)
    expected = input.shape[:class_dim] + input.shape[class_dim + 1 :]
    if target.shape != expected:
        raise ShapeError(
            f"class scores have shape {input.shape}, so labels must have shape {expected}, "
            f"got {target.shape}{_label_hint(input, target, expected)}"
        )
    if target.dtype.kind not in "iub":
        raise LabelError(_float_label_message(target, input.shape[class_dim]))
    labels = target.reshape(-1).long()
    if input.ndim > 2:
        input = input.permute(0, *range(2, input.ndim), 1)
    return input.reshape(-1, input.shape[-1]) if input.ndim != 2 else input, labels


def _label_hint(input: Tensor, target: Tensor, expected: tuple[int, ...]) -> str:
    if target.shape == input.shape:
        return ": one-hot labels must be floating point (y.float()), or class numbers (y.argmax(dim=1))"
    if target.numel() == math.prod(expected):
        return f": reshape labels with y.reshape({', '.join(map(str, expected)) if len(expected) > 1 else -1})"
    return ": give one label for each row of scores"


def _float_label_message(target: Tensor, classes: int) -> str:
    values = target.detach().reshape(-1).tolist()
    index = next((i for i, value in enumerate(values) if value != value // 1), 0)
    example = f", such as {values[index]} at index {index}" if values else ""
    return (
        f"labels must be integers from 0 to {classes - 1}, got {target.dtype}{example}: convert whole "
        "numbers with y.long(), or use a regression loss for measurements"
    )


def _class_weight(input: Tensor, weight: Tensor) -> Tensor:
    classes = input.shape[min(1, input.ndim - 1)]
    if weight.shape != (classes,):
        raise ShapeError(f"weight must have one number for each of {classes} classes, got shape {weight.shape}")
    return weight.to(input.dtype)
