"""When a GPU fails, or a process was forked: said once in full, and from then on at once, without a call of CUDA."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stand_in
from stand_in.machine import Machine
from waiting import HANG

import nnkit
from nnkit.backends.errors import DeviceFault

HERE = Path(__file__).parent


@pytest.fixture
def faults(gpu: Machine) -> Any:
    """The module under test, in a process whose CUDA works."""
    from nnkit.backends.cuda import faults

    return faults


FATAL = {
    "cudaErrorIllegalAddress": "an access to memory that is not its own (illegal address)",
    "cudaErrorAssert": "an assertion in a kernel failed",
    "cudaErrorMisalignedAddress": "an access to a misaligned address",
    "cudaErrorLaunchFailure": "a kernel failed for an unknown reason",
}


@pytest.mark.parametrize("error", FATAL)
def test_a_broken_context_is_told_once_in_full_and_then_at_once(error: str, faults: Any, gpu: Machine) -> None:
    x = nnkit.tensor([1.0, 2.0], device="cuda")
    stand_in.poison(error)
    with pytest.raises(DeviceFault) as caught:
        x.tolist()
    message = str(caught.value)
    assert message.startswith(f"cuda failed: {FATAL[error]}, noticed while reading values from the GPU ({error}: ")
    assert (
        "From now on every use of the GPU fails, and what is in its memory may be wrong. Start Python anew." in message
    )
    assert message.endswith("set CUDA_LAUNCH_BLOCKING=1, or run: compute-sanitizer python your_script.py")
    calls = gpu.counts.copy()
    with pytest.raises(DeviceFault) as caught:
        faults.check()
    assert str(caught.value) == (
        f"cuda failed earlier in this process: {FATAL[error]}, noticed while reading values from the GPU. "
        "Start Python anew."
    )
    assert gpu.counts == calls, "without a call of CUDA"


def test_every_use_of_a_broken_context_fails_at_once(faults: Any, gpu: Machine) -> None:
    x = nnkit.tensor([1.0, 2.0], device="cuda")
    stand_in.poison()
    with pytest.raises(DeviceFault, match="From now on"):
        x.tolist()
    calls = gpu.counts.copy()
    uses: list[Callable[[], Any]] = [
        lambda: x + x, lambda: nnkit.ones(3, device="cuda"), x.tolist, lambda: x.reshape(2, 1), lambda: x.to("cpu"),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(DeviceFault, match="failed earlier in this process"):
            use()
    assert gpu.counts == calls


def test_a_recorded_program_fails_at_once_too(faults: Any, gpu: Machine) -> None:
    step = nnkit.compile(lambda x: x * 2.0 + 1.0)
    x = nnkit.tensor([1.0, 2.0], device="cuda")
    for _ in range(3):
        assert step(x).tolist() == [3.0, 5.0]
    assert gpu.counts["cudaGraphLaunch"]
    stand_in.fail("cudaGraphLaunch", error="cudaErrorIllegalAddress")
    with pytest.raises(DeviceFault, match="noticed while replaying a program"):
        step(x)
    calls = gpu.counts.copy()
    with pytest.raises(DeviceFault, match="failed earlier in this process"):
        step(x)
    assert gpu.counts == calls


def test_other_errors_say_what_was_being_done_and_break_nothing(faults: Any) -> None:
    import cupy

    error = faults.translate(cupy.cuda.runtime.CUDARuntimeError(1), "copying a batch", "cuda:1")
    assert str(error) == "cuda:1 failed while copying a batch: cudaErrorInvalidValue: invalid argument"
    assert isinstance(error, DeviceFault)
    faults.check()
    foreign = ValueError("x")
    assert faults.translate(foreign, "copying a batch") is foreign


FORK = """
import os, signal, sys
sys.path.insert(0, {here!r})
import stand_in
machine = stand_in.install()
import nnkit
from nnkit.backends.cuda import modules
from nnkit.backends.errors import DeviceFault
modules.compile = stand_in.compile_source
x = nnkit.tensor([1.0, 2.0], device="cuda")
child = os.fork()
if child == 0:
    signal.alarm({hang})
    machine.counts.clear()
    for use in (lambda: x + x, x.tolist, lambda: nnkit.ones(2, device="cuda"), lambda: x.to("cpu")):
        try:
            use()
            os._exit(3)
        except DeviceFault as error:
            message = str(error)
    assert not machine.counts, machine.counts
    assert nnkit.ones(2, device="cpu").tolist() == [1.0, 1.0]
    print(message, flush=True)
    os._exit(7)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
assert (x + x).tolist() == [2.0, 4.0], "the parent goes on"
"""


def test_a_forked_child_gets_an_error_and_makes_no_call() -> None:
    script = FORK.format(here=str(HERE), hang=int(HANG))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (
        "this process was forked from one that had used the GPU, and CUDA does not survive a fork. Start processes by "
        'multiprocessing.get_context("spawn") (or "forkserver"), or use the GPU first in the child'
    )
