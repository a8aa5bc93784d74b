"""A process that says which rank ended first without a word is started beside those of one machine (``sentry``)."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
from typing import Any

from nnkit.parallel import sentry
from nnkit.parallel.launch import before_all_end, world
from nnkit.parallel.rooms import neighbours

__all__ = ["look_after"]

_begun: list[Any] = []


def look_after(communicator: Any) -> None:
    """Let it be said which of these processes is killed; all of them call it, and it is begun once.

    Nothing happens unless they are all that mpirun started, and on one machine: on several each would only see that
    the launcher ends its own.
    """
    if _begun or communicator != world():
        return
    _begun.append(communicator)
    here = neighbours(communicator)
    alone = here.Get_size() == communicator.Get_size()
    here.Free()
    rank = communicator.Get_rank()
    name = communicator.bcast(_started() if rank == 0 and alone else None, root=0)
    if name is None:
        return
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(name)
        connection.send(str(rank).encode())
    except OSError:  # it was ended
        connection.close()
        return
    atexit.register(_say, connection, sentry.BYE)
    before_all_end.append(lambda: _say(connection, sentry.ENDS))


def _started() -> bytes | None:
    """The name of the socket at which it listens; None where there cannot be one."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # not Linux, or not allowed
        return None
    if getattr(sys, "frozen", False):  # that program is no Python
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind("")  # a name that is free, and no file
        door.listen(1024)
        command = [sys.executable, "-I", "-S", sentry.__file__, str(door.fileno())]
        try:
            subprocess.run(
                command, pass_fds=[door.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                start_new_session=True, check=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return None
        return bytes(door.getsockname())


def _say(connection: socket.socket, word: bytes) -> None:
    try:
        connection.send(word)
    except OSError:
        pass
