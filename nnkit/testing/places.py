"""Conformance of moving elements by number and by order, and of linear algebra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.testing.bench import FLOATS, LAYOUTS, Bench, Case, sample

#: A shape, an axis of it, and how many elements are moved along that.
MOVES = (
    ((5,), 0, 7),
    ((1,), 0, 3),
    ((33, 3), 0, 31),
    ((3, 33), 1, 2),
    ((2, 4, 3), 1, 5),
    ((2, 3), 1, 0),
    ((0, 3), 1, 2),
)
FOLDS: dict[str, Any] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _numbers(shape: tuple[int, ...], axis: int, count: int) -> np.ndarray:
    """Places along the axis, some of them twice."""
    wanted = (*shape[:axis], count, *shape[axis + 1 :])
    return sample(wanted, "int64", 0, max(shape[axis], 1), seed=1)


def _gather(dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for shape, axis, count in MOVES:
            bench = Bench(backend, layout)
            x, indices = sample(shape, dtype, -9, 9), _numbers(shape, axis, count)
            out = bench.output(indices.shape, dtype)
            backend.gather(bench.given(x), bench.given(indices), axis, out)
            bench.equal(out, np.take_along_axis(x, indices, axis), f"{count} along axis {axis} of {shape}")
            bench.finish()

    return Case(f"gather-{layout}-{dtype}", "gather", check)


def _scatter(kind: str, dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for shape, axis, count in MOVES:
            bench = Bench(backend, layout)
            there, indices = sample(shape, dtype, 1, 2), _numbers(shape, axis, count)
            y = sample(indices.shape, dtype, -2, 2, seed=2)
            expected = there.astype("int64" if dtype == "int64" else "float64")
            places: list[Any] = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
            for k in range(count):
                part = (slice(None),) * axis + (slice(k, k + 1),)
                at = [p if p.shape[axis] == 1 else p[part] for p in places]
                at[axis] = indices[part]
                before, come = expected[tuple(at)], y[part]
                expected[tuple(at)] = come if kind == "set" else FOLDS[kind](before, come)
            out = bench.changing(there)
            backend.scatter(kind, bench.given(y), bench.given(indices), axis, out)
            bench.close(out, expected, f"{kind} {count} along axis {axis} of {shape}")
            bench.finish()

    return Case(f"scatter-{kind}-{layout}-{dtype}", "scatter", check)


def _with_nan(x: np.ndarray) -> np.ndarray:
    """Every fourth number is NaN, where the type has it."""
    if x.dtype.kind == "f":
        x.reshape(-1)[1::4] = np.nan
    return x


def _sort(dtype: str, descending: bool, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for shape, axis, _ in MOVES:
            bench = Bench(backend, layout)
            x = _with_nan(np.floor(sample(shape, dtype, -3, 3)).astype(dtype))
            key = np.flip(x, axis) if descending else x
            order = np.argsort(key, axis, kind="stable")
            if descending:
                order = np.flip(shape[axis] - 1 - order, axis)
            values, places = bench.output(shape, dtype), bench.output(shape, "int64")
            backend.sort(bench.given(x), axis, descending, values, places)
            bench.equal(places, order, f"places along axis {axis} of {shape}")
            bench.equal(values, np.take_along_axis(x, order, axis), f"axis {axis} of {shape}")
            bench.finish()

    return Case(f"sort-{'down' if descending else 'up'}-{layout}-{dtype}", "sort", check)


SCANS: dict[str, Any] = {
    "sum": np.cumsum, "prod": np.cumprod, "max": np.maximum.accumulate, "min": np.minimum.accumulate,
}  # fmt: skip


def _scan(kind: str, dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for shape, axis, _ in MOVES:
            bench = Bench(backend, layout)
            x = sample(shape, dtype, -2, 2)
            wide = x.astype("int64" if dtype == "int64" else "float64")
            out = bench.output(shape, dtype)
            backend.scan(kind, bench.given(x), axis, out)
            bench.close(out, SCANS[kind](wide, axis=axis), f"axis {axis} of {shape}")
            bench.finish()

    return Case(f"scan-{kind}-{layout}-{dtype}", "scan", check)


#: Shapes of the edges and of what is searched for.
SEARCHES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((5,), (7,)), ((1,), ()), ((33,), (2, 3)), ((0,), (3,)), ((2, 4), (2, 3)), ((2, 1, 3), (2, 1, 5)),
)  # fmt: skip


def _search(dtype: str, right: bool) -> Case:
    def check(backend: Backend) -> None:
        side: Any = "right" if right else "left"
        for edges, x in SEARCHES:
            bench = Bench(backend)
            table = np.sort(np.floor(sample(edges, dtype, -3, 3)).astype(dtype), axis=-1)
            wanted = np.floor(sample(x, dtype, -4, 4, seed=3)).astype(dtype)
            out = bench.output(x, "int64")
            backend.search(bench.given(table), bench.given(wanted), right, out)
            if len(edges) == 1:
                expected = np.searchsorted(table, wanted, side)
            else:
                rows = zip(table.reshape(-1, edges[-1]), wanted.reshape(-1, x[-1]), strict=True)
                expected = np.stack([np.searchsorted(e, w, side) for e, w in rows]).reshape(x)
            bench.equal(out, expected, f"{x} among {edges}")
            bench.finish()

    return Case(f"search-{'right' if right else 'left'}-{dtype}", "search", check)


def _matrices(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Matrices that have an inverse, symmetric and positive definite."""
    x = sample(shape, "float64")
    return (x @ x.swapaxes(-1, -2) + np.eye(shape[-1])).astype(dtype)


