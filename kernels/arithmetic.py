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


def floor_divide(x, y):
    return x // y


def floor_divide_grad(dz):
    return 0.0 * dz


def remainder(x, y):
    """x - y floor(x / y), with the sign of y."""
    return x % y


def remainder_grad(dz):
    return dz


def remainder_other_grad(dz, x, y):
    return -dz * (x // y)


def exclusive(x, y):
    return x ^ y


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
    """All of it beside NaN, as PyTorch has it; so for both operands, and for the smaller."""
    return where(x < y, 0.0, where(x == y, 0.5 * dz, dz))


def larger_other_grad(dz, x, y):
    return where(x > y, 0.0, where(x == y, 0.5 * dz, dz))


def smaller_grad(dz, x, y):
    return where(x > y, 0.0, where(x == y, 0.5 * dz, dz))


def smaller_other_grad(dz, x, y):
    return where(x < y, 0.0, where(x == y, 0.5 * dz, dz))


def clamp(x, *, low, high):
    return minimum(maximum(x, low), high)


def clamp_grad(dy, x, *, low, high):
    """0 of NaN, and where a bound is NaN."""
    return where(x >= low, where(x <= high, dy, 0.0), 0.0)


def clamp_between_grad(dy, x, low, high):
    return where(x >= low, where(x <= high, dy, 0.0), 0.0)


def clamp_between_low_grad(dy, x, low, high):
    return where(x < low, where(low < high, dy, 0.0), 0.0)


def clamp_between_high_grad(dy, x, low, high):
    return where(x > high, dy, where(low > high, dy, 0.0))


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


def root_of_variance(x):
    """The root of a variance."""
    return sqrt(x)


def root_of_variance_grad(dy, y):
    """0 where the variance is 0, as PyTorch has it."""
    return where(y == 0.0, 0.0, 0.5 * dy / y)


def norm_grad(dy, x, y):
    """Of the root y of a sum of squares, with respect to one of them."""
    return where(y == 0.0, 0.0, dy * x / y)


def norm_of_order_grad(dy, x, y, *, order):
    """Of y = (sum of |x|**order)**(1/order), with respect to one x: 0 where the norm or x is 0."""
    slope = dy * sign(x) * power(absolute(x) / y, order - 1.0)
    return where(x == 0.0, 0.0, where(y == 0.0, 0.0, slope))


def at_extreme(x, y):
    """Whether x is y, the greatest or least of some; if that is NaN, whether x is."""
    return (x == y) | (x != x)


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
