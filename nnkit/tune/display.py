"""A study drawn: its values over the trials, and over each parameter."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from nnkit.plot.display import COLOURS, Display, grid, panels, say, shorten, spread_ticks

__all__ = ["StudyDisplay", "plot_study"]

COLUMNS, MOST_NAMES, WIDE = 3, 8, 100.0
DONE, PRUNED, LINE = COLOURS[0], COLOURS[1], COLOURS[6]


class StudyDisplay(Display):
    """The trials of an optuna study: a panel of their values in turn, with the best so far, and one for each parameter.

    Trials that were pruned stand at the last value that they reported; those that failed are left out. Parameters that
    were asked for on a logarithmic scale are drawn over one.

    - ``values``, ``pruned``, ``numbers``: one for each trial; ``parameters``: name -> one for each trial (None where it
      was not asked for); ``logarithmic``: the names of those drawn so
    - ``ax_``, ``axes_``, ``figure_``: where it was drawn

    Raises ImportError where matplotlib is lacking. Source: scikit-learn's displays.

    >>> StudyDisplay([0, 1], [4.0, 1.0], [False, False], {"x": [2.0, 1.0]}, set()).plot().axes_[1].get_xlabel()
    'x'
    """

    def __init__(
        self, numbers: list[int], values: list[float], pruned: list[bool], parameters: dict[str, list[Any]],
        logarithmic: set[str], maximize: bool = False,
    ) -> None:  # fmt: skip
        self.numbers, self.values, self.pruned = numbers, np.array(values, float), np.array(pruned, bool)
        self.parameters, self.logarithmic, self.maximize = parameters, logarithmic, maximize

    @classmethod
    def from_study(cls, study: Any, *, ax: Any = None) -> Self:
        """Draw a study. Raises ValueError for one with several objectives."""
        if len(study.directions) > 1:
            raise ValueError("study: it has several objectives; one can be drawn")
        shown = [trial for trial in study.trials if _value(trial) is not None]
        names = list(dict.fromkeys(name for trial in shown for name in trial.params))
        logarithmic = {
            name for trial in shown for name, kind in trial.distributions.items() if getattr(kind, "log", False)
        }
        return cls(
            [trial.number for trial in shown], [_value(trial) for trial in shown],
            [trial.state.name == "PRUNED" for trial in shown],
            {name: [trial.params.get(name) for trial in shown] for name in names},
            logarithmic, study.direction.name == "MAXIMIZE",
        ).plot(ax=ax)  # fmt: skip

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into a new figure, within ``ax``, or into a list of Axes, one for each panel."""
        count = 1 + len(self.parameters)
        columns = COLUMNS if ax is None else math.ceil(math.sqrt(count))
        first, *others = axes = panels(ax, count, columns, (4.2, 3.2))
        self._over_trials(first)
        for axis, (name, given) in zip(others, self.parameters.items(), strict=True):
            self._over_parameter(axis, name, given)
        self._drawn(axes)
        return self

    def _over_trials(self, axis: Any) -> None:
        self._dots(axis, np.array(self.numbers, float))
        good = ~self.pruned & np.isfinite(self.values)
        if good.any():
            best = (np.maximum if self.maximize else np.minimum).accumulate(self.values[good])
            at = np.array(self.numbers)[good]
            axis.plot(at, best, color=LINE, linewidth=1.2, drawstyle="steps-post", label="best so far", zorder=1)
        axis.set_xlabel("trial")
        axis.set_ylabel("value")
        axis.locator_params(axis="x", integer=True)
        if len(self.values):
            axis.legend(frameon=False, fontsize="small")
        else:
            say(axis, "no trial has a value")

    def _over_parameter(self, axis: Any, name: str, given: list[Any]) -> None:
        asked = [value for value in given if value is not None]
        if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in asked):
            places = np.array([math.nan if value is None else value for value in given], float)
            if name in self.logarithmic:
                axis.set_xscale("log")
        else:
            kinds = list(dict.fromkeys(map(str, asked)))
            places = np.array([math.nan if value is None else kinds.index(str(value)) for value in given], float)
            ticks = spread_ticks(len(kinds), MOST_NAMES)
            axis.set_xticks(ticks, [shorten(kinds[k], 12) for k in ticks])
            axis.set_xlim(-0.5, len(kinds) - 0.5)
        self._dots(axis, places)
        axis.set_xlabel(shorten(name))

    def _dots(self, axis: Any, places: np.ndarray) -> None:
        for chosen, marker, colour, label in (
            (~self.pruned, "o", DONE, "finished"),
            (self.pruned, "x", PRUNED, "pruned"),
        ):
            if chosen.any():
                axis.scatter(
                    places[chosen], self.values[chosen], marker=marker, color=colour, s=22, label=label, zorder=2
                )
        finite = self.values[np.isfinite(self.values)]
        if finite.size and finite.min() > 0.0 and finite.max() > WIDE * finite.min():
            axis.set_yscale("log")
        grid(axis)


def plot_study(study: Any, *, ax: Any = None) -> StudyDisplay:
    """Draw an optuna study: ``StudyDisplay.from_study``.

    Raises ImportError where matplotlib is lacking. Source: ``optuna.visualization.matplotlib`` of Optuna.

    >>> import nnkit, optuna
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study()
    >>> study.optimize(lambda trial: trial.suggest_float("x", -1.0, 1.0) ** 2, n_trials=3)
    >>> [axis.get_xlabel() for axis in nnkit.tune.plot_study(study).axes_]
    ['trial', 'x']
    """
    return StudyDisplay.from_study(study, ax=ax)


def _value(trial: Any) -> Any:
    """What a trial came to; None where it failed or has not begun."""
    if trial.state.name == "COMPLETE":
        return trial.value
    if trial.state.name == "PRUNED" and trial.intermediate_values:
        return trial.intermediate_values[max(trial.intermediate_values)]
    return None
