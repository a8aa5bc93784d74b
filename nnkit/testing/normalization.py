"""Conformance of normalizations, against their definitions in float64."""

from __future__ import annotations

import itertools

import numpy as np

from nnkit.backends import Backend
from nnkit.testing.bench import FLOATS, Bench, Case, counted_for, sample
from nnkit.testing.images import Shape

#: (samples, channels, places), and the groups that they can be in.
NORMED = (((4, 3, 5), (0, 1, 3)), ((2, 33, 1), (0, 1, 33)), ((3, 4, 65), (0, 1, 2, 4)), ((1, 2, 31), (0, 2)))

EPS = 1e-3


def _statistics(
    x: np.ndarray, groups: int, centred: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, ...]]:
    """x in parts, and the mean and variance of each, with the axes that they are over."""
    parts = x.astype("float64") if groups == 0 else x.astype("float64").reshape(len(x), groups, -1)
    axes = (0, 2) if groups == 0 else (2,)
    mean = parts.mean(axis=axes, keepdims=True) if centred else np.zeros_like(parts.mean(axis=axes, keepdims=True))
    return parts, mean, ((parts - mean) ** 2).mean(axis=axes, keepdims=True), axes


def _normalize(dtype: str, centred: bool, affine: bool) -> Case:
    def check(backend: Backend) -> None:
        for shape, counts in NORMED:
            for groups, add in itertools.product(counts, (False, True)):
                _check_normalize(Bench(backend), shape, groups, dtype, centred, affine, add)

    name = f"normalize-{'centred' if centred else 'mean-square'}-{'affine' if affine else 'plain'}-{dtype}"
    return Case(name, "normalize", check)


def _check_normalize(
    bench: Bench, shape: Shape, groups: int, dtype: str, centred: bool, affine: bool, add: bool
) -> None:
    backend, x, dy = bench.backend, sample(shape, dtype, seed=1) + 1.5, sample(shape, dtype, seed=2)
    x = x.astype(dtype)
    w, b = (sample(shape[1:2], dtype, seed=k) for k in (3, 4)) if affine else (None, None)
    parts, mean, variance, axes = _statistics(x, groups, centred)
    made = ((parts - mean) / np.sqrt(variance + EPS)).reshape(shape)
    scale = np.ones((1, shape[1], 1)) if w is None else w.astype("float64").reshape(1, -1, 1)
    y = made * scale + (0.0 if b is None else b.reshape(1, -1, 1))
    given = bench.given(x), None if w is None else bench.given(w)
    statistics = shape[1:2] if groups == 0 else (shape[0], groups)
    means, variances, out = bench.output(statistics, dtype), bench.output(statistics, dtype), bench.output(shape, dtype)
    backend.normalize(*given, None if b is None else bench.given(b), groups, EPS, centred, means, variances, out)
    bench.close(means, mean.reshape(statistics), f"mean of {shape}, {groups} groups")
    bench.close(variances, variance.reshape(statistics), f"variance of {shape}, {groups} groups")
    bench.close(out, y, f"output of {shape}, {groups} groups")
    inner, of_parts = (dy * scale).reshape(parts.shape), made.reshape(parts.shape)
    rest = inner - of_parts * (inner * of_parts).mean(axis=axes, keepdims=True)
    rest = rest - (inner.mean(axis=axes, keepdims=True) if centred else 0.0)
    dx = (rest / np.sqrt(variance + EPS)).reshape(shape)
    there = [sample(shape[1:2], dtype, seed=k) for k in (5, 6)]
    dw, db = (bench.changing(values) for values in there) if affine else (None, None)
    found = bench.output(shape, dtype)
    backend.normalize_grad(*given, groups, EPS, centred, means, variances, bench.given(dy), found, dw, db, (add, add))
    bench.close(found, dx, f"dx of {shape}, {groups} groups")
    if affine:
        bench.close(dw, (dy * made).sum(axis=(0, 2)) + there[0] * add, f"dw of {shape}, {groups} groups, add {add}")
        bench.close(db, dy.astype("float64").sum(axis=(0, 2)) + there[1] * add, f"db of {shape}, {groups} groups")
    bench.finish()


def _normalize_by(dtype: str, affine: bool) -> Case:
    def check(backend: Backend) -> None:
        for shape, _ in NORMED:
            bench = Bench(backend)
            x, dy = sample(shape, dtype, seed=1), sample(shape, dtype, seed=2)
            C = shape[1]
            mean, variance = sample((C,), dtype, seed=3), sample((C,), dtype, 0.5, 2.0, seed=4)
            w, b = (sample((C,), dtype, seed=k) for k in (5, 6)) if affine else (None, None)
            wide = [a.astype("float64").reshape(1, -1, 1) for a in (mean, variance)]
            made = (x - wide[0]) / np.sqrt(wide[1] + EPS)
            scale = np.ones((1, C, 1)) if w is None else w.astype("float64").reshape(1, -1, 1)
            out, dx = bench.output(shape, dtype), bench.output(shape, dtype)
            given = bench.given(x), None if w is None else bench.given(w)
            kept = bench.given(mean), bench.given(variance)
            backend.normalize_by(*given, None if b is None else bench.given(b), EPS, *kept, out)
            bench.close(out, made * scale + (0.0 if b is None else b.reshape(1, -1, 1)), f"output of {shape}")
            dw, db = (bench.output((C,), dtype), bench.output((C,), dtype)) if affine else (None, None)
            backend.normalize_by_grad(*given, EPS, *kept, bench.given(dy), dx, dw, db, (False, False))
            bench.close(dx, dy * scale / np.sqrt(wide[1] + EPS), f"dx of {shape}")
            if affine:
                bench.close(dw, (dy * made).sum(axis=(0, 2)), f"dw of {shape}")
                bench.close(db, dy.astype("float64").sum(axis=(0, 2)), f"db of {shape}")
            bench.finish()

    return Case(f"normalize_by-{'affine' if affine else 'plain'}-{dtype}", "normalize_by", check)


CASES = [
    *(_normalize(dtype, centred, affine) for dtype in FLOATS for centred in (True, False) for affine in (True, False)),
    counted_for(_normalize("float32", True, True), "normalize_grad"),
    *(_normalize_by(dtype, affine) for dtype in FLOATS for affine in (True, False)),
    counted_for(_normalize_by("float32", True), "normalize_by_grad"),
]  # fmt: skip
