"""A stand-in for CuPy on machines without a GPU.

``install()`` makes ``import cupy`` give this package until ``uninstall()``; ``installed()`` does both around a block.
It keeps the real module's signatures and rules: no host array by accident, no copy and no cuBLAS while a stream
captures, pools by stream, streams that run in order and no sooner than they must. What a test can ask for:

    fail("cudaMalloc", at=3, error="cudaErrorMemoryAllocation")   the third call from now on raises the real error
    poison("cudaErrorIllegalAddress")                             a kernel went wrong: every later call says so
    machine.memory_size = 1 << 20; machine.device_count = 0; machine.driver_version = 12040 ...
    machine.nvrtc = False                                         no kernel of CuPy's own can be compiled
    machine.late = {"copy", "kernel"}                             streams put these off as long as they may
    machine.clock.durations["graph"] = 0.01                       what takes how long, in the clock's virtual seconds
    machine.counts["cudaMalloc"]; machine.counts["kernel NAME"]   what was called
    threads("shuffled", seed=1)                                   the emulator's schedule
    compile_source(source, architecture)                          stands in for the compiler: put it where
                                                                  backends.cuda.modules has ``compile``
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import array, device, errors, function, memory, namespace, nccl, pinned, queues, runtime, streams
from .machine import Machine, machine

VERSION = "14.2.0"
#: Modules that hold on to the CuPy that they were imported with, and those among them that do not.
HOLDERS = ("cupy", "cupyx", "cupy_backends", "array_api_compat.cupy", "nnkit.backends.cuda")
STAYING = {"nnkit.backends.cuda"} | {
    f"nnkit.backends.cuda.{name}" for name in ("blas", "column_major", "cublaslt", "diagnosis", "plans")
}
_displaced: dict[str, types.ModuleType] = {}
_installed: dict[str, types.ModuleType] = {}


def _module(name: str, *parts: Any, **contents: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    for part in parts:
        for key, value in vars(part).items():
            if getattr(value, "__module__", None) == part.__name__ or isinstance(value, (bool, int)):
                setattr(made, key, value)
    made.__dict__.update(contents)
    return made


def _modules() -> dict[str, types.ModuleType]:
    driver = _module("cupy_backends.cuda.api.driver", CUDADriverError=errors.CUDADriverError)
    calls = _module("cupy_backends.cuda.api.runtime", runtime, CUDARuntimeError=errors.CUDARuntimeError)
    blocks = _module("cupy.cuda.memory", memory, OutOfMemoryError=errors.OutOfMemoryError)
    order = _module("cupy.cuda.stream", streams)
    kernels = _module("cupy.cuda.function", Module=function.Module, Function=function.Function)
    graph = _module("cupy.cuda.graph", Graph=streams.Graph)
    host = _module("cupy.cuda.pinned_memory", pinned)
    sums = _module("cupy.cuda.nccl", nccl, available=True)
    gpus = _module("cupy.cuda.device", Device=device.Device, get_device_id=device.get_device_id)
    names = {n: getattr(memory, n) for n in (
        "BaseMemory", "Memory", "MemoryPointer", "MemoryPool", "UnownedMemory", "alloc", "get_allocator",
        "set_allocator", "using_allocator",
    )}  # fmt: skip
    names |= {n: getattr(pinned, n) for n in (
        "PinnedMemory", "PinnedMemoryPointer", "PinnedMemoryPool", "alloc_pinned_memory", "set_pinned_memory_allocator",
    )}  # fmt: skip
    names |= {n: getattr(device, n) for n in ("Device", "get_device_id")}
    names |= {n: getattr(streams, n) for n in (
        "Event", "ExternalStream", "Graph", "Stream", "get_current_stream", "get_elapsed_time",
    )}  # fmt: skip
    cuda = _module(
        "cupy.cuda", **names, Module=function.Module, Function=function.Function, is_available=_is_available,
        runtime=calls, driver=driver, memory=blocks, stream=order, function=kernels, graph=graph, pinned_memory=host,
        device=gpus,
    )  # fmt: skip
    solvers = {name: namespace.solver(name) for name in namespace.SOLVERS}
    linalg, fft = _module("cupy.linalg", **solvers, __all__=list(solvers)), _module("cupy.fft", __all__=[])
    core = _module("cupy._core", ndarray=array.ndarray)
    top = _module(
        "cupy", **namespace.FUNCTIONS, **{n: getattr(np, n) for n in namespace.SHARED}, ndarray=array.ndarray,
        bool=np.bool_, cuda=cuda, linalg=linalg, fft=fft, _core=core, is_available=_is_available, __version__=VERSION,
    )  # fmt: skip
    for made in (top, cuda):
        made.__path__ = []
    found = (top, cuda, driver, calls, blocks, order, kernels, graph, host, sums, gpus, linalg, fft, core)
    return {m.__name__: m for m in found} | {
        "cupy.cuda.runtime": calls,
        "cupy.cuda.driver": driver,
        "cupy_backends": _module("cupy_backends", __path__=[]),
        "cupy_backends.cuda": _module("cupy_backends.cuda", __path__=[]),
        "cupy_backends.cuda.api": _module("cupy_backends.cuda.api", __path__=[], runtime=calls, driver=driver),
    }


def _is_available() -> bool:
    try:
        return runtime.getDeviceCount() > 0
    except Exception:
        return False


def _take_out() -> dict[str, types.ModuleType]:
    """Forget every module that holds a CuPy, also where its package names it."""
    names = [n for n in sys.modules if n not in STAYING and any(n == h or n.startswith(h + ".") for h in HOLDERS)]
    taken = {name: sys.modules.pop(name) for name in names}
    for name, module in taken.items():
        parent, _, last = name.rpartition(".")
        if parent in sys.modules and vars(sys.modules[parent]).get(last) is module:
            delattr(sys.modules[parent], last)
    return taken


def _put_in(modules: dict[str, types.ModuleType]) -> None:
    sys.modules.update(modules)
    for name, module in modules.items():
        parent, _, last = name.rpartition(".")
        if parent in sys.modules and module is not None:
            setattr(sys.modules[parent], last, module)


def _forget_devices() -> None:
    registry = sys.modules.get("nnkit.backends.registry")
    if registry is not None:
        registry.forget("cuda")


def reset() -> None:
    """A machine as new: nothing allocated, counted, failing or late."""
    machine.reset()
    queues.reset()
    namespace.fresh_pools()
    function.sources.clear()
    threads("forward")


def install() -> Machine:
    """From now on ``import cupy`` gives the stand-in; modules that hold another CuPy are imported anew."""
    if not _installed:
        _displaced.update(_take_out())
        _installed.update(_modules())
        _put_in(_installed)
        _forget_devices()
    reset()
    return machine


def uninstall() -> None:
    """Everything as before ``install``."""
    _take_out()
    _put_in(_displaced)
    _forget_devices()
    _installed.clear()
    _displaced.clear()
    reset()


@contextmanager
def installed() -> Iterator[Machine]:
    """The stand-in, for the length of a block."""
    install()
    try:
        yield machine
    finally:
        uninstall()


def fail(call: str, at: int = 1, error: str | Exception = "cudaErrorMemoryAllocation", times: int = 1) -> None:
    """The ``at``-th call from now on, and ``times`` - 1 more, raise ``error``: the name of a CUDA error, or the error.

    Calls have CUDA's names: cudaMalloc, cudaMemcpyAsync, cudaStreamSynchronize, cuLaunchKernel, cuModuleLoadData,
    cudaGraphLaunch, cublasGemmEx, nvrtcCompileProgram (the first run of a function of CuPy's own) and so on.
    """
    machine.fail(call, at, error, times)


def poison(error: str = "cudaErrorIllegalAddress") -> None:
    """A kernel has done what leaves the process without CUDA."""
    machine.poison = errors.named(error).status


def threads(schedule: str, seed: int = 0) -> None:
    """In which order the emulator runs the threads of a block: "forward", "backward" or "shuffled"."""
    function.schedule.update(name=schedule, seed=seed)


def compile_source(source: Any, architecture: str) -> Any:
    """What stands for ``kernels.cuda.compiler.compile_source``: a binary that only the stand-in can load."""
    from nnkit.kernels.cuda import compiler

    return compiler.Binary(source.name, architecture, "cubin", function.register(source))
