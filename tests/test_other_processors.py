"""Kernels compile for processors and systems that are not here; ``tests/arm/run`` runs them for one, too."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ARM = Path(__file__).parent / "arm"
#: What differs most: hints to the processor and its clock; large frames; C's mathematics; memory set and copied.
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from compiler import compile_for
compile_for(sys.argv[2])
import llvmlite.binding
llvmlite.binding.add_symbol("__chkstk", 1 << 12)  # which only Windows has; nothing runs here
from nnkit.kernels.cpu import compiler, elementwise, panels, planes, products, random, runner
from nnkit.kernels.cpu.build import build
modules = elementwise, panels, planes, products, random, runner
for module in modules:
    module.load = lambda source: print(build(source).code.hex()) or compiler.Kernel("", 0, print)
runner.runner_kernel()
runner.helper_kernel()
panels.panels_kernel("float32", "along", "across")
products.outer_kernel("float32")
planes.planes_kernel("float32")
random.dropout_kernel("float32")
for formula in ("sine", "cosine", "exponential", "logarithm1p"):
    elementwise.map_kernel(formula, elementwise.Shape(("float64",), ("float64",), "f", (-1,)))
for formula in ("pow", "remainder", "floor_divide"):
    elementwise.map_kernel(formula, elementwise.Shape(("float32",) * 2, ("float32",), "ff", (-1,)))
"""
#: What the loader finds in a process: of C's library and the system, of Python, and what ``compiler`` stands in for.
C = {"cos", "exp", "floorf", "fmodf", "log1p", "memcpy", "memset", "powf", "sin"}
SYSTEM = {"x86_64-pc-windows-msvc-elf": {"__chkstk"}, "aarch64-unknown-linux-gnu": set[str]()}
PYTHON = ("Py", "_Py")
STOOD_IN_FOR = ("numba_", "NRT_")


@pytest.mark.parametrize(
    ("triple", "cpu", "machine"),
    [
        ("aarch64-unknown-linux-gnu", "cortex-a76", 0xB7),
        ("x86_64-pc-windows-msvc-elf", "haswell", 0x3E),  # the format that llvmlite has LLVM use on Windows
    ],
)
def test_kernels_compile_and_call_what_is_there(triple: str, cpu: str, machine: int) -> None:
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}
    command = [sys.executable, "-c", SCRIPT, str(ARM), triple]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    objects = [bytes.fromhex(line) for line in done.stdout.split()]
    assert len(objects) == 13, done.stderr
    assert {struct.unpack_from("<H", code, 18)[0] for code in objects} == {machine}
    called = {name for code in objects for name in undefined(code)}
    assert {name for name in called if not name.startswith((*PYTHON, *STOOD_IN_FOR))} <= C | SYSTEM[triple]


def undefined(code: bytes) -> Iterator[str]:
    """The names that an ELF object leaves to others."""
    (table,), (size, count) = struct.unpack_from("<Q", code, 0x28), struct.unpack_from("<HH", code, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", code, table + k * size) for k in range(count)]
    for _, kind, _, _, start, length, names, *_ in sections:
        for at in range(start, start + length, 24) if kind == 2 else ():
            name, _, _, section = struct.unpack_from("<IBBH", code, at)
            if section == 0 and name:
                text = sections[names][4] + name
                yield code[text : code.index(b"\0", text)].decode()
