"""Peak resident memory of a process: of training, over what it held after importing the library, and of attention.

``measure`` is a section of the report about some of its workloads; ``peaks`` is a workload whose target is of memory.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.contenders import CONTENDERS, OWN
from bench.machine import Others
from bench.measure import APART, apart
from bench.worker import Worker, WorkerError
from bench.workloads import WORKLOADS, Workload

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
    build = CONTENDERS[contender].load()
    given = Workload.from_json(workload)
    _forget_peak()
    imported = _status("VmRSS")
    small = build(dataclasses.replace(given, net=given.net.shrunk(8), batch=8))
    assert small is not None
    small.run(3)
    del small
    used = _status("VmRSS")
    ready = build(given)
    assert ready is not None
    ready.run(steps)
    peak = _status("VmHWM")
    return {"over_import": peak - imported, "over_first_use": peak - used}


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


def peaks(workload: Workload) -> dict[str, Any]:
    """A row of the report: bytes that each contender needs for a quarter, half and all of the tokens; and the targets.

    Who gives other gradients than nnkit does not count. Raises WorkerError where the system does not tell of peaks.
    """
    if not os.access("/proc/self/clear_refs", os.W_OK):
        raise WorkerError("only Linux tells the peak of a process")
    net, others = workload.net, Others()
    lengths = {
        net.tokens // part: dataclasses.replace(workload, net=dataclasses.replace(net, tokens=net.tokens // part))
        for part in PARTS
    }
    found, values, absent = dict[str, dict[str, int]](), dict[str, list[float]](), dict[str, str]()
    for name in ATTENDING:
        missing = CONTENDERS[name].missing()
        if missing is not None:
            absent[name] = missing
            continue
        try:
            with Worker() as worker:
                values[name] = worker.ask("bench.memory:outcome", name, lengths[min(lengths)].as_json())
            found[name] = {str(tokens): _peak(name, given) for tokens, given in lengths.items()}
        except WorkerError as error:
            absent[name] = f"failed: {error}"
    far = apart(values)
    for name in [name for name in far if not far[name] <= APART]:
        found.pop(name, None)
        absent[name] = f"failed: it does other work, {far[name]:.1e} apart"
    return {
        "title": workload.title, "bytes": found, "seconds": {}, "apart": far, "absent": absent, "quoted": {},
        "others": others.share(), "flops": workload.flops, **judged(found),
    }  # fmt: skip


def _peak(name: str, workload: Workload) -> int:
    with Worker() as worker:
        return int(worker.ask("bench.memory:growth", name, workload.as_json(), 3)["over_first_use"])


def outcome(contender: str, workload: dict[str, Any]) -> list[float]:
    """The loss of attention, and the sums of its three gradients' sizes."""
    ready = CONTENDERS[contender].load()(Workload.from_json(workload))
    assert ready is not None
    loss, *gradients = ready.values(1)
    return [loss, *map(float, np.abs(np.reshape(gradients, (3, -1))).sum(axis=1))]


def judged(found: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Both targets, by what factor nnkit's memory must still become less, and the one that is furthest."""
    own, theirs = found.get(OWN), found.get("PyTorch")
    goals: list[dict[str, Any]] = [{"target": "linear in the tokens", "missing": None},
                                   {"target": "no more than PyTorch's", "missing": None}]  # fmt: skip
    if own:
        least, most = (pick(own, key=int) for pick in (min, max))
        goals[0]["missing"] = own[most] / max(own[least], 1) * int(least) / int(most) / LINEAR
        if theirs:
            goals[1]["missing"] = own[most] / max(theirs[most], 1)
    furthest = max(goals, key=lambda goal: math.inf if goal["missing"] is None else goal["missing"])
    return {"target": " and ".join(goal["target"] for goal in goals), "goals": goals, "missing": furthest["missing"]}
