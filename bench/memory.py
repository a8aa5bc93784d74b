"""Peak resident memory of training, over what the process held after importing the library."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

from bench.contenders import CONTENDERS
from bench.worker import Worker, WorkerError
from bench.workloads import WORKLOADS, Workload

STATUS = Path("/proc/self/status")
#: Workload -> steps that are run.
MODELS = {"c": 20, "e": 4, "m": 4}
#: Row of the report -> (contender, kind of the step).
ROWS = {"nnkit recorded": ("nnkit", "compiled"), "nnkit eager": ("nnkit", "eager"), "PyTorch": ("PyTorch", "eager")}


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
