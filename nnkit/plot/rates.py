"""What the learning-rate finder saw: the loss over the rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from nnkit.plot.display import COLOURS, Display, grid, marked, panels, say

__all__ = ["LearningRateDisplay"]


class LearningRateDisplay(Display):
    """The losses of single batches in gray, their smoothed mean, and the suggested rate as an upright line.

    Raises ImportError where matplotlib is lacking. Source: scikit-learn's displays.

    >>> from nnkit.plot import LearningRateDisplay
    >>> display = LearningRateDisplay([0.1, 1.0], [2.0, 1.0], [2.0, 1.5], 0.1).plot()
    >>> display.ax_.get_xscale(), display.ax_.get_xlabel()
    ('log', 'learning rate')
    """

    def __init__(
        self,
        rates: Sequence[float],
        losses: Sequence[float],
        smoothed: Sequence[float],
        suggestion: float | None = None,
    ) -> None:
        self.rates, self.losses, self.smoothed = list(rates), list(losses), list(smoothed)
        self.suggestion = suggestion

    @classmethod
    def from_finder(cls, found: Any, *, ax: Any = None) -> Self:
        """Draw the result of ``nnkit.training.lr_finder``, or an ``LRFinder`` after its training."""
        seen = getattr(found, "found", found)
        return cls(seen.rates, seen.losses, seen.smoothed, seen.suggestion).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into a new figure, or into ``ax``."""
        (axis,) = panels(ax, 1)
        axis.set_xlabel("learning rate")
        axis.set_ylabel("loss")
        self._drawn([axis])
        if not self.smoothed:
            say(axis, "the loss was no number at any rate")
            return self
        style = marked(len(self.rates))
        axis.plot(self.rates, self.losses, color="#b0b0b0", linewidth=1.0, label="one batch", **style)
        axis.plot(self.rates, self.smoothed, color=COLOURS[0], linewidth=2.0, label="smoothed", **style)
        if self.suggestion is not None:
            label = f"suggested: {self.suggestion:.2g}"
            axis.axvline(self.suggestion, color=COLOURS[1], linestyle="--", label=label)
        axis.set_xscale("log")
        start, low = max(self.smoothed[: len(self.smoothed) // 2 + 1]), min(self.losses)
        room = max(start - low, 0.25 * abs(start), 1e-12)  # where the loss ends in a divergence, most of it is left out
        axis.set_ylim(low - 0.1 * room, min(max(self.losses), start + 0.5 * room) + 0.1 * room)
        grid(axis)
        axis.legend(frameon=False)
        return self
