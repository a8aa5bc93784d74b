"""Speed: trainings beside their peers, and work that is bound by memory beside a copy, turn by turn; peaks of memory.

Contenders are all ready at once, and take turns, only where the device's free memory is known to hold them all. Else
there is one at a time, in a process that is made, warmed up, timed and ended before the next: nothing else holds memory
while it runs. There the rounds are fewer; either way a ratio is of turns in the same round.
"""

from __future__ import annotations

import dataclasses
import math
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from bench.gpu import attention
from bench.gpu.contenders import CONTENDERS, IN_FIT
from bench.gpu.correctness import said
from bench.gpu.findings import EVERYTHING, known
from bench.gpu.lines import Lines
from bench.gpu.outcomes import NOT_RUN, TIME
from bench.gpu.plan import Plan
from bench.gpu.process import Over, Process, ask
from bench.gpu.workloads import IN_FIT as KEYS_IN_FIT
from bench.gpu.workloads import QUICK, ROOM, SHARE, TRAFFIC, TRAININGS, Training
from bench.measure import judged, summary
from bench.worker import WorkerError

TURN = 0.06  # seconds of each contender in each round, at least
TURNS_ALONE = 3  # in each round of a contender that is alone: its median counts
#: Seconds for which a contender may say nothing: while it makes ready, where peers compile, and in a turn.
MAKING_READY, IN_TURN = 300.0, 60.0
#: Bytes that a process holds before it has any array: the driver's context, libraries' workspaces.
CONTEXT = 768 << 20
#: How often a training's values are held: theirs, their gradients, and what compilers and graphs keep besides.
COPIES = 4
NO_MEMORY = re.compile(r"out ?of ?memory|RESOURCE_EXHAUSTED|CUDA_ERROR_OUT_OF_MEMORY", re.IGNORECASE)
TOGETHER = "all ready at once"
ALONE = "one at a time: made, timed, ended"

PEAK = "peak memory"  # the one row of the section about attention

Turn = Callable[[], float]


def needed(workload: Training) -> int:
    """Bytes of device memory that one contender takes, rather too many than too few."""
    values = workload.parameters + workload.batch * workload.net.elements
    return CONTEXT + COPIES * 4 * values


def fitted(workload: Training, memory: int) -> Training:
    """The training in batches with which one contender fits into so many bytes, which its title says."""
    batch = workload.batch
    while batch > 64 and needed(dataclasses.replace(workload, batch=batch)) > ROOM * memory:
        batch //= 2
    if batch == workload.batch:
        return workload
    return dataclasses.replace(
        workload, batch=batch, title=f"{workload.title} (**batch {batch}**: the GPU's memory is too small)"
    )


# ---- one contender --------------------------------------------------------------------------------------------------


class Contestant:
    """A contender, and its process while it has one."""

    def __init__(self, name: str, until: float = math.inf) -> None:
        self.name = name
        self._until = until
        self._process: Process | None = None

    def missing(self, key: str) -> str | None:
        """Why it has no part in a training; None where it has."""
        if self.name == IN_FIT and key not in KEYS_IN_FIT:
            return "not timed"
        return CONTENDERS[self.name].missing()

    def ready(self, workload: Training) -> Turn:
        """Make a training ready and warm it up; what takes one turn, and gives seconds per step. Raises WorkerError."""
        if self._process is None or self._process.ended:
            self.close()
            self._process = Process(until=self._until)
        key = workload.key
        self._process.ask(MAKING_READY, "bench.gpu.session:build", self.name, workload.as_json())
        units = int(self._process.ask(IN_TURN, "bench.gpu.session:units_for", key, TURN))
        return partial(self._turn, key, units)

    def _turn(self, key: str, units: int) -> float:
        assert self._process is not None
        return float(self._process.ask(IN_TURN, "bench.gpu.session:seconds_per_step", key, units))

    def alone(self, workload: Training) -> float:
        """Seconds per step, from a process that is there for this only. Raises WorkerError."""
        try:
            turn = self.ready(workload)
            return statistics.median(turn() for _ in range(TURNS_ALONE))
        finally:
            self.close()

    def drop(self, key: str) -> None:
        """Let go of a training, and of the memory that its libraries keep."""
        if self._process is not None and not self._process.ended:
            try:
                self._process.ask(IN_TURN, "bench.gpu.session:drop", key)
            except WorkerError:
                self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.close()
            self._process = None


# ---- all of them ----------------------------------------------------------------------------------------------------

#: What is told why a contender has no times in a training: training, contender, error.
Note = Callable[[str, str, WorkerError], None]


