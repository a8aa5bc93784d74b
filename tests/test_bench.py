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

from bench import __main__ as command
from bench import machine, own, session
from bench.contenders import CONTENDERS, PEERS, Contender, Steps
from bench.measure import Field, compare, interleaved, run
from bench.plot import draw
from bench.primitives import PRIMITIVES, recorded
from bench.render import render
from bench.report import write
from bench.worker import Worker, WorkerError
from bench.workloads import WORKLOADS, Target, Workload
from nnkit import backends

TRAINING = [key for key, workload in WORKLOADS.items() if workload.trains]
PREDICTING = [key for key, workload in WORKLOADS.items() if workload.kind == "predict"]


def small(key: str) -> Workload:
    """The workload with a few units per layer and a few rows."""
    given = WORKLOADS[key]
    sizes = tuple(min(size, 6) for size in given.sizes)
    return dataclasses.replace(given, sizes=sizes, batch=min(given.batch, 4), rows=min(given.rows, 12))


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
    assert own.network(workload, device).predict(workload.data(1)[0]).shape == (1, workload.sizes[-1])


def test_the_seed_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    own.program(epochs=2)()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("key", WORKLOADS)
def test_a_peer_builds_what_it_has(peer: str, key: str) -> None:
    contender = CONTENDERS[peer]
    if contender.missing() or peer == "torch.compile":  # which compiles for seconds
        assert contender.needs
        return
    steps = contender.load()(small(key))
    assert steps is None or steps.run(2) is None
    assert steps is not None or key in "fijgh"


def test_rows_come_twice_with_two_labels() -> None:
    for key in ("a", "c"):
        x, y = WORKLOADS[key].data(8)
        assert (x[::2] == x[1::2]).all() and (y[::2] != y[1::2]).all()


def test_operations_and_bytes_by_hand() -> None:
    workload = Workload("x", "", "compiled", (3, 4, 2), batch=5, target=Target(1))
    forward, first = 2 * 5 * (3 * 4 + 4 * 2), 2 * 5 * 3 * 4
    assert workload.flops == 3 * forward - first
    assert dataclasses.replace(workload, kind="predict").flops == forward
    assert workload.parameters == 3 * 4 + 4 + 4 * 2 + 2
    assert workload.parameter_bytes == 28 * workload.parameters


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


# ---- the page -----------------------------------------------------------------------------------------------------


def stored() -> dict[str, Any]:
    """A small report as it lies in its JSON file: one target reached, one missed."""

    def seconds(value: float) -> dict[str, float]:
        return {"median": value, "low": 0.9 * value, "high": 1.1 * value}

    base = {"rounds": 3, "others": 0.01, "absent": {"JAX": "not installed: jax"}, "quoted": {}, "parameters": 1000}
    reached = base | {
        "title": "tiny", "target": "1/12 of the fastest peer",
        "seconds": {"nnkit": seconds(4e-6), "PyTorch": seconds(2e-4)},
        "flops": 200_000, "parameter_bytes": 20_000, "peer": "PyTorch", "faster": seconds(50.0), "missing": 0.24,
    }  # fmt: skip
    missed = base | {
        "title": "wide", "target": "1/2 of the fastest peer",
        "seconds": {"nnkit": seconds(0.08), "PyTorch": seconds(0.1)},
        "flops": 4_000_000_000, "parameter_bytes": 0, "peer": "PyTorch", "faster": seconds(1.25), "missing": 1.6,
    }  # fmt: skip
    processor = {"name": "Test CPU", "cores": 2, "hardware_threads": 2, "features": ["avx2"]}
    blas = [{"of": "scipy", "library": "openblas", "version": "0.3", "kernels": "Zen", "threads": 2}]
    about = {
        "processor": processor, "system": "Linux", "python": "3.11", "versions": {"nnkit": "0"}, "threads": 2,
        "commit": "abc", "environment": {}, "time": "now", "blas": blas,
    }  # fmt: skip
    line = {"recorded": [1e-6, 1e-4], "eager": [2e-6, 1e-4]}
    panels = dict.fromkeys(("linear + bias + relu", "its gradients", "Adam"), line)
    return {
        "name": "test-cpu", "partial": False, "machine": about, "load_before": [0.1], "load_after": [0.2],
        "failures": {},
        "workloads": {"a": reached, "e": missed},
        "limits": {"gemm_flops": 1e11, "copies": [[65536, 1e11], [2**29, 1e10]],
                   "adam": [{"parameters": 10, "bytes_per_second": 5e9, "copy": 1e10}]},
        "memory": {"c": {"nnkit recorded": {"over_import": 2**20, "over_first_use": 2**19}, "PyTorch": "absent"}},
        "startup": {"import": 0.1, "warm": 0.6, "cold": 9.0, "target": 0.5, "program": 1.5},
        "scaling": {"sizes": [16, 1024], "backends": {"numpy": panels, "numba": panels}},
    }  # fmt: skip


