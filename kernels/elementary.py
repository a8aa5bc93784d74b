"""The elementary functions beyond those that array libraries and compilers share, each formula written once.

They are made of the words of ``vocabulary``; so they need nothing of a device. Errors are a few units in the last place
of the type computed in. How a gradient says what it reads is told in ``formulas`` and ``arithmetic``. The gamma
function is in ``gamma``.
"""

from __future__ import annotations

from nnkit.kernels.vocabulary import (
    absolute,
    cos,
    exp,
    expm1,
    floor,
    log,
    log1p,
    maximum,
    minimum,
    power,
    rint,
    sin,
    sqrt,
    where,
)

PI = 3.141592653589793
HALF_PI = 1.5707963267948966
QUARTER_PI = 0.7853981633974483
LOG_2 = 0.6931471805599453
LOG_10 = 2.302585092994046
INFINITE = float("inf")
MISSING = float("nan")


# ---- rounding ---------------------------------------------------------------------------------------------


def round_up(x):
    return -floor(-x)


def round_up_grad(dy):
    return 0.0 * dy


def round_to_zero(x):
    return where(x < 0.0, -floor(-x), floor(x))


def round_to_zero_grad(dy):
    return 0.0 * dy


def fraction(x):
    return x - round_to_zero(x)


def fraction_grad(dy):
    return dy


def rest(x, y):
    """x without the greatest multiple of y in it, with the sign of x: C's fmod."""
    return where(x < 0.0, -(absolute(x) % absolute(y)), absolute(x) % absolute(y))


def rest_other_grad(dz, x, y):
    return -dz * round_to_zero(x / y)


# ---- powers and logarithms ----------------------------------------------------------------------------------


def always(x, value):
    """``value``, and NaN where x is."""
    return maximum(minimum(x, value), value)


def power_of_2(x):
    return power(always(x, 2.0), x)


def power_of_2_grad(dy, y):
    return dy * y * LOG_2


def logarithm2(x):
    """Whole where x is a power of 2."""
    y = log(x) / LOG_2
    n = rint(y)
    return where(power(always(n, 2.0), n) == x, n, y)


def logarithm2_grad(dy, x):
    return dy / (x * LOG_2)


def logarithm10(x):
    """Whole where x is a power of 10."""
    y = log(x) / LOG_10
    n = rint(y)
    return where(power(always(n, 10.0), n) == x, n, y)


def logarithm10_grad(dy, x):
    return dy / (x * LOG_10)


def reciprocal_root(x):
    return 1.0 / sqrt(x)


def reciprocal_root_grad(dy, y):
    return -0.5 * dy * y * y * y


def log_of_sum(x, y):
    """log(exp(x) + exp(y)), without overflow."""
    return where(x == y, x + LOG_2, maximum(x, y) + log1p(exp(-absolute(x - y))))


def log_of_sum_grad(dz, x, y):
    return dz / (1.0 + exp(minimum(y - x, 80.0)))


def log_of_sum_other_grad(dz, x, y):
    return dz / (1.0 + exp(minimum(x - y, 80.0)))


def log_odds(x):
    """NaN outside of 0 to 1."""
    return log(x / (1.0 - x))


def log_odds_grad(dy, x):
    return where(x < 0.0, MISSING, where(x > 1.0, MISSING, dy / (x * (1.0 - x))))


def hypotenuse(x, y):
    """sqrt(x x + y y), without overflow."""
    a, b = maximum(absolute(x), absolute(y)), minimum(absolute(x), absolute(y))
    r = b / where(a == 0.0, 1.0, a)
    return where(a == 0.0, a, where(a == INFINITE, a, a * sqrt(1.0 + r * r)))


def hypotenuse_grad(dz, x, z):
    return dz * x / z


def hypotenuse_other_grad(dz, y, z):
    return dz * y / z


# ---- angles -------------------------------------------------------------------------------------------------


def tangent(x):
    return sin(x) / cos(x)


def tangent_grad(dy, y):
    return dy * (1.0 + y * y)


def arctangent(x):
    """S. L. Moshier, Cephes: a rational function, after a multiple of pi / 4 was taken from the angle.

    >>> arctangent(1.0) * 4.0
    3.141592653589793
    """
    a = absolute(x)
    near = where(a > 0.66, (a - 1.0) / (a + 1.0), a)
    t = where(a > 2.414213562373095, -1.0 / maximum(a, 1.0), near)
    angle = where(a > 2.414213562373095, always(a, HALF_PI), where(a > 0.66, always(a, QUARTER_PI), 0.0))
    z = t * t
    p = ((((-8.750608600031904122785e-1 * z - 1.615753718733365076637e1) * z - 7.500855792314704667340e1) * z
          - 1.228866684490136173410e2) * z - 6.485021904942025371773e1)  # fmt: skip
    q = (((((z + 2.485846490142306297962e1) * z + 1.650270098316988542046e2) * z + 4.328810604912902668951e2) * z
          + 4.853903996359136964868e2) * z + 1.945506571482613964425e2)  # fmt: skip
    y = angle + (t * (z * p / q) + t)
    return where(x < 0.0, -y, y)


def arctangent_grad(dy, x):
    return dy / (1.0 + x * x)


