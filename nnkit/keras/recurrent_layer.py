"""What recurrent layers have in common: arguments, weights, the states that stay, and running over the steps.

Weights are kept as ``nn.LSTM`` keeps them, outputs by inputs, and shown as Keras does. Where ``ops.recurrence`` has
the layer's activations and gates it does all steps, else ordinary ops do step after step: the same, slower.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from nnkit import ops
from nnkit.backends.recording import paused
from nnkit.errors import ShapeError
from nnkit.keras import activations, constraints, initializers, regularizers
from nnkit.keras.arguments import in_layout, positive, refuse
from nnkit.keras.layer import Layer, LayerOptions, Shape
from nnkit.keras.naming import configured, snake_case
from nnkit.nn.skipping import are_skipped
from nnkit.tensors.creation import ones, zeros
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Parameter, Tensor

__all__ = ["RecurrentLayer", "States"]

States = list[Tensor]


class RecurrentLayer(Layer):
    """What SimpleRNN, LSTM and GRU have in common: (batch, steps, features) -> (batch, units), or all steps.

    Args:
        units: the size of the state.
        activation, recurrent_activation: of the state, and of the gates.
        use_bias: whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: names or initializers.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: names, regularizers, or None.
        dropout: the share of the input's features that is dropped in training, the same in all steps.
        recurrent_dropout: not supported; anything but 0 is refused.
        return_sequences: put out the state of every step.
        return_state: put out the last states, too.
        go_backwards: from the last step to the first, and the output in that order.
        stateful: begin with the states that the last batch ended with; ``reset_states`` forgets them.
        unroll, seed: accepted.

    A call takes ``initial_state`` and ``mask`` (batch, steps): in a step that does not count the states stay, and the
    output is the one before. Source: ``keras.layers``.
    """

    gates: ClassVar[int]
    kind: ClassVar[str]
    state_count: ClassVar[int] = 1

    def __init__(
        self, units: int, activation: Any, recurrent_activation: Any, use_bias: bool, kernel_initializer: Any,
        recurrent_initializer: Any, bias_initializer: Any, kernel_regularizer: Any, recurrent_regularizer: Any,
        bias_regularizer: Any, others: dict[str, Any], dropout: float, recurrent_dropout: float,
        return_sequences: bool, return_state: bool, go_backwards: bool, stateful: bool, unroll: bool,
        seed: int | None, options: LayerOptions,
    ) -> None:  # fmt: skip
        super().__init__(**options)
        name = type(self).__name__
        self.kernel_constraint, self.recurrent_constraint, self.bias_constraint = (
            constraints.get(others.pop(f"{what}_constraint")) for what in ("kernel", "recurrent", "bias")
        )
        self.activity_regularizer = regularizers.get(others.pop("activity_regularizer"))
        refuse(name, **others, recurrent_dropout=recurrent_dropout or None)
        self.units = positive(name, "units", units)
        self.activation, self.recurrent_activation = activations.get(activation), activations.get(recurrent_activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        if not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
            raise ValueError(f"{name}: dropout must be a number from 0 to less than 1; got {dropout!r}")
        self.dropout, self.unroll, self.seed = dropout, bool(unroll), seed
        self.return_sequences, self.return_state = bool(return_sequences), bool(return_state)
        self.go_backwards, self.stateful = bool(go_backwards), bool(stateful)
        #: Whether steps that do not count put out 0, as within Bidirectional, and not what was before.
        self.zero_output_for_mask = False

    # ---- weights ------------------------------------------------------------------------------------------

    @property
    def inner_scope(self) -> str:  # type: ignore[override]
        """The cell that Keras keeps the weights in."""
        return f"{snake_case(type(self).__name__)}_cell/"

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    def build(self, input_shape: Shape) -> None:
        if len(input_shape) != 3 or input_shape[-1] is None:
            raise ShapeError(
                f"{type(self).__name__} layer {self.name!r} needs inputs of shape (batch, steps, features) with a "
                f"known number of features; got {tuple(input_shape)}"
            )
        rows = self.gates * self.units
        for name, columns in (("kernel_rows", input_shape[-1]), ("recurrent_rows", self.units)):
            self.register_parameter(name, Parameter(zeros(rows, columns)))
        self.register_parameter("bias", Parameter(zeros(*self._bias_shape())) if self.use_bias else None)
        if not are_skipped():
            with no_grad():
                self._draw()
        for name, penalty in (
            ("kernel_rows", self.kernel_regularizer), ("recurrent_rows", self.recurrent_regularizer),
        ):  # fmt: skip
            if penalty is not None:
                self.regularizers[name] = in_layout(penalty, lambda weight: weight.T)
        if self.bias_regularizer is not None and self.use_bias:
            self.regularizers["bias"] = self.bias_regularizer
        constraints.constrain(self, "kernel_rows", self.kernel_constraint, lambda weight: weight.T)
        constraints.constrain(self, "recurrent_rows", self.recurrent_constraint, lambda weight: weight.T)
        constraints.constrain(self, "bias", self.bias_constraint)

    def _draw(self) -> None:
        """Give the weights their initial values."""
        for weight, initializer in (
            (self.kernel_rows, self.kernel_initializer), (self.recurrent_rows, self.recurrent_initializer),
        ):  # fmt: skip
            if initializer is not None:
                weight.copy_(initializer((weight.shape[1], weight.shape[0])).T)
        if self.bias is not None and self.bias_initializer is not None:
            self.bias.copy_(self.bias_initializer(self._bias_shape()))

    def layout_of(self, weight: Tensor) -> Callable[[Tensor], Tensor] | None:
        turned = weight is self.kernel_rows or weight is self.recurrent_rows
        return (lambda tensor: tensor.T) if turned else None

    @property
    def kernel(self) -> Tensor:
        """The input's weights (features, gates x units): a view of the layer's memory."""
        self.require_built()
        return self.shown(self, "kernel_rows")

    @property
    def recurrent_kernel(self) -> Tensor:
        """The state's weights (units, gates x units): a view of the layer's memory."""
        self.require_built()
        return self.shown(self, "recurrent_rows")

    # ---- states that stay ---------------------------------------------------------------------------------

    def _kept_states(self, batch: int, like: Tensor) -> States:
        """The states that the last batch ended with; 0 at first."""
        if self._buffers.get("state_0") is None:
            with paused():
                for number in range(self.state_count):
                    state = zeros(batch, self.units, dtype=like.dtype, device=like.device)
                    self.register_buffer(f"state_{number}", state, persistent=False)
        states = [getattr(self, f"state_{number}") for number in range(self.state_count)]
        if states[0].shape[0] != batch:
            raise ShapeError(
                f"{type(self).__name__} layer {self.name!r} is stateful, for batches of {states[0].shape[0]}; got one "
                f"of {batch}: keep to one size, or call reset_states() and give it a new one"
            )
        return states

    def reset_states(self) -> None:
        """Forget the states that the last batch ended with."""
        for number in range(self.state_count):
            if f"state_{number}" in self._buffers:
                delattr(self, f"state_{number}")

    reset_state = reset_states

    # ---- running --------------------------------------------------------------------------------------------

    def call(
        self, inputs: Tensor, mask: Tensor | None = None, training: bool = False, initial_state: Any = None
    ) -> Any:
        states = self._first(inputs, initial_state)
        x = inputs
        if training and self.dropout:
            x = x * ops.dropout(ones(x.shape[0], 1, x.shape[2], dtype=x.dtype, device=x.device), self.dropout)
        if self._is_usual():
            y, *last = self._recurrence(x, states, mask)
        else:
            y, *last = self._step_by_step(x, states, mask)
        if self.stateful:
            with no_grad():
                for state, after in zip(self._kept_states(x.shape[0], x), last, strict=True):
                    state.copy_(after.detach())
        if mask is not None and self.zero_output_for_mask and self.return_sequences:
            y = y * ops.unsqueeze(mask, -1).to(y.dtype)
        output = last[0] if not self.return_sequences else y[:, ::-1] if self.go_backwards else y
        return (output, *last) if self.return_state else output

    def _first(self, inputs: Tensor, initial_state: Any) -> States | None:
        if initial_state is None:
            return self._kept_states(inputs.shape[0], inputs) if self.stateful else None
        given = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
        shape = (inputs.shape[0], self.units)
        if len(given) != self.state_count or any(state.shape != shape for state in given):
            raise ShapeError(
                f"initial_state of {self.name!r}: expected {self.state_count} of shape {shape}, got "
                f"{[tuple(state.shape) for state in given]}"
            )
        return given

    def _is_usual(self) -> bool:
        """Whether ``ops.recurrence`` has this layer's activations."""
        return self.activation is activations.tanh and self.recurrent_activation is activations.sigmoid

    def _weights(self) -> list[Tensor | None]:
        return [self.kernel_rows, self.recurrent_rows, self.bias, None]

    def _recurrence(self, x: Tensor, states: States | None, mask: Tensor | None) -> tuple[Tensor, ...]:
        h, c = (*(states or ()), None, None)[:2]
        y, *last = ops.recurrence(x, self._weights(), self.kind, h, c, keep=mask, reverse=self.go_backwards)
        return (y, *(state for state in last if state is not None))

    def _step_by_step(self, x: Tensor, states: States | None, mask: Tensor | None) -> tuple[Tensor, ...]:
        B, T = x.shape[:2]
        states = states or [zeros(B, self.units, dtype=x.dtype, device=x.device) for _ in range(self.state_count)]
        entering = ops.linear(x, self.kernel_rows, self._entering_bias())
        made: list[Any] = [None] * T
        for t in range(T - 1, -1, -1) if self.go_backwards else range(T):
            after = self._step(entering[:, t], states)
            if mask is not None:
                there = ops.unsqueeze(mask[:, t], -1)
                after = [ops.where(there, new, old) for new, old in zip(after, states, strict=True)]
            states = after
            made[t] = states[0]
        return (ops.stack(made, 1), *states)

    def _entering_bias(self) -> Tensor | None:
        bias: Tensor | None = self.bias
        return bias

    def _step(self, entering: Tensor, states: States) -> States:
        """The states after a step, of the input's products."""
        raise NotImplementedError

    def _parts_of(self, z: Tensor) -> list[Tensor]:
        return [z[:, g * self.units : (g + 1) * self.units] for g in range(self.gates)]

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        return previous_mask if self.return_sequences else None

    supports_masking = True

    def compute_output_shape(self, input_shape: Shape) -> Any:
        output = (*input_shape[:2], self.units) if self.return_sequences else (input_shape[0], self.units)
        return (output, *[(input_shape[0], self.units)] * self.state_count) if self.return_state else output

    def get_config(self) -> dict[str, Any]:
        plain = ("units", "use_bias", "dropout", "return_sequences", "return_state", "go_backwards", "stateful")
        made = ("kernel_initializer", "recurrent_initializer", "bias_initializer", "kernel_regularizer",
                "recurrent_regularizer", "bias_regularizer", "kernel_constraint", "recurrent_constraint",
                "bias_constraint")  # fmt: skip
        config = {**super().get_config(), **{name: getattr(self, name) for name in (*plain, "unroll", "seed")}}
        config["activation"] = activations.serialize(self.activation) or self.activation
        return config | {name: configured(getattr(self, name)) for name in made}
