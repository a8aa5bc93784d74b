"""The optimizers, with Keras's names, defaults and formulas, over ``nnkit.optim``.

Where Keras and PyTorch differ, these follow Keras: the learning rate is a part of the momentum, epsilon stands
under the root (RMSprop, Adagrad) or is added before bias correction (Adam's "epsilon-hat"), and weight decay is
decoupled from the gradient. The formulas are in ``nnkit.kernels.keras_updates``. Definitions: ``keras.optimizers``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Unpack

from nnkit import optim
from nnkit.keras.naming import configured, resolve
from nnkit.keras.optimizers import schedules
from nnkit.keras.optimizers.base import CommonOptions, Optimizer, OptimizerOptions, Rate
from nnkit.keras.optimizers.further import Adadelta, Adafactor, Adamax, Ftrl, Lamb, Lion, Nadam
from nnkit.keras.told import tell, tell_of_names
from nnkit.kernels import keras_updates, updates
from nnkit.kernels.vocabulary import Formula

# fmt: off
__all__ = [
    "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion", "LossScaleOptimizer",
    "Nadam", "Optimizer", "RMSprop", "deserialize", "experimental", "get", "legacy", "schedules", "serialize",
]
# fmt: on


class SGD(Optimizer):
    """Gradient descent: ``v = momentum * v - rate * g; w += v``, with Nesterov ``w += momentum * v - rate * g``.

    Args:
        learning_rate: a number, a schedule, or a function without arguments.
        momentum: from 0 to 1; 0 keeps no velocity.
        nesterov: whether to look ahead along the velocity (Nesterov, 1983).
        options: see :class:`Optimizer`.

    >>> SGD(lr=0.1, decay=1.0, momentum=0.9, nesterov=True).learning_rate
    0.1
    """

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(f"SGD: momentum must be a number from 0 to 1; got {momentum!r}")
        self.momentum, self.nesterov = momentum, nesterov
        super().__init__(learning_rate, {"momentum": momentum, "nesterov": nesterov}, options)

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        if options["momentum"] == 0:
            return keras_updates.keras_plain_sgd_rates, updates.sgd
        update = keras_updates.keras_sgd_nesterov if options["nesterov"] else keras_updates.keras_sgd
        return keras_updates.keras_sgd_rates, update

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}


class Adam(Optimizer):
    """Kingma and Ba, 2015, with their epsilon-hat: ``w -= rate * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + e)``.

    Args:
        learning_rate: a number, a schedule, or a function without arguments.
        beta_1, beta_2: what is kept of the averages of the gradient and of its square.
        epsilon: added to the root of the second average.
        amsgrad: divide by the largest second average so far (Reddi et al., 2018).
        options: see :class:`Optimizer`.

    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(Adam(learning_rate=0.01), loss="mse")
    >>> round(float(model.optimizer.learning_rate), 4)
    0.01
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        self.beta_1, self.beta_2, self.epsilon, self.amsgrad = beta_1, beta_2, epsilon, amsgrad
        settings = {"betas": (beta_1, beta_2), "eps": epsilon, "amsgrad": amsgrad}
        super().__init__(learning_rate, settings, options)

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return keras_updates.keras_adam_rates, updates.adam_amsgrad if options["amsgrad"] else updates.adam

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("beta_1", "beta_2", "epsilon", "amsgrad")}
        return {**super().get_config(), **own}


