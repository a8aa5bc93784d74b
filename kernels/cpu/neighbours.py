"""Kernels of processes that share memory: to wait for one another, and to add up what all of them have.

Nobody is told anything but by that memory: each process counts, in a number of its own, how often it has come to a
meeting, and reads the numbers of the others.
"""

from __future__ import annotations

import functools
from typing import Any

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.words import control_words, memory_words, shared_words

#: How often a process looks for a late one before it lets others run between two looks, some 10 microseconds: with more
#: processes than processors, the late one needs this one's.
PATIENCE = 200
#: Elements that are added up at a time: they stay in the nearest cache until all have them.
TOGETHER = 1024

# Block: [own number, processes, addresses of their counts, address of the function that lets others run].
MEET = """
def kernel(block):
    counts = labels(block[2])
    times = read(counts[block[0]]) + 1
    write(counts[block[0]], times)
    for other in range(block[1]):
        looks = 0
        while read(counts[other]) < times:
            if looks < {PATIENCE}:
                looks += 1
                pause()
            else:
                call(block[3], 0)
"""

# Block: [first element, elements, sources, their addresses, addresses of their weights or 0, address of what the
# weights are divided by or 0, outs, their addresses]. An out may be a source. Sums are in the order of the sources.
MERGE = """
def kernel(block):
    sources, weights, outs = labels(block[3]), labels(block[4]), labels(block[7])
    whole = 0.0
    if block[5] != 0:
        whole = double(block[5])[0]
    elif block[4] != 0:
        for s in range(block[2]):
            whole += double(weights[s])[0]
    room = pointer(stack({TOGETHER} * {size}))
    for begin in range(block[0], block[0] + block[1], {TOGETHER}):
        count = min({TOGETHER}, block[0] + block[1] - begin)
        for s in range(block[2]):
            x = pointer(sources[s] + begin * {size})
            factor = element(1)
            if block[4] != 0:
                factor = element(double(weights[s])[0] / whole)
            if s == 0:
                for i in range(count):
                    room[i] = factor * x[i]
            else:
                for i in range(count):
                    room[i] += factor * x[i]
        for out in range(block[6]):
            y = pointer(outs[out] + begin * {size})
            for i in range(count):
                y[i] = room[i]
"""


@functools.cache
def meet_kernel() -> Kernel:
    """Come to a meeting, and wait until all others have."""
    return load(Source("meet", MEET.format(PATIENCE=PATIENCE), _words, ("float64",)))


@functools.cache
def merge_kernel(dtype: str) -> Kernel:
    """The sum of several arrays, or their mean by weights, in several places."""
    size = int(dtype.removeprefix("float")) // 8
    return load(Source(f"merge_{dtype}", MERGE.format(TOGETHER=TOGETHER, size=size), _words, (dtype,)))


def _words(dtype: str) -> dict[str, Any]:
    return memory_words(dtype) | control_words() | shared_words()
