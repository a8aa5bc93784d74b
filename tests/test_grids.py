"""``grid_sample`` and ``affine_grid``: PyTorch's numbers and gradients, odd places, what is refused, recorded steps."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from reference.make_torch_values_grids import CASES, VALUES, compute, key_of

import nnkit
from nnkit.errors import DtypeError, ShapeError, UnknownNameError
from nnkit.nn import functional as F


@functools.cache
def stored() -> dict[str, np.ndarray]:
    with np.load(VALUES) as values:
        return dict(values)


@pytest.mark.parametrize("case", CASES, ids=key_of)
def test_pytorchs_numbers_and_gradients(case: Any, device: str) -> None:
    found = compute(nnkit, case, "float64")
    for what, value in found.items():
        expected = stored()[f"{key_of(case)}/{what}"]
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-11, err_msg=what)
    low = compute(nnkit, case, "float32")
    np.testing.assert_allclose(low["grid"], stored()[f"{key_of(case)}/grid"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_places_that_are_none(padding: str, dtype: str, device: str) -> None:
    if dtype == "float16" and device == "strict":
        pytest.skip("array-api-strict has no half types")
    image = nnkit.arange(6.0).reshape(1, 1, 2, 3).to(dtype)
    there = [[float("nan"), 0.0], [float("inf"), 0.0], [-float("inf"), float("nan")], [3e4, -3e4]]
    found = F.grid_sample(image, nnkit.tensor([[there]], dtype=dtype), padding_mode=padding)
    assert found.dtype == image.dtype and np.isfinite(found.numpy()).all()
    if padding == "zeros":
        assert not found.numpy().any()


def test_no_images_and_no_places(device: str) -> None:
    assert F.grid_sample(nnkit.zeros(0, 2, 3, 3), nnkit.zeros(0, 4, 5, 2)).shape == (0, 2, 4, 5)
    assert F.grid_sample(nnkit.zeros(1, 2, 3, 3), nnkit.zeros(1, 0, 5, 2)).shape == (1, 2, 0, 5)


REFUSED: dict[str, tuple[Callable[[], Any], Any, str]] = {
    "bicubic": (
        lambda: F.grid_sample(nnkit.zeros(1, 1, 2, 2), nnkit.zeros(1, 1, 1, 2), "bicubic"), UnknownNameError, "mode"
    ),
    "another padding": (
        lambda: F.grid_sample(nnkit.zeros(1, 1, 2, 2), nnkit.zeros(1, 1, 1, 2), padding_mode="x"), UnknownNameError,
        "padding_mode",
    ),
    "two batches": (
        lambda: F.grid_sample(nnkit.zeros(1, 1, 2, 2), nnkit.zeros(2, 1, 1, 2)), ShapeError, "expected images"
    ),
    "three coordinates": (
        lambda: F.grid_sample(nnkit.zeros(1, 1, 2, 2), nnkit.zeros(1, 1, 1, 3)), ShapeError, "expected images"
    ),
    "no pixels": (lambda: F.grid_sample(nnkit.zeros(1, 1, 0, 2), nnkit.zeros(1, 1, 1, 2)), ShapeError, "not empty"),
    "two types": (
        lambda: F.grid_sample(nnkit.zeros(1, 1, 2, 2), nnkit.zeros(1, 1, 1, 2).double()), DtypeError, "one float type"
    ),
    "a map of volumes": (
        lambda: F.affine_grid(nnkit.zeros(1, 3, 4), (1, 1, 2, 2)), ShapeError, "affine_grid: expected"
    ),
    "a map of whole numbers": (
        lambda: F.affine_grid(nnkit.zeros(1, 2, 3).long(), (1, 1, 2, 2)), DtypeError, "of a float type"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, device: str) -> None:
    call, error, said = REFUSED[name]
    with pytest.raises(error, match=said):
        call()


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_a_spatial_transformer_trains_in_recorded_steps(mode: str, device: str) -> None:
    histories = []
    x = nnkit.tensor(np.random.default_rng(0).normal(size=(2, 1, 5, 5)).astype(np.float32))
    for recorded in (False, True):
        nnkit.manual_seed(1)
        net = nnkit.nn.Sequential(nnkit.nn.Flatten(), nnkit.nn.Linear(25, 6))
        optimizer = nnkit.optim.SGD(net.parameters(), lr=0.05)

        def step(x: Any, net: Any = net, optimizer: Any = optimizer) -> Any:
            grid = F.affine_grid(net(x).reshape(-1, 2, 3), x.shape)
            loss = (F.grid_sample(x, grid, mode) - 0.5).square().mean() + net[1].weight.square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = nnkit.compile(step, fullgraph=True) if recorded else step
        histories.append([run(x).item() for _ in range(5)])
    assert histories[0] == histories[1]
