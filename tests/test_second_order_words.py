"""Gradients of gradients of every word of ops, ``linalg`` and ``nn.functional``, against differences in float64.

Beside the table of ``test_second_order.py``. A word in neither table, nor among those without a gradient, fails.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from captured import replays
from test_second_order import CASES as OF_OPS
from test_second_order import image, labels, leaf, numbers, positive, slope, small, window, x, y, z

import nnkit
from nnkit import linalg, ops
from nnkit.backends.windows import Window
from nnkit.nn import functional as F
from nnkit.testing import check_gradient

pytest.mark.usefixtures(replays.__name__)

Case = tuple[Callable[..., Any], Sequence[Any]]

inside = numbers(3, 4, seed=6, low=-0.9, high=0.9)
square = numbers(2, 3, 3, seed=7) + 3.0 * np.eye(3)
vector = numbers(4, seed=8)
signal = numbers(2, 3, 7, seed=9)
volume = numbers(1, 2, 4, 3, 4, seed=10)
probabilities = positive(3, 4, seed=11) / 2
signs = np.where(numbers(3, 4, seed=12) > 0, 1.0, -1.0)
places = np.array([[0, 2, 1], [3, 0, 0], [1, 1, 2]])
apart = np.array([[0, 2, 1], [3, 0, 1], [1, 3, 2]])


def const(values: Any) -> Any:
    return nnkit.tensor(values)


def symmetric(a: Any) -> Any:
    return a + a.transpose(-2, -1)


def definite(a: Any) -> Any:
    return a @ a.transpose(-2, -1)


def joined(*tensors: Any) -> Any:
    return ops.cat([t.reshape(-1) for t in tensors])


def drawn(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same draws at every call."""

    def again(*tensors: Any) -> Any:
        nnkit.manual_seed(5)
        return function(*tensors)

    again.free = function  # type: ignore[attr-defined]
    return again


def once(name: str, values: Any) -> dict[str, Case]:
    return {name: (getattr(ops, name), [values])}


def cubed(name: str, values: Any, *args: Any, **options: Any) -> Case:
    """An op that is linear in its input, of the cube of which the second derivative is not 0."""
    return lambda a: getattr(ops, name)(a * a * a, *args, **options), [values]


ELEMENTARY: dict[str, np.ndarray] = (
    dict.fromkeys(("asin", "acos", "atanh", "arcsin", "arccos", "arctanh"), inside)
    | dict.fromkeys(
        ("asinh", "atan", "arcsinh", "arctan", "cosh", "sinh", "tan", "sinc", "exp2", "erfc", "frac", "deg2rad",
         "trunc", "rad2deg", "positive", "ceil"), inside)
    | dict.fromkeys(("acosh", "arccosh"), positive(3, 4) + 1.5)
    | dict.fromkeys(("rsqrt", "log2", "log10", "lgamma"), positive(3, 4))
    | {"logit": probabilities, "digamma": positive(3, 4) + 1.0}
)  # fmt: skip

PAIRS: dict[str, tuple[np.ndarray, np.ndarray]] = {
    **dict.fromkeys(
        ("atan2", "arctan2", "hypot", "logaddexp", "logaddexp2", "fmax", "fmin", "copysign", "dist", "kron"), (x, y)
    ),
    **dict.fromkeys(("xlogy", "float_power", "true_divide"), (positive(3, 4), positive(3, 4, seed=1))),
    **dict.fromkeys(("dot", "inner", "outer", "vecdot"), (vector, numbers(4, seed=13))),
    **dict.fromkeys(("mm", "matmul"), (x, numbers(4, 2, seed=14))),
    **dict.fromkeys(("cdist",), (x, numbers(2, 4, seed=15))),
    "bmm": (z, numbers(2, 4, 3, seed=16)), "mv": (x, vector), "cross": (numbers(2, 3), numbers(2, 3, seed=1)),
    "fmod": (x, positive(3, 4) + 2), "solve": (square, numbers(2, 3, 2)), "rsub": (x * 1.0, y),
}  # fmt: skip

