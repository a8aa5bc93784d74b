"""Stages of kernel calls as a table in memory, which one compiled loop walks with Python's lock released."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.backends.cpu import team
from nnkit.kernels.cpu.runner import runner_kernel

#: A kernel's address and that of its argument block.
Addresses = tuple[int, int]


class Table:
    """Stages to run one after the other; the calls of a stage may share the work among threads."""

    def __init__(self, stages: Sequence[Sequence[Addresses]]) -> None:
        firsts = np.cumsum([0] + [len(stage) for stage in stages])
        self._stages = np.array(
            [(first, len(stage)) for first, stage in zip(firsts[:-1], stages, strict=True)], np.int64
        )
        self._calls = np.array([call for stage in stages for call in stage], np.int64)
        self._shared = any(len(stage) > 1 for stage in stages)
        self._run = runner_kernel().call
        self._alone = self._block(1, 0, 0)
        #: Runs all stages once.
        self.once: Callable[[], object] = (
            self.run if self._shared else functools.partial(self._run, ctypes.addressof(self._alone))
        )

    def _block(self, times: int, board: int, job: int) -> Any:
        places = self._stages.ctypes.data, self._calls.ctypes.data
        return (ctypes.c_int64 * 6)(*places, len(self._stages), times, board, job)

    def run(self, times: int = 1) -> None:
        """Run all stages, ``times`` times over."""
        if self._shared:
            with team.at_work(self._calls.ctypes.data) as (board, job):
                block = self._block(times, board, job)
                self._run(ctypes.addressof(block))
        elif times == 1:
            self.once()
        else:
            block = self._block(times, 0, 0)  # by name, so that it lives as long as the call
            self._run(ctypes.addressof(block))
