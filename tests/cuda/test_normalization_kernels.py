"""The CUDA kernels of normalizations against NumPy's bodies under three schedules, and compiled."""

from __future__ import annotations

from typing import Any, NamedTuple

import kernel_checks
import numpy as np
import pytest
from kernel_checks import ARCHITECTURES, results

from nnkit.backends import get
from nnkit.kernels.cuda import normalization as kernels
from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.normalization import Totals
from nnkit.kernels.cuda.normalization_texts import Types
from nnkit.kernels.cuda.texts import Step, computed
from nnkit.tensors.dtypes import as_dtype

pytest.importorskip("greenlet", reason="pip install nnkit[test-cuda]: the emulator needs greenlet")

NUMPY = get("numpy")
EPS = 1e-3
TOLERANCES = {"float32": 2e-5, "float64": 1e-12, "float16": 4e-3, "bfloat16": 3e-2}


class Normed(NamedTuple):
    """x (A, C, L), in groups of channels or, where 0, over samples."""

    sizes: tuple[int, int, int]
    groups: int = 0
    dtype: str = "float32"
    centred: bool = True
    affine: bool = True
    wide: bool = False
    split: bool = False

    @property
    def between(self) -> str:
        return computed(self.dtype)

    @property
    def types(self) -> Types:
        affine = self.dtype if self.affine else None
        return Types(self.dtype, affine, affine, self.between)

    def sample(self, seed: int, mean: float = 1.5) -> np.ndarray:
        return np.random.default_rng(seed).normal(mean, 1, self.sizes).astype(as_dtype(self.dtype))

    def vectors(self, *seeds: int) -> list[np.ndarray]:
        """Weights and the like, of the channels."""
        C = self.sizes[1]
        return [np.random.default_rng(seed).normal(1, 1, C).astype(as_dtype(self.dtype)) for seed in seeds]

    def statistics(self) -> list[np.ndarray]:
        A, C, _ = self.sizes
        return [np.full((A, self.groups) if self.groups else (C,), 7, self.between) for _ in range(2)]


#: Columns in one part and in several, rows of a part of a warp, of a warp and of a block, split rows; groups; types.
CASES = [
    Normed((3, 5, 1)), Normed((130, 3, 1)), Normed((200, 33, 2), affine=False), Normed((4, 3, 33), wide=True),
    Normed((3, 2, 300), centred=False), Normed((2, 3, 64), wide=True), Normed((1, 2, 256), split=True),
    Normed((5, 7, 1), 1), Normed((2, 6, 9), 2), Normed((1, 4, 300), 4, affine=False),
    Normed((2, 8, 8), 1, centred=False), Normed((70, 3, 1), 1, centred=False, affine=False),
    Normed((3, 2, 40), 0, "float64"), Normed((3, 2, 5), 1, "float64"),
    Normed((4, 3, 32), 0, "float16", wide=True), Normed((4, 3, 3), 0, "bfloat16"), Normed((3, 6, 4), 3, "bfloat16"),
    Normed((2, 300, 1), 1, "float16"),
]  # fmt: skip


@pytest.fixture
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Normed:
    """The case, and what it takes for its rows to be split."""
    if request.param.split:
        monkeypatch.setattr(kernels, "LONG", 64)
    return request.param


def run(step: Step, arrays: list[np.ndarray], written: list[int], *eps: float) -> list[np.ndarray]:
    return results(step.source, step.grid, [*arrays, *eps, *step.sizes], written)


def partials(case: Normed) -> np.ndarray:
    parts = kernels.parts_for(*case.sizes)
    return np.full(2 * parts.Q * case.sizes[1] * parts.R, 7, case.between)


def close(found: np.ndarray, wanted: np.ndarray, dtype: str, size: float = 1.0) -> None:
    tolerance = TOLERANCES[dtype]
    np.testing.assert_allclose(found.astype("float64"), wanted.astype("float64"), rtol=tolerance, atol=tolerance * size)


def forward(case: Normed, x: np.ndarray, w: list[np.ndarray]) -> list[np.ndarray]:
    """Mean, variance and output from the kernels."""
    statistics, out = case.statistics(), np.full_like(x, 7)
    given, k = [x, *w], 1 + len(w)
    if case.groups:
        step = kernels.rows_step(case.types, case.centred, case.sizes, case.groups)
        return run(step, [*given, *statistics, out], [k, k + 1, k + 2], EPS)
    (parts,) = run(kernels.parts_step(case.types, False, case.centred, case.sizes), [x, partials(case)], [1])
    statistics = run(kernels.fold_step(case.between, None, case.sizes, case.between), [parts, *statistics], [1, 2])
    step = kernels.apply_step(case.types, case.wide, case.sizes)
    return [*statistics, *run(step, [*given, *statistics, out], [k + 2], EPS)]


def expected(case: Normed, x: np.ndarray, w: list[np.ndarray]) -> list[np.ndarray]:
    """The same from NumPy's body, in float64."""
    wide = [a.astype("float64") for a in (x, *w)]
    outputs = [*(a.astype("float64") for a in case.statistics()), np.empty_like(wide[0])]
    affine = wide[1:] if w else [None, None]
    NUMPY.normalize(wide[0], *affine, case.groups, EPS, case.centred, *outputs)
    return outputs


