"""Rounding to types of sixteen bits, and the scale of a loss whose gradients would underflow in float16.

Rounding is written with divisions by powers of two, which are exact, so that it gives the same in every type that holds
float32.
"""

from __future__ import annotations

from nnkit.kernels.vocabulary import absolute, maximum, minimum, rint, where

#: The least normal float32.
SMALLEST = 1.1754943508222875e-38
INFINITY = float("inf")


# ---- rounding --------------------------------------------------------------------------------------------


def climb(power, a, factor):
    """power times factor where that is not above a, else power."""
    return where(a >= power * factor, power * factor, power)


def binade(a):
    """The greatest power of two that is not above a, from 2**-126 to 2**127.

    >>> binade(5.0), binade(0.75), binade(0.0) == 2.0**-126
    (4.0, 0.5, True)
    """
    a = minimum(a, 1.7014118346046923e38)
    power = where(a >= 4.0, 4.0, minimum(maximum(a, SMALLEST), SMALLEST))
    power = climb(climb(power, a, 18446744073709551616.0), a, 4294967296.0)
    power = climb(climb(power, a, 65536.0), a, 256.0)
    return climb(climb(climb(power, a, 16.0), a, 4.0), a, 2.0)


def round_to_bfloat16(x):
    """The nearest number of 8 binary digits, ties to even; infinity beyond the largest of bfloat16.

    >>> round_to_bfloat16(1.00390625), round_to_bfloat16(1.01171875), round_to_bfloat16(-3.4e38)
    (1.0, 1.015625, -inf)
    """
    step = binade(absolute(x)) * 0.0078125
    y = rint(x / step) * step
    return where(absolute(y) > 3.3895313892515355e38, y * INFINITY, y)


def round_to_float16(x):
    """The nearest number of 11 binary digits, or fewer below 2**-14, ties to even; infinity beyond 65504.

    >>> round_to_float16(2049.0), round_to_float16(65520.0), round_to_float16(2.0**-25)
    (2048.0, inf, 0.0)
    """
    step = maximum(binade(absolute(x)), 6.103515625e-05) * 0.0009765625
    y = rint(x / step) * step
    return where(absolute(y) > 65504.0, y * INFINITY, y)


# ---- the scale of a loss ---------------------------------------------------------------------------------


def not_finite(least, greatest):
    """1 where one of the two is infinite or NaN, else 0.

    >>> not_finite(-2.0, 3.0), not_finite(-2.0, float("inf")), not_finite(float("nan"), float("nan"))
    (0.0, 1.0, 1.0)
    """
    nothing = (least - least) + (greatest - greatest)
    return where(nothing == 0.0, nothing, 1.0)


def loss_scale(scale, streak, found, *, growth_factor, backoff_factor, growth_interval):
    """After a step: the next scale, the steps in a row without overflow, and 0 for ``found``, whether one was found.

    Micikevicius et al., Mixed Precision Training, 2018. The scale stays where it would not be a float32.

    >>> loss_scale(8.0, 1.0, 0.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=2.0)
    (16.0, 0.0, 0.0)
    >>> loss_scale(8.0, 1.0, 1.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=2.0)
    (4.0, 0.0, 0.0)
    """
    streak = streak + 1.0
    grown = where(scale * growth_factor > 3.4028234663852886e38, scale, scale * growth_factor)
    next_scale = where(streak >= growth_interval, grown, scale)
    next_streak = where(streak >= growth_interval, 0.0, streak)
    return where(found == 0.0, next_scale, scale * backoff_factor), where(found == 0.0, next_streak, 0.0), 0.0
