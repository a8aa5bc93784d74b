"""``POST /predict``: straight from the server's protocol to the thread that predicts, past routing and validation.

FastAPI's way of a request costs more time than the prediction of a small network; it serves the other paths.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from nnkit.serve.answers import JSON, NPY, RAW, dumps
from nnkit.serve.following import Follower
from nnkit.serve.limits import Limits
from nnkit.serve.measures import Measures
from nnkit.serve.refused import Refused

__all__ = ["Predicting"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LINGER = 4 << 20  # bytes of a refused body that are read and thrown away, so that its client reads the answer


class Gone(Exception):
    """The client has closed the connection."""


class Predicting:
    """An ASGI application for one path."""

    def __init__(self, follower: Follower, limits: Limits, measures: Measures) -> None:
        self._follower, self._limits, self._measures = follower, limits, measures
        self.held = 0  # bytes of the bodies of all requests that have begun

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = time.perf_counter()
        status, kind, body, extra, request = 200, JSON, b"", [], _Request(scope, receive)
        try:
            try:
                body = await self._answer(request)
                kind = NPY if request.accept in (NPY, RAW) else JSON
            finally:
                self.held -= request.held
        except Refused as refused:
            status, body = refused.status, dumps({"error": refused.message})
            if status == 405:
                extra.append((b"allow", b"POST"))
            elif status == 503:
                extra.append((b"retry-after", b"1"))
        except Gone:
            self._measures.answered(499, 0.0)  # nginx's word for it
            return
        self._measures.answered(status, time.perf_counter() - began)
        if request.unread:
            extra.append((b"connection", b"close"))
        headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body)), *extra]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": request.unread})
        if request.unread:
            await _linger(receive, self._limits.seconds)
            await send({"type": "http.response.body", "body": b""})

    async def _answer(self, request: _Request) -> bytes:
        if request.method != "POST":
            raise Refused(405, "POST rows to /predict")
        body = await self._read(request)
        return await self._follower.current.ask(body, request.kind, request.accept)

    async def _read(self, request: _Request) -> bytes:
        """The body; refused as soon as it is known to be too large."""
        if request.length is not None:
            self._refuse_large(request.length)
            self._hold(request, request.length)
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Gone
        first: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            self._refuse_large(len(first))
            request.unread = False
            return first
        body = bytearray(first)
        while message.get("more_body", False):
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise Gone
            body += message.get("body", b"")
            self._refuse_large(len(body))
            self._hold(request, len(body))
        request.unread = False
        return bytes(body)

    def _refuse_large(self, size: int) -> None:
        if size > self._limits.size:
            raise Refused(413, f"a body of more than {self._limits.size:,} bytes; send the rows in several requests")

    def _hold(self, request: _Request, size: int) -> None:
        """Count the bytes of a request's body among those of all."""
        more = size - request.held
        if more > 0:
            if self.held + more > self._limits.waiting:
                raise Refused(503, "too many rows are waiting; try again in a second")
            request.held += more
            self.held += more


class _Request:
    """What of a request's head matters here."""

    __slots__ = ("accept", "held", "kind", "length", "method", "receive", "unread")

    def __init__(self, scope: Message, receive: Receive) -> None:
        self.method, self.receive = scope["method"], receive
        self.kind = self.accept = ""
        self.length: int | None = None
        self.held = 0
        self.unread = True
        for name, value in scope["headers"]:
            if name == b"content-length":
                self.length = int(value)
                self.unread = self.length > 0
            elif name == b"content-type":
                self.kind = value.decode("latin-1").partition(";")[0].strip().lower()
            elif name == b"accept":
                self.accept = value.decode("latin-1").strip()


async def _linger(receive: Receive, seconds: float) -> None:
    """Throw away what a client still sends: one that is cut off while it sends may never see its answer."""
    thrown = 0
    try:
        async with asyncio.timeout(seconds):
            while thrown < LINGER:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                thrown += len(message.get("body", b""))
    except TimeoutError:
        return