OPS: dict[str, Case] = {
    **{name: (getattr(ops, name), [values]) for name, values in ELEMENTARY.items()},
    **{
        name: (lambda a, b, name=name: getattr(ops if hasattr(ops, name) else linalg, name)(a * a, b * b) * 0.3, [*two])
        for name, two in PAIRS.items()
        if name not in ("xlogy", "float_power")
    },
    "xlogy": (ops.xlogy, [*PAIRS["xlogy"]]),
    "float_power": (ops.float_power, [*PAIRS["float_power"]]),
    "lerp": (ops.lerp, [x, y, numbers(3, 4, seed=3)]),
    "addcmul": (lambda a, b, c: ops.addcmul(a, b, c, value=0.3), [x, y, numbers(3, 4, seed=3)]),
    "addcdiv": (lambda a, b, c: ops.addcdiv(a, b, c, value=0.3), [x, y, positive(3, 4)]),
    "addmm": (ops.addmm, [numbers(3, 2), x, numbers(4, 2)]),
    "addmv": (ops.addmv, [numbers(3), x, vector]),
    "addr": (ops.addr, [x, numbers(3), vector]),
    "addbmm": (ops.addbmm, [numbers(3, 2), z, numbers(2, 4, 2)]),
    "baddbmm": (ops.baddbmm, [numbers(2, 3, 2), z, numbers(2, 4, 2)]),
    "chain_matmul": (lambda a, b, c: ops.chain_matmul(a, b, c), [x, numbers(4, 2), numbers(2, 3)]),
    "multi_dot": (lambda a, b, c: ops.multi_dot([a, b, c]), [x, numbers(4, 2), numbers(2, 3)]),
    "tensordot": (lambda a, b: ops.tensordot(a, b, 1), [z, numbers(4, 2)]),
    "einsum": (lambda a, b: ops.einsum("bij,jk->bik", a, b), [z, numbers(4, 2)]),
    "trace": (lambda a: ops.trace(a * a), [square[0]]),
    "cov": (ops.cov, [x]),
    "corrcoef": (ops.corrcoef, [x]),
    "block_diag": (lambda a, b: ops.block_diag(a * a, b * b), [x, numbers(2, 2)]),
    "cartesian_prod": (lambda a, b: ops.cartesian_prod(a * a, b * b), [numbers(3), vector]),
    "combinations": (lambda a: ops.combinations(a * a), [vector]),
    "broadcast_tensors": (lambda a, b: ops.mul(*ops.broadcast_tensors(a, b)), [x, vector]),
    "broadcast_to": cubed("broadcast_to", vector, (3, 4)),
    "meshgrid": (lambda a, b: ops.mul(*ops.meshgrid(a * a, b * b)), [numbers(3), vector]),
    **{
        name: (lambda a, b, name=name: getattr(ops, name)([a * a, b * b]), [x, y])
        for name in (
            "concat", "concatenate", "column_stack", "dstack", "hstack", "vstack", "row_stack", "stack", "cat",
        )
    },
    **{
        name: (lambda a, name=name: joined(*getattr(ops, name)(a * a * a, 2)), [numbers(4, 4, 4)])
        for name in ("chunk", "dsplit", "hsplit", "vsplit", "tensor_split", "split")
    },
    **{
        name: (lambda a, name=name: joined(*getattr(ops, name)(a * a * a)), [x])
        for name in ("unbind", "atleast_1d", "atleast_2d", "atleast_3d")
    },
    "diag": cubed("diag", square[0]), "diag_embed": cubed("diag_embed", x), "diagflat": cubed("diagflat", vector),
    "diagonal": cubed("diagonal", square, 0, 1, 2), "fill_diagonal": cubed("fill_diagonal", square[0], 2.0),
    "flip": cubed("flip", x, (0, 1)), "fliplr": cubed("fliplr", x), "flipud": cubed("flipud", x),
    "movedim": cubed("movedim", z, 0, 2), "narrow": cubed("narrow", x, 1, 1, 2), "repeat": cubed("repeat", x, 2, 2),
    "repeat_interleave": cubed("repeat_interleave", x, 2, 1), "roll": cubed("roll", x, 1, 0),
    "rot90": cubed("rot90", x), "select": cubed("select", x, 1, 2), "tile": cubed("tile", x, (2, 1)),
    "tril": cubed("tril", square), "triu": cubed("triu", square), "unflatten": cubed("unflatten", x, 1, (2, 2)),
    "unfold": cubed("unfold", x, 1, 3, 1), "flatten": cubed("flatten", z), "squeeze": cubed("squeeze", x[:1]),
    "transpose": cubed("transpose", x, 0, 1), "t": cubed("t", x), "ravel": cubed("ravel", x),
    "unsqueeze": cubed("unsqueeze", x, 1), "swapaxes": cubed("swapaxes", x, 0, 1),
    "gather": (lambda a: ops.gather(a * a * a, 1, const(places)), [x]),
    "gather, rows": (lambda a: ops.gather(a * a * a, 0, const(places[:2] % 3)), [x]),
    "take_along_dim": (lambda a: ops.take_along_dim(a * a * a, const(places), 1), [x]),
    "take": (lambda a: ops.take(a * a * a, const([0, 5, 5, 11])), [x]),
    "take_rows": (lambda a: ops.take_rows(a * a * a, const([0, 2, 2])), [x]),
    "index_select": (lambda a: ops.index_select(a * a * a, 1, const([0, 3, 0])), [x]),
    "scatter": (lambda a, b: ops.scatter(a * a * a, 1, const(apart), b * b), [x, numbers(3, 3)]),
    "scatter, one value": (lambda a: ops.scatter(a * a * a, 1, const(places), 1.5), [x]),
    "scatter, add": (lambda a, b: ops.scatter(a * a, 1, const(places), b * b, reduce="add"), [x, numbers(3, 3)]),
    "scatter, multiply": (lambda a, b: ops.scatter(a, 1, const(places), b, reduce="multiply"), [x, numbers(3, 3)]),
    "scatter_add": (lambda a, b: ops.scatter_add(a * a, 1, const(places), b * b), [x, numbers(3, 3)]),
    **{
        f"scatter_reduce, {how}, {own}": (
            lambda a, b, how=how, own=own: ops.scatter_reduce(a, 1, const(places), b, how, include_self=own) ** 3.0,
            [x, numbers(3, 3, seed=1)],
        )
        for how in ("sum", "prod", "mean", "amax", "amin") for own in (True, False)
    },
    "index_add": (lambda a, b: ops.index_add(a * a, 0, const([0, 2, 0]), b * b, alpha=0.5), [x, y]),
    "index_copy": (lambda a, b: ops.index_copy(a * a, 0, const([2, 0]), b * b), [x, numbers(2, 4)]),
    "index_fill": (lambda a: ops.index_fill(a * a * a, 1, const([1]), 2.0), [x]),
    "index_put": (lambda a, b: ops.index_put(a * a, (const([0, 2]),), b * b), [x, numbers(2, 4)]),
    "index_put, accumulate": (lambda a, b: ops.index_put(a * a, (const([0, 0]),), b * b, True), [x, numbers(2, 4)]),
    "put": (lambda a, b: ops.put(a * a, const([0, 5]), b * b), [x, numbers(2)]),
    "masked_fill": (lambda a: ops.masked_fill(a * a * a, const(y > 0), 2.0), [x]),
    "masked_scatter": (lambda a, b: ops.masked_scatter(a * a, const(y > 0), b * b), [x, numbers(12)]),
    "masked_select": (lambda a: ops.masked_select(a * a * a, const(y > 0)), [x]),
    "cumsum": cubed("cumsum", x, 1), "cumprod": (lambda a: ops.cumprod(a, 1), [x]),
    "logcumsumexp": (lambda a: ops.logcumsumexp(a, 1), [x]),
    "cummax": (lambda a: ops.cummax(a * a * a, 1).values, [x]),
    "cummin": (lambda a: ops.cummin(a * a * a, 1).values, [x]),
    "diff": cubed("diff", x), "trapezoid": (lambda a, b: ops.trapezoid(a, b * b), [x, y]),
    "sort": (lambda a: ops.sort(a * a * a, 1).values, [x]), "msort": cubed("msort", x),
    "topk": (lambda a: ops.topk(a * a * a, 2).values, [x]),
    "kthvalue": (lambda a: ops.kthvalue(a * a * a, 2).values, [x]),
    "median": (lambda a: ops.median(a * a * a), [x]), "median, dim": (lambda a: ops.median(a * a * a, 1).values, [x]),
    "nanmedian": (lambda a: ops.nanmedian(a * a * a, 1).values, [x]),
    "mode": (lambda a: ops.mode(a * a * a, 1).values, [x]),
    "quantile": (lambda a: ops.quantile(a * a * a, 0.3, 1), [x]),
    "nanquantile": (lambda a: ops.nanquantile(a * a * a, 0.3, 1), [x]),
    "aminmax": (lambda a: joined(*ops.aminmax(a * a * a, dim=1)), [x]), "amax": cubed("amax", x, 1),
    "min": (lambda a: ops.min(a) ** 3.0, [x]),
    "nansum": cubed("nansum", x), "nanmean": cubed("nanmean", x), "nan_to_num": cubed("nan_to_num", x),
    "std_mean": (lambda a: joined(*ops.std_mean(a, 1)), [x]), "var_mean": (lambda a: joined(*ops.var_mean(a, 1)), [x]),
    "renorm": (lambda a: ops.renorm(a, 2, 0, 1.0), [x]),
    "clamp_min": (lambda a: ops.clamp_min(a * a, 0.5), [x]), "clamp_max": (lambda a: ops.clamp_max(a * a, 0.5), [x]),
    "heaviside": (lambda a: ops.heaviside(a, const(1.0).double()) * a * a, [x]),
    "inv": (ops.inv, [square]), "solve, vector": (lambda a, b: ops.solve(a, b), [square[0], numbers(3)]),
    "solve, right": (lambda a, b: ops.solve(a, b, left=False), [square, numbers(2, 2, 3)]),
    "solve_triangular": (lambda a, b: ops.solve_triangular(a, b, upper=True), [square, numbers(2, 3, 2)]),
    "cholesky": (lambda a: ops.cholesky(definite(a)), [square]),
    "cholesky, upper": (lambda a: ops.cholesky(definite(a), upper=True), [square]),
    "cholesky_solve": (lambda b, a: ops.cholesky_solve(b, ops.cholesky(definite(a))), [numbers(2, 3, 2), square]),
    "det": (ops.det, [square]), "slogdet": (lambda a: ops.slogdet(a).logabsdet, [square]),
    "logdet": (lambda a: ops.logdet(definite(a)), [square]),
    "matrix_power": (lambda a: ops.matrix_power(a, 3), [square]),
    "matrix_power, inverse": (lambda a: ops.matrix_power(a, -2), [square]),
    "matrix_exp": (lambda a: ops.matrix_exp(a * 0.3), [square]),
    "eigvalsh": (lambda a: ops.eigvalsh(symmetric(a)), [square]),
    "eigh": (lambda a: ops.eigh(symmetric(a)).eigenvectors.square(), [square]),
    "eigh, upper": (lambda a: ops.eigh(symmetric(a), "U").eigenvectors.square(), [square]),
    "qr": (lambda a: joined(*ops.qr(a)), [numbers(4, 3)]), "qr, r": (lambda a: ops.qr(a, "r").R, [numbers(2, 3, 3)]),
    "qr, complete": (lambda a: joined(*ops.qr(a, "complete")), [square]),
    "svdvals": (ops.svdvals, [numbers(4, 3)]),
    "svd, tall": (lambda a: joined(*(t.square() for t in ops.svd(a, False))), [numbers(4, 3)]),
    "svd, wide": (lambda a: joined(*(t.square() for t in ops.svd(a, False))), [numbers(2, 3)]),
    "svd": (lambda a: joined(*(t.square() for t in ops.svd(a))), [square]),
    "pinv": (ops.pinv, [numbers(4, 3)]), "pinv, wide": (ops.pinv, [numbers(2, 3)]),
    "lstsq": (lambda a, b: ops.lstsq(a, b).solution, [numbers(4, 3), numbers(4, 2)]),
    "cond": (ops.cond, [square]), "matrix_norm": (ops.matrix_norm, [square]),
    "matrix_norm, nuclear": (lambda a: ops.matrix_norm(a, "nuc"), [square]),
    "vector_norm": (lambda a: ops.vector_norm(a, 3), [x]),
    "linalg.norm": (lambda a: linalg.norm(a, 2), [square[0]]),
    "embedding": (lambda w: ops.embedding(w, const([[0, 2], [2, 1]])) ** 3.0, [x]),
    "embedding, padding": (lambda w: ops.embedding(w, const([[0, 2], [2, 1]]), 2) ** 3.0, [x]),
    "conv_pooled": (
        lambda a, w: ops.conv_pooled(a, w, None, window, Window((1, 2), (1, 2), ((0, 0), (0, 0)), (1, 1)), 2, "tanh"),
        [image, numbers(4, 2, 2, 3)],
    ),
    "sum_patches": (lambda a: F.fold(a * a * a, (3, 3), 2), [numbers(2, 8, 4)]),
    "copysign, number": (lambda a: ops.copysign(a * a, -1.0), [x]),
}  # fmt: skip


