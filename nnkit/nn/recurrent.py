"""Recurrent layers over sequences, and their cells; parameters, gates and initial values as PyTorch has them.

A layer in one direction is one op (``nnkit.ops.recurrence``); here are layers upon layers, directions, the order of
axes, and batches of sequences of several lengths.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

from nnkit import ops
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.kernels.recurrences import GATES
from nnkit.nn import functional, init
from nnkit.nn.dropout_functions import check_probability
from nnkit.nn.module import Module
from nnkit.nn.sizes import positive
from nnkit.nn.utils.rnn import PackedSequence, on_host, padded, places
from nnkit.tensors.creation import empty, tensor
from nnkit.tensors.tensor import Parameter, Tensor

#: PyTorch's names of the kinds.
MODES = ("RNN_TANH", "RNN_RELU", "LSTM", "GRU")

__all__ = ["GRU", "LSTM", "RNN", "RNNBase"]

States = list[Tensor]  # for each kind of state (hidden; of an LSTM also cell), all layers and directions


class _Batch(NamedTuple):
    """An input as it is run: x (B, T, I), which of its places there are, and how it came."""

    x: Tensor
    keep: Tensor | None
    packed: PackedSequence | None = None
    rows: Any = None  # of a packed input: the places of its rows


class RNNBase(Module):
    """What RNN, LSTM and GRU have in common. ``mode`` is PyTorch's: "RNN_TANH", "RNN_RELU", "LSTM" or "GRU".

    Raises ValueError for fewer than one layer, UnknownNameError for another mode.

    >>> tuple(RNNBase("GRU", 2, 3).weight_ih_l0.shape)
    (9, 2)
    """

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if proj_size:
            raise ValueError(
                f"proj_size={proj_size!r} is not supported: apply an nn.Linear to the hidden states, or use proj_size=0"
            )
        if mode not in MODES:
            raise UnknownNameError("mode", mode, MODES)
        self.mode, self.proj_size = mode, proj_size
        self.input_size, self.hidden_size = positive("input_size", input_size), positive("hidden_size", hidden_size)
        self.num_layers, self.bias, self.batch_first = positive("num_layers", num_layers), bool(bias), bool(batch_first)
        self.dropout, self.bidirectional = float(check_probability(dropout)), bool(bidirectional)
        if dropout and num_layers == 1:
            warnings.warn(f"dropout={dropout!r} with num_layers=1 drops nothing: it lies between layers", stacklevel=3)
        for layer in range(self.num_layers):
            width = self.input_size if layer == 0 else self.hidden_size * self._directions
            for suffix in self._suffixes(layer):
                self._make(suffix, width, device, dtype)
        self.reset_parameters()

    @property
    def _kind(self) -> str:
        return self.mode.removeprefix("RNN_").lower()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"][: self._directions]

    def _make(self, suffix: str, width: int, device: Any, dtype: Any) -> None:
        rows = GATES[self._kind] * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, self.hidden_size)}
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if self.bias else {}
        for name, shape in shapes.items():
            self.register_parameter(f"{name}_{suffix}", Parameter(empty(shape, device=device, dtype=dtype)))

    def reset_parameters(self) -> None:
        """Draw new initial values: uniform in +-1/sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: the parameters lie where an optimizer put them. PyTorch's scripts call it."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction, as PyTorch lists them."""
        suffixes = [suffix for layer in range(self.num_layers) for suffix in self._suffixes(layer)]
        return [self._weights(suffix) for suffix in suffixes]

    def _weights(self, suffix: str) -> list[Parameter]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if self.bias else 2]
        return [getattr(self, f"{name}_{suffix}") for name in names]

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """The hidden states of the last layer for all steps, and the last states of all layers.

        input: (T, B, I), (B, T, I) where ``batch_first``, (T, I) without a batch, or a PackedSequence.
        """
        batch, single = self._batch(input)
        states = self._states(hx, batch, single)
        y, last = self._run(batch, states)
        if batch.packed is not None:
            y = ops.take_rows(ops.reshape(y, (-1, y.shape[-1])), tensor(batch.rows, device=y.device), checked=True)
            output: Any = PackedSequence(y, *batch.packed[1:])
            if batch.packed.unsorted_indices is not None:
                last = [_columns(state, batch.packed.unsorted_indices) for state in last]
        elif single:
            output, last = ops.squeeze(y, 0), [ops.squeeze(state, 1) for state in last]
        else:
            output = y if self.batch_first else ops.transpose(y, 0, 1)
        return output, last[0] if len(last) == 1 else tuple(last)

    def _batch(self, input: Any) -> tuple[_Batch, bool]:
        """The input as it is run, and whether it is a single sequence."""
        if isinstance(input, PackedSequence):
            found = places(on_host(input.batch_sizes, "batch_sizes"))
            self._check_features(input.data, 2)
            T, B = found.there.shape
            x = padded(input.data, found.packed.T, found.there.T)
            keep = None if found.there.all() else tensor(found.there.T.astype("float32"), device=x.device)
            t, b = divmod(found.rows, B)
            return _Batch(x, keep, input, b * T + t), False
        if not isinstance(input, Tensor) or input.ndim not in (2, 3):
            given = f"shape {input.shape}" if isinstance(input, Tensor) else type(input).__name__
            raise ShapeError(f"{self!r} expects an input of 3 axes, or of 2 without a batch, got {given}")
        self._check_features(input, input.ndim)
        if input.ndim == 2:
            return _Batch(ops.unsqueeze(input, 0), None), True
        return _Batch(input if self.batch_first else ops.transpose(input, 0, 1), None), False

    def _check_features(self, x: Tensor, ndim: int) -> None:
        if x.ndim != ndim or x.shape[-1] != self.input_size:
            raise ShapeError(f"{self!r} expects {self.input_size} features in the last axis, got shape {x.shape}")

    def _states(self, hx: Any, batch: _Batch, single: bool) -> States | None:
        """The first states as (layers and directions, B, H), in the order of the batch."""
        if hx is None:
            return None
        given = list(hx) if self._kind == "lstm" and isinstance(hx, (tuple, list)) else [hx]
        names = ["h_0", "c_0"] if self._kind == "lstm" else ["h_0"]
        if len(given) != len(names) or not all(isinstance(state, Tensor) for state in given):
            expected = "a pair (h_0, c_0) of Tensors" if len(names) == 2 else "a Tensor h_0"
            raise TypeError(f"hx: {type(self).__name__} expects {expected}, got {type(hx).__name__}")
        layers, B = self.num_layers * self._directions, batch.x.shape[0]
        shape = (layers, self.hidden_size) if single else (layers, B, self.hidden_size)
        for name, state in zip(names, given, strict=True):
            if state.shape != shape:
                raise ShapeError(f"hx: expected {name} of shape {shape}, got {state.shape}")
        if single:
            return [ops.unsqueeze(state, 1) for state in given]
        order = None if batch.packed is None else batch.packed.sorted_indices
        return given if order is None else [_columns(state, order) for state in given]

    def _run(self, batch: _Batch, states: States | None) -> tuple[Tensor, States]:
        x, found = batch.x, list[list[Tensor]]()
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = functional.dropout(x, self.dropout, self.training)
            made = []
            for direction, suffix in enumerate(self._suffixes(layer)):
                number = layer * self._directions + direction
                first = [] if states is None else [_row(state, number) for state in states]
                h, c = (*first, None, None)[:2]
                y, *last = ops.recurrence(
                    x, self._weights(suffix), self._kind, h, c, keep=batch.keep, reverse=direction == 1
                )
                made.append(y)
                found.append([state for state in last if state is not None])
            x = made[0] if len(made) == 1 else ops.cat(made, -1)
        joined = [[ops.unsqueeze(state, 0) for state in kind] for kind in zip(*found, strict=True)]
        return x, [parts[0] if len(parts) == 1 else ops.cat(parts, 0) for parts in joined]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        for name, value in defaults.items():
            if getattr(self, name) != value:
                text += f", {name}={getattr(self, name)}"
        return text


