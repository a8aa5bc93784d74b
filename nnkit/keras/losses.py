"""The losses, called as Keras calls them: ``loss(y_true, y_pred)``, the target first.

Each class holds one of the core's losses, ``core``, which is what training uses. Probabilities are kept
between 1e-7 and 1 - 1e-7 before their logarithm is taken, unless they came straight from a softmax or
sigmoid: then their logits are used instead (see ``logits``). Definitions: ``keras.losses``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nnkit import get_default_dtype, nn, ops
from nnkit.creation import as_tensor
from nnkit.errors import UnknownNameError
from nnkit.keras import loss_cores
from nnkit.keras.masks import mask_of
from nnkit.keras.naming import resolve, snake_case
from nnkit.keras.shapes import as_labels, matched, of_one_rank
from nnkit.nn.loss_functions import weighted_mean
from nnkit.observer import call
from nnkit.tensor import Tensor

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Huber",
    "KLDivergence",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "categorical_crossentropy",
    "get",
    "huber",
    "kl_divergence",
    "mean_absolute_error",
    "mean_squared_error",
    "sparse_categorical_crossentropy",
]

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


class Loss:
    """The base class. A loss of your own defines ``call(self, y_true, y_pred)``: one loss per sample.

    Args:
        name: what the loss is called; by default made from the class name.
        reduction: ``"sum_over_batch_size"`` or ``"mean"``, ``"sum"``, ``"mean_with_sample_weight"``, or None
            for the losses of the samples.
        core: the loss of ``nnkit.nn`` that computes it; without one, ``call`` does.
    """

    #: What targets are: "values", "one-hot" rows, or "labels" (class numbers).
    target_kind = "values"

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        core: nn.Loss | None = None,
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
            losses = losses * weights
        return self._reduced(losses, weights, self.kept(target))

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


def _product(weights: Tensor, kept: Tensor) -> Tensor:
    kept, weights = of_one_rank(kept, weights)
    return weights * kept


class MeanSquaredError(Loss):
    """The mean over the last axis of ``(y_true - y_pred)²``.

    >>> MeanSquaredError()([[0.0, 1.0]], [[1.0, 3.0]]).item()
    2.5
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str = "mean_squared_error") -> None:
        super().__init__(name, reduction, loss_cores.Squared())


class MeanAbsoluteError(Loss):
    """The mean over the last axis of ``|y_true - y_pred|``."""

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str = "mean_absolute_error") -> None:
        super().__init__(name, reduction, loss_cores.Absolute())


class Huber(Loss):
    """Half the squared error up to ``delta``, linear beyond; the mean over the last axis (Huber, 1964)."""

    def __init__(
        self, delta: float = 1.0, reduction: str | None = "sum_over_batch_size", name: str = "huber_loss"
    ) -> None:
        super().__init__(name, reduction, loss_cores.Huber(delta=delta))
        self.delta = delta

    def get_config(self) -> dict[str, Any]:
        return {"delta": self.delta, **super().get_config()}


class BinaryCrossentropy(Loss):
    """``-(y log p + (1 - y) log(1 - p))``, the mean over the last axis, for yes-or-no outputs.

    Args:
        from_logits: whether predictions are logits; otherwise they are probabilities.
        label_smoothing: from 0 to 1; moves targets towards 1/2.
        reduction, name: as in :class:`Loss`.

    >>> round(BinaryCrossentropy()([1.0], [[0.5]]).item(), 4)
    0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
    ) -> None:
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
        reduction, name: as in :class:`Loss`.

    >>> round(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
    0.6931
    """

    target_kind = "one-hot"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
    ) -> None:
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
        reduction, name: as in :class:`Loss`.

    >>> round(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]).item(), 4)
    0.6931
    """

    target_kind = "labels"

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "sparse_categorical_crossentropy",
    ) -> None:
        super().__init__(name, reduction, loss_cores.Classes(from_logits, ignore_class=ignore_class))
        self.from_logits, self.ignore_class = from_logits, ignore_class

    def kept(self, y_true: Tensor) -> Tensor | None:
        return None if self.ignore_class is None else ops.ne(y_true, self.ignore_class).float()

    def get_config(self) -> dict[str, Any]:
        own = {"from_logits": self.from_logits, "ignore_class": self.ignore_class}
        return {**own, **super().get_config()}


class KLDivergence(Loss):
    """``sum(y log(y / p))`` over the last axis: how far ``p`` is from ``y`` (Kullback & Leibler, 1951)."""

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str = "kl_divergence") -> None:
        super().__init__(name, reduction, loss_cores.Divergence())


# ---- as functions: the loss of each sample ----------------------------------------------------------------


def mean_squared_error(y_true: Any, y_pred: Any) -> Tensor:
    """:class:`MeanSquaredError` of each sample.

    >>> mean_squared_error([[0.0, 0.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 3.0]]).tolist()
    [1.0, 2.0]
    """
    return MeanSquaredError(reduction=None)(y_true, y_pred)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Tensor:
    """:class:`MeanAbsoluteError` of each sample."""
    return MeanAbsoluteError(reduction=None)(y_true, y_pred)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Tensor:
    """:class:`Huber` of each sample."""
    return Huber(delta, reduction=None)(y_true, y_pred)


def binary_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0) -> Tensor:
    """:class:`BinaryCrossentropy` of each sample."""
    return BinaryCrossentropy(from_logits, label_smoothing, reduction=None)(y_true, y_pred)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0
) -> Tensor:
    """:class:`CategoricalCrossentropy` of each sample."""
    return CategoricalCrossentropy(from_logits, label_smoothing, reduction=None)(y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None
) -> Tensor:
    """:class:`SparseCategoricalCrossentropy` of each sample."""
    return SparseCategoricalCrossentropy(from_logits, ignore_class, reduction=None)(y_true, y_pred)


def kl_divergence(y_true: Any, y_pred: Any) -> Tensor:
    """:class:`KLDivergence` of each sample."""
    return KLDivergence(reduction=None)(y_true, y_pred)


# ---- by name ----------------------------------------------------------------------------------------------

_FUNCTIONS: dict[Callable[..., Any], type[Loss]] = {
    mean_squared_error: MeanSquaredError,
    mean_absolute_error: MeanAbsoluteError,
    huber: Huber,
    binary_crossentropy: BinaryCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
    kl_divergence: KLDivergence,
}
_BY_NAME: dict[str, type[Loss]] = {
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "bce": BinaryCrossentropy,
    "kld": KLDivergence,
    **{function.__name__: cls for function, cls in _FUNCTIONS.items()},
    **{cls.__name__: cls for cls in _FUNCTIONS.values()},
}


def get(identifier: str | Mapping[str, Any] | Loss | type[Loss] | Callable[..., Any]) -> Loss:
    """The loss that a name, a class, a config, a Loss or a function ``(y_true, y_pred)`` stands for.

    Raises:
        UnknownNameError: no loss has this name; the message lists the nearest.

    >>> get("mse").name
    'mean_squared_error'
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if identifier in _FUNCTIONS if callable(identifier) else False:
        return _FUNCTIONS[identifier]()  # type: ignore[index]
    if callable(identifier):
        function: Callable[..., Any] = identifier
        return _FunctionLoss(function)
    return resolve("loss", identifier, _BY_NAME)


class _FunctionLoss(Loss):
    """A function of the user's own as a Loss."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(getattr(function, "__name__", type(function).__name__))
        self.core.function = self.function = function

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return call(self.function, y_true, y_pred)
