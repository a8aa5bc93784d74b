"""Stages of kernel calls as a table in memory, which one compiled loop walks with Python's lock released."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

from nnkit.backends.cpu import team
from nnkit.kernels.cpu.runner import MOST, runner_kernel

#: A kernel's address and that of its argument block.
Addresses = tuple[int, int]


class Table:
    """Stages to run one after the other; the calls of a stage may share the work among threads."""

    def __init__(self, stages: Sequence[Sequence[Addresses]]) -> None:
        # By ctypes, because an eager call makes a table too: for short lists it is quicker than numpy.
        places: list[int] = []
        calls: list[int] = []
        for stage in stages:  # a long one becomes several, because its calls may run in any order
            for first in range(0, len(stage), MOST):
                part = stage[first : first + MOST]
                places += len(calls) // 2, len(part)
                for call in part:
                    calls += call
        self._stages, self._calls = (ctypes.c_int64 * len(places))(*places), (ctypes.c_int64 * len(calls))(*calls)
        self._count = len(places) // 2
        self._shared = any(len(stage) > 1 for stage in stages)
        self._run = runner_kernel().call
        self._alone = self._block(1, 0)

    def _block(self, times: int, board: int) -> Any:
        places = ctypes.addressof(self._stages), ctypes.addressof(self._calls)
        return (ctypes.c_int64 * 5)(*places, self._count, times, board)

    def once(self) -> Callable[[], object]:
        """What to call to run all stages once."""
        return self.run if self._shared else functools.partial(self._run, ctypes.addressof(self._alone))

    def run(self, times: int = 1) -> None:
        """Run all stages, ``times`` times over."""
        if self._shared:
            try:  # Ctrl-C may come between any two of these
                helpers = team.taken(ctypes.addressof(self._calls))
                block = self._block(times, 0 if helpers is None else helpers.address)
                self._run(ctypes.addressof(block))
            finally:
                team.left()
        elif times == 1:
            self._run(ctypes.addressof(self._alone))
        else:
            block = self._block(times, 0)  # by name, so that it lives as long as the call
            self._run(ctypes.addressof(block))
