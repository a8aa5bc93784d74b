"""Copies between parts of arrays: what ``cat`` and ``stack`` do, with a kernel where the memory is rows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nnkit import backends
from nnkit.backends.cpu.elementwise import copy

SHAPES = [(32, 1), (4, 5), (2, 3, 4), (1, 7), (6,), (3, 1, 2)]
#: First, last and step of a part of an axis of 2 n + 1 elements.
PARTS = [lambda n: slice(0, n), lambda n: slice(1, n + 1), lambda n: slice(0, 2 * n, 2), lambda n: slice(n, None, -1)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_part_of_an_array_is_written_and_nothing_else(shape: tuple[int, ...], dtype: str) -> None:
    numba, random = backends.get("numba"), np.random.default_rng(0)
    for parts in itertools.product(PARTS, repeat=len(shape)):
        whole = random.integers(0, 100, [2 * n + 1 for n in shape]).astype(dtype)
        place = tuple(part(n) for part, n in zip(parts, shape, strict=True))
        target = whole[place]
        source = random.integers(0, 100, whole.shape).astype(dtype)[place]
        for x in (source, np.ascontiguousarray(source)):
            expected = whole.copy()
            expected[place] = x
            numba.copy(x, target)
            assert np.array_equal(whole, expected), place


@pytest.mark.parametrize("dtype", ["float32", "int64"])
@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 3, 5), (3, 1, 2), (4, 3, 1), (40, 30, 260)], ids=str)
def test_two_axes_exchanged(shape: tuple[int, ...], dtype: str) -> None:
    x = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    source, target = x.transpose(1, 0, 2), np.zeros((shape[1], shape[0], shape[2]), dtype)
    backends.get("numba").copy(source, target)
    assert np.array_equal(source, target)


def test_rows_some_way_apart_have_a_kernel() -> None:
    whole = np.zeros((8, 2, 6), np.float32)
    for target in (whole[:, 1], whole[::2, :, :], whole[..., 3:4], whole[0, :, 2:5]):
        launch = copy(np.ones(target.shape, np.float32), target)
        assert not isinstance(launch, str) and launch.name in ("copy_rows", "map_identity_float32_to_float32_f_n")
    turned = copy(np.ones((8, 2, 6), np.float32).transpose(1, 0, 2), np.empty((2, 8, 6), np.float32))
    assert not isinstance(turned, str) and turned.name == "copy_rows"
    assert copy(np.ones((6, 8), np.float32), whole[:, 0].T) == "an output is strided"
