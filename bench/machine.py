"""What a measurement depends on: processor, system, versions, BLAS and its kernels, threads, commit, environment."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
#: Variables that tie OpenBLAS to kernels or sizes that are not this processor's: nothing measured with them counts.
TIED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
#: Variables that set numbers of threads; every contender gets ``THREADS``.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
#: nnkit's switch to narrower vectors than the processor has.
VECTORS = "NNKIT_VECTORS"
#: The same of its peers, of those that have one; ONNX Runtime has none.
HELD = {
    "avx2": {
        "OPENBLAS_CORETYPE": "Haswell", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2", "TORCHINDUCTOR_CPP_MARCH": "x86-64-v3",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    }
}  # fmt: skip
FEATURES = ("avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "amx_tile", "asimd", "sve")


def available_cpus() -> list[int]:
    """The numbers of the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


#: Threads of every contender.
THREADS = min(2, len(available_cpus()))


def _siblings(cpu: int) -> str:
    """The hardware threads that share this one's core; each its own where the system does not say."""
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def pin() -> None:
    """Keep this process on ``THREADS`` cores, so that no library starts more threads; where the system can."""
    if hasattr(os, "sched_setaffinity"):
        by_core: dict[str, int] = {}
        for cpu in available_cpus():
            by_core.setdefault(_siblings(cpu), cpu)
        chosen = [*by_core.values(), *(set(available_cpus()) - set(by_core.values()))]
        os.sched_setaffinity(0, chosen[:THREADS])


def worker_environment() -> dict[str, str]:
    """The environment of measuring processes: as many threads for each, and vectors as wide as nnkit's."""
    threads = dict.fromkeys(THREAD_VARIABLES, str(THREADS))
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    held = HELD.get(os.environ.get(VECTORS, ""), {})
    return {**os.environ, **threads, **held, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path}


def _cpu_field(name: str) -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    found = re.search(rf"^{name}\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def processor() -> dict[str, Any]:
    """The processor's name and family, how many of its cores may be used, and its vector instructions."""
    cpus = available_cpus()
    flags = set((_cpu_field("flags") or _cpu_field("Features")).split())
    numbers = [_cpu_field(name) for name in ("cpu family", "model")]
    is_amd = _cpu_field("vendor_id") == "AuthenticAMD" and all(map(str.isdecimal, numbers))
    return {
        "name": _cpu_field("model name") or platform.processor() or platform.machine(),
        "family": zen(*map(int, numbers)) if is_amd else "",
        "cores": len({_siblings(cpu) for cpu in cpus}),
        "hardware_threads": len(cpus),
        "features": [name for name in FEATURES if name in flags],
    }


#: AMD's family -> (models up to which, generation), as Linux tells them apart (arch/x86/kernel/cpu/amd.c).
ZEN = {
    0x17: ((0x2F, 1), (0x4F, 2), (0x5F, 1), (0xAF, 2)),
    0x19: ((0x0F, 3), (0x1F, 4), (0x5F, 3), (0xAF, 4)),
    0x1A: ((0x4F, 5), (0x5F, 6), (0x7F, 5), (0xAF, 6)),
}


def zen(family: int, model: int) -> str:
    """The generation of an AMD processor, "" where it is not known.

    >>> zen(0x19, 0x11), zen(0x19, 0x01), zen(0x1A, 0x02), zen(0x15, 0x02)
    ('Zen 4', 'Zen 3', 'Zen 5', '')
    """
    return next((f"Zen {generation}" for last, generation in ZEN.get(family, ()) if model <= last), "")


def vectors(features: Sequence[str]) -> str:
    """The widest vectors that nnkit's kernels use of a processor's, unless it is held to narrower ones.

    >>> vectors(["avx", "avx2", "fma"])
    'avx2'
    """
    held = os.environ.get(VECTORS)
    widest = {"avx512f": "avx512", "avx2": "avx2", "avx": "avx", "asimd": "neon"}
    return held or next((name for feature, name in widest.items() if feature in features), "scalar")


def slug(processor: Mapping[str, Any], vectors: str) -> str:
    """A file name for a machine.

    >>> slug({"name": "AMD EPYC 9B14 96-Core Processor", "family": "Zen 4"}, "avx512")
    'amd-epyc-zen4-avx512'
    >>> slug({"name": "Intel(R) Xeon(R) CPU @ 2.80GHz", "family": ""}, "avx2")
    'intel-xeon-cpu-2-80ghz-avx2'
    """
    name = processor["name"]
    if processor["family"]:
        line = re.match(r"AMD (EPYC|Ryzen Threadripper|Ryzen)\b", name)
        name = f"{line[0] if line else 'AMD'} {processor['family'].replace(' ', '')}"
    words = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", name.lower())).strip("-")
    return f"{words}-{vectors}"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed versions by distribution."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def blas() -> list[dict[str, Any]] | str:
    """The BLAS libraries that nnkit's process loads: whose, version, kernels, threads. For a process of its own."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return "unknown: threadpoolctl is not installed"
    for module in ("numpy", "scipy.linalg.cython_blas"):
        importlib.import_module(module)
    pools = importlib.import_module("threadpoolctl").threadpool_info()
    return [
        {
            "of": "scipy" if "scipy" in Path(pool["filepath"]).parent.name else "numpy",
            "library": pool["internal_api"],
            "version": pool["version"],
            "kernels": pool.get("architecture", "unknown"),
            "threads": pool["num_threads"],
        }
        for pool in pools
        if pool["user_api"] == "blas"
    ]


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def commit() -> str:
    """The commit that is measured, and whether files differ from it."""
    changed = [line for line in _git("status", "--porcelain").splitlines() if "bench/results" not in line]
    return (_git("rev-parse", "--short=12", "HEAD") or "unknown") + (" with changes" if changed else "")


def tied_variables() -> dict[str, str]:
    """Those of ``TIED`` that are set."""
    return {name: os.environ[name] for name in TIED if name in os.environ}


def load() -> list[float]:
    """Load averages over 1, 5 and 15 minutes; empty where the system has none."""
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else []


class Others:
    """What the rest of the machine does meanwhile: the share of the processors that others use, from now on.

    Others are the processes outside this one's group, and whatever the host takes away (Linux; elsewhere nobody knows).
    """

    def __init__(self) -> None:
        self._start, self._all, self._own = time.monotonic(), *_processor_seconds()

    def share(self) -> float:
        """From 0 to 1, over the time since this object was made."""
        everyone, own = _processor_seconds()
        available = (time.monotonic() - self._start) * len(available_cpus())
        return round(min(max((everyone - self._all - own + self._own) / available, 0.0), 1.0), 3)


def _processor_seconds() -> tuple[float, float]:
    """Processor time of everyone, and of this process's group with its ended children, since each began."""
    try:
        user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    except OSError:
        return 0.0, 0.0
    own = 0
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        if int(fields[2]) == os.getpgrp():
            own += sum(map(int, fields[11:15]))
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + sum(interrupts)) / tick, own / tick


def describe(packages: Iterable[str]) -> dict[str, Any]:
    """Everything above but the BLAS, as plain data."""
    found = processor()
    return {
        "processor": found,
        "vectors": vectors(found["features"]),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(packages),
        "threads": THREADS,
        "commit": commit(),
        "environment": tied_variables(),
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }
