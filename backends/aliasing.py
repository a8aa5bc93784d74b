"""Whether an array lies in memory that a program changes, asked before every replay.

A replay works on copies of its arguments. One that lies in memory which the program itself writes would have to change
with it, and its copy does not. Nearly always a look at who owns the memory tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from nnkit.backends.pool import is_on_device, overlap, shadow

Array = Any


class Changing:
    """The arrays outside of a program that it writes."""

    def __init__(self, arrays: Iterable[Array]) -> None:
        self.arrays = list(arrays)
        owners = [_owner(array) for array in self.arrays]
        self._owners = {id(owner) for owner in owners}
        self._kept = owners  # no other object may get these identities
        self._all_known = all(owner is not None for owner in owners)

    def meet(self, arrays: Iterable[Array]) -> bool:
        """Whether one of these has memory in common with one of them."""
        known, owners = self._all_known, self._owners
        for array in arrays:
            if known and type(array) is np.ndarray and array.base is None and id(array) not in owners:
                continue  # the usual case, at once
            if self._meets(array):
                return True
        return False

    def _meets(self, array: Array) -> bool:
        owner = _owner(array)
        if self._all_known and owner is not None and id(owner) not in self._owners:
            return False
        return any(overlap(array, changing) for changing in self.arrays)


def _owner(array: Array) -> Array | None:
    """The array whose memory this one is a view of; None where another library owns it."""
    if not isinstance(array, np.ndarray):
        if is_on_device(array):
            return array if array.base is None else array.base
        array = shadow(array)
        if array is None:
            return None
    base = array.base
    while isinstance(base, np.ndarray):
        array, base = base, base.base
    return array if base is None else None
