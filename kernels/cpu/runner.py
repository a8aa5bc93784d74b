"""The loop that walks a program, and the helpers that share its large kernels.

A program is a table of stages, one after the other; a stage is one or more calls (a kernel's address and that of its
argument block) that may run at the same time, because no one reads what another writes. A stage of several calls is
offered to the helpers, threads that run ``helper_kernel``: the runner and the helpers each claim a call, by raising a
number, until none is left. So a helper that comes late, or never, costs nothing but time. A helper that was taken off
its processor in the middle of a call keeps the runner waiting for milliseconds; after such a wait the runner keeps its
stages to itself for some milliseconds, the longer the more often it happens, and the helpers leave their processors.

The board through which they meet is 64-bit numbers, each on a cache line of its own (``BOARD`` has the places). The
offer is one number: job, first call of the stage, number of calls, calls claimed. Who finds it changed when claiming
has claimed nothing, so an old offer is never taken up; the job's number keeps programs apart.
"""

from __future__ import annotations

import functools
from typing import Any

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.words import control_words, memory_words, shared_words

#: Name -> place on the board. A helper's own place, HELPERS + its number times LINE, is 1 while it sleeps.
LINE = 8
OFFER, UNDONE, CALLS, ACTIVE, ALONE, PENALTY, HELPERS = (LINE * k for k in range(7))
#: Fields of an offer: bits from the right.
CLAIMED_BITS, COUNT_BITS, FIRST_BITS = 10, 10, 24
#: A wait this many times as long as a call takes, and by some cycles longer, is one for a processor.
LONG_WAIT, CYCLES = 4, 200_000
#: Cycles for which the runner keeps its stages to itself after a long wait: the first time, and at most.
FIRST_PENALTY, LAST_PENALTY = 5_000_000, 80_000_000
#: How often a helper looks for an offer before it goes to sleep: 1 to 3 milliseconds.
PATIENCE = 60_000

CLAIM = """
def claim(board):
    offer = read(board + 8 * {OFFER})
    count = (offer >> {CLAIMED_BITS}) & (2**{COUNT_BITS} - 1)
    if (offer & (2**{CLAIMED_BITS} - 1)) >= count:
        return -1
    if not exchange(board + 8 * {OFFER}, offer, offer + 1):
        return 0
    first = (offer >> ({CLAIMED_BITS} + {COUNT_BITS})) & (2**{FIRST_BITS} - 1)
    at = 2 * (first + (offer & (2**{CLAIMED_BITS} - 1)))
    calls = labels(read(board + 8 * {CALLS}))
    call(calls[at], calls[at + 1])
    add(board + 8 * {UNDONE}, -1)
    return 1
"""

# Block: [stages, calls, number of stages, times, board or 0, job]. A stage is two numbers: its first call, how many.
RUNNER = """
def kernel(block):
    stages, calls, board = labels(block[0]), labels(block[1]), block[4]
    for _ in range(block[3]):
        for stage in range(block[2]):
            first, count = stages[2 * stage], stages[2 * stage + 1]
            alone = count == 1 or board == 0
            if alone or labels(board)[{ALONE}] > cycles():
                for k in range(first, first + count):
                    call(calls[2 * k], calls[2 * k + 1])
                continue
            start = cycles()
            write(board + 8 * {UNDONE}, count)
            offer = (((block[5] << {FIRST_BITS}) | first) << {COUNT_BITS}) | count
            write(board + 8 * {OFFER}, offer << {CLAIMED_BITS})
            mine, claimed = 0, claim(board)
            while claimed >= 0:
                mine += claimed
                claimed = claim(board)
            own, end = cycles() - start, cycles()
            while read(board + 8 * {UNDONE}) > 0:
                pause()
            penalty, now = labels(board)[{PENALTY}], cycles()
            if mine > 0 and now - end > {LONG_WAIT} * own // mine + {CYCLES}:
                penalty = min(max(2 * penalty, {FIRST_PENALTY}), {LAST_PENALTY})
                labels(board)[{ALONE}] = now + penalty
            labels(board)[{PENALTY}] = penalty - penalty // 64
"""

# Block: [board, this helper's number, usleep]. Returns when there has been nothing to do for a while.
HELPER = """
def kernel(block):
    board, idle = block[0], 0
    asleep = board + 8 * ({HELPERS} + {LINE} * block[1])
    while True:
        if claim(board) >= 0:
            idle = 0
            continue
        if labels(board)[{ALONE}] > cycles():
            call(block[2], 200)  # microseconds
        else:
            pause()
        idle += 1
        if idle > {PATIENCE}:
            write(asleep, 1)
            if read(board + 8 * {ACTIVE}) == 0:
                return
            write(asleep, 0)
            idle = 0
"""


@functools.cache
def runner_kernel() -> Kernel:
    """The loop that walks a program."""
    return load(Source("runner", _fill(RUNNER), _words))


@functools.cache
def helper_kernel() -> Kernel:
    """What a helper runs."""
    return load(Source("helper", _fill(HELPER), _words))


def _fill(text: str) -> str:
    names = {name: value for name, value in globals().items() if name.isupper() and isinstance(value, int)}
    return text.format(**names)


def _words() -> dict[str, Any]:
    from numba import njit

    words: dict[str, Any] = memory_words("float64") | control_words() | shared_words()
    exec(compile(_fill(CLAIM), "<claim>", "exec"), words)
    return words | {"claim": njit(error_model="numpy", forceinline=True)(words["claim"])}
