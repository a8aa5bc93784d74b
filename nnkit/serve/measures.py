"""What a server counts, for Prometheus and for its page."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from nnkit.tensors.dtypes import is_float

__all__ = ["Measures"]

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
RECENT = 1000  # requests of which the page shows the latency


class Measures:
    """Counters of one server, in a registry of their own.

    >>> measures = Measures()
    >>> measures.answered(200, 0.002)
    >>> b'nnkit_requests_total{status="200"} 1.0' in measures.text()
    True
    """

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        self._requests = Counter("nnkit_requests", "Requests to /predict, by status", ["status"], registry=own)
        self._latency = Histogram(
            "nnkit_request_seconds", "From the head of a request to /predict to its answer", buckets=SECONDS,
            registry=own,
        )  # fmt: skip
        self._batches = Histogram("nnkit_batch_rows", "Rows predicted together", buckets=ROWS, registry=own)
        self._rows = Counter("nnkit_rows", "Rows predicted", registry=own)
        self._refused = Counter("nnkit_refused_inputs", "Inputs refused: NaN, wrong shapes or columns", registry=own)
        self._nan = Counter("nnkit_nan_outputs", "Rows whose outputs had NaN or infinity", registry=own)
        self._version = Gauge("nnkit_version_info", "The version that answers", ["version"], registry=own)
        self._loads = Counter("nnkit_loads", "Versions loaded, and those that could not be", ["result"], registry=own)
        self._failed = Gauge("nnkit_load_failed", "1 while the version asked for could not be loaded", registry=own)
        self._drifted = Gauge("nnkit_drifted_inputs", "Inputs that have drifted in the last window", registry=own)
        self._moved = {
            name: Gauge(f"nnkit_drift_{name}", f"{words}, of the inputs that moved most", ["input"], registry=own)
            for name, words in (("psi", "Population stability index"), ("ks", "Kolmogorov-Smirnov distance"))
        }
        self._statuses: dict[int, Any] = {}
        self._recent: deque[float] = deque(maxlen=RECENT)
        self.requests = 0
        for result in ("loaded", "failed"):
            self._loads.labels(result)

    # ---- told -----------------------------------------------------------------------------------------------

    def answered(self, status: int, seconds: float) -> None:
        """A request to /predict has got its answer."""
        counter = self._statuses.get(status)
        if counter is None:
            counter = self._statuses[status] = self._requests.labels(str(status))
        counter.inc()
        self.requests += 1
        if status == 200:
            self._latency.observe(seconds)
            self._recent.append(seconds)
        elif status == 422:
            self._refused.inc()

    def batch(self, size: int, rows: int) -> None:
        """``rows`` were predicted together, in a batch of ``size``."""
        self._batches.observe(rows)
        self._rows.inc(rows)

    def predicted(self, outputs: Sequence[np.ndarray]) -> None:
        """The outputs of some requests."""
        for part in outputs:
            if is_float(part.dtype) and not np.isfinite(part).all():
                bad = ~np.isfinite(part).reshape(len(part), -1).all(axis=1)
                self._nan.inc(int(bad.sum()))

    def loaded(self, version: str) -> None:
        """This version answers from now on."""
        self._version.clear()
        self._version.labels(version).set(1)
        self._loads.labels("loaded").inc()
        self._failed.set(0)

    def load_failed(self, failed: bool) -> None:
        """Whether the version asked for could not be loaded; the one before goes on."""
        self._failed.set(failed)
        if failed:
            self._loads.labels("failed").inc()

    def drift(self, report: Mapping[str, Any] | None) -> None:
        """What is known of drift; see ``nnkit.monitor.Drift.report``."""
        features = (report or {}).get("features", [])
        self._drifted.set(len((report or {}).get("drifted", ())))
        for name, gauge in self._moved.items():
            gauge.clear()
            for feature in features:
                if feature[name] is not None:
                    gauge.labels(feature["name"]).set(feature[name])

    # ---- asked ----------------------------------------------------------------------------------------------

    def text(self) -> bytes:
        """All of it in Prometheus's format."""
        found: bytes = generate_latest(self._registry)
        return found

    def latency(self) -> dict[str, Any]:
        """Of the last requests: how many, and milliseconds of the median, the 99th percentile and the longest."""
        recent = np.array(self._recent) * 1e3
        if not len(recent):
            return {"requests": 0}
        median, high = np.percentile(recent, [50, 99])
        told = {"p50_ms": median, "p99_ms": high, "max_ms": recent.max()}
        return {"requests": len(recent), **{name: round(float(value), 3) for name, value in told.items()}}
