"""Functions of each element by itself, and of pairs of elements: arithmetic, powers, angles, rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nnkit import ops
from nnkit.keras.ops.types import convert_to_tensor, floats, together
from nnkit.tensors import dtypes
from nnkit.tensors.creation import zeros
from nnkit.tensors.dtypes import get_default_dtype, is_float
from nnkit.tensors.tensor import Tensor

One = Callable[[Any], Tensor]
Two = Callable[[Any, Any], Tensor]


def named(function: Callable[..., Any], name: str, says: str) -> Callable[..., Any]:
    """The function under its name, with a docstring."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = says
    return function


def _of_floats(name: str, op: Callable[[Tensor], Tensor], says: str) -> One:
    """A function of floats; of whole numbers and booleans it is ``floatx``."""

    def function(x: Any) -> Tensor:
        return op(floats(x))

    return named(function, name, says)


def _of_numbers(name: str, op: Callable[[Tensor], Tensor], says: str, of_bool: Any = dtypes.int32) -> One:
    """A function whose result is of its argument's type; booleans become ``of_bool``."""

    def function(x: Any) -> Tensor:
        x = convert_to_tensor(x)
        return op(ops.to(x, dtype=of_bool) if x.dtype == dtypes.bool_ else x)

    return named(function, name, says)


def _of_pairs(name: str, op: Callable[[Any, Any], Tensor], says: str) -> Two:
    """A function of two arguments, broadcast, in their common type."""

    def function(x1: Any, x2: Any) -> Tensor:
        return op(*together(x1, x2))

    return named(function, name, says)


