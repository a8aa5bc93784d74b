"""Rounds, medians and ratios: every contender once a round, in turn, so that what disturbs the machine disturbs all."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from bench.contenders import CONTENDERS, OWN
from bench.machine import Others
from bench.worker import Worker, WorkerError
from bench.workloads import Target, Workload

Name, Result = TypeVar("Name"), TypeVar("Result")
ROUND = 0.05  # seconds of each contender in each round, at least
STEPS = 5  # whose losses are compared before anybody is timed
APART = 1e-3  # how far they may lie apart, relative for large ones


def interleaved(
    turns: Mapping[Name, Callable[[], Result]], rounds: int
) -> tuple[dict[Name, list[Result]], dict[Name, str]]:
    """Each turn's results, one for each round, and why some have none; in a round every turn is taken once."""
    results: dict[Name, list[Result]] = {name: [] for name in turns}
    failures: dict[Name, str] = {}
    for _ in range(rounds):
        for name in list(results):
            try:
                results[name].append(turns[name]())
            except WorkerError as error:
                failures[name] = f"failed: {error}"
                del results[name]
    return results, failures


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles.

    >>> summary([1.0, 2.0, 3.0, 4.0, 5.0])
    {'median': 3.0, 'low': 2.0, 'high': 4.0}
    """
    if len(values) < 2:
        return {"median": values[0], "low": values[0], "high": values[0]}
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high}


def compare(results: Mapping[str, Sequence[float]], target: Target) -> dict[str, Any]:
    """How many times faster nnkit is than the peer that counts, round by round, and what is missing to the target.

    ``missing`` is the factor by which nnkit must still become faster; 1 or less means reached. It is None where no peer
    that counts was there.
    """
    own = results.get(OWN)
    if not own:
        return {"missing": None}
    if target.seconds is not None:
        return {"missing": statistics.median(own) / target.seconds}
    peers = {name: values for name, values in results.items() if name != OWN and target.against in ("fastest", name)}
    if not peers or target.factor is None:
        return {"missing": None}
    fastest = min(peers, key=lambda name: statistics.median(peers[name]))
    faster = summary([theirs / ours for theirs, ours in zip(peers[fastest], own, strict=True)])
    return {"peer": fastest, "faster": faster, "missing": target.factor / faster["median"]}


def judged(results: Mapping[str, Sequence[float]], targets: Sequence[Target]) -> dict[str, Any]:
    """``compare`` for the target that is furthest; with several, "goals" has each."""
    goals = [{"target": str(target), **compare(results, target)} for target in targets]
    furthest = max(goals, key=lambda goal: math.inf if goal["missing"] is None else goal["missing"])
    named = {"target": " and ".join(goal["target"] for goal in goals)}
    return furthest | named | ({"goals": goals} if len(goals) > 1 else {})


def apart(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """How far each contender's losses or outputs lie from nnkit's at the most; of those who tell theirs."""
    own = np.array(values.get(OWN, ()))
    there = {name: np.array(others) for name, others in values.items() if name != OWN and own.size and len(others)}
    return {name: float(np.max(abs(others - own) / np.maximum(abs(own), 1.0))) for name, others in there.items()}


class Ready(NamedTuple):
    """A contender that waits for its turns, and the losses of its first steps or what it predicts."""

    turn: Callable[[], float]
    values: list[float]


class Field:
    """The contenders' workers, started when first needed and kept from workload to workload."""

    def __init__(self) -> None:
        self._workers: dict[str, Worker] = {}

    def worker(self, name: str) -> Worker:
        """The process of what has this name."""
        if name not in self._workers:
            self._workers[name] = Worker()
        return self._workers[name]

    def drop(self, name: str) -> None:
        """End a process that failed, or is no longer needed; the next workload gets a new one."""
        worker = self._workers.pop(name, None)
        if worker is not None:
            worker.close()

    def close(self) -> None:
        """End all processes."""
        for name in list(self._workers):
            self.drop(name)

    def prepare(self, name: str, workload: Workload, contender: str) -> Ready | str:
        """What takes one turn, or the reason why this contender has none; it may have several, by name."""
        missing = CONTENDERS[contender].missing()
        if missing is not None:
            return missing
        worker = self.worker(name)
        try:
            if not worker.ask("bench.session:build", contender, workload.as_json()):
                return "has no such thing"
            values = worker.ask("bench.session:values", STEPS)
            units = worker.ask("bench.session:units_for", ROUND)
        except WorkerError as error:
            self.drop(name)
            return f"failed: {error}"
        return Ready(lambda: worker.ask("bench.session:seconds_per_step", units), values)


def run(field: Field, workload: Workload, rounds: int, contenders: Sequence[str]) -> dict[str, Any]:
    """Measure one workload with every contender that has it, and in the same rounds what is beside it."""
    sides = {name: (name, workload) for name in contenders}
    sides |= {name: (who, dataclasses.replace(workload, net=net)) for name, (who, net) in workload.beside.items()}
    made = {name: field.prepare(name, given, who) for name, (who, given) in sides.items()}
    absent = {name: why for name, why in made.items() if isinstance(why, str)}
    ready = {name: found for name, found in made.items() if isinstance(found, Ready)}
    same = [name for name in ready if sides[name][1].net.sizes == workload.net.sizes]
    far = {} if workload.net.dropout else apart({name: ready[name].values for name in same})
    absent |= {name: f"failed: it does other work, {by:.1e} apart" for name, by in far.items() if not by <= APART}
    others = Others()
    results, failures = interleaved({name: ready[name].turn for name in ready if name not in absent}, rounds)
    for name in (*failures, *workload.beside):
        field.drop(name)
    return {
        "title": workload.title,
        "how": workload.how,
        "seconds": {name: summary(values) for name, values in results.items()},
        "rounds": rounds,
        "others": others.share(),
        "apart": far,
        "absent": absent | failures,
        "quoted": dict(workload.quoted),
        "parameters": workload.parameters,
        "flops": workload.flops,
        "parameter_bytes": workload.parameter_bytes,
        "touched": workload.touched,
        **judged(results, workload.targets),
    }
