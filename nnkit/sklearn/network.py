"""The network of a perceptron: its layers, scikit-learn's initial weights, and the weights as ``coefs_`` shows them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from nnkit import nn
from nnkit.errors import UnknownNameError
from nnkit.nn import activations
from nnkit.nn.skipping import skipped
from nnkit.sklearn.parameters import ParameterError
from nnkit.tensors.creation import as_tensor
from nnkit.tensors.tape import no_grad

__all__ = ["ACTIVATIONS", "activation_names", "build", "draw", "hidden_sizes", "linears", "load", "shown"]

#: scikit-learn's names of activations, where they differ.
ACTIVATIONS = {"logistic": "sigmoid"}


def activation_names() -> list[str]:
    """All activations by name: scikit-learn's and nnkit's."""
    return [*ACTIVATIONS, *activations.FORMULAS, *activations.ROW_FUNCTIONS]


def hidden_sizes(settings: Any) -> list[int]:
    """The units of each hidden layer. Raises ValueError where one is below 1."""
    given = settings.hidden_layer_sizes
    sizes = list(given) if hasattr(given, "__iter__") else [given]
    if any(not isinstance(size, (int, np.integer)) or isinstance(size, bool) for size in sizes):
        raise ParameterError(
            f"The 'hidden_layer_sizes' parameter of {type(settings).__name__} must be an integer of at least 1, or "
            f"integers, one for each hidden layer. Got {given!r} instead."
        )
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]


def per_layer(value: Any, count: int, name: str) -> list[Any]:
    """One value for each hidden layer. Raises ValueError for a list of another length."""
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name} has {len(value)} entries, and there are {count} hidden layers: give one for each")
    return list(value)


def build(settings: Any, inputs: int, outputs: int, dtype: Any) -> nn.Sequential:
    """The layers (B, inputs) -> (B, outputs), without values: Linear, and batch normalization, activation, dropout."""
    sizes = [inputs, *hidden_sizes(settings), outputs]
    hidden = len(sizes) - 2
    chosen = [_named(activation) for activation in per_layer(settings.activation, hidden, "activation")]
    rates = per_layer(settings.dropout, hidden, "dropout")
    layers: list[nn.Module] = []
    for place, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        last = place == hidden
        fused = None if last or settings.batch_norm else chosen[place]
        with skipped():
            layers.append(nn.Linear(fan_in, fan_out, device=settings.device, dtype=dtype, activation=fused))
        if not last and settings.batch_norm:
            layers.append(nn.BatchNorm1d(fan_out, device=settings.device, dtype=dtype))
            layers += _as_module(chosen[place])
        if not last and rates[place]:
            layers.append(nn.Dropout(rates[place]))
    return nn.Sequential(layers)


def _named(activation: Any) -> Any:
    """scikit-learn's name as nnkit's. Raises UnknownNameError."""
    if isinstance(activation, str) and activation not in activation_names():
        raise UnknownNameError("activation", activation, activation_names())
    return ACTIVATIONS.get(activation, activation) if isinstance(activation, str) else activation


def _as_module(activation: Any) -> list[nn.Module]:
    """An activation that stands by itself; none for the identity."""
    if isinstance(activation, nn.Module):
        return [activation]
    if activation in ("identity", "linear"):
        return []
    formula = activations.FORMULAS.get(activation) if isinstance(activation, str) else None
    for made in (kind() for kind in activations.Activation.__subclasses__() if formula is not None):
        if made.formula == formula:
            return [made]
    raise ParameterError(f"activation {activation!r} beside batch_norm=True must be a Module, or the name of one")


def linears(module: nn.Sequential) -> list[nn.Linear]:
    """The layers with ``coefs_`` and ``intercepts_``."""
    return [layer for layer in module if isinstance(layer, nn.Linear)]


def draw(module: nn.Sequential, settings: Any, generator: np.random.RandomState) -> None:
    """scikit-learn's initial values (Glorot and Bengio 2010), the same numbers from the same ``generator``."""
    layers = linears(module)
    chosen = per_layer(settings.activation, len(layers) - 1, "activation")
    last = chosen[-1] if chosen else settings.activation
    for layer, activation in zip(layers, [*chosen, last], strict=True):
        factor = 2.0 if activation == "logistic" else 6.0
        bound = math.sqrt(factor / (layer.in_features + layer.out_features))
        coef = generator.uniform(-bound, bound, (layer.in_features, layer.out_features))
        load(layer, coef, generator.uniform(-bound, bound, layer.out_features))


@no_grad()
def load(layer: nn.Linear, coef: Any, intercept: Any) -> None:
    """Let a layer have the weights ``coef`` (in, out) and ``intercept`` (out,)."""
    assert layer.bias is not None
    for parameter, values in ((layer.weight, np.asarray(coef).T), (layer.bias, np.asarray(intercept))):
        array = np.ascontiguousarray(values, parameter.dtype)
        parameter.copy_(as_tensor(array.reshape(parameter.shape), device=parameter.device))


def shown(module: nn.Sequential) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """``coefs_`` (in, out) and ``intercepts_`` (out,) of each layer: on a CPU the memory of the layers itself."""
    layers = linears(module)
    biases = [layer.bias for layer in layers if layer.bias is not None]
    return [layer.weight.detach().numpy().T for layer in layers], [bias.detach().numpy() for bias in biases]
