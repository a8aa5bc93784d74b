"""The CUDA kernels of softmax and cross-entropy against NumPy's bodies under three schedules, and compiled.

The caller sees to it that there are rows and classes: sizes of 0 reach no kernel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import kernel_checks
import numpy as np
import pytest
from kernel_checks import ARCHITECTURES, results

from nnkit.backends import get
from nnkit.dtypes import as_dtype
from nnkit.kernels.cuda import emulator, rows
from nnkit.kernels.cuda.classification import cross_entropy_step, softmax_grad_step, softmax_step
from nnkit.kernels.cuda.rows import frame
from nnkit.kernels.cuda.texts import Step
from nnkit.testing.bench import TOLERANCES

pytest.importorskip("greenlet", reason="pip install nnkit[test-cuda]: the emulator needs greenlet")

NUMPY = get("numpy")


class Rows(NamedTuple):
    """Rows of classes, as a kernel is asked to take them."""

    B: int
    C: int
    dtype: str = "float32"
    wide: bool = False
    held: bool = True


#: Parts of a warp, a warp, a block; with a last access that some threads do not have; rows that are not held.
CASES = [
    *(Rows(3, C) for C in (1, 31, 32, 33, 1000, 1025)), *(Rows(B, 3) for B in (1, 31, 33, 300)),
    Rows(2, 12, wide=True), Rows(9, 132, wide=True), Rows(1, 1004, wide=True), Rows(2, 33, "float64"),
    Rows(2, 300, "bfloat16"), Rows(2, 20, "float16", wide=True), Rows(1, 1500, held=False),
    Rows(1, 1100, wide=True, held=False), Rows(2, 31, "float64", held=False),
]  # fmt: skip


@pytest.fixture
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Rows:
    """The case, and what it takes for its kernel to be chosen."""
    if not request.param.held:
        hold_nothing(monkeypatch)
    return request.param


def hold_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of any length are read as on a GPU those are which registers do not hold."""
    for name, value in {"WARP_ROW": 0, "BLOCKS": (0,), "LONG": 64}.items():
        monkeypatch.setattr(rows, name, value)


def sample(case: Rows, seed: int = 0, spread: float = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, (case.B, case.C)).astype(as_dtype(case.dtype))


