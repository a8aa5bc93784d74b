"""The whole measurement, section by section, and the files it leaves.

Each section is written as soon as it is measured, into the file of the machine at hand: so a report can be made in
parts, and one that was cut off can go on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import machine, memory, scaling, sources, startup
from bench.contenders import CONTENDERS
from bench.measure import Field, run
from bench.plot import draw
from bench.render import page_title, render
from bench.worker import WorkerError, ask
from bench.workloads import WORKLOADS

RESULTS = Path(__file__).parent / "results"
SECTIONS = (*WORKLOADS, "limits", "memory", "startup", "scaling")
ROUNDS, QUICK_ROUNDS = 15, 3
#: Folders whose Python files decide what is measured.
MEASURED = ("nnkit", "backends", "kernels", "bench")
#: What parts of one report have in common.
COMMON = ("processor", "vectors", "python", "versions", "threads", "blas", "environment")


class Different(RuntimeError):
    """Why a part cannot join the report that is there."""


def report(only: Sequence[str] = SECTIONS, quick: bool = False, folder: Path = RESULTS, resume: bool = False) -> Path:
    """Measure sections, and write <machine>.json, .md and .png; returns the path of the Markdown file.

    What else the JSON file has stays in it, where it is from the same machine and versions; a whole report replaces
    one that is not. With ``resume`` sections are left out that the file has from the same sources. A quick report has
    files of its own. Raises Different.
    """
    about = described()
    name = machine.slug(about["processor"], about["vectors"]) + ("-quick" if quick else "")
    path = folder / f"{name}.json"
    results = begun(path, name, about, whole=set(only) == set(SECTIONS)) | {"quick": quick}
    folder.mkdir(parents=True, exist_ok=True)
    Sections(path, results, only, resume).run(QUICK_ROUNDS if quick else ROUNDS, quick)
    return write(path)


def described() -> dict[str, Any]:
    """The machine and what is installed."""
    packages = [package for contender in CONTENDERS.values() for package in contender.packages]
    about = machine.describe(dict.fromkeys(packages)) | {"blas": ask("bench.machine:blas")}
    return dict(json.loads(json.dumps(about)))  # as it is read again


def begun(path: Path, name: str, about: Mapping[str, Any], whole: bool) -> dict[str, Any]:
    """The report that is there, or a new one. Raises Different where neither can be gone on with."""
    new = {"name": name, "machine": about, "measured": {}, "workloads": {}, "failures": {}}
    if not path.exists():
        return new
    there = json.loads(path.read_text(encoding="utf-8"))
    other = [key for key in COMMON if there["machine"].get(key) != about[key]]
    if not other:
        return {**there, "machine": about}
    if whole:
        return new
    raise Different(
        f"{path} is of another {' and '.join(other)}: parts that differ so do not make one report; "
        "measure the whole, or name another folder by --output"
    )


def write(path: Path) -> Path:
    """Make the Markdown file and the plot from a JSON file that was measured before."""
    results = json.loads(path.read_text(encoding="utf-8"))
    page = path.with_suffix(".md")
    page.write_text(render(results, reasons(path)), encoding="utf-8")
    if results.get("scaling"):
        draw(results["scaling"], page_title(results["machine"]), path.with_suffix(".png"))
    return page


def reasons(path: Path) -> Mapping[str, str]:
    """Why targets were missed on this machine, written by hand: <machine>.reasons.toml, workload = "reason"."""
    beside = path.with_suffix(".reasons.toml")
    return tomllib.loads(beside.read_text(encoding="utf-8")) if beside.exists() else {}


class Sections:
    """Runs the sections into a report; one that fails leaves the others their numbers."""

    def __init__(self, path: Path, results: dict[str, Any], only: Sequence[str], resume: bool = False) -> None:
        self._path, self._results = path, results
        self._sources, self._commit = sources.digest(MEASURED), machine.commit()
        have = {name for name, told in results["measured"].items() if told["sources"] == self._sources}
        self._only = [name for name in only if not (resume and name in have)]

    def run(self, rounds: int, quick: bool) -> None:
        """All that were asked for."""
        field = Field()
        try:
            for key, workload in WORKLOADS.items():
                timed = partial(run, field, workload, rounds, list(CONTENDERS))
                measured = partial(memory.peaks, workload) if workload.kind == "memory" else timed
                self.section(key, measured, self._results["workloads"])
        finally:
            field.close()
        self._results["workloads"] = {key: row for key in WORKLOADS if (row := self._results["workloads"].get(key))}
        self.section("limits", partial(ask, "bench.limits:measure", quick), self._results)
        self.section("memory", memory.measure, self._results)
        self.section("startup", partial(startup.measure, quick), self._results)
        self.section("scaling", partial(scaling.measure, quick), self._results)

    def section(self, name: str, measure: Callable[[], Any], into: dict[str, Any]) -> None:
        """One of them, written at once; says on stderr how long it took."""
        if name not in self._only:
            return
        start, before = time.monotonic(), machine.load()
        try:
            into[name] = measure()
        except (WorkerError, subprocess.CalledProcessError) as error:
            self._results["failures"][name] = str(error)
        else:
            self._results["failures"].pop(name, None)
            self._results["measured"][name] = {
                "commit": self._commit, "sources": self._sources, "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
                "seconds": round(time.monotonic() - start), "load": [before, machine.load()],
            }  # fmt: skip
        self._save()
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)

    def _save(self) -> None:
        missing = set(SECTIONS) - self._results["measured"].keys()
        self._results["partial"] = bool(missing) or self._results["quick"]
        beside = self._path.with_suffix(".json.new")
        beside.write_text(json.dumps(self._results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(beside, self._path)
