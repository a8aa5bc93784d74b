"""``python -m bench gpu`` does what it says: over the stand-in for CuPy, without a GPU. Nothing is timed."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent / "cuda"))

import stand_in
from stand_in.machine import Machine
from streamed_cublaslt import StreamedLibrary

import nnkit
from bench import __main__ as command
from bench import memory, own
from bench.gpu import (
    attention,
    bandwidth,
    checks,
    correctness,
    epilogues,
    facts,
    process,
    report,
    session,
    speed,
    sums,
    workloads,
)
from bench.gpu.agreement import Output, agree
from bench.gpu.lines import Lines
from bench.gpu.outcomes import PASSED, SKIPPED
from bench.gpu.plan import Plan
from bench.worker import WorkerError

# ---- checks, over the stand-in --------------------------------------------------------------------------------------


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A pretended GPU, with stand-ins for CuPy, for the compiler and for cuBLASLt."""
    pytest.importorskip("greenlet", reason="pip install nnkit[test-cuda]: the emulator needs greenlet")
    with stand_in.installed() as machine:
        from nnkit.backends.cuda import cublaslt, modules

        machine.memory_size = 1 << 30
        monkeypatch.setattr(modules, "compile", stand_in.compile_source)
        monkeypatch.setattr(cublaslt, "load", StreamedLibrary)
        yield machine
    for backend in [backend for backend in nnkit.random.default_generator._states if backend.name == "cuda"]:
        del nnkit.random.default_generator._states[backend]


CHOSEN = {
    "conformance": ("map-gelu", "copy-transposed"),
    "products": ("matmul float32 high", "linear gelu", "linear of NaN"),
    "training": ("dropout", "plain net of images", "data streamed from the host", "scaled float16 steps that overflow"),
    "captured": ("adam", "autocast bfloat16", "scaled float16 steps that overflow"),
    "device": ("random primitives", "random streams", "moved while training", "forked", "broken context"),
    "kernels": ("map adam", "reduce sum", "argmax", "cross_entropy float32", "rows by number"),
}


@pytest.mark.parametrize("section", CHOSEN)
def test_checks_pass_on_the_stand_in(section: str, gpu: Machine) -> None:
    chosen = list(CHOSEN[section])
    found = [item for item in checks.work(section, chosen, "tiny") if "outcome" in item]
    assert [(item["name"], item["outcome"], item["detail"]) for item in found if item["outcome"] != PASSED] == []
    assert [item["name"] for item in found] == chosen
    assert section != "device" or checks.cuda_is_gone()


@pytest.mark.parametrize(("count", "remark"), [(2, "on two GPUs, captured in graphs"), (1, "there is one; two")])
def test_sums_by_nccl(count: int, remark: str, gpu: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu.device_count = count
    monkeypatch.setattr(sums, "RANK", "gpu_ranks:pretended")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "cuda"))
    alone, two = (item for item in checks.work("device", list(sums.CHECKS), "tiny") if "outcome" in item)
    assert (alone["outcome"], alone["detail"]) == (PASSED, "captured in a graph"), alone
    assert two["outcome"] == PASSED and remark in two["detail"], two


def test_without_nccl_sums_are_left_out(gpu: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["cupy.cuda.nccl"], "available", False)
    found = [item for item in checks.work("device", list(sums.CHECKS), "tiny") if "outcome" in item]
    assert [item["outcome"] for item in found] == [SKIPPED] * 2 and "nvidia-nccl-cu13" in found[0]["detail"]


def test_the_names_of_checks_are_unique_and_many() -> None:
    assert len(checks.names("conformance")) > 400 and len(checks.names("kernels")) > 150


