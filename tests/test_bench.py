"""The benchmark suite is right: workloads train, turns alternate, ratios and pages are true. Nothing is timed."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

import nnkit
from bench import __main__ as command
from bench import machine, own, session
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
HAVE = {"PyTorch": "abcdefghjklmn", "JAX": "abcdefghklmn", "scikit-learn": "abcdegh", "ONNX Runtime": "ghl"}


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


def test_rows_come_twice_with_two_labels() -> None:
    for key in ("a", "c"):
        x, y = WORKLOADS[key].data(8)
        assert (x[::2] == x[1::2]).all() and (y[::2] != y[1::2]).all()


def test_operations_and_bytes_by_hand() -> None:
    workload = Workload("x", "", "compiled", Net((3, 4, 2)), batch=5, targets=(Target(1),))
    forward, first = 2 * 5 * (3 * 4 + 4 * 2), 2 * 5 * 3 * 4
    assert workload.flops == 3 * forward - first
    assert dataclasses.replace(workload, kind="predict").flops == forward
    assert workload.parameters == 3 * 4 + 4 + 4 * 2 + 2
    assert workload.parameter_bytes == 28 * workload.parameters


#: Network -> its parameters and multiplications for one image, by hand.
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
}


@pytest.mark.parametrize("family", COUNTED)
def test_networks_for_images_by_hand(family: str) -> None:
    net, parameters, multiplications = COUNTED[family]
    assert (net.parameters, net.multiplications) == (parameters, multiplications)
    workload = Workload("x", "", "eager", net, batch=2, targets=())
    model = own.network(workload)
    assert [p.shape for p in model.parameters()] == [array.shape for array in net.initial()]
    assert model(nnkit.tensor(workload.data(2)[0])).shape == (2, net.classes)
    assert {net.family, "dense"} <= FAMILIES.keys()


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

    def prepare(self, contender: str, workload: Workload) -> Ready | str:
        return Ready(lambda: 1.0, self._values[contender])


def test_who_does_other_work_is_not_timed() -> None:
    losses = {"nnkit": [2.3, 2.2], "near": [2.3, 2.2001], "far": [2.3, 1.9], "mad": [2.3, float("nan")], "silent": []}
    row = run(Told(losses), small("k"), 2, list(losses))
    assert row["seconds"].keys() == {"nnkit", "near", "silent"} and row["apart"].keys() == {"near", "far", "mad"}
    assert row["absent"].keys() == {"far", "mad"} and "other work" in row["absent"]["far"]
    drawn = run(Told(losses), small("f"), 2, list(losses))
    assert drawn["absent"] == {} and len(drawn["seconds"]) == 5


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


def test_a_wrong_section_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parse(["report", "--only", "a,z"])
    assert "unknown: z" in capsys.readouterr().err


# ---- the laboratory -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in (machine.ROOT / "bench" / "lab").glob("[!_]*.py")))
def test_what_is_in_the_laboratory_can_still_be_run(name: str) -> None:
    if name == "preparing":
        pytest.importorskip("cupy", reason="pip install nnkit[test-cuda]: no CuPy")
    assert callable(importlib.import_module(f"bench.lab.{name}").main)
