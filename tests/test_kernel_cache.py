"""Compiled kernels are kept on disk: a later process needs no compiler, and damage costs a compilation, no more."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import damaged_files
import numpy as np
import pytest
from damaged_files import with_header

from nnkit import backends
from nnkit.kernels.cpu import compiler
from nnkit.kernels.cpu.words import memory_words

SOURCE = compiler.Source(
    "five", "def kernel(block):\n    pointer(block[0])[0] = 5.0\n", lambda: memory_words("float64")
)
#: The same in a process of its own.
SCRIPT = f"""
import ctypes, sys
from nnkit.kernels.cpu.compiler import Source, load
from nnkit.kernels.cpu.words import memory_words
out = ctypes.c_double()
block = (ctypes.c_int64 * 1)(ctypes.addressof(out))
load(Source("five", {SOURCE.text!r}, lambda: memory_words("float64"))).call(ctypes.addressof(block))
assert out.value == 5.0
print("compiled" if "numba" in sys.modules else "loaded")
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for this test's processes."""
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def start() -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """ "compiled" or "loaded"; the process checked its own numbers."""
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    return out.strip()


def kept(cache: Path) -> Path:
    """The one file in the cache."""
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["five.o"]
    return files[0]


def test_the_first_process_compiles_and_the_second_loads(cache: Path) -> None:
    assert finish(start()) == "compiled"
    written = kept(cache).read_bytes()
    assert finish(start()) == "loaded"
    assert kept(cache).read_bytes() == written


DAMAGE = damaged_files.DAMAGE | {
    "zeroed": lambda data: bytes(len(data)),
    "one bit flipped": lambda data: data[:-100] + bytes([data[-100] ^ 1]) + data[-99:],
    "no list of symbols": with_header(lambda header: header.pop("needs")),
    "a symbol that is nowhere": with_header(lambda header: header.update(needs=["no_such_symbol_anywhere"])),
}


class Processes:
    """Loads a kernel time and again as new processes would, and remembers which of them had to compile."""

    def __init__(self) -> None:
        self.loaders: list[object] = []  # they own the code
        self.compiled: list[bool] = []

    def run(self, source: compiler.Source) -> float:
        """The number that the kernel writes."""
        loader = compiler._Loader()
        self.loaders.append(loader)
        kernel = compiler._load_cached(loader, source)
        self.compiled.append(kernel is None)
        kernel = kernel or compiler._load_compiled(loader, source)
        out = np.zeros(1)
        block = (ctypes.c_int64 * 1)(out.ctypes.data)
        kernel.call(ctypes.addressof(block))
        return float(out[0])


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_compiled_anew_and_mended(name: str, cache: Path) -> None:
    processes = Processes()
    assert processes.run(SOURCE) == 5.0
    path = kept(cache)
    path.write_bytes(DAMAGE[name](path.read_bytes()))
    assert [processes.run(SOURCE) for _ in range(2)] == [5.0, 5.0]
    assert processes.compiled == [True, True, False]


def test_a_changed_kernel_of_the_same_name_is_compiled_anew(cache: Path) -> None:
    changed = SOURCE._replace(text=SOURCE.text.replace("5.0", "6.0"))
    processes = Processes()
    assert [processes.run(source) for source in (SOURCE, changed, changed)] == [5.0, 6.0, 6.0]
    assert processes.compiled == [True, True, False]


def test_a_cache_that_cannot_be_written_costs_only_time(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    processes = Processes()
    assert [processes.run(SOURCE) for _ in range(2)] == [5.0, 5.0]
    assert processes.compiled == [True, True]
    assert cache.read_text() == "a file where the folder should be"


def test_processes_that_compile_at_once_leave_one_good_file(cache: Path) -> None:
    assert "compiled" in [finish(process) for process in (start(), start())]
    kept(cache)
    assert finish(start()) == "loaded"


def test_threads_share_one_kernel() -> None:
    with ThreadPoolExecutor(4) as pool:
        addresses = set(pool.map(lambda _: compiler.load(SOURCE).address, range(8)))
    assert len(addresses) == 1


WITHOUT_NUMBA = """
import json, sys
sys.modules["numba"] = None
from nnkit.kernels.cpu import compiler
loader = compiler._loader()
for name in {names}:
    header, code = (compiler.cache_folder() / (name + ".o")).read_bytes().split(b"\\n", 1)
    assert loader.load(name, json.loads(header), code).address, name
"""


def test_the_kernels_of_every_family_load_without_numba() -> None:
    """None needs a symbol that only Numba provides, not even the long formulas."""
    numba = backends.get("numba")
    x, w, z, y = (np.ones(shape, np.float32) for shape in ((2, 3), (4, 3), (2, 4), (2, 4)))
    key, labels, loss = np.zeros(2, np.int64), np.zeros(2, np.int64), np.ones(2, np.float32)
    for formula in ("gelu", "mish", "error_function"):
        numba.map(formula, (x,), (np.empty_like(x),))
    numba.linear(x, w, None, "gelu", z, y)
    numba.linear_grad(x, w, z, y, "gelu", np.empty_like(z), np.empty_like(x), np.empty_like(w), None, (False, False))
    numba.matmul(x, w.T, y)
    numba.softmax(x, True, np.empty_like(x))
    numba.cross_entropy(x, labels, None, loss, np.empty_like(x))
    numba.reduce("sum", x, (0, 1), np.empty((), np.float32))
    numba.take_rows(x, labels, np.empty_like(x))
    numba.uniform(key, 0, x)
    numba.dropout(x, 0.5, key, np.empty_like(x))
    names = sorted(compiler._loader().kernels.keys() - {"five"})
    assert len(names) >= 10
    done = subprocess.run([sys.executable, "-c", WITHOUT_NUMBA.format(names=names)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
