"""Histograms of what layers return, and of their weights: a row for each, over one axis of values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from nnkit.plot.display import COLOURS, Display, grid, labels, panels
from nnkit.plot.models import layers_of, outputs_of, weights_of

__all__ = ["ActivationDisplay", "WeightDisplay"]

BINS = 80
CUT = 0.25  # percent of a layer's values, on either side, that need not be seen
LETTER = 9.0  # points, of a row's name


class _Ridges(Display):
    """A histogram for each entry of ``values`` (name -> array), from top to bottom; NaN and infinity are counted."""

    colour = COLOURS[0]
    what = "value"

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = {name: np.asarray(value, np.float64).ravel() for name, value in values.items()}
        if not self.values:
            raise ValueError(f"{type(self).__name__}: there is nothing to draw: the model has no such values")
        finite = {name: row[np.isfinite(row)] for name, row in self.values.items()}
        edges = _edges([row for row in finite.values() if row.size])
        #: The limits of the bins, the same for all.
        self.edges = edges
        #: Name -> how many values are in each bin; those beyond the limits are in the first and the last.
        self.counts = {n: np.histogram(np.clip(r, edges[0], edges[-1]), edges)[0] for n, r in finite.items()}

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into a new figure, as high as there are rows, or into ``ax``."""
        count = len(self.values)
        (axis,) = panels(ax, 1, 1, (7.6, max(2.2, 1.1 + 0.32 * count)))
        centres = (self.edges[1:] + self.edges[:-1]) / 2
        for row, name in enumerate(self.counts):
            height = 0.85 * self._heights(name)
            axis.plot(centres, height - row, color=self.colour, linewidth=0.9)
            axis.fill_between(centres, -row, height - row, color=self.colour, alpha=0.35, linewidth=0.0)
        points = axis.figure.get_size_inches()[1] * axis.get_position().height * 72.0
        step = 1 if ax is None else max(1, math.ceil(LETTER * count / points))
        short = labels(list(self.values))
        axis.set_yticks([-row for row in range(0, count, step)], short[::step])
        for row, values in list(enumerate(self.values.values()))[::step]:
            axis.text(1.015, -row, _in_words(values), transform=axis.get_yaxis_transform(), fontsize=8, va="center")
        axis.set_ylim(0.15 - count, 1.05)
        axis.set_xlim(self.edges[0], self.edges[-1])
        axis.set_xlabel(self.what)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
        grid(axis)
        self._drawn([axis])
        return self

    def _heights(self, name: str) -> np.ndarray:
        """A row's counts from 0 to 1. A bin of zeros, which beside a ReLU dwarfs all others, does not set the scale."""
        counts, values = self.counts[name], self.values[name]
        zeros = np.histogram(values[values == 0.0], self.edges)[0]
        most = int((counts - zeros).max()) or int(counts.max()) or 1
        heights: np.ndarray = np.minimum(counts / most, 1.0)
        return heights


class ActivationDisplay(_Ridges):
    """What each layer returns for some samples: a histogram each, in order.

    Beside it stand mean and standard deviation, the share of zeros (a ReLU's silent outputs), and of NaN.

    ``values`` are arrays of any shape and dtype by name. Raises ValueError where there are none, TypeError for what
    is no model. Source: scikit-learn's displays.

    >>> import numpy as np
    >>> from nnkit import nn
    >>> from nnkit.plot import ActivationDisplay
    >>> display = ActivationDisplay.from_model(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), np.zeros((4, 2)))
    >>> [int(counts.sum()) for counts in display.counts.values()]
    [12, 12]
    """

    what = "what the layer returns"

    @classmethod
    def from_model(cls, model: Any, x: Any, *, ax: Any = None) -> Self:
        """Run the model once on ``x``, samples as ``predict`` takes them, or a tuple of several inputs."""
        return cls(outputs_of(model, x, layers_of(model))).plot(ax=ax)


class WeightDisplay(_Ridges):
    """The values of each weight of a model: a histogram each, in order.

    Raises ValueError where there are none, TypeError for what is no model. Source: scikit-learn's displays.

    >>> from nnkit import nn
    >>> from nnkit.plot import WeightDisplay
    >>> list(WeightDisplay.from_model(nn.Linear(2, 3)).counts)
    ['weight', 'bias']
    """

    what = "weight"
    colour = COLOURS[2]

    @classmethod
    def from_model(cls, model: Any, *, ax: Any = None) -> Self:
        """Draw all parameters as they are now."""
        return cls(weights_of(model)).plot(ax=ax)


def _edges(rows: list[np.ndarray]) -> np.ndarray:
    """Limits of bins in which every layer's values are, but for a few far away."""
    ends = [np.percentile(row, [CUT, 100.0 - CUT]) for row in rows] or [np.zeros(2)]
    low, high = float(min(end[0] for end in ends)), float(max(end[1] for end in ends))
    room = 0.03 * (high - low) or max(abs(low), 1.0) * 0.5
    return np.linspace(low - room, high + room, BINS + 1)


def _in_words(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    parts = [f"{finite.mean():.2g} ± {finite.std():.2g}"] if finite.size else []
    zeros, lost = float((finite == 0.0).sum()), len(values) - len(finite)
    parts += [f"{_percent(zeros / len(values))} zero"] if zeros else []
    parts += [f"{_percent(lost / len(values))} not finite"] if lost else []
    return ", ".join(parts) or "no values"


def _percent(share: float) -> str:
    return f"{100.0 * share:.0f} %" if share >= 0.01 else "< 1 %"
