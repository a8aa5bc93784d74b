"""Functional models compute what Keras's do: with the same weights the same outputs, losses, histories and names."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from reference import make_keras_values_functional as reference

from nnkit import keras

STORED = np.load(reference.VALUES)


@pytest.mark.parametrize("case", reference.CASES, ids=lambda case: case.__name__)
def test_values_are_keras(case: Any, device: str) -> None:
    found = reference.compute(keras, case)
    told, expected = json.loads(found.pop("told")), json.loads(str(STORED[f"{case.__name__}.told"]))
    for name, value in found.items():
        np.testing.assert_allclose(value, STORED[f"{case.__name__}.{name}"], rtol=2e-4, atol=2e-5, err_msg=name)
    history, of_keras = told.pop("history"), expected.pop("history")
    assert sorted(history) == sorted(of_keras)
    for name, values in history.items():
        np.testing.assert_allclose(values, of_keras[name], rtol=2e-4, atol=2e-6, err_msg=name)
    np.testing.assert_allclose(told.pop("evaluated"), expected.pop("evaluated"), rtol=2e-4, atol=2e-6)
    told["kinds"] = ["Functional" if kind == "Model" else kind for kind in told["kinds"]]
    for names in (told["layers"], expected["layers"]):  # the tensor where a model begins may have any name
        names[:] = ["input" if name.startswith("keras_tensor") else name for name in names]
    assert told == expected
