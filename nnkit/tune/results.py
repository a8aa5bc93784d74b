"""What trainings gave: for each its setting, its network, its history, and what went wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload

from nnkit.errors import UnknownNameError
from nnkit.nn.module import Module
from nnkit.training.callbacks import Callback, EarlyStopping, Monitor
from nnkit.training.history import History

__all__ = ["Run", "Runs"]


class Run(NamedTuple):
    """One training.

    - ``setting``: what was asked for; ``model``, ``history``, ``callbacks``: what came of it
    - ``error``: why it ended, where its loss turned NaN or infinite; else None
    - ``alone``: why it was trained by itself; None where it was trained together with others
    """

    setting: Mapping[str, Any]
    model: Module
    history: History
    callbacks: tuple[Callback, ...] = ()
    error: str | None = None
    alone: str | None = None

    def value(self, metric: str) -> float:
        """The metric of the epoch that the weights are of: the last, or the one that an EarlyStopping went back to."""
        if metric not in self.history.history:
            raise UnknownNameError("recorded quantity", metric, self.history.history)
        row, place = self.history.history[metric], -1
        for callback in self.callbacks:
            if isinstance(callback, EarlyStopping) and callback.restore_best_weights:
                best = callback.best_epoch
                place = place if best is None else self.history.epoch.index(best)
        return row[place]


class Runs(Sequence[Run]):
    """The trainings in the order of their settings.

    ``best`` raises UnknownNameError for a metric that was not noted, ValueError where none is a number. Source:
    nnkit's own.

    >>> import nnkit
    >>> runs = nnkit.tune.train_many(
    ...     lambda: nnkit.nn.Linear(1, 1), [{"lr": 0.5}, {"lr": 0.01}], [[0.0], [1.0]], [[1.0], [3.0]], loss="mse",
    ...     epochs=50)
    >>> runs.best("loss").setting
    {'lr': 0.5}
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = list(runs)

    @property
    def settings(self) -> list[Mapping[str, Any]]:
        """What was asked for."""
        return [run.setting for run in self._runs]

    @property
    def models(self) -> list[Module]:
        """The networks."""
        return [run.model for run in self._runs]

    @property
    def histories(self) -> list[History]:
        """What happened in each."""
        return [run.history for run in self._runs]

    @property
    def errors(self) -> list[str | None]:
        """Why each ended, where its loss turned NaN or infinite; else None."""
        return [run.error for run in self._runs]

    def best(self, metric: str | None = None) -> Run:
        """The one with the best ``metric`` ("val_loss" where there is one, else "loss"); see ``Run.value``.

        The largest is best for accuracy and its like, else the least. Those that went wrong do not count. Raises
        ValueError where none is left, UnknownNameError for a metric that was not recorded.
        """
        names = list(dict.fromkeys(name for run in self._runs for name in run.history.history))
        metric = metric or ("val_loss" if "val_loss" in names else "loss")
        if names and metric not in names:
            raise UnknownNameError("recorded quantity", metric, names)
        sign = Monitor(metric).sign
        good = [run for run in self._runs if run.error is None and run.history.history.get(metric)]
        good = [run for run in good if not math.isnan(run.value(metric))]
        if not good:
            raise ValueError(f"none of the {len(self)} trainings has a {metric!r} that is a number: see .errors")
        return max(good, key=lambda run: sign * run.value(metric))

    def __len__(self) -> int:
        return len(self._runs)

    @overload
    def __getitem__(self, index: int) -> Run: ...

    @overload
    def __getitem__(self, index: slice) -> Runs: ...

    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def __repr__(self) -> str:
        together = sum(run.alone is None for run in self._runs)
        wrong = sum(run.error is not None for run in self._runs)
        return f"Runs({len(self)} networks, {together} trained together, {wrong} went wrong)"