def run(step: Step, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> list[np.ndarray]:
    """What the kernel writes into its outputs."""
    places = range(len(inputs), len(inputs) + len(outputs))
    return results(step.source, step.grid, [*inputs, *outputs, *step.sizes], places)


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    """Within the tolerance of the conformance tests, and that of sixteen-bit numbers."""
    tolerance = (TOLERANCES | {"float16": 2e-3, "bfloat16": 2e-2})[found.dtype.name]
    np.testing.assert_allclose(found.astype("float64"), wanted.astype("float64"), rtol=tolerance, atol=tolerance)


def cross_entropy(case: Rows, z: np.ndarray, labels: np.ndarray, weights: np.ndarray | None) -> list[np.ndarray]:
    """Loss and gradient from the kernel, after a comparison with NumPy's."""
    outputs = [np.full(case.B, 7, z.dtype), np.full(z.shape, 7, z.dtype)]
    given = [z, labels, *([] if weights is None else [weights])]
    step = cross_entropy_step(case.dtype, weights is not None, case.wide, case.B, case.C)
    found = run(step, given, outputs)
    NUMPY.cross_entropy(z, labels, weights, *outputs)
    for one, other in zip(found, outputs, strict=True):
        close(one, other)
    return found


@pytest.mark.parametrize("case", CASES, indirect=True, ids=str)
def test_cross_entropy(case: Rows) -> None:
    labels = np.random.default_rng(1).integers(0, case.C, case.B)
    labels[-1] = case.C - 1
    weights = np.random.default_rng(2).uniform(0, 2, case.B).astype(as_dtype(case.dtype))
    cross_entropy(case, sample(case), labels, weights if case.C != 33 else None)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("case", CASES, indirect=True, ids=str)
def test_softmax_and_its_gradient(case: Rows, log: bool) -> None:
    x, dy = sample(case), sample(case, seed=1)
    y = np.full_like(x, 7)
    (found,) = run(softmax_step(case.dtype, log, case.wide, case.B, case.C), [x], [y])
    NUMPY.softmax(x, log, y)
    close(found, y)
    dx = np.full_like(x, 7)
    (found,) = run(softmax_grad_step(case.dtype, log, case.wide, case.B, case.C), [dy, y], [dx])
    NUMPY.softmax_grad(dy, y, log, dx)
    close(found, dx)


EXTREMES = [Rows(8, 5), Rows(8, 300), Rows(8, 600, held=False)]
inf, nan = np.inf, np.nan


@pytest.mark.parametrize("case", EXTREMES, indirect=True, ids=["warp", "block", "not held"])
def test_large_logits_and_what_is_not_finite_come_out_as_in_numpy(case: Rows) -> None:
    z = sample(case)
    z[0] += 1e4  # neither overflows nor loses the differences
    z[1], z[2] = -1e4, 3e38
    z[3, :-1] = -inf  # one class is not excluded
    z[4, 1], z[5, 2], z[6] = nan, inf, -inf
    z[7, 0], z[7, 1:] = -3e38, -inf  # as low as float32 goes, and lower
    labels = np.array([1, 2, 3, case.C - 1, 0, 0, 0, 0])
    cross_entropy(case, z, labels, None)
    for log in (False, True):
        y = np.full_like(z, 7)
        (found,) = run(softmax_step("float32", log, False, case.B, case.C), [z], [y])
        NUMPY.softmax(z, log, y)
        close(found, y)


def test_a_label_out_of_range_reads_nothing_outside() -> None:
    case = Rows(2, 5)
    step = cross_entropy_step("float32", False, False, *case[:2])
    outputs = [np.zeros(2, "float32"), np.zeros(case[:2], "float32")]
    found = run(step, [sample(case), np.array([-1, 5])], outputs)
    assert np.isfinite(found[0]).all()


@pytest.mark.parametrize("held", [True, False])
def test_a_missing_barrier_is_noticed(held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not held:
        hold_nothing(monkeypatch)
    step = cross_entropy_step("float32", False, False, 1, 300)
    pieces = step.source.text.split("barrier()")
    assert len(pieces) == 3
    for number in (1, 2):
        text = "barrier()".join(pieces[:number]) + "pass" + "barrier()".join(pieces[number:])
        outputs = [np.zeros(1, "float32"), np.zeros((1, 300), "float32")]
        arguments: list[Any] = [sample(Rows(1, 300)), np.zeros(1, "int64"), *outputs, *step.sizes]
        with pytest.raises(emulator.Race):
            emulator.run(step.source._replace(text=text), step.grid, arguments)


@pytest.mark.parametrize("B", [1, 600])
@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("most", [8, 32])
def test_a_frame_covers_its_rows(B: int, width: int, most: int) -> None:
    for C in (4, 8, 252, 256, 260, 1000, 1024, 4096, 32764, 32768, 32772, 100_000):
        shape = frame(B, C, width, most)
        assert shape.threads % 32 == 0 and shape.threads % shape.lanes == 0
        assert shape.held <= most
        if shape.accesses:
            a_round = shape.lanes * width
            assert (shape.accesses - 1) * a_round < C <= shape.accesses * a_round
        else:
            assert C > 1024 * most


#: The speed that the registers are for: 8192 rows of 32768 logits, in one read and one write.
LARGE = cross_entropy_step("float32", False, True, 8192, 32768)
COMPILED = [
    LARGE, cross_entropy_step("float32", True, False, 128, 10), cross_entropy_step("float32", False, False, 64, 50257),
    cross_entropy_step("float64", False, False, 128, 1000), softmax_step("bfloat16", False, True, 64, 1000),
    softmax_step("float32", True, False, 64, 300), softmax_grad_step("float32", False, True, 8192, 16384),
    softmax_grad_step("float32", True, False, 64, 50257),
]  # fmt: skip


@pytest.mark.compiles
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("step", COMPILED, ids=lambda step: step.source.name)
def test_compiled(step: Step, architecture: str) -> None:
    kernel_checks.check_compiled(step.source, architecture)


def test_the_largest_rows_are_read_once() -> None:
    assert LARGE.source.text.count("load4(z") == 8
    assert "while" not in LARGE.source.text
    assert LARGE.source.threads == 1024
