"""Processes that die or hang, tests as lines, and the page of ``python -m bench gpu``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from waiting import HANG

from bench import machine
from bench.gpu import outcomes, process, suites
from bench.gpu.outcomes import FAILED, NOT_RUN, PASSED, SKIPPED, Outcome
from bench.gpu.process import Failed, Late, Over, Process
from bench.gpu.render import render
from bench.worker import WorkerError

# ---- processes ------------------------------------------------------------------------------------------------------


def test_a_process_answers_and_survives_errors() -> None:
    with Process() as worker:
        assert worker.ask(HANG, "math:gcd", 12, 18) == 6
        with pytest.raises(WorkerError, match="ValueError: "):
            worker.ask(HANG, "math:sqrt", -1.0)
        assert worker.ask(HANG, "math:gcd", 12, 20) == 4
        with pytest.raises(WorkerError, match="the process ended with code 3"):
            worker.ask(HANG, "os:_exit", 3)
        assert worker.ended


def test_a_process_that_dies_of_a_fault_says_where() -> None:
    with Process() as worker, pytest.raises(Failed, match="signal SIGSEGV: Fatal Python error") as caught:
        worker.ask(HANG, "faulthandler:_sigsegv")
    assert " in serve" in caught.value.traceback


def test_a_process_that_is_late_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STACKS", HANG)
    with Process() as worker:
        assert worker.ask(HANG, "math:gcd", 12, 18) == 6
        with pytest.raises(Late, match="it said nothing for 0 s") as caught:
            worker.ask(0.2, "time:sleep", HANG)
        assert " in serve" in caught.value.traceback  # what its threads were at
        with pytest.raises(WorkerError, match="the process ended with signal SIGKILL"):
            worker.ask(HANG, "math:gcd", 1, 2)


COMPILES = """
import itertools, json, sys, time
for number in range(int(sys.argv[1])) if sys.argv[1:] else itertools.count():
    print(json.dumps({"compiling": f"kernel {number}"}), flush=True)
    time.sleep(0.5)
print(json.dumps({"value": "done"}), flush=True)
time.sleep(3600)
"""


def test_what_compiles_is_waited_for_and_what_is_silent_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its four kernels take longer together than it may be silent, by a clock that goes on when one is begun."""
    clock, heard = [0.0], list[str]()

    def heed(kernel: str) -> None:
        heard.append(kernel)
        clock[0] += 0.9 * HANG

    monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    with Process([sys.executable, "-c", COMPILES, "4"]) as worker:
        worker.heed = heed
        assert worker.answer(HANG) == "done"
        assert heard == [f"kernel {number}" for number in range(4)]
        monkeypatch.undo()
        with pytest.raises(Late, match="it said nothing for 1 s"):
            worker.answer(1.0)


def test_when_the_whole_time_is_up_a_process_is_ended_though_it_says_something() -> None:
    with Process([sys.executable, "-c", COMPILES], until=time.monotonic() + 1.5) as worker:
        with pytest.raises(Over, match="time"):
            worker.answer(HANG)
        assert worker.ended


TOLD = """
from types import SimpleNamespace
from nnkit.kernels.cuda import compiler
compiler.compiled = lambda source, architecture: architecture
from bench.gpu import process
compiler.tried = lambda name: compiler.compiled(SimpleNamespace(name=name), "sm_90")
process.serve()
"""


def test_each_kernel_that_is_compiled_is_said() -> None:
    with Process([sys.executable, "-c", TOLD]) as worker:
        heard: list[str] = []
        worker.heed = heard.append
        assert worker.ask(HANG, "nnkit.kernels.cuda.compiler:tried", "map_relu") == "sm_90"
        assert heard == ["map_relu"]


ODD = """
import os, time

def work(names):
    for name in names:
        yield {"begin": name}
        if name == "hangs":
            time.sleep(3600)
        if name == "dies":
            os._exit(5)
        yield {"name": name, "outcome": "passed"}
        if name == "broke CUDA":
            return
"""


