"""Operators on elements, reductions and products."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.nn import functional as F
from nnkit.onnx.call import Call
from nnkit.onnx.element_types import STRING, dtype_of
from nnkit.tensors.tensor import Tensor


def _one(function: Callable[..., Any], **defaults: Any) -> Callable[[Call], Any]:
    """A function of one tensor, and of attributes: ONNX's name -> (ours, ONNX's default)."""

    def word(call: Call) -> Any:
        given = {ours: float(call.get(name, default)) for name, (ours, default) in defaults.items()}
        return function(call.tensor(0), **given)

    return word


def _two(function: Callable[..., Any]) -> Callable[[Call], Any]:
    """A function of two tensors; a constant of one element is a plain number to it."""

    def word(call: Call) -> Any:
        x, y = call.given(0), call.given(1)
        if isinstance(x, Tensor) and _is_number(y, x):
            return function(x, float(y.ravel()[0]))
        if isinstance(y, Tensor) and _is_number(x, y):
            return function(float(x.ravel()[0]), y)
        return function(call.tensor(0), call.tensor(1))

    return word


def _is_number(value: Any, beside: Tensor) -> bool:
    floats = isinstance(value, np.ndarray) and value.dtype == beside.dtype and beside.is_floating_point()
    return bool(floats and value.size == 1 and value.ndim <= beside.ndim)


def _many(function: Callable[[Any, Any], Any]) -> Callable[[Call], Any]:
    return lambda call: functools.reduce(function, call.tensors())


def _div(x: Any, y: Any) -> Any:
    whole = isinstance(x, Tensor) and isinstance(y, Tensor) and not x.is_floating_point()
    return ops.div(x, y, rounding_mode="trunc").to(x.dtype) if whole else ops.div(x, y)


def _mod(call: Call) -> Any:
    x, y = call.tensor(0), call.tensor(1)
    return ops.fmod(x, y) if call.get("fmod", 0) else ops.remainder(x, y)


def _clip(call: Call) -> Any:
    low, high = call.given(1), call.given(2)
    bounds = [float(b) if isinstance(b, np.ndarray) and b.size == 1 else b for b in (low, high)]
    x = call.tensor(0)
    if not x.is_floating_point():
        bounds = [None if b is None else int(b) for b in bounds]
    return x if bounds == [None, None] else ops.clamp(x, *bounds)


def _cast(call: Call) -> Any:
    to = int(call.get("to"))
    return call.given(0) if to == STRING else call.tensor(0).to(dtype=dtype_of(to))  # texts stay what they are


def _where(call: Call) -> Any:
    condition, x, y = call.tensors()
    return ops.where(condition, x, y)


def _gelu(call: Call) -> Any:
    return F.gelu(call.tensor(0), approximate=call.get("approximate", "none"))


def _prelu(call: Call) -> Any:
    x, slope = call.tensor(0), call.tensor(1)
    return ops.where(x < 0, x * slope, x)


def _isinf(call: Call) -> Any:
    x, both = call.tensor(0), (call.get("detect_negative", 1), call.get("detect_positive", 1))
    if all(both):
        return ops.isinf(x)
    return ops.isneginf(x) if both[0] else ops.isposinf(x)


def _hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    return ops.clamp(x * alpha + beta, 0.0, 1.0)


# ---- reductions -----------------------------------------------------------------------------------------------------


def _reduced(function: Callable[..., Any]) -> Callable[[Call], Any]:
    def word(call: Call) -> Any:
        x, axes = call.tensor(0), call.integers(1, "axes")
        keep = bool(call.get("keepdims", 1))
        if not axes:
            if call.get("noop_with_empty_axes", 0):
                return x
            axes = list(range(x.ndim))
        found = function(x, tuple(axes), keep)
        return found if found.dtype == x.dtype else found.to(dtype=x.dtype)

    return word


def _prod(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted((a % x.ndim for a in axes), reverse=True):
        x = ops.prod(x, axis, keep)
    return x


REDUCTIONS: dict[str, Callable[[Tensor, tuple[int, ...], bool], Tensor]] = {
    "ReduceSum": lambda x, axes, keep: ops.sum(x, axes, keep),
    "ReduceMean": lambda x, axes, keep: ops.mean(x, axes, keep),
    "ReduceMax": lambda x, axes, keep: ops.amax(x, axes, keep),
    "ReduceMin": lambda x, axes, keep: ops.amin(x, axes, keep),
    "ReduceProd": _prod,
    "ReduceL1": lambda x, axes, keep: ops.sum(ops.abs(x), axes, keep),
    "ReduceL2": lambda x, axes, keep: ops.sqrt(ops.sum(ops.square(x), axes, keep)),
    "ReduceSumSquare": lambda x, axes, keep: ops.sum(ops.square(x), axes, keep),
    "ReduceLogSum": lambda x, axes, keep: ops.log(ops.sum(x, axes, keep)),
    "ReduceLogSumExp": lambda x, axes, keep: ops.logsumexp(x, axes, keep),
}


def _position(function: Callable[..., Any]) -> Callable[[Call], Any]:
    def word(call: Call) -> Any:
        x, axis, keep = call.tensor(0), int(call.get("axis", 0)), bool(call.get("keepdims", 1))
        if not call.get("select_last_index", 0):
            return function(x, axis, keep)
        return x.shape[axis] - 1 - function(ops.flip(x, (axis,)), axis, keep)

    return word


def _cumsum(call: Call) -> Any:
    x, (axis,) = call.tensor(0), call.integers(1) or [0]
    x = ops.flip(x, (axis,)) if call.get("reverse", 0) else x
    total = ops.cumsum(x, axis)
    total = total - x if call.get("exclusive", 0) else total
    return ops.flip(total, (axis,)) if call.get("reverse", 0) else total


def _topk(call: Call) -> Any:
    (count,) = call.integers(1) or [0]
    found = ops.topk(call.tensor(0), count, int(call.get("axis", -1)), bool(call.get("largest", 1)))
    return [found.values, found.indices]


# ---- products -------------------------------------------------------------------------------------------------------


def _gemm(call: Call) -> Any:
    a, b, c = (call.tensor(place) for place in range(3))
    alpha, beta = float(call.get("alpha", 1.0)), float(call.get("beta", 1.0))
    a = a.T if call.get("transA", 0) else a
    w = b if call.get("transB", 0) else b.T
    plain = c is not None and alpha == beta == 1.0 and c.shape == (w.shape[0],) and a.is_floating_point()
    if plain:
        return ops.linear(a, w, c)
    y = ops.matmul(a, w.T)
    y = y if alpha == 1.0 else y * alpha
    return y if c is None else y + (c if beta == 1.0 else c * beta)


def _matmul(call: Call) -> Any:
    return ops.matmul(call.tensor(0), call.tensor(1))


def _einsum(call: Call) -> Any:
    return ops.einsum(call.get("equation"), *call.tensors())


PLAIN = {
    "Abs": ops.abs, "Acos": ops.acos, "Acosh": ops.acosh, "Asin": ops.asin, "Asinh": ops.asinh, "Atan": ops.atan,
    "Atanh": ops.atanh, "Ceil": ops.ceil, "Cos": ops.cos, "Cosh": ops.cosh, "Erf": ops.erf, "Exp": ops.exp,
    "Floor": ops.floor, "Log": ops.log, "Neg": ops.neg, "Reciprocal": ops.reciprocal, "Relu": ops.relu,
    "Round": ops.round, "Sigmoid": ops.sigmoid, "Sign": ops.sign, "Sin": ops.sin, "Sinh": ops.sinh, "Sqrt": ops.sqrt,
    "Tan": ops.tan, "Tanh": ops.tanh, "Softplus": F.softplus, "Softsign": F.softsign, "HardSwish": F.hardswish,
    "Mish": F.mish, "Not": ops.logical_not, "BitwiseNot": ops.bitwise_not, "IsNaN": ops.isnan,
}  # fmt: skip
OPERATORS = {
    "Add": ops.add, "Sub": ops.sub, "Mul": ops.mul, "Div": _div, "Pow": ops.pow, "Equal": ops.eq, "Less": ops.lt,
    "LessOrEqual": ops.le, "Greater": ops.gt, "GreaterOrEqual": ops.ge, "And": ops.logical_and, "Or": ops.logical_or,
    "Xor": ops.logical_xor, "BitwiseAnd": ops.bitwise_and, "BitwiseOr": ops.bitwise_or, "BitwiseXor": ops.bitwise_xor,
}  # fmt: skip
WORDS: dict[str, Callable[[Call], Any]] = {
    **{name: _one(function) for name, function in PLAIN.items()},
    **{name: _two(function) for name, function in OPERATORS.items()},
    **{name: _reduced(function) for name, function in REDUCTIONS.items()},
    "LeakyRelu": _one(F.leaky_relu, alpha=("negative_slope", 0.01)), "Elu": _one(F.elu, alpha=("alpha", 1.0)),
    "Celu": _one(F.celu, alpha=("alpha", 1.0)), "Selu": lambda call: F.selu(call.tensor(0)), "Gelu": _gelu,
    "HardSigmoid": _one(_hard_sigmoid, alpha=("alpha", 0.2), beta=("beta", 0.5)),
    "ThresholdedRelu": _one(lambda x, alpha: ops.where(x > alpha, x, 0.0), alpha=("alpha", 1.0)),
    "PRelu": _prelu, "IsInf": _isinf, "Mod": _mod, "Clip": _clip, "Cast": _cast, "Where": _where,
    "CastLike": lambda call: call.tensor(0).to(dtype=call.tensor(1).dtype),
    "Max": _many(ops.maximum), "Min": _many(ops.minimum), "Sum": _many(ops.add),
    "Mean": lambda call: functools.reduce(ops.add, call.tensors()) / len(call.inputs),
    "ArgMax": _position(ops.argmax), "ArgMin": _position(ops.argmin), "CumSum": _cumsum, "TopK": _topk,
    "Gemm": _gemm, "MatMul": _matmul, "Einsum": _einsum,
    "Softmax": lambda call: ops.softmax(call.tensor(0), int(call.get("axis", -1))),
    "LogSoftmax": lambda call: ops.log_softmax(call.tensor(0), int(call.get("axis", -1))),
    "Det": lambda call: ops.det(call.tensor(0)),
}  # fmt: skip