def broken(name: str, monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """The primitive of the GPU, followed by a change of its outputs."""
    from nnkit.backends.cuda.backend import CupyBackend

    right = getattr(CupyBackend, name)

    def wrong(self: Any, *arguments: Any, **options: Any) -> None:
        right(self, *arguments, **options)
        change(self, *arguments)

    monkeypatch.setattr(CupyBackend, name, wrong)


def test_a_wrong_result_is_noticed(gpu: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.linspace(-3.0, 3.0, 50, dtype=np.float32)
    call = lambda b, x, y: b.map("relu", (x,), (y,))  # noqa: E731
    assert agree(call, x, Output((50,))).error == 0.0
    broken("map", monkeypatch, lambda b, formula, inputs, out, *rest: b.fill(9.0, out[0][-1:]))
    with pytest.raises(AssertionError, match=r"largest error is .* is allowed, at \(49,\)"):
        agree(call, x, Output((50,)))
    with pytest.raises(AssertionError, match="differs from the CPU's: output 0 in 1 of 50 elements"):
        agree(call, x, Output((50,)), exact=True)


def test_a_result_that_changes_is_noticed(gpu: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.linspace(-3.0, 3.0, 50, dtype=np.float32)
    values = iter(range(100))
    call = lambda b, x, y: b.map("relu", (x,), (y,))  # noqa: E731
    agree(call, x, Output((50,)))  # the GPU is tried while it is right
    broken("map", monkeypatch, lambda b, formula, inputs, out, *rest: b.fill(next(values), out[0][:1]))
    with pytest.raises(AssertionError, match="a second run differs from the first: output 0 in 1 of 50"):
        agree(call, x, Output((50,)))


def test_what_runs_in_python_when_captured_is_said(gpu: Machine) -> None:
    x = np.ones((4, 6), np.int32)
    found = agree(lambda b, x, y: b.map("add", (x, x), (y,)), x, Output((4, 6)))
    assert found.in_python == ("element types float32, int32",)


# ---- facts and speed, over the stand-in -----------------------------------------------------------------------------


def test_facts(gpu: Machine) -> None:
    device = facts.device()
    assert facts.probe() == "usable" and 0 < facts.free() <= device["memory"]
    assert (device["name"], device["memory"], device["exclusive"]) == ("Pretended GPU", 1 << 30, False)
    assert {"primitive", "CuPy's launch alone"} <= facts.launches(1).keys()
    offered = epilogues.offered()
    assert len(offered) == len(epilogues.KINDS) and all(row["BIAS"] is True for row in offered.values())
    said = epilogues.meaning()
    assert said["relu"] == "NaN passes" and said["gelu_tanh"].startswith("that of tanh")
    row = epilogues.bias_gradient(1, [(8, 16, 8)])[0]
    assert row["shape"] == [8, 16, 8] and min(row["dw"], row["with BGRADB"], row["column sums"]) > 0


def test_a_machine_without_a_compiler_says_so(gpu: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnkit.kernels.cuda import compiler

    def missing() -> Any:
        raise compiler.CompilerMissing("none is installed")

    monkeypatch.setattr(compiler, "toolchain", missing)
    assert facts.compiler() == {"used": None, "why": "none is installed"}


@pytest.mark.parametrize("key", workloads.TRAFFIC)
def test_traffic_is_measured(key: str, gpu: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("COLUMNS", 8), ("CLASSES", 16), ("TURN", 0.0)):
        monkeypatch.setattr(bandwidth, name, value)
    row = bandwidth.measure(key, 1, most=64)
    assert row["count"] == 64 and row["wanted"] >= 2**28 and row["share"]["median"] > 0


def tiny(key: str) -> workloads.Training:
    """A training with a few units per layer and a few rows."""
    given = workloads.TRAININGS[key]
    return dataclasses.replace(given, net=given.net.shrunk(5, 4), batch=4, rows=8)


READY = [(key, "nnkit") for key in workloads.TRAININGS if key not in ("middle", "wide, TF32")]


@pytest.mark.parametrize(("key", "contender"), [*READY, ("small", "nnkit in fit")])
def test_trainings_are_ready_to_be_timed(
    key: str, contender: str, gpu: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "WARM_UP", 0.0)
    monkeypatch.setattr(session, "LEAD_IN", 0.0)
    try:
        session.build(contender, tiny(key).as_json())
        assert session.units_for(key, 0.0) == 1 and session.seconds_per_step(key, 1) > 0.0
    finally:
        session.drop(key)
        nnkit.set_default_device("cpu")
        nnkit.set_matmul_precision("highest")


def test_the_memory_of_attention_is_measured(gpu: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    few = dataclasses.replace(workloads.ATTENTION, net=workloads.ATTENTION.net.shrunk(8, 16))
    found = attention.attended("nnkit", few.as_json())
    assert found["bytes"] > 0 and found["outcome"] == pytest.approx(memory.outcome(own.build(few)), rel=1e-5)

    class Pretended(process.Process):
        def ask(self, patience: float, function: str, *arguments: Any, **options: Any) -> Any:
            name, given = arguments
            if name == "JAX":
                raise WorkerError("no GPU")
            return {"bytes": given["net"]["tokens"], "outcome": [1.0]}

    monkeypatch.setattr(attention, "Process", Pretended)
    monkeypatch.setattr(memory, "ATTENDING", ("nnkit", "JAX"))
    row = attention.row()
    assert row["bytes"] == {"nnkit": {"4096": 4096, "8192": 8192, "16384": 16384}} and row["absent"].keys() == {"JAX"}
    assert "16384" in row["title"] and row["goals"][0]["missing"] == pytest.approx(1 / 1.1)

    lines = Lines()
    speed.peaks([speed.PEAK], Plan(), correctness.UNKNOWN, 0.0, lines)
    assert lines.all[0]["value"]["bytes"] == row["bytes"]
    monkeypatch.setattr(Pretended, "ask", lambda *given, **options: (_ for _ in ()).throw(process.Over("time")))
    speed.peaks([speed.PEAK], Plan(), correctness.UNKNOWN, 0.0, lines)
    assert (lines.all[1]["outcome"], lines.all[1]["detail"]) == ("not run", "time")


@pytest.mark.parametrize(("free", "way"), [(1 << 40, speed.TOGETHER), (1, speed.ALONE)])
def test_contenders_are_timed_in_processes_of_their_own(free: int, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("greenlet", reason="pip install nnkit[test-cuda]: the emulator needs greenlet")
    monkeypatch.setattr(process, "COMMAND", [sys.executable, "-c", PRETENDED])
    monkeypatch.setattr(speed, "TURN", 0.0)
    field = speed.Field(["nnkit"])
    try:
        row = field.race(tiny("small"), 1, free)
    finally:
        field.close()
    assert row is not None and row["absent"] == {}
    assert (row["way"], row["rounds"]) == (way, 1) and row["seconds"]["nnkit"]["median"] > 0.0


def test_a_fact_that_fails_is_written_at_once_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = {"first": ("json:loads", {"tiny": ("{",)}), "second": ("math:sqrt", {"tiny": (4,)})}
    monkeypatch.setattr(report, "FACTS", failing)
    path = tmp_path / "gpu.jsonl"
    with Lines(path) as lines:
        assert report.facts(Plan(["correctness"], "tiny"), lines) == correctness.UNKNOWN
        first, second = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    assert first["error"].startswith("JSONDecodeError") and "json/decoder.py" in first["traceback"]
    assert second["value"] == 2.0


@pytest.mark.parametrize(
    ("device", "processes"),
    [
        (correctness.UNKNOWN, 4),
        (correctness.UNKNOWN | {"free": 1}, 1),
        (correctness.UNKNOWN | {"free": 1 << 40}, correctness.PROCESSES),
        (correctness.UNKNOWN | {"free": 1 << 40, "exclusive": True}, 1),
    ],
)
def test_checks_run_side_by_side_also_on_a_device_that_says_nothing_of_itself(
    device: dict[str, Any], processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correctness, "processors", lambda: 64)
    assert correctness.side_by_side(device) == processes


def test_a_jax_step_trains() -> None:
    pytest.importorskip("jax")
    pytest.importorskip("optax")
    from bench.gpu import jax_peer

    for key in workloads.TRAININGS:
        jax_peer.steps(tiny(key)).run(2)


# ---- the command ----------------------------------------------------------------------------------------------------

#: What answers instead of ``bench.gpu.process``: the same, over the stand-ins.
PRETENDED = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent / "cuda")!r}]
import stand_in
stand_in.install().memory_size = 1 << 30
from nnkit.backends.cuda import cublaslt, modules
from streamed_cublaslt import StreamedLibrary
modules.compile, cublaslt.load = stand_in.compile_source, StreamedLibrary
from bench.gpu.process import serve
serve()
"""


def test_the_command_over_the_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("greenlet", reason="pip install nnkit[test-cuda]: the emulator needs greenlet")
    monkeypatch.setattr(process, "COMMAND", [sys.executable, "-c", PRETENDED])
    known = ("probe", "device", "epilogues", "meaning")
    monkeypatch.setattr(report, "FACTS", {name: fact for name, fact in report.FACTS.items() if name in known})
    page, passed = report.report(Plan(["correctness"], "tiny", "map-gelu_tanh"), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["name"] for line in lines if line["section"] == "facts"} == set(known)
    assert {line["outcome"] for line in lines if line["section"] == "conformance"} == {PASSED}
    results = json.loads((tmp_path / "pretended-gpu-partial.json").read_text())
    assert passed and page == tmp_path / "pretended-gpu-partial.md"
    assert results["correctness"].keys() == {"conformance"} and results["speed"] == {}
    assert results["facts"].keys() == set(known) and results["failures"] == {}
    assert '# `device="cuda"` on Pretended GPU' in page.read_text() and "**Passed.**" in page.read_text()
    assert "conformance: 2 passed" in capsys.readouterr().err


def test_without_a_gpu_it_says_why_and_keeps_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = {"libraries": report.FACTS["libraries"], "probe": ("math:sqrt", {"large": (-1.0,)}), "device": ("", {})}
    monkeypatch.setattr(report, "FACTS", failing)
    assert command.main(["gpu", "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "no GPU can be used here: ValueError" in said and str(tmp_path / "gpu.jsonl") in said
    lines = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["name"] for line in lines] == ["machine", "libraries", "probe"]
    assert lines[1]["value"].keys() == set(facts.LIBRARIES) and "Traceback" in lines[2]["traceback"]


def test_the_reason_is_that_of_nnkit() -> None:
    if nnkit.cuda.is_available():
        assert process.ask(60.0, "bench.gpu.facts:probe") == "usable"
    else:
        with pytest.raises(WorkerError, match=re.escape(str(nnkit.cuda.why_not())[:40])):
            process.ask(60.0, "bench.gpu.facts:probe")


def test_without_nnkit_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "bench.gpu.report", None)
    assert command.main(["gpu"]) == 2
    assert "nnkit cannot be imported here" in capsys.readouterr().err


@pytest.mark.parametrize(("passed", "status"), [(True, 0), (False, 1)])
def test_the_exit_status_says_whether_correctness_passed(
    passed: bool, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = []
    monkeypatch.setattr(report, "report", lambda plan, folder: plans.append(plan) or (folder / "page.md", passed))
    for more, again, minutes in (([], "", None), (["--again"], "failed", None), (["--again", "all"], "all", None),
                                 (["--minutes", "1.5"], "", 1.5)):  # fmt: skip
        assert command.main(["gpu", "--quick", "--only", "correctness", "--output", "here", *more]) == status
        assert capsys.readouterr().out == "here/page.md\n"
        assert plans.pop() == Plan(["correctness"], "quick", "", again, minutes)


def test_a_wrong_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["gpu", "--only", "beauty"])
    assert "unknown: beauty; there are correctness, speed" in capsys.readouterr().err


NOT_INSTALLED = """
import sys

sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in f"{finder!r} {finder.__module__}"]
import bench.gpu
import nnkit

print(nnkit.backends.__file__, nnkit.kernels.__file__, nnkit.ones(3).sum().item())
"""


def test_a_clone_that_is_not_installed_is_enough() -> None:
    root = Path(command.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", NOT_INSTALLED], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(root / "backends/__init__.py"), str(root / "kernels/__init__.py"), "3.0"]
