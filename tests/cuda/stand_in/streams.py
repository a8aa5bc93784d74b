"""``cupy.cuda.stream`` and ``graph``: the classes over ``queues``."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from . import queues
from .errors import CUDARuntimeError
from .machine import current_device, machine


class Event:
    """A place in a stream's queue."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.ptr = 0
        if interprocess and not disable_timing:
            raise ValueError("Timing must be disabled for interprocess events")
        machine.call("cudaEventCreateWithFlags")
        self.ptr = next(queues.handles)
        queues.events[self.ptr] = queues.EventState()
        queues.events[self.ptr].timed = not disable_timing
        weakref.finalize(self, queues.events.pop, self.ptr, None)

    @property
    def done(self) -> bool:
        machine.call("cudaEventQuery")
        event = queues.event_of(self.ptr)
        if event.capture is not None:
            raise CUDARuntimeError(907)
        return event.done()

    def record(self, stream: Any = None) -> None:
        queues.record_event(self.ptr, (get_current_stream() if stream is None else stream).ptr)

    def synchronize(self) -> None:
        machine.call("cudaEventSynchronize")
        event = queues.event_of(self.ptr)
        if event.capture is not None:
            event.capture.invalid = True
            raise CUDARuntimeError(907)
        event.finish()


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """Milliseconds of the stand-in's clock."""
    machine.call("cudaEventElapsedTime")
    start, end = (queues.event_of(event.ptr) for event in (start_event, end_event))
    if not (start.timed and end.timed):
        raise CUDARuntimeError(400)
    if not (start.done() and end.done()):
        raise CUDARuntimeError(600)
    return (end.time - start.time) * 1000.0


class _BaseStream:
    def __init__(self, ptr: int, device_id: int) -> None:
        self.ptr = ptr
        self.device_id = device_id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BaseStream) and self.ptr == other.ptr

    def __hash__(self) -> int:
        return self.ptr

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.ptr} (device {self.device_id})>"

    def _checked_device(self) -> int:
        here = current_device()
        if self.device_id not in (-1, here):
            raise RuntimeError(
                f"The device that the stream is created on ({self.device_id}) does not match with the current device "
                f"({here})"
            )
        return here

    def __enter__(self) -> _BaseStream:
        device = self._checked_device()
        queues.current.stack.append((device, get_current_stream(device)))
        queues.current.streams[device] = self
        return self

    def __exit__(self, *args: Any) -> None:
        device, before = queues.current.stack.pop()
        queues.current.streams[device] = before

    def use(self) -> _BaseStream:
        queues.current.streams[self._checked_device()] = self
        return self

    @property
    def done(self) -> bool:
        machine.call("cudaStreamQuery")
        state = queues.state_of(self.ptr)
        if state.capture is not None:
            state.capture.invalid = True
            return False
        return not state.queue and state.until <= machine.clock.now

    def synchronize(self) -> None:
        queues.synchronize_stream(self.ptr)

    def add_callback(self, callback: Callable[..., Any], arg: Any) -> None:
        machine.call("cudaStreamAddCallback")
        queues.refuse_capture(queues.state_of(self.ptr))
        queues.submit(queues.state_of(self.ptr), "callback", "host", lambda: callback(self, 0, arg))

    def launch_host_func(self, callback: Callable[..., Any], arg: Any) -> None:
        machine.call("cudaLaunchHostFunc")
        queues.submit(queues.state_of(self.ptr), "host_func", "host", lambda: callback(arg))

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        queues.record_event(event.ptr, self.ptr)
        return event

    def wait_event(self, event: Event) -> None:
        queues.wait_event(self.ptr, event.ptr)

    def begin_capture(self, mode: int | None = None) -> None:
        if self.ptr in (0, 1):
            raise RuntimeError("cannot capture on the default (legacy) stream")
        machine.call("cudaStreamBeginCapture")
        state = queues.state_of(self.ptr)
        if state.capture is not None:
            raise CUDARuntimeError(401)
        queues.drain(state)
        state.capture = queues.Capture(state, 2 if mode is None else mode)

    def end_capture(self) -> Graph:
        machine.call("cudaStreamEndCapture")
        capture = queues.state_of(self.ptr).capture
        if capture is None:
            raise CUDARuntimeError(401)
        if capture.origin is not queues.state_of(self.ptr):
            capture.invalid = True
            raise CUDARuntimeError(903)
        for state in (capture.origin, *capture.joined):
            state.capture = None
        if not all(capture.joined.values()):
            raise CUDARuntimeError(904)
        if capture.invalid:
            raise CUDARuntimeError(901)
        return Graph._from_nodes(capture.nodes)

    def is_capturing(self) -> bool:
        return queues.is_capturing(self.ptr)

    @property
    def is_non_blocking(self) -> bool:
        return queues.state_of(self.ptr).non_blocking

    @property
    def priority(self) -> int:
        return queues.state_of(self.ptr).priority


class Stream(_BaseStream):
    """A stream of the current device, or the default stream."""

    null: Stream
    ptds: Stream

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int | None = None
    ) -> None:
        if null or ptds:
            super().__init__(0 if null else 2, -1)
            return
        machine.call("cudaStreamCreateWithFlags")
        super().__init__(next(queues.handles), current_device())
        queues.streams[self.ptr] = queues.State(self.device_id, non_blocking, priority or 0)
        weakref.finalize(self, _destroy, self.ptr)


Stream.null = Stream(null=True)
Stream.ptds = Stream(ptds=True)


def _destroy(handle: int) -> None:
    state = queues.streams.pop(handle, None)
    if state is not None and state.queue:
        queues.gone.append(state)  # nobody waits for it, but what it was given is done nevertheless


class ExternalStream(_BaseStream):
    """A stream that something else made."""

    def __init__(self, ptr: int, device_id: int = -1) -> None:
        super().__init__(ptr, device_id)


def get_current_stream(device_id: int = -1) -> Any:
    """This thread's current stream of a device."""
    default = Stream.ptds if machine.per_thread else Stream.null
    return queues.current.streams.get(current_device() if device_id == -1 else device_id, default)


class Graph:
    """Captured operations, to be run again: in order, on the memory that they were captured with."""

    _nodes: list[queues.Node]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            "currently this class cannot be initiated by the user and must be created via stream capture"
        )

    @classmethod
    def _from_nodes(cls, nodes: list[queues.Node]) -> Graph:
        machine.call("cudaGraphInstantiate")
        graph = cls.__new__(cls)
        graph._nodes = nodes
        return graph

    def launch(self, stream: Any = None) -> None:
        machine.call("cudaGraphLaunch")
        state = queues.state_of((get_current_stream() if stream is None else stream).ptr)
        for node in self._nodes:
            queues.submit(state, node.name, node.kind, queues.checked(node), node.ranges)
        queues.spend(state, "graph")

    def upload(self, stream: Any = None) -> None:
        machine.call("cudaGraphUpload")
        queues.refuse_capture(queues.state_of((get_current_stream() if stream is None else stream).ptr))

    def debug_dot_str(self, flags: int = 0) -> str:
        return "digraph {" + " -> ".join(f'"{i} {node.name}"' for i, node in enumerate(self._nodes)) + "}"
