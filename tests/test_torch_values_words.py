"""The words of training scripts give what PyTorch gives: stored values, and live ones where PyTorch is.

The cases are in ``reference/make_torch_values_words.py``: for each, types, values, gradients, and what is refused.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from reference.make_torch_values_words import EXPRESSIONS, all_values, evaluate, read

import nnkit

#: Relative and absolute, by the type of the result.
TOLERANCE = {"float16": (1e-3, 1e-3), "float32": (5e-5, 2e-5), "float64": (1e-6, 1e-6)}


@pytest.fixture(scope="module")
def stored() -> dict[str, dict[str, np.ndarray]]:
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, value in read().items():
        expression, _, what = name.rpartition("|")
        found.setdefault(expression, {})[what] = value
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_word(expression: str, device: str, stored: dict[str, dict[str, np.ndarray]]) -> None:
    if device == "strict" and "half" in expression:
        pytest.skip("it has no half types")
    expected, found = dict(stored[expression]), evaluate(nnkit, expression, device)
    assert found.pop("kinds").tolist() == expected.pop("kinds").tolist()
    assert found.keys() == expected.keys()
    for what, right in expected.items():
        value = found[what]
        assert (value.dtype, value.shape) == (right.dtype, right.shape), what
        if right.dtype.name in TOLERANCE:
            np.testing.assert_allclose(value, right, *TOLERANCE[right.dtype.name], err_msg=what)
        else:
            np.testing.assert_array_equal(value, right, err_msg=what)


def test_stored_values_are_what_torch_computes_here() -> None:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of what the cases are about
        live = all_values(torch)
    kept = read()
    assert live.keys() == kept.keys()
    for name, value in live.items():
        if value.dtype.kind == "U":
            assert value.tolist() == kept[name].tolist(), name
        else:
            np.testing.assert_allclose(kept[name], value, 1e-4, 1e-5, err_msg=name)
