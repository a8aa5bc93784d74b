"""Seeing that no code runs in a recorded step which nobody understands.

Twins tell what they do, and nnkit's own code is known; but Python calls functions in many ways (operators, iteration,
``__del__``, callbacks of libraries). So while a step is recorded every frame that begins is looked at: code that is
neither a twin nor known is an obstacle.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nnkit.backends.collection import uncollected
from nnkit.backends.program import ProgramRecorder
from nnkit.recording.observer.observer import Observer
from nnkit.recording.observer.quiet import quietly
from nnkit.recording.observer.understood import is_ours, is_trusted

__all__ = ["observing"]


@contextmanager
def observing(work: ProgramRecorder) -> Iterator[Observer]:
    """Observe what the recorder's step does; a profiler that is at work sees nothing of it meanwhile."""
    observer = work.observer = Observer(work)
    intrudes = observer.intrudes

    def look(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            code = frame.f_code
            if not is_ours(code.co_filename) and not is_trusted(code, frame.f_globals.get("__name__", "")):
                intrudes(frame)

    for name in ("note", "allocate", "unleased"):  # nobody's code but ours, and much of it
        setattr(work, name, functools.partial(quietly, getattr(work, name)))
    before = sys.getprofile()
    with uncollected():
        sys.setprofile(look)
        try:
            yield observer
        finally:
            work.observer = None
            _restore(before)
            for name in ("note", "allocate", "unleased"):
                delattr(work, name)


def _restore(profiler: Any) -> None:
    """Let a profiler go on; ``cProfile``'s is no function, and is switched on again."""
    if profiler is None or callable(profiler):
        sys.setprofile(profiler)
    else:
        sys.setprofile(None)
        profiler.enable()
