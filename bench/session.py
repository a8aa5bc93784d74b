"""Inside a worker: the work that is ready, and the clock."""

from __future__ import annotations

import gc
import math
import time
from typing import Any

from bench.contenders import CONTENDERS, Steps
from bench.workloads import Workload

WARM_UP = 0.2  # seconds, at least; and at least three calls

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


def _clock(steps: Steps, units: int) -> float:
    start = time.perf_counter()
    steps.run(units)
    return time.perf_counter() - start


def _shorter(units: int) -> int:
    return max(units // 4, 1)


def _timed(steps: Steps, units: int) -> tuple[float, int]:
    """Seconds, and the steps they were taken for: of all units, or of those that a longer call does more."""
    if not steps.has_setup:
        return _clock(steps, units), units * steps.per_unit
    short = _shorter(units)
    before = _clock(steps, short)
    return _clock(steps, units) - before, (units - short) * steps.per_unit


def units_for(seconds: float) -> int:
    """Warm up, and find how many units take at least this long."""
    steps = _ready["steps"]
    end = time.perf_counter() + WARM_UP
    calls = 0
    while calls < 3 or time.perf_counter() < end:
        steps.run(1)
        calls += 1
    units = 2 if steps.has_setup else 1
    while True:
        spent, _ = _timed(steps, units)
        if spent >= seconds:
            return units
        units = math.ceil(units * min(max(1.2 * seconds / max(spent, 1e-9), 1.5), 50))


def seconds_per_step(units: int) -> float:
    """The time of one step, measured over ``units``, after a tenth as many to wake threads and caches."""
    steps = _ready["steps"]
    steps.run(math.ceil(units / 10))
    seconds, count = _timed(steps, units)
    return seconds / count
