"""The scalar mathematics of arithmetic, comparison and elementary functions, each formula written once.

See ``vocabulary`` for the words a formula may use, and ``formulas`` for how a gradient says what it reads. Of a
formula of two operands, ``_grad`` is the gradient with respect to x and ``_other_grad`` that with respect to y; z
is the output.
"""

from __future__ import annotations

from nnkit.kernels.vocabulary import (
    absolute,
    cos,
    erf,
    exp,
    expm1,
    floor,
    log,
    log1p,
    maximum,
    minimum,
    power,
    rint,
    sign,
    sin,
    sqrt,
    where,
)  # fmt: skip

# ---- arithmetic -------------------------------------------------------------------------------------------


def add(x, y):
    return x + y


def sub(x, y):
    return x - y


def mul(x, y):
    return x * y


def div(x, y):
    return x / y


def mul_grad(dz, y):
    return dz * y


def mul_other_grad(dz, x):
    return dz * x


def div_grad(dz, y):
    return dz / y


def div_other_grad(dz, x, y):
    return -dz * x / (y * y)


def neg(x):
    return -x


def neg_grad(dy):
    return -dy


def square(x):
    return x * x


def square_grad(dy, x):
    return 2.0 * dy * x


def reciprocal(x):
    return 1.0 / x


def reciprocal_grad(dy, y):
    return -dy * y * y


def scale(x, *, factor):
    return x * factor


def scale_grad(dy, *, factor):
    return dy * factor


def shift(x, *, offset):
    return x + offset


def shift_grad(dy, *, offset):
    return dy


def shift_from(x, *, start):
    """start - x."""
    return start - x


def shift_from_grad(dy, *, start):
    return -dy


def divide_by(x, *, divisor):
    return x / divisor


def divide_by_grad(dy, *, divisor):
    return dy / divisor


def divide_into(x, *, numerator):
    """numerator / x."""
    return numerator / x


def divide_into_grad(dy, x, *, numerator):
    return -dy * numerator / (x * x)


def pow(x, y):
    return power(x, y)


def pow_grad(dz, x, y):
    """0 where y is 0, also at x = 0."""
    return where(y == 0.0, 0.0, dz * y * power(x, y - 1.0))


def pow_other_grad(dz, x, y, z):
    """0 where x is 0 and y is not negative, where the logarithm would make it NaN."""
    return where(x == 0.0, where(y >= 0.0, 0.0, dz * z * log(x)), dz * z * log(x))


def power_to(x, *, exponent):
    return power(x, exponent)


def power_to_grad(dy, x, *, exponent):
    return where(exponent == 0.0, 0.0, dy * exponent * power(x, exponent - 1.0))


def select(condition, x, y):
    return where(condition, x, y)


def larger(x, y):
    return maximum(x, y)


def smaller(x, y):
    return minimum(x, y)


def larger_grad(dz, x, y):
    return where(x > y, dz, where(x == y, 0.5 * dz, 0.0))


def larger_other_grad(dz, x, y):
    return where(x < y, dz, where(x == y, 0.5 * dz, 0.0))


def smaller_grad(dz, x, y):
    return where(x < y, dz, where(x == y, 0.5 * dz, 0.0))


def smaller_other_grad(dz, x, y):
    return where(x > y, dz, where(x == y, 0.5 * dz, 0.0))


def clamp(x, *, low, high):
    return minimum(maximum(x, low), high)


def clamp_grad(dy, x, *, low, high):
    return where(x < low, 0.0, where(x > high, 0.0, dy))


def equal(x, y):
    return x == y


def not_equal(x, y):
    return x != y


def less(x, y):
    return x < y


def less_equal(x, y):
    return x <= y


def greater(x, y):
    return x > y


def greater_equal(x, y):
    return x >= y


def both(x, y):
    return x & y


def either(x, y):
    return x | y


def negation(x):
    return ~x


# ---- elementary functions ---------------------------------------------------------------------------------


def exponential(x):
    return exp(x)


def exponential_grad(dy, y):
    return dy * y


def logarithm(x):
    return log(x)


def logarithm_grad(dy, x):
    return dy / x


def logarithm1p(x):
    return log1p(x)


def logarithm1p_grad(dy, x):
    return dy / (1.0 + x)


def exponential_minus_1(x):
    return expm1(x)


def exponential_minus_1_grad(dy, y):
    return dy * (y + 1.0)


def square_root(x):
    return sqrt(x)


def square_root_grad(dy, y):
    return 0.5 * dy / y


def norm_grad(dy, x, y):
    """Of the root y of a sum of squares, with respect to one of them."""
    return where(y == 0.0, 0.0, dy * x / y)


def nonzero(x):
    """x, or 1 where x is 0."""
    return where(x == 0.0, x + 1.0, x)


def is_zero(x):
    """1 where x is 0, else 0."""
    return where(x == 0.0, x + 1.0, 0.0)


def prod_grad(dy, x, y, zeros):
    """The product of the other elements: y is the product of those that are not 0, zeros counts those that are."""
    return dy * where(x == 0.0, where(zeros == 1.0, y, 0.0), where(zeros == 0.0, y / x, 0.0))


def absolute_value(x):
    return absolute(x)


def absolute_value_grad(dy, x):
    return dy * sign(x)


def sine(x):
    return sin(x)


def sine_grad(dy, x):
    return dy * cos(x)


def cosine(x):
    return cos(x)


def cosine_grad(dy, x):
    return -dy * sin(x)


def error_function(x):
    return erf(x)


def error_function_grad(dy, x):
    return dy * 1.1283791670955126 * exp(-x * x)


def round_down(x):
    return floor(x)


def round_down_grad(dy):
    return 0.0 * dy


def round_to_even(x):
    return rint(x)


def round_to_even_grad(dy):
    return 0.0 * dy


def sign_of(x):
    return sign(x)


def sign_of_grad(dy):
    return 0.0 * dy


# ---- rounding to sixteen-bit types ------------------------------------------------------------------------
# Written with divisions by powers of two, which are exact, so that it gives the same in every type that holds float32.


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


#: The least normal float32.
SMALLEST = 1.1754943508222875e-38
INFINITY = float("inf")


# ---- random numbers ---------------------------------------------------------------------------------------


def box_muller(u, v):
    """A standard normal number from two uniforms in [0, 1): Box and Muller 1958."""
    return sqrt(-2.0 * log(1.0 - u)) * cos(6.283185307179586 * v)
