"""Compiled kernels are kept on disk: a later process needs no compiler, and damage costs a compilation, no more."""

from __future__ import annotations

import ctypes
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import damaged_files
import numpy as np
import pytest
from damaged_files import with_header

from nnkit import backends
from nnkit.kernels import cache as kernels_cache
from nnkit.kernels.cpu import compiler, memory, target, vectors
from nnkit.kernels.cpu.compiler import Source
from nnkit.kernels.cpu.words import control_words, memory_words

SOURCE = Source("five", "def kernel(block):\n    pointer(block[0])[0] = 5.0\n", memory_words, ("float64",))
#: The same in a process of its own.
SCRIPT = f"""
import ctypes
from nnkit.kernels.cpu.compiler import Source, compilations, load
from nnkit.kernels.cpu.words import control_words, memory_words
out = ctypes.c_double()
block = (ctypes.c_int64 * 1)(ctypes.addressof(out))
load(Source("five", {SOURCE.text!r}, memory_words, ("float64",))).call(ctypes.addressof(block))
assert out.value == 5.0
print("compiled" if compilations.seconds else "loaded")
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


DAMAGE = damaged_files.damages(SOURCE.key()) | {
    "one bit flipped": lambda data: data[:-100] + bytes([data[-100] ^ 1]) + data[-99:],
    "no list of symbols": with_header(SOURCE.key(), lambda header: header.pop("needs")),
    "a list of symbols that is a number": with_header(SOURCE.key(), lambda header: header.update(needs=5)),
    "a symbol that is nowhere": with_header(SOURCE.key(), lambda header: header.update(needs=["no_such_symbol"])),
    "a function that is not in it": with_header(SOURCE.key(), lambda header: header.update(entry="no_such_function")),
    "a number for a function": with_header(SOURCE.key(), lambda header: header.update(entry=5)),
}


class Processes:
    """Loads a kernel time and again as new processes would, and remembers which of them had to compile."""

    def __init__(self) -> None:
        self.loaders: list[object] = []  # they own the code
        self.compiled: list[bool] = []

    def run(self, source: Source) -> float:
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


def test_no_flipped_bit_crashes(cache: Path) -> None:
    """Two hundred of them, anywhere in the file."""
    done = subprocess.run([sys.executable, "-c", FLIPS], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "200 misses, 1 hit"), done.stderr


FLIPS = """
import random
from nnkit.kernels import cache
from nnkit.kernels.cpu import compiler, memory
loader, source = compiler._Loader(), compiler.Source("fill_float32", memory.FILL, memory.namespace, ("float32",))
compiler.keep(source, compiler.compile_object(source))
path = compiler.cache_folder() / "fill_float32.o"
whole, found = path.read_bytes(), []
draw = random.Random(0)
for number in range(200):
    place = draw.randrange(len(whole) if number % 2 else whole.index(b"ELF"))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1 :])
    found.append(compiler._load_cached(loader, source))
