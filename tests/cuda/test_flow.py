"""The loop of training stays near the GPU: in the stand-in's virtual time, where a step takes what the test says."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import stand_in
from stand_in.clock import Clock
from stand_in.machine import Machine

import nnkit
from nnkit import nn
from nnkit.backends.errors import DeviceFault
from nnkit.errors import DivergenceError
from nnkit.training import Callback, flow, trainer
from nnkit.training.replay import Replay

SOON = 0.1  # seconds within which people see what happens
ROWS = 4  # of a batch


@pytest.fixture(scope="module")
def kernels(whole_gpu: Machine) -> int:
    """How many kernels a step has."""
    clock, ends = whole_gpu.clock, []
    clock.durations["kernel"] = 1.0
    nnkit.set_default_device("cuda")
    for steps in (4, 14):
        begin = clock.now
        fit(steps)
        ends.append(clock.now - begin)
    return round((ends[1] - ends[0]) / 10.0)


@pytest.fixture
def clock(kernels: int, device: str, whole_gpu: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The clock that the loop reads, and by which the GPU works."""
    for module in (trainer, flow):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=whole_gpu.clock.read))
    whole_gpu.clock.most_ahead = 0.0
    yield whole_gpu.clock
    whole_gpu.clock.durations.clear()


@pytest.fixture
def chunks(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """When steps were given to the GPU, and how many at once."""
    run, given = Replay.run, []

    def noted(replay: Replay, most: int) -> int:
        now = clock.now
        ran = run(replay, most)
        given.append((now, ran))
        return ran

    monkeypatch.setattr(Replay, "run", noted)
    return given


class Looks(Callback):
    """When the loop looked."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.times = clock, [clock.now]

    def on_read(self, done: int, values: Any) -> None:
        self.times.append(self.clock.now)


class EachBatch(Callback):
    """Wants to be called after each batch."""

    def on_batch_end(self, batch: int, logs: Any) -> None:
        pass


class EachTen(Callback):
    """Wants to be called after each ten steps."""

    settle_every = 10


@pytest.fixture
def pace(clock: Clock, kernels: int) -> Callable[[float], None]:
    """Lets a step take so many seconds."""

    def set_pace(seconds: float) -> None:
        clock.durations["kernel"] = seconds / kernels

    return set_pace


def fit(steps: int, bad_step: int | None = None, **options: Any) -> nn.Module:
    """A small training; the loss overflows in the bad step."""
    x = np.random.default_rng(0).normal(size=(ROWS * steps, 2)).astype(np.float32)
    y = x[:, :1].copy()
    if bad_step is not None:
        y[ROWS * bad_step] = 1e30
    options = {"optimizer": "sgd", "batch_size": ROWS, "shuffle": False, "verbose": 0} | options
    model = nn.Linear(2, 1)
    model.fit(x, y, loss="mse", **options)
    return model


@pytest.mark.parametrize("seconds", [0.0005, 0.01, 0.03, 0.2])
@pytest.mark.parametrize("extra", [None, EachBatch, EachTen])
def test_the_loop_is_never_far_ahead_and_looks_soon(
    seconds: float, extra: Any, pace: Callable[[float], None], clock: Clock, chunks: list[tuple[float, int]]
) -> None:
    pace(seconds)
    looks, steps = Looks(clock), min(160, max(int(0.7 / seconds), 12))
    fit(steps, callbacks=[looks, *([] if extra is None else [extra()])])
    assert sum(ran for _, ran in chunks) == steps
    assert max(np.diff(looks.times)) <= max(SOON, 3.01 * seconds)
    assert clock.most_ahead <= flow.LOOK_SECONDS + 2 * seconds, "two chunks"
    largest = max(ran for _, ran in chunks[6:])  # once a step's time is known
    fitting = max(int(flow.LOOK_SECONDS / 2 / seconds), 1)
    if extra is None:
        assert fitting / 2 <= largest <= fitting + 1, "a chunk takes as long as half the time between two looks"
    assert extra is not EachBatch or largest == 1


def test_a_chunk_costs_two_events_however_many_steps_it_has(
    pace: Callable[[float], None], chunks: list[tuple[float, int]], whole_gpu: Machine
) -> None:
    pace(1e-4)
    before = whole_gpu.counts.copy()
    fit(300)
    used = {name: whole_gpu.counts[name] - before[name] for name in ("cudaEventRecord", "cudaEventSynchronize")}
    assert used["cudaEventRecord"] <= 2 * len(chunks) + 1 and used["cudaEventSynchronize"] <= len(chunks) < 20


@pytest.mark.parametrize("late", [set(), {"copy", "kernel"}], ids=["at once", "late"])
@pytest.mark.parametrize("bad_step", [17, 31, 50])
def test_a_loss_that_overflows_is_told_soon(
    bad_step: int, late: set[str], pace: Callable[[float], None], clock: Clock, chunks: list[tuple[float, int]],
    whole_gpu: Machine,
) -> None:  # fmt: skip
    pace(0.01)
    whole_gpu.late = late
    with pytest.raises(DivergenceError, match=f"step {bad_step + 1}"):
        fit(100, bad_step)
    done = np.cumsum([ran for _, ran in chunks])
    given = chunks[int(np.argmax(done > bad_step))][0]
    assert clock.now - given <= SOON


@pytest.mark.parametrize("place", ["training", "validation"])
@pytest.mark.parametrize("moment", [0.104, 0.3, 0.333])
def test_ctrl_c_ends_the_training_soon(place: str, moment: float, pace: Callable[[float], None], clock: Clock) -> None:
    pace(0.01)
    begin = clock.now
    options: dict[str, Any] = {}
    if place == "validation":
        options["validation_data"] = np.ones((ROWS * 100, 2), np.float32), np.ones((ROWS * 100, 1), np.float32)
    clock.at(begin + moment, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        fit(100 if place == "training" else 4, epochs=2, **options)
    assert moment <= clock.now - begin <= moment + SOON
    assert clock.most_ahead <= flow.LOOK_SECONDS + 0.02


def test_evaluation_is_never_far_ahead(pace: Callable[[float], None], clock: Clock) -> None:
    model = fit(3)
    pace(0.002)
    x = np.ones((ROWS * 200, 2), np.float32)
    found = model.evaluate(x, x[:, :1], batch_size=ROWS)
    assert 0.0 < clock.most_ahead <= flow.LOOK_SECONDS + 0.004
    nnkit.set_default_device("cpu")
    assert found["loss"] == pytest.approx(model.to("cpu").evaluate(x, x[:, :1], batch_size=ROWS)["loss"], rel=1e-5)


def test_a_fault_that_is_noticed_while_waiting_is_told(clock: Clock) -> None:
    stand_in.fail("cudaEventSynchronize", error="cudaErrorInvalidValue")
    with pytest.raises(DeviceFault, match="cuda:0 failed while waiting for its work: cudaErrorInvalidValue"):
        fit(20)
