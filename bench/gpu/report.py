"""The whole of ``python -m bench gpu``: facts, correctness, speed, what is worth most first; and the files it leaves.

Everything is written to gpu.jsonl at once, and the page is made of that file alone.
"""

from __future__ import annotations

import json
import math
import os
import signal
import time
from pathlib import Path
from typing import Any

from bench import machine, sources
from bench.gpu import correctness, findings, speed, suites
from bench.gpu.correctness import UNKNOWN, said
from bench.gpu.facts import PACKAGES
from bench.gpu.lines import Lines, read
from bench.gpu.outcomes import NOT_RUN, TIME
from bench.gpu.plan import TIMED, Plan
from bench.gpu.process import Over, Process, end_all
from bench.gpu.render import render
from bench.worker import WorkerError

RESULTS = Path(__file__).parent.parent / "results"
LINES = "gpu.jsonl"
#: Fact -> the function that finds it out, and its arguments in other sizes than "large".
FACTS: dict[str, tuple[str, dict[str, tuple[Any, ...]]]] = {
    "libraries": ("bench.gpu.facts:libraries", {}),
    "nvidia-smi": ("bench.gpu.facts:nvidia_smi", {}),
    "probe": ("bench.gpu.facts:probe", {}),
    "device": ("bench.gpu.facts:device", {}),
    "compiler": ("bench.gpu.facts:compiler", {}),
    "launches": ("bench.gpu.facts:launches", {"tiny": (2,)}),
    "epilogues": ("bench.gpu.epilogues:offered", {}),
    "meaning": ("bench.gpu.epilogues:meaning", {}),
    "bias gradient": ("bench.gpu.epilogues:bias_gradient", {"quick": (3,), "tiny": (1, [[8, 16, 8]])}),
}
FACT = 90.0  # seconds for which one of the facts may say nothing


class NoGpu(RuntimeError):
    """Why the GPU cannot be used here."""


class NothingToRender(RuntimeError):
    """Why there is no page to be made."""


def report(plan: Plan, folder: Path = RESULTS) -> tuple[Path, bool]:
    """Run, and write <gpu>.json and <gpu>.md; the path of the latter, and whether correctness passed.

    What is found is added to gpu.jsonl at once, with the traceback of what failed. What runs of the same sources,
    versions and sizes on the same card have there already is taken from it, but for the facts. Raises NoGpu.
    """
    before = {number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Lines(folder / LINES) as lines:
            measure(plan, lines)
            return written(lines, folder)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def rendered(folder: Path = RESULTS) -> tuple[Path, bool]:
    """The same files from the lines that are there, without a GPU. Raises NothingToRender."""
    path, lines = folder / LINES, Lines()
    lines.all = read(path)
    if not any(line["section"] == "run" for line in lines.all):
        raise NothingToRender(f"{path} has no run in it; run python -m bench gpu first, or name its folder by --output")
    return written(lines, folder)


def written(lines: Lines, folder: Path) -> tuple[Path, bool]:
    """Write both files."""
    results = findings.results(lines.all)
    path = folder / f"{results['name']}.json"
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page = path.with_suffix(".md")
    page.write_text(render(results), encoding="utf-8")
    return page, results["passed"]


def interrupted(number: int, frame: Any) -> None:
    """Ctrl-C, or asked to end: end what was started, and this process with it."""
    end_all()
    said(f"interrupted; {LINES} has what was found: the same command goes on, and with --render makes the page")
    os._exit(128 + number)


def measure(plan: Plan, lines: Lines) -> None:
    """Everything, into lines. Raises NoGpu."""
    start = time.monotonic()
    end = math.inf if plan.minutes is None else start + 60.0 * plan.minutes
    described, absent = machine.describe(PACKAGES), suites.missing()
    planned = plan.sections(absent is None)
    lines.add(
        "run", "machine", value=described, planned=planned, whole=plan.whole, match=plan.match, minutes=plan.minutes,
        sources=sources.digest(), versions=described["versions"], sizes=plan.sizes,
    )  # fmt: skip
    if "correctness" in plan.only and absent is not None:
        lines.add("missing", "tests", error=absent)
    device = facts(plan, lines, end)
    said(f"{device['name']}: facts: {time.monotonic() - start:.0f} s")
    for name in planned:
        if name in TIMED:
            speed.run(plan, name, device, end, lines)
        else:
            correctness.run(plan, name, device, end, lines)


def facts(plan: Plan, lines: Lines, end: float = math.inf) -> dict[str, Any]:
    """Write what there is, and why some of it is not known; gives the device. Raises NoGpu where it cannot be used."""
    device: dict[str, Any] = UNKNOWN
    process = Process(until=end)
    for name, (function, arguments) in FACTS.items():
        if process.ended and time.monotonic() < end:
            process.close()
            process = Process(until=end)
        try:
            if time.monotonic() >= end:
                raise Over(TIME)
            found = process.ask(FACT, function, *arguments.get(plan.sizes, ()))
        except Over as error:
            lines.add("facts", name, error=f"{NOT_RUN}: {error}")
        except WorkerError as error:
            lines.add("facts", name, error=str(error), traceback=getattr(error, "traceback", ""))
            if name == "probe":
                process.close()
                raise NoGpu(str(error).removeprefix("RuntimeError: ")) from error
        else:
            lines.add("facts", name, value=found)
            device = found if name == "device" else device
    process.close()
    return device
