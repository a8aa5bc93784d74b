"""Losses as modules: ``loss(prediction, target)`` is the number that training makes small.

PyTorch's definitions and defaults. A loss class holds options and names one function of ``loss_functions`` or
``class_losses``, where the mathematics is. Training also asks for ``terms``, because there is one definition of a
weighted mean: the sum of the samples' losses, each times its sample weight, divided by the sum of what each counts
without sample weights. That is 1, or the weight of its class, or 0 for a label that is ignored; so sample weights of 1
change nothing, and sums over many batches divided once are the mean over all data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnkit import ops
from nnkit.errors import UnknownNameError
from nnkit.nn import loss_functions as functions
from nnkit.nn.class_losses import are_probabilities, cross_entropy, label_terms, nll_loss
from nnkit.nn.loss_options import check_smoothing, chosen_reduction
from nnkit.nn.module import Module
from nnkit.tensors.creation import as_tensor
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "L1Loss", "Loss", "MSELoss", "NLLLoss",
    "SmoothL1Loss", "get",
]
# fmt: on


class Loss(Module):
    """The base of the losses: a subclass writes ``compute``; ``reduction`` is "mean", "sum" or "none".

    Raises UnknownNameError for another reduction. Predictions and targets are Tensors of one shape, of floats. Source:
    nnkit's own.

    >>> import nnkit
    >>> class Greatest(Loss):
    ...     def compute(self, prediction, target, reduction):
    ...         return (prediction - target).abs().max()
    >>> Greatest()(nnkit.tensor([1.0, 2.0]), nnkit.tensor([1.5, 0.0])).item()
    2.0
    """

    #: What messages advise instead: for yes or no from scores, and for numbers.
    for_scores, for_numbers = "loss='bce_with_logits'", "loss='mse'"
    #: Which axis of one sample's output has the classes, where there are some.
    class_axis = 0

    @property
    def called(self) -> str:
        """What messages call it."""
        return type(self).__name__

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = functions.check_reduction(reduction)

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        """The loss under ``reduction``."""
        raise NotImplementedError(f"{type(self).__name__} has no compute method")

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.compute(prediction, target, self.reduction)

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """The losses of each sample, (B,) or (B, k), and what their mean is divided by: the sum of these, or, where
        None, how many there are."""
        losses = self.compute(prediction, target, "none")
        return (losses if losses.ndim == 1 else losses.reshape(losses.shape[0], -1)), None

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample (B,): the mean over whatever else the prediction has."""
        losses, _ = self.terms(prediction, target)
        return losses if losses.ndim == 1 else losses.mean(dim=1)

    def total(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """What "sum" gives, each sample's losses times its weight (B,)."""
        losses, _ = self.terms(prediction, target)
        return (losses * (weight if losses.ndim == 1 else weight.unsqueeze(1))).sum()


class MSELoss(Loss):
    """(prediction - target)**2.

    >>> import nnkit
    >>> MSELoss()(nnkit.tensor([1.0, 2.0]), nnkit.tensor([1.0, 4.0])).item()
    2.0
    """

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__(chosen_reduction(size_average, reduce, reduction))

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return functions.mse_loss(prediction, target, reduction=reduction)


class L1Loss(Loss):
    """|prediction - target|.

    >>> import nnkit
    >>> L1Loss()(nnkit.tensor([1.0, 2.0]), nnkit.tensor([1.0, 4.0])).item()
    1.0
    """

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__(chosen_reduction(size_average, reduce, reduction))

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return functions.l1_loss(prediction, target, reduction=reduction)


class HuberLoss(Loss):
    """Half the squared error up to ``delta``, linear beyond (Huber 1964).

    >>> import nnkit
    >>> HuberLoss()(nnkit.tensor([0.0]), nnkit.tensor([3.0])).item()
    2.5
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = functions.check_delta(delta)

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return functions.huber_loss(prediction, target, reduction, self.delta)


class SmoothL1Loss(Loss):
    """Huber's loss with delta = beta, divided by beta (Girshick 2015).

    >>> import nnkit
    >>> SmoothL1Loss(beta=2.0)(nnkit.tensor([0.0]), nnkit.tensor([3.0])).item()
    2.0
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(chosen_reduction(size_average, reduce, reduction))
        self.beta = functions.check_beta(beta)

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return functions.smooth_l1_loss(prediction, target, reduction=reduction, beta=self.beta)


class _WeightedLoss(Loss):
    """A loss with weights, kept as buffers so that they move with the loss."""

    def __init__(self, reduction: str, **weights: Any) -> None:
        super().__init__(reduction)
        for name, weight in weights.items():
            self.register_buffer(name, None if weight is None else as_tensor(weight))


class BCELoss(_WeightedLoss):
    """-(t log p + (1-t) log(1-p)) of probabilities p; ``weight`` multiplies elements, with broadcasting.

    >>> import nnkit
    >>> round(BCELoss()(nnkit.tensor([0.5]), nnkit.tensor([1.0])).item(), 4)
    0.6931
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(chosen_reduction(size_average, reduce, reduction), weight=weight)

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return functions.binary_cross_entropy(prediction, target, self.weight, reduction=reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """BCELoss of sigmoid(prediction), without overflow; ``pos_weight`` multiplies the loss of positive
    targets.

    >>> import nnkit
    >>> round(BCEWithLogitsLoss()(nnkit.tensor([0.0]), nnkit.tensor([1.0])).item(), 4)
    0.6931
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Any = None,
    ) -> None:
        super().__init__(chosen_reduction(size_average, reduce, reduction), weight=weight, pos_weight=pos_weight)

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return functions.binary_cross_entropy_with_logits(
            prediction, target, self.weight, reduction=reduction, pos_weight=self.pos_weight
        )


