"""A mask at a model's output, and batch normalizations of masked inputs and of each step: Keras's numbers."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from captured import replays
from reference import make_keras_values_masks as reference

import nnkit
from nnkit import keras
from nnkit.keras import layers
from nnkit.keras.masks import mask_of, with_mask

pytest.mark.usefixtures(replays.__name__)


@functools.cache
def stored() -> dict[str, np.ndarray]:
    with np.load(reference.VALUES) as values:
        return dict(values)


def assert_stored(found: dict[str, np.ndarray], prefix: str) -> None:
    for what, value in found.items():
        expected = stored()[f"{prefix}/{what}"]
        np.testing.assert_allclose(value, expected, rtol=2e-5, atol=2e-6, err_msg=what)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", reference.TRAININGS)
def test_a_mask_weighs_losses_and_metrics(name: str, weighted: bool, device: str) -> None:
    assert_stored(reference.train(keras, name, weighted), f"{name}/{weighted}")


@pytest.mark.parametrize("name", reference.NORMALIZED)
def test_batch_normalizations(name: str, device: str) -> None:
    assert_stored(reference.normalize(keras, name), name)


def test_losses_and_metrics_by_hand(device: str) -> None:
    mask = nnkit.tensor([[True, False], [True, True]])
    y, p = nnkit.zeros(2, 2, 1), with_mask(nnkit.tensor([[[1.0], [9.0]], [[2.0], [3.0]]]), mask)
    assert float(keras.losses.MeanSquaredError()(y, p)) == pytest.approx(14 / 3)
    assert float(keras.losses.MeanSquaredError(reduction="sum")(y, p)) == pytest.approx(14)
    assert keras.metrics.MeanAbsoluteError()(y, p) == pytest.approx(2.0)
    nothing = with_mask(p, mask & False)
    assert float(keras.losses.MeanSquaredError()(y, nothing)) == 0.0


def test_outputs_are_plain_outside_of_training(device: str) -> None:
    model = keras.Sequential([layers.Embedding(6, 3, mask_zero=True), layers.Dense(2)])
    assert mask_of(model(reference.WORDS)) is None
    model.compile("sgd", "mse")
    y = np.zeros((4, 4, 2), np.float32)
    model.fit(reference.WORDS, y, verbose=0)
    assert mask_of(model(reference.WORDS)) is None and model.predict(reference.WORDS).shape == (4, 4, 2)


@pytest.mark.filterwarnings("error:.*without recording")
def test_masked_training_is_recorded(device: str, replays: Any) -> None:
    nnkit.manual_seed(0)
    model = keras.Sequential([layers.Embedding(6, 3, mask_zero=True), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    record = model.fit(
        np.tile(reference.WORDS, (4, 1)), np.tile(reference.LABELS, (4, 1)), batch_size=4, epochs=3, verbose=0
    )
    assert record.history["loss"][-1] < record.history["loss"][0]
