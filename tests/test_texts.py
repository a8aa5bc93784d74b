"""Rows of numbers in JSON: by the compiled kernel the float32 that json and NumPy make of them, or None."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from nnkit.backends.cpu.texts import read_rows, ready

pytestmark = pytest.mark.skipif(not ready(), reason="no kernel can be compiled here")


def by_json(text: bytes) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(json.loads(text)["rows"]).astype(np.float32)


def bits(array: np.ndarray) -> Any:
    return array.view(np.uint32).tolist()


KINDS = {
    "as float32 is written": lambda r: r.standard_normal(400).astype(np.float32).tolist(),
    "as float64 is written": lambda r: r.standard_normal(400).tolist(),
    "small and large": lambda r: (r.standard_normal(400) * 10.0 ** r.integers(-20, 20, 400)).tolist(),
    "pixels": lambda r: (r.integers(0, 256, 400) / 255).round(4).tolist(),
    "whole": lambda r: r.integers(-(10**6), 10**6, 400).tolist(),
    "halves of float32's last place": lambda r: (1 + r.integers(0, 2**23, 400) * 2.0**-23 + 2.0**-24).tolist(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [1, 5, 400])
def test_numbers_are_read_to_the_bit_or_left_to_others(kind: str, columns: int) -> None:
    random = np.random.default_rng(0)
    read = 0
    for _ in range(20):
        text = json.dumps({"rows": np.array(KINDS[kind](random)).reshape(-1, columns).tolist()}).encode()
        found = read_rows(text, columns)
        if found is not None:
            read += 1
            assert bits(found) == bits(by_json(text))
    assert read == (0 if kind.startswith("halves") else 20)


NUMBERS = [
    "0", "1", "-1", "10", "123456789012345678", "0.5", "-0.25", "1e3", "1E3", "1e+3", "1.5e-3", "0.000001", "1e22",
    "3.4e38", "1.2e-37", "16777216", "0.10000000149011612", "1e-40", "0e5", "0.0",
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("form", ['{"rows":[[%s]]}', ' {\n"rows"\t: [ [ %s ] ] }\r\n'])
def test_a_number(number: str, form: str) -> None:
    text = (form % number).encode()
    found = read_rows(text, 1)
    if found is None:
        assert number == "1e-40"  # beyond float32's normal numbers
    else:
        assert bits(found) == bits(by_json(text))


OTHERS = [
    "", "x", "1x", "01", "-", "-0", "-0.0", "+1", ".5", "5.", "1e", "1e+", "1.e5", "--1", "1 2", "1,,2", "1,", ",1",
    "NaN", "Infinity", "-Infinity", "null", "true", '"1"', "[1]", "{}", "1e39", "1e999999999999", "1e-999999999999",
    "1234567890123456789", "0x1", "1_0", "\u0661",
]  # fmt: skip


@pytest.mark.parametrize("inside", OTHERS)
def test_what_is_no_plain_number_is_left_to_others(inside: str) -> None:
    assert read_rows(f'{{"rows":[[{inside}]]}}'.encode(), 1) is None


NO_ROWS = [
    "", "{", '{"rows"', '{"rows":', '{"rows":[', '{"rows":[[', '{"rows":[[1', '{"rows":[[1,', '{"rows":[[1,2',
    '{"rows":[[1,2]', '{"rows":[[1,2]]', '{"rows":[[1,2]]}}', '{"rows":[[1,2]],"x":1}', '{"x":1,"rows":[[1,2]]}',
    '{"rows":[]}', '{"rows":[[]]}', '{"rows":[[1,2],]}', '{"rows":[[1,2],[3]]}', '{"rows":[[1,2,3]]}', '{"rows":[1,2]}',
    '{"rows":[[1,2]]}x', '{"rows":[[1,2] [1,2]]}', '{"rows":[[1,2]]}\0', '{"rows":[[1,\0002]]}', "[[1,2]]",
    '{"rows":[[[1,2]]]}',
]  # fmt: skip


@pytest.mark.parametrize("text", NO_ROWS)
def test_what_is_no_rows_is_left_to_others(text: str) -> None:
    assert read_rows(text.encode(), 2) is None


def test_every_beginning_of_a_text_is_refused() -> None:
    """What is cut off anywhere is never read beyond its end, nor taken for whole."""
    text = json.dumps({"rows": np.random.default_rng(0).standard_normal((3, 4)).tolist()}).encode()
    assert read_rows(text, 4) is not None
    assert all(read_rows(text[:end], 4) is None for end in range(len(text)))


def test_bytes_that_are_damaged_anywhere_are_as_json_says() -> None:
    random = np.random.default_rng(1)
    text = json.dumps({"rows": random.standard_normal((3, 4)).tolist()}).encode()
    for _ in range(3000):
        damaged = bytearray(text)
        damaged[random.integers(len(text))] = random.choice(list(b'0123456789.-+eE,[]{}" \t\nx\0\xff'))
        found = read_rows(bytes(damaged), 4)
        if found is not None:
            assert bits(found) == bits(by_json(bytes(damaged)))
