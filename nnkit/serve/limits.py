"""What a server takes at most, so that no client can make it grow or wait for ever."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Bounds of a server.

    Args:
        rows: rows of one request; more are answered with 413.
        size: bytes of one request's body; more are answered with 413, before they are read.
        waiting: bytes of all bodies that are being read or answered; beyond it 503, with ``Retry-After``.
        connections: at once; those beyond it get 503.
        seconds: in which a request's head has to come, and then its body, and in which a client has to take its answer.
        grace: seconds in which SIGTERM lets requests end that have begun.

    Raises ValueError where one is not positive.

    Source: nnkit's own.

    >>> Limits(rows=100).rows
    100
    """

    rows: int = 10_000
    size: int = 16 << 20
    waiting: int = 256 << 20
    connections: int = 1_000
    seconds: float = 20.0
    grace: float = 10.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"{field.name} must be more than 0, got {value}")
