"""The losses that training uses under ``keras.losses``: the core's, told about probabilities and smoothing.

A core is called as ``nnkit.nn`` calls losses, the prediction first. Its class says what targets ``fit``
accepts: one derived from ``nn.CrossEntropyLoss`` takes class numbers or one-hot rows, and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnkit import nn, ops
from nnkit.errors import ShapeError
from nnkit.keras.logits import logits_of
from nnkit.keras.masks import mask_of
from nnkit.nn import functional
from nnkit.nn.class_losses import are_probabilities
from nnkit.recording.observer import call
from nnkit.tensors.tensor import Tensor

__all__ = [
    "EPSILON",
    "BinaryFromLogits",
    "BinaryFromProbabilities",
    "Classes",
    "Divergence",
    "FunctionCore",
    "Huber",
    "Squared",
    "Absolute",
]

#: Probabilities are kept this far from 0 and 1 before their logarithm is taken (``keras.config.epsilon``).
EPSILON = 1e-7


class _Core(nn.Loss):
    """A loss whose sum is the sum over samples; each sample counts the mean over its elements."""

    for_scores, for_numbers = "loss=BinaryCrossentropy(from_logits=True)", "loss='mean_squared_error'"
    name = ""  # the Keras loss's

    @property
    def called(self) -> str:
        return self.name

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        if self.reduction == "sum" or mask_of(prediction) is not None:
            losses = self.per_sample(prediction, target)
            return losses.sum() if self.reduction == "sum" else losses.mean()
        return super().forward(prediction, target)

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        mask = mask_of(prediction)
        if mask is None:
            return super().per_sample(prediction, target)
        losses, _ = self.terms(prediction, target)
        return losses.sum(1) if self.reduction == "sum" else losses.mean(1) * share_of(mask, losses.dtype)

    def masked_terms(self, prediction: Tensor, terms: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
        """``terms``, of which those of masked steps count nothing."""
        mask, (losses, counts) = mask_of(prediction), terms
        if mask is None:
            return terms
        held = mask.to(losses.dtype)
        of_steps = losses.reshape(*mask.shape, -1).mean(-1) * held
        return of_steps, held if counts is None else counts.reshape(*mask.shape, -1).mean(-1) * held

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.masked_terms(prediction, super().terms(prediction, target))

    def total(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        return (self.per_sample(prediction, target) * weight).sum()


class Squared(_Core, nn.MSELoss):
    """(prediction - target)²."""


class Absolute(_Core, nn.L1Loss):
    """|prediction - target|."""


class Huber(_Core, nn.HuberLoss):
    """Half the squared error up to ``delta``, linear beyond."""


class Classes(_Core, nn.CrossEntropyLoss):
    """The cross-entropy of class numbers or one-hot rows; the classes are the prediction's last dimension."""

    class_axis = -1

    def __init__(self, from_logits: bool, label_smoothing: float = 0.0, ignore_class: int | None = None) -> None:
        super().__init__(label_smoothing=label_smoothing, ignore_index=-100 if ignore_class is None else ignore_class)
        self.from_logits = from_logits

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        if are_probabilities(prediction, target):
            target = _classes_second(target)
        return super().compute(_classes_second(self._scores(prediction)), target, reduction)

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        if are_probabilities(prediction, target):
            return self.masked_terms(prediction, nn.Loss.terms(self, prediction, target))
        scores = _classes_second(self._scores(prediction))
        return self.masked_terms(prediction, nn.CrossEntropyLoss.terms(self, scores, target))

    def _scores(self, prediction: Tensor) -> Tensor:
        """Logits, or something that differs from them by a number for each row."""
        scores = prediction
        if not self.from_logits:
            logits = logits_of(prediction, "softmax")
            scores = ops.log(_clipped(_shares(prediction))) if logits is None else logits
        return scores


def _classes_second(x: Tensor) -> Tensor:
    """(B, ..., C) as (B, C, ...), where the core's losses have the classes."""
    return x if x.ndim <= 2 else ops.permute(x, (0, x.ndim - 1, *range(1, x.ndim - 1)))


class BinaryFromLogits(_Core, nn.BCEWithLogitsLoss):
    """The binary cross-entropy of logits, with targets moved towards 1/2 by ``label_smoothing``."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return super().compute(prediction, _smoothed(target, self.label_smoothing), reduction)


class BinaryFromProbabilities(_Core, nn.BCELoss):
    """The binary cross-entropy of probabilities, with targets moved towards 1/2 by ``label_smoothing``."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        target = _smoothed(target, self.label_smoothing)
        logits = logits_of(prediction, "sigmoid")
        if logits is not None:
            return functional.binary_cross_entropy_with_logits(logits, target, reduction=reduction)
        return super().compute(_clipped(prediction), target, reduction)


class Divergence(_Core):
    """Kullback and Leibler's divergence, ``sum(t log(t / p))`` over the last dimension."""

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        t, p = (ops.clamp(x, EPSILON, 1.0) for x in (target, prediction))
        losses = ops.sum(t * ops.log(t / p), dim=-1)
        if reduction == "none":
            return losses
        return losses.mean() if reduction == "mean" else losses.sum()


class FunctionCore:
    """A user's ``function(y_true, y_pred)``, which returns a loss per sample or a number, made a core."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], name: str) -> None:
        self.function = function
        self.reduction = "mean"
        self.__name__ = name

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        if self.reduction == "sum":
            return self.per_sample(prediction, target).sum()
        return self._losses(prediction, target).mean()

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample (B,)."""
        losses = self._losses(prediction, target)
        if losses.ndim == 0 or losses.shape[0] != prediction.shape[0]:
            raise ShapeError(
                f"sample weights need one loss per sample; {self.__name__!r} returned shape "
                f"{tuple(losses.shape)} for {prediction.shape[0]} samples: end it with a mean over the last axis"
            )
        return losses.reshape(losses.shape[0], -1).mean(dim=1)

    def _losses(self, prediction: Tensor, target: Tensor) -> Tensor:
        losses: Any = call(self.function, target.to(prediction.dtype), prediction)
        if not isinstance(losses, Tensor):
            raise TypeError(f"loss {self.__name__!r} must return a Tensor, got {type(losses).__name__}")
        mask = mask_of(prediction)
        if mask is None or losses.shape[: mask.ndim] != mask.shape:
            return losses
        held = mask.to(losses.dtype).reshape(*mask.shape, *(1 for _ in losses.shape[mask.ndim :]))
        return losses * held if self.reduction == "sum" else losses * held * share_of(mask, losses.dtype)


def share_of(mask: Tensor, dtype: Any) -> Tensor:
    """What a mean over all steps is multiplied by to be one over those that count; 0 where none does."""
    valid = mask.to(dtype).sum()
    return ops.where(valid > 0.0, float(mask.numel()) / ops.clamp(valid, 1.0), 0.0)


def _shares(outputs: Tensor) -> Tensor:
    """Outputs divided by their sum over the classes: what Keras takes for probabilities."""
    total = outputs.sum(dim=-1, keepdim=True)
    return outputs / ops.where(ops.eq(total, 0.0), 1.0, total)


def _clipped(probabilities: Tensor) -> Tensor:
    return ops.clamp(probabilities, EPSILON, 1.0 - EPSILON)


def _smoothed(target: Tensor, smoothing: float) -> Tensor:
    return target * (1.0 - smoothing) + 0.5 * smoothing if smoothing else target
