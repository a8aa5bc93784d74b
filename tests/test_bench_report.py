"""The benchmark's report: made in parts, joined, and shown; from numbers that are pretended."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import machine, report
from bench.plot import draw
from bench.render import render
from bench.report import write
from bench.worker import WorkerError
from bench.workloads import WORKLOADS

# ---- the page -----------------------------------------------------------------------------------------------------


def stored() -> dict[str, Any]:
    """A small report as it lies in its JSON file: one target reached, one missed."""

    def seconds(value: float) -> dict[str, float]:
        return {"median": value, "low": 0.9 * value, "high": 1.1 * value}

    base = {"rounds": 3, "others": 0.01, "absent": {"JAX": "not installed: jax"}, "quoted": {}, "parameters": 1000}
    reached = base | {
        "title": "tiny", "target": "1/12 of the fastest peer",
        "seconds": {"nnkit": seconds(4e-6), "PyTorch": seconds(2e-4)}, "apart": {"PyTorch": 3e-6},
        "flops": 200_000, "parameter_bytes": 20_000, "peer": "PyTorch", "faster": seconds(50.0), "missing": 0.24,
    }  # fmt: skip
    missed = base | {
        "title": "wide", "target": "1/2 of the fastest peer",
        "seconds": {"nnkit": seconds(0.08), "PyTorch": seconds(0.1)},
        "flops": 4_000_000_000, "parameter_bytes": 0, "peer": "PyTorch", "faster": seconds(1.25), "missing": 1.6,
        "goals": [{"target": "1/2 of P", "peer": "P", "faster": seconds(1.25), "missing": 1.6},
                  {"target": "1/3 of Q", "missing": None}],
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
        "memory": {"c": {"nnkit recorded": {"over_import": 2**20, "over_first_use": 2**19}, "PyTorch": "absent"},
                   "m": {"nnkit recorded": {"over_import": 3 * 2**20, "over_first_use": 0},
                         "PyTorch": {"over_import": 2 * 2**20, "over_first_use": 0}}},
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


def test_the_page_says_how_wide_and_of_which_commits() -> None:
    results = stored()
    machine = results["machine"] | {"vectors": "avx2"}
    machine["processor"] |= {"family": "Zen 4", "features": ["avx2", "avx512f"]}
    part = {"sources": "s", "time": "noon", "seconds": 9, "load": [[0.25], [0.5]]}
    measured = {"a": part | {"commit": "abc"}, "e": part | {"commit": "def"}, "limits": part | {"commit": "def"}}
    page = render(results | {"machine": machine, "measured": measured}, {})
    for text in (
        "# nnkit beside its peers: Test CPU (Zen 4), AVX2, 2 threads",
        "| held to narrower vectors | NNKIT_VECTORS=avx2, OPENBLAS_CORETYPE=Haswell",
        "ONNX Runtime has no such switch",
        "**Of several commits**",
        "| commit def | e, limits: from noon to noon; load before each of 0.25 to 0.25 |",
        "1/2 of P: faster by 1.25×, missed: 1.60× too slow; 1/3 of Q: no peer to compare with",
        "they lie 3e-06 apart at the most",
        "| model of m | 3 MiB (0) | 2 MiB (0) | 1.50, missed |",
    ):
        assert text in page, text


def test_the_page_shows_memory_and_what_is_beside_a_workload() -> None:
    results, seconds = stored(), {"median": 2e-5, "low": 1e-5, "high": 3e-5}
    results["workloads"]["a"]["seconds"]["nnkit, 1,000 words"] = seconds
    results["workloads"]["a"] |= {"how": "JAX does it otherwise", "touched": 10}
    results["workloads"]["s"] = {
        "title": "attention", "bytes": {"nnkit": {"1024": 2**20, "4096": 2**22}, "JAX": {"1024": 2**24, "4096": 2**28}},
        "seconds": {}, "absent": {"PyTorch": "not installed: torch"}, "others": 0.0, "target": "both", "missing": None,
        "goals": [{"target": "linear", "missing": 1.5}, {"target": "no more", "missing": None}],
    }  # fmt: skip
    page = render(results, {})
    for text in (
        "- **a**: JAX does it otherwise; nnkit, 1,000 words: 20.0 µs (10.0–30.0).",
        "## s. attention",
        "| tokens | 1024 | 4096 |",
        "| JAX | 16.0 MiB | 256.0 MiB |",
        "- linear: missed: 1.50× too much",
        "- no more: no peer to compare with",
        "- PyTorch not installed: torch",
    ):
        assert text in page, text
    assert "| s. attention" not in page


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


PROCESSORS = {
    "amd-epyc-zen4-avx512": ("AMD EPYC", machine.zen(0x19, 0x11), ["avx2", "avx512f"]),
    "amd-epyc-zen3-avx2": ("AMD EPYC 7B13 64-Core Processor", machine.zen(0x19, 0x01), ["avx2"]),
    "amd-ryzen-zen5-avx512": ("AMD Ryzen 9 9950X", machine.zen(0x1A, 0x44), ["avx2", "avx512f"]),
    "amd-epyc-avx2": ("AMD EPYC", machine.zen(0x1B, 0x01), ["avx2"]),
    "intel-xeon-cpu-2-80ghz-avx512": ("Intel(R) Xeon(R) CPU @ 2.80GHz", "", ["avx2", "avx512f"]),
    "neoverse-n1-neon": ("Neoverse-N1", "", ["asimd"]),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_machines_have_names_for_files(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    processor, family, features = PROCESSORS[name]
    monkeypatch.delenv(machine.VECTORS, raising=False)
    assert machine.slug({"name": processor, "family": family}, machine.vectors(features)) == name


def test_whoever_can_is_held_to_the_vectors_that_nnkit_is_held_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.delenv(machine.VECTORS, raising=False)
    assert "XLA_FLAGS" not in machine.worker_environment()
    monkeypatch.setenv(machine.VECTORS, "avx2")
    assert machine.vectors(["avx2", "avx512f"]) == "avx2"
    held = machine.worker_environment()
    assert held["ONEDNN_MAX_CPU_ISA"] == "AVX2" and held["XLA_FLAGS"] == "--xla_cpu_max_isa=AVX2"


# ---- a report in parts --------------------------------------------------------------------------------------------


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sections without their work: what is measured is written down, and its number is how many were before it."""
    done: list[str] = []

    def pretended(name: str) -> dict[str, int]:
        done.append(name)
        if name == "memory" and done.count("memory") == 1:
            raise WorkerError("no room")
        return {"number": len(done) - 1}

    about = stored()["machine"] | {"vectors": "avx2"}
    about["processor"]["family"] = ""
    monkeypatch.setattr(report, "described", lambda: json.loads(json.dumps(about)))
    monkeypatch.setattr(report, "run", lambda field, workload, rounds, contenders: pretended(workload.key))
    monkeypatch.setattr(report, "ask", lambda function, quick: pretended("limits"))
    monkeypatch.setattr(report.memory, "measure", lambda: pretended("memory"))
    monkeypatch.setattr(report.memory, "peaks", lambda workload: pretended(workload.key))
    for name in ("scaling", "startup"):
        monkeypatch.setattr(getattr(report, name), "measure", lambda quick, name=name: pretended(name))
    monkeypatch.setattr(report, "write", lambda path: path)
    monkeypatch.setattr(report.sources, "digest", lambda folders: "these")
    return done


