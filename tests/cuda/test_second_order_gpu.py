"""Gradients of gradients on a pretended GPU: derived formulas become CUDA kernels as written ones do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import ops

x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
w = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)

CASES: dict[str, tuple[Callable[..., Any], list[np.ndarray]]] = {
    "linear, tanh": (lambda a, b: ops.linear(a, b, None, "tanh"), [x, w]),
    "gelu": (lambda a: ops.activation(a, "gelu"), [x]),
    "product": (lambda a, b: (a @ b.T).sigmoid(), [x, w]),
    "softmax": (ops.softmax, [x]),
    "pow": (lambda a: (a * a + 0.5) ** 1.5, [x]),
    "recurrence": (lambda a, b: ops.recurrence(a[None], [b, b[:, :1]], "tanh")[0][..., :1], [x, w[:1]]),
    "attention": (lambda a: ops.attention(*(a.reshape(1, 2, 3, 2) * k for k in (1.0, 0.5, 2.0)), causal=True), [x]),
    "scatter": (lambda a: a.gather(1, (a > 0).long()).cumsum(0) * a[:, :4], [x]),
    "solve": (lambda a: ops.solve(a[:, :3] + 4.0 * nnkit.eye(3, device=a.device), a), [x]),
    "grid_sample": (lambda a: nnkit.nn.functional.grid_sample(a[None, None], a.reshape(1, 3, 2, 2)), [x * 0.3]),
}


def second(case: str, device: str) -> list[np.ndarray]:
    function, values = CASES[case]
    tensors = [nnkit.tensor(v, device=device, requires_grad=True) for v in values]
    out = function(*tensors)
    slopes = nnkit.grad((out * out).sum(), tensors, create_graph=True)
    total = sum((slope * slope).sum() for slope in slopes)
    return [found.numpy() for found in nnkit.grad(total, tensors)]


@pytest.mark.parametrize("case", CASES)
def test_second_order(case: str, device: str) -> None:
    for found, expected in zip(second(case, device), second(case, "numpy"), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)
