"""Conformance of moving rows, and of random numbers, which are equal to the bit on every device."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.kernels import philox
from nnkit.testing.bench import FLOATS, LAYOUTS, SIZES, Bench, Case, sample

#: Shape of the table, and how many rows are taken.
TABLES = (
    *(((n, 3), 5) for n in SIZES[1:]), *(((5, n), 3) for n in SIZES), *(((4, 2), n) for n in SIZES),
    ((33,), 5), ((3, 2, 31), 7), ((0, 3), 0),
)  # fmt: skip


def _indices(rows: int, count: int) -> np.ndarray:
    """Numbers of rows, the first and the last among them, some twice."""
    indices = sample((count,), "int64", 0, max(rows, 1), seed=1)
    indices[:1], indices[-1:] = 0, max(rows - 1, 0)
    return indices


def _take_rows(dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for shape, count in TABLES:
            bench = Bench(backend, layout)
            table, indices = sample(shape, dtype, -9, 9), _indices(shape[0], count)
            out = bench.output((count, *shape[1:]), dtype)
            backend.take_rows(bench.given(table), bench.given(indices), out)
            bench.equal(out, table[indices], f"{count} rows of {shape}")
            bench.finish()

    return Case(f"take_rows-{layout}-{dtype}", "take_rows", check)


def _take_batch(dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for shape, count in TABLES:
            bench = Bench(backend, layout)
            table = sample(shape, dtype, -9, 9)
            order, at = _indices(shape[0], count + 3), 2
            out = bench.output((count, *shape[1:]), dtype)
            cursor = bench.given([at], "int64")
            if shape[0]:
                backend.take_batch(bench.given(table), backend.asarray(order), cursor, out)
                bench.equal(out, table[order[at : at + count]], f"{count} rows of {shape}")
            bench.finish()

    return Case(f"take_batch-{layout}-{dtype}", "take_batch", check)


def _add_rows(dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for shape, count in TABLES:
            bench = Bench(backend, layout)
            there, y = sample(shape, dtype), sample((count, *shape[1:]), dtype, seed=2)
            indices = _indices(shape[0], count)
            expected = there.astype("float64")
            np.add.at(expected, indices, y)
            out = bench.changing(there)
            backend.add_rows(bench.given(y), bench.given(indices), out)
            bench.close(out, expected, f"{count} rows into {shape}")
            bench.finish()

    return Case(f"add_rows-{layout}-{dtype}", "add_rows", check)


def _add_infinite_rows(dtype: str) -> Case:
    """What is infinite or NaN reaches the rows that it is added to, and no others."""

    def check(backend: Backend) -> None:
        inf, nan = np.inf, np.nan
        bench = Bench(backend, "contiguous")
        y = np.array([[1, inf], [2, -inf], [nan, 3], [4, inf], [5, 6]], dtype)
        out = bench.changing(np.ones((5, 2), dtype))
        backend.add_rows(bench.given(y), bench.given(np.array([0, 0, 1, 2, 3])), out)
        bench.equal(out, np.array([[4, nan], [nan, 4], [5, inf], [6, 7], [1, 1]], dtype), "infinite rows")
        bench.finish()

    return Case(f"add_rows-infinite-{dtype}", "add_rows", check)


# ---- random numbers ---------------------------------------------------------------------------------------------

#: Seed and draw number; the extremes of int64 too.
KEYS = ((0, 0), (1, 7), (-1, 2**40), (2**63 - 1, 2**32 - 1), (-(2**63), 1))
#: A purpose beside each key.
STREAMS = tuple(zip(itertools.cycle(philox.PURPOSES.values()), KEYS, strict=False))


def _next_key(backend: Backend) -> None:
    """The key is the state before, and the draw number has grown by one."""
    for seed, draw in KEYS:
        bench = Bench(backend)
        state, key = bench.changing([seed, draw], "int64"), bench.output((2,), "int64")
        for step in range(3):
            backend.next_key(state, key)
            bench.equal(key, [seed, draw + step], "key")
            bench.equal(state, [seed, draw + step + 1], "state")


def _key(backend: Backend, key: tuple[int, int]) -> Any:
    return backend.asarray(np.array(key, np.int64))


def _random_bits(backend: Backend) -> None:
    """63 bits from two words."""
    for purpose, key in STREAMS:
        for count in SIZES:
            bench = Bench(backend)
            words = _words(2 * count, purpose, key).reshape(count, 2)
            out = bench.output((count,), "int64")
            backend.random_bits(_key(backend, key), purpose, out)
            bench.equal(out, (words[:, 0] >> np.uint64(1) << np.uint64(32)) | words[:, 1], f"{count} with key {key}")


def _words(count: int, purpose: int, key: tuple[int, int]) -> np.ndarray:
    host = np.array(key, np.int64)
    return philox.words(np, count, purpose, host[:1], host[1:])


def _uniforms(count: int, purpose: int, key: tuple[int, int], dtype: str) -> np.ndarray:
    return philox.uniforms(np, _words(count, purpose, key), np.dtype(dtype))


def _uniform(dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for purpose, key in STREAMS:
            for shape in (*((n,) for n in (*SIZES, 2, 3, 4, 5)), (3, 11), ()):
                bench = Bench(backend, layout)
                out = bench.output(shape, dtype)
                backend.uniform(_key(backend, key), purpose, out)
                expected = _uniforms(math.prod(shape), purpose, key, dtype).reshape(shape)
                bench.equal(out, expected, f"{shape}, purpose {purpose}, key {key}")
                bench.finish()

    return Case(f"uniform-{layout}-{dtype}", "uniform", check)


def _large(backend: Backend) -> None:
    """More numbers than one thread draws."""
    bench, key, count, p = Bench(backend), (3, 2**33), 400_003, np.float32(0.25)
    u, x = bench.output((count,), "float32"), sample((count,), "float32")
    out = bench.output((count,), "float32")
    backend.uniform(_key(backend, key), 1, u)
    bench.equal(u, _uniforms(count, 1, key, "float32"))
    backend.dropout(bench.given(x), 0.25, _key(backend, key), out)
    kept = _uniforms(count, philox.PURPOSES["dropout"], key, "float32") >= p
    bench.equal(out, np.where(kept, x * (np.float32(1) / (np.float32(1) - p)), np.float32(0)))
    bench.finish()


def _dropout(p: float, dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        one, dropped = np.ones((), dtype), np.asarray(p, dtype)
        for key in KEYS[:3]:
            for shape in (*((n,) for n in SIZES), (3, 11)):
                bench = Bench(backend, layout)
                x = sample(shape, dtype)
                u = _uniforms(x.size, philox.PURPOSES["dropout"], key, dtype).reshape(shape)
                out = bench.output(shape, dtype)
                backend.dropout(bench.given(x), p, _key(backend, key), out)
                bench.equal(out, np.where(u >= dropped, x * (one / (one - dropped)), 0), f"{shape} with key {key}")
                bench.finish()

    return Case(f"dropout-{p}-{layout}-{dtype}", "dropout", check)


CASES = [
    *(_take_rows(dtype, layout) for dtype in (*FLOATS, "int64") for layout in LAYOUTS),
    *(_take_batch(dtype, layout) for dtype in (*FLOATS, "int64") for layout in LAYOUTS),
    *(_add_rows(dtype, layout) for dtype in FLOATS for layout in LAYOUTS),
    *(_add_infinite_rows(dtype) for dtype in FLOATS),
    Case("next_key", "next_key", _next_key),
    Case("random_bits", "random_bits", _random_bits),
    *(_uniform(dtype, layout) for dtype in FLOATS for layout in LAYOUTS),
    Case("uniform-and-dropout-large", "uniform", _large),
    *(_dropout(p, dtype, "contiguous") for p in (0.25, 0.9) for dtype in FLOATS),
    *(_dropout(0.25, "float32", layout) for layout in LAYOUTS[1:]),
]
