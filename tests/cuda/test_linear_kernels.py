"""The CUDA kernels around a linear layer's products against NumPy's bodies under three schedules, and compiled."""

from __future__ import annotations

from typing import Any, NamedTuple

import kernel_checks
import numpy as np
import pytest
from kernel_checks import ARCHITECTURES, results

from nnkit.backends import get
from nnkit.backends.base import FORMULAS, keeps_input
from nnkit.kernels.cuda import emulator, linear
from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.linear import Gradients, linear_grad_plan, linear_step
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.tensors.dtypes import as_dtype
from nnkit.testing.bench import TOLERANCES

pytest.importorskip("greenlet", reason="pip install nnkit[test-cuda]: the emulator needs greenlet")

NUMPY = get("numpy")
HALVES = {"float16": 2e-3, "bfloat16": 2e-2}


class Layer(NamedTuple):
    """An output (M, O) of a layer, as a kernel is asked to take it."""

    M: int
    O: int
    activation: str = "gelu"
    dtype: str = "float32"
    wide: bool = False
    large: bool = False

    @property
    def scalars(self) -> tuple[float, ...]:
        """The activation's scalars, as they are unless given."""
        return tuple((FORMULAS[ACTIVATIONS[self.activation]].__kwdefaults__ or {}).values())

    def array(self, seed: int, *shape: int) -> np.ndarray:
        """Numbers of the layer's type, of its output's shape unless another is given."""
        values = np.random.default_rng(seed).normal(0, 2, shape or self[:2])
        return values.astype(as_dtype(self.dtype))


#: Sizes around the warp; every activation; types; four neighbours at a time, as in a large layer, and not.
LAYERS = [
    *(Layer(M, 3) for M in (1, 31, 33, 1025)), *(Layer(3, O) for O in (1, 31, 32, 33, 1000, 1025)),
    *(Layer(5, 7, activation) for activation in ACTIVATIONS), Layer(33, 10, "tanh", "float64"),
    Layer(9, 33, "relu", "bfloat16"), Layer(40, 36, "gelu", "float32", True, True), Layer(70, 5, "elu", large=True),
    Layer(40, 20, "silu", "float16", True, True), Layer(12, 300, "relu", large=True),
]  # fmt: skip


#: Those whose output is rounded for the next product, too: small and large, odd widths, what keeps its input.
ROUNDED = [
    Layer(3, 33, "relu"), Layer(5, 7), Layer(9, 5, "identity"), Layer(2, 9, "softplus"), Layer(1025, 3, "tanh"),
    Layer(40, 36, "gelu", "float32", True, True), Layer(12, 300, "relu", wide=True, large=True),
    Layer(70, 5, "elu", large=True),
]  # fmt: skip


@pytest.fixture
def layer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Layer:
    """The layer, and what it takes to be treated as a large one."""
    if request.param.large:
        monkeypatch.setattr(linear, "LARGE", 1)
    return request.param


def close(found: np.ndarray, wanted: np.ndarray, dtype: str, size: float = 1.0) -> None:
    """Within the tolerance of the conformance tests, and that of sixteen-bit numbers."""
    tolerance = (TOLERANCES | HALVES)[dtype]
    np.testing.assert_allclose(found.astype("float64"), wanted.astype("float64"), rtol=tolerance, atol=tolerance * size)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layer", LAYERS, indirect=True, ids=str)
def test_forward(layer: Layer, bias: bool) -> None:
    M, O, activation, dtype, wide, _ = layer
    keeps, product, b = keeps_input(activation), layer.array(0), layer.array(1, O)
    step = linear_step(activation, dtype, dtype if bias else None, keeps, wide, M, O)
    arrays = [product, np.full_like(product, 7)] if keeps else [product]
    given = [*arrays, *([b] if bias else []), *step.sizes, *layer.scalars]
    found = results(step.source, step.grid, given, range(len(arrays)))
    z, y = np.empty_like(product), np.empty_like(product)
    NUMPY.map("add", (product, b), (z,)) if bias else NUMPY.copy(product, z)
    NUMPY.map(ACTIVATIONS[activation], (z,), (y,), layer.scalars)
    for one, other in zip(found, [z, y] if keeps else [y], strict=True):
        close(one, other, dtype)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("layer", ROUNDED, indirect=True, ids=str)
