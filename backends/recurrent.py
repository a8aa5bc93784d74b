"""Recurrent layers: all steps of one layer in one direction, as products and gates by turns.

``kind`` is "tanh", "relu", "lstm" or "gru"; G gates in PyTorch's order (i f g o; r z n). Arrays over time are
(B, T, …): ``gates`` (B, T, G H) come in as the input's products with all biases but ``b``, and go out as the gates;
``y`` are the hidden states after each step, ``before`` those before it; ``kept`` the cell states of an LSTM after each
step, and of a GRU the hidden state's product for n. ``keep`` (B, T), of the same type, is 0 where a row's states stay
as they are; ``reverse`` runs from the last step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nnkit.backends.memory import Memory
from nnkit.backends.recording import Array, primitive
from nnkit.kernels.recurrences import GATES, STATELESS


class Recurrent(Memory):
    """What ``Backend`` can do step by step. ``recurrence`` and its gradient are made of other primitives."""

    if TYPE_CHECKING:
        _wide: Callable[[Array], Array]
        _write: Callable[[Array, Array], None]
        matmul: Callable[..., None]
        map: Callable[..., None]
        copy: Callable[..., None]
        rounded: Callable[[Array, str], Array]

        @property
        def formulas(self) -> dict[str, Any]: ...

    def recurrence(
        self, kind: str, gates: Array, w: Array, b: Array | None, start: tuple[Array, Array], y: Array,
        before: Array | None, kept: Array, end: tuple[Array, Array], keep: Array | None, reverse: bool,
        half: str | None = None,
    ) -> None:  # fmt: skip
        """All steps: w (G H, H); ``start`` and ``end`` are the hidden and the cell state (B, H), before and after.

        b (3 H,) is a GRU's bias of the hidden state's products, which the reset gate multiplies; None for the others.
        ``kept`` is written for an LSTM and a GRU; the cell states are an LSTM's, others may be given anything of that
        shape. ``before`` is for the gradient. With ``half`` the operands of products are rounded.
        """
        turned = self.permute(w if half is None else self.rounded(w, half), (1, 0))
        (B, T, N), dtype = gates.shape, self.dtype_of(gates)
        z, (h, c) = self.empty((B, N), dtype), end
        self.copy(start[0], h)
        if kind == "lstm":
            self.copy(start[1], c)
        for t in _order(T, reverse):
            if before is not None:
                self.copy(h, before[:, t, :])
            self.matmul(h if half is None else self.rounded(h, half), turned, z)
            there = None if keep is None else keep[:, t]
            self.recurrent_step(kind, gates[:, t, :], z, b, h, c, y[:, t, :], kept[:, t, :], there)

    @primitive
    def recurrent_step(
        self, kind: str, gates: Array, z: Array, b: Array | None, h: Array, c: Array, y: Array, kept: Array,
        keep: Array | None,
    ) -> None:  # fmt: skip
        """The gates of one step: gates and z, the hidden state's products, (B, G H); y, kept (B, H); keep (B,).

        The states h and c (B, H) become those after the step; z is of no use afterwards.
        """
        G, (entering, products, state) = GATES[kind], (self._wide(a) for a in (gates, z, h))
        stays = None if keep is None else self.xp.expand_dims(keep, axis=1) == 0.0
        with self.quietly():
            if kind in STATELESS:
                after = self.formulas[STATELESS[kind]](entering + products)
            elif kind == "lstm":
                cell = self._wide(c)
                *made, new, after = self.formulas["lstm_step"](*self._by_gate(entering + products, G), cell)
                new = new if stays is None else self.xp.where(stays, cell, new)
                self._write(new, c)
                self._write(new, kept)
            else:
                products = self._by_gate(products if b is None else products + self._wide(b), G)
                *made, after = self.formulas["gru_step"](*self._by_gate(entering, G), *products, state)
                self._write(products[2], kept)
            if kind not in STATELESS:
                self._write_gates(made, gates)
            after = after if stays is None else self.xp.where(stays, state, after)
            self._write(after, h)
            self._write(after, y)

    def recurrence_grad(
        self, kind: str, gates: Array, w: Array, c0: Array, y: Array, before: Array, kept: Array, keep: Array | None,
        reverse: bool, dy: Array, dh: Array, dc: Array, dx: Array, dz: Array, half: str | None = None,
    ) -> None:  # fmt: skip
        """The gradients of ``recurrence``, whose results these are: dy (B, T, H) comes in.

        dh and dc (B, H), the gradients of the last states, become those of the first; dc for an LSTM. dx and dz
        (B, T, G H) get those of the input's and of the hidden state's products: one array, but for a GRU.
        """
        w = w if half is None else self.rounded(w, half)
        (B, T, N), dtype = gates.shape, self.dtype_of(gates)
        more, turn = self.empty(tuple(dh.shape), dtype), self.empty((B, N), dtype)
        steps = list(_order(T, reverse))
        for t, earlier in zip(reversed(steps), [*reversed(steps[:-1]), None], strict=True):
            cell = c0 if earlier is None else kept[:, earlier, :]
            there = None if keep is None else keep[:, t]
            self.recurrent_step_grad(
                kind, dy[:, t, :], gates[:, t, :], before[:, t, :], cell, y[:, t, :], kept[:, t, :], there, dh, dc,
                dx[:, t, :], turn,
            )  # fmt: skip
            if dz is not dx:
                self.copy(turn, dz[:, t, :])
            self.matmul(turn if half is None else self.rounded(turn, half), w, more)
            self.map("add", (dh, more), (dh,))

    @primitive
    def recurrent_step_grad(
        self, kind: str, dy: Array, gates: Array, h: Array, c: Array, y: Array, kept: Array, keep: Array | None,
        dh: Array, dc: Array, dx: Array, dz: Array,
    ) -> None:  # fmt: skip
        """The gradients of ``recurrent_step``; h and c are the states before it.

        dz (B, G H) is what is multiplied with the weights; dh becomes what reaches h beside that product.
        """
        with self.quietly():
            G, whole, wide = GATES[kind], self._wide(dh) + self._wide(dy), self._wide
            values, nothing = self._by_gate(wide(gates), G), self.xp.zeros_like(whole)
            stays = None if keep is None else self.xp.expand_dims(keep, axis=1) == 0.0

            def chosen(one: Array, other: Array) -> Array:
                return other if stays is None else self.xp.where(stays, one, other)

            passing = nothing
            if kind == "lstm":
                *made, cell = self.formulas["lstm_step_back"](whole, wide(dc), *values, wide(c), wide(kept))
                turned = made
                self._write(chosen(wide(dc), cell), dc)
            elif kind == "gru":
                *made, inner, passing = self.formulas["gru_step_back"](whole, *values, wide(kept), wide(h))
                turned = [*made[:2], inner]
            else:
                made = turned = [self.formulas[f"{STATELESS[kind]}_grad"](whole, wide(y))]
            self._write_gates([chosen(nothing, part) for part in made], dx)
            self._write_gates([chosen(nothing, part) for part in turned], dz)
            self._write(chosen(whole, passing), dh)

    def _by_gate(self, x: Array, count: int) -> list[Array]:
        """(B, count H) as count arrays (B, H)."""
        H = x.shape[1] // count
        return [x[:, g * H : (g + 1) * H] for g in range(count)]

    def _write_gates(self, values: Sequence[Array], out: Array) -> None:
        for value, place in zip(values, self._by_gate(out, len(values)), strict=True):
            self._write(value, place)


def _order(T: int, reverse: bool) -> range:
    return range(T - 1, -1, -1) if reverse else range(T)
