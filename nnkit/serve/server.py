"""The server: a socket, uvicorn, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from nnkit.backends.threads import get_num_threads, set_num_threads
from nnkit.serve.app import Application
from nnkit.serve.connections import Reaper, protocol
from nnkit.serve.limits import Limits
from nnkit.serve.sources import source_of

__all__ = ["run"]

LOOK = 5  # ticks of uvicorn's, a tenth of a second each
KEPT = 30  # seconds that an idle connection is kept
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(
    path: str | os.PathLike[str], name: str | None = None, *, alias: str = "champion", host: str = "127.0.0.1",
    port: int = 8000, device: Any = None, threads: int | None = None, limits: Limits | None = None,
    say: Callable[[str], None] = print,
) -> None:  # fmt: skip
    """Serve the model in a file, or what ``alias`` of ``name`` is in a registry, until SIGTERM or Ctrl-C.

    It listens on this machine alone unless ``host`` is another, and on a free port where ``port`` is 0; ``say`` is
    told its address when it answers. Large models are computed by ``threads`` threads, by half of the processors
    unless given: the others are for the requests. What it has begun to read when the signal comes is answered, new
    connections are refused, and it returns within ``limits.grace`` seconds and a few more. See ``nnkit.serve`` for
    what it answers.

    Raises OSError where the port is taken, FileNotFoundError and ValueError where there is no such model.

    Source: nnkit's own.

    >>> run("no_such.safetensors")
    Traceback (most recent call last):
    FileNotFoundError: ...
    """
    set_num_threads(threads or max(1, get_num_threads() // 2))
    application = Application(source_of(path, name, alias), device, limits)
    with listening(host, port) as listener:
        address = f"http://{_shown(host)}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            application, log_level="error", access_log=False, lifespan="off", ws="none", proxy_headers=False,
            server_header=False, date_header=False, http=protocol(), timeout_keep_alive=KEPT,
            limit_concurrency=application.limits.connections,
            timeout_graceful_shutdown=max(1, round(application.limits.grace)),
        )  # fmt: skip
        server = _Server(config, application, lambda: say(f"nnkit serves {told(application)} at {address}"))
        server.run(sockets=[listener])


def told(application: Application) -> str:
    """Which model, in words."""
    follower = application.follower
    return f"{follower.source.name}, version {follower.current.version}"


class _Server(uvicorn.Server):
    """uvicorn's, with the model's thread, the reaper, and an end that is no error."""

    def __init__(self, config: uvicorn.Config, application: Application, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._application, self._ready = application, ready
        self._reaper = Reaper(application.limits.seconds)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load the model before anybody can connect in vain, then accept."""
        self._application.follower.start(asyncio.get_running_loop())
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % LOOK == 0:
            self._reaper.look(self)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what was begun, then end the threads."""
        await super().shutdown(sockets)
        self._application.follower.stop(1.0)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End in order at a signal. uvicorn raises it once more after that, and the process would end by it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; raises OSError that says what to do where it cannot, and ValueError for no port."""
    if not 0 <= port < 1 << 16:  # the C library takes the last 16 bits of a larger one
        raise ValueError(f"port must be a number from 0, for a free one, to 65535, got {port}")
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]  # fmt: skip
    except (socket.gaierror, OverflowError) as error:
        raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {host!r}, port {port}: {error}") from None
    found = socket.socket(family, kind, number)
    try:
        if os.name == "posix":
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(2048)
    except OSError as error:
        found.close()
        why = {
            errno.EADDRINUSE: "is taken by another program: choose another with --port, or --port 0 for a free one",
            errno.EACCES: "needs the rights of an administrator: choose one above 1023",
        }.get(error.errno or 0, f"cannot be used: {error.strerror}")
        raise OSError(f"port {port} of {host} {why}") from None
    return found


def _shown(host: str) -> str:
    """A host as part of an address."""
    return f"[{host}]" if ":" in host else host
