"""The JSON codec of model files: values that come back exactly, and tags that are refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from nnkit.errors import ModelFileError
from nnkit.io.codec import CannotDescribe, decode, dumps, encode


def plain(value: Any, path: tuple[Any, ...]) -> None:
    return None


VALUES: list[Any] = [
    None, True, 0, -(2**80), 0.1, 5e-324, float("inf"), -float("inf"), "", "π\0", [], (), (1, (2, [3])), {},
    {"a": {1: (None,)}, "tuple": [1]}, np.dtype("float32"), np.dtype("bool"),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_as_they_were(value: Any) -> None:
    back = decode(json.loads(dumps(encode(value, plain))), {})
    assert back == value and type(back) is type(value)


def test_numpy_scalars_become_plain_and_nan_survives() -> None:
    assert encode([np.float32(0.5), np.int8(3), np.bool_(True)], plain) == [0.5, 3, True]
    assert np.isnan(decode(encode(float("nan"), plain), {}))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, object()]}, "a.1 is a object"),
        (lambda x: x, "the value is a function"),
        ({"a": {(1, 2): 3}}, r"a has the key \(1, 2\)"),
        ({True: 1}, "has the key True"),
        (1j, "complex"),
        (b"bytes", "bytes"),
        (int, "the value is a type"),
    ],
)
def test_other_values_are_refused_with_their_place(value: Any, message: str) -> None:
    with pytest.raises(CannotDescribe, match=message):
        encode(value, plain)


@pytest.mark.parametrize(
    "node",
    [
        {},
        {"tuple": [1], "list": [1]},
        {"tuple": 1},
        {"dict": {"a": 1}},
        {"dict": [["a"]]},
        {"dict": [[[1], 2]]},
        {"dict": [[True, 2]]},
        {"float": "1e5"},
        {"dtype": "O"},
        {"dtype": "float8"},
        {"dtype": "nnkit.nn.Linear"},
        {"dtype": ["float32"]},
        {"import": "os"},
        {"__class__": "Linear"},
        [{"py/object": "os.system"}],
    ],
    ids=str,
)
def test_unknown_tags_are_refused(node: Any) -> None:
    with pytest.raises(ModelFileError):
        decode(node, {})
