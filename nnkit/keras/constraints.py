"""Constraints on weights with Keras's names and defaults: applied after every update of a layer's weight.

``layers.Dense(2, kernel_constraint="max_norm")``. Norms are along ``axis`` of the weight as Keras lays it out, so that
the default 0 is over the inputs of each unit of a Dense layer; for a Conv2D give ``axis=[0, 1, 2]``. Definitions:
``keras.constraints``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self, TypeAlias

from nnkit import nn
from nnkit.keras import objects
from nnkit.keras.naming import resolve
from nnkit.keras.told import tell, tell_of_names
from nnkit.nn import constraints
from nnkit.nn.constraints import Dims
from nnkit.recording.observer import call
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "deserialize", "get", "max_norm", "min_max_norm",
    "non_neg", "serialize", "unit_norm",
]
# fmt: on

ConstraintFunction: TypeAlias = Callable[[Tensor], Tensor]


class Constraint(constraints.Constraint):
    """The base class of constraints: a callable from a weight Tensor to the allowed one.

    >>> import nnkit
    >>> class Halves(Constraint):
    ...     def __call__(self, w):
    ...         return w / 2
    >>> Halves()(nnkit.tensor([2.0])).tolist()
    [1.0]
    """

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild this constraint."""
        return {"axis" if name == "dim" else name: value for name, value in vars(self).items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The constraint that ``get_config`` described."""
        return cls(**config)


class NonNeg(constraints.NonNegative, Constraint):
    """No weight below 0.

    >>> import nnkit
    >>> NonNeg()(nnkit.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """


class MaxNorm(constraints.MaxNorm, Constraint):
    """Norms of at most ``max_value``.

    >>> import nnkit
    >>> MaxNorm(5)(nnkit.tensor([[6.0], [8.0]])).round(decimals=4).tolist()
    [[3.0], [4.0]]
    """

    def __init__(self, max_value: float = 2, axis: Dims = 0) -> None:
        super().__init__(max_value, axis)


class UnitNorm(constraints.UnitNorm, Constraint):
    """Norms of 1.

    >>> import nnkit
    >>> UnitNorm()(nnkit.tensor([[3.0], [4.0]])).flatten()
    tensor([0.6, 0.8])
    """

    def __init__(self, axis: Dims = 0) -> None:
        super().__init__(axis)


class MinMaxNorm(constraints.MinMaxNorm, Constraint):
    """Norms from ``min_value`` to ``max_value``: others go there by the share ``rate`` of the way.

    >>> import nnkit
    >>> MinMaxNorm(0.0, 1.0)(nnkit.tensor([[3.0], [4.0]])).flatten()
    tensor([0.6, 0.8])
    """

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Dims = 0) -> None:
        super().__init__(min_value, max_value, rate, axis)


max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm

_BY_NAME: Mapping[str, Callable[..., Constraint]] = {
    "max_norm": MaxNorm, "maxnorm": MaxNorm, "min_max_norm": MinMaxNorm, "minmaxnorm": MinMaxNorm, "non_neg": NonNeg,
    "nonneg": NonNeg, "unit_norm": UnitNorm, "unitnorm": UnitNorm,
}  # fmt: skip


def get(identifier: str | Mapping[str, Any] | ConstraintFunction | None) -> ConstraintFunction | None:
    """The constraint that a name, a config, a function of a Tensor or ``None`` stands for.

    Raises:
        UnknownNameError: no constraint has this name; the message lists the nearest.

    >>> type(get("non_neg")).__name__
    'NonNeg'
    """
    if identifier is None or callable(identifier):
        return identifier
    return resolve("constraint", identifier, _BY_NAME)


def constrain(
    module: nn.Module,
    name: str,
    constraint: ConstraintFunction | None,
    layout: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """Hold a module's parameter, which Keras sees through the view ``layout``, to a constraint; None: to none."""
    if constraint is None or getattr(module, name) is None:
        return
    if layout is None:
        module.constraints[name] = constraint
        return

    def allowed(weight: Tensor) -> Tensor:
        whole = weight.clone()
        seen = layout(whole)
        seen.copy_(call(constraint, seen))
        return whole

    module.constraints[name] = allowed


def serialize(constraint: Any) -> Any:
    """A constraint as ``{"class_name", "config"}``, for JSON; a function by its name.

    >>> serialize(NonNeg())["class_name"]
    'NonNeg'
    """
    return objects.described(constraint)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The constraint that ``serialize`` described, or that a name stands for.

    >>> type(deserialize(serialize(NonNeg()))).__name__
    'NonNeg'
    """
    with objects.CustomObjectScope(custom_objects or {}):
        return get(config)


WEIGHTS = "A weight Tensor of any shape and floating dtype, which the result has"
SOURCE = "Source:\n``keras.constraints.{name}``."
tell(globals(), ("MaxNorm", "MinMaxNorm"), f"{WEIGHTS}. Raises ValueError for a norm below 0. {SOURCE}")
tell(globals(), ("UnitNorm",), f"{WEIGHTS}. Raises ShapeError for an axis that it has not. {SOURCE}")
tell(globals(), ("NonNeg",), f"{WEIGHTS}. Raises TypeError for what is no Tensor. {SOURCE}")
tell(globals(), ("Constraint",), f"{WEIGHTS}. The base raises NotImplementedError. {SOURCE}")
tell_of_names(globals(), "constraints")


def __dir__() -> list[str]:
    return sorted(__all__)
