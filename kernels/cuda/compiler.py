"""From a kernel's text to a binary for one kind of GPU, compiled once per machine; no GPU is needed for that.

A compiler of Numba's family turns the text into PTX (NVIDIA's assembly for all GPUs), and an assembler turns that into
a cubin, the machine code of one architecture; where there is no assembler the PTX itself is handed out, and the GPU's
driver compiles it. Which compiler is used is decided here and nowhere else. Binaries are kept on disk (see
``kernels.cache``), so that a later process imports no compiler.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnkit.kernels import cache
from nnkit.kernels.compilation import Compilations
from nnkit.kernels.cuda.words import (
    STORED,
    Toolchain,
    device_text,
    device_words,
    llvm_access,
    llvm_choices,
    llvm_power,
    plain_access,
    plain_choices,
)

#: The oldest PTX that knows an architecture. It is what is written, so that every driver that knows the GPU reads it.
PTX_VERSIONS = {
    "sm_75": "6.3", "sm_80": "7.0", "sm_86": "7.1", "sm_87": "7.4", "sm_88": "9.0", "sm_89": "7.8", "sm_90": "7.8",
    "sm_100": "8.6", "sm_103": "8.8", "sm_107": "9.4", "sm_110": "9.0", "sm_120": "8.7", "sm_121": "8.8",
}  # fmt: skip
#: What a binary depends on besides the kernels' sources.
PACKAGES = (
    "numba-cuda", "numba-cuda-mlir", "numba", "numpy", "nvidia-cuda-nvvm", "nvidia-nvvm", "nvidia-nvjitlink",
    "nvidia-cuda-nvcc-cu12", "nvidia-nvjitlink-cu12",  # where CUDA 12 keeps NVVM and the assembler
)  # fmt: skip


class CompilerMissing(RuntimeError):
    """No compiler for CUDA kernels is installed and works; the message says why, and what to install."""


class KernelsNotLoaded(UserWarning):
    """The folder that NNKIT_KERNELS names cannot be used, or not all of it: kernels are compiled here instead."""


class Source(NamedTuple):
    """A kernel before compilation: one Python function, ``kernel``, in the words of ``words``."""

    name: str  # the entry's name in the binary: a C identifier, unique for text and types
    text: str
    parameters: tuple[str, ...]  # a type of ``words.STORED`` each: "float32*" a pointer, "int64" a scalar
    dtype: str  # the type that formulas are computed in: float32, float64, int64 or bool
    threads: int  # threads a block, a multiple of 32
    blocks: int = 1  # that a multiprocessor is to run at a time: the assembler leaves them registers


class Binary(NamedTuple):
    """A compiled kernel: what CuPy loads, and what the assembler said of it."""

    name: str  # the entry's name
    architecture: str  # such as "sm_90"
    format: str  # "cubin", or "ptx", which the driver compiles
    code: bytes
    registers: int = 0  # of one thread; 0 where nobody assembled
    spilled: int = 0  # bytes a thread that did not fit into registers


# ---- compilers ----------------------------------------------------------------------------------------------------


def _llvm_words(intrinsic: Any, types: Any) -> tuple[Callable[[], Any], ...]:
    return tuple(functools.partial(words, intrinsic, types) for words in (llvm_access, llvm_choices, llvm_power))


def _numba_cuda() -> Toolchain:
    """NVIDIA's target for Numba. Device functions are inlined: those that are not ask the driver for a GPU."""
    from numba import cuda, types
    from numba.cuda import libdevice
    from numba.cuda.extending import intrinsic

    device = functools.partial(cuda.jit, device=True, inline="always")
    return Toolchain(cuda, libdevice, types, device, *_llvm_words(intrinsic, types))


def _numba_cuda_mlir() -> Toolchain:
    """The successor of numba-cuda, which does without Numba. It asks the driver which GPU there is."""
    from numba_cuda_mlir import cuda, types

    device = functools.partial(cuda.jit, device=True)
    words = (lambda: plain_access(device), lambda: plain_choices(device), lambda: cuda.libdevice.exp2f)
    return Toolchain(cuda, cuda.libdevice, types, device, *words)


def _numba() -> Toolchain:
    """The target that Numba brings itself, deprecated. Its device functions ask the driver, so njit inlines them."""
    from numba import cuda, njit, types
    from numba.cuda import libdevice
    from numba.extending import intrinsic

    return Toolchain(cuda, libdevice, types, functools.partial(njit, inline="always"), *_llvm_words(intrinsic, types))


#: Package -> how to use it; the first that works is taken. numba-cuda puts itself in the place of Numba's own target.
COMPILERS: dict[str, Callable[[], Toolchain]] = {
    "numba_cuda": _numba_cuda,
    "numba_cuda_mlir": _numba_cuda_mlir,
    "numba": _numba,
}
#: What a compiler has to manage before it is taken: for shuffles, Numba's own asks the driver.
PROBE = Source("probe", "def kernel(x):\n    x[0] = shuffle_xor(exponential(x[0]), 1)\n", ("float32*",), "float32", 32)


