"""A model: layers that can be trained, saved and loaded. Definitions: ``keras.Model``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Self

from nnkit.keras import objects
from nnkit.keras.arguments import taken
from nnkit.keras.functional import Functional
from nnkit.keras.graph_config import described_graph, graph_of
from nnkit.keras.layer import Layer, Shape
from nnkit.keras.shape_trees import as_shape
from nnkit.keras.summary import summary_text
from nnkit.keras.with_files import WithFiles
from nnkit.tensors.creation import zeros
from nnkit.tensors.tape import no_grad

__all__ = ["Model"]


class Model(Functional, WithFiles):
    """What lies between symbolic tensors; or the base class of models of your own.

    ``Model(inputs, outputs)`` is made of the layers between symbolic tensors, alone or in lists, tuples and dicts. A
    subclass without them makes layers in ``__init__`` and runs them in ``call(self, inputs)``.

    Args:
        inputs: symbolic tensors, as ``Input`` returns them.
        outputs: symbolic tensors that layers made of them.
        name: what the model is called; by default made from the class name.
        trainable: False freezes the weights.

    Raises ValueError for inputs that are not symbolic, and by ``fit`` before ``compile``; TypeError for an argument
    that is none. Source: ``keras.Model``.

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


def _shape_at_first_call(layer: Any) -> Any:
    """The shape of what a layer put out when it was first called; None where that takes a call of the user's code."""
    shape, says = layer._built_for_shape, layer.states_output_shape or type(layer).__module__.startswith("nnkit.")
    if shape is None or not layer.built or not says:
        return None
    try:
        return layer.compute_output_shape(shape)
    except (TypeError, ValueError, NotImplementedError):
        return None
