"""``nnkit.keras.ops`` against values, types and shapes that Keras computed, stored.

The cases are in ``reference/make_keras_values_ops.py``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference.make_keras_values_ops import ARRAYS, CASES, VALUES, evaluate, plain, types

import nnkit
from nnkit.keras import ops
from nnkit.keras.symbolic import KerasTensor

#: Cases whose result is another type on purpose, and why; see DIFFERENCES.md.
OTHER_TYPES: dict[str, str] = {}


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(VALUES) as values:
        return dict(values)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("text", CASES)
def test_values_types_and_shapes(text: str, device: str, stored: dict[str, np.ndarray]) -> None:
    expected = [stored[key] for key in _keys(text, stored)]
    if not expected:
        pytest.skip("Keras refuses this")
    with np.errstate(all="ignore"):
        found = plain(evaluate(text, ops))
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.shape == theirs.shape
        assert mine.dtype == theirs.dtype
        if theirs.dtype.kind in "fV":
            np.testing.assert_allclose(mine, theirs, 2e-4, 2e-5)
        else:
            np.testing.assert_array_equal(mine, theirs)


def _keys(text: str, stored: dict[str, np.ndarray]) -> list[str]:
    found = []
    while f"{text} #{len(found)}" in stored:
        found.append(f"{text} #{len(found)}")
    return found


def test_types_of_results(stored: dict[str, np.ndarray]) -> None:
    expected = dict(line.rsplit("=", 1) for line in stored["types"].tolist())
    with np.errstate(all="ignore"):
        found = types(ops, lambda dtype: ops.ones(2, dtype))
    assert {key: (found[key], expected[key]) for key in expected if found[key] != expected[key]} == {}
