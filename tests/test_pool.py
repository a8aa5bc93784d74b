"""A program's own memory: blocks are used again where that is safe, and only there."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnkit
from nnkit.backends import get
from nnkit.backends.pool import ALIGNMENT, Pool, aligned_empty, overlap
from nnkit.backends.recording import recording

KILO = (256,)  # float32 elements of 1 KiB


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_a_block_that_was_dropped_is_used_again() -> None:
    pool = Pool()
    first = pool.empty(KILO, np.float32)
    place = address(first)
    second = pool.empty(KILO, np.float32)
    assert address(second) != place and pool.peak == 2048
    del first
    assert address(pool.empty((128,), np.float64)) == place and pool.peak == 2048


def test_views_keep_a_block() -> None:
    pool = Pool()
    view = pool.empty((4, 64), np.float32)[1:, ::2].T
    view[...] = 7.0
    others = [pool.empty(KILO, np.float32) for _ in range(3)]
    for other in others:
        other[...] = 0.0
    assert (view == 7.0).all()


def test_arrays_outlive_the_pool() -> None:
    array = Pool().empty(KILO, np.float32)
    array[...] = 3.0
    gc.collect()
    noise = [np.zeros(KILO, np.float32) for _ in range(64)]
    assert (array == 3.0).all() and len(noise) == 64


def test_a_large_block_is_not_wasted_on_a_small_array() -> None:
    pool = Pool()
    pool.empty((1 << 20,), np.float32)
    first = pool.empty(KILO, np.float32)
    assert pool.peak == (1 << 22) + first.nbytes


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (17, 3), (2, 1, 5)])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "float16", "float32", "int64"])
def test_any_shape_and_type_is_aligned(shape: tuple[int, ...], dtype: str) -> None:
    pool = Pool()
    array = pool.empty(shape, dtype)
    assert array.shape == shape and array.dtype == dtype and array.flags.c_contiguous and array.flags.writeable
    assert address(array) % ALIGNMENT == 0
    assert pool.owns(array) and not pool.owns(np.empty(shape, dtype))
    large = aligned_empty((5000, *shape), dtype)
    assert large.nbytes < 1 << 14 or address(large) % ALIGNMENT == 0


def test_an_array_without_a_lease_is_the_same_memory_and_holds_nothing() -> None:
    pool = Pool()
    array = pool.empty((8, 32), np.float32)
    array[...] = np.arange(256).reshape(8, 32)
    for view in (array, array.T, array[2:, ::3], array[::-1], array[3, 4], np.broadcast_to(array[0], (4, 32))):
        bare = pool.unleased(np.asarray(view)) if isinstance(view, np.ndarray) else view
        np.testing.assert_array_equal(bare, view)
        assert not isinstance(view, np.ndarray) or (bare.strides == view.strides and overlap(bare, array))
    place, kept = address(array), pool.unleased(array)
    del array, view, bare
    assert address(pool.empty((256,), np.float32)) == place == address(kept)
    outside = np.ones(3)
    assert pool.unleased(outside) is outside


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5000)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_no_two_live_arrays_share_memory(steps: list[tuple[int, int]]) -> None:
    pool, live = Pool(), {}
    for number, (slot, size) in enumerate(steps):
        live.pop(slot, None)
        array = pool.empty((size,), np.int64)
        array[...] = number
        live[slot] = number, array
        assert all((other == value).all() for value, other in live.values())
    assert pool.peak >= sum(array.nbytes for _, array in live.values())


def long_chain(x: nnkit.Tensor) -> nnkit.Tensor:
    for i in range(20):
        x = (x * 1.01 + 0.1 * i).tanh() + x
    return x.sum(dim=0)


@pytest.mark.parametrize("device", ["numpy", "numba"])
def test_a_program_with_many_temporaries_needs_few_of_them_at_once(device: str) -> None:
    backend = get(device)
    x = nnkit.tensor(np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64), device=device)
    expected = long_chain(x).numpy()
    work = backend.recorder()
    with recording(work):
        y = long_chain(x)
    program = work.finish()
    assert sum(instruction.nbytes for instruction in program.instructions) > 80 * x.array.nbytes
    assert program.pool.peak < 6 * x.array.nbytes
    for _ in range(3):
        y.array.fill(0.0)
        noise = [np.full((64, 64), np.nan, np.float32) for _ in range(100)]
        program.replay()
        np.testing.assert_array_equal(y.array, expected)
        assert len(noise) == 100
