"""Compiling CUDA kernels: what comes out, what is kept on disk, and which compiler and assembler are used."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import damaged_files
import kernel_checks
import pytest
from damaged_files import with_header
from waiting import HANG

from nnkit.kernels.cuda import compiler
from nnkit.kernels.cuda.classification import cross_entropy_step, softmax_grad_step
from nnkit.kernels.cuda.compiler import Binary, CompilerMissing, Source, compile_source
from nnkit.kernels.cuda.emulator import Place, place_words
from nnkit.kernels.cuda.linear import Gradients, linear_grad_plan
from nnkit.kernels.cuda.texts import Step
from nnkit.kernels.cuda.words import EXPRESSIONS, device_words, host_words

SOURCE = Source("five", "def kernel(y, n):\n    y[n] = element(5)\n", ("float32*", "int64"), "float32", 64)
#: Every word, in a kernel that a compiler has to take.
WORDS = """
def kernel(x, y, bits, h, b, n, p):
    tile = shared(64, float32)
    whole = shared(8, int64)
    tile[thread()] = x[grid_thread()]
    if thread() < 8:
        whole[thread()] = blocks() + grid_size() + threads() + block()
    barrier()
    v = tile[63 - thread()] * number(p) + to_float32(whole[thread() & 7])
    v = fast_exponential(v) + shuffle_xor(v, 1) + shuffle_down(v, 2) + to_float32(lowest_bit(ballot(v > element(0))))
    w0, w1, w2, w3 = load4(x, thread())
    store4(y, grid_thread(), w0 + v, w1, w2, gelu(w3))
    u = high_product(bits[0], bits[1])
    bits[2 + lane()] = to_uint32(u ^ bits[1])
    bits[40] = to_uint32(to_uint64(n) >> to_uint64(32))
    h[grid_thread()] = store_float16(load_bfloat16(b[0]))
    b0, b1, b2, b3, b4, b5, b6, b7 = load8(b, 1 + grid_thread())
    store8(h, 8 + grid_thread(), b7, b6, b5, b4, b3, b2, b1, store_bfloat16(load_float16(b0)))
