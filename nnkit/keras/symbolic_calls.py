"""A layer called on symbolic tensors: it is built for their shapes, and the shapes of its results are found.

A layer that states its output's shape is asked; another one, or one that is called with more than one input, is run on
small arrays.
"""

from __future__ import annotations

import inspect
from typing import Any

from nnkit import get_default_dtype, nn
from nnkit.keras.symbolic import KerasTensor, Node, Nodes, apply, holds_symbolic, leaves
from nnkit.recording.structures import rebuilt

__all__ = ["Connectable", "call_on_symbolic", "shapes_of", "tensors_of"]

#: Arguments of a call that do not change the shape of what a layer returns.
PLAIN = ("training", "mask", "initial_state")


class Connectable(nn.Module):
    """What a layer has so that it can be called on symbolic tensors, and tell of these calls."""

    name: str
    built: bool
    #: Whether the class has a ``compute_output_shape`` of its own.
    states_output_shape = False

    def __init__(self) -> None:
        super().__init__()
        self._inbound_nodes = Nodes()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "compute_output_shape" in vars(cls) and "states_output_shape" not in vars(cls):
            cls.states_output_shape = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if holds_symbolic(args, kwargs):
            return call_on_symbolic(self, args, kwargs)
        return super().__call__(*args, **kwargs)

    def symbolically(self, *args: Any, **kwargs: Any) -> Any:
        """A node of a call with symbolic tensors."""
        return call_on_symbolic(self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in ("input", "output"):  # these properties found no call
            raise AttributeError(
                f"The layer {self.name} has never been called and thus has no defined {name}: call it on the symbolic "
                "tensor of an Input first"
            )
        return super().__getattr__(name)

    @property
    def input(self) -> Any:
        """The symbolic tensor, or the structure of them, that the layer was called on first."""
        node = self._first_use("input")
        if node.is_input:
            return node.outputs
        return node.args[0] if len(node.args) == 1 else node.inputs

    @property
    def output(self) -> Any:
        """The symbolic tensor, or the structure of them, that the layer returned first."""
        return self._first_use("output").outputs

    def _first_use(self, what: str) -> Node:
        if not self._inbound_nodes:
            raise AttributeError(what)
        return self._inbound_nodes[0]


def call_on_symbolic(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The symbolic results of ``layer(*args, **kwargs)``, and a node of it."""
    if not args and "inputs" in kwargs:
        kwargs = dict(kwargs)
        args = (kwargs.pop("inputs"),)
    if not layer.built:
        _build(layer, args, kwargs)
        known = True
    else:
        known = any(_like(node.args, args) for node in layer._inbound_nodes)
    outputs = _stated(layer, args, kwargs) if known else None
    return apply(layer, args, kwargs, outputs)


def shapes_of(structure: Any) -> Any:
    """The shape of each tensor in a structure; None stands for what is no tensor."""
    return rebuilt(structure, lambda leaf: tuple(leaf.shape) if isinstance(leaf, KerasTensor) else None)


def _like(args: Any, other: Any) -> bool:
    """Whether arguments have the shapes of others."""
    one, two = ([leaf.shape[1:] for leaf in leaves(part) if hasattr(leaf, "shape")] for part in (args, other))
    return one == two


def _build(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Build with the shape of the first argument; or, where ``build`` takes several, with those of the same name."""
    wanted = [
        parameter
        for parameter in inspect.signature(layer.build).parameters.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    if len(wanted) < 2:
        layer.ensure_built(shapes_of(args[0]))
        return
    function = layer.forward if "forward" in vars(type(layer)) else layer.call
    given = inspect.signature(function).bind_partial(*args, **kwargs).arguments
    shapes = {f"{name}_shape": shapes_of(value) for name, value in given.items() if holds_symbolic(value)}
    named = {parameter.name: shapes[parameter.name] for parameter in wanted if parameter.name in shapes}
    layer.build(**(named or {wanted[0].name: shapes_of(args[0])}))


def _stated(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What the layer says that it returns; None where it must be run to know."""
    if not layer.states_output_shape or len(args) != 1 or any(name not in PLAIN for name in kwargs):
        return None
    inputs = list(leaves(args[0]))
    floating = all(isinstance(leaf, KerasTensor) and leaf.dtype.startswith(("float", "bfloat")) for leaf in inputs)
    if not floating and not layer.weights:
        return None
    return tensors_of(layer.compute_output_shape(shapes_of(args[0])))


def tensors_of(shapes: Any) -> Any:
    """A symbolic tensor for a shape, or for each of several."""
    if isinstance(shapes, dict):
        return {name: tensors_of(shape) for name, shape in shapes.items()}
    if isinstance(shapes, (list, tuple)) and any(isinstance(part, (list, tuple, dict)) for part in shapes):
        return type(shapes)(tensors_of(shape) for shape in shapes)
    return KerasTensor(shapes, str(get_default_dtype()))
