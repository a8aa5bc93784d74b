"""Why a GPU cannot be used, and what to do about it, in words: from the error that trying it raised.

It runs where CuPy may be missing or broken, so it imports nothing of CuPy itself.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from nnkit.backends import advice
from nnkit.backends.errors import DeviceFault, DeviceOutOfMemory, DeviceUnavailable

#: The names under which CuPy is installed: each brings the package ``cupy``, so there can be only one.
WHEELS = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x", "amd-cupy")
#: A major version of CUDA -> the oldest driver that knows it.
DRIVERS = {12: 525, 13: 580}
INSUFFICIENT_DRIVER, NO_DEVICE, INVALID_DEVICE, UNAVAILABLE = 35, 100, 101, 46
#: A library, as messages name it -> what it is for, and a sign in the message that it cannot be loaded.
LIBRARIES = {
    "nvrtc": "NVRTC, which compiles CuPy's own kernels,",
    "cublas": "cuBLAS, which multiplies matrices,",
    "cuda_fp16.h": "CUDA's header of half precision",
}
ABSENT = ("failure finding", "failed to load", "cannot open", "could not be found", "not found", "no such file")


def _install() -> str:
    return f"{advice.install('cuda13')} (cuda12 for CUDA 12)"


def wheels() -> list[str]:
    """The installed packages that bring CuPy."""
    import importlib.metadata  # 20 ms, and needed only when something went wrong

    found = []
    for name in WHEELS:
        try:
            found.append(importlib.metadata.distribution(name).metadata["Name"] or name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def explain(stage: str, error: Exception, index: int = 0) -> str:
    """The reason and the remedy, after ``error`` came at ``stage`` ("allocating") of trying GPU number ``index``."""
    installed = wheels()
    if len(installed) > 1:
        return (
            f"{stage} failed ({_short(error)}), and {len(installed)} packages of CuPy are installed, which overwrite "
            f"one another: pip uninstall -y {' '.join(installed)}, then {_install()}"
        )
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "cupy":
        return f"cupy is not installed: {_install()} on a machine with an NVIDIA GPU"
    cause = error if error.__cause__ is None else error.__cause__
    known = _of_cuda(getattr(cause, "status", None), index)
    if known is not None:
        return known
    if isinstance(error, DeviceOutOfMemory):
        return f"its memory is full ({error.free} bytes are free): see with nvidia-smi which process has it"
    if isinstance(error, (DeviceUnavailable, DeviceFault)):
        return f"{stage} failed: {error}"  # it names the remedy itself
    text = str(error).lower()
    for name, what in LIBRARIES.items():
        if name in text and any(sign in text for sign in ABSENT):
            return f"{what} is not there ({_short(error)}): {_with_libraries(installed)}"
    if isinstance(error, ImportError):
        return f"importing {error.name or 'cupy'} failed: {_short(error, named=False)}; try {_install()}"
    return f"{stage} failed: {_short(error)}"


def _short(error: Exception, named: bool = True) -> str:
    """The first lines of a message that may be a page long."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 300 else text[:297] + "..."
    return f"{type(error).__name__}: {text}" if named else text


def _with_libraries(installed: list[str]) -> str:
    name = installed[0] if installed else "cupy-cuda13x"
    return f'pip install "{name}[ctk]", which brings the CUDA libraries, or install the CUDA toolkit'


def _of_cuda(status: int | None, index: int) -> str | None:
    """What a status of the CUDA runtime means here, or None."""
    cupy = sys.modules.get("cupy")
    if status is None or cupy is None:
        return None
    runtime = cupy.cuda.runtime
    if status == INSUFFICIENT_DRIVER:
        return _of_driver(cupy, runtime.driverGetVersion(), runtime.runtimeGetVersion())
    if status == NO_DEVICE:
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
        hint = "" if chosen is None else f"; CUDA_VISIBLE_DEVICES is {chosen!r}, which hides the others"
        return f"the NVIDIA driver finds no GPU: see whether nvidia-smi lists one{hint}"
    if status == INVALID_DEVICE:
        count = runtime.getDeviceCount()
        return f"there is no GPU number {index}: this machine has {count}, numbered from 0"
    if status == UNAVAILABLE:
        return "the GPU is busy or in exclusive use: see with nvidia-smi which process has it"
    return None


def _of_driver(cupy: Any, driver: int, runtime: int) -> str:
    if driver == 0:
        return (
            "there is no NVIDIA driver on this machine, or it cannot be loaded: install it, until nvidia-smi lists the "
            "GPU; a container has to be started with its GPUs (docker run --gpus all)"
        )
    known, needed = driver // 1000, runtime // 1000
    text = (
        f"the NVIDIA driver is too old: it knows CUDA {known}.{driver % 1000 // 10}, and cupy {cupy.__version__} is "
        f"made for CUDA {needed}. Update the driver"
    )
    if needed in DRIVERS:
        text += f" to {DRIVERS[needed]} or newer"
    if known in DRIVERS:
        text += f", or install CuPy for the older CUDA: {advice.install(f'cuda{known}')} in place of cuda{needed}"
    return text
