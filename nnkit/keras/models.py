"""Models: layers that can be trained, saved and loaded. ``Sequential`` runs them one after another.

A Sequential model whose input shape is known (an ``Input``, or ``input_shape=`` of the first layer) has its
weights as soon as a layer is added; another one gets them at the first ``build``, call or ``fit``.
Definitions: ``keras.Model``, ``keras.Sequential``.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from nnkit import io
from nnkit.creation import zeros
from nnkit.errors import ModelFileError, ShapeError
from nnkit.io.registry import lookup, name_of
from nnkit.keras.layer import Layer, Shape, normalized_shape
from nnkit.keras.layers import InputLayer
from nnkit.keras.masks import unmasked
from nnkit.keras.shapes import matched
from nnkit.keras.summary import summary_text
from nnkit.keras.trainer import Trainer
from nnkit.tape import no_grad
from nnkit.tensor import Tensor
from nnkit.training.inputs import host_array

__all__ = ["Model", "Sequential", "load_model"]


class Model(Trainer):
    """The base class. A model of your own makes layers in ``__init__`` and runs them in ``call(self, inputs)``.

    Args:
        name: what the model is called; by default made from the class name.
    """

    def forward(self, inputs: Any, training: bool | None = None, mask: Any = None, **more: Any) -> Any:
        output = super().forward(inputs, training, mask, **more)
        return output if self.hands_mask_on else unmasked(output)

    @property
    def layers(self) -> list[Layer]:
        """The layers directly inside the model."""
        return self._parts()[1]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of that name, or at that place; ValueError where there is none."""
        if index is not None and -len(self.layers) <= index < len(self.layers):
            return self.layers[index]
        for layer in self.layers:
            if index is None and layer.name == name:
                return layer
        raise ValueError(
            f"model {self.name!r} has no layer {name if index is None else index!r}; "
            f"its layers are {[layer.name for layer in self.layers]}"
        )

    def summary(self, line_length: int | None = None, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print each layer's output shape and number of parameters, and the totals.

        Args:
            line_length: the width of the table, 76 by default.
            print_fn: what to call with the text instead of ``print``.
        """
        text = summary_text(self.name, self.layers, self._layer_output_shapes(), line_length or 76)
        (print if print_fn is None else print_fn)(text)

    def _layer_output_shapes(self) -> list[Shape | None]:
        return [None] * len(self.layers)

    # ---- files --------------------------------------------------------------------------------------------

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the model, its weights and what ``compile`` was given, for :func:`load_model` and ``nnkit.load``.

        The file is safetensors, whatever its ending. What the optimizer remembers of the training is not part of
        it. Layers of your own must be registered with ``nnkit.register_module``; a loss or metric that is a
        function of your own cannot be described, and ``compile`` is then left out, after a warning.
        """
        if not overwrite and os.path.exists(filepath):
            raise FileExistsError(f"{os.fspath(filepath)!r} exists; pass overwrite=True to replace it")
        if self.compiled and self.compile_config() is None:
            warnings.warn(
                "the loss, a metric or the optimizer is not one of nnkit.keras, so the file leaves out what compile "
                "was given; call compile again after loading",
                stacklevel=2,
            )
        io.save_model(self, filepath)

    def save_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Write the weights alone, as safetensors."""
        self.require_built()
        io.save(self.state_dict(), filepath)

    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Read the weights from a file of :meth:`save_weights` or :meth:`save`; ModelFileError lists misfits."""
        self.require_built()
        self.load_state_dict(io.load_state_dict(filepath))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, the input shape, and what ``compile`` was given."""
        return {
            "name": self.name,
            "trainable": self._trainable,
            "build_input_shape": self._built_for_shape,
            "compile": self.compile_config() if self.compiled else None,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The model that :meth:`get_config` described, without its weights."""
        arguments = dict(config)
        shape, settings = arguments.pop("build_input_shape", None), arguments.pop("compile", None)
        model = cls._made_from(arguments)
        if shape is not None:
            model.build_for_shape(tuple(shape))
        if settings is not None:
            model.compile(**settings)
        return model

    @classmethod
    def _made_from(cls, arguments: dict[str, Any]) -> Self:
        return cls(**arguments)

    def build_for_shape(self, input_shape: Shape) -> None:
        """Build the layers for inputs of ``input_shape``, batch size first."""
        with no_grad():
            self(zeros(1, *(size or 1 for size in input_shape[1:])))


class Sequential(Model):
    """Layers that run one after another.

    Args:
        layers: a list of layers; more can be added.
        trainable: False freezes the weights of all layers.
        name: what the model is called.

    >>> from nnkit.keras.layers import Dense
    >>> model = Sequential([Dense(8, activation="relu", input_shape=(4,)), Dense(3)])
    >>> model.output_shape, model.count_params()
    ((None, 3), 67)
    """

    def __init__(self, layers: Iterable[Layer] | None = None, trainable: bool = True, name: str | None = None) -> None:
        super().__init__(name=name, trainable=trainable)
        self._layers: list[Layer] = []
        self._input_shape: Shape | None = None
        self._output_shapes: list[Shape] = []
        for layer in layers or ():
            self.add(layer)

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the input layer."""
        return list(self._layers)

    def add(self, layer: Layer) -> None:
        """Put a layer at the end; builds it if the model's input shape is known.

        Raises:
            TypeError: ``layer`` is no layer. ValueError: its name is taken, or it is a second input layer.
        """
        if not isinstance(layer, Layer):
            hint = f"; make an instance: {layer.__name__}(...)" if isinstance(layer, type) else ""
            raise TypeError(f"Sequential.add expects a layer of nnkit.keras.layers, got {layer!r}{hint}")
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
        self._input_shape = layer.batch_shape

    def _number(self) -> None:
        """Register the layers as modules "0", "1", … and tell them which is last."""
        self._modules.clear()
        for position, layer in enumerate(self._layers):
            self.add_module(str(position), layer)
            layer.is_hidden = position < len(self._layers) - 1

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

    def build_for(self, x: Any) -> None:
        self.build((None, *host_array(x, "x").shape[1:]))

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        x = inputs if self._input_shape is None else matched(inputs, self._input_shape)
        for layer in self._layers:
            x = layer(x, training=training)
        return x

    # ---- shapes -------------------------------------------------------------------------------------------

    @property
    def input_shape(self) -> Shape:
        """The shape of the input, batch size first."""
        self.require_built()
        assert self._input_shape is not None
        return self._input_shape

    @property
    def output_shape(self) -> Shape:
        """The shape of the output, batch size first."""
        self.require_built()
        return self._output_shapes[-1]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        for layer in self._layers:
            input_shape = layer.compute_output_shape(input_shape)
        return tuple(input_shape)

    def output_shape_for(self, x: Any) -> Shape:
        return self.output_shape

    def _layer_output_shapes(self) -> list[Shape | None]:
        return [*self._output_shapes, *[None] * (len(self._layers) - len(self._output_shapes))]

    # ---- configuration ------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The layers with their configurations, the input shape, and what ``compile`` was given."""
        return {
            **super().get_config(),
            "layers": [_described(layer) for layer in self._layers],
            "build_input_shape": self._input_shape,
        }

    @classmethod
    def _made_from(cls, arguments: dict[str, Any]) -> Self:
        layers = [_layer_of(description) for description in arguments.pop("layers")]
        return cls(layers, **arguments)

    def build_for_shape(self, input_shape: Shape) -> None:
        if self._layers:
            self.build(input_shape)
        else:
            self._input_shape = input_shape


def load_model(filepath: str | os.PathLike[str], compile: bool = True) -> Model:
    """The model that :meth:`Model.save` wrote, with its weights; opening a file runs no code from it.

    Args:
        filepath: where the file is.
        compile: whether to compile the model as it was; the optimizer begins afresh.

    Raises:
        ModelFileError: the file is damaged, is no Keras model, or needs a class that is not registered.
    """
    model = io.load(filepath)
    if not isinstance(model, Model):
        raise ModelFileError(
            f"{os.fspath(filepath)!r} holds a {type(model).__name__}, no model of nnkit.keras; open it with nnkit.load"
        )
    model.compiled = model.compiled and compile
    return model


def _shape_of_first(layer: Layer) -> Shape | None:
    """The input shape that a model's first layer states, batch size first."""
    if isinstance(layer, Sequential) and layer.built:
        return layer.input_shape
    return None if layer.sample_shape is None else (None, *layer.sample_shape)


def _described(layer: Layer) -> Any:
    """A layer as a configuration; the layer itself where its class is not registered, for messages to name."""
    name = name_of(type(layer))
    return layer if name is None else {"class_name": name, "config": layer.get_config()}


def _layer_of(description: Any) -> Layer:
    if isinstance(description, Layer):
        return description
    cls = lookup(description["class_name"])
    if not (isinstance(cls, type) and issubclass(cls, Layer)):
        raise ModelFileError(f"{description['class_name']!r} is no layer of nnkit.keras")
    return cls.from_config(description["config"])
