"""The thread that predicts: it takes all requests that wait at once, and answers them in batches.

A request that is alone is answered at once. Where a batch takes less time than its rows one by one, and several
requests were answered together before, it waits for as many: no longer than one row takes, and 1 ms at most.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.backends.cpu.texts import read_rows
from nnkit.preprocessing.frames import is_table
from nnkit.serve.answers import JSONS, encoded, rows_in
from nnkit.serve.measures import Measures
from nnkit.serve.refused import Refused
from nnkit.serve.served import CLIENTS, Served
from nnkit.serve.watching import Watch

__all__ = ["Asked", "Worker"]

MOST_WAITING = 4096  # requests taken at once


class Asked:
    """A request on its way through the thread: a body in, the body of its answer or an error out."""

    __slots__ = ("accept", "answer", "body", "error", "future", "kind", "x")

    def __init__(self, body: bytes, kind: str, accept: str, future: asyncio.Future[bytes]) -> None:
        self.body, self.kind, self.accept, self.future = body, kind, accept, future
        self.x: np.ndarray | None = None
        self.answer = b""
        self.error: BaseException | None = None


class Worker:
    """One version of a model, and the thread that predicts with it until it is closed and has answered all.

    ``loop`` is the event loop whose futures it settles.
    """

    def __init__(
        self, served: Served, version: str, measures: Measures, loop: asyncio.AbstractEventLoop,
        most_rows: int = 1 << 30, reference: Any = None,
    ) -> None:  # fmt: skip
        self.served, self.version, self.watch = served, version, Watch(reference)
        self._measures, self._loop, self._most_rows = measures, loop, most_rows
        self._waiting: queue.SimpleQueue[Asked | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._together = 1  # requests that the last batch had
        self._open = True
        self._thread = threading.Thread(target=self._run, name=f"nnkit-predict-{version}", daemon=True)

    def start(self) -> Worker:
        """Begin, when what can be recorded ahead is recorded; raises what the model raised of that."""
        self._thread.start()
        failure = self._ready.get()
        if failure is not None:
            raise failure
        return self

    async def ask(self, body: bytes, kind: str, accept: str) -> bytes:
        """The body of the answer to a body of this content type; raises Refused."""
        asked = Asked(body, kind, accept, self._loop.create_future())
        self._waiting.put(asked)
        return await asked.future

    def close(self) -> None:
        """Answer what was asked before, and end."""
        self._waiting.put(None)

    def join(self, seconds: float) -> bool:
        """Wait for the end; whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    # ---- in the thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self.served.warm()
        except BaseException as error:
            self._ready.put(error)
            return
        self._ready.put(None)
        while self._open:
            asked = self._gather()
            if asked:
                self._answer(asked)

    def _gather(self) -> list[Asked]:
        """All requests that wait, and those that are worth a wait."""
        found: list[Asked] = []
        self._take(found, block=True)
        self._drain(found)
        patience = self.served.patience
        if patience and self._open:
            until = time.perf_counter() + patience
            while self._open and len(found) < min(self._together, self.served.largest):
                left = until - time.perf_counter()
                if left <= 0 or not self._take(found, timeout=left):
                    break
                self._drain(found)
        self._together = len(found)
        return found

    def _drain(self, found: list[Asked]) -> None:
        while self._open and len(found) < MOST_WAITING and self._take(found):
            pass

    def _take(self, found: list[Asked], block: bool = False, timeout: float | None = None) -> bool:
        """Move one request to ``found``; False where none came."""
        try:
            asked = self._waiting.get(block or timeout is not None, timeout)
        except queue.Empty:
            return False
        if asked is None:
            self._open = False
            return False
        found.append(asked)
        return True

    def _answer(self, asked: Sequence[Asked]) -> None:
        groups: dict[Any, list[Asked]] = {}
        for one in asked:
            try:
                one.x = x = self._rows(one)
            except BaseException as error:
                one.error = _refusal(error)
            else:
                groups.setdefault((x.shape[1:], x.dtype), []).append(one)
        for group in groups.values():
            self._predict(group)
        self._loop.call_soon_threadsafe(_settle, asked)

    def _rows(self, one: Asked) -> np.ndarray:
        """The rows of a request as the model takes them; raises Refused, or in the words of Python."""
        columns = self.served.columns
        value: Any = read_rows(one.body, columns) if one.kind in JSONS and self.served.plain and columns else None
        if value is None:
            value = rows_in(one.body, one.kind, columns)
            self._refuse_many(value)
            x = self.served.prepared(value)
            value = value if is_table(value) else x
        else:
            x = value
        self._refuse_many(x)
        self.watch.seen(value, len(x))
        one.body = b""
        return x

    def _refuse_many(self, rows: Any) -> None:
        if isinstance(rows, (list, np.ndarray)) and len(rows) > self._most_rows:
            raise Refused(413, f"{len(rows):,} rows; this server takes {self._most_rows:,} in one request")

    def _predict(self, group: list[Asked]) -> None:
        try:
            parts = [one.x for one in group if one.x is not None]
            outputs = self.served.predict(parts)
        except BaseException as error:
            if len(group) == 1:
                group[0].error = _refusal(error)
                return
            for one in group:  # one of them may have spoilt it for all
                self._predict([one])
            return
        self._measures.predicted(outputs)
        for one, output in zip(group, outputs, strict=True):
            try:
                one.answer = encoded(output, self.served.labels(output), self.version, one.accept)
            except BaseException as error:
                one.error = _refusal(error)


def _settle(asked: Sequence[Asked]) -> None:
    for one in asked:
        if one.future.done():  # its client has gone
            continue
        if one.error is not None:
            one.future.set_exception(one.error)
        else:
            one.future.set_result(one.answer)


def _refusal(error: BaseException) -> BaseException:
    """What the client is told: its own mistakes in full, faults of the server by their name."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, CLIENTS):
        return Refused(422, str(error))
    return Refused(500, f"the prediction failed: {type(error).__name__}: {error}")
