"""Connections that may be slow: a server closes those whose clients do not send, or do not take, in time.

uvicorn bounds how long an idle connection is kept, and not how long a request may take to come.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

httptools: Any = None  # uvicorn's parser in Python, which it has else, takes longer, and bounds a request's head itself
with contextlib.suppress(ImportError):
    httptools = importlib.import_module("uvicorn.protocols.http.httptools_impl")

__all__ = ["Reaper", "protocol"]

LONGEST_HEAD = 64 << 10  # bytes


def protocol() -> type[Any]:
    """The class of a connection: uvicorn's over httptools where that is installed, with a bound of the head."""
    if httptools is None:
        return H11Protocol

    class Bounded(httptools.HttpToolsProtocol):
        """A connection whose request heads have at most ``LONGEST_HEAD`` bytes."""

        head = 0

        def data_received(self, data: bytes) -> None:
            self.head += len(data)
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                if self.head > LONGEST_HEAD:
                    self.transport.close()
            else:
                self.head = 0

    return Bounded


class Reaper:
    """Closes the connections that are late; ``look`` is called every second or so."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[Any, tuple[Any, float]] = {}  # connection -> what it waits for, and since when

    def look(self, server: uvicorn.Server) -> None:
        """Note what each connection waits for, and close those that have waited too long for their client."""
        now = time.monotonic()
        seen: dict[Any, tuple[Any, float]] = {}
        for connection in list(server.server_state.connections):
            waits = _waits_for(connection)
            if waits is None:
                continue
            before = self._since.get(connection)
            since = before[1] if before is not None and before[0] == waits else now
            seen[connection] = waits, since
            if now - since > self._seconds:
                connection.transport.abort()
        self._since = seen


def _waits_for(connection: Any) -> tuple[str, int] | None:
    """What a connection needs of its client to go on: a head, a body, or that it takes what was sent."""
    cycle = connection.cycle
    if cycle is None or cycle.response_complete:
        return ("taking", id(cycle)) if connection.flow.write_paused else ("head", id(cycle))
    if cycle.more_body:
        return "body", id(cycle)
    return ("taking", id(cycle)) if connection.flow.write_paused else None