# ---- attention and recurrences --------------------------------------------------------------------------------------

queries, keys, values = numbers(2, 4, 3, 2), numbers(2, 2, 5, 2, seed=1), numbers(2, 2, 5, 3, seed=2)
seen = np.array([[True, False, True, True, False], [False] * 5, [True, True, True, False, False]])


def attended(*masks: Any, past: Any = None, **options: Any) -> Callable[..., Any]:
    def run(q: Any, k: Any, v: Any) -> Any:
        mask = const(masks[0]) if masks else None
        return ops.attention(q, k, v, mask, past=None if past is None else const(past), **options)

    return drawn(run)


ATTENTION: dict[str, Case] = {
    "attention": (attended(), [queries, keys, values]),
    "attention, causal": (attended(causal=True, scale=0.7), [queries, keys, values]),
    "attention, boolean mask": (attended(seen), [queries, keys, values]),
    "attention, mask": (attended(numbers(3, 5, seed=4)), [queries, keys, values]),
    "attention, dropped": (attended(p=0.4), [queries, keys, values]),
    "attention, past": (attended(causal=True, past=np.array([1])), [queries, keys, values]),
    "attention, mask with a gradient": (
        lambda q, k, v, m: ops.attention(q, k, v, m), [queries, keys, values, numbers(3, 5, seed=4)]
    ),
    "whole_attention": (ops.whole_attention, [queries, keys, values]),
    "attention_weights": (ops.attention_weights, [queries, keys]),
    "self_attention": (lambda a: ops.self_attention(a, 2, 1, causal=True), [numbers(2, 3, 8)]),
    "self_attention, dropped": (drawn(lambda a: ops.self_attention(a, 2, p=0.3)), [numbers(2, 3, 12)]),
    "scaled_dot_product_attention": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v), [numbers(3, 2), numbers(4, 2), numbers(4, 2, seed=1)]
    ),
}  # fmt: skip


