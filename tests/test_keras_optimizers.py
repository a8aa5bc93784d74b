"""Keras's optimizers against Keras's formulas, written out in plain Python floats."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit.errors import UnknownNameError
from nnkit.keras import initializers, optimizers
from nnkit.keras.layers import Dense
from nnkit.keras.models import Sequential
from nnkit.keras.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop, schedules

START, STEPS, TOLERANCE = 10.0, 5, 2e-6

Update = Callable[[float, float], float]


def trajectory(optimizer: optimizers.Optimizer, start: float = START, steps: int = STEPS) -> list[float]:
    """The weight after each step on the loss w²/2, whose gradient is w."""
    weight = nnkit.Parameter(nnkit.tensor([start], dtype=nnkit.float64))
    optimizer.build([weight])
    path = []
    for _ in range(steps):
        optimizer.zero_grad()
        (weight * weight / 2).sum().backward()
        optimizer.step()
        path.append(weight.item())
    return path


def expected(updates: Iterator[Update], start: float = START, steps: int = STEPS) -> list[float]:
    """The same path by the formulas below."""
    path = [start]
    for update in (next(updates) for _ in range(steps)):
        path.append(update(path[-1], path[-1]))
    return path[1:]


def sgd(
    rate: float, momentum: float = 0.0, nesterov: bool = False, decay: float = 0.0, wd: float = 0.0
) -> Iterator[Update]:
    velocity, step = 0.0, 0
    while True:
        lr = rate / (1 + decay * step)

        def update(w: float, g: float, lr: float = lr) -> float:
            nonlocal velocity
            w -= w * wd * lr
            velocity = momentum * velocity - lr * g
            return w + (momentum * velocity - lr * g if nesterov else velocity)

        yield update
        step += 1


def adam(rate: float, b1: float, b2: float, eps: float, wd: float = 0.0, amsgrad: bool = False) -> Iterator[Update]:
    m = v = top = 0.0
    t = 0
    while True:
        t += 1
        alpha = rate * math.sqrt(1 - b2**t) / (1 - b1**t)

        def update(w: float, g: float, alpha: float = alpha) -> float:
            nonlocal m, v, top
            w -= w * wd * rate
            m += (g - m) * (1 - b1)
            v += (g * g - v) * (1 - b2)
            top = max(top, v)
            return w - m * alpha / (math.sqrt(top if amsgrad else v) + eps)

        yield update


def rmsprop(
    rate: float, rho: float, momentum: float = 0.0, eps: float = 1e-7, centered: bool = False
) -> Iterator[Update]:
    v = average = velocity = 0.0

    def update(w: float, g: float) -> float:
        nonlocal v, average, velocity
        v = rho * v + (1 - rho) * g * g
        average = rho * average + (1 - rho) * g
        increment = rate * g / math.sqrt(v - (average * average if centered else 0.0) + eps)
        velocity = momentum * velocity + increment
        return w - velocity

    while True:
        yield update


def adagrad(rate: float, total: float, eps: float) -> Iterator[Update]:
    def update(w: float, g: float) -> float:
        nonlocal total
        total += g * g
        return w - rate * g / math.sqrt(total + eps)

    while True:
        yield update


CASES = {
    "sgd": (lambda: SGD(0.1), lambda: sgd(0.1)),
    "sgd with momentum": (lambda: SGD(0.1, momentum=0.9), lambda: sgd(0.1, 0.9)),
    "sgd as in old Keras": (
        lambda: SGD(lr=0.1, decay=0.5, momentum=0.9, nesterov=True),
        lambda: sgd(0.1, 0.9, nesterov=True, decay=0.5),
    ),
    "sgd whose rate enters the momentum": (
        lambda: SGD(schedules.InverseTimeDecay(0.1, 1, 0.5), momentum=0.9),
        lambda: sgd(0.1, 0.9, decay=0.5),
    ),
    "sgd with decoupled weight decay": (
        lambda: SGD(0.1, momentum=0.9, weight_decay=0.5),
        lambda: sgd(0.1, 0.9, wd=0.5),
    ),
    "adam, where epsilon-hat shows": (lambda: Adam(0.5, epsilon=1.0), lambda: adam(0.5, 0.9, 0.999, 1.0)),
    "adam's defaults": (lambda: Adam(), lambda: adam(0.001, 0.9, 0.999, 1e-7)),
    "amsgrad": (lambda: Adam(0.5, beta_2=0.5, amsgrad=True), lambda: adam(0.5, 0.9, 0.5, 1e-7, amsgrad=True)),
    "adamw's defaults": (lambda: AdamW(0.5), lambda: adam(0.5, 0.9, 0.999, 1e-7, wd=0.004)),
    "rmsprop, eps under the root": (lambda: RMSprop(0.5, epsilon=1.0), lambda: rmsprop(0.5, 0.9, eps=1.0)),
    "rmsprop with everything": (
        lambda: RMSprop(0.5, rho=0.5, momentum=0.9, centered=True, epsilon=0.1),
        lambda: rmsprop(0.5, 0.5, 0.9, 0.1, centered=True),
    ),
    "adagrad": (lambda: Adagrad(0.5, epsilon=1.0), lambda: adagrad(0.5, 0.1, 1.0)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_updates_are_keras_formulas(case: str, device: str) -> None:
    optimizer, formula = CASES[case]
    assert trajectory(optimizer()) == pytest.approx(expected(formula()), rel=TOLERANCE)


def test_the_example_of_the_rmsprop_documentation() -> None:
    assert trajectory(RMSprop(learning_rate=0.1), steps=1) == pytest.approx([9.683772], abs=1e-6)


@pytest.mark.parametrize(
    "rate", [{"lr": 0.05, "decay": 0.5}, {"learning_rate": schedules.InverseTimeDecay(0.05, 1, 0.5)}]
)
def test_fit_follows_decay_and_schedules(rate: dict[str, Any], device: str) -> None:
    """Two fits of three epochs of two steps, on the loss w², whose gradient is 2w; the steps are counted through."""
    model = Sequential([Dense(1, use_bias=False, input_dim=1, kernel_initializer=initializers.Constant(START))])
    model.compile(SGD(momentum=0.9, **rate), "mse")
    x, y = np.ones((4, 1)), np.zeros((4, 1))
    for _ in range(2):
        model.fit(x, y, batch_size=2, epochs=3, verbose=0)
    path = [START]
    for update in itertools.islice(sgd(0.05, 0.9, decay=0.5), 12):
        path.append(update(path[-1], 2 * path[-1]))
    assert model.get_weights()[0].item() == pytest.approx(path[-1], rel=1e-4)
    assert model.optimizer is not None and model.optimizer.learning_rate == pytest.approx(0.05 / 7)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "gradients"),
    [
        ({"clipvalue": 2.0}, ([2.0, 2.0], [-1.0])),
        ({"clipnorm": 2.5}, ([1.5, 2.0], [-1.0])),
        ({"global_clipnorm": 13**0.5}, ([3 / 2**0.5, 4 / 2**0.5], [-1 / 2**0.5])),
    ],
)
def test_clipping(options: dict[str, float], gradients: tuple[list[float], list[float]], device: str) -> None:
    """Clipping each element, each weight's norm, and the norm of all: here (3, 4) and -1, of norms 5, 1 and √26."""
    first, second = nnkit.Parameter(nnkit.zeros(2)), nnkit.Parameter(nnkit.zeros(1))
    optimizer = SGD(1.0, **options)  # type: ignore[arg-type]
    optimizer.build([first, second])
    (first[0] * 3.0 + first[1] * 4.0 - second[0]).backward()
    optimizer.step()
    assert [-x for x in first.tolist()] == pytest.approx(gradients[0], rel=1e-5)
    assert [-x for x in second.tolist()] == pytest.approx(gradients[1], rel=1e-5)