def test_forward_with_the_operand_of_the_next_product(layer: Layer, half: str, bias: bool) -> None:
    """y and z are, to the bit, what they are without it."""
    M, O, activation, dtype, wide, _ = layer
    keeps, product, b = keeps_input(activation), layer.array(0), layer.array(1, O)
    product[0, 0], product[-1, -1] = np.nan, 3e38
    biases, between = [b] if bias else [], [np.full_like(product, 7)] if keeps else []
    apart, both = (linear_step(activation, dtype, dtype if bias else None, keeps, wide, M, O, h) for h in (None, half))
    arrays = [product, *between]
    expected = results(apart.source, apart.grid, [*arrays, *biases, *apart.sizes, *layer.scalars], range(len(arrays)))
    arrays.append(np.zeros((M, O), as_dtype(half)))
    found = results(both.source, both.grid, [*arrays, *biases, *both.sizes, *layer.scalars], range(len(arrays)))
    with np.errstate(over="ignore"):
        expected.append(expected[-1].astype(arrays[-1].dtype))
    for one, other in zip(found, expected, strict=True):
        nan = np.isnan(other.astype("float32"))
        assert nan.any() and np.isnan(one[nan].astype("float32")).all()
        assert one[~nan].tobytes() == other[~nan].tobytes()
    assert both.source.name != apart.source.name


def run_gradient(layer: Layer, types: Gradients, add: bool, dz: np.ndarray, db: np.ndarray) -> list[np.ndarray]:
    """dz, where it is not dy, and db from the kernels."""
    plan = linear_grad_plan(layer.activation, types, add, layer.wide, layer.M, layer.O)
    between = [np.full(plan.partials, 7, plan.partial_type)] if plan.partials else []
    identity = layer.activation == "identity"
    arrays = [layer.array(2), *([] if identity else [layer.array(3)])]
    arrays += [] if identity and types.dz == types.dy else [dz]
    first, *rest = plan.steps
    outputs = range(len(arrays) - (dz is arrays[-1]), len(arrays) + 1)
    scalars = [] if identity else layer.scalars
    found = results(first.source, first.grid, [*arrays, *(between or [db]), *first.sizes, *scalars], outputs)
    for step in rest:
        found[-1:] = results(step.source, step.grid, [found[-1], db, *step.sizes], [1])
    return found


def expected_gradient(layer: Layer, add: bool, db: np.ndarray) -> list[np.ndarray]:
    """dz and db, in float64."""
    dy, kept = (layer.array(seed).astype("float64") for seed in (2, 3))
    dz = np.empty_like(dy)
    NUMPY.map(f"{ACTIVATIONS[layer.activation]}_grad", (dy, kept), (dz,), layer.scalars)
    return [dz, dz.sum(axis=0) + (db if add else 0)]


@pytest.mark.parametrize("layer", LAYERS, indirect=True, ids=str)
def test_gradient(layer: Layer) -> None:
    add = layer.M % 2 == 1
    types = Gradients(layer.dtype, layer.dtype, layer.dtype)
    dz, db = np.full_like(layer.array(2), 7), layer.array(4, layer.O)
    found, wanted = run_gradient(layer, types, add, dz, db), expected_gradient(layer, add, db)
    for one, other in zip(found, wanted[-len(found) :], strict=True):
        close(one, other, layer.dtype, 2.0 * layer.M)


@pytest.mark.parametrize("activation", ["identity", "relu"])
@pytest.mark.parametrize("half", HALVES)
def test_gradient_of_the_products_in_sixteen_bits(half: str, activation: str) -> None:
    """dz is an operand of the products that come next; db is the sum of what was not rounded."""
    layer = Layer(31, 5, activation)
    types = Gradients("float32", half, "float32")
    dz, db = np.zeros((31, 5), as_dtype(half)), np.zeros(5, "float32")
    found = run_gradient(layer, types, False, dz, db)
    wanted = expected_gradient(layer, False, db)
    np.testing.assert_array_equal(found[0], wanted[0].astype("float32").astype(dz.dtype))
    close(found[1], wanted[1], "float32", 62.0)


def test_the_bias_gradient_takes_two_steps_where_columns_are_long() -> None:
    layer = Layer(1500, 6, "relu")
    types = Gradients("float32", "float32", "float32")
    assert len(linear_grad_plan("relu", types, True, False, 1500, 6).steps) == 2
    dz, db = np.zeros((1500, 6), "float32"), layer.array(4, 6)
    for one, other in zip(run_gradient(layer, types, True, dz, db), expected_gradient(layer, True, db), strict=True):
        close(one, other, "float32", 100.0)


