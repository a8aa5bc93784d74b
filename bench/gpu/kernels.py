"""Primitives on large and odd sizes, which the conformance suite leaves out: wide accesses, many blocks, long rows."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bench.gpu.agreement import Output, agree, remark
from bench.gpu.checks import Check, Sizes, Skip
from bench.gpu.samples import HALVES, normal, type_named
from nnkit import backends
from nnkit.backends import Backend
from nnkit.backends.base import FORMULAS
from nnkit.testing.bench import sample
from nnkit.testing.elementwise import arguments, output_types, types_of

Shape = tuple[int, ...]

# ---- elementwise ----------------------------------------------------------------------------------------------------


def _map(formula: str, sizes: Sizes) -> str:
    """Sizes for one element a thread, and for four."""
    found = []
    for dtype in types_of(formula):
        for count in sizes.pick((65_539, 65_536), (20_003, 20_000), (33,)):
            elements, scalars = arguments(formula, count, dtype)
            outputs = [Output((count,), kind) for kind in output_types(formula, dtype)]
            found.append(agree(functools.partial(_mapped, formula, len(elements), scalars), *elements, *outputs))
    return remark(found)


def _mapped(formula: str, inputs: int, scalars: Sequence[float], backend: Backend, *arrays: Any) -> None:
    backend.map(formula, arrays[:inputs], arrays[inputs:], scalars)


def _layouts(sizes: Sizes) -> str:
    """Rows and columns that repeat, views that begin in the middle, and many elements."""
    M, O = sizes.pick((4097, 4099), (1025, 1027), (9, 7))
    x, y = normal(M, O), Output((M, O))
    add = functools.partial(_mapped, "add", 2, ())
    shifted = normal(M * O), Output((M * O,), before=normal(M * O, seed=1))
    return remark([
        agree(add, x, normal(O), y),
        agree(add, x, normal(M, 1), y),
        agree(add, normal(M, 4 * O), normal(4 * O), Output((M, 4 * O))),
        agree(lambda b, x, y: b.map("relu", (x[1:],), (y[1:],)), *shifted),
        agree(lambda b, x, y: b.map("square", (b.permute(x, (1, 0)),), (y,)), x, Output((O, M))),
        agree(lambda b, x, y: b.map("gelu", (x[:, ::2],), (y,)), x, Output((M, (O + 1) // 2))),
    ])  # fmt: skip


def _casts(sizes: Sizes) -> str:
    count = sizes.pick(1_000_003, 65_539, 33)
    types = [type_named(name) for name in ("float32", "float64", "int64", "bool", *HALVES)]
    found = []
    for source in types:
        x = sample((count,), "float32", 0, 9).astype(source)
        found += [agree(lambda b, x, y: b.copy(x, y), x, Output((count,), target), exact=True) for target in types]
    return remark(found)


def _beyond_32_bits(sizes: Sizes) -> str:
    """More elements than 32 bits can count: none is left out, and none is written in another's place."""
    count = sizes.pick(2**31 + 4099, 2**31 + 4099, 4099)
    backend = backends.get("cuda")
    if not backend.keeps(2 * count):
        raise Skip("the GPU's memory is too small")
    x, y, out = backend.empty((count,), "bool"), backend.empty((count,), "bool"), backend.empty((), "bool")
    backend.fill(0, x)
    backend.fill(1, y)
    backend.map("negation", (x,), (x,))
    for array in (x, y):
        backend.reduce("all", array, (0,), out)
        assert bool(backend.to_numpy(out)), "an element was not written"
        assert backend.to_numpy(array[count - 64 :]).all(), "the last elements were not written"
    backend.fill(0, x[count - 1 :])
    backend.reduce("all", x, (0,), out)
    assert not bool(backend.to_numpy(out)), "a reduction does not see the last element"
    assert backend.to_numpy(x[: count - 1][-64:]).all() and backend.to_numpy(x[:64]).all(), (
        "a place is taken for another"
    )
    return f"{count:,} elements"


# ---- reductions and classification ----------------------------------------------------------------------------------

REDUCTIONS: tuple[tuple[Shape, Shape, Shape], ...] = (  # a large shape, a tiny one, and the axes
    ((2**24 + 3,), (1025,), (0,)), ((4097, 4099), (33, 5), (0,)), ((4097, 4099), (5, 33), (1,)),
    ((129, 257, 513), (3, 5, 7), (1,)), ((129, 257, 513), (3, 5, 7), (0, 2)), ((3, 2**20 + 1), (3, 65), (1,)),
    ((2**20 + 1, 3), (65, 3), (0,)), ((70_001, 16), (65, 4), (1,)),
)  # fmt: skip


