"""The losses, called as Keras calls them: ``loss(y_true, y_pred)``, the target first.

Each class holds one of the core's losses, ``core``, which is what training uses. Here are those of differences, and
what a name stands for; ``crossentropies``, ``focal_losses`` and ``further_losses`` have the others. Definitions:
``keras.losses``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nnkit.keras import loss_cores, objects
from nnkit.keras.crossentropies import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    KLDivergence,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    categorical_crossentropy,
    kl_divergence,
    sparse_categorical_crossentropy,
)
from nnkit.keras.focal_losses import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    Dice,
    Tversky,
    binary_focal_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    dice,
    tversky,
)
from nnkit.keras.further_losses import (
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    LogCosh,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    Poisson,
    SquaredHinge,
    categorical_hinge,
    cosine_similarity,
    hinge,
    log_cosh,
    mean_absolute_percentage_error,
    mean_squared_logarithmic_error,
    poisson,
    squared_hinge,
)
from nnkit.keras.loss import Loss, Reduction
from nnkit.keras.naming import resolve
from nnkit.keras.told import tell, tell_of_names
from nnkit.recording.observer import call
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "BinaryFocalCrossentropy", "CategoricalFocalCrossentropy", "CategoricalGeneralizedCrossEntropy", "Dice", "Tversky",
    "binary_focal_crossentropy", "categorical_focal_crossentropy", "categorical_generalized_cross_entropy", "dice",
    "tversky", "BinaryCrossentropy", "CategoricalCrossentropy", "CategoricalHinge", "CosineSimilarity", "Hinge",
    "Huber", "KLD", "KLDivergence", "LogCosh", "Loss", "MAE", "MAPE", "MSE", "MSLE", "MeanAbsoluteError",
    "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson", "Reduction",
    "SparseCategoricalCrossentropy", "SquaredHinge", "binary_crossentropy", "categorical_crossentropy",
    "categorical_hinge", "cosine_similarity", "deserialize", "get", "hinge", "huber", "kl_divergence", "kld",
    "log_cosh", "logcosh", "mae", "mape", "mean_absolute_error", "mean_absolute_percentage_error",
    "mean_squared_error", "mean_squared_logarithmic_error", "mse", "msle", "poisson", "serialize",
    "sparse_categorical_crossentropy", "squared_hinge",
]
# fmt: on


class MeanSquaredError(Loss):
    """The mean over the last axis of ``(y_true - y_pred)²``.

    >>> MeanSquaredError()([[0.0, 1.0]], [[1.0, 3.0]]).item()
    2.5
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "mean_squared_error", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, loss_cores.Squared())


