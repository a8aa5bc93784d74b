"""From a kernel's source to a function that CuPy launches: compiled and loaded once per GPU, then looked up by name.

``compile`` is the one door to the compiler; without one there are no kernels, and the reference bodies run instead.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any

import cupy

from nnkit.kernels.cuda import compiler
from nnkit.kernels.cuda.compiler import Binary, CompilerMissing, Source

#: From a source and an architecture to a binary; whoever has another compiler puts it here.
compile: Callable[[Source, str], Binary] = compiler.compile_source

#: What the driver says of PTX that it cannot compile: no image, no binary, invalid, no compiler, too new a version.
PTX_REFUSED = (200, 209, 218, 221, 222)
#: For each GPU: a kernel's name -> what launches it.
_functions: dict[int, dict[str, Any]] = {}
_lock = threading.RLock()
_missing: list[CompilerMissing] = []


class KernelsMissing(UserWarning):
    """No compiler for CUDA kernels works here: the GPU runs CuPy's own functions instead, which is slower."""


def function(source: Source) -> Any:
    """The kernel on the current device, compiled and loaded if need be. Raises CompilerMissing."""
    device = cupy.cuda.runtime.getDevice()
    loaded = _functions.get(device)
    found = None if loaded is None else loaded.get(source.name)
    return _load(source, device) if found is None else found


def _load(source: Source, device: int) -> Any:
    if _missing:
        raise _missing[0]
    with _lock:
        loaded = _functions.setdefault(device, {})
        if source.name not in loaded:
            loaded[source.name] = _function(compile(source, architecture(device)))
        return loaded[source.name]


def _function(binary: Binary) -> Any:
    module = cupy.cuda.function.Module()
    try:
        module.load(binary.code)
    except RuntimeError as error:
        if binary.format != "ptx" or getattr(error, "status", None) not in PTX_REFUSED:
            raise
        raise CompilerMissing(
            f"no assembler is installed that knows {binary.architecture}, and the GPU's driver does not take the PTX "
            f"({error}); update the driver, or install an assembler: pip install --upgrade nvidia-nvjitlink"
        ) from error
    return module.get_function(binary.name)


@functools.cache
def architecture(device: int) -> str:
    """The kind of GPU, as compilers name it: "sm_90"."""
    return f"sm_{cupy.cuda.Device(device).compute_capability}"


def give_up(error: CompilerMissing) -> None:
    """Do without kernels from now on, and say so."""
    with _lock:
        if not _missing:
            _missing.append(error)
            warnings.warn(
                f"no CUDA kernels: {error}. The GPU runs CuPy's own functions instead, which is slower.",
                KernelsMissing,
                stacklevel=2,
            )
