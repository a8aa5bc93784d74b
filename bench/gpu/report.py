"""The whole of ``python -m bench gpu``: facts, correctness, speed, each in its time; and the files it leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench import machine
from bench.gpu import speed, suites
from bench.gpu.command import PARTS
from bench.gpu.contenders import CONTENDERS
from bench.gpu.facts import PACKAGES
from bench.gpu.lines import Found, Lines
from bench.gpu.outcomes import FAILED, Outcome, Start, all_passed, outcomes, summary
from bench.gpu.process import Process, ask, end_all
from bench.gpu.render import render
from bench.gpu.workloads import QUICK, TRAININGS
from bench.worker import WorkerError

RESULTS = Path(__file__).parent.parent / "results"

#: Seconds: for everything, and of those what speed is left at the least.
WHOLE, FOR_SPEED = 465.0, 120.0
#: Section of correctness -> its seconds, and those that one check (or file of tests) may take.
BUDGETS = {
    "conformance": (60.0, 30.0), "training": (60.0, 40.0), "products": (45.0, 30.0), "device": (45.0, 30.0),
    "kernels": (60.0, 30.0), "tests": (120.0, 60.0), "tests of kernels": (60.0, 45.0),
}  # fmt: skip
#: Fact -> the function that finds it out, and its arguments in other sizes than "large".
FACTS: dict[str, tuple[str, dict[str, tuple[Any, ...]]]] = {
    "device": ("bench.gpu.facts:device", {}),
    "compiler": ("bench.gpu.facts:compiler", {}),
    "launches": ("bench.gpu.facts:launches", {"tiny": (2,)}),
    "epilogues": ("bench.gpu.epilogues:offered", {}),
    "meaning": ("bench.gpu.epilogues:meaning", {}),
    "bias gradient": ("bench.gpu.epilogues:bias_gradient", {"quick": (3,), "tiny": (1, [[8, 16, 8]])}),
}
#: Sections that are thousands of the repository's own tests.
TESTED = ("tests", "tests of kernels")
FACT = 30.0  # seconds that one of the facts may take
PROCESSES = 8  # side by side, at most
EACH = 2 << 30  # bytes of device memory that one of them needs
#: What is taken for granted where the device did not say it: a small card, that several processes may use.
UNKNOWN = {"name": "unknown GPU", "free": 4 * EACH, "exclusive": False, "memory": 4 * EACH}


class Plan(NamedTuple):
    """What is run, and in which sizes: "large", "quick", or "tiny" for a GPU that is only pretended."""

    only: Sequence[str] = PARTS
    sizes: str = "large"
    match: str = ""  # of a check's name, without regard to case
    again: bool = False  # also what an earlier run found

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return set(self.only) == set(PARTS) and self.sizes == "large" and not self.match


def why_not() -> str | None:
    """Why the GPU cannot be used here; None when it can."""
    try:
        reason: str | None = ask(60.0, "bench.gpu.facts:why_not")
    except WorkerError as error:
        return str(error)
    return reason


def report(plan: Plan, folder: Path = RESULTS) -> tuple[Path, bool]:
    """Run, and write <gpu>.json and <gpu>.md; the path of the latter, and whether correctness passed.

    What is found is added to gpu.jsonl at once, with the traceback of a check that failed. Checks that a run of the
    same commit, sizes and card has there already are taken from it; files of tests and speed are always run.
    """
    before = signal.signal(signal.SIGINT, interrupted)
    try:
        with Lines(folder / "gpu.jsonl") as lines:
            results = measure(plan, lines)
    finally:
        signal.signal(signal.SIGINT, before)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{results['name']}.json"
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page = path.with_suffix(".md")
    page.write_text(render(results), encoding="utf-8")
    return page, results["passed"]


def interrupted(number: int, frame: Any) -> None:
    """Ctrl-C: end what was started, and this process with it."""
    end_all()
    os._exit(128 + number)


def measure(plan: Plan, lines: Lines) -> dict[str, Any]:
    """Everything, as plain data."""
    start = time.monotonic()
    described = machine.describe(PACKAGES)
    run = {"commit": described["commit"], "sizes": plan.sizes}
    lines.add("run", "machine", value=described, **run)
    found, failures = facts(plan, lines)
    device = found.get("device") or UNKNOWN
    said(f"{device['name']}: facts", start)
    end = start + WHOLE
    field = None
    if "speed" in plan.only:
        field = racing(plan, device["memory"], end - FOR_SPEED / 2)
    try:
        last = end - FOR_SPEED if field is not None else end
        sure = not plan.again and re.fullmatch(r"[0-9a-f]+", described["commit"])  # neither unknown nor with changes
        known = lines.earlier(run, device["name"]) if sure else {}
        checked = correctness(plan, device, last, lines, known) if "correctness" in plan.only else {}
        absent = suites.missing()
        if "correctness" in plan.only and absent is not None:
            failures["tests"] = absent
        timed = racers(plan, field, end, failures, lines) if field is not None else {}
    finally:
        if field is not None:
            field.close()
    return {
        "name": slug(device["name"]) + ("" if plan.whole else "-partial"),
        "partial": not plan.whole,
        "passed": all(all_passed(section) for section in checked.values()),
        "machine": described,
        "facts": found,
        "correctness": checked,
        "speed": timed,
        "failures": failures,
        "seconds": round(time.monotonic() - start, 1),
    }


def slug(name: str) -> str:
    """A file name for a GPU.

    >>> slug("NVIDIA H200 NVL")
    'nvidia-h200-nvl'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def said(what: str, since: float) -> None:
    """A line on stderr for whoever waits."""
    print(f"{what}: {time.monotonic() - since:.0f} s", file=sys.stderr, flush=True)


