"""Ctrl-C during training: the step that runs is finished first, so that the model is never left half-updated."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

__all__ = ["Interrupts"]


class Interrupts:
    """While entered, Ctrl-C sets ``pending``, and ``check`` raises KeyboardInterrupt; a second Ctrl-C raises at once.

    Only Python's own handler, in the main thread, is replaced: a program that handles SIGINT itself goes on doing so.
    """

    def __init__(self) -> None:
        self.pending = False
        self._previous: Any = None

    def check(self) -> None:
        """Raise KeyboardInterrupt where Ctrl-C was pressed since the last call."""
        if self.pending:
            self.pending = False
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.pending:
            raise KeyboardInterrupt
        self.pending = True

    def __enter__(self) -> Interrupts:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
        if kind is None:
            self.check()
