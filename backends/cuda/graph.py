"""A program of the GPU: CUDA graphs, and calls of Python between them.

Consecutive instructions that are work for the device alone (kernels, matrix products, copies) are captured: issued
once more, into a stream that only notes them, and from then on launched together by one call. An instruction that needs
Python (a reference body, a look at values on the host) is called between two graphs.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import groupby
from typing import Any
from weakref import WeakValueDictionary

import cupy

from nnkit.backends.collection import uncollected
from nnkit.backends.cuda import faults, products
from nnkit.backends.cuda.streams import Thread, identity
from nnkit.backends.pool import Pool
from nnkit.backends.program import Program, Step
from nnkit.backends.recording import Array, Instruction

_capturing = threading.Lock()
_nothing = contextlib.nullcontext()


class Lane:
    """Programs of GPU ``index`` that run one after the other, in whichever streams they are launched.

    They are captured in one stream, whose workspace for matrix products they share; so none may start before the one
    before it has ended. Programs that are recorded in one stream of the caller's share a lane: they would wait for one
    another anyhow, unless they are replayed in other streams than they were recorded in.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.lock = threading.RLock()
        with cupy.cuda.Device(index):
            self.stream = cupy.cuda.Stream(non_blocking=True)
            self._latest = cupy.cuda.get_current_stream()
        self._known = identity(self._latest.ptr)
        self._reached: Any = None  # an event behind all that the latest stream was given, where others cannot name it
        weakref.finalize(self, products.forget, index, self.stream.ptr).atexit = False

    def here(self) -> AbstractContextManager[Any]:
        """A context in which its GPU is the current device."""
        return _nothing if cupy.cuda.runtime.getDevice() == self.index else cupy.cuda.Device(self.index)

    def join(self) -> None:
        """Let the caller's current stream wait for what the lane still does in another one."""
        stream = cupy.cuda.get_current_stream()
        known = identity(stream.ptr)
        if known != self._known:
            stream.wait_event(self._reached or self._latest.record(cupy.cuda.Event(disable_timing=True)))
            self._latest, self._known, self._reached = stream, known, None

    def leave(self) -> None:
        """Note how far the stream is to go that was given work: a thread's own cannot be named by other threads."""
        if isinstance(self._known, Thread):
            self._reached = self._latest.record(cupy.cuda.Event(disable_timing=True))

    def wait(self) -> None:
        """Wait for all that the lane was given."""
        with self.here():  # the default stream is that of the current device
            (self._reached or self._latest).synchronize()

    def capture(self, instructions: list[Instruction]) -> Any:
        """The CUDA graph of instructions that are work for the device; raises RuntimeError where CUDA refuses one."""
        products.prepare(self.stream.ptr)
        with _capturing, uncollected(), self.stream as stream:
            stream.begin_capture()
            try:
                for instruction in instructions:
                    instruction.kernel.run()
            except BaseException:
                with contextlib.suppress(RuntimeError):  # the capture is over either way, and the first error counts
                    stream.end_capture()
                raise
            return stream.end_capture()


#: The lanes that programs hold, by GPU and the stream that was current.
_lanes: WeakValueDictionary[tuple[int, int | Thread], Lane] = WeakValueDictionary()
_lanes_lock = threading.Lock()


def lane_of(index: int) -> Lane:
    """The lane of this thread's current stream of GPU ``index``, which is the current device."""
    key = index, identity(cupy.cuda.get_current_stream().ptr)
    with _lanes_lock:
        lane = _lanes.get(key)
        if lane is None:
            lane = _lanes[key] = Lane(index)
        return lane


class GraphProgram(Program):
    """Recorded instructions as CUDA graphs.

    The recording run has compiled and loaded what there is, so that capture only notes. A replay goes to the caller's
    current stream, where it waits for a replay that was given to another one: they share the program's memory.
    """

    def __init__(
        self,
        lane: Lane,
        instructions: list[Instruction],
        pool: Pool,
        kept: list[Array],
        checks: list[Callable[[], None]],
    ) -> None:
        super().__init__(instructions, pool, kept, checks)
        self._lane = lane
        with lane.here(), lane.lock:
            lane.join()
            try:
                self._parts = self._captured()
            except RuntimeError:
                self._set_aside()
                self._parts = self._captured()
            lane.leave()

    def _captured(self) -> list[Callable[[], object]]:
        """The program's parts: a graph for neighbours that are work for the device alone, else a call of Python."""
        parts: list[Callable[[], object]] = []
        for for_device, group in groupby(self.instructions, lambda instruction: instruction.kernel is not None):
            if for_device:
                parts.append(self._lane.capture(list(group)).launch)
            else:
                parts += [instruction.call for instruction in group]
        return parts

    def _set_aside(self) -> None:
        """Find out what refuses to be captured, and make it a call of Python that says why."""
        for number, instruction in enumerate(self.instructions):
            if instruction.kernel is None:
                continue
            try:
                self._lane.capture([instruction])
            except RuntimeError as error:
                note = f"{instruction.note} cannot be captured: {' '.join(str(error).split())}"
                self.instructions[number] = instruction._replace(kernel=None, note=note)

    # ---- replay -------------------------------------------------------------------------------------------

    def join(self) -> None:
        faults.check()
        with self._lane.here(), self._lane.lock:
            self._lane.join()

    def replay(self, times: int = 1) -> None:
        faults.check()
        lane = self._lane
        with lane.here(), lane.lock:
            lane.join()
            try:
                for _ in range(times):
                    for part in self._parts:
                        part()
                lane.leave()
            except RuntimeError as error:
                faults.give(error, "replaying a program", f"cuda:{lane.index}")

    def synchronize(self) -> None:
        self._lane.wait()

    def steps(self) -> list[Step]:
        """The instructions one by one; each waits for the device."""

        def timed(instruction: Instruction) -> Step:
            def run() -> None:
                with self._lane.here():
                    instruction.call()
                    self._lane.leave()
                self._lane.wait()

            return Step(run, self._lane.wait)

        return [timed(instruction) for instruction in self.instructions]
