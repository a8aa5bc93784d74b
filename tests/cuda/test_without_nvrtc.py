"""A machine without NVRTC, on which no kernel of CuPy's own runs: the GPU is usable, and a training needs none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from stand_in.machine import Machine

import nnkit
from nnkit import backends, nn, optim
from nnkit.backends import registry

X = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
LABELS = np.arange(30) % 3


@pytest.fixture(autouse=True)
def no_nvrtc(device: str, whole_gpu: Machine) -> Iterator[None]:
    """The GPU is tried when nothing was compiled yet."""
    registry.forget(device)
    whole_gpu.nvrtc = False
    yield
    whole_gpu.nvrtc = True


def test_a_kernel_of_cupy_is_refused_with_what_cupy_says(device: str) -> None:
    import cupy

    assert nnkit.cuda.why_not() is None
    with pytest.raises(ImportError, match="libnvrtc"):
        backends.get(device).asarray(X) + cupy.ones(5, np.float32)


OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "momentum": lambda parameters: optim.SGD(parameters, lr=0.1, momentum=0.9),
    "adam": lambda parameters: optim.Adam(parameters, lr=0.02),
}


def losses(device: str, optimizer: str, half: str | None) -> list[float]:
    """Of a compiled step with everything that one usually has."""
    nnkit.manual_seed(2)
    model = nn.Sequential(nn.Linear(5, 8, activation="relu"), nn.Dropout(0.25), nn.Linear(8, 3)).to(device)
    updates = OPTIMIZERS[optimizer](model.parameters())
    loss_of, scaler = nn.CrossEntropyLoss(), nnkit.GradScaler(enabled=half == "float16")

    @nnkit.compile
    def step(x: nnkit.Tensor, labels: nnkit.Tensor) -> nnkit.Tensor:
        updates.zero_grad()
        with nnkit.autocast(half or "bfloat16", enabled=half is not None):
            loss = loss_of(model(x), labels)
        scaler.scale(loss).backward()
        scaler.step(updates)
        scaler.update()
        return loss

    x, labels = nnkit.tensor(X, device=device), nnkit.tensor(LABELS, device=device)
    return [step(x, labels).item() for _ in range(5)]


@pytest.mark.parametrize("half", [None, "float16", "bfloat16"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_compiled_step_is_that_of_the_cpu(optimizer: str, half: str | None, device: str, whole_gpu: Machine) -> None:
    backends.get(device)  # which is tried now, with a graph of its own
    whole_gpu.counts.clear()
    found = losses(device, optimizer, half)
    assert whole_gpu.counts["cudaGraphLaunch"] == 3
    np.testing.assert_allclose(found, losses("numpy", optimizer, half), rtol=1e-4)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "not compiled": {"compile": False},
    "metrics": {"metrics": ["accuracy"]},
    "validation": {"validation_split": 0.25},
    "weights": {"sample_weight": np.linspace(0.5, 2.0, 30)},
    "float16": {"precision": "float16"},
    "clipping": {"clip_norm": 1.0},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_fit_evaluate_and_predict(options: dict[str, Any], device: str) -> None:
    found = []
    for place in (device, "numpy"):
        nnkit.manual_seed(4)
        model = nn.Sequential(nn.Linear(5, 7, activation="gelu"), nn.Dropout(0.25), nn.Linear(7, 3)).to(place)
        optimizer = optim.Adam(model.parameters(), lr=0.02)
        settings = {"loss": "cross_entropy", "epochs": 2, "batch_size": 8, "verbose": 0, "seed": 3, **options}
        history = model.fit(X, LABELS, optimizer=optimizer, **settings)
        found.append([*history.history["loss"], *model.evaluate(X, LABELS, batch_size=8).values()])
        found[-1] += model.predict(X, batch_size=8).ravel().tolist()
    np.testing.assert_allclose(found[0], found[1], rtol=2e-3, atol=2e-4)
