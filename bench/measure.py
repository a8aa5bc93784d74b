"""Rounds, medians and ratios: every contender once a round, in turn, so that what disturbs the machine disturbs all."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from bench.contenders import CONTENDERS, OWN
from bench.machine import Others
from bench.worker import Worker, WorkerError
from bench.workloads import Target, Workload

Name, Result = TypeVar("Name"), TypeVar("Result")
ROUND = 0.05  # seconds of each contender in each round, at least


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


class Field:
    """The contenders' workers, started when first needed and kept from workload to workload."""

    def __init__(self) -> None:
        self._workers: dict[str, Worker] = {}

    def worker(self, contender: str) -> Worker:
        """The contender's process."""
        if contender not in self._workers:
            self._workers[contender] = Worker()
        return self._workers[contender]

    def drop(self, contender: str) -> None:
        """End a process that failed; the next workload gets a new one."""
        worker = self._workers.pop(contender, None)
        if worker is not None:
            worker.close()

    def close(self) -> None:
        """End all processes."""
        for name in list(self._workers):
            self.drop(name)

    def prepare(self, contender: str, workload: Workload) -> Callable[[], float] | str:
        """A function that takes one turn, or the reason why this contender has none."""
        missing = CONTENDERS[contender].missing()
        if missing is not None:
            return missing
        worker = self.worker(contender)
        try:
            if not worker.ask("bench.session:build", contender, workload.as_json()):
                return "has no such thing"
            units = worker.ask("bench.session:units_for", ROUND)
        except WorkerError as error:
            self.drop(contender)
            return f"failed: {error}"
        return lambda: worker.ask("bench.session:seconds_per_step", units)


def run(field: Field, workload: Workload, rounds: int, contenders: Sequence[str]) -> dict[str, Any]:
    """Measure one workload with every contender that has it."""
    turns: dict[str, Callable[[], float]] = {}
    absent: dict[str, str] = {}
    for name in contenders:
        turn = field.prepare(name, workload)
        if isinstance(turn, str):
            absent[name] = turn
        else:
            turns[name] = turn
    others = Others()
    results, failures = interleaved(turns, rounds)
    for name in failures:
        field.drop(name)
    return {
        "title": workload.title,
        "target": str(workload.target),
        "seconds": {name: summary(values) for name, values in results.items()},
        "rounds": rounds,
        "others": others.share(),
        "absent": absent | failures,
        "quoted": dict(workload.quoted),
        "parameters": workload.parameters,
        "flops": workload.flops,
        "parameter_bytes": workload.parameter_bytes,
        **compare(results, workload.target),
    }