def recurrent(kind: str, masked: bool = False, reverse: bool = False, states: bool = False) -> Case:
    H, gates = 2, {"lstm": 4, "gru": 3}.get(kind, 1)
    given = [numbers(3, 4, 3), numbers(gates * H, 3, seed=1), numbers(gates * H, H, seed=2)]
    given += [numbers(gates * H, seed=3), numbers(gates * H, seed=4)]
    given += [numbers(3, H, seed=5), numbers(3, H, seed=6)][: (2 if kind == "lstm" else 1) if states else 0]

    def run(a: Any, *rest: Any) -> Any:
        keep = const([[1.0, 1, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0]]).double() if masked else None
        y, h, c = ops.recurrence(a, rest[:4], kind, *rest[4:], keep=keep, reverse=reverse)
        return joined(y, h, *([] if c is None else [c])) if states else y

    return run, [0.5 * t for t in given]


RECURRENT: dict[str, Case] = {
    **{f"recurrence, {kind}": recurrent(kind) for kind in ("tanh", "relu", "lstm", "gru")},
    **{f"recurrence, {kind}, states": recurrent(kind, states=True) for kind in ("tanh", "lstm", "gru")},
    **{f"recurrence, {kind}, masked": recurrent(kind, True, True, True) for kind in ("tanh", "lstm", "gru")},
    "recurrence, last state": (
        lambda a, w, u: ops.recurrence(a, [w, u], "lstm")[2], [numbers(2, 3, 2), numbers(8, 2), numbers(8, 2, seed=1)]
    ),
}  # fmt: skip


