"""Many threads at once: predictions, compiled functions and trainings give what they give alone."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from captured import programs
from waiting import HANG

import nnkit
from nnkit import nn, optim
from nnkit.backends.collection import uncollected
from nnkit.recording import compiled

THREADS = 32


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    """Python changes threads a thousand times more often than it would."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


def together(work: Callable[[int], Any], count: int = THREADS) -> list[Any]:
    """What ``work(0)``, ``work(1)``, … return when all begin at once."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait(HANG)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 16, activation="gelu"), nn.Dropout(0.5), nn.Linear(16, 3), nn.Softmax(dim=-1))


def rows(number: int, count: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=(count, 6)).astype(np.float32)


@pytest.fixture
def another_training(device: str) -> Iterator[None]:
    """Another model learns all the while; its weights must come out as if it were alone."""
    x, y = rows(0, 64), np.arange(64) % 3

    def train(stop: Callable[[], bool]) -> list[Any]:
        random = np.random.default_rng(2)
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        for parameter in model.parameters():
            parameter.data = nnkit.tensor(random.normal(size=parameter.shape).astype(np.float32))
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        weights = []
        for _ in range(4):
            model.fit(x, y, loss="cross_entropy", optimizer=optimizer, epochs=3, shuffle=False, verbose=0)
            weights.append([parameter.detach().numpy().copy() for parameter in model.parameters()])
        while not stop():
            model.fit(x, y, loss="cross_entropy", optimizer=optimizer, epochs=3, verbose=0)
        return weights

    expected, done = train(lambda: True), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(train, done.is_set)
        yield
        done.set()
        for found, wanted in zip(future.result(), expected, strict=True):
            for one, other in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("another_training")
def test_predictions_from_many_threads(device: str) -> None:
    model = mlp()
    inputs = [
        [rows(10 * number + i, count) for i, count in enumerate((1, 1, 5, 1, 5, 300))] for number in range(THREADS)
    ]
    expected = [[model.predict(x).copy() for x in each] for each in inputs]
    found = together(lambda number: [model.predict(x) for x in inputs[number]])
    for one, other in zip(found, expected, strict=True):
        for y, wanted in zip(one, other, strict=True):
            np.testing.assert_array_equal(y, wanted)
    assert all(module.training for module in model.modules())


@pytest.mark.usefixtures("another_training")
def test_a_compiled_function_called_from_many_threads(device: str) -> None:
    model = mlp().eval()
    function = nnkit.compile(nnkit.no_grad()(lambda x: {"y": model(x), "sum": model(x).sum(dim=0)}))
    inputs = [nnkit.tensor(rows(number, 1 + number % 3)) for number in range(THREADS)]

    def work(number: int) -> list[Any]:
        results = [function(inputs[number]) for _ in range(6)]
        return [[result[name].tolist() for name in ("y", "sum")] for result in results]

    with nnkit.no_grad():
        expected = [[model(x).tolist(), model(x).sum(dim=0).tolist()] for x in inputs]
    for found, wanted in zip(together(work), expected, strict=True):
        assert found == [wanted] * 6
    assert 1 <= programs(function) <= 3


def test_threads_that_record_at_once(device: str) -> None:
    """Each thread has a function and a model of its own, and all begin with recording."""

    def train(number: int) -> list[float]:
        random = np.random.default_rng(number)
        weight = nn.Parameter(nnkit.tensor(random.normal(size=(6, 3)).astype(np.float32)))
        optimizer = optim.SGD([weight], lr=0.1, momentum=0.9)

        @nnkit.compile
        def step(x: nnkit.Tensor) -> nnkit.Tensor:
            optimizer.zero_grad()
            loss = (x @ weight).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return [step(nnkit.tensor(rows(number + i, 4))).item() for i in range(6)]

    assert together(train, 8) == [train(number) for number in range(8)]


def test_a_thread_need_not_wait_for_a_recording(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread records, another calls the same function: it runs plainly, and nothing waits for ever."""
    inside, go_on, guards = threading.Event(), threading.Event(), compiled.Guards

    def slow(*arguments: Any) -> Any:
        inside.set()
        assert go_on.wait(HANG)
        return guards(*arguments)

    monkeypatch.setattr(compiled, "Guards", slow)
    double = nnkit.compile(lambda x: x * 2.0)
    x = nnkit.ones(3)
    double(x)
    recording = threading.Thread(target=double, args=(x,))
    recording.start()
    assert inside.wait(HANG)
    assert double(x).tolist() == [2.0] * 3
    go_on.set()
    recording.join()
    assert programs(double) == 1
    assert double(x).tolist() == [2.0] * 3


def test_nothing_is_collected_until_the_last_recording_has_ended() -> None:
    begun, end = threading.Event(), threading.Event()

    def other() -> None:
        with uncollected():
            begun.set()
            end.wait(HANG)

    assert gc.isenabled()
    thread = threading.Thread(target=other)
    with uncollected():
        thread.start()
        begun.wait(HANG)
    assert not gc.isenabled()
    end.set()
    thread.join()
    assert gc.isenabled()
