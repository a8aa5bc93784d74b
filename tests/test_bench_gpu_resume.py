"""Runs of ``python -m bench gpu`` that are killed or out of time: what they found stays, and the next one goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from waiting import HANG

from bench import __main__ as command
from bench import sources
from bench.gpu import correctness, findings, report, speed
from bench.gpu.lines import Lines, done, merged, read, together
from bench.gpu.outcomes import FAILED, NOT_RUN, PASSED, SKIPPED, Outcome
from bench.gpu.plan import ALL, CHECKED, FAILED_ONES, PARTS, TESTED, TIMED, Plan

# ---- which runs go on from one another ------------------------------------------------------------------------------

RUN = {"sources": "abc", "versions": {"numpy": "2"}, "sizes": "large", "planned": [], "whole": True, "value": {}}
OTHERS: dict[str, tuple[dict[str, Any], str | None, bool]] = {  # the earlier run, its card, whether it is gone on from
    "the same": (RUN, "a card", True),
    "other sources": (RUN | {"sources": "def"}, "a card", False),
    "other versions": (RUN | {"versions": {"numpy": "3"}}, "a card", False),
    "other sizes": (RUN | {"sizes": "quick"}, "a card", False),
    "another card": (RUN, "another card", False),
    "no card was found": (RUN, None, False),
}


def begin(lines: Lines, run: dict[str, Any] = RUN, card: str | None = "a card") -> None:
    lines.add("run", "machine", **run)
    if card is None:
        lines.add("facts", "device", error="CUDA is gone")
    else:
        lines.add("facts", "device", value={"name": card})


def outcome(lines: Lines, section: str, name: str, what: str, detail: str = "") -> None:
    lines.add(section, name, outcome=what, seconds=1.0, detail=detail, traceback="")


@pytest.mark.parametrize("which", OTHERS)
def test_runs_of_the_same_sources_versions_sizes_and_card_are_one(which: str, tmp_path: Path) -> None:
    run, card, same = OTHERS[which]
    path = tmp_path / "gpu.jsonl"
    with Lines(path) as lines:
        begin(lines, run, card)
        outcome(lines, "kernels", "casts", PASSED)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"section": "kernels", "name": "cut o')
    with Lines(path) as lines:
        begin(lines)  # this run
        found = merged(together(lines.all))
    assert list(found.get("kernels", {})) == (["casts"] if same else [])
    assert [line["section"] for line in read(path)] == ["run", "facts", "kernels", "run", "facts"]


def test_what_was_not_run_takes_nothing_away() -> None:
    lines = Lines()
    for what in (FAILED, NOT_RUN):
        begin(lines)
        outcome(lines, "kernels", "casts", what)
    assert merged(together(lines.all))["kernels"]["casts"]["outcome"] == FAILED


# ---- what is done again ---------------------------------------------------------------------------------------------

EARLIER = {  # section -> name -> what an earlier run says of it
    "kernels": {"fine": PASSED, "wrong": FAILED, "skipped": SKIPPED, "late": NOT_RUN},
    "tests": {
        "test_fine.py::a": PASSED, "test_fine.py": "ended", "test_wrong.py::a": PASSED, "test_wrong.py::b": FAILED,
        "test_wrong.py": "ended", "test_cut.py::a": PASSED, "test_late.py": NOT_RUN, "test_crashed.py": FAILED,
    },
    "trainings": {"small": {"absent": {"JAX": "not installed"}}, "middle": {"absent": {"JAX": "failed: x"}}},
    "traffic": {"adam": {"share": 1}, "gelu": "error"},
}  # fmt: skip
KNOWN = {  # section, again -> what need not be done, and the units that are through
    ("kernels", ""): ({"fine", "wrong", "skipped"}, {"fine", "wrong", "skipped"}),
    ("kernels", FAILED_ONES): ({"fine", "skipped"}, {"fine", "skipped"}),
    ("kernels", ALL): (set(), set()),
    ("tests", ""): (EARLIER["tests"].keys() - {"test_late.py"}, {"test_fine.py", "test_wrong.py", "test_crashed.py"}),
    ("tests", FAILED_ONES): (
        EARLIER["tests"].keys() - {"test_late.py", "test_wrong.py::b", "test_crashed.py"}, {"test_fine.py"}
    ),
    ("trainings", ""): ({"small", "middle"}, {"small", "middle"}),
    ("trainings", FAILED_ONES): ({"small"}, {"small"}),
    ("traffic", ""): ({"adam", "gelu"}, {"adam", "gelu"}),
    ("traffic", FAILED_ONES): ({"adam"}, {"adam"}),
}  # fmt: skip


@pytest.mark.parametrize(("section", "again"), KNOWN)
def test_what_has_an_outcome_is_not_done_again_unless_it_failed_and_that_was_asked_for(
    section: str, again: str
) -> None:
    lines = Lines()
    begin(lines)
    for name, said in EARLIER[section].items():
        if said in ("ended", "error"):
            lines.add(section, name, **{said: True})
        elif isinstance(said, dict):
            lines.add(section, name, value=said)
        else:
            outcome(lines, section, name, said)
    begin(lines)
    found = findings.known(section, lines.all, again)
    assert (set(found["done"]), set(found["ended"])) == KNOWN[section, again]


# ---- what the lines say together ------------------------------------------------------------------------------------


def test_what_nobody_came_to_is_not_run() -> None:
    lines = Lines()
    begin(lines, RUN | {"planned": ["conformance", "training", "kernels", "tests", "trainings", "traffic"]})
    lines.add("units", "conformance", value=["a", "b"])
    outcome(lines, "conformance", "a", PASSED)
    lines.add("units", "kernels", value=[])  # nothing of it was asked for
    lines.add("units", "tests", value=["test_a.py", "test_b.py"])
    outcome(lines, "tests", "test_a.py::x", PASSED)
    outcome(lines, "tests", "test_b.py::x", PASSED)
    lines.add("tests", "test_b.py", ended=True)
    lines.add("units", "traffic", value=["adam", "gelu"])
    lines.add("traffic", "adam", error="no memory")
    lines.add("traffic", "gelu", outcome=NOT_RUN, detail="time")
    found = findings.results(lines.all)
    assert {name: section["counts"][NOT_RUN] for name, section in found["correctness"].items()} == {
        "conformance": 1, "training": 1, "tests": 1,
    }  # fmt: skip
    assert found["correctness"]["tests"]["checks"] == {"test_a.py": [NOT_RUN, 0.0, "the run ended before"]}
    assert found["not timed"] == {"trainings": {"all of it": "the run ended before"}, "traffic": {"gelu": "time"}}
    assert found["failures"] == {"adam": "no memory"} and not found["passed"] and not found["partial"]


def test_what_stopped_an_earlier_run_does_not_stay() -> None:
    lines = Lines()
    for failure in ("starting the process", ""):
        begin(lines, RUN | {"planned": ["kernels"]})
        lines.add("units", "kernels", value=["casts"])
        outcome(lines, "kernels", failure or "casts", FAILED if failure else PASSED)
    assert findings.results(lines.all)["passed"]


def test_the_sections_come_in_the_order_of_their_worth() -> None:
    assert Plan().sections(tests=True) == [*CHECKED, *TIMED, *TESTED]
    assert Plan(["speed"]).sections(tests=True) == [*TIMED]
    assert Plan(["correctness"]).sections(tests=False) == [*CHECKED]
    assert CHECKED[:3] == ("conformance", "training", "captured") and set(Plan().only) == set(PARTS)


# ---- out of time ----------------------------------------------------------------------------------------------------


def test_what_does_not_fit_into_the_minutes_is_not_run_for_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Lines()
    report.measure(Plan(minutes=0.0), lines)
    found = findings.results(lines.all)
    assert set(found["failures"].values()) == {"not run: time"} and found["facts"] == {}
    details = [check for section in found["correctness"].values() for check in section["checks"].values()]
    assert {(kind, why) for kind, _, why in details} == {(NOT_RUN, "time")}
    assert found["correctness"].keys() == {*CHECKED, *TESTED} and found["not timed"].keys() == set(TIMED)


# ---- killed ---------------------------------------------------------------------------------------------------------

#: The whole command over the stand-in, in few and small sections; it kills itself after so many lines of a section.
RUNNER = """
import os, signal, sys
from functools import partial
from pathlib import Path
here, folder, section, count = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
sys.path[:0] = [str(here.parent), str(here)]
import test_bench_gpu, test_bench_gpu_speed, waiting
from bench.gpu import attention, correctness, lines, plan, process, report, speed, suites

