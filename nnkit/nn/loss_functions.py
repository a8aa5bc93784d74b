"""The losses of each element as functions: PyTorch's definitions, names and defaults. The classes in ``losses`` call
them; those of class scores are in ``class_losses``, and found here too, where pickles of before look for them.

Every loss is computed per element and then reduced: "mean", "sum", or "none" for no reduction. Shapes must be equal: a
prediction (n, 1) beside a target (n,) would broadcast to n x n numbers and train on nonsense, so it is refused.
"""

from __future__ import annotations

import math

from nnkit import ops
from nnkit.backends.recording import recorder
from nnkit.errors import DtypeError, ShapeError
from nnkit.nn.class_losses import cross_entropy, nll_loss
from nnkit.nn.loss_options import check_beta, check_delta, check_reduction, chosen_reduction
from nnkit.nn.loss_terms import reduced
from nnkit.tensors.creation import ones_like, zeros_like
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "check_beta", "check_delta",
    "check_reduction", "cross_entropy", "huber_loss", "l1_loss", "mse_loss", "nll_loss", "smooth_l1_loss",
]
# fmt: on

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