def test_a_report_can_be_made_in_parts(parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = report.report(["m", "k"], folder=tmp_path)
    assert path == tmp_path / "test-cpu-avx2.json" and parts == ["k", "m"]
    report.report(["m", "memory"], folder=tmp_path)
    results = json.loads(path.read_text())
    assert results["workloads"] == {"k": {"number": 0}, "m": {"number": 2}}
    assert results["partial"] and results["failures"] == {"memory": "no room"}
    assert results["measured"].keys() == {"k", "m"} and results["measured"]["m"]["sources"] == "these"

    before = len(parts)
    report.report(folder=tmp_path, resume=True)
    assert parts[before:] == [name for name in report.SECTIONS if name not in ("k", "m")]
    results = json.loads(path.read_text())
    assert list(results["workloads"]) == list(WORKLOADS) and results["failures"] == {} and not results["partial"]

    monkeypatch.setattr(report.sources, "digest", lambda folders: "others")
    before = len(parts)
    report.report(["a"], folder=tmp_path, resume=True)
    assert parts[before:] == ["a"]


def test_parts_of_another_machine_do_not_join(parts: list[str], tmp_path: Path) -> None:
    path = report.report(["a"], folder=tmp_path)
    results = json.loads(path.read_text())
    results["machine"]["versions"]["nnkit"] = "older"
    path.write_text(json.dumps(results))
    with pytest.raises(report.Different, match="another versions"):
        report.report(["b"], folder=tmp_path)
    assert parts == ["a"]
    assert report.report(["a"], quick=True, folder=tmp_path) == tmp_path / "test-cpu-avx2-quick.json"
    report.report(folder=tmp_path)
    assert json.loads(path.read_text())["machine"]["versions"] == {"nnkit": "0"}
