"""The loop that walks a program, and the helpers that share its large kernels.

A program is a table of stages, one after the other; a stage is one or more calls (a kernel's address and that of its
argument block) that may run at the same time, because no one reads what another writes. A stage of several calls is
offered to the helpers, threads that run ``helper_kernel``: the runner and the helpers each claim a call until none is
left. So a helper that comes late, or never, costs nothing but time. Everyone begins with their own share of the calls:
the k-th call of one stage is made by who made the k-th of another, and what it wrote still lies in its processor's
cache; to fetch it from another's costs more than to compute with it. The runner's share is the last one: it makes the
small layers alone, and these are mostly the last in the memory that an update walks. A helper that was taken off its
processor in the middle of a call keeps the runner waiting for milliseconds; after such a wait the runner keeps its
stages to itself for some milliseconds, the longer the more often it happens, and the helpers leave their processors.

The board through which they meet is 64-bit numbers on a few cache lines; their places are named below. The offer is one
number with a bit for each call that nobody has claimed. Who has cleared a bit reads which stage it is only then: until
that call is done the runner offers no other.
"""

from __future__ import annotations

import functools
from typing import Any

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.words import control_words, memory_words, shared_words

#: Name -> place on the board. A helper's own place, HELPERS + its number times LINE, is 1 while it sleeps.
LINE = 8
OFFER, UNDONE, CALLS, ACTIVE, ALONE, PENALTY, HELPERS = (LINE * k for k in range(7))
FIRST, COUNT, THREADS = OFFER + 1, OFFER + 2, OFFER + 3  # the stage on offer, and who may take part
#: Calls of one offer.
MOST = 62
#: A wait this many times as long as a call takes, and by some cycles longer, is one for a processor.
LONG_WAIT, CYCLES = 4, 200_000
#: Cycles for which the runner keeps its stages to itself after a long wait: the first time, and at most.
FIRST_PENALTY, LAST_PENALTY = 5_000_000, 80_000_000
#: How often a helper looks for an offer before it goes to sleep: 1 to 3 milliseconds.
PATIENCE = 60_000

CLAIM = """
def claim(board, who):
    offer, count, threads = read(board + 8 * {OFFER}), labels(board)[{COUNT}], labels(board)[{THREADS}]
    if offer == 0:
        return -1
    start = (who * count + threads - 1) // threads
    own = offer >> start
    number = start + zeros(own) if own != 0 else zeros(offer)
    if not exchange(board + 8 * {OFFER}, offer, offer ^ (1 << number)):
        return 0
    calls, at = labels(read(board + 8 * {CALLS})), 2 * (read(board + 8 * {FIRST}) + number)
    call(calls[at], calls[at + 1])
    add(board + 8 * {UNDONE}, -1)
    return 1
"""

# Block: [stages, calls, number of stages, times, board or 0]. A stage is two numbers: its first call, how many.
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
            write(board + 8 * {FIRST}, first)
            write(board + 8 * {COUNT}, count)
            write(board + 8 * {OFFER}, (1 << count) - 1)
            mine, claimed, last = 0, 0, labels(board)[{THREADS}] - 1
            while claimed >= 0:
                mine += claimed
                claimed = claim(board, last)
            own, end = cycles() - start, cycles()
            while read(board + 8 * {UNDONE}) > 0:
                pause()
            penalty, now = labels(board)[{PENALTY}], cycles()
            if mine > 0 and now - end > {LONG_WAIT} * own // mine + {CYCLES}:
                penalty = min(max(2 * penalty, {FIRST_PENALTY}), {LAST_PENALTY})
                labels(board)[{ALONE}] = now + penalty
            labels(board)[{PENALTY}] = penalty - penalty // 64
"""

HELPER = """
def kernel(block):
    board, idle = block[0], 0
    asleep = board + 8 * ({HELPERS} + {LINE} * block[1])
    while True:
        if claim(board, block[1]) >= 0:
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
