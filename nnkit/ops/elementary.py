"""Elementary functions of each element by itself, beyond those of ``elementwise``: angles, powers, rounding, NaN.

The mathematics is in ``nnkit.kernels.elementary``. Whole numbers are converted to the default float type, except where
rounding leaves them as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.errors import DtypeError
from nnkit.ops import elementwise as e
from nnkit.ops.choice import clamp, where
from nnkit.ops.elementwise import _unary, binary, elementwise
from nnkit.ops.promotion import Number, operand, pair, result_type
from nnkit.ops.shape import clone
from nnkit.tensors import dtypes
from nnkit.tensors.methods import op
from nnkit.tensors.tensor import Tensor

log2 = _unary("log2", "logarithm2", "The logarithm to base 2; whole where x is a power of 2.")
log10 = _unary("log10", "logarithm10", "The logarithm to base 10; whole where x is a power of 10.")
exp2 = _unary("exp2", "power_of_2", "2 to the power x.")
rsqrt = _unary("rsqrt", "reciprocal_root", "1 / sqrt(x).")
tan = _unary("tan", "tangent", "The tangent of x radians.")
asin = _unary("asin", "arcsine", "The angle whose sine is x, from -pi/2 to pi/2; NaN beyond -1 and 1.")
acos = _unary("acos", "arccosine", "The angle whose cosine is x, from 0 to pi; NaN beyond -1 and 1.")
atan = _unary("atan", "arctangent", "The angle whose tangent is x, from -pi/2 to pi/2.")
sinh = _unary("sinh", "hyperbolic_sine", "The hyperbolic sine.")
cosh = _unary("cosh", "hyperbolic_cosine", "The hyperbolic cosine.")
asinh = _unary("asinh", "area_sine", "The inverse of the hyperbolic sine.")
acosh = _unary("acosh", "area_cosine", "The inverse of the hyperbolic cosine; NaN below 1.")
atanh = _unary("atanh", "area_tangent", "The inverse of the hyperbolic tangent; infinite at -1 and 1.")
lgamma = _unary("lgamma", "log_gamma", "The logarithm of the absolute value of the gamma function.")
digamma = _unary("digamma", "digamma", "The slope of ``lgamma``.")
sinc = _unary("sinc", "cardinal_sine", "sin(pi x) / (pi x); 1 at 0.")


# ---- rounding -------------------------------------------------------------------------------------------------------


def _rounding(name: str, formula: str, says: str) -> Callable[[Tensor], Tensor]:
    """Whole numbers stay what they are; booleans are refused, as by PyTorch."""

    def function(x: Tensor) -> Tensor:
        if x.is_floating_point():
            return elementwise(name, formula, x)
        if x.dtype == dtypes.bool_:
            raise DtypeError(f"{name}: expected numbers, got booleans; convert them with .long()")
        return clone(x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = says
    return op(function)


ceil = _rounding("ceil", "round_up", "The least whole number not below x.")
trunc = _rounding("trunc", "round_to_zero", "The whole number next to x towards 0.")


@op
def frac(input: Tensor) -> Tensor:
    """What ``trunc`` takes away.

    Raises DtypeError for whole numbers.
    """
    e.check_float("frac", input)
    return elementwise("frac", "fraction", input)


@op
def fmod(input: Any, other: Any) -> Tensor:
    """input without the greatest multiple of other in it, with input's sign; see ``remainder`` for other's.

    Raises ZeroDivisionError for whole numbers over the number 0.

    >>> from nnkit import tensor
    >>> fmod(tensor([-3.0, 5.0]), 2)
    tensor([-1.,  1.])
    """
    e._refuse_zero("fmod", input, other)
    x, y, _, _ = pair("fmod", input, other)
    if x.is_floating_point():
        return binary("fmod", "rest", x, y, (None, "rest_other_grad"))
    left = e.remainder(e.abs(x), e.abs(y))
    return where(x < 0, -left, left)


# ---- two operands ---------------------------------------------------------------------------------------------------


def _of_floats(name: str, formula: str, x: Any, y: Any, only: bool = True) -> Tensor:
    if only and not dtypes.is_float(result_type(x, y)):
        raise DtypeError(f"{name}: expected float tensors, got {result_type(x, y)}; convert them with .float()")
    x, y, _, _ = pair(name, x, y, floats=True)
    return binary(name, formula, x, y, (f"{formula}_grad", f"{formula}_other_grad"))


@op
def atan2(input: Any, other: Any) -> Tensor:
    """The angle of the point (other, input), from -pi to pi."""
    return _of_floats("atan2", "angle_of", input, other, only=False)


@op
def hypot(input: Any, other: Any) -> Tensor:
    """sqrt(input**2 + other**2), without overflow."""
    return _of_floats("hypot", "hypotenuse", input, other)


@op
def logaddexp(input: Any, other: Any) -> Tensor:
    """log(exp(input) + exp(other)), without overflow."""
    return _of_floats("logaddexp", "log_of_sum", input, other)


@op
def logaddexp2(input: Any, other: Any) -> Tensor:
    """log2(2**input + 2**other), without overflow."""
    x, y, _, _ = pair("logaddexp2", input, other)
    e.check_float("logaddexp2", x)
    return logaddexp(x * math.log(2), y * math.log(2)) / math.log(2)


@op
def xlogy(input: Any, other: Any) -> Tensor:
    """input log(other): 0 where input is 0, NaN where other is."""
    x, y, _, _ = pair("xlogy", input, other, floats=True)
    nothing = (x == 0) & ((y <= 0) | (y == math.inf))
    return where(nothing, 0.0, x * e.log(where(nothing, 1.0, y)))


@op
def copysign(input: Any, other: Any) -> Tensor:
    """|input| with the sign of other."""
    x, y, _, _ = pair("copysign", input, other, floats=True)
    negative = signbit(y)
    return where(negative, -e.abs(x), e.abs(x))


@op
def signbit(input: Tensor) -> Tensor:
    """Whether an element is below 0, or is -0."""
    if not input.is_floating_point():
        return input < 0
    return (input < 0) | ((input == 0) & (e.reciprocal(input.detach()) < 0))


@op
def float_power(input: Any, exponent: Any) -> Tensor:
    """input to the power exponent, in float64.

    Tensors or numbers, whose shapes broadcast. Raises ShapeError where they do not broadcast, ValueError for a text. As
    ``torch.float_power``.
    """
    x, y = (v.to(dtypes.float64) if isinstance(v, Tensor) else float(v) for v in (input, exponent))
    return e.pow(x, y)


# ---- several operands -----------------------------------------------------------------------------------------------


@op
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """input + weight (end - input): the point so far from input to end.

    Raises DtypeError for other than float tensors. The three are of any shapes that broadcast, and one dtype. Source:
    ``torch.lerp``. Raises ShapeError where they do not broadcast.

    >>> from nnkit import tensor
    >>> lerp(tensor([0.0, 10.0]), tensor([1.0, 20.0]), 0.5)
    tensor([ 0.5, 15. ])
    """
    e.check_float("lerp", input)
    if end.dtype != input.dtype:
        raise DtypeError(f"lerp: expected end of {input.dtype} like input, got {end.dtype}")
    difference = end - input
    if isinstance(weight, Number):  # from the nearer end, so that 1 gives the end itself
        return input + difference * weight if abs(float(weight)) < 0.5 else end - difference * (1 - weight)
    near = e.abs(weight) < 0.5
    return where(near, input + weight * difference, end - difference * (1 - weight))


@op
def addcmul(input: Tensor, tensor1: Any, tensor2: Any, value: Any = 1) -> Tensor:
    """input + value tensor1 tensor2.

    The dtype is that of ``result_type``.
    """
    if isinstance(tensor1, Number):  # addcmul(input, value, tensor1, tensor2), the old order
        tensor1, tensor2, value = tensor2, value, tensor1
    return input + (tensor1 * tensor2 if value == 1 else tensor1 * value * tensor2)


@op
def addcdiv(input: Tensor, tensor1: Any, tensor2: Any, value: Any = 1) -> Tensor:
    """input + value tensor1 / tensor2.

    Raises DtypeError for whole numbers over whole numbers, as PyTorch does. The dtype is that of ``result_type``.
    """
    if isinstance(tensor1, Number):  # addcdiv(input, value, tensor1, tensor2), the old order
        tensor1, tensor2, value = tensor2, value, tensor1
    if not (tensor1.is_floating_point() or tensor2.is_floating_point()):
        raise DtypeError("addcdiv: expected float tensors to divide; convert them with .float()")
    return input + (tensor1 / tensor2 if value == 1 else tensor1 * value / tensor2)


# ---- NaN and infinity -----------------------------------------------------------------------------------------------


def _asked(name: str, formula: str, says: str, of_whole: bool) -> Callable[[Tensor], Tensor]:
    def function(x: Tensor) -> Tensor:
        backend = x.backend
        out = backend.empty(x.shape, dtypes.bool_)
        if x.is_floating_point():
            backend.map(formula, (x.array,), (out,))
        else:
            backend.fill(of_whole, out)
        return Tensor(out, backend)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = says
    return op(function)


isnan = _asked("isnan", "is_missing", "Whether an element is NaN.", False)
isinf = _asked("isinf", "is_infinite", "Whether an element is infinite, of either sign.", False)
isfinite = _asked("isfinite", "is_finite", "Whether an element is neither infinite nor NaN.", True)


@op
def isposinf(input: Tensor) -> Tensor:
    """Whether an element is infinite and above 0."""
    return isinf(input) & (input > 0)


@op
def isneginf(input: Tensor) -> Tensor:
    """Whether an element is infinite and below 0."""
    return isinf(input) & (input < 0)


@op
def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """input with numbers for NaN (0 unless given) and infinities (the type's greatest and least); their gradient is 0.

    >>> from nnkit import tensor
    >>> nan_to_num(tensor([float("nan"), 1.0]), nan=5.0)
    tensor([5., 1.])
    """
    if not input.is_floating_point():
        return clone(input)
    most = _greatest(input.dtype)
    numbers = (0.0 if nan is None else nan, most if posinf is None else posinf, -most if neginf is None else neginf)
    return elementwise("nan_to_num", "without_missing", input, tuple(float(n) for n in numbers))


def _greatest(dtype: np.dtype) -> float:
    """The greatest finite number of a float type."""
    known = {"float16": 65504.0, "float32": 3.4028234663852886e38, "float64": 1.7976931348623157e308}
    return known.get(dtype.name, 3.3895313892515355e38)


@op
def true_divide(input: Any, other: Any) -> Tensor:
    """``div`` without rounding."""
    return e.div(input, other)


@op
def rsub(input: Tensor, other: Any, *, alpha: float = 1) -> Tensor:
    """other - alpha input."""
    return e.sub(other, input if alpha == 1 else e.mul(input, alpha))


@op
def positive(input: Tensor) -> Tensor:
    """input itself.

    Raises DtypeError for booleans.
    """
    if input.dtype == dtypes.bool_:
        raise DtypeError("positive: expected numbers, got booleans; convert them with .long()")
    return input


@op
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), of x limited to [eps, 1 - eps] where eps is given."""
    return elementwise("logit", "log_odds", input if eps is None else clamp(input, eps, 1 - eps))


@op
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below 0, 1 above, and ``values`` at 0."""
    values = operand(values, input, "heaviside")
    above = (input > 0).to(result_type(input, values))
    return where(input == 0, values, above)


arctan2, arcsin, arccos, arctan = atan2, asin, acos, atan
arcsinh, arccosh, arctanh, fix = asinh, acosh, atanh, trunc
