"""Keras's optimizers and schedules: weights after each update equal those that Keras computed, stored.

The cases are in ``reference/make_keras_values_optimizers.py``.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from reference.make_keras_values_optimizers import CASES, SCHEDULES, STEPS, VALUES, gradients, start

import nnkit
from nnkit.keras import layers, models, optimizers
from nnkit.keras.optimizers import schedules


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(VALUES) as values:
        return dict(values)


def made(text: str) -> Any:
    """The optimizer of a case, for new weights; and these."""
    weights = [nnkit.Parameter(nnkit.tensor(w)) for w in start()]
    optimizer = eval(text, dict(vars(optimizers)))
    optimizer.build(weights)
    return optimizer, weights


def give(weights: list[Any], step: int, device: str) -> None:
    """The gradients of a step."""
    for weight, gradient in zip(weights, gradients(step), strict=True):
        weight.grad = nnkit.tensor(gradient, device=weight.device)


@pytest.mark.parametrize("text", CASES)
def test_weights_after_each_update(text: str, device: str, stored: dict[str, np.ndarray]) -> None:
    optimizer, weights = made(text)
    for step in range(STEPS):
        give(weights, step, device)
        optimizer.step()
        for n, weight in enumerate(weights):
            np.testing.assert_allclose(
                weight.detach().numpy(), stored[f"{text} {step} {n}"], 2e-5, 2e-6, err_msg=f"{step} {n}"
            )
    if optimizer.use_ema:
        optimizer.finalize_variable_values(weights)
        for n, weight in enumerate(weights):
            np.testing.assert_allclose(weight.detach().numpy(), stored[f"{text} end {n}"], 2e-5, 2e-6)


@pytest.mark.parametrize("text", CASES)
def test_a_recorded_step_is_the_same_to_the_bit(text: str, device: str) -> None:
    if "Lamb" in text or "Adafactor" in text or "schedules" in text:
        pytest.skip("a step of ops, or a rate that Python computes: it runs plainly in fit")

    def run(recorded: bool) -> list[np.ndarray]:
        optimizer, weights = made(text)
        factor = nnkit.tensor([0.25])

        def update(x: Any) -> Any:
            optimizer.zero_grad()
            loss = sum(((w * x) ** 2).sum() for w in weights) + (weights[0] * x).sum()
            loss.backward()
            optimizer.step()
            return loss

        step = nnkit.compile(update) if recorded else update
        for _ in range(STEPS):
            step(factor)
            factor = factor + 0.25
        return [np.array(w.detach().numpy()) for w in weights]

    for plain, replayed in zip(run(False), run(True), strict=True):
        np.testing.assert_array_equal(plain, replayed)


@pytest.mark.parametrize("text", CASES)
def test_copies_go_on_alike(text: str, device: str) -> None:
    config = optimizers.serialize(made(text)[0])
    assert optimizers.serialize(optimizers.deserialize(config)) == config
    assert pickle.loads(pickle.dumps(eval(text, dict(vars(optimizers))))).get_config() == config["config"]


@pytest.mark.parametrize("text", SCHEDULES)
def test_schedules(text: str, stored: dict[str, np.ndarray]) -> None:
    schedule = eval(text, dict(vars(schedules)))
    np.testing.assert_allclose([schedule(step) for step in range(12)], stored[text], 1e-5, 1e-7)
    again = schedules.deserialize(schedules.serialize(schedule))
    assert [again(step) for step in range(12)] == [schedule(step) for step in range(12)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"use_ema": True, "ema_momentum": 2.0}, {"use_ema": True, "ema_overwrite_frequency": 0},
        {"gradient_accumulation_steps": 1}, {"gradient_accumulation_steps": 0.5},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=list(arguments)[-1]):
        optimizers.SGD(**arguments)


def test_weights_left_out_of_the_decay(device: str) -> None:
    weights = [nnkit.Parameter(nnkit.ones(2)) for _ in range(2)]
    optimizer = optimizers.SGD(0.5, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[weights[1]])
    optimizer.build(weights)
    for weight in weights:
        weight.grad = nnkit.zeros(2)
    optimizer.step()
    assert [weight.tolist() for weight in weights] == [[0.75, 0.75], [1.0, 1.0]]


def test_old_names() -> None:
    for namespace in (optimizers.legacy, optimizers.experimental):
        assert namespace.Adam(lr=0.5).learning_rate == 0.5
    assert optimizers.get("nadam").learning_rate == 0.001


def test_fit_ends_with_the_averages(device: str) -> None:
    x, y = np.ones((8, 2), np.float32), np.ones((8, 1), np.float32)
    found = []
    for settings in ({}, {"use_ema": True, "ema_momentum": 0.5}):
        model = models.Sequential([layers.Input((2,)), layers.Dense(1, kernel_initializer="zeros")])
        model.compile(optimizers.SGD(0.1, **settings), "mse")
        path = []
        if not settings:
            for _ in range(3):
                model.fit(x, y, batch_size=8, epochs=1, verbose=0)
                path.append(model.get_weights()[0])
            found.append(0.25 * path[0] + 0.25 * path[1] + 0.5 * path[2])
        else:
            model.fit(x, y, batch_size=8, epochs=3, verbose=0)
            found.append(model.get_weights()[0])
    np.testing.assert_allclose(found[0], found[1], 1e-5)


@pytest.mark.parametrize("name", ["Lamb", "Adafactor", "Ftrl", "Nadam"])
def test_further_optimizers_in_fit(name: str, device: str) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(64, 4)).astype(np.float32)
    y = x @ np.array([[1.0], [-2.0], [0.5], [0.0]], np.float32)
    model = models.Sequential([layers.Input((4,)), layers.Dense(1)])
    model.compile(optimizers.get({"class_name": name, "config": {"learning_rate": 0.1}}), "mse")
    losses = model.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
