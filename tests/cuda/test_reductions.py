"""CUDA reductions: every kernel against NumPy's body under three schedules, NaN as NumPy has it, and compiled.

A reduction takes no size of 0: what a sum of nothing is, the reference body says.
"""

from __future__ import annotations

from typing import Any

import kernel_checks
import numpy as np
import pytest
from kernel_checks import ARCHITECTURES, SIZES, results

from nnkit.backends import get
from nnkit.kernels.cuda import emulator, reductions
from nnkit.kernels.cuda.reductions import KINDS, column_plan, position_step, reduce_plan
from nnkit.kernels.cuda.texts import Plan
from nnkit.tensors.dtypes import as_dtype

pytest.importorskip("greenlet", reason="pip install nnkit[test-cuda]: the emulator needs greenlet")

NUMPY = get("numpy")
#: (A, K, B) for every kernel: a row for a few lanes, a row for a block, a tile of columns; and for two of them in turn.
ONE_STEP = ((40, 5, 1), (2, 300, 1), (2, 12, 5))
TWO_STEPS = ((1, 1100, 1), (1, 700, 3))
RTOL = {"float32": 1e-6, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3, "int64": 0, "bool": 0}


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows from 1024 elements on are split, which on a GPU would be too short for it."""
    monkeypatch.setattr(reductions, "PART", 512)


def run_plan(plan: Plan, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What the steps of a reduction make of x: y, or what was in y changed."""
    between = np.full(plan.partials, -7, plan.partial_type)
    for number, step in enumerate(plan.steps):
        target = y if number == len(plan.steps) - 1 else between
        (found,) = results(step.source, step.grid, [x, target, *step.sizes], [1])
        x = between = found
    return x


def sample(shape: tuple[int, ...], dtype: str, kind: str = "sum") -> np.ndarray:
    """Numbers of which ``kind`` is neither certain nor out of range."""
    values = np.random.default_rng(len(shape) + shape[-1]).normal(size=shape)
    if dtype == "bool":
        return values > (2.5 if kind == "any" else -2.5)
    return (1 + values / 256 if kind == "prod" and dtype != "int64" else 4 * values).astype(as_dtype(dtype))


def expected(kind: str, x: np.ndarray) -> np.ndarray:
    wide = x.astype("float64") if x.dtype.kind not in "ib" else x
    out = np.empty((x.shape[0], x.shape[2]), wide.dtype)
    NUMPY.reduce(kind, wide, (1,), out)
    return out


def check(kind: str, dtype: str, shape: tuple[int, int, int]) -> None:
    x = sample(shape, dtype, kind)
    y = run_plan(reduce_plan(kind, dtype, *shape), x, np.full((shape[0], shape[2]), 7, x.dtype))
    size = np.abs(x.astype("float64")).sum(axis=1).max() if kind == "sum" else 0
    close = {"rtol": RTOL[dtype], "atol": RTOL[dtype] * size}
    np.testing.assert_allclose(y.astype("float64"), expected(kind, x).astype("float64"), **close)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("n", SIZES[1:])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_sizes_around_the_warp(n: int, place: int) -> None:
    shape = [2, 2, 2]
    shape[place] = n
    check("sum", "float32", (shape[0], shape[1], 1))
    if place or n == 1:
        check("max", "float32", (shape[0], shape[1], shape[2]))


KERNELS = [("any", "bool"), ("all", "bool"), ("prod", "float32"), ("max", "float64"), ("min", "float32"),
           ("sum", "int64"), ("min", "int64"), ("prod", "int64"), ("sum", "float64"), ("sum", "bfloat16"),
           ("max", "float16")]  # fmt: skip


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("kind, dtype, shape", [
    *((*kernel, shape) for kernel in KERNELS for shape in ONE_STEP),
    *((*kernel, shape) for kernel in (KERNELS[0], KERNELS[-2]) for shape in TWO_STEPS),
], ids=str)  # fmt: skip
def test_every_kind_and_type_in_every_kernel(kind: str, dtype: str, shape: tuple[int, int, int]) -> None:
    check(kind, dtype, shape)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("kind", ["any", "all"])
@pytest.mark.parametrize("shape", [*ONE_STEP, *TWO_STEPS], ids=str)
def test_booleans_are_read_eight_at_a_time(kind: str, shape: tuple[int, int, int]) -> None:
    """Of every other result, one element decides."""
    A, K, B = shape
    rows, columns = (K, 8 * B) if B > 1 else (8 * K, 1)
    x = np.full((A, columns, rows), kind == "all")
    decisive = x.reshape(A * columns, rows)[::2]
    places = np.random.default_rng(0).integers(0, rows, len(decisive))
    decisive[np.arange(len(decisive)), places] ^= True
    x = np.ascontiguousarray(x.transpose(0, 2, 1))
    y = np.full((A, columns), kind == "all")
    found = run_plan(reduce_plan(kind, "words", *shape), x.view("int64") if B > 1 else x.reshape(A, -1).view("int64"),
                     y.view("int64") if B > 1 else y)  # fmt: skip
    np.testing.assert_array_equal(found.view("bool").reshape(y.shape), getattr(x, kind)(axis=1))