"""
ALL_WORDS = Source(
    "all_words", WORDS, ("float32*", "float32*", "uint32*", "float16*", "bfloat16*", "int64", "float64"), "float32", 64
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for this test."""
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the kernels that are compiled; what comes out needs no compiler."""
    names: list[str] = []

    def compiled(source: Source, architecture: str) -> Binary:
        names.append(source.name)
        return Binary(source.name, architecture, "cubin", f"{source.text}{architecture}".encode(), 12)

    monkeypatch.setattr(compiler, "compiled", compiled)
    return names


# ---- what comes out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [SOURCE, ALL_WORDS], ids=lambda source: source.name)
@pytest.mark.compiles
@pytest.mark.parametrize("architecture", kernel_checks.ARCHITECTURES)
def test_a_kernel_becomes_a_cubin_with_the_entry_of_its_name(source: Source, architecture: str) -> None:
    binary = kernel_checks.check_compiled(source, architecture)
    assert binary[:2] == (source.name, architecture)
    if binary.format == "cubin":
        assert binary.code.startswith(b"\x7fELF")
        assert source.name.encode() in binary.code
        assert binary.registers > 0


#: Kernels that fill a multiprocessor's registers, over its generations.
FULL = [
    cross_entropy_step("float32", False, True, 8192, 32768), cross_entropy_step("float32", True, True, 8192, 50257),
    cross_entropy_step("float32", False, True, 8192, 16384), softmax_grad_step("float32", True, True, 8192, 50257),
    *(linear_grad_plan("gelu", Gradients(*["float32"] * 3), False, True, 65536, O).steps[0] for O in (512, 4096)),
]  # fmt: skip


@pytest.mark.compiles
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90", "sm_100"])
@pytest.mark.parametrize("step", FULL, ids=lambda step: step.source.name)
def test_as_many_blocks_run_on_a_multiprocessor_as_are_to(step: Step, architecture: str) -> None:
    source = step.source
    kernel_checks.check_compiled(source, architecture, registers=65536 // (source.threads * source.blocks))
    bounds = f".maxntid {source.threads}, 1, 1\n.minnctapersm {source.blocks}\n"
    assert bounds in kernel_checks.ptx_of(source, architecture)


#: The versions of PTX around those of the table.
VERSIONS = (
    "6.2", "6.3", "6.5", "7.0", "7.1", "7.3", "7.4", "7.7", "7.8", "8.5", "8.6", "8.7", "8.8", "9.0", "9.3", "9.4",
)  # fmt: skip


@pytest.mark.parametrize("architecture", compiler.PTX_VERSIONS)
def test_ptx_is_written_for_every_driver_that_knows_the_gpu(architecture: str) -> None:
    version = compiler.PTX_VERSIONS[architecture]
    ptx = kernel_checks.ptx_of(ALL_WORDS, architecture)
    if f".target {architecture}" not in ptx:
        pytest.skip(f"this compiler does not know {architecture}")
    assert re.findall(r"^\.version (.*)$", ptx, re.MULTILINE) == [version]
    assert "NumbaEnv" not in ptx
    nvjitlink = pytest.importorskip("cuda.bindings.nvjitlink")
    try:
        code, _ = compiler._nvjitlink(ptx, architecture)
    except (RuntimeError, nvjitlink.nvJitLinkError) as error:
        pytest.skip(f"this assembler does not know {architecture}, or is not installed: {error}")
    assert code.startswith(b"\x7fELF")
    older = VERSIONS[VERSIONS.index(version) - 1]
    if architecture != "sm_75":  # the assembler's own oldest: it does not look
        with pytest.raises(nvjitlink.nvJitLinkError):
            compiler._nvjitlink(ptx.replace(f".version {version}", f".version {older}"), architecture)


def test_ptx_for_a_gpu_newer_than_the_compiler_is_of_the_newest_that_it_knows() -> None:
    kernel_checks.need_compiler()
    ptx = compiler.ptx_of(SOURCE, "sm_999")
    target = re.findall(r"^\.target (sm_\d+)", ptx, re.MULTILINE)[0]
    assert target != "sm_999"
    assert re.findall(r"^\.version (.*)$", ptx, re.MULTILINE) == [compiler.PTX_VERSIONS.get(target)]


@pytest.mark.parametrize("assemble", compiler.ASSEMBLERS, ids=lambda assemble: assemble.__name__)
def test_each_assembler_takes_the_ptx(assemble: Callable[[str, str], tuple[bytes, str]]) -> None:
    kernel_checks.need_compiler()
    try:
        code, report = assemble(compiler.ptx_of(ALL_WORDS, "sm_80"), "sm_80")
    except (ImportError, FileNotFoundError, RuntimeError) as error:
        pytest.skip(f"this assembler is not installed: {error}")
    assert code.startswith(b"\x7fELF")
    assert re.search(r"Used \d+ registers", report)
    assert re.search(r"\b0 bytes spill stores, 0 bytes spill loads", report)


def test_without_an_assembler_the_ptx_itself_is_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel_checks.need_compiler()

    def broken(ptx: str, architecture: str) -> tuple[bytes, str]:
        raise OSError("no library")

    monkeypatch.setattr(compiler, "ASSEMBLERS", (broken, broken))
    ptx = compiler.ptx_of(SOURCE, "sm_90")
    why = r"no assembler makes kernels for sm_90 \(broken: OSError no library; broken: .*pip install nvidia-nvjitlink"
    with pytest.warns(UserWarning, match=why) as told:
        binary = compiler.assembled(ptx, "five", "sm_90")
        compiler.assembled(ptx, "five", "sm_90")
    assert len(told) == 1
    assert binary == Binary("five", "sm_90", "ptx", ptx.encode() + b"\0")


def test_a_mistake_in_a_kernel_is_the_compilers_error() -> None:
    kernel_checks.need_compiler()
    with pytest.raises(Exception, match="no_such_word"):
        compiler.ptx_of(SOURCE._replace(text="def kernel(y, n):\n    y[n] = no_such_word(5)\n"), "sm_80")


FAULTS = {
    "computes in float64": SOURCE._replace(text="def kernel(y, n):\n    y[n] = y[0] * 0.1\n"),
    "uses 1[0-9][0-9] registers": SOURCE._replace(
        text="def kernel(y, n):\n" + "".join(f"    v{k} = y[n + {k}]\n" for k in range(120)) + "    barrier()\n"
        + "".join(f"    y[{k} * n] = v{k}\n" for k in range(120))
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_kernel_is_made_of_is_looked_at(fault: str) -> None:
    kernel_checks.need_compiler()
    with pytest.raises(AssertionError, match=fault):
        kernel_checks.check_compiled(FAULTS[fault], "sm_90")


# ---- which compiler -------------------------------------------------------------------------------------------------


@pytest.fixture
def undecided() -> Any:
    """No compiler has been chosen yet."""
    compiler.toolchain.cache_clear()
    yield
    compiler.toolchain.cache_clear()


def test_without_a_compiler_the_error_says_what_to_install(undecided: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise OSError("libnvvm.so: cannot open shared object file")

    monkeypatch.setattr(compiler, "COMPILERS", {"no_such_package": broken, "numpy": broken})
    with pytest.raises(CompilerMissing) as caught:
        compile_source(SOURCE._replace(name="nobody_compiled_this"), "sm_80")
    message = str(caught.value)
    assert "no-such-package: not installed" in message
    assert "numpy: OSError: libnvvm.so: cannot open shared object file" in message
    assert "pip install 'numba-cuda[cu13]'" in message


def test_a_compiler_that_does_not_work_is_passed_over(undecided: None, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel_checks.need_compiler()
    compiler.toolchain.cache_clear()

    def broken() -> Any:
        raise ImportError("half installed")

    monkeypatch.setattr(compiler, "COMPILERS", {"numpy": broken, **compiler.COMPILERS})
    assert "five" in compiler.ptx_of(SOURCE, "sm_80")


WITHOUT_ROW_STACK = """
import numpy
if hasattr(numpy, "row_stack"):
    del numpy.row_stack
