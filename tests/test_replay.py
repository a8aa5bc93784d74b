"""``fit`` and ``evaluate`` as programs: to the bit what they compute in Python, whatever they are asked."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from captured import values

import nnkit
from nnkit import nn, optim
from nnkit.training import Callback, EarlyStopping, LambdaCallback, Metric
from nnkit.training import replay as replay_module
from nnkit.training.replay import Replay
from nnkit.training.steps import TrainingStep

ROWS = 27  # with batches of 8, the last has 3


def data(kind: str = "labels") -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    x = random.normal(size=(ROWS, 5)).astype(np.float32)
    y = {"labels": random.integers(0, 3, ROWS), "numbers": random.normal(size=(ROWS, 3)).astype(np.float32)}[kind]
    return x, y


def mlp(**first: Any) -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 7, activation="gelu", **first), nn.Dropout(0.25), nn.Linear(7, 3))


class Result:
    """A training: its history, weights, metrics on the data afterwards, and how many chunks were replayed."""

    def __init__(self, compiled: bool, monkeypatch: pytest.MonkeyPatch, **case: Any) -> None:
        self.chunks: list[int] = []
        run = Replay._replay

        def counting(replay: Replay, rows: int, times: int) -> int:
            ran = run(replay, rows, times)
            self.chunks += [ran] if ran and isinstance(replay.step, TrainingStep) else []
            return ran

        monkeypatch.setattr(Replay, "_replay", counting)
        nnkit.manual_seed(4)
        model = case.pop("model", mlp)()
        rates = case.pop("optimizer", lambda p: optim.Adam(p, lr=0.02))
        x, y = case.pop("data", None) or data(case.pop("kind", "labels"))
        callbacks = [make() for make in case.pop("callbacks", ())]
        options = {"loss": "cross_entropy", "epochs": 3, "batch_size": 8, "verbose": 0, **case}
        history = model.fit(x, y, optimizer=rates(model.parameters()), callbacks=callbacks, compile=compiled, **options)
        self.epochs = history.epoch
        self.history = {name: np.asarray(column).tobytes() for name, column in history.history.items()}
        self.weights = [values(tensor) for tensor in [*model.parameters(), *model.buffers()]]
        self.seen = [callback.seen for callback in callbacks if hasattr(callback, "seen")]
        self.evaluated = model.evaluate(x, y, batch_size=10)


def assert_same(monkeypatch: pytest.MonkeyPatch, **case: Any) -> Result:
    """Train recorded and in Python; returns the recorded training."""
    recorded, plain = Result(True, monkeypatch, **case), Result(False, monkeypatch, **case)
    for part in ("epochs", "history", "weights", "seen", "evaluated"):
        assert getattr(recorded, part) == getattr(plain, part), part
    return recorded


# ---- what fit is asked for ----------------------------------------------------------------------------------

WEIGHTS = np.linspace(0.25, 2.0, ROWS)

CASES: dict[str, dict[str, Any]] = {
    "shuffled": {},
    "in order": {"shuffle": False},
    "seeded": {"seed": 5},
    "one batch": {"batch_size": ROWS},
    "single rows": {"batch_size": 1, "epochs": 1},
    "validation split": {"validation_split": 0.3, "metrics": ["accuracy"]},
    "validation data": {"validation_data": (*data(), WEIGHTS)},
    "sample weights": {"sample_weight": WEIGHTS, "metrics": ["accuracy", "top_2_accuracy"]},
    "class weights": {"class_weight": {0: 2.0, 2: 0.5}, "sample_weight": WEIGHTS},
    "penalties": {"model": lambda: mlp(l1=0.001, l2=0.01)},
    "clipped norm": {"clip_norm": 0.1},
    "clipped values": {"clip_value": 0.01},
    "ignored labels": {"loss": nn.CrossEntropyLoss(ignore_index=1)},
    "smoothed labels": {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)},
    "regression": {"kind": "numbers", "loss": "mse", "metrics": ["mae", "r2"]},
    "huber": {"kind": "numbers", "loss": nn.HuberLoss(delta=0.5), "sample_weight": WEIGHTS},
    "nesterov": {"optimizer": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True)},
    "rmsprop": {"optimizer": lambda p: optim.RMSprop(p, lr=0.01, centered=True)},
    "adamw": {"optimizer": lambda p: optim.AdamW(p, lr=0.01, amsgrad=True)},
    "adagrad": {"optimizer": lambda p: optim.Adagrad(p, lr=0.1)},
}


@pytest.mark.parametrize("name", CASES)
def test_recorded_training_is_training_in_python(name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sum(assert_same(monkeypatch, **CASES[name]).chunks) > 0


# ---- people's own parts -------------------------------------------------------------------------------------


class Own(nn.Module):
    """A model with noise, running statistics in a buffer, and a plain tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 4), nn.Linear(4, 3)
        self.register_buffer("mean", nnkit.zeros(4))
        self.factor = nnkit.tensor([1.0, 2.0, 0.5])

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        h = self.first(x)
        if self.training:
            self.mean.mul_(0.9).add_(h.detach().mean(dim=0) * 0.1)
            h = h + nnkit.randn(*h.shape) * 0.01
        return self.second((h - self.mean).tanh()) * self.factor


