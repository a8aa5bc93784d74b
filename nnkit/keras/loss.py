"""The base of Keras's losses: ``loss(y_true, y_pred)``, the target first."""

from __future__ import annotations

from typing import Any, Self

from nnkit import get_default_dtype, nn
from nnkit.backends.recording import recorder
from nnkit.errors import UnknownNameError
from nnkit.keras import loss_cores
from nnkit.keras.masks import mask_of
from nnkit.keras.naming import snake_case
from nnkit.keras.readable import readable
from nnkit.keras.shapes import as_labels, matched, of_one_rank
from nnkit.nn.class_losses import weighted_mean
from nnkit.recording.observer import call
from nnkit.tensors.creation import as_tensor
from nnkit.tensors.tensor import Tensor

__all__ = ["REDUCTIONS", "Loss", "Reduction"]

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


class Reduction:
    """The reductions by their older names: ``Reduction.SUM``.

    Source: ``keras.losses.Reduction`` of older Keras.

    >>> Reduction.SUM, Reduction.NONE
    ('sum', 'none')
    """

    AUTO = SUM_OVER_BATCH_SIZE = "sum_over_batch_size"
    NONE, SUM = "none", "sum"


class Loss:
    """The base class of losses: one of your own defines ``call(self, y_true, y_pred)``, one loss per sample.

    Args:
        name: what the loss is called; by default made from the class name.
        reduction: ``"sum_over_batch_size"`` or ``"mean"``, ``"sum"``, ``"mean_with_sample_weight"``, or None
            for the losses of the samples.
        core: the loss of ``nnkit.nn`` that computes it; without one, ``call`` does.
        dtype: accepted; losses have the type of the predictions.

    A call takes y_true and y_pred, of any shapes that ``call`` takes, and gives a scalar, or without reduction
    (batch,). Raises UnknownNameError for another reduction, NotImplementedError where nothing defines ``call``.
    Source: ``keras.losses.Loss``.

    >>> class Cubes(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return (abs(y_pred - y_true) ** 3).mean(-1)
    >>> Cubes()([[0.0, 0.0]], [[1.0, 2.0]]).item()
    4.5
    """

    #: What targets are: "values", "one-hot" rows, or "labels" (class numbers).
    target_kind = "values"

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        core: nn.Loss | None = None,
        *,
        dtype: Any = None,
    ) -> None:
        if reduction not in REDUCTIONS:
            raise UnknownNameError("reduction", reduction, [r for r in REDUCTIONS if r])
        self.name = snake_case(type(self).__name__) if name is None else name
        self.reduction = reduction
        made: Any = loss_cores.FunctionCore(self.call, self.name) if core is None else core
        made.reduction = "sum" if reduction == "sum" else "mean"
        made.name = self.name  # for messages
        self.core = made

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each sample (and of each position, for outputs of rank 3 and more)."""
        if isinstance(self.core, loss_cores.FunctionCore):
            raise NotImplementedError(f"{type(self).__name__} must define call(self, y_true, y_pred)")
        losses = self.core.compute(y_pred, y_true, "none")
        return losses.mean(dim=-1) if losses.ndim == y_pred.ndim and losses.ndim else losses

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        prediction = y_pred if isinstance(y_pred, Tensor) else as_tensor(y_pred, dtype=get_default_dtype())
        target = as_tensor(y_true, device=prediction.device)
        if prediction.ndim == 1 and target.ndim == 2 and target.shape[1] == 1:
            prediction = prediction.reshape(-1, 1)
        target = self.paired(target, prediction)
        losses = call(self.call, target, prediction)
        weights, mask = None, mask_of(y_pred)
        if mask is not None:
            share = 1.0 if self.reduction in ("sum", "none", None) else loss_cores.share_of(mask, losses.dtype)
            losses = losses * of_one_rank(losses, mask.to(losses.dtype) * share)[1]
        if sample_weight is not None:
            losses, weights = of_one_rank(losses, as_tensor(sample_weight, dtype=losses.dtype, device=losses.device))
            if 0 < weights.ndim < losses.ndim:  # one for each sample, whatever its steps
                weights = weights.reshape(*weights.shape, *[1] * (losses.ndim - weights.ndim))
            losses = losses * weights
        reduced = self._reduced(losses, weights, self.kept(target))
        return reduced if recorder() is not None else readable(reduced)

    def kept(self, y_true: Tensor) -> Tensor | None:
        """1 for each loss that counts, 0 for the others; None where all do."""
        return None

    def paired(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The target in the shape and dtype that go with the prediction."""
        if self.target_kind == "labels":
            return as_labels(y_true, tuple(y_pred.shape)).long()
        return matched(y_true, tuple(y_pred.shape)).to(y_pred.dtype)

    def _reduced(self, losses: Tensor, weights: Tensor | None, kept: Tensor | None) -> Tensor:
        if self.reduction in (None, "none"):
            return losses
        if self.reduction == "sum":
            return losses.sum()
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            return weighted_mean(losses.sum(), (weights if kept is None else _product(weights, kept)).sum())
        return losses.mean() if kept is None else weighted_mean(losses.sum(), kept.sum())

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild this loss."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The loss that :meth:`get_config` described."""
        return cls(**config)


def _product(weights: Tensor, kept: Tensor) -> Tensor:
    kept, weights = of_one_rank(kept, weights)
    return weights * kept
