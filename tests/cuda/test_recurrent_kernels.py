"""The CUDA kernels of recurrent layers, in the emulator against the reference body, and compiled."""

from __future__ import annotations

import itertools
from typing import Any

import kernel_checks
import numpy as np
import pytest
from kernel_checks import ARCHITECTURES, results, stored_as

from nnkit import backends
from nnkit.kernels.cuda import recurrent
from nnkit.kernels.recurrences import GATES

REFERENCE = backends.get("numpy")
SIZES = ((1, 1), (3, 5), (9, 33))
APART = 3  # elements between rows that may lie apart


def numbers(B: int, width: int, dtype: str, seed: int, apart: int = 0) -> np.ndarray:
    whole = np.random.default_rng(seed).uniform(-1, 1, (B, width + apart)).astype(stored_as(dtype))
    return whole


def row(x: np.ndarray) -> list[Any]:
    """An array of rows that lie apart, as the kernel takes it."""
    return [x.reshape(-1), x.shape[1]]


CASES = [
    (kind, dtype, masked)
    for kind, dtype, masked in itertools.product(GATES, ("float32", "float64", "bfloat16"), (False, True))
    if dtype == "float32" or masked
]


@pytest.mark.parametrize(("kind", "dtype", "masked"), CASES)
def test_a_step(kind: str, dtype: str, masked: bool) -> None:
    for B, H in SIZES:
        N, biased = GATES[kind] * H, kind == "gru"
        gates, y, kept = (numbers(B, w, dtype, seed, APART) for seed, w in enumerate((N, H, H)))
        z, h, c, b = (
            numbers(rows, w, dtype, 5 + seed) for seed, (rows, w) in enumerate(((B, N), (B, H), (B, H), (1, N)))
        )
        keep = (numbers(B, 1, "float64", 9) > 0).astype(stored_as(dtype))
        arguments = [*row(gates), z, b.reshape(-1), h, c, *row(y), *row(kept), keep.reshape(-1), 1, B, H]
        source = recurrent.step_kernel(kind, dtype, biased, masked)
        found = results(source, recurrent.grid(B, H), arguments, [0, 4, 5, 6, 8])
        there = keep[:, 0] if masked else None
        made = [gates[:, :N], h, c, y[:, :H], kept[:, :H]]
        REFERENCE.recurrent_step(kind, made[0], z, b[0] if biased else None, h, c, made[3], made[4], there)
        tolerance = {"float32": 1e-5, "float64": 1e-12}.get(dtype, 1e-2)
        for one, other in zip(found, (gates, h, c, y, kept), strict=True):
            expected = other.astype("float64").reshape(-1)
            np.testing.assert_allclose(one.astype("float64").reshape(-1), expected, tolerance, tolerance)


@pytest.mark.parametrize(("kind", "dtype", "masked"), CASES)
def test_the_gradients_of_a_step(kind: str, dtype: str, masked: bool) -> None:
    for B, H in SIZES:
        N = GATES[kind] * H
        widths = (H, N, H, H, H, H)
        dy, gates, h, c, y, kept = (numbers(B, w, dtype, seed, APART) for seed, w in enumerate(widths))
        dx, keep = numbers(B, N, dtype, 7, APART), (numbers(B, 1, "float64", 9) > 0).astype(stored_as(dtype))
        dh, dc, dz = (numbers(B, w, dtype, 10 + seed) for seed, w in enumerate((H, H, N)))
        given = [part for a in (dy, gates, h, c, y, kept) for part in row(a)]
        arguments = [*given, keep.reshape(-1), 1, dh, dc, *row(dx), dz, B, H]
        source = recurrent.step_grad_kernel(kind, dtype, masked)
        found = results(source, recurrent.grid(B, H), arguments, [14, 15, 16, 18])
        inside = [a[:, :w] for a, w in zip((dy, gates, h, c, y, kept), widths, strict=True)]
        REFERENCE.recurrent_step_grad(kind, *inside, keep[:, 0] if masked else None, dh, dc, dx[:, :N], dz)
        tolerance = {"float32": 1e-5, "float64": 1e-12}.get(dtype, 1e-2)
        for one, other in zip(found, (dh, dc, dx, dz), strict=True):
            expected = other.astype("float64").reshape(-1)
            np.testing.assert_allclose(one.astype("float64").reshape(-1), expected, tolerance, tolerance)


KERNELS = [
    *(recurrent.step_kernel(kind, "float32", kind == "gru", False) for kind in GATES),
    *(recurrent.step_grad_kernel(kind, "float32", True) for kind in GATES),
    recurrent.step_kernel("lstm", "float64", False, True), recurrent.step_grad_kernel("gru", "bfloat16", False),
]  # fmt: skip


@pytest.mark.parametrize("source", KERNELS, ids=lambda source: source.name)
@pytest.mark.compiles
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles(source: Any, architecture: str) -> None:
    kernel_checks.check_compiled(source, architecture)
