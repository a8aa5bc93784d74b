"""Every op in one table: its values against numpy, its gradient against differences, on every device."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from reference.make_torch_values_words import EXPRESSIONS

import nnkit
from nnkit import Tensor, errors, ops
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


def binary(
    op: str, reference: Callable[..., Any], low: float = -2.0, high: float = 2.0, shapes: Any = BROADCASTS[:2]
) -> list[Row]:
    return [Row(op, getattr(ops, op), reference, pair, low, high) for pair in shapes]


DIMS: tuple[Any, ...] = (None, 0, -1, (0, 2), (1,))


def reduction(
    op: str, reference: Callable[..., Any], low: float = -2.0, high: float = 2.0, dims: Any = DIMS[:2]
) -> list[Row]:
    """Over each of ``dims``, with and without ``keepdim``."""
    rows = []
    for dim in dims:
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


#: An activation of each kind: its gradient is told from nothing, from the output, from the input; with scalars.
KINDS = ("identity", "sigmoid", "gelu", "softplus")
ELEMENTWISE = [
    unary("exp", np.exp), unary("log", np.log, 0.1, 3), unary("log1p", np.log1p, -0.9, 3), unary("expm1", np.expm1),
    unary("sqrt", np.sqrt, 0.1, 3), unary("sin", np.sin), unary("cos", np.cos), unary("erf", erf),
    unary("tanh", np.tanh), unary("reciprocal", lambda x: 1 / x, 0.2, 3),
    unary("sigmoid", lambda x: 1 / (1 + np.exp(-x))), unary("relu", lambda x: np.maximum(x, 0)),
    unary("neg", np.negative), unary("square", np.square),
    unary("abs", np.abs), unary("sign", np.sign), unary("floor", np.floor), unary("round", np.round),
    *binary("add", np.add, shapes=BROADCASTS), *binary("mul", np.multiply, shapes=BROADCASTS),
    *binary("sub", np.subtract), *binary("div", np.divide, 0.5, 3),
    *binary("floor_divide", np.floor_divide, 0.5, 9), *binary("remainder", np.remainder, 0.5, 9),
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
          ((4, 5),), -7.0, 7.0) for name in KINDS),
]  # fmt: skip

REDUCTIONS = [
    *reduction("sum", np.sum, dims=DIMS), *reduction("mean", np.mean, dims=DIMS),
    *reduction("amax", np.max, dims=DIMS), *reduction("amin", np.min), *reduction("prod", np.prod, 0.5, 1.5),
    *reduction("logsumexp", logsumexp, dims=DIMS[1:3]),
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
    Row("max", lambda x: ops.max(x, 0)[0], lambda x: x, ((),)),
    Row("min", lambda x: x.min(axis=1).values, lambda x: x.min(axis=1), ((3, 4),)),
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
    *(linear(name, 2, True) for name in KINDS),
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
    Row("clone", lambda x: ops.clone(x), np.copy, ((3,),)),
    Row("to", lambda x: x.to("numpy").to(x.device), np.copy, ((3,),)),
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
    "bitwise_xor",
    "bitwise_not", "any", "all", "argmax", "argmin", "setitem", "dropout", "check_labels", "take_batch",
    # drawn at random: in test_sampling.py
    "bernoulli", "multinomial", "normal", "poisson", "randint_like",
    *(name for name in ops.__all__ if name.endswith("_in")),
    # with windows and statistics: against PyTorch in test_torch_values_images.py
    "conv", "conv_pooled", "conv_transpose", "max_pool", "sum_pool", "patches", "sum_patches", "pad_with", "normalize",
    "normalize_by",
    # against PyTorch in test_torch_values_sequences.py
    "recurrence", "embedding",
    # in place: as methods in test_torch_values_words.py
    "fill_diagonal", "put",
    # in test_attention.py
    "attention", "self_attention", "whole_attention", "attention_weights", "check_room", "append_rows",
}  # fmt: skip


def test_the_table_has_every_op() -> None:
    functions = {name for name in ops.__all__ if callable(getattr(ops, name))}
    beside_pytorch = {word for expression in EXPRESSIONS for word in re.findall(r"\w+", expression)}
    assert {row.op for row in ROWS} | OTHERS <= functions
    assert functions <= {row.op for row in ROWS} | OTHERS | beside_pytorch


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


# ---- integers, booleans, and types that meet ------------------------------------------------------------------------

F, D, I, J, U, B = (nnkit.float32, nnkit.float64, nnkit.int64, nnkit.int32, nnkit.uint8, nnkit.bool_)
TYPES: dict[str, tuple[Any, Any]] = {
    "i + f": ([1.5, 3.5, 5.5], F), "f + d": ([1.0, 3.0, 5.0], D), "u + j": ([3, 3, 3], J),
    "b + f": ([1.5, 1.5, 3.5], F),
    "i * 2": ([2, 4, 6], I), "i * 2.5": ([2.5, 5.0, 7.5], F), "2 - i": ([1, 0, -1], I), "f * 2": ([1.0, 3.0, 5.0], F),
    "f + np.float64(0.5)": ([1.0, 2.0, 3.0], F), "b + 1": ([2, 1, 2], I), "b + b": ([True, False, True], B),
    "b * b": ([True, False, True], B), "i / i": ([1.0, 1.0, 1.0], F), "i / 2": ([0.5, 1.0, 1.5], F),
    "i ** 2": ([1, 4, 9], I), "2 ** i": ([2, 4, 8], I), "i ** i": ([1, 4, 27], I), "-i": ([-1, -2, -3], I),
    "abs(-i)": ([1, 2, 3], I), "i.sign()": ([1, 1, 1], I), "i.floor()": ([1, 2, 3], I), "i.sqrt() ** 2": ([1, 2, 3], F),
    "i & 3": ([1, 2, 3], I), "i | 4": ([5, 6, 7], I), "~i": ([-2, -3, -4], I), "~b": ([False, True, False], B),
    "b & (i > 1)": ([False, False, True], B), "b | ~b": ([True, True, True], B), "i == 2": ([False, True, False], B),
    "i < 2.5": ([True, True, False], B), "b < True": ([False, True, False], B), "b == b": ([True, True, True], B),
    "f != f": ([False, False, False], B), "f >= 1.5": ([False, True, True], B), "i > f": ([True, True, True], B),
    "i <= j": ([True, True, False], B), "i.sum()": (6, I), "b.sum()": (2, I), "u.sum()": (3, I), "i.mean()": (2.0, F),
    "b.mean()": (2 / 3, F), "i.prod()": (6, I), "i.max()": (3, I), "b.max()": (True, B), "b.min()": (False, B),
    "i.std()": (1.0, F), "i.norm()": (14**0.5, F), "i.any()": (True, B), "b.all()": (False, B), "f.argmax()": (2, I),
    "b.argmin()": (1, I), "i.clamp(2, 2)": ([2, 2, 2], I), "i.clamp(max=2)": ([1, 2, 2], I), "i @ i": (14, I),
    "i @ f": (11.0, F), "i.maximum(j)": ([3, 2, 3], I), "i.minimum(2)": ([1, 2, 2], I),
    "nnkit.where(b, 1, 0)": ([1, 0, 1], I), "nnkit.where(b, 1.5, 0)": ([1.5, 0.0, 1.5], F),
    "nnkit.where(b, i, f)": ([1.0, 1.5, 3.0], F), "nnkit.where(i, f, 0)": ([0.5, 1.5, 2.5], F),
    "ops.logical_and(i, f)": ([True, True, True], B), "ops.logical_or(b, 0)": ([True, False, True], B),
    "ops.logical_not(i)": ([False, False, False], B), "nnkit.cat([i, f])": ([1, 2, 3, 0.5, 1.5, 2.5], F),
    "i[b]": ([1, 3], I), "f[j - 1]": ([2.5, 1.5, 0.5], F), "f.bool()": ([True, True, True], B),
    "f.long()": ([0, 1, 2], I),
    "b.float()": ([1.0, 0.0, 1.0], F), "i.relu()": ([1, 2, 3], I), "f.argmin(dim=0, keepdim=True)": ([0], I),
}  # fmt: skip


@pytest.mark.parametrize("expression", TYPES)
def test_integers_and_booleans(expression: str, device: str) -> None:
    values, dtype = TYPES[expression]
    known = {
        "i": nnkit.tensor([1, 2, 3]), "f": nnkit.tensor([0.5, 1.5, 2.5]), "b": nnkit.tensor([True, False, True]),
        "d": nnkit.tensor([0.5, 1.5, 2.5], dtype="float64"), "u": nnkit.tensor([0, 1, 2], dtype="uint8"),
        "j": nnkit.tensor([3, 2, 1], dtype="int32"), "nnkit": nnkit, "ops": ops, "np": np,
    }  # fmt: skip
    result = eval(expression, known)
    assert result.dtype == dtype
    assert result.tolist() == pytest.approx(values, rel=1e-6)


# ---- what is refused, in the same words on every device -------------------------------------------------------------

Z = nnkit.zeros
BROADCAST = "do not broadcast: from the right, sizes must be equal or 1"
REFUSED: dict[str, tuple[type[Exception], str]] = {
    "Z(2, 3) + Z(2)": (errors.ShapeError, f"add: shapes (2, 3) and (2,) {BROADCAST}"),
    "ops.where(Z(2) > 0, Z(3), 0.0)": (errors.ShapeError, f"where: shapes (2,) and (3,) and () {BROADCAST}"),
    "Z(2, 3) @ Z(2, 3)": (errors.ShapeError, "matmul: x of shape (2, 3) ends in 3, but y of shape (2, 3) takes 2"),
    "Z(3) @ Z(2)": (errors.ShapeError, "matmul: x of shape (3,) ends in 3, but y of shape (2,) takes 2"),
    "Z(2, 3).reshape(4, -1)": (
        errors.ShapeError, "reshape: a tensor of shape (2, 3) has 6 elements, not those of (4, -1)",
    ),
    "Z(2, 3).permute(0, 2)": (errors.ShapeError, "permute: expected each of 2 axes once, got (0, 2)"),
    "Z(2, 3).expand(2, 4)": (errors.ShapeError, "expand: a tensor of shape (2, 3) cannot be repeated to (2, 4)"),
    "Z(2, 3).sum(2)": (errors.ShapeError, "sum: dim 2 is out of range for a tensor of shape (2, 3)"),
    "Z(2, 3).sum((0, -2))": (errors.ShapeError, "sum: dim (0, -2) names an axis twice"),
    "Z(0, 3).max(0)": (
        errors.ShapeError, "max: expected at least one element along the reduced axes, got shape (0, 3)",
    ),
    "ops.cat([])": (errors.ShapeError, "cat: expected at least one tensor, got none"),
    "ops.cat([Z(2, 3), Z(2, 4)])": (
        errors.ShapeError, "cat: tensors[1] has shape (2, 4), which differs from (2, 3) outside dim 0",
    ),
    "ops.stack([Z(2), Z(3)])": (errors.ShapeError, "stack: expected tensors of one shape, got (2,) and (3,)"),
    "ops.split(Z(5), [1, 2])": (errors.ShapeError, "split: sizes (1, 2) do not sum to 5, the size of dim 0"),
    "ops.split(Z(4), [6, -2])": (errors.ShapeError, "split: sizes (6, -2): expected sizes of 0 or more"),
    "Z(2).long().softmax(0)": (
        errors.DtypeError, "softmax: expected a float tensor, got int64; convert it with .float()",
    ),
    "ops.cross_entropy(Z(2, 3), on(Z(0), [0, 3]))": (
        errors.LabelError,
        "labels: expected integers from 0 to 2, got 3 at index 1; the prediction has 3 classes",
    ),
    "ops.nll(Z(2, 3), on(Z(0), [-1, 2]))": (
        errors.LabelError,
        "labels: expected integers from 0 to 2, got -1 at index 0; the prediction has 3 classes",
    ),
    "ops.cross_entropy(Z(2, 3), Z(2))": (
        errors.LabelError, "labels: expected integers, got float32; convert them with .long()",
    ),
    "ops.elementwise_loss(Z(3), Z(3, 1), 'huber')": (
        errors.ShapeError,
        "target: expected shape (3,) like the prediction's, got (3, 1); reshape the target with y.reshape(-1)",
    ),
    "ops.linear(Z(2, 3), Z(4, 5))": (
        errors.ShapeError,
        "linear: x has shape (2, 3), but w of shape (4, 5) expects 5 features in the last axis",
    ),
    "ops.linear(Z(2, 3), Z(4, 3), Z(3))": (errors.ShapeError, "linear: expected b of shape (4,), got (3,)"),
    "ops.dropout(Z(2), 1.5)": (errors.ShapeError, "p: expected a probability from 0 to 1, got 1.5"),
    "ops.take_rows(Z(2, 3), on(Z(0), [-3]))": (IndexError, "indices: -3 is out of range for 2 rows"),
    "Z(2).long().div_(2)": (
        errors.DtypeError,
        "div: the result is of float32, which a tensor of int64 cannot take in place; "
        "compute a new tensor, or convert first with .to('float32')",
    ),
    "Z(2)[Z(2).to('uint8')]": (
        errors.DtypeError,
        "index: uint8 is a mask to PyTorch and positions to NumPy; convert it with .bool() or with .long()",
    ),
    "Z(2).to('uint8').clamp(max=300)": (
        errors.DtypeError, "clamp: 300 is out of range for uint8; convert the tensor first, e.g. with .long()",
    ),
    "Z(2).long() ** -1": (
        errors.DtypeError, "pow: whole numbers to the negative power -1; convert them first with .float()",
    ),
    "Z(2).long() // 0": (ZeroDivisionError, "floor_divide: whole numbers over 0"),
    "Z(2, 2).max((0, 1))": (errors.ShapeError, "max: expected one dim, got (0, 1); amax takes several"),
    "Z(2).norm('nuc')": (errors.ShapeError, "p: expected a number, infinity or 'fro', got 'nuc'"),
    "Z(2)[Z(2)]": (errors.DtypeError, "index: expected integers or booleans, got float32"),
    "(Z(2) > 0) - (Z(2) > 0)": (
        errors.DtypeError, "sub: expected numbers, got booleans; convert them with .long()",
    ),
    "Z(2) & Z(2)": (
        errors.DtypeError, "bitwise_and: expected booleans or whole numbers, got float32; compare first, e.g. x > 0",
    ),
    "Z(2) + 'a'": (
        errors.DtypeError, "add: expected a Tensor, a number or numbers, got str: 'a'",
    ),
    "ops.exp(3.0)": (TypeError, "exp: expected a Tensor, got float; make it one with nnkit.tensor(x)"),
}  # fmt: skip


@pytest.mark.parametrize("expression", REFUSED)
def test_what_cannot_be_computed_is_refused_with_the_same_words(expression: str, device: str) -> None:
    kind, message = REFUSED[expression]
    with pytest.raises(kind) as caught:
        eval(expression)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["activation", "elementwise_loss", "linear"])
def test_unknown_names_are_refused_with_the_nearest(name: str, device: str) -> None:
    calls = {
        "activation": lambda: ops.activation(Z(3), "rleu"),
        "elementwise_loss": lambda: ops.elementwise_loss(Z(3), Z(3), "hubber"),
        "linear": lambda: ops.linear(Z(1, 3), Z(2, 3), activation="tnh"),
    }
    nearest = {"activation": "relu", "elementwise_loss": "huber", "linear": "tanh"}
    with pytest.raises(errors.UnknownNameError, match=f"did you mean '{nearest[name]}'"):
        calls[name]()


def test_tensors_of_two_devices_do_not_mix() -> None:
    here, there = nnkit.zeros(2, device="numpy"), nnkit.zeros(2, device="strict")
    words = "add: expected all tensors on one device, got 'numpy' and 'strict'; move one with .to('numpy')"
    with pytest.raises(errors.DeviceError, match=re.escape(words)):
        here + there
