"""Functions of each element by itself: arithmetic, elementary functions, activations.

The mathematics is in ``nnkit.kernels.formulas``. A gradient formula's parameters say what it reads: ``dy`` and any
of the function's own inputs by name, or, under another name, the function's output; ``elementwise`` keeps just those.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from nnkit.backends.base import FORMULAS
from nnkit.errors import DtypeError, ShapeError, UnknownNameError
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.registered import present
from nnkit.kernels.vocabulary import element_names, scalar_names
from nnkit.ops.mapped import mapped, sum_to, unbroadcast
from nnkit.ops.promotion import Number, check_held, pair, result_type
from nnkit.tensors import dtypes
from nnkit.tensors.methods import OPS, op
from nnkit.tensors.results import ITSELF, OUTPUT, Asked, result
from nnkit.tensors.tensor import Tensor

#: The activations that keep whole numbers whole, and their bounds.
LIMITS = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0), "hardtanh": (-1.0, 1.0)}


def elementwise(name: str, formula: str, x: Tensor, scalars: Sequence[float] = ()) -> Tensor:
    """A formula of one tensor, and its gradient formula."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: expected a Tensor, got {type(x).__name__}; make it one with nnkit.tensor(x)")
    backend = x.backend
    if not x.is_floating_point():
        if formula in LIMITS:
            if x.dtype == dtypes.bool_:
                raise DtypeError(f"{name}: expected numbers, got booleans; convert them with .long()")
            return limited(x, *(scalars or LIMITS[formula]))
        x = x.to(dtypes.get_default_dtype())
    y = backend.empty(x.shape, x.dtype)
    backend.map(formula, (x.array,), (y,), scalars)
    reads = element_names(FORMULAS[f"{formula}_grad"])[1:]
    kept = {(): (), ("x",): (x.array,)}.get(reads, (y,))  # nothing else: the tape holds it until backward
    shape, dtype = x.shape, x.dtype
    source = x if reads == ("x",) else None

    def pullback(dy: Any, into: Any) -> tuple[Any]:
        if type(into) is Asked:
            read = [into.output(one) if source is None else source for one in kept]
            return (mapped(f"{formula}_grad", (dy, *read), scalars),)
        dx = backend.empty(shape, dtype)
        backend.map(f"{formula}_grad", (dy, *kept), (dx,), scalars)
        return (dx,)

    saved = ((x if reads == ("x",) else OUTPUT,),) if reads else ()
    return result(name, y, backend, (x,), pullback, saved, ITSELF)


