"""How ``fit`` ends before its time: an error, Ctrl-C, or a loss that is no number any more."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from waiting import HANG

import nnkit
from nnkit import nn
from nnkit.errors import DivergenceError
from nnkit.training import Callback, LambdaCallback, last_history

X = np.random.default_rng(7).normal(size=(60, 4)).astype(np.float32)
Y = np.arange(60) % 3


def classifier() -> nn.Sequential:
    nnkit.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def weights(model: nn.Module) -> list[np.ndarray]:
    return [parameter.detach().numpy().copy() for parameter in model.parameters()]


# ---- errors and Ctrl-C ------------------------------------------------------------------------------------


class Tape(Callback):
    """Notes what is called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_train_begin(self) -> None:
        self.calls.append("train_begin")

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        self.calls.append(f"epoch_end {epoch}")

    def on_train_end(self) -> None:
        self.calls.append("train_end")


class FailAt(Callback):
    """Raises an error at the end of a step."""

    def __init__(self, error: BaseException, step: int = 2) -> None:
        self.error = error
        self.step = step

    def on_batch_end(self, step: int, logs: Any) -> None:
        if step == self.step:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("mine")])
def test_an_error_in_a_callback_ends_the_training_in_order(error: BaseException, device: str) -> None:
    model, before, after = classifier(), Tape(), Tape()
    model.eval()
    with pytest.raises(type(error)) as caught:
        callbacks = [before, FailAt(error), after]
        model.fit(X, Y, loss="cross_entropy", batch_size=8, callbacks=callbacks, verbose=0)
    assert caught.value is error
    assert before.calls == after.calls == ["train_begin", "train_end"]
    history = last_history(model)
    assert history is not None and history.interrupted == isinstance(error, KeyboardInterrupt)
    assert history.stopped_by == type(error).__name__
    assert not model.training and np.isfinite(model.predict(X)).all()


def test_an_error_at_the_end_of_one_callback_does_not_keep_the_others_from_ending(device: str) -> None:
    after = Tape()

    def fail() -> None:
        raise RuntimeError("at the end")

    with pytest.raises(RuntimeError, match="at the end"):
        classifier().fit(X, Y, loss="cross_entropy", callbacks=[LambdaCallback(on_train_end=fail), after], verbose=0)
    assert after.calls[-1] == "train_end"
    with pytest.raises(KeyError, match="first"):
        callbacks = [LambdaCallback(on_train_end=fail), FailAt(KeyError("first"), step=0)]
        classifier().fit(X, Y, loss="cross_entropy", callbacks=callbacks, verbose=0)


