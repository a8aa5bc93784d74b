"""Gradients of gradients: every op and every formula against differences in float64, recorded against eager."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import ops
from nnkit.backends.windows import Window
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.nn import functional as F
from nnkit.ops.elementwise_losses import LOSSES
from nnkit.testing import check_gradient

Case = tuple[Callable[..., Any], Sequence[Any]]


def numbers(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Numbers that are not near the corners of what is tested."""
    values = np.random.default_rng(seed).uniform(low, high, shape)
    return np.where(np.abs(values) < 0.05, values + 0.1, values)


def positive(*shape: int, seed: int = 0) -> np.ndarray:
    return numbers(*shape, seed=seed, low=0.3, high=1.7)


def leaf(values: np.ndarray) -> nnkit.Tensor:
    return nnkit.tensor(values, dtype="float64", requires_grad=True)


def slope(function: Callable[..., Any], *tensors: Any) -> Any:
    """The gradients of a weighted sum of a function's squares, joined in one tensor and on the tape."""
    with nnkit.enable_grad():
        moving = [t if t.requires_grad else t.detach().requires_grad_() for t in tensors]
        out = function(*moving)
        weights = nnkit.tensor(np.cos(np.arange(out.numel())).reshape(out.shape), dtype="float64")
        found = nnkit.grad((out * out * weights).sum(), moving, create_graph=True)
        return nnkit.cat([gradient.reshape(-1) for gradient in found])


x, y, z = numbers(3, 4), numbers(3, 4, seed=1), numbers(2, 3, 4, seed=2)
image, small = numbers(2, 4, 5, 5, seed=3), numbers(2, 4, 3, 3, seed=4)
labels = np.array([1, 0, 3])
window = Window((2, 3), (2, 1), ((1, 1), (0, 1)), (1, 2))


def at(tensor: Any, index: Any) -> Any:
    return tensor[index]


def written_into(a: Any, b: Any, index: Any) -> Any:
    out = a * 2.0
    out[index] = b * b
    return out * out


UNARY: dict[str, np.ndarray] = dict.fromkeys(
    ("exp", "sin", "cos", "erf", "expm1", "tanh", "sigmoid", "relu", "square", "abs", "neg", "floor", "sign", "round"),
    x,
) | dict.fromkeys(("log", "log1p", "sqrt", "reciprocal"), positive(3, 4))

