"""Keras's callbacks: defaults and behaviour as Keras 3 documents them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import keras, training
from nnkit.errors import UnknownNameError
from nnkit.keras import callbacks
from nnkit.keras.layers import Dense
from nnkit.keras.models import Sequential, load_model

X, Y = np.array([1.0, 2.0]), np.array([2.0, 4.0])


def line(optimizer: Any = "sgd") -> Sequential:
    model = Sequential([Dense(1, kernel_initializer="ones", input_dim=1)])
    model.compile(optimizer, "mse")
    return model


class Scripted(callbacks.Callback):
    """Puts the numbers of a script in place of the validation loss, before the callbacks behind it look."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = values

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["val_loss"] = self.values[epoch]


def run(values: Sequence[float], *watched: Any, optimizer: Any = "sgd") -> tuple[Sequential, training.History]:
    model = line(optimizer)
    record = model.fit(
        X, Y, epochs=len(values), validation_data=(X, Y), callbacks=[Scripted(values), *watched], verbose=0
    )
    return model, record


def test_the_example_of_the_early_stopping_documentation() -> None:
    """A loss that never improves is trained on for one epoch and three more."""
    model = Sequential([Dense(10)])
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    stop = callbacks.EarlyStopping(monitor="loss", patience=3)
    x, y = np.arange(100).reshape(5, 20), np.zeros((5, 10))
    history = model.fit(x, y, epochs=10, batch_size=1, callbacks=[stop], verbose=0)
    assert len(history.history["loss"]) == 4


@pytest.mark.parametrize(
    ("options", "values", "epochs"),
    [
        ({}, [3.0, 2.0, 2.0, 1.0], 3),
        ({"patience": 2}, [3.0, 2.0, 2.5, 1.0, 1.5, 2.0, 0.0], 6),
        ({"min_delta": 0.5}, [3.0, 2.0, 1.75, 1.0], 3),
        ({"mode": "max"}, [1.0, 2.0, 1.5, 3.0], 3),
        ({"start_from_epoch": 3}, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 5),
        ({"baseline": 1.5, "patience": 2}, [4.0, 3.0, 2.0, 1.0], 4),
        ({"baseline": 0.5, "patience": 2}, [4.0, 3.0, 2.0, 2.0, 2.0], 4),
    ],
)
def test_when_early_stopping_stops(options: dict[str, Any], values: list[float], epochs: int) -> None:
    _, record = run(values, callbacks.EarlyStopping(**options))
    assert len(record.epoch) == epochs


@pytest.mark.parametrize("restore", [False, True])
def test_early_stopping_restores_the_best_weights_only_when_asked(restore: bool) -> None:
    stop = callbacks.EarlyStopping(patience=1, restore_best_weights=restore)
    model, _ = run([1.0, 2.0, 3.0], stop)
    first, _ = run([1.0])
    assert (model.get_weights()[0] == first.get_weights()[0]).all() == restore
    assert (stop.best, stop.best_epoch, stop.stopped_epoch) == (1.0, 0, 1)


def test_early_stopping_tells(capsys: pytest.CaptureFixture[str]) -> None:
    run([1.0, 2.0], callbacks.EarlyStopping(verbose=1))
    assert capsys.readouterr().out == "Epoch 2: early stopping\n"


def test_reduce_lr_on_plateau(capsys: pytest.CaptureFixture[str]) -> None:
    reduce = callbacks.ReduceLROnPlateau(factor=0.5, patience=1, cooldown=1, min_lr=0.003, verbose=1)
    _, record = run([1.0, 1.0, 1.0, 1.0, 1.0, 1.0], reduce)
    assert record.history["learning_rate"] == pytest.approx([0.01, 0.01, 0.005, 0.005, 0.003, 0.003], abs=0.0021)
    assert "Epoch 2: learning rate reduced to 0.005" in capsys.readouterr().out


def test_learning_rate_scheduler(capsys: pytest.CaptureFixture[str]) -> None:
    """Both forms: a function of the epoch, and one of the epoch and the present rate."""
    model = line()
    record = model.fit(
        X, Y, epochs=3, verbose=0, callbacks=[callbacks.LearningRateScheduler(lambda epoch: 0.5**epoch, verbose=1)]
    )
    assert record.history["learning_rate"] == [1.0, 0.5, 0.25]
    assert capsys.readouterr().out.splitlines()[0] == "Epoch 1: learning rate 1"
    halve = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    assert model.fit(X, Y, epochs=2, verbose=0, callbacks=halve).history["learning_rate"] == [0.125, 0.0625]


def test_history_has_no_learning_rate_unless_a_callback_sets_it() -> None:
    assert list(line().fit(X, Y, verbose=0).history) == ["loss"]