@pytest.mark.parametrize("case", CASES, indirect=True, ids=str)
def test_forward(case: Normed) -> None:
    x, w = case.sample(0), case.vectors(1, 2) if case.affine else []
    found, wanted = forward(case, x, w), expected(case, x, w)
    for one, other in zip(found[:2], wanted[:2], strict=True):
        close(one, other, case.between, 2.0)
    close(found[2], wanted[2], case.dtype, 4.0)


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("case", CASES, indirect=True, ids=str)
def test_gradient(case: Normed, add: bool) -> None:
    x, dy, w = case.sample(0), case.sample(3, 0.0), case.vectors(1) if case.affine else []
    statistics = [a.astype(case.between) for a in expected(case, x, [])[:2]]
    dx, (dw, db) = np.full_like(x, 7), case.vectors(4, 5)
    types = case.types._replace(b=None)
    wanted = [a.astype("float64") for a in (dx, dw, db)]
    given = [a.astype("float64") for a in (x, dy, *statistics, *w)]
    weight = given[4] if w else None
    NUMPY.normalize_grad(
        given[0], weight, case.groups, EPS, case.centred, given[2], given[3], given[1], *wanted, (add, add)
    )
    step = kernels.parts_step(types, True, True, case.sizes, case.groups)
    (parts,) = run(step, [x, dy, *statistics, partials(case)], [4], EPS)
    totals, sums = Totals(case.dtype, case.dtype, (add, add), True), np.full((2, case.sizes[1]), 7, case.between)
    step = kernels.fold_step(case.between, totals, case.sizes, case.between)
    found = run(step, [parts, dw, db, sums], [1, 2, 3])
    for one, other in zip(found[:2], wanted[1:], strict=True):
        close(one, other, case.dtype, 40.0)
    if case.groups:
        step = kernels.rows_grad_step(types, case.centred, case.sizes, case.groups)
        arrays = [x, dy, *w, *statistics, dx]
    else:
        step = kernels.apply_grad_step(types, True, case.centred, case.wide, case.sizes)
        arrays = [x, dy, found[2], *w, *statistics, dx]
    (found_dx,) = run(step, arrays, [len(arrays) - 1], EPS)
    close(found_dx, wanted[0], case.dtype, 8.0)


@pytest.mark.parametrize("case", [c for c in CASES if c.groups == 0 and not c.split], ids=str)
def test_given_statistics(case: Normed) -> None:
    """The gradient with respect to x, which is all that differs."""
    dy, w, dx = case.sample(3, 0.0), case.vectors(1) if case.affine else [], case.sample(0)
    statistics = [a.astype(case.between) for a in expected(case, case.sample(0), [])[:2]]
    wide = [a.astype("float64") for a in (dy, *statistics, *w)]
    wanted = np.empty_like(wide[0])
    weight = wide[3] if w else None
    NUMPY.normalize_by_grad(wide[0], weight, EPS, wide[1], wide[2], wide[0], wanted, None, None, (False, False))
    step = kernels.apply_grad_step(case.types._replace(b=None), False, True, case.wide, case.sizes)
    arrays = [dy, *w, *statistics, dx]
    (found,) = run(step, arrays, [len(arrays) - 1], EPS)
    close(found, wanted, case.dtype, 8.0)


#: Where the statistics of channels and of rows are made, each way.
FAR = [Normed((40, 3, 64), affine=False), Normed((2000, 3, 1), affine=False), Normed((2, 2, 3000), 2, affine=False)]


@pytest.mark.parametrize("outlier", [False, True])
@pytest.mark.parametrize("case", FAR, ids=str)
def test_a_mean_far_from_zero_costs_no_digits(case: Normed, outlier: bool) -> None:
    """Also where the first number is none of them."""
    x = case.sample(0, 1000.0)
    if outlier:
        x[0, :, 0] = 0.0
    found, wanted = forward(case, x, []), expected(case, x, [])
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-6)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-3)
    np.testing.assert_allclose(found[2], wanted[2], atol=1e-3)


def test_what_is_not_a_number_stays_in_its_channel() -> None:
    case = Normed((4, 3, 33))
    x = case.sample(0)
    x[1, 1, 5] = np.nan
    _, _, out = forward(case, x, case.vectors(1, 2))
    assert np.isnan(out[:, 1]).all() and np.isfinite(out[:, ::2]).all()


def sources(dtype: str) -> list[Source]:
    types = Types(dtype, dtype, dtype, computed(dtype))
    grad, sizes, T = types._replace(b=None), (64, 32, 64), computed(dtype)
    return [
        kernels.rows_step(types, True, (64, 512, 1), 1).source, kernels.rows_step(types, True, (64, 64, 1), 1).source,
        kernels.rows_grad_step(grad, True, (64, 512, 1), 1).source,
        *(kernels.parts_step(types, False, True, shape).source for shape in (sizes, (64, 32, 1), (2, 2, 4096))),
        *(kernels.parts_step(grad, True, True, shape, groups).source
          for shape, groups in ((sizes, 0), ((64, 32, 1), 0), ((64, 32, 1), 1), (sizes, 4))),
        kernels.fold_step(T, None, sizes, T).source,
        kernels.fold_step(T, Totals(dtype, dtype, (True, False), True), (2000, 3, 64), T).source,
        kernels.apply_step(types, True, sizes).source, kernels.apply_step(types, False, sizes).source,
        kernels.apply_grad_step(grad, True, True, True, sizes).source,
    ]  # fmt: skip


@pytest.mark.compiles
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_compiled(dtype: str, architecture: str) -> None:
    # Where 1 is divided by a root, eps comes as a float64 and is cast: nothing is computed in it.
    for source in sources(dtype):
        kernel_checks.check_compiled(source, architecture)


def test_parts_cover_what_there_is() -> None:
    for A, C, L in [(1, 1, 1), (128, 64, 49), (2, 3, 1 << 20), (100_000, 5, 1), (7, 1000, 31), (1, 1, 33)]:
        parts: Any = kernels.parts_for(A, C, L)
        assert parts.Q * parts.span >= parts.whole > (parts.Q - 1) * parts.span
        assert parts.rows * parts.R == (L if parts.rows else 0)
