"""From a Python function over a block of arguments to the address of machine code, compiled once per machine.

A kernel is compiled to object code the first time that any process needs it; the object is kept in a cache folder.
Later processes hand the object to LLVM's loader, which takes a millisecond and does not import Numba at all.
See ``kernels.cache`` for what a miss is. A compilation that takes too long is given up for that of a simpler form.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from nnkit.kernels import cache
from nnkit.kernels.compilation import Compilations
from nnkit.kernels.cpu import target
from nnkit.kernels.cpu.build import Object, Source, build
from nnkit.kernels.cpu.worker import CannotCompile, TookTooLong, Worker

CFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
#: Named by compiled code for reporting an exception; kernels raise none, and without Numba these have no address.
UNREACHED = {
    "numba_gil_ensure", "numba_gil_release", "numba_do_raise", "numba_unpickle", "numba_runtime_build_excinfo_struct",
    "NRT_Free",
}  # fmt: skip
LIMIT = 4.0  # seconds of a processor's time, after which a compilation is given up


class SlowCompilation(UserWarning):
    """A kernel takes too long to compile; a simpler form of it runs instead, which gives the same and is slower."""


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
        machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(jit=True)
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self.kernels: dict[str, Kernel] = {}

    def load(self, name: str, built: Object) -> Kernel:
        """Link an object file into the process. Raises LookupError when it lacks something, or needs what is not."""
        for symbol in built.needs:
            if self.llvm.address_of_symbol(symbol) is None:
                if symbol not in UNREACHED:
                    raise LookupError(symbol)
                self.llvm.add_symbol(symbol, _address_of(ctypes.pythonapi.PyErr_Clear))
        self.engine.add_object_file(self.llvm.ObjectFileRef.from_data(built.code))
        self.engine.finalize_object()
        address = self.engine.get_function_address(built.entry)
        if not address:
            raise LookupError(built.entry)
        return Kernel(name, address, CFunction(address))


_lock = threading.RLock()
_worker = Worker()
compilations = Compilations("this processor")


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


# ---- kept ---------------------------------------------------------------------------------------------------------


def _load_cached(loader: _Loader, source: Source) -> Kernel | None:
    found = cache.read(_path(source), source.key())
    if found is None:
        return None
    header, code = found
    try:
        return loader.load(source.name, Object(str(header["entry"]), list(map(str, header["needs"])), code))
    except (LookupError, TypeError):
        return None


def keep(source: Source, built: Object) -> None:
    """Write a compiled kernel to the cache. Raises OSError."""
    cache.write(_path(source), source.key(), {"entry": built.entry, "needs": built.needs}, built.code)


def _path(source: Source) -> Path:
    return cache_folder() / f"{source.name}.o"


def cache_folder() -> Path:
    """Where this machine's compiled kernels are kept: under a name that covers what machine code depends on."""
    return cache.root() / "kernels" / _fingerprint()


@functools.cache
def _fingerprint() -> str:
    parts = [cache.sources_digest("cpu"), sys.platform, *target.target(), *target.compiler()]
    return cache.digest("\0".join(parts).encode())[:20]


# ---- compiled -----------------------------------------------------------------------------------------------------


def _load_compiled(loader: _Loader, source: Source) -> Kernel:
    with compilations.one(cache_folder()) as failed:
        built = compile_object(source)
        try:
            keep(source, built)
        except OSError as error:
            failed(error)
    return loader.load(source.name, built)


def compile_object(source: Source) -> Object:
    """Compile in another process; what that cannot do, here. A simpler form where it takes too long."""
    try:
        try:
            return _worker.compile(source, limit=LIMIT)
        except TookTooLong:
            _say_slow(source)
            return _worker.compile(source, simple=True)
    except CannotCompile:
        return build(source)


@functools.cache
def _say_slow(source: Source) -> None:
    warnings.warn(
        f"the kernel {source.name} takes more than {LIMIT:g} seconds to compile; "
        "a simpler form of it runs instead, which gives the same and is slower",
        SlowCompilation,
        stacklevel=2,
    )


def _after_fork() -> None:
    """The child has none of the other threads, and its parent's worker is not its own."""
    global _lock
    _lock = threading.RLock()
    _worker.forget()


atexit.register(_worker.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _address_of(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address
