"""Mathematics that array libraries lack or that compilers do not vectorise, as formulas.

``erf`` serves arrays and compiled CPU code. ``exp32``, ``log32``, ``erf32`` and ``tanh32`` are float32 versions for
compiled CPU code, where a call of the C library's function would keep a loop from using vector registers.
Errors are stated in ulp (units in the last place), measured against float64 by ``tests/test_formulas.py``.
"""

from __future__ import annotations

from nnkit.kernels.vocabulary import absolute, exp, log, maximum, minimum, rint, sqrt, where


def power_of_two(n: float) -> float:
    """2.0 ** n for a whole n; compiled code sets the exponent bits instead."""
    return 2.0**n


def exponent(x: float) -> float:
    """The whole number e with x = m * 2**e and m in [sqrt(1/2), sqrt(2)); compiled code reads the bits."""
    import math

    mantissa, e = math.frexp(x)
    return float(e - 1 if mantissa < math.sqrt(0.5) else e)


def mantissa(x: float) -> float:
    """The number m in [sqrt(1/2), sqrt(2)) with x = m * 2**exponent(x); compiled code reads the bits."""
    return x / 2.0 ** exponent(x)


def erf(x: float) -> float:
    """The error function, to about 1e-15: W. J. Cody, Rational Chebyshev approximations for the error function, 1969.

    >>> round(erf(0.5), 12)
    0.520499877813
    """
    a = minimum(absolute(x), 6.0)
    s = where(a > 0.46875, 0.0, a * a)
    p = ((((0.185777706184603153 * s + 3.16112374387056560) * s + 113.864154151050156) * s
          + 377.485237685302021) * s + 3209.37758913846947)  # fmt: skip
    q = (((s + 23.6012909523441209) * s + 244.024637934444173) * s + 1282.61652607737228) * s + 2844.23683343917062
    near = x * (p / q)
    t = maximum(a, 0.46875)
    u = ((((2.15311535474403846e-8 * t + 0.564188496988670089) * t + 8.88314979438837594) * t
          + 66.1191906371416295) * t + 298.635138197400131)  # fmt: skip
    u = (((u * t + 881.952221241769090) * t + 1712.04761263407058) * t + 2051.07837782607147) * t + 1230.33935479799725
    v = (((t + 15.7449261107098347) * t + 117.693950891312499) * t + 537.181101862009858) * t + 1621.38957456669019
    v = (((v * t + 3290.79923573345963) * t + 4362.61909014324716) * t + 3439.36767414372164) * t + 1230.33935480374942
    far = 1.0 - exp(-t * t) * (u / v)
    return where(a <= 0.46875, near, where(x < 0.0, -far, far))


def normal_quantile(p: float) -> float:
    """The number below which a standard normal variable lies with probability p, to 1.2e-9 of itself.

    P. J. Acklam, An algorithm for computing the inverse normal cumulative distribution function, 2003.

    >>> round(normal_quantile(0.975), 6)
    1.959964
    """
    tail = minimum(p, 1.0 - p)
    q = sqrt(-2.0 * log(where(tail < 0.02425, tail, 0.02425)))
    outer = (((((-7.784894002430293e-03 * q - 3.223964580411365e-01) * q - 2.400758277161838) * q
               - 2.549732539343734) * q + 4.374664141464968) * q + 2.938163982698783) / (
              (((7.784695709041462e-03 * q + 3.224671290700398e-01) * q + 2.445134137142996) * q
               + 3.754408661907416) * q + 1.0)  # fmt: skip
    c = p - 0.5
    r = c * c
    inner = c * (((((-3.969683028665376e01 * r + 2.209460984245205e02) * r - 2.759285104469687e02) * r
                   + 1.383577518672690e02) * r - 3.066479806614716e01) * r + 2.506628277459239) / (
              ((((-5.447609879822406e01 * r + 1.615858368580409e02) * r - 1.556989798598866e02) * r
                + 6.680131188771972e01) * r - 1.328068155288572e01) * r + 1.0)  # fmt: skip
    return where(tail < 0.02425, where(p < 0.5, outer, -outer), inner)


def exp32(x: float) -> float:
    """exp in float32, within 2 ulp from -86.9 to the largest finite result; 0 below and infinity above.

    x = n log 2 + r with |r| <= log(2)/2, then a polynomial of degree 6 in r, then the exponent bits of 2**n.
    """
    t = minimum(maximum(x, -86.9), EXP_LIMIT)
    n = rint(t * 1.44269504088896341)
    r = (t - n * 0.693359375) + n * 2.12194440e-4
    p = 1.9875691500e-4
    p = p * r + 1.3981999507e-3
    p = p * r + 8.3334519073e-3
    p = p * r + 4.1665795894e-2
    p = p * r + 1.6666665459e-1
    p = p * r + 5.0000001201e-1
    # In two factors, because 2**128 has no exponent bits.
    y = (p * r * r + r + 1.0) * 2.0 * power_of_two(n - 1.0)
    return where(x > EXP_LIMIT, INFINITY, where(x < -86.9, 0.0, y))