process.COMMAND = [sys.executable, "-c", test_bench_gpu.PRETENDED]
report.FACTS = {name: report.FACTS[name] for name in ("probe", "device")}
correctness.LONGEST_SILENCE = report.FACT = speed.IN_TURN = waiting.HANG
plan.CHECKED, plan.TESTED = ("conformance",), ("tests",)
units = {"conformance": ["map-gelu_tanh", "copy-transposed", "map-relu", "map-gelu"]}
correctness._units = lambda plan, name: units.get(name) or ["test_one.py", "test_two.py"]
suites.on_the_device = partial(suites.pytest_in, folder, {}, "")
Pretended = speed.Contestant = test_bench_gpu_speed.Pretended
Pretended.done, Pretended.ready_now, Pretended.broken = [], set(), {}

class Process(process.Process):
    def ask(self, patience, function, *arguments, **options):
        return {"title": "pretended", "count": 1, "wanted": 1, "share": {"median": 1.0, "low": 1.0, "high": 1.0},
                "bytes_per_second": {"median": 1.0}, "copy": {"median": 1.0}}

class Attending(process.Process):
    def ask(self, patience, function, *arguments, **options):
        return {"bytes": 1, "outcome": [1.0]}

speed.Process, attention.Process = Process, Attending
add = lines.Lines.add
def adding(self, name, *rest, **found):
    global count
    add(self, name, *rest, **found)
    count -= name == section
    if name == section and count == 0:
        os.kill(os.getpid(), signal.SIGKILL)

