"""The CUDA kernels of attention against NumPy's bodies under three schedules, and compiled."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import kernel_checks
import numpy as np
import pytest
from kernel_checks import ARCHITECTURES, results, stored_as

from nnkit.backends import get
from nnkit.backends.attention import Rule
from nnkit.kernels.cuda import attention as kernels
from nnkit.kernels.cuda.attention import Shape

pytest.importorskip("greenlet", reason="pip install nnkit[test-cuda]: the emulator needs greenlet")

NUMPY = get("numpy")
TOLERANCES = {"float32": 3e-5, "float64": 1e-12, "float16": 4e-3, "bfloat16": 4e-2}


class Sizes(NamedTuple):
    """Batches, heads of queries and of keys, queries, keys; and what the kernels are made for."""

    B: int
    H: int
    G: int
    L: int
    S: int
    shape: Shape
    past: int = 0


def shape(E: int, F: int, **options: Any) -> Shape:
    stored = options.pop("stored", "float32")
    return Shape(**({"given": stored, "made": stored, "E": E, "F": F, "gradient": stored, "columns": 16} | options))


#: Edges of tiles, shared heads, masks of every kind, tokens before the first query, dropout, types.
CASES = [
    Sizes(1, 2, 2, 3, 5, shape(3, 4)), Sizes(1, 2, 1, 17, 18, shape(4, 9, causal=True)),
    Sizes(1, 1, 1, 2, 33, shape(8, 8, columns=32)), Sizes(1, 2, 1, 3, 6, shape(2, 3, mask="bool")),
    Sizes(2, 1, 1, 3, 6, shape(2, 3, mask="float32", causal=True)),
    Sizes(1, 1, 1, 2, 20, shape(3, 3, causal=True, past=True), 4), Sizes(1, 2, 2, 3, 7, shape(2, 2, dropout=True)),
    Sizes(1, 1, 1, 3, 5, shape(3, 4, stored="float64")), Sizes(1, 1, 1, 3, 5, shape(3, 4, stored="float16")),
    Sizes(1, 1, 1, 3, 5, shape(3, 4, stored="bfloat16", made="float32")),
]  # fmt: skip
SCALE, DROPOUT = 0.4, 0.3


class Run:
    """The inputs of a case, and what NumPy's bodies make of them in float64."""

    def __init__(self, case: Sizes) -> None:
        B, H, G, L, S, made_for, past = case
        self.case, self.shape, E, F = case, made_for, made_for.E, made_for.F
        random = np.random.default_rng(0)
        sizes = {"q": (B, H, L, E), "k": (B, G, S, E), "v": (B, G, S, F), "dy": (B, H, L, F)}
        stored = {name: stored_as(made_for.gradient if name == "dy" else made_for.given) for name in sizes}
        self.arrays = {name: random.normal(size=size).astype(stored[name]) for name, size in sizes.items()}
        self.mask: Any = None
        if made_for.mask is not None:
            seen = random.random((1, H, L, S)) > 0.4
            seen[:, :, 0] = False
            self.mask = seen if made_for.mask == "bool" else np.where(seen, 0.5, -np.inf).astype(made_for.mask)
        self.past = np.array([past]) if made_for.past else None
        self.key = np.array([5, 2**33 + 1]) if made_for.dropout else None
        self.rule = Rule(SCALE, made_for.causal, DROPOUT if made_for.dropout else 0.0)
        wide = [self.arrays[name].astype("float64") for name in sizes]
        mask = self.mask if self.mask is None or self.mask.dtype == bool else self.mask.astype("float64")
        rest = (mask, self.past, self.key, self.rule)
        self.out, self.lse = np.zeros((B, H, L, F)), np.zeros((B, H, L))
        NUMPY.attention(*wide[:3], *rest, self.out, self.lse)
        self.gradients = [np.zeros_like(x) for x in wide[:3]]
        NUMPY.attention_grad(*wide[:3], *rest, self.out, self.lse, wide[3], *self.gradients)

    def ends(self, *strided: np.ndarray) -> list[Any]:
        """The arguments behind the arrays that a kernel always has."""
        _, H, G, L, S = self.case[:5]
        optional = [self.mask, self.past, self.key]
        if self.mask is not None and self.mask.dtype == bool:
            optional[0] = self.mask.view(np.uint8)
        scalars = [SCALE, -math.inf, *([DROPOUT, self.rule.keep] if self.key is not None else [])]
        steps = [step // x.itemsize for x in strided for step in x.strides[:3]]
        of_mask = [] if self.mask is None else [step // self.mask.itemsize for step in self.mask.strides]
        if self.mask is not None:
            of_mask[0] = 0  # of one batch
        return [*(x for x in optional if x is not None), *scalars, H, H // G, L, S, *steps, *of_mask]

    def blank(self, *sizes: tuple[int, ...], dtype: str | None = None) -> list[np.ndarray]:
        return [np.full(size, 7, stored_as(dtype or self.shape.made)) for size in sizes]


def bits(x: np.ndarray) -> np.ndarray:
    """As kernels take it: types of sixteen bits are bits."""
    return x.view(np.uint16) if x.itemsize == 2 else x


def close(found: np.ndarray, wanted: np.ndarray, dtype: str) -> None:
    values = found.view(stored_as(dtype)) if dtype in ("float16", "bfloat16") else found
    tolerance = TOLERANCES[dtype]
    np.testing.assert_allclose(values.astype("float64"), wanted, rtol=tolerance, atol=3 * tolerance)


def run(source: Any, grid: int, arrays: list[np.ndarray], rest: list[Any], written: list[int]) -> list[np.ndarray]:
    flat = [bits(x).reshape(-1) for x in arrays]
    return results(source, grid, [*flat, *(x.reshape(-1) if isinstance(x, np.ndarray) else x for x in rest)], written)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward(case: Sizes) -> None:
    made = Run(case)
    q, k, v, _ = made.arrays.values()
    (out,), (lse,) = made.blank(made.out.shape), made.blank(made.lse.shape, dtype=case.shape.computed)
    arrays = [q, k, v, out, lse]
    grid = kernels.grid(case.B * case.H, case.L)
    found = run(kernels.forward_kernel(case.shape), grid, arrays, made.ends(*arrays[:4]), [3, 4])
    rounded = max((case.shape.given, case.shape.made), key=TOLERANCES.__getitem__)
    close(found[0], made.out.reshape(-1), case.shape.made)
    np.testing.assert_allclose(found[1], made.lse.reshape(-1), TOLERANCES[rounded], TOLERANCES[rounded])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradient(case: Sizes) -> None:
    made = Run(case)
    q, k, v, dy = made.arrays.values()
    out, lse = made.out.astype(stored_as(case.shape.made)), made.lse.astype(case.shape.computed)
    dq, dk, dv = made.blank(*(x.shape for x in made.gradients))
    (deltas,) = made.blank(made.lse.shape, dtype=case.shape.computed)
    arrays = [q, k, v, dy, out, dq, lse, deltas]
    grid = kernels.grid(case.B * case.H, case.L)
    found = run(kernels.queries_grad_kernel(case.shape), grid, arrays, made.ends(*arrays[:6]), [5, 7])
    close(found[0], made.gradients[0].reshape(-1), case.shape.made)
    arrays = [q, k, v, dy, dk, dv, lse, found[1].reshape(lse.shape)]
    grid = kernels.grid(case.B * case.G, case.S)
    found = run(kernels.keys_grad_kernel(case.shape), grid, arrays, made.ends(*arrays[:6]), [4, 5])
    for one, wanted in zip(found, made.gradients[1:], strict=True):
        close(one, wanted.reshape(-1), case.shape.made)


@pytest.mark.compiles
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("full", [False, True])
def test_compiled(dtype: str, architecture: str, full: bool) -> None:
    width = 32 if dtype == "float64" else 64
    columns = kernels.columns_for(kernels.computed(dtype), width, width)
    options = {"mask": dtype, "past": True, "dropout": True} if full else {}
    made_for = shape(width, width, stored=dtype, causal=True, columns=columns, **options)
    for make in (kernels.forward_kernel, kernels.queries_grad_kernel, kernels.keys_grad_kernel):
        kernel_checks.check_compiled(make(made_for), architecture, registers=255)


def test_what_is_held_fits_into_shared_memory() -> None:
    assert [kernels.columns_for("float32", n, n) for n in (32, 64, 128, 256)] == [32, 32, 16, 0]
    assert kernels.columns_for("float64", 128, 128) == 0