def as_tensors(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Two arguments as tensors of one type, a number of Python's too."""
    first, second = together(x1, x2)
    if not isinstance(first, Tensor):
        first = convert_to_tensor(first, second.dtype)
    if not isinstance(second, Tensor):
        second = convert_to_tensor(second, first.dtype)
    return first, second


def _of_two_tensors(name: str, op: Callable[[Tensor, Tensor], Tensor], says: str, floating: bool = False) -> Two:
    """The same, for ops that take no numbers of Python's."""

    def function(x1: Any, x2: Any) -> Tensor:
        first, second = as_tensors(x1, x2)
        return op(floats(first), floats(second)) if floating else op(first, second)

    return named(function, name, says)


def _of_float_pairs(name: str, op: Callable[[Any, Any], Tensor], says: str) -> Two:
    return _of_two_tensors(name, op, says, floating=True)


# ---- one argument ---------------------------------------------------------------------------------------------------

exp = _of_floats("exp", ops.exp, "e to the power x.")
exp2 = _of_floats("exp2", ops.exp2, "2 to the power x.")
expm1 = _of_floats("expm1", ops.expm1, "exp(x) - 1, exact near 0.")
log = _of_floats("log", ops.log, "The natural logarithm; NaN below 0.")
log2 = _of_floats("log2", ops.log2, "The logarithm to base 2.")
log10 = _of_floats("log10", ops.log10, "The logarithm to base 10.")
log1p = _of_floats("log1p", ops.log1p, "log(1 + x), exact near 0.")
sqrt = _of_floats("sqrt", ops.sqrt, "The square root; NaN below 0.")
rsqrt = _of_floats("rsqrt", ops.rsqrt, "1 / sqrt(x).")
sin = _of_floats("sin", ops.sin, "The sine of x radians.")
cos = _of_floats("cos", ops.cos, "The cosine of x radians.")
tan = _of_floats("tan", ops.tan, "The tangent of x radians.")
arcsin = _of_floats("arcsin", ops.asin, "The angle whose sine is x.")
arccos = _of_floats("arccos", ops.acos, "The angle whose cosine is x.")
arctan = _of_floats("arctan", ops.atan, "The angle whose tangent is x.")
sinh = _of_floats("sinh", ops.sinh, "The hyperbolic sine.")
cosh = _of_floats("cosh", ops.cosh, "The hyperbolic cosine.")
tanh = _of_floats("tanh", ops.tanh, "The hyperbolic tangent.")
arcsinh = _of_floats("arcsinh", ops.asinh, "The inverse of the hyperbolic sine.")
arccosh = _of_floats("arccosh", ops.acosh, "The inverse of the hyperbolic cosine.")
arctanh = _of_floats("arctanh", ops.atanh, "The inverse of the hyperbolic tangent.")
sinc = _of_floats("sinc", ops.sinc, "sin(pi x) / (pi x); 1 at 0.")
deg2rad = _of_floats("deg2rad", ops.deg2rad, "Degrees as radians.")
rad2deg = _of_floats("rad2deg", ops.rad2deg, "Radians as degrees.")
erf = _of_floats("erf", ops.erf, "The error function.")
erfc = _of_floats("erfc", ops.erfc, "1 minus the error function.")
reciprocal = _of_floats("reciprocal", ops.reciprocal, "1 / x.")
ceil = _of_floats("ceil", ops.ceil, "The least whole number that is not below x.")
floor = _of_floats("floor", ops.floor, "The greatest whole number that is not above x.")
negative = _of_numbers("negative", ops.neg, "-x.")
square = _of_numbers("square", ops.square, "x * x.")
sign = _of_numbers("sign", ops.sign, "-1, 0 or 1, as x is below 0, 0 or above.")


def abs(x: Any) -> Tensor:
    """The absolute value; booleans are what they are.

    >>> abs([-2, 3]).tolist()
    [2, 3]
    """
    x = convert_to_tensor(x)
    return x if x.dtype.kind in "bu" else ops.abs(x)


absolute = abs


def fabs(x: Any) -> Tensor:
    """The absolute value, as floats."""
    return ops.abs(floats(x))


def cbrt(x: Any) -> Tensor:
    """The cube root, of numbers below 0 too."""
    x = floats(x)
    return ops.sign(x) * ops.pow(ops.abs(x), 1.0 / 3.0)


def round(x: Any, decimals: int = 0) -> Tensor:
    """To the nearest whole number, halves to even ones; or to ``decimals`` digits behind the point.

    >>> round([0.5, 1.5, 2.25], 1).tolist()
    [0.5, 1.5, 2.200000047683716]
    """
    x = convert_to_tensor(x)
    if is_float(x.dtype):
        return ops.round(x, decimals)
    if decimals >= 0 or x.dtype == dtypes.bool_:
        return x
    step = 10**-decimals
    return ops.to(ops.round(ops.to(x, dtype=get_default_dtype()) / step) * step, dtype=x.dtype)


def trunc(x: Any) -> Tensor:
    """x without what stands behind the point."""
    x = convert_to_tensor(x)
    return ops.trunc(x) if is_float(x.dtype) else x


def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """NaN and infinities as numbers: by default 0, the greatest and the least number of the type."""
    x = convert_to_tensor(x)
    return ops.nan_to_num(x, nan, posinf, neginf) if is_float(x.dtype) else x


def clip(x: Any, x_min: Any, x_max: Any) -> Tensor:
    """x, but not below ``x_min`` and not above ``x_max``.

    >>> clip([1, 5, 9], 2, 6).tolist()
    [2, 5, 6]
    """
    return minimum(maximum(x, x_min), x_max)


def erfinv(x: Any) -> Tensor:
    """The inverse of the error function, by Giles' approximation of single precision and two of Newton's steps.

    It is that of Giles, Approximating the erfinv function, 2010.
    """
    x = floats(x)
    w = -ops.log((1.0 - x) * (1.0 + x))
    near, far = w - 2.5, ops.sqrt(ops.abs(w)) - 3.0
    start = ops.where(w < 5.0, _polynomial(near, GILES_NEAR), _polynomial(far, GILES_FAR)) * x
    y = start.detach()
    for _ in range(2):
        y = y - (ops.erf(y) - x) * ops.exp(y * y) * (math.sqrt(math.pi) / 2.0)
    return ops.where(ops.eq(x, 1.0), math.inf, ops.where(ops.eq(x, -1.0), -math.inf, y))


GILES_NEAR = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
    0.246640727, 1.50140941,
)  # fmt: skip
GILES_FAR = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
    1.00167406, 2.83297682,
)  # fmt: skip


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """By Horner's rule, the highest power first."""
    y = x * coefficients[0] + coefficients[1]
    for c in coefficients[2:]:
        y = y * x + c
    return y


# ---- what there would be to say of complex numbers ------------------------------------------------------------------


def real(x: Any) -> Tensor:
    """x: nnkit has no complex numbers."""
    return convert_to_tensor(x)


conj = conjugate = real


def imag(x: Any) -> Tensor:
    """Zeros: nnkit has no complex numbers."""
    x = convert_to_tensor(x)
    return zeros(*x.shape, dtype=x.dtype, device=x.device)


def angle(x: Any) -> Tensor:
    """0 for numbers that are not below 0, else pi."""
    x = floats(x)
    return ops.where(x < 0, math.pi, x * 0.0)


# ---- two arguments --------------------------------------------------------------------------------------------------


def _plus(x: Any, y: Any) -> Tensor:
    return ops.logical_or(x, y) if _are_bool(x, y) else ops.add(x, y)