INTERRUPTED = """
import os, signal
import numpy as np
import nnkit
from nnkit import nn
from nnkit.training import LambdaCallback, last_history

nnkit.set_default_device("numpy")
model = nn.Linear(2, 1)
x = np.zeros((40, 2))
steps = []
send = LambdaCallback(
    on_batch_begin=lambda step: step == 3 and os.kill(os.getpid(), signal.SIGINT),
    on_batch_end=lambda step, logs: steps.append(step),
    on_train_end=lambda: print("end"),
)
try:
    model.fit(x, x[:, :1], loss="mse", batch_size=4, epochs=5, callbacks=[send], verbose=0)
except KeyboardInterrupt:
    print("raised", steps, last_history(model).interrupted, model.predict(x).shape)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


def test_ctrl_c_finishes_the_step(tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=HANG)
    assert done.stdout.splitlines() == ["end", "raised [0, 1, 2, 3] True (40, 1)", "True"], done.stderr


def test_a_signal_handler_of_the_user_is_left_alone(device: str) -> None:
    seen: list[int] = []

    def mine(number: int, frame: Any) -> None:
        seen.append(number)

    previous = signal.signal(signal.SIGINT, mine)
    try:
        send = LambdaCallback(on_epoch_end=lambda epoch, logs: signal.raise_signal(signal.SIGINT))
        history = classifier().fit(X, Y, loss="cross_entropy", callbacks=[send], verbose=0)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert seen == [signal.SIGINT] and not history.interrupted


# ---- divergence -------------------------------------------------------------------------------------------


class LogOf(nn.Module):
    """The logarithm, which is NaN for a negative input."""

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return nnkit.log(x)


def test_a_loss_that_explodes_names_step_rate_and_module(device: str) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 1))
    optimizer = nnkit.optim.SGD(model.parameters(), lr=1e12)
    tape = Tape()
    with pytest.raises(DivergenceError, match=r"at epoch 1, step \d+ \(learning rate 1e\+12\): .*'0' \(Linear\)"):
        model.fit(X, Y[:, None], loss="mse", optimizer=optimizer, epochs=3, batch_size=5, callbacks=[tape], verbose=0)
    assert tape.calls == ["train_begin", "train_end"]
    assert all(np.isfinite(weight).all() for weight in weights(model))
    with pytest.raises(ValueError, match=r"optimizer=None goes on .* and that diverged: pass a name"):
        model.fit(X, Y[:, None], loss="mse", optimizer=None, verbose=0)
    model.fit(X, Y[:, None], loss="mse", optimizer="adam", verbose=0)


def test_the_step_that_diverged_is_the_one_that_met_the_bad_batch(device: str) -> None:
    x = np.ones((12, 1), dtype=np.float32)
    x[7] = -1.0
    model = nn.Sequential(nn.Identity(), LogOf(), nn.Linear(1, 1))
    before = weights(model)
    with pytest.raises(DivergenceError, match=r"epoch 1, step 4 .*'1' \(LogOf\), already with the last finite weights"):
        model.fit(x, x, loss="mse", optimizer="sgd", batch_size=2, shuffle=False, verbose=0)
    for now, then in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_the_same_message_for_batches_of_a_generator(device: str) -> None:
    x = np.ones((12, 1), dtype=np.float32)
    x[7] = -1.0
    model = nn.Sequential(nn.Identity(), LogOf(), nn.Linear(1, 1))
    batches = ((x[i : i + 2], x[i : i + 2]) for i in range(0, 12, 2))
    with pytest.raises(DivergenceError, match=r"epoch 1, step 4 .*'1' \(LogOf\)"):
        model.fit(batches, loss="mse", optimizer="sgd", verbose=0)


def test_a_loss_that_is_itself_not_finite(device: str) -> None:
    model = nn.Linear(1, 1)
    x = np.ones((4, 1), dtype=np.float32)
    with pytest.raises(DivergenceError, match="every module's output is finite, so the loss itself"):
        model.fit(x, x, loss=lambda p, t: nnkit.log((p * 0.0).mean()), optimizer="sgd", verbose=0)


def test_weights_that_break_in_the_last_update(device: str) -> None:
    model = nn.Linear(1, 1, bias=False)
    with nnkit.no_grad():
        model.weight.fill_(0.0)
    x = np.ones((4, 1), dtype=np.float32)
    with pytest.raises(DivergenceError, match="parameter 'weight' is NaN or infinite after epoch 1, step 1"):
        model.fit(x, x, loss=lambda p, t: nnkit.sqrt(p.square()).mean(), optimizer="sgd", verbose=0)
    assert model.weight.item() == 0.0


def test_the_weights_that_come_back_are_those_of_a_step_before(device: str) -> None:
    model = nn.Linear(1, 1, bias=False)
    with nnkit.no_grad():
        model.weight.fill_(0.0)
    x = np.ones((100, 1), dtype=np.float32)
    x[99] = -1.0

    def loss(prediction: nnkit.Tensor, target: nnkit.Tensor) -> nnkit.Tensor:
        return (prediction * target).mean() + nnkit.log(target).mean()

    optimizer = nnkit.optim.SGD(model.parameters(), lr=1.0)
    with pytest.raises(DivergenceError, match="step 100 "):
        model.fit(x, x, loss=loss, optimizer=optimizer, batch_size=1, shuffle=False, verbose=0)
    assert model.weight.item() in -np.arange(100.0)
