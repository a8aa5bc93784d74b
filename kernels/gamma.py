"""The gamma function's logarithm and its derivatives, made of the words of ``vocabulary`` as ``elementary`` is."""

from __future__ import annotations

from nnkit.kernels.elementary import INFINITE, MISSING, PI
from nnkit.kernels.vocabulary import (
    absolute,
    cos,
    floor,
    log,
    maximum,
    minimum,
    rint,
    sin,
    where,
)


def log_gamma_above(x):
    """log|gamma(x)| for x >= 0.5: C. Lanczos, A precision approximation of the gamma function, 1964, with g = 7."""
    z = x - 1.0
    s = (0.99999999999980993 + 676.5203681218851 / (z + 1.0) - 1259.1392167224028 / (z + 2.0)
         + 771.32342877765313 / (z + 3.0) - 176.61502916214059 / (z + 4.0) + 12.507343278686905 / (z + 5.0)
         - 0.13857109526572012 / (z + 6.0) + 9.9843695780195716e-6 / (z + 7.0)
         + 1.5056327351493116e-7 / (z + 8.0))  # fmt: skip
    t = z + 7.5
    return 0.9189385332046727 + (z + 0.5) * log(t) - t + log(s)


def log_gamma(x):
    """log|gamma(x)|; below 1/2 by the reflection at 1/2.

    >>> round(log_gamma(5.0), 12) == round(log(24.0), 12), log_gamma(0.0)
    (True, inf)
    """
    above = log_gamma_above(maximum(x, 0.5))
    below = minimum(x, 0.5)
    mirrored = LOG_PI - log(absolute(sin(PI * (below - rint(below))))) - log_gamma_above(1.0 - below)
    return where(absolute(x) == INFINITE, INFINITE, where(x >= 0.5, above, mirrored))


def log_gamma_grad(dy, x):
    return dy * digamma(x)


def digamma_above(x):
    """The slope of log gamma for x > 0: six steps up, then the asymptotic series."""
    near = 1.0 / x + 1.0 / (x + 1.0) + 1.0 / (x + 2.0) + 1.0 / (x + 3.0) + 1.0 / (x + 4.0) + 1.0 / (x + 5.0)
    z = x + 6.0
    r = 1.0 / (z * z)
    series = r * (1.0 / 12.0 - r * (1.0 / 120.0 - r * (1.0 / 252.0 - r * (1.0 / 240.0 - r * (1.0 / 132.0
             - r * (691.0 / 32760.0 - r * (1.0 / 12.0)))))))  # fmt: skip
    return log(z) - 0.5 / z - series - near


def digamma(x):
    """The slope of log gamma; NaN at negative whole numbers, minus infinity at 0, as PyTorch has it."""
    below = minimum(x, 0.5)
    turn = PI * (below - rint(below))
    mirrored = digamma_above(1.0 - below) - PI * cos(turn) / sin(turn)
    pole = where(below == floor(below), MISSING, mirrored)
    return where(x == 0.0, -INFINITE, where(x > 0.5, digamma_above(maximum(x, 0.5)), pole))


def digamma_grad(dy, x):
    return dy * trigamma(x)


def trigamma_above(x):
    """The slope of digamma for x > 0: six steps up, then the asymptotic series."""
    near = 1.0 / (x * x) + 1.0 / ((x + 1.0) * (x + 1.0)) + 1.0 / ((x + 2.0) * (x + 2.0))
    near = near + 1.0 / ((x + 3.0) * (x + 3.0)) + 1.0 / ((x + 4.0) * (x + 4.0)) + 1.0 / ((x + 5.0) * (x + 5.0))
    z = x + 6.0
    r = 1.0 / (z * z)
    series = r * (1.0 / 6.0 - r * (1.0 / 30.0 - r * (1.0 / 42.0 - r * (1.0 / 30.0 - r * (5.0 / 66.0
             - r * (691.0 / 2730.0 - r * (7.0 / 6.0)))))))  # fmt: skip
    return 1.0 / z + 0.5 * r + series / z + near


def trigamma(x):
    """The slope of digamma, by the reflection at 1/2 below it."""
    below = minimum(x, 0.5)
    s = sin(PI * (below - rint(below)))
    return where(x > 0.5, trigamma_above(maximum(x, 0.5)), PI * PI / (s * s) - trigamma_above(1.0 - below))


LOG_PI = 1.1447298858494002
