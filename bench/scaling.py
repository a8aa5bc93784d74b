"""Time against size, for each backend: what the plot of the report shows. Runs inside a worker."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from bench.primitives import adam, linear, linear_gradient, recorded
from nnkit import backends

PANELS = {"linear + bias + relu": linear, "its gradients": linear_gradient, "Adam": adam}
SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
QUICK_SIZES = (16, 128, 1024)
TURN = 0.01  # seconds


def seconds_per_call(run: Callable[[int], None], turns: int) -> float:
    """The median of some turns of at least ``TURN`` seconds."""
    run(1)
    count = 1
    while (spent := _clock(run, count)) < TURN:
        count = max(2 * count, int(count * min(TURN / max(spent, 1e-9), 50)))
    return statistics.median(_clock(run, count) / count for _ in range(turns))


def _clock(run: Callable[[int], None], count: int) -> float:
    start = time.perf_counter()
    run(count)
    return time.perf_counter() - start


def measure(backend_name: str, sizes: list[int], turns: int) -> dict[str, dict[str, list[float]]]:
    """Seconds by panel, "eager" and "recorded", one for each size."""
    backend = backends.get(backend_name)
    panels = {}
    for title, make in PANELS.items():
        times: dict[str, list[float]] = {"eager": [], "recorded": []}
        for size in sizes:
            call = make(backend, size)

            def plainly(count: int, call: Callable[[], None] = call) -> None:
                for _ in range(count):
                    call()

            times["eager"].append(seconds_per_call(plainly, turns))
            times["recorded"].append(seconds_per_call(recorded(backend, call), turns))
        panels[title] = times
    return panels
