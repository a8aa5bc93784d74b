"""Whether initial values are wanted: not where weights are loaded right after."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from nnkit.tensors.tensor import Parameter, Tensor

__all__ = ["are_skipped", "is_wanted", "skipped"]


class _Skipping(threading.local):
    active = False


_skipping = _Skipping()


@contextlib.contextmanager
def skipped() -> Iterator[None]:
    """Inside this ``with`` block parameters get no initial values: for modules whose weights are then loaded.

    >>> import nnkit
    >>> with skipped():
    ...     layer = nnkit.nn.Linear(4096, 4096)  # takes no time
    """
    before, _skipping.active = _skipping.active, True
    try:
        yield
    finally:
        _skipping.active = before


def are_skipped() -> bool:
    """Whether initial values are not wanted here."""
    return _skipping.active


def is_wanted(tensor: Tensor) -> bool:
    """Whether a tensor is to get initial values: no parameter where they are skipped."""
    return not (_skipping.active and isinstance(tensor, Parameter))
