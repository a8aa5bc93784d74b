"""What is said when the GPU fails: one clear error for a broken CUDA context, a forked process, a CUDA error.

    started() -> None                             call once, before a process's first CUDA call
    check() -> None                               raises DeviceFault at once when CUDA cannot be used any more
    translate(error, doing, device="cuda") -> Exception
                                                  the error to raise in place of what CuPy raised
    give(error, doing, device="cuda")             raises it:
        try: ...launch...
        except Exception as error: faults.give(error, "launching relu")

A CUDA error that leaves the process without CUDA (an illegal address) is explained once, in full; every later
``check`` raises a short error and makes no CUDA call. After a fork the child gets an error and never touches CUDA:
there it could hang, or read memory that is not there.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn

import cupy

from nnkit.backends.cuda import room
from nnkit.backends.errors import DeviceFault

#: The statuses of CUDA (the runtime's and the driver's are the same numbers) after which every call fails, for good.
FATAL = {
    214: "an uncorrectable memory error (ECC)", 700: "an access to memory that is not its own (illegal address)",
    702: "a kernel ran longer than the display driver allows", 709: "its context is destroyed",
    710: "an assertion in a kernel failed", 714: "an error of the hardware's stack", 715: "an illegal instruction",
    716: "an access to a misaligned address", 717: "an access to an address of the wrong kind",
    718: "a jump to nowhere", 719: "a kernel failed for an unknown reason",
}  # fmt: skip
NOT_INITIALIZED = 3
AGAIN = "Start Python anew."
FORKED = (
    "this process was forked from one that had used the GPU, and CUDA does not survive a fork. Start processes by "
    'multiprocessing.get_context("spawn") (or "forkserver"), or use the GPU first in the child'
)

_state: dict[str, Any] = {"started": False, "broken": None}


def started() -> None:
    """This process is about to use CUDA: from now on its forked children must not."""
    _state["started"] = True


def _in_child() -> None:
    if _state["started"]:
        _state["broken"] = FORKED


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def check() -> None:
    """Raise DeviceFault if CUDA cannot be used any more; without a call of CUDA, so that nothing can hang."""
    if _state["broken"] is not None:
        raise DeviceFault(_state["broken"])


def translate(error: Exception, doing: str, device: str = "cuda") -> Exception:
    """The error to raise instead of ``error``, which came while ``doing`` ("launching relu"); others as they are."""
    if isinstance(error, cupy.cuda.memory.OutOfMemoryError):
        return room.out_of_memory(_asked(error), device)
    if not isinstance(error, (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError)):
        return error
    if _state["broken"] is not None:
        return DeviceFault(_state["broken"])
    what = FATAL.get(error.status)
    if what is None:
        if error.status == NOT_INITIALIZED:
            return DeviceFault(f"{device} failed while {doing}: {error}. If this process was forked: {FORKED}")
        return DeviceFault(f"{device} failed while {doing}: {error}")
    _state["broken"] = f"{device} failed earlier in this process: {what}, noticed while {doing}. {AGAIN}"
    return DeviceFault(
        f"{device} failed: {what}, noticed while {doing} ({error}). The cause is this or something before it, as "
        f"the GPU works on its own time. From now on every use of the GPU fails, and what is in its memory may be "
        f"wrong. {AGAIN} To find the cause, set CUDA_LAUNCH_BLOCKING=1, or run: compute-sanitizer python your_script.py"
    )


def give(error: Exception, doing: str, device: str = "cuda") -> NoReturn:
    """Raise what ``translate`` makes of an error."""
    told = translate(error, doing, device)
    if told is error:
        raise error
    raise told from error


def _asked(error: Exception) -> int:
    """The bytes that CuPy's error is about; it keeps them in a private attribute, so 0 if a later version does not."""
    return int(getattr(error, "_size", 0))