from nnkit.kernels.cuda import compiler
source = compiler.Source("five", "def kernel(y):\\n    y[0] = element(5)\\n", ("float32*",), "float32", 32)
assert ".entry five" in compiler.ptx_of(source, "sm_80")
assert not hasattr(numpy, "row_stack")
"""


def test_kernels_compile_with_a_numpy_that_has_no_row_stack_and_leave_it_so() -> None:
    kernel_checks.need_compiler()
    subprocess.run([sys.executable, "-W", "error", "-c", WITHOUT_ROW_STACK], check=True, timeout=HANG)


IMPORTED = """
import importlib, pkgutil, sys
import nnkit.kernels.cuda
for module in pkgutil.iter_modules(nnkit.kernels.cuda.__path__):
    importlib.import_module(f"nnkit.kernels.cuda.{module.name}")
print(sorted({"numba", "llvmlite", "cupy", "cuda", "greenlet"} & sys.modules.keys()))
"""


def test_importing_the_kernels_imports_no_compiler() -> None:
    command = [sys.executable, "-W", "error", "-c", IMPORTED]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=HANG)
    assert done.stdout.strip() == "[]"


# ---- the cache ------------------------------------------------------------------------------------------------------

LOADED = """
import sys
from nnkit.kernels.cuda import compiler
source = compiler.Source(*eval(sys.argv[1]))
print(len(compiler.compile_source(source, "sm_80").code), "numba" in sys.modules)
"""


def test_a_later_process_imports_no_compiler(cache: Path) -> None:
    kernel_checks.need_compiler()
    binary = compile_source(SOURCE, "sm_80")
    command = [sys.executable, "-W", "error", "-c", LOADED, repr(tuple(SOURCE))]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=HANG)
    assert done.stdout.split() == [str(len(binary.code)), "False"]


def test_the_cache_gives_back_what_was_compiled(cache: Path, compilations: list[str]) -> None:
    first = compile_source(SOURCE, "sm_80")
    assert compile_source(SOURCE, "sm_80") == first
    assert compilations == ["five"]
    assert [path.name for path in cache.rglob("*") if path.is_file()] == ["five.sm_80"]


CHANGES: dict[str, Callable[[Source], Source]] = {
    "the text": lambda source: source._replace(text=source.text.replace("5", "6")),
    "a parameter": lambda source: source._replace(parameters=("float32*", "float64")),
    "the type computed in": lambda source: source._replace(dtype="float64"),
    "the threads of a block": lambda source: source._replace(threads=128),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_kernel_of_the_same_name_is_compiled(change: str, cache: Path, compilations: list[str]) -> None:
    compile_source(SOURCE, "sm_80")
    compile_source(CHANGES[change](SOURCE), "sm_80")
    assert compilations == ["five", "five"]


def test_each_architecture_has_its_own_binary(cache: Path, compilations: list[str]) -> None:
    codes = {compile_source(SOURCE, architecture).code for architecture in ("sm_80", "sm_90", "sm_80")}
    assert (len(codes), len(compilations)) == (2, 2)


KEY = compiler.key(SOURCE, "sm_80")
DAMAGE = damaged_files.damages(KEY) | {
    "one bit flipped": lambda data: data[:-2] + bytes([data[-2] ^ 1]) + data[-1:],
    "a field that is not there": with_header(KEY, lambda header: header.pop("name")),
    "a field too many": with_header(KEY, lambda header: header.update(more=1)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_compiled_anew_and_mended(damage: str, cache: Path, compilations: list[str]) -> None:
    first = compile_source(SOURCE, "sm_80")
    (path,) = (path for path in cache.rglob("*") if path.is_file())
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert [compile_source(SOURCE, "sm_80") for _ in range(2)] == [first, first]
    assert compilations == ["five", "five"]


def test_a_cache_that_cannot_be_written_costs_only_time(cache: Path, compilations: list[str]) -> None:
    cache.write_text("a file where the folder should be")
    assert compile_source(SOURCE, "sm_80") == compile_source(SOURCE, "sm_80")
    assert compilations == ["five", "five"]
    assert cache.read_text() == "a file where the folder should be"


def test_threads_may_compile_at_once(cache: Path) -> None:
    kernel_checks.need_compiler()
    with ThreadPoolExecutor(4) as pool:
        codes = set(pool.map(lambda _: compile_source(SOURCE, "sm_90").code, range(4)))
    assert len(codes) == 1


def test_the_words_of_the_emulator_are_those_of_the_compiler() -> None:
    kernel_checks.need_compiler()
    emulated = host_words("float32").keys() | place_words(Place(SOURCE, 1)).keys()
    compiled = device_words("float32", compiler.toolchain()).keys() | {w.split("(")[0] for w in EXPRESSIONS}
    assert compiled - emulated == {"cuda"}
    assert emulated <= compiled
