"""Activation functions under Keras's names and defaults.

Most are the core's own activations, so that a ``Dense`` layer can run them fused with its matrix product;
:func:`core_form` says under which of the core's names. A name, a function of one Tensor or ``None`` (no
activation) is accepted wherever Keras takes an activation. Definitions: ``keras.activations``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

from nnkit import nn, ops
from nnkit.errors import UnknownNameError
from nnkit.keras import objects
from nnkit.keras.further_activations import (
    celu,
    glu,
    hard_shrink,
    hard_tanh,
    log_sigmoid,
    soft_shrink,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh_shrink,
    threshold,
)
from nnkit.keras.taking import of_anything
from nnkit.keras.told import tell
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.registered import registered
from nnkit.tensors.tensor import Tensor

__all__ = [
    "ActivationFunction", "celu", "core_form", "deserialize", "elu", "exponential", "gelu", "get", "glu",
    "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid",
    "log_softmax", "mish", "relu", "relu6", "selu", "serialize", "sigmoid", "silu", "soft_shrink", "softmax",
    "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh",
    "tanh_shrink", "threshold",
]  # fmt: skip

ActivationFunction: TypeAlias = Callable[[Tensor], Tensor]

TOLD = """x: numbers of any shape; a Tensor keeps its floating dtype, arrays are taken as float32. Raises DtypeError
    for what are no numbers. Source: ``keras.activations.{name}``."""


@of_anything
def linear(x: Tensor) -> Tensor:
    """The input itself.

    >>> linear([-1.0, 2.0])
    tensor([-1.,  2.])
    """
    return x


@of_anything
def relu(x: Tensor, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Tensor:
    """``max(x, 0)``, or with a slope below ``threshold`` and a ceiling at ``max_value``.

    >>> import nnkit
    >>> relu(nnkit.tensor([-2.0, 0.5, 9.0]), negative_slope=0.5, max_value=6.0).tolist()
    [-1.0, 0.5, 6.0]
    """
    if threshold != 0.0:
        x = ops.where(x > threshold, x, negative_slope * (x - threshold))
    elif negative_slope != 0.0:
        x = ops.activation(x, "leaky_relu", negative_slope=negative_slope)
    else:
        x = ops.activation(x, "relu")
    return x if max_value is None else ops.clamp(x, max=max_value)


@of_anything
def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    """``x`` where positive, else ``negative_slope * x``, by default 0.2 (PyTorch's is 0.01).

    >>> leaky_relu([-10.0, 2.0])
    tensor([-2.,  2.])
    """
    return ops.activation(x, "leaky_relu", negative_slope=negative_slope)


@of_anything
def relu6(x: Tensor) -> Tensor:
    """``min(max(x, 0), 6)``.

    >>> relu6([-1.0, 2.0, 9.0])
    tensor([0., 2., 6.])
    """
    return ops.activation(x, "relu6")


@of_anything
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """``x`` where positive, else ``alpha * (exp(x) - 1)``.

    >>> elu([-100.0, 2.0])
    tensor([-1.,  2.])
    """
    return ops.activation(x, "elu", alpha=alpha)


@of_anything
def selu(x: Tensor) -> Tensor:
    """The scaled exponential linear unit (Klambauer et al., 2017).

    >>> selu([0.0, 1.0])
    tensor([0.    , 1.0507])
    """
    return ops.activation(x, "selu")


@of_anything
def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """``x * P(X <= x)`` for a standard normal X; ``approximate`` takes the tanh formula (Hendrycks and Gimpel, 2016).

    >>> gelu([-1.0, 0.0, 1.0])
    tensor([-0.1587,  0.    ,  0.8413])
    """
    return ops.activation(x, "gelu_tanh" if approximate else "gelu")


@of_anything
def silu(x: Tensor) -> Tensor:
    """``x * sigmoid(x)``, also called swish.

    >>> silu([0.0, 100.0])
    tensor([  0., 100.])
    """
    return ops.activation(x, "silu")


@of_anything
def mish(x: Tensor) -> Tensor:
    """``x * tanh(softplus(x))`` (Misra, 2019).

    >>> mish([0.0, 100.0])
    tensor([  0., 100.])
    """
    return ops.activation(x, "mish")


@of_anything
def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``.

    >>> sigmoid([-100.0, 0.0, 100.0])
    tensor([0. , 0.5, 1. ])
    """
    return ops.activation(x, "sigmoid")


@of_anything
def hard_sigmoid(x: Tensor) -> Tensor:
    """``relu6(x + 3) / 6``, a piecewise linear sigmoid.

    >>> hard_sigmoid([-3.0, 0.0, 3.0])
    tensor([0. , 0.5, 1. ])
    """
    return ops.activation(x, "hard_sigmoid")


@of_anything
def hard_silu(x: Tensor) -> Tensor:
    """``x * hard_sigmoid(x)``.

    >>> hard_silu([0.0, 1.0, 3.0])
    tensor([0.    , 0.6667, 3.    ])
    """
    return ops.activation(x, "hardswish")


@of_anything
def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent.

    >>> tanh([-100.0, 0.0, 100.0])
    tensor([-1.,  0.,  1.])
    """
    return ops.activation(x, "tanh")


@of_anything
def softplus(x: Tensor) -> Tensor:
    """``log(exp(x) + 1)``.

    >>> softplus([0.0, 100.0])
    tensor([  0.6931, 100.    ])
    """
    return ops.activation(x, "softplus")


@of_anything
def softsign(x: Tensor) -> Tensor:
    """``x / (abs(x) + 1)``.

    >>> softsign([-1.0, 3.0])
    tensor([-0.5 ,  0.75])
    """
    return ops.activation(x, "softsign")


@of_anything
def exponential(x: Tensor) -> Tensor:
    """``exp(x)``.

    >>> exponential([0.0, 1.0])
    tensor([1.    , 2.7183])
    """
    return ops.exp(x)


@of_anything
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Non-negative numbers that sum to 1 along ``axis``.

    >>> import nnkit
    >>> softmax(nnkit.tensor([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    return ops.softmax(x, dim=axis)


@of_anything
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """The logarithm of :func:`softmax`, computed stably.

    >>> log_softmax([[0.0, 0.0]])
    tensor([[-0.6931, -0.6931]])
    """
    return ops.log_softmax(x, dim=axis)


swish = silu
hard_swish = hard_silu

_BY_NAME: dict[str, Callable[..., Tensor]] = {
    "linear": linear,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "relu6": relu6,
    "elu": elu,
    "selu": selu,
    "gelu": gelu,
    "silu": silu,
    "swish": silu,
    "mish": mish,
    "sigmoid": sigmoid,
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": hard_silu,
    "hard_swish": hard_silu,
    "tanh": tanh,
    "softplus": softplus,
    "softsign": softsign,
    "exponential": exponential,
    "softmax": softmax,
    "log_softmax": log_softmax,
    "celu": celu,
    "glu": glu,
    "hard_shrink": hard_shrink,
    "hard_tanh": hard_tanh,
    "log_sigmoid": log_sigmoid,
    "soft_shrink": soft_shrink,
    "sparse_plus": sparse_plus,
    "sparse_sigmoid": sparse_sigmoid,
    "sparsemax": sparsemax,
    "squareplus": squareplus,
    "tanh_shrink": tanh_shrink,
    "threshold": threshold,
}

#: Function -> what ``nn.Linear`` knows it by, where the two have one formula.
_CORE: dict[ActivationFunction, str | nn.Module] = {
    linear: "identity",
    relu: "relu",
    leaky_relu: nn.LeakyReLU(0.2),
    relu6: "relu6",
    elu: "elu",
    selu: "selu",
    gelu: "gelu",
    silu: "silu",
    mish: "mish",
    sigmoid: "sigmoid",
    hard_sigmoid: "hard_sigmoid",
    hard_silu: "hardswish",
    tanh: "tanh",
    softplus: "softplus",
    softsign: "softsign",
    celu: "celu",
    hard_shrink: "hardshrink",
    hard_tanh: "hardtanh",
    log_sigmoid: "log_sigmoid",
    soft_shrink: "softshrink",
    tanh_shrink: "tanhshrink",
}


def get(identifier: str | ActivationFunction | None) -> ActivationFunction:
    """The activation that a name, a function or ``None`` (which is ``linear``) stands for.

    It is a function of a Tensor of any shape and floating dtype. Source: ``keras.activations.get``.

    Raises:
        UnknownNameError: no activation has this name; the message lists the nearest.

    >>> get("relu") is relu, get(None) is linear
    (True, True)
    """
    if identifier is None:
        return linear
    own = objects.found(identifier)
    if own is not None:
        return own() if isinstance(own, type) else own
    if isinstance(identifier, str) and identifier.lower() in _BY_NAME:
        return _BY_NAME[identifier.lower()]
    if callable(identifier):
        return identifier
    if isinstance(identifier, str) and _is_formula(identifier):
        return functools.partial(ops.activation, name=identifier)
    raise UnknownNameError("activation", identifier, _BY_NAME)


deserialize = get


def serialize(activation: ActivationFunction) -> str | None:
    """The name of one of the functions above, or None for a function of the user's own.

    Raises nothing. Source: ``keras.activations.serialize``.

    >>> serialize(relu), serialize(lambda x: x)
    ('relu', None)
    """
    if _is_formula(_formula_name(activation)):
        return _formula_name(activation)
    known = next((name for name, function in _BY_NAME.items() if function is activation), None)
    return known or objects.registered_name(activation)


def _is_formula(name: str) -> bool:
    """Whether this is an activation of the core's that has no name of Keras's: a formula, or a registered one."""
    return name in ACTIVATIONS or bool(registered(name))


def _formula_name(activation: ActivationFunction) -> str:
    """The name in what ``get`` makes of such a name."""
    is_such = isinstance(activation, functools.partial) and activation.func is ops.activation
    return str(activation.keywords.get("name", "")) if is_such else ""  # type: ignore[attr-defined]


def core_form(activation: ActivationFunction) -> str | nn.Module | ActivationFunction:
    """What to give ``nn.Linear`` so that it runs ``activation``, of Tensors of any shape and dtype, fused with its
    product.

    Raises TypeError for what is not hashable. Source: nnkit's own.

    >>> core_form(hard_silu)
    'hardswish'
    """
    return _formula_name(activation) or _CORE.get(activation, activation)


tell(globals(), _BY_NAME, TOLD)


def __dir__() -> list[str]:
    return sorted(__all__)