class NLLLoss(_WeightedLoss):
    """-prediction[label] of log-probabilities (B, C) or (B, C, ...); the mean is over the weights.

    >>> import nnkit
    >>> NLLLoss()(nnkit.tensor([[-1.0, -2.0]]), nnkit.tensor([1])).item()
    2.0
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(chosen_reduction(size_average, reduce, reduction), weight=weight)
        self.ignore_index = ignore_index

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return nll_loss(prediction, target, self.weight, ignore_index=self.ignore_index, reduction=reduction)

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """The losses of each sample, and the class weights of those that are not ignored, by which a mean divides."""
        losses, weights = label_terms(ops.nll, prediction, target, self.weight, self.ignore_index)
        return (losses if losses.ndim == 1 else losses.reshape(losses.shape[0], -1)), weights


class CrossEntropyLoss(_WeightedLoss):
    """-log softmax(logits)[label]; logits (B, C) or (B, C, ...), integer labels (B,) or probabilities (B, C).

    Raises LabelError for labels that are not integers from 0 to C - 1.

    >>> import nnkit
    >>> round(CrossEntropyLoss()(nnkit.zeros(2, 10), nnkit.tensor([3, 4])).item(), 4)
    2.3026
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(chosen_reduction(size_average, reduce, reduction), weight=weight)
        self.ignore_index = ignore_index
        self.label_smoothing = check_smoothing(label_smoothing)

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return cross_entropy(
            prediction,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=reduction,
            label_smoothing=self.label_smoothing,
        )

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """The losses of each sample, and the class weights of those that are not ignored, by which a mean divides."""
        if are_probabilities(prediction, target):
            return super().terms(prediction, target)
        losses, weights = label_terms(
            ops.cross_entropy, prediction, target, self.weight, self.ignore_index, self.label_smoothing
        )
        return (losses if losses.ndim == 1 else losses.reshape(losses.shape[0], -1)), weights


# fmt: off
#: Name -> class, for ``get``.
NAMES: dict[str, type[Loss]] = {
    "mse": MSELoss, "mean_squared_error": MSELoss,
    "l1": L1Loss, "mae": L1Loss, "mean_absolute_error": L1Loss,
    "huber": HuberLoss, "smooth_l1": SmoothL1Loss,
    "cross_entropy": CrossEntropyLoss, "nll": NLLLoss,
    "bce": BCELoss, "binary_cross_entropy": BCELoss,
    "bce_with_logits": BCEWithLogitsLoss, "binary_cross_entropy_with_logits": BCEWithLogitsLoss,
}
# fmt: on


def get(loss: str | Callable[..., Any]) -> Callable[..., Any]:
    """The loss of a name, with its defaults; a function (prediction, target) -> Tensor or a Module passes
    through.

    Raises UnknownNameError, which lists the nearest names.

    >>> get("mse"), get(max) is max
    (MSELoss(), True)
    """
    if isinstance(loss, type):
        raise TypeError(f"loss must be a name, a function or a Module instance: write {loss.__name__}()")
    if callable(loss):
        return loss
    if not isinstance(loss, str) or loss.lower() not in NAMES:
        raise UnknownNameError("loss", loss, NAMES)
    return NAMES[loss.lower()]()
