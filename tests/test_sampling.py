"""Random draws: moments, the same on every device, generators of their own, new numbers in every replay, refusals."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from captured import replays

import nnkit
from nnkit import Tensor, errors

pytest.mark.usefixtures(replays.__name__)
N = 4000


def filled(method: str, *args: Any, **options: Any) -> Callable[[], Tensor]:
    return lambda: getattr(nnkit.empty(N), method)(*args, **options)


def column(chances: list[float], count: int, again: bool) -> Tensor:
    return nnkit.multinomial(nnkit.tensor([chances] * (N // count)), count, replacement=again).flatten().float()


#: A draw of N numbers, their mean and their variance.
MOMENTS: dict[str, tuple[Callable[[], Tensor], float, float]] = {
    "normal_": (filled("normal_", 1.0, 2.0), 1.0, 4.0),
    "uniform_": (filled("uniform_", -1, 3), 1.0, 16 / 12),
    "uniform_ by name": (filled("uniform_", **{"from": 0.0, "to": 2.0}), 1.0, 4 / 12),
    "bernoulli_": (filled("bernoulli_", 0.3), 0.3, 0.21),
    "exponential_": (filled("exponential_", 2.0), 0.5, 0.25),
    "log_normal_": (filled("log_normal_", 0.0, 0.5), np.exp(0.125), (np.exp(0.25) - 1) * np.exp(0.25)),
    "geometric_": (filled("geometric_", 0.4), 2.5, 0.6 / 0.16),
    "random_": (lambda: nnkit.empty(N, dtype=nnkit.int64).random_(3, 8).float(), 5.0, 2.0),
    "random_ to": (lambda: nnkit.empty(N).random_(5), 2.0, 2.0),
    "bernoulli": (lambda: nnkit.bernoulli(nnkit.full((N,), 0.7)), 0.7, 0.21),
    "poisson": (lambda: nnkit.poisson(nnkit.full((N,), 3.5)), 3.5, 3.5),
    "poisson of many": (lambda: nnkit.poisson(nnkit.full((N,), 70.0)), 70.0, 70.0),
    "normal of tensors": (lambda: nnkit.normal(nnkit.full((N,), 2.0), nnkit.full((N,), 0.5)), 2.0, 0.25),
    "normal of a mean": (lambda: nnkit.normal(nnkit.full((N,), 2.0)), 2.0, 1.0),
    "normal of a std": (lambda: nnkit.normal(1.0, nnkit.full((N,), 2.0)), 1.0, 4.0),
    "normal of a size": (lambda: nnkit.normal(1.0, 2.0, size=(N,)), 1.0, 4.0),
    "randint": (lambda: nnkit.randint(10, (N,)).float(), 4.5, 99 / 12),
    "randint_like": (lambda: nnkit.randint_like(nnkit.empty(N), 2, 4), 2.5, 0.25),
    "multinomial": (lambda: column([1.0, 0.0, 3.0], 1, False), 1.5, 0.75),
    "multinomial again": (lambda: column([1.0, 0.0, 3.0], 8, True), 1.5, 0.75),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_moments(name: str, device: str) -> None:
    """Within five standard errors of the mean; the variance within a tenth."""
    draw, mean, variance = MOMENTS[name]
    drawn = draw()
    values = drawn.numpy().astype("float64")
    assert drawn.shape == (N,) and np.isfinite(values).all()
    assert abs(values.mean() - mean) < 5 * (variance / N) ** 0.5
    assert abs(values.var() - variance) < 0.15 * variance


@pytest.mark.parametrize("name", MOMENTS)
def test_draws_are_those_of_the_reference_backend(name: str, device: str) -> None:
    found = MOMENTS[name][0]().numpy()
    nnkit.set_default_device("numpy")
    nnkit.manual_seed(0)
    np.testing.assert_allclose(found, MOMENTS[name][0]().numpy(), rtol=1e-4, atol=1e-5)


def test_cauchy_numbers_have_their_quartiles(device: str) -> None:
    values = nnkit.empty(N).cauchy_(1.0, 2.0).numpy()
    assert np.abs(np.quantile(values, [0.25, 0.5, 0.75]) - [-1.0, 1.0, 3.0]).max() < 0.3


def test_multinomial_without_replacement_takes_each_place_once(device: str) -> None:
    drawn = nnkit.multinomial(nnkit.tensor([[1.0, 2.0, 0.0, 4.0]] * 500), 3)
    assert drawn.dtype == nnkit.int64 and drawn.shape == (500, 3)
    assert drawn.sort(1).values.unique(dim=0).tolist() == [[0, 1, 3]]
    first = np.bincount(drawn[:, 0].numpy(), minlength=4) / 500
    assert np.abs(first - np.array([1, 2, 0, 4]) / 7).max() < 0.1


#: What takes a generator.
WITH_GENERATOR: dict[str, Callable[[Any], Tensor]] = {
    "rand": lambda g: nnkit.rand(5, generator=g),
    "randn": lambda g: nnkit.randn(5, generator=g),
    "randint": lambda g: nnkit.randint(0, 9, (5,), generator=g),
    "randperm": lambda g: nnkit.randperm(5, generator=g),
    "rand_like": lambda g: nnkit.rand_like(nnkit.empty(5), generator=g),
    "multinomial": lambda g: nnkit.multinomial(nnkit.ones(9), 5, generator=g),
    "normal": lambda g: nnkit.normal(0.0, 1.0, (5,), generator=g),
    "normal_": lambda g: nnkit.empty(5).normal_(generator=g),
    "uniform_": lambda g: nnkit.empty(5).uniform_(generator=g),
    "bernoulli": lambda g: nnkit.bernoulli(nnkit.rand(5), generator=g),
    "exponential_": lambda g: nnkit.empty(5).exponential_(generator=g),
}


@pytest.mark.parametrize("name", WITH_GENERATOR)
def test_a_generator_is_a_stream_of_its_own(name: str, device: str) -> None:
    draw = WITH_GENERATOR[name]
    results = []
    for seed in (7, 7, 8):
        nnkit.manual_seed(0)
        stream = nnkit.Generator(device=device).manual_seed(seed)
        results.append([draw(stream).tolist(), draw(stream).tolist(), nnkit.rand(3).tolist()])
    assert results[0] == results[1] and results[0][0] != results[0][1]
    assert results[0][2] == results[2][2] or name == "bernoulli"


@pytest.mark.parametrize("name", ["randint", "randperm", "multinomial", "normal_", "exponential_", "uniform_"])
def test_a_recorded_draw_is_another_every_time_and_equals_the_plain_one(name: str, device: str, replays: Any) -> None:
    draw = WITH_GENERATOR[name]

    def step(x: Tensor) -> Tensor:
        return draw(None) + x

    results = []
    for function in (step, nnkit.compile(step, fullgraph=True)):
        nnkit.manual_seed(3)
        results.append([function(nnkit.zeros(5)).tolist() for _ in range(4)])
    assert results[0] == results[1]
    assert len({str(values) for values in results[1]}) == 4
    assert len(replays) == 2


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "negative weights": (lambda: nnkit.multinomial(nnkit.tensor([-1.0, 2.0]), 1), errors.ShapeError, "0 or more"),
    "no weights": (lambda: nnkit.multinomial(nnkit.zeros(3), 1), errors.ShapeError, "at least 1 weights above 0"),
    "NaN": (lambda: nnkit.multinomial(nnkit.full((3,), float("nan")), 1), errors.ShapeError, "infinite or NaN"),
    "too many": (lambda: nnkit.multinomial(nnkit.ones(3), 4), errors.ShapeError, "num_samples: expected 1 to 3"),
    "too few weights": (lambda: nnkit.multinomial(nnkit.tensor([1.0, 0.0]), 2), errors.ShapeError, "2 weights above 0"),
    "whole numbers": (lambda: nnkit.multinomial(nnkit.ones(3, dtype="int64"), 1), errors.DtypeError, "float tensor"),
    "a chance of 2": (lambda: nnkit.bernoulli(nnkit.full((2,), 2.0)), errors.ShapeError, "p: expected probabilities"),
    "normal_ of whole numbers": (lambda: nnkit.arange(3).normal_(), errors.DtypeError, "normal_: expected a float"),
    "std below 0": (lambda: nnkit.empty(2).normal_(0, -1), errors.ShapeError, "std: expected 0 or more"),
    "uniform_ backwards": (lambda: nnkit.empty(2).uniform_(1, 0), errors.ShapeError, "to: expected at least"),
    "a leaf": (lambda: nnkit.zeros(2, requires_grad=True).normal_(), errors.GradientError, "a leaf that requires grad"),
    "size beside a mean": (lambda: nnkit.normal(nnkit.ones(2), 1.0, (2,)), errors.ShapeError, "size: expected none"),
    "an empty range": (lambda: nnkit.randint(3, 3, (2,)), errors.ShapeError, "high: expected more than low = 3"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, device: str) -> None:
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=re.escape(message)):
        call()
