"""What became of many checks, run by processes side by side that may die or hang in the middle.

A process says which unit it begins, and the outcome of each check in it. When it dies, or one unit takes too long, the
unit it was in has failed, and a new process goes on with those that nobody has begun.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from bench.gpu.process import Late, Process
from bench.worker import WorkerError

PASSED, FAILED, SKIPPED, NOT_RUN = "passed", "failed", "skipped", "not run"

#: From units to a process that works on them.
Start = Callable[[Sequence[str]], Process]


class Outcome(NamedTuple):
    """One check: what became of it, how long it took, and a remark, or the error and where it arose."""

    name: str
    outcome: str
    seconds: float = 0.0
    detail: str = ""
    traceback: str = ""


#: What is told each outcome as it comes.
Note = Callable[[Outcome], None]


def outcomes(
    start: Start, units: Sequence[str], limit: float, end: float, processes: int = 1, note: Note | None = None
) -> list[Outcome]:
    """Those of all units, of which none may take more than ``limit`` seconds, and all together until ``end``.

    ``note`` is told each at once, in the thread that follows its process.
    """
    note = note or (lambda outcome: None)
    shares = [units[first::processes] for first in range(min(processes, len(units)))]
    with ThreadPoolExecutor(max(len(shares), 1)) as pool:
        return [
            outcome
            for share in pool.map(lambda share: _share(start, share, limit, end, note), shares)
            for outcome in share
        ]


def _share(start: Start, units: Sequence[str], limit: float, end: float, note: Note) -> list[Outcome]:
    left, found = list(units), list[Outcome]()
    while left and time.monotonic() < end:
        begun = len(left)
        with start(left) as process:
            failure = _follow(process, left, found, limit, end, note)
        if failure is not None:
            note(failure)
            found.append(failure)
        if len(left) == begun:  # not even one: there is no sense in trying again
            return found + [Outcome(unit, NOT_RUN, detail="its process did not get so far") for unit in left]
    return found + [Outcome(unit, NOT_RUN, detail="there was no time left") for unit in left]


def _follow(
    process: Process, left: list[str], found: list[Outcome], limit: float, end: float, note: Note
) -> Outcome | None:
    """Take in what a process says until it is done; the failure that it ended with, if any."""
    unit, begun = "starting the process", time.monotonic()
    try:
        while True:
            said = process.line(min(end, begun + limit))
            if said is None:
                raise WorkerError(process.last_words())
            if "error" in said:
                raise WorkerError(said["error"])
            item = said.get("item")
            if item is None:
                return None
            if "begin" in item:
                unit, begun = item["begin"], time.monotonic()
                left.remove(unit)
            else:
                found.append(Outcome(**item))
                note(found[-1])
    except WorkerError as error:
        seconds = time.monotonic() - begun
        text = f"it was ended after {seconds:.0f} s" if isinstance(error, Late) else str(error)
        return Outcome(unit, FAILED, seconds, text)


def summary(found: Iterable[Outcome], passed_too: bool = True) -> dict[str, Any]:
    """How many of each, and what became of each check, for the JSON file; of tests, only those that did not pass."""
    found = list(found)
    counts = {name: sum(o.outcome == name for o in found) for name in (PASSED, FAILED, SKIPPED, NOT_RUN)}
    return {
        "counts": counts,
        "checks": {
            o.name: [o.outcome, round(o.seconds, 3), *([o.detail] if o.detail else [])]
            for o in found
            if passed_too or o.outcome != PASSED
        },
    }


def all_passed(section: Mapping[str, Any]) -> bool:
    """Whether something passed, and nothing failed or was left out for lack of time."""
    counts = section["counts"]
    return bool(counts[PASSED]) and not counts[FAILED] and not counts[NOT_RUN]