CASES: dict[str, Case] = {
    **{name: (getattr(ops, name), [values]) for name, values in UNARY.items()},
    **{f"activation {name}": (lambda t, name=name: ops.activation(t, name), [x]) for name in ACTIVATIONS},
    **{
        f"linear {name}": (lambda t, w, b, name=name: ops.linear(t, w, b, name), [x, numbers(2, 4), numbers(2)])
        for name in ("identity", "tanh", "relu", "gelu", "silu", "mish", "softplus", "elu")
    },
    **{
        f"loss {name}": (
            lambda a, b, name=name: ops.elementwise_loss(a, b, name),
            [positive(3, 4) / 2, positive(3, 4, seed=5) / 2],
        )
        for name in LOSSES
        if not name.startswith("binary")
    },
    **{
        f"loss {name}": (
            lambda a, name=name: ops.elementwise_loss(a, nnkit.tensor(positive(3, 4, seed=5) / 2), name),
            [positive(3, 4) / 2],
        )
        for name in LOSSES
        if name.startswith("binary")
    },
    "add": (ops.add, [x, numbers(4)]),
    "sub": (ops.sub, [numbers(3, 1), y]),
    "mul": (ops.mul, [x, y]),
    "mul, broadcast": (ops.mul, [x, numbers(3, 1)]),
    "mul, by itself": (lambda a: a * a * a, [x]),
    "div": (ops.div, [x, positive(3, 4)]),
    "div, broadcast": (ops.div, [numbers(4), positive(3, 4)]),
    "remainder": (ops.remainder, [x, positive(3, 4) + 2]),
    "numbers": (lambda a: 2.0 / (3.0 - a * 0.5) + a / 4.0 + 1.0, [x]),
    "pow": (ops.pow, [positive(3, 4), y]),
    "pow, number": (lambda a: a**3.0 + a**2 + a**1.5, [positive(3, 4)]),
    "maximum": (ops.maximum, [x, y]),
    "minimum": (lambda a, b: ops.minimum(a * a, b * a), [x, y]),
    "where": (lambda a, b: ops.where(nnkit.tensor(x > 0), a * b, b * b), [x, y]),
    "where, broadcast": (lambda a, b: ops.where(nnkit.tensor(x > 0), a, b) ** 3.0, [numbers(4), numbers(3, 1)]),
    "clamp": (lambda a: ops.clamp(a, -1.0, 1.0) ** 3.0, [x]),
    "clamp, tensors": (lambda a, b: ops.clamp(a, b, 1.5) ** 3.0, [x, y * 0.5]),
    "softmax": (ops.softmax, [x]),
    "softmax, first axis": (lambda a: ops.softmax(a, 0), [x]),
    "log_softmax": (ops.log_softmax, [x]),
    "logsumexp": (lambda a: ops.logsumexp(a, 1), [x]),
    "cross_entropy": (lambda a: ops.cross_entropy(a, nnkit.tensor(labels)), [x]),
    "cross_entropy, weights": (
        lambda a: ops.cross_entropy(a, nnkit.tensor(labels), nnkit.tensor(positive(3))), [x]
    ),
    "F.cross_entropy": (lambda a: F.cross_entropy(a, nnkit.tensor(labels), label_smoothing=0.1), [x]),
    "nll": (lambda a: ops.nll(a * a, nnkit.tensor(labels)), [x]),
    "matmul": (ops.matmul, [x, numbers(4, 2)]),
    "matmul, batches": (ops.matmul, [z, numbers(4, 3)]),
    "matmul, vectors": (ops.matmul, [numbers(4), numbers(4, seed=9)]),
    "linear, no bias": (lambda t, w: ops.linear(t, w), [z, numbers(2, 4)]),
    "sum": (lambda a: ops.sum(a * a, 1), [x]),
    "mean": (lambda a: ops.mean(a * a, (0, 2), keepdim=True), [z]),
    "var": (lambda a: ops.var(a, 1), [x]),
    "std": (lambda a: ops.std(a, 1), [x]),
    "norm": (lambda a: ops.norm(a, dim=1), [x]),
    "norm, 3": (lambda a: ops.norm(a, 3, dim=1), [x]),
    "norm, 1": (lambda a: ops.norm(a, 1) ** 3.0, [x]),
    "norm, inf": (lambda a: ops.norm(a, float("inf")) ** 3.0, [x]),
    "prod": (lambda a: ops.prod(a, 1), [x]),
    "prod, zeros": (lambda a: ops.prod(a, (0, 2)), [np.where(z > 1.5, 0.0, z)]),
    "max": (lambda a: ops.max(a) ** 3.0, [x]),
    "max, dim": (lambda a: ops.max(a, 1).values ** 3.0, [x]),
    "amin": (lambda a: ops.amin(a * a * a, (0, 1)), [z]),
    "reshape": (lambda a: ops.reshape(a, (4, 3)) ** 3.0, [x]),
    "permute": (lambda a: ops.permute(a, (2, 0, 1)) ** 3.0, [z]),
    "expand": (lambda a: ops.expand(a, (5, 3, 4)) ** 3.0, [numbers(3, 1)]),
    "cat": (lambda a, b: ops.cat([a, b, a]) ** 3.0, [x, y]),
    "stack": (lambda a, b: ops.stack([a, b], 1) ** 3.0, [x, y]),
    "split": (lambda a: ops.split(a, 2, 1)[1] ** 3.0, [x]),
    "clone": (lambda a: a.clone() ** 3.0, [x]),
    "to": (lambda a: (a.float().double() * a) if False else a.to("float64") ** 3.0, [x]),
    "getitem": (lambda a: at(a, (slice(None), slice(1, 3))) ** 3.0, [x]),
    "getitem, number": (lambda a: at(a, 1) ** 3.0, [z]),
    "getitem, rows": (lambda a: at(a, nnkit.tensor([0, 2, 0])) ** 3.0, [x]),
    "getitem, mask": (lambda a: at(a, nnkit.tensor(x > 0)) ** 3.0, [x]),
    "setitem": (lambda a, b: written_into(a, b, (slice(None), 1)), [x, numbers(3)]),
    "setitem, rows": (lambda a, b: written_into(a, b, nnkit.tensor([0, 2])), [x, numbers(2, 4)]),
    "in place": (lambda a, b: (a * 1.0).mul_(b).add_(a).exp_(), [x, y]),
    "dropout": (lambda a: kept_dropout(a), [x]),
    "conv": (lambda a, w, b: ops.conv(a, w, b, window), [image, numbers(3, 4, 2, 3), numbers(3)]),
    "conv, groups, gelu": (lambda a, w: ops.conv(a, w, None, window, 2, "gelu"), [image, numbers(2, 2, 2, 3)]),
    "conv, tanh": (lambda a, w, b: ops.conv(a, w, b, window, 1, "tanh"), [image, numbers(2, 4, 2, 3), numbers(2)]),
    "conv_transpose": (
        lambda a, w, b: F.conv_transpose2d(a, w, b, stride=2, padding=1), [small, numbers(4, 2, 3, 3), numbers(2)]
    ),
    "max_pool": (lambda a: ops.max_pool(a, window) ** 3.0, [image]),
    "avg_pool": (lambda a: F.avg_pool2d(a, 2) ** 3.0, [image]),
    "sum_pool": (lambda a: ops.sum_pool(a, window, 0.5) ** 3.0, [image]),
    "patches": (lambda a: ops.patches(a, window) ** 3.0, [image]),
    "unfold, fold": (lambda a: F.fold(F.unfold(a, 3) ** 2, (5, 5), 3) ** 2, [image]),
    "pad_with": (lambda a: ops.pad_with(a, ((1, 0), (0, 2))) ** 3.0, [x]),
    "normalize": (lambda a, w, b: ops.normalize(a, w, b)[0], [z * 1.0, numbers(3), numbers(3)]),
    "normalize, groups": (lambda a, w, b: ops.normalize(a, w, b, 1)[0], [z * 1.0, numbers(3), numbers(3)]),
    "normalize, no centre": (lambda a: ops.normalize(a, groups=3, centred=False)[0], [z * 1.0]),
    "normalize_by": (
        lambda a, w, b: ops.normalize_by(a, nnkit.tensor(numbers(3)), nnkit.tensor(positive(3)), w, b) ** 2,
        [z * 1.0, numbers(3), numbers(3)],
    ),
    "batch_norm": (lambda a: F.batch_norm(a, None, None, training=True), [z * 1.0]),
    "layer_norm": (lambda a: F.layer_norm(a, (4,)), [x]),
}  # fmt: skip


def kept_dropout(a: Any) -> Any:
    """The same mask at every call."""
    nnkit.manual_seed(3)
    return ops.dropout(a, 0.4) ** 3.0


@pytest.mark.parametrize("case", CASES)
def test_rules_give_what_pullbacks_give(case: str, device: str) -> None:
    function, values = CASES[case]
    tensors = [*map(leaf, values)]
    out = function(*tensors)
    seed = nnkit.tensor(np.cos(np.arange(out.numel())).reshape(out.shape), dtype="float64")
    quick = nnkit.grad(out, tensors, seed, retain_graph=True)
    for one, other in zip(quick, nnkit.grad(out, tensors, seed, create_graph=True), strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        np.testing.assert_allclose(other.detach().numpy(), one.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", CASES)
def test_second_order_against_differences(case: str, device: str) -> None:
    function, values = CASES[case]
    check_gradient(lambda *tensors: slope(function, *tensors), *map(leaf, values), tolerance=3e-6)
