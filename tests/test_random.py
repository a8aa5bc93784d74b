"""Random numbers: the same on every device, to the bit for uniforms, masks and shuffles; repeatable; never twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.kernels.philox import PURPOSES, uniforms, words
from nnkit.tensors import random

DEVICES = ("numpy", "numba", "strict")
SEEDS = (0, 1, -1, 2**32 + 5, 2**63 - 1, 2**64 - 1)

#: What is drawn on a device. All but normal numbers, which pass through logarithms and cosines, are equal to the bit.
DRAWS: dict[str, Callable[[str], Any]] = {
    "rand": lambda device: nnkit.rand(33, 3, device=device),
    "rand of doubles": lambda device: nnkit.rand(5, dtype="float64", device=device),
    "rand_like": lambda device: nnkit.rand_like(nnkit.zeros(7, device=device)),
    "randint": lambda device: nnkit.randint(-3, 4, (31,), device=device),
    "randperm": lambda device: nnkit.randperm(17, device=device),
    "dropout": lambda device: nnkit.ops.dropout(nnkit.ones(101, device=device), 0.3),
    "initial weights": lambda device: nn.Linear(7, 5, device=device).weight.detach(),
    "host uniforms": lambda device: random.host_uniform((5,)),
    "host normals": lambda device: random.host_normal((5,)),
    "permutation": lambda device: random.permutation(9),
}


def values(drawn: Any) -> np.ndarray:
    return np.asarray(drawn)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_equal_to_the_bit_on_every_device(name: str, seed: int) -> None:
    results = []
    for device in DEVICES:
        nnkit.manual_seed(seed)
        nnkit.rand(3, device=device)  # the second draw, so that the draw number counts too
        results.append(values(DRAWS[name](device)))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other, strict=True)


def test_normal_numbers_are_equal_to_rounding_on_every_device() -> None:
    results = []
    for device in DEVICES:
        nnkit.manual_seed(3)
        results.append(values(nnkit.randn(1000, device=device)))
    for other in results[1:]:
        np.testing.assert_allclose(results[0], other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [*DRAWS, "randn"])
def test_a_seed_repeats_and_every_draw_is_new(name: str, device: str) -> None:
    draw = DRAWS.get(name, lambda device: nnkit.randn(33, device=device))
    nnkit.manual_seed(7)
    first, second = values(draw(device)), values(draw(device))
    nnkit.manual_seed(7)
    np.testing.assert_array_equal(values(draw(device)), first)
    np.testing.assert_array_equal(values(draw(device)), second)
    assert (first != second).any()
    nnkit.manual_seed(8)
    assert (values(draw(device)) != first).any()


def test_a_new_seed_also_reaches_devices_used_before(device: str) -> None:
    nnkit.rand(3)
    nnkit.manual_seed(5)
    assert nnkit.random.initial_seed() == 5
    key = np.array([5, 0], np.int64)
    expected = uniforms(np, words(np, 3, PURPOSES["sample"], key[:1], key[1:]), np.dtype(np.float32))
    np.testing.assert_array_equal(nnkit.rand(3).numpy(), expected)


def test_a_seed_of_64_bits_may_be_signed_or_not(device: str) -> None:
    nnkit.manual_seed(-1)
    first = nnkit.rand(4).tolist()
    nnkit.manual_seed(2**64 - 1)
    assert nnkit.rand(4).tolist() == first


# ---- distributions --------------------------------------------------------------------------------------------------


def test_uniform_and_normal_numbers_have_their_moments(device: str) -> None:
    """Within four standard errors."""
    n = 20_000
    u, z = nnkit.rand(n).numpy(), nnkit.randn(n).numpy()
    assert 0.0 <= u.min() and u.max() < 1.0
    assert abs(u.mean() - 0.5) < 4 * 0.289 / n**0.5
    assert np.isfinite(z).all()
    assert abs(z.mean()) < 4 / n**0.5
    assert abs(z.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs((z**4).mean() - 3) < 4 * (96 / n) ** 0.5


def test_host_normals_have_their_moments() -> None:
    nnkit.manual_seed(0)
    n = 100_000
    z = random.host_normal((n,), mean=2.0, std=3.0)
    assert abs(z.mean() - 2.0) < 4 * 3 / n**0.5
    assert abs(z.std() - 3.0) < 4 * 3 / (2 * n) ** 0.5


def test_whole_numbers_fill_their_range(device: str) -> None:
    drawn = nnkit.randint(-2, 3, (5_000,)).numpy()
    counts = np.bincount(drawn + 2, minlength=5)
    assert set(drawn.tolist()) == {-2, -1, 0, 1, 2}
    assert (abs(counts - 1000) < 4 * (5000 * 0.2 * 0.8) ** 0.5).all()
    assert set(nnkit.randint(2, size=(50,)).tolist()) == {0, 1}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_permutations_are_permutations(count: int) -> None:
    nnkit.manual_seed(0)
    drawn = random.permutation(count)
    assert drawn.dtype == np.int64
    assert sorted(drawn.tolist()) == list(range(count))


def test_every_order_is_equally_likely() -> None:
    counts: dict[tuple[int, ...], int] = {}
    for draw in range(3_000):
        order = tuple(random.permutation(3, seed=1, draw=draw).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert max(abs(count - 500) for count in counts.values()) < 4 * (3000 / 6 * 5 / 6) ** 0.5


def test_a_permutation_of_a_numbered_draw_needs_no_state() -> None:
    first = random.permutation(20, seed=3, draw=11)
    nnkit.manual_seed(99)
    random.permutation(20)
    np.testing.assert_array_equal(random.permutation(20, seed=3, draw=11), first)


def test_preserved_leaves_later_draws_as_they_were(device: str) -> None:
    nnkit.manual_seed(0)
    expected = nnkit.rand(3).tolist(), random.host_uniform((2,)).tolist()
    nnkit.manual_seed(0)
    with random.preserved():
        nnkit.rand(5), nnkit.ops.dropout(nnkit.ones(3), 0.5), random.permutation(4)
    assert (nnkit.rand(3).tolist(), random.host_uniform((2,)).tolist()) == expected


# ---- dropout --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_expectation(p: float, device: str) -> None:
    """The mean of n ones stays 1 within four standard errors; what stays is scaled by 1 / (1 - p)."""
    n = 20_000
    y = nnkit.ops.dropout(nnkit.ones(n), p).numpy()
    assert abs(y.mean() - 1.0) < 4 * (p / (1 - p) / n) ** 0.5
    assert abs((y == 0).mean() - p) < 4 * (p * (1 - p) / n) ** 0.5
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-6)


def test_dropout_of_nothing_and_of_everything(device: str) -> None:
    x = nnkit.tensor([1.0, 2.0], requires_grad=True)
    assert nnkit.ops.dropout(x, 0.0) is x
    y = nnkit.ops.dropout(x, 1.0)
    y.sum().backward()
    assert y.tolist() == [0.0, 0.0]
    assert x.grad is not None and x.grad.tolist() == [0.0, 0.0]


def test_the_gradient_of_dropout_passes_where_values_passed(device: str) -> None:
    x = nnkit.ones(1000, requires_grad=True)
    y = nnkit.ops.dropout(x, 0.25)
    (y * 3.0).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 3.0 * y.detach().numpy(), rtol=1e-6)


def test_the_module_is_imported_by_pytorchs_name() -> None:
    from nnkit.random import fork_rng, manual_seed, seed

    manual_seed(3)
    expected = nnkit.rand(2).tolist()
    manual_seed(3)
    with fork_rng():
        assert nnkit.rand(2).tolist() == expected
    assert nnkit.rand(2).tolist() == expected
    manual_seed(3)
    with fork_rng(enabled=False):
        nnkit.rand(2)
    assert nnkit.rand(2).tolist() != expected
    assert seed() == nnkit.initial_seed() != seed()
