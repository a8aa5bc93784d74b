"""Callbacks: when they are called, what each of them does, and what the History keeps."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.errors import UnknownNameError
from nnkit.training import (
    Callback,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ProgressBar,
    ReduceLROnPlateau,
    TerminateOnNaN,
    TimeBudget,
    progress,
)

matplotlib.use("Agg")

X = np.linspace(-1.0, 1.0, 12).reshape(12, 1)
Y = 3.0 * X


def slope(start: float = 0.0) -> nn.Linear:
    """A model of one number."""
    model = nn.Linear(1, 1, bias=False)
    with nnkit.no_grad():
        model.weight.fill_(start)
    return model


def run(*callbacks: Callback, model: nn.Module | None = None, lr: float = 0.1, **options: Any) -> History:
    """Train with plain gradient descent, all samples at once, validating on the same data."""
    model = slope() if model is None else model
    optimizer = nnkit.optim.SGD(model.parameters(), lr=lr)
    given: dict[str, Any] = {"epochs": 5, "batch_size": 12, "validation_data": (X, Y), "verbose": 0}
    return model.fit(X, Y, loss="mse", optimizer=optimizer, callbacks=callbacks, **(given | options))


class Script(Callback):
    """Replaces the validation loss by scripted numbers; stands before the callback under test."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        logs["val_loss"] = self.values[min(epoch, len(self.values) - 1)]


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    return list(csv.DictReader(path.read_text().splitlines()))


# ---- when -------------------------------------------------------------------------------------------------


