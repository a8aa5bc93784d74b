"""The CUDA kernels of ``map``: every formula, type and layout in the emulator against the reference, and compiled."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import kernel_checks
import numpy as np
import pytest
from kernel_checks import ARCHITECTURES, SIZES, results, stored_as

from nnkit import backends
from nnkit.backends.base import FORMULAS
from nnkit.kernels.cuda import emulator
from nnkit.kernels.cuda.elementwise import THREADS, Shape, computed_type, map_kernel
from nnkit.kernels.vocabulary import element_names, scalar_names
from nnkit.testing.bench import TOLERANCES
from nnkit.testing.elementwise import LOGIC, VOCABULARIES, arguments, output_types

FLOATS = ("float32", "float64")
HALVES = ("float16", "bfloat16")
REFERENCE = backends.get("numpy")
#: The slow path of sin and cos for numbers above 10**5 multiplies once in float64.
SLOW = ["mul.rn.f64", "mul.f64"]


def words_of(formula: str) -> set[str]:
    """The words that a formula uses, also by the formulas that it uses."""
    names = set(FORMULAS[formula].__code__.co_names)
    return names.union(*(words_of(name) for name in names & FORMULAS.keys()))


IN_FLOAT64 = {formula: SLOW for formula in FORMULAS if {"sin", "cos"} & words_of(formula)}


def shape_of(formula: str, dtype: str, **options: Any) -> Shape:
    """The shape of a formula over full arrays of one type, its scalars by value."""
    elements, scalars = arguments(formula, 1, dtype)
    inputs = tuple(e.dtype.name for e in elements)
    options.setdefault("scalars", "v" * len(scalars))
    return Shape(inputs, tuple(output_types(formula, dtype)), "f" * len(inputs), **options)


def run(formula: str, shape: Shape, elements: Sequence[np.ndarray], scalars: Sequence[Any], n: int, *C: int) -> Any:
    """What the kernel writes into outputs that held ones, and lies between ones that stay."""
    outputs = [np.ones(n + 1, stored_as(stored)) for stored in shape.outputs]
    given = [*elements, *scalars, *outputs, n, *C]
    first = len(elements) + len(scalars)
    found = results(map_kernel(formula, shape), max(shape.grid(n), 1), given, range(first, first + len(outputs)))
    for out in found:
        assert out[n:].tobytes() == np.ones(1, out.dtype).tobytes(), "written behind the end"
    return [out[:n] for out in found]


def expected(formula: str, elements: Sequence[np.ndarray], scalars: Sequence[float], shape: Shape, n: int) -> list[Any]:
    """What the reference body gives."""
    outputs = [np.ones(n, stored_as(stored)) for stored in shape.outputs]
    if n:
        REFERENCE.map(formula, elements, outputs, scalars)
    return outputs


def compare(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray], what: str) -> None:
    for one, other in zip(found, wanted, strict=True):
        tolerance = TOLERANCES.get(one.dtype.name, 0.0)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, err_msg=what)


# ---- formulas and types ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", FORMULAS)
def test_every_formula_at_every_size(formula: str) -> None:
    dtype = "bool" if formula in LOGIC else "float32"
    for n in SIZES:
        elements, scalars = arguments(formula, n, dtype)
        shape = shape_of(formula, dtype, wide=n % 3 != 0)
        found = run(formula, shape, elements, scalars, n)
        compare(found, expected(formula, elements, scalars, shape, n), f"{formula} over {n}")


@pytest.mark.parametrize("formula", [name for name in VOCABULARIES if name not in LOGIC])
@pytest.mark.parametrize("wide", [False, True])
def test_formulas_in_float64(formula: str, wide: bool) -> None:
    elements, scalars = arguments(formula, 33, "float64")
    shape = shape_of(formula, "float64", wide=wide)
    compare(run(formula, shape, elements, scalars, 33), expected(formula, elements, scalars, shape, 33), formula)


@pytest.mark.parametrize("formula", ["add", "mul", "neg", "select", "larger", "smaller", "identity", "equal", "less"])
@pytest.mark.parametrize("wide", [False, True])
def test_whole_numbers(formula: str, wide: bool) -> None:
    names = element_names(FORMULAS[formula])
    elements = [
        np.random.default_rng(k).integers(-(2**40), 2**40, 33) // (1 + k % 2 * 2**39) for k in range(len(names))
    ]
    if formula == "select":
        elements[0] = elements[0] > 0
    if len(elements) > 1:
        elements[-1][::3] = elements[0][::3]
    output = "bool" if formula in ("equal", "less") else "int64"
    shape = Shape(tuple(e.dtype.name for e in elements), (output,), "f" * len(elements), wide=wide)
    (found,) = run(formula, shape, elements, (), 33)
    np.testing.assert_array_equal(found, expected(formula, elements, (), shape, 33)[0])


def test_a_cursor_of_whole_numbers_moves_on() -> None:
    shape = Shape(("int64",), ("int64",), "f", "v")
    (found,) = run("shift", shape, [np.array([2**40 + 1])], [128.0], 1)
    assert found.tolist() == [2**40 + 129]


@pytest.mark.parametrize("stored", HALVES)
@pytest.mark.parametrize("formula", ["gelu", "mul", "adam", "relu_grad"])
def test_sixteen_bit_floats_are_computed_in_float32_and_rounded_once(formula: str, stored: str) -> None:
    dtype = stored_as(stored)
    for n in SIZES:
        elements, scalars = arguments(formula, n, "float32")
        elements = [e.astype(dtype) for e in elements]
        outputs = len(output_types(formula, "float32"))
        shape = Shape(
            (stored,) * len(elements), (stored,) * outputs, "f" * len(elements), "v" * len(scalars), n % 2 == 0
        )
        wide = expected(formula, [e.astype("float32") for e in elements], scalars, shape_of(formula, "float32"), n)
        for found, exact in zip(run(formula, shape, elements, scalars, n), wide, strict=True):
            # The reference's float32 may differ in its last bit, and then round to the other side.
            exact = exact.astype(dtype).astype("float32")
            np.testing.assert_allclose(found.astype("float32"), exact, rtol=2**-7, atol=1e-6)
            assert np.count_nonzero(found.astype("float32") != exact) <= n * 0.02


def test_types_may_be_mixed_as_mixed_precision_does() -> None:
    """bfloat16 gradients, float32 master weights, and a copy of the weights in bfloat16."""
    p, m, v = (np.random.default_rng(k).uniform(0.1, 0.9, 1025).astype("float32") for k in range(3))
    g = np.random.default_rng(3).normal(size=1025).astype(stored_as("bfloat16"))
    _, scalars = arguments("adam", 1, "float32")
    shape = Shape(
        ("float32", "bfloat16", "float32", "float32"), ("bfloat16", "float32", "float32"), "ffff", "v" * 8, True
    )
    found = run("adam", shape, (p, g, m, v), scalars, 1025)
    exact = expected("adam", (p, g.astype("float32"), m, v), scalars, shape_of("adam", "float32"), 1025)
    compare(found[1:], exact[1:], "adam")
    assert np.count_nonzero(found[0] != exact[0].astype(found[0].dtype)) <= 1025 * 0.02


@pytest.mark.parametrize("types", [("float32", "float64"), ("float64", "float32"), ("bool", "float64")])
def test_the_widest_type_is_computed_in(types: tuple[str, str]) -> None:
    x, y = (np.random.default_rng(k).normal(size=33).astype(dtype) for k, dtype in enumerate(types))
    (found,) = run("larger", Shape(types, ("float64",), "ff"), (x, y), (), 33)
    np.testing.assert_array_equal(found, np.maximum(x, y))


TYPES = ("float32", "float64", "float16", "bfloat16", "int64", "bool")


@pytest.mark.parametrize(("source", "target"), list(itertools.product(TYPES, TYPES)))
@pytest.mark.parametrize("wide", [False, True])
def test_casts_are_numpys(source: str, target: str, wide: bool) -> None:
    values = np.array([0, 1, -1, 2.5, 3.5, -0.0, 1e-3, 100.3, 2049.0, 1 / 3, 63.75] * 3)
    x = values.astype(stored_as(source))
    (found,) = run("identity", Shape((source,), (target,), "f", "", wide), (x,), (), 33)
    # By way of float32, as the kernel goes, where sixteen bits come from more.
    through = x.astype("float32") if target in HALVES else x
    np.testing.assert_array_equal(
        found.view(f"u{found.itemsize}"), through.astype(found.dtype).view(f"u{found.itemsize}")
    )


@pytest.mark.parametrize("formula", ["larger", "smaller", "relu", "clamp", "relu6", "sign_of", "hardtanh", "equal"])
def test_nan_and_infinity_come_out_as_in_numpy(formula: str) -> None:
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -2.0], "float32")
    names = element_names(FORMULAS[formula])
    elements = [a.ravel() for a in np.meshgrid(*[special] * len(names))]
    scalars = [-1.5, 1.5][: len(scalar_names(FORMULAS[formula]))]
    shape = shape_of(formula, "float32")
    (found,) = run(formula, shape, elements, scalars, elements[0].size)
    np.testing.assert_array_equal(found, expected(formula, elements, scalars, shape, elements[0].size)[0])


# ---- layouts --------------------------------------------------------------------------------------------------------

#: Letters, and what of R and C the shape of each input has.
LAYOUTS = ("fr", "rf", "fc", "cf", "f1", "1f", "rc", "cr", "r1", "1c", "11", "rr", "cc")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("dtype", "R", "C"), [
    ("float32", 1, 1), ("float32", 3, 31), ("float32", 33, 1), ("float32", 5, 200), ("bfloat16", 32, 32),
])  # fmt: skip
def test_repeated_rows_columns_and_elements(layout: str, dtype: str, R: int, C: int) -> None:
    sizes = {"f": (R, C), "r": (1, C), "c": (R, 1), "1": (1, 1)}
    x, y = (np.random.default_rng(k).integers(-9, 9, sizes[kind]).astype("float32") for k, kind in enumerate(layout))
    wanted = np.ravel(np.zeros((R, C), "float32") + x - y)
    stored = [x.astype(stored_as(dtype)), y.astype(stored_as(dtype))]
    for wide in (False, True):
        shape = Shape((dtype,) * 2, (dtype,), layout, wide=wide)
        if not (wide and shape.repeats() and C % shape.group()):
            (found,) = run("sub", shape, stored, (), R * C, *[C] * shape.repeats())
            np.testing.assert_array_equal(found.astype("float32"), wanted)


@pytest.mark.parametrize("layout", ["fm", "mf", "m1", "mm"])
@pytest.mark.parametrize("sizes", [(3, 5, 4), (2, 33, 1), (1, 3, 31), (7, 2, 40)])
def test_columns_that_come_again(layout: str, sizes: tuple[int, int, int]) -> None:
    of_kind = {"f": sizes, "m": (sizes[1], 1), "1": (1,)}
    x, y = (np.random.default_rng(k).normal(size=of_kind[kind]).astype("float32") for k, kind in enumerate(layout))
    wanted = np.ravel(np.zeros(sizes, "float32") + x - y)
    for wide in (False, True):
        shape = Shape(("float32",) * 2, ("float32",), layout, wide=wide)
        if not (wide and sizes[2] % shape.group()):
            (found,) = run("sub", shape, (x, y), (), wanted.size, sizes[2], sizes[1])
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(("formula", "aliases"), [("relu", (0,)), ("silu_grad", (1,)), ("adam", (0, 2, 3))])
def test_an_output_may_be_an_input(formula: str, aliases: Sequence[int], wide: bool) -> None:
    for n, schedule in itertools.product(SIZES, emulator.SCHEDULES):
        elements, scalars = arguments(formula, n, "float32")
        shape = shape_of(formula, "float32", wide=wide)
        wanted = expected(formula, elements, scalars, shape, n)
        changed = [elements[k] for k in aliases]
        emulator.run(map_kernel(formula, shape), shape.grid(n), [*elements, *scalars, *changed, n], schedule)
        compare(changed, wanted, f"{formula} in place over {n}")


def test_a_repeated_row_may_not_be_the_output() -> None:
    x, out = np.ones(8, "float32"), np.ones(8, "float32")
    with pytest.raises(emulator.Race):
        emulator.run(map_kernel("add", Shape(("float32",) * 2, ("float32",), "fr")), 1, [x, out[:4], out, 8, 4])


def test_a_wide_kernel_notices_memory_that_is_not_aligned() -> None:
    x, out = np.zeros(9, "float32")[1:], np.zeros(8, "float32")
    with pytest.raises(emulator.OutOfBounds, match="not aligned"):
        emulator.run(map_kernel("relu", Shape(("float32",), ("float32",), "f", wide=True)), 1, [x, out, 8])


# ---- scalars and flags ----------------------------------------------------------------------------------------------


def test_scalars_in_device_memory_and_by_value_are_the_same() -> None:
    elements, scalars = arguments("adam", 1000, "float32")
    by_value = run("adam", shape_of("adam", "float32", wide=True), elements, scalars, 1000)
    mixed = shape_of("adam", "float32", wide=True, scalars="dvdvdddv")
    numbers = [np.array([s]) if kind == "d" else s for s, kind in zip(scalars, mixed.scalars, strict=True)]
    for one, other in zip(by_value, run("adam", mixed, elements, numbers, 1000), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("flag", [0.0, 1.0])
def test_a_flag_leaves_the_outputs_as_they_are(flag: float, wide: bool) -> None:
    x, out = np.arange(33, dtype="float32"), np.full(33, 7, "float32")
    shape = Shape(("float32",), ("float32",), "f", "v", wide, flagged=True)
    emulator.run(map_kernel("scale", shape), shape.grid(33), [np.array([flag]), x, 2.0, out, 33])
    np.testing.assert_array_equal(out, np.full(33, 7) if flag else 2 * x)


# ---- shapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [*SIZES, 10**9 + 1])
def test_the_grid_has_a_thread_for_every_group_and_not_a_block_more(n: int) -> None:
    for shape in (Shape(("float32",), ("float32",), "f"), Shape(("float16",), ("float32",), "f", wide=True)):
        assert shape.groups(n) <= shape.grid(n) * THREADS < shape.groups(n) + THREADS
        assert shape.groups(n) == (n // 8 + n % 8 if shape.wide else n)


def test_what_is_computed_in() -> None:
    assert computed_type(("bool", "float32", "bool")) == "float32"
    assert computed_type(("float16", "float32")) == "float32"
    assert computed_type(("float64", "float32")) == "float64"
    assert computed_type(("int64", "bool")) == "int64"


def test_no_two_kernels_share_a_name() -> None:
    shapes = [
        Shape((a, b), (c,), layout, scalars, wide, flagged)
        for a, b, c, layout, scalars, wide, flagged in itertools.product(
            TYPES, TYPES, TYPES, ("ff", "fr", "c1"), ("", "v", "d"), (False, True), (False, True)
        )
    ]
    assert len({shape.name() for shape in shapes}) == len(shapes)
    assert all(shape.name().isidentifier() for shape in shapes)


# ---- compiled -------------------------------------------------------------------------------------------------------


@pytest.mark.compiles
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("formula", FORMULAS)
def test_every_formula_compiles(formula: str, architecture: str) -> None:
    source = map_kernel(formula, shape_of(formula, "bool" if formula in LOGIC else "float32"))
    kernel_checks.check_compiled(source, architecture, IN_FLOAT64.get(formula, ()))


BROAD = {
    "gelu_grad wide": ("gelu_grad", shape_of("gelu_grad", "float32", wide=True)),
    "adam of device scalars": ("adam", shape_of("adam", "float32", wide=True, scalars="d" * 8, flagged=True)),
    "adam_rates in float64": ("adam_rates", shape_of("adam_rates", "float64")),
    "gelu of bfloat16": ("gelu", Shape(("bfloat16",), ("bfloat16",), "f", wide=True)),
    "mul of float16 and float32": ("mul", Shape(("float16", "float32"), ("float16",), "ff", wide=True)),
    "add of a row": ("add", Shape(("float32",) * 2, ("float32",), "fr", wide=True)),
    "add of a column": ("add", Shape(("float32",) * 2, ("float32",), "cf")),
    "add of a column that comes again": ("add", Shape(("float32",) * 2, ("float32",), "fm", wide=True)),
    "add of whole numbers": ("add", Shape(("int64",) * 2, ("int64",), "f1", wide=True)),
    "shift of whole numbers": ("shift", Shape(("int64",), ("int64",), "f", "v")),
    "less of whole numbers": ("less", Shape(("int64",) * 2, ("bool",), "ff", wide=True)),
    "select by booleans": ("select", Shape(("bool", "float32", "float32"), ("float32",), "fff", wide=True)),
    "smaller of float32 and float64": ("smaller", Shape(("float32", "float64"), ("float64",), "ff")),
    "larger of booleans and float32": ("larger", Shape(("bool", "float32"), ("float32",), "ff", wide=True)),
    "both of booleans": ("both", Shape(("bool", "bool"), ("bool",), "ff", wide=True)),
    **{
        f"{a} to {b}": ("identity", Shape((a,), (b,), "f", wide=True))
        for a, b in itertools.pairwise((*TYPES, "float32"))
    },
}


@pytest.mark.parametrize("name", BROAD)
@pytest.mark.compiles
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kind_of_shape_compiles(name: str, architecture: str) -> None:
    kernel_checks.check_compiled(map_kernel(*BROAD[name]), architecture)


#: Formula and shape -> how its memory is read and written.
ACCESSES = (
    (("gelu", shape_of("gelu", "float32", wide=True)), {"ld.global.v4.f32", "st.global.v4.f32"}),
    (("add", Shape(("float32",) * 2, ("float32",), "fr", wide=True)), {"ld.global.v4.f32", "st.global.v4.f32"}),
    (("neg", Shape(("bfloat16",), ("bfloat16",), "f", wide=True)), {"ld.global.v4.u32", "st.global.v4.u32"}),
    (("identity", Shape(("float32",), ("float16",), "f", wide=True)), {"ld.global.v4.f32", "st.global.v4.u32"}),
)


@pytest.mark.parametrize(("kernel", "accesses"), ACCESSES)
def test_wide_kernels_move_sixteen_bytes_at_a_time(kernel: tuple[str, Shape], accesses: set[str]) -> None:
    ptx = kernel_checks.ptx_of(map_kernel(*kernel), "sm_90")
    assert set(re.findall(r"(?:ld|st)\.global\.v\S+", ptx)) == accesses


#: What a word becomes, where that is one instruction. What the others compute is for a GPU to show.
INSTRUCTIONS = {
    "square_root": "sqrt.rn.f32", "round_down": "cvt.rmi.f32.f32", "round_to_even": "cvt.rni.f32.f32",
    "absolute_value": "abs.f32", "exponential": "ex2.approx.ftz.f32", "div": "div.rn.f32",
}  # fmt: skip


@pytest.mark.parametrize("formula", INSTRUCTIONS)
def test_words_are_the_gpus_own(formula: str) -> None:
    ptx = kernel_checks.ptx_of(map_kernel(formula, shape_of(formula, "float32")), "sm_80")
    assert re.search(rf"^\s+{re.escape(INSTRUCTIONS[formula])}\s", ptx, re.MULTILINE)
