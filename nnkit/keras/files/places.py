"""Where the weights of a model are in Keras's files: a group for each layer, called after how it is reached.

From the model each layer is reached by the attributes of the layers around it, in the order of their names, those that
begin with an underscore last; in a list or dict it is called after its class, with a number from the second on. A layer
that is reached twice is at the first place. Definition: ``keras.src.saving.saving_lib``, which walks the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from nnkit.keras.attention import MultiHeadAttention
from nnkit.keras.conv_lstm import _ConvLSTM
from nnkit.keras.input_layer import InputLayer
from nnkit.keras.layer import Layer
from nnkit.keras.models import Model, Sequential
from nnkit.keras.naming import snake_case
from nnkit.keras.recurrent_layer import RecurrentLayer
from nnkit.keras.weights import INTERNAL

__all__ = ["Place", "places"]

#: The parts of an attention layer, which Keras has as layers of their own, in the order of its weights.
PROJECTIONS = ("query_dense", "key_dense", "value_dense", "output_dense")


class Place(NamedTuple):
    """A group of the file: the layer that it is of, its name, and the variables in it."""

    path: str
    layer: Layer
    name: str
    variables: list[Any]
    #: Whether it is a second group of the layer.
    is_again: bool = False


def places(model: Layer) -> list[Place]:
    """The groups of a model's file.

    A layer that is a part of several models in one another has a group in each: Keras makes it again for each.
    """
    return list(_walk(model, "", set()))


def _walk(layer: Layer, path: str, seen: set[int], listed: bool = False) -> Iterator[Place]:
    again = id(layer) in seen
    if again and not listed:
        return
    seen.add(id(layer))
    yield from (place._replace(is_again=again) for place in _own(layer, path))
    inner = set[int]() if again else seen
    for name, child in _children(layer):
        inside = _joined(path, name)
        if isinstance(child, Layer):
            found = _walk(child, inside, inner)
        else:
            found = _walk_container(child, inside, inner, _is_listed(layer) and name == "layers")
        yield from (place._replace(is_again=True) for place in found) if again else found


def _is_listed(layer: Layer) -> bool:
    """Whether it is a model that Keras makes of a list of layers."""
    return isinstance(layer, Sequential) or (isinstance(layer, Model) and layer.is_functional)


def _walk_container(container: Any, path: str, seen: set[int], listed: bool = False) -> Iterator[Place]:
    counts: dict[str, int] = {}
    for part in container.values() if isinstance(container, dict) else container:
        if isinstance(part, Layer):
            name = _numbered("functional" if type(part) is Model else snake_case(type(part).__name__), counts)
            yield from _walk(part, _joined(path, name), seen, listed)
        elif isinstance(part, (list, tuple, dict)):
            yield from _walk_container(part, _joined(path, _numbered("container", counts)), seen)


def _own(layer: Layer, path: str) -> Iterator[Place]:
    """The groups of a layer itself: for some Keras has a part of its own inside."""
    variables = layer._own_variables()
    if isinstance(layer, (RecurrentLayer, _ConvLSTM)):
        yield Place(path, layer, layer.name, [])
        yield Place(_joined(path, "cell"), layer, f"{snake_case(type(layer).__name__)}_cell", variables)
    elif isinstance(layer, MultiHeadAttention):
        yield Place(path, layer, layer.name, [])
        each = len(variables) // len(PROJECTIONS)
        for number, part in enumerate(PROJECTIONS):
            mine = variables[number * each : (number + 1) * each]
            yield Place(_joined(path, part), layer, part.removesuffix("_dense"), mine)
    else:
        yield Place(path, layer, layer.name, variables)


def _children(layer: Layer) -> list[tuple[str, Any]]:
    """The layers that are attributes, and the containers that are, by name and in Keras's order."""
    found: dict[str, Any] = {
        name: value
        for name, value in vars(layer).items()
        if type(value) in (list, tuple, dict) and name not in _skipped() and name not in INTERNAL
    }
    listed = _is_listed(layer)
    numbers = {str(number) for number in range(len(layer._modules))} if listed else set()
    found |= {
        name: module for name, module in layer._modules.items() if isinstance(module, Layer) and name not in numbers
    }
    ordered = sorted(found.items(), key=lambda item: f"~{item[0]}" if item[0].startswith("_") else item[0])
    if listed:
        return [("layers", layer.layers), *ordered]
    if isinstance(layer, Model):
        found["layers"] = layer.layers
        return sorted(found.items(), key=lambda item: f"~{item[0]}" if item[0].startswith("_") else item[0])
    return ordered


_base: list[frozenset[str]] = []


def _skipped() -> frozenset[str]:
    """Attributes of every model, which hold none of its layers."""
    if not _base:
        _base.append(frozenset(vars(Sequential([InputLayer((1,))]))) | {"_layers", "_output_shapes"})
    return _base[0]


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _numbered(name: str, counts: dict[str, int]) -> str:
    number = counts.get(name, -1) + 1
    counts[name] = number
    return f"{name}_{number}" if number else name
