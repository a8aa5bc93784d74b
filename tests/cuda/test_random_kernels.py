"""The CUDA kernels of random numbers: to the bit the streams of the reference body, and compiled."""

from __future__ import annotations

from typing import Any

import kernel_checks
import numpy as np
import pytest
from kernel_checks import ARCHITECTURES, SIZES, results, stored_as

from nnkit import backends
from nnkit.kernels.cuda import emulator, random
from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.philox import PURPOSES

REFERENCE = backends.get("numpy")
FLOATS = ("float32", "float64")
#: Seed and number of the draw: both words of each matter, and seeds may be negative.
KEYS = ((0, 0), (1, 2), (-0x299F31D0A4093822, 0x0370734413198A2E), (2**63 - 1, 2**32))


def drawn(source: Source, n: int, arguments: list[Any], out: np.ndarray, numbers: int = 4) -> np.ndarray:
    """What a kernel writes, before a number that stays."""
    given = [*arguments, np.append(out, out.dtype.type(1)), n]
    (found,) = results(source, max(random.grid(n, numbers), 1), given, [len(arguments)])
    assert found[n] == 1
    return found[:n]


@pytest.mark.parametrize(("key", "wide"), [*zip(KEYS, (False, True) * 2, strict=True)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform(dtype: str, key: tuple[int, int], wide: bool) -> None:
    for n, purpose in zip(SIZES, [*PURPOSES.values()] * 2, strict=False):
        wanted = np.zeros(n, dtype)
        REFERENCE.uniform(np.array(key), purpose, wanted)
        found = drawn(random.uniform_kernel(dtype, wide), n, [np.array(key), purpose], np.zeros(n, dtype))
        assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("key", KEYS)
def test_random_bits(key: tuple[int, int]) -> None:
    for n, purpose in zip(SIZES, [*PURPOSES.values()] * 2, strict=False):
        wanted = np.zeros(n, "int64")
        REFERENCE.random_bits(np.array(key), purpose, wanted)
        found = drawn(random.bits_kernel(), n, [np.array(key), purpose], np.zeros(n, "int64"), numbers=2)
        assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("p", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
def test_dropout(dtype: str, wide: bool, p: float) -> None:
    key, purpose = np.array([3, 4]), PURPOSES["dropout"]
    for n in SIZES:
        x, wanted = np.random.default_rng(n).normal(size=n).astype(dtype), np.zeros(n, dtype)
        REFERENCE.dropout(x, p, key, wanted)
        given = [np.append(x, x.dtype.type(0)), p, key, purpose]
        found = drawn(random.dropout_kernel(dtype, wide), n, given, np.zeros(n, dtype))
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
@pytest.mark.parametrize("wide", [False, True])
def test_sixteen_bit_floats_drop_what_float32_drops(stored: str, wide: bool) -> None:
    key, purpose, n = np.array([3, 4]), PURPOSES["dropout"], 1025
    x, wanted = np.ones(n, "float32"), np.zeros(n, "float32")
    REFERENCE.dropout(x, 0.3, key, wanted)
    found = drawn(
        random.dropout_kernel(stored, wide),
        n,
        [x.astype(stored_as(stored)), 0.3, key, purpose],
        np.zeros(n, stored_as(stored)),
    )
    np.testing.assert_array_equal(found, wanted.astype(stored_as(stored)))
    wanted = np.zeros(n, "float32")
    REFERENCE.uniform(key, purpose, wanted)
    found = drawn(random.uniform_kernel(stored, wide), n, [key, purpose], np.zeros(n, stored_as(stored)))
    np.testing.assert_array_equal(found, wanted.astype(stored_as(stored)))


def test_dropout_may_overwrite_its_input() -> None:
    x = np.random.default_rng(0).normal(size=1000).astype("float32")
    wanted, key = np.zeros(1000, "float32"), np.array([1, 1])
    REFERENCE.dropout(x, 0.5, key, wanted)
    for schedule in emulator.SCHEDULES:
        y = x.copy()
        emulator.run(random.dropout_kernel("float32", True), random.grid(1000), [y, 0.5, key, 2, y, 1000], schedule)
        np.testing.assert_array_equal(y, wanted)


KERNELS: tuple[Source, ...] = (
    random.uniform_kernel("float32", True),
    random.uniform_kernel("float64"),
    random.dropout_kernel("float32", True),
    random.dropout_kernel("bfloat16", True),
    random.bits_kernel(),
)


@pytest.mark.parametrize("source", KERNELS, ids=lambda source: source.name)
@pytest.mark.compiles
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles(source: Source, architecture: str) -> None:
    kernel_checks.check_compiled(source, architecture)
