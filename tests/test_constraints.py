"""Constraints: what they allow, that training keeps to them, plainly and recorded, and Keras's names and axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from captured import Training, batch, replays, values

import nnkit
from nnkit import keras, nn
from nnkit.keras import layers
from nnkit.recording.compiled import Recorded

pytest.mark.usefixtures(replays.__name__)

W = np.random.default_rng(0).normal(size=(3, 4, 2))


def norms(w: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return np.sqrt((w * w).sum(axis=axes, keepdims=True))


CASES: list[tuple[Any, Callable[[np.ndarray], np.ndarray]]] = [
    (nn.NonNegative(), lambda w: np.maximum(w, 0.0)),
    (nn.MaxNorm(1.0), lambda w: w * np.minimum(norms(w, (1, 2)), 1.0) / (norms(w, (1, 2)) + 1e-7)),
    (nn.MaxNorm(0.5, dim=0), lambda w: w * np.minimum(norms(w, (0,)), 0.5) / (norms(w, (0,)) + 1e-7)),
    (nn.UnitNorm(), lambda w: w / (norms(w, (1, 2)) + 1e-7)),
    (nn.MinMaxNorm(2.0, 2.5), lambda w: w * np.clip(norms(w, (1, 2)), 2.0, 2.5) / (norms(w, (1, 2)) + 1e-7)),
    (
        nn.MinMaxNorm(0.5, 1.0, 0.25, dim=(0, 1)),
        lambda w: w * (0.25 * np.clip(norms(w, (0, 1)), 0.5, 1.0) / (norms(w, (0, 1)) + 1e-7) + 0.75),
    ),
]


@pytest.mark.parametrize(("constraint", "expected"), CASES, ids=[repr(c) for c, _ in CASES])
def test_values(constraint: Any, expected: Callable[[np.ndarray], np.ndarray], device: str) -> None:
    found = constraint(nnkit.tensor(W, nnkit.float64, device))
    np.testing.assert_allclose(found.numpy(), expected(W), 1e-6)


def held(constraint: Any) -> Callable[[], nn.Sequential]:
    def make() -> nn.Sequential:
        model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
        model[0].constraints["weight"] = constraint
        model[2].constraints["bias"] = nn.NonNegative()
        return model

    return make


@pytest.mark.parametrize("constraint", [nn.NonNegative(), nn.MaxNorm(0.5), nn.UnitNorm(), nn.MinMaxNorm(0.25, 0.5)])
def test_a_recorded_step_holds_weights_as_a_plain_one(constraint: Any, device: str, replays: list[Recorded]) -> None:
    left = []
    for compiled in (False, True):
        training = Training(False, model=held(constraint))

        def step(x: nnkit.Tensor, y: nnkit.Tensor, training: Training = training) -> nnkit.Tensor:
            loss = training.plain_step(x, y)["loss"]
            training.model.constrain()
            return loss

        run = nnkit.compile(step) if compiled else step
        losses = [values(run(*batch(number, "labels"))) for number in range(6)]
        left.append([losses, training.left()])
    assert left[0] == left[1] and len(replays) >= 3
    weight = training.model[0].weight.detach()
    np.testing.assert_allclose(weight.numpy(), constraint(weight).numpy(), 1e-5, 1e-6)
    assert training.model[2].bias.min().item() >= 0.0


def test_fit_constrains_and_a_frozen_weight_stays(device: str) -> None:
    model = held(nn.UnitNorm())().to(device)
    model[2].bias.requires_grad_(False)
    nn.init.constant_(model[2].bias, -1.0)
    x, y = (t.numpy() for t in batch(0, "labels", rows=12))
    model.fit(x, y, loss="cross_entropy", epochs=2, batch_size=4, verbose=0)
    np.testing.assert_allclose((model[0].weight.detach() ** 2).sum(dim=1).numpy(), np.ones(6), 1e-5)
    assert model[2].bias.tolist() == [-1.0] * 3


def test_a_new_constraint_reaches_a_recorded_step(device: str) -> None:
    layer = nn.Linear(2, 2).to(device)
    step = nnkit.compile(lambda x: layer.constrain() or x + 1.0)
    x = nnkit.ones(2, device=device)
    for _ in range(3):
        step(x)
    layer.constraints["weight"] = nn.UnitNorm()
    for _ in range(3):
        step(x)
    np.testing.assert_allclose((layer.weight.detach() ** 2).sum(dim=1).numpy(), [1.0, 1.0], 1e-5)


# ---- Keras ----------------------------------------------------------------------------------------------------------

IMAGES = np.random.default_rng(1).normal(size=(8, 6, 6, 2)).astype(np.float32)
ROWS, STEPS = IMAGES.reshape(8, -1), np.arange(32).reshape(8, 4) % 5

KERAS: list[tuple[Callable[[], Any], np.ndarray, str, tuple[int, ...]]] = [
    (lambda: layers.Dense(3, kernel_constraint="unit_norm", bias_constraint="non_neg"), ROWS, "kernel", (0,)),
    (lambda: layers.Conv2D(3, 3, kernel_constraint=keras.constraints.UnitNorm([0, 1, 2])), IMAGES, "kernel", (0, 1, 2)),
    (lambda: layers.DepthwiseConv2D(3, depthwise_constraint=keras.constraints.UnitNorm((0, 1))), IMAGES, "kernel",
     (0, 1)),
    (lambda: layers.Conv2DTranspose(3, 3, kernel_constraint=keras.constraints.UnitNorm([0, 1, 3])), IMAGES, "kernel",
     (0, 1, 3)),
    (lambda: layers.LayerNormalization(gamma_constraint="unit_norm"), IMAGES, "gamma", (0,)),
    (lambda: layers.LSTM(3, recurrent_constraint="unit_norm"), IMAGES[:, 0], "recurrent_kernel", (0,)),
    (lambda: layers.GRU(3, kernel_constraint="unit_norm", bias_constraint="non_neg"), IMAGES[:, 0], "kernel", (0,)),
    (lambda: layers.Embedding(5, 3, embeddings_constraint=keras.constraints.UnitNorm(1)), STEPS, "embeddings", (1,)),
]  # fmt: skip


@pytest.mark.parametrize(("make", "x", "weight", "axes"), KERAS)
def test_layers_of_keras_hold_their_weights(
    make: Callable[[], Any], x: np.ndarray, weight: str, axes: tuple[int, ...]
) -> None:
    layer = make()
    model = keras.Sequential([layer, layers.Flatten(), layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    model.fit(x, np.ones((8, 1), np.float32), epochs=2, batch_size=4, verbose=0)
    found = getattr(layer, weight).detach().numpy()
    np.testing.assert_allclose((found**2).sum(axis=axes), np.ones_like(found.sum(axis=axes)), 1e-5)
    assert any(value for name, value in layer.get_config().items() if name.endswith("_constraint"))
    again = type(layer).from_config(layer.get_config())
    assert repr(again.get_config()) == repr(layer.get_config())


def test_the_projections_of_attention_hold_their_weights() -> None:
    layer = layers.MultiHeadAttention(2, 3, kernel_constraint="unit_norm", bias_constraint="non_neg")
    layer(STEPS[:, :, None] * 1.0, STEPS[:, :, None] * 1.0)
    nn.init.constant_(layer.weights[0], 2.0)
    layer.constrain()
    np.testing.assert_allclose((layer.weights[0].numpy() ** 2).sum(axis=0), np.ones((2, 3)), 1e-5)
    assert layer.get_config()["kernel_constraint"]["class_name"] == "UnitNorm"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("max_norm", {"max_value": 2, "axis": 0}),
        ("MaxNorm", {"max_value": 2, "axis": 0}),
        ("non_neg", {}),
        ("unit_norm", {"axis": 0}),
        ("min_max_norm", {"min_value": 0.0, "max_value": 1.0, "rate": 1.0, "axis": 0}),
    ],
)
def test_names_and_defaults_of_keras(name: str, expected: dict[str, Any]) -> None:
    assert keras.constraints.get(name).get_config() == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.MaxNorm(-1.0), "max_value must be at least 0, got -1.0"),
        (lambda: nn.MinMaxNorm(2.0, 1.0), "expected 0 <= min_value <= max_value, got 2.0 and 1.0"),
        (lambda: nn.MinMaxNorm(rate=2.0), "rate must be from 0 to 1, got 2.0"),
    ],
)
def test_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
