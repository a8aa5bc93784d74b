"""Serving a model over HTTP: ``python -m nnkit serve model.safetensors``, or ``nnkit.serve.run`` in a program.

Importing this package imports FastAPI, uvicorn and prometheus_client (the extra ``serve``); nnkit itself never does.

From outside to inside: ``server`` (socket, signals), ``connections`` (slow clients), ``app`` (paths, the page),
``predicting`` (a request), ``answers`` (bodies), ``following`` and ``sources`` (which version), ``worker`` (the
thread that predicts), ``served`` and ``ladder`` (checks and batches), ``measures`` (counters).

``POST /predict`` takes

- JSON, ``{"rows": [[...], ...]}``; of a model that reads a Table rows as dicts too, or ``{"columns": {name: [...]}}``
- ``application/x-npy``, a NumPy file of rows; ``application/octet-stream``, float32 row after row

and answers ``{"outputs": [...], "version": "3"}``, with ``"labels"`` where the model reads a Table whose target has
names; with ``Accept: application/x-npy`` a NumPy file. Rows that cannot be right get 422 and what Python would have
raised, larger requests than ``Limits`` allow 413, and 503 comes where too many wait. NaN of the model's is null.
``GET /health``, ``/models``, ``/metrics`` and ``/``, a page to look at the model and try it.
"""

from __future__ import annotations

from nnkit.backends.advice import install

try:
    import fastapi
    import prometheus_client
    import uvicorn
except ImportError as error:
    raise ModuleNotFoundError(f"serving needs FastAPI, uvicorn and prometheus_client: {install('serve')}") from error

from nnkit.serve.app import Application
from nnkit.serve.limits import Limits
from nnkit.serve.server import run
from nnkit.serve.sources import source_of

__all__ = ["Application", "Limits", "run", "source_of"]


def __dir__() -> list[str]:
    return sorted(__all__)
