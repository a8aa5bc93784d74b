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
from nnkit.kernels.cuda import emulator, rows
from nnkit.kernels.cuda.classification import cross_entropy_step, softmax_grad_step, softmax_step
from nnkit.kernels.cuda.rows import frame
from nnkit.kernels.cuda.texts import Step
from nnkit.kernels.cuda.words import host_words
from nnkit.tensors.dtypes import as_dtype
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


#: Parts of a warp, a warp, a block; with a last access that some threads do not have; rows that begin and end between
#: accesses, at each distance from one; rows of which registers do not hold the end.
CASES = [
    *(Rows(3, C) for C in (1, 10, 31, 32, 33, 1000, 1025)), *(Rows(B, 3) for B in (1, 31, 33, 300)),
    Rows(70, 10), Rows(2, 12, wide=True), Rows(9, 132, wide=True), Rows(1, 1004, wide=True), Rows(2, 33, "float64"),
    Rows(2, 300, "bfloat16"), Rows(2, 20, "float16", wide=True), *(Rows(5, C, wide=True) for C in (257, 514, 1027)),
    Rows(4, 301, "float16", wide=True), Rows(4, 259, "float64", wide=True), Rows(1, 1500, held=False),
    Rows(1, 1100, wide=True, held=False), Rows(2, 600, "float64", held=False), Rows(4, 257, wide=True, held=False),
    Rows(4, 259, wide=True, held=False), Rows(5, 1539, wide=True, held=False), Rows(2, 514, "bfloat16", True, False),
    Rows(4, 517, "float64", True, False),
]  # fmt: skip


@pytest.fixture
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Rows:
    """The case, and what it takes for its kernel to be chosen."""
    if not request.param.held:
        hold_little(monkeypatch)
    return request.param


def hold_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rows from 257 elements on, registers hold 256, from 513 on 512, as of longer ones on a GPU."""
    for name, value in {"FEW_ROWS": 0, "BLOCKS": (64, 128), "HOLDING": (64, 128)}.items():
        monkeypatch.setattr(rows, name, value)
    for held in (rows.HELD, rows.HELD_OF_TWO):
        for dtype in held:
            monkeypatch.setitem(held, dtype, rows.Held(4, 4, 1024))


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


def test_the_fast_exponential_is_as_near_as_it_is_said_to_be() -> None:
    fast = host_words("float32")["fast_exponential"]
    x = np.linspace(-87, 88, 5001, dtype="float32")
    error = np.abs(np.array([fast(v) for v in x], "float64") / np.exp(x.astype("float64")) - 1)
    assert np.all(error <= 2.0**-22 + np.abs(x) * 2.0**-23)
    assert host_words("float64")["fast_exponential"](-3.25) == np.exp(-3.25)


EXTREMES = [
    Rows(9, 5),
    Rows(9, 300),
    Rows(9, 301, wide=True),
    Rows(9, 600, held=False),
    Rows(9, 603, "float32", True, False),
]
inf, nan = np.inf, np.nan


@pytest.mark.parametrize("case", EXTREMES, indirect=True, ids=["warp", "block", "edges", "not held", "both"])
def test_large_logits_and_what_is_not_finite_come_out_as_in_numpy(case: Rows) -> None:
    z = sample(case)
    z[0] += 1e4  # neither overflows nor loses the differences
    z[1], z[2] = -1e4, 3e38
    z[3, :-1] = -inf  # one class is not excluded
    z[4, 1], z[5, 2], z[6] = nan, inf, -inf
    z[7, 0], z[7, 1:] = -3e38, -inf  # as low as float32 goes, and lower
    z[8, 0], z[8, -1] = -inf, nan  # where a row begins and ends
    labels = np.array([1, 2, 3, case.C - 1, 0, 0, 0, 0, case.C - 1])
    cross_entropy(case, z, labels, None)
    for log in (False, True):
        y = np.full_like(z, 7)
        (found,) = run(softmax_step("float32", log, case.wide, case.B, case.C), [z], [y])
        NUMPY.softmax(z, log, y)
        close(found, y)


@pytest.mark.parametrize("case", [Rows(2, 5), Rows(2, 301, wide=True)], ids=str)
def test_a_label_out_of_range_counts_as_the_nearest_one(case: Rows) -> None:
    z = sample(case)
    step = cross_entropy_step("float32", False, case.wide, *case[:2])
    outputs = [np.zeros(2, "float32"), np.zeros(case[:2], "float32")]
    found = run(step, [z, np.array([-1, case.C])], outputs)
    for one, other in zip(found, cross_entropy(case, z, np.array([0, case.C - 1]), None), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("held", [True, False])
def test_a_missing_barrier_is_noticed(held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not held:
        hold_little(monkeypatch)
    step = cross_entropy_step("float32", False, False, 1, 300)
    assert step.source.text.count("barrier()") == 1
    outputs = [np.zeros(1, "float32"), np.zeros((1, 300), "float32")]
    arguments: list[Any] = [sample(Rows(1, 300)), np.zeros(1, "int64"), *outputs, *step.sizes]
    with pytest.raises(emulator.Race):
        emulator.run(step.source._replace(text=step.source.text.replace("barrier()", "pass")), step.grid, arguments)


@pytest.mark.parametrize("B", [1, 600])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("held", [rows.HELD["float32"], rows.HELD_OF_TWO["float64"]], ids=str)
def test_a_frame_covers_its_rows(B: int, wide: bool, held: rows.Held) -> None:
    for C in (1, 3, 10, 252, 255, 256, 257, 260, 1000, 1024, 4096, 22_529, 32_764, 32_768, 32_771, 45_057, 100_001):
        shape = frame(B, C, wide, held)
        assert shape.threads % 32 == 0 and shape.threads % shape.lanes == 0
        assert shape.held <= (held.many if shape.threads in rows.HOLDING else held.few)
        assert shape.edges or C % shape.width == 0
        a_round = shape.lanes * shape.width
        if shape.more:  # wherever the row begins, all threads have all accesses
            assert shape.accesses * a_round <= C - 3 * shape.edges
        else:
            assert (shape.accesses - 1) * a_round < C <= shape.accesses * a_round + 3 * shape.edges


#: 8192 rows of 32768 logits: two blocks run on a multiprocessor, so that one computes while memory serves the other.
LARGE = cross_entropy_step("float32", False, True, 8192, 32768)
COMPILED = [
    LARGE, cross_entropy_step("float32", True, False, 128, 10), cross_entropy_step("float32", False, False, 64, 50257),
    cross_entropy_step("float32", False, True, 8192, 50257), cross_entropy_step("bfloat16", False, True, 8192, 32767),
    cross_entropy_step("float64", False, False, 128, 1000), softmax_step("bfloat16", False, True, 64, 1000),
    softmax_step("float32", True, False, 64, 300), softmax_step("float32", True, True, 8192, 32768),
    softmax_grad_step("float32", False, True, 8192, 16384), softmax_grad_step("float32", True, True, 64, 50257),
]  # fmt: skip


@pytest.mark.compiles
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("step", COMPILED, ids=lambda step: step.source.name)
def test_compiled(step: Step, architecture: str) -> None:
    source = step.source
    kernel_checks.check_compiled(source, architecture, registers=65536 // (source.threads * source.blocks))


def test_two_blocks_take_the_largest_rows_on_a_multiprocessor() -> None:
    assert (LARGE.source.threads, LARGE.source.blocks) == (256, 2)
    assert LARGE.source.text.split("top_of")[0].count("load4(z, here + place") == 22
