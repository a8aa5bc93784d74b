"""Models whose layers run one after another.

A model whose input shape is known (an ``Input``, or ``input_shape=`` of the first layer) has its weights as soon as a
layer is added; another one gets them at the first ``build``, call or ``fit``. Definitions: ``keras.Sequential``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from nnkit.errors import ShapeError
from nnkit.keras.arguments import normalized_shape
from nnkit.keras.graph_config import described, layer_of, one_description
from nnkit.keras.input_layer import InputLayer
from nnkit.keras.layer import Layer, Shape
from nnkit.keras.model import Model
from nnkit.keras.shapes import matched
from nnkit.keras.symbolic import KerasTensor, apply
from nnkit.keras.symbolic_calls import tensors_of
from nnkit.training.values import host_array

__all__ = ["Sequential"]

#: How a model without an input shape gets one.
TO_BUILD = "state it (Input, or build(input_shape)), or call the model on data first"


class Sequential(Model):
    """Layers that run one after another.

    Args:
        layers: a list of layers; more can be added.
        trainable: False freezes the weights of all layers.
        name: what the model is called.

    Raises ValueError for what is no layer, and by ``fit`` before ``compile``. Source: ``keras.Sequential``.

    >>> from nnkit.keras.layers import Dense
    >>> model = Sequential([Dense(8, activation="relu", input_shape=(4,)), Dense(3)])
    >>> model.output_shape, model.count_params()
    ((None, 3), 67)
    """

    states_output_shape = True

    def __init__(self, layers: Iterable[Any] | None = None, trainable: bool = True, name: str | None = None) -> None:
        super().__init__(name=name, trainable=trainable)
        self._layers: list[Layer] = []
        self._input_shape: Shape | None = None
        self._output_shapes: list[Shape] = []
        #: The symbolic input.
        self._first: KerasTensor | None = None
        for layer in layers or ():
            self.add(layer)

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the input layer."""
        return list(self._layers)

    def add(self, layer: Any) -> None:
        """Put a layer at the end; builds it if the model's input shape is known.

        Raises:
            ValueError: ``layer`` is no layer, its name is taken, or it is a second input layer.
        """
        if isinstance(layer, KerasTensor) and layer.node is not None:
            layer = layer.node.operation
        if not isinstance(layer, Layer):
            hint = f"; make an instance: {layer.__name__}(...)" if isinstance(layer, type) else ""
            raise ValueError(f"Sequential.add expects a layer of nnkit.keras.layers, got {layer!r}{hint}")
        if isinstance(layer, InputLayer):
            self._set_input(layer)
            return
        if any(other.name == layer.name for other in self._layers):
            raise ValueError(
                f"model {self.name!r} has a layer called {layer.name!r} already; "
                "layers need names of their own, and a layer can be added once"
            )
        if not self._layers and self._input_shape is None:
            self._input_shape = _shape_of_first(layer)
        self._layers.append(layer)
        self._number()
        if self._input_shape is not None:
            self._build_rest()

    def pop(self) -> Layer:
        """Remove the last layer and return it."""
        if not self._layers:
            raise ValueError(f"model {self.name!r} has no layer to remove")
        layer = self._layers.pop()
        layer.is_hidden = False
        self._number()
        del self._output_shapes[len(self._layers) :]
        self.built = self.built and bool(self._layers)
        return layer

    def _set_input(self, layer: InputLayer) -> None:
        if self._layers or self._input_shape is not None:
            raise ValueError(
                f"model {self.name!r} has layers or an input shape already; an Input layer comes first, and once"
            )
        self._input_shape, self._first = layer.batch_shape, layer.output

    def _number(self) -> None:
        """Register the layers as modules "0", "1", … and tell them which is last."""
        self._modules.clear()
        for position, layer in enumerate(self._layers):
            self.add_module(str(position), layer)
            layer.is_hidden = position < len(self._layers) - 1
            layer.scope = f"{self.scope}{self.name}/"

    def build(self, input_shape: Any = None) -> None:
        """Make all weights for inputs of ``input_shape``, batch size first: ``model.build((None, 784))``."""
        if not self._layers:
            raise ValueError(f"model {self.name!r} has no layers; add one before build")
        if input_shape is not None:
            self._input_shape = self._agreed(normalized_shape(input_shape))
        if self._input_shape is None:
            raise ValueError(f"model {self.name!r} does not know its input shape: pass one, build((None, features))")
        self._build_rest()

    def _agreed(self, input_shape: Shape) -> Shape:
        known = self._input_shape
        if known is None or not self._output_shapes:
            return input_shape
        if known[1:] != input_shape[1:]:
            raise ShapeError(
                f"model {self.name!r} is built for samples of shape {known[1:]} already, not {input_shape[1:]}"
            )
        return known

    def _build_rest(self) -> None:
        """Build the layers that are not built yet; each takes the shape that the one before it puts out."""
        shape = self._output_shapes[-1] if self._output_shapes else self._input_shape
        assert shape is not None
        for layer in self._layers[len(self._output_shapes) :]:
            layer.ensure_built(shape)
            shape = layer.compute_output_shape(shape)
            self._output_shapes.append(shape)
        self._note_built()
        self._tensors()

    def _tensors(self) -> tuple[KerasTensor, Any]:
        """The symbolic input and output; what the layers lack of uses between them is made."""
        self.require_built()
        if self._first is None:
            self._first = InputLayer(batch_shape=self._input_shape).output
        tensor: Any = self._first
        first = self._first
        for layer, shape in zip(self._layers, self._output_shapes, strict=True):
            node = next((node for node in layer._inbound_nodes if node.inputs == [tensor]), None)
            tensor = apply(layer, (tensor,), {}, tensors_of(shape)) if node is None else node.outputs
        return first, tensor

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic tensor that goes in."""
        return [self._tensors()[0]]

    @property
    def outputs(self) -> list[KerasTensor]:
        """The symbolic tensor that comes out."""
        return [self._tensors()[1]]

    @property
    def input(self) -> KerasTensor:
        """The symbolic tensor that goes in."""
        return self.inputs[0]

    @property
    def output(self) -> KerasTensor:
        """The symbolic tensor that comes out."""
        return self.outputs[0]

    def build_for(self, x: Any) -> None:
        self.build((None, *host_array(x, "x").shape[1:]))

    def call(self, inputs: Any, training: bool | None = False, mask: Any = None) -> Any:
        if isinstance(inputs, (list, tuple, dict)):
            raise ValueError(
                f"Sequential model {self.name!r} takes one array; got a {type(inputs).__name__} of {len(inputs)}: "
                "several inputs go to a model made of symbolic tensors, Model(inputs=[a, b], outputs=c)"
            )
        x = inputs
        if self._input_shape is not None:
            x = matched(inputs, self._input_shape)
            self._refuse_other_shape(x)
        for layer in self._layers:
            x = layer(x, training=training)
        return x

    # ---- shapes -------------------------------------------------------------------------------------------

    def _refuse_other_shape(self, x: Any) -> None:
        known = self._input_shape
        assert known is not None
        if x.ndim == len(known) and self._layers and getattr(self._layers[0], "reads_whole_numbers", False):
            return  # a sequence of another length
        sizes = zip(known[1:], x.shape[1:], strict=False)
        if x.ndim != len(known) or any(one is not None and one != other for one, other in sizes):
            raise ShapeError(
                f"model {self.name!r} takes inputs of shape {known}, batch size first; got an array of shape "
                f"{tuple(x.shape)}"
            )

    def __getattr__(self, name: str) -> Any:
        if name in ("input_shape", "output_shape"):
            told = name.replace("_", " ")
            raise AttributeError(f"Sequential model {self.name!r} has no defined {told} yet: {TO_BUILD}")
        return super().__getattr__(name)

    @property
    def input_shape(self) -> Shape:
        """The shape of the input, batch size first; AttributeError where it is not known yet."""
        if self._input_shape is None:
            raise AttributeError("input_shape")  # and __getattr__ tells
        return self._input_shape

    @property
    def output_shape(self) -> Shape:
        """The shape of the output, batch size first; AttributeError where it is not known yet."""
        if not self._output_shapes:
            raise AttributeError("output_shape")
        return self._output_shapes[-1]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        for layer in self._layers:
            input_shape = layer.compute_output_shape(input_shape)
        return tuple(input_shape)

    def output_shape_for(self, x: Any) -> Any:
        return self.output_shape

    def _layer_output_shapes(self) -> list[Any]:
        return [*self._output_shapes, *[None] * (len(self._layers) - len(self._output_shapes))]

    # ---- configuration ------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The layers with their configurations, the input shape, and what ``compile`` was given."""
        with one_description("written"):
            layers = [described(layer) for layer in self._layers]
        return {
            **super().get_config(),
            "layers": layers,
            "build_input_shape": self._input_shape,
        }

    @classmethod
    def _made_from(cls, arguments: dict[str, Any]) -> Self:
        with one_description("read"):
            layers = [layer_of(description) for description in arguments.pop("layers")]
        return cls(layers, **arguments)

    def build_for_shape(self, input_shape: Shape) -> None:
        if self._layers:
            self.build(input_shape)
        else:
            self._input_shape = input_shape


def _shape_of_first(layer: Layer) -> Shape | None:
    """The input shape that a model's first layer states, batch size first."""
    if isinstance(layer, Sequential) and layer.built:
        return layer.input_shape
    return None if layer.sample_shape is None else (None, *layer.sample_shape)
