"""What every test of a CUDA kernel does: run it in the emulator under three schedules, compile it and look inside."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from nnkit.kernels import cache
from nnkit.kernels.cuda import compiler, emulator
from nnkit.kernels.cuda.compiler import Binary, CompilerMissing, Source

ARCHITECTURES = ("sm_80", "sm_90")
SIZES = (0, 1, 31, 32, 33, 1000, 1025)
#: Registers a thread may use, so that a multiprocessor runs at least 1024 threads; float64 takes two for each number.
REGISTERS = {"float32": 64, "int64": 64, "bool": 64, "float64": 128}
#: A parameter's type -> how PTX says it.
PTX_TYPES = {"int64": "u64", "float64": "f64"}
ARITHMETIC = re.compile(r"\b(?:add|sub|mul|fma|div|sqrt|rsqrt|rcp|neg|abs|min|max|setp|selp)\.(?:\w+\.)*f64\b")


def stored_as(name: str) -> np.dtype:
    """The numpy type of a type's name; bfloat16 is of ``ml_dtypes``."""
    if name != "bfloat16":
        return np.dtype(name)
    return np.dtype(pytest.importorskip("ml_dtypes", reason="pip install nnkit[test-cuda]: no ml_dtypes").bfloat16)


def results(source: Source, grid: int, arguments: Sequence[Any], written: Sequence[int]) -> list[np.ndarray]:
    """What the kernel leaves in the arguments numbered ``written``; the same to the bit under every schedule."""
    pytest.importorskip("greenlet", reason="pip install nnkit[test-cuda]: no greenlet")
    first: list[np.ndarray] = []
    for schedule in emulator.SCHEDULES:
        given = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        emulator.run(source, grid, given, schedule)
        found = [given[k] for k in written]
        for one, other in zip(first or found, found, strict=True):
            assert one.tobytes() == other.tobytes(), f"{source.name}: the result depends on the order of the threads"
        for k, argument in enumerate(arguments):
            if isinstance(argument, np.ndarray) and k not in written:
                assert given[k].tobytes() == argument.tobytes(), f"{source.name}: argument {k} was changed"
        first = found
    return first


@functools.cache
def missing_compiler() -> str:
    """Why nothing can be compiled here, or nothing."""
    try:
        compiler.toolchain()
    except CompilerMissing as error:
        return f"pip install nnkit[test-cuda]: {error}"
    return ""


def need_compiler() -> None:
    """Skip the test where no compiler for CUDA works."""
    if missing_compiler():
        pytest.skip(missing_compiler())


def ptx_of(source: Source, architecture: str) -> str:
    """The kernel's PTX, kept on disk beside the kernels: the next run compiles only what has changed."""
    need_compiler()
    key = compiler.key(source, architecture)
    path = compiler.cache_folder() / "tests" / cache.digest(key.encode())
    found = cache.read(path, key)
    if found is not None:
        return found[1].decode()
    ptx = compiler.ptx_of(source, architecture)
    with contextlib.suppress(OSError):
        cache.write(path, key, {}, ptx.encode())
    return ptx


def check_compiled(
    source: Source, architecture: str, float64: Sequence[str] = (), registers: int | None = None
) -> Binary:
    """Compile a kernel for an architecture, and check what it takes and what it is made of.

    ``float64`` are the instructions on float64 that a kernel of another type may have; ``registers`` how many a thread
    may use, where that is another number than for all.
    """
    ptx = ptx_of(source, architecture)
    entry = re.search(r"\.visible \.entry (\w+)\(([^)]*)\)", ptx)
    assert entry is not None
    assert entry[1] == source.name
    parameters = re.findall(r"\.param \.(\w+)", entry[2])
    assert parameters == [PTX_TYPES.get(parameter, "u64") for parameter in source.parameters]
    assert f".target {architecture}" in ptx
    if source.dtype != "float64":
        assert set(ARITHMETIC.findall(ptx)) <= set(float64), f"{source.name} computes in float64"
    binary = compiler.assembled(ptx, source.name, architecture)
    assert binary.spilled == 0, f"{source.name}: {binary.spilled} bytes do not fit into registers"
    assert binary.registers <= (registers or REGISTERS[source.dtype]), (
        f"{source.name} uses {binary.registers} registers"
    )
    return binary
