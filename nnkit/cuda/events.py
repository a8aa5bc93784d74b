"""Marks in a GPU's work, and its order: events that measure time, and the one stream that there is.

Where no GPU is usable an event is a moment of the host's clock: what comes before it is done by then.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from nnkit.cuda.devices import figures, is_available, synchronize

__all__ = ["Event", "Stream", "current_stream", "default_stream", "stream"]


class Event:
    """A moment in a GPU's work: ``record`` sets it behind all that the GPU has been given so far.

    Its ``elapsed_time`` raises RuntimeError for an event that was not recorded. Source: ``torch.cuda.Event``.

    >>> begin, end = Event(enable_timing=True), Event(enable_timing=True)
    >>> begin.record(); end.record(); end.synchronize(); begin.elapsed_time(end) >= 0.0
    True
    """

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False, external: bool = False
    ) -> None:
        self._mark: Any = None

    def record(self, stream: Any = None) -> None:
        """The event is now."""
        if is_available():
            self._mark = figures(0).event(0)
            self._mark.record()
        else:
            self._mark = time.perf_counter()

    def synchronize(self) -> None:
        """Wait until the GPU has come here."""
        if self._mark is not None and not isinstance(self._mark, float):
            self._mark.synchronize()

    def query(self) -> bool:
        """Whether the GPU has come here."""
        return self._mark is None or isinstance(self._mark, float) or bool(self._mark.done)

    def wait(self, stream: Any = None) -> None:
        """Nothing: there is one stream, and what comes later in it is done later."""

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to another. Raises RuntimeError for one that was not recorded."""
        begin, end = self._mark, end_event._mark
        if begin is None or end is None:
            raise RuntimeError("elapsed_time: both events must be recorded before")
        if isinstance(begin, float) and isinstance(end, float):
            return (end - begin) * 1000.0
        end_event.synchronize()
        return float(figures(0).milliseconds(begin, end))


class Stream:
    """The order of a GPU's work, of which there is one: what is put into another is done in the order it was given.

    Raises nothing for any device or priority. Source: ``torch.cuda.Stream``.

    >>> with Stream() as order:
    ...     mark = order.record_event()
    >>> order.query() and mark.query()
    True
    """

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        self.device = device

    def synchronize(self) -> None:
        """Wait for all work."""
        synchronize(self.device)

    def query(self) -> bool:
        """Whether all work is done, which is waited for."""
        self.synchronize()
        return True

    def wait_stream(self, stream: Any) -> None:
        """Nothing: it is the same stream."""

    def wait_event(self, event: Event) -> None:
        """Nothing: what comes later is done later."""

    def record_event(self, event: Event | None = None) -> Event:
        """An event behind all work so far."""
        event = event or Event()
        event.record()
        return event

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


def current_stream(device: Any = None) -> Stream:
    """The stream, whatever the device.

    Raises nothing. Source: ``torch.cuda.current_stream``.

    >>> current_stream().query()
    True
    """
    return Stream(device)


default_stream = current_stream


@contextlib.contextmanager
def stream(stream: Stream | None) -> Iterator[Stream | None]:
    """``with nnkit.cuda.stream(s):`` changes nothing.

    Raises nothing. Source: ``torch.cuda.stream``.

    >>> with stream(Stream()) as order:
    ...     order.query()
    True
    """
    yield stream
