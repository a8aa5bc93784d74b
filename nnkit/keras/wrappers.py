"""Layers around a layer: in both directions of a sequence, and for each of its steps."""

from __future__ import annotations

from typing import Any, Unpack

from nnkit import ops
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.io.registry import lookup, name_of
from nnkit.keras.layer import Layer, LayerOptions, Shape
from nnkit.keras.masks import unmasked, with_mask
from nnkit.keras.normalization import BatchNormalization
from nnkit.keras.recurrent_layer import RecurrentLayer
from nnkit.tensors.tensor import Tensor

__all__ = ["Bidirectional", "TimeDistributed"]

MERGE_MODES = ("sum", "mul", "concat", "ave", None)


def _described(layer: Layer) -> Any:
    name = name_of(type(layer))
    return layer if name is None else {"class_name": name, "config": layer.get_config()}


def _made(layer: Any) -> Layer:
    if isinstance(layer, Layer):
        return layer
    kind: Any = lookup(layer["class_name"])
    made: Layer = kind.from_config(layer["config"])
    return made


class Bidirectional(Layer):
    """A recurrent layer from the first step to the last, and another like it from the last to the first.

    Args:
        layer: a SimpleRNN, LSTM or GRU.
        merge_mode: "concat", "sum", "ave" or "mul" of the two outputs; None puts out both.
        weights: of both, a list of arrays.
        backward_layer: the other layer, with ``go_backwards``; by default made like ``layer``.

    >>> from nnkit.keras.recurrent import LSTM
    >>> Bidirectional(LSTM(4))([[[1.0], [2.0]]]).shape
    (1, 8)
    """

    supports_masking = True

    def __init__(
        self, layer: Any, merge_mode: str | None = "concat", weights: Any = None, backward_layer: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        layer = _made(layer)
        if not isinstance(layer, RecurrentLayer):
            raise TypeError(f"Bidirectional: layer must be a SimpleRNN, LSTM or GRU, got {type(layer).__name__}")
        if merge_mode not in MERGE_MODES:
            raise UnknownNameError("merge_mode", merge_mode, [mode for mode in MERGE_MODES if mode])
        self.merge_mode, self._given_weights = merge_mode, weights
        self.forward_layer = layer
        if backward_layer is None:
            config = layer.get_config() | {"go_backwards": not layer.go_backwards, "name": f"backward_{layer.name}"}
            self.backward_layer = type(layer).from_config(config)
        else:
            other = _made(backward_layer)
            if not isinstance(other, RecurrentLayer):
                raise TypeError(f"Bidirectional: backward_layer must be recurrent, got {type(other).__name__}")
            self.backward_layer = other
            if self.backward_layer.go_backwards == layer.go_backwards:
                raise ValueError("Bidirectional: layer and backward_layer must run in different directions")
        self.return_sequences, self.return_state = layer.return_sequences, layer.return_state
        layer.zero_output_for_mask = self.backward_layer.zero_output_for_mask = True

    def build(self, input_shape: Shape) -> None:
        self.forward_layer.ensure_built(input_shape)
        self.backward_layer.ensure_built(input_shape)
        if self._given_weights is not None:
            self.set_weights(self._given_weights)

    def reset_states(self) -> None:
        """Forget the states that the last batch ended with, in both directions."""
        self.forward_layer.reset_states()
        self.backward_layer.reset_states()

    reset_state = reset_states

    def call(
        self, inputs: Tensor, mask: Tensor | None = None, training: bool = False, initial_state: Any = None
    ) -> Any:
        states: list[Any] = [None, None]
        if initial_state is not None:
            given, half = list(initial_state), self.forward_layer.state_count
            states = [given[:half], given[half:]]
        results = []
        for layer, first in zip((self.forward_layer, self.backward_layer), states, strict=True):
            results.append(layer.call(inputs, mask=mask, training=training, initial_state=first))
        outputs, last = results, list[Tensor]()
        if self.return_state:
            outputs, last = [r[0] for r in results], [state for r in results for state in r[1:]]
        one, other = outputs
        if self.return_sequences:
            other = other[:, ::-1]
        merged = self._merged(one, other)
        if not self.return_state:
            return merged
        return (*merged, *last) if isinstance(merged, tuple) else (merged, *last)

    def _merged(self, one: Tensor, other: Tensor) -> Any:
        if self.merge_mode == "concat":
            return ops.cat([one, other], -1)
        if self.merge_mode == "mul":
            return one * other
        if self.merge_mode is None:
            return one, other
        total = one + other
        return total / 2.0 if self.merge_mode == "ave" else total

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        return previous_mask if self.return_sequences else None

    def compute_output_shape(self, input_shape: Shape) -> Any:
        found = self.forward_layer.compute_output_shape(input_shape)
        output, states = (found[0], list(found[1:])) if self.return_state else (found, [])
        if self.merge_mode is None:
            return (output, output, *states, *states)
        if self.merge_mode == "concat":
            output = (*output[:-1], 2 * output[-1])
        return (output, *states, *states) if states else output

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "layer": _described(self.forward_layer),
            "merge_mode": self.merge_mode,
            "backward_layer": _described(self.backward_layer),
        }


class TimeDistributed(Layer):
    """A layer for each step of (batch, steps, …) by itself, with the same weights.

    All steps of a batch are one batch to the layer, but for one with a batch
    normalization in training: as in Keras that has the statistics of each step by itself, one after the other.

    >>> from nnkit.keras.layers import Dense
    >>> TimeDistributed(Dense(4))([[[1.0], [2.0]]]).shape
    (1, 2, 4)
    """

    supports_masking = True

    def __init__(self, layer: Any, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        made = _made(layer)
        if not isinstance(made, Layer):
            raise TypeError(f"TimeDistributed: layer must be a layer, got {type(made).__name__}")
        self.layer = made

    def build(self, input_shape: Shape) -> None:
        if len(input_shape) < 3:
            raise ShapeError(
                f"TimeDistributed layer {self.name!r} needs inputs of shape (batch, steps, …); got {tuple(input_shape)}"
            )
        self.layer.is_hidden = True
        self.layer.ensure_built((None, *input_shape[2:]))

    def call(self, inputs: Tensor, training: bool = False, mask: Tensor | None = None) -> Tensor:
        B, T = inputs.shape[:2]
        if mask is not None and mask.ndim != inputs.ndim - 1:  # it says nothing about the parts of a step
            mask = None
        if training and any(isinstance(part, BatchNormalization) for part in self.layer.modules()):
            made = [self._of_step(inputs[:, t], None if mask is None else mask[:, t], training) for t in range(T)]
            return ops.stack(made, 1)
        flat = None if mask is None else mask.reshape(B * T, *mask.shape[2:])
        y = self._of_step(inputs.reshape(B * T, *inputs.shape[2:]), flat, training)
        return y.reshape(B, T, *y.shape[1:])

    def _of_step(self, x: Tensor, mask: Tensor | None, training: bool) -> Tensor:
        return unmasked(self.layer(x if mask is None else with_mask(x, mask), training=training))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:2], *self.layer.compute_output_shape((None, *input_shape[2:]))[1:])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer": _described(self.layer)}
