"""What is kept between products: plans, workspaces, descriptors shared by threads; and what failures leave behind."""

from __future__ import annotations

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fake_cublaslt import FakeLibrary
from host_blas import STREAM, array, blas_over, close, empty, exact, host_address, host_memory, run
from waiting import HANG

from nnkit.backends.cuda import blas as blas_module
from nnkit.backends.cuda.blas import PRECISIONS, Blas
from nnkit.backends.cuda.cublaslt import ComputeType, CublasError, CublasOutOfMemory, DataType, Epilogue, Status
from nnkit.backends.cuda.plans import WORKSPACE, Refused


@pytest.fixture
def fake() -> FakeLibrary:
    return FakeLibrary()


@pytest.fixture
def blas(fake: FakeLibrary) -> Blas:
    return blas_over(fake)


X, Y = array((6, 4)), array((4, 6))

# ---- plans, workspaces, threads --------------------------------------------------------------------------------------

HEURISTIC = "cublasLtMatmulAlgoGetHeuristic"


def test_a_plan_is_made_once_and_a_run_makes_nothing(fake: FakeLibrary) -> None:
    allocated: list[int] = []

    def allocate(nbytes: int) -> np.ndarray:
        allocated.append(nbytes)
        return host_memory(nbytes)

    blas = Blas(allocate, fake, host_address)
    x, w, b, out = array((5, 4)), array((8, 4)), array((8,)), empty((5, 8))
    run(blas.linear(x, w, b, "relu", None, out))
    before = dict(fake.counts)
    for seed in range(3):
        product = blas.linear(x, w, array((8,), seed=seed), "relu", None, out)
        run(product)
        run(product)
    made = {name for name, count in fake.counts.items() if count != before.get(name, 0)}
    assert made == {"cublasLtMatmul", "cublasLtMatmulDescSetAttribute"}
    assert allocated == [WORKSPACE]
    before = dict(fake.counts)
    run(product)  # and the bias stands where it stood
    assert {name for name, count in fake.counts.items() if count != before[name]} == {"cublasLtMatmul"}


def test_what_makes_another_plan(blas: Blas, fake: FakeLibrary) -> None:
    x, y, out = array((8, 8)), array((8, 8)), empty((8, 8))
    cases: list[Any] = [
        (x, y, out), (x.T, y, out), (x, y.T, out), (x[:4], y, out[:4]),
        (x.astype("float64"), *[y.astype("float64")] * 2),
        (x, y, out, True), (x, y, out, False, "high"),
    ]  # fmt: skip
    for number, case in enumerate(cases, start=1):
        for _ in range(2):
            run(blas.matmul(*case))
            assert fake.counts[HEURISTIC] == number
    integers = (a.astype("int32") for a in (x, y, out))  # of the same strides
    assert isinstance(blas.matmul(*integers), str)


def test_plans_promise_no_more_alignment_than_the_arrays_have(blas: Blas, fake: FakeLibrary) -> None:
    """The stand-in refuses a pointer that is less aligned than its algorithm was chosen for."""
    memory = np.zeros(4096, np.float32)
    start = -host_address(memory) % 256 // 4
    x, y = array((4, 8)), array((8, 8), seed=1)
    for offset in (0, 1, 2, 4, 64, 3):
        out = memory[start + offset :][:32].reshape(4, 8)
        run(blas.matmul(x, y, out))
        close(out, exact(x) @ exact(y))
    # 25 elements lead from a matrix to the next: products at offsets are aligned to 4 bytes only.
    x, y = array((2, 1, 5, 5)), array((3, 5, 5), seed=1)
    out = memory[start : start + 150].reshape(2, 3, 5, 5)
    run(blas.matmul(x, y, out))
    close(out, exact(x) @ exact(y))