# ---- functions of nn ------------------------------------------------------------------------------------------------

FUNCTIONS: dict[str, Case] = {
    **{
        name: (getattr(F, name), [x])
        for name in (
            "celu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish", "relu", "relu6",
            "selu", "sigmoid", "silu", "softplus", "softshrink", "softsign", "tanh", "tanhshrink", "hardshrink", "elu",
            "glu", "normalize",
        )
    },
    "softmin": (lambda a: F.softmin(a, 1), [x]),
    "threshold": (lambda a: F.threshold(a * a, 0.5, 0.1), [x]), "prelu": (F.prelu, [x, numbers(4)]),
    "rrelu": (drawn(lambda a: F.rrelu(a * a * a, training=True)), [x]),
    "gumbel_softmax": (drawn(lambda a: F.gumbel_softmax(a)), [x]),
    "dropout": (drawn(lambda a: F.dropout(a * a * a, 0.4)), [x]),
    **{
        f"dropout{n}d": (drawn(lambda a, n=n: getattr(F, f"dropout{n}d")(a * a * a, 0.4)), [values])
        for n, values in ((1, signal), (2, image), (3, volume))
    },
    **{
        f"conv{n}d": (lambda a, w, n=n: getattr(F, f"conv{n}d")(a, w), [values, numbers(2, values.shape[1], *(2,) * n)])
        for n, values in ((1, signal), (2, image), (3, volume))
    },
    **{
        f"conv_transpose{n}d": (
            lambda a, w, n=n: getattr(F, f"conv_transpose{n}d")(a, w), [values, numbers(values.shape[1], 2, *(2,) * n)]
        )
        for n, values in ((1, signal), (2, image[:1, :2]), (3, volume[:, :, :2]))
    },
    **{
        f"{kind}_pool{n}d": (lambda a, kind=kind, n=n: getattr(F, f"{kind}_pool{n}d")(a * a * a, 2), [values])
        for kind in ("avg", "max") for n, values in ((1, signal), (2, image), (3, volume))
    },
    **{
        f"adaptive_{kind}_pool{n}d": (
            lambda a, kind=kind, n=n: getattr(F, f"adaptive_{kind}_pool{n}d")(a * a * a, 2), [values]
        )
        for kind, n, values in (("avg", 1, signal), ("avg", 2, image), ("avg", 3, volume), ("max", 1, signal),
                                ("max", 2, image))
    },
    "batch_norm": (lambda a, w, b: F.batch_norm(a, None, None, w, b, True), [image, numbers(4), numbers(4)]),
    "batch_norm, evaluating": (
        lambda a, w: F.batch_norm(a * a, const(vector), const(vector * vector), w), [image, numbers(4)]
    ),
    "instance_norm": (F.instance_norm, [image]), "group_norm": (lambda a: F.group_norm(a, 2), [image]),
    "layer_norm": (lambda a, w, b: F.layer_norm(a, (4,), w, b), [x, vector, numbers(4)]),
    "rms_norm": (lambda a, w: F.rms_norm(a, (4,), w), [x, vector]),
    "local_response_norm": (lambda a: F.local_response_norm(a, 2, alpha=0.5), [image]),
    "interpolate": (lambda a: F.interpolate(a * a * a, scale_factor=2, mode="bilinear"), [image[:1, :1]]),
    "interpolate, nearest": (lambda a: F.interpolate(a * a * a, (3, 7)), [image[:1, :1]]),
    "grid_sample": (
        lambda a, g: F.grid_sample(a, g, padding_mode="reflection"), [image[:1], 0.3 * numbers(1, 2, 3, 2)]
    ),
    "grid_sample, nearest": (
        lambda a: F.grid_sample(a * a * a, const(0.5 * small[:1, :2, :, :2]), "nearest"), [image[:1]]
    ),
    "affine_grid": (lambda t: F.affine_grid(t * t * t, (2, 1, 2, 3)), [numbers(2, 2, 3)]),
    "upsample": (lambda a: F.upsample(a * a * a, scale_factor=2), [image[:1, :1]]),
    **{
        f"pad, {mode}": (lambda a, mode=mode: F.pad(a * a * a, (1, 2), mode), [signal])
        for mode in ("constant", "reflect", "replicate", "circular")
    },
    "pixel_shuffle": (lambda a: F.pixel_shuffle(a * a * a, 2), [image]),
    "pixel_unshuffle": (lambda a: F.pixel_unshuffle(a * a * a, 2), [numbers(1, 1, 4, 4)]),
    "unfold": (lambda a: F.unfold(a * a * a, 2), [image]),
    "cosine_similarity": (lambda a, b: F.cosine_similarity(a, b), [x, y]),
    "pairwise_distance": (lambda a, b: F.pairwise_distance(a, b), [x, y]),
    "linear": (F.linear, [x, numbers(2, 4), numbers(2)]),
    "embedding, F": (lambda w: F.embedding(const([0, 2, 2]), w) ** 3.0, [x]),
    **{
        f"embedding_bag, {mode}": (lambda w, mode=mode: F.embedding_bag(const(places % 3), w, mode=mode) ** 3.0, [x])
        for mode in ("sum", "mean", "max")
    },
    "embedding_bag, offsets": (
        lambda w, s: F.embedding_bag(const([0, 2, 2, 1]), w, const([0, 3]), mode="sum", per_sample_weights=s) ** 3.0,
        [x, numbers(4)],
    ),
}  # fmt: skip