def expm1_32(x: float) -> float:
    """exp(x) - 1 in float32, within 3 ulp: the polynomial of ``exp32`` without its 1, so small x keep their digits."""
    t = minimum(maximum(x, -20.0), EXP_LIMIT)
    n = rint(t * 1.44269504088896341)
    r = (t - n * 0.693359375) + n * 2.12194440e-4
    p = 1.9875691500e-4
    p = p * r + 1.3981999507e-3
    p = p * r + 8.3334519073e-3
    p = p * r + 4.1665795894e-2
    p = p * r + 1.6666665459e-1
    p = p * r + 5.0000001201e-1
    half = power_of_two(n - 1.0)
    return where(x > EXP_LIMIT, INFINITY, ((p * r * r + r) * half + (half - 0.5)) * 2.0)


def log32(x: float) -> float:
    """log in float32, within 2 ulp; minus infinity at 0, NaN below.

    x = m 2**e with m in [sqrt(1/2), sqrt(2)), then a polynomial in m - 1.
    """
    # Numbers below the normal ones are brought among them first.
    small = x < 1.17549435e-38
    normal = where(small, x * 8388608.0, x)
    e = exponent(normal) - where(small, 23.0, 0.0)
    r = mantissa(normal) - 1.0
    z = r * r
    p = 7.0376836292e-2
    p = p * r - 1.1514610310e-1
    p = p * r + 1.1676998740e-1
    p = p * r - 1.2420140846e-1
    p = p * r + 1.4249322787e-1
    p = p * r - 1.6668057665e-1
    p = p * r + 2.0000714765e-1
    p = p * r - 2.4999993993e-1
    p = p * r + 3.3333331174e-1
    y = r + ((p * r * z - e * 2.12194440e-4) - 0.5 * z) + e * 0.693359375
    # Not log of a clamped x: 0, infinity and NaN must come out as the C library has them.
    return where(x > LARGEST, x, where(x > 0.0, y, where(x < 0.0, x - x + NAN, where(x == 0.0, -INFINITY, x))))


def log1p_32(x: float) -> float:
    """log(1 + x) in float32, within 4 ulp: log of the rounded sum, and the rounding error put back."""
    u = 1.0 + x
    return where(u > LARGEST, x, where(u > 0.0, log32(u) - ((u - 1.0) - x) / u, log32(u)))


def erf32(x: float) -> float:
    """erf in float32, within 4 ulp: an odd polynomial up to 1, beyond 1 - exp of a polynomial for log(1 - erf).

    Both were fitted to values in float64 at Chebyshev's points, the second by least squares weighted with 1 - erf.
    """
    a = minimum(absolute(x), 4.0)
    z = minimum(a * a, 1.0)
    p = 7.882497116623881e-5
    p = p * z - 8.018854994239941e-4
    p = p * z + 5.189311942788375e-3
    p = p * z - 2.6854328796083987e-2
    p = p * z + 1.1283597463487416e-1
    p = p * z - 3.7612626903580265e-1
    p = p * z + 1.128379165881503
    q = 1.0683299663818366e-6
    q = q * a - 3.652278612045311e-5
    q = q * a + 5.291827151564368e-4
    q = q * a - 4.494470967780438e-3
    q = q * a + 2.5791982880698616e-2
    q = q * a - 1.0915350556806863e-1
    q = q * a - 6.326543495599712e-1
    q = q * a - 1.1298218495671737
    q = q * a + 2.3295418997815176e-4
    far = 1.0 - exp32(q)
    return where(a < 1.0, x * p, where(x < 0.0, -far, far))


def tanh32(x: float) -> float:
    """tanh in float32, within 3 ulp: h / (h + 1), where h is half of exp(2 |x|) - 1, made as in ``expm1_32``."""
    a = minimum(absolute(x), 10.0)
    n = rint(a * 2.885390081777927)
    r = (2.0 * a - n * 0.693359375) + n * 2.12194440e-4
    p = 1.9875691500e-4
    p = p * r + 1.3981999507e-3
    p = p * r + 8.3334519073e-3
    p = p * r + 4.1665795894e-2
    p = p * r + 1.6666665459e-1
    p = p * r + 5.0000001201e-1
    half = power_of_two(n - 1.0)
    h = (p * r * r + r) * half + (half - 0.5)
    y = h / (h + 1.0)
    return where(x < 0.0, -y, y)


#: The largest float32, and the largest x whose exp is not above it.
LARGEST = 3.4028234663852886e38
EXP_LIMIT = 88.72283172607422
INFINITY = float("inf")
NAN = float("nan")
