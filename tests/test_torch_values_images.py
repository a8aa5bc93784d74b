"""The layers of images and their gradients equal PyTorch's: stored values everywhere, live ones where torch is there.

The cases and the function that runs them, for either library, are in ``reference/make_torch_values_images.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from reference.make_torch_values_images import VALUES, all_cases, all_values, compute, key_of

import nnkit

#: The largest difference from PyTorch's float64: relative, and absolute near 0.
TOLERANCE = {"float32": (5e-5, 2e-5), "float64": (1e-9, 1e-11)}


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(VALUES) as values:
        return dict(values)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("text", "shape"), all_cases(), ids=[key_of(*case) for case in all_cases()])
def test_layer_and_all_its_gradients(
    text: str, shape: tuple[int, ...], dtype: str, device: str, stored: dict[str, np.ndarray]
) -> None:
    found = compute(nnkit, nnkit.nn, text, shape, dtype, device)
    key = f"{key_of(text, shape)}/"
    assert found.keys() == {name.removeprefix(key) for name in stored if name.startswith(key)}
    for name, value in found.items():
        expected = stored[key + name]
        assert (value.shape, value.dtype) == (expected.shape, np.dtype(dtype)), name
        np.testing.assert_allclose(value, expected, *TOLERANCE[dtype], err_msg=name)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_stored_values_are_what_torch_computes_here(stored: dict[str, np.ndarray]) -> None:
    torch = pytest.importorskip("torch")
    live = all_values(torch, torch.nn)
    assert live.keys() == stored.keys()
    for name, value in live.items():
        np.testing.assert_allclose(stored[name], value, *TOLERANCE["float64"], err_msg=name)
