"""Conformance of ``map``, ``fill`` and ``copy``: every formula, layouts, broadcasting, types, results in place.

What a formula means on Python floats is what it must give on arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.base import FORMULAS
from nnkit.kernels.registered import UPDATES
from nnkit.kernels.vocabulary import element_names, scalar_names
from nnkit.testing.bench import FLOATS, LAYOUTS, SIZES, Bench, Case, sample

#: Formulas of booleans and whole numbers.
LOGIC = ("both", "either", "exclusive", "negation")
#: One formula for each set of words that formulas use: what a wider type changes is only what the words mean.
VOCABULARIES = {
    frozenset(formula.__code__.co_names): name for name, formula in FORMULAS.items() if "__" not in name
}.values()
#: Where a formula's elements come from, where not from -8 to 8: only there it is defined and well-conditioned.
DOMAINS = {
    "logarithm": (0.1, 8.0), "logarithm_grad": (0.1, 8.0), "logarithm1p": (-0.9, 8.0), "square_root": (0.1, 8.0),
    "logarithm1p_grad": (0.1, 8.0), "square_root_grad": (0.1, 8.0), "pow": (0.1, 4.0), "pow_grad": (0.1, 4.0),
    "pow_other_grad": (0.1, 4.0), "power_to": (0.1, 4.0), "power_to_grad": (0.1, 4.0), "box_muller": (0.0, 0.99),
    "root_of_variance": (0.1, 8.0), "root_of_variance_grad": (0.1, 8.0), "norm_of_order_grad": (0.1, 8.0),
    "logarithm2": (0.1, 8.0), "logarithm10": (0.1, 8.0), "reciprocal_root": (0.1, 8.0),
    "arcsine": (-0.9, 0.9), "arcsine_grad": (-0.9, 0.9), "arccosine": (-0.9, 0.9), "arccosine_grad": (-0.9, 0.9),
    "area_cosine": (1.1, 8.0), "area_cosine_grad": (1.1, 8.0), "area_tangent": (-0.9, 0.9), "tangent": (-1.4, 1.4),
    "log_gamma_above": (0.5, 8.0), "digamma_above": (0.5, 8.0), "trigamma_above": (0.5, 8.0),
    "log_odds": (0.05, 0.95), "log_odds_grad": (0.05, 0.95), "binary_cross_entropy": (0.05, 0.95),
    "binary_cross_entropy_grad": (0.05, 0.95),
} | dict.fromkeys(UPDATES, (0.1, 0.9))  # fmt: skip


def arguments(formula: str, size: int, dtype: str) -> tuple[list[np.ndarray], list[float]]:
    """Elements and scalars for a formula; every third element of the last operand equals that of the first."""
    function = FORMULAS[formula]
    low, high = DOMAINS.get(formula, (-8.0, 8.0))
    names = element_names(function)
    kind = "bool" if formula in LOGIC else dtype
    elements = [sample((size,), kind, low, high, seed) for seed in range(len(names))]
    if names[0] == "condition":
        elements[0] = elements[0] > 0
    elif len(elements) > 1:
        elements[-1][::3] = elements[0][::3]
    defaults = function.__kwdefaults__ or {}
    scalars = [defaults.get(name, 0.25 + 0.125 * k) for k, name in enumerate(scalar_names(function))]
    return elements, scalars


def types_of(formula: str) -> tuple[str, ...]:
    """The types to try a formula in."""
    if formula in LOGIC:
        return ("bool",)
    return FLOATS if formula in VOCABULARIES else FLOATS[:1]


def by_hand(formula: str, elements: Sequence[np.ndarray], scalars: Sequence[float]) -> list[np.ndarray]:
    """The outputs of a formula, element by element on Python numbers."""
    function = FORMULAS[formula]
    named = dict(zip(scalar_names(function), scalars, strict=True))
    # numpy's booleans, because ~True is -2 in Python.
    columns = [e.reshape(-1) if e.dtype.kind == "b" else e.reshape(-1).tolist() for e in elements]
    rows = [function(*row, **named) for row in zip(*columns, strict=True)]
    outputs = zip(*(row if isinstance(row, tuple) else (row,) for row in rows), strict=True)
    return [np.asarray(output).reshape(elements[0].shape) for output in outputs]


def output_types(formula: str, dtype: str) -> list[str]:
    """The type of each output of a formula over elements of ``dtype``."""
    outputs = by_hand(formula, *arguments(formula, 1, "float64"))
    return ["bool" if out.dtype.kind == "b" else dtype for out in outputs]


def run(bench: Bench, formula: str, elements: Sequence[np.ndarray], scalars: Sequence[Any], dtype: str) -> None:
    """Map a formula over elements of one shape and compare with Python's result."""
    inputs = [bench.given(element) for element in elements]
    shape = elements[0].shape
    outputs = [bench.output(shape, kind) for kind in output_types(formula, dtype)]
    bench.backend.map(formula, inputs, outputs, scalars)
    if elements[0].size:
        for out, expected in zip(outputs, by_hand(formula, elements, scalars), strict=True):
            bench.close(out, expected, f"{formula} over {shape}")
    bench.finish()


