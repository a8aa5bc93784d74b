"""Speed: trainings beside their peers, and work that is bound by memory beside a copy, turn by turn."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from bench.gpu.contenders import CONTENDERS, IN_FIT
from bench.gpu.process import Late, Process
from bench.gpu.workloads import IN_FIT as KEYS_IN_FIT
from bench.gpu.workloads import SHARE, TRAFFIC, Training
from bench.measure import compare, interleaved, summary
from bench.worker import WorkerError

TURN = 0.06  # seconds of each contender in each round, at least
LONGEST_TURN = 20.0  # seconds after which a turn is given up
#: Bytes of device memory that a wide training wants for all contenders together, in batches of 4096.
WANTED = 16 << 30


def fitted(workload: Training, memory: int) -> Training:
    """The training in batches that fit a device of so many bytes, which its title says."""
    batch = workload.batch
    while batch > 64 and memory * workload.batch < WANTED * batch and batch * max(workload.sizes) > 1 << 20:
        batch //= 2
    if batch == workload.batch:
        return workload
    return dataclasses.replace(
        workload, batch=batch, title=f"{workload.title} (**batch {batch}**: the GPU's memory is too small)"
    )


class Contestant:
    """A contender in its process: builds its trainings one after the other, then takes its turns."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.absent: dict[str, str] = {}  # training -> why it has no turn
        self.seconds: dict[str, float] = {}  # training -> how long it took to build
        self._process: Process | None = None

    def build(self, workloads: Sequence[Training], end: float) -> None:
        """Make them all ready, until ``end``."""
        missing = CONTENDERS[self.name].missing()
        for workload in workloads:
            key = workload.key
            if missing is not None:
                self.absent[key] = missing
            elif self.name == IN_FIT and key not in KEYS_IN_FIT:
                self.absent[key] = "not timed"
            else:
                self._build(workload, end)

    def _build(self, workload: Training, end: float) -> None:
        start = time.monotonic()
        try:
            if self._process is None:
                self._process = Process()
            left = max(end - start, 0.0)
            self._process.ask(left, "bench.gpu.session:build", self.name, workload.as_json())
            self.seconds[workload.key] = time.monotonic() - start
        except Late:
            self.absent[workload.key] = "failed: there was no time left to make it ready"
        except WorkerError as error:
            self.absent[workload.key] = f"failed: {error}"

    def units(self, key: str) -> int | None:
        """How much to do in a turn; None where it has none."""
        if key in self.absent:
            return None
        assert self._process is not None
        try:
            return int(self._process.ask(LONGEST_TURN, "bench.gpu.session:units_for", key, TURN))
        except WorkerError as error:
            self.absent[key] = f"failed: {error}"
            return None

    def turn(self, key: str, units: int) -> float:
        """Seconds per step. Raises WorkerError."""
        assert self._process is not None
        return float(self._process.ask(LONGEST_TURN, "bench.gpu.session:seconds_per_step", key, units))

    def drop(self, key: str) -> None:
        """Let go of a training."""
        if key not in self.absent and self._process is not None:
            try:
                self._process.ask(LONGEST_TURN, "bench.gpu.session:drop", key)
            except WorkerError:
                pass  # what comes next will say so

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.close()


class Field:
    """All contenders, which make their trainings ready in the background."""

    def __init__(self, workloads: Sequence[Training], names: Sequence[str], end: float) -> None:
        self.workloads = list(workloads)
        self._contestants = [Contestant(name) for name in names]
        self._pool = ThreadPoolExecutor(max(len(names), 1))
        self._building: list[Future[None]] = [
            self._pool.submit(contestant.build, self.workloads, end) for contestant in self._contestants
        ]

    def race(self, rounds: int, end: float) -> dict[str, Any]:
        """Wait until all are ready, then time one training after the other, until ``end``."""
        for building in self._building:
            building.result()
        return {workload.key: self._timed(workload, rounds, end) for workload in self.workloads}

    def _timed(self, workload: Training, rounds: int, end: float) -> dict[str, Any]:
        key, turns = workload.key, {}
        for contestant in self._contestants:
            units = contestant.units(key) if time.monotonic() < end else None
            if units is not None:
                turns[contestant.name] = partial(contestant.turn, key, units)
        results, failures = _rounds(turns, rounds, end)
        for contestant in self._contestants:
            contestant.drop(key)
        return {
            "title": workload.title,
            "target": str(workload.target),
            "rounds": max(map(len, results.values()), default=0),
            "seconds": {name: summary(values) for name, values in results.items() if values},
            "built": {c.name: round(c.seconds[key], 1) for c in self._contestants if key in c.seconds},
            "absent": {c.name: c.absent[key] for c in self._contestants if key in c.absent} | failures,
            **compare({name: values for name, values in results.items() if name != IN_FIT and values}, workload.target),
        }

    def close(self) -> None:
        """End all processes."""
        for contestant in self._contestants:
            contestant.close()
        self._pool.shutdown()


def _rounds(
    turns: Mapping[str, Callable[[], float]], rounds: int, end: float
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Each contender's turns, one a round, as many as there is time for; and why some have none."""
    results: dict[str, list[float]] = {name: [] for name in turns}
    failures: dict[str, str] = {}
    for _ in range(rounds):
        if time.monotonic() >= end:
            break
        taken, gone = interleaved({name: turns[name] for name in results}, 1)
        failures |= gone
        results = {name: [*results[name], *taken[name]] for name in taken}
    return results, failures


# ---- bound by memory ------------------------------------------------------------------------------------------------


def traffic(rounds: int, end: float) -> tuple[dict[str, Any], dict[str, str]]:
    """The rows of ``TRAFFIC``, each with what is missing to the target; and why some are not there."""
    found: dict[str, Any] = {}
    failures: dict[str, str] = {}
    for key in TRAFFIC:
        try:
            with Process() as process:
                row = process.ask(max(end - time.monotonic(), 0.0), "bench.gpu.bandwidth:measure", key, rounds)
                found[key] = row | {"missing": SHARE / row["share"]["median"]}
        except WorkerError as error:
            failures[key] = str(error)
    return found, failures