def test_plans_are_bounded_and_freed(blas: Blas, fake: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas_module, "PLANS", 3)
    for m in range(1, 9):
        run(blas.matmul(array((m, 4)), Y, empty((m, 6))))
    gc.collect()
    kinds = [made.kind for made in fake.objects.values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {"": 1, "MatmulDesc": 3, "MatrixLayout": 9}
    run(blas.matmul(array((1, 4)), Y, empty((1, 6))))
    assert fake.counts[HEURISTIC] == 9
    del blas
    gc.collect()


def test_every_stream_has_a_workspace_of_its_own(blas: Blas, fake: FakeLibrary) -> None:
    product = blas.matmul(X, Y, empty((6, 6)))
    assert not isinstance(product, str)
    for stream in (16, 32, 16):
        product.run(stream)
    first, second, third = fake.products
    assert (first.stream, second.stream, third.stream) == (16, 32, 16)
    assert first.workspace == third.workspace == blas.workspace(16) != second.workspace
    blas.forget(16)
    blas.forget(48)
    assert blas.workspace(32) == second.workspace


def test_products_keep_their_arrays(blas: Blas) -> None:
    product = blas.matmul(array((31, 33)), array((33, 31), seed=1), out := empty((31, 31)))
    gc.collect()
    run(product)
    close(out, exact(array((31, 33))) @ exact(array((33, 31), seed=1)))


def test_threads_share_plans_and_not_pointers(blas: Blas, fake: FakeLibrary) -> None:
    """The bias is told to the library by the descriptor that all threads share."""
    count = 8
    fake.pause = lambda: time.sleep(1e-4)  # the other threads go on
    barrier = threading.Barrier(count)
    x, w = array((4, 3)), array((8, 3), seed=1)

    def work(number: int) -> None:
        b, out = np.full(8, number, np.float32), empty((4, 8))
        barrier.wait(HANG)
        for _ in range(25):
            product = blas.linear(x, w, b, "identity", None, out)
            assert not isinstance(product, str)
            product.run(16 + number % 3)
            close(out, exact(x) @ exact(w).T + number)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))
    assert fake.counts[HEURISTIC] == 1
    assert len({ran.workspace for ran in fake.products}) == 3


def test_threads_share_a_workspace(fake: FakeLibrary) -> None:
    allocated: list[np.ndarray] = []
    barrier = threading.Barrier(4)

    def allocate(nbytes: int) -> np.ndarray:
        time.sleep(0.01)  # lets the others come
        allocated.append(host_memory(nbytes))
        return allocated[-1]

    blas = Blas(allocate, fake, host_address)

    def work(number: int) -> int:
        barrier.wait(HANG)
        return blas.workspace(STREAM)

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(work, range(4))) == {host_address(allocated[0])}
    assert len(allocated) == 1


# ---- what is refused when it is to run ------------------------------------------------------------------------------

MATMUL = "cublasLtMatmul"


@pytest.mark.parametrize("status", [Status.NOT_SUPPORTED, Status.INVALID_VALUE, Status.ARCH_MISMATCH])
def test_of_the_algorithms_that_are_named_the_first_that_runs_is_taken_and_kept(
    blas: Blas, fake: FakeLibrary, status: Status
) -> None:
    fake.refuse_to_run(lambda named: named.number < 2, status)
    x, y, out = array((2, 1, 5, 3)), array((4, 3, 2), seed=1), empty((2, 4, 5, 2))
    for calls in (4, 6):  # two products, and at first two refusals
        run(blas.matmul(x, y, out))
        close(out, exact(x) @ exact(y))
        assert fake.counts[MATMUL] == calls
    assert fake.counts[HEURISTIC] == 1 and {ran.algorithm for ran in fake.products} == {2}


def test_a_named_algorithm_that_cannot_be_used_is_passed_over(blas: Blas, fake: FakeLibrary) -> None:
    fake.refuse(Epilogue.DEFAULT, how="first state")
    run(blas.matmul(X, Y, out := empty((6, 6))))
    close(out, exact(X) @ exact(Y))
    assert fake.products[-1].algorithm == 1 and fake.counts[MATMUL] == 1


