"""When a GPU cannot be used: for each cause, what is said and what to do, once, and then the CPU runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import stand_in
from stand_in.machine import Machine

import nnkit
from nnkit.backends import Device, DeviceFallbackWarning, registry
from nnkit.backends.advice import install
from nnkit.backends.cuda import diagnosis


@pytest.fixture
def untried(gpu: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A pretended GPU that was not tried yet; nobody was warned."""
    monkeypatch.delenv("NNKIT_STRICT_DEVICE", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(registry, "_warned", set())
    nnkit.set_device_fallback(True)
    yield gpu
    nnkit.set_device_fallback(True)


def missing(library: str) -> ImportError:
    """What CuPy raises where NVIDIA's library is not installed."""
    return ImportError(f'Failure finding "{library}": No such file: {library}\n  listdir("/lib"):\n    libcudart.so')


def settings(**values: Any) -> Callable[[Machine], None]:
    return lambda machine: [setattr(machine, name, value) for name, value in values.items()] and None


def failing(call: str, error: str | Exception) -> Callable[[Machine], None]:
    return lambda machine: stand_in.fail(call, error=error, times=1000)


#: What is wrong with the machine, and how the reason reads.
CAUSES: dict[str, tuple[Callable[[Machine], None], str]] = {
    "no driver": (
        settings(driver_version=0),
        "there is no NVIDIA driver on this machine, or it cannot be loaded: install it, until nvidia-smi lists the "
        "GPU; a container has to be started with its GPUs (docker run --gpus all)",
    ),
    "driver too old": (
        settings(driver_version=12040),
        "the NVIDIA driver is too old: it knows CUDA 12.4, and cupy 14.2.0 is made for CUDA 13. Update the driver to "
        "580 or newer, or install CuPy for the older CUDA: pip install -e ",
    ),
    "driver far too old": (
        settings(driver_version=11080),
        "it knows CUDA 11.8, and cupy 14.2.0 is made for CUDA 13. Update the driver to 580 or newer. Running on",
    ),
    "no GPU": (settings(device_count=0), "the NVIDIA driver finds no GPU: see whether nvidia-smi lists one"),
    "GPU in use": (
        failing("cudaMalloc", "cudaErrorDevicesUnavailable"),
        "the GPU is busy or in exclusive use: see with nvidia-smi which process has it",
    ),
    "memory full": (
        settings(memory_size=100),
        "its memory is full (100 bytes are free): see with nvidia-smi which process has it",
    ),
    "no NVRTC": (
        failing("nvrtcCompileProgram", missing("libnvrtc.so.13")),
        'NVRTC, which compiles CuPy\'s own kernels, is not there (ImportError: Failure finding "libnvrtc.so.13": No '
        'such file: libnvrtc.so.13 listdir("/lib"): libcudart.so): pip install "cupy-cuda13x[ctk]", which brings the '
        "CUDA libraries, or install the CUDA toolkit",
    ),
    "no cuBLAS": (
        failing("cublasGemmEx", missing("libcublasLt.so.13")),
        "cuBLAS, which multiplies matrices, is not there (ImportError: Failure finding",
    ),
    "a kernel fails": (
        failing("cuLaunchKernel", "cudaErrorNoKernelImageForDevice"),
        "running a kernel failed: cuda failed while launching map_relu_float32_to_float32_f: "
        "CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image is available for execution on the device",
    ),
    "no stream for recording": (
        failing("cudaStreamCreateWithFlags", "cudaErrorInvalidValue"),
        "recording and replaying failed: cuda failed while running recorder: cudaErrorInvalidValue: invalid argument",
    ),
    "graphs fail": (
        failing("cudaGraphLaunch", "cudaErrorInvalidValue"),
        "recording and replaying failed: cuda:0 failed while replaying a program: cudaErrorInvalidValue: invalid",
    ),
    "computes wrongly": (
        lambda machine: setattr(sys.modules["cupy"], "matmul", lambda x, y, **options: (x * 1.01) @ y),
        "it computes wrong numbers (a matrix product differs from NumPy's); check driver and hardware",
    ),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_the_reason_and_the_remedy_are_told_once_and_the_cpu_runs(cause: str, untried: Machine) -> None:
    arrange, text = CAUSES[cause]
    arrange(untried)
    registry.forget("cuda")
    with pytest.warns(DeviceFallbackWarning) as caught:
        x = nnkit.tensor([1.0, 2.0], device="cuda")
    (warning,) = caught
    assert text in str(warning.message)
    assert str(x.device) == "numba"
    assert (x + nnkit.ones(2, device="cuda")).tolist() == [2.0, 3.0], "warned once"
    assert not nnkit.cuda.is_available() and text.partition(". Running")[0] in (nnkit.cuda.why_not() or "")
    nnkit.set_device_fallback(False)
    with pytest.raises(nnkit.DeviceUnavailable, match="device 'cuda' cannot be used"):
        nnkit.ones(2, device="cuda")


def test_a_gpu_that_works_is_used_and_counted(untried: Machine) -> None:
    registry.forget("cuda")
    assert nnkit.cuda.is_available() and nnkit.cuda.device_count() == 2
    x = nnkit.tensor([-1.0, 2.0], device="cuda:1")
    assert nnkit.ops.relu(x).tolist() == [0.0, 2.0] and str(x.device) == "cuda:1"


def test_a_number_too_high_is_told(untried: Machine) -> None:
    registry.forget("cuda")
    with pytest.warns(DeviceFallbackWarning, match="there is no GPU number 2: this machine has 2, numbered from 0"):
        nnkit.ones(2, device="cuda:2")


def test_hidden_gpus_are_mentioned(untried: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    untried.device_count = 0
    registry.forget("cuda")
    with pytest.warns(DeviceFallbackWarning, match="CUDA_VISIBLE_DEVICES is '', which hides the others"):
        nnkit.ones(2, device="cuda")


def test_two_packages_of_cupy_are_named(untried: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cupy-cuda12x", "cupy-cuda13x"):
        place = tmp_path / f"{name.replace('-', '_')}-14.2.0.dist-info"
        place.mkdir()
        (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 14.2.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert diagnosis.wheels() == ["cupy-cuda12x", "cupy-cuda13x"]
    registry.forget("cuda")
    assert nnkit.cuda.is_available(), "where it works nevertheless, it is used"
    stand_in.fail("cudaMemcpyAsync", error="cudaErrorInvalidValue", times=100)
    registry.forget("cuda")
    assert nnkit.cuda.why_not() == (
        "allocating failed (DeviceFault: cuda failed while running asarray: cudaErrorInvalidValue: invalid "
        "argument), and 2 packages of CuPy are installed, which overwrite one another: pip uninstall -y cupy-cuda12x "
        f"cupy-cuda13x, then {install('cuda13')} (cuda12 for CUDA 12)"
    )


def test_without_a_compiler_the_gpu_is_used_after_one_warning(untried: Machine) -> None:
    from nnkit.backends.cuda import modules
    from nnkit.kernels.cuda.compiler import CompilerMissing

    def compile(source: Any, architecture: str) -> Any:
        raise CompilerMissing("NVVM is not installed")

    modules.compile = compile
    registry.forget("cuda")
    with pytest.warns(modules.KernelsMissing, match="no CUDA kernels: NVVM is not installed") as caught:
        x = nnkit.tensor([-1.0, 2.0], device="cuda")
    assert len(caught) == 1
    assert str(x.device) == "cuda" and nnkit.ops.relu(x).tolist() == [0.0, 2.0]


def test_this_machine_as_it_is() -> None:
    """No pretence: what is said here without CuPy, and with it but without a driver."""
    found = registry.failure(Device("cuda"))
    if find_spec("cupy") is None:
        advice = f"{install('cuda13')} (cuda12 for CUDA 12)"
        assert found == f"cupy is not installed: {advice} on a machine with an NVIDIA GPU"
    else:
        cupy = pytest.importorskip("cupy")
        if cupy.cuda.runtime.driverGetVersion():
            pytest.skip("this machine has a driver")
        assert found is not None and found.startswith("there is no NVIDIA driver on this machine")
