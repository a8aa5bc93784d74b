"""Bayesian search by optuna (``pip install nnkit-engine[tune]``): objectives that are plain functions of a trial.

Nothing here needs optuna to be imported before a trial is: a study is optuna's own, and so are its samplers, pruners
and storages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nnkit.nn.module import Module
from nnkit.training.callbacks import Callback, Monitor
from nnkit.tune.many import train_one
from nnkit.tune.results import Run

__all__ = ["Pruning", "objective"]

Logs = Mapping[str, float]


class Pruning(Callback):
    """Reports ``monitor`` to an optuna trial after each epoch, and raises optuna.TrialPruned where its pruner says so.

    It acts between epochs, so recorded steps stay recorded. ``fit`` raises TrialPruned as it is, and leaves the
    weights of that epoch. Raises UnknownNameError or ValueError at the start where ``monitor`` will not be there,
    and ValueError for a study that looks for the worst of it.

    Source: ``optuna.integration.KerasPruningCallback`` of Optuna.

    >>> import nnkit, optuna
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> def train(trial):
    ...     model, x = nnkit.nn.Linear(1, 1), [[0.0], [1.0]]
    ...     history = model.fit(x, x, loss="mse", callbacks=[Pruning(trial, "loss")], verbose=0)
    ...     return history.history["loss"][-1]
    >>> study = optuna.create_study()
    >>> study.optimize(train, n_trials=1); len(study.trials[0].intermediate_values)
    1
    """

    def __init__(self, trial: Any, monitor: str = "val_loss") -> None:
        self.trial, self.monitor = trial, Monitor(monitor)

    def __deepcopy__(self, memo: Any) -> Pruning:
        return Pruning(self.trial, self.monitor.name)  # a trial is a place in a study, of which there is one

    def on_train_begin(self) -> None:
        self.monitor.check(self.trainer)
        _check_direction(self.trial, self.monitor)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        from optuna import TrialPruned

        value = logs[self.monitor.name]
        self.trial.report(value, epoch)
        if self.trial.should_prune():
            raise TrialPruned(f"{self.monitor.name}={value:.6g} after epoch {epoch + 1}")


def objective(
    build: Callable[..., Module],
    data: tuple[Any, Any],
    space: Callable[[Any], Mapping[str, Any]],
    *,
    loss: Any,
    monitor: str | None = None,
    callbacks: Sequence[Callback] = (),
    **fit: Any,
) -> Callable[[Any], float]:
    """A function of an optuna trial: the value of ``monitor`` that a network of the trial's setting comes to.

    - ``space``: a function of the trial that returns a setting, as ``train_many`` takes them:
      ``lambda trial: {"lr": trial.suggest_float("lr", 1e-4, 1, log=True), "width": trial.suggest_int("width", 4, 9)}``
    - ``data``: (x, y); ``loss`` and the rest are as in ``train_one``, with ``validation_data`` or ``validation_split``
    - ``monitor``: "val_loss" where there is validation, else "loss"; with accuracy and its like, make the study with
      ``direction="maximize"`` (ValueError otherwise). With an EarlyStopping among ``callbacks`` it is that of the epoch
      it went back to

    The trial's pruner decides after each epoch. A loss that turns NaN prunes the trial too. Networks of a study are
    not kept; train the best setting again by ``train_one(build, setting, ...)``, which gives the same network: the
    setting is in the trial's ``user_attrs["setting"]``.

    The function raises optuna.TrialPruned. Source: Optuna's objectives.

    >>> import nnkit, optuna
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    >>> study.optimize(nnkit.tune.objective(
    ...     lambda: nnkit.nn.Linear(1, 1), ([[0.0], [1.0]], [[1.0], [3.0]]),
    ...     lambda trial: {"lr": trial.suggest_float("lr", 0.01, 1.0)}, loss="mse", epochs=5), n_trials=3)
    >>> study.best_value < 1.0
    True
    """
    validated = fit.get("validation_data") is not None or bool(fit.get("validation_split"))
    name = monitor or ("val_loss" if validated else "loss")

    def value(trial: Any) -> float:
        from optuna import TrialPruned

        setting = dict(space(trial))
        trial.set_user_attr("setting", setting)
        run: Run = train_one(build, setting, *data, loss=loss, callbacks=[*callbacks, Pruning(trial, name)], **fit)
        if run.error is not None:
            raise TrialPruned(run.error)
        return run.value(name)

    return value


def _check_direction(trial: Any, monitor: Monitor) -> None:
    """Raise ValueError for a study that looks for the worst. What no name tells, it may look for either way."""
    direction = getattr(
        getattr(getattr(trial, "study", None), "direction", None), "name", None
    )  # a FixedTrial has none
    name = monitor.name
    least = name in ("loss", "val_loss")
    if direction == ("MAXIMIZE" if least else "MINIMIZE") and (least or monitor.sign > 0):
        better, wanted = ("smaller", "minimize") if least else ("larger", "maximize")
        raise ValueError(f"{name!r} is better the {better} it is: make the study by create_study(direction={wanted!r})")
