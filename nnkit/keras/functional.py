"""The functional part of Model: ``Model(inputs, outputs)``, made of the layers between symbolic tensors.

Its inputs are given in the structure in which the model was made: one tensor, a list or tuple, a dict; or, for a list
of inputs, as a dict by their names. Training hands them over side by side, as ``Several``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nnkit import get_default_dtype, nn
from nnkit.backends.recording import recorder
from nnkit.errors import ShapeError
from nnkit.keras.calling import calls, within_call
from nnkit.keras.graph import Graph
from nnkit.keras.input_layer import Input
from nnkit.keras.layer import Layer, Shape
from nnkit.keras.masks import Masked, mask_of, unmasked, with_mask
from nnkit.keras.naming import automatic_name, numbered
from nnkit.keras.readable import readable
from nnkit.keras.shapes import matched
from nnkit.keras.symbolic import KerasTensor, Operation, leaves
from nnkit.keras.trainer import Trainer
from nnkit.recording.structures import rebuilt
from nnkit.tensors.creation import as_tensor, tensor
from nnkit.tensors.tensor import Tensor
from nnkit.training.several import Several

__all__ = ["Functional"]


class Functional(Trainer):
    """A model that may be made of symbolic tensors; without them it has a ``call`` of its own."""

    states_output_shape = False

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, trainable: bool = True
    ) -> None:
        if (inputs is None) != (outputs is None):
            raise TypeError("Model: inputs and outputs belong together; pass both, or neither in a subclass")
        graph = None if inputs is None else Graph(inputs, outputs, _stand_in)
        if name is None and graph is not None and "call" not in vars(type(self)):
            name = numbered("functional") if type(self).__name__ == "Model" else automatic_name(type(self))
        super().__init__(name=name, trainable=trainable)
        self._graph: Graph | None = graph
        if graph is not None:
            vars(self)["_made_with"] = ((), {})  # not the tensors of the whole graph
            self._connect(graph)

    def _connect(self, graph: Graph) -> None:
        """Take over the layers of a graph, in Keras's order."""
        last = {id(tensor.node.operation) for tensor in graph.flat_outputs if tensor.node is not None}
        for position, layer in enumerate(self.layers):
            self.add_module(str(position), layer)
            layer.is_hidden = id(layer) not in last
        self.states_output_shape = True
        self.built = True
        if not self._trainable:
            self.trainable = False

    @property
    def is_functional(self) -> bool:
        """Whether the model was made of symbolic tensors."""
        return self._graph is not None

    def _made(self, what: str) -> Graph:
        if self._graph is None:
            raise AttributeError(f"model {self.name!r} was not made of symbolic tensors, so it has no {what}")
        return self._graph

    # ---- running ----------------------------------------------------------------------------------------------

    def forward(self, *args: Any, keep_mask: bool = False, **options: Any) -> Any:
        """The outputs in the structure of the model's; for inputs side by side, more than one are side by side, too."""
        graph = self._graph
        if graph is None or type(self).call is not Functional.call:
            found = super().forward(*args, **options)
            return found if keep_mask or self.hands_mask_on else _plain(found)
        inputs, training, mask = _arguments(*args, **options)
        self._begin_losses()
        training = self.is_training(training)
        with within_call(training):
            flat = self._run(graph, inputs, training, mask)
        if isinstance(inputs, Several) and self.output_keys is not None:
            return Several(flat if self.hands_mask_on else [unmasked(part) for part in flat], self.output_keys)
        found = graph.replaced(flat)
        return found if keep_mask or self.hands_mask_on else _plain(found)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if self._graph is None:
            return super().call(inputs)
        return self._graph.replaced(self._run(self._graph, inputs, self.is_training(training), mask))

    def _run(self, graph: Graph, inputs: Any, training: bool, mask: Any = None) -> list[Any]:
        values = [
            _fitted(self, value, spec)
            for value, spec in zip(self._arranged(graph, inputs), graph.flat_inputs, strict=True)
        ]
        if mask is not None:
            masks = list(mask) if isinstance(mask, (tuple, list)) else [mask]
            values = [x if m is None else with_mask(x, as_tensor(m)) for x, m in zip(values, masks, strict=True)]
        return graph.run(values, {"training": training, "keep_mask": True})

    def _arranged(self, graph: Graph, inputs: Any) -> list[Any]:
        """The inputs, flat, in the order of the model's."""
        if isinstance(inputs, Several):
            return list(inputs.parts)
        names, structure = [spec.name for spec in graph.flat_inputs], graph.inputs
        if isinstance(inputs, Mapping):
            keys = sorted(structure, key=str) if isinstance(structure, dict) else names
            missing = [key for key in keys if key not in inputs]
            if missing:
                raise ValueError(
                    f"model {self.name!r} has the inputs {keys}; the dict that it was called with lacks {missing} and "
                    f"has {list(inputs)}"
                )
            return [inputs[key] for key in keys]
        if len(names) == 1:
            listed = isinstance(inputs, (list, tuple)) and len(inputs) == 1
            return [inputs[0] if listed and isinstance(inputs[0], (Tensor, np.ndarray)) else inputs]
        given = list(leaves(inputs)) if isinstance(inputs, (list, tuple)) else [inputs]
        if len(given) != len(names):
            raise ValueError(
                f"model {self.name!r} has {len(names)} inputs, {names}; it was called with {len(given)}: pass a list "
                "in this order, or a dict by these names"
            )
        return given

    # ---- what is in it ----------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """The layers directly inside the model, those of its inputs included."""
        if self._graph is None:
            return self._parts()[1]
        own = [operation for operation in self._graph.operations if isinstance(operation, Layer)]
        return own + [layer for layer in self._parts()[1] if not any(layer is other for other in own)]

    @property
    def operations(self) -> list[Layer | Operation]:
        """The layers, and the functions of tensors between them."""
        return list(self._made("operations").operations)

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic tensors that go in, as a flat list."""
        return list(self._made("inputs").flat_inputs)

    @property
    def outputs(self) -> list[KerasTensor]:
        """The symbolic tensors that come out, as a flat list."""
        return list(self._made("outputs").flat_outputs)

    @property
    def input(self) -> Any:
        """What goes in, in the structure in which the model was made."""
        return super().input if self._graph is None else self._graph.inputs

    @property
    def output(self) -> Any:
        """What comes out, in the structure in which the model was made."""
        return super().output if self._graph is None else self._graph.outputs

    @property
    def input_shape(self) -> Any:
        """The shape of the input, batch size first; a list of them where there is more than one."""
        shapes = [tensor.shape for tensor in self.inputs]
        return shapes[0] if len(shapes) == 1 else shapes

    @property
    def output_shape(self) -> Any:
        """The shape of the output, batch size first; a list of them where there is more than one."""
        shapes = [tensor.shape for tensor in self.outputs]
        return shapes[0] if len(shapes) == 1 else shapes

    @property
    def input_names(self) -> list[str]:
        """What the inputs are called."""
        return [tensor.name for tensor in self.inputs]

    @property
    def output_names(self) -> list[str] | None:
        """The layers or functions that the outputs come from."""
        if self._graph is None:
            return None
        return [tensor.node.operation.name for tensor in self.outputs if tensor.node is not None]

    @property
    def output_keys(self) -> Sequence[str] | None:  # type: ignore[override]
        """The names by which losses and metrics call the outputs: the keys of a dict, else ``output_names``."""
        if self._graph is None or (len(self._graph.flat_outputs) == 1 and not isinstance(self._graph.outputs, dict)):
            return None
        outputs = self._graph.outputs
        if isinstance(outputs, dict):
            return sorted(outputs) if len(outputs) == len(self._graph.flat_outputs) else None
        return self.output_names

    def output_shape_for(self, x: Any) -> Any:
        if self._graph is None:
            return super().output_shape_for(x)
        shapes = [tensor.shape for tensor in self._graph.flat_outputs]
        return shapes[0] if self.output_keys is None else Several(shapes, self.output_keys)

    def _structured(self, found: Any) -> Any:
        return found if self._graph is None or not isinstance(found, Several) else self._graph.replaced(found.parts)

    @property
    def outputs_are_keyed(self) -> bool:  # type: ignore[override]
        """Whether the outputs are a dict."""
        return self._graph is not None and isinstance(self._graph.outputs, dict)

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self._graph is None:
            return super().compute_output_shape(input_shape)
        given = _flat_shapes(input_shape)
        tensors = self._graph.flat_inputs
        if any(shape[1:] != spec.shape[1:] for shape, spec in zip(given, tensors, strict=True)):
            renewed = [KerasTensor(shape, spec.dtype) for shape, spec in zip(given, tensors, strict=True)]
            found = self._graph.run(renewed, {})
            return self._graph.replaced([tensor.shape for tensor in found])
        return self._graph.replaced([tensor.shape for tensor in self._graph.flat_outputs])


def _arguments(inputs: Any, training: bool | None = None, mask: Any = None) -> tuple[Any, bool | None, Any]:
    """The arguments of a call."""
    return inputs, training, mask


def _plain(outputs: Any) -> Any:
    """Outputs without masks; where nothing is recorded and no layer called, they can be read though on the tape."""
    found = rebuilt(outputs, unmasked)
    return found if calls.depth or recorder() is not None else readable(found)


def _flat_shapes(shapes: Any) -> list[Shape]:
    if isinstance(shapes, dict):
        return [shape for key in sorted(shapes, key=str) for shape in _flat_shapes(shapes[key])]
    if isinstance(shapes, (list, tuple)) and shapes and isinstance(shapes[0], (list, tuple, dict)):
        return [shape for part in shapes for shape in _flat_shapes(part)]
    return [tuple(shapes)]


def _stand_in(made: KerasTensor) -> KerasTensor:
    """The input of a model that begins at a tensor which a layer made."""
    found: KerasTensor = Input(batch_shape=made.shape, dtype=made.dtype, name=made.name)
    return found


def _fitted(model: nn.Module, value: Any, spec: KerasTensor) -> Tensor:
    """An input as a Tensor of the kind of number that the model states, and of its rank; raises ShapeError."""
    x, floating = value, spec.dtype.startswith(("float", "bfloat"))
    if not isinstance(x, Tensor):
        array = np.asarray(x)
        x = tensor(array, dtype=get_default_dtype() if floating and array.dtype.kind in "fiub" else None)
    if floating != x.is_floating_point() and spec.dtype != "bool":
        found = x.to(get_default_dtype()) if floating else x.long()
        x = with_mask(found, x.mask) if isinstance(x, Masked) else found
    mask = mask_of(x)
    fitted = matched(x, spec.shape)
    expected = (None, *spec.shape[1:])
    good = fitted.ndim == len(expected) and all(
        size in (None, given) for size, given in zip(expected, fitted.shape, strict=True)
    )
    if not good:
        raise ShapeError(
            f"model {getattr(model, 'name', '')!r}: input {spec.name!r} must have shape {spec.shape}, got "
            f"{tuple(x.shape)}"
        )
    return with_mask(fitted, mask) if mask is not None and mask_of(fitted) is None else fitted
