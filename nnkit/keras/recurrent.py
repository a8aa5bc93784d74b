"""SimpleRNN, LSTM and GRU with Keras's arguments, gates and defaults.

Each says its gates and what one step does; ``recurrent_layer`` runs over the steps. One with other activations than the
usual ones, or a GRU with the reset before the product, is slower.
"""

from __future__ import annotations

from typing import Any, Unpack

from nnkit import ops
from nnkit.keras import activations
from nnkit.keras.layer import LayerOptions
from nnkit.keras.recurrent_layer import RecurrentLayer, States
from nnkit.recording.observer import call
from nnkit.tensors.tensor import Tensor

__all__ = ["GRU", "LSTM", "SimpleRNN"]


class SimpleRNN(RecurrentLayer):
    """``activation(x W + h U + b)``, step by step.

    See ``RecurrentLayer`` for the arguments.

    >>> SimpleRNN(4, return_sequences=True)([[[1.0], [2.0]]]).shape
    (1, 2, 4)
    """

    gates, kind = 1, "tanh"

    def __init__(
        self, units: int, activation: Any = "tanh", use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal", bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
        kernel_constraint: Any = None, recurrent_constraint: Any = None, bias_constraint: Any = None,
        dropout: float = 0.0, recurrent_dropout: float = 0.0, return_sequences: bool = False,
        return_state: bool = False, go_backwards: bool = False, stateful: bool = False, unroll: bool = False,
        seed: int | None = None, **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        others = {
            "activity_regularizer": activity_regularizer, "kernel_constraint": kernel_constraint,
            "recurrent_constraint": recurrent_constraint, "bias_constraint": bias_constraint,
        }  # fmt: skip
        super().__init__(
            units, activation, "sigmoid", use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, others, dropout, recurrent_dropout,
            return_sequences, return_state, go_backwards, stateful, unroll, seed, options,
        )  # fmt: skip

    def _step(self, entering: Tensor, states: States) -> States:
        return [call(self.activation, entering + ops.linear(states[0], self.recurrent_rows))]


class LSTM(RecurrentLayer):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997): gates in the order i, f, c, o; states h and c.

    ``unit_forget_bias`` starts the forget gate's bias at 1. See ``RecurrentLayer`` for the other arguments.

    >>> LSTM(4)([[[1.0], [2.0]]]).shape
    (1, 4)
    """

    gates, kind, state_count = 4, "lstm", 2

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros", unit_forget_bias: bool = True, kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
        kernel_constraint: Any = None, recurrent_constraint: Any = None, bias_constraint: Any = None,
        dropout: float = 0.0, recurrent_dropout: float = 0.0, seed: int | None = None, return_sequences: bool = False,
        return_state: bool = False, go_backwards: bool = False, stateful: bool = False, unroll: bool = False,
        use_cudnn: Any = "auto", **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        others = {
            "activity_regularizer": activity_regularizer, "kernel_constraint": kernel_constraint,
            "recurrent_constraint": recurrent_constraint, "bias_constraint": bias_constraint,
        }  # fmt: skip
        super().__init__(
            units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer,
            bias_initializer, kernel_regularizer, recurrent_regularizer, bias_regularizer, others, dropout,
            recurrent_dropout, return_sequences, return_state, go_backwards, stateful, unroll, seed, options,
        )  # fmt: skip
        self.unit_forget_bias = bool(unit_forget_bias)

    def _draw(self) -> None:
        super()._draw()
        if self.unit_forget_bias and self.bias is not None:
            self.bias[self.units : 2 * self.units] = 1.0

    def _step(self, entering: Tensor, states: States) -> States:
        h, c = states
        i, f, g, o = self._parts_of(entering + ops.linear(h, self.recurrent_rows))
        i, f, o = (call(self.recurrent_activation, z) for z in (i, f, o))
        after = f * c + i * call(self.activation, g)
        return [o * call(self.activation, after), after]

    def get_config(self) -> dict[str, Any]:
        named = activations.serialize(self.recurrent_activation) or self.recurrent_activation
        return {**super().get_config(), "recurrent_activation": named, "unit_forget_bias": self.unit_forget_bias}


class GRU(RecurrentLayer):
    """The gated recurrent unit (Cho et al., 2014), with gates in the order z, r, h.

    ``reset_after`` multiplies by the reset gate after the state's product, and has two biases (2, 3 units); False does
    so before. See ``RecurrentLayer`` for the other arguments.

    >>> GRU(4)([[[1.0], [2.0]]]).shape
    (1, 4)
    """

    gates, kind = 3, "gru"

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros", kernel_regularizer: Any = None, recurrent_regularizer: Any = None,
        bias_regularizer: Any = None, activity_regularizer: Any = None, kernel_constraint: Any = None,
        recurrent_constraint: Any = None, bias_constraint: Any = None, dropout: float = 0.0,
        recurrent_dropout: float = 0.0, seed: int | None = None, return_sequences: bool = False,
        return_state: bool = False, go_backwards: bool = False, stateful: bool = False, unroll: bool = False,
        reset_after: bool = True, use_cudnn: Any = "auto", **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        others = {
            "activity_regularizer": activity_regularizer, "kernel_constraint": kernel_constraint,
            "recurrent_constraint": recurrent_constraint, "bias_constraint": bias_constraint,
        }  # fmt: skip
        super().__init__(
            units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer,
            bias_initializer, kernel_regularizer, recurrent_regularizer, bias_regularizer, others, dropout,
            recurrent_dropout, return_sequences, return_state, go_backwards, stateful, unroll, seed, options,
        )  # fmt: skip
        self.reset_after = bool(reset_after)

    def _bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def _is_usual(self) -> bool:
        return self.reset_after and super()._is_usual()

    def _weights(self) -> list[Tensor | None]:
        biases = [None, None] if self.bias is None else [self._swapped(self.bias[0]), self._swapped(self.bias[1])]
        return [self._swapped(self.kernel_rows), self._swapped(self.recurrent_rows), *biases]

    def _swapped(self, rows: Tensor) -> Tensor:
        """The rows of z, r and h in the order r, z, h, which ``ops.recurrence`` takes."""
        return ops.cat([rows[self.units : 2 * self.units], rows[: self.units], rows[2 * self.units :]])

    def _entering_bias(self) -> Tensor | None:
        return self.bias[0] if self.reset_after and self.bias is not None else self.bias

    def _step(self, entering: Tensor, states: States) -> States:
        (h,), (xz, xr, xh) = states, self._parts_of(entering)
        if self.reset_after:
            bias = None if self.bias is None else self.bias[1]
            hz, hr, hh = self._parts_of(ops.linear(h, self.recurrent_rows, bias))
            z, r = (call(self.recurrent_activation, x) for x in (xz + hz, xr + hr))
            new = call(self.activation, xh + r * hh)
        else:
            rows = self.recurrent_rows
            hz, hr = (ops.linear(h, rows[g * self.units : (g + 1) * self.units]) for g in range(2))
            z, r = (call(self.recurrent_activation, x) for x in (xz + hz, xr + hr))
            new = call(self.activation, xh + ops.linear(r * h, rows[2 * self.units :]))
        return [z * h + (1.0 - z) * new]

    def get_config(self) -> dict[str, Any]:
        named = activations.serialize(self.recurrent_activation) or self.recurrent_activation
        return {**super().get_config(), "recurrent_activation": named, "reset_after": self.reset_after}
