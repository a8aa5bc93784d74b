"""Peak resident memory of a process: of training, over what it held after importing the library, and of attention.

``measure`` is a section of the report about some of its workloads; ``peaks`` is a workload whose target is of memory.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.contenders import CONTENDERS, OWN, Steps
from bench.machine import Others
from bench.measure import APART, apart
from bench.worker import Worker, WorkerError
from bench.workloads import MEMORY, WORKLOADS, Workload

STATUS = Path("/proc/self/status")
#: Workload -> steps that are run.
MODELS = {"c": 20, "e": 4, "m": 4}
#: Row of the report -> (contender, kind of the step).
ROWS = {"nnkit recorded": ("nnkit", "compiled"), "nnkit eager": ("nnkit", "eager"), "PyTorch": ("PyTorch", "eager")}
#: Who attends to how large a part of the tokens, and how much more than in proportion the whole may take.
ATTENDING, PARTS, LINEAR = (OWN, "PyTorch", "JAX"), (4, 2, 1), 1.1


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"{STATUS} has no {name}")
    return int(found[1]) * 1024


def _forget_peak() -> None:
    # Linux: the peak of a process becomes what it holds now. (getrusage's peak survives exec, so a child starts with
    # its parent's, and the import's own peak could hide the training's.)
    Path("/proc/self/clear_refs").write_text("5")


def growth(contender: str, workload: dict[str, Any], steps: int) -> dict[str, int]:
    """Bytes by which the peak lay over the import, and over the import and one step of a small model of the same kind.

    For a process of its own. The second leaves out what a library loads when it is first used.
    """
    return _grown(contender, Workload.from_json(workload), steps)[0]


def small(workload: Workload) -> Workload:
    """The same with eight units in a layer, eight tokens and eight rows: it loads what is loaded at first use."""
    return dataclasses.replace(workload, net=workload.net.shrunk(8), batch=8)


def _grown(contender: str, given: Workload, steps: int) -> tuple[dict[str, int], Steps]:
    """The growth, and what was run."""
    build = CONTENDERS[contender].load()
    _forget_peak()
    imported = _status("VmRSS")
    first = build(small(given))
    assert first is not None
    first.run(3)
    del first
    used = _status("VmRSS")
    ready = build(given)
    assert ready is not None
    ready.run(steps)
    peak = _status("VmHWM")
    return {"over_import": peak - imported, "over_first_use": peak - used}, ready


def measure() -> dict[str, Any]:
    """For each model and way of training: the growth, or why it could not be measured."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        return {}
    found: dict[str, Any] = {}
    for key, steps in MODELS.items():
        rows = found[key] = {}
        for name, (contender, kind) in ROWS.items():
            missing = CONTENDERS[contender].missing()
            workload = dataclasses.replace(WORKLOADS[key], kind=kind)
            try:
                with Worker() as worker:
                    rows[name] = missing or worker.ask("bench.memory:growth", contender, workload.as_json(), steps)
            except WorkerError as error:
                rows[name] = f"failed: {error}"
    return found


# ---- attention ------------------------------------------------------------------------------------------------------

#: The bytes that a contender needs for a workload, and what it gives: see ``attended``.
Measure = Callable[[str, Workload], Mapping[str, Any]]


def peaks(workload: Workload) -> dict[str, Any]:
    """A row of the report, see ``row``. Raises WorkerError where the system does not tell the peak of a process."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        raise WorkerError("only Linux tells the peak of a process")

    def measure(name: str, given: Workload) -> Any:
        with Worker() as worker:
            return worker.ask("bench.memory:attended", name, given.as_json())

    others = Others()
    missing = {name: CONTENDERS[name].missing() for name in ATTENDING}
    return {**row(workload, measure, missing), "seconds": {}, "quoted": {}, "others": others.share()}


def attended(contender: str, workload: dict[str, Any]) -> dict[str, Any]:
    """The bytes for attention with its gradient, the loss, and the sums of the gradients' sizes."""
    grown, ready = _grown(contender, Workload.from_json(workload), 3)
    return {"bytes": grown["over_first_use"], "outcome": outcome(ready)}


def outcome(ready: Steps) -> list[float]:
    """The loss, and the sums of the sizes of the gradients by queries, keys and values."""
    loss, *gradients = ready.values(1)
    return [loss, *map(float, np.abs(np.reshape(gradients, (3, -1))).sum(axis=1))]


def row(workload: Workload, measure: Measure, missing: Mapping[str, str | None]) -> dict[str, Any]:
    """What each contender needs for a quarter, half and all of the tokens, and the targets.

    ``missing``: the contenders, and why they cannot run. Who gives other gradients than nnkit does not count.
    """
    net, found, values = workload.net, dict[str, dict[str, int]](), dict[str, list[float]]()
    absent = {name: why for name, why in missing.items() if why is not None}
    for name in [name for name in missing if name not in absent]:
        told = {}
        try:
            for tokens in (net.tokens // part for part in PARTS):
                told[tokens] = measure(name, dataclasses.replace(workload, net=dataclasses.replace(net, tokens=tokens)))
        except WorkerError as error:
            absent[name] = f"failed: {error}"
        else:
            found[name] = {str(tokens): one["bytes"] for tokens, one in told.items()}
            values[name] = [value for one in told.values() for value in one["outcome"]]
    far = apart(values)
    for name in [name for name in far if not far[name] <= APART]:
        del found[name]
        absent[name] = f"failed: it does other work, {far[name]:.1e} apart"
    return {"title": workload.title, "bytes": found, "apart": far, "absent": absent, **judged(found)}


def judged(found: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Both targets, by what factor nnkit's memory must still become less, and the one that is furthest."""
    own, theirs = found.get(OWN), found.get("PyTorch")
    goals: list[dict[str, Any]] = [{"target": what, "missing": None} for what in MEMORY]
    if own:
        least, most = (pick(own, key=int) for pick in (min, max))
        goals[0]["missing"] = own[most] / max(own[least], 1) * int(least) / int(most) / LINEAR
        if theirs:
            goals[1]["missing"] = own[most] / max(theirs[most], 1)
    furthest = max(goals, key=lambda goal: math.inf if goal["missing"] is None else goal["missing"])
    return {"target": " and ".join(goal["target"] for goal in goals), "goals": goals, "missing": furthest["missing"]}
