"""Words for memory that a kernel needs while it runs: one room for each thread, not for each call of a stage.

A *table* is numbers of 64 bits, each on a cache line of its own where threads write to it: how many rooms there are,
the address of the first, bytes from room to room; and from the second line on, for each room, 1 while a call has it.
"""

from __future__ import annotations

from typing import Any

from nnkit.kernels.cpu.words import memory_words, shared_words

LINE = 8  # numbers

TAKEN = """
def taken(table):
    rooms = labels(table)
    while True:
        for k in range(rooms[0]):
            if exchange(table + {LINE} * 8 * (k + 1), 0, 1):
                return rooms[1] + k * rooms[2]
        pause()
"""

GIVEN_BACK = """
def given_back(table, room):
    rooms = labels(table)
    write(table + {LINE} * 8 * ((room - rooms[1]) // rooms[2] + 1), 0)
"""


def room_words() -> dict[str, Any]:
    """``taken(table)``, the address of a room that no other call has, and ``given_back(table, room)``."""
    from numba import njit

    words: dict[str, Any] = memory_words("float64") | shared_words()
    for text in (TAKEN, GIVEN_BACK):
        exec(compile(text.format(LINE=LINE), "<rooms>", "exec"), words)
    return {name: njit(error_model="numpy", forceinline=True)(words[name]) for name in ("taken", "given_back")}