# ---- facts ----------------------------------------------------------------------------------------------------------


def facts(plan: Plan, lines: Lines) -> tuple[dict[str, Any], dict[str, str]]:
    """What there is, and why some of it is not known."""
    found: dict[str, Any] = {}
    failures: dict[str, str] = {}
    process = Process()
    for name, (function, arguments) in FACTS.items():
        try:
            found[name] = process.ask(FACT, function, *arguments.get(plan.sizes, ()))
            lines.add("facts", name, value=found[name])
        except WorkerError as error:
            failures[name] = str(error)
            lines.add("facts", name, error=str(error), traceback=getattr(error, "traceback", ""))
            if process.ended:
                process.close()
                process = Process()
    process.close()
    return found, failures


# ---- correctness ----------------------------------------------------------------------------------------------------


def correctness(plan: Plan, device: Mapping[str, Any], end: float, lines: Lines, known: Found) -> dict[str, Any]:
    """Each section's outcomes; ``known`` are not asked again. What has no time any more is said to be not run."""
    processes = side_by_side(device)
    checked = {
        name: _section(plan, name, start, names, processes, end, lines, known.get(name, {}))
        for name, start, names in sections(plan)
    }
    return {name: section for name, section in checked.items() if section is not None}


def side_by_side(device: Mapping[str, Any]) -> int:
    """How many processes share the device: one where it lets in only one, else as many as it has memory for."""
    return 1 if device["exclusive"] else int(min(PROCESSES, processors(), max(device["free"] // EACH, 1)))


def processors() -> int:
    """How many processes may compute at a time, one left for what else there is."""
    return max(len(machine.available_cpus()) - 1, 1)


def sections(plan: Plan) -> list[tuple[str, Start, Callable[[], Sequence[str]]]]:
    """Sections of correctness: what works on them, and their units."""
    quick = plan.sizes != "large"
    made: list[tuple[str, Start, Callable[[], Sequence[str]]]] = [
        (name, partial(_checking, name, plan.sizes), partial(ask, 60.0, "bench.gpu.checks:names", name))
        for name in ("conformance", "training", "products", "device", "kernels")  # by what they are worth
    ]
    if suites.missing() is None:
        made.append(("tests", suites.on_the_device, partial(suites.device_tests, quick)))
        made.append(("tests of kernels", suites.of_cuda, partial(suites.cuda_tests, quick)))
    return made


def _checking(section: str, sizes: str, names: Sequence[str]) -> Process:
    """A process that works on some checks."""
    process = Process()
    process.send("bench.gpu.checks:work", section, list(names), sizes)
    return process


def _section(
    plan: Plan,
    name: str,
    start: Start,
    names: Callable[[], Sequence[str]],
    processes: int,
    end: float,
    lines: Lines,
    known: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any] | None:
    """The outcomes of a section, those that are known among them; None where nothing of it was asked for."""
    began = time.monotonic()
    budget, limit = BUDGETS[name]

    def note(outcome: Outcome) -> None:
        lines.add(name, outcome.name, **{key: value for key, value in outcome._asdict().items() if key != "name"})

    try:
        units = [unit for unit in names() if plan.match.lower() in unit.lower()]
    except WorkerError as error:
        units, found = [], [Outcome("what there is to check", FAILED, 0.0, str(error))]
    else:
        if not units:
            return None
        found = [Outcome(*(known[unit][field] for field in Outcome._fields)) for unit in units if unit in known]
        left = [unit for unit in units if unit not in known]
        found += outcomes(start, left, limit, min(began + budget, end), processes, note)
    result = summary(found, name not in TESTED) | {"wall": round(time.monotonic() - began, 1)}
    reused = sum(unit in known for unit in units)
    counted = [f"{count} {what}" for what, count in result["counts"].items() if count]
    said(f"{name}: {', '.join(counted)}{f' ({reused} by an earlier run)' if reused else ''}", began)
    return result


# ---- speed ----------------------------------------------------------------------------------------------------------


def racing(plan: Plan, memory: int, end: float) -> speed.Field:
    """The contenders, who make ready from now on."""
    keys = TRAININGS if plan.sizes == "large" else QUICK
    return speed.Field([speed.fitted(TRAININGS[key], memory) for key in keys], list(CONTENDERS), end)


def racers(plan: Plan, field: speed.Field, end: float, failures: dict[str, str], lines: Lines) -> dict[str, Any]:
    """Trainings, then what is bound by memory."""
    began = time.monotonic()
    quick = plan.sizes != "large"
    trainings = field.race(3 if quick else 9, end - FOR_SPEED / 4)
    lines.add("speed", "trainings", value=trainings)
    said("trainings", began)
    field.close()
    began = time.monotonic()
    rows, missing = speed.traffic(1 if quick else 5, end)
    failures |= missing
    lines.add("speed", "traffic", value=rows, missing=missing)
    said("bound by memory", began)
    return {"trainings": trainings, "traffic": rows}
