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
    assert "Epoch 2: ReduceLROnPlateau reducing learning rate to 0.005." in capsys.readouterr().out


def test_learning_rate_scheduler(capsys: pytest.CaptureFixture[str]) -> None:
    """Both forms: a function of the epoch, and one of the epoch and the present rate."""
    model = line()
    record = model.fit(
        X, Y, epochs=3, verbose=0, callbacks=[callbacks.LearningRateScheduler(lambda epoch: 0.5**epoch, verbose=1)]
    )
    assert record.history["learning_rate"] == [1.0, 0.5, 0.25]
    assert capsys.readouterr().out.splitlines()[1] == "Epoch 1: LearningRateScheduler setting learning rate to 1.0."
    halve = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    assert model.fit(X, Y, epochs=2, verbose=0, callbacks=halve).history["learning_rate"] == [0.125, 0.0625]


def test_history_has_no_learning_rate_unless_a_callback_sets_it() -> None:
    assert list(line().fit(X, Y, verbose=0).history) == ["loss"]


@pytest.mark.parametrize("weights_only", [False, True])
def test_model_checkpoint(weights_only: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ending = ".weights.h5" if weights_only else ".keras"
    checkpoint = callbacks.ModelCheckpoint(
        tmp_path / ("{epoch:02d}-{val_loss:.1f}" + ending),
        verbose=1,
        save_best_only=True,
        save_weights_only=weights_only,
        initial_value_threshold=2.5,
    )
    model, _ = run([3.0, 2.0, 2.5, 1.0], checkpoint)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"02-2.0{ending}", f"04-1.0{ending}"]
    told = capsys.readouterr().out.split("\n\n")
    assert told[0] == "\nEpoch 1: val_loss did not improve from 2.50000"
    assert told[1].startswith("Epoch 2: val_loss improved from 2.50000 to 2.00000, saving model to ") and len(told) == 4
    last = tmp_path / f"04-1.0{ending}"
    if weights_only:
        again = line()
        again.load_weights(last)
    else:
        again = load_model(last)  # type: ignore[assignment]
    assert again.get_weights()[0] == model.get_weights()[0]
    with pytest.raises(ValueError, match=r"name it \.weights\.h5"):
        callbacks.ModelCheckpoint("net.keras", save_weights_only=True)


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
    assert np.isnan(record.history["loss"][-1]) and len(record.history["loss"]) == len(record.epoch)
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


# ---- further callbacks ------------------------------------------------------------------------------------


def test_model_checkpoint_after_batches(tmp_path: Path, device: str) -> None:
    x = np.arange(10.0)
    model = line()
    checkpoint = callbacks.ModelCheckpoint(tmp_path / "{epoch}-{batch}-{loss:.0f}.keras", save_freq=4)
    model.fit(x, x, batch_size=2, epochs=2, callbacks=[checkpoint], verbose=0)
    assert [path.name[:3] for path in sorted(tmp_path.iterdir())] == ["1-4", "2-3"]


