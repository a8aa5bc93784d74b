"""Losses where one outcome is rare: focal loss weighs the hard elements, dice compares what two masks share."""

from __future__ import annotations

import math

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.nn.loss_terms import matched, reduced
from nnkit.nn.losses import NAMES, Loss
from nnkit.tensors.tensor import Tensor

__all__ = ["DiceLoss", "FocalLoss", "dice_loss", "sigmoid_focal_loss"]


def sigmoid_focal_loss(
    input: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean"
) -> Tensor:
    """Binary cross-entropy of logits, each element times (1 - p)**gamma, p the probability given to the truth.

    Lin et al., Focal Loss for Dense Object Detection, 2017. Both have the same shape.

    Args:
        target: 0 or 1, or between.
        alpha: the weight of positive targets; 1 - alpha is that of the others; below 0: no weights.
        gamma: 0 or more; 0 is cross-entropy.

    >>> import nnkit
    >>> round(sigmoid_focal_loss(nnkit.tensor([0.0]), nnkit.tensor([1.0])).item(), 4)
    0.0433
    """
    alpha, gamma = _focal_options(alpha, gamma)
    target = matched("sigmoid_focal_loss", input, target)
    entropy = target * _softplus(-input) + (1.0 - target) * _softplus(input)
    missed = target * ops.sigmoid(-input) + (1.0 - target) * ops.sigmoid(input)
    losses = entropy if gamma == 0.0 else entropy * ops.pow(missed, gamma)
    if alpha >= 0.0:
        losses = losses * (alpha * target + (1.0 - alpha) * (1.0 - target))
    return reduced(losses, reduction)


def _softplus(x: Tensor) -> Tensor:
    return ops.activation(x, "softplus", threshold=math.inf)


def _focal_options(alpha: float, gamma: float) -> tuple[float, float]:
    if not alpha <= 1.0:
        raise ValueError(f"alpha must be at most 1, got {alpha!r}; below 0 means no weights")
    if not gamma >= 0.0:
        raise ValueError(f"gamma must be at least 0, got {gamma!r}")
    return float(alpha), float(gamma)


def dice_loss(input: Tensor, target: Tensor, smooth: float = 1.0, reduction: str = "mean") -> Tensor:
    """1 - (2 sum(p t) + smooth) / (sum(p) + sum(t) + smooth) for each sample: how little two masks overlap.

    Dice 1945. ``input``: probabilities (B, ...); ``target``: the same shape, 0 or 1 or between. With "none": (B,).

    >>> import nnkit
    >>> dice_loss(nnkit.tensor([[1.0, 0.0]]), nnkit.tensor([[1.0, 0.0]])).item()
    0.0
    """
    target = matched("dice_loss", input, target)
    if input.ndim == 0:
        raise ShapeError("dice_loss: input must have shape (B, ...), got a single number")
    if not smooth >= 0.0:
        raise ValueError(f"smooth must be at least 0, got {smooth!r}")
    shape = (input.shape[0], math.prod(input.shape[1:]))
    p, t = input.reshape(*shape), target.reshape(*shape)
    shared, both = (p * t).sum(dim=1), (p + t).sum(dim=1)
    return reduced(1.0 - (2.0 * shared + smooth) / (both + smooth), reduction)


class FocalLoss(Loss):
    """``sigmoid_focal_loss`` as a module.

    >>> import nnkit
    >>> round(FocalLoss()(nnkit.tensor([0.0]), nnkit.tensor([1.0])).item(), 4)
    0.0433
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.alpha, self.gamma = _focal_options(alpha, gamma)

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return sigmoid_focal_loss(prediction, target, self.alpha, self.gamma, reduction)


class DiceLoss(Loss):
    """``dice_loss`` as a module.

    >>> import nnkit
    >>> DiceLoss()(nnkit.tensor([[1.0, 0.0]]), nnkit.tensor([[1.0, 0.0]])).item()
    0.0
    """

    def __init__(self, smooth: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.smooth = smooth

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return dice_loss(prediction, target, self.smooth, reduction)


NAMES |= {"focal": FocalLoss, "dice": DiceLoss}