LOSSES: dict[str, Case] = {
    **{
        name: (lambda a, b, name=name: getattr(F, name)(a, b), [x, y])
        for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "quantile_loss")
    },
    "binary_cross_entropy": (F.binary_cross_entropy, [probabilities, positive(3, 4, seed=1) / 2]),
    "binary_cross_entropy_with_logits": (
        lambda a, b: F.binary_cross_entropy_with_logits(a, const(probabilities), pos_weight=b), [x, positive(4)]
    ),
    "cross_entropy, probabilities": (lambda a: F.cross_entropy(a, const(probabilities)), [x]),
    "cross_entropy, weights": (lambda a: F.cross_entropy(a, const(labels), const(vector * vector)), [x]),
    "nll_loss": (lambda a: F.nll_loss(a * a * a, const(labels)), [x]),
    "kl_div": (lambda a, b: F.kl_div(a, b), [x, probabilities]),
    "poisson_nll_loss": (lambda a, b: F.poisson_nll_loss(a, b), [x, positive(3, 4)]),
    "gaussian_nll_loss": (lambda a, b, v: F.gaussian_nll_loss(a, b, v), [x, y, positive(3, 4)]),
    "soft_margin_loss": (lambda a: F.soft_margin_loss(a, const(signs)), [x]),
    "hinge_embedding_loss": (lambda a: F.hinge_embedding_loss(a * a, const(signs)), [x]),
    "cosine_embedding_loss": (lambda a, b: F.cosine_embedding_loss(a, b, const([1.0, -1, 1])), [x, y]),
    "margin_ranking_loss": (lambda a, b: F.margin_ranking_loss(a * a, b * b, const(signs), 0.3), [x, y]),
    "triplet_margin_loss": (F.triplet_margin_loss, [x, y, numbers(3, 4, seed=20)]),
    "triplet_margin_with_distance_loss": (F.triplet_margin_with_distance_loss, [x, y, numbers(3, 4, seed=20)]),
    "multi_margin_loss": (lambda a: F.multi_margin_loss(a, const(labels), p=2), [x]),
    "multilabel_margin_loss": (
        lambda a: F.multilabel_margin_loss(a * a * a, const([[1, 0, -1, 2], [3, -1, 0, 0], [0, 1, 2, 3]])), [x]
    ),
    "multilabel_soft_margin_loss": (lambda a: F.multilabel_soft_margin_loss(a, const((signs + 1) / 2)), [x]),
    "sigmoid_focal_loss": (lambda a: F.sigmoid_focal_loss(a, const((signs + 1) / 2)), [x]),
    "dice_loss": (lambda a: F.dice_loss(a, const((signs + 1) / 2)), [probabilities]),
    **{
        f"ctc_loss, {how}": (
            lambda a, how=how: F.ctc_loss(
                a.log_softmax(2), const([[1, 2], [2, 2]]), const([5, 4]), const([2, 1]), reduction=how
            ),
            [numbers(5, 2, 3)],
        )
        for how in ("mean", "none")
    },
}  # fmt: skip