def test_another_failure_of_a_run_is_not_taken_for_a_refusal(blas: Blas, fake: FakeLibrary) -> None:
    fake.fail(MATMUL, Status.EXECUTION_FAILED)
    with pytest.raises(CublasError, match="EXECUTION_FAILED"):
        run(blas.matmul(X, Y, empty((6, 6))))
    run(blas.matmul(X, Y, empty((6, 6))))
    assert fake.products[-1].algorithm == 0


def test_a_plan_that_no_algorithm_runs_is_not_offered_again(blas: Blas, fake: FakeLibrary) -> None:
    """Asked for anew, the product comes without the epilogue; where there is nothing plainer, as an error."""
    x, w, b, out = array((5, 4)), array((8, 4), seed=1), array((8,), seed=2), empty((5, 8))
    fake.refuse_to_run(lambda named: named.epilogue == Epilogue.BIAS)
    first = blas.linear(x, w, b, "identity", None, out)
    assert not isinstance(first, str) and first.done.bias
    with pytest.raises(Refused, match=r"CUBLAS_STATUS_NOT_SUPPORTED: .* float32 \(5, 4\) times \(4, 8\)"):
        first.run(STREAM)
    product = run(blas.linear(x, w, b, "identity", None, out))
    assert not product.done.bias and fake.products[-1].epilogue == Epilogue.DEFAULT
    close(out, exact(x) @ exact(w).T)
    fake.refuse_to_run(lambda named: True)
    with pytest.raises(Refused):
        product.run(STREAM)
    asked = fake.counts[HEURISTIC]
    for _ in range(2):
        with pytest.raises(CublasError, match="AlgoGetHeuristic failed with CUBLAS_STATUS_NOT_SUPPORTED"):
            blas.linear(x, w, b, "identity", None, out)
    assert fake.counts[HEURISTIC] == asked, "what is known to be refused is not asked for"


@pytest.mark.parametrize("precision, kind", [("high", "TF32"), ("medium", "bfloat16")])
def test_rounded_operands_that_are_refused_at_the_run_are_kept_as_float32_with_one_warning(
    blas: Blas, fake: FakeLibrary, precision: str, kind: str
) -> None:
    fake.refuse_to_run(lambda named: named.compute == PRECISIONS[precision])
    product = blas.matmul(X, Y, out := empty((6, 6)), precision=precision)
    with pytest.raises(Refused):
        product.run(STREAM)
    with pytest.warns(RuntimeWarning, match=f"no product in {kind} on this GPU for .*: float32") as told:
        run(blas.matmul(X, Y, out, precision=precision))
    assert len(told) == 1 and fake.products[-1].compute == ComputeType.COMPUTE_32F
    close(out, exact(X) @ exact(Y))


def test_threads_that_are_refused_an_algorithm_take_the_next_together(blas: Blas, fake: FakeLibrary) -> None:
    fake.refuse_to_run(lambda named: named.number < 2)
    fake.pause = lambda: time.sleep(1e-4)
    barrier = threading.Barrier(4)

    def work(number: int) -> None:
        out = empty((6, 6))
        product = blas.matmul(X, Y, out)
        barrier.wait(HANG)
        run(product)
        close(out, exact(X) @ exact(Y))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert {ran.algorithm for ran in fake.products} == {2}


def test_whether_a_half_type_is_multiplied_is_asked_once_and_said_once(fake: FakeLibrary) -> None:
    fake.lack(DataType.R_16BF)
    blas = blas_over(fake)
    assert blas.multiplies("float16")
    with pytest.warns(RuntimeWarning, match="no product of bfloat16 on this GPU: .* as float32") as told:
        assert not blas.multiplies("bfloat16") and not blas.multiplies("bfloat16")
    assert len(told) == 1 and fake.counts[HEURISTIC] == 2


# ---- failures --------------------------------------------------------------------------------------------------------


