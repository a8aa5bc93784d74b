"""Conformance of convolutions, against loops over windows in float64."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.base import FORMULAS, keeps_input
from nnkit.backends.windows import Window
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.vocabulary import scalar_names
from nnkit.testing.bench import Bench, Case, sample

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


def placed(bench: Bench, values: np.ndarray, order: str, kind: str = "given") -> Any:
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
                out = placed(bench, room, order, "changing")
                z = placed(bench, room, order, "changing") if keeps_input(activation) else None
                given = placed(bench, host.x, order), bench.given(host.w), None if b is None else bench.given(b)
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
                room = placed(bench, np.full(values.shape, 7, dtype), order, "changing")
                out = placed(bench, np.full((*values.shape[:2], *places), 7, dtype), order, "changing")
                given = placed(bench, host.x, order), bench.given(host.w), bench.given(host.b)
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
    dy = placed(bench, host.dy, order)
    scratch = dy if activation == "identity" else placed(bench, np.full(dz.shape, 7, dtype), order, "changing")
    dx = placed(bench, there[0], order, "changing")
    dw, db = (bench.changing(values) for values in there[1:])
    given = placed(bench, host.x, order), bench.given(host.w), placed(bench, kept, order), dy
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


# ---- normalization --------------------------------------------------------------------------------------------------


CASES = [
    *(_conv(name, dtype, order) for name, dtype in (("identity", "float64"), ("relu", "float32"), ("gelu", "float32"))
      for order in ORDERS),
    *(_conv_grad(name, dtype, order) for name, dtype in
      (("identity", "float64"), ("relu", "float32"), ("gelu", "float32")) for order in ORDERS),
    Case("conv_grad-of-some", "conv_grad", _conv_grad_of_some),
    *(_conv_pooled(name, dtype, order) for name, dtype in (("identity", "float64"), ("relu", "float32"))
      for order in ORDERS),
]  # fmt: skip
