"""``ops.recurrence`` made of other ops, step by step: what gradients of its gradients are found from."""

from __future__ import annotations

from collections.abc import Callable

from nnkit.ops.choice import ne, where
from nnkit.ops.elementwise import relu, sigmoid, tanh
from nnkit.ops.indexing import getitem
from nnkit.ops.products import linear
from nnkit.ops.shape import reshape, stack
from nnkit.tensors.creation import zeros
from nnkit.tensors.tensor import Tensor

EVERY = slice(None)
#: A step: the input's products, those of the hidden state, and the states -> the states after.
Step = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def unrolled(
    kind: str, x: Tensor, weights: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    states: tuple[Tensor | None, ...], keep: Tensor | None, reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The hidden states of all steps (B, T, H), and the last states (B, H): see ``ops.recurrence``."""
    w, inner, bias, inner_bias = weights
    (B, T, _), H, step = x.shape, inner.shape[1], STEPS[kind]
    there = None if keep is None else ne(reshape(keep, (B, T, 1)), 0)
    entering = linear(x if there is None else where(there, x, 0.0), w, bias)
    h, c = (zeros(B, H, dtype=x.dtype, device=x.device) if t is None else t for t in (*states, None)[:2])
    made: list[Tensor] = []
    for t in range(T - 1, -1, -1) if reverse else range(T):
        after = step(getitem(entering, (EVERY, t)), linear(h, inner, inner_bias), h, c)
        if there is not None:
            stays = getitem(there, (EVERY, t))
            after = where(stays, after[0], h), where(stays, after[1], c)
        h, c = after
        made.append(h)
    return stack(made[::-1] if reverse else made, 1), h, c


def _parts(z: Tensor, count: int) -> list[Tensor]:
    H = z.shape[1] // count
    return [getitem(z, (EVERY, slice(g * H, (g + 1) * H))) for g in range(count)]


def _tanh(x: Tensor, z: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    return tanh(x + z), c


def _relu(x: Tensor, z: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    return relu(x + z), c


def _lstm(x: Tensor, z: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = _parts(x + z, 4)
    after = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(after), after


def _gru(x: Tensor, z: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    (xr, xz, xn), (hr, hz, hn) = _parts(x, 3), _parts(z, 3)
    new = tanh(xn + sigmoid(xr + hr) * hn)
    return new + sigmoid(xz + hz) * (h - new), c


STEPS: dict[str, Step] = {"tanh": _tanh, "relu": _relu, "lstm": _lstm, "gru": _gru}
