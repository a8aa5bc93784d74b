"""``python -m nnkit doctor``: one screen that says what this machine has for nnkit, measured, and what is unusual."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import nnkit
from nnkit import backends
from nnkit.backends import Backend
from nnkit.backends.advice import DISTRIBUTION
from nnkit.backends.cuda import diagnosis
from nnkit.backends.threads import get_num_threads
from nnkit.kernels import cache
from nnkit.kernels.cpu import target
from nnkit.kernels.cpu.vectors import registers

#: Packages whose versions matter, those that need not be there last.
PACKAGES = (
    "numpy", "numba", "llvmlite", "safetensors", "array-api-compat", "cupy-cuda12x", "cupy-cuda13x", "numba-cuda",
    "scikit-learn", "narwhals", "matplotlib",
)  # fmt: skip
#: Variables that change what is computed how fast, and what each does.
UNUSUAL = {
    "OPENBLAS_CORETYPE": "NumPy's products run kernels that may not be this processor's",
    "OPENBLAS_L2_SIZE": "NumPy's products are cut for a cache that may not be this processor's",
    "OPENBLAS_NUM_THREADS": "NumPy's products use so many threads",
    "OMP_NUM_THREADS": "NumPy's products, and large kernels, may use so many threads",
    "NUMBA_DISABLE_JIT": "kernels are not compiled",
    "NUMBA_CPU_NAME": "kernels are compiled for that processor",
    "NUMBA_CPU_FEATURES": "kernels are compiled for those instructions",
    "NNKIT_VECTORS": "kernels use narrower registers than the processor has",
    "NNKIT_NUM_THREADS": "large kernels use so many threads",
    "NNKIT_CACHE": "compiled kernels are kept there",
    "NNKIT_COMPILE": "whether steps are recorded",
    "NNKIT_KERNELS": "how CUDA kernels are found",
    "NNKIT_STRICT_DEVICE": 'device="auto" raises where it would fall back',
    "PYTHONDONTWRITEBYTECODE": "modules are read from source anew each time: a slower import",
    "CUDA_VISIBLE_DEVICES": "which GPUs are seen",
}
SIZE = 1024  # of the measured product, rows and columns
COPIED = 1 << 24  # elements of the measured copy: 64 MiB, beyond most caches


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is asked for besides."""
    parser.add_argument("--no-measure", action="store_true", help="leave out the measured rates")


def run(options: argparse.Namespace) -> int:
    """Print the screen; the status is 1 where something found stops nnkit from working as it should."""
    print(f"nnkit {nnkit.__version__} in {Path(str(nnkit.__file__)).parent}")
    print(f"Python {platform.python_version()}, {platform.platform()}")
    print("versions   ", ", ".join(f"{name} {version}" for name, version in versions(PACKAGES).items()))
    print("processor  ", processor())
    print("BLAS       ", blas())
    for row in backends.devices():
        print(f"{row.name:11} {'usable: ' if row.usable else 'not usable: '}{row.detail}")
        if row.usable and not options.no_measure:
            print(f"{'':11} {rates(backends.get(row.name))}")
    print("kernels    ", kept())
    faults, notes = list(troubles()), list(remarks(os.environ))
    for kind, lines in (("UNUSUAL", notes), ("TROUBLE", faults)):
        for line in lines:
            print(f"{kind:11} {line}")
    if not faults:
        print("no trouble found")
    return 1 if faults else 0


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """The versions of those distributions that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Its name, its cores, and the vector registers that kernels are compiled for."""
    cores = f"{os.cpu_count()} processors, {get_num_threads()} threads for large kernels"
    try:
        bits, number, name = 8 * registers().nbytes, registers().number, target.target()[0]
    except ImportError as error:  # llvmlite is not there, or of another processor
        return f"{platform.machine()}, {cores}; no kernels: {error}"
    return f"{target.architecture()} {name}, {number} vector registers of {bits} bits; {cores}"


def blas() -> str:
    """What NumPy multiplies with, and its kernels where threadpoolctl is installed to ask."""
    said: Any = np.show_config(mode="dicts")
    built = said.get("Build Dependencies", {}).get("blas", {}) if isinstance(said, dict) else {}
    name = f"NumPy's {built.get('name', 'unknown')} {built.get('version', '')}".strip()
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return name
    pools = [pool for pool in threadpool_info() if pool.get("user_api") == "blas"]
    return name + "".join(
        f", {pool.get('architecture', 'unknown')} kernels, {pool['num_threads']} threads" for pool in pools[:1]
    )


def rates(backend: Backend) -> str:
    """A product and a copy on a device, measured now: medians of a few."""
    x = backend.asarray(np.ones((SIZE, SIZE), np.float32))
    y, many = backend.empty((SIZE, SIZE), x.dtype), backend.asarray(np.ones(COPIED, np.float32))
    copied = backend.empty((COPIED,), many.dtype)
    product = seconds(lambda: backend.matmul(x, x, out=y), backend.synchronize)
    copy = seconds(lambda: backend.copy(many, out=copied), backend.synchronize)
    return (
        f"measured: {2 * SIZE**3 / product / 1e9:.0f} GFLOP/s (float32, {SIZE} x {SIZE}), "
        f"{2 * 4 * COPIED / copy / 1e9:.1f} GB/s read and written by a copy"
    )


def seconds(work: Callable[[], object], wait: Callable[[], object]) -> float:
    """The median of five turns, after one that is not counted."""
    taken = []
    for _ in range(6):
        start = time.perf_counter()
        work()
        wait()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def kept() -> str:
    """The folder of compiled kernels, and what lies in it."""
    folder = cache.root()
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    size = sum(path.stat().st_size for path in files)
    return f"kept in {folder}: {len(files)} files, {size / 2**20:.0f} MiB"


def troubles() -> Iterator[str]:
    """What stops nnkit from working as it should, each with its remedy."""
    folder = cache.root()
    try:
        cache.make(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield f"compiled kernels cannot be kept in {folder} ({error}): set NNKIT_CACHE to a folder that can be written"
    wheels = diagnosis.wheels()
    if len(wheels) > 1:
        yield (
            f"{len(wheels)} packages of CuPy are installed, which overwrite one another: "
            f"pip uninstall {' '.join(wheels)}, then install one of them"
        )
    if versions(("nnkit",)):
        yield (
            'the other package that is called "nnkit" is installed too, and imports by the same name: '
            f"pip uninstall nnkit, then install {DISTRIBUTION} again"
        )


def remarks(environment: Mapping[str, str]) -> Iterator[str]:
    """What is set in the environment and changes speed or results."""
    for name, meaning in UNUSUAL.items():
        if environment.get(name):
            yield f"{name}={environment[name]}: {meaning}"
