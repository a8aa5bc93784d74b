"""Who is timed when in ``python -m bench gpu``, and in how much memory: with contenders that are only pretended."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from waiting import HANG

from bench.gpu import speed, workloads
from bench.gpu.contenders import CONTENDERS
from bench.gpu.process import Over
from bench.worker import WorkerError

SMALL, WIDE = workloads.TRAININGS["small"], workloads.TRAININGS["wide, TF32"]
SECONDS = {
    "nnkit": 1.0, "nnkit in fit": 0.1, "PyTorch": 4.0, "torch.compile": 3.0, "PyTorch's CUDA graph": 1.25, "JAX": 2.0,
}  # fmt: skip


class Pretended(speed.Contestant):
    """A contender without a process: what it does is written down, and its turns take what is said above."""

    done: list[str]
    ready_now: set[str]
    most = 0
    broken: dict[str, str]

    def missing(self, key: str) -> str | None:
        return "not installed: optax" if self.broken.get(self.name) == "missing" else None

    def ready(self, workload: Any) -> Callable[[], float]:
        self.ready_now.add(self.name)
        type(self).most = max(self.most, len(self.ready_now))
        self.done.append(f"make {self.name}")
        if self.broken.get(self.name, "").startswith("making"):
            raise WorkerError(self.broken[self.name])
        return lambda: self._turn(workload.key, 1)

    def _turn(self, key: str, units: int) -> float:
        self.done.append(f"turn {self.name}")
        if self.broken.get(self.name) == "turn":
            raise WorkerError("gone")
        if self.broken.get(self.name) == "over":
            raise Over("time")
        return SECONDS[self.name]

    def drop(self, key: str) -> None:
        self.ready_now.discard(self.name)

    def close(self) -> None:
        self.ready_now.discard(self.name)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> type[Pretended]:
    """The class of contenders, as new."""
    Pretended.done, Pretended.ready_now, Pretended.most, Pretended.broken = [], set(), 0, {}
    monkeypatch.setattr(speed, "Contestant", Pretended)
    return Pretended


def raced(free: int, workload: Any = SMALL, rounds: int = 9, notes: list[str] | None = None) -> dict[str, Any] | None:
    note = lambda key, name, error: (notes if notes is not None else []).append(f"{key}, {name}: {error}")  # noqa: E731
    field = speed.Field(list(CONTENDERS), time.monotonic() + HANG, note)
    return field.race(workload, rounds, free)


GIB = 1 << 30
WAYS = {  # free bytes and the training -> how many are ready at a time at most, rounds, the way
    "a large card": (78 * GIB, WIDE, 6, 9, speed.TOGETHER),
    "a small card": (8 * GIB, WIDE, 1, 3, speed.ALONE),
    "a small training on a small card": (8 * GIB, SMALL, 6, 9, speed.TOGETHER),
    "hardly any": (2 * GIB, SMALL, 1, 3, speed.ALONE),
}


@pytest.mark.parametrize("case", WAYS)
def test_all_are_ready_at_once_only_where_they_are_known_to_fit(case: str, pretended: type[Pretended]) -> None:
    free, workload, most, rounds, way = WAYS[case]
    row = raced(free, workload)
    assert row is not None
    assert (pretended.most, row["rounds"], row["way"]) == (most, rounds, way)
    assert (row["peer"], row["faster"]["median"]) == ("PyTorch's CUDA graph", 1.25)
    assert not pretended.ready_now
    turns = [what.removeprefix("turn ") for what in pretended.done if what.startswith("turn")]
    each = 1 if way == speed.TOGETHER else speed.TURNS_ALONE
    assert turns == [name for name in CONTENDERS for _ in range(each)] * rounds


def test_where_memory_ends_nevertheless_they_are_timed_one_at_a_time(pretended: type[Pretended]) -> None:
    pretended.broken = {"JAX": "making ready: RESOURCE_EXHAUSTED: Out of memory while trying to allocate"}
    notes: list[str] = []
    row = raced(78 * GIB, notes=notes)
    assert row is not None and row["way"].startswith(speed.ALONE) and "no memory" in row["way"]
    assert row["absent"].keys() == {"JAX"} and len(row["seconds"]) == 5
    assert len(notes) == 2 and notes[0].startswith("small, JAX: making ready")


@pytest.mark.parametrize("free", [78 * GIB, 2 * GIB])
def test_a_contender_that_fails_leaves_the_others_their_turns(free: int, pretended: type[Pretended]) -> None:
    pretended.broken = {"JAX": "missing", "torch.compile": "turn", "PyTorch": "making: no GPU"}
    row = raced(free)
    assert row is not None
    assert (row["peer"], row["faster"]["median"], row["missing"]) == ("PyTorch's CUDA graph", 1.25, 1.2)
    assert row["absent"] == {
        "JAX": "not installed: optax", "torch.compile": "failed: gone", "PyTorch": "failed: making: no GPU",
    }  # fmt: skip


def test_a_row_without_a_single_round_is_not_run(pretended: type[Pretended]) -> None:
    field = speed.Field(list(CONTENDERS), time.monotonic() - 1.0)
    assert field.race(SMALL, 9, 78 * GIB) is None
    assert field.race(WIDE, 9, GIB) is None


def test_a_round_that_was_cut_off_does_not_count(pretended: type[Pretended]) -> None:
    pretended.broken = {"JAX": "over"}
    row = raced(78 * GIB)
    assert row is not None and row["rounds"] == 0 and row["seconds"] == {}


def test_trainings_shrink_to_fit_and_say_so() -> None:
    assert speed.fitted(WIDE, 80 * GIB) == WIDE and speed.fitted(WIDE, 8 * GIB) == WIDE
    assert speed.fitted(SMALL, GIB) == SMALL
    shrunk = speed.fitted(WIDE, 2 * GIB)
    assert shrunk.batch < 4096 and f"**batch {shrunk.batch}**" in shrunk.title
    assert speed.needed(shrunk) <= workloads.ROOM * 2 * GIB
