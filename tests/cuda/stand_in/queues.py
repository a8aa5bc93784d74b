"""Streams, events and graphs: what was given to a stream runs in order, at once or as late as it may.

``submit`` is the one door: an operation runs, waits in its stream's queue (where ``machine.late`` names its kind), or,
while the stream captures, becomes a node of a graph. Any order that the stand-in picks is one that CUDA may pick.
"""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from .errors import CUDARuntimeError
from .machine import current_device, machine

Operation = Callable[[], None]


class Node(NamedTuple):
    """One operation of a graph."""

    name: str
    kind: str
    run: Operation
    ranges: tuple[tuple[int, int], ...]  # the memory that it needs: addresses and sizes


class Capture:
    """What a capturing stream has noted, and the streams that joined it."""

    def __init__(self, origin: State, mode: int) -> None:
        self.origin = origin
        self.mode = mode
        self.nodes: list[Node] = []
        self.joined: dict[State, bool] = {}
        self.invalid = False


class State:
    """What CUDA knows of a stream."""

    def __init__(self, device: int, non_blocking: bool = False, priority: int = 0) -> None:
        self.device = device
        self.non_blocking = non_blocking
        self.priority = priority
        self.queue: list[Operation] = []
        self.until = 0.0  # the clock's time when it has done what it was given
        self.draining = False
        self.capture: Capture | None = None


class EventState:
    """Where in a stream's queue an event was recorded last."""

    def __init__(self) -> None:
        self.pending: tuple[State, Operation] | None = None
        self.capture: Capture | None = None
        self.source: State | None = None
        self.timed = True
        self.time = 0.0

    def done(self) -> bool:
        reached = self.pending is None or self.pending[1] not in self.pending[0].queue
        return reached and self.time <= machine.clock.now

    def finish(self) -> None:
        """Run what came before the event."""
        reach(self.pending)
        machine.clock.wait(self.time)


#: One operation runs at a time, whichever threads wait for it: else one would see an event pass whose operation another
#: has only begun.
_running = threading.RLock()


def perform(operation: Operation) -> None:
    """Run an operation to its end: a finalizer in the middle of it may wait for what comes behind."""
    collects = gc.isenabled()
    gc.disable()
    try:
        operation()
    finally:
        if collects:
            gc.enable()


def reach(place: tuple[State, Operation] | None) -> None:
    """Run what comes before a place in a stream's queue."""
    with _running:
        while place is not None and place[1] in place[0].queue:
            perform(place[0].queue.pop(0))


handles = itertools.count(0x10000, 16)
streams: dict[int, State] = {}
events: dict[int, EventState] = {}
defaults: dict[int, State] = {}
of_threads: list[State] = []
gone: list[State] = []  # destroyed, with something left to do


class Current(threading.local):
    def __init__(self) -> None:
        self.streams: dict[int, Any] = {}
        self.stack: list[tuple[int, Any]] = []
        self.own: dict[int, State] = {}  # this thread's default streams


current = Current()


def reset() -> None:
    """Forget every stream and event."""
    for table in (streams, events, defaults):
        table.clear()
    of_threads.clear()
    gone.clear()
    current.__init__()


def state_of(handle: int) -> State:
    """The stream with this handle: 0 and 1 are the default stream of the current device, 2 this thread's own."""
    if handle in (0, 1):
        return defaults.setdefault(current_device(), State(current_device()))
    if handle == 2:
        if current_device() not in current.own:
            of_threads.append(State(current_device()))
            current.own[current_device()] = of_threads[-1]
        return current.own[current_device()]
    if handle not in streams:
        raise CUDARuntimeError(400)
    return streams[handle]


def event_of(handle: int) -> EventState:
    if handle not in events:
        raise CUDARuntimeError(400)
    return events[handle]


def current_state() -> State:
    """The state of this thread's current stream."""
    stream = current.streams.get(current_device())
    return state_of((2 if machine.per_thread else 0) if stream is None else stream.ptr)


def _blocking_streams(device: int) -> list[State]:
    return [s for s in [*streams.values(), *of_threads, *gone] if s.device == device and not s.non_blocking]


def _is_default(state: State) -> bool:
    return defaults.get(state.device) is state


def drain(state: State) -> None:
    """Run all that a stream was given; other threads wait for that."""
    with _running:
        if state.draining:  # what is running called a finalizer, which waits: it has to go on first
            return
        state.draining = True
        try:
            while state.queue:
                perform(state.queue.pop(0))
        finally:
            state.draining = False


