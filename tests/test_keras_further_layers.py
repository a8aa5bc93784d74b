"""Keras's further layers equal Keras's: outputs that it computed, stored; shapes, files, gradients, noise.

The cases are in ``reference/make_keras_values_layers.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference.make_keras_values_layers import CASES, INPUTS, VALUES, compute

import nnkit
from nnkit.errors import LabelError
from nnkit.keras import layers, models

IDS = [f"{text}-{name}" for text, name in CASES]


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(VALUES) as values:
        return dict(values)


@pytest.mark.parametrize(("text", "name"), CASES, ids=IDS)
def test_outputs_and_weights(text: str, name: str, device: str, stored: dict[str, np.ndarray]) -> None:
    _, weights, outputs = compute(layers, text, name)
    for n, weight in enumerate(weights):
        assert weight.shape == tuple(stored[f"{text} {name} shape {n}"])
    for n, output in enumerate(outputs):
        expected = stored[f"{text} {name} output {n}"]
        assert output.shape == expected.shape
        np.testing.assert_allclose(output, expected, 1e-4, 1e-5)


@pytest.mark.parametrize(("text", "name"), CASES, ids=IDS)
def test_configuration_and_shape(text: str, name: str, device: str) -> None:
    layer, weights, outputs = compute(layers, text, name)
    again = type(layer).from_config(layer.get_config())
    x = INPUTS[name]
    again(x)
    assert [weight.shape for weight in again.get_weights()] == [weight.shape for weight in weights]
    known = layer.compute_output_shape((None, *x.shape[1:]))
    if isinstance(known[0], tuple):
        known = known[0]
    assert tuple(known[1:]) == outputs[0].shape[1:]


@pytest.mark.parametrize("text", [
    "L.Permute((2, 1))", "L.RNN([L.LSTMCell(4), L.GRUCell(2)], return_sequences=True)", "L.GaussianNoise(0.1)",
    "L.EinsumDense('abc,cd->abd', (None, 5), bias_axes='d')", "L.PReLU()", "L.AdaptiveMaxPooling1D(2)",
])  # fmt: skip
def test_models_with_them_train_and_are_saved(text: str, device: str, tmp_path: Path) -> None:
    model = models.Sequential([layers.Input((5, 3)), eval(text, {"L": layers}), layers.Flatten(), layers.Dense(2)])
    model.compile("sgd", "mse")
    x, y = np.tile(INPUTS["seq"], (3, 1, 1)), np.ones((6, 2), np.float32)
    first = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=3, verbose=0)
    assert model.evaluate(x, y, verbose=0) < first
    model.save(tmp_path / "model.nnkit")
    again = models.load_model(tmp_path / "model.nnkit")
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), 1e-6)


def test_masks_in_rnn(device: str) -> None:
    """Steps that do not count leave the states: as the layer of the same weights."""
    x = INPUTS["seq"].copy()
    x[0, 3:] = 0.0
    cell = layers.RNN(layers.LSTMCell(4), return_sequences=True)
    layer = layers.LSTM(4, return_sequences=True)
    one, two = (models.Sequential([layers.Input((5, 3)), layers.Masking(), part]) for part in (cell, layer))
    one.set_weights(two.get_weights())
    np.testing.assert_allclose(one.predict(x, verbose=0), two.predict(x, verbose=0), 1e-5, 1e-6)


def test_a_cell_of_ones_own(device: str) -> None:
    class Sum(layers.Layer):
        state_size = 3

        def call(self, inputs: Any, states: Any) -> Any:
            total = states[0] + inputs
            return total, [total]

    x = nnkit.tensor(INPUTS["seq"])
    np.testing.assert_allclose(layers.RNN(Sum(), return_sequences=True)(x).numpy(), x.cumsum(1).numpy(), 1e-6)


def test_stateful_rnn(device: str) -> None:
    layer = layers.RNN(layers.GRUCell(2), stateful=True)
    x = nnkit.tensor(INPUTS["seq"])
    first, second = layer(x), layer(x)
    assert not np.allclose(first.detach().numpy(), second.detach().numpy())
    layer.reset_state()
    np.testing.assert_array_equal(layer(x).detach().numpy(), first.detach().numpy())


@pytest.mark.parametrize("text", ["L.GaussianNoise(0.5)", "L.GaussianDropout(0.2)", "L.AlphaDropout(0.2)"])
def test_noise_in_training(text: str, device: str) -> None:
    x = nnkit.randn(2000)
    y = eval(text, {"L": layers})(x, training=True)
    assert not bool((x == y).all())
    assert abs(y.mean().item()) < 0.1
    assert 0.9 < y.std().item() < 1.25


def test_random_images(device: str) -> None:
    x = nnkit.rand(4, 6, 7, 3) * 255.0
    crop = layers.RandomCrop(3, 4)(x, training=True)
    assert crop.shape == (4, 3, 4, 3)
    assert layers.RandomCrop(3, 4)(x).shape == (4, 3, 4, 3)
    bright = layers.RandomBrightness(0.5)(x, training=True)
    assert bright.shape == x.shape and bool((bright >= 0).all()) and bool((bright <= 255).all())
    gray = layers.RandomGrayscale(1.0)(x, training=True)
    np.testing.assert_allclose(gray[..., 0].numpy(), gray[..., 2].numpy())


def test_lookups_of_numbers(device: str) -> None:
    lookup = layers.IntegerLookup()
    lookup.adapt([5, 5, 7, 5, 7, 9])
    assert lookup.get_vocabulary() == [-1, 5, 7, 9]
    assert lookup([[9, 4]]).tolist() == [[3, 0]]
    back = layers.IntegerLookup(vocabulary=[5, 7], invert=True)
    assert back([[1, 2, 0]]).tolist() == [[5, 7, -1]]
    bins = layers.Discretization(num_bins=4)
    bins.adapt(np.arange(100))
    assert np.bincount(bins(np.arange(100)).numpy()).tolist() == [25] * 4
    hashed = layers.Hashing(5, mask_value="")([["a", "b", ""]])
    assert hashed.tolist()[0][2] == 0 and min(hashed.tolist()[0][:2]) >= 1
    crossed = layers.HashedCrossing(7)((np.array(["a", "b"]), np.array([1, 1])))
    assert crossed.shape == (2,)


@pytest.mark.parametrize(("make", "error"), [
    (lambda: layers.Permute((1, 3)), ValueError), (lambda: layers.RepeatVector(0), ValueError),
    (lambda: layers.Lambda(3), TypeError), (lambda: layers.Discretization(), ValueError),
    (lambda: layers.CategoryEncoding(2)([[5]]), LabelError), (lambda: layers.RNN(layers.Dense(2)), ValueError),
    (lambda: layers.GaussianNoise(2.0), ValueError), (lambda: layers.Nonsense, AttributeError),
])  # fmt: skip
def test_what_is_refused(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


def test_an_old_argument_name() -> None:
    assert layers.LeakyReLU(alpha=0.5).negative_slope == 0.5
