"""Conformance of ``reduce`` and ``arg_reduce``, and of ``softmax``, ``softmax_grad``, ``cross_entropy`` over rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.testing.bench import FLOATS, LAYOUTS, SIZES, Bench, Case, sample

#: Shape and axes of a reduction.
REDUCTIONS = (
    *(((n,), (0,)) for n in SIZES), *(((3, n), (1,)) for n in SIZES), *(((n, 3), (0,)) for n in SIZES),
    ((), ()), ((3, 4), (0, 1)), ((2, 33, 3), (1,)), ((2, 33, 3), (0, 2)), ((2, 3, 31), (0, 1, 2)),
    ((0, 3), (0,)), ((3, 0), (0,)),
)  # fmt: skip


def _reduce(kind: str, dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for shape, axes in REDUCTIONS:
            if kind in ("max", "min") and 0 in [shape[axis] for axis in axes]:
                continue  # of no elements there is no greatest
            # Factors around 1 keep a product in range; for "any" and "all", mostly zeros and mostly not.
            low, high = {"prod": (0.5, 1.5), "any": (-1, 1.1), "all": (0.9, 9)}.get(kind, (-4, 4))
            values = sample(shape, dtype, low, high)
            wide = values.astype("float64") if values.dtype.kind == "f" else values
            for keepdims in (False, True):
                expected = np.asarray(getattr(np, kind)(wide, axis=axes, keepdims=keepdims))
                bench = Bench(backend, layout)
                out = bench.output(expected.shape, "bool" if kind in ("any", "all") else dtype)
                backend.reduce(kind, bench.given(values), axes, out)
                bench.close(out, expected, f"{kind} of {shape} over {axes}")
                bench.finish()

    return Case(f"reduce-{kind}-{layout}-{dtype}", "reduce", check)


def _reduce_not_finite(backend: Backend) -> None:
    """NaN and infinity come through."""
    for dtype in FLOATS:
        for kind, values, expected in (
            ("sum", [1.0, np.nan], np.nan), ("max", [1.0, np.nan], np.nan), ("min", [np.nan, 1.0], np.nan),
            ("sum", [1.0, np.inf], np.inf), ("max", [-np.inf, -np.inf], -np.inf), ("prod", [np.inf, 0.0], np.nan),
        ):  # fmt: skip
            bench = Bench(backend)
            out = bench.output((), dtype)
            backend.reduce(kind, bench.given(values * 16, dtype), (0,), out)
            bench.close(out, expected, f"{kind} of {values}")


def _reduce_many(backend: Backend) -> None:
    """A float32 sum of many terms keeps its digits: its error may not grow with their number."""
    values = sample((100_000,), "float32", 0, 2)
    bench = Bench(backend)
    out = bench.output((), "float32")
    backend.reduce("sum", bench.given(values), (0,), out)
    bench.close(out, values.sum(dtype="float64"))


def _arg_reduce(kind: str, dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for shape, axes in REDUCTIONS:
            if len(axes) != 1 or shape[axes[0]] == 0:
                continue
            values = np.round(sample(shape, dtype, -4, 4))  # few values: ties, of which the first counts
            bench = Bench(backend, layout)
            expected = getattr(np, kind)(values, axis=axes[0])
            out = bench.output(expected.shape, "int64")
            backend.arg_reduce(kind, bench.given(values, dtype), axes[0], out)
            bench.equal(out, expected, f"{kind} of {shape} along {axes[0]}")
            bench.finish()

    return Case(f"arg_reduce-{kind}-{layout}-{dtype}", "arg_reduce", check)


# ---- rows of classes ----------------------------------------------------------------------------------------

ROWS = (*((3, n) for n in SIZES[1:]), *((n, 3) for n in SIZES), (32,), (2, 5, 10))


def _softmax(values: np.ndarray, log: bool) -> np.ndarray:
    wide = values.astype("float64")
    shifted = wide - wide.max(axis=-1, keepdims=True)
    logarithm = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logarithm if log else np.exp(logarithm)


def _softmax_case(log: bool, dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for shape in ROWS:
            bench = Bench(backend, layout)
            values = sample(shape, dtype, -6, 6)
            out = bench.output(shape, dtype)
            backend.softmax(bench.given(values), log, out)
            bench.close(out, _softmax(values, log), f"log={log}, {shape}")
            bench.finish()

    return Case(f"softmax-{'log' if log else 'plain'}-{layout}-{dtype}", "softmax", check)


def _softmax_extremes(log: bool) -> Case:
    """Large logits neither overflow nor lose the differences between them; minus infinity excludes a class."""

    def check(backend: Backend) -> None:
        rows = np.array([[1e4, 1e4 + 1, 1e4 + 2], [-1e4, -1e4 + 1, -1e4], [0, -np.inf, 1], [3e38, -3e38, 0]])
        for dtype in FLOATS:
            bench = Bench(backend)
            out = bench.output(rows.shape, dtype)
            backend.softmax(bench.given(rows, dtype), log, out)
            bench.close(out, _softmax(rows.astype(dtype), log))
            bench.finish()

    return Case(f"softmax-extremes-{'log' if log else 'plain'}", "softmax", check)


def _softmax_grad(log: bool, dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for shape in ROWS:
            bench = Bench(backend, layout)
            y, dy = _softmax(sample(shape, dtype, -3, 3), log).astype(dtype), sample(shape, dtype, seed=1)
            wide, dwide = y.astype("float64"), dy.astype("float64")
            expected = dwide - np.exp(wide) * dwide.sum(axis=-1, keepdims=True)
            if not log:
                expected = wide * (dwide - (dwide * wide).sum(axis=-1, keepdims=True))
            out = bench.output(shape, dtype)
            backend.softmax_grad(bench.given(dy), bench.given(y), log, out)
            bench.close(out, expected, f"log={log}, {shape}")
            bench.finish()

    return Case(f"softmax_grad-{'log' if log else 'plain'}-{layout}-{dtype}", "softmax_grad", check)


def _cross_entropy_by_hand(z: np.ndarray, labels: np.ndarray, weights: Any) -> tuple[np.ndarray, np.ndarray]:
    weight = np.ones(len(z)) if weights is None else weights.astype("float64")
    right = np.eye(z.shape[1])[labels]
    rows = np.arange(len(z))
    return -weight * _softmax(z, True)[rows, labels], weight[:, None] * (_softmax(z, False) - right)


def _cross_entropy(weighted: bool, dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for shape in (*((3, n) for n in SIZES[1:]), *((n, 3) for n in SIZES)):
            bench = Bench(backend, layout)
            z, labels = sample(shape, dtype, -6, 6), sample(shape[:1], "int64", 0, shape[1], seed=1)
            weights = sample(shape[:1], dtype, 0, 2, seed=2) if weighted else None
            loss, dz = bench.output(shape[:1], dtype), bench.output(shape, dtype)
            given = None if weights is None else bench.given(weights)
            backend.cross_entropy(bench.given(z), bench.given(labels), given, loss, dz)
            expected = _cross_entropy_by_hand(z, labels, weights)
            bench.close(loss, expected[0], f"loss of {shape}")
            bench.close(dz, expected[1], f"gradient of {shape}")
            bench.finish()

    return Case(f"cross_entropy-{'weighted' if weighted else 'plain'}-{layout}-{dtype}", "cross_entropy", check)


def _cross_entropy_extremes(backend: Backend) -> None:
    """Large logits neither overflow nor lose the differences between them; an excluded class costs nothing."""
    z = np.array([[1e4, 1e4 + 1, 1e4 + 2], [-1e4, -1e4 + 1, -1e4], [0, -np.inf, 1], [1e38, 0, 0]])
    labels = np.array([2, 0, 2, 0])
    for dtype in FLOATS:
        bench = Bench(backend)
        loss, dz = bench.output((4,), dtype), bench.output(z.shape, dtype)
        backend.cross_entropy(bench.given(z, dtype), bench.given(labels), None, loss, dz)
        expected = _cross_entropy_by_hand(z.astype(dtype), labels, None)
        bench.close(loss, expected[0], "loss")
        bench.close(dz, expected[1], "gradient")


LOGS = (False, True)
CASES = [
    *(_reduce(k, dtype, "contiguous") for k in ("sum", "prod", "max", "min") for dtype in (*FLOATS, "int64")),
    *(_reduce(k, "float32", layout) for k in ("sum", "max") for layout in LAYOUTS[1:]),
    *(_reduce(k, "bool", layout) for k in ("any", "all") for layout in LAYOUTS),
    Case("reduce-not-finite", "reduce", _reduce_not_finite),
    Case("reduce-many", "reduce", _reduce_many),
    *(_arg_reduce(k, dtype, "contiguous") for k in ("argmax", "argmin") for dtype in (*FLOATS, "int64")),
    _arg_reduce("argmax", "float32", "strided"),
    *(_softmax_case(log, dtype, layout) for log in LOGS for dtype in FLOATS for layout in LAYOUTS),
    *(_softmax_extremes(log) for log in LOGS),
    *(_softmax_grad(log, dtype, layout) for log in LOGS for dtype in FLOATS for layout in LAYOUTS),
    *(_cross_entropy(w, dtype, layout) for w in (False, True) for dtype in FLOATS for layout in LAYOUTS),
    Case("cross_entropy-extremes", "cross_entropy", _cross_entropy_extremes),
]