def _row(states: Tensor, number: int) -> Tensor:
    return ops.reshape(states, states.shape[1:]) if states.shape[0] == 1 else states[number]


def _columns(states: Tensor, order: Tensor) -> Tensor:
    """States (layers, B, H) with the batch in another order."""
    return ops.transpose(ops.take_rows(ops.transpose(states, 0, 1), order, checked=True), 0, 1)


class RNN(RNNBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh) over a sequence (Elman, 1990); ``nonlinearity="relu"`` for relu.

    Args:
        input_size, hidden_size: features of x and of h.
        num_layers: each layer but the first takes the hidden states of the one before.
        nonlinearity: "tanh" or "relu".
        bias: whether there are biases.
        batch_first: input and output are (B, T, ...) instead of (T, B, ...); states are not turned.
        dropout: the probability of dropping a number between layers, in training.
        bidirectional: a second run from the last step to the first; the outputs stand side by side.

    input (T, B, input_size) or a PackedSequence, h_0 (layers x directions, B, hidden_size), 0 if not given ->
    output (T, B, directions x hidden_size), h_n like h_0. A single sequence (T, input_size) has no B anywhere.
    Parameters: ``weight_ih_l0``, ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0``, and so on, ``_reverse`` for the
    other direction, all uniform in +-1/sqrt(hidden_size) at first. Raises ShapeError for sizes that do not fit.
    Source: ``torch.nn.RNN``.

    >>> import nnkit
    >>> output, h = RNN(3, 4, num_layers=2)(nnkit.zeros(5, 2, 3)); output.shape, h.shape
    ((5, 2, 4), (2, 2, 4))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise UnknownNameError("nonlinearity", nonlinearity, ("tanh", "relu"))
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(
            mode, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device,
            dtype=dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity

    def extra_repr(self) -> str:
        return super().extra_repr() + (", nonlinearity=relu" if self._kind == "relu" else "")


class LSTM(RNNBase):
    """Long short-term memory over a sequence: Hochreiter and Schmidhuber, 1997; with a forget gate, Gers et al., 2000.

    Arguments, shapes and parameters as of ``RNN``, without ``nonlinearity``; hx is a pair (h_0, c_0), and so is what
    comes last, (h_n, c_n). Rows of the weights: input gate, forget gate, cell, output gate. ``proj_size`` other than 0
    raises ValueError. Source: ``torch.nn.LSTM``. Raises ShapeError, when it is called, for an input of another size.

    >>> import nnkit
    >>> output, (h, c) = LSTM(3, 4, bidirectional=True)(nnkit.zeros(5, 2, 3)); output.shape, c.shape
    ((5, 2, 8), (2, 2, 4))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device,
            dtype,
        )  # fmt: skip


class GRU(RNNBase):
    """The gated recurrent unit over a sequence: Cho et al., 2014, with the reset gate after the product.

    Arguments, shapes and parameters as of ``RNN``, without ``nonlinearity``. Rows of the weights: reset gate, update
    gate, new. Source: ``torch.nn.GRU``. Raises ShapeError, when it is called, for an input of another size.

    >>> import nnkit
    >>> output, h = GRU(3, 4, batch_first=True)(nnkit.zeros(2, 5, 3)); output.shape, h.shape
    ((2, 5, 4), (1, 2, 4))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device,
            dtype=dtype,
        )  # fmt: skip