class Recorder(Callback):
    """Notes every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def on_train_begin(self) -> None:
        self.calls.append(("train_begin",))

    def on_train_end(self) -> None:
        self.calls.append(("train_end",))

    def on_epoch_begin(self, epoch: int) -> None:
        self.calls.append(("epoch_begin", epoch))

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        self.calls.append(("epoch_end", epoch, sorted(logs)))

    def on_batch_begin(self, step: int) -> None:
        self.calls.append(("batch_begin", step))

    def on_batch_end(self, step: int, logs: Any) -> None:
        self.calls.append(("batch_end", step, sorted(logs)))


def test_the_order_of_calls(device: str) -> None:
    recorder = Recorder()
    run(recorder, epochs=2, batch_size=6)
    epoch: list[Any] = []
    for number in range(2):
        epoch.append(("epoch_begin", number))
        for step in range(2):
            epoch += [("batch_begin", step), ("batch_end", step, ["loss"])]
        epoch.append(("epoch_end", number, ["loss", "lr", "val_loss"]))
    assert recorder.calls == [("train_begin",), *epoch, ("train_end",)]


def test_logs_of_a_batch_are_the_means_so_far(device: str) -> None:
    seen: list[float] = []
    note = LambdaCallback(on_batch_end=lambda step, logs: seen.append(logs["loss"]))
    history = run(note, epochs=1, batch_size=4, lr=0.0, shuffle=False)
    each = [(Y[i : i + 4] ** 2).mean() for i in (0, 4, 8)]
    np.testing.assert_allclose(seen, [np.mean(each[: i + 1]) for i in range(3)], rtol=1e-6)
    assert history.history["loss"] == [seen[-1]]


def test_the_loop_looks_at_the_device_also_at_the_end_of_an_epoch(device: str) -> None:
    looks: list[tuple[int, float]] = []
    note = LambdaCallback(on_read=lambda step, logs: looks.append((step, logs["loss"])))
    history = run(note, epochs=1, batch_size=2)
    assert looks[-1] == (6, history.history["loss"][0])


def test_any_callback_may_stop_the_training(device: str) -> None:
    class Stop(Callback):
        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            self.trainer.stop_training = epoch == 1

    history = run(Stop())
    assert history.epoch == [0, 1] and history.stopped_by == "Stop"


def test_a_stop_within_an_epoch_ends_the_epoch_there(device: str) -> None:
    class Stop(Callback):
        def on_batch_end(self, step: int, logs: Any) -> None:
            self.trainer.stop_training = step == 1

    recorder = Recorder()
    history = run(Stop(), recorder, batch_size=3)
    assert [call[1] for call in recorder.calls if call[0] == "batch_end"] == [0, 1]
    assert history.epoch == [0] and "val_loss" in history.history


def test_wrong_names_of_lambda_callbacks() -> None:
    with pytest.raises(UnknownNameError, match="unknown callback method 'on_epoc_end'; did you mean 'on_epoch_end'"):
        LambdaCallback(on_epoc_end=print)


# ---- early stopping ---------------------------------------------------------------------------------------


def test_early_stopping_restores_the_best_weights(device: str) -> None:
    model = slope()
    stop = EarlyStopping(patience=2)
    seen: list[float] = []
    note = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.weight.item()))
    history = run(Script(5.0, 2.0, 4.0, 3.0, 1.0), note, stop, model=model, epochs=9)
    assert history.epoch == [0, 1, 2, 3] and history.stopped_by == "EarlyStopping"
    assert (stop.best, stop.best_epoch, stop.stopped_epoch) == (2.0, 1, 3)
    assert model.weight.item() == seen[1] != seen[3]


def test_early_stopping_may_keep_the_last_weights(device: str) -> None:
    model = slope()
    seen: list[float] = []
    note = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.weight.item()))
    run(Script(1.0, 2.0), note, EarlyStopping(restore_best_weights=False), model=model)
    assert len(seen) == 2 and model.weight.item() == seen[1]


def test_the_best_weights_come_back_also_when_the_epochs_run_out_or_ctrl_c_ends_them(device: str) -> None:
    def interrupt(epoch: int, logs: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    for others in ([], [LambdaCallback(on_epoch_end=interrupt)]):
        model = slope()
        seen: list[float] = []
        note = LambdaCallback(on_epoch_end=lambda epoch, logs, seen=seen, model=model: seen.append(model.weight.item()))
        callbacks = [Script(1.0, 2.0, 3.0), note, EarlyStopping(patience=9), *others]
        try:
            run(*callbacks, model=model, epochs=3)
        except KeyboardInterrupt:
            assert others
        assert model.weight.item() == seen[0] != seen[2]


@pytest.mark.parametrize(
    ("options", "values", "epochs"),
    [
        ({"patience": 1}, (3.0, 2.0, 1.0, 1.0), 4),
        ({"patience": 0}, (3.0, 2.0, 2.5), 3),
        ({"patience": 1, "min_delta": 0.5}, (3.0, 2.8, 2.0), 2),
        ({"patience": 1, "mode": "max"}, (3.0, 2.0), 2),
        ({"patience": 2}, (float("nan"), float("nan"), 1.0), 2),
        ({"baseline": 0.1, "patience": 2}, (1.0, 0.9, 0.8, 0.7, 0.75), 5),
        ({"baseline": 0.1, "patience": 2}, (1.0, 0.9, 0.95, 0.7, 0.6), 3),
        ({"baseline": 0.85, "patience": 2}, (1.0, 0.9, 0.8, 0.9, 0.9), 5),
    ],
)
def test_when_early_stopping_stops(options: dict[str, Any], values: tuple[float, ...], epochs: int) -> None:
    assert len(run(Script(*values), EarlyStopping(**options), epochs=5).epoch) == epochs


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EarlyStopping(patience=-1), ValueError, "patience must be at least 0, got -1"),
        (lambda: EarlyStopping(patience="5"), TypeError, "patience must be a whole number of epochs, got str: '5'"),
        (lambda: EarlyStopping(patience=1.5), TypeError, "patience must be a whole number of epochs, got float"),
        (lambda: EarlyStopping(patience=True), TypeError, "patience must be a whole number of epochs, got bool"),
        (lambda: EarlyStopping(baseline="0.1"), TypeError, "baseline must be a number, got str"),
        (lambda: EarlyStopping(baseline=np.nan), ValueError, "baseline must be a number, got nan"),
        (lambda: EarlyStopping(min_delta="0"), TypeError, "min_delta must be a number, got str"),
        (lambda: ReduceLROnPlateau(patience=-1), ValueError, "patience must be at least 0, got -1"),
        (lambda: ReduceLROnPlateau(cooldown="2"), TypeError, "cooldown must be a whole number of epochs, got str"),
    ],
)
def test_arguments_that_cannot_be_are_refused(
    make: Callable[[], Callback], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


def best_checkpoint(**options: Any) -> ModelCheckpoint:
    return ModelCheckpoint("unused", save_best_only=True, **options)


@pytest.mark.parametrize("make", [EarlyStopping, ReduceLROnPlateau, best_checkpoint])
def test_a_monitor_that_will_not_be_there_is_an_error_before_training(make: Callable[..., Callback]) -> None:
    model = slope()
    with pytest.raises(ValueError, match="monitor='val_loss' needs validation: pass validation_data"):
        run(make(), model=model, validation_data=None)
    with pytest.raises(UnknownNameError, match=r"unknown monitor 'val_los'; did you mean 'val_loss'"):
        run(make(monitor="val_los"), model=model)
    with pytest.raises(UnknownNameError, match="unknown mode 'mx'"):
        make(mode="mx")
    assert model.weight.item() == 0.0


# ---- learning rates ---------------------------------------------------------------------------------------


def test_reduce_on_plateau(device: str) -> None:
    values = (3.0, 3.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0)
    reduce = ReduceLROnPlateau(factor=0.5, patience=2, cooldown=1, min_lr=0.03)
    history = run(Script(*values), reduce, epochs=8)
    np.testing.assert_allclose(history.history["lr"], [0.1, 0.1, 0.1, 0.05, 0.05, 0.03, 0.03, 0.03])
    longer = run(Script(3.0), ReduceLROnPlateau(factor=0.5, patience=1, min_lr=0.03), epochs=5)
    np.testing.assert_allclose(longer.history["lr"], [0.1, 0.1, 0.05, 0.03, 0.03])
    with pytest.raises(ValueError, match="factor must be between 0 and 1"):
        ReduceLROnPlateau(factor=1.5)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (lambda epoch: 1.0 / (epoch + 1), [1.0, 0.5, 1.0 / 3]),
        (lambda epoch, lr: lr * 0.5, [0.05, 0.025, 0.0125]),
        (lambda epoch, scale=2.0: scale, [2.0, 2.0, 2.0]),
    ],
)
def test_a_function_of_the_epoch_sets_the_rate(schedule: Any, rates: list[float], device: str) -> None:
    history = run(LearningRateScheduler(schedule), epochs=3)
    np.testing.assert_allclose(history.history["lr"], rates)


def test_a_function_of_the_step_sets_the_rate(device: str) -> None:
    rates: list[float] = []

    class Note(Callback):
        def on_batch_end(self, step: int, logs: Any) -> None:
            rates.append(self.trainer.learning_rate)

    run(LearningRateScheduler(lambda step: 0.1 / (step + 1), by="batch"), Note(), epochs=2, batch_size=6)
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.1 / 3, 0.025])


@pytest.mark.parametrize(("by", "rates"), [("epoch", [0.1, 0.05, 0.025]), ("batch", [0.025, 0.1 / 16, 0.1 / 64])])
def test_a_schedule_is_stepped(by: str, rates: list[float], device: str) -> None:
    model = slope()
    optimizer = nnkit.optim.SGD(model.parameters(), lr=0.1)
    schedule = nnkit.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    callbacks = [LearningRateScheduler(schedule, by=by)]
    history = model.fit(X, Y, loss="mse", optimizer=optimizer, epochs=3, batch_size=6, callbacks=callbacks, verbose=0)
    np.testing.assert_allclose(history.history["lr"], rates)


def test_a_plateau_schedule_gets_its_number(device: str) -> None:
    model = slope()
    optimizer = nnkit.optim.SGD(model.parameters(), lr=0.1)
    plateau = nnkit.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
    callbacks = [Script(1.0), LearningRateScheduler(plateau, monitor="val_loss")]
    history = model.fit(
        X, Y, loss="mse", optimizer=optimizer, epochs=3, validation_data=(X, Y), callbacks=callbacks, verbose=0
    )
    np.testing.assert_allclose(history.history["lr"], [0.1, 0.1, 0.05])


# ---- files ------------------------------------------------------------------------------------------------


def test_the_best_model_is_saved(tmp_path: Path, device: str) -> None:
    model = slope()
    seen: list[float] = []
    note = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.weight.item()))
    checkpoint = ModelCheckpoint(tmp_path / "best.safetensors", save_best_only=True)
    run(Script(2.0, 1.0, 3.0), note, checkpoint, model=model, epochs=3)
    assert checkpoint.best == 1.0 and checkpoint.saved == [tmp_path / "best.safetensors"]
    assert nnkit.load(tmp_path / "best.safetensors").weight.item() == seen[1]


def test_the_last_models_are_kept(tmp_path: Path, device: str) -> None:
    checkpoint = ModelCheckpoint(tmp_path / "sub" / "net-{epoch:02d}-{val_loss:.1f}.safetensors", keep_last=2)
    run(Script(4.0, 3.0, 2.0, 1.0), checkpoint, epochs=4)
    names = ["net-03-2.0.safetensors", "net-04-1.0.safetensors"]
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == names
    assert [path.name for path in checkpoint.saved] == names


def test_wrong_paths_of_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape("put {epoch} into path")):
        ModelCheckpoint(tmp_path / "net", keep_last=3)
    with pytest.raises(ValueError, match=re.escape("has a field 'val_acc' that is not recorded; known: epoch, loss")):
        run(ModelCheckpoint(tmp_path / "net-{val_acc}"))


def test_the_csv_log(tmp_path: Path, device: str) -> None:
    path = tmp_path / "log.csv"
    first = run(CSVLogger(path), epochs=2)
    second = run(CSVLogger(path, append=True), epochs=3, initial_epoch=2)
    rows = table(path)
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    for name in ("loss", "val_loss", "lr"):
        assert [float(row[name]) for row in rows] == first.history[name] + second.history[name]
    run(CSVLogger(path), epochs=1)
    assert len(path.read_text().splitlines()) == 2


# ---- ends -------------------------------------------------------------------------------------------------


def test_terminate_on_nan_stops_in_peace(device: str) -> None:
    model = slope(1.0)
    recorder = Recorder()
    with pytest.warns(UserWarning, match=r"NaN or infinite at epoch \d, step 1 \(learning rate 1e\+30\)"):
        history = run(TerminateOnNaN(), recorder, model=model, lr=1e30)
    assert history.stopped_by == "TerminateOnNaN" and not history.interrupted
    assert recorder.calls[-1] == ("train_end",)
    assert np.isfinite(model.weight.item()) and all(np.isfinite(history.history.get("loss", [])))


def test_a_time_budget_stops_within_an_epoch(device: str) -> None:
    history = run(TimeBudget(1e-9), batch_size=3, epochs=50)
    assert history.epoch == [0] and history.stopped_by == "TimeBudget"
    assert run(TimeBudget(3600.0), epochs=2).stopped_by is None
    with pytest.raises(ValueError, match="seconds must be greater than 0"):
        TimeBudget(0.0)


# ---- progress ---------------------------------------------------------------------------------------------


def test_one_plain_line_per_epoch_where_the_output_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    run(epochs=2, verbose="auto")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"epoch 2/2 - \d+\.\ds - loss \d\.\d{4} - val_loss \d\.\d{4} - lr 0\.1000", lines[1])


@pytest.mark.parametrize(("verbose", "count"), [(0, 0), (False, 0), (1, 2), (True, 2), (2, 2)])
def test_verbose(verbose: Any, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    run(epochs=2, verbose=verbose)
    assert len(capsys.readouterr().out.splitlines()) == count


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: True)
    run(epochs=1, batch_size=3, verbose=1)
    text = capsys.readouterr().out
    assert "epoch 1/1: " in text and " 0/4 [" in text
    assert re.search(r"epoch 1/1 - \d+\.\ds - loss", text)


def test_a_progress_bar_of_the_user_replaces_ours(capsys: pytest.CaptureFixture[str]) -> None:
    run(ProgressBar("lines"), epochs=2, verbose=1)
    assert len(capsys.readouterr().out.splitlines()) == 2
    with pytest.raises(UnknownNameError, match="unknown style 'bars'; did you mean 'bar'"):
        ProgressBar("bars")


def test_evaluate_prints_one_line_if_asked(capsys: pytest.CaptureFixture[str]) -> None:
    slope(2.0).evaluate(X, Y, loss="mse", verbose=1)
    assert re.fullmatch(r"evaluation - \d+\.\ds - loss 0\.3939\n", capsys.readouterr().out)


# ---- the history ------------------------------------------------------------------------------------------


def test_the_history_of_a_run(device: str) -> None:
    history = run(epochs=3)
    assert history.epoch == [0, 1, 2] and not history.interrupted and history.stopped_by is None
    assert {name: len(row) for name, row in history.history.items()} == {"loss": 3, "val_loss": 3, "lr": 3}
    assert all(isinstance(value, float) for row in history.history.values() for value in row)
    assert repr(history).startswith("History(3 epochs: loss=")


def test_the_history_as_files(tmp_path: Path) -> None:
    history = run(epochs=2)
    history.add(2, {"loss": float("nan"), "val_loss": 1.0, "lr": 0.1})
    history.to_csv(tmp_path / "h.csv")
    rows = table(tmp_path / "h.csv")
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert [float(row["val_loss"]) for row in rows] == history.history["val_loss"]
    history.to_json(tmp_path / "h.json")
    record = json.loads((tmp_path / "h.json").read_text())
    assert record["epoch"] == [0, 1, 2] and record["history"]["loss"] == [*history.history["loss"][:2], None]
    assert record["interrupted"] is False and record["stopped_by"] is None


def test_the_history_as_a_picture(tmp_path: Path) -> None:
    from matplotlib import pyplot

    history = run(epochs=2)
    figure = history.plot(path=tmp_path / "h.png")
    (axis,) = figure.axes
    assert [line.get_label() for line in axis.lines] == ["loss", "val_loss"]
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")
    assert len(history.plot(["loss", "lr"]).axes) == 2
    with pytest.raises(UnknownNameError, match="unknown recorded quantity 'los'; did you mean 'loss'"):
        history.plot(["los"])
    pyplot.close("all")
