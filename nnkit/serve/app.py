"""The application: FastAPI for what is asked seldom, and ``/predict`` beside it."""

from __future__ import annotations

from importlib import resources
from typing import Any

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from nnkit.serve.answers import JSON, NPY, RAW, dumps
from nnkit.serve.following import Follower
from nnkit.serve.limits import Limits
from nnkit.serve.measures import Measures
from nnkit.serve.predicting import Message, Predicting, Receive, Send
from nnkit.serve.sources import Source

__all__ = ["Application"]

MOST_DRIFTING = 100  # inputs whose drift is among the measures

#: The page loads nothing from elsewhere, runs no script but its own, and stands in no other page's frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILES = {"/": ("page.html", "text/html"), "/page.js": ("page.js", "text/javascript"),
         "/page.css": ("page.css", "text/css")}  # fmt: skip


class Application:
    """The ASGI application that serves ``source``, with the Follower that it answers by.

    ``start`` of its follower has to be called, in the event loop, before the first request.

    Raises nothing: a request that cannot be answered gets a status. Source: ASGI 3.0; nnkit's own.

    >>> import tempfile, nnkit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nnkit.nn.Linear(2, 1).save(f"{folder}/line.safetensors")
    ...     callable(Application(nnkit.serve.source_of(f"{folder}/line.safetensors")))
    True
    """

    def __init__(self, source: Source, device: Any = None, limits: Limits | None = None) -> None:
        self.limits = Limits() if limits is None else limits
        self.measures = Measures()
        self.follower = Follower(source, device, self.limits, self.measures)
        self.predicting = Predicting(self.follower, self.limits, self.measures)
        self._other = self._routes()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"] == "/predict":
            await self.predicting(scope, receive, send)
        else:
            await self._other(scope, receive, send)

    def health(self) -> dict[str, Any]:
        """Whether all is well, which version answers, and how fast."""
        follower = self.follower
        return {
            "status": "ok" if follower.failure is None else "degraded", "name": follower.source.name,
            "version": follower.current.version, "since": follower.since, "failure": follower.failure,
            "requests": self.measures.requests, "latency": self.measures.latency(),
            "drift": follower.current.watch.told(),
        }  # fmt: skip

    def _routes(self) -> FastAPI:
        app = FastAPI(title="nnkit", docs_url=None, redoc_url=None)  # their pages load scripts from elsewhere

        async def health() -> Response:
            """Whether all is well: "ok", or "degraded" where the version asked for could not be loaded."""
            return Response(dumps(self.health()), media_type=JSON)

        def models() -> Response:
            """The model that answers, its card, and the versions there are."""
            return Response(dumps(self.follower.told()), media_type=JSON)

        def metrics() -> Response:
            """Counters in Prometheus's format."""
            self.measures.drift(self.follower.current.watch.told(MOST_DRIFTING))
            return Response(self.measures.text(), media_type=CONTENT_TYPE_LATEST)

        async def predict(request: Request) -> Response:
            """Outputs for rows: {"outputs": [...], "labels": [...], "version": "..."}."""
            return _Through(self.predicting)

        for path, function in (("/health", health), ("/models", models), ("/metrics", metrics)):
            app.get(path)(function)
            app.head(path, include_in_schema=False)(function)
        app.post("/predict", openapi_extra=BODY)(predict)  # for its description, and where this is mounted elsewhere
        for path, (file, kind) in FILES.items():
            app.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)(_static(file, kind))
        return app


BODY = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "oneOf": [
                        {"type": "object", "required": ["rows"], "properties": {"rows": {"type": "array"}}},
                        {"type": "object", "required": ["columns"], "properties": {"columns": {"type": "object"}}},
                    ]
                }
            },
            NPY: {"schema": {"type": "string", "format": "binary"}},
            RAW: {"schema": {"type": "string", "format": "binary", "description": "float32, row after row"}},
        },
    }
}


class _Through(Response):
    """An answer that another ASGI application gives."""

    def __init__(self, other: Any) -> None:
        super().__init__()
        self._other = other

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._other(scope, receive, send)


def _static(file: str, kind: str) -> Any:
    content = resources.files("nnkit.serve").joinpath(file).read_bytes()
    headers = {"content-security-policy": POLICY, "x-content-type-options": "nosniff", "cache-control": "no-cache"}

    async def answer() -> Response:
        return Response(content, media_type=kind, headers=headers)

    return answer
