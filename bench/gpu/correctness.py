"""The sections of correctness: checks and tests, by processes side by side, each outcome a line at once."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from bench import machine
from bench.gpu import suites
from bench.gpu.findings import EVERYTHING, known
from bench.gpu.lines import Lines
from bench.gpu.outcomes import FAILED, NOT_RUN, TIME, Notes, Outcome, Start, outcomes
from bench.gpu.plan import TESTED, Plan
from bench.gpu.process import Process, ask
from bench.worker import WorkerError

#: Seconds for which a check may say nothing; compiling a kernel, and each test of a file, says something.
SILENCE = {"device": 120.0}
LONGEST_SILENCE = 90.0
PROCESSES = 8  # side by side, at most
EACH = 2 << 30  # bytes of device memory that one of them needs
#: What is taken for granted where the device did not say it: a small card, that several processes may use.
UNKNOWN = {"name": "unknown GPU", "free": 4 * EACH, "exclusive": False, "memory": 4 * EACH}
EVERY = 10.0  # seconds between two words of a section that is at work
TOLD = 10  # failures of a section that are told at once; the page has more


def run(plan: Plan, name: str, device: Mapping[str, Any], end: float, lines: Lines) -> None:
    """A section, without that which is known; what has no time any more is said to be not run."""
    if time.monotonic() >= end:
        lines.add(name, EVERYTHING, **_fields(Outcome(EVERYTHING, NOT_RUN, detail=TIME)))
        return
    begun, earlier = time.monotonic(), known(name, lines.all, plan.again)
    notes = Telling(name, lines, len(earlier["done"]))
    try:
        units = [unit for unit in _units(plan, name) if plan.match.lower() in unit.lower()]
    except WorkerError as error:
        notes.outcome(Outcome("what there is to check", FAILED, 0.0, str(error)))
        return
    lines.add("units", name, value=units)
    if units:
        left = [unit for unit in units if unit not in earlier["ended"]]
        notes.total = len(left)
        outcomes(
            _start(plan, name, earlier["done"].keys()), left, SILENCE.get(name, LONGEST_SILENCE), end,
            side_by_side(device), notes,
        )  # fmt: skip
        lines.add("wall", name, seconds=round(time.monotonic() - begun, 1), compiled=notes.compiled)
        notes.close()


def _units(plan: Plan, name: str) -> Sequence[str]:
    """A section's checks by name, or its files of tests."""
    if name in TESTED:
        files = suites.device_tests if name == "tests" else suites.cuda_tests
        return files(plan.sizes != "large")
    found: Sequence[str] = ask(LONGEST_SILENCE, "bench.gpu.checks:names", name)
    return found


def _start(plan: Plan, name: str, done: Collection[str]) -> Start:
    """What starts a process for some of a section's units; tests that are ``done`` are left out."""
    if name in TESTED:
        start = suites.on_the_device if name == "tests" else suites.of_cuda
        return partial(start, known=done)
    return partial(_checking, name, plan.sizes)


def _checking(section: str, sizes: str, names: Sequence[str]) -> Process:
    """A process that works on some checks."""
    process = Process()
    process.send("bench.gpu.checks:work", section, list(names), sizes)
    return process


def side_by_side(device: Mapping[str, Any]) -> int:
    """How many processes share the device: one where it lets in only one, else as many as it has memory for."""
    return 1 if device["exclusive"] else int(min(PROCESSES, processors(), max(device["free"] // EACH, 1)))


def processors() -> int:
    """How many processes may compute at a time, one left for what else there is."""
    return max(len(machine.available_cpus()) - 1, 1)


# ---- what is told ---------------------------------------------------------------------------------------------------


def said(what: str) -> None:
    """A line on stderr for whoever waits."""
    print(what, file=sys.stderr, flush=True)


def _fields(outcome: Outcome) -> dict[str, Any]:
    return {key: value for key, value in outcome._asdict().items() if key != "name"}


class Telling(Notes):
    """Each outcome becomes a line; on stderr failures at once, and every few seconds how far the section is."""

    def __init__(self, name: str, lines: Lines, earlier: int, write: Callable[[str], None] = said) -> None:
        self.name, self.total, self.compiled = name, 0, 0
        self._lines, self._earlier, self._write = lines, earlier, write
        self._counts: Counter[str] = Counter()
        self._begun = self._told = time.monotonic()
        self._ended = 0
        self._lock = threading.Lock()

    def outcome(self, outcome: Outcome) -> None:
        """Write it, and say where it failed."""
        self._lines.add(self.name, outcome.name, **_fields(outcome))
        with self._lock:
            self._counts[outcome.outcome] += 1
            failed = outcome.outcome == FAILED and self._counts[FAILED] <= TOLD
        if failed:
            self._write(f"{self.name}: failed: {outcome.name}: {outcome.detail}")
        self._progress("")

    def ended(self, unit: str) -> None:
        """Write that a file is through."""
        self._lines.add(self.name, unit, ended=True)
        with self._lock:
            self._ended += 1

    def compiling(self, kernel: str) -> None:
        """Count it."""
        with self._lock:
            self.compiled += 1
        self._progress(f"; compiling {kernel}")

    def _progress(self, doing: str) -> None:
        with self._lock:
            due = time.monotonic() - self._told >= EVERY
            if due:
                self._told = time.monotonic()
        if due:
            total = f"{self._ended} of {self.total} files" if self.name in TESTED else f"of {self.total}"
            self._write(f"{self.name}: {self._counts.total()} {total}{self._kernels()}{doing}")

    def _kernels(self) -> str:
        return f", {self.compiled} kernels compiled" if self.compiled else ""

    def close(self) -> None:
        """Say what became of all."""
        counted = ", ".join(f"{count} {what}" for what, count in self._counts.items()) or "nothing left to do"
        earlier = f" (besides {self._earlier} by an earlier run)" if self._earlier else ""
        self._write(f"{self.name}: {counted}{earlier}{self._kernels()}: {time.monotonic() - self._begun:.0f} s")
