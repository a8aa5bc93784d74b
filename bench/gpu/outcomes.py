"""What became of many checks, run by processes side by side that may die or hang in the middle.

A process says which unit it begins, the outcome of each check in it, and where a unit is a file of tests, that it has
come to its end. When the process dies, or says nothing for too long, the unit it was in has failed, and a new process
goes on with those that nobody has begun.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from bench.gpu.process import Failed, Over, Process

PASSED, FAILED, SKIPPED, NOT_RUN = "passed", "failed", "skipped", "not run"
STARTING = 180.0  # seconds in which a process has to begin its first unit: what it imports comes from a disk
TIME = "time"  # why something was not run: the whole command's time was up

#: From units to a process that works on them.
Start = Callable[[Sequence[str]], Process]


class Outcome(NamedTuple):
    """One check: what became of it, how long it took, and a remark, or the error and where it arose."""

    name: str
    outcome: str
    seconds: float = 0.0
    detail: str = ""
    traceback: str = ""


class Notes:
    """What is told everything as it comes, in the threads that follow the processes. This one forgets it."""

    def outcome(self, outcome: Outcome) -> None:
        """What became of a check."""

    def ended(self, unit: str) -> None:
        """All of a file's tests are done."""

    def compiling(self, kernel: str) -> None:
        """A process begins to compile a kernel."""


def outcomes(
    start: Start, units: Sequence[str], limit: float, end: float, processes: int = 1, notes: Notes | None = None
) -> list[Outcome]:
    """Those of all units, of which none may be silent for ``limit`` seconds once begun; all are ended at ``end``."""
    told = notes or Notes()
    shares = [units[first::processes] for first in range(min(processes, len(units)))]
    with ThreadPoolExecutor(max(len(shares), 1)) as pool:
        found = pool.map(lambda share: _share(start, share, limit, end, told), shares)
        return [outcome for share in found for outcome in share]


def _share(start: Start, units: Sequence[str], limit: float, end: float, notes: Notes) -> list[Outcome]:
    left, found = list(units), list[Outcome]()

    def note(outcome: Outcome) -> None:
        found.append(outcome)
        notes.outcome(outcome)

    while left and time.monotonic() < end:
        begun = len(left)
        with start(left) as process:
            process.until, process.heed = end, notes.compiling
            _follow(process, left, limit, note, notes.ended)
        if len(left) == begun and time.monotonic() < end:  # not even one: there is no sense in trying again
            for unit in left:
                note(Outcome(unit, NOT_RUN, detail="its process did not get so far"))
            return found
    for unit in left:
        note(Outcome(unit, NOT_RUN, detail=TIME))
    return found


def _follow(
    process: Process, left: list[str], limit: float, note: Callable[[Outcome], None], ended: Callable[[str], None]
) -> None:
    """Take in what a process says until it is done, and the failure that it ended with, if any."""
    unit, busy, begun = "", False, time.monotonic()
    try:
        while True:
            said = process.line(limit if unit else max(limit, STARTING))
            if said is None:
                raise Failed(process.last_words(), process.printed())
            if "error" in said:
                raise Failed(said["error"], said.get("traceback", ""))
            item = said.get("item")
            if item is None:
                return
            if "begin" in item:
                unit, busy, begun = item["begin"], True, time.monotonic()
                left.remove(unit)
            elif "end" in item:
                busy = False
                ended(item["end"])
            else:
                busy = busy and item["name"] != unit
                note(Outcome(**item))
    except Over:
        if busy:
            note(Outcome(unit, NOT_RUN, time.monotonic() - begun, TIME))
    except Failed as error:
        note(Outcome(unit or "starting the process", FAILED, time.monotonic() - begun, str(error), error.traceback))


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
