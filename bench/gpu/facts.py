"""What the machine has: the GPU, its driver, versions, the compiler that is used, and what one launch costs."""

from __future__ import annotations

import contextlib
import importlib
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import nnkit
from bench.gpu.process import described
from nnkit import backends

PACKAGES = (
    "nnkit", "numpy", "cupy-cuda12x", "cupy-cuda13x", "numba", "numba-cuda", "numba-cuda-mlir", "nvidia-nvjitlink",
    "nvidia-cublas", "nvidia-cublas-cu12", "cuda-bindings", "cuda-pathfinder", "array-api-compat", "ml-dtypes",
    "safetensors", "torch", "triton", "jax", "jaxlib", "optax", "pytest", "greenlet", "llvmlite", "nvidia-nvvm",
    "nvidia-cuda-nvrtc", "nvidia-nccl-cu12", "nvidia-nccl-cu13", "hypothesis", "scikit-learn",
)  # fmt: skip
#: What compiles, assembles and multiplies, as cuda-pathfinder names it.
LIBRARIES = ("nvvm", "nvJitLink", "nvrtc", "cublasLt")
COMPUTE_MODE = 20  # cudaDevAttrComputeMode: 0 where several processes may use the GPU at a time


def libraries() -> dict[str, str]:
    """Where each library is loaded from, or why it cannot be."""
    found = {}
    for name in LIBRARIES:
        try:
            pathfinder: Any = importlib.import_module("cuda.pathfinder")
            found[name] = str(pathfinder.load_nvidia_dynamic_lib(name).abs_path)
        except Exception as error:  # whatever a broken installation raises
            found[name] = described(error)
    return found


def nvidia_smi() -> list[str]:
    """What the driver's own tool says. Raises where there is none, or it fails."""
    done = subprocess.run(["nvidia-smi"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def probe() -> str:
    """Whether ``device="cuda"`` can be used: allocates, computes, multiplies. Raises RuntimeError that says why not.

    Its cause is the first step that fails when they are tried one by one.
    """
    reason = nnkit.cuda.why_not()
    if reason is None:
        return "usable"
    try:
        backend = importlib.import_module("nnkit.backends.cuda.backend").CupyBackend(0)
        x = backend.asarray(np.ones((4, 4), np.float32))
        backend.map("relu", (x,), (x,))
        backend.matmul(x, x, backend.empty((4, 4), np.float32))
        backend.synchronize()
    except Exception as error:
        raise RuntimeError(reason) from error
    raise RuntimeError(reason)


def free() -> int:
    """Bytes of device memory that nobody has."""
    return int(importlib.import_module("cupy").cuda.runtime.memGetInfo()[0])


def device() -> dict[str, Any]:
    """The GPU, the driver, and CuPy."""
    cupy = importlib.import_module("cupy")
    runtime = cupy.cuda.runtime
    free, total = runtime.memGetInfo()
    properties = runtime.getDeviceProperties(0)
    exclusive = False
    with contextlib.suppress(KeyError, RuntimeError):
        exclusive = runtime.deviceGetAttribute(COMPUTE_MODE, 0) != 0
    return {
        "name": properties["name"].decode(),
        "capability": cupy.cuda.Device(0).compute_capability,
        "multiprocessors": int(properties["multiProcessorCount"]),
        "memory": int(total),
        "free": int(free),
        "l2": int(properties["l2CacheSize"]),
        "exclusive": exclusive,
        "driver": _version(runtime.driverGetVersion()),
        "runtime": _version(runtime.runtimeGetVersion()),
        "count": int(runtime.getDeviceCount()),
        "cublaslt": _cublaslt(),
    }


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _cublaslt() -> str:
    products = importlib.import_module("nnkit.backends.cuda.products")
    found = products.blas()
    return f"none: {found}" if isinstance(found, str) else str(found.version)


def compiler() -> dict[str, Any]:
    """Which compiler makes the kernels and what they are loaded as; or why there are none."""
    module = importlib.import_module("nnkit.kernels.cuda.compiler")
    modules = importlib.import_module("nnkit.backends.cuda.modules")
    elementwise = importlib.import_module("nnkit.kernels.cuda.elementwise")
    architecture = modules.architecture(0)
    start = time.monotonic()
    try:
        chain = module.toolchain()
    except module.CompilerMissing as error:
        return {"used": None, "why": str(error)}
    ready = time.monotonic()
    source = elementwise.map_kernel("gelu", elementwise.Shape(("float32",), ("float32",), "f"))
    binary = module.assembled(module.ptx_of(source, architecture), source.name, architecture)
    compiled = time.monotonic()
    modules.function(source)  # loads it
    return {
        "used": _package_of(chain.cuda),
        "format": binary.format,
        "architecture": architecture,
        "registers": binary.registers,
        "numpy_without_row_stack": not hasattr(np, "row_stack"),
        "seconds_to_start": round(ready - start, 2),
        "seconds_a_kernel": round(compiled - ready, 2),
    }


def _package_of(cuda: Any) -> str:
    """The package that a module ``numba.cuda`` is from: numba-cuda puts itself in the place of Numba's own."""
    place = getattr(cuda, "__file__", "") or ""
    return next((name for name in ("numba_cuda_mlir", "numba_cuda") if name in place), "numba").replace("_", "-")


# ---- launches -------------------------------------------------------------------------------------------------------


def launches(count: int = 2000) -> dict[str, float]:
    """Seconds of one launch from Python, at several heights: medians of ten times ``count`` launches."""
    work = importlib.import_module("nnkit.backends.cuda.elementwise")
    modules = importlib.import_module("nnkit.backends.cuda.modules")
    backend = backends.get("cuda")
    x, y = (backend.zeros((1024,), np.float32) for _ in range(2))
    tensor = nnkit.ones(1024, device="cuda")
    ready = backend.prepared_map("relu", (x,), (y,))
    calls: dict[str, Callable[[], object]] = {
        "primitive": lambda: backend.map("relu", (x,), (y,)),
        "primitive, prepared": ready,
        "operation on a tensor": lambda: nnkit.relu(tensor),
    }
    launch = work.map("relu", (x,), (y,))
    if not isinstance(launch, str) and not modules._missing:
        function, kernel = modules.function(launch.kernel), launch.kernel
        calls["CuPy's launch alone"] = lambda: function((launch.grid, 1, 1), (kernel.threads, 1, 1), launch.arguments)
    return {name: _seconds(backend, call, count) for name, call in calls.items()}


def _seconds(backend: Any, call: Callable[[], object], count: int) -> float:
    """Of one call, while the GPU keeps up: what is measured is Python's side."""
    turns = []
    for _ in range(10):
        backend.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            call()
        turns.append((time.perf_counter() - start) / count)
    backend.synchronize()
    return statistics.median(turns[1:])
