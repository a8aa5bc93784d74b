"""Conformance of pools and patches, against loops over windows in float64."""

from __future__ import annotations

import math

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.windows import Window
from nnkit.testing.bench import FLOATS, Bench, Case, counted_for, sample
from nnkit.testing.images import ORDERS, placed, seen, spread, window

#: Shape of an array, and a window.
POOLS = (
    ((2, 3, 8), window((2,), 2)), ((2, 3, 9), window((3,), 2, 1)), ((2, 3, 6, 8), window((2, 2), 2)),
    ((2, 33, 7, 7), window((3, 3), 2, 1)), ((1, 2, 5, 33), window((2, 3), 1, 0, 2)), ((0, 2, 4, 4), window((2, 2), 2)),
    ((1, 2, 4, 4, 5), window((2, 2, 2), 2)), ((1, 2, 4, 70), window((2, 2), 2)), ((1, 1, 5, 37), window((2, 3), 2, 1)),
    ((2, 2, 5, 5), Window((2, 2), (2, 2), ((0, 1), (0, 1)), (1, 1))),
)  # fmt: skip


def _max_pool(dtype: str, order: str) -> Case:
    def check(backend: Backend) -> None:
        for shape, w in POOLS:
            bench = Bench(backend, "strided" if order == "strided" else "contiguous")
            x = np.round(sample(shape, dtype, -4, 4))  # some are equal
            x.reshape(-1)[3::29], x.reshape(-1)[7::31] = np.nan, -np.inf
            number = np.arange(math.prod(shape[2:]), dtype="float64").reshape(1, 1, *shape[2:]) + 1
            numbers = seen(np.broadcast_to(number, shape), w).astype(int) - 1
            values = np.where(numbers < 0, -np.inf, seen(np.nan_to_num(x, nan=1e9, neginf=-1e9), w))
            best = np.argmax(values, axis=2, keepdims=True)
            places = np.take_along_axis(numbers, best, 2)[:, :, 0]
            flat = places.reshape(*shape[:2], math.prod(places.shape[2:]))
            greatest = np.take_along_axis(x.reshape(*shape[:2], math.prod(shape[2:])), flat, 2)
            out = placed(bench, np.full(places.shape, 7, dtype), order, "changing")
            found = placed(bench, np.full(places.shape, 7, "int64"), order, "changing")
            backend.max_pool(placed(bench, x, order), w, out, found)
            bench.equal(found, places, f"places of {shape}, {w}")
            bench.equal(out, greatest.reshape(places.shape), f"output of {shape}, {w}")
            alone = placed(bench, np.full(places.shape, 7, dtype), order, "changing")
            backend.max_pool(placed(bench, x, order), w, alone, None)
            bench.equal(alone, greatest.reshape(places.shape), f"output of {shape}, {w} without places")
            dy, dx = sample(places.shape, dtype, seed=1), placed(bench, np.full(shape, 7, dtype), order, "changing")
            expected = np.zeros((*shape[:2], math.prod(shape[2:])))
            for at in np.ndindex(*places.shape):
                expected[at[0], at[1], places[at]] += dy[at]
            backend.max_pool_grad(placed(bench, dy, order), found, w, dx)
            bench.close(dx, expected.reshape(shape), f"dx of {shape}, {w}")
            bench.finish()

    return Case(f"max_pool-{order}-{dtype}", "max_pool", check)


def _sum_pool(dtype: str, order: str) -> Case:
    def check(backend: Backend) -> None:
        for shape, w in POOLS:
            bench = Bench(backend, "strided" if order == "strided" else "contiguous")
            x = sample(shape, dtype)
            expected = 0.25 * seen(x, w).sum(axis=2)
            out = placed(bench, np.full(expected.shape, 7, dtype), order, "changing")
            backend.sum_pool(placed(bench, x, order), w, 0.25, out)
            bench.close(out, expected, f"output of {shape}, {w}")
            dy, dx = sample(expected.shape, dtype, seed=1), placed(bench, np.full(shape, 7, dtype), order, "changing")
            backend.sum_pool_grad(placed(bench, dy, order), w, 0.25, dx)
            every = np.repeat(0.25 * dy.astype("float64")[:, :, None], math.prod(w.kernel), axis=2)
            bench.close(dx, spread(every, w, shape[2:]), f"dx of {shape}, {w}")
            bench.finish()

    return Case(f"sum_pool-{order}-{dtype}", "sum_pool", check)


def _patches(dtype: str) -> Case:
    def check(backend: Backend) -> None:
        for shape, w in POOLS:
            bench = Bench(backend)
            x = sample(shape, dtype)
            expected = seen(x, w)
            out, dx = bench.output(expected.shape, dtype), bench.output(shape, dtype)
            backend.patches(bench.given(x), w, out)
            bench.equal(out, expected.astype(dtype), f"patches of {shape}, {w}")
            dy = sample(expected.shape, dtype, seed=1)
            backend.patches_grad(bench.given(dy), w, dx)
            bench.close(dx, spread(dy.astype("float64"), w, shape[2:]), f"dx of {shape}, {w}")
            bench.finish()

    return Case(f"patches-{dtype}", "patches", check)


CASES = [
    *(_max_pool(dtype, order) for dtype in FLOATS for order in ORDERS),
    counted_for(_max_pool("float32", "first"), "max_pool_grad"),
    *(_sum_pool(dtype, order) for dtype in FLOATS for order in ORDERS),
    counted_for(_sum_pool("float32", "first"), "sum_pool_grad"),
    *(_patches(dtype) for dtype in FLOATS), counted_for(_patches("float32"), "patches_grad"),
]  # fmt: skip
