"""The scalar mathematics: the same numbers on Python floats, on arrays and compiled; gradients; stated errors."""

from __future__ import annotations

import ast
import inspect
import itertools
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nnkit import backends
from nnkit.backends.base import FORMULAS
from nnkit.kernels import (
    arithmetic,
    elementary,
    formulas,
    further_updates,
    gamma,
    keras_updates,
    recurrences,
    rounding,
    special,
    updates,
    vocabulary,
)
from nnkit.kernels.cpu.words import FLOAT32_VERSIONS
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.registered import UPDATES
from nnkit.kernels.vocabulary import array_words, bind, element_names, scalar_names, table_of
from nnkit.testing.elementwise import LOGIC, VOCABULARIES, arguments

#: Relative and absolute. In float32 a formula such as 1 + erf(x) cancels, so the absolute part counts.
TOLERANCES = {"float32": (2e-5, 2e-5), "float64": (1e-12, 1e-12)}
ON_ARRAYS = bind({"erf": special.erf} | FORMULAS, array_words(np))
NUMBERS = sorted(set(FORMULAS) - set(LOGIC))

# ---- what a formula may say -----------------------------------------------------------------------------------

WORDS = {*vocabulary.ARRAY_NAMES, "cos", "erf", "power_of_two", "exponent", "mantissa"}
#: Formulas of ``special`` that compiled code replaces by reading bits.
BITS = {"power_of_two", "exponent", "mantissa"}
ALLOWED = (
    ast.Return, ast.Assign, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Name, ast.Constant, ast.Tuple, ast.Load,
    ast.Store, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.USub, ast.Invert, ast.BitAnd, ast.BitOr,
    ast.BitXor, ast.FloorDiv, ast.Mod, ast.cmpop,
)  # fmt: skip


def statements(formula: Callable[..., Any]) -> list[ast.stmt]:
    """A formula's body without its docstring."""
    (function,) = ast.parse(inspect.getsource(formula)).body
    assert isinstance(function, ast.FunctionDef)
    return function.body[1:] if ast.get_docstring(function) is not None else function.body


@pytest.mark.parametrize(
    "module",
    [arithmetic, elementary, gamma, formulas, rounding, recurrences, updates, further_updates, keras_updates, special],
)
def test_formulas_use_operators_float_literals_and_the_vocabulary_only(module: Any) -> None:
    siblings = table_of(module)
    constants = {name for name, value in vars(module).items() if isinstance(value, float)}
    imported = {name for name, value in vars(module).items() if FORMULAS.get(name) is value}
    for name in siblings.keys() - BITS:
        known = {*inspect.signature(siblings[name]).parameters, *siblings, *constants, *WORDS, *imported}
        for node in itertools.chain.from_iterable(map(ast.walk, statements(siblings[name]))):
            assert isinstance(node, ALLOWED), f"{name}: {ast.unparse(node)}"
            if isinstance(node, ast.Constant):
                assert isinstance(node.value, float), f"{name}: {node.value!r} is not a float"
            if isinstance(node, ast.Call):
                assert isinstance(node.func, ast.Name) and not node.keywords, f"{name}: {ast.unparse(node)}"
            if isinstance(node, ast.Compare):
                assert len(node.ops) == 1, f"{name}: {ast.unparse(node)}"
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                known.add(node.id)
            assert not isinstance(node, ast.Name) or node.id in known, f"{name}: unknown word {node.id}"


def test_every_word_has_an_array_name_and_every_array_name_exists() -> None:
    words = array_words(np)
    assert words.keys() == vocabulary.ARRAY_NAMES.keys()
    for word in words:
        assert callable(getattr(vocabulary, word))


# ---- each activation, each gradient ----------------------------------------------------------------------------

LOSSES = (
    "squared_error", "absolute_error", "huber", "smooth_l1", "binary_cross_entropy", "binary_cross_entropy_with_logits",
)  # fmt: skip


@pytest.mark.parametrize("name", [*ACTIVATIONS.values(), *LOSSES])
def test_activations_and_losses_have_a_gradient_with_the_same_scalars(name: str) -> None:
    function, gradient = FORMULAS[name], FORMULAS[f"{name}_grad"]
    assert scalar_names(gradient) == scalar_names(function)
    assert set(scalar_names(function)) == set(function.__kwdefaults__ or {}), "every scalar has a default"
    reads = element_names(gradient)
    assert reads[0] == "dy" and set(reads[1:]) <= {*element_names(function), "y"}


