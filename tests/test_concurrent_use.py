"""One model in several threads at once: each has its modes, predictions see weights of one moment, signals end well."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score
from waiting import HANG, until

import nnkit
from nnkit import keras, nn, optim
from nnkit.backends.cpu import team
from nnkit.sklearn import MLPClassifier
from nnkit.training.modes import evaluating, training
from nnkit.training.moment import Moment

# ---- modes ----------------------------------------------------------------------------------------------------------


def in_another_thread(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(HANG)


class FrozenPart(nn.Module):
    """A model of which a part stays in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.frozen = nn.Dropout(0.5), nn.Dropout(0.5)

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self.frozen.eval()
        return self

    def modes(self) -> tuple[bool, bool]:
        return self.free.training, self.frozen.training


def test_modes_are_a_threads_own() -> None:
    model = FrozenPart()
    assert model.modes() == (True, True)
    with evaluating(model):
        assert model.modes() == (False, False)
        assert in_another_thread(model.modes) == (True, True)
        with training(model):
            assert model.modes() == (True, False)
            model.eval()
            assert model.modes() == (False, False)
        assert model.modes() == (False, False)
    assert model.modes() == (True, True)
    model.train()
    assert model.modes() == in_another_thread(model.modes) == (True, False)


def test_a_compiled_function_is_recorded_for_each_mode(device: str) -> None:
    model = nn.Dropout(0.5)
    function = nnkit.compile(lambda x: model(x))
    x = nnkit.ones(64)
    for _ in range(4):
        assert 0.0 in function(x).tolist()
        with evaluating(model):
            assert function(x).tolist() == [1.0] * 64
        assert 0.0 in function(x).tolist()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_keep_their_mode(again: Any) -> None:
    model = nn.Sequential(nn.Dropout(0.5)).eval()
    assert again(model).training is False and again(model)[0].training is False


# ---- predictions while it learns ------------------------------------------------------------------------------------


def equal_weights() -> nn.Module:
    """Weight and bias stay equal under training on (1, y): a prediction for -1 is 0, with weights of one moment."""
    nnkit.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5))
    with nnkit.no_grad():
        model[0].weight.fill_(0.0)
        model[0].bias.fill_(0.0)
    return model


def learn(model: nn.Module, compile: bool = True, epochs: int = 40) -> Any:
    x, y = np.ones((64, 1), np.float32), np.arange(64, dtype=np.float32).reshape(-1, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    options: Any = {
        "optimizer": optimizer,
        "epochs": epochs,
        "batch_size": 1,
        "seed": 0,
        "verbose": 0,
        "compile": compile,
    }
    model.fit(x, y, loss="mse", **options)
    return [parameter.tolist() for parameter in model.parameters()]


@pytest.mark.parametrize("compile", [True, False], ids=["recorded", "plain"])
@pytest.mark.parametrize("use", ["predict", "evaluate"])
def test_a_model_is_used_while_it_learns(use: str, compile: bool, device: str) -> None:
    epochs = 40 if compile and device != "strict" else 4  # steps that run plainly are slow enough to be met
    alone, row = learn(equal_weights(), compile, epochs), np.full((1, 1), -1.0, np.float32)

    def used_meanwhile(pool: ThreadPoolExecutor) -> int:
        shared, seen = equal_weights(), 0
        learning = pool.submit(learn, shared, compile, epochs)
        while not learning.done():
            found = shared.predict(row) if use == "predict" else shared.evaluate(row, row * 0, loss="l1")["loss"]
            assert not np.any(found)
            seen += 1
            time.sleep(1e-3)  # Python's lock goes to who asks for it least often
        assert learning.result() == alone
        return seen

    with ThreadPoolExecutor(1) as pool:
        until(lambda: used_meanwhile(pool))  # one that was over before it was looked at says nothing


def test_many_threads_predict_at_once() -> None:
    model, x = nn.Linear(4, 2), np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    expected = model.predict(x)
    with ThreadPoolExecutor(16) as pool:
        assert all((found == expected).all() for found in pool.map(lambda _: model.predict(x), range(400)))


def test_a_callback_may_predict_and_evaluate(device: str) -> None:
    x = np.ones((8, 1), np.float32)
    seen = []

    class Looking(nnkit.training.Callback):
        def on_batch_end(self, batch: int, logs: Any) -> None:
            seen.append((self.model.predict(x).shape, self.model.evaluate(x, x, loss="mse")["loss"]))

    nn.Linear(1, 1).fit(x, x, loss="mse", batch_size=4, verbose=0, callbacks=[Looking()])
    assert len(seen) == 2


def test_readers_come_between_the_turns_of_a_writer() -> None:
    moment, stop, read = Moment(), threading.Event(), []

    def write() -> None:
        while not stop.is_set():
            with moment.writing():
                time.sleep(0.002)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        for _ in range(20):
            with moment.reading(), moment.reading():
                read.append(moment._writer == 0 or moment._readers != {})
        stop.set()
        writing.result(HANG)
    assert len(read) == 20


def test_a_reader_that_was_interrupted_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between a reader's beginning and its end: the entry stays, and the next writer takes it away."""
    moment = Moment()
    moment.begin()  # and never an end
    moment._waiting[threading.get_ident()] = True

    def write() -> bool:
        with moment.writing():
            return not moment._readers and not moment._waiting

    assert in_another_thread(write)


# ---- random streams -------------------------------------------------------------------------------------------------


def seeded(seed: int) -> Any:
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    with nnkit.random.using(nnkit.Generator(7)):
        model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 4))
    return model.fit(x, x, loss="mse", epochs=3, batch_size=8, seed=seed, verbose=0).history["loss"]


