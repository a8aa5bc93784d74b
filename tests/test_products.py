"""Matrix products in vector registers: right for every size, on every kind of processor, however they are cut."""

from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import backends
from nnkit.kernels.cpu import compiler, deep, linear, panels, products, target, thin, vectors
from nnkit.kernels.cpu.compiler import Kernel
from nnkit.kernels.cpu.vectors import Registers

#: Around the tiles, the registers, and the sizes at which a kernel changes its ways.
SIZES = [
    (1, 1, 1), (1, 7, 40), (2, 3, 5), (4, 6, 16), (5, 7, 33), (8, 48, 32), (9, 17, 31), (31, 49, 32), (33, 64, 65),
    (17, 100, 20), (12, 13, 1700), (13, 8, 1700), (50, 50, 520), (40, 700, 400), (35, 3, 1100),
]  # fmt: skip
#: AVX-512, AVX2 and SSE or NEON as far as this processor can do them: LLVM makes narrow code of wide vectors.
PROCESSORS = {"64 bytes": Registers(64, 32), "32 bytes": Registers(32, 16), "16 bytes": Registers(16, 32)}
TYPES = ["float32", "float64"]


@pytest.fixture(params=PROCESSORS.values(), ids=PROCESSORS)
def processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    kernels: tuple[Any, ...] = (products.dot_kernel, products.small_dot_kernel, products.outer_kernel)
    kernels += (panels.panels_kernel, thin.thin_kernel, deep.deep_kernel, deep.narrow_kernel)
    for module in (vectors, products, panels):
        monkeypatch.setattr(module, "registers", lambda: request.param)
    monkeypatch.setattr(compiler, "compile_object", compiler.build)  # the worker knows of this processor only
    for kernel in kernels:
        kernel.cache_clear()
    yield
    for kernel in kernels:
        kernel.cache_clear()


def values(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


def run(kernel: Kernel, *arguments: np.ndarray | int) -> None:
    numbers = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments]
    block = (ctypes.c_int64 * len(numbers))(*numbers)  # by name, so that it lives as long as the call
    kernel.call(ctypes.addressof(block))


