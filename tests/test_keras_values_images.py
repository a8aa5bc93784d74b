"""Keras's layers for images and their gradients equal Keras's: values that it computed in float64, stored.

The cases and the functions that run them are in ``reference/make_keras_values_images.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from reference.make_keras_values_images import MATRICES, VALUES, WARPS, all_cases, compute, key_of, modes, numbers

import nnkit
from nnkit.keras import layers
from nnkit.keras.warping import warped

#: The largest difference from Keras's float64: relative, and absolute near 0.
TOLERANCE = {"float32": (5e-5, 2e-5), "float64": (1e-9, 1e-10)}


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(VALUES) as values:
        return dict(values)


@pytest.fixture(params=TOLERANCE)
def dtype(request: pytest.FixtureRequest) -> Iterator[str]:
    """The type of new tensors."""
    nnkit.set_default_dtype(request.param)
    yield request.param
    nnkit.set_default_dtype("float32")


@pytest.mark.parametrize(("text", "shape"), all_cases(), ids=[key_of(*case) for case in all_cases()])
def test_layer_and_all_its_gradients(
    text: str, shape: tuple[int, ...], dtype: str, device: str, stored: dict[str, np.ndarray]
) -> None:
    for training in modes(text):
        found = compute(layers, text, shape, training)
        key = f"{key_of(text, shape)}/{training}/"
        assert found.keys() == {name.removeprefix(key) for name in stored if name.startswith(key)}
        for name, value in found.items():
            expected = stored[key + name]
            assert value.shape == expected.shape, name
            np.testing.assert_allclose(value, expected, *TOLERANCE[dtype], err_msg=name)


@pytest.mark.parametrize(("fill", "mixing"), WARPS)
def test_affine_maps_of_images(fill: str, mixing: str, dtype: str, device: str, stored: dict[str, np.ndarray]) -> None:
    x = nnkit.tensor(numbers((2, 4, 5, 3), 5), dtype=dtype).permute(0, 3, 1, 2)
    matrix = [nnkit.tensor(list(column), dtype=dtype) for column in zip(*MATRICES, strict=True)]
    found = np.asarray(warped(x, matrix, fill, mixing, 0.5).permute(0, 2, 3, 1))
    np.testing.assert_allclose(found, stored[f"warp {fill} {mixing}"], *TOLERANCE[dtype])