def drain_device(device: int) -> None:
    """Wait until all is done that any stream of a device was given."""
    for state in [*streams.values(), *defaults.values(), *of_threads, *gone]:
        if state.device == device:
            await_stream(state)
    gone[:] = [state for state in gone if state.queue]


def busy(device: int) -> bool:
    """Whether a stream of the device still has something to do, or captures."""
    states = [*streams.values(), *defaults.values(), *of_threads, *gone]
    return any(s.device == device and (s.queue or s.draining or s.capture is not None) for s in states)


def submit(state: State, name: str, kind: str, run: Operation, ranges: tuple[tuple[int, int], ...] = ()) -> None:
    """Give an operation to a stream."""
    capture = state.capture
    if capture is not None:
        if capture.invalid:
            raise CUDARuntimeError(901)
        capture.nodes.append(Node(name, kind, run, ranges))
        if state is not capture.origin:
            capture.joined[state] = False
        return
    wait_for_default(state)
    spend(state, kind)
    if kind in machine.late:
        state.queue.append(run)
    else:
        drain(state)
        with _running:
            perform(run)


def spend(state: State, kind: str) -> None:
    """Let a stream be at work for as long as work of that kind takes."""
    state.until = machine.clock.spend(state.until, kind)


def await_stream(state: State) -> None:
    """The host waits until a stream has done what it was given."""
    drain(state)
    machine.clock.wait(state.until)


def wait_for_default(state: State) -> None:
    # The legacy default stream and the blocking streams wait for one another.
    if _is_default(state):
        for other in _blocking_streams(state.device):
            if other.capture is not None:
                other.capture.invalid = True
                raise CUDARuntimeError(906)
            drain(other)
            state.until = max(state.until, other.until)
    elif not state.non_blocking and state.device in defaults:
        drain(defaults[state.device])
        state.until = max(state.until, defaults[state.device].until)


def refuse_capture(state: State) -> None:
    """A call that waits cannot be captured, and ends the capture."""
    if state.capture is not None:
        state.capture.invalid = True
        raise CUDARuntimeError(900)


def refuse_allocation() -> None:
    """Outside of relaxed mode, no memory is taken or given back while a stream captures."""
    for state in streams.values():
        if state.capture is not None and state.capture.mode != 2:
            state.capture.invalid = True
            raise CUDARuntimeError(900)


def is_capturing(handle: int) -> bool:
    """Whether the stream notes instead of running."""
    state = state_of(handle)
    if _is_default(state) and any(s.capture is not None for s in _blocking_streams(state.device)):
        raise CUDARuntimeError(906)
    return state.capture is not None and not state.capture.invalid


def record_event(event: int, stream: int) -> None:
    machine.call("cudaEventRecord")
    state, place = state_of(stream), event_of(event)
    place.capture, place.source, place.pending = state.capture, state, None
    place.time = max(state.until, machine.clock.now)
    if state.capture is None and state.queue:

        def reached() -> None:
            pass

        state.queue.append(reached)
        place.pending = state, reached


def wait_event(stream: int, event: int) -> None:
    machine.call("cudaStreamWaitEvent")
    state, place = state_of(stream), event_of(event)
    if place.capture is not None:
        if state.capture is None:
            state.capture = place.capture
            place.capture.joined[state] = False
        elif state is place.capture.origin and place.source is not None and place.source is not state:
            place.capture.joined[place.source] = True
    elif state.capture is not None:
        if place.source is not None:
            state.capture.invalid = True
            raise CUDARuntimeError(905)
    elif not place.done():
        state.until = max(state.until, place.time)
        there = place.pending  # the event may be recorded anew before the stream comes to wait for it
        state.queue.append(lambda: reach(there))


def synchronize_stream(handle: int) -> None:
    machine.call("cudaStreamSynchronize")
    state = state_of(handle)
    refuse_capture(state)
    wait_for_default(state)
    await_stream(state)


def synchronize_device() -> None:
    machine.call("cudaDeviceSynchronize")
    for state in streams.values():
        if state.device == current_device():
            refuse_capture(state)
    drain_device(current_device())


def checked(node: Node) -> Operation:
    """A node that finds out whether its memory was freed since it was captured."""

    def run() -> None:
        for address, size in node.ranges:
            machine.view(address, size)
        node.run()

    return run
