"""The primitives that bring values to mean 0 and variance 1; reference bodies in array-API calls.

x is seen as (A, C, L): samples, channels, places. Statistics are taken over all samples and places of a channel (batch
normalization: ``groups`` is 0), or within each sample over ``groups`` equal parts of the channels (all channels for
layer normalization, one for instance normalization).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nnkit.backends.memory import Memory
from nnkit.backends.recording import Array, primitive


class Normalization(Memory):
    """What ``Backend`` can do with means and variances."""

    if TYPE_CHECKING:
        _wide: Callable[[Array], Array]
        _write: Callable[[Array, Array], None]
        _put: Callable[[Array, Array, bool], None]

    @primitive
    def normalize(
        self, x: Array, w: Array | None, b: Array | None, groups: int, eps: float, centred: bool, mean: Array,
        variance: Array, out: Array,
    ) -> None:  # fmt: skip
        """out = (x - mean) / sqrt(variance + eps) w + b, with x's own statistics: x and out (A, C, L), w and b (C,).

        mean and variance, (C,) or (A, groups), are written; the variance is that of the population. Where not
        ``centred``, the mean is 0 and the variance the mean square (Zhang and Sennrich, Root Mean Square Layer
        Normalization, 2019).
        """
        xp, seen = self.xp, self._parts(self._wide(x), groups)
        with self.quietly():
            axes = self._over(groups)
            middle = xp.mean(seen, axis=axes, keepdims=True)
            middle = middle if centred else xp.zeros_like(middle)
            spread = seen - middle
            square = xp.mean(spread * spread, axis=axes, keepdims=True)
            made = xp.reshape(spread / xp.sqrt(square + eps), x.shape)
            self._write(self._affine(made, w, b), out)
        self._write(xp.reshape(middle, mean.shape), mean)
        self._write(xp.reshape(square, variance.shape), variance)

    @primitive
    def normalize_grad(
        self, x: Array, w: Array | None, groups: int, eps: float, centred: bool, mean: Array, variance: Array,
        dy: Array, dx: Array | None, dw: Array | None, db: Array | None, add: tuple[bool, bool],
    ) -> None:  # fmt: skip
        """The gradients of ``normalize``, whose statistics are x's own; dx, dw and db are written where given.

        ``add`` says whether dw and db are added to what is there instead.
        """
        xp, axes = self.xp, self._over(groups)
        seen, gradient = self._parts(self._wide(x), groups), self._wide(dy)
        shape = (1, seen.shape[1], 1) if groups == 0 else (*mean.shape, 1)
        with self.quietly():
            factor = 1.0 / xp.sqrt(xp.reshape(variance, shape) + eps)
            made = (seen - xp.reshape(mean, shape)) * factor
            if dw is not None:
                self._put(xp.sum(gradient * xp.reshape(made, x.shape), axis=(0, 2)), dw, add[0])
            if db is not None:
                self._put(xp.sum(gradient, axis=(0, 2)), db, add[1])
            if dx is not None:
                inner = self._parts(gradient if w is None else gradient * xp.reshape(w, (1, -1, 1)), groups)
                along = xp.mean(inner * made, axis=axes, keepdims=True)
                rest = inner - made * along
                if centred:
                    rest = rest - xp.mean(inner, axis=axes, keepdims=True)
                self._write(xp.reshape(rest * factor, x.shape), dx)

    @primitive
    def normalize_by(
        self, x: Array, w: Array | None, b: Array | None, eps: float, mean: Array, variance: Array, out: Array
    ) -> None:
        """As ``normalize`` over samples, with given statistics: mean and variance (C,)."""
        with self.quietly():
            centre, square = (self.xp.reshape(given, (1, -1, 1)) for given in (mean, variance))
            made = (self._wide(x) - centre) / self.xp.sqrt(square + eps)
            self._write(self._affine(made, w, b), out)

    @primitive
    def normalize_by_grad(
        self, x: Array, w: Array | None, eps: float, mean: Array, variance: Array, dy: Array, dx: Array | None,
        dw: Array | None, db: Array | None, add: tuple[bool, bool],
    ) -> None:  # fmt: skip
        """The gradients of ``normalize_by``, as those of ``normalize``; none reaches the statistics."""
        xp, gradient = self.xp, self._wide(dy)
        with self.quietly():
            centre, square = (xp.reshape(given, (1, -1, 1)) for given in (mean, variance))
            factor = 1.0 / xp.sqrt(square + eps)
            if dw is not None:
                self._put(xp.sum(gradient * (self._wide(x) - centre) * factor, axis=(0, 2)), dw, add[0])
            if db is not None:
                self._put(xp.sum(gradient, axis=(0, 2)), db, add[1])
            if dx is not None:
                self._write(gradient * factor * (1.0 if w is None else xp.reshape(w, (1, -1, 1))), dx)

    def _parts(self, x: Array, groups: int) -> Array:
        """(A, C, L) as (A, groups, elements of each), or as it is."""
        A, C, L = x.shape
        return x if groups == 0 else self.xp.reshape(x, (A, groups, C // groups * L))

    def _over(self, groups: int) -> tuple[int, ...]:
        return (0, 2) if groups == 0 else (2,)

    def _affine(self, x: Array, w: Array | None, b: Array | None) -> Array:
        x = x if w is None else x * self.xp.reshape(w, (1, -1, 1))
        return x if b is None else x + self.xp.reshape(b, (1, -1, 1))
