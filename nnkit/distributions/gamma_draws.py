"""Draws of gamma distributions that gradients pass: what Gamma, Chi2, Beta, Dirichlet and StudentT are drawn from.

They are drawn by Marsaglia and Tsang's method, whose rejections have no gradient. Instead a draw is taken to stay at
the same place of its distribution function while the parameter moves (Figurnov, Mohamed and Mnih, Implicit
Reparameterization Gradients, 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.tensors import dtypes
from nnkit.tensors.creation import tensor, zeros
from nnkit.tensors.memory import Gradient
from nnkit.tensors.random_tensors import rand, randn
from nnkit.tensors.results import OUTPUT, Asked, result
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["log_gamma_draw", "slope"]

#: Rounds of a rejection method of which one in twenty fails at most: all do so once in 10**20 draws.
ROUNDS = 16
LEAST = 2.0**-25
#: Places of the trapezoidal rule for an integral that is exp(u - exp(-u)) apart: first, last, how many.
NODES = (-3.3, 4.0, 64)
MOST = 1e300


def log_gamma_draw(concentration: Tensor) -> Tensor:
    """Logarithms of draws of gamma distributions of rate 1, one for each element, and on the tape.

    Logarithms, because draws of small concentrations are below the least float.

    >>> import nnkit
    >>> log_gamma_draw(nnkit.ones(2, 3)).shape
    (2, 3)
    """
    with no_grad():
        drawn = _drawn(concentration.detach())

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        with no_grad():
            found = Tensor(dy, drawn.backend) * slope(concentration.detach(), drawn)
        return (found.array,)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor]:
        return (dy * slope(concentration, asked.output(drawn.array)),)

    inputs, reads = (concentration,), ((concentration, OUTPUT),)
    return result("gamma_draw", drawn.array, drawn.backend, inputs, pullback, reads, rule)


def _drawn(concentration: Tensor) -> Tensor:
    """Marsaglia and Tsang, A Simple Method for Generating Gamma Variables, 2000.

    A concentration below 1 is drawn at one more, and brought back by a power of a uniform number.
    """
    shape = concentration.shape
    place: dict[str, Any] = {"dtype": concentration.dtype, "device": concentration.device}
    raised = ops.where(concentration < 1.0, concentration + 1.0, concentration)
    d = raised - 1.0 / 3.0
    c = 1.0 / (9.0 * d).sqrt()
    found, done = zeros(shape, **place), concentration < 0.0
    for _ in range(ROUNDS):
        z = randn(shape, **place)
        u = rand(shape, **place).clamp(min=LEAST)
        v = (1.0 + c * z) ** 3
        log_v = v.clamp(min=1e-30).log()
        taken = (v > 0.0).logical_and(u.log() < 0.5 * z.square() + d - d * v + d * log_v)
        found = ops.where(taken.logical_and(done.logical_not()), d.log() + log_v, found)
        done = done.logical_or(taken)
    u = rand(shape, **place).clamp(min=LEAST)
    return ops.where(concentration < 1.0, found + u.log() / concentration, found)


def slope(concentration: Tensor, log_draw: Tensor) -> Tensor:
    """How fast the logarithm y of a draw moves with its concentration a: -(dF/da) / (dF/dy) of the distribution F.

    With x = e**y this is the integral over w > 0 of e**(-a w + x (1 - e**-w)) (digamma(a) - y + w); far up, where that
    cancels, the same of -w, with the other sign. Good to some 1e-8, by 64 places. Made of ops, so it has gradients.

    >>> import nnkit
    >>> round(slope(nnkit.tensor(2.0), nnkit.tensor(0.0)).item(), 6)  # of the draw 1
    0.750779
    """
    a, y = (t.to(dtypes.float64).unsqueeze(-1) for t in (concentration, log_draw))
    w, turn, weights = _places(a.detach(), y.detach())
    grown = ops.expm1(turn * w).clamp(max=MOST)
    inside = (turn * a * w - y.exp() * grown).exp() * (ops.digamma(a) - y - turn * w)
    return (-turn * inside * weights).sum(-1).to(log_draw.dtype)


def _places(a: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the integral is looked at, which way it goes, and the weight of each place."""
    first, last, count = NODES
    u, step = np.linspace(first, last, count, retstep=True)
    far = np.exp(u - np.exp(-u))
    places, weights = (tensor(t, device=a.device) for t in (far, far * (1.0 + np.exp(-u)) * step))
    x = y.exp()
    away = (x - a).abs() + x.sqrt()
    below = x < a.clamp(min=1.5)
    unit = ops.where(below, 1.0 / ops.minimum(a, away), 1.0 / ops.maximum(away, 1.0 / (1.0 + (1.0 / x).log1p())))
    return unit * places, ops.where(below, -1.0, 1.0).to(a.dtype), unit * weights
