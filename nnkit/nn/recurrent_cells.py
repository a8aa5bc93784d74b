"""One step of a recurrent layer: the cells of PyTorch."""

from __future__ import annotations

import math
from typing import Any

from nnkit import ops
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.kernels.recurrences import GATES
from nnkit.nn import init
from nnkit.nn.module import Module
from nnkit.nn.sizes import positive
from nnkit.tensors.creation import empty
from nnkit.tensors.tensor import Parameter, Tensor

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]


class RNNCellBase(Module):
    """What the cells have in common: ``weight_ih``, ``weight_hh``, ``bias_ih``, ``bias_hh``, and one step.

    Parameters are float32 unless ``dtype`` is given. Raises ValueError for a size below 1. As ``torch.nn.RNNCellBase``.

    >>> tuple(RNNCellBase(2, 3, True, 4).weight_ih.shape)
    (12, 2)
    """

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = positive("input_size", input_size), positive("hidden_size", hidden_size)
        self.bias = bool(bias)
        rows = num_chunks * self.hidden_size
        self.weight_ih = Parameter(empty((rows, self.input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(empty((rows, self.hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            made = Parameter(empty((rows,), device=device, dtype=dtype)) if self.bias else None
            self.register_parameter(name, made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values: uniform in +-1/sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _step(self, kind: str, input: Tensor, *states: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if not isinstance(input, Tensor) or input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            given = f"shape {input.shape}" if isinstance(input, Tensor) else type(input).__name__
            raise ShapeError(
                f"{self!r} expects an input (batch, {self.input_size}) or ({self.input_size},), got {given}"
            )
        single, shape = input.ndim == 1, (*input.shape[:-1], self.hidden_size)
        for state in states:
            if state is not None and state.shape != shape:
                raise ShapeError(f"{self!r} expects states of shape {shape} beside this input, got {state.shape}")
        x = ops.unsqueeze(input, 0) if single else input
        first = [t if t is None or not single else ops.unsqueeze(t, 0) for t in (*states, None)]
        weights = [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]
        _, h, c = ops.recurrence(ops.unsqueeze(x, 1), weights, kind, first[0], first[1])
        return (ops.squeeze(h, 0), None if c is None else ops.squeeze(c, 0)) if single else (h, c)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu: x (B, input_size) or (input_size,), h (B, hidden_size).

    h is 0 if not given. Source: ``torch.nn.RNNCell``.

    >>> import nnkit
    >>> RNNCell(3, 4)(nnkit.zeros(2, 3)).shape
    (2, 4)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise UnknownNameError("nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The hidden state after the step."""
        return self._step(self.nonlinearity, input, hx)[0]

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", nonlinearity={self.nonlinearity}" if self.nonlinearity != "tanh" else "")


class LSTMCell(RNNCellBase):
    """One step of an LSTM: x (B, input_size), hx a pair (h, c) of (B, hidden_size), 0 if not given -> (h', c').

    Source: ``torch.nn.LSTMCell``.

    >>> import nnkit
    >>> h, c = LSTMCell(3, 4)(nnkit.zeros(2, 3)); h.shape, c.shape
    ((2, 4), (2, 4))
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, GATES["lstm"], device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The states after the step."""
        if hx is not None and not (isinstance(hx, (tuple, list)) and len(hx) == 2):
            raise TypeError(f"hx: LSTMCell expects a pair (h, c) of Tensors, got {type(hx).__name__}")
        h, c = self._step("lstm", input, *(hx or (None, None)))
        assert c is not None
        return h, c


class GRUCell(RNNCellBase):
    """One step of a GRU: x (B, input_size), h (B, hidden_size), 0 if not given -> h'.

    Source: ``torch.nn.GRUCell``.

    >>> import nnkit
    >>> GRUCell(3, 4)(nnkit.zeros(2, 3)).shape
    (2, 4)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, GATES["gru"], device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The hidden state after the step."""
        return self._step("gru", input, hx)[0]
