"""The benchmark suite is right: workloads train, turns alternate, ratios and pages are true. Nothing is timed."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

import nnkit
from bench import __main__ as command
from bench import machine, memory, own, session
from bench.contenders import CONTENDERS, Contender, Steps
from bench.measure import APART, Field, Ready, apart, compare, interleaved, judged, run
from bench.nets import FAMILIES, Net
from bench.primitives import PRIMITIVES, recorded
from bench.worker import Worker, WorkerError
from bench.workloads import WORKLOADS, Target, Workload
from nnkit import backends

TRAINING = [key for key, workload in WORKLOADS.items() if workload.trains]
PREDICTING = [key for key, workload in WORKLOADS.items() if workload.kind == "predict"]


def small(key: str) -> Workload:
    """The workload with a few units per layer and a few rows."""
    given = WORKLOADS[key]
    return dataclasses.replace(given, net=given.net.shrunk(6), batch=min(given.batch, 4), rows=min(given.rows, 12))


# ---- workloads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", TRAINING)
def test_a_step_changes_every_weight(key: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    models = []
    network = own.network
    monkeypatch.setattr(own, "network", lambda *args: models.append(network(*args)) or models[0])
    steps = own.build(small(key), device)
    before = [parameter.detach().numpy().copy() for parameter in models[0].parameters()]
    steps.run(2)
    for old, parameter in zip(before, models[0].parameters(), strict=True):
        assert str(parameter.device) == device
        new = parameter.detach().numpy()
        assert np.isfinite(new).all() and (new != old).any()


@pytest.mark.parametrize("key", PREDICTING)
def test_inference_runs(key: str, device: str) -> None:
    workload = small(key)
    own.build(workload, device).run(2)
    assert own.network(workload, device).predict(workload.data(1)[0]).shape == (1, workload.net.classes)


def test_the_seed_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    own.program(epochs=2)()
    assert capsys.readouterr().out == ""


#: Peer -> the workloads that it has. (torch.compile compiles for seconds.)
HAVE = {
    "PyTorch": "abcdefghjklmnopqrstu", "JAX": "abcdefghklmnopqrstu", "scikit-learn": "abcdegh", "ONNX Runtime": "ghl",
}  # fmt: skip


@pytest.mark.parametrize("peer", HAVE)
@pytest.mark.parametrize("key", WORKLOADS)
def test_a_peer_builds_what_it_has_and_does_the_same_work(peer: str, key: str) -> None:
    contender = CONTENDERS[peer]
    if missing := contender.missing():
        pytest.skip(missing)
    steps = contender.load()(small(key))
    assert (steps is not None) == (key in HAVE[peer])
    if steps is not None:
        own_values, found = own.build(small(key)).values(3), steps.values(3)
        steps.run(2)
        if peer != "scikit-learn" and not small(key).net.dropout:
            assert apart({"nnkit": own_values, peer: found})[peer] < APART / 10


@pytest.mark.parametrize("key", ["q", "r", "u"])
def test_what_torch_compiles_otherwise_is_the_same_work(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "compile", lambda function: function)
    contender, steps = CONTENDERS["torch.compile"], own.build(small(key))
    found = contender.load()(small(key))
    assert found is not None
    assert apart({"nnkit": steps.values(3), "torch.compile": found.values(3)})["torch.compile"] < APART / 10


@pytest.mark.parametrize("key", ["a", "c", "m", "o", "p", "q"])
def test_rows_come_twice_with_two_labels(key: str) -> None:
    x, y = WORKLOADS[key].data(7)
    assert len(x) == len(y) == 7
    assert (x[:6:2] == x[1:6:2]).all() and (y[:6:2] != y[1:6:2]).all() and (x[2] != x[1]).any()


def test_the_data_of_the_heat_equation_solve_it() -> None:
    inside, known, u = WORKLOADS["u"].data(1000)
    assert (inside.shape, known.shape, u.shape) == ((1000, 2), (200, 2), (200, 1))
    begins, ends = known[:, 1] == 0, np.isin(known[:, 0], (0, 1))
    assert (begins | ends).all() and begins.any() and ends.any()
    np.testing.assert_allclose(u[begins, 0], np.sin(np.pi * known[begins, 0]), atol=1e-6)
    np.testing.assert_allclose(u[ends], 0, atol=1e-6)


def test_operations_and_bytes_by_hand() -> None:
    workload = Workload("x", "", "compiled", Net((3, 4, 2)), batch=5, targets=(Target(1),))
    forward, first = 2 * 5 * (3 * 4 + 4 * 2), 2 * 5 * 3 * 4
    assert workload.flops == 3 * forward - first
    assert dataclasses.replace(workload, kind="predict").flops == forward
    assert workload.parameters == 3 * 4 + 4 + 4 * 2 + 2
    assert workload.parameter_bytes == 28 * workload.parameters


def test_operations_of_sequences_by_hand() -> None:
    def of(net: Net, **more: Any) -> Workload:
        return Workload("x", "", "compiled", net, batch=2, targets=(), **more)

    lstm = of(Net((3, 4, 5), "LSTM", tokens=6))
    assert lstm.flops == 2 * 2 * (3 * (6 * 16 * (3 + 4) + 4 * 5) - 6 * 16 * 3)
    assert lstm.touched == 16 * lstm.parameters
    generated = dataclasses.replace(of(Net((7, 4, 8, 7), "language", tokens=3, heads=2, blocks=1)), kind="generate")
    assert generated.flops == 2 * 2 * (3 * (4 * 16 + 2 * 4 * 8) + (1 + 2 + 3) * 2 * 4 + 3 * 4 * 7)
    assert generated.parameter_bytes == 3 * generated.touched == 3 * 4 * generated.parameters
    table = of(Net((100, 4), "embedding"), optimizer="plain sgd", loss="mse")
    assert (table.parameters, table.flops, table.parameter_bytes, table.touched) == (400, 0, 12 * 8, 8 * 8)
    heat = dataclasses.replace(of(Net((2, 3, 1)), loss="heat"), batch=10)
    assert heat.flops == 2 * (10 * 12 + 2 * 3) * (2 * 3 + 3)


#: Network -> its parameters and multiplications for one example, by hand.
COUNTED: dict[str, tuple[Net, int, list[int]]] = {
    "plain": (Net((1, 2, 3), "plain", (4, 4)), (2 * 9 + 2) + (8 * 3 + 3), [16 * 2 * 9, 8 * 3]),
    "residual": (
        Net((3, 2, 4, 5), "residual", (4, 4)),
        (2 * 3 * 9 + 4) + 2 * 2 * (2 * 2 * 9 + 4) + (2 * 4 * 9 + 8) + 3 * (4 * 4 * 9 + 8) + (2 * 4 + 8) + (4 * 5 + 5),
        [16 * 2 * 3 * 9, *[16 * 2 * 2 * 9] * 4, 4 * 2 * 4 * 9, 4 * 4 * 4 * 9, 4 * 2 * 4, *[4 * 4 * 4 * 9] * 2, 20],
    ),
    "separable": (
        Net((3, 2, 4, 6, 5), "separable", (4, 4)),
        (3 * 2 * 9 + 2) + (2 * 9 + 2) + (2 * 4 + 4) + (4 * 9 + 4) + (4 * 6 + 6) + (6 * 5 + 5),
        [16 * 2 * 3 * 9, 16 * 2 * 9, 16 * 2 * 4, 4 * 4 * 9, 4 * 4 * 6, 30],
    ),
    "LSTM": (
        Net((3, 4, 5), "LSTM", tokens=6), 16 * (3 + 4 + 2) + (4 * 5 + 5), [6 * 16 * (3 + 4), 4 * 5],
    ),
    "GRU": (Net((3, 4, 1), "GRU", tokens=6), 12 * (3 + 4 + 2) + (4 + 1), [6 * 12 * (3 + 4), 4]),
    "language": (
        Net((7, 4, 8, 7), "language", tokens=3, heads=2, blocks=2, activation="gelu"),
        7 * 4 + 3 * 4 + 2 * (3 * 20 + 20 + (4 * 8 + 8) + (8 * 4 + 4) + 4 * 4) + 8 + (4 * 7 + 7),
        [*[3 * (4 * 16 + 2 * 4 * 8) + (1 + 2 + 3) * 2 * 4] * 2, 3 * 4 * 7],
    ),
    "embedding": (Net((7, 4), "embedding"), 28, []),
}  # fmt: skip


@pytest.mark.parametrize("family", COUNTED)
def test_networks_by_hand(family: str) -> None:
    net, parameters, multiplications = COUNTED[family]
    assert (net.parameters, net.multiplications) == (parameters, multiplications)
    workload = Workload("x", "", "eager", net, batch=2, targets=())
    model = own.network(workload)
    assert [p.shape for p in model.parameters()] == [array.shape for array in net.initial()]
    places = net.inputs if family == "language" else ()
    assert model(nnkit.tensor(workload.data(2)[0])).shape == (2, *places, net.classes)
    assert FAMILIES.keys() == {"dense", "attention"} | COUNTED.keys()


@pytest.mark.parametrize("key", WORKLOADS)
def test_a_workload_travels_to_another_process(key: str) -> None:
    assert Workload.from_json(json.loads(json.dumps(WORKLOADS[key].as_json()))) == WORKLOADS[key]


@pytest.mark.parametrize("name", PRIMITIVES)
@pytest.mark.parametrize("backend_name", ["numpy", "numba"])
def test_a_primitive_runs_and_is_recorded(name: str, backend_name: str) -> None:
    backend = backends.get(backend_name)
    call = PRIMITIVES[name].make(backend, 8)
    assert call() is None and recorded(backend, call)(2) is None


# ---- measuring ----------------------------------------------------------------------------------------------------


def test_turns_alternate_and_a_failure_ends_only_its_own() -> None:
    order: list[str] = []

    def turn(name: str, fails_at: int = 9) -> Callable[[], float]:
        def take() -> float:
            order.append(name)
            if order.count(name) == fails_at:
                raise WorkerError("gone")
            return float(order.count(name))

        return take

    results, failures = interleaved({"A": turn("A"), "B": turn("B", 2), "C": turn("C")}, rounds=3)
    assert order == list("ABCABCAC")
    assert results == {"A": [1.0, 2.0, 3.0], "C": [1.0, 2.0, 3.0]} and failures == {"B": "failed: gone"}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target(4), {"peer": "Q", "missing": 4 / 5}),
        (Target(10), {"peer": "Q", "missing": 10 / 5}),
        (Target(1, "P"), {"peer": "P", "missing": 1 / 10}),
        (Target(1, "R"), {"missing": None}),
        (Target(seconds=0.5), {"missing": 2.0 / 0.5}),
    ],
)
def test_ratios_are_of_the_same_round(target: Target, expected: dict[str, Any]) -> None:
    # The second round is disturbed: everything takes ten times as long, and the ratios stay.
    results = {"nnkit": [1.0, 20.0, 2.0], "P": [10.0, 200.0, 20.0], "Q": [5.0, 100.0, 10.0]}
    found = compare(results, target)
    assert found | expected == found


def test_of_several_targets_the_furthest_counts() -> None:
    results = {"nnkit": [1.0], "P": [6.0], "Q": [1.5]}
    found = judged(results, (Target(3, "P"), Target(2, "Q")))
    assert (found["target"], found["peer"], found["missing"]) == ("1/3 of P and 1/2 of Q", "Q", 2 / 1.5)
    assert [goal["missing"] for goal in found["goals"]] == [0.5, 2 / 1.5]
    assert judged(results, (Target(3, "P"), Target(2, "R")))["missing"] is None
    assert "goals" not in judged(results, (Target(3, "P"),))


class Told(Field):
    """Contenders whose first losses are given; each turn takes a second."""

    def __init__(self, values: dict[str, list[float]]) -> None:
        super().__init__()
        self._values = values

    def prepare(self, name: str, workload: Workload, contender: str) -> Ready | str:
        return Ready(lambda: 1.0, self._values[name])


def test_who_does_other_work_is_not_timed() -> None:
    losses = {"nnkit": [2.3, 2.2], "near": [2.3, 2.2001], "far": [2.3, 1.9], "mad": [2.3, float("nan")], "silent": []}
    row = run(Told(losses), small("k"), 2, list(losses))
    assert row["seconds"].keys() == {"nnkit", "near", "silent"} and row["apart"].keys() == {"near", "far", "mad"}
    assert row["absent"].keys() == {"far", "mad"} and "other work" in row["absent"]["far"]
    drawn = run(Told(losses), small("f"), 2, list(losses))
    assert drawn["absent"] == {} and len(drawn["seconds"]) == 5


def test_what_is_beside_a_workload_is_timed_in_the_same_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared, field = [], Told({})

    def prepare(name: str, workload: Workload, contender: str) -> Ready | str:
        prepared.append((name, workload.net.sizes[0], contender))
        seconds = 2.5 if workload.net.sizes[0] == 100_000 else 1.0
        return Ready(lambda: seconds, [seconds])

    monkeypatch.setattr(field, "prepare", prepare)
    row = run(field, WORKLOADS["t"], 2, ["nnkit"])
    assert prepared[:2] == [("nnkit", 100_000, "nnkit"), ("nnkit, 1,000 words", 1_000, "nnkit")]
    assert prepared[3] == ("PyTorch, sparse gradient", 100_000, "PyTorch") and row["apart"].keys() == {prepared[3][0]}
    assert (row["target"], row["peer"]) == ("1.25 times nnkit, 1,000 words", "nnkit, 1,000 words")
    assert row["missing"] == pytest.approx(2.5 / 1.25)


def test_a_fit_is_timed_without_what_it_costs_besides_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def work(units: int) -> None:
        now[0] += 100.0 + 3.0 * units

    monkeypatch.setattr(session.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(session, "_ready", {"steps": Steps(work, per_unit=6, has_setup=True)})
    assert session.seconds_per_step(session.units_for(30.0)) == pytest.approx(0.5)


def test_a_fit_that_noise_swallows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def work(units: int) -> None:
        now[0] += 1.0 if units == 8 else 100.0  # something disturbs every shorter call

    monkeypatch.setattr(session.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(session, "_ready", {"steps": Steps(work, has_setup=True)})
    with pytest.raises(RuntimeError, match="too busy"):
        session.seconds_per_step(8)


def test_a_worker_measures_and_survives_errors() -> None:
    with Worker() as worker:
        with pytest.raises(WorkerError, match=r"KeyError: 'nobody'"):
            worker.ask("bench.session:build", "nobody", small("b").as_json())
        assert worker.ask("bench.session:build", "nnkit", small("b").as_json())
        assert worker.ask("bench.session:seconds_per_step", 1) > 0
        with pytest.raises(WorkerError, match="ended with code 3"):
            worker.ask("os:_exit", 3)


def test_who_is_not_installed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONTENDERS, "Nobody", Contender("bench.peers.nobody", ("no_such_library",), (), {}))
    found = run(Field(), small("b"), 1, ["Nobody"])
    assert found["absent"] == {"Nobody": "not installed: no_such_library"}
    assert found["missing"] is None


def test_a_tied_openblas_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert command.main(["report", "--quick"]) == 2
    assert "-u OPENBLAS_CORETYPE" in capsys.readouterr().err


# ---- memory -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own_bytes", "theirs", "missing"),
    [
        ([10, 20, 40], 50, [1 / 1.1, 0.8]),
        ([10, 40, 160], 50, [4 / 1.1, 3.2]),
        ([10, 20, 44], 40, [1.0, 1.1]),
        ([10, 20, 40], None, [1 / 1.1, None]),
        (None, 50, [None, None]),
    ],
)
def test_memory_is_to_be_linear_and_no_more_than_pytorchs(
    own_bytes: list[int] | None, theirs: int | None, missing: list[float | None]
) -> None:
    found = {"nnkit": dict(zip("124", own_bytes, strict=True))} if own_bytes else {}
    found |= {"PyTorch": {"1": 0, "2": 0, "4": theirs}} if theirs else {}
    row = memory.judged(found)
    assert [goal["missing"] for goal in row["goals"]] == [m if m is None else pytest.approx(m) for m in missing]
    assert row["missing"] is None if None in missing else row["missing"] == pytest.approx(max(missing))


def test_peaks_are_those_of_who_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("only Linux tells the peak of a process")
    monkeypatch.setattr(memory, "ATTENDING", ("nnkit", "PyTorch"))
    row = memory.peaks(small("s"))
    assert row["bytes"]["nnkit"].keys() == {"2", "4", "8"} and len(row["goals"]) == 2
    if CONTENDERS["PyTorch"].missing() is None:
        assert row["apart"]["PyTorch"] < APART / 10


def test_who_attends_otherwise_or_cannot_does_not_count() -> None:
    def measure(name: str, given: Workload) -> dict[str, Any]:
        if name == "ended":
            raise WorkerError("no memory")
        return {"bytes": given.net.tokens, "outcome": [3.0 if name == "wrong" else 2.0]}

    row = memory.row(WORKLOADS["s"], measure, dict.fromkeys(("nnkit", "right", "wrong", "ended")) | {"none": "no"})
    assert row["bytes"] == {name: {"1024": 1024, "2048": 2048, "4096": 4096} for name in ("nnkit", "right")}
    assert row["absent"]["ended"] == "failed: no memory" and row["absent"]["none"] == "no"
    assert "other work" in row["absent"]["wrong"]


def test_a_wrong_section_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parse(["report", "--only", "a,z"])
    assert "unknown: z" in capsys.readouterr().err


def test_the_help_says_what_each_letter_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parse(["report", "--help"])
    said = capsys.readouterr().out
    for key, workload in WORKLOADS.items():
        assert f"  {key}  {workload.title}: {workload.goal}\n" in said
    assert "peak memory: linear in the tokens within a tenth and no more than PyTorch's" in said


# ---- the laboratory -----------------------------------------------------------------------------------------------


LABORATORY = (machine.ROOT / "bench" / "lab").glob("[!_]*.py")
PROGRAMS = sorted(path.stem for path in LABORATORY if "__main__" in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_in_the_laboratory_can_still_be_run(name: str) -> None:
    if name == "preparing":
        pytest.importorskip("cupy", reason="pip install nnkit[test-cuda]: no CuPy")
    assert callable(importlib.import_module(f"bench.lab.{name}").main)
