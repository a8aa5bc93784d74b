"""Gradient flow: how large each layer's gradient is over the epochs, and which share of its units gets none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from nnkit.plot.display import Display, colours, labels, marked, over_epochs, panels, pyplot, say, spread_ticks

__all__ = ["GradientFlowDisplay"]

NAMED = 8  # layers that are told apart by a colour and a name each; more by a scale of colours
STYLES = ("-", "--", "-.", ":")


class GradientFlowDisplay(Display):
    """Two panels over the epochs, a line for each layer: ``norms`` of gradients, and the share of ``dead`` units.

    Layers are coloured from the first, dark, to the last, light, where there are more than eight. The epochs are
    counted from 1.

    Raises ImportError where matplotlib is lacking. Source: scikit-learn's displays.

    >>> from nnkit.plot import GradientFlowDisplay
    >>> display = GradientFlowDisplay([0, 1], {"0": [2.0, 1.0]}, {"0": [0.0, 0.5]}).plot()
    >>> [float(share) for share in display.axes_[1].lines[0].get_ydata()]
    [0.0, 0.5]
    """

    def __init__(
        self, epochs: Sequence[int], norms: Mapping[str, Sequence[float]], dead: Mapping[str, Sequence[float]]
    ) -> None:
        self.epochs = list(epochs)
        self.norms = {name: list(row) for name, row in norms.items()}
        self.dead = {name: list(row) for name, row in dead.items()}

    @classmethod
    def from_callback(cls, flow: Any, *, ax: Any = None) -> Self:
        """Draw what ``nnkit.training.GradientFlow`` noted during ``fit``. Raises ValueError where that is nothing."""
        if not flow.epochs:
            raise ValueError("GradientFlow noted nothing: pass it to fit, callbacks=[flow], and draw it afterwards")
        return cls(flow.epochs, flow.norms, flow.dead).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into a new figure, within ``ax``, or into a list of two Axes."""
        norms, dead = panels(ax, 2, 2, (5.4, 4.0))
        self._draw(norms, self.norms, "norm of the gradient")
        self._draw(dead, self.dead, "share of dead units")
        positive = [value for row in self.norms.values() for value in row if value > 0.0]
        if positive:
            norms.set_yscale("log")
        if dead.lines:
            dead.set_ylim(-0.04, 1.04)
            dead.yaxis.set_major_formatter(lambda share, place: f"{share:.0%}")
        self._name_layers(norms, dead)
        self._drawn([norms, dead])
        return self

    def _draw(self, panel: Any, rows: Mapping[str, Sequence[float]], title: str) -> None:
        epochs = [epoch + 1 for epoch in self.epochs]
        chosen = zip(rows.items(), colours(len(rows)), range(len(rows)), strict=True)
        for (name, row), colour, number in chosen:
            if np.isfinite(row).any():
                style = STYLES[number % len(STYLES)] if len(rows) <= NAMED else "-"
                panel.plot(epochs, row, style, color=colour, label=name, linewidth=1.4, **marked(len(epochs)))
        panel.set_title(title)
        over_epochs(panel, epochs)
        if not panel.lines:
            say(panel, "no layer has such a number")

    def _name_layers(self, first: Any, beside: Any) -> None:
        """A legend on the right, or a scale of colours where there are many layers."""
        names, short = list(self.norms), labels(list(self.norms))
        if len(names) <= NAMED:
            lines = {line.get_label(): line for axes in (beside, first) for line in axes.lines}
            shown = [(lines[name], text) for name, text in zip(names, short, strict=True) if name in lines]
            if shown:
                beside.legend(*zip(*shown, strict=True), loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
            return
        plain = pyplot()
        scale = plain.matplotlib.colors.ListedColormap(colours(len(names)))
        coloured = plain.cm.ScalarMappable(plain.Normalize(-0.5, len(names) - 0.5), scale)
        ticks = spread_ticks(len(names), 12)
        bar = beside.figure.colorbar(coloured, ax=beside, ticks=ticks)
        bar.ax.set_yticklabels([short[place] for place in ticks])
        bar.ax.invert_yaxis()
