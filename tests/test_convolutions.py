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
    "single places": (lambda: nn.Conv2d(20, 36, 1), (20, 12, 13)),
    "transposed": (lambda: nn.ConvTranspose2d(16, 8, 3, stride=2), (16, 15, 15)),
    "signals": (lambda: nn.Conv1d(8, 32, 9, padding="same"), (8, 500)),
    "normalized": (lambda: nn.GroupNorm(2, 8), (8, 40, 40)),
    "greatest": (lambda: nn.MaxPool2d(3, 2, 1), (16, 40, 40)),
}


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("name", ["plain", "single places"])
def test_threads_change_no_gradient_of_few_images(name: str, images: int, threads: Callable[[int], None]) -> None:
    make, shape = LAYERS[name]
    nnkit.manual_seed(0)
    layer, x = make().to("numba"), np.random.default_rng(0).normal(size=(images, *shape)).astype(np.float32)
    found = []
    for count in (1, 2, 5):
        threads(count)
        layer.zero_grad()
        given = nnkit.tensor(x, device="numba", requires_grad=True)
        layer(given).square().sum().backward()
        found.append([leaf.grad.tolist() for leaf in (given, *layer.parameters())])  # type: ignore[union-attr]
    assert found[1] == found[0] and found[2] == found[0]


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
from nnkit.testing import images, normalization, pools
for case in (*images.CASES, *pools.CASES, *normalization.CASES):
    case.check(backends.get("numba"))
print("right")
"""


@pytest.mark.long
@pytest.mark.skipif(not target.has("avx512f"), reason="the processor has no wider vectors than AVX2")
def test_images_are_right_with_narrower_vectors() -> None:
    environment = {**os.environ, "NNKIT_VECTORS": "avx2"}
    done = subprocess.run([sys.executable, "-c", CASES], env=environment, capture_output=True, text=True)
    assert done.stdout == "right\n", done.stderr


#: Layers that run together where no gradient is wanted, and the shape of an image.
POOLED: dict[str, tuple[Callable[[], list[nn.Module]], tuple[int, ...]]] = {
    "plain": (lambda: [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)], (1, 28, 28)),
    "by tiles": (lambda: [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)], (16, 14, 14)),
    "odd sizes": (lambda: [nn.Conv2d(3, 5, 3, padding=1), nn.MaxPool2d(2)], (3, 15, 37)),
    "odd sizes by tiles": (lambda: [nn.Conv2d(16, 17, 3, padding=1), nn.GELU(), nn.MaxPool2d((2, 2))], (16, 7, 19)),
    "many rows": (lambda: [nn.Conv2d(2, 9, 5, stride=2), nn.ELU(), nn.MaxPool2d(2, 2)], (2, 90, 80)),
    "groups": (lambda: [nn.Conv2d(4, 6, 3, groups=2), nn.Tanh(), nn.MaxPool2d(2)], (4, 12, 11)),
    "long rows": (lambda: [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2)], (1, 6, 700)),
    "other windows": (lambda: [nn.Conv2d(16, 16, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], (16, 12, 12)),
    "all places": (lambda: [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)], (1, 9, 9)),
}


@pytest.mark.parametrize("name", POOLED)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_pool_together_with_its_convolution_changes_no_number(
    name: str, dtype: str, device: str, threads: Callable[[int], None]
) -> None:
    make, shape = POOLED[name]
    nnkit.manual_seed(0)
    model = nn.Sequential(make()).to(device=device, dtype=dtype)
    x = np.random.default_rng(0).normal(size=(5, *shape)).astype(dtype)
    x[4, 0, 1:3, ::5] = np.nan
    for count in (1, 2):
        threads(count)
        with_gradient = model(nnkit.tensor(x, device=device)).detach().numpy()
        apart = nnkit.tensor(x, device=device)
        for layer in model:
            apart = layer(apart)
        np.testing.assert_array_equal(with_gradient, apart.detach().numpy())
        with nnkit.no_grad():
            np.testing.assert_array_equal(model(nnkit.tensor(x, device=device)).numpy(), with_gradient)
            alone = model(nnkit.tensor(x[1:2], device=device)).numpy()
            np.testing.assert_array_equal(model(nnkit.tensor(x[1], device=device)).numpy(), alone[0])
        if device == "numba":
            np.testing.assert_array_equal(alone[0], with_gradient[1])
        for _ in range(3):
            np.testing.assert_array_equal(model.predict(x), with_gradient)


@pytest.mark.parametrize("channels", [16, 17])
def test_a_recorded_prediction_sees_weights_that_are_changed_in_any_way(channels: int, device: str) -> None:
    nnkit.manual_seed(0)
    layer = nn.Conv2d(channels, channels, 3, padding=1, device=device)
    x = np.random.default_rng(0).normal(size=(1, channels, 8, 8)).astype(np.float32)

    def check() -> np.ndarray:
        found = layer.predict(x)
        with nnkit.no_grad():
            np.testing.assert_array_equal(found, layer(nnkit.tensor(x, device=device)).numpy())
        return found

    last = [check() for _ in range(4)][-1]
    with nnkit.no_grad():
        layer.weight.mul_(2.0)
    assert not np.array_equal(check(), last)
    last = check()
    layer.weight.array[-1, -1, -1, -1] += 1.0  # by memory, which nobody notices
    assert not np.array_equal(check(), last)


def test_modules_with_hooks_run_by_themselves(device: str) -> None:
    for hooked in range(3):
        model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2)).to(device)
        shapes: list[Any] = []
        model[hooked].register_forward_hook(lambda module, args, output, shapes=shapes: shapes.append(output.shape))
        with nnkit.no_grad():
            model(nnkit.zeros(1, 2, 6, 6, device=device))
        assert shapes == [(1, 3, 2, 2) if hooked == 2 else (1, 3, 4, 4)]
