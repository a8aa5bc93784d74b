"""optuna's searches over nnkit's networks: objectives, pruning inside recorded steps, two processes, a picture."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from waiting import HANG

import nnkit
from nnkit import nn, tune
from nnkit.errors import UnknownNameError
from nnkit.training import EarlyStopping, last_history

optuna = pytest.importorskip("optuna", reason='pip install "nnkit-engine[tune]"')
optuna.logging.set_verbosity(optuna.logging.WARNING)

stream = np.random.default_rng(0)
X = stream.standard_normal((60, 3)).astype(np.float32)
Y = X[:, :1] * X[:, 1:2]


def build(width: int = 4, activation: str = "tanh") -> nn.Module:
    return nn.Sequential(nn.Linear(3, width, activation=activation), nn.Linear(width, 1))


def space(trial: Any) -> dict[str, Any]:
    return {
        "lr": trial.suggest_float("lr", 1e-4, 1.0, log=True), "width": trial.suggest_int("width", 2, 6),
        "activation": trial.suggest_categorical("activation", ["relu", "tanh"]),
    }  # fmt: skip


def study(**settings: Any) -> Any:
    return optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=3), **settings)


def test_a_value_is_that_of_the_setting_trained_again(device: str) -> None:
    same = {"loss": "mse", "epochs": 3, "validation_data": (X[40:], Y[40:])}
    found = study()
    found.optimize(tune.objective(build, (X[:40], Y[:40]), space, **same), n_trials=5)
    assert len(found.trials) == 5
    again = tune.train_one(build, found.best_trial.user_attrs["setting"], X[:40], Y[:40], **same)  # type: ignore[arg-type]
    assert again.value("val_loss") == found.best_value
    assert found.best_trial.intermediate_values == dict(enumerate(again.history.history["val_loss"]))


def test_the_epoch_that_early_stopping_went_back_to() -> None:
    stopping = EarlyStopping("val_loss", patience=1)
    value = tune.objective(
        build, (X, Y), lambda trial: {"lr": 0.5}, loss="mse", epochs=20, validation_split=0.3, callbacks=[stopping]
    )
    found = study()
    found.optimize(value, n_trials=1)
    assert found.best_value == min(found.best_trial.intermediate_values.values()) and stopping.best is None


def test_pruning_ends_a_recorded_training_between_epochs(device: str) -> None:
    class At(optuna.pruners.BasePruner):  # type: ignore[misc, name-defined]
        def prune(self, study: Any, trial: Any) -> bool:
            return bool(trial.last_step == 2)

    ended: list[str] = []

    class Ending(nnkit.training.Callback):
        def on_train_end(self) -> None:
            ended.append("ended")

    model = build()
    found = study(pruner=At())

    def value(trial: Any) -> float:
        callbacks = [tune.Pruning(trial, "loss"), Ending()]
        model.fit(X, Y, loss="mse", epochs=9, callbacks=callbacks, verbose=0, batch_size=10)
        return 0.0

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of what is not recorded
        found.optimize(value, n_trials=1)
    (trial,) = found.trials
    assert trial.state.name == "PRUNED" and list(trial.intermediate_values) == [0, 1, 2] and ended == ["ended"]
    history = last_history(model)
    assert history is not None and len(history.epoch) == 3 and history.stopped_by == "TrialPruned"
    assert np.isfinite(model.predict(X)).all()
    model.fit(X, Y, loss="mse", epochs=1, verbose=0)


def test_nan_prunes_and_a_wrong_monitor_is_named() -> None:
    found = study()
    found.optimize(
        tune.objective(build, (X, Y), lambda t: {"lr": 1e30}, loss="mse", optimizer="sgd", epochs=3), n_trials=1
    )
    assert found.trials[0].state.name == "PRUNED"
    with pytest.raises(UnknownNameError, match="accurcy"):
        study().optimize(tune.objective(build, (X, Y), lambda t: {}, loss="mse", monitor="accurcy"), n_trials=1)
    with pytest.raises(ValueError, match="needs validation"):
        study().optimize(tune.objective(build, (X, Y), lambda t: {}, loss="mse", monitor="val_loss"), n_trials=1)


WORKER = """
import sys
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
sys.path.insert(0, sys.argv[2])
import test_tune_optuna as here
from nnkit import tune

study = optuna.load_study(study_name="shared", storage=JournalStorage(JournalFileBackend(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
value = tune.objective(here.build, (here.X, here.Y), here.space, loss="mse", epochs=3)
study.optimize(value, n_trials=6)
"""


@pytest.mark.parametrize(("monitor", "direction"), [("accuracy", "minimize"), ("loss", "maximize")])
def test_a_study_that_looks_for_the_worst_is_refused(monitor: str, direction: str) -> None:
    value = tune.objective(
        lambda: nn.Linear(3, 2), (X, (Y[:, 0] > 0).astype(np.int64)), lambda trial: {}, loss="cross_entropy",
        metrics=["accuracy"], monitor=monitor,
    )  # fmt: skip
    other = "maximize" if direction == "minimize" else "minimize"
    with pytest.raises(ValueError, match=f"create_study.direction='{other}'."):
        study(direction=direction).optimize(value, n_trials=1)
    study(direction=other).optimize(value, n_trials=1)
    assert value(optuna.trial.FixedTrial({})) >= 0.0


def test_two_processes_share_a_study(tmp_path: Path) -> None:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal = str(tmp_path / "journal")
    shared = optuna.create_study(study_name="shared", storage=JournalStorage(JournalFileBackend(journal)))
    command = [sys.executable, "-W", "ignore", "-c", WORKER, journal, str(Path(__file__).parent)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    for worker in workers:
        _, errors = worker.communicate("go\n", timeout=HANG)
        assert worker.returncode == 0, errors
    trials = shared.trials
    assert len(trials) == 12 and [trial.number for trial in trials] == list(range(12))
    assert all(trial.state.is_finished() for trial in trials)
    assert shared.best_value == min(trial.value for trial in trials if trial.value is not None)


def test_a_study_is_drawn(tmp_path: Path) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    found = study(pruner=optuna.pruners.MedianPruner(n_startup_trials=2))
    found.optimize(tune.objective(build, (X, Y), space, loss="mse", epochs=4), n_trials=12)
    display = tune.plot_study(found)
    assert [axis.get_xlabel() for axis in display.axes_] == ["trial", "lr", "width", "activation"]
    assert display.axes_[1].get_xscale() == "log" and display.ax_ is display.axes_[0]
    assert [label.get_text() for label in display.axes_[3].get_xticklabels()] == ["relu", "tanh"] or len(
        display.axes_[3].get_xticks()
    ) == 2
    display.figure_.savefig(tmp_path / "study.png")
    figure, axis = pyplot.subplots()
    assert tune.StudyDisplay.from_study(study(), ax=axis).figure_ is figure
    several = optuna.create_study(directions=["minimize", "minimize"])
    with pytest.raises(ValueError, match="several objectives"):
        tune.plot_study(several)
    pyplot.close("all")
