"""Penalties on large weights: L1, L2 and both, with Keras's names and defaults.

A regularizer is a function of a weight Tensor that returns a scalar, which training adds to the loss:
``l1 * sum(|w|) + l2 * sum(w²)``. Note that Keras's L2 has no factor 1/2, so its gradient is ``2 * l2 * w``.
Definitions: ``keras.regularizers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self, TypeAlias

from nnkit import nn
from nnkit.keras import objects
from nnkit.keras.naming import resolve
from nnkit.keras.told import tell, tell_of_names
from nnkit.recording.state import Watched
from nnkit.tensors.tensor import Tensor

__all__ = ["L1", "L1L2", "L2", "Regularizer", "deserialize", "get", "serialize", "l1", "l1_l2", "l2"]

RegularizerFunction: TypeAlias = Callable[[Tensor], Tensor]


class Regularizer(Watched):
    """The base class of regularizers: a callable from a weight Tensor to a scalar Tensor.

    The weight may have any shape, of a floating dtype. The base itself raises NotImplementedError when it is called.
    Source: ``keras.regularizers.Regularizer``.

    >>> import nnkit
    >>> class Absolute(Regularizer):
    ...     def __call__(self, x):
    ...         return abs(x).sum()
    >>> Absolute()(nnkit.tensor([1.0, -2.0])).item()
    3.0
    """

    def __call__(self, weight: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, weight)")

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild this regularizer."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The regularizer that ``get_config`` described."""
        return cls(**config)


class L1L2(nn.L1L2, Regularizer):
    """``l1 * sum(|w|) + l2 * sum(w²)``; the factors are finite and not negative, else ValueError.

    >>> import nnkit
    >>> L1L2(l1=0.5, l2=0.25)(nnkit.tensor([1.0, -2.0])).item()
    2.75
    """

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(L1L2):
    """``l1 * sum(|w|)``, with 0.01 for ``l1`` by default.

    >>> import nnkit
    >>> round(L1(0.5)(nnkit.tensor([1.0, -2.0])).item(), 4)
    1.5
    """

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(L1L2):
    """``l2 * sum(w²)``, with 0.01 for ``l2`` by default.

    >>> import nnkit
    >>> round(L2(0.5)(nnkit.tensor([1.0, -2.0])).item(), 4)
    2.5
    """

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """The older spelling of :class:`L1L2`, with its own defaults.

    >>> type(l1_l2(0.5, 0.5)).__name__
    'L1L2'
    """
    return L1L2(l1=l1, l2=l2)


l1 = L1
l2 = L2

_BY_NAME: Mapping[str, Callable[..., Regularizer]] = {"l1": L1, "l2": L2, "l1l2": L1L2, "l1_l2": l1_l2}


def get(identifier: str | Mapping[str, Any] | RegularizerFunction | None) -> RegularizerFunction | None:
    """The regularizer that a name, a config, a function of a Tensor or ``None`` stands for.

    Raises:
        UnknownNameError: no regularizer has this name; the message lists the nearest.

    >>> type(get("l2")).__name__
    'L2'
    """
    if identifier is None or callable(identifier):
        return identifier
    return resolve("regularizer", identifier, _BY_NAME)


def serialize(regularizer: Any) -> Any:
    """A regularizer as ``{"class_name", "config"}``, for JSON; a function by its name.

    >>> serialize(L1(0.5))["class_name"]
    'L1'
    """
    return objects.described(regularizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The regularizer that ``serialize`` described, or that a name stands for.

    >>> type(deserialize(serialize(L1(0.5)))).__name__
    'L1'
    """
    with objects.CustomObjectScope(custom_objects or {}):
        return get(config)


TOLD = """Of a weight Tensor of any shape and floating dtype: a scalar. Raises ValueError for a factor below 0.
Source: ``keras.regularizers.{name}``."""
tell(globals(), ("L1", "L1L2", "L2", "l1_l2"), TOLD)
tell_of_names(globals(), "regularizers")


def __dir__() -> list[str]:
    return sorted(__all__)
