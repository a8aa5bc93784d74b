"""The CUDA kernels that move values, in the emulator against the reference body, and compiled."""

from __future__ import annotations

from typing import Any

import kernel_checks
import numpy as np
import pytest
from kernel_checks import ARCHITECTURES, SIZES, results, stored_as

from nnkit import backends
from nnkit.kernels.cuda import memory
from nnkit.kernels.cuda import strided as strided_kernels
from nnkit.kernels.cuda.compiler import Source

REFERENCE = backends.get("numpy")
TYPES = ("float32", "float64", "float16", "bfloat16", "int64", "bool")


def numbers(shape: Any, dtype: Any = "float32", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


# ---- fill -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_fill(dtype: str, wide: bool) -> None:
    for n in SIZES:
        for value in (0, 1) if dtype == "bool" else (0, 3, -(2**53)) if dtype == "int64" else (0.0, -1.1):
            y = np.ones(n + 1, stored_as(dtype))
            (found,) = results(memory.fill_kernel(dtype, wide), max(memory.fill_grid(n, wide), 1), [value, y, n], [1])
            y[:n] = value
            np.testing.assert_array_equal(found, y)


# ---- rows by number -------------------------------------------------------------------------------------------------

#: The type of an element, and how many make a row: a row is a multiple of the unit that it is copied in.
ROWS = (
    ("byte", "bool", 1), ("byte", "bfloat16", 3), ("byte", "bool", 33), ("word", "float32", 1), ("word", "float16", 2),
    ("word", "float32", 33), ("word", "float64", 31), ("quad", "float32", 4), ("quad", "float64", 32),
)  # fmt: skip
UNIT_BYTES = {"byte": 1, "word": 4, "quad": 16}
COUNTS = (0, 1, 31, 33)


def units(array: np.ndarray, unit: str) -> np.ndarray:
    """An array as the kernel of a unit sees it."""
    return array.reshape(-1).view(memory.UNITS[unit])


@pytest.mark.parametrize(("unit", "dtype", "elements"), ROWS)
def test_copy_rows(unit: str, dtype: str, elements: int) -> None:
    """Four units lie between the rows of one side, none or eight between those of the other."""
    size = UNIT_BYTES[unit]
    for M, (left, right) in ((M, gaps) for M in COUNTS for gaps in ((4, 0), (0, 8))):
        width = np.dtype(stored_as(dtype)).itemsize * elements
        x = np.random.default_rng(M).integers(0, 256, (M, width + left * size), np.uint8)
        out = np.zeros((M, width + right * size), np.uint8)
        given = [units(x, unit), x.shape[1] // size, units(out, unit), out.shape[1] // size, M, width // size]
        (found,) = results(memory.copy_rows_kernel(unit), max(memory.take_grid(M, width // size), 1), given, [2])
        out[:, :width] = x[:, :width]
        assert found.tobytes() == out.tobytes()


@pytest.mark.parametrize(("unit", "dtype", "elements"), ROWS)
def test_take_rows(unit: str, dtype: str, elements: int) -> None:
    x = numbers((7, elements), stored_as(dtype))
    width = x.itemsize * elements // UNIT_BYTES[unit]
    for M in COUNTS:
        index, out = np.random.default_rng(M).integers(0, 7, M), np.zeros((M, elements), x.dtype)
        given = [units(x, unit), index, units(out, unit), M, width, 7]
        (found,) = results(memory.take_rows_kernel(unit), max(memory.take_grid(M, width), 1), given, [2])
        assert found.tobytes() == x[index].tobytes()


#: A, N, K, B: how many elements lie before the axis, along it in the whole and in the part, and behind it.
ALONG = ((1, 5, 7, 1), (3, 4, 2, 1), (2, 3, 5, 33), (33, 1, 1, 2))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("sizes", ALONG)
def test_gather_and_scatter(sizes: tuple[int, ...], dtype: str) -> None:
    A, N, K, B = sizes
    x = (9 * numbers((A, N, B))).astype(dtype)
    index = np.random.default_rng(1).integers(0, N, (A, K, B))
    y = (9 * numbers((A, K, B), seed=2)).astype(dtype)
    unit = "uint32" if x.itemsize == 4 else "int64"
    given = [x.reshape(-1).view(unit), index, np.zeros(y.size, unit), *sizes]
    (found,) = results(memory.gather_kernel(unit), memory.take_grid(y.size, 1), given, [2])
    np.testing.assert_array_equal(found.view(dtype).reshape(y.shape), np.take_along_axis(x, index, 1))
    for kind, add in (("set", False), ("add", True)):
        expected = x.copy()
        REFERENCE.scatter(kind, y, index, 1, expected)
        given = [y, index, x.copy(), *sizes]
        (found,) = results(memory.scatter_kernel(dtype, add), memory.take_grid(A * B, 1), given, [2])
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_take_rows_reads_nothing_else_for_a_wrong_index() -> None:
    x, index, out = numbers((3, 2)), np.array([-1, 3, 2**40]), np.zeros((3, 2), "float32")
    (found,) = results(memory.take_rows_kernel("word"), 1, [units(x, "word"), index, units(out, "word"), 3, 2, 3], [2])
    np.testing.assert_array_equal(found.view("float32").reshape(3, 2), x[[0, 2, 2]])


@pytest.mark.parametrize(("unit", "dtype", "elements"), ROWS)
@pytest.mark.parametrize("at", [0, 5, 64])
def test_take_batch_reads_the_cursor_in_device_memory(unit: str, dtype: str, elements: int, at: int) -> None:
    x = numbers((100, elements), stored_as(dtype))
    width = x.itemsize * elements // UNIT_BYTES[unit]
    order, cursor = np.random.default_rng(0).permutation(100), np.array([at])
    for M in COUNTS:
        out, wanted = np.zeros((M, elements), x.dtype), np.zeros((M, elements), x.dtype)
        given = [units(x, unit), order, cursor, units(out, unit), M, width]
        (found,) = results(memory.take_batch_kernel(unit), max(memory.take_grid(M, width), 1), given, [3])
        REFERENCE.take_batch(x, order, cursor, wanted)
        assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize(("N", "width"), [(1, 1), (3, 31), (10, 33), (33, 32)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_add_rows_is_the_sum_in_order(N: int, width: int, dtype: str) -> None:
    """To the bit: however the threads run, the rows that meet at one place are added one after the other."""
    for M in (1, 32, 77):
        index = np.random.default_rng(M).integers(0, N, M)
        y, out = (
            numbers((M, width), "float32", 1).astype(stored_as(dtype)),
            numbers((N, width)).astype(stored_as(dtype)),
        )
        grid, span = memory.add_rows_grid(N, width)
        (found,) = results(memory.add_rows_kernel(dtype), grid, [y, index, out, M, width, N, span], [2])
        for i, row in enumerate(index):  # sums of sixteen-bit floats are rounded at every addition
            out[row] += y[i]
        assert found.tobytes() == out.tobytes()


def test_add_rows_of_many_rows_a_warp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST_WARPS", 4)
    assert memory.add_rows_grid(1000, 33) == (1, 500)
    index, y, out = np.random.default_rng(0).integers(0, 1000, 200), numbers((200, 33)), numbers((1000, 33), seed=1)
    (found,) = results(memory.add_rows_kernel("float32"), 1, [y, index, out, 200, 33, 1000, 500], [2])
    np.add.at(out, index, y)
    assert found.tobytes() == out.tobytes()


@pytest.mark.parametrize(("N", "width"), [(1, 1), (1, 10**6), (10**6, 1), (50_000, 512), (10**7, 4096)])
def test_add_rows_has_a_warp_for_every_row_and_column(N: int, width: int) -> None:
    grid, span = memory.add_rows_grid(N, width)
    warps, tiles = grid * memory.THREADS // 32, -(-width // 32)
    assert warps // tiles * span >= N
    assert warps <= memory.MOST_WARPS + tiles + 8


# ---- random keys ----------------------------------------------------------------------------------------------------


def test_next_key() -> None:
    state, key = np.array([5, 2**32 - 1]), np.zeros(2, "int64")
    state, key = results(memory.next_key_kernel(), 1, [state, key], [0, 1])
    assert (state.tolist(), key.tolist()) == ([5, 2**32], [5, 2**32 - 1])


# ---- compiled -------------------------------------------------------------------------------------------------------

KERNELS: tuple[Source, ...] = (
    *(memory.fill_kernel(dtype, wide) for dtype, wide in zip(TYPES, (True, False) * 3, strict=True)),
    *map(memory.copy_rows_kernel, memory.UNITS),
    *map(memory.take_rows_kernel, memory.UNITS),
    *map(memory.take_batch_kernel, memory.UNITS),
    *map(memory.add_rows_kernel, ("float32", "float64", "bfloat16")),
    memory.next_key_kernel(),
)


@pytest.mark.parametrize("source", KERNELS, ids=lambda source: source.name)
@pytest.mark.compiles
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles(source: Source, architecture: str) -> None:
    kernel_checks.check_compiled(source, architecture)


# ---- arrays that lie in any regular way -----------------------------------------------------------------------------

#: x's and y's shape, and the view of each that is copied from and to.
VIEWS: dict[str, tuple[tuple[int, ...], tuple[int, ...], Any, Any]] = {
    "in order": ((33,), (33,), lambda x: x, lambda y: y),
    "a transpose": ((5, 7), (7, 5), lambda x: x.T, lambda y: y),
    "into a transpose": ((5, 7), (7, 5), lambda x: x, lambda y: y.T),
    "a column": ((33, 3), (33, 2), lambda x: x[:, 1], lambda y: y[:, 0]),
    "repeated": ((3, 1, 4), (3, 5, 4), lambda x: x, lambda y: y),
    "one element": ((1,), (6, 7), lambda x: x[0], lambda y: y[::2, 1::3]),
    "backwards": ((9, 5), (9, 5), lambda x: x[::-1, ::-2], lambda y: y[:, :3]),
    "into one that runs backwards": ((9, 5), (9, 5), lambda x: x[:, ::-1], lambda y: y[::-1]),
    "axes that merge": ((2, 3, 4, 5), (6, 4, 5, 1), lambda x: x.reshape(6, 4, 5, 1), lambda y: y),
    "four axes turned": ((2, 3, 4, 5), (5, 3, 4, 2), lambda x: x.transpose(3, 1, 2, 0), lambda y: y),
}


@pytest.mark.parametrize("dtype", ["bool", "bfloat16", "float32", "int32", "float64"])
@pytest.mark.parametrize("name", VIEWS)
def test_copies_between_arrays_that_do_not_lie_in_order(name: str, dtype: str, device: str) -> None:
    from nnkit.backends.cuda import strided

    given, wanted, of_x, of_y = VIEWS[name]
    backend, kind = backends.get(device), stored_as(dtype)
    host, other = (np.arange(np.prod(shape)).reshape(shape).astype(kind) for shape in (given, wanted))
    x, y = backend.asarray(host), backend.asarray(other)
    of_y(other)[...] = of_x(host)
    work = strided.copy(of_x(x), of_y(y))
    assert not isinstance(work, str), work
    work.run()
    np.testing.assert_array_equal(backend.to_numpy(y), other)
    assert backend.to_numpy(x).tobytes() == host.tobytes()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("itemsize", strided_kernels.UNITS)
def test_strided_copies_compile(itemsize: int, architecture: str) -> None:
    for axes in (1, 3, strided_kernels.MOST_AXES):
        kernel_checks.check_compiled(strided_kernels.strided_kernel(itemsize, axes), architecture)
