"""Inside a worker: the work that is ready, and the clock."""

from __future__ import annotations

import gc
import math
import time
from typing import Any, NamedTuple

from bench.contenders import CONTENDERS, Steps
from bench.workloads import Workload

WARM_UP = 0.2  # seconds before the first measurement, at least; and at least three calls
LEAD_IN = 0.02  # seconds before each measurement: caches are cold, and threads that slept wake up slowly
TRIES = 5

_ready: dict[str, Steps] = {}


def build(contender: str, workload: dict[str, Any]) -> bool:
    """Make a workload ready, in place of the last one; False where the library has no such thing."""
    _ready.clear()
    gc.collect()
    steps = CONTENDERS[contender].load()(Workload.from_json(workload))
    if steps is None:
        return False
    _ready["steps"] = steps
    return True


def values(count: int) -> list[float]:
    """What tells whether all do the same work; to be asked first."""
    return _ready["steps"].values(count)


def clock(steps: Steps, units: int) -> float:
    """Seconds for so many units."""
    start = time.perf_counter()
    steps.run(units)
    return time.perf_counter() - start


def run_for(steps: Steps, seconds: float) -> None:
    """Run one unit after the other for at least this long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        steps.run(1)


class Timing(NamedTuple):
    """Seconds, and how many steps they were taken for. ``least``: what ``seconds`` should exceed."""

    seconds: float
    steps: int
    least: float = 0.0


def _timed(steps: Steps, units: int) -> Timing:
    """The time of all units; or, where a call has a setup, of those units that a longer call does more."""
    if not steps.has_setup:
        return Timing(clock(steps, units), units * steps.per_unit)
    short = max(units // 4, 1)
    shorter = clock(steps, short)
    return Timing(clock(steps, units) - shorter, (units - short) * steps.per_unit, shorter)


def units_for(seconds: float) -> int:
    """Warm up, and find how many units take at least this long."""
    steps = _ready["steps"]
    run_for(steps, WARM_UP)
    steps.run(1)
    steps.run(1)
    units = 2 if steps.has_setup else 1
    while True:
        timing = _timed(steps, units)
        wanted = max(seconds, timing.least)
        if timing.seconds >= wanted:
            return units
        units = math.ceil(units * min(max(1.2 * wanted / max(timing.seconds, 1e-9), 1.5), 50))


def seconds_per_step(units: int) -> float:
    """The time of one step, measured over ``units``.

    Raises RuntimeError where a call's setup swallows the difference that is looked for, several times over.
    """
    steps = _ready["steps"]
    for _ in range(TRIES):
        run_for(steps, LEAD_IN)
        timing = _timed(steps, units)
        if timing.seconds > 0.5 * timing.least:
            return timing.seconds / timing.steps
    raise RuntimeError("the times of two calls differ too little from their own noise: the machine is too busy")
