"""Cells, each a step of a recurrent layer, and ``RNN``, which runs one over the steps of sequences.

``LSTM``, ``GRU`` and ``SimpleRNN`` are faster: they run as one op. Cells are for states and steps of one's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

from nnkit import ops
from nnkit.errors import UnknownNameError
from nnkit.keras import activations, constraints, initializers, objects, regularizers
from nnkit.keras.arguments import positive
from nnkit.keras.layer import Layer, LayerOptions, Shape
from nnkit.keras.naming import configured
from nnkit.recording.observer import call
from nnkit.tensors.creation import ones, zeros
from nnkit.tensors.tensor import Tensor

__all__ = ["RNN", "Cell", "GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"]

PARTS = ("kernel", "recurrent", "bias")


class Cell(Layer):
    """What the three cells have in common: a call takes (inputs, states) and returns (output, new states).

    The arguments are those of the layer of the same name. ``dropout`` and ``recurrent_dropout`` are drawn anew in each
    step of a cell that is called by itself, and once for all steps of ``RNN``.
    """

    gates: ClassVar[int] = 1
    state_count: ClassVar[int] = 1

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        dropout: float = 0.0, recurrent_dropout: float = 0.0, seed: int | None = None, *, made: dict[str, Any],
        options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**options)
        self.units = positive(type(self).__name__, "units", units)
        self.activation = activations.get(activation)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.use_bias, self.dropout, self.recurrent_dropout, self.seed = use_bias, dropout, recurrent_dropout, seed
        for part in PARTS:
            for what, of in (("initializer", initializers), ("regularizer", regularizers), ("constraint", constraints)):
                setattr(self, f"{part}_{what}", of.get(made[f"{part}_{what}"]))
        self._masks: dict[str, Tensor] = {}

    @property
    def state_size(self) -> Any:
        """The size of the state, or of each."""
        return self.units if self.state_count == 1 else [self.units] * self.state_count

    @property
    def output_size(self) -> int:
        """The size of the output."""
        return self.units

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    def build(self, input_shape: Shape) -> None:
        columns = self.gates * self.units
        for part, name, shape in (
            ("kernel", "kernel", (input_shape[-1] or 0, columns)),
            ("recurrent", "recurrent_kernel", (self.units, columns)), ("bias", "bias", self._bias_shape()),
        ):  # fmt: skip
            if part == "bias" and not self.use_bias:
                self.bias = None
                continue
            weight = self.add_weight(
                shape=shape, initializer=self._initializer(part), regularizer=getattr(self, f"{part}_regularizer"),
                constraint=getattr(self, f"{part}_constraint"), name=name,
            )  # fmt: skip
            setattr(self, name, weight)

    def _initializer(self, part: str) -> Any:
        return getattr(self, f"{part}_initializer")

    def get_initial_state(self, batch_size: int, dtype: Any = None, device: Any = None) -> list[Tensor]:
        """Zeros for each state."""
        return [zeros(batch_size, self.units, dtype=dtype, device=device) for _ in range(self.state_count)]

    def forget_masks(self) -> None:
        """Draw anew what is dropped."""
        self._masks = {}

    def _dropped(self, x: Tensor, name: str, rate: float, training: bool) -> Tensor:
        if not training or not rate:
            return x
        if name not in self._masks or self._masks[name].shape != x.shape:
            self._masks[name] = ops.dropout(ones(*x.shape, dtype=x.dtype, device=x.device), rate)
        return x * self._masks[name]

    def call(self, inputs: Tensor, states: Any, training: bool = False) -> tuple[Tensor, list[Tensor]]:
        given = list(states) if isinstance(states, (list, tuple)) else [states]
        x = self._dropped(inputs, "inputs", self.dropout, training)
        h = self._dropped(given[0], "states", self.recurrent_dropout, training)
        after = self._step(x, h, given)
        return after[0], after

    def _step(self, x: Tensor, h: Tensor, states: list[Tensor]) -> list[Tensor]:
        raise NotImplementedError

    def _parts_of(self, z: Tensor) -> list[Tensor]:
        return [z[:, g * self.units : (g + 1) * self.units] for g in range(self.gates)]

    def _biased(self, z: Tensor, bias: Tensor | None) -> Tensor:
        return z if bias is None else z + bias

    def get_config(self) -> dict[str, Any]:
        plain = ("units", "use_bias", "dropout", "recurrent_dropout", "seed")
        made = [f"{part}_{what}" for what in ("initializer", "regularizer", "constraint") for part in PARTS]
        return {
            **super().get_config(), **{name: getattr(self, name) for name in plain},
            "activation": activations.serialize(self.activation) or self.activation,
            **{name: configured(getattr(self, name)) for name in made},
        }  # fmt: skip


def _made(given: dict[str, Any]) -> dict[str, Any]:
    names = [f"{part}_{what}" for part in PARTS for what in ("initializer", "regularizer", "constraint")]
    return {name: given[name] for name in names}


class SimpleRNNCell(Cell):
    """``activation(x kernel + h recurrent_kernel + bias)``.

    >>> import nnkit
    >>> y, states = SimpleRNNCell(3)(nnkit.zeros(2, 4), [nnkit.zeros(2, 3)])
    >>> y.shape, len(states)
    ((2, 3), 1)
    """

    def __init__(
        self, units: int, activation: Any = "tanh", use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal", bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, kernel_constraint: Any = None,
        recurrent_constraint: Any = None, bias_constraint: Any = None, dropout: float = 0.0,
        recurrent_dropout: float = 0.0, seed: int | None = None, **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(
            units, activation, "sigmoid", use_bias, dropout, recurrent_dropout, seed, made=_made(locals()),
            options=options,
        )  # fmt: skip

    def _step(self, x: Tensor, h: Tensor, states: list[Tensor]) -> list[Tensor]:
        entering = self._biased(ops.matmul(x, self.kernel), self.bias)
        return [call(self.activation, entering + ops.matmul(h, self.recurrent_kernel))]


class LSTMCell(Cell):
    """A step of ``LSTM``: gates in the order i, f, c, o; states h and c."""

    gates, state_count = 4, 2

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros", unit_forget_bias: bool = True, kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, kernel_constraint: Any = None,
        recurrent_constraint: Any = None, bias_constraint: Any = None, dropout: float = 0.0,
        recurrent_dropout: float = 0.0, seed: int | None = None, **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(
            units, activation, recurrent_activation, use_bias, dropout, recurrent_dropout, seed, made=_made(locals()),
            options=options,
        )  # fmt: skip
        self.unit_forget_bias = unit_forget_bias

    def _initializer(self, part: str) -> Any:
        own = super()._initializer(part)
        if part != "bias" or not self.unit_forget_bias:
            return own

        def forgetful(shape: Any, dtype: Any = None) -> Tensor:
            values = (own or initializers.Zeros())(shape, dtype=dtype)
            values[self.units : 2 * self.units] = 1.0
            return values

        return forgetful

    def _step(self, x: Tensor, h: Tensor, states: list[Tensor]) -> list[Tensor]:
        entering = self._biased(ops.matmul(x, self.kernel), self.bias)
        i, f, g, o = self._parts_of(entering + ops.matmul(h, self.recurrent_kernel))
        i, f, o = (call(self.recurrent_activation, z) for z in (i, f, o))
        c = f * states[1] + i * call(self.activation, g)
        return [o * call(self.activation, c), c]

    def get_config(self) -> dict[str, Any]:
        own = activations.serialize(self.recurrent_activation) or self.recurrent_activation
        return {**super().get_config(), "recurrent_activation": own, "unit_forget_bias": self.unit_forget_bias}


class GRUCell(Cell):
    """A step of ``GRU``: gates in the order z, r, h; with ``reset_after`` the reset comes after the product."""

    gates = 3

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros", kernel_regularizer: Any = None, recurrent_regularizer: Any = None,
        bias_regularizer: Any = None, kernel_constraint: Any = None, recurrent_constraint: Any = None,
        bias_constraint: Any = None, dropout: float = 0.0, recurrent_dropout: float = 0.0, reset_after: bool = True,
        seed: int | None = None, **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(
            units, activation, recurrent_activation, use_bias, dropout, recurrent_dropout, seed, made=_made(locals()),
            options=options,
        )  # fmt: skip
        self.reset_after = reset_after

    def _bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def _step(self, x: Tensor, h: Tensor, states: list[Tensor]) -> list[Tensor]:
        entering_bias = None if self.bias is None else self.bias[0] if self.reset_after else self.bias
        xz, xr, xh = self._parts_of(self._biased(ops.matmul(x, self.kernel), entering_bias))
        if self.reset_after:
            inner = self._biased(ops.matmul(h, self.recurrent_kernel), None if self.bias is None else self.bias[1])
            hz, hr, hh = self._parts_of(inner)
        else:
            cut = 2 * self.units
            hz, hr = ops.split(ops.matmul(h, self.recurrent_kernel[:, :cut]), self.units, 1)
        z, r = call(self.recurrent_activation, xz + hz), call(self.recurrent_activation, xr + hr)
        if not self.reset_after:
            hh = ops.matmul(r * h, self.recurrent_kernel[:, cut:])
            r = 1.0
        new = call(self.activation, xh + r * hh)
        return [z * states[0] + (1.0 - z) * new]

    def get_config(self) -> dict[str, Any]:
        own = activations.serialize(self.recurrent_activation) or self.recurrent_activation
        return {**super().get_config(), "recurrent_activation": own, "reset_after": self.reset_after}


class StackedRNNCells(Layer):
    """Cells one upon the other, as one; the states are a list of each one's states."""

    def __init__(self, cells: Sequence[Any], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """The sizes of each cell's states."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> Any:
        """The size of the last cell's output."""
        return getattr(self.cells[-1], "output_size", self.cells[-1].state_size)

    def get_initial_state(self, batch_size: int, dtype: Any = None, device: Any = None) -> list[Any]:
        """What each cell begins with."""
        return [_initial(cell, batch_size, dtype, device) for cell in self.cells]

    def call(self, inputs: Tensor, states: Any, training: bool = False) -> tuple[Tensor, list[Any]]:
        after = []
        for cell, own in zip(self.cells, states, strict=True):
            inputs, new = _run(cell, inputs, own, training)
            after.append(new)
        return inputs, after

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cells": [configured(cell) for cell in self.cells]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> StackedRNNCells:
        """The cells that :meth:`get_config` described."""
        return cls(**{**config, "cells": _made_again(config["cells"])})


def _initial(cell: Any, batch_size: int, dtype: Any, device: Any) -> Any:
    """The states that a cell begins with: its own, or zeros of its sizes."""
    if isinstance(cell, (Cell, StackedRNNCells)):
        return cell.get_initial_state(batch_size, dtype, device)
    if hasattr(cell, "get_initial_state"):
        return cell.get_initial_state(batch_size)
    sizes = cell.state_size if isinstance(cell.state_size, (list, tuple)) else [cell.state_size]
    shapes = [tuple(size) if isinstance(size, (list, tuple)) else (size,) for size in sizes]
    return [zeros(batch_size, *shape, dtype=dtype, device=device) for shape in shapes]


def _run(cell: Any, x: Tensor, states: Any, training: bool) -> tuple[Tensor, Any]:
    """A step: the output, and the states in the structure that they came in."""
    options = {"training": training} if getattr(cell, "_call_takes_training", False) else {}
    output, after = cell(x, states, **options)
    return output, list(after) if isinstance(after, (list, tuple)) else [after]


def _chosen(there: Tensor, new: Any, old: Any) -> Any:
    if isinstance(new, (list, tuple)):
        return [_chosen(there, a, b) for a, b in zip(new, old, strict=True)]
    return ops.where(ops.reshape(there, (-1, *[1] * (new.ndim - 1))), new, old)


class RNN(Layer):
    """A cell run over the steps of sequences: (batch, steps, ...) -> its last output, or all of them.

    Args:
        cell: a cell, or a list of them, which are stacked. One of your own is a Layer with ``state_size``, and a call
            that takes (inputs, states) and returns (output, states).
        return_sequences: put out every step's output.
        return_state: put out the last states, too.
        go_backwards: from the last step to the first, and the output in that order.
        stateful: begin with the states that the last batch ended with; ``reset_state`` forgets them.
        unroll: accepted.
        zero_output_for_mask: in steps that do not count put out 0 and not what was before.

    >>> import nnkit
    >>> RNN([LSTMCell(3), GRUCell(2)], return_sequences=True)(nnkit.zeros(2, 5, 4)).shape
    (2, 5, 2)
    """

    supports_masking = True

    def __init__(
        self, cell: Any, return_sequences: bool = False, return_state: bool = False, go_backwards: bool = False,
        stateful: bool = False, unroll: bool = False, zero_output_for_mask: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        self.cell = StackedRNNCells(cell) if isinstance(cell, (list, tuple)) else cell
        if not hasattr(self.cell, "state_size"):
            raise ValueError(f"RNN: cell must have state_size, the size of its states; got {type(cell).__name__}")
        self.return_sequences, self.return_state, self.go_backwards = return_sequences, return_state, go_backwards
        self.stateful, self.unroll, self.zero_output_for_mask = stateful, unroll, zero_output_for_mask
        self.states: Any = None

    def call(
        self, sequences: Tensor, initial_state: Any = None, mask: Tensor | None = None, training: bool = False
    ) -> Any:
        batch, steps = sequences.shape[:2]
        for cell in getattr(self.cell, "cells", [self.cell]):
            if isinstance(cell, Cell):
                cell.forget_masks()
        states = initial_state
        if states is None:
            states = self.states if self.stateful else None
        if states is None:
            states = _initial(self.cell, batch, sequences.dtype, sequences.device)
        states = list(states) if isinstance(states, (list, tuple)) else [states]
        made: list[Any] = []
        for t in reversed(range(steps)) if self.go_backwards else range(steps):
            output, after = _run(self.cell, sequences[:, t], states, training)
            if mask is not None:
                there = mask[:, t]
                after = _chosen(there, after, states)
                before = made[-1] if made and not self.zero_output_for_mask else output * 0.0
                output = _chosen(there, output, before)
            states = after
            made.append(output)
        if self.stateful:
            self.states = _chosen_detached(states)
        found = ops.stack(made, 1) if self.return_sequences else made[-1]
        alone = [state[0] if isinstance(state, list) and len(state) == 1 else state for state in states]
        return (found, *alone) if self.return_state else found

    def reset_state(self) -> None:
        """Forget the states that the last batch ended with."""
        self.states = None

    reset_states = reset_state

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        return previous_mask if self.return_sequences else None

    def get_config(self) -> dict[str, Any]:
        names = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask")
        cell = self.cell
        own = [configured(c) for c in cell.cells] if isinstance(cell, StackedRNNCells) else configured(cell)
        return {**super().get_config(), "cell": own, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RNN:
        """The layer that :meth:`get_config` described; a cell of one's own is found by its registered name."""
        return cls(**{**config, "cell": _made_again(config["cell"])})


def _made_again(cell: Any) -> Any:
    """A cell, or several, of their descriptions."""
    if isinstance(cell, (list, tuple)):
        return [_made_again(part) for part in cell]
    if not isinstance(cell, Mapping):
        return cell
    known = {kind.__name__: kind for kind in (SimpleRNNCell, LSTMCell, GRUCell, StackedRNNCells)}
    kind = known.get(cell["class_name"]) or objects.found(cell["class_name"])
    if kind is None:
        raise UnknownNameError("cell", cell["class_name"], list(known))
    return kind.from_config(dict(cell["config"]))


def _chosen_detached(states: Any) -> Any:
    if isinstance(states, (list, tuple)):
        return [_chosen_detached(state) for state in states]
    return states.detach()
