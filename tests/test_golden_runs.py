"""Golden runs: whole trainings whose losses are written here, on every device and in both float types.

Each run starts from weights that follow from a seed, trains 10 epochs, and must give the losses in ``LOSSES``. They
were computed in float64 on the numpy device. Those of all runs but "dropout" (its masks are nnkit's own) were also
computed by PyTorch 2.13 in float64, from the same initial weights and in the same order of samples, and agreed to
1e-15, relative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import nnkit
from nnkit import nn, optim

#: Relative, over 10 epochs: rounding grows with each step.
TOLERANCE = {"float32": 2e-6, "float64": 1e-11}

N = 24
#: Multiples of 1/64, so that float32 holds them exactly.
X = np.round(np.sin(np.arange(N * 4) * 1.7).reshape(N, 4) * 64) / 64
CLASSES = np.where(X[:, 0] > 0.2, 2, np.where(X[:, 1] + X[:, 2] > 0, 1, 0))
VALUES = np.round((X @ [[1.0], [-2.0], [0.5], [0.0]] + np.cos(X[:, 3:])) * 64) / 64
YES = (X[:, :1] * X[:, 1:2] > 0).astype(np.float64)
WEIGHT = 0.5 + np.arange(N) % 4 / 4


class Run(NamedTuple):
    """A training: the model, the targets, how ``fit`` is called, and the optimizer with its options."""

    model: Callable[[], nn.Module]
    target: np.ndarray
    loss: str
    options: dict[str, Any]
    optimizer: Callable[..., optim.Optimizer]
    rates: dict[str, Any]


def layers(*modules: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*[make() for make in modules])


def linear(inputs: int, outputs: int, **options: Any) -> Callable[[], nn.Module]:
    return lambda: nn.Linear(inputs, outputs, **options)


def dropout() -> nn.Module:
    return nn.Dropout(0.25)


RUNS = {
    "classes": Run(
        layers(linear(4, 8), nn.Tanh, linear(8, 3)),
        CLASSES, "cross_entropy", {"batch_size": 10},
        optim.Adam, {"lr": 0.02},
    ),
    "regression": Run(
        layers(linear(4, 6), nn.ReLU, linear(6, 1)),
        VALUES, "mse", {"batch_size": 24, "shuffle": False},
        optim.SGD, {"lr": 0.02, "momentum": 0.9, "nesterov": True},
    ),
    "weighted": Run(
        layers(linear(4, 6, l1=0.001, l2=0.01), nn.GELU, linear(6, 1)),
        YES, "bce_with_logits", {"batch_size": 7, "sample_weight": WEIGHT, "clip_norm": 0.1},
        optim.RMSprop, {"lr": 0.01},
    ),
    "class weights": Run(
        layers(linear(4, 5), nn.SiLU, linear(5, 3)),
        CLASSES, "cross_entropy", {"batch_size": 24, "class_weight": {0: 2.0, 2: 0.5}, "clip_value": 0.05},
        optim.AdamW, {"lr": 0.05, "weight_decay": 0.1},
    ),
    "dropout": Run(
        layers(linear(4, 16), nn.ELU, dropout, linear(16, 3)),
        CLASSES, "cross_entropy", {"batch_size": 8},
        optim.Adam, {"lr": 0.01},
    ),
}  # fmt: skip

LOSSES: dict[str, list[float]] = {
    "classes": [
        1.11124540444, 0.945490436696, 0.824580330229, 0.707467181308, 0.614221263148,
        0.532772000756, 0.469324111169, 0.41304178218, 0.366904082703, 0.320775569052,
    ],
    "regression": [
        3.75908430882, 3.54942024063, 3.27916947689, 2.97246794572, 2.64838419827,
        2.31959599511, 1.98754027193, 1.65052248914, 1.36626131867, 1.21420300295,
    ],
    "weighted": [
        0.603959869332, 0.59488093347, 0.58580244073, 0.590398298522, 0.582255719821,
        0.583155466938, 0.57916539626, 0.58006920095, 0.580888745575, 0.578748880126,
    ],
    "class weights": [
        1.20476402289, 1.13466577017, 1.07496076533, 1.02424911258, 0.979662518705,
        0.936131417705, 0.888844425622, 0.835697446178, 0.777265896183, 0.715800774349,
    ],
    "dropout": [
        1.07900592089, 0.93252276264, 0.877024766965, 0.715144427015, 0.649826839949,
        0.530716760276, 0.508547476219, 0.411642340386, 0.37352596521, 0.330630611547,
    ],
}  # fmt: skip


def losses(run: Run, dtype: str) -> list[float]:
    """Train, and return the loss of each epoch."""
    nnkit.manual_seed(42)
    model = run.model().to(dtype)
    optimizer = run.optimizer(model.parameters(), **run.rates)
    history = model.fit(X, run.target, loss=run.loss, optimizer=optimizer, epochs=10, seed=7, verbose=0, **run.options)
    return history.history["loss"]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", RUNS)
def test_the_losses_are_those_written_here(name: str, dtype: str, device: str) -> None:
    np.testing.assert_allclose(losses(RUNS[name], dtype), LOSSES[name], rtol=TOLERANCE[dtype])
