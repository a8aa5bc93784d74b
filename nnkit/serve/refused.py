"""A request that is answered with an error."""

from __future__ import annotations

__all__ = ["Refused"]


class Refused(Exception):
    """The status of an answer, and what it says.

    >>> Refused(413, "10,001 rows").status
    413
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message