class Hasty(Process):
    """Is waited for as long as it takes, but where it is known to hang: there for a moment. Notes how long it may."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.unit, self.patience = "", list[float]()

    def line(self, patience: float) -> dict[str, Any] | None:
        self.patience.append(patience)
        said = super().line(0.2 if self.unit == "hangs" else HANG)
        self.unit = (said or {}).get("item", {}).get("begin", self.unit)
        return said


def test_what_dies_or_hangs_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STACKS", HANG)
    (tmp_path / "odd.py").write_text(ODD)
    started: list[Hasty] = []

    def start(names: Sequence[str]) -> Process:
        worker = Hasty(more={"PYTHONPATH": os.pathsep.join((str(machine.ROOT), str(tmp_path)))})
        worker.send("odd:work", list(names))
        started.append(worker)
        return worker

    units = ["a", "hangs", "b", "dies", "c", "broke CUDA", "d"]
    found = outcomes.outcomes(start, units, 3.0, time.monotonic() + HANG, processes=2)
    assert {o.name: o.outcome for o in found} == dict.fromkeys(units, PASSED) | {"hangs": FAILED, "dies": FAILED}
    details = {o.name: o.detail for o in found}
    assert "odd.py" in next(o.traceback for o in found if o.name == "hangs")
    assert details["hangs"] == "it said nothing for 0 s" and details["dies"].startswith("the process ended with code 5")
    assert all(worker.patience[0] == outcomes.STARTING and set(worker.patience[1:]) <= {3.0} for worker in started)


def test_what_there_is_no_time_for_is_said() -> None:
    found = outcomes.outcomes(lambda names: Process(), ["a", "b"], 1.0, time.monotonic() - 1.0)
    assert [(o.name, o.outcome) for o in found] == [("a", NOT_RUN), ("b", NOT_RUN)]
    assert not outcomes.all_passed(outcomes.summary(found))


@pytest.mark.parametrize(
    ("found", "passed"),
    [([PASSED], True), ([PASSED, SKIPPED], True), ([PASSED, FAILED], False), ([PASSED, NOT_RUN], False), ([], False)],
)
def test_passed_means_that_nothing_failed_or_was_left_out(found: list[str], passed: bool) -> None:
    assert outcomes.all_passed(outcomes.summary(Outcome(str(n), o) for n, o in enumerate(found))) is passed


TESTS = {
    "test_one.py": """
import pytest

@pytest.mark.parametrize("x", ["a/b", "c"])
def test_of(x):
    assert x == "c", "not c"

def test_skipped():
    pytest.skip("no reason")

@pytest.fixture
def broken():
    yield
    raise RuntimeError("afterwards")

def test_teardown(broken):
    pass
""",
    "test_two.py": "import no_such_library\n",
    "test_three.py": "import nnkit.no_such_module\n",
}


def test_outcomes_of_tests_reach_the_parent(tmp_path: Path) -> None:
    for name, text in TESTS.items():
        (tmp_path / name).write_text(text)
    start = partial(suites.pytest_in, tmp_path, {}, "")
    found = outcomes.outcomes(start, list(TESTS), HANG, time.monotonic() + HANG)
    assert [(o.name, o.outcome) for o in found if "teardown" not in o.name] == [
        ("test_two.py", SKIPPED), ("test_three.py", FAILED), ("test_one.py::test_of[a/b]", FAILED),
        ("test_one.py::test_of[c]", PASSED), ("test_one.py::test_skipped", SKIPPED),
    ]  # fmt: skip
    assert [o.outcome for o in found if "teardown" in o.name][-1] == FAILED
    assert "not c" in next(o.detail for o in found if "a/b" in o.name)


MARKED = """
import pytest

@pytest.mark.compiles
def test_that_only_compiles():
    raise AssertionError

@pytest.mark.long
def test_that_takes_long():
    raise AssertionError

@pytest.mark.parametrize("x", ["a", "b::c"])
def test_of(x):
    pass
