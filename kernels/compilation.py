"""What is said while kernels are being compiled, and how long that took: the same for every kind of processor."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from nnkit.kernels import cache

SLOW = 1.0  # seconds of compilation after which a line says so where no terminal shows it at once

_seconds = 0.0


def seconds() -> float:
    """The time that this process has waited for compilations: estimates leave it out, because it does not recur."""
    return _seconds


class Compilations:
    """The compilations for one kind of processor, of which a line on standard error tells once."""

    def __init__(self, processor: str) -> None:
        self.processor = processor
        self.seconds = 0.0
        self.told = False
        self.kept = True

    @contextlib.contextmanager
    def one(self, folder: Path) -> Iterator[Callable[[OSError], None]]:
        """Around a compilation whose result goes to ``folder``; call what is given when it could not be written."""
        global _seconds
        if not self.told and (_on_terminal() or self.seconds > SLOW):
            self._tell(folder)
        start = time.monotonic()
        try:
            yield self._not_kept
        finally:
            spent = time.monotonic() - start
            self.seconds += spent
            _seconds += spent

    def _tell(self, folder: Path) -> None:
        self.told = True
        try:
            cache.make(folder)
        except OSError as error:
            self._not_kept(error)
        else:
            _say(f"nnkit: compiling kernels for {self.processor}, once; they are kept on disk")

    def _not_kept(self, error: OSError) -> None:
        """Say it once, and only where the other line is said: a few quick compilations are not worth a word."""
        if self.kept and self.told:
            self.kept = False
            _say(
                f"nnkit: compiling kernels for {self.processor}, for this process only: they cannot be kept on disk "
                f"({error}); set NNKIT_CACHE to a folder of your own"
            )


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _say(text: str) -> None:
    if _on_terminal():  # over a progress bar, which is drawn anew below
        text = "\r" + text.ljust(shutil.get_terminal_size().columns - 1)
    print(text, file=sys.stderr, flush=True)
