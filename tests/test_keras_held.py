"""``nnkit.keras`` prints, names, averages and refuses as Keras does: against what Keras 3 on JAX did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keras_held import HELD, REFUSALS
from keras_programs import numbers
from test_keras_programs import same

from nnkit import keras

FILE = Path(__file__).parent / "reference" / "keras_held_values.json"
KEPT: dict[str, Any] = json.loads(FILE.read_text())
ERRORS = {"ValueError": ValueError, "TypeError": TypeError, "AttributeError": AttributeError}


@pytest.fixture(autouse=True)
def names_from_the_start() -> Iterator[None]:
    keras.utils.clear_session()
    yield


@pytest.mark.parametrize("name", HELD)
def test_held(name: str, device: str) -> None:
    same(numbers(HELD[name](keras)), KEPT["values"][name], name)


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name: str) -> None:
    act, words = REFUSALS[name]
    with pytest.raises(ERRORS[KEPT["errors"][name]], match=words):
        act(keras)
