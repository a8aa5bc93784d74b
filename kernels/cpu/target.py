"""What machine code depends on besides its source: the compiler, its options, and the processor that it is for."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from pathlib import Path

#: Of Numba's variables in the environment those that change no code; the others are its options.
NO_OPTIONS = {"NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY", "NUMBA_CACHE_DIR"}
OPTIONS_FILE = ".numba_config.yaml"


def target() -> tuple[str, str]:
    """The processor's name and its features, as LLVM spells them: this one's, unless Numba is told of another."""
    import llvmlite.binding as llvm

    name = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES", "" if name == "generic" else None)
    return name, llvm.get_host_cpu_features().flatten() if features is None else features


def architecture() -> str:
    """The kind of processor that this process runs as: "x86_64", "aarch64" or another.

    As LLVM says it: what the system says (``platform.machine``) is the machine's, which may be emulating another.
    """
    import llvmlite.binding as llvm

    name = llvm.get_process_triple().partition("-")[0]
    return "aarch64" if name.startswith("arm64") else name  # Apple's name for it


def hold_to(vectors: str) -> None:
    """Compile for narrower vectors than the processor has: NNKIT_VECTORS=avx2, for tests and measurements.

    Raises ValueError for another text. Before Numba is imported, which reads its settings once.
    """
    import llvmlite.binding as llvm

    if vectors != "avx2":
        raise ValueError(f"NNKIT_VECTORS: expected avx2, got {vectors!r}")
    wider = ("avx512", "avx10", "evex512")
    features = llvm.get_host_cpu_features()
    os.environ["NUMBA_CPU_FEATURES"] = ",".join(
        f"{'+' if there and not name.startswith(wider) else '-'}{name}" for name, there in features.items()
    )


if os.environ.get("NNKIT_VECTORS"):
    hold_to(os.environ["NNKIT_VECTORS"])


def has(feature: str) -> bool:
    """Whether the processor that is compiled for has a feature such as "avx512f"."""
    return f"+{feature}" in target()[1].split(",")


@functools.cache
def second_cache() -> int:
    """Bytes of a core's second cache: as Linux says, else 512 KiB, which most have or exceed."""
    said = _text(Path("/sys/devices/system/cpu/cpu0/cache/index2/size")).strip()
    return int(said[:-1]) << 10 if said[:-1].isdecimal() and said.endswith("K") else 1 << 19


def compiler() -> list[str]:
    """The versions of what makes the code, and the options that it is given."""
    import llvmlite
    import numpy

    options = [f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith("NUMBA_") and k not in NO_OPTIONS]
    versions = [llvmlite.__version__, _numba_version(), numpy.__version__, str(sys.implementation.cache_tag)]
    return [*versions, *options, _text(Path(OPTIONS_FILE))]


def _numba_version() -> str:
    """Numba's file that says it, read without importing Numba: that takes longer than loading all kernels."""
    found = importlib.util.find_spec("numba")
    return _text(Path(found.origin).with_name("_version.py")) if found is not None and found.origin else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
