"""Conformance of convolutions, pools, patches and normalizations, against loops over windows in float64."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.base import FORMULAS, keeps_input
from nnkit.backends.windows import Window
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.vocabulary import scalar_names
from nnkit.testing.bench import FLOATS, Bench, Case, sample

Shape = tuple[int, ...]


class Layer(NamedTuple):
    """A convolution: samples, channels, places, channels out, and its window."""

    B: int
    C: int
    sizes: Shape
    O: int
    window: Window
    groups: int = 1


def window(kernel: Shape, stride: int = 1, padding: int = 0, dilation: int = 1) -> Window:
    """The same number on every axis."""
    axes = len(kernel)
    return Window(kernel, (stride,) * axes, ((padding, padding),) * axes, (dilation,) * axes)


#: Around the width of vector registers in places and in channels; every argument; no sample; more padding than places.
LAYERS = (
    Layer(2, 3, (7,), 4, window((3,), padding=1)), Layer(1, 1, (33,), 2, window((5,), 2, 2)),
    Layer(2, 1, (5, 6), 3, window((3, 3))), Layer(3, 4, (8, 31), 5, window((3, 3), padding=1)),
    Layer(2, 5, (6, 7), 33, window((1, 1))), Layer(1, 17, (9, 9), 16, window((3, 3), 2, 1)),
    Layer(2, 4, (9, 7), 6, window((3, 2), 1, 1, 2), 2), Layer(2, 6, (5, 5), 6, window((3, 3), padding=1), 6),
    Layer(2, 3, (8, 8), 6, window((2, 2), 3), 3), Layer(0, 2, (4, 4), 3, window((3, 3))),
    Layer(1, 2, (2, 3), 3, window((5, 5), padding=2)), Layer(2, 2, (3, 4, 5), 3, window((2, 3, 2), 1, 1)),
    Layer(2, 3, (6, 6), 4, Window((2, 2), (1, 1), ((0, 1), (1, 0)), (1, 1))),
    Layer(1, 2, (9, 7), 3, window((1, 1), 2)),
    Layer(3, 16, (5, 6), 16, window((3, 3), padding=1)), Layer(2, 31, (5, 6), 31, window((3, 3))),
    Layer(1, 32, (1, 4), 16, Window((3, 3), (1, 1), ((2, 1), (0, 2)), (1, 1))),
    Layer(0, 16, (4, 4), 16, window((3, 3))),
)  # fmt: skip


def seen(x: np.ndarray, w: Window) -> np.ndarray:
    """What each window sees, in float64: x (B, C, *S) -> (B, C, taps, *P)."""
    padded = np.pad(x.astype("float64"), [(0, 0), (0, 0), *w.padding])
    places = w.places(x.shape[2:])
    out = np.empty((*x.shape[:2], math.prod(w.kernel), *places))
    for k, tap in enumerate(np.ndindex(*w.kernel)):
        for at in np.ndindex(*places):
            where = [p * s + t * d for p, s, t, d in zip(at, w.stride, tap, w.dilation, strict=True)]
            out[(slice(None), slice(None), k, *at)] = padded[(slice(None), slice(None), *where)]
    return out


def spread(values: np.ndarray, w: Window, sizes: Shape) -> np.ndarray:
    """The sum at each place of what windows hold of it: the transpose of ``seen``."""
    out = np.zeros((*values.shape[:2], *w.padded(sizes)))
    for k, tap in enumerate(np.ndindex(*w.kernel)):
        for at in np.ndindex(*values.shape[3:]):
            where = [p * s + t * d for p, s, t, d in zip(at, w.stride, tap, w.dilation, strict=True)]
            out[(slice(None), slice(None), *where)] += values[(slice(None), slice(None), k, *at)]
    return out[(slice(None), slice(None), *w.inside(sizes))]


class _Host(NamedTuple):
    """A layer's arrays on the host."""

    x: np.ndarray
    w: np.ndarray
    b: np.ndarray
    dy: np.ndarray


def _host(layer: Layer, dtype: str) -> _Host:
    B, C, sizes, O, w, groups = layer
    shape = (O, C // groups, *w.kernel)
    return _Host(
        sample((B, C, *sizes), dtype, -1, 1), sample(shape, dtype, -1, 1, seed=1), sample((O,), dtype, seed=2),
        sample((B, O, *w.places(sizes)), dtype, seed=3),
    )  # fmt: skip


def _products(host: _Host, layer: Layer) -> np.ndarray:
    """The convolution without bias, in float64."""
    G = layer.groups
    windows = seen(host.x, layer.window)
    B, C, taps, *places = windows.shape
    windows = windows.reshape(B, G, C // G, taps, *places)
    w = host.w.astype("float64").reshape(G, layer.O // G, C // G, taps)
    return np.einsum("bgct...,goct->bgo...", windows, w).reshape(B, layer.O, *places)


def _gradients(host: _Host, layer: Layer, dz: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dx, dw and db from dz, in float64."""
    G = layer.groups
    windows = seen(host.x, layer.window)
    B, C, taps, *places = windows.shape
    P = math.prod(places)
    windows = windows.reshape(B, G, C // G, taps, P)
    w = host.w.astype("float64").reshape(G, layer.O // G, C // G, taps)
    parts = dz.reshape(B, G, layer.O // G, P)
    dw = np.einsum("bgctp,bgop->goct", windows, parts).reshape(host.w.shape)
    back = np.einsum("bgop,goct->bgctp", parts, w).reshape(B, C, taps, *places)
    return spread(back, layer.window, layer.sizes), dw, dz.sum(axis=(0, *range(2, dz.ndim)))


def _scalars(activation: str) -> list[float]:
    function = FORMULAS[ACTIVATIONS[activation]]
    return [(function.__kwdefaults__ or {})[name] for name in scalar_names(function)]


def _apply(formula: str, scalars: list[float], *operands: np.ndarray) -> np.ndarray:
    named = dict(zip(scalar_names(FORMULAS[formula]), scalars, strict=True))
    rows = zip(*(o.reshape(-1).tolist() for o in operands), strict=True)
    return np.reshape(np.asarray([FORMULAS[formula](*row, **named) for row in rows], "float64"), operands[0].shape)


#: Where an array (B, C, *S) lies: its channels first or last, or among other elements.
ORDERS = ("first", "last", "strided")


def _placed(bench: Bench, values: np.ndarray, order: str, kind: str = "given") -> Any:
    """An array of the bench in such an order."""
    if order != "last":
        return getattr(bench, kind)(values)
    last = (0, *range(2, values.ndim), 1)
    turned = getattr(bench, kind)(np.ascontiguousarray(values.transpose(last)))
    return bench.backend.permute(turned, (0, values.ndim - 1, *range(1, values.ndim - 1)))


def _conv(activation: str, dtype: str, order: str) -> Case:
    def check(backend: Backend) -> None:
        for layer in LAYERS:
            host, scalars = _host(layer, dtype), _scalars(activation)
            for b in (host.b, None):
                bench = Bench(backend, "strided" if order == "strided" else "contiguous")
                before = _products(host, layer)
                before = before if b is None else before + b.reshape(-1, *(1 for _ in layer.sizes))
                room = np.full(before.shape, 7, dtype)
                out = _placed(bench, room, order, "changing")
                z = _placed(bench, room, order, "changing") if keeps_input(activation) else None
                given = _placed(bench, host.x, order), bench.given(host.w), None if b is None else bench.given(b)
                backend.conv(*given, layer.window, layer.groups, activation, z, out, scalars)
                bench.close(out, _apply(ACTIVATIONS[activation], scalars, before), f"output of {layer}")
                if z is not None:
                    bench.close(z, before, f"z of {layer}")
                bench.finish()

    return Case(f"conv-{activation}-{order}-{dtype}", "conv", check)


def _conv_pooled(activation: str, dtype: str, order: str) -> Case:
    def check(backend: Backend) -> None:
        for layer in LAYERS:
            host, scalars, axes = _host(layer, dtype), _scalars(activation), len(layer.sizes)
            before = _products(host, layer) + host.b.reshape(-1, *(1 for _ in layer.sizes))
            values = _apply(ACTIVATIONS[activation], scalars, before)
            for pool in (window((2,) * axes, 2), window((2,) * axes, 1), window((3,) * axes, 2)):
                places = pool.places(values.shape[2:])
                if min(places) < 1:
                    continue
                bench = Bench(backend, "strided" if order == "strided" else "contiguous")
                room = _placed(bench, np.full(values.shape, 7, dtype), order, "changing")
                out = _placed(bench, np.full((*values.shape[:2], *places), 7, dtype), order, "changing")
                given = _placed(bench, host.x, order), bench.given(host.w), bench.given(host.b)
                backend.conv_pooled(*given, layer.window, layer.groups, activation, pool, room, out, scalars)
                bench.close(out, seen(values, pool).max(axis=2), f"output of {layer}, {pool}")
                bench.finish()

    return Case(f"conv_pooled-{activation}-{order}-{dtype}", "conv_pooled", check)


def _conv_grad(activation: str, dtype: str, order: str) -> Case:
    def check(backend: Backend) -> None:
        for layer in LAYERS:
            for add in (False, True):
                _check_conv_grad(
                    Bench(backend, "strided" if order == "strided" else "contiguous"),
                    layer,
                    activation,
                    dtype,
                    add,
                    order,
                )

    return Case(f"conv_grad-{activation}-{order}-{dtype}", "conv_grad", check)


def _check_conv_grad(bench: Bench, layer: Layer, activation: str, dtype: str, add: bool, order: str) -> None:
    host, scalars = _host(layer, dtype), _scalars(activation)
    before = _products(host, layer)
    kept = before if keeps_input(activation) else _apply(ACTIVATIONS[activation], scalars, before)
    kept = kept.astype(dtype)
    operands = host.dy.astype("float64"), kept.astype("float64")
    formula = f"{ACTIVATIONS[activation]}_grad"
    dz = operands[0] if activation == "identity" else _apply(formula, scalars, *operands)
    expected = _gradients(host, layer, dz)
    there = [sample(g.shape, dtype, seed=5 + k) for k, g in enumerate(expected)]
    dy = _placed(bench, host.dy, order)
    scratch = dy if activation == "identity" else _placed(bench, np.full(dz.shape, 7, dtype), order, "changing")
    dx = _placed(bench, there[0], order, "changing")
    dw, db = (bench.changing(values) for values in there[1:])
    given = _placed(bench, host.x, order), bench.given(host.w), _placed(bench, kept, order), dy
    bench.backend.conv_grad(*given, layer.window, layer.groups, activation, scratch, dx, dw, db, (add, add), scalars)
    bench.close(dx, expected[0], f"dx of {layer}")
    bench.close(dw, expected[1] + there[1] * add, f"dw of {layer}, add {add}")
    bench.close(db, expected[2] + there[2] * add, f"db of {layer}, add {add}")
    bench.finish()


def _conv_grad_of_some(backend: Backend) -> None:
    """Each gradient alone."""
    layer = LAYERS[3]
    host = _host(layer, "float32")
    expected = _gradients(host, layer, host.dy.astype("float64"))
    for number in range(3):
        bench = Bench(backend)
        outputs = [bench.output(g.shape, "float32") if k == number else None for k, g in enumerate(expected)]
        x, w, dy = (bench.given(values) for values in (host.x, host.w, host.dy))
        backend.conv_grad(x, w, dy, dy, layer.window, 1, "identity", dy, *outputs, (False, False))
        bench.close(outputs[number], expected[number], f"gradient {number} alone")
        bench.finish()


# ---- pools ----------------------------------------------------------------------------------------------------------

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
            out = _placed(bench, np.full(places.shape, 7, dtype), order, "changing")
            found = _placed(bench, np.full(places.shape, 7, "int64"), order, "changing")
            backend.max_pool(_placed(bench, x, order), w, out, found)
            bench.equal(found, places, f"places of {shape}, {w}")
            bench.equal(out, greatest.reshape(places.shape), f"output of {shape}, {w}")
            alone = _placed(bench, np.full(places.shape, 7, dtype), order, "changing")
            backend.max_pool(_placed(bench, x, order), w, alone, None)
            bench.equal(alone, greatest.reshape(places.shape), f"output of {shape}, {w} without places")
            dy, dx = sample(places.shape, dtype, seed=1), _placed(bench, np.full(shape, 7, dtype), order, "changing")
            expected = np.zeros((*shape[:2], math.prod(shape[2:])))
            for at in np.ndindex(*places.shape):
                expected[at[0], at[1], places[at]] += dy[at]
            backend.max_pool_grad(_placed(bench, dy, order), found, w, dx)
            bench.close(dx, expected.reshape(shape), f"dx of {shape}, {w}")
            bench.finish()

    return Case(f"max_pool-{order}-{dtype}", "max_pool", check)


def _sum_pool(dtype: str, order: str) -> Case:
    def check(backend: Backend) -> None:
        for shape, w in POOLS:
            bench = Bench(backend, "strided" if order == "strided" else "contiguous")
            x = sample(shape, dtype)
            expected = 0.25 * seen(x, w).sum(axis=2)
            out = _placed(bench, np.full(expected.shape, 7, dtype), order, "changing")
            backend.sum_pool(_placed(bench, x, order), w, 0.25, out)
            bench.close(out, expected, f"output of {shape}, {w}")
            dy, dx = sample(expected.shape, dtype, seed=1), _placed(bench, np.full(shape, 7, dtype), order, "changing")
            backend.sum_pool_grad(_placed(bench, dy, order), w, 0.25, dx)
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


# ---- normalization --------------------------------------------------------------------------------------------------

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


def _named(case: Case, primitive: str) -> Case:
    """The same check, counted for the gradient's primitive too."""
    return case._replace(id=f"{case.id}-{primitive}", primitive=primitive)


CASES = [
    *(_conv(name, dtype, order) for name, dtype in (("identity", "float64"), ("relu", "float32"), ("gelu", "float32"))
      for order in ORDERS),
    *(_conv_grad(name, dtype, order) for name, dtype in
      (("identity", "float64"), ("relu", "float32"), ("gelu", "float32")) for order in ORDERS),
    Case("conv_grad-of-some", "conv_grad", _conv_grad_of_some),
    *(_conv_pooled(name, dtype, order) for name, dtype in (("identity", "float64"), ("relu", "float32"))
      for order in ORDERS),
    *(_max_pool(dtype, order) for dtype in FLOATS for order in ORDERS),
    _named(_max_pool("float32", "first"), "max_pool_grad"),
    *(_sum_pool(dtype, order) for dtype in FLOATS for order in ORDERS),
    _named(_sum_pool("float32", "first"), "sum_pool_grad"),
    *(_patches(dtype) for dtype in FLOATS), _named(_patches("float32"), "patches_grad"),
    *(_normalize(dtype, centred, affine) for dtype in FLOATS for centred in (True, False) for affine in (True, False)),
    _named(_normalize("float32", True, True), "normalize_grad"),
    *(_normalize_by(dtype, affine) for dtype in FLOATS for affine in (True, False)),
    _named(_normalize_by("float32", True), "normalize_by_grad"),
]  # fmt: skip
