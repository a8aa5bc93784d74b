"""Modules, losses and their gradients equal PyTorch's: stored values everywhere, live ones where torch is installed.

The cases and the function that runs them, for either library, are in ``reference/make_torch_values_nn.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from reference.make_torch_values_nn import (
    ACTIVATIONS,
    DTYPES,
    LOSSES,
    VALUES,
    Case,
    all_values,
    compute,
    compute_network,
    inputs,
)

import nnkit

#: The largest difference from PyTorch: relative, and absolute near 0.
TOLERANCE = {"float32": (2e-5, 2e-6), "float64": (1e-10, 1e-12)}
#: Cases where PyTorch's own float64 kernel uses a constant rounded to float32 (1/6; 1e-12 in a quotient by zero).
ROUNDED_CONSTANTS = ("Hardsigmoid()(x)", "BCELoss(reduction=none)(certain, hits)")


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(VALUES) as values:
        return dict(values)


@pytest.fixture(scope="module")
def given(stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix("input/"): value for name, value in stored.items() if name.startswith("input/")}


def assert_equal(found: Mapping[str, np.ndarray], stored: Mapping[str, np.ndarray], key: str, dtype: str) -> None:
    relative, absolute = TOLERANCE[dtype]
    if key.endswith(ROUNDED_CONSTANTS):
        relative = max(relative, 2.0**-24)
    for what, value in found.items():
        expected = stored[f"{key}/{what}"]
        assert (value.shape, value.dtype) == (expected.shape, np.dtype(dtype)), what
        np.testing.assert_allclose(value, expected, relative, absolute, err_msg=f"{key} {what}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [*ACTIVATIONS, *LOSSES], ids=lambda case: case.name)
def test_module_and_its_gradient(
    case: Case, dtype: str, device: str, given: dict[str, np.ndarray], stored: dict[str, np.ndarray]
) -> None:
    found = compute(nnkit, nnkit.nn, case, given, dtype, device)
    assert_equal(found, stored, f"{dtype}/{case.name}", dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_network_and_all_its_gradients(
    dtype: str, device: str, given: dict[str, np.ndarray], stored: dict[str, np.ndarray]
) -> None:
    found = compute_network(nnkit, nnkit.nn, given, dtype, device)
    assert found.keys() == {"output", "loss", "1.weight", "1.bias", "3.weight", "5.weight", "5.bias"}
    assert_equal(found, stored, f"{dtype}/network", dtype)


def test_stored_values_are_of_the_inputs_in_the_script(given: dict[str, np.ndarray]) -> None:
    assert given.keys() == inputs().keys()


def test_stored_values_are_what_torch_computes_here(
    given: dict[str, np.ndarray], stored: dict[str, np.ndarray]
) -> None:
    torch = pytest.importorskip("torch")
    live = all_values(torch, torch.nn, given, "cpu")
    assert live.keys() == {name for name in stored if not name.startswith("input/")}
    for name, value in live.items():
        relative, absolute = TOLERANCE[name.partition("/")[0]]
        np.testing.assert_allclose(stored[name], value, relative, absolute, err_msg=name)