DERIVATIVES = [(n, g, k) for n in NUMBERS for k, g in enumerate((f"{n}_grad", f"{n}_other_grad")) if g in FORMULAS]


@pytest.mark.parametrize(("name", "gradient", "operand"), DERIVATIVES, ids=[g for _, g, _ in DERIVATIVES])
def test_gradient_is_the_derivative(name: str, gradient: str, operand: int) -> None:
    """Against central differences in float64, at random points away from kinks."""
    step, incoming = 1e-6, 1.5
    elements, scalars = arguments(name, 101, "float64")
    if len(elements) > 1:
        elements[-1] = elements[-1] + 0.01 * (elements[-1] == elements[0])  # no ties: a maximum has a kink there

    def value(shift: float) -> np.ndarray:
        moved = [e + shift * (k == operand) for k, e in enumerate(elements)]
        return np.asarray(ON_ARRAYS[name](*moved, *scalars))

    known = dict(zip(element_names(FORMULAS[name]), elements, strict=True))
    outputs = {"dy": np.full(101, incoming), "dz": np.full(101, incoming)}
    reads = [outputs.get(n, known.get(n)) for n in element_names(FORMULAS[gradient])]
    result = ON_ARRAYS[gradient](*[value(0.0) if r is None else r for r in reads], *scalars)
    expected = incoming * (value(step) - value(-step)) / (2 * step)
    np.testing.assert_allclose(np.broadcast_to(result, 101), expected, rtol=1e-6, atol=1e-7)


# ---- one meaning everywhere ------------------------------------------------------------------------------------

POINTS = (0.0, 1e-3, -1e-3, 0.5, -0.5, 8.0, -8.0, 50.0, -50.0, math.nan, math.inf, -math.inf)


def corners(name: str) -> list[np.ndarray]:
    """Each of POINTS for each operand: all combinations for up to three, else all operands equal."""
    count = len(element_names(FORMULAS[name]))
    points: tuple[float, ...] = POINTS
    if name.startswith(("pow", "celu")):  # infinity times what is 0 in float32 alone is NaN there alone
        points = tuple(p for p in points if abs(p) != 50.0)
    if name in UPDATES:  # sums of squares are not negative
        points = tuple(p for p in points if not p < 0.0)
    rows = list(itertools.product(points, repeat=count)) if count <= 3 else [(p,) * count for p in points]
    return [np.array(column) for column in zip(*rows, strict=True)]


def on_python_floats(name: str, row: tuple[float, ...], scalars: list[float]) -> Any:
    """The formula's value, or None where Python raises or leaves the real numbers."""
    try:
        value = FORMULAS[name](*row, **dict(zip(scalar_names(FORMULAS[name]), scalars, strict=True)))
    except (OverflowError, ValueError, ZeroDivisionError):
        return None
    return None if isinstance(value, complex) else value


def values_on_arrays(name: str, elements: list[np.ndarray], scalars: list[float]) -> list[np.ndarray]:
    with np.errstate(all="ignore"):
        values = ON_ARRAYS[name](*elements, *map(np.float64, scalars))
    return [np.broadcast_to(v, elements[0].shape) for v in (values if isinstance(values, tuple) else (values,))]


@pytest.mark.parametrize("name", NUMBERS)
def test_python_floats_and_arrays_agree(name: str) -> None:
    elements, scalars = corners(name), arguments(name, 1, "float64")[1]
    outputs = values_on_arrays(name, elements, scalars)
    agreed = 0
    for number, row in enumerate(zip(*(e.tolist() for e in elements), strict=True)):
        expected = on_python_floats(name, row, scalars)
        if expected is not None:
            agreed += 1
            actual = [float(out[number]) for out in outputs]
            np.testing.assert_allclose(
                actual, np.atleast_1d(expected).astype(float), *TOLERANCES["float64"], err_msg=f"{name}{row}"
            )
    assert agreed, "Python raised at every point"


COMPILED = [(name, "float32") for name in NUMBERS] + [(name, "float64") for name in VOCABULARIES if name in NUMBERS]


