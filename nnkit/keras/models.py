"""Models: layers that can be trained, saved and loaded. ``Sequential`` runs them one after another.

A Sequential model whose input shape is known (an ``Input``, or ``input_shape=`` of the first layer) has its
weights as soon as a layer is added; another one gets them at the first ``build``, call or ``fit``.
Definitions: ``keras.Model``, ``keras.Sequential``.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from nnkit import io
from nnkit.errors import ModelFileError, ShapeError
from nnkit.keras import files, objects
from nnkit.keras.functional import Functional
from nnkit.keras.graph_config import described, described_graph, graph_of, layer_of, one_description, with_operations
from nnkit.keras.input_layer import InputLayer
from nnkit.keras.layer import Layer, Shape, normalized_shape, taken
from nnkit.keras.shape_trees import as_shape
from nnkit.keras.shapes import matched
from nnkit.keras.summary import summary_text
from nnkit.keras.symbolic import KerasTensor, Operation, apply, leaves
from nnkit.keras.symbolic_calls import tensors_of
from nnkit.keras.with_files import WithFiles
from nnkit.tensors.creation import zeros
from nnkit.tensors.tape import no_grad
from nnkit.training.values import host_array

__all__ = ["Model", "Sequential", "clone_model", "load_model"]

#: How a model without an input shape gets one.
TO_BUILD = "state it (Input, or build(input_shape)), or call the model on data first"


class Model(Functional, WithFiles):
    """What lies between symbolic tensors; or the base class of models of your own.

    ``Model(inputs, outputs)`` is made of the layers between symbolic tensors, alone or in lists, tuples and dicts. A
    subclass without them makes layers in ``__init__`` and runs them in ``call(self, inputs)``.

    Args:
        inputs: symbolic tensors, as ``Input`` returns them.
        outputs: symbolic tensors that layers made of them.
        name: what the model is called; by default made from the class name.
        trainable: False freezes the weights.

    >>> from nnkit.keras.layers import Add, Dense, Input
    >>> x = Input(shape=(4,))
    >>> model = Model(x, Dense(3)(Add()([x, Dense(4, activation="relu")(x)])))
    >>> model.output_shape, model.count_params()
    ((None, 3), 35)
    """

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

    def to_json(self, **options: Any) -> str:
        """The model's layers as JSON text, without weights; ``options`` go to ``json.dumps``.

        ``models.model_from_json`` makes a model of it.
        """
        return json.dumps(objects.described(self), **options)

    def summary(
        self, line_length: int | None = None, positions: None = None, print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False, show_trainable: bool = False, layer_range: Any = None,
    ) -> None:  # fmt: skip
        """Print each layer's output shape and number of parameters, what it is connected to, and the totals.

        Args:
            line_length: the width of the table, 76 by default.
            positions: accepted; the columns have Keras's widths.
            print_fn: what to call with the text instead of ``print``.
            expand_nested: whether to list the layers of models in the model.
            show_trainable: whether to tell which layers are trained.
            layer_range: the names, or patterns, of the first and of the last layer to list.
        """
        text = summary_text(self, line_length or 76, expand_nested, show_trainable, layer_range)
        (print if print_fn is None else print_fn)(text)

    def _layer_output_shapes(self) -> list[Any]:
        """The shapes of what the parts of the model return, for the summary."""
        if self._graph is None:
            return [_shape_at_first_call(layer) for layer in self.layers]
        found = []
        for operation in self._graph.operations:
            nodes = self._graph.uses(operation) or operation._inbound_nodes[:1]
            shapes = [tensor.shape for tensor in nodes[-1].made]
            found.append(shapes[0] if len(shapes) == 1 else shapes)
        return found

    # ---- configuration ------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, the input shape or the layers, and what ``compile`` was given."""
        built = {"build_input_shape": self._built_for_shape}
        own: dict[str, Any] = {"name": self.name, "trainable": self._trainable}
        if self._graph is None and self._asks_what_it_was_made_with():
            own = taken(type(self), own) | self._given_arguments()
        return {
            **own,
            **(built if self._graph is None else {"graph": described_graph(self._graph)}),
            "compile": self.compile_config() if self.compiled else None,
        }

    def _asks_what_it_was_made_with(self) -> bool:
        return type(self).get_config is Model.get_config and type(self).__init__ is not Model.__init__

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The model that :meth:`get_config` described, without its weights."""
        arguments = dict(config)
        shape, settings = arguments.pop("build_input_shape", None), arguments.pop("compile", None)
        if "graph" in arguments:
            arguments["inputs"], arguments["outputs"] = graph_of(arguments.pop("graph"))
        model = cls._made_from(arguments)
        if shape is not None:
            model.build_for_shape(tuple(shape))
        if settings is not None:
            model.compile(**settings)
        return model

    @classmethod
    def _made_from(cls, arguments: dict[str, Any]) -> Self:
        return cls(**arguments)

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of ``input_shape``, batch size first: the model is called once, on zeros."""
        if input_shape is not None and not self.built and not self.__dict__.pop("_in_call", False):
            self.build_for_shape(as_shape(input_shape))
        self._note_built()

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


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Model:
    """The model that :meth:`Model.save`, or Keras 3's, wrote, with its weights; opening a file runs no code from it.

    Args:
        filepath: where the file is: of nnkit's own, ``.keras`` or ``.h5``; its first bytes tell which.
        custom_objects: classes and functions that the file names, which are not registered: ``{"Twice": Twice}``.
        compile: whether to compile the model as it was; out of nnkit's own files the optimizer begins afresh.
        safe_mode: accepted; nothing is ever run out of a file.

    Raises:
        ModelFileError: the file is damaged, is no Keras model, or needs a class that is not registered.

    >>> import tempfile
    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/model.safetensors")
    ...     load_model(f"{folder}/model.safetensors").count_params()
    3
    """
    if isinstance(custom_objects, bool):  # An older order of nnkit's: load_model(path, False).
        custom_objects, compile = None, custom_objects
    with objects.CustomObjectScope(custom_objects or {}):
        kind = files.magic_of(filepath)
        model = io.load(filepath) if kind is None else files.load_model(filepath, kind, compile)
    if not isinstance(model, Model):
        raise ModelFileError(
            f"{os.fspath(filepath)!r} holds a {type(model).__name__}, no model of nnkit.keras; open it with nnkit.load"
        )
    model.compiled = model.compiled and compile
    return model


