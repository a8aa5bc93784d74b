"""Corners, types that meet, indices and sums of half types equal PyTorch's: stored values, and live ones where it is.

The cases and the functions that run them, for either library, are in ``reference/make_torch_values_ops.py``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from reference.make_torch_values_ops import (
    CORNERS,
    HALVES,
    INDICES,
    MEETINGS,
    TOGETHER,
    VALUES,
    Corner,
    all_values,
    corner,
    half,
    index,
    meeting,
)

import nnkit

TOLERANCE = {"float32": (2e-5, 2e-6), "float64": (1e-7, 1e-12)}
#: Where one library raises an error, and the other need not: op -> the first type and the second operand.
REFUSED_BY_ONE: dict[str, Callable[[str, str], bool]] = {
    "sub": lambda x, y: x == "bool" or y.endswith("bool") or y == "True",  # PyTorch
    "pow": lambda x, y: (x, y) == ("bool", "True"),
    "where": lambda x, y: (x, y) == ("uint8", "-1"),  # a number that the type does not hold
    "clamp": lambda x, y: (x, y) == ("uint8", "-1") or (x == "bool" and y.endswith("bool")),
}
REFUSED_BY_ONE |= dict.fromkeys(("clamp to", "clamp in place"), REFUSED_BY_ONE["clamp"])


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(VALUES) as values:
        return dict(values)


def has_float16(device: str) -> bool:
    """Whether the device has it; the array-API standard does not."""
    try:
        nnkit.zeros(1, dtype="float16", device=device)
    except TypeError:
        return False
    return True


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CORNERS, ids=lambda case: case.name)
def test_corner(case: Corner, dtype: str, device: str, stored: dict[str, np.ndarray]) -> None:
    """Values are PyTorch's; so are gradients wherever PyTorch's are finite."""
    found = corner(nnkit, nnkit.nn, case, dtype, device)
    expected = {what: stored[f"corner/{dtype}/{case.name}/{what}"] for what in found}
    for what, value in found.items():
        right, (relative, absolute) = expected[what], TOLERANCE[dtype]
        assert (value.shape, value.dtype) == (right.shape, right.dtype), what
        counts = np.isfinite(right) | (what == "value")
        np.testing.assert_allclose(value[counts], right[counts], relative, absolute, err_msg=f"{case.name} {what}")


@pytest.mark.parametrize("op", TOGETHER)
def test_types_that_meet(op: str, device: str, stored: dict[str, np.ndarray]) -> None:
    """The type and values of every two types: tensors with axes, without, and Python numbers."""
    wrong, halves = [], has_float16(device)
    for case, dtype, numbers in zip(MEETINGS, stored[f"types/{op}"], stored[f"numbers/{op}"], strict=True):
        if "float16" in f"{case}" and not halves:
            continue
        found, values = meeting(nnkit, op, case)
        if "refused" in (found, dtype) and op in REFUSED_BY_ONE and REFUSED_BY_ONE[op](*case[1:]):
            continue
        if found != dtype or not np.allclose(values, numbers, rtol=1e-3, equal_nan=True):
            wrong.append(f"{case}: expected {dtype} {numbers}, found {found} {values}")
    assert wrong == []


@pytest.mark.parametrize("expression", INDICES)
def test_index(expression: str, device: str, stored: dict[str, np.ndarray]) -> None:
    """What it chooses, the gradient, and the tensor after writing there."""
    for what, value in index(nnkit, expression).items():
        np.testing.assert_array_equal(value, stored[f"index/{expression}/{what}"], err_msg=f"t[{expression}] {what}")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2**-10), ("bfloat16", 2**-7)])
@pytest.mark.parametrize("name", HALVES)
def test_half_types_are_summed_in_float32(
    name: str, dtype: str, tolerance: float, device: str, stored: dict[str, np.ndarray]
) -> None:
    if not has_float16(device):
        pytest.skip("it has no half types")
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    value, right = half(nnkit, nnkit.nn, name, dtype), stored[f"half/{dtype}/{name}"]
    assert value.shape == right.shape
    np.testing.assert_allclose(value, right, rtol=tolerance, err_msg=name)


def test_stored_values_are_what_torch_computes_here(stored: dict[str, np.ndarray]) -> None:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of what the cases are about
        live = all_values(torch, torch.nn)
    assert live.keys() == stored.keys()
    for name, value in live.items():
        if value.dtype.kind == "U":
            assert value.tolist() == stored[name].tolist(), name
        else:
            np.testing.assert_allclose(stored[name], value, 1e-5, 1e-7, err_msg=name)