def _formula(formula: str) -> Case:
    def check(backend: Backend) -> None:
        for dtype in types_of(formula):
            for size in SIZES:
                run(Bench(backend), formula, *arguments(formula, size, dtype), dtype)

    return Case(f"map-{formula}", "map", check)


def _layout(formula: str, layout: str, dtype: str) -> Case:
    def check(backend: Backend) -> None:
        for size in SIZES:
            elements, scalars = arguments(formula, 3 * size, dtype)
            run(Bench(backend, layout), formula, [e.reshape(3, size) for e in elements], scalars, dtype)

    return Case(f"map-{layout}-{formula}-{dtype}", "map", check)


#: Shapes of two operands, the shape of the result follows.
BROADCASTS = (
    ((3, 33), (33,)), ((33,), (3, 33)), ((3, 33), (3, 1)), ((3, 1), (3, 33)), ((3, 33), ()), ((), (33,)), ((1, 1), ()),
    ((4, 1), (1, 31)), ((2, 3, 5), (3, 1)), ((2, 3, 5), (2, 1, 1)), ((2, 1, 5), (1, 3, 1)), ((2, 3, 5), (2, 3, 1)),
    ((0, 3), (1, 3)),
)  # fmt: skip


def _broadcast(formula: str, dtype: str) -> Case:
    def check(backend: Backend) -> None:
        for left, right in BROADCASTS:
            bench = Bench(backend)
            x, y = sample(left, dtype, 1, 9), sample(right, dtype, 1, 9, seed=1)
            full = [np.array(a) for a in np.broadcast_arrays(x, y)]
            out = bench.output(full[0].shape, output_types(formula, dtype)[0])
            backend.map(formula, (bench.given(x), bench.given(y)), (out,))
            if full[0].size:
                bench.close(out, by_hand(formula, full, ())[0], f"{formula} of {left} and {right}")
            bench.finish()

    return Case(f"map-broadcast-{formula}-{dtype}", "map", check)


def _whole(formula: str) -> Case:
    def check(backend: Backend) -> None:
        for size in SIZES:
            elements = [sample((size,), "int64", -5, 5, seed) for seed in range(len(element_names(FORMULAS[formula])))]
            run(Bench(backend), formula, elements, (), "int64")

    return Case(f"map-{formula}-int64", "map", check)


#: Formula, and for each output the number of the input that it overwrites.
IN_PLACE: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("add", (0,)), ("sub", (1,)), ("relu", (0,)), ("scale", (0,)), ("silu_grad", (0,)), ("silu_grad", (1,)),
    ("sgd_momentum", (0, 2)), ("adam", (0, 2, 3)),
)  # fmt: skip


def _in_place(formula: str, aliases: tuple[int, ...], dtype: str) -> Case:
    def check(backend: Backend) -> None:
        for layout in LAYOUTS:
            for size in SIZES[1:]:
                elements, scalars = arguments(formula, size, dtype)
                bench = Bench(backend, layout)
                inputs = [bench.changing(e) if k in aliases else bench.given(e) for k, e in enumerate(elements)]
                backend.map(formula, inputs, [inputs[k] for k in aliases], scalars)
                for k, expected in zip(aliases, by_hand(formula, elements, scalars), strict=True):
                    bench.close(inputs[k], expected, f"{formula} over ({size},), input {k} overwritten")
                bench.finish()

    return Case(f"map-in-place-{formula}-{'-'.join(map(str, aliases))}-{dtype}", "map", check)


def _same_array_twice(backend: Backend) -> None:
    bench = Bench(backend)
    values = sample((33,), "float32")
    x = bench.changing(values)
    backend.map("add", (x, x), (x,))
    bench.close(x, values.astype(np.float64) * 2)


def _device_scalars(backend: Backend) -> None:
    """Scalars in device memory, as a replayed optimizer step reads them: the same result as Python floats."""
    for dtype in FLOATS:
        elements, scalars = arguments("adam", 33, dtype)
        bench = Bench(backend)
        run(bench, "scale", [elements[0]], [0.375], dtype)
        inputs = [bench.given(e) for e in elements]
        numbers = [bench.given([s], "float64") for s in scalars]
        outputs = [bench.output((33,), dtype) for _ in range(3)]
        backend.map("adam", inputs, outputs, numbers)
        for out, expected in zip(outputs, by_hand("adam", elements, scalars), strict=True):
            bench.close(out, expected)
        bench.finish()


