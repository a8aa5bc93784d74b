"""A small process beside those of a training: it says which of them ended first without a word.

The launcher ends all when one was killed, before the others could say so. ``guard`` runs this file as a script, without
nnkit; in a session of its own the launcher leaves it alone, and it ends with the last of the processes.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys

__all__ = ["BYE", "ENDS", "main"]

#: What a process says before it ends, and before it lets all end.
BYE, ENDS = b"bye", b"ends"
#: Seconds until somebody must have come.
PATIENCE = 60.0


def main(listening: int) -> None:
    """Wait at a listening socket (its number) for the processes, and then for the first that ends without a word."""
    door, poll = socket.socket(fileno=listening), select.epoll()
    poll.register(door, select.EPOLLIN)
    here: dict[int, tuple[str, int, socket.socket]] = {}  # by the number that tells that the process has ended
    heard: dict[int, bytes] = {}
    while True:
        events = poll.poll(PATIENCE if not here else None, 1)  # one at a time: in the order in which they end
        if not events:
            return
        number = events[0][0]
        if number == door.fileno():
            _let_in(door, poll, here)
            continue
        for key, (_, _, connection) in here.items():
            heard[key] = heard.get(key) or _heard(connection)
        if ENDS in heard.values():
            return
        rank, pid, connection = here.pop(number)
        poll.unregister(number)
        connection.close()
        if heard.pop(number) != BYE:
            sys.stderr.write(
                f"rank {rank} (pid {pid}) ended first, without a word: it was killed (kill -9, out of memory), crashed "
                "or called os._exit; the launcher ends all\n"
            )
            return
        if not here and not select.select([door], [], [], 0.0)[0]:
            return


def _let_in(door: socket.socket, poll: select.epoll, here: dict[int, tuple[str, int, socket.socket]]) -> None:
    connection, _ = door.accept()
    connection.settimeout(PATIENCE)
    pid = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    try:
        rank, number = connection.recv(16).decode(), os.pidfd_open(pid)
    except OSError:  # it has ended, or is in another container
        connection.close()
        return
    here[number] = rank, pid, connection
    poll.register(number, select.EPOLLIN)


def _heard(connection: socket.socket) -> bytes:
    try:
        return connection.recv(16, socket.MSG_DONTWAIT)
    except OSError:
        return b""


if __name__ == "__main__":
    if os.fork() == 0:  # who started this need not wait for it
        main(int(sys.argv[1]))