def _shape_at_first_call(layer: Any) -> Any:
    """The shape of what a layer put out when it was first called; None where that takes a call of the user's code."""
    shape, says = layer._built_for_shape, layer.states_output_shape or type(layer).__module__.startswith("nnkit.")
    if shape is None or not layer.built or not says:
        return None
    try:
        return layer.compute_output_shape(shape)
    except (TypeError, ValueError, NotImplementedError):
        return None


def _shape_of_first(layer: Layer) -> Shape | None:
    """The input shape that a model's first layer states, batch size first."""
    if isinstance(layer, Sequential) and layer.built:
        return layer.input_shape
    return None if layer.sample_shape is None else (None, *layer.sample_shape)


def clone_model(model: Model, input_tensors: Any = None, clone_function: Any = None, **ignored: Any) -> Model:
    """A model of the same layers with weights of its own, newly drawn. Source: ``keras.models.clone_model``.

    Args:
        model: a functional or Sequential model.
        input_tensors: symbolic tensors for it to begin with.
        clone_function: what makes a layer of each layer; ``from_config`` of its configuration by default.

    Raises:
        ValueError: a model of another kind.

    >>> from nnkit import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> clone_model(model).count_params()
    3
    """
    clone = clone_function or (lambda layer: type(layer).from_config(layer.get_config()))
    if isinstance(model, Sequential):
        copy = Sequential([clone(layer) for layer in model.layers], name=model.name)
        if model._input_shape is not None and not copy.built and copy.layers:
            copy.build(model._input_shape)
        return copy
    if model._graph is None:
        raise ValueError(f"clone_model takes functional and Sequential models; {model.name!r} has a call of its own")

    def changed(operation: Any) -> Any:
        if isinstance(operation, Operation):
            return Operation(operation.function, operation.name)
        own = isinstance(operation, InputLayer)
        return type(operation).from_config(operation.get_config()) if own else clone(operation)

    given = None if input_tensors is None else list(leaves(input_tensors))
    inputs, outputs = with_operations(model._graph, changed, given)
    return type(model)(inputs, outputs, name=model.name)


def __getattr__(name: str) -> Any:
    """What stands in ``saving``, which is made of models, under Keras's second name."""
    if name in ("model_from_json", "save_model"):
        return getattr(importlib.import_module("nnkit.keras.saving"), name)
    raise AttributeError(f"module 'nnkit.keras.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