@pytest.mark.parametrize("own_step", [False, True])
def test_a_training_that_was_cut_off_goes_on(own_step: bool, tmp_path: Path, device: str) -> None:
    """After an error in the third epoch the next ``fit`` begins with that, and gets where one whole one does."""

    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = Dense(1, kernel_initializer="ones")

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    class OwnStep(Net):
        def train_step(self, data: Any) -> dict[str, Any]:
            return super().train_step(data)

    class Stumble(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise RuntimeError("the light went out")

    def fresh() -> Any:
        model = OwnStep() if own_step else Net()
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
        return model

    x = np.array([[1.0], [2.0], [3.0]])
    options: dict[str, Any] = {"epochs": 5, "verbose": 0, "shuffle": False}
    whole, broken, again = fresh(), fresh(), fresh()
    whole.fit(x, 2 * x, **options)
    backup = callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(RuntimeError, match="light"):
        broken.fit(x, 2 * x, callbacks=[backup, Stumble()], **options)
    assert backup.path.exists()
    again(x[:1])
    record = again.fit(x, 2 * x, callbacks=[callbacks.BackupAndRestore(tmp_path / "backup")], **options)
    assert record.epoch == [2, 3, 4] and not backup.path.exists()
    for one, other in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_tensorboard(tmp_path: Path) -> None:
    log = callbacks.TensorBoard(tmp_path, histogram_freq=1, update_freq="batch", write_images=True)
    keras.utils.clear_session()
    line().fit(X, Y, epochs=2, validation_data=(X, Y), callbacks=[log], verbose=0)
    files = {part: next((tmp_path / part).iterdir()).read_bytes() for part in ("train", "validation")}
    for tag in (b"epoch_loss", b"batch_loss", b"epoch_learning_rate", b"dense/kernel/histogram", b"dense/kernel/image"):
        assert tag in files["train"], tag
    assert b"epoch_loss" in files["validation"] and b"batch_loss" not in files["validation"]


def test_csv_logger_with_another_separator_and_appended(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    for _ in range(2):
        line().fit(X, Y, epochs=2, validation_data=(X, Y), verbose=0,
                   callbacks=[callbacks.CSVLogger(path, separator=";", append=True)])  # fmt: skip
    rows = list(csv.DictReader(path.read_text().splitlines(), delimiter=";"))
    assert [row["epoch"] for row in rows] == ["0", "1", "0", "1"] and float(rows[0]["val_loss"]) > 0


@pytest.mark.parametrize("own_step", [False, True])
def test_a_number_that_is_not_there_is_told_once_an_epoch(own_step: bool) -> None:
    class OwnStep(Sequential):
        def train_step(self, data: Any) -> dict[str, Any]:
            return super().train_step(data)

    model = OwnStep([Dense(1, input_dim=1)]) if own_step else line()
    model.compile("sgd", "mse")
    stop = callbacks.EarlyStopping("val_loss")
    if own_step:
        with pytest.warns(UserWarning, match="EarlyStopping: 'val_loss' is not in the logs of this epoch: loss"):
            model.fit(X, Y, callbacks=[stop], verbose=0)
    else:
        with pytest.raises(ValueError, match="needs validation"):
            model.fit(X, Y, callbacks=[stop], verbose=0)


def test_callbacks_serve_loops_written_by_hand() -> None:
    told: list[Any] = []
    one = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: told.append((epoch, logs)))
    model = line()
    several = callbacks.CallbackList([one], add_history=True, model=model, epochs=2)
    several.on_train_begin()
    for epoch in range(2):
        several.on_epoch_end(epoch, {"loss": 0.5})
    several.on_train_end()
    assert told == [(0, {"loss": 0.5}), (1, {"loss": 0.5})]
    assert one.params == {"epochs": 2} and model.history.history == {"loss": [0.5, 0.5]}  # type: ignore[union-attr]


@pytest.mark.parametrize("own_step", [False, True])
def test_what_stops_a_training_of_own_steps(own_step: bool, device: str) -> None:
    """The learning rate, early stopping with the best weights, a loss that turns NaN: as without own steps."""

    class OwnStep(Sequential):
        def train_step(self, data: Any) -> dict[str, Any]:
            return super().train_step(data)

    def model(rate: float = 0.01) -> Any:
        made = (OwnStep if own_step else Sequential)([Dense(1, kernel_initializer="ones", input_dim=1)])
        made.compile(keras.optimizers.SGD(rate), "mse")
        return made

    halve = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    plateau = callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=100.0)
    record = model().fit(X, Y, epochs=3, callbacks=[halve], verbose=0)
    assert record.history["learning_rate"] == pytest.approx([0.005, 0.0025, 0.00125])
    record = model().fit(X, Y, epochs=3, callbacks=[plateau], verbose=0)
    assert record.history["learning_rate"] == pytest.approx([0.01, 0.01, 0.001])
    stop = callbacks.EarlyStopping("loss", patience=1, min_delta=100.0, restore_best_weights=True)
    stopped = model()
    assert len(stopped.fit(X, Y, epochs=9, callbacks=[stop], verbose=0).epoch) == 2
    diverged = model(1e6)
    with pytest.warns(UserWarning, match="turned"):
        record = diverged.fit(X, Y, epochs=90, callbacks=[callbacks.TerminateOnNaN()], verbose=0)
    assert record.stopped_by == "TerminateOnNaN" and np.isfinite(diverged.get_weights()[0]).all()
    with pytest.raises(nnkit.errors.DivergenceError, match="turned"):
        model(1e6).fit(X, Y, epochs=90, verbose=0)