def angle_of(x, y):
    """The angle of the point (y, x), from -pi to pi: the arctangent of x / y in the right quadrant."""
    t = arctangent(x / where(y == 0.0, 1.0, y))
    back = where(x < 0.0, t - PI, t + PI)
    aside = where(x > 0.0, HALF_PI, where(x < 0.0, -HALF_PI, x))
    return where(y > 0.0, t, where(y < 0.0, back, where(y == 0.0, aside, y)))


def angle_of_grad(dz, x, y):
    return dz * y / (x * x + y * y)


def angle_of_other_grad(dz, x, y):
    return -dz * x / (x * x + y * y)


def arcsine(x):
    return where(absolute(x) == 1.0, x * HALF_PI, arctangent(x / sqrt((1.0 - x) * (1.0 + x))))


def arcsine_grad(dy, x):
    return dy / sqrt((1.0 - x) * (1.0 + x))


def arccosine(x):
    """Twice the angle whose tangent is the root of (1 - x) / (1 + x)."""
    return 2.0 * arctangent(sqrt((1.0 - x) / (1.0 + x)))


def arccosine_grad(dy, x):
    return -dy / sqrt((1.0 - x) * (1.0 + x))


# ---- hyperbolic functions -----------------------------------------------------------------------------------


def hyperbolic_sine(x):
    """By exp(|x|) - 1, which keeps the digits of small x; by half of exp where that is large."""
    a = absolute(x)
    e = expm1(minimum(a, 20.0))
    y = where(a > 20.0, 0.5 * exp(a), 0.5 * (e + e / (e + 1.0)))
    return where(x < 0.0, -y, y)


def hyperbolic_sine_grad(dy, x):
    return dy * hyperbolic_cosine(x)


def hyperbolic_cosine(x):
    return 0.5 * exp(x) + 0.5 * exp(-x)


def hyperbolic_cosine_grad(dy, x):
    return dy * hyperbolic_sine(x)


def area_sine(x):
    """The inverse of the hyperbolic sine, without loss near 0 and without overflow."""
    a = absolute(x)
    s = minimum(a, 1e8)
    y = where(a > 1e8, log(a) + LOG_2, log1p(s + s * s / (1.0 + sqrt(s * s + 1.0))))
    return where(x < 0.0, -y, y)


def area_sine_grad(dy, x):
    return dy / hypotenuse(x, always(x, 1.0))


def area_cosine(x):
    """The inverse of the hyperbolic cosine, NaN below 1."""
    t = minimum(x, 1e8) - 1.0
    return where(x > 1e8, log(x) + LOG_2, log1p(t + sqrt(t * (t + 2.0))))


def area_cosine_grad(dy, x):
    return where(absolute(x) == 1.0, dy * INFINITE, dy / sqrt((x - 1.0) * (x + 1.0)))


def area_tangent(x):
    """The inverse of the hyperbolic tangent, infinite at -1 and 1."""
    a = absolute(x)
    y = 0.5 * log1p(2.0 * a / (1.0 - a))
    return where(a == 1.0, x * INFINITE, where(x < 0.0, -y, y))


def area_tangent_grad(dy, x):
    return dy / ((1.0 - x) * (1.0 + x))


# ---- others ---------------------------------------------------------------------------------------------------


def cardinal_sine(x):
    """sin(pi x) / (pi x), 1 at 0."""
    t = PI * where(x == 0.0, 1.0, x)
    return where(x == 0.0, 1.0, sin(t) / t)


def cardinal_sine_grad(dy, x):
    """By its series near 0, where the difference would lose digits."""
    t = PI * x
    far = where(absolute(t) < 0.5, 1.0, t)
    z = minimum(t * t, 0.25)
    near = t * (-1.0 / 3.0 + z * (1.0 / 30.0 - z * (1.0 / 840.0 - z * (1.0 / 45360.0 - z * (1.0 / 3991680.0
                - z * (1.0 / 518918400.0))))))  # fmt: skip
    return dy * PI * where(absolute(t) < 0.5, near, (cos(far) * far - sin(far)) / (far * far))


def larger_known(x, y):
    """The larger; the other one where one is NaN."""
    return where(x != x, y, where(y != y, x, maximum(x, y)))


def smaller_known(x, y):
    return where(x != x, y, where(y != y, x, minimum(x, y)))


def larger_known_grad(dy, x, y):
    """To x where it is not the smaller, or y is NaN."""
    return where(x >= y, dy, where(y != y, dy, 0.0))


def larger_known_other_grad(dy, x, y):
    return where(x >= y, 0.0, where(y != y, 0.0, dy))


def smaller_known_grad(dy, x, y):
    """To x where it is not the larger, or y is NaN."""
    return where(x <= y, dy, where(y != y, dy, 0.0))


def smaller_known_other_grad(dy, x, y):
    return where(x <= y, 0.0, where(y != y, 0.0, dy))


def is_missing(x):
    """Whether x is NaN."""
    return x != x


def is_infinite(x):
    return absolute(x) == INFINITE


def is_finite(x):
    return absolute(x) < INFINITE


def without_missing(x, *, instead, top, bottom):
    """x, with numbers for NaN, infinity and minus infinity."""
    return where(x == x, where(x == INFINITE, top, where(x == -INFINITE, bottom, x)), instead)


def without_missing_grad(dy, x, *, instead, top, bottom):
    return where(absolute(x) < INFINITE, dy, 0.0)