class MeanAbsoluteError(Loss):
    """The mean over the last axis of ``|y_true - y_pred|``.

    >>> import nnkit
    >>> round(MeanAbsoluteError()(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.5, 1.0]])).item(), 4)
    0.25
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "mean_absolute_error", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, loss_cores.Absolute())


class Huber(Loss):
    """Half the squared error up to ``delta``, linear beyond; the mean over the last axis (Huber, 1964).

    >>> import nnkit
    >>> round(Huber()(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.5, 1.0]])).item(), 4)
    0.0625
    """

    def __init__(
        self, delta: float = 1.0, reduction: str | None = "sum_over_batch_size", name: str = "huber_loss",
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, loss_cores.Huber(delta=delta))
        self.delta = delta

    def get_config(self) -> dict[str, Any]:
        return {"delta": self.delta, **super().get_config()}


# ---- as functions: the loss of each sample ----------------------------------------------------------------


def mean_squared_error(y_true: Any, y_pred: Any) -> Tensor:
    """:class:`MeanSquaredError` of each sample.

    >>> mean_squared_error([[0.0, 0.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 3.0]]).tolist()
    [1.0, 2.0]
    """
    return MeanSquaredError(reduction=None)(y_true, y_pred)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Tensor:
    """:class:`MeanAbsoluteError` of each sample.

    >>> import nnkit
    >>> mean_absolute_error(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.5, 1.0]]))
    tensor([0.25])
    """
    return MeanAbsoluteError(reduction=None)(y_true, y_pred)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Tensor:
    """:class:`Huber` of each sample.

    >>> import nnkit
    >>> huber(nnkit.tensor([[0.0, 1.0]]), nnkit.tensor([[0.5, 1.0]]))
    tensor([0.0625])
    """
    return Huber(delta, reduction=None)(y_true, y_pred)


MSE = mse = mean_squared_error
MAE = mae = mean_absolute_error
MAPE = mape = mean_absolute_percentage_error
MSLE = msle = mean_squared_logarithmic_error
KLD = kld = kl_divergence
logcosh = log_cosh


# ---- by name ----------------------------------------------------------------------------------------------

_FUNCTIONS: dict[Callable[..., Any], type[Loss]] = {
    mean_squared_error: MeanSquaredError,
    mean_absolute_error: MeanAbsoluteError,
    huber: Huber,
    binary_crossentropy: BinaryCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
    kl_divergence: KLDivergence,
    hinge: Hinge,
    squared_hinge: SquaredHinge,
    categorical_hinge: CategoricalHinge,
    cosine_similarity: CosineSimilarity,
    log_cosh: LogCosh,
    poisson: Poisson,
    mean_absolute_percentage_error: MeanAbsolutePercentageError,
    mean_squared_logarithmic_error: MeanSquaredLogarithmicError,
    binary_focal_crossentropy: BinaryFocalCrossentropy,
    categorical_focal_crossentropy: CategoricalFocalCrossentropy,
    categorical_generalized_cross_entropy: CategoricalGeneralizedCrossEntropy,
    dice: Dice,
    tversky: Tversky,
}
_BY_NAME: dict[str, type[Loss]] = {
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "bce": BinaryCrossentropy,
    "kld": KLDivergence,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
    "logcosh": LogCosh,
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
    found = resolve("loss", identifier, _BY_NAME)
    return found if isinstance(found, Loss) else get(found)


class _FunctionLoss(Loss):
    """A function of the user's own as a Loss."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(getattr(function, "__name__", type(function).__name__))
        self.core.function = self.function = function

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return call(self.function, y_true, y_pred)


def serialize(loss: Any) -> Any:
    """A loss as ``{"class_name", "config"}``, for JSON; a function of nnkit's by its name.

    >>> serialize(MeanSquaredError())["class_name"]
    'MeanSquaredError'
    """
    return loss.__name__ if loss in _FUNCTIONS else objects.described(loss)


def deserialize(name: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The loss that ``serialize`` described; a function where that is what a name stands for.

    >>> type(deserialize("mse")).__name__
    'MeanSquaredError'
    """
    with objects.CustomObjectScope(custom_objects or {}):
        functions = {function.__name__: function for function in _FUNCTIONS}
        return functions[name] if isinstance(name, str) and name in functions else get(name)


#: What is told of each class, and of each function.
OF_A_BATCH = """Targets and predictions (B, …), of any dtype; a scalar of a floating dtype. Raises ShapeError where they
do not fit, DtypeError for what are no numbers, UnknownNameError for another ``reduction``. Source:
``keras.losses.{name}``."""
OF_SAMPLES = """Targets and predictions (B, …), of any dtype; the result is without the last axis, of a floating dtype.
Raises ShapeError where they do not fit, DtypeError for what are no numbers. Source: ``keras.losses.{name}``."""
NAMED = ("Loss", "Reduction", "get", "deserialize", "serialize")
tell(globals(), [name for name in __all__ if isinstance(globals()[name], type) and name != "Loss"], OF_A_BATCH)
tell(globals(), [name for name in __all__ if name not in NAMED], OF_SAMPLES)
tell_of_names(globals(), "losses")


def __dir__() -> list[str]:
    return sorted(__all__)