def _reduce(kind: str, dtype: str, sizes: Sizes) -> str:
    low, high = {"prod": (0.999, 1.001)}.get(kind, (0.5, 1.5))
    found = []
    for large, tiny, axes in REDUCTIONS:
        x = sample(sizes.pick(large, tiny, tiny), dtype, low, high)
        if dtype == "bool":  # the last element decides
            x[...] = kind == "all"
            x.reshape(-1)[-1] = kind == "any"
        out = Output(tuple(n for axis, n in enumerate(x.shape) if axis not in axes), dtype)
        call = functools.partial(lambda axes, b, x, y: b.reduce(kind, x, axes, y), axes)
        found.append(agree(call, x, out, tolerance=1e-3 if kind == "prod" else None))
    return remark(found)


def _positions(kind: str, sizes: Sizes) -> str:
    shapes: list[Shape] = sizes.pick([(4097, 4099), (3, 2**20 + 1), (70_001, 10)], [(129, 257)], [(5, 65)])
    call = functools.partial(lambda b, x, y: b.arg_reduce(kind, x, 1, y))
    return remark(agree(call, np.round(normal(*s)), Output(s[:1], "int64"), exact=True) for s in shapes)


ROWS: Sequence[Shape] = ((1, 7), (4097, 10), (1023, 1000), (513, 1001), (128, 32_768), (65, 50_257))
TINY_ROWS: Sequence[Shape] = ((1, 7), (5, 10), (2, 65))


def _softmax(log: bool, sizes: Sizes) -> str:
    found = []
    for shape in sizes.pick(ROWS, ROWS[:4], TINY_ROWS):
        x = 3.0 * normal(*shape)
        found.append(agree(lambda b, x, y: b.softmax(x, log, y), x, Output(shape)))
        y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        given = normal(*shape, seed=1), np.log(y) if log else y, Output(shape)
        gradient = functools.partial(lambda b, dy, y, dx: b.softmax_grad(dy, y, log, dx))
        found.append(agree(gradient, *given, tolerance=1e-4, of_the_largest=True))
    return remark(found)


def _cross_entropy(dtype: str, sizes: Sizes) -> str:
    found = []
    for rows, classes in sizes.pick(ROWS, ROWS[:4], TINY_ROWS):
        random, kind = np.random.default_rng(0), type_named(dtype)
        labels = random.integers(0, classes, rows)
        for weights in (None, random.random(rows, np.float32).astype(kind)):
            given = normal(rows, classes, dtype=dtype), labels, weights
            outputs = Output((rows,), kind), Output((rows, classes), kind)
            found.append(agree(lambda b, *arrays: b.cross_entropy(*arrays), *given, *outputs))
    return remark(found)


# ---- rows -----------------------------------------------------------------------------------------------------------


def _rows(sizes: Sizes) -> str:
    """Rows of odd widths and types, by number and by an order with a cursor; and added back."""
    rows, wanted = sizes.pick((60_001, 1021), (6001, 129), (33, 7))
    numbers = np.random.default_rng(0).integers(0, rows, wanted + 5)
    found = []
    for width, dtype in ((784, "float32"), (3, "float32"), (17, "uint8"), (5, "float64"), (1, "int64")):
        x = sample((rows, width), dtype, 0, 100)
        out = Output((wanted, width), dtype)
        found.append(agree(lambda b, *a: b.take_rows(*a), x, numbers[:wanted], out, exact=True))
        found.append(agree(lambda b, *a: b.take_batch(*a), x, numbers, np.array([5]), out, exact=True))
    sums = Output((19, 33), before=normal(19, 33))
    found.append(agree(lambda b, *a: b.add_rows(*a), normal(wanted, 33), numbers[:wanted] % 19, sums))
    return remark(found)


# ---- the table ------------------------------------------------------------------------------------------------------


def _table() -> Iterator[tuple[str, Check]]:
    for kind in ("sum", "prod", "max", "min"):
        yield f"reduce {kind}", functools.partial(_reduce, kind, "float32")
    yield "reduce sum float64", functools.partial(_reduce, "sum", "float64")
    for kind in ("any", "all"):
        yield f"reduce {kind}", functools.partial(_reduce, kind, "bool")
    for kind in ("argmax", "argmin"):
        yield kind, functools.partial(_positions, kind)
    for log in (False, True):
        yield "log_softmax" if log else "softmax", functools.partial(_softmax, log)
    for dtype in ("float32", "float64", *HALVES):
        yield f"cross_entropy {dtype}", functools.partial(_cross_entropy, dtype)
    yield "rows by number", _rows
    yield "repeated rows, views", _layouts
    yield "casts", _casts
    yield "beyond 32 bits", _beyond_32_bits
    for formula in FORMULAS:
        yield f"map {formula}", functools.partial(_map, formula)


CHECKS: dict[str, Check] = dict(_table())
