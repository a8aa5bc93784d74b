"""Gradients of gradients equal PyTorch's, at corners too: cases in ``reference/make_torch_values_second.py``."""

from __future__ import annotations

import numpy as np
import pytest
from reference.make_torch_values_second import CASES, VALUES, compute

import nnkit

#: The largest difference from PyTorch: relative, and absolute near 0.
TOLERANCE = {"float32": (2e-4, 2e-5), "float64": (1e-9, 1e-11)}


#: What PyTorch 2.13 gets wrong, by differences of its own second: the third derivative of a layer_norm.
WRONG_THERE = {("net", "third")}


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(VALUES) as values:
        return dict(values)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", CASES)
def test_three_orders(case: str, dtype: str, device: str, stored: dict[str, np.ndarray]) -> None:
    found = compute(nnkit, case, dtype)
    for order, value in found.items():
        if (case, order) in WRONG_THERE:
            continue
        expected = stored.get(f"{dtype}/{case}/{order}", np.zeros_like(value))
        np.testing.assert_allclose(value, expected, *TOLERANCE[dtype], err_msg=order)