class Field:
    """The contenders of all trainings."""

    def __init__(self, names: Sequence[str], until: float = math.inf, note: Note | None = None) -> None:
        self._contestants = [Contestant(name, until) for name in names]
        self._until = until
        self._note: Note = note or (lambda key, name, error: None)

    def race(self, workload: Training, rounds: int, free: int) -> dict[str, Any] | None:
        """A training's row; ``free``: the device's free bytes. None where there was no time for a single round."""
        key = workload.key
        absent = {c.name: why for c in self._contestants if (why := c.missing(key)) is not None}
        there = [c for c in self._contestants if c.name not in absent]
        way = TOGETHER if len(there) * needed(workload) <= ROOM * free else ALONE
        timed = self._together(there, workload, rounds) if way == TOGETHER else None
        if timed is not None and any(NO_MEMORY.search(why) for why in timed[1].values()):
            way, timed = f"{ALONE}, for together there was no memory", None
        if timed is None:
            timed = self._one_by_one(there, workload, rounds)
        results, failures = timed
        if there and not any(results.values()) and time.monotonic() >= self._until:
            return None
        return {
            "title": workload.title,
            "way": way,
            "rounds": max(map(len, results.values()), default=0),
            "seconds": {name: summary(values) for name, values in results.items() if values},
            "absent": absent | failures,
            **judged({name: values for name, values in results.items() if name != IN_FIT and values}, workload.targets),
        }

    def _together(
        self, there: Sequence[Contestant], workload: Training, rounds: int
    ) -> tuple[dict[str, list[float]], dict[str, str]]:
        """All make ready side by side, then each has one turn a round."""
        turns: dict[str, Turn] = {}
        failures: dict[str, str] = {}
        with ThreadPoolExecutor(max(len(there), 1)) as pool:
            waiting = {c.name: pool.submit(c.ready, workload) for c in there}
            for name, made in waiting.items():
                try:
                    turns[name] = made.result()
                except Over:
                    failures[name] = f"{NOT_RUN}: {TIME}"
                except WorkerError as error:
                    failures[name] = self._failed(workload.key, name, error)
        results, more = self._rounds(workload.key, turns, rounds)
        for contestant in there:
            contestant.drop(workload.key)
        return results, failures | more

    def _one_by_one(
        self, there: Sequence[Contestant], workload: Training, rounds: int
    ) -> tuple[dict[str, list[float]], dict[str, str]]:
        """In each round one after the other is made ready, timed and ended."""
        self.close()
        turns = {contestant.name: partial(contestant.alone, workload) for contestant in there}
        return self._rounds(workload.key, turns, math.ceil(rounds / TURNS_ALONE))

    def _rounds(
        self, key: str, turns: Mapping[str, Turn], rounds: int
    ) -> tuple[dict[str, list[float]], dict[str, str]]:
        """Each contender's turns, one a round, as many whole rounds as there is time for; and why some have none."""
        results: dict[str, list[float]] = {name: [] for name in turns}
        failures: dict[str, str] = {}
        for _ in range(rounds):
            taken: dict[str, float] = {}
            for name in list(results):
                if time.monotonic() >= self._until:
                    return results, failures
                try:
                    taken[name] = turns[name]()
                except Over:
                    return results, failures
                except WorkerError as error:
                    failures[name] = self._failed(key, name, error)
                    del results[name]
            for name, seconds in taken.items():
                results[name].append(seconds)
        return results, failures

    def _failed(self, key: str, name: str, error: WorkerError) -> str:
        self._note(key, name, error)
        return f"failed: {error}"

    def close(self) -> None:
        """End all processes."""
        for contestant in self._contestants:
            contestant.close()


# ---- the sections ---------------------------------------------------------------------------------------------------


def run(plan: Plan, name: str, device: Mapping[str, Any], end: float, lines: Lines) -> None:
    """A section's rows, each a line at once, but those that are known."""
    if time.monotonic() >= end:
        lines.add(name, EVERYTHING, outcome=NOT_RUN, detail=TIME)
        return
    begun, done = time.monotonic(), known(name, lines.all, plan.again)["done"]
    of_trainings = TRAININGS if plan.sizes == "large" else QUICK
    wanted = list({"traffic": TRAFFIC, "attention": (PEAK,)}.get(name, of_trainings))
    lines.add("units", name, value=wanted)
    left = [key for key in wanted if key not in done]
    timed = {"traffic": traffic, "attention": peaks}.get(name, trainings)
    timed(left, plan, device, end, lines)
    earlier = f" ({len(wanted) - len(left)} by an earlier run)" if len(left) < len(wanted) else ""
    said(f"{name}: {len(wanted)}{earlier}: {time.monotonic() - begun:.0f} s")


def trainings(keys: Sequence[str], plan: Plan, device: Mapping[str, Any], end: float, lines: Lines) -> None:
    """Trainings beside their peers."""

    def note(key: str, name: str, error: WorkerError) -> None:
        lines.add("contenders", f"{key}: {name}", error=str(error), traceback=getattr(error, "traceback", ""))

    field, rounds = Field(list(CONTENDERS), end, note), (9 if plan.sizes == "large" else 3)
    try:
        free = _free(device) if keys else 0  # before any contender holds some
        for key in keys:
            row = None
            if time.monotonic() < end:
                row = field.race(fitted(TRAININGS[key], device["memory"]), rounds, free)
            _add(lines, "trainings", key, row)
            said(f"training {key}: {'not run: time' if row is None else row['way']}")
    finally:
        field.close()


def _free(device: Mapping[str, Any]) -> int:
    """The device's free bytes now, or as they were when it was asked first."""
    try:
        return int(ask(IN_TURN, "bench.gpu.facts:free"))
    except WorkerError:
        return int(device["free"])


def peaks(keys: Sequence[str], plan: Plan, device: Mapping[str, Any], end: float, lines: Lines) -> None:
    """The device memory that attention takes, each time in a process of its own."""
    for key in keys:
        try:
            _add(lines, "attention", key, attention.row(end))
        except Over:
            _add(lines, "attention", key, None)


def _add(lines: Lines, section: str, key: str, row: dict[str, Any] | None) -> None:
    if row is None:
        lines.add(section, key, outcome=NOT_RUN, detail=TIME)
    else:
        lines.add(section, key, value=row)


def traffic(keys: Sequence[str], plan: Plan, device: Mapping[str, Any], end: float, lines: Lines) -> None:
    """The rows of ``TRAFFIC``, each with what is missing to the target, and each in a process of its own."""
    for key in keys:
        try:
            with Process(until=end) as process:
                row = process.ask(IN_TURN, "bench.gpu.bandwidth:measure", key, 1 if plan.sizes != "large" else 5)
            _add(lines, "traffic", key, row | {"missing": SHARE / row["share"]["median"]})
        except Over:
            _add(lines, "traffic", key, None)
        except WorkerError as error:
            lines.add("traffic", key, error=str(error), traceback=getattr(error, "traceback", ""))