def _map_unless(backend: Backend) -> None:
    """Nothing is written where the flag is set, whatever the inputs are; the flag is read anew by every call."""
    for dtype in FLOATS:
        for size in SIZES:
            elements, scalars = arguments("adam", size, dtype)
            for skip, gradient in ((1.0, np.nan), (0.0, 0.5)):
                bench = Bench(backend)
                elements[1][...] = gradient
                inputs = [bench.given(e) if k == 1 else bench.changing(e) for k, e in enumerate(elements)]
                outputs = [inputs[0], inputs[2], inputs[3]]
                backend.map_unless(bench.given([skip], "float64"), "adam", inputs, outputs, scalars)
                if skip:
                    expected: Sequence[np.ndarray] = [elements[0], elements[2], elements[3]]
                else:
                    expected = by_hand("adam", elements, scalars) if size else outputs
                for out, value in zip(outputs, expected, strict=True):
                    if size:
                        (bench.equal if skip else bench.close)(out, value, f"adam over ({size},), flag {skip}")
                bench.finish()


def _special_values(formula: str, low: float, high: float, expected: Sequence[float]) -> Case:
    def check(backend: Backend) -> None:
        for dtype in types_of(formula):
            bench = Bench(backend)
            x = bench.given([-np.inf, low, 0.0, high, np.inf, np.nan] * 7, dtype)
            out = bench.output((42,), dtype)
            backend.map(formula, (x,), (out,), arguments(formula, 1, dtype)[1])
            bench.close(out, list(expected) * 7, f"{formula} of -inf, {low}, 0, {high}, inf, nan")

    return Case(f"map-special-{formula}", "map", check)


def _rounding(half: str, pairs: Sequence[tuple[float, float]]) -> Case:
    """Ties, the least and the largest numbers: equal to the bit."""

    def check(backend: Backend) -> None:
        for sign in (1.0, -1.0):
            bench = Bench(backend)
            given, expected = (np.array(column, "float32") * np.float32(sign) for column in zip(*pairs, strict=True))
            out = bench.output(given.shape, "float32")
            backend.map(f"round_to_{half}", (bench.given(given),), (out,))
            bench.equal(out, expected, f"round_to_{half} of {given}")
            bench.finish()

    return Case(f"map-rounding-{half}", "map", check)


INF, NAN = np.inf, np.nan
#: float32 -> the nearest number of the half type.
ROUNDED = {
    "bfloat16": (
        (0.0, 0.0), (1.0, 1.0), (1.0 + 2**-8, 1.0), (1.0 + 3 * 2**-8, 1.0 + 2**-6), (1.0 + 2**-8 + 2**-20, 1.0 + 2**-7),
        (3.3895313892515355e38, 3.3895313892515355e38), (3.39e38, 3.3895313892515355e38), (3.4028235e38, INF),
        (2.0**-126, 2.0**-126), (2.0**-133, 2.0**-133), (2.0**-134, 0.0), (3 * 2.0**-134, 2.0**-132), (INF, INF),
        (NAN, NAN), (1e-45, 0.0), (1.9999999, 2.0), (3.9999998, 4.0), (2.0**127, 2.0**127),
    ),
    "float16": (
        (0.0, 0.0), (1.0, 1.0), (1.0 + 2**-11, 1.0), (1.0 + 3 * 2**-11, 1.0 + 2**-9), (2049.0, 2048.0),
        (2051.0, 2052.0), (65504.0, 65504.0), (65519.996, 65504.0), (65520.0, INF), (1e30, INF),
        (2.0**-14, 2.0**-14), (2.0**-24, 2.0**-24), (2.0**-25, 0.0),
        (3 * 2.0**-25, 2.0**-23), (1e-8, 0.0), (INF, INF), (NAN, NAN), (1e-45, 0.0),
    ),
}  # fmt: skip
#: Formula, two large arguments, and its values at -inf, the first, 0, the second, inf and NaN.
SPECIAL = (
    ("exponential", -1e3, 1e3, (0, 0, 1, INF, INF, NAN)), ("logarithm", -1.0, 1.0, (NAN, NAN, -INF, 0, INF, NAN)),
    ("logarithm1p", -2.0, -1.0, (NAN, NAN, 0, -INF, INF, NAN)), ("square_root", -1.0, 4.0, (NAN, NAN, 0, 2, INF, NAN)),
    ("exponential_minus_1", -1e3, 1e3, (-1, -1, 0, INF, INF, NAN)), ("relu", -1e30, 1e30, (0, 0, 0, 1e30, INF, NAN)),
    ("hyperbolic_tangent", -1e3, 1e3, (-1, -1, 0, 1, 1, NAN)), ("sigmoid", -1e3, 1e3, (0, 0, 0.5, 1, 1, NAN)),
    ("error_function", -1e3, 1e3, (-1, -1, 0, 1, 1, NAN)), ("absolute_value", -1e3, 1e3, (INF, 1e3, 0, 1e3, INF, NAN)),
    ("softplus", -1e3, 1e3, (0, 0, np.log(2.0), 1e3, INF, NAN)), ("sign_of", -2.0, 2.0, (-1, -1, 0, 1, 1, 0)),
    ("reciprocal", -2.0, 2.0, (0, -0.5, INF, 0.5, 0, NAN)), ("square", -3.0, 3.0, (INF, 9, 0, 9, INF, NAN)),
)  # fmt: skip


