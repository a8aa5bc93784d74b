"""Fixtures of the CUDA tests: machines with pretended GPUs, where ``import cupy`` gives the stand-in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stand_in
from stand_in.machine import Machine
from streamed_cublaslt import StreamedLibrary

import nnkit


@pytest.fixture
def gpu() -> Iterator[Machine]:
    """CuPy's stand-in is installed, and kernels are compiled for it; what the machine did and may do."""
    with stand_in.installed() as machine:
        from nnkit.backends.cuda import modules

        modules.compile = stand_in.compile_source
        yield machine


@pytest.fixture(scope="module")
def whole_gpu() -> Iterator[Machine]:
    """The same for a whole file of tests, and with a stand-in for cuBLASLt."""
    pytest.importorskip("greenlet", reason="pip install nnkit[test-cuda]: no greenlet")
    with stand_in.installed() as machine, pytest.MonkeyPatch.context() as patch:
        from nnkit.backends.cuda import cublaslt, modules

        patch.setattr(modules, "compile", stand_in.compile_source)
        patch.setattr(cublaslt, "load", StreamedLibrary)
        yield machine
    for backend in [backend for backend in nnkit.random.default_generator._states if backend.name == "cuda"]:
        del nnkit.random.default_generator._states[backend]


@pytest.fixture
def device(whole_gpu: Machine) -> Iterator[str]:
    """The pretended GPU is the default device; random streams start anew."""
    whole_gpu.late, whole_gpu.device_count = set(), 1
    nnkit.set_device_fallback(False)
    nnkit.set_default_device("cuda")
    nnkit.manual_seed(0)
    yield "cuda"
    nnkit.set_default_device("cpu")
    nnkit.set_device_fallback(True)
