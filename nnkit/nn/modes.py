"""Training mode and evaluation mode of modules, which a thread may have for itself for a while.

``module.training`` is what ``train()`` and ``eval()`` set. Inside ``own_modes`` they set it for this thread alone,
until the end of the block; so one thread can predict with a model that another one trains.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nnkit.recording.state import changes

__all__ = ["mode_of", "own_modes", "present_modes", "set_mode"]


class _Own(threading.local):
    modes: dict[int, bool] | None = None


_own = _Own()


def mode_of(module: Any) -> bool:
    """Whether a module is in training mode, for this thread."""
    modes = _own.modes
    return module._training if modes is None else modes.get(id(module), module._training)


def set_mode(module: Any, training: bool) -> None:
    """Put a module into training or evaluation mode: inside ``own_modes`` for this thread, else for all."""
    modes = _own.modes
    if modes is None or "_training" not in module.__dict__:
        module.__dict__["_training"] = training
    else:
        modes[id(module)] = training


def present_modes() -> dict[int, bool] | None:
    """This thread's own modes, a dict that is another one in every block; None outside."""
    return _own.modes


@contextmanager
def own_modes() -> Iterator[None]:
    """Let this thread have modes of its own inside the block, which begin as those it has."""
    before = _own.modes
    _own.modes = dict(before or ())
    changes.count += 1
    try:
        yield
    finally:
        _own.modes = before
        changes.count += 1
