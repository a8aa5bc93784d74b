"""The losses as functions: PyTorch's definitions, names and defaults. The classes in ``losses`` call them.

Every loss is computed per element (or per row of class scores) and then reduced: "mean", "sum", or "none" for
no reduction. Shapes must be equal: a prediction (n, 1) beside a target (n,) would broadcast to n x n numbers
and train on nonsense, so it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from nnkit import ops
from nnkit.backends.recording import recorder
from nnkit.errors import DtypeError, LabelError, ShapeError
from nnkit.nn.loss_options import check_beta, check_delta, check_reduction, check_smoothing, chosen_reduction
from nnkit.nn.loss_terms import reduced
from nnkit.tensors.creation import ones_like, zeros_like
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "check_beta", "check_delta",
    "check_reduction", "check_smoothing", "cross_entropy", "huber_loss", "l1_loss", "mse_loss", "nll_loss",
    "smooth_l1_loss",
]
# fmt: on

RowLoss = Callable[..., Tensor]

#: The formulas whose gradient ``ops.elementwise_loss`` sends to the prediction only.
BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")


# ---- one loss per element ---------------------------------------------------------------------------------


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)**2: the mean squared error.

    >>> import nnkit
    >>> mse_loss(nnkit.tensor([1.0, 2.0]), nnkit.tensor([1.0, 4.0])).item()
    2.0
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    return _weighted("squared_error", input, target, reduction, weight)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|: the mean absolute error.

    >>> import nnkit
    >>> l1_loss(nnkit.tensor([1.0, 2.0]), nnkit.tensor([1.0, 4.0])).item()
    1.0
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    return _weighted("absolute_error", input, target, reduction, weight)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Half the squared error up to ``delta``, linear beyond (Huber 1964).

    >>> import nnkit
    >>> huber_loss(nnkit.tensor([0.0]), nnkit.tensor([3.0])).item()
    2.5
    """
    return _weighted("huber", input, target, reduction, weight, delta=check_delta(delta))


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Huber's loss with delta = beta, divided by beta; the absolute error where beta is 0.

    >>> import nnkit
    >>> smooth_l1_loss(nnkit.tensor([0.0]), nnkit.tensor([3.0]), beta=2.0).item()
    2.0
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    return _elementwise("smooth_l1", input, target, reduction, beta=check_beta(beta))


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t log p + (1-t) log(1-p)) for probabilities p, targets t in [0, 1]; logarithms held at -100.

    ``weight`` multiplies the loss of each element; its shape broadcasts to ``input``'s. Raises ValueError for
    predictions outside [0, 1], ShapeError for shapes that do not match.

    >>> import nnkit
    >>> round(binary_cross_entropy(nnkit.tensor([0.5]), nnkit.tensor([1.0])).item(), 4)
    0.6931
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    if isinstance(input, Tensor):
        check_probabilities(input)
    return _elementwise("binary_cross_entropy", input, target, reduction, weight)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """``binary_cross_entropy`` of sigmoid(input), computed from the logits without overflow.

    ``weight`` multiplies the loss of each element, ``pos_weight`` its t log p term; both broadcast to ``input``'s
    shape. Raises ShapeError for shapes that do not match.

    >>> import nnkit
    >>> round(binary_cross_entropy_with_logits(nnkit.tensor([0.0]), nnkit.tensor([1.0])).item(), 4)
    0.6931
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    return _elementwise("binary_cross_entropy_with_logits", input, target, reduction, weight, pos_weight)


def _weighted(
    formula: str, input: Tensor, target: Tensor, reduction: str, weight: Tensor | None, **scalars: float
) -> Tensor:
    """A loss whose mean is over its weights, one for each element."""
    if weight is None:
        return _elementwise(formula, input, target, reduction, None, None, **scalars)
    if weight.shape != input.shape:
        raise ShapeError(f"weight must have the shape of the predictions, {input.shape}, got {weight.shape}")
    losses = _elementwise(formula, input, target, "none", weight, None, **scalars)
    return losses.sum() / weight.sum() if reduction == "mean" else reduced(losses, reduction)


def _elementwise(
    formula: str,
    input: Tensor,
    target: Tensor,
    reduction: str,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    **scalars: float,
) -> Tensor:
    for name, value in (("prediction", input), ("target", target)):
        if not isinstance(value, Tensor):
            raise DtypeError(f"{formula}: {name} must be a Tensor, got {type(value).__name__}: use nnkit.as_tensor")
    check_weight("weight", weight, input)
    check_weight("pos_weight", pos_weight, input)
    if pos_weight is not None or (formula in BINARY and target.requires_grad):
        losses = _by_outcome(formula, input, target, pos_weight)
    else:
        losses = ops.elementwise_loss(input, target, formula, **scalars)
    return reduced(losses if weight is None else losses * weight, reduction)


def check_weight(name: str, weight: Tensor | None, input: Tensor) -> None:
    """Raise ShapeError where ``weight`` would make more losses than there are predictions: (n,) beside (n, 1)."""
    if weight is None:
        return
    sizes, shape = tuple(weight.shape), tuple(input.shape)
    if len(sizes) > len(shape) or any(
        size not in (1, own) for size, own in zip(sizes[::-1], shape[::-1], strict=False)
    ):
        fix = f": reshape it to {shape}" if math.prod(sizes) == math.prod(shape) else ""
        raise ShapeError(f"{name} has shape {sizes}, which does not fit predictions of shape {shape}{fix}")


def check_probabilities(input: Tensor) -> None:
    """Raise ValueError where predictions are no probabilities. A recorded step is not looked at: it gives NaN."""
    if recorder() is not None or not input.numel():
        return
    values = input.backend.to_numpy(input.detach().array)
    least, most = float(values.min()), float(values.max())
    if least < 0.0 or most > 1.0:
        raise ValueError(
            f"binary_cross_entropy takes probabilities from 0 to 1, got predictions from {least:.4g} to {most:.4g}: "
            "use binary_cross_entropy_with_logits ('bce_with_logits') for logits, or end the model with a Sigmoid"
        )


def _by_outcome(formula: str, input: Tensor, target: Tensor, pos_weight: Tensor | None) -> Tensor:
    """A binary cross-entropy as what it is in the target, a line: (1 - t) loss(0) + t pos_weight loss(1)."""
    no = ops.elementwise_loss(input, zeros_like(target), formula)
    yes = ops.elementwise_loss(input, ones_like(target), formula)
    target = target.to(input.dtype)
    return (1.0 - target) * no + target * (yes if pos_weight is None else yes * pos_weight)


# ---- one loss per row of class scores ---------------------------------------------------------------------


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
