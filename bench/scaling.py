"""Time against size, for each backend: what the plot of the report shows.

``measure`` runs in the report's process and takes turns; ``turn`` runs in the workers, one for each backend.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from bench.measure import interleaved
from bench.primitives import adam, linear, linear_gradient, recorded, usable_backends
from bench.worker import Worker
from nnkit import backends

PANELS = {"linear + bias + relu": linear, "its gradients": linear_gradient, "Adam": adam}
WAYS = ("recorded", "eager")
SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
QUICK_SIZES = (16, 128, 1024)
TURN = 0.01  # seconds

Run = Callable[[int], Any]  # does something a number of times


def seconds_per_call(run: Run, turns: int) -> float:
    """The median of some turns of at least ``TURN`` seconds."""
    run(1)
    count = 1
    while (spent := _clock(run, count)) < TURN:
        count = max(2 * count, int(count * min(TURN / max(spent, 1e-9), 50)))
    return statistics.median(_clock(run, count) / count for _ in range(turns))


def _clock(run: Run, count: int) -> float:
    start = time.perf_counter()
    run(count)
    return time.perf_counter() - start


def repeated(call: Callable[[], Any]) -> Run:
    """A call as something to be done a number of times."""

    def run(count: int) -> None:
        for _ in range(count):
            call()

    return run


@functools.lru_cache(maxsize=1)
def _ready(backend_name: str, panel: str, size: int) -> dict[str, Run]:
    backend = backends.get(backend_name)
    call = PANELS[panel](backend, size)
    return {"eager": repeated(call), "recorded": recorded(backend, call)}


def turn(backend_name: str, panel: str, size: int) -> dict[str, float]:
    """Seconds of one call in each way, measured once."""
    ways = _ready(backend_name, panel, size)
    seconds_per_call(ways["eager"], 1)  # threads that slept wake up slowly
    return {way: seconds_per_call(run, 1) for way, run in ways.items()}


def measure(quick: bool = False) -> dict[str, Any]:
    """The sizes, and seconds by backend, panel and way, one for each size."""
    sizes, rounds = (QUICK_SIZES, 3) if quick else (SIZES, 5)
    names = [name for name in usable_backends() if name != "cuda"]
    found: dict[str, dict[str, dict[str, list[float]]]] = {
        name: {panel: {way: [] for way in WAYS} for panel in PANELS} for name in names
    }
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker()) for name in names}
        for panel in PANELS:
            for size in sizes:
                turns = {name: partial(workers[name].ask, "bench.scaling:turn", name, panel, size) for name in names}
                for name, results in interleaved(turns, rounds)[0].items():
                    for way in WAYS:
                        found[name][panel][way].append(statistics.median(result[way] for result in results))
    return {"sizes": list(sizes), "backends": found}
