"""Training mode and evaluation mode, put on for a while and taken off again.

Dropout and its relatives behave differently while a model learns. ``fit`` puts on training mode, ``evaluate``
and ``predict`` put on evaluation mode without gradients, and each leaves every module as it found it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from nnkit.nn.module import Module
from nnkit.tape import no_grad

__all__ = ["evaluating", "training"]


class _Evaluation:
    """The modes a model had before evaluation began, and how many evaluations run now."""

    def __init__(self, model: Module) -> None:
        self.modes = _modes(model)
        self.running = 0


# Several threads may predict with one model at once: the first in puts evaluation mode on, the last out takes it off.
_lock = threading.Lock()
_evaluations: WeakKeyDictionary[Module, _Evaluation] = WeakKeyDictionary()


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Run the block with ``model`` in evaluation mode and without gradients; safe from several threads."""
    with _lock:
        state = _evaluations.get(model)
        if state is None:
            state = _evaluations[model] = _Evaluation(model)
            model.eval()
        state.running += 1
    try:
        with no_grad():
            yield
    finally:
        with _lock:
            state.running -= 1
            if not state.running:
                del _evaluations[model]
                _restore(state.modes)


@contextmanager
def training(model: Module) -> Iterator[None]:
    """Run the block with ``model`` and all its parts in training mode."""
    modes = _modes(model)
    model.train()
    try:
        yield
    finally:
        _restore(modes)


def _modes(model: Module) -> list[tuple[Module, bool]]:
    return [(module, module.training) for module in model.modules()]


def _restore(modes: list[tuple[Module, bool]]) -> None:
    for module, mode in modes:
        module.training = mode