class OnTheHost(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 3)

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        y = self.linear(x)
        return y if y.max().item() > 0.0 else -y


class Counting(OnTheHost):
    """Sets an attribute in every call."""

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        self.calls = getattr(self, "calls", 0) + 1
        return self.linear(x) * (1.0 + 1.0 / self.calls)


def own_loss(prediction: nnkit.Tensor, target: nnkit.Tensor) -> nnkit.Tensor:
    return nn.functional.cross_entropy(prediction, target) + prediction.square().mean() * 0.1


class Spread(Metric):
    name = "spread"

    def sums(self, prediction: Any, target: Any, weight: Any = None) -> Any:
        return nnkit.stack([prediction.max() - prediction.min(), nnkit.ones(())]).double()

    def result(self, sums: np.ndarray) -> float:
        return float(sums[0] / sums[1])


@pytest.mark.parametrize(
    "case",
    [
        {"model": Own},
        {"loss": own_loss, "metrics": [Spread(), lambda p, y: (p.argmax(dim=1) == y).float().mean()]},
        {"optimizer": lambda p: optim.SGD([{"params": [q], "lr": 0.1 / (i + 1)} for i, q in enumerate(p)])},
    ],
)
def test_modules_losses_metrics_of_ones_own(case: Any, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sum(assert_same(monkeypatch, **case).chunks) > 0


@pytest.mark.parametrize(
    ("model", "reason"),
    [(OnTheHost, f"reads a value on the host at {__file__}"), (Counting, "it sets Counting.calls")],
)
def test_a_model_that_needs_python_trains_all_the_same(
    model: Any, reason: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "MAXIMUM_RECORDINGS", 4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = assert_same(monkeypatch, model=model)
    assert result.chunks == []
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == (2 if model is OnTheHost else 1)  # one for the model that is recorded in evaluation only
    assert all(m.startswith(f"a step of {model.__name__} cannot be replayed: ") and reason in m for m in messages)


def test_a_label_out_of_range_in_a_later_batch_is_found(device: str) -> None:
    x, y = data()
    y[-1] = 3
    with pytest.raises(nnkit.errors.LabelError, match="from 0 to 2, got 3 at index 26"):
        mlp().fit(x, y, loss=own_loss, epochs=3, batch_size=8, shuffle=False, verbose=0)


# ---- callbacks ------------------------------------------------------------------------------------------------


class Seeing(Callback):
    """Remembers the logs of every batch and epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        self.seen.append((epoch, dict(logs)))


class SeeingBatches(Seeing):
    def on_batch_end(self, batch: int, logs: Any) -> None:
        self.seen.append((batch, dict(logs)))


def changing(change: Callable[[Any, int], Any]) -> Callable[[], Callback]:
    """A callback that changes something of the trainer before each epoch."""

    def make() -> Callback:
        callback = LambdaCallback(on_epoch_begin=lambda epoch: change(callback.trainer, epoch))
        return callback

    return make


def set_rate(trainer: Any, epoch: int) -> None:
    trainer.optimizer.param_groups[0]["lr"] = 0.05 / (epoch + 1)


def set_dropout(trainer: Any, epoch: int) -> None:
    trainer.model[1].p = 0.1 * epoch


def freeze(trainer: Any, epoch: int) -> None:
    trainer.model[0].requires_grad_(epoch != 1)


def new_weights(trainer: Any, epoch: int) -> None:
    trainer.model[2].bias.data = nnkit.full((3,), 0.1 * epoch)


beta = [0.0]
scale = 1.0


def scaled_loss(prediction: nnkit.Tensor, target: nnkit.Tensor) -> nnkit.Tensor:
    return nn.functional.cross_entropy(prediction, target) * scale


def set_scale(trainer: Any, epoch: int) -> None:
    global scale
    scale = 1.0 / (epoch + 1)


def smooth(trainer: Any, epoch: int) -> None:
    trainer.step.objective.loss.label_smoothing = 0.1 * epoch


CALLBACKS: dict[str, dict[str, Any]] = {
    "each epoch": {"callbacks": [Seeing]},
    "each batch": {"callbacks": [SeeingBatches], "metrics": ["accuracy"]},
    "early stopping": {
        "callbacks": [lambda: EarlyStopping(monitor="val_loss", patience=0, min_delta=10.0)],
        "validation_split": 0.2,
    },
    "stopped within": {"callbacks": [lambda: StopAfter(4)]},
    "rate": {"callbacks": [changing(set_rate)]},
    "dropout": {"callbacks": [changing(set_dropout)]},
    "frozen": {"callbacks": [changing(freeze)], "epochs": 4},
    "weights": {"callbacks": [changing(new_weights)]},
    "a global of the loss": {"callbacks": [changing(set_scale)], "loss": scaled_loss},
    "smoothing": {"callbacks": [changing(smooth)], "loss": nn.CrossEntropyLoss(), "sample_weight": WEIGHTS},
}


class StopAfter(Callback):
    def __init__(self, batches: int) -> None:
        super().__init__()
        self.left = batches

    def on_batch_end(self, batch: int, logs: Any) -> None:
        self.left -= 1
        self.trainer.stop_training = self.left <= 0


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_see_and_change_the_same(name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = assert_same(monkeypatch, **CALLBACKS[name]).chunks
    assert chunks and (max(chunks) == 1 or name not in ("each batch", "stopped within"))


def test_ctrl_c_ends_the_training_after_a_chunk(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes while a program runs; the model is whole afterwards and can go on learning."""
    run, model, done = Replay._replay, mlp(), []

    def interrupted(replay: Replay, rows: int, times: int) -> int:
        ran = run(replay, rows, times)
        done.append(ran)
        if sum(done) >= 6:
            os.kill(os.getpid(), signal.SIGINT)
        return ran

    monkeypatch.setattr(Replay, "_replay", interrupted)
    options: dict[str, Any] = {"loss": "cross_entropy", "batch_size": 8, "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data(), epochs=500, **options)
    monkeypatch.setattr(Replay, "_replay", run)
    assert sum(done) < 60 and nnkit.training.last_history(model).interrupted
    assert all(np.isfinite(p.detach().numpy()).all() for p in model.parameters())
    assert len(model.fit(*data(), epochs=2, **options).history["loss"]) == 2


# ---- recording -------------------------------------------------------------------------------------------------


def test_many_steps_are_one_call(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = Result(True, monkeypatch, epochs=6, batch_size=2)
    assert max(result.chunks) >= 2 and sum(result.chunks) == 6 * 14 - 3  # the first, and one recording of each size


def test_nothing_is_recorded_when_that_is_switched_off(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "recording", lambda recorder: pytest.fail("recorded"))
    mlp().fit(*data(), loss="cross_entropy", batch_size=8, verbose=0, validation_split=0.5, compile=False)
    monkeypatch.setenv("NNKIT_COMPILE", "0")
    assert Result(True, monkeypatch).chunks == []


def test_evaluation_is_recorded_and_the_same(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = mlp()
    options: dict[str, Any] = {"loss": own_loss, "metrics": ["accuracy", Spread()], "batch_size": 4}
    found = model.evaluate(*data(), **options)
    monkeypatch.setenv("NNKIT_COMPILE", "0")
    assert model.evaluate(*data(), **options) == found
    assert model.training