SPECIAL = ((np.nan,), (np.inf,), (-np.inf, np.inf), (np.nan, -np.inf), (-np.inf,))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("kind", ["sum", "prod", "max", "min"])
@pytest.mark.parametrize(("K", "B"), [(2, 1), (33, 1), (300, 1), (1100, 1), (12, 5)])
def test_nan_and_infinity_come_out_as_in_numpy(kind: str, K: int, B: int) -> None:
    x = sample((5 // B, K, B), "float32", "prod")
    for number, values in enumerate(SPECIAL):
        row, column = divmod(number, B)
        x[row, K - len(values) :, column] = values
    y = run_plan(reduce_plan(kind, "float32", *x.shape), x, np.zeros((5 // B, B), "float32"))
    np.testing.assert_allclose(y, expected(kind, x), rtol=1e-5, atol=1e-3)


def test_a_float32_sum_of_many_terms_keeps_its_digits() -> None:
    x = np.random.default_rng(3).uniform(0, 2, (1, 100_000, 1)).astype("float32")
    y = run_plan(reduce_plan("sum", "float32", *x.shape), x, np.zeros((1, 1), "float32"))
    np.testing.assert_allclose(y, x.sum(dtype="float64"), rtol=2e-7)


@pytest.mark.parametrize("shape", [(1, 33, 5), (1, 700, 3)], ids=str)
@pytest.mark.parametrize(("x_type", "y_type"), [("float32", "float32"), ("bfloat16", "float32")])
def test_columns_are_added_to_what_is_there(shape: tuple[int, int, int], x_type: str, y_type: str) -> None:
    x, y = sample(shape, x_type), np.full((1, shape[2]), 100, y_type)
    found = run_plan(column_plan("sum", x_type, y_type, shape, add=True), x, y)
    np.testing.assert_allclose(found, 100 + x.astype("float64").sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("K", [1, 2, 511, 512, 513, 1 << 14, (1 << 14) + 1, 1 << 20, 12_345_677])
@pytest.mark.parametrize("A", [1, 3, 1000])
@pytest.mark.parametrize("B", [1, 10, 4096])
def test_parts_cover_every_element_and_none_is_empty(A: int, K: int, B: int) -> None:
    plan = reduce_plan("sum", "float32", A, K, B)
    first = plan.steps[0]
    parts, span = first.sizes[-2:] if len(plan.steps) == 2 else (1, K)
    assert (parts - 1) * span < K <= parts * span
    assert plan.partials == (A * parts * B if parts > 1 else 0)
    assert len(plan.steps) <= 2
    assert first.grid * first.source.threads <= 2 * max(A * K * B, 32 * A * max(B, 32))


# ---- positions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["argmax", "argmin"])
@pytest.mark.parametrize("K", SIZES[1:])
def test_position_of_the_first_extreme(kind: str, K: int) -> None:
    for dtype in ("float32", "int64") if K > 100 else ("float32", "float64", "int64", "bfloat16"):
        x = np.round(sample((3, K), dtype).astype("float64")).astype(as_dtype(dtype))  # few values: ties
        step = position_step(kind, dtype, 3, K)
        (found,) = results(step.source, step.grid, [x, np.full(3, -7), *step.sizes], [1])
        wanted = np.empty(3, "int64")
        NUMPY.arg_reduce(kind, x, 1, wanted)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kind", ["argmax", "argmin"])
@pytest.mark.parametrize("K", [5, 300])
def test_position_of_nan_and_infinity(kind: str, K: int) -> None:
    x = sample((6, K), "float32")
    x[0], x[1], x[2] = np.nan, -np.inf, np.inf
    x[3, [K - 2, K // 2]] = np.nan
    x[4, K - 1], x[5, 0] = np.nan, np.nan
    step = position_step(kind, "float32", *x.shape)
    (found,) = results(step.source, step.grid, [x, np.full(6, -7), *step.sizes], [1])
    np.testing.assert_array_equal(found, getattr(np, kind)(x, axis=1))


# ---- what is noticed, and what is compiled --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 300, 1), (2, 12, 5)], ids=["rows", "columns"])
def test_a_missing_barrier_is_noticed(shape: tuple[int, int, int]) -> None:
    (step,) = reduce_plan("sum", "float32", *shape).steps
    pieces = step.source.text.split("barrier()")
    assert len(pieces) > 1
    for number in range(1, len(pieces)):
        text = "barrier()".join(pieces[:number]) + "pass" + "barrier()".join(pieces[number:])
        arguments: list[Any] = [sample(shape, "float32"), np.zeros(shape[0] * shape[2], "float32"), *step.sizes]
        with pytest.raises(emulator.Race):
            emulator.run(step.source._replace(text=text), step.grid, arguments)


SHORT, LONG, COLUMNS = (1 << 20, 10, 1), (1, 1 << 24, 1), (1, 100_000, 64)
COMPILED = [("sum", "float32", SHORT), ("sum", "float32", LONG), ("sum", "float32", COLUMNS), ("max", "float64", SHORT),
            ("sum", "bfloat16", COLUMNS), ("all", "bool", SHORT), ("all", "words", LONG)]  # fmt: skip


@pytest.mark.compiles
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("kind", "dtype", "shape"), COMPILED, ids=str)
def test_compiled(kind: str, dtype: str, shape: tuple[int, int, int], architecture: str) -> None:
    for step in reduce_plan(kind, dtype, *shape).steps:
        kernel_checks.check_compiled(step.source, architecture)


@pytest.mark.compiles
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("dtype", "K"), [("float32", 1000), ("int64", 10)])
def test_positions_compiled(dtype: str, K: int, architecture: str) -> None:
    kernel_checks.check_compiled(position_step("argmax", dtype, 100, K).source, architecture)


def test_every_kind_has_a_case() -> None:
    assert {kind for kind, _ in KERNELS} | {"sum"} == set(KINDS) == set(reductions.KINDS)


def test_a_reduction_of_known_sizes_is_not_planned_again() -> None:
    assert reduce_plan("sum", "float32", 3, 5, 7) is reduce_plan("sum", "float32", 3, 5, 7)
