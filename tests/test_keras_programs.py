"""Programs in Keras's words do with ``nnkit.keras`` what they do with Keras: values that Keras 3 on JAX gave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keras_programs import PROGRAMS

from nnkit import keras

FILE = Path(__file__).parent / "reference" / "keras_programs_values.json"
VALUES: dict[str, Any] = json.loads(FILE.read_text())["values"]


@pytest.fixture(autouse=True)
def names_from_the_start() -> Iterator[None]:
    keras.utils.clear_session()
    yield


def same(found: Any, expected: Any, place: str = "") -> None:
    """Equal, numbers to 1e-5 relative."""
    if isinstance(expected, dict):
        assert isinstance(found, dict) and sorted(found) == sorted(expected), f"{place}: {found} for {expected}"
        for name, value in expected.items():
            same(found[name], value, f"{place}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), f"{place}: {found} for {expected}"
        for number, value in enumerate(expected):
            same(found[number], value, f"{place}[{number}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-5, abs=2e-6), place
    else:
        assert found == expected, place


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str, device: str) -> None:
    same(PROGRAMS[name](keras), VALUES[name], name)