path.write_bytes(whole)
found.append(compiler._load_cached(loader, source))
print(found.count(None), "misses,", sum(kernel is not None for kernel in found), "hit")
"""


def test_a_file_of_another_kernel_is_a_miss(cache: Path) -> None:
    """Of the same text, but other types."""
    source, other = (Source(f"fill_{t}", memory.FILL, memory.namespace, (t,)) for t in ("float32", "float64"))
    compiler.keep(other, compiler.compile_object(other))
    folder = compiler.cache_folder()
    (folder / "fill_float32.o").write_bytes((folder / "fill_float64.o").read_bytes())
    loader = compiler._Loader()
    assert compiler._load_cached(loader, source) is None
    assert compiler._load_cached(loader, other) is not None


# ---- whose file it is ---------------------------------------------------------------------------------------------


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_link(path: Path) -> None:
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


#: What is done to the kept file (a pipe would be waited for; a link may lead to anybody's file), or to its folders.
NOT_OURS: dict[str, Callable[[Path], object]] = {
    "a pipe": make_pipe,
    "a link": make_link,
    "a folder": make_folder,
    "a file that others may write": lambda path: path.chmod(0o666),
    "a file that the group may write": lambda path: path.chmod(0o660),
    "a folder that others may write": lambda path: path.parent.chmod(0o777),
    "a folder above that others may write": lambda path: path.parent.parent.chmod(0o777),
    "a cache that others may write": lambda path: path.parent.parent.parent.chmod(0o777),
    "a file that cannot be read": lambda path: path.chmod(0o000),
}


@pytest.mark.skipif(os.name == "nt", reason="files have no such owners there")
@pytest.mark.parametrize("name", NOT_OURS)
def test_only_a_regular_file_of_this_users_is_loaded(name: str, cache: Path) -> None:
    processes = Processes()
    assert processes.run(SOURCE) == 5.0
    NOT_OURS[name](kept(cache))
    readable = name == "a file that cannot be read" and os.geteuid() == 0  # by root it can
    assert processes.run(SOURCE) == 5.0
    assert processes.compiled == [True, not readable]


@pytest.mark.skipif(os.name == "nt", reason="files have no such owners there")
@pytest.mark.parametrize("place", ["the file", "the folder", "the cache"])
def test_what_belongs_to_another_user_is_not_loaded(place: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = Processes()
    processes.run(SOURCE)
    foreign = {"the file": kept(cache), "the folder": kept(cache).parent, "the cache": cache}[place].stat().st_ino
    for name in ("stat", "fstat"):
        monkeypatch.setattr(os, name, told_as_foreign(getattr(os, name), foreign))
    assert processes.run(SOURCE) == 5.0
    assert processes.compiled == [True, True]


def told_as_foreign(stat: Callable[..., os.stat_result], inode: int) -> Callable[..., os.stat_result]:
    def foreign(*args: Any, **options: Any) -> os.stat_result:
        found = stat(*args, **options)
        return os.stat_result((*found[:4], found.st_uid + 1, *found[5:10])) if found.st_ino == inode else found

    return foreign


def test_what_is_kept_can_be_written_by_nobody_else(cache: Path) -> None:
    before = os.umask(0)
    try:
        Processes().run(SOURCE)
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in [cache, *cache.rglob("*")]}
    assert os.name == "nt" or modes == {0o700, 0o600}


# ---- what it is kept under ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable, value", [
    ("NUMBA_CPU_NAME", "generic"), ("NUMBA_CPU_FEATURES", "+sse2"), ("NUMBA_OPT", "1"), ("NUMBA_LOOP_VECTORIZE", "0"),
])  # fmt: skip
def test_code_for_another_processor_lies_elsewhere(
    variable: str, value: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [compiler._fingerprint.__wrapped__()]
    monkeypatch.setenv(variable, value)
    folders += [compiler._fingerprint.__wrapped__() for _ in range(2)]
    assert folders[0] != folders[1] == folders[2]


def test_the_processor_is_the_one_that_numba_compiles_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    assert target.target() == ("generic", "")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+sse2,-avx")
    assert (target.has("sse2"), target.has("avx"), target.has("sse")) == (True, False, False)


@pytest.mark.parametrize(
    ("triple", "expected"),
    [
        ("x86_64-pc-windows-msvc", ("x86_64", 16)),
        ("arm64-apple-darwin22.0", ("aarch64", 32)),
        ("aarch64-unknown-linux-gnu", ("aarch64", 32)),
    ],
)
def test_the_processor_is_the_one_that_this_process_runs_as(
    triple: str, expected: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the machine is called: it may be running another's programs, as Windows does on ARM."""
    monkeypatch.setattr("llvmlite.binding.get_process_triple", lambda: triple)
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "")
    assert (target.architecture(), vectors.registers.__wrapped__().number) == expected


@pytest.mark.parametrize("change", [
    {"name": "six"}, {"text": "other"}, {"arguments": ("float32",)}, {"reassociate": True}, {"words": control_words},
])  # fmt: skip
def test_a_kernels_key_covers_all_of_its_source(change: dict[str, Any]) -> None:
    assert SOURCE._replace(**change).key() != SOURCE.key()


def test_a_cache_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("NNKIT_CACHE", "~/kept")
    assert kernels_cache.root() == tmp_path / "kept"


# ---- misses cost a compilation, no more ---------------------------------------------------------------------------


def test_a_changed_kernel_of_the_same_name_is_compiled_anew(cache: Path) -> None:
    changed = SOURCE._replace(text=SOURCE.text.replace("5.0", "6.0"))
    processes = Processes()
    assert [processes.run(source) for source in (SOURCE, changed, changed)] == [5.0, 6.0, 6.0]
    assert processes.compiled == [True, True, False]


def test_a_file_that_another_process_reads_is_left_to_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows replaces no file that is open elsewhere."""

    def refuse(source: str, target: Path) -> None:
        raise PermissionError(13, "Access is denied", str(target))

    path = cache / "kernels" / "five.o"
    kernels_cache.write(path, "a key", {}, b"code")
    monkeypatch.setattr(os, "replace", refuse)
    kernels_cache.write(path, "a key", {}, b"code")
    assert kernels_cache.read(path, "a key") == ({}, b"code")
    with pytest.raises(PermissionError):
        kernels_cache.write(path, "another key", {}, b"other code")
    assert os.listdir(path.parent) == ["five.o"]


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
import json, pathlib, sys
sys.modules["numba"] = None
from nnkit.kernels.cpu import compiler
loader = compiler._loader()
for name in {names}:
    _, header, code = pathlib.Path({folder!r}, name + ".o").read_bytes().split(b"\\n", 2)
    assert loader.load(name, compiler.Object(code=code, **json.loads(header))).address, name
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
    loaded = compiler._loader().kernels.keys() - {"five"}
    names = sorted(name for name in loaded if (compiler.cache_folder() / f"{name}.o").exists())  # not of other tests
    assert len(names) >= 10
    script = WITHOUT_NUMBA.format(names=names, folder=str(compiler.cache_folder()))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