"""


class Heard(outcomes.Notes):
    """The files that have come to their end."""

    def __init__(self) -> None:
        self.files: list[str] = []

    def ended(self, unit: str) -> None:
        self.files.append(unit)


def test_tests_that_are_known_long_or_only_compile_are_left_out(tmp_path: Path) -> None:
    for name in ("test_one.py", "test_two.py"):
        (tmp_path / name).write_text(MARKED)
    known = {"test_one.py::test_of[a]", "test_two.py::test_of[a]", "test_two.py::test_of[b::c]"}
    start, heard = partial(suites.pytest_in, tmp_path, {}, "", known=known), Heard()
    found = outcomes.outcomes(start, ["test_one.py", "test_two.py"], HANG, time.monotonic() + HANG, 1, heard)
    assert [(o.name, o.outcome) for o in found] == [("test_one.py::test_of[b::c]", PASSED)]
    assert sorted(heard.files) == ["test_one.py", "test_two.py"]


def test_the_files_of_tests_are_there() -> None:
    assert suites.missing() is None
    for quick in (False, True):
        assert len(suites.device_tests(quick)) == len(suites.QUICK_TESTS if quick else suites.DEVICE_TESTS)
        assert len(suites.cuda_tests(quick)) == len(suites.QUICK_CUDA_TESTS if quick else suites.CUDA_TESTS)


# ---- the page -------------------------------------------------------------------------------------------------------


def spread(median: float) -> dict[str, float]:
    return {"median": median, "low": 0.9 * median, "high": 1.1 * median}


def stored() -> dict[str, Any]:
    """A small report as it lies in its JSON file."""
    reached = {
        "title": "784-128-10, batch 128", "target": "1/1.5 of the fastest peer", "rounds": 9,
        "way": "all ready at once",
        "seconds": {"nnkit": spread(1e-5), "nnkit in fit": spread(8e-6), "JAX": spread(4e-5)},
        "absent": {"PyTorch": "not installed: torch"}, "peer": "JAX", "faster": spread(4.0), "missing": 0.375,
    }  # fmt: skip
    alone = {**reached, "title": "wide", "seconds": {"nnkit": spread(1e-2)}, "missing": None,
             "absent": {"JAX": "failed: XlaRuntimeError: a | b"}}  # fmt: skip
    del alone["peer"], alone["faster"]
    row = {"title": "Adam", "count": 2**27, "wanted": 2**28, "bytes_per_second": spread(2.4e12), "copy": spread(3e12),
           "share": spread(0.8), "missing": 0.85 / 0.8}  # fmt: skip
    section = outcomes.summary([
        Outcome("map-add", PASSED, 0.1, "largest error 0; in Python: an input is strided"),
        Outcome("map-sub", FAILED, 0.2, "AssertionError: 1 | 2"),
        Outcome("map-mul", SKIPPED, 0.0, "no reason"), Outcome("map-div", NOT_RUN, 0.0, "there was no time left"),
    ])  # fmt: skip
    machine = {
        "processor": {"name": "Test CPU", "cores": 4}, "system": "Linux", "python": "3.12", "commit": "abc",
        "versions": {"numpy": "2.5.0"}, "time": "now",
    }  # fmt: skip
    device = {"name": "Test GPU", "capability": "90", "multiprocessors": 132, "memory": 80 << 30, "l2": 50 << 20,
              "driver": "13.0", "runtime": "13.0", "cublaslt": "13.1.0"}  # fmt: skip
    compiler = {"used": "numba-cuda", "format": "cubin", "architecture": "sm_90", "seconds_a_kernel": 0.1,
                "numpy_without_row_stack": True}  # fmt: skip
    return {
        "name": "test-gpu", "partial": False, "passed": False, "machine": machine, "seconds": 321.0,
        "facts": {
            "device": device, "compiler": compiler, "launches": {"primitive": 9e-6, "CuPy's launch alone": 3e-6},
            "epilogues": {"float32 highest": {"BIAS": True, "BGRADB": False}}, "meaning": {"relu": "NaN passes"},
            "libraries": {"nvrtc": "NotFound: none"},
            "bias gradient": [{"type": "float32 high", "shape": [128, 784, 128], "dw": 1e-5, "with BGRADB": None,
                               "column sums": 3e-6}],
        },
        "correctness": {"conformance": section | {"wall": 12.0, "compiled": 34}}, "runs": 2,
        "speed": {"trainings": {"small": reached, "wide": alone}, "traffic": {"adam": row}},
        "not timed": {"traffic": {"gelu": "time"}},
        "failures": {"gelu": "OutOfMemoryError"},
    }  # fmt: skip


def test_the_page_says_what_passed_what_failed_and_how_fast_it_was() -> None:
    page = render(stored())
    for text in (
        "**Not passed.**",
        "| conformance | 1 | 1 | 1 | 1 | 34 | 12 s |",
        "- `map-sub`: AssertionError: 1 \\| 2",
        "- conformance, 1 skipped: no reason (`map-mul`)",
        "- conformance, 1 not run: there was no time left (`map-div`)",
        "- conformance: map-add: largest error 0; in Python: an input is strided",
        "| 10.0 µs | 8.00 µs | 40.0 µs | JAX | 4.00× (3.60–4.40) | 1/1.5 of the fastest peer | **reached** |",
        "| wide | 10.0 ms | – | failed | – | – | 1/1.5 of the fastest peer | no peer to compare with |",
        "- PyTorch, 784-128-10, batch 128: not installed: torch",
        "- JAX, wide: failed: XlaRuntimeError: a \\| b",
        "- 784-128-10, batch 128: 9 rounds, contenders all ready at once",
        "- traffic, gelu: not run: time",
        "> **Not finished**: 2 were not run.",
        "| library nvrtc | NotFound: none |",
        "| Adam | 134,217,728 (**of 268,435,456** that were wanted) | 2400 | 3000 | 80% (72%–88%) | missed |",
        "A primitive is to take at most 8.00 µs: missed.",
        "| float32 highest | yes | no |",
        "| float32 high | 128 × 784 × 128 | 10.0 µs | not offered | 3.00 µs |",
        "numba-cuda, cubin for sm_90, 0.1 s a kernel; NumPy is without row_stack",
        "**gelu is not known**: OutOfMemoryError",
    ):
        assert text in page, text
    assert "Not the whole report" not in page


def test_the_page_of_a_machine_where_nearly_nothing_worked() -> None:
    results = stored() | {"facts": {}, "speed": {}, "correctness": {}, "partial": True}
    page = render(results)
    assert "Not the whole report" in page and "none: not known" in page and "an unknown GPU" in page
