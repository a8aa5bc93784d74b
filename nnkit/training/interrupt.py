"""Ctrl-C and SIGTERM in training: the step that runs is finished first, so that no model is left half-updated."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

__all__ = ["Interrupts"]

#: Signal -> the handler that is replaced by ours: a program that handles it itself goes on doing so.
HANDLERS: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Interrupts:
    """While entered, Ctrl-C and SIGTERM set ``pending``, and ``check`` raises KeyboardInterrupt, or SystemExit with
    status 143; a second one raises at once.

    Only Python's own handlers, in the main thread, are replaced.
    """

    def __init__(self) -> None:
        self.pending = False
        self._number = int(signal.SIGINT)
        self._previous: dict[int, Any] = {}

    def check(self) -> None:
        """Raise what ends the program where a signal came since the last call."""
        if self.pending:
            self.pending = False
            raise self._end()

    def _end(self) -> BaseException:
        return KeyboardInterrupt() if self._number == signal.SIGINT else SystemExit(128 + self._number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._number = number
        if self.pending:
            raise self._end()
        self.pending = True

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number, handler in HANDLERS.items():
                if signal.getsignal(number) is handler:
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
        if kind is None:
            self.check()