def assert_product(y: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """y is left times right, up to the rounding of its sums."""
    exact = left.astype("f8") @ right.astype("f8")
    bound = np.abs(left).astype("f8") @ np.abs(right).astype("f8")
    assert np.all(np.abs(y - exact) <= bound * left.shape[1] * np.finfo(y.dtype).eps + 1e-300)


@pytest.mark.parametrize("dtype", TYPES)
def test_dot(dtype: str, processor: None) -> None:
    dot, small = products.dot_kernel(dtype), products.small_dot_kernel(dtype)
    outer = products.outer_kernel(dtype).address
    for M, N, K in SIZES:
        x, w, b = values(M, K, dtype=dtype), values(N, K, dtype=dtype), values(N, dtype=dtype)
        for kernel in (dot, small) if K <= products.SMALL else (dot,):
            padded = np.full(M * N + 2, 7.0, dtype)
            y = padded[1:-1].reshape(M, N)
            for bias, add in [(0, 0), (b, 0), (0, 1)][: 3 if kernel is dot else 2]:
                before = y.copy() if add else np.zeros((M, N), dtype) + bias
                run(kernel, x, w, y, M, N, K, K, K, N, bias, outer, add)
                assert_product(y, np.hstack([x, before]), np.vstack([w.T, np.eye(N, dtype=dtype)]))
                assert padded[0] == padded[-1] == 7.0


@pytest.mark.parametrize("add", [0, 1])
@pytest.mark.parametrize("dtype", TYPES)
def test_outer(dtype: str, add: int, processor: None) -> None:
    kernel = products.outer_kernel(dtype)
    for (M, N, K), transposed in itertools.product(SIZES, (False, True)):
        a, b = values(M, K, dtype=dtype), values(K, N, dtype=dtype)
        stored = np.ascontiguousarray(a.T) if transposed else a
        padded = np.full(M * N + 2, 7.0, dtype)
        y = padded[1:-1].reshape(M, N)
        run(kernel, stored, b, y, M, N, K, *((1, M) if transposed else (K, 1)), N, N, add, 0)
        before = np.full((M, 1), 7.0 * add, dtype)
        assert_product(y, np.hstack([a, before]), np.vstack([b, np.ones((1, N), dtype)]))
        assert padded[0] == padded[-1] == 7.0


@pytest.mark.parametrize("add", [0, 1])
@pytest.mark.parametrize("dtype", TYPES)
def test_deep(dtype: str, add: int, processor: None) -> None:
    kernel = deep.deep_kernel(dtype)
    others = [products.outer_kernel(dtype).address, 64, kernel.address]
    for M, N, K in SIZES:
        a, b = values(K, M, dtype=dtype), values(K, N, dtype=dtype)
        found = []
        for made in (kernel, deep.narrow_kernel(dtype)) if N <= deep.NARROW else (kernel,):
            padded = np.full(M * N + 2, 7.0, dtype)
            y = padded[1:-1].reshape(M, N)
            run(made, a, b, y, M, N, K, 1, M, N, N, add, 0, *others)
            before = np.full((M, 1), 7.0 * add, dtype)
            assert_product(y, np.hstack([a.T, before]), np.vstack([b, np.ones((1, N), dtype)]))
            assert padded[0] == padded[-1] == 7.0
            found.append(y)
        assert all(np.array_equal(found[0], y) for y in found)


#: Around the tiles, and over the edges of blocks, which the tests make small.
BLOCKS = [*SIZES, (29, 250, 1100), (3, 97, 600)]
ORDERS = [("along", "along"), ("along", "across"), ("across", "along"), ("across", "across")]


@pytest.mark.parametrize("add", [0, 1])
@pytest.mark.parametrize("orders", ORDERS, ids=" ".join)
@pytest.mark.parametrize("dtype", TYPES)
def test_panels(
    dtype: str, orders: tuple[str, str], add: int, processor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "BROAD", 96 * 8 // np.dtype(dtype).itemsize)
    monkeypatch.setattr(panels, "depth", lambda dtype: 64)
    kernel, outer = panels.panels_kernel(dtype, *orders), products.outer_kernel(dtype)
    across = deep.deep_kernel(dtype)
    for M, N, K in BLOCKS:
        a, b, bias = values(M, K, dtype=dtype), values(K, N, dtype=dtype), values(N, dtype=dtype)
        left = a if orders[0] == "along" else np.ascontiguousarray(a.T)
        right = b if orders[1] == "across" else np.ascontiguousarray(b.T)
        for tall, given in itertools.product((8, 24), (0, bias) if not add else (0,)):
            padded, nbytes = np.full(M * N + 2, 7.0, dtype), panels.room_bytes(dtype, N)
            room = np.full(nbytes + 4096, 7, np.uint8)
            y = padded[1:-1].reshape(M, N)
            rest = [M, N, K, left.shape[1], right.shape[1], N, add, given, tall]
            run(kernel, left, right, y, *rest, room if M > tall else 0)
            before = np.full((1, N), 7.0 * add, dtype) if given is not bias else bias[None]
            assert_product(y, np.hstack([a, np.ones((M, 1), dtype)]), np.vstack([b, before]))
            assert padded[0] == padded[-1] == 7.0 and np.all(room[nbytes:] == 7)
            same = np.full((M, N), 7.0, dtype)
            if orders[0] == "along":
                run(outer, a, b, same, M, N, K, K, 1, N, N, add, given)
            elif given is not bias:
                run(across, left, b, same, M, N, K, 1, M, N, N, add, 0, outer.address, 64)
            if orders[0] == "along" or given is not bias:
                assert np.array_equal(y, same)  # a sum grows in the same order


@pytest.mark.parametrize("dtype", TYPES)
def test_thin(dtype: str, processor: None) -> None:
    kernel, outer = thin.thin_kernel(dtype), products.outer_kernel(dtype)
    for M, N, K in BLOCKS:
        x, w, bias = values(M, K, dtype=dtype), values(N, K, dtype=dtype), values(N, dtype=dtype)
        for given in (0, bias):
            padded, same = np.full(M * N + 2, 7.0, dtype), np.empty((M, N), dtype)
            y = padded[1:-1].reshape(M, N)
            run(kernel, x, w, y, M, N, K, K, K, N, given)
            added = bias[None] if given is bias else np.zeros((1, N), dtype)
            assert_product(y, np.hstack([x, np.ones((M, 1), dtype)]), np.vstack([w.T, added]))
            assert padded[0] == padded[-1] == 7.0
            run(outer, x, np.ascontiguousarray(w.T), same, M, N, K, K, 1, N, N, 0, given)
            assert np.array_equal(y, same)


@pytest.mark.parametrize("add", [0, 1])
@pytest.mark.parametrize("dtype", TYPES)
def test_bias_grad(dtype: str, add: int) -> None:
    kernel = linear.bias_grad_kernel(dtype)
    for M, O in ((1, 1), (3, 5), (32, 10), (33, 64), (7, 200)):
        dz, db = values(M, O, dtype=dtype), np.full(O, 2.0, dtype)
        run(kernel, dz, db, M, O, add)
        np.testing.assert_allclose(db, dz.astype("f8").sum(0) + 2.0 * add, rtol=1e-4, atol=1e-5)


# ---- as primitives -----------------------------------------------------------------------------------------------


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = nnkit.get_num_threads()
    yield nnkit.set_num_threads
    nnkit.set_num_threads(before)


#: Products that are shared among threads along their rows, their columns, and in many pieces; small gradients of
#: weights, whose sums are made in blocks of few terms.
SHARED = [
    (512, 40, 64), (64, 784, 32), (24, 3000, 16), (300, 500, 500), (1000, 50, 50), (1100, 64, 4), (384, 96, 32),
    (256, 3, 40), (5000, 1, 30),
]  # fmt: skip


@pytest.mark.parametrize("sizes", SHARED, ids=str)
def test_the_number_of_threads_changes_no_bit(sizes: tuple[int, int, int], threads: Callable[[int], None]) -> None:
    M, N, K = sizes
    numba = backends.get("numba")
    x, w, b, dy = values(M, K), values(N, K), values(N), values(M, N)

    def results(count: int) -> list[np.ndarray]:
        threads(count)
        y, z, dz, dx, dw, db = (np.zeros(s, "f4") for s in ((M, N), (M, N), (M, N), (M, K), (N, K), (N,)))
        numba.linear(x, w, b, "gelu", z, y)
        numba.linear_grad(x, w, z, dy, "gelu", dz, dx, dw, db, (False, False))
        product = np.zeros((M, M), "f4")
        numba.matmul(x, x.T, product)
        return [y, z, dz, dx, dw, db, product]

    alone = results(1)
    for count in (2, 3, 5):
        for one, other in zip(alone, results(count), strict=True):
            assert np.array_equal(one, other), count
    np.testing.assert_allclose(alone[1], x @ w.T + b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("heavy", [False, True], ids=["light", "heavy"])
@pytest.mark.parametrize(("N", "K"), [(23, 7), (23, 20), (23, 32), (23, 33), (23, 100), (40, 33), (40, 100), (1, 50)])
def test_rows_are_the_same_alone_and_in_a_batch(N: int, K: int, heavy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if heavy:
        monkeypatch.setattr(panels, "large_weights", lambda dtype, N, K: True)
    numba = backends.get("numba")
    x, w, b = values(37, K), values(N, K), values(N)
    y = np.zeros((37, N), "f4")
    numba.linear(x, w, b, "identity", None, y)
    for count in (1, 2, 3, 6, 11, 13, 17, 33):
        rows = np.zeros((count, N), "f4")
        numba.linear(x[:count], w, b, "identity", None, rows)
        assert np.array_equal(rows, y[:count]), count


@pytest.mark.parametrize("sizes", [*SHARED, (1000, 33, 7), (20, 1100, 600)], ids=str)
def test_large_products_are_the_same_by_panels(
    sizes: tuple[int, int, int], threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    M, N, K = sizes
    x, w, b, dy = values(M, K), values(N, K), values(N), values(M, N)

    parts = [nnkit.tensor(part) for part in (w, b)]

    def step(x: nnkit.Tensor, dy: nnkit.Tensor) -> list[nnkit.Tensor]:
        given, *weights = (part.detach().requires_grad_() for part in (x, *parts))
        y = nnkit.nn.functional.linear(given, *weights)
        (y * dy).sum().backward()
        return [part.detach() for part in (y, y @ y.T, *(leaf.grad for leaf in (given, *weights)))]

    def results(large: bool, count: int, compiled: bool) -> list[Any]:
        threads(count)
        monkeypatch.setattr(panels, "large_product", lambda M, N, K: large)
        monkeypatch.setattr(deep, "LITTLE", 0)  # the blocks of small results, of which panels make none, are shorter
        monkeypatch.setattr(panels, "large_weights", lambda dtype, N, K: True)
        function = nnkit.compile(step) if compiled else step
        for _ in range(3):
            found = function(nnkit.tensor(x), nnkit.tensor(dy))
        return [part.tolist() for part in found]

    expected = results(False, 1, False)
    for large, count, compiled in itertools.product((False, True), (1, 2, 3), (False, True)):
        assert results(large, count, compiled) == expected, (large, count, compiled)


HELD = """
from nnkit.kernels.cpu import target, vectors
print(vectors.registers().nbytes, any(target.has(name) for name in ("avx512f", "avx512vl", "avx10.1-512")))
"""


@pytest.mark.skipif(not target.has("avx2"), reason="the processor has no AVX2")
def test_a_processor_can_be_held_to_narrower_vectors() -> None:
    def held(vectors: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "NNKIT_VECTORS": vectors}
        return subprocess.run([sys.executable, "-c", HELD], env=environment, capture_output=True, text=True)

    assert held("avx2").stdout == "32 False\n"
    assert "NNKIT_VECTORS: expected avx2, got 'sse'" in held("sse").stderr
