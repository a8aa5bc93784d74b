"""What nnkit computes, to be compared between processors: results.py FILE writes every array by group and name.

The groups are functions; products apart, what they compute are cases of the tests beside this folder.
"""

from __future__ import annotations

import platform
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import test_golden_runs as runs
import test_random as random
from reference import make_torch_values_images as layers
from reference import make_torch_values_nn as modules
from reference import make_torch_values_optim as steps

import nnkit
from nnkit import nn, optim
from nnkit.datasets import digits
from nnkit.nn import functional

DEVICE, FLOATS = "numba", ("float32", "float64")
Values = dict[str, Any]
#: Rows, outputs and inputs of a layer: one number, odd ones, whole tiles, many columns, and enough for panels.
SIZES = ((1, 1, 1), (5, 33, 31), (37, 23, 100), (64, 64, 784), (3, 1000, 40), (256, 300, 256))


def products() -> Values:
    """A linear layer, its gradients, and a plain product with itself."""
    found = {}
    for dtype in FLOATS:
        for rows, outputs, inputs in SIZES:
            x, weight, bias = (
                nnkit.tensor(numbers(*shape), dtype, requires_grad=True)
                for shape in ((rows, inputs), (outputs, inputs), (outputs,))
            )
            y = functional.gelu(functional.linear(x, weight, bias))
            (y * y).sum().backward()
            parts = {"y": y.detach(), "yy": y.detach() @ y.detach().T}
            parts |= {"dx": x.grad, "dw": weight.grad, "db": bias.grad}
            found |= {f"{dtype} {rows}x{outputs}x{inputs} {name}": part.numpy() for name, part in parts.items()}
    return found


def numbers(*shape: int) -> np.ndarray:
    """Normal numbers, the same for a shape."""
    return np.random.default_rng(shape).normal(size=shape)


def convolutions_and_pools() -> Values:
    """Every layer of images, its output and all gradients."""
    return {
        f"{dtype} {layers.key_of(text, shape)} {name}": value
        for dtype in FLOATS
        for text, shape in layers.all_cases()
        for name, value in layers.compute(nnkit, nn, text, shape, dtype, DEVICE).items()
    }


def activations() -> Values:
    """Every activation and its gradient."""
    return _modules(modules.ACTIVATIONS)


def losses() -> Values:
    """Every loss and its gradient."""
    return _modules(modules.LOSSES)


def _modules(cases: list[modules.Case]) -> Values:
    given = modules.inputs()
    return {
        f"{dtype} {case.name} {name}": value
        for dtype in FLOATS
        for case in cases
        for name, value in modules.compute(nnkit, nn, case, given, dtype, DEVICE).items()
    }


def updates() -> Values:
    """Parameters on the way of every optimizer."""
    return {f"{dtype} {name}": steps.trajectory(nnkit, name, dtype) for dtype in FLOATS for name in steps.OPTIMIZERS}


def random_streams() -> Values:
    """Uniform numbers, whole numbers, orders, masks and initial weights."""
    found = {}
    for seed in random.SEEDS:
        for name, draw in random.DRAWS.items():
            nnkit.manual_seed(seed)
            found[f"{seed} {name}"] = random.values(draw(DEVICE))
    return found


def normal_numbers() -> Values:
    """They pass through logarithms and cosines."""
    nnkit.manual_seed(5)
    return {f"{dtype}": nnkit.randn(1001, dtype=dtype).numpy() for dtype in FLOATS}


def recorded_training() -> Values:
    """The losses of five kinds of small net, and of a convolutional one with what it says of digits afterwards."""
    found = {}
    for dtype in FLOATS:
        found |= {f"{dtype} {name}": np.array(runs.losses(run, dtype)) for name, run in runs.RUNS.items()}
        found[f"{dtype} digits"], said = _digits(dtype)
    return found | {"float64 digits said": said}  # in float32, rounding grows too large in 30 steps of Adam


def _digits(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    nnkit.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2),
        nn.Conv2d(8, 12, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 10),
    ).to(dtype)  # fmt: skip
    (x, y), (held_out, _) = digits.load_data()
    images, held_out = (part.reshape(-1, 1, 8, 8).astype(dtype) for part in (x[:320], held_out[:50]))
    adam = optim.Adam(net.parameters(), lr=0.01)
    history = net.fit(images, y[:320], loss="cross_entropy", optimizer=adam, epochs=3, batch_size=32, verbose=0)
    return np.array(history.history["loss"]), np.asarray(net.predict(held_out))


GROUPS = (
    products, convolutions_and_pools, activations, losses, updates, random_streams, normal_numbers, recorded_training,
)  # fmt: skip


def main(path: str) -> None:
    """Compute all groups."""
    nnkit.set_default_device(DEVICE)
    warnings.filterwarnings("error", ".* it runs without recording")
    found = {}
    for group in GROUPS:
        start = time.monotonic()
        found |= {f"{group.__name__}/{name}": value for name, value in group().items()}
        print(f"{platform.machine()}: {group.__name__}, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    np.savez(path, **found)


if __name__ == "__main__":
    main(sys.argv[1])
