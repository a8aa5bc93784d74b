"""Training mode and evaluation mode, put on for a while by one thread, for itself.

Dropout and its relatives behave differently while a model learns. ``fit`` puts on training mode, ``evaluate``
and ``predict`` put on evaluation mode without gradients; other threads, and the model afterwards, see none of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nnkit.nn.modes import own_modes
from nnkit.nn.module import Module
from nnkit.tensors.tape import no_grad

__all__ = ["evaluating", "training"]


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Run the block with ``model`` in evaluation mode and without gradients; safe from several threads."""
    with own_modes(), no_grad():
        model.eval()
        yield


@contextmanager
def training(model: Module) -> Iterator[None]:
    """Run the block with ``model`` and all its parts in training mode."""
    with own_modes():
        model.train()
        yield
