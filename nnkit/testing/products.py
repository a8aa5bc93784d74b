"""Conformance of ``matmul``, ``linear`` and ``linear_grad``: sizes, views, activations, adding to what is there, and
operands in half types."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.base import FORMULAS, keeps_input
from nnkit.backends.precision import HALF_TYPES
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.vocabulary import scalar_names
from nnkit.testing.bench import FLOATS, LAYOUTS, SIZES, Bench, Case, sample

Shape = tuple[int, ...]
#: Shapes of two factors.
PRODUCTS = (
    *(((n, 5), (5, 3)) for n in SIZES), *(((3, n), (n, 2)) for n in SIZES),
    *(((2, 5), (5, n)) for n in SIZES),
    ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)),
)  # fmt: skip


def _matmul(dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for left, right in PRODUCTS:
            bench = Bench(backend, layout)
            x, y = sample(left, dtype, -3, 3), sample(right, dtype, -3, 3, seed=1)
            expected = np.matmul(x.astype("float64"), y.astype("float64"))
            out = bench.output(expected.shape, dtype)
            backend.matmul(bench.given(x), bench.given(y), out)
            bench.close(out, expected, f"{left} times {right}")
            bench.finish()

    return Case(f"matmul-{layout}-{dtype}", "matmul", check)


def _matmul_transposed(turned: tuple[int, ...], dtype: str) -> Case:
    def check(backend: Backend) -> None:
        bench = Bench(backend)
        x, y = sample((31, 33), dtype), sample((33, 5), dtype, seed=1)
        arrays = []
        for values, turn in ((x, turned[0]), (y, turned[1])):
            arrays.append(backend.permute(bench.given(values.T), (1, 0)) if turn else bench.given(values))
        out = bench.output((31, 5), dtype)
        backend.matmul(*arrays, out)
        bench.close(out, x.astype("float64") @ y.astype("float64"))
        bench.finish()

    return Case(f"matmul-transposed-{turned[0]}-{turned[1]}-{dtype}", "matmul", check)


# ---- the linear layer -----------------------------------------------------------------------------------------


def _activation_scalars(activation: str) -> list[float]:
    """Scalars for an activation that are not its defaults."""
    function = FORMULAS[ACTIVATIONS[activation]]
    return [0.75 * (function.__kwdefaults__ or {})[name] for name in scalar_names(function)]


def _apply(formula: str, scalars: list[float], *operands: np.ndarray) -> np.ndarray:
    """A formula on Python floats, element by element."""
    named = dict(zip(scalar_names(FORMULAS[formula]), scalars, strict=True))
    values = [FORMULAS[formula](*row, **named) for row in zip(*(o.reshape(-1).tolist() for o in operands), strict=True)]
    return np.reshape(np.asarray(values, "float64"), operands[0].shape)


def _forward(x: np.ndarray, w: np.ndarray, b: Any, activation: str) -> tuple[np.ndarray, np.ndarray]:
    z = x.astype("float64") @ w.astype("float64").T
    z = z if b is None else z + b
    return z, _apply(ACTIVATIONS[activation], _activation_scalars(activation), z)


#: Rows, inputs and outputs of a layer.
LAYERS = ((0, 3, 2), (1, 1, 1), (5, 31, 3), (5, 32, 3), (5, 33, 3), (31, 4, 33), (33, 4, 31), (4, 0, 3), (3, 4, 0))


def _linear(activation: str, dtype: str, layout: str, layers: tuple[Shape, ...]) -> Case:
    def check(backend: Backend) -> None:
        for M, I, O in layers:
            x, w = sample((M, I), dtype, -1, 1), sample((O, I), dtype, -1, 1, seed=1)
            for b in (sample((O,), dtype, seed=2), None):
                bench = Bench(backend, layout)
                out = bench.output((M, O), dtype)
                z = bench.output((M, O), dtype) if keeps_input(activation) else None
                given = None if b is None else bench.given(b)
                scalars = _activation_scalars(activation)
                backend.linear(bench.given(x), bench.given(w), given, activation, z, out, scalars)
                before, after = _forward(x, w, b, activation)
                bench.close(out, after, f"output of {M, I, O}, bias {b is not None}")
                if z is not None:
                    bench.close(z, before, f"z of {M, I, O}, bias {b is not None}")
                bench.finish()

    return Case(f"linear-{activation}-{layout}-{dtype}", "linear", check)


def _linear_grad(activation: str, dtype: str, layout: str, layers: tuple[Shape, ...]) -> Case:
    def check(backend: Backend) -> None:
        for M, I, O in layers:
            for add in ((False, False), (True, True)):
                _check_linear_grad(Bench(backend, layout), (M, I, O), activation, dtype, add, (True, True, True))

    return Case(f"linear_grad-{activation}-{layout}-{dtype}", "linear_grad", check)


def _linear_grad_parts(activation: str) -> Case:
    """Every choice of what is wanted (dx, dw, db) and of what is added to (dw, db)."""

    def check(backend: Backend) -> None:
        for wanted in np.ndindex(2, 2, 2):
            for add in np.ndindex(2, 2):
                parts = (bool(wanted[0]), bool(wanted[1]), bool(wanted[2]))
                _check_linear_grad(
                    Bench(backend), (5, 33, 31), activation, "float32", (bool(add[0]), bool(add[1])), parts
                )

    return Case(f"linear_grad-parts-{activation}", "linear_grad", check)


def _check_linear_grad(
    bench: Bench, sizes: Shape, activation: str, dtype: str, add: tuple[bool, bool], wanted: tuple[bool, bool, bool]
) -> None:
    M, I, O = sizes
    x, w = sample((M, I), dtype, -1, 1), sample((O, I), dtype, -1, 1, seed=1)
    dy = sample((M, O), dtype, -1, 1, seed=3)
    before, after = _forward(x, w, None, activation)
    kept = (before if keeps_input(activation) else after).astype(dtype)
    scalars = _activation_scalars(activation)
    dz = _apply(f"{ACTIVATIONS[activation]}_grad", scalars, dy, kept)
    there = sample((O, I), dtype, seed=4), sample((O,), dtype, seed=5)
    expected = (
        dz @ w.astype("float64"),
        dz.T @ x.astype("float64") + (there[0] if add[0] else 0),
        dz.sum(axis=0) + (there[1] if add[1] else 0),
    )
    dx = bench.output((M, I), dtype) if wanted[0] else None
    dw = bench.changing(there[0]) if wanted[1] else None
    db = bench.changing(there[1]) if wanted[2] else None
    incoming = bench.given(dy)
    # The gradient of identity is dy itself, and needs no memory of its own.
    scratch = incoming if activation == "identity" else bench.output((M, O), dtype)
    bench.backend.linear_grad(
        bench.given(x), bench.given(w), bench.given(kept), incoming, activation, scratch, dx, dw, db, add, scalars
    )
    for name, out, value in zip(("dx", "dw", "db"), (dx, dw, db), expected, strict=True):
        if out is not None:
            bench.close(out, value, f"{name} of {sizes}, add {add}, wanted {wanted}")
    bench.finish()


# ---- operands in half types -------------------------------------------------------------------------------------


def _half(values: np.ndarray, half: str) -> np.ndarray:
    return _apply(f"round_to_{half}", [], values)


def _half_matmul(half: str) -> Case:
    """Operands that ``rounded`` gave, also transposed; sums and results in float32."""

    def check(backend: Backend) -> None:
        for left, right in PRODUCTS:
            bench = Bench(backend)
            x, y = sample(left, "float32", -3, 3), sample(right, "float32", -3, 3, seed=1)
            expected = np.matmul(_half(x, half), _half(y, half))
            operands = [backend.rounded(bench.given(values), half) for values in (x, y)]
            out, turned = bench.output(expected.shape, "float32"), bench.output(expected.shape, "float32")
            backend.matmul(*operands, out)
            bench.close(out, expected, f"{left} times {right}")
            views = [backend.rounded(bench.given(np.swapaxes(values, -1, -2)), half) for values in (x, y)]
            backend.matmul(*(_swapped(backend, view) for view in views), turned)
            bench.close(turned, expected, f"{left} times {right}, transposed")
            bench.finish()

    return Case(f"matmul-{half}", "matmul", check)


def _swapped(backend: Backend, x: Any) -> Any:
    axes = range(len(x.shape))
    return backend.permute(x, (*axes[:-2], axes[-1], axes[-2]))


def _half_linear(half: str, activation: str) -> Case:
    def check(backend: Backend) -> None:
        for M, I, O in LAYERS:
            x, w, b = sample((M, I), "float32"), sample((O, I), "float32", seed=1), sample((O,), "float32", seed=2)
            bench = Bench(backend)
            out = bench.output((M, O), "float32")
            z = bench.output((M, O), "float32") if keeps_input(activation) else None
            a, v = (backend.rounded(bench.given(values), half) for values in (x, w))
            backend.linear(a, v, bench.given(b), activation, z, out, _activation_scalars(activation))
            before, after = _forward(_half(x, half), _half(w, half), b, activation)
            bench.close(out, after, f"output of {M, I, O}")
            if z is not None:
                bench.close(z, before, f"z of {M, I, O}")
            bench.finish()

    return Case(f"linear-{half}-{activation}", "linear", check)


def _half_linear_grad(half: str, activation: str) -> Case:
    """Activations whose dz is exact, because a last bit of it would decide how it is rounded."""

    def check(backend: Backend) -> None:
        for M, I, O in LAYERS:
            for add in ((False, False), (True, True)):
                for wanted in ((True, True, True), (True, False, False), (False, True, False), (False, False, True)):
                    _check_half_linear_grad(Bench(backend), (M, I, O), (half, activation), add, wanted)

    return Case(f"half_linear_grad-{half}-{activation}", "half_linear_grad", check)


def _check_half_linear_grad(
    bench: Bench, sizes: Shape, kind: tuple[str, str], add: tuple[bool, bool], wanted: tuple[bool, bool, bool]
) -> None:
    (M, I, O), (half, activation), backend = sizes, kind, bench.backend
    x, w = sample((M, I), "float32", -1, 1), sample((O, I), "float32", -1, 1, seed=1)
    dy, kept = sample((M, O), "float32", -1, 1, seed=3), sample((M, O), "float32", -1, 1, seed=6)
    dz = _apply(f"{ACTIVATIONS[activation]}_grad", [], dy, kept)
    there = sample((O, I), "float32", seed=4), sample((O,), "float32", seed=5)
    expected = (
        _half(dz, half) @ _half(w, half),
        _half(dz, half).T @ _half(x, half) + (there[0] if add[0] else 0),
        dz.sum(axis=0) + (there[1] if add[1] else 0),
    )
    dx = bench.output((M, I), "float32") if wanted[0] else None
    dw = bench.changing(there[0]) if wanted[1] else None
    db = bench.changing(there[1]) if wanted[2] else None
    incoming = bench.given(dy)
    scratch = incoming if activation == "identity" else bench.output((M, O), "float32")
    a, v = (backend.rounded(bench.given(values), half) for values in (x, w))
    backend.half_linear_grad(half, a, v, bench.given(kept), incoming, activation, scratch, dx, dw, db, add)
    for name, out, value in zip(("dx", "dw", "db"), (dx, dw, db), expected, strict=True):
        if out is not None:
            bench.close(out, value, f"{name} of {sizes}, add {add}, wanted {wanted}")
    bench.finish()


#: Each way that an activation's gradient can be told: from nothing, from the output, from the input, with scalars.
FEW = ("identity", "relu", "gelu", "softplus")
CASES = [
    *(_matmul(dtype, layout) for dtype in (*FLOATS, "int64") for layout in LAYOUTS),
    *(_matmul_transposed(t, dtype) for t in np.ndindex(2, 2) for dtype in FLOATS),
    *(_linear(a, "float32", "contiguous", LAYERS if a in FEW else LAYERS[4:6]) for a in ACTIVATIONS),
    *(_linear(a, "float64", "contiguous", LAYERS) for a in FEW),
    *(_linear(a, "float32", layout, LAYERS) for a in FEW[:2] for layout in LAYOUTS[1:]),
    *(_linear_grad(a, "float32", "contiguous", LAYERS if a in FEW else LAYERS[4:6]) for a in ACTIVATIONS),
    *(_linear_grad(a, "float64", "contiguous", LAYERS) for a in FEW),
    *(_linear_grad(a, "float32", layout, LAYERS) for a in FEW[:2] for layout in LAYOUTS[1:]),
    *(_linear_grad_parts(a) for a in FEW[:2]),
    *(_half_matmul(half) for half in HALF_TYPES),
    *(_half_linear(half, a) for half in HALF_TYPES for a in FEW[:3]),
    *(_half_linear_grad(half, a) for half in HALF_TYPES for a in FEW[:2]),
]
