"""Matrix products by cuBLASLt: every mapping from row-major arrays to the library's column-major calls, in numbers.

The library is a stand-in that computes on the host (``fake_cublaslt``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fake_cublaslt import FakeLibrary
from host_blas import HALVES, array, blas_over, close, empty, exact, run
from numpy.lib.stride_tricks import sliding_window_view

from nnkit.backends.cuda.blas import PRECISIONS, Blas, Gradients, Product
from nnkit.backends.cuda.cublaslt import REDUCTION_IN_COMPUTE_TYPE, ComputeType, Epilogue
from nnkit.backends.cuda.plans import Done
from nnkit.backends.numpy import NumpyBackend
from nnkit.backends.precision import MATMUL_PRECISIONS


@pytest.fixture
def fake() -> FakeLibrary:
    return FakeLibrary()


@pytest.fixture
def blas(fake: FakeLibrary) -> Blas:
    return blas_over(fake)


# ---- matmul ----------------------------------------------------------------------------------------------------------

STORED = ("rows", "turned", "rows with gaps", "turned with gaps")
#: m, n, k
SIZES = ((1, 1, 1), (1, 5, 3), (5, 1, 3), (4, 5, 1), (31, 33, 32), (33, 31, 1), (1, 33, 31), (33, 1, 7))


@pytest.mark.parametrize("right", STORED)
@pytest.mark.parametrize("left", STORED)
def test_matmul_takes_operands_as_they_are_stored(blas: Blas, left: str, right: str) -> None:
    for m, n, k in SIZES:
        x, y, out = array((m, k), stored=left), array((k, n), seed=1, stored=right), empty((m, n))
        run(blas.matmul(x, y, out))
        close(out, exact(x) @ exact(y))


@pytest.mark.parametrize("result", ["float32", "float64", *HALVES])
@pytest.mark.parametrize("dtype", ["float32", "float64", *HALVES])
def test_matmul_of_types(blas: Blas, dtype: str, result: str) -> None:
    x, y = array((31, 33), dtype), array((33, 5), dtype, seed=1)
    out = empty((31, 5), result)
    product = blas.matmul(x, y, out)
    if result == dtype or (result == "float32" and dtype != "float64"):
        run(product)
        close(out, exact(x) @ exact(y))
    else:
        assert product == f"cuBLASLt has no product of {dtype} and {dtype} into {result}"


@pytest.mark.parametrize("dtype", ["float32", "float64", *HALVES])
def test_matmul_adds(blas: Blas, dtype: str) -> None:
    x, y, out = array((5, 7), dtype), array((7, 3), dtype, seed=1), array((5, 3), dtype, seed=2)
    before = exact(out)
    run(blas.matmul(x, y, out, add=True))
    close(out, exact(x) @ exact(y) + before)
    run(blas.matmul(x, y, out))
    close(out, exact(x) @ exact(y))


def test_matmul_writes_nothing_but_its_output(blas: Blas) -> None:
    wide = np.full((4, 3, 9), 7.0, np.float32)
    x, y = array((4, 3, 5)), array((4, 5, 6), seed=1)
    run(blas.matmul(x, y, wide[..., :6]))
    close(wide[..., :6], exact(x) @ exact(y))
    assert (wide[..., 6:] == 7.0).all()


#: Shapes, and how many calls of the library with which batch count they take.
BATCHES = {
    "a batch": ((4, 3, 5), (4, 5, 2), [4]),
    "two batch axes are one": ((2, 4, 3, 5), (2, 4, 5, 2), [8]),
    "one matrix for a batch is one tall product": ((4, 3, 5), (5, 2), [1]),
    "also of two batch axes": ((2, 4, 3, 5), (5, 2), [1]),
    "a batch for one matrix": ((3, 5), (4, 5, 2), [4]),
    "broadcast inside": ((2, 4, 3, 5), (2, 1, 5, 2), [2]),
    "broadcast outside": ((1, 4, 3, 5), (2, 4, 5, 2), [4, 4]),
    "broadcast on both sides": ((2, 1, 3, 5), (4, 5, 2), [4, 4]),
    "square matrices": ((4, 3, 3), (3, 2), [1]),
    "axes of one": ((1, 1, 3, 5), (1, 5, 2), [1]),
    "rows of one": ((4, 1, 5), (5, 2), [1]),
    "columns of one": ((4, 3, 5), (4, 5, 1), [4]),
}


@pytest.mark.parametrize("left, right, batches", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("stored", STORED)
def test_matmul_of_batches(
    blas: Blas, fake: FakeLibrary, stored: str, left: tuple[int, ...], right: tuple[int, ...], batches: list[int]
) -> None:
    x, y = array(left, stored=stored), array(right, seed=1, stored=stored)
    expected = np.matmul(exact(x), exact(y))
    out = empty(expected.shape)
    run(blas.matmul(x, y, out))
    close(out, expected)
    if stored == "rows":
        assert [ran.batch for ran in fake.products] == batches


def test_matmul_of_heads_that_stand_beside_one_another(blas: Blas) -> None:
    """Attention: (batch, position, head, width) seen as (batch, head, position, width)."""
    q, k = (array((2, 7, 3, 4), seed=seed).transpose(0, 2, 1, 3) for seed in (0, 1))
    out = empty((2, 3, 7, 7))
    run(blas.matmul(q, k.swapaxes(-1, -2), out))
    close(out, exact(q) @ exact(k.swapaxes(-1, -2)))


X, Y = array((6, 4)), array((4, 6))
REASONS = {
    "an empty output": (X[:0], Y, empty((0, 6)), "an array is empty"),
    "nothing to sum": (X[:, :0], Y[:0], empty((6, 6)), "an array is empty"),
    "every other column": (array((6, 8))[:, ::2], Y, empty((6, 6)), "an array is neither contiguous nor transposed"),
    "windows over one row": (sliding_window_view(X[0].repeat(3), 4)[:6], Y, empty((6, 6)), "an array is neither"),
    "a field of records": (np.zeros((6, 4), "f4, u1")["f0"], Y, empty((6, 6)), "an array is neither contiguous nor"),
    "rows from below": (X[::-1], Y, empty((6, 6)), "an array is neither contiguous nor transposed"),
    "rows repeated": (np.broadcast_to(X[:1], (6, 4)), Y, empty((6, 6)), "an array is neither contiguous nor"),
    "a transposed output": (X, Y[:, :5], empty((5, 6)).T, "an array is neither contiguous nor transposed"),
    "a batch from behind": (array((3, 6, 4))[::-1], Y, empty((3, 6, 6)), "a batch axis runs backwards"),
    "an output on itself": (array((3, 6, 4)), Y, np.broadcast_to(empty((6, 6)), (3, 6, 6)), "a batch axis runs"),
    "integers": (np.ones((6, 4), int), np.ones((4, 6), int), np.ones((6, 6), int), "cuBLASLt has no product of int64"),
    "two types": (X, Y.astype("float64"), empty((6, 6)), "cuBLASLt has no product of float32 and float64"),
}


@pytest.mark.parametrize("x, y, out, reason", REASONS.values(), ids=REASONS)
def test_what_the_library_cannot_take_is_told_by_its_reason(
    blas: Blas, fake: FakeLibrary, x: np.ndarray, y: np.ndarray, out: np.ndarray, reason: str
) -> None:
    for _ in range(2):  # the second answer comes from the cache
        product = blas.matmul(x, y, out)
        assert isinstance(product, str) and product.startswith(reason)
    assert not fake.products


@pytest.mark.parametrize("x, y, out", [((6, 4), (5, 6), (6, 6)), ((6, 4), (4, 6), (6, 5)), ((2, 6, 4), (4, 6), (6, 6)),
                                       ((2, 6, 4), (3, 4, 6), (3, 6, 6)), ((4,), (4, 6), (1, 6))])  # fmt: skip
def test_shapes_that_do_not_fit_are_an_error(blas: Blas, x: Any, y: Any, out: Any) -> None:
    with pytest.raises(ValueError, match="matmul: out has shape"):
        blas.matmul(array(x), array(y), empty(out))


# ---- precision -------------------------------------------------------------------------------------------------------

PRECISE = {
    "highest": (ComputeType.COMPUTE_32F, 0.0, 1e-6),
    "high": (ComputeType.COMPUTE_32F_FAST_TF32, 1e-5, 1e-3),
    "medium": (ComputeType.COMPUTE_32F_FAST_16BF, 1e-4, 1e-2),
}


@pytest.mark.parametrize("precision", PRECISE)
def test_precision_of_float32(blas: Blas, fake: FakeLibrary, precision: str) -> None:
    compute, least, most = PRECISE[precision]
    x, y, out = array((32, 64)), array((64, 32), seed=1), empty((32, 32))
    run(blas.matmul(x, y, out, precision=precision))
    expected = exact(x) @ exact(y)
    error = np.abs(exact(out) - expected).max() / np.abs(expected).max()
    assert least <= error <= most
    assert fake.products[0].compute == compute


@pytest.mark.parametrize("precision, named", [("high", "TF32"), ("medium", "bfloat16")])
def test_a_gpu_without_the_precision_computes_in_float32(
    blas: Blas, fake: FakeLibrary, precision: str, named: str
) -> None:
    fake.lack(ComputeType.COMPUTE_32F_FAST_TF32, ComputeType.COMPUTE_32F_FAST_16BF)
    with pytest.warns(RuntimeWarning, match=f"no product in {named} on this GPU for .*: float32 is used") as caught:
        for m in (32, 33):
            x, y, out = array((m, 64)), array((64, 32), seed=1), empty((m, 32))
            run(blas.matmul(x, y, out, precision=precision))
            close(out, exact(x) @ exact(y))
    assert len(caught) == 1 and {ran.compute for ran in fake.products} == {ComputeType.COMPUTE_32F}


@pytest.mark.parametrize("dtype, compute", [("float64", ComputeType.COMPUTE_64F), ("float16", ComputeType.COMPUTE_32F)])
def test_precision_changes_no_other_type(blas: Blas, fake: FakeLibrary, dtype: str, compute: ComputeType) -> None:
    for precision in PRECISE:
        run(blas.matmul(array((3, 4), dtype), array((4, 5), dtype), empty((3, 5), dtype), precision=precision))
    assert {ran.compute for ran in fake.products} == {compute}


@pytest.mark.parametrize("result, reductions", [("float16", REDUCTION_IN_COMPUTE_TYPE), ("float32", None)])
def test_parts_of_a_sum_are_not_rounded_to_half(blas: Blas, fake: FakeLibrary, result: str, reductions: Any) -> None:
    run(blas.matmul(array((3, 4), "float16"), array((4, 5), "float16"), empty((3, 5), result)))
    assert fake.products[0].reductions == reductions


def test_precisions_are_those_that_can_be_set() -> None:
    assert tuple(PRECISIONS) == tuple(PRECISE) == MATMUL_PRECISIONS


def test_an_unknown_precision_is_an_error(blas: Blas) -> None:
    with pytest.raises(ValueError, match="precision: expected one of highest, high, medium, got 'low'"):
        blas.matmul(X, Y, empty((6, 6)), precision="low")


# ---- the linear layer ------------------------------------------------------------------------------------------------

#: M, I, O
LAYERS = ((1, 1, 1), (5, 31, 8), (31, 4, 33), (33, 32, 16), (1, 7, 40))


FORMULAS = NumpyBackend().formulas


def finish(done: Done, activation: str, b: np.ndarray | None, z: np.ndarray | None, out: np.ndarray) -> None:
    """What a backend does with what the library left."""
    target = out if z is None else z
    if not done.bias:
        assert b is not None
        target += b
    if not done.activation:
        out[...] = FORMULAS[activation](exact(target)).astype(out.dtype)


#: Activation, whether z is kept -> the epilogue with a bias and without, and whether it does the activation.
FUSED = {
    ("identity", False): (Epilogue.BIAS, Epilogue.DEFAULT, True),
    ("relu", False): (Epilogue.RELU_BIAS, Epilogue.RELU, True),
    ("relu", True): (Epilogue.BIAS, Epilogue.DEFAULT, False),
    ("gelu_tanh", False): (Epilogue.GELU_BIAS, Epilogue.GELU, True),
    ("gelu_tanh", True): (Epilogue.GELU_AUX_BIAS, Epilogue.GELU_AUX, True),
    ("silu", True): (Epilogue.BIAS, Epilogue.DEFAULT, False),
    ("sigmoid", False): (Epilogue.BIAS, Epilogue.DEFAULT, False),
    ("identity", True): (Epilogue.BIAS, Epilogue.DEFAULT, False),
}


def check_linear(
    blas: Blas, layer: tuple[int, int, int], activation: str, keep: bool, bias: bool, dtype: str = "float32"
) -> Product:
    M, I, O = layer
    x, w = array((M, I), dtype), array((O, I), dtype, seed=1)
    b = array((O,), dtype, seed=2) if bias else None
    z, out = (empty((M, O), dtype) if keep else None), empty((M, O), dtype)
    product: Product = run(blas.linear(x, w, b, activation, z, out))
    finish(product.done, activation, b, z, out)
    before = exact(x) @ exact(w).T + (0.0 if b is None else exact(b))
    close(out, FORMULAS[activation](before))
    if z is not None:
        close(z, before)
    return product


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("activation, keep", FUSED, ids=lambda v: str(v))
def test_linear(blas: Blas, fake: FakeLibrary, activation: str, keep: bool, bias: bool) -> None:
    with_bias, without, whole = FUSED[activation, keep]
    for layer in LAYERS:
        product = check_linear(blas, layer, activation, keep, bias)
        if layer[2] % 8 == 0:  # else z's rows do not stand where GELU_AUX puts them
            assert fake.products[-1].epilogue == (with_bias if bias else without)
            assert product.done == Done(True, whole)


@pytest.mark.parametrize("dtype", ["float64", *HALVES])
def test_linear_of_types(blas: Blas, dtype: str) -> None:
    for activation, keep in FUSED:
        check_linear(blas, (5, 33, 16), activation, keep, True, dtype)


@pytest.mark.parametrize("how", ["status", "none", "state"])
@pytest.mark.parametrize("refused, done", [
    ((Epilogue.RELU_BIAS,), Done(True, False)),
    ((Epilogue.RELU_BIAS, Epilogue.BIAS), Done(False, False)),
    ((Epilogue.BIAS,), Done(True, True)),
])  # fmt: skip
def test_an_epilogue_that_is_not_offered_is_left_to_the_caller(
    blas: Blas, fake: FakeLibrary, refused: tuple[Epilogue, ...], done: Done, how: str
) -> None:
    fake.refuse(*refused, how=how)
    assert check_linear(blas, (5, 31, 8), "relu", False, True).done == done


def test_z_that_the_library_cannot_write_is_left_to_the_caller(blas: Blas, fake: FakeLibrary) -> None:
    assert check_linear(blas, (3, 4, 33), "gelu_tanh", True, True).done == Done(True, False)
    assert fake.counts["cublasLtMatmulAlgoGetHeuristic"] == 1  # nor is it asked for that
    z, out = empty((3, 16)), empty((3, 16), "float16")
    product = run(blas.linear(array((3, 4), "float16"), array((16, 4), "float16"), None, "gelu_tanh", z, out))
    assert product.done == Done(True, False)
    fake.refuse(Epilogue.GELU_AUX_BIAS)
    assert check_linear(blas, (3, 4, 16), "gelu_tanh", True, True).done == Done(True, False)


def test_activations_that_a_backend_does_not_trust_are_left_to_it(fake: FakeLibrary) -> None:
    blas = blas_over(fake, activations=("gelu_tanh",))
    assert check_linear(blas, (5, 31, 8), "relu", False, True).done == Done(True, False)
    assert check_linear(blas, (5, 31, 8), "gelu_tanh", False, True).done == Done(True, True)


def test_a_bias_that_the_library_cannot_read_is_left_to_the_caller(blas: Blas) -> None:
    x, w, out = array((5, 3)), array((8, 3), seed=1), empty((5, 8))
    for b in (array((16,), seed=2)[::2], array((8,), "float64", seed=2)):
        product = run(blas.linear(x, w, b, "identity", None, out))
        assert product.done == Done(False, True)
        close(out, exact(x) @ exact(w).T)
    with pytest.raises(ValueError, match=r"expected a bias of shape \(8,\), got \(7,\)"):
        blas.linear(x, w, array((7,)), "identity", None, out)


@pytest.mark.parametrize("dtype", ["float32", "float64", *HALVES])
@pytest.mark.parametrize("add", [(False, False), (True, False), (False, True), (True, True)], ids=str)
def test_linear_grad(blas: Blas, fake: FakeLibrary, add: tuple[bool, bool], dtype: str) -> None:
    for layer, wanted in ((layer, wanted) for layer in LAYERS for wanted in np.ndindex(2, 2, 2)):
        M, I, O = layer
        x, w, dz = array((M, I), dtype), array((O, I), dtype, seed=1), array((M, O), dtype, seed=2)
        dx = empty((M, I), dtype) if wanted[0] else None
        dw = array((O, I), dtype, seed=3) if wanted[1] else None
        db = array((O,), dtype, seed=4) if wanted[2] else None
        before_w, before_b = (None if a is None else exact(a) for a in (dw, db))
        gradients: Gradients = run(blas.linear_grad(x, w, dz, dx, dw, db, add))
        assert len(gradients.products) == wanted[0] + wanted[1]
        assert gradients.db == (db is None or (dw is not None and not add[1]))
        if dx is not None:
            close(dx, exact(dz) @ exact(w))
        if dw is not None:
            close(dw, exact(dz).T @ exact(x) + (before_w if add[0] else 0.0))
        if db is not None:
            close(db, exact(dz).sum(axis=0) if gradients.db else before_b)


def test_a_bias_gradient_that_is_not_offered_is_left_to_the_caller(blas: Blas, fake: FakeLibrary) -> None:
    fake.refuse(Epilogue.BGRADB)
    x, w, dz, dw, db = array((5, 3)), array((8, 3)), array((5, 8)), empty((8, 3)), empty((8,))
    gradients = run(blas.linear_grad(x, w, dz, None, dw, db, (False, False)))
    assert not gradients.db and np.isnan(db).all()
    close(dw, exact(dz).T @ exact(x))


def test_reasons_of_the_linear_layer(blas: Blas) -> None:
    x, w, out = array((6, 8))[:, ::2], array((5, 4)), empty((6, 5))
    assert isinstance(blas.linear(x, w, None, "relu", None, out), str)
    assert isinstance(blas.linear(X, w, None, "silu", empty((6, 10))[:, ::2], out), str)
    assert isinstance(blas.linear_grad(x, w, out, None, empty((5, 4)), None, (False, False)), str)
    assert isinstance(blas.linear_grad(X, w, out, empty((6, 8))[:, ::2], None, None, (False, False)), str)
