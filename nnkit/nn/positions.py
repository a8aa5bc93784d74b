"""Where a token stands, as a model is told: sinusoids that are added, and rotations of queries and keys."""

from __future__ import annotations

from typing import Any

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.nn.module import Module
from nnkit.nn.sizes import positive
from nnkit.tensors import dtypes
from nnkit.tensors.creation import arange, tensor
from nnkit.tensors.tensor import Tensor

__all__ = ["RotaryPositions", "SinusoidalPositions"]


def _rates(width: int, base: float, device: Any) -> Tensor:
    """base**(-2 i / width) for every pair of columns, float64."""
    return tensor([base ** (-column / width) for column in range(0, width, 2)], dtype=dtypes.float64, device=device)


class SinusoidalPositions(Module):
    """Adds sines and cosines of each token's place: x (B, L, width), or (L, B, width) unless ``batch_first``.

    Columns 2 i and 2 i + 1 are the sine and cosine of place / base**(2 i / width): Vaswani et al., Attention is all you
    need, 2017. No parameters, and nothing in a state_dict; places are 0 to ``capacity`` - 1. ``positions``, int64 (L,),
    gives others than 0, 1, 2, … Raises ShapeError for more tokens than the capacity.

    >>> import nnkit
    >>> SinusoidalPositions(4, 10)(nnkit.zeros(2, 4))
    tensor([[0.    , 1.    , 0.    , 1.    ],
            [0.8415, 0.5403, 0.01  , 0.9999]])
    """

    table: Tensor

    def __init__(
        self, width: int, capacity: int = 5000, base: float = 10000.0, batch_first: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.width, self.capacity = positive("width", width), positive("capacity", capacity)
        self.base, self.batch_first = base, batch_first
        angles = arange(capacity, device=device).double().unsqueeze(1) * _rates(width, base, device)
        both = ops.stack([ops.sin(angles), ops.cos(angles)], 2).reshape(capacity, -1)
        self.register_buffer("table", both[:, :width].contiguous().to(dtype or dtypes.float32), False)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """x plus the sinusoids of its tokens' places."""
        along = x.ndim - 2 if self.batch_first else 0
        if x.ndim < 2 or x.shape[-1] != self.width or x.shape[along] > self.capacity:
            raise ShapeError(
                f"{self!r} expects at most {self.capacity} tokens of width {self.width}, got shape {x.shape}"
            )
        rows = self.table[: x.shape[along]] if positions is None else ops.take_rows(self.table, positions)
        return x + (rows if self.batch_first or x.ndim == 2 else rows.unsqueeze(1))

    def extra_repr(self) -> str:
        return f"{self.width}, capacity={self.capacity}, batch_first={self.batch_first}"


class RotaryPositions(Module):
    """Turns queries and keys (..., L, width) by angles that grow with their place, so that scores see distances.

    Column i and column i + width / 2 are the two coordinates that are turned by place / base**(2 i / width): Su et al.,
    RoFormer, 2021, in the order that Llama's weights have. ``MultiheadAttention`` takes one as ``rotary``. No
    parameters. Raises ShapeError for another width. ``width`` has to be even. They are of one float dtype.

    >>> import nnkit
    >>> RotaryPositions(2)(nnkit.tensor([[1.0, 0.0], [1.0, 0.0]]))
    tensor([[1.    , 0.    ],
            [0.5403, 0.8415]])
    """

    rates: Tensor

    def __init__(self, width: int, base: float = 10000.0, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.width, self.base = positive("width", width), base
        if width % 2:
            raise ValueError(f"width must be even, for coordinates are turned in pairs, got {width}")
        self.register_buffer("rates", _rates(width, base, device).to(dtype or dtypes.float32), False)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """x (..., L, width), turned; ``positions`` (L,) gives other places than 0, 1, 2, …"""
        if x.ndim < 2 or x.shape[-1] != self.width:
            raise ShapeError(f"{self!r} expects shape (..., tokens, {self.width}), got {x.shape}")
        places = arange(x.shape[-2], device=x.device) if positions is None else positions
        angles = places.to(x.dtype).unsqueeze(1) * self.rates.to(x.dtype)
        c, s, half = ops.cos(angles), ops.sin(angles), self.width // 2
        first, second = x[..., :half], x[..., half:]
        return ops.cat([first * c - second * s, second * c + first * s], -1)

    def extra_repr(self) -> str:
        return f"{self.width}, base={self.base}"
