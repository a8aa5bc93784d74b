"""What PyTorch's ``nn.utils.parametrizations`` compute, stored in ``parametrized_values.npz``.

Every case is run by one function for both libraries, whose names are the same. Run it where PyTorch is installed:
``python tests/reference/make_torch_values_parametrized.py``.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

VALUES = Path(__file__).with_name("parametrized_values.npz")


class Case(NamedTuple):
    """A parametrization by name and options, of the weight of a layer with these arguments."""

    kind: str
    layer: str
    arguments: tuple[Any, ...]
    options: dict[str, Any] = {}  # noqa: RUF012 (never changed)


CASES: dict[str, Case] = {
    **{f"weight_norm {dim}": Case("weight_norm", "Linear", (3, 2), {"dim": dim}) for dim in (0, 1, -1, None)},
    "weight_norm, convolution": Case("weight_norm", "Conv2d", (3, 2, 2)),
    "spectral_norm": Case("spectral_norm", "Linear", (3, 2)),
    "spectral_norm, steps": Case("spectral_norm", "Linear", (3, 4), {"n_power_iterations": 3}),
    "spectral_norm, transposed": Case("spectral_norm", "ConvTranspose1d", (3, 2, 2)),
    "spectral_norm, vector": Case("spectral_norm", "PReLU", (3,)),
    **{
        f"orthogonal, {how}, {n} {k}": Case("orthogonal", "Linear", (n, k), {"orthogonal_map": how})
        for how in ("matrix_exp", "cayley", "householder")
        for n, k in ((3, 3), (4, 2), (2, 4))
    },
    **{
        f"orthogonal, {how}, {n} {k}, plain": Case(
            "orthogonal", "Linear", (n, k), {"orthogonal_map": how, "use_trivialization": False}
        )
        for how in ("matrix_exp", "cayley", "householder")
        for n, k in ((3, 3), (4, 2), (2, 4))
    },
}  # fmt: skip


def _filled(lib: Any, tensor: Any, phase: float) -> None:
    with lib.no_grad():
        values = np.sin(phase + 1.3 * np.arange(tensor.numel())).reshape(tuple(tensor.shape)) + 0.2
        tensor.copy_(lib.tensor(values, dtype=tensor.dtype))


def compute(lib: Any, case: str) -> dict[str, np.ndarray]:
    """The weight, its originals and their gradients; again once the weight was set; and what is left at the end."""
    kind, layer_name, arguments, options = CASES[case]
    parametrize = importlib.import_module(f"{lib.__name__}.nn.utils.parametrize")
    parametrizations = importlib.import_module(f"{lib.__name__}.nn.utils.parametrizations")
    layer = getattr(lib.nn, layer_name)(*arguments, dtype=lib.float64)
    for number, p in enumerate(layer.parameters()):
        _filled(lib, p, 0.5 + number)
    getattr(parametrizations, kind)(layer, **options)
    for number, (name, buffer) in enumerate(layer.named_buffers()):
        if "base" not in name:
            _filled(lib, buffer, 2.0 + number)
    own = layer.parametrizations["weight"]
    _make_base(lib, own[0], layer)
    found = {}
    for turn in ("first", "later"):
        weight = layer.weight
        cosine = lib.tensor(np.cos(np.arange(weight.numel())).reshape(tuple(weight.shape)), dtype=weight.dtype)
        (weight * cosine).sum().backward()
        found[f"{turn}/weight"] = weight.detach().numpy()
        for name, p in layer.named_parameters():
            if p.grad is not None:
                found[f"{turn}/{name}"] = p.grad.numpy().copy()
                p.grad = None
        try:
            layer.weight = lib.tensor(found["first/weight"][::-1].copy() * 0.5, dtype=weight.dtype)
        except NotImplementedError:
            break
        _make_base(lib, own[0], layer)
    for name, buffer in layer.named_buffers():
        found[f"left/{name}"] = buffer.numpy()
    layer.eval()
    parametrize.remove_parametrizations(layer, "weight")
    found["left/weight"] = layer.weight.detach().numpy()
    return {name: np.asarray(value) for name, value in found.items()}


def _make_base(lib: Any, own: Any, layer: Any) -> None:
    """The columns of an orthogonal base that are drawn, replaced by the same in both libraries."""
    base = getattr(own, "base", None)
    if base is not None and layer.weight.shape[0] != layer.weight.shape[1]:
        _filled(lib, base, 3.0)
        with lib.no_grad():
            base.copy_(lib.linalg.qr(base + lib.eye(len(base), dtype=base.dtype))[0])


def main() -> None:
    """Store the values."""
    import torch

    stored = {f"{case}/{name}": value for case in CASES for name, value in compute(torch, case).items()}
    np.savez_compressed(VALUES, **stored)
    print(f"{len(stored)} values of PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
