"""Every primitive, on every device, by the conformance kit that ships with the library."""

from __future__ import annotations

import numpy as np
import pytest

from nnkit import backends
from nnkit.backends.numpy import NumpyBackend
from nnkit.testing import CASES, TOLERANCES, Case, check_backend


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_primitive(device: str, case: Case) -> None:
    case.check(backends.get(device))


def test_the_kit_covers_every_primitive_and_names_each_case_once() -> None:
    assert {case.primitive for case in CASES} >= set(backends.PRIMITIVES)
    assert len({case.id for case in CASES}) == len(CASES)
    assert TOLERANCES["float64"] < TOLERANCES["float32"] < 1e-4


class Broken(NumpyBackend):
    """Each primitive is wrong in its own way: what the kit must notice."""

    name = "broken"

    def matmul(self, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
        super().matmul(x, y, out)
        out *= 1 + 1e-3

    def fill(self, value: float, out: np.ndarray) -> None:
        base = out if out.base is None else out.base
        base[...] = value

    def softmax(self, x: np.ndarray, log: bool, out: np.ndarray) -> None:
        super().softmax(x, log, out)
        x *= 2

    def take_rows(self, x: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
        super().take_rows(x, indices, out)
        x[:1] = 0


def test_the_kit_names_the_primitives_that_are_wrong() -> None:
    with pytest.raises(AssertionError) as caught:
        check_backend(Broken())
    failed = {line.partition(",")[0] for line in str(caught.value).splitlines()[1:]}
    assert "backend 'broken' fails" in str(caught.value)
    built_on_matmul = {"linear", "linear_grad", "half_linear_grad", "recurrence", "recurrence_grad"}
    assert failed == {"matmul", "fill", "softmax", "take_rows", *built_on_matmul}