@functools.cache
def toolchain() -> Toolchain:
    """The compiler that is used. Raises CompilerMissing."""
    reasons = []
    for package, build in COMPILERS.items():
        reason = "not installed"
        if importlib.util.find_spec(package) is not None:
            try:
                with _suited_numpy():
                    chain = build()
                _compile(PROBE, "sm_80", chain)
                return chain
            except Exception as error:  # whatever a broken installation raises
                reason = " ".join(f"{type(error).__name__}: {error}".split())
        reasons.append(f"{package.replace('_', '-')}: {reason[:200]}")
    raise CompilerMissing(
        f"no compiler for CUDA kernels works here ({'; '.join(reasons)}); "
        "install one: pip install 'numba-cuda[cu13]' (for CUDA 12: 'numba-cuda[cu12]')"
    )


@contextlib.contextmanager
def _suited_numpy() -> Iterator[None]:
    """NumPy as numba-cuda 0.30 needs it: with ``row_stack``, which NumPy 2.5 removed, and without its warnings."""
    missing = not hasattr(np, "row_stack")
    if missing:
        setattr(np, "row_stack", np.vstack)  # noqa: B010
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if missing:
            delattr(np, "row_stack")


def _compile(source: Source, architecture: str, chain: Toolchain) -> str:
    """PTX as the compiler writes it."""
    namespace = device_words(source.dtype, chain) | {"THREADS": source.threads}
    exec(compile(device_text(source.text), f"<kernel {source.name}>", "exec"), namespace)
    types = chain.types
    stored = [(p, getattr(types, np.dtype(STORED[p]).name)) for p in source.parameters]
    signature = tuple(types.CPointer(kind) if p.endswith("*") else kind for p, kind in stored)
    major, minor = divmod(int(architecture.removeprefix("sm_")), 10)
    with _suited_numpy():
        ptx, _ = chain.cuda.compile(
            namespace["kernel"], signature, device=False, abi="numba", cc=(major, minor), output="ptx"
        )
    return ptx.decode() if isinstance(ptx, bytes) else ptx


def ptx_of(source: Source, architecture: str) -> str:
    """The kernel as PTX for ``architecture``, with the entry named as the source. Raises CompilerMissing."""
    ptx = _compile(source, architecture, toolchain())
    entry = re.search(r"\.entry\s+([\w$]+)\(", ptx)
    assert entry is not None
    ptx = ptx.replace(entry[1], source.name)
    bounds = f".maxntid {source.threads}, 1, 1\n.minnctapersm {source.blocks}"
    if "ntid" not in ptx:  # so that the assembler leaves each of the block's threads registers enough to run
        ptx = re.sub(r"(\.entry[^{]*?\))\s*\{", rf"\1\n{bounds}\n{{", ptx, count=1)
    # Numba's own variables, which no kernel uses.
    ptx = "\n".join(line for line in ptx.split("\n") if not _is_unused_variable(line, ptx))
    # For a GPU newer than the compiler it writes the newest target that it knows, which newer GPUs run as well.
    target = re.search(r"^\.target (\w+)", ptx, re.MULTILINE)
    version = None if target is None else PTX_VERSIONS.get(target[1])
    return re.sub(r"^\.version .*$", f".version {version}", ptx, flags=re.MULTILINE) if version else ptx


def _is_unused_variable(line: str, ptx: str) -> bool:
    found = re.match(r"\.common .* ([\w$]+);", line)
    return found is not None and len(re.findall(rf"\b{re.escape(found[1])}\b", ptx)) == 1


# ---- assemblers ---------------------------------------------------------------------------------------------------


def _nvjitlink(ptx: str, architecture: str) -> tuple[bytes, str]:
    """A cubin by NVIDIA's linker library, and its report."""
    from cuda.bindings import nvjitlink

    handle = nvjitlink.create(3, [f"-arch={architecture}", "-O3", "-verbose"])
    try:
        text = ptx.encode() + b"\0"
        nvjitlink.add_data(handle, nvjitlink.InputType.PTX, text, len(text), "kernel.ptx")
        nvjitlink.complete(handle)
        code = bytearray(nvjitlink.get_linked_cubin_size(handle))
        nvjitlink.get_linked_cubin(handle, code)
        report = bytearray(nvjitlink.get_info_log_size(handle))
        nvjitlink.get_info_log(handle, report)
        return bytes(code), report.decode(errors="replace")
    finally:
        nvjitlink.destroy(handle)


