"""Following a source: the version that is asked for answers within a second, or the one before goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from nnkit.serve.limits import Limits
from nnkit.serve.measures import Measures
from nnkit.serve.served import Served, inputs_told
from nnkit.serve.sources import Loaded, Source
from nnkit.serve.worker import Worker

__all__ = ["Follower"]

EVERY, AGAIN = 0.25, 5.0  # seconds between two looks, and until what failed is tried again


class Follower:
    """The worker that answers now, and the thread that puts another in its place when the source says so.

    Requests keep the worker that they were given to: a version that is replaced ends when it has answered them.
    """

    def __init__(self, source: Source, device: Any, limits: Limits, measures: Measures) -> None:
        self.source, self.measures = source, measures
        self._device, self._limits = device, limits
        self.failure: dict[str, Any] | None = None
        self.current: Worker
        self.loaded: Loaded
        self.since = 0.0
        self._stamp: Any = None
        self._newest = ""  # the version that answers, or is about to
        self._tried = 0.0
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._closing: list[Worker] = []
        self._thread = threading.Thread(target=self._run, name="nnkit-follow", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Load the first version, and begin to follow; raises what loading raises."""
        self._loop = loop
        self._stamp = self.source.stamp()
        self._put(*self._made())
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Let the workers answer what they have been asked, and end."""
        self._stop.set()
        until = time.monotonic() + seconds
        self.current.close()
        for worker in [*self._closing, self.current]:
            worker.join(max(0.0, until - time.monotonic()))

    # ---- in the thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            self.look()
            self.current.watch.look()

    def look(self) -> None:
        """Load what the source asks for, if that is another version than the one that answers."""
        try:
            stamp = self.source.stamp()
            again = self.failure is not None and time.monotonic() - self._tried > AGAIN
            if stamp == self._stamp and not again:
                return
            self._stamp, self._tried = stamp, time.monotonic()
            if self.source.wanted() == self._newest:
                self.failure = None
                self.measures.load_failed(False)
                return
            worker, loaded = self._made()
        except Exception as error:
            self.failure = {"error": f"{type(error).__name__}: {error}", "time": time.time()}
            self.measures.load_failed(True)
            return
        self._loop.call_soon_threadsafe(self._put, worker, loaded)

    def _made(self) -> tuple[Worker, Loaded]:
        loaded = self.source.load(self._device)
        served = Served(loaded.model, self.measures.batch)
        worker = Worker(
            served, loaded.version, self.measures, self._loop, self._limits.rows, loaded.card.get("reference"),
        )  # fmt: skip
        worker.start()
        self._newest = loaded.version
        return worker, loaded

    def _put(self, worker: Worker, loaded: Loaded) -> None:
        """In the loop's thread, where requests are given to workers: none can be given to one that was closed."""
        before: Worker | None = getattr(self, "current", None)
        self.current, self.loaded, self.since, self.failure = worker, loaded, time.time(), None
        self.measures.loaded(loaded.version)
        if before is not None:
            before.close()
            self._closing = [one for one in self._closing if not one.join(0)] + [before]

    def told(self) -> dict[str, Any]:
        """Name, version, card and inputs of the model that answers, for the page."""
        card = {key: value for key, value in self.loaded.card.items() if key != "reference"}
        return {
            "name": self.source.name, "version": self.loaded.version, "since": self.since, "card": card,
            "model": repr(self.loaded.model), "input": inputs_told(self.loaded.model), **self.source.told(),
        }  # fmt: skip
