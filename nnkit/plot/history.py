"""What a training recorded: a panel for each quantity over the epochs, its validation beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from nnkit.errors import UnknownNameError
from nnkit.plot.display import COLOURS, Display, marked, over_epochs, panels, say, shorten

__all__ = ["HistoryDisplay"]

COLUMNS = 3
WIDE = 100.0  # a quantity that changes by more than this factor is drawn over a logarithmic axis


class HistoryDisplay(Display):
    """A panel for each quantity in ``history`` (name -> one number per epoch): training solid, validation dashed.

    The learning rate has a panel where it changes. A quantity that is positive and changes a hundredfold is drawn over
    a logarithmic axis. The epochs are counted as ``fit`` prints them, from 1.

    Raises ValueError for what holds no record of a training, and for an empty one. Source: scikit-learn's displays.

    >>> from nnkit.plot import HistoryDisplay
    >>> display = HistoryDisplay.from_history({"loss": [2.0, 1.0], "val_loss": [2.5, 1.5]})
    >>> [line.get_label() for line in display.ax_.lines]
    ['loss', 'val_loss']
    """

    def __init__(self, history: Mapping[str, Sequence[float]], epoch: Sequence[int] | None = None) -> None:
        self.history = {name: [float(value) for value in row] for name, row in history.items()}
        longest = max(map(len, self.history.values()), default=0)
        self.epoch = list(range(longest)) if epoch is None else list(epoch)

    @classmethod
    def from_history(cls, history: Any, names: Iterable[str] | None = None, *, ax: Any = None) -> Self:
        """Draw a History of nnkit's or Keras's, a dict of lists, or what a model or estimator was last trained by.

        ``names``: what to draw, without "val_". Raises UnknownNameError for a name that was not recorded, and
        ValueError where nothing was.
        """
        found = _history_of(history)
        return cls(getattr(found, "history", found), getattr(found, "epoch", None)).plot(ax=ax, names=names)

    def plot(self, *, ax: Any = None, names: Iterable[str] | None = None) -> Self:
        """Draw into a new figure, within ``ax``, or into a list of Axes, one for each quantity."""
        chosen = self._quantities() if names is None else list(names)
        for name in chosen:
            if name not in self.history and f"val_{name}" not in self.history:
                raise UnknownNameError("recorded quantity", name, self.history)
        if not chosen:
            raise ValueError("history: nothing was recorded, so there is nothing to draw")
        columns = COLUMNS if ax is None else math.ceil(math.sqrt(len(chosen)))
        axes = panels(ax, len(chosen), columns, (4.2, 3.2))
        for name, panel in zip(chosen, axes, strict=True):
            self._draw(name, panel)
        self._drawn(axes)
        return self

    def _quantities(self) -> list[str]:
        """The names without those of validation; the learning rate last, and where it changes."""
        names = list(dict.fromkeys(name.removeprefix("val_") for name in self.history))
        rates = [name for name in ("lr", "learning_rate") if name in names]
        kept = [name for name in rates if len(set(self.history[name])) > 1]
        return [name for name in names if name not in rates] + kept

    def _draw(self, name: str, panel: Any) -> None:
        shown: list[float] = []
        for label, colour, style in ((name, COLOURS[0], "-"), (f"val_{name}", COLOURS[1], "--")):
            if label in self.history:
                row = self.history[label]
                epochs = [epoch + 1 for epoch in self.epoch[-len(row) :]] if row else []
                panel.plot(epochs, row, style, color=colour, label=label, **marked(len(row)))
                shown += row
        over_epochs(panel, [epoch + 1 for epoch in self.epoch])
        finite = np.array([value for value in shown if np.isfinite(value)])
        if not finite.size:
            say(panel, "no finite value")
        elif finite.min() > 0.0 and finite.max() > WIDE * finite.min():
            panel.set_yscale("log")
        panel.set_title("learning rate" if name == "lr" else shorten(name))
        if len(panel.lines) > 1:
            panel.legend(["training", "validation"], frameon=False)


def _history_of(value: Any) -> Any:
    """The record in a training's result, or in a model that was trained."""
    if isinstance(value, Mapping) or isinstance(getattr(value, "history", None), Mapping):
        return value
    last = getattr(getattr(value, "__dict__", {}).get("_last_fit"), "history", None)
    found = getattr(value, "history_", None) or getattr(value, "history", None) or last
    if found is None:
        raise ValueError(f"history: {type(value).__name__} holds no record of a training: train it by fit first")
    return found