def test_learning_rate_can_be_read_and_set() -> None:
    optimizer = SGD(0.5)
    assert optimizer.learning_rate == optimizer.lr == 0.5
    trajectory(optimizer, steps=1)
    optimizer.learning_rate = 0.25
    assert optimizer.param_groups[0]["lr"] == optimizer.learning_rate == 0.25


def test_a_schedule_is_followed_and_cannot_be_set() -> None:
    optimizer = SGD(schedules.PiecewiseConstantDecay([1], [0.5, 0.125]))
    assert trajectory(optimizer, start=1.0, steps=3) == [0.5, 0.25, 0.21875]
    assert optimizer.iterations == 3
    with pytest.raises(TypeError, match="follows a learning-rate schedule"):
        optimizer.learning_rate = 0.1


def test_cosine_decay_with_warmup() -> None:
    schedule = schedules.CosineDecay(0.0, decay_steps=4, alpha=0.5, warmup_target=1.0, warmup_steps=2)
    assert [schedule(step) for step in (0, 1, 2, 4, 6, 9)] == pytest.approx([0.0, 0.5, 1.0, 0.75, 0.5, 0.5])


def test_staircases() -> None:
    assert schedules.ExponentialDecay(1.0, 10, 0.5, staircase=True)(19) == 0.5
    assert schedules.InverseTimeDecay(1.0, 10, 1.0, staircase=True)(19) == 0.5


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(0.1, 0.9, True, clipnorm=1.0),
        Adam(schedules.ExponentialDecay(0.1, 10, 0.5)),
        AdamW(weight_decay=0.1),
        RMSprop(rho=0.5),
        Adagrad(epsilon=0.5),
    ],
)
def test_config_rebuilds_the_optimizer(optimizer: optimizers.Optimizer) -> None:
    config = {"class_name": type(optimizer).__name__, "config": optimizer.get_config()}
    again = optimizers.get(config)
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optimizers.get("adm"), UnknownNameError, "did you mean 'adam'"),
        (lambda: SGD(learning_rat=0.1), TypeError, "no argument 'learning_rat'"),
        (lambda: SGD(-0.1), ValueError, "learning_rate must be a number, 0 or larger"),
        (lambda: SGD("fast"), ValueError, "learning_rate must be a number"),
        (lambda: SGD(momentum=1.5), ValueError, "momentum must be a number from 0 to 1"),
        (lambda: SGD(clipnorm=1.0, clipvalue=1.0), ValueError, "only one of clipnorm"),
        (lambda: SGD(lambda: 0.1, decay=0.1), ValueError, "exclude each other"),
        (lambda: SGD(decay=-1.0), ValueError, "decay must be a number, 0 or larger"),
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), ValueError, "decay_steps must be larger than 0"),
        (lambda: schedules.PiecewiseConstantDecay([1], [1.0]), ValueError, "one entry more than boundaries"),
    ],
)
def test_refusals(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_an_optimizer_serves_one_model() -> None:
    optimizer = SGD()
    optimizer.build([nnkit.Parameter(nnkit.zeros(1))])
    with pytest.raises(ValueError, match="was built for other weights"):
        optimizer.build([nnkit.Parameter(nnkit.zeros(1))])
