"""The whole measurement, section by section, and the files it leaves."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import machine, memory, scaling, startup
from bench.contenders import CONTENDERS
from bench.measure import Field, run
from bench.plot import draw
from bench.render import render
from bench.worker import WorkerError, ask
from bench.workloads import WORKLOADS

RESULTS = Path(__file__).parent / "results"
SECTIONS = (*WORKLOADS, "limits", "memory", "startup", "scaling")
ROUNDS, QUICK_ROUNDS = 15, 3


def report(only: Sequence[str] = SECTIONS, quick: bool = False, folder: Path = RESULTS) -> Path:
    """Measure, and write <machine>.json, .md and .png; returns the path of the Markdown file.

    A report that is not whole has "partial" in its name, and does not replace a whole one.
    """
    results = measure(only, quick)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{results['name']}.json"
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return write(path)


def write(path: Path) -> Path:
    """Make the Markdown file and the plot from a JSON file that was measured before."""
    results = json.loads(path.read_text(encoding="utf-8"))
    page = path.with_suffix(".md")
    page.write_text(render(results, reasons(path)), encoding="utf-8")
    if results.get("scaling"):
        processor = results["machine"]["processor"]["name"]
        draw(results["scaling"], f"{processor}, {results['machine']['threads']} threads", path.with_suffix(".png"))
    return page


def reasons(path: Path) -> Mapping[str, str]:
    """Why targets were missed on this machine, written by hand: <machine>.reasons.toml, workload = "reason"."""
    beside = path.with_suffix(".reasons.toml")
    return tomllib.loads(beside.read_text(encoding="utf-8")) if beside.exists() else {}


class Sections:
    """Runs the sections; one that fails leaves the others their numbers."""

    def __init__(self, only: Sequence[str]) -> None:
        self._only = only
        self.failures: dict[str, str] = {}

    def run(self, name: str, section: Callable[[], Any]) -> Any:
        """The numbers of a section, None if it was not asked for or failed; says on stderr how long it took."""
        if name not in self._only:
            return None
        start = time.monotonic()
        result = None
        try:
            result = section()
        except (WorkerError, subprocess.CalledProcessError) as error:
            self.failures[name] = str(error)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        return result


def measure(only: Sequence[str], quick: bool) -> dict[str, Any]:
    """All numbers of the chosen sections."""
    is_partial = quick or set(only) != set(SECTIONS)
    packages = [package for contender in CONTENDERS.values() for package in contender.packages]
    about = machine.describe(dict.fromkeys(packages)) | {"blas": ask("bench.machine:blas")}
    processor = about["processor"]
    sections = Sections(only)
    return {
        "name": machine.slug(processor["name"], processor["cores"]) + ("-partial" if is_partial else ""),
        "partial": is_partial,
        "machine": about,
        "load_before": machine.load(),
        "workloads": _workloads(sections, QUICK_ROUNDS if quick else ROUNDS),
        "limits": sections.run("limits", partial(ask, "bench.limits:measure", quick)),
        "scaling": sections.run("scaling", partial(scaling.measure, quick)),
        "memory": sections.run("memory", memory.measure),
        "startup": sections.run("startup", partial(startup.measure, quick)),
        "failures": sections.failures,
        "load_after": machine.load(),
    }


def _workloads(sections: Sections, rounds: int) -> dict[str, Any]:
    field = Field()
    try:
        found = {
            key: sections.run(key, partial(run, field, workload, rounds, list(CONTENDERS)))
            for key, workload in WORKLOADS.items()
        }
    finally:
        field.close()
    return {key: row for key, row in found.items() if row is not None}