CASES = {**OPS, **ATTENTION, **RECURRENT, **FUNCTIONS, **{f"{name}, loss": case for name, case in LOSSES.items()}}


@pytest.mark.parametrize("case", CASES)
def test_rules_give_what_pullbacks_give(case: str, device: str) -> None:
    function, values = CASES[case]
    tensors = [*map(leaf, values)]
    out = function(*tensors)
    seed = nnkit.tensor(np.cos(np.arange(out.numel())).reshape(out.shape), dtype="float64")
    quick = nnkit.grad(out, tensors, seed, retain_graph=True)
    for one, other in zip(quick, nnkit.grad(out, tensors, seed, create_graph=True), strict=True):
        np.testing.assert_allclose(other.detach().numpy(), one.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("case", CASES)
def test_second_order_against_differences(case: str, device: str) -> None:
    function, values = CASES[case]
    check_gradient(lambda *tensors: slope(function, *tensors), *map(leaf, values), tolerance=1e-5)


#: What looks at values on the host; such a step runs plainly.
READING = {"index_put", "masked_select", "lstsq"}


@pytest.mark.filterwarnings("ignore:.*it runs without recording")
@pytest.mark.parametrize("case", CASES)
def test_recorded_as_run_plainly_to_the_bit(case: str, device: str, replays: Any) -> None:
    function, values = CASES[case]
    free = getattr(function, "free", function)

    def step(*tensors: Any) -> Any:
        moving = [t.detach().requires_grad_() for t in tensors]
        first = slope(free, *moving)
        return [first.detach(), *nnkit.grad((first * first).sum(), moving)]

    compiled = nnkit.compile(step, fullgraph=case not in READING)
    for turn in range(4):
        given = [nnkit.tensor(t * (1.0 + 0.01 * turn)) for t in values]
        nnkit.manual_seed(turn)
        expected = step(*given)
        nnkit.manual_seed(turn)
        for one, other in zip(compiled(*given), expected, strict=True):
            assert one.numpy().tobytes() == other.numpy().tobytes(), turn
    assert len(replays) >= 2 or case in READING


# ---- every word -----------------------------------------------------------------------------------------------------

#: Words whose results are whole numbers, booleans, draws or constants, or that write in place.
WITHOUT_GRADIENT = set(
    "all allclose any append_rows argmax argmin argsort argwhere bernoulli bernoulli_in bincount bitwise_and "
    "bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor bucketize can_cast cauchy_in "
    "check_labels check_room count_nonzero eq equal exponential_in floor_divide ge geometric_in greater "
    "greater_equal gt histc histogram is_complex is_floating_point is_nonzero is_tensor isclose isfinite isin isinf "
    "isnan isneginf isposinf le less less_equal log_normal_in logical_and logical_not logical_or logical_xor lt "
    "matrix_rank multinomial ne nonzero normal normal_in not_equal numel poisson promote_types randint_like "
    "random_in searchsorted signbit take_batch tril_indices triu_indices uniform_in unique unique_consecutive "
    "one_hot".split()
)


def words() -> dict[str, Any]:
    """What ops, ``linalg`` and ``nn.functional`` offer."""
    found = {name: getattr(ops, name) for name in ops.__all__} | {
        name: getattr(linalg, name) for name in linalg.__all__
    }
    own = {name: word for name, word in vars(F).items() if getattr(word, "__module__", "").startswith("nnkit.nn.")}
    return {
        name: word
        for name, word in {**found, **own}.items()
        if callable(word) and not isinstance(word, (type, types.ModuleType)) and not name.startswith("_")
    }


def test_every_word_is_in_a_table() -> None:
    there = {case.split(",")[0].split(".")[-1] for case in [*CASES, *OF_OPS]}
    there |= {"activation", "elementwise_loss", "getitem", "setitem", "conv", "dropout", "linear"}
    there |= {"fold", "inverse", "pinverse"}  # by other names
    functions = {id(word) for name, word in words().items() if name in there}
    missing = {
        name for name, word in words().items()
        if name not in there | WITHOUT_GRADIENT | {"gelu_formula", "check_probability"} and id(word) not in functions
    }  # fmt: skip
    assert not missing
