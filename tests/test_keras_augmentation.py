"""Keras's layers that scale images or change them at random while training: values, repeatability, refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import keras
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.keras import Sequential, layers


@pytest.fixture(autouse=True)
def names_from_the_start() -> Iterator[None]:
    keras.utils.clear_session()
    yield


IMAGES = np.random.default_rng(0).uniform(size=(60, 5, 6, 2)).astype(np.float32)
RANDOM: dict[str, Callable[..., Any]] = {
    "flip": layers.RandomFlip,
    "contrast": lambda **options: layers.RandomContrast(0.5, value_range=(0.2, 0.9), **options),
    "rotation": lambda **options: layers.RandomRotation(0.2, fill_mode="constant", **options),
    "translation": lambda **options: layers.RandomTranslation(0.2, (0.1, 0.3), fill_mode="wrap", **options),
    "zoom": lambda **options: layers.RandomZoom(0.8, interpolation="nearest", **options),
    "zoom of both": lambda **options: layers.RandomZoom((-0.3, 0.1), 0.2, fill_mode="nearest", **options),
}


@pytest.mark.parametrize("name", RANDOM)
def test_changes_are_random_repeat_with_the_seed_and_are_the_same_everywhere(name: str, device: str) -> None:
    layer, first = RANDOM[name](), RANDOM[name](data_format="channels_first")

    def changed(which: layers.Layer, images: np.ndarray) -> np.ndarray:
        keras.utils.set_random_seed(3)
        return np.asarray(which(images, training=True))

    found = changed(layer, IMAGES)
    assert found.shape == IMAGES.shape == layer.compute_output_shape(IMAGES.shape)
    assert 30 < sum((a != b).any() for a, b in zip(found, IMAGES, strict=True)) <= 60
    assert (changed(layer, IMAGES) == found).all()
    assert (np.asarray(layer(IMAGES, training=True)) != found).any()
    swapped = changed(first, IMAGES.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(swapped, found, rtol=1e-5, atol=1e-6)
    assert np.asarray(layer(IMAGES)).tobytes() == IMAGES.tobytes()
    nnkit.set_default_device("numpy")
    np.testing.assert_allclose(changed(RANDOM[name](), IMAGES), found, rtol=1e-4, atol=1e-5)


def test_flips_are_one_of_the_four() -> None:
    for mode, wanted in (("horizontal", 2), ("vertical", 2), ("horizontal_and_vertical", 4)):
        found = np.asarray(layers.RandomFlip(mode)(IMAGES, training=True))
        axes = {"horizontal": [(), (1,)], "vertical": [(), (0,)]}.get(mode, [(), (0,), (1,), (0, 1)])
        kinds = [
            [(a == np.flip(b, axis)).all() for axis in axes].index(True) for a, b in zip(found, IMAGES, strict=True)
        ]
        counts = np.bincount(kinds, minlength=wanted)
        assert len(counts) == wanted and (counts > 60 / wanted / 3).all(), mode


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (lambda: layers.RandomRotation((0.25, 0.25)), np.rot90(IMAGES[:, :, :5], 1, (1, 2))),
        (lambda: layers.RandomRotation((0.5, 0.5)), IMAGES[:, ::-1, :5][:, :, ::-1]),
        (
            lambda: layers.RandomTranslation((0.2, 0.2), (-0.4, -0.4), "wrap"),
            np.roll(IMAGES[:, :, :5], (1, -2), (1, 2)),
        ),
        (lambda: layers.RandomContrast((0.0, 0.0)), IMAGES[:, :, :5]),
        (lambda: layers.RandomZoom((0.0, 0.0)), IMAGES[:, :, :5]),
    ],
)
def test_changes_of_a_known_size(layer: Callable[[], Any], expected: np.ndarray, device: str) -> None:
    """Squares turned counter-clockwise; moved down and to the left; left as they are."""
    found = np.asarray(layer()(IMAGES[:, :, :5], training=True))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_contrast_is_about_the_mean_of_each_channel(device: str) -> None:
    images = IMAGES[:3]
    found = np.asarray(layers.RandomContrast(0.5, (-9, 9))(images, training=True))
    mean = images.mean(axis=(1, 2), keepdims=True)
    factors = (found - mean) / (images - mean)
    np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1, :1, :1], factors.shape), rtol=1e-2)
    assert len(np.unique(factors[:, 0, 0, 0])) == 3 and (0.5 <= factors).all() and (factors <= 1.5).all()


def test_normalization_measures_data(device: str, tmp_path: Path) -> None:
    data = np.random.default_rng(1).normal(3.0, 2.0, (50, 4, 3))
    whole, parts, inverse = layers.Normalization(), layers.Normalization(), layers.Normalization(invert=True)
    whole.adapt(data)
    parts.adapt([data[:20], (data[20:45], None), data[45:]])
    inverse.adapt(nnkit.tensor(data))
    np.testing.assert_allclose(whole.get_weights()[0], data.mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(whole.get_weights()[1], data.var(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(parts.get_weights()[1], data.var(axis=(0, 1)), rtol=1e-5)
    y = whole(data)
    assert np.asarray(y).std(axis=(0, 1)) == pytest.approx(np.ones(3), rel=1e-4)
    np.testing.assert_allclose(np.asarray(inverse(y)), data, rtol=1e-4, atol=1e-5)
    assert whole.count_params() == 7 and not whole.trainable_weights  # Keras counts its counter, too
    model = Sequential([layers.Input((4, 3)), whole, layers.Normalization(mean=1.0, variance=4.0), layers.Flatten()])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.predict(data, verbose=0).tobytes() == model.predict(data, verbose=0).tobytes()


def test_random_layers_in_a_model(device: str, tmp_path: Path) -> None:
    """They are part of training and of files; numbers of 8 bits become floats."""
    model = Sequential(
        [
            layers.Input((5, 6, 2)),
            layers.Rescaling(1 / 255),
            *(make() for make in RANDOM.values()),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    x = (IMAGES * 255).astype(np.uint8)
    losses = model.fit(x, np.arange(60) % 2, epochs=3, batch_size=20, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.predict(x, verbose=0).tobytes() == model.predict(x, verbose=0).tobytes()
    assert again.get_config()["layers"] == model.get_config()["layers"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.RandomFlip("diagonal"), UnknownNameError, "'diagonal'.*vertical"),
        (lambda: layers.RandomRotation(0.1, fill_mode="mirror"), UnknownNameError, "'mirror'.*reflect"),
        (lambda: layers.RandomZoom(0.1, interpolation="cubic"), UnknownNameError, "'cubic'.*bilinear"),
        (lambda: layers.RandomZoom(1.5), ValueError, "height_factor must be a number from -1.0 to 1.0"),
        (lambda: layers.RandomTranslation(0.1, (1, 2, 3)), ValueError, "width_factor must be a number from -1.0 to 1"),
        (lambda: layers.RandomContrast(-0.5), ValueError, "factor must be a number from 0.0 to 1.0"),
        (lambda: layers.RandomFlip()(np.ones((3, 4)), training=True), ShapeError, "height, width, channels"),
        (lambda: layers.Normalization(mean=1.0), ValueError, "give mean and variance, or neither"),
        (lambda: layers.Normalization(mean=1.0, variance=[1.0]), ShapeError, "must have one shape"),
        (lambda: layers.Normalization(mean=1.0, variance=1.0).adapt([[1.0]]), ValueError, "adapt has no use"),
        (lambda: layers.Normalization().adapt([]), ValueError, "adapt needs data"),
    ],
)
def test_refusals(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
