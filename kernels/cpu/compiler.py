"""From a Python function over a block of arguments to the address of machine code, compiled once per machine.

Numba compiles a kernel to object code the first time that any process needs it; the object is kept in a cache folder.
Later processes hand the object to LLVM's loader, which takes a millisecond and does not import Numba at all.
See ``kernels.cache`` for what the folder's name covers. A missing, damaged or unwritable cache is a miss, never an
error.
"""

from __future__ import annotations

import ctypes
import functools
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from nnkit.kernels import cache

CFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
#: Named by compiled code for reporting an exception; kernels raise none, and without Numba these have no address.
UNREACHED = {
    "numba_gil_ensure", "numba_gil_release", "numba_do_raise", "numba_unpickle", "numba_runtime_build_excinfo_struct",
    "NRT_Free",
}  # fmt: skip
SLOW = 1.0  # seconds of compilation after which a line says what is going on


class Source(NamedTuple):
    """A kernel before compilation: its name (unique), its text, and what the text's global names mean."""

    name: str
    text: str
    namespace: Callable[[], dict[str, Any]]
    reassociate: bool = False  # sums may be reordered, so that they vectorise


class Kernel(NamedTuple):
    """A compiled kernel: ``call(block_address)`` runs it without the GIL; a program stores ``address``."""

    name: str
    address: int
    call: Callable[[int], None]


class _Loader:
    """Owns LLVM's engine, which owns the machine code: it lives as long as the process."""

    def __init__(self) -> None:
        import llvmlite.binding as llvm

        self.llvm = llvm
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self.kernels: dict[str, Kernel] = {}
        self.spent = 0.0
        self.told = False

    def load(self, name: str, header: dict[str, Any], code: bytes) -> Kernel:
        """Link an object file into the process. Raises LookupError when it needs a symbol that is not there."""
        for symbol in header["needs"]:
            if self.llvm.address_of_symbol(symbol) is None:
                if symbol not in UNREACHED:
                    raise LookupError(symbol)
                self.llvm.add_symbol(symbol, _address_of(ctypes.pythonapi.PyErr_Clear))
        self.engine.add_object_file(self.llvm.ObjectFileRef.from_data(code))
        self.engine.finalize_object()
        address = self.engine.get_function_address(header["entry"])
        return Kernel(name, address, CFunction(address))

    def compile(self, source: Source) -> tuple[dict[str, Any], bytes]:
        """Compile with Numba; a line on stderr says so when it takes long."""
        start = time.monotonic()
        if self.spent > SLOW and not self.told:
            self.told = True
            print("nnkit: compiling kernels for this processor, once; they are kept on disk", file=sys.stderr)
        result = compile_object(source)
        self.spent += time.monotonic() - start
        return result


_lock = threading.RLock()


@functools.cache
def _loader() -> _Loader:
    return _Loader()


def load(source: Source) -> Kernel:
    """The compiled kernel of ``source``: from this process, else from the cache, else compiled now."""
    with _lock:
        loader = _loader()
        kernel = loader.kernels.get(source.name)
        if kernel is None:
            kernel = _load_cached(loader, source) or _load_compiled(loader, source)
            loader.kernels[source.name] = kernel
        return kernel


def _load_cached(loader: _Loader, source: Source) -> Kernel | None:
    try:
        header_line, code = (cache_folder() / f"{source.name}.o").read_bytes().split(b"\n", 1)
        header = json.loads(header_line)
        if header["text"] != cache.digest(source.text.encode()) or header["code"] != cache.digest(code):
            return None
        return loader.load(source.name, header, code)
    except (OSError, ValueError, KeyError, TypeError, LookupError):
        return None


def _load_compiled(loader: _Loader, source: Source) -> Kernel:
    header, code = loader.compile(source)
    kernel = loader.load(source.name, header, code)
    try:
        cache.write(cache_folder() / f"{source.name}.o", json.dumps(header).encode() + b"\n" + code)
    except OSError:
        pass  # an unwritable cache only costs the next process a compilation
    return kernel


def compile_object(source: Source) -> tuple[dict[str, Any], bytes]:
    """Numba's part: the text becomes object code. Returns the cache header and the code."""
    from numba import cfunc, types

    namespace = dict(source.namespace())
    exec(compile(source.text, f"<kernel {source.name}>", "exec"), namespace)
    # No "nnan" or "ninf": NaN and infinity must come out as they are.
    fast = {"contract", "nsz"} | ({"reassoc"} if source.reassociate else set())
    signature = types.void(types.CPointer(types.int64))
    compiled: Any = cfunc(signature, error_model="numpy", fastmath=fast)(namespace["kernel"])
    code: bytes = compiled._library.serialize_using_object_code()[2][0]
    header = {
        "entry": compiled._wrapper_name,
        "needs": _undefined_symbols(compiled._library.get_llvm_str()),
        "text": cache.digest(source.text.encode()),
        "code": cache.digest(code),
    }
    return header, code


def _undefined_symbols(llvm_text: str) -> list[str]:
    """The external functions that compiled code calls, from its LLVM text."""
    import re

    declared = re.findall(r"^declare [^@]*@\"?([\w.$]+)", llvm_text, re.MULTILINE)
    return sorted({name for name in declared if not name.startswith("llvm.")})


def cache_folder() -> Path:
    """Where this machine's compiled kernels are kept."""
    return cache.root() / "kernels" / _fingerprint()


@functools.cache
def _fingerprint() -> str:
    """What machine code depends on: the kernels' sources, the compiler, the processor."""
    import llvmlite
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features().flatten()
    parts = [cache.sources_digest("cpu"), llvmlite.__version__, sys.platform, llvm.get_host_cpu_name(), features]
    return cache.digest("|".join(parts).encode())[:20]


def _address_of(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address