@pytest.mark.parametrize(("name", "dtype"), COMPILED)
def test_compiled_code_and_arrays_agree(name: str, dtype: str) -> None:
    """Also at zero, NaN and infinity. In float64 one formula for each set of words is compiled."""
    elements, scalars = corners(name), arguments(name, 1, dtype)[1]
    outputs = values_on_arrays(name, [e.astype(dtype).astype("float64") for e in elements], scalars)
    inputs = tuple(e.astype(dtype) for e in elements)
    out = tuple(np.empty(e.shape, bool if e.dtype == bool else dtype) for e in outputs)
    backends.get("numba").map(name, inputs, out, tuple(scalars))
    for actual, expected in zip(out, outputs, strict=True):
        with np.errstate(over="ignore"):
            rounded = expected.astype(actual.dtype)
        wrong = ~np.isclose(actual, rounded, *TOLERANCES[dtype], equal_nan=True)
        assert not wrong.any(), [tuple(e[wrong][0] for e in [*elements, actual, rounded])]


# ---- stated errors ------------------------------------------------------------------------------------------------


def spread(low: float, high: float) -> np.ndarray:
    """float32 numbers of both signs whose magnitudes go from 2**low to 2**high."""
    magnitudes = np.exp2(np.linspace(low, high, 200_000))
    return np.concatenate([magnitudes, -magnitudes]).astype(np.float32)


EXP_RANGE = np.linspace(-86.9, 88.72283, 500_000, dtype=np.float32)
#: Formula, its float32 version in ``special``, numpy's function, and where the error is stated.
APPROXIMATIONS = {
    "exp": ("exponential", np.exp, EXP_RANGE),
    "expm1": ("exponential_minus_1", np.expm1, np.concatenate([EXP_RANGE, spread(-100, 4)])),
    "log": ("logarithm", np.log, np.abs(np.concatenate([spread(-149, 127.999), spread(-1, 1)]))),
    "log1p": ("logarithm1p", np.log1p, np.concatenate([spread(-100, -0.001), np.abs(spread(0, 127.999))])),
    "tanh": ("hyperbolic_tangent", np.tanh, spread(-100, 5)),
    "erf": ("error_function", lambda points: np.array([math.erf(p) for p in points]), spread(-100, 3)),
}


@pytest.mark.parametrize("word", FLOAT32_VERSIONS)
def test_float32_versions_keep_their_stated_error(word: str) -> None:
    formula, exact, points = APPROXIMATIONS[word]
    stated = re.search(r"within (\d+) ulp", getattr(special, FLOAT32_VERSIONS[word]).__doc__)
    assert stated is not None
    out = np.empty_like(points)
    backends.get("numba").map(formula, (points,), (out,))
    expected = exact(points.astype(np.float64))
    error = np.abs(out - expected) / np.spacing(np.abs(expected).astype(np.float32))
    assert error.max() <= int(stated[1]), f"{error.max()} ulp at {points[error.argmax()]}"


def test_exp_is_zero_below_its_range_and_infinite_above() -> None:
    points = np.array([-1e30, -200.0, -86.91, 88.7229, 200.0, 1e30], np.float32)
    out = np.empty_like(points)
    backends.get("numba").map("exponential", (points,), (out,))
    np.testing.assert_array_equal(out, [0, 0, 0, math.inf, math.inf, math.inf])


@pytest.mark.parametrize("device", ["numpy", "numba"])
def test_erf_is_exact_to_1e_15(device: str) -> None:
    points = np.concatenate([np.linspace(-7, 7, 20_001), np.exp2(np.linspace(-60, 0, 1000))])
    out = np.empty_like(points)
    backends.get(device).map("error_function", (points,), (out,))
    np.testing.assert_allclose(out, [math.erf(p) for p in points.tolist()], rtol=1e-15, atol=0)


# ---- binding ----------------------------------------------------------------------------------------------------


def test_bound_copies_call_one_another_and_leave_the_originals_alone() -> None:
    words = array_words(np) | {"exp": lambda x: x}
    bound = bind(FORMULAS, words, constant=np.float32)
    assert bound["silu"](np.float32(0.0)) == 0.0
    assert bound["sigmoid"](2.0) == pytest.approx(1.0 / (1.0 - 2.0)), "sigmoid calls the new exp"
    assert formulas.sigmoid(0.0) == 0.5
    literals = [c for c in bound["gelu_tanh"].__code__.co_consts if isinstance(c, (float, np.floating))]
    assert literals and all(type(c) is np.float32 for c in literals)
    assert bound["huber"](3.0, 0.0, 2.0) == 4.0, "scalars come by position"
