"""Convolutions whichever way they are made: the threads and the other images of a batch change no number."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.kernels.cpu import target


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = nnkit.get_num_threads()
    yield nnkit.set_num_threads
    nnkit.set_num_threads(before)


#: Layers, with the shape of an image: large enough for several threads; one group, several, and one for each channel.
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "plain": (lambda: nn.Conv2d(8, 24, 3, padding=1), (8, 20, 20)),
    "by tiles": (lambda: nn.Conv2d(16, 24, 3, padding=1), (16, 21, 20)),
    "stride and dilation": (lambda: nn.Conv2d(8, 20, 3, stride=2, dilation=2, padding=2), (8, 33, 31)),
    "groups": (lambda: nn.Conv2d(8, 16, 3, groups=4), (8, 24, 24)),
    "depthwise": (lambda: nn.Conv2d(32, 32, 3, groups=32, padding=1), (32, 24, 24)),
    "transposed": (lambda: nn.ConvTranspose2d(16, 8, 3, stride=2), (16, 15, 15)),
    "signals": (lambda: nn.Conv1d(8, 32, 9, padding="same"), (8, 500)),
    "normalized": (lambda: nn.GroupNorm(2, 8), (8, 40, 40)),
    "greatest": (lambda: nn.MaxPool2d(3, 2, 1), (16, 40, 40)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_threads_and_other_images_change_no_number(name: str, threads: Callable[[int], None]) -> None:
    make, shape = LAYERS[name]
    nnkit.manual_seed(0)
    layer, x = make().to("numba"), np.random.default_rng(0).normal(size=(12, *shape)).astype(np.float32)

    def results() -> list[Any]:
        layer.zero_grad()
        given = nnkit.tensor(x, device="numba", requires_grad=True)
        y = layer(given)
        (y * y).sum().backward()
        return [y.tolist(), given.grad.tolist(), *(p.grad.tolist() for p in layer.parameters())]  # type: ignore[union-attr]

    threads(1)
    expected = results()
    for count in (2, 3, 5):
        threads(count)
        assert results() == expected, f"{count} threads"
    for count in (1, 2):
        threads(count)
        for first, last in ((0, 1), (3, 4), (4, 9)):
            part = layer(nnkit.tensor(x[first:last], device="numba"))
            assert part.tolist() == expected[0][first:last], f"images {first} to {last}, {count} threads"


CASES = """
from nnkit import backends
from nnkit.testing import images
for case in images.CASES:
    case.check(backends.get("numba"))
print("right")
"""


@pytest.mark.long
@pytest.mark.skipif(not target.has("avx512f"), reason="the processor has no wider vectors than AVX2")
def test_images_are_right_with_narrower_vectors() -> None:
    environment = {**os.environ, "NNKIT_VECTORS": "avx2"}
    done = subprocess.run([sys.executable, "-c", CASES], env=environment, capture_output=True, text=True)
    assert done.stdout == "right\n", done.stderr