def _mT(x: np.ndarray) -> np.ndarray:
    return x.swapaxes(-1, -2)


#: Kind -> the shapes of the outputs for matrices (..., n, n), and what they must make again.
FACTORS: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "inv": (("mm",), lambda a, x: (a @ x, np.broadcast_to(np.eye(a.shape[-1]), a.shape))),
    "cholesky": (("mm",), lambda a, x: (x @ _mT(x), a)),
    "det": (("",), lambda a, d: (d, np.linalg.det(a))),
    "slogdet": (("", ""), lambda a, s, d: (s * np.exp(d), np.linalg.det(a))),
    "eigh": (("m", "mm"), lambda a, w, v: (v * w[..., None, :] @ _mT(v), a)),
    "qr": (("mm", "mm"), lambda a, q, r: (q @ r, a)),
    "qr_complete": (("mm", "mm"), lambda a, q, r: (q @ r, a)),
    "svd": (("mm", "m", "mm"), lambda a, u, s, v: (u * s[..., None, :] @ v, a)),
    "svd_full": (("mm", "m", "mm"), lambda a, u, s, v: (u * s[..., None, :] @ v, a)),
}


def _factorize(kind: str, dtype: str) -> Case:
    def check(backend: Backend) -> None:
        axes, again = FACTORS[kind]
        for shape in ((3, 3), (1, 1), (2, 4, 4)):
            bench = Bench(backend)
            a = _matrices(shape, dtype)
            out = [bench.output((*shape[:-2], *shape[-2:][: len(which)]), dtype) for which in axes]
            backend.factorize(kind, (bench.given(a),), out)
            found, expected = again(a, *(backend.to_numpy(o).astype("float64") for o in out))
            scale = 2e-4 if dtype == "float32" else 1e-10
            np.testing.assert_allclose(found, expected, scale, scale, err_msg=f"{kind} of {shape}")
            bench.finish()

    return Case(f"factorize-{kind}-{dtype}", "factorize", check)


def _solve(dtype: str) -> Case:
    def check(backend: Backend) -> None:
        bench = Bench(backend)
        a, b = _matrices((2, 4, 4), dtype), sample((2, 4, 3), dtype)
        out = bench.output((2, 4, 3), dtype)
        backend.factorize("solve", (bench.given(a), bench.given(b)), (out,))
        found = a @ backend.to_numpy(out).astype("float64")
        np.testing.assert_allclose(found, b, *(2e-4,) * 2 if dtype == "float32" else (1e-10,) * 2)
        bench.finish()

    return Case(f"factorize-solve-{dtype}", "factorize", check)


CASES = [
    *(_gather(dtype, layout) for dtype in (*FLOATS, "int64") for layout in LAYOUTS),
    *(_scatter(kind, "float32", layout) for kind in ("set", "add") for layout in LAYOUTS),
    *(_scatter(kind, dtype, "contiguous") for kind in ("set", *FOLDS) for dtype in ("float64", "int64")),
    *(_sort(dtype, down, "contiguous") for dtype in (*FLOATS, "int64") for down in (False, True)),
    *(_sort("float32", False, layout) for layout in LAYOUTS[1:]),
    *(_scan(kind, dtype, "contiguous") for kind in SCANS for dtype in (*FLOATS, "int64")),
    *(_scan("sum", "float32", layout) for layout in LAYOUTS[1:]),
    *(_search(dtype, right) for dtype in ("float32", "int64") for right in (False, True)),
    *(_factorize(kind, dtype) for kind in FACTORS for dtype in FLOATS),
    *(_solve(dtype) for dtype in FLOATS),
]
