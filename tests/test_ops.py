"""Every op in one table: its values against numpy, its gradient against differences, on every device."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import nnkit
from nnkit import Tensor, ops
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.testing import TOLERANCES, check_gradient
from nnkit.testing.bench import sample
from nnkit.testing.elementwise import by_hand

Shape = tuple[int, ...]
erf = np.vectorize(math.erf, otypes=["f8"])


class Row(NamedTuple):
    """An op, the same in numpy, and the shapes of its operands, drawn from ``low`` to ``high``."""

    op: str
    function: Callable[..., Any]
    reference: Callable[..., Any] | None  # None: the same function works on numpy arrays
    shapes: tuple[Shape, ...]
    low: float = -2.0
    high: float = 2.0

    def operands(self, dtype: str) -> list[np.ndarray]:
        return [sample(shape, dtype, self.low, self.high, seed) for seed, shape in enumerate(self.shapes)]


def unary(op: str, reference: Callable[..., Any], low: float = -2.0, high: float = 2.0) -> Row:
    return Row(op, getattr(ops, op), reference, ((3, 5),), low, high)


BROADCASTS: tuple[tuple[Shape, Shape], ...] = (
    ((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 1, 3), (4, 1)), ((1,), (1, 1)),
    ((3, 0), (1,)),
)  # fmt: skip


def binary(op: str, reference: Callable[..., Any], low: float = -2.0, high: float = 2.0) -> list[Row]:
    return [Row(op, getattr(ops, op), reference, shapes, low, high) for shapes in BROADCASTS]


DIMS: tuple[Any, ...] = (None, 0, -1, (0, 2), (1,))


def reduction(op: str, reference: Callable[..., Any], low: float = -2.0, high: float = 2.0) -> list[Row]:
    """Over each of DIMS, with and without ``keepdim``."""
    rows = []
    for dim in DIMS:
        for keep in (False, True):
            rows.append(
                Row(
                    op,
                    lambda x, dim=dim, keep=keep: getattr(ops, op)(x, dim=dim, keepdim=keep),
                    lambda x, dim=dim, keep=keep: reference(x, axis=dim, keepdims=keep),
                    ((2, 3, 4),),
                    low,
                    high,
                )
            )
    return rows


def norm_of(order: float) -> Callable[..., Any]:
    return lambda x, axis, keepdims: (np.abs(x) ** order).sum(axis=axis, keepdims=keepdims) ** (1 / order)


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def logsumexp(x: np.ndarray, axis: Any, keepdims: bool) -> np.ndarray:
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


def same(op: str, function: Callable[..., Any], *shapes: Shape, low: float = -2.0, high: float = 2.0) -> Row:
    """Written with what Tensor and ndarray have in common."""
    return Row(op, function, None, shapes, low, high)


LABELS = np.array([2, 0, 3])
CHOSEN = sample((3, 4), "bool")


def on(x: Tensor, host: Any) -> Tensor:
    """A constant beside x."""
    return nnkit.tensor(host, device=x.device)


ELEMENTWISE = [
    unary("exp", np.exp), unary("log", np.log, 0.1, 3), unary("log1p", np.log1p, -0.9, 3), unary("expm1", np.expm1),
    unary("sqrt", np.sqrt, 0.1, 3), unary("sin", np.sin), unary("cos", np.cos), unary("erf", erf),
    unary("tanh", np.tanh), unary("reciprocal", lambda x: 1 / x, 0.2, 3),
    unary("sigmoid", lambda x: 1 / (1 + np.exp(-x))), unary("relu", lambda x: np.maximum(x, 0)), unary("neg", np.negative), unary("square", np.square),
    unary("abs", np.abs), unary("sign", np.sign), unary("floor", np.floor), unary("round", np.round),
    *binary("add", np.add), *binary("sub", np.subtract), *binary("mul", np.multiply), *binary("div", np.divide, 0.5, 3),
    *binary("pow", np.power, 0.2, 3), *binary("maximum", np.maximum), *binary("minimum", np.minimum),
    same("add", lambda x: 1.5 + x + 2, (3,)), same("sub", lambda x: 1.5 - x - 2, (3,)),
    same("mul", lambda x: 3 * x * 0.5, (3,)),
    same("div", lambda x: 2 / x / 4, (3,), low=0.5), same("pow", lambda x: x**3 + x**2, (3,)),
    same("pow", lambda x: x**0.5 + 2.0**x, (3,), low=0.5), same("neg", lambda x: -abs(x), (3,)),
    Row("clamp", lambda x: ops.clamp(x, -0.5, 1.0), lambda x: np.clip(x, -0.5, 1.0), ((3, 5),)),
    Row("clamp", lambda x: ops.clamp(x, min=0.5), lambda x: np.maximum(x, 0.5), ((3, 5),)),
    Row("clamp", lambda x: ops.clamp(x, max=0.5), lambda x: np.minimum(x, 0.5), ((3, 5),)),
    *(Row("where", lambda x, y: ops.where(on(x, CHOSEN), x, y), lambda x, y: np.where(CHOSEN, x, y), shapes)
      for shapes in (((3, 4), (3, 4)), ((4,), (3, 1)), ((), (1, 4)))),
    Row("where", lambda x: ops.where(on(x, CHOSEN), x, 0.0), lambda x: np.where(CHOSEN, x, 0.0), ((3, 4),)),
    *(Row("activation", lambda x, name=name: ops.activation(x, name),
          lambda x, name=name: by_hand(ACTIVATIONS[name], [x], ops.elementwise.activation_scalars(name, {}))[0],
          ((4, 5),), -7.0, 7.0) for name in ACTIVATIONS),
]  # fmt: skip

REDUCTIONS = [
    *reduction("sum", np.sum), *reduction("mean", np.mean), *reduction("prod", np.prod, 0.5, 1.5),
    *reduction("amax", np.max), *reduction("amin", np.min), *reduction("logsumexp", logsumexp)[2:],
    *reduction("var", lambda x, axis, keepdims: np.var(x, axis=axis, keepdims=keepdims, ddof=1)),
    *reduction("std", lambda x, axis, keepdims: np.std(x, axis=axis, keepdims=keepdims, ddof=1)),
    *reduction("norm", norm_of(2)),
    Row("var", lambda x: ops.var(x, 0, correction=0), lambda x: np.var(x, axis=0), ((4, 3),)),
    Row("norm", lambda x: ops.norm(x, 1, dim=1), lambda x: np.abs(x).sum(axis=1), ((4, 3),)),
    Row("norm", lambda x: ops.norm(x, 3), lambda x: (np.abs(x) ** 3).sum() ** (1 / 3), ((4, 3),)),
    Row("norm", lambda x: ops.norm(x, math.inf, dim=0), lambda x: np.abs(x).max(axis=0), ((4, 3),)),
    Row("max", lambda x: ops.max(x), np.max, ((3, 4),)), Row("min", lambda x: ops.min(x), np.min, ((3, 4),)),
    Row("max", lambda x: ops.max(x, 1).values, lambda x: x.max(axis=1), ((3, 4),)),
    Row("min", lambda x: ops.min(x, 0, keepdim=True)[0], lambda x: x.min(axis=0, keepdims=True), ((3, 4),)),
    Row("max", lambda x, y: ops.max(x, y), np.maximum, ((3, 4), (4,))),
    Row("sum", lambda x: x.sum(axis=(0, 1)), lambda x: x.sum(axis=(0, 1)), ((3, 4, 2),)),
]  # fmt: skip

MATRICES: tuple[tuple[Shape, Shape], ...] = (
    ((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)), ((2, 3, 4), (4,)), ((3, 0), (0, 2)), ((0, 3), (3, 2)),
)  # fmt: skip


def linear(name: str, rank: int, bias: bool) -> Row:
    def function(x: Tensor, w: Tensor, *b: Tensor) -> Tensor:
        return ops.linear(x, w, b[0] if b else None, name)

    def reference(x: np.ndarray, w: np.ndarray, *b: np.ndarray) -> np.ndarray:
        z = x @ w.T + (b[0] if b else 0.0)
        return by_hand(ACTIVATIONS[name], [z], ops.elementwise.activation_scalars(name, {}))[0]

    shapes = [(2, 3, 4)[-rank:], (5, 4)] + [(5,)] * bias
    return Row("linear", function, reference, tuple(shapes))


PRODUCTS = [
    *(same("matmul", lambda x, y: x @ y, *shapes) for shapes in MATRICES),
    *(linear(name, 2, True) for name in ACTIVATIONS),
    *(linear("gelu", rank, bias) for rank in (1, 2, 3) for bias in (False, True)),
]  # fmt: skip

SHAPES = [
    same("reshape", lambda x: x.reshape(2, -1), (3, 4)), same("reshape", lambda x: x.reshape((12,)), (3, 4)),
    same("permute", lambda x: x.T, (2, 3, 4)), same("flatten", lambda x: x.flatten(), (2, 3)),
    Row("flatten", lambda x: ops.flatten(x, 1), lambda x: x.reshape(2, 12), ((2, 3, 4),)),
    Row("squeeze", lambda x: ops.squeeze(x), np.squeeze, ((1, 3, 1),)),
    Row("squeeze", lambda x: ops.squeeze(x, 0), lambda x: x.squeeze(0), ((1, 3, 1),)),
    Row("unsqueeze", lambda x: ops.unsqueeze(x, -1), lambda x: x[..., None], ((3, 2),)),
    Row("permute", lambda x: x.permute(2, 0, 1), lambda x: x.transpose(2, 0, 1), ((2, 3, 4),)),
    Row("transpose", lambda x: x.transpose(0, -1), lambda x: x.swapaxes(0, -1), ((2, 3, 4),)),
    Row("transpose", lambda x: x.mT, lambda x: x.swapaxes(-1, -2), ((2, 3, 4),)),
    Row("expand", lambda x: x.expand(2, -1, 4), lambda x: np.broadcast_to(x, (2, 3, 4)), ((3, 1),)),
    Row("expand", lambda x: x.broadcast_to((3, 2)), lambda x: np.broadcast_to(x, (3, 2)), ((),)),
    Row("cat", lambda x, y: ops.cat([x, y, x], 1), lambda x, y: np.concatenate([x, y, x], 1), ((2, 3), (2, 1))),
    Row("cat", lambda x, y: ops.cat([x, y]), lambda x, y: np.concatenate([x, y]), ((0, 3), (2, 3))),
    Row("stack", lambda x, y: ops.stack([x, y], -1), lambda x, y: np.stack([x, y], -1), ((2, 3), (2, 3))),
    Row("split", lambda x: ops.split(x, 2, 1)[1], lambda x: x[:, 2:4], ((3, 5),)),
    Row("split", lambda x: ops.cat(ops.split(x, [1, 4])[::-1]), lambda x: np.concatenate([x[1:], x[:1]]), ((5, 2),)),
    Row("clone", lambda x: ops.clone(x), np.copy, ((3,),)), Row("to", lambda x: x.to("numpy").to(x.device), np.copy, ((3,),)),
    same("getitem", lambda x: x[1, ..., None], (3, 4)), same("getitem", lambda x: x[::2, 1:-1], (5, 4)),
    same("getitem", lambda x: x[[0, 2, 0]], (3, 2)), same("getitem", lambda x: x[[0, 1], [1, 1]], (3, 2)),
    Row("take_rows", lambda x: ops.take_rows(x, on(x, [[2, 0], [-1, 2]])), lambda x: x[[[2, 0], [-1, 2]]], ((3, 2),)),
]  # fmt: skip

CLASSES = [
    *(Row("softmax", lambda x, d=d: ops.softmax(x, d), lambda x, d=d: softmax(x, d), ((3, 4, 2),)) for d in (-1, 0, 1)),
    Row("log_softmax", ops.log_softmax, lambda x: np.log(softmax(x)), ((3, 4),)),
    Row("log_softmax", lambda x: ops.log_softmax(x, 0), lambda x: np.log(softmax(x, 0)), ((3, 4),)),
    Row("cross_entropy", lambda x: ops.cross_entropy(x, on(x, LABELS)),
        lambda x: -np.log(softmax(x))[np.arange(3), LABELS], ((3, 4),)),
    Row("cross_entropy", lambda x: ops.cross_entropy(x, on(x, LABELS), on(x, [0.5, 0.0, 2.0])),
        lambda x: -np.log(softmax(x))[np.arange(3), LABELS] * [0.5, 0.0, 2.0], ((3, 4),)),
    Row("nll", lambda x: ops.nll(x, on(x, LABELS), on(x, [0.5, 0.0, 2.0])),
        lambda x: -x[np.arange(3), LABELS] * [0.5, 0.0, 2.0], ((3, 4),)),
    *(Row("elementwise_loss", lambda x, y, name=name: ops.elementwise_loss(x, y, name),
          lambda x, y, name=name: by_hand(name, [x, y], ops.elementwise.formula_scalars(name, {}))[0], ((3, 4), (3, 4)))
      for name in ("squared_error", "absolute_error", "huber", "smooth_l1")),
]  # fmt: skip

ROWS = [*ELEMENTWISE, *REDUCTIONS, *PRODUCTS, *SHAPES, *CLASSES]
IDS = [f"{row.op}-{number}" for number, row in enumerate(ROWS)]

#: Ops that are not functions of floats with a gradient, or that have tests of their own.
OTHERS = {
    "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_not", "bitwise_and", "bitwise_or",
    "bitwise_not", "any", "all", "argmax", "argmin", "setitem", "dropout", "check_labels", "take_batch",
}  # fmt: skip


def test_the_table_has_every_op() -> None:
    functions = {name for name in ops.__all__ if callable(getattr(ops, name))}
    assert {row.op for row in ROWS} | OTHERS == functions


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_values_are_those_of_numpy(row: Row, device: str) -> None:
    operands = row.operands("float32")
    expected = np.asarray((row.reference or row.function)(*[o.astype("float64") for o in operands]))
    actual = row.function(*map(nnkit.tensor, operands))
    assert actual.dtype == nnkit.float32
    assert actual.shape == expected.shape
    tolerance = TOLERANCES["float32"]
    np.testing.assert_allclose(actual.numpy(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_gradient_is_the_derivative_also_where_operands_are_used_twice(row: Row, device: str) -> None:
    tensors = [nnkit.tensor(o, requires_grad=True) for o in row.operands("float64")]
    check_gradient(lambda *t: row.function(*t) + row.function(*t) * 0.5 + t[0].sum(), *tensors)