def _ptxas(ptx: str, architecture: str) -> tuple[bytes, str]:
    """A cubin by the toolkit's assembler, and its report."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    program = shutil.which("ptxas") or shutil.which("ptxas", path=os.path.join(home, "bin"))
    if program is None:
        raise FileNotFoundError("ptxas")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "kernel.ptx", Path(folder) / "kernel.cubin"
        source.write_text(ptx)
        command = [program, "-v", f"-arch={architecture}", str(source), "-o", str(target)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return target.read_bytes(), done.stderr


ASSEMBLERS: tuple[Callable[[str, str], tuple[bytes, str]], ...] = (_nvjitlink, _ptxas)


def assembled(ptx: str, name: str, architecture: str) -> Binary:
    """PTX as a cubin by the first assembler that can; where none can, as it is, after one warning that says why."""
    causes = []
    for assemble in ASSEMBLERS:
        try:
            code, report = assemble(ptx, architecture)
        except Exception as error:  # not installed, or too old for the architecture: the driver may still compile it
            said = " ".join(str(error).split())[:300]
            causes.append(f"{assemble.__name__.strip('_')}: {type(error).__name__} {said}")
            continue
        registers = [int(n) for n in re.findall(r"Used (\d+) registers", report)]
        spilled = [int(n) for n in re.findall(r"(\d+) bytes spill", report)]
        return Binary(name, architecture, "cubin", code, max(registers, default=0), sum(spilled))
    _warn_of_assemblers(architecture, "; ".join(causes))
    return Binary(name, architecture, "ptx", ptx.encode() + b"\0")


@functools.lru_cache(maxsize=64)
def _warn_of_assemblers(architecture: str, causes: str) -> None:
    warnings.warn(
        f"no assembler makes kernels for {architecture} ({causes}): the GPU's driver compiles them, if it knows this "
        "PTX. Install one: pip install nvidia-nvjitlink",
        stacklevel=3,
    )


# ---- the cache ------------------------------------------------------------------------------------------------------

_lock = threading.RLock()
_warned: set[str] = set()
compilations = Compilations("this GPU")


def compile_source(source: Source, architecture: str) -> Binary:
    """The binary of a kernel for an architecture such as "sm_90": compiled ahead, or from the cache, or compiled now.

    Raises CompilerMissing.
    """
    path = place(cache.root() / "kernels", source, architecture)
    found = _prebuilt(source, architecture) or read(path, source, architecture)
    if found is not None:
        return found
    with _lock, compilations.one(path.parent) as failed:
        binary = compiled(source, architecture)
        try:
            write(path, source, binary)
        except OSError as error:
            failed(error)
    return binary


def _prebuilt(source: Source, architecture: str) -> Binary | None:
    """The binary from the folder that NNKIT_KERNELS names (see ``kernels.cuda.prebuilt``); None where it has none."""
    named = os.environ.get("NNKIT_KERNELS")
    if not named:
        return None
    path = place(Path(named).expanduser(), source, architecture)
    if not path.parent.is_dir():
        _warn_of(named, f"has no {path.parent.name}: it is not there, or of another version of nnkit or the compiler")
        return None
    found = read(path, source, architecture)
    if found is None and os.path.lexists(path):
        _warn_of(named, f"has a {path.name} that is damaged, of another kernel, or that other users can change")
    return found


def _warn_of(folder: str, reason: str) -> None:
    """Say once for each folder that not all of it can be used."""
    if folder not in _warned:
        _warned.add(folder)
        warnings.warn(
            f"NNKIT_KERNELS={folder} {reason}; what it lacks is compiled here. "
            "Make it anew: python -m nnkit kernels build --arch sm_90 --to FOLDER",
            KernelsNotLoaded,
            stacklevel=4,
        )


def key(source: Source, architecture: str) -> str:
    """All that a binary depends on besides the library's sources and the compilers."""
    return repr((*source, architecture))


def place(folder: Path, source: Source, architecture: str) -> Path:
    """Where a folder of binaries keeps this one: under a name that covers kernels' sources and compilers' versions."""
    return folder / cache_folder().name / f"{source.name[:180]}.{architecture}"


def read(path: Path, source: Source, architecture: str) -> Binary | None:
    """The binary that was written there; None where it is not whole, not ours or of another kernel."""
    found = cache.read(path, key(source, architecture))
    try:
        return None if found is None else Binary(code=found[1], **found[0])
    except TypeError:
        return None


def write(path: Path, source: Source, binary: Binary) -> None:
    """Keep a binary. Raises OSError."""
    header = binary._asdict()
    code = header.pop("code")
    cache.write(path, key(source, binary.architecture), header, code)


def compiled(source: Source, architecture: str) -> Binary:
    """The binary, compiled now. Raises CompilerMissing, and what the compiler raises."""
    return assembled(ptx_of(source, architecture), source.name, architecture)


def cache_folder() -> Path:
    """Where binaries are kept: under a name that covers the kernels' sources and the versions of the compilers."""
    return cache.root() / "kernels" / f"cuda-{_fingerprint()}"


@functools.cache
def _fingerprint() -> str:
    versions = []
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions.append(f"{package} {metadata.version(package)}")
    return cache.digest("|".join([cache.sources_digest("cuda"), *versions]).encode())[:20]
