"""Launches of what processes do together that see one piece of memory."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Sequence

import numpy as np

from nnkit.backends.cpu.launch import LARGE, Launch, address, address_or_0, common_type, new_call, shares, why_not
from nnkit.backends.threads import get_num_threads
from nnkit.kernels.cpu import neighbours


def meet(counts: Sequence[np.ndarray], own: int) -> Launch:
    """The counts lie on cache lines of their own, or it takes longer."""
    table = _addresses(counts)
    arguments = [own, len(counts), ctypes.addressof(table), _let_others_run()]
    return Launch("meet", [[new_call(neighbours.meet_kernel(), arguments)]], table)


def merge(
    sources: Sequence[np.ndarray], weights: Sequence[np.ndarray], whole: np.ndarray | None, outs: Sequence[np.ndarray]
) -> Launch | str:
    """Contiguous vectors of float32 or of float64."""
    dtype = common_type(*sources, *outs)
    if dtype is None or not outs[0].size:
        return why_not(*sources, *outs)
    kernel, size = neighbours.merge_kernel(dtype), outs[0].size
    tables = [_addresses(arrays) for arrays in (sources, weights, outs)]
    first, second, third = map(ctypes.addressof, tables)
    rest = [len(sources), first, second if weights else 0, address_or_0(whole), len(outs), third]
    large = outs[0].nbytes * (len(sources) + len(outs)) >= LARGE
    pieces = shares(size, neighbours.TOGETHER, get_num_threads() if large else 1)
    return Launch(kernel.name, [[new_call(kernel, [*piece, *rest]) for piece in pieces]], *tables)


def _addresses(arrays: Sequence[np.ndarray]) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * len(arrays))(*map(address, arrays))


@functools.cache
def _let_others_run() -> int:
    """The address of a C function that gives the processor to another thread that waits for it."""
    function = ctypes.CDLL("kernel32").SwitchToThread if os.name == "nt" else ctypes.CDLL(None).sched_yield
    found = ctypes.cast(function, ctypes.c_void_p).value
    assert found is not None
    return found