def test_no_algorithm_at_all_is_an_error_that_names_the_product(blas: Blas, fake: FakeLibrary) -> None:
    fake.refuse(Epilogue.DEFAULT)
    text = r"CUBLAS_STATUS_NOT_SUPPORTED: .*: 3 times float32 \(6, 4\) times \(4, 5\) into float32"
    for _ in range(2):
        with pytest.raises(CublasError, match=text):
            blas.matmul(array((3, 6, 4)), array((3, 4, 5)), empty((3, 6, 5)))


#: The function that fails, with what, and what is raised.
FAILURES = {
    "no GPU": ("cublasLtCreate", Status.NOT_INITIALIZED, CublasError, "CUBLAS_STATUS_NOT_INITIALIZED: no usable GPU"),
    "no memory for a handle": ("cublasLtCreate", Status.ALLOC_FAILED, CublasOutOfMemory, "use a smaller batch"),
    "no memory for a layout": ("cublasLtMatrixLayoutCreate", Status.ALLOC_FAILED, MemoryError, "LayoutCreate failed"),
    "no memory for a plan": (HEURISTIC, Status.ALLOC_FAILED, MemoryError, "CUBLAS_STATUS_ALLOC_FAILED"),
    "a failed heuristic": (HEURISTIC, Status.INTERNAL_ERROR, CublasError, "CUBLAS_STATUS_INTERNAL_ERROR"),
    "a batch count": ("cublasLtMatrixLayoutSetAttribute", Status.INVALID_VALUE, CublasError, "LayoutSetAttribute"),
    "a descriptor": ("cublasLtMatmulDescSetAttribute", Status.INTERNAL_ERROR, CublasError, "DescSetAttribute failed"),
    "a kernel": ("cublasLtMatmul", Status.EXECUTION_FAILED, CublasError, r"a kernel failed .* \(6, 4\) times \(4, 6\)"),
    "no memory for a run": ("cublasLtMatmul", Status.ALLOC_FAILED, CublasOutOfMemory, "CUBLAS_STATUS_ALLOC_FAILED"),
    "a new status": ("cublasLtMatmul", 99, CublasError, "cublasLtMatmul failed with status 99"),
}


@pytest.mark.parametrize("function, status, error, text", FAILURES.values(), ids=FAILURES)
def test_a_failure_is_an_exception_that_says_what_failed_and_nothing_is_left_broken(
    fake: FakeLibrary, function: str, status: int, error: type[Exception], text: str
) -> None:
    fake.fail(function, status)
    x, out = array((2, 6, 4)), empty((2, 6, 6))
    y = array((2, 4, 6), seed=1)
    with pytest.raises(error, match=text) as caught:
        run(blas_over(fake).matmul(x, y, out))
    assert isinstance(caught.value, CublasError) and caught.value.status == status
    run(blas_over(fake).matmul(x, y, out))
    close(out, exact(x) @ exact(y))


def test_a_bias_pointer_that_was_not_set_is_set_by_the_next_run(blas: Blas, fake: FakeLibrary) -> None:
    x, w, out = array((5, 4)), array((8, 4), seed=1), empty((5, 8))
    first, second = array((8,), seed=2), array((8,), seed=3)
    run(blas.linear(x, w, first, "identity", None, out))
    fake.fail("cublasLtMatmulDescSetAttribute", Status.INTERNAL_ERROR)
    product = blas.linear(x, w, second, "identity", None, out)
    with pytest.raises(CublasError):
        run(product)
    run(product)
    close(out, exact(x) @ exact(w).T + exact(second))


def test_a_failed_allocation_of_the_workspace_can_be_repeated(fake: FakeLibrary) -> None:
    memory: list[Any] = [host_memory(WORKSPACE)]

    def allocate(nbytes: int) -> np.ndarray:
        if memory:
            memory.clear()
            raise MemoryError("cudaMalloc")
        return host_memory(nbytes)

    blas = Blas(allocate, fake, host_address)
    out = empty((6, 6))
    product = blas.matmul(X, Y, out)
    with pytest.raises(MemoryError, match="cudaMalloc"):
        run(product)
    run(product)
    close(out, exact(X) @ exact(Y))
