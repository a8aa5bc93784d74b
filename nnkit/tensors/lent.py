"""Memory that a tensor shows only until it is used again, as a gradient's is: its holders are given a copy then."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from nnkit.backends.recording import paused, recorder
from nnkit.tensors.memory import Version
from nnkit.tensors.tape import no_grad
from nnkit.tensors.views import Path, Step, follow

if TYPE_CHECKING:
    from nnkit.tensors.tensor import Tensor


class Lent(Version):
    """The version of such memory. It knows the tensors that show it: ``whole``, and views that may outlive that."""

    def __init__(self, whole: Tensor) -> None:
        self._array = whole.array
        self._kind = type(whole)
        self._holders: list[tuple[weakref.ref[Tensor], Path]] = [(weakref.ref(whole), ())]

    def shown(self, view: Tensor, of: Tensor, step: Step | None = None) -> None:
        """Note that ``view`` is ``step(of)``, or is all of ``of``, off the tape."""
        path: Path = next((path for found, path in self._holders if found() is of), ())
        alive = [noted for noted in self._holders if noted[0]() is not None]
        self._holders = [*alive, (weakref.ref(view), path if step is None else (*path, step))]

    def lasting(self, host: np.ndarray) -> np.ndarray:
        """A copy: nobody could give a numpy array other memory later. Read-only, as writing would not get there."""
        if self._array is None:
            return host
        copy = host.copy()
        copy.flags.writeable = False
        return copy

    def give_back(self, array: Any) -> bool:
        """Give the tensors that somebody holds a copy; returns whether there are any."""
        holders = [(tensor, path) for found, path in self._holders if (tensor := found()) is not None]
        if not holders or array is not self._array:
            return False
        backend = holders[0][0].backend
        at_work = recorder()
        with paused(), no_grad():
            kept = self._kind(backend.empty(tuple(array.shape), backend.dtype_of(array)), backend)
            backend.copy(array, kept.array)
            copies = [follow(path, kept).array for _, path in holders]
        for (tensor, _), copy in zip(holders, copies, strict=True):
            if at_work is not None:
                at_work.moved(tensor.array, copy)
            tensor.array = copy
        self._array = None  # it lies elsewhere now, where it stays
        return True
