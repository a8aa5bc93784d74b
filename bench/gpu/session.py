"""Inside a contender's process: trainings that are ready, and the clock."""

from __future__ import annotations

import gc
import math
import sys
from typing import Any

from bench.contenders import Steps
from bench.gpu.contenders import CONTENDERS
from bench.gpu.workloads import Training
from bench.session import clock, run_for
from bench.worker import settle

WARM_UP = 0.2  # seconds before the first measurement
LEAD_IN = 0.01  # seconds before each: clocks rise, threads wake up

_ready: dict[str, Steps] = {}


def build(contender: str, workload: dict[str, Any]) -> None:
    """Make a training ready, beside those that are."""
    given = Training.from_json(workload)
    assert isinstance(given, Training)
    steps = CONTENDERS[contender].load()(given)
    assert steps is not None
    _ready[given.key] = steps


def drop(key: str) -> None:
    """Let go of a training, and give back what the libraries' pools hold for nobody; JAX's keeps it for its next."""
    _ready.pop(key, None)
    gc.collect()
    torch, memory = (sys.modules.get(name) for name in ("torch", "nnkit.backends.cuda.memory"))
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if memory is not None:
        memory.release()


def units_for(key: str, seconds: float) -> int:
    """Warm up, and find how many units take at least this long."""
    steps = _ready[key]
    run_for(steps, WARM_UP)
    units = 1
    while (spent := clock(steps, units)) < seconds:
        units = math.ceil(units * min(max(1.2 * seconds / max(spent, 1e-9), 1.5), 50))
    return units


def seconds_per_step(key: str, units: int) -> float:
    """The time of one step, over ``units`` units; what a call costs besides its steps is taken off."""
    steps = _ready[key]
    run_for(steps, LEAD_IN)
    if not steps.has_setup:
        found = clock(steps, units) / units
    else:
        found = (clock(steps, 3 * units) - clock(steps, units)) / (2 * units * steps.per_unit)
    settle(0.1)
    return max(found, 1e-9)