class AdamW(Adam):
    """:class:`Adam` with a weight decay of 0.004 by default (Loshchilov and Hutter, 2019).

    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(AdamW(learning_rate=0.01), loss="mse")
    >>> round(float(model.optimizer.learning_rate), 4)
    0.01
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options)


class RMSprop(Optimizer):
    """Tieleman and Hinton, 2012: ``v = rho * v + (1 - rho) * g²; w -= rate * g / sqrt(v + epsilon)``.

    Args:
        learning_rate: a number, a schedule, or a function without arguments.
        rho: what is kept of the average of the squared gradient.
        momentum: what is kept of the last step.
        epsilon: added to the average under the root.
        centered: subtract the squared average of the gradient from ``v``.
        options: see :class:`Optimizer`.

    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(RMSprop(learning_rate=0.01), loss="mse")
    >>> round(float(model.optimizer.learning_rate), 4)
    0.01
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered
        settings = {"alpha": rho, "momentum": momentum, "eps": epsilon, "centered": centered}
        super().__init__(learning_rate, settings, options)

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        if options["momentum"] == 0 and not options["centered"]:
            return keras_updates.keras_rmsprop_rates, keras_updates.keras_rmsprop
        return keras_updates.keras_rmsprop_full_rates, keras_updates.keras_rmsprop_full

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("rho", "momentum", "epsilon", "centered")}
        return {**super().get_config(), **own}


class Adagrad(Optimizer):
    """Duchi, Hazan and Singer, 2011: ``s += g²; w -= rate * g / sqrt(s + epsilon)``.

    Args:
        learning_rate: a number, a schedule, or a function without arguments.
        initial_accumulator_value: what ``s`` starts from.
        epsilon: added to the sum under the root.
        options: see :class:`Optimizer`.

    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(Adagrad(learning_rate=0.01), loss="mse")
    >>> round(float(model.optimizer.learning_rate), 4)
    0.01
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon
        settings = {"initial_accumulator_value": initial_accumulator_value, "eps": epsilon}
        super().__init__(learning_rate, settings, options)

    def formulas(self, options: Mapping[str, Any]) -> tuple[Formula, Formula]:
        return keras_updates.keras_adagrad_rates, keras_updates.keras_adagrad

    def initial_state(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {"sum": options["initial_accumulator_value"]}

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("initial_accumulator_value", "epsilon")}
        return {**super().get_config(), **own}


_BY_NAME: Mapping[str, Callable[..., Optimizer]] = {
    cls.__name__.lower(): cls
    for cls in (SGD, Adam, AdamW, RMSprop, Adagrad, Adadelta, Adafactor, Adamax, Ftrl, Lamb, Lion, Nadam)
}


def get(identifier: str | Mapping[str, Any] | optim.Optimizer | Callable[[], Optimizer]) -> optim.Optimizer:
    """The optimizer that a name, a class, a config or an optimizer stands for.

    Raises:
        UnknownNameError: no optimizer has this name; the message lists the nearest.

    >>> get("rmsprop").learning_rate
    0.001
    """
    if isinstance(identifier, optim.Optimizer):
        return identifier
    if callable(identifier):
        return identifier()
    return resolve("optimizer", identifier, _BY_NAME)


def serialize(optimizer: Any) -> dict[str, Any]:
    """``{"class_name": …, "config": …}``, of which :func:`deserialize` makes the optimizer again.

    >>> serialize(Adam(0.01))["class_name"]
    'Adam'
    """
    return dict(configured(optimizer))


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Optimizer:
    """The optimizer that :func:`serialize` described; ``custom_objects`` are further classes by name.

    >>> deserialize(serialize(Nadam(0.5))).learning_rate
    0.5
    """
    return resolve("optimizer", config, {**_BY_NAME, **(custom_objects or {})})


TOLD = """Weights may have any shape and floating dtype. Raises ValueError for a learning rate below 0, TypeError for an
argument that it has not. Source: ``keras.optimizers.{name}``."""
TOLD_OF = (
    "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion", "Nadam", "RMSprop",
)  # fmt: skip
tell(globals(), TOLD_OF, TOLD)
tell_of_names(globals(), "optimizers", "TypeError for what is no optimizer")


def __getattr__(name: str) -> Any:
    """Namespaces and classes that are imported when first asked for."""
    if name in ("legacy", "experimental"):
        return importlib.import_module(f"nnkit.keras.optimizers.{name}")
    if name == "LossScaleOptimizer":
        return importlib.import_module("nnkit.keras.mixed_precision").LossScaleOptimizer
    raise AttributeError(f"module 'nnkit.keras.optimizers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