#: More than any loop takes at once: what is cut into pieces for several threads must fit together again.
MANY = 1_200_037


def _large(backend: Backend) -> None:
    bench = Bench(backend)
    x, y = sample((MANY,), "float32"), sample((MANY,), "float32", seed=1)
    z, out = bench.output((MANY,), "float32"), bench.output((MANY,), "float64")
    row = bench.output((MANY // 7, 7), "float32")
    backend.map("mul", (bench.given(x), bench.given(y)), (z,))
    bench.equal(z, x * y)
    backend.map("larger", (z, bench.given(np.float32(0.5))), (z,))
    bench.equal(z, np.maximum(x * y, np.float32(0.5)))
    backend.copy(bench.given(x), out)
    bench.equal(out, x.astype("float64"))
    cut = x[: MANY // 7 * 7].reshape(-1, 7)
    backend.map("sub", (bench.given(cut), bench.given(y[:7])), (row,))
    bench.equal(row, cut - y[:7])
    backend.fill(3, z)
    bench.equal(z, np.full(MANY, 3, "float32"))
    bench.finish()


def _fill(dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        for shape in ((), (0,), (1,), (33,), (3, 31), (2, 0, 3)):
            for value in (0, 1, 0.5):
                bench = Bench(backend, layout)
                out = bench.output(shape, dtype)
                backend.fill(value, out)
                bench.equal(out, np.full(shape, value, dtype))
                bench.finish()

    return Case(f"fill-{layout}-{dtype}", "fill", check)


def _copy(source: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        alike = [((n,), (n,)) for n in SIZES] + [((2, 3), (2, 3))]
        repeated = [((3, 1), (3, 33)), ((33,), (2, 33)), ((), (2, 3))]
        for target in TYPES:
            for shape, wanted in alike + repeated * (source == target):
                values = sample(shape, source, 0, 9)
                bench = Bench(backend, layout)
                out = bench.output(wanted, target)
                backend.copy(bench.given(values), out)
                expected = np.broadcast_to(values.astype(target), wanted)
                bench.equal(out, expected, f"{source} {shape} to {target} {wanted}")
                bench.finish()

    return Case(f"copy-{layout}-{source}", "copy", check)


def _copy_of_views(backend: Backend) -> None:
    """From a transposed view, and into one."""
    bench = Bench(backend)
    values, turned = sample((5, 33), "float32"), bench.output((33, 5), "float32")
    backend.copy(backend.permute(bench.given(values), (1, 0)), turned)
    bench.equal(turned, values.T)
    out = bench.output((33, 5), "float32")
    backend.copy(bench.given(values), backend.permute(out, (1, 0)))
    bench.equal(out, values.T)
    bench.finish()


TYPES = ("float32", "float64", "int64", "int32", "bool")
CASES = [
    *(_formula(name) for name in FORMULAS if "__" not in name),  # not what was derived in this process
    *(_layout(f, k, "float32") for f in ("add", "silu", "less", "select", "power_to", "adam") for k in LAYOUTS[1:]),
    *(_broadcast(*row) for row in (("add", "float32"), ("less", "float64"), ("mul", "int64"))),
    *(
        _whole(f)
        for f in ("add", "sub", "mul", "neg", "square", "larger", "smaller", "absolute_value", "equal", "less")
    ),
    *(_in_place(*row, "float32") for row in IN_PLACE),
    _in_place("adam", (0, 2, 3), "float64"),
    Case("map-same-array-twice", "map", _same_array_twice),
    Case("map-device-scalars", "map", _device_scalars),
    Case("map_unless", "map_unless", _map_unless),
    *(_special_values(*row) for row in SPECIAL),
    *(_rounding(half, pairs) for half, pairs in ROUNDED.items()),
    Case("map-large", "map", _large),
    *(_fill(dtype, layout) for dtype in TYPES for layout in LAYOUTS),
    *(_copy(source, layout) for source in TYPES for layout in LAYOUTS),
    Case("copy-transposed", "copy", _copy_of_views),
]