def test_the_page_says_what_was_reached_and_what_was_missed() -> None:
    page = render(stored(), {"e": "The products alone take that long"})
    for text in (
        "50.00× (45.00–55.00) | 1/12 of the fastest peer | **reached**",
        "1/2 of the fastest peer | missed: 1.60× too slow",
        "80.0 ms where 50.0 ms is wanted",
        "need 40.0 ms of that, 50% (80% of what is wanted)",
        "The products alone take that long",
        "JAX (not installed: jax)",
        "0.5 s: missed: 1.20× too slow",
        "1 MiB (0)",
        "scipy's openblas 0.3, Zen kernels, 2 threads",
        "![Time against size for each backend](test-cpu.png)",
    ):
        assert text in page, text
    assert "does not count" not in page and "busy" not in page


def test_the_page_warns_of_what_spoils_numbers() -> None:
    results = stored()
    results["machine"]["environment"] = {"OPENBLAS_CORETYPE": "Haswell"}
    results["workloads"]["a"]["others"] = 0.3
    results |= {"partial": True, "failures": {"memory": "no room"}}
    page = render(results, {})
    assert "OPENBLAS_CORETYPE=Haswell was set" in page
    assert "**memory was not measured**: no room" in page
    assert "other processes used 30% of the processors" in page
    assert "was busy" in page and "Not the whole report" in page


def test_the_page_is_made_from_the_stored_numbers(tmp_path: Path) -> None:
    path = tmp_path / "test-cpu.json"
    path.write_text(json.dumps(stored() | {"scaling": None}))
    (tmp_path / "test-cpu.reasons.toml").write_text('e = "the reason"\n')
    assert "the reason" in write(path).read_text(encoding="utf-8")


def test_the_plot_is_made_from_the_stored_numbers(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(stored()["scaling"], "title", tmp_path / "test-cpu.png")
    assert (tmp_path / "test-cpu.png").read_bytes().startswith(b"\x89PNG")


def test_own_work_does_not_count_as_that_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([(10.0, 1.0), (11.5, 2.0)])  # of everyone, of our own
    monkeypatch.setattr(machine, "_processor_seconds", lambda: next(seconds))
    monkeypatch.setattr(machine, "available_cpus", lambda: [0, 1])
    now = iter([100.0, 101.0])
    monkeypatch.setattr(machine.time, "monotonic", lambda: next(now))
    assert machine.Others().share() == 0.25


def test_machines_have_names_for_files() -> None:
    assert machine.slug("Intel(R) Xeon(R) CPU @ 2.80GHz", 1) == "intel-xeon-cpu-2-80ghz-1-core"


# ---- the laboratory -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in (machine.ROOT / "bench" / "lab").glob("[!_]*.py")))
def test_what_is_in_the_laboratory_can_still_be_run(name: str) -> None:
    if name == "preparing":
        pytest.importorskip("cupy", reason="pip install nnkit[test-cuda]: no CuPy")
    assert callable(importlib.import_module(f"bench.lab.{name}").main)