@pytest.mark.parametrize("weights_only", [False, True])
def test_model_checkpoint(weights_only: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = callbacks.ModelCheckpoint(
        tmp_path / "{epoch:02d}-{val_loss:.1f}.keras",
        verbose=1,
        save_best_only=True,
        save_weights_only=weights_only,
        initial_value_threshold=2.5,
    )
    model, _ = run([3.0, 2.0, 2.5, 1.0], checkpoint)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["02-2.0.keras", "04-1.0.keras"]
    assert capsys.readouterr().out.count("saved the model to") == 2
    last = tmp_path / "04-1.0.keras"
    if weights_only:
        again = line()
        again.load_weights(last)
    else:
        again = load_model(last)  # type: ignore[assignment]
    assert again.get_weights()[0] == model.get_weights()[0]


def test_csv_logger(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    record = line().fit(X, Y, epochs=2, verbose=0, callbacks=callbacks.CSVLogger(path))
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [float(row["loss"]) for row in rows] == pytest.approx(record.history["loss"])


def test_terminate_on_nan() -> None:
    model = line(keras.optimizers.SGD(1e6))
    with pytest.warns(UserWarning, match="the loss turned"):
        record = model.fit(X, Y, epochs=50, verbose=0, callbacks=callbacks.TerminateOnNaN())
    assert record.stopped_by == "TerminateOnNaN"
    assert np.isfinite(model.get_weights()[0]).all()


def test_a_callback_of_ones_own_is_called_as_keras_calls_it() -> None:
    class Diary(callbacks.Callback):
        def __init__(self) -> None:
            self.entries: list[Any] = []

        def on_train_begin(self, logs: Any = None) -> None:
            self.entries.append(("begin", self.params["epochs"], self.params["steps"], self.model.name))

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.entries.append(("epoch", epoch))

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.entries.append((batch, round(logs["loss"], 4)))

        def on_train_end(self, logs: Any = None) -> None:
            self.entries.append("end")

    diary = Diary()
    model = line(keras.optimizers.SGD(0.0))
    model.fit(X, Y, batch_size=1, epochs=1, shuffle=False, verbose=0, callbacks=[diary])
    assert diary.entries == [("begin", 1, 2, model.name), ("epoch", 0), (0, 1.0), (1, 2.5), "end"]


def test_a_callback_stops_the_training_through_the_model() -> None:
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = batch == 1

    model = line()
    record = model.fit(np.ones(8), np.ones(8), batch_size=2, epochs=5, verbose=0, callbacks=Stop())
    assert (len(record.epoch), model.stop_training, record.stopped_by) == (1, True, "Stop")
    assert len(model.fit(X, Y, epochs=2, verbose=0).epoch) == 2


def test_a_callback_may_predict_and_evaluate_between_epochs() -> None:
    """In the middle of a training the model gives what it gives outside: probabilities, and no dropout."""
    seen: list[tuple[float, float]] = []
    model = Sequential([Dense(8, "relu"), keras.layers.Dropout(0.5), Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = np.ones((4, 3)), np.array([0, 1, 0, 1])

    def look(epoch: int, logs: Any) -> None:
        chances = model.predict(x, verbose=0)
        seen.append((float(chances.sum()), float(np.ptp(chances, axis=0).max())))

    model.fit(x, y, epochs=2, verbose=0, callbacks=callbacks.LambdaCallback(on_epoch_end=look))
    assert seen == [(pytest.approx(4.0, abs=1e-5), 0.0)] * 2


def test_lambda_callback_calls_every_function_with_its_arguments() -> None:
    calls: list[Any] = []
    names = (
        "on_train_begin",
        "on_epoch_begin",
        "on_train_batch_begin",
        "on_train_batch_end",
        "on_epoch_end",
        "on_train_end",
    )
    functions: dict[str, Callable[..., None]] = {
        name: (lambda *arguments, name=name: calls.append((name, len(arguments)))) for name in names
    }
    line().fit(X, Y, verbose=0, callbacks=[callbacks.LambdaCallback(**functions)])
    assert calls == [(name, 1 if "train_begin" in name or "train_end" in name else 2) for name in names]


def test_callbacks_of_nnkit_training_serve_too() -> None:
    stop = training.EarlyStopping("loss", patience=1)
    line(keras.optimizers.SGD(0.0)).fit(X, Y, epochs=5, verbose=0, callbacks=[stop])
    assert stop.stopped_epoch == 1
    assert isinstance(callbacks.EarlyStopping(), callbacks.Callback)


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: run([1.0], callbacks.EarlyStopping("val_los")), UnknownNameError, "did you mean 'val_loss'"),
        (lambda: line().fit(X, Y, callbacks=callbacks.EarlyStopping(), verbose=0), ValueError, "needs validation"),
        (lambda: run([1.0], callbacks.EarlyStopping), TypeError, "must be Callback instances"),
        (lambda: run([1.0], "stop"), TypeError, "must be Callback instances"),
        (lambda: callbacks.ModelCheckpoint("a", save_freq="day"), ValueError, "save_freq must be 'epoch'"),
        (lambda: callbacks.TensorBoard(update_freq=0), ValueError, "update_freq must be 'epoch'"),
        (lambda: run([1.0], callbacks.ReduceLROnPlateau(), optimizer=keras.optimizers.SGD(lambda: 0.1)), TypeError,
         "follows a schedule of its own"),
        (lambda: run([1.0], callbacks.LearningRateScheduler(lambda epoch: 0.1),
                     optimizer=keras.optimizers.SGD(lambda: 0.1)), TypeError, "follows a schedule of its own"),
    ],
)  # fmt: skip
def test_refusals(act: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        act()


def test_the_core_sees_keras_callbacks_on_every_device(device: str) -> None:
    calls: list[float] = []
    watch = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: calls.append(logs["loss"]))
    record = line().fit(nnkit.tensor(X), nnkit.tensor(Y), epochs=2, verbose=0, callbacks=[watch])
    assert calls == record.history["loss"]