lines.Lines.add = adding
page, passed = report.report(plan.Plan(sizes="tiny"), folder)
print(page, passed)
"""
FILES = {
    "test_one.py": "def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass\n",
    "test_two.py": "def test_a(): pass\n",
}
KILLS = [("conformance", 2), ("trainings", 1), ("tests", 2)]


def run(folder: Path, section: str, count: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUNNER, str(Path(__file__).parent), str(folder), section, str(count)]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG)


def test_a_run_that_is_killed_leaves_all_it_has_and_the_next_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("greenlet", reason="pip install nnkit[test-cuda]: the emulator needs greenlet")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    for section, count in KILLS:
        ended = run(tmp_path, section, count)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        assert command.main(["gpu", "--render", "--output", str(tmp_path)]) == 1
        page = Path(capsys.readouterr().out.strip()).read_text()
        assert "> **Not finished**:" in page
    ended = run(tmp_path, "", 0)
    assert ended.returncode == 0 and ended.stdout.split()[1] == "True", ended.stderr
    lines = read(tmp_path / "gpu.jsonl")
    sections = ("conformance", "trainings", "traffic", "attention", "tests")
    counts = Counter((line["section"], line["name"]) for line in lines if line["section"] in sections and done(line))
    assert set(counts.values()) == {1}, counts
    assert Counter(section for section, _ in counts) == {
        "conformance": 4, "trainings": 5, "traffic": 4, "attention": 1, "tests": 6,
    }  # fmt: skip
    page = Path(ended.stdout.split()[0])
    written = page.read_text()
    assert "Not finished" not in written and "of 4 runs, each of which went on" in written
    page.unlink()
    assert command.main(["gpu", "--render", "--output", str(tmp_path)]) == 0
    assert page.read_text() == written


def test_without_lines_there_is_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["gpu", "--render", "--output", str(tmp_path)]) == 2
    assert "gpu.jsonl has no run in it" in capsys.readouterr().err


# ---- what is said meanwhile -----------------------------------------------------------------------------------------


def test_a_section_says_how_far_it_is_and_that_it_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correctness, "EVERY", 0.0)
    said: list[str] = []
    notes = correctness.Telling("kernels", Lines(), 2, said.append)
    notes.total = 3
    notes.compiling("map_relu")
    notes.outcome(Outcome("casts", FAILED, 1.0, "wrong"))
    notes.close()
    assert said[:3] == [
        "kernels: 0 of 3, 1 kernels compiled; compiling map_relu", "kernels: failed: casts: wrong",
        "kernels: 1 of 3, 1 kernels compiled",
    ]  # fmt: skip
    assert said[3].startswith("kernels: 1 failed (besides 2 by an earlier run), 1 kernels compiled: ")


def test_rows_that_are_known_are_not_timed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines()
    begin(lines)
    lines.add("traffic", "adam", value={"share": 1})
    asked: list[str] = []
    monkeypatch.setattr(speed, "traffic", lambda keys, *rest: asked.extend(keys))
    speed.run(Plan(), "traffic", correctness.UNKNOWN, time.monotonic() + HANG, lines)
    assert asked == ["gelu", "gelu_grad", "cross_entropy"]


def test_the_hash_of_the_sources_is_of_their_names_and_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "ROOT", str(tmp_path))
    seen = [sources.digest()]
    for name, text in (("a.py", "1"), ("a.py", "2"), ("b.py", ""), ("c.md", "not code")):
        (tmp_path / "nnkit").mkdir(exist_ok=True)
        (tmp_path / "nnkit" / name).write_text(text)
        seen.append(sources.digest())
    assert len(set(seen)) == 4 and seen[-1] == seen[-2]
