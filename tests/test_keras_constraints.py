"""Keras's constraints and initializers: what Keras makes of the same weights, and how its first weights spread."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
from reference import make_keras_values_constraints as reference

from nnkit import keras


@functools.cache
def stored() -> dict[str, np.ndarray]:
    with np.load(reference.VALUES) as values:
        return dict(values)


@pytest.mark.parametrize("text", reference.CONSTRAINTS)
def test_constraints_give_kerass_weights(text: str, device: str) -> None:
    np.testing.assert_allclose(reference.constrained(keras, text), stored()[text], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("text", reference.INITIALIZERS)
def test_initializers_spread_as_kerass(text: str) -> None:
    """Many numbers of each: their mean and deviation to five of its errors, bounds of those that have bounds."""
    for shape in reference.shapes_of(text):
        mean, deviation, least, greatest, off, square = reference.spread(keras, text, shape)
        expected = stored()[f"{text} {shape}"]
        error = 5.0 * expected[1] / np.prod(shape) ** 0.5 + 1e-6
        assert abs(mean - expected[0]) < 2 * error, shape
        assert abs(deviation - expected[1]) < 2 * error, shape
        if "Uniform" in text or "uniform" in text or text in reference.SEEDED:
            np.testing.assert_allclose([least, greatest], expected[2:4], rtol=2e-3, atol=1e-6)
        elif "Random" not in text and "untruncated" not in text and "Orthogonal" not in text:
            np.testing.assert_allclose([least, greatest], expected[2:4], rtol=2e-2, atol=0.02 * expected[1])
        if "Orthogonal" in text or "Identity" in text:
            assert off < 1e-5 and expected[4] < 1e-5
            np.testing.assert_allclose(square, expected[5], rtol=1e-4)


@pytest.mark.parametrize("text", [*reference.CONSTRAINTS, *reference.INITIALIZERS])
def test_configs_are_kerass(text: str) -> None:
    expected = json.loads(str(stored()["configs"]))[text]
    found = json.loads(json.dumps(reference.configs(keras)[text]))
    for option, value in expected.items():  # an option that is not there is at its default, None
        assert found.get(option) == value, option