def _times(x: Any, y: Any) -> Tensor:
    return ops.logical_and(x, y) if _are_bool(x, y) else ops.mul(x, y)


def _are_bool(x: Any, y: Any) -> bool:
    return isinstance(x, Tensor) and isinstance(y, Tensor) and x.dtype == y.dtype == dtypes.bool_


def _fitting_int(op: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
    """An op that has no booleans: they are int32."""

    def function(x: Any, y: Any) -> Tensor:
        if _are_bool(x, y):
            x, y = ops.to(x, dtype=dtypes.int32), ops.to(y, dtype=dtypes.int32)
        return op(x, y)

    return function


add = _of_pairs("add", _plus, "x1 + x2, broadcast.\n\n    >>> add([1, 2], 0.5).tolist()\n    [1.5, 2.5]\n    ")
subtract = _of_pairs("subtract", _fitting_int(ops.sub), "x1 - x2, broadcast.")
multiply = _of_pairs("multiply", _times, "x1 * x2, broadcast.")
divide = _of_float_pairs("divide", ops.div, "x1 / x2, as floats, broadcast.")
true_divide = divide
floor_divide = _of_pairs("floor_divide", _fitting_int(ops.floor_divide), "x1 / x2, rounded down.")
mod = _of_pairs("mod", _fitting_int(ops.remainder), "What is left of x1 by x2, with the sign of x2.")
fmod = _of_pairs("fmod", _fitting_int(ops.fmod), "What is left of x1 by x2, with the sign of x1.")
power = _of_pairs("power", _fitting_int(ops.pow), "x1 to the power x2.")
maximum = _of_pairs("maximum", ops.maximum, "The greater of two elements; NaN where one is.")
minimum = _of_pairs("minimum", ops.minimum, "The lesser of two elements; NaN where one is.")
fmax = _of_two_tensors("fmax", ops.fmax, "The greater of two elements; where one is NaN, the other.")
fmin = _of_two_tensors("fmin", ops.fmin, "The lesser of two elements; where one is NaN, the other.")
arctan2 = _of_float_pairs("arctan2", ops.atan2, "The angle of the point (x2, x1), from -pi to pi.")
hypot = _of_float_pairs("hypot", ops.hypot, "sqrt(x1² + x2²), without overflow.")
logaddexp = _of_float_pairs("logaddexp", ops.logaddexp, "log(exp(x1) + exp(x2)), without overflow.")
logaddexp2 = _of_float_pairs("logaddexp2", ops.logaddexp2, "log2(2**x1 + 2**x2), without overflow.")
heaviside = _of_float_pairs("heaviside", ops.heaviside, "0 below 0, 1 above, and x2 where x1 is 0.")


def divide_no_nan(x1: Any, x2: Any) -> Tensor:
    """x1 / x2, and 0 where x2 is 0.

    >>> divide_no_nan([1.0, 2.0], [2.0, 0.0]).tolist()
    [0.5, 0.0]
    """
    x, y = (floats(part) for part in as_tensors(x1, x2))
    is_zero = y == 0
    return ops.where(is_zero, 0.0, x / ops.where(is_zero, 1.0, y))


def ldexp(x1: Any, x2: Any) -> Tensor:
    """x1 times 2 to the power x2, a whole number."""
    x, n = floats(x1), convert_to_tensor(x2)
    if is_float(n.dtype):
        raise ValueError(f"ldexp: x2 must be whole numbers; got {n.dtype}")
    return x * ops.exp2(ops.to(n, dtype=x.dtype))


# ---- bits -----------------------------------------------------------------------------------------------------------


def _of_bits(name: str, op: Callable[[Any, Any], Tensor], says: str) -> Two:
    def function(x: Any, y: Any) -> Tensor:
        return op(*together(x, y))

    return named(function, name, says)


bitwise_and = _of_bits("bitwise_and", ops.bitwise_and, "The bits that are set in both.")
bitwise_or = _of_bits("bitwise_or", ops.bitwise_or, "The bits that are set in one or both.")
bitwise_xor = _of_bits("bitwise_xor", ops.bitwise_xor, "The bits that are set in one and not in the other.")
bitwise_left_shift = _of_bits("bitwise_left_shift", _fitting_int(ops.bitwise_left_shift), "x times 2 to the power y.")
bitwise_right_shift = _of_bits(
    "bitwise_right_shift", _fitting_int(ops.bitwise_right_shift), "x by 2 to the power y, rounded down."
)
left_shift, right_shift = bitwise_left_shift, bitwise_right_shift


def bitwise_not(x: Any) -> Tensor:
    """Every bit the other way round."""
    return ops.bitwise_not(convert_to_tensor(x))


bitwise_invert = bitwise_not
