"""A training step of three convolutional nets, beside PyTorch's: ``python -m bench.lab.images [plain] [residual] …``.

Adam, cross-entropy, one batch again and again; the libraries take turns, medians and the fastest of each. PyTorch runs
eagerly, and compiled where that works.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import nnkit
from nnkit import nn

THREADS, ROUNDS = 2, 25


def plain(nn: Any) -> Any:
    """conv 1-16, pool, conv 16-32, pool, linear 1568-10."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1568, 10),
    )  # fmt: skip


def residual(nn: Any) -> Any:
    """Three stages of two blocks, 16, 32 and 64 channels, with batch normalization: He et al., 2016."""

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, i: int, o: int, stride: int) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU())
            self.second = nn.Sequential(nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o))
            self.beside = nn.Identity()
            if i != o:
                self.beside = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))
            self.relu = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(self.second(self.first(x)) + self.beside(x))

    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    for i, o, stride in ((16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)):
        layers.append(Block(i, o, stride))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def separable(nn: Any) -> Any:
    """Depthwise-separable convolutions, 32, 64 and 128 channels: Howard et al., 2017."""
    layers = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU()]
    for i, o, stride in ((32, 64, 1), (64, 128, 2)):
        layers += [nn.Conv2d(i, i, 3, stride, 1, groups=i), nn.ReLU(), nn.Conv2d(i, o, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


#: Net -> how it is made, and the shape of a batch.
NETS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "plain": (plain, (64, 1, 28, 28)), "residual": (residual, (32, 3, 32, 32)),
    "separable": (separable, (32, 3, 32, 32)),
}  # fmt: skip


def own_step(make: Callable[[Any], Any], x: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    """nnkit's recorded step."""
    model = make(nn)
    optimizer, loss_of = nnkit.optim.Adam(model.parameters()), nn.CrossEntropyLoss()
    inputs, labels = nnkit.tensor(x), nnkit.tensor(y)

    @nnkit.compile
    def step() -> nnkit.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def torch_step(make: Callable[[Any], Any], x: np.ndarray, y: np.ndarray, compiled: bool) -> Callable[[], Any]:
    """PyTorch's."""
    import torch

    torch.set_num_threads(THREADS)
    model = make(torch.nn)
    optimizer, loss_of = torch.optim.Adam(model.parameters()), torch.nn.CrossEntropyLoss()
    inputs, labels = torch.tensor(x), torch.tensor(y)
    run = torch.compile(model) if compiled else model

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of(run(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def main(names: list[str]) -> None:
    """Measure the nets and print a line for each library."""
    nnkit.set_num_threads(THREADS)
    for name in names or NETS:
        make, shape = NETS[name]
        random = np.random.default_rng(0)
        x, y = random.normal(size=shape).astype(np.float32), random.integers(0, 10, shape[0])
        steps = {"nnkit": own_step(make, x, y), "PyTorch": torch_step(make, x, y, False)}
        try:
            compiled = torch_step(make, x, y, True)
            compiled()
            steps["PyTorch compiled"] = compiled
        except Exception as error:
            print(f"{name}: torch.compile does not work here: {type(error).__name__}")
        seconds: dict[str, list[float]] = {who: [] for who in steps}
        for number in range(ROUNDS + 3):
            for who, step in steps.items():
                before = time.perf_counter()
                step()
                if number >= 3:
                    seconds[who].append(time.perf_counter() - before)
        for who, found in seconds.items():
            middle, least = statistics.median(found) * 1e3, min(found) * 1e3
            print(f"{name:10} {who:17} median {middle:8.2f} ms, fastest {least:8.2f} ms")


if __name__ == "__main__":
    main(sys.argv[1:])
