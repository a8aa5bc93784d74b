"""What PyTorch gives for gradients of gradients, stored in ``second_values.npz``: first, second and third derivatives.

Every case is run by one function for both libraries, whose names are the same. The points have the corners among them.
Run it where PyTorch is installed: ``python tests/reference/make_torch_values_second.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

VALUES = Path(__file__).with_name("second_values.npz")
POINTS = np.array([-4.0, -3.0, -1.7, -1.0, -0.4, 0.0, 0.3, 1.0, 1.6, 3.0, 6.0, 7.5])
POSITIVE = np.array([0.05, 0.4, 0.9, 1.0, 1.1, 2.5])
TARGETS = np.array([-3.0, -3.0, -1.2, 0.0, 0.1, 0.0, 1.0, 1.0, 1.9, 4.0, 5.5, 7.5])

Case = tuple[Callable[[Any, Any], Any], np.ndarray]


def of_functional(name: str, **options: Any) -> Callable[[Any, Any], Any]:
    """A function of ``nn.functional``."""
    return lambda lib, x: getattr(lib.nn.functional, name)(x, **options)


def loss(name: str, **options: Any) -> Callable[[Any, Any], Any]:
    """A loss for each element."""

    def compute(lib: Any, x: Any) -> Any:
        target = lib.tensor(TARGETS, dtype=x.dtype)
        return getattr(lib.nn.functional, name)(x, target, reduction="none", **options)

    return compute


def net(lib: Any, x: Any) -> Any:
    """A convolution, a norm and a linear layer."""
    weights = np.sin(np.arange(3 * 3)).reshape(3, 1, 3)
    rows = x.reshape(1, 1, -1)
    y = lib.nn.functional.conv1d(rows, lib.tensor(weights, dtype=x.dtype), padding=1).tanh()
    y = lib.nn.functional.layer_norm(y, (12,))
    return (y.reshape(3, 12) @ lib.tensor(np.cos(np.arange(24.0)).reshape(12, 2), dtype=x.dtype)).softmax(1)


def recurrent(name: str, **options: Any) -> Callable[[Any, Any], Any]:
    """All hidden states, and the last one."""

    def compute(lib: Any, x: Any) -> Any:
        layer = getattr(lib.nn, name)(3, 2, dtype=x.dtype, **options)
        with lib.no_grad():
            for number, p in enumerate(layer.parameters()):
                p.copy_(lib.tensor(np.sin(np.arange(p.numel()) + number).reshape(tuple(p.shape)), dtype=x.dtype))
        y, last = layer(0.3 * x.reshape(4, 1, 3))
        return lib.cat([y.reshape(-1), (last if lib.is_tensor(last) else last[1]).reshape(-1)])

    return compute


def attention(lib: Any, x: Any) -> Any:
    """Attention of three tokens, none of which sees a later one, of two heads."""
    rows = x.reshape(1, 2, 3, 2)
    attend = lib.nn.functional.scaled_dot_product_attention
    return attend(rows, 0.5 * rows.sin(), rows * rows * 0.1, is_causal=True)


def scattered(lib: Any, x: Any) -> Any:
    """Elements gathered, and added in other places."""
    at = lib.tensor([0, 3, 3, 1, 2, 5, 5, 0, 7, 4, 1, 2])
    return (x * x).scatter_add(0, at, x.gather(0, at) ** 3).cumsum(0)


def factored(lib: Any, x: Any) -> Any:
    """A solution of linear equations, a determinant and the factor of a positive definite matrix."""
    a = 0.1 * x[:9].reshape(3, 3) + lib.tensor(np.diag([2.0, 3.0, 4.0]), dtype=x.dtype)
    parts = [lib.linalg.solve(a, x[9:]), lib.linalg.det(a), lib.linalg.cholesky(a @ a.T), lib.linalg.inv(a)]
    return lib.cat([part.reshape(-1) for part in [*parts, lib.linalg.eigh(a + a.T)[1] ** 2]])


CASES: dict[str, Case] = {
    **{
        name: (of_functional(name), POINTS)
        for name in (
            "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus", "softsign", "hardtanh", "relu6",
            "hardswish",
        )
    },
    "gelu, tanh": (of_functional("gelu", approximate="tanh"), POINTS),
    "softplus, beta": (of_functional("softplus", beta=2.0, threshold=5.0), POINTS),
    **{
        name: (lambda lib, x, name=name: getattr(lib, name)(x), POINTS)
        for name in ("tanh", "sigmoid", "exp", "sin", "cos", "erf", "expm1", "square", "abs", "floor", "sign")
    },
    **{
        name: (lambda lib, x, name=name: getattr(lib, name)(x), POSITIVE)
        for name in ("log", "log1p", "sqrt", "reciprocal")
    },
    "clamp": (lambda lib, x: x.clamp(-1.0, 3.0) ** 3, POINTS),
    "pow 2": (lambda lib, x: x**2, POINTS),
    "pow 3": (lambda lib, x: x**3, POINTS),
    "pow 0.5": (lambda lib, x: x**0.5, POSITIVE),
    "pow, tensors": (lambda lib, x: x ** (x * 0.5), POSITIVE),
    "x / y": (lambda lib, x: x.sin() / (x * x), POSITIVE),
    "maximum": (lambda lib, x: lib.maximum(x * x, x), POINTS),
    "where": (lambda lib, x: lib.where(x > 0, x * x, x.exp()), POINTS),
    "max": (lambda lib, x: x.max() ** 3, POINTS),
    "norm": (lambda lib, x: x.norm(), POINTS),
    "prod": (lambda lib, x: x.prod(), POSITIVE),
    "std": (lambda lib, x: x.std(), POSITIVE),
    "softmax": (lambda lib, x: x.softmax(0), POINTS),
    "log_softmax": (lambda lib, x: x.log_softmax(0), POINTS),
    "logsumexp": (lambda lib, x: x.logsumexp(0), POINTS),
    "cross_entropy": (
        lambda lib, x: lib.nn.functional.cross_entropy(x.reshape(3, 4), lib.tensor([1, 0, 3]), reduction="none"),
        POINTS,
    ),
    "mse_loss": (loss("mse_loss"), POINTS),
    "l1_loss": (loss("l1_loss"), POINTS),
    "huber_loss": (loss("huber_loss", delta=1.5), POINTS),
    "smooth_l1_loss": (loss("smooth_l1_loss", beta=0.5), POINTS),
    "bce_with_logits": (loss("binary_cross_entropy_with_logits"), POINTS),
    "net": (net, POINTS),
    "RNN": (recurrent("RNN"), POINTS),
    "LSTM": (recurrent("LSTM", bidirectional=True), POINTS),
    "GRU": (recurrent("GRU", num_layers=2), POINTS),
    "attention": (attention, POINTS),
    "scatter": (scattered, POINTS),
    "factors": (factored, POINTS),
}  # fmt: skip


def compute(lib: Any, case: str, dtype: str) -> dict[str, np.ndarray]:
    """The first three derivatives of a weighted sum, each a gradient of the sum of the one before."""
    function, points = CASES[case]
    x = lib.tensor(points, dtype=getattr(lib, dtype), requires_grad=True)
    out = function(lib, x)
    weights = lib.tensor(np.cos(np.arange(out.numel())), dtype=x.dtype).reshape(out.shape)
    value, found = (out * weights).sum(), {}
    for order in ("first", "second", "third"):
        (slope,) = lib.autograd.grad(value, x, create_graph=True)
        found[order] = np.array([float(one) for one in slope.detach()], dtype)
        value = (slope * lib.tensor(np.sin(1.0 + np.arange(len(points))), dtype=x.dtype)).sum()
        if not value.requires_grad:
            break
    return found


def main() -> None:
    """Store the values."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH):  # PyTorch's own kernels have no gradients of gradients
        stored = {
            f"{dtype}/{case}/{order}": value
            for dtype in ("float32", "float64")
            for case in CASES
            for order, value in compute(torch, case, dtype).items()
        }
    np.savez_compressed(VALUES, **stored)


if __name__ == "__main__":
    main()
