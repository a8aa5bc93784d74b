"""Recurrent layers, cells and embeddings, and their gradients, equal PyTorch's: stored values, and live ones.

The cases and the function that runs them, for either library, are in ``reference/make_torch_values_sequences.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from reference.make_torch_values_sequences import CASES, VALUES, all_values, compute, key_of

import nnkit

#: The largest difference from PyTorch's float64: relative, and absolute near 0.
TOLERANCE = {"float32": (5e-5, 2e-5), "float64": (1e-9, 1e-11)}


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(VALUES) as values:
        return dict(values)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("text", "run"), CASES, ids=[key_of(*case) for case in CASES])
def test_outputs_states_and_all_gradients(
    text: str, run: Any, dtype: str, device: str, stored: dict[str, np.ndarray]
) -> None:
    found = compute(nnkit, nnkit.nn, text, run, dtype, device)
    key = f"{key_of(text, run)}/"
    assert found.keys() == {name.removeprefix(key) for name in stored if name.startswith(key)}
    for name, value in found.items():
        expected = stored[key + name]
        assert (value.shape, value.dtype) == (expected.shape, np.dtype(dtype)), name
        np.testing.assert_allclose(value, expected, *TOLERANCE[dtype], err_msg=name)


def test_stored_values_are_what_torch_computes_here(stored: dict[str, np.ndarray]) -> None:
    torch = pytest.importorskip("torch")
    live = all_values(torch, torch.nn)
    assert live.keys() == stored.keys()
    for name, value in live.items():
        np.testing.assert_allclose(stored[name], value, *TOLERANCE["float64"], err_msg=name)
