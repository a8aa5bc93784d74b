"""The primitives on images, signals and volumes: convolutions, pools, patches; reference bodies in array-API calls.

Arrays are (B, C, *S), in whatever order they lie in memory. A body goes through the places of the window, its *taps*,
and does for all windows at once what there is to do at one tap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nnkit.backends.memory import Memory
from nnkit.backends.precision import is_half
from nnkit.backends.recording import Array, primitive
from nnkit.backends.windows import Sizes, Window
from nnkit.kernels import formulas

Scalars = Sequence[float]
EVERY = slice(None)


class Images(Memory):
    """What ``Backend`` can do with windows."""

    if TYPE_CHECKING:
        map: Callable[..., None]
        reshape: Callable[[Array, Sizes], Array]
        _wide: Callable[[Array], Array]
        _write: Callable[[Array, Array], None]
        _put: Callable[[Array, Array, bool], None]

    # ---- convolutions -------------------------------------------------------------------------------------------

    @primitive
    def conv(
        self, x: Array, w: Array, b: Array | None, window: Window, groups: int, activation: str, z: Array | None,
        out: Array, scalars: Scalars = (),
    ) -> None:  # fmt: skip
        """activation(w over x + b): x (B, C, *S), w (O, C / groups, *kernel), b (O,), out (B, O, *places).

        The channels of x and of ``out`` are in ``groups`` equal parts, and each part of ``out`` sees its part of x. z,
        where given, keeps the value before the activation (see ``keeps_input``).
        """
        xp, places, target = self.xp, tuple(out.shape[2:]), out if z is None else z
        padded, weights = self._padded(self._wide(x), window, 0.0), self._wide(w)
        total = None
        with self.quietly():
            for tap, part in window.taps(places):
                seen = self._grouped(padded[(EVERY, EVERY, *part)], groups)
                product = xp.matmul(self._factor(weights, tap, groups), seen)
                total = product if total is None else total + product
            self._write(xp.reshape(total, out.shape), target)
        if b is not None:
            self.map("add", (target, self.reshape(b, (-1, *(1 for _ in places)))), (target,))
        if activation != "identity" or target is not out:
            self.map(formulas.ACTIVATIONS[activation], (target,), (out,), scalars)

    @primitive
    def conv_grad(
        self, x: Array, w: Array, kept: Array, dy: Array, window: Window, groups: int, activation: str, dz: Array,
        dx: Array | None, dw: Array | None, db: Array | None, add: tuple[bool, bool], scalars: Scalars = (),
    ) -> None:  # fmt: skip
        """The gradients of ``conv``: dz is like ``out``, scratch, and may be dy where the activation is identity.

        kept is what the activation's gradient reads, z or the output. dx, dw and db are written where given; ``add``
        says whether dw and db are added to what is there instead. Without dw, x is not read.
        """
        xp, places = self.xp, tuple(dy.shape[2:])
        if activation != "identity":
            self.map(f"{formulas.ACTIVATIONS[activation]}_grad", (dy, kept), (dz,), scalars)
        wide, weights = self._wide(dz), self._wide(w)
        gradient, O, per = self._grouped(wide, groups), w.shape[0], w.shape[1]
        if db is not None:
            with self.quietly():
                self._put(xp.sum(wide, axis=(0, *range(2, 2 + len(places)))), db, add[1])
        padded = None if dw is None else self._padded(self._wide(x), window, 0.0)
        spread = None if dx is None else self._filled(window.padded(tuple(dx.shape[2:])), dx, 0.0)
        with self.quietly():
            for tap, part in window.taps(places):
                if padded is not None:
                    seen = self.permute(self._grouped(padded[(EVERY, EVERY, *part)], groups), (0, 1, 3, 2))
                    products = xp.sum(xp.matmul(gradient, seen), axis=0)
                    self._put(xp.reshape(products, (O, per)), dw[(EVERY, EVERY, *tap)], add[0])  # type: ignore[index]
                if spread is not None:
                    factor = self.permute(self._factor(weights, tap, groups), (0, 1, 3, 2))
                    shape = (*spread.shape[:2], *places)
                    where = (EVERY, EVERY, *part)
                    spread[where] = spread[where] + xp.reshape(xp.matmul(factor, gradient), shape)
        if spread is not None:
            self._write(spread[(EVERY, EVERY, *window.inside(tuple(dx.shape[2:])))], dx)  # type: ignore[union-attr]

    def _grouped(self, x: Array, groups: int) -> Array:
        """(B, C, *S) as (B, groups, channels of each, places)."""
        B, C, *sizes = x.shape
        return self.xp.reshape(x, (B, groups, C // groups, math.prod(sizes)))

    def _factor(self, w: Array, tap: Sizes, groups: int) -> Array:
        """The weights at one tap, as (1, groups, outputs of each, inputs of each)."""
        O, per = w.shape[:2]
        return self.xp.reshape(w[(EVERY, EVERY, *tap)], (1, groups, O // groups, per))

    def _filled(self, sizes: Sizes, like: Array, value: float) -> Array:
        """An array of the samples and channels of another and of so many places, in the type computed in."""
        dtype = self.dtype_of(like)
        room = self.empty((*like.shape[:2], *sizes), np.dtype(np.float32) if is_half(dtype) else dtype)
        room[...] = self.xp.asarray(value, dtype=room.dtype)
        return room

    def _padded(self, x: Array, window: Window, value: float) -> Array:
        """x with its padding, of that value."""
        sizes = tuple(x.shape[2:])
        if window.padded(sizes) == sizes:
            return x
        room = self._filled(window.padded(sizes), x, value)
        room[(EVERY, EVERY, *window.inside(sizes))] = x
        return room

    # ---- pools --------------------------------------------------------------------------------------------------

    def conv_pooled(
        self, x: Array, w: Array, b: Array | None, window: Window, groups: int, activation: str, pool: Window,
        room: Array, out: Array, scalars: Scalars = (),
    ) -> None:  # fmt: skip
        """``max_pool`` of ``conv``: out (B, O, *P), whose values without a pool may be left in ``room``."""
        self.conv(x, w, b, window, groups, activation, None, room, scalars)
        self.max_pool(room, pool, out, None)

    @primitive
    def max_pool(self, x: Array, window: Window, out: Array, places: Array | None) -> None:
        """The greatest element in each window, NaN before all others, and where it is: out and places (B, C, *P).

        places are int64, counted in x's places in row-major order; of equal elements it is the first. None: not wanted.
        """
        xp, sizes = self.xp, tuple(x.shape[2:])
        padded = self._padded(x, window, -math.inf)
        best = where = None
        for tap, part in window.taps(tuple(out.shape[2:])):
            value = padded[(EVERY, EVERY, *part)]
            number, there = self._numbers(window, tap, sizes, tuple(out.shape[2:]))
            if best is None or where is None:
                best, where = value, xp.broadcast_to(xp.where(there, number, number * 0 - 1), value.shape)
                continue
            better = there & ((where < 0) | (value > best) | (value != value))
            best, where = xp.where(better, value, best), xp.where(better, number, where)
        self._write(best, out)
        if places is not None:
            self._write(where, places)

    @primitive
    def max_pool_grad(self, dy: Array, places: Array, window: Window, dx: Array) -> None:
        """dx (B, C, *S) gets each element of dy (B, C, *P) where the greatest element was; 0 elsewhere."""
        xp, sizes, windows = self.xp, tuple(dx.shape[2:]), tuple(dy.shape[2:])
        gradient = self._wide(dy)
        spread = self._filled(window.padded(sizes), dx, 0.0)
        nothing = xp.zeros_like(gradient)
        for tap, part in window.taps(windows):
            number, there = self._numbers(window, tap, sizes, windows)
            chosen = there & (places == number)
            here = (EVERY, EVERY, *part)
            spread[here] = spread[here] + xp.where(chosen, gradient, nothing)
        self._write(spread[(EVERY, EVERY, *window.inside(sizes))], dx)

    def _numbers(self, window: Window, tap: Sizes, sizes: Sizes, windows: Sizes) -> tuple[Array, Array]:
        """For each window the number of the place that a tap meets, and whether it is one of the array's."""
        xp, number, there = self.xp, None, None
        for axis, (k, n, count) in enumerate(zip(tap, sizes, windows, strict=True)):
            first = k * window.dilation[axis] - window.padding[axis][0]
            shape = (*(1 for _ in windows[:axis]), count, *(1 for _ in windows[axis + 1 :]))
            place = xp.reshape(xp.arange(count, dtype=xp.int64) * window.stride[axis] + first, shape)
            inside = (place >= 0) & (place < n)
            number = place if number is None else number * n + place
            there = inside if there is None else there & inside
        return number, there

    @primitive
    def sum_pool(self, x: Array, window: Window, factor: float, out: Array) -> None:
        """factor times the sum of the elements in each window, padding being 0: x (B, C, *S), out (B, C, *P)."""
        padded, total = self._padded(self._wide(x), window, 0.0), None
        with self.quietly():
            for _, part in window.taps(tuple(out.shape[2:])):
                value = padded[(EVERY, EVERY, *part)]
                total = value if total is None else total + value
            self._write(total * factor, out)  # type: ignore[operator]

    @primitive
    def sum_pool_grad(self, dy: Array, window: Window, factor: float, dx: Array) -> None:
        """factor times the sum of dy (B, C, *P) over the windows that each element of dx (B, C, *S) is in."""
        sizes = tuple(dx.shape[2:])
        spread = self._filled(window.padded(sizes), dx, 0.0)
        with self.quietly():
            gradient = self._wide(dy) * factor
            for _, part in window.taps(tuple(dy.shape[2:])):
                here = (EVERY, EVERY, *part)
                spread[here] = spread[here] + gradient
        self._write(spread[(EVERY, EVERY, *window.inside(sizes))], dx)

    # ---- patches ------------------------------------------------------------------------------------------------

    @primitive
    def patches(self, x: Array, window: Window, out: Array) -> None:
        """What each window sees: x (B, C, *S), out (B, C, taps, *P)."""
        padded = self._padded(x, window, 0.0)
        for k, (_, part) in enumerate(window.taps(tuple(out.shape[3:]))):
            self._write(padded[(EVERY, EVERY, *part)], out[:, :, k, ...])

    @primitive
    def patches_grad(self, dy: Array, window: Window, dx: Array) -> None:
        """The sum at each place of what windows see of it: dy (B, C, taps, *P), dx (B, C, *S)."""
        sizes = tuple(dx.shape[2:])
        spread = self._filled(window.padded(sizes), dx, 0.0)
        gradient = self._wide(dy)
        for k, (_, part) in enumerate(window.taps(tuple(dy.shape[3:]))):
            here = (EVERY, EVERY, *part)
            spread[here] = spread[here] + gradient[:, :, k, ...]
        self._write(spread[(EVERY, EVERY, *window.inside(sizes))], dx)