def test_seeded_trainings_in_threads_are_what_they_are_alone() -> None:
    alone = [seeded(seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(seeded, range(6))) == alone


STREAM_KEEPERS: dict[str, Callable[[], Any]] = {
    "fit with a seed": lambda: seeded(3),
    "an estimator": lambda: MLPClassifier((4,), max_iter=3, tol=10.0, n_iter_no_change=1, random_state=0).fit(
        np.eye(6), [0, 1, 0, 1, 0, 1]
    ),
    "Keras's seeded initializer": lambda: keras.initializers.GlorotUniform(seed=3)((2, 2)),
    "a generator": lambda: nnkit.Generator(5).seed(),
}


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer. Maximum iterations")
@pytest.mark.parametrize("name", STREAM_KEEPERS)
def test_the_users_stream_is_left_as_it_was(name: str, device: str) -> None:
    nnkit.manual_seed(11)
    nnkit.rand(2)
    expected = [nnkit.initial_seed(), nnkit.get_rng_state()]
    STREAM_KEEPERS[name]()
    assert [nnkit.initial_seed(), nnkit.get_rng_state()] == expected


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer. Maximum iterations")
def test_cross_validation_in_threads_is_repeatable() -> None:
    joblib = pytest.importorskip("joblib")
    x, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 2
    scores = []
    for jobs in (1, 4, 4):
        with joblib.parallel_backend("threading", n_jobs=jobs):
            scores.append(cross_val_score(MLPClassifier((16,), max_iter=5, random_state=0), x, y, cv=4).tolist())
    assert scores[0] == scores[1] == scores[2]


def test_a_state_is_restored(device: str) -> None:
    nnkit.manual_seed(3)
    nnkit.rand(3), nn.Linear(2, 2)
    state = nnkit.get_rng_state()
    first = nnkit.rand(3).tolist(), nn.Linear(2, 2).weight.tolist(), nnkit.dropout(nnkit.ones(9)).tolist()
    nnkit.set_rng_state(state)
    assert first == (nnkit.rand(3).tolist(), nn.Linear(2, 2).weight.tolist(), nnkit.dropout(nnkit.ones(9)).tolist())


# ---- signals --------------------------------------------------------------------------------------------------------

TERMINATED = """
import os, signal, sys, numpy as np, nnkit
from nnkit import nn
from nnkit.training import Callback
class Ends(Callback):
    def on_batch_end(self, batch, logs):
        if batch == 5:
            os.kill(os.getpid(), signal.SIGTERM)
            if sys.argv[1] == "twice":
                os.kill(os.getpid(), signal.SIGTERM)
                print("not reached", flush=True)
    def on_train_end(self):
        print("ended", np.isfinite(self.model.weight.detach().numpy()).all(), flush=True)
if sys.argv[1] == "own":
    signal.signal(signal.SIGTERM, lambda *_: print("mine", flush=True))
x = np.ones((64, 1), np.float32)
nn.Linear(1, 1).fit(x, x, loss="mse", batch_size=4, epochs=2, verbose=0, callbacks=[Ends()])
print("finished")
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that can be handled")
@pytest.mark.parametrize(("how", "status", "printed"), [
    ("default", 143, ["ended True"]), ("twice", 143, ["ended True"]),
    ("own", 0, ["mine", "mine", "ended True", "finished"]),
])  # fmt: skip
def test_sigterm_ends_as_ctrl_c_does(how: str, status: int, printed: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", TERMINATED, how], capture_output=True, text=True, timeout=HANG)
    assert (done.returncode, done.stdout.split("\n")[:-1]) == (status, printed)


@pytest.mark.skipif(os.name == "nt", reason="timers of Unix")
def test_ctrl_c_anywhere_leaves_the_team_free() -> None:
    x = nnkit.ones(2048, 512, device="numba")
    step = nnkit.compile(lambda x: x * 2.0 + 1.0)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    interrupted = 0
    for _ in range(3):
        step(x)
    try:
        for number in range(150):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-4 + number % 37 * 4e-5)
                for _ in range(200):
                    step(x)
            except KeyboardInterrupt:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 100
    step(x)
    current = team._current
    assert current is None or in_another_thread(lambda: current.lock.acquire(blocking=False))