@pytest.mark.parametrize("M", [1, 64, 512, 513, 4096, 65536, 1_000_003])
@pytest.mark.parametrize("O", [1, 10, 33, 128, 1000, 4096, 32768])
@pytest.mark.parametrize("wide", [False, True])
def test_tiles_cover_the_matrix(M: int, O: int, wide: bool) -> None:
    wide = wide and O % 4 == 0
    step = linear_step("relu", "float32", "float32", False, wide, M, O)
    plan = linear_grad_plan("relu", Gradients("float32", "float32", "float32"), False, wide, M, O)
    for one, tile in (
        (step, linear.tile_for(M, O, wide, "float32")),
        (plan.steps[0], linear.sum_tile_for(M, O, wide, "float32")[0]),
    ):
        span, across = one.sizes[-1], tile.across(O)
        parts = one.grid // across
        assert one.grid == across * parts
        assert (parts - 1) * span < M <= parts * span
        assert one.source.threads == tile.threads >= 32
        assert (across - 1) * tile.lanes * tile.width < O <= across * tile.lanes * tile.width
    assert plan.partials in (0, plan.steps[0].grid // tile.across(O) * O)


def test_a_missing_barrier_is_noticed() -> None:
    layer = Layer(12, 5, "relu")
    plan = linear_grad_plan("relu", Gradients("float32", "float32", "float32"), False, False, 12, 5)
    (step,) = plan.steps
    pieces = step.source.text.split("barrier()")
    assert len(pieces) > 2
    for number in range(1, len(pieces)):
        text = "barrier()".join(pieces[:number]) + "pass" + "barrier()".join(pieces[number:])
        arrays: list[Any] = [layer.array(2), layer.array(3), layer.array(4), np.zeros(5, "float32")]
        with pytest.raises(emulator.Race):
            emulator.run(step.source._replace(text=text), step.grid, [*arrays, *step.sizes])


FLOAT32, FLOAT64 = Gradients("float32", "float32", "float32"), Gradients("float64", "float64", "float64")
#: Every activation, and what takes another text: small and large, four neighbours or one, each type, scalars.
COMPILED = [
    *(linear_step(name, "float32", "float32", True, True, 4096, 512).source for name in ACTIVATIONS),
    *(linear_grad_plan(name, FLOAT32, False, True, 4096, 512).steps[0].source for name in ACTIVATIONS),
    linear_step("softplus", "float32", "float32", True, False, 100, 100).source,
    linear_step("gelu", "float32", "float32", True, True, 65536, 4096).source,
    linear_step("mish", "float32", None, True, False, 65536, 4095).source,
    linear_step("relu", "bfloat16", "float32", False, True, 65536, 4096).source,
    linear_step("gelu", "float64", "float64", True, True, 65536, 4096).source,
    *(linear_step(name, "float32", "float32", True, True, 4096, 4096, "bfloat16").source for name in ACTIVATIONS),
    linear_step("relu", "float32", None, False, True, 4096, 4096, "bfloat16").source,
    linear_step("gelu", "float32", "float32", True, True, 65536, 4096, "float16").source,
    linear_step("mish", "float32", None, True, False, 65536, 4095, "float16").source,
    linear_step("softplus", "float32", "float32", True, False, 100, 100, "bfloat16").source,
    linear_grad_plan("softplus", FLOAT32, True, False, 100, 100).steps[0].source,
    linear_grad_plan("gelu", FLOAT32, False, True, 65536, 4096).steps[0].source,
    linear_grad_plan("mish", FLOAT32, False, False, 65536, 4095).steps[0].source,
    linear_grad_plan("relu", Gradients("float32", "bfloat16", "float32"), False, True, 65536, 4096).steps[0].source,
    linear_grad_plan("gelu", FLOAT64, False, False, 100, 100).steps[0].source,
]  # fmt: skip


@pytest.mark.compiles
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", COMPILED, ids=lambda source: source.name)
def test_compiled(source: Source, architecture: str) -> None:
    kernel_checks.check_compiled(source, architecture)


@pytest.mark.parametrize(("wide", "under_way"), [(True, 2), (False, 8)])
def test_a_large_gradient_has_32_bytes_of_each_input_under_way(wide: bool, under_way: int) -> None:
    text = linear_grad_plan("gelu", FLOAT32, False, wide, 8192, 4096).steps[0].source.text
    before_the_first_store = text.split("store4(dz" if wide else "dz[j]")[0]
    assert before_the_first_store.count("load4(kept" if wide else " = kept[") == under_way