def _unary(name: str, formula: str, says: str) -> Callable[[Tensor], Tensor]:
    def function(x: Tensor) -> Tensor:
        return elementwise(name, formula, x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = says
    return op(function)


exp = _unary("exp", "exponential", "e to the power x.")
log = _unary("log", "logarithm", "The natural logarithm; minus infinity at 0, NaN below.")
log1p = _unary("log1p", "logarithm1p", "log(1 + x), exact for small x.")
expm1 = _unary("expm1", "exponential_minus_1", "exp(x) - 1, exact for small x.")
sqrt = _unary("sqrt", "square_root", "The square root; NaN below 0.")
sin = _unary("sin", "sine", "The sine of x radians.")
cos = _unary("cos", "cosine", "The cosine of x radians.")
erf = _unary("erf", "error_function", "The error function.")
reciprocal = _unary("reciprocal", "reciprocal", "1 / x.")
relu = _unary("relu", "relu", "max(x, 0).")
sigmoid = _unary("sigmoid", "sigmoid", "1 / (1 + exp(-x)).")
tanh = _unary("tanh", "hyperbolic_tangent", "The hyperbolic tangent.")


@op
def activation(x: Tensor, name: str, **scalars: float) -> Tensor:
    """The activation ``name`` of ``kernels.formulas.ACTIVATIONS``, with its scalars by name.

    The result has the shape and dtype of x, a Tensor. Raises UnknownNameError for an unknown name or scalar, TypeError
    for what is no Tensor. Source: nnkit's own; the formulas are PyTorch's and Keras's.

    >>> import nnkit
    >>> activation(nnkit.tensor([-1.0, 2.0]), "leaky_relu", negative_slope=0.5)
    tensor([-0.5,  2. ])
    """
    numbers = activation_scalars(name, scalars)
    return elementwise(name, ACTIVATIONS[present(name)], x, numbers)


def activation_scalars(name: str, given: dict[str, float]) -> tuple[float, ...]:
    """The scalars of an activation in the order of its formula; defaults where they are not given."""
    if name not in ACTIVATIONS:
        raise UnknownNameError("activation", name, ACTIVATIONS)
    return formula_scalars(ACTIVATIONS[present(name)], given)


def formula_scalars(formula: str, given: dict[str, float]) -> tuple[float, ...]:
    """The keyword-only parameters of a formula in order, from ``given`` and the formula's defaults."""
    function = FORMULAS[formula]
    names = scalar_names(function)
    for name in given:
        if name not in names:
            raise UnknownNameError(f"option of {formula}", name, names)
    defaults = function.__kwdefaults__ or {}
    return tuple(float(given.get(name, defaults.get(name, math.nan))) for name in names)


# ---- two operands -------------------------------------------------------------------------------------------


@functools.cache
def _reads(grads: tuple[str | None, ...]) -> list[list[int]]:
    """For each gradient, which of x, y and z its formula reads."""
    formulas = [None if gradient is None else FORMULAS[gradient] for gradient in grads]
    return [[] if formula is None else ["xyz".index(n) for n in element_names(formula)[1:]] for formula in formulas]


@functools.cache
def _needed(grads: tuple[str | None, ...]) -> frozenset[int]:
    """Which of x, y and z any of them reads: the tape holds no other until backward."""
    return frozenset(number for read in _reads(grads) for number in read)


def binary(name: str, formula: str, x: Any, y: Any, grads: tuple[str | None, ...]) -> Tensor:
    """A formula of two tensors with broadcasting; ``grads`` are the formulas of its two gradients.

    None: the gradient passes unchanged.
    """
    x, y, backend, shape = pair(name, x, y)
    if x.dtype == dtypes.bool_:
        formula = _on_booleans(name, formula)
    z = backend.empty(shape, x.dtype)
    backend.map(formula, (x.array, y.array), (z,))
    reads, needed, shapes = _reads(grads), _needed(grads), (x.shape, y.shape)
    arrays = [array if number in needed else None for number, array in enumerate((x.array, y.array, z))]
    tensors = x if 0 in needed else None, y if 1 in needed else None

    def one(dz: Any, number: int, shape: tuple[int, ...]) -> Any:
        out, gradient = dz, grads[number]
        if gradient is not None:
            out = backend.empty(tuple(dz.shape), backend.dtype_of(dz))
            backend.map(gradient, [dz, *(arrays[i] for i in reads[number])], (out,))
        return unbroadcast(backend, out, shape)

    def pullback(dz: Any, into: Any) -> Any:
        if type(into) is Asked:
            return _binary_rule(grads, (*tensors, arrays[2]), shapes, dz, into)
        return (
            one(dz, 0, shapes[0]) if into[0] is not None else None,
            one(dz, 1, shapes[1]) if into[1] is not None else None,
        )

    operands = x, y, OUTPUT
    return result(name, z, backend, (x, y), pullback, [[operands[i] for i in read] for read in reads], ITSELF)


def _binary_rule(
    grads: tuple[str | None, ...], kept: Sequence[Any], shapes: Sequence[tuple[int, ...]], dz: Tensor, asked: Asked
) -> list[Tensor | None]:
    """The gradients of ``binary`` in tensors, of what it kept: x, y and the output's array, where one reads them."""
    gradients: list[Tensor | None] = []
    for gradient, read, wanted, shape in zip(grads, _reads(grads), asked.wanted, shapes, strict=True):
        if wanted and gradient is not None:
            own = [*kept[:2], asked.output(kept[2])] if 2 in read else kept
            gradients.append(sum_to(mapped(gradient, [dz, *(own[i] for i in read)]), shape))
        else:
            gradients.append(sum_to(dz, shape) if wanted else None)
    return gradients


#: What arithmetic is on booleans.
LOGIC = {"add": "either", "mul": "both", "larger": "either", "smaller": "both"}


def _on_booleans(name: str, formula: str) -> str:
    if formula not in LOGIC:
        raise DtypeError(f"{name}: expected numbers, got booleans; convert them with .long()")
    return LOGIC[formula]


def _with_number(name: str, formula: str, x: Tensor, number: Any) -> Tensor | None:
    """The formula of a tensor and one Python number, or None where the general way is needed."""
    if not isinstance(number, Number) or not isinstance(x, Tensor) or not x.is_floating_point():
        return None
    return elementwise(name, formula, x, (float(number),))


@op
def add(x: Any, y: Any, alpha: Any = 1) -> Tensor:
    """x + alpha y, with broadcasting."""
    y = y if not isinstance(alpha, Tensor) and alpha == 1 else _times(y, alpha)
    out = _with_number("add", "shift", x, y)
    return out if out is not None else binary("add", "add", x, y, (None, None))


def _times(y: Any, alpha: Any) -> Any:
    """alpha y; add(x, 2, y) is an old way to write add(x, y, alpha=2)."""
    return mul(y, alpha) if isinstance(y, Tensor) or isinstance(alpha, Tensor) else y * alpha


@op
def sub(x: Any, y: Any, alpha: Any = 1) -> Tensor:
    """x - alpha y, with broadcasting."""
    y = y if not isinstance(alpha, Tensor) and alpha == 1 else _times(y, alpha)
    out = _with_number("sub", "shift", x, -float(y)) if isinstance(y, Number) else None
    out = _with_number("sub", "shift_from", y, x) if isinstance(x, Number) else out
    return out if out is not None else binary("sub", "sub", x, y, (None, "neg_grad"))


@op
def mul(x: Any, y: Any) -> Tensor:
    """x y, with broadcasting."""
    out = _with_number("mul", "scale", x, y)
    return out if out is not None else binary("mul", "mul", x, y, ("mul_grad", "mul_other_grad"))


@op
def div(x: Any, y: Any, rounding_mode: str | None = None) -> Tensor:
    """x / y, with broadcasting; integers are converted to the default float type.

    Rounded down where ``rounding_mode`` is "floor", to 0 where it is "trunc"; then integers stay what they are.
    """
    if rounding_mode is not None:
        return _divided(x, y, rounding_mode)
    out = _with_number("div", "divide_by", x, y)
    out = _with_number("div", "divide_into", y, x) if isinstance(x, Number) else out
    if out is not None:
        return out
    x, y, _, _ = pair("div", x, y, floats=True)
    return binary("div", "div", x, y, ("div_grad", "div_other_grad"))


def _divided(x: Any, y: Any, rounding_mode: str) -> Tensor:
    if rounding_mode not in ("floor", "trunc"):
        raise ShapeError(f"rounding_mode: expected 'floor', 'trunc' or None, got {rounding_mode!r}")
    if rounding_mode == "floor":
        return floor_divide(x, y)
    if dtypes.is_float(result_type(x, y)):
        return OPS["trunc"](div(x, y))
    _refuse_zero("div", x, y)
    return div(x - OPS["fmod"](x, y), y).to(result_type(x, y))


@op
def floor_divide(x: Any, y: Any) -> Tensor:
    """x / y rounded down, with broadcasting; its gradient is 0.

    Raises ZeroDivisionError for whole numbers over 0. Whole numbers over a tensor that has a 0 somewhere give 0 there,
    where PyTorch raises an error.
    """
    _refuse_zero("floor_divide", x, y)
    return binary("floor_divide", "floor_divide", x, y, ("floor_divide_grad", "floor_divide_grad"))


@op
def remainder(x: Any, y: Any) -> Tensor:
    """What ``floor_divide`` leaves of x, with the sign of y; a whole number divided by 0 as there."""
    _refuse_zero("remainder", x, y)
    return binary("remainder", "remainder", x, y, (None, "remainder_other_grad"))


def _refuse_zero(name: str, x: Any, y: Any) -> None:
    if isinstance(y, Number) and y == 0 and not dtypes.is_float(result_type(x, y)):
        raise ZeroDivisionError(f"{name}: whole numbers over 0")


@op
def pow(x: Any, y: Any) -> Tensor:
    """x to the power y, with broadcasting."""
    if isinstance(y, Number) and y == 2 and isinstance(x, Tensor):
        return square(x if x.is_floating_point() else x.to(result_type(x, y)))
    out = _with_number("pow", "power_to", x, y)
    if out is None and isinstance(y, Number) and not dtypes.is_float(result_type(x, y)):
        check_held("pow", y, result_type(x, y))
        if y < 0:
            raise DtypeError(f"pow: whole numbers to the negative power {y}; convert them first with .float()")
    if out is None and isinstance(y, Tensor) and y.dtype.kind == "i" and not dtypes.is_float(result_type(x, y)):
        return _whole_power(x, y)
    return out if out is not None else binary("pow", "pow", x, y, ("pow_grad", "pow_other_grad"))


def _whole_power(x: Any, y: Tensor) -> Tensor:
    """Whole numbers to whole powers: to negative ones 1 and -1 are what they are, and others 0."""
    x, y, _, _ = pair("pow", x, y)
    where, odd = OPS["where_self"], 1 - 2 * (y & 1)
    inverse = where(x * 0 + 1, x == 1, where(x * 0 + odd, x == -1, 0))
    return where(inverse, y < 0, binary("pow", "pow", x, OPS["clamp"](y, 0, None), (None, None)))


@op
def maximum(x: Any, y: Any) -> Tensor:
    """The larger of two elements, NaN where either is; at a tie each gets half the gradient, beside NaN all of it."""
    return binary("maximum", "larger", x, y, ("larger_grad", "larger_other_grad"))


@op
def minimum(x: Any, y: Any) -> Tensor:
    """The smaller of two elements, NaN where either is; at a tie each gets half the gradient, beside NaN all of it."""
    return binary("minimum", "smaller", x, y, ("smaller_grad", "smaller_other_grad"))


def limited(x: Tensor, low: float, high: float) -> Tensor:
    """Whole numbers limited to [low, high]; infinity is no bound."""
    x = x if low == -math.inf else maximum(x, int(low))
    return x if high == math.inf else minimum(x, int(high))


# ---- one operand, of any number type --------------------------------------------------------------------------


def _any_type(name: str, formula: str, x: Tensor) -> Tensor:
    if x.is_floating_point():
        return elementwise(name, formula, x)
    if x.dtype == dtypes.bool_:
        formula = _on_booleans(name, formula)
    y = x.backend.empty(x.shape, x.dtype)
    x.backend.map(formula, (x.array,), (y,))
    return Tensor(y, x.backend)


@op
def neg(x: Tensor) -> Tensor:
    """-x."""
    return _any_type("neg", "neg", x)


@op
def square(x: Tensor) -> Tensor:
    """x x; of booleans in int64."""
    if x.dtype == dtypes.bool_:
        x = x.to(dtypes.int64)
    return _any_type("square", "square", x)


@op
def abs(x: Tensor) -> Tensor:
    """|x|; the gradient at 0 is 0."""
    return _any_type("abs", "absolute_value", x)


@op
def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1; 0 of NaN, as PyTorch has it; of booleans they themselves."""
    if x.dtype == dtypes.bool_:
        return OPS["clone"](x)
    return _any_type("sign", "sign_of", x)


@op
def floor(x: Tensor) -> Tensor:
    """The greatest whole number not above x."""
    return _any_type("floor", "round_down", x)


@op
def round(x: Tensor, decimals: int = 0) -> Tensor:
    """The nearest number of so many decimals (before the point, where negative), ties to even."""
    if decimals == 0:
        return _any_type("round", "round_to_even", x)
    check_float("round with decimals", x)
    power = 10.0 ** math.fabs(decimals)
    return round(x * power) / power if decimals > 0 else round(x / power) * power


def check_float(name: str, x: Tensor) -> None:
    """Raises DtypeError for a tensor of integers or booleans; ``name`` is the op or argument that messages speak of."""
    if not x.is_floating_point():
        raise DtypeError(f"{name}: expected a float tensor, got {x.dtype}; convert it with .float()")
