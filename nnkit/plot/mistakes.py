"""What a classifier of images got wrong: the images, what it said, and what was right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from nnkit.plot.display import Display, panels, say, shorten
from nnkit.plot.labelled import class_labels, labelled
from nnkit.plot.models import array_of

__all__ = ["MistakesDisplay"]

MOST = 16  # images


class MistakesDisplay(Display):
    """Images that were taken for something else, those first of which the model was surest: "said / right".

    ``images`` (n, height, width), or (n, height, width, 3); ``said`` and ``right`` are names of classes, ``count``
    says how many mistakes there are among ``total``.

    Pixels are of any dtype of numbers, and labels of shape (n,). Raises ValueError for labels that do not fit. Source:
    scikit-learn's displays.

    >>> import numpy as np, nnkit
    >>> from nnkit.plot import MistakesDisplay
    >>> model = nnkit.nn.Sequential(nnkit.nn.Flatten(), nnkit.nn.Linear(4, 2))
    >>> with nnkit.no_grad(): _ = model[1].weight.fill_(0.0), model[1].bias.copy_(nnkit.tensor([1.0, 0.0]))
    >>> display = MistakesDisplay.from_model(model, np.zeros((3, 2, 2)), [0, 1, 1])
    >>> display.ax_.get_title(), display.count
    ('0 / 1', 2)
    """

    def __init__(
        self, images: np.ndarray, said: Sequence[Any], right: Sequence[Any], count: int | None = None, total: int = 0
    ) -> None:
        self.images, self.said, self.right = np.asarray(images), list(said), list(right)
        self.count, self.total = len(self.said) if count is None else count, total

    @classmethod
    def from_model(
        cls, model: Any, x: Any, y: Any, *, images: Any = None, class_names: Sequence[str] | None = None,
        most: int = MOST, ax: Any = None,
    ) -> Self:  # fmt: skip
        """Predict ``x`` (n, ...) and draw at most ``most`` mistakes. ``images``: what to show, where ``x`` is none; a
        channel may stand before or behind height and width. Raises ValueError where there are no images.
        """
        found = labelled(model, x, y)
        names = class_labels(found.classes, class_names)
        shown = _pictures(array_of(x if images is None else images))
        said = found.chances.argmax(1)
        wrong = np.flatnonzero(said != found.truth)
        surest = wrong[np.argsort(-found.chances[wrong, said[wrong]], kind="stable")][:most]
        said_names = [names[place] for place in said[surest]]
        right_names = [names[place] for place in found.truth[surest]]
        return cls(shown[surest], said_names, right_names, len(wrong), len(found.truth)).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into a new figure, within ``ax``, or into a list of Axes, one for each image."""
        count, own = max(len(self.images), 1), ax is None
        if count > 1 and hasattr(ax, "get_subplotspec"):
            ax = _under_heading(ax, self.title)
        axes = panels(ax, count, math.ceil(math.sqrt(count)), (1.5, 1.75))
        for axis, image, said, right in zip(axes, self.images, self.said, self.right, strict=False):
            axis.set_xticks([])
            axis.set_yticks([])
            axis.imshow(image, **({} if image.ndim == 3 else {"cmap": "gray_r"}))
            axis.set_title(_title(said, right), fontsize=9)
        if not len(self.images):
            say(axes[0], f"nothing wrong in {self.total}")
        if own and len(self.images):
            title = self.title.replace(" (", "\n(") if count == 1 else self.title  # one picture is narrower
            axes[0].figure.suptitle(title, fontsize=10)
        self._drawn(axes)
        return self

    @property
    def title(self) -> str:
        """What the picture shows, in words."""
        return f"wrong: {self.count} of {self.total} (said / right)"


def _title(said: Any, right: Any) -> str:
    """In one line, or in two where names are long."""
    one, other = shorten(said, 15), shorten(right, 15)
    return f"{one} / {other}" if len(one) + len(other) < 10 else f"{one}\n/ {other}"


def _under_heading(ax: Any, title: str) -> Any:
    """What is left of a place below a heading."""
    ax.set_axis_off()
    above, below = ax.get_subplotspec().subgridspec(2, 1, height_ratios=(1, 16))
    heading = ax.figure.add_subplot(above)
    heading.set_axis_off()
    heading.text(0.5, 0.5, title, ha="center", va="center", transform=heading.transAxes)
    return ax.figure.add_subplot(below)


def _pictures(images: np.ndarray) -> np.ndarray:
    """(n, height, width), or (n, height, width, 3), from images with or without a channel."""
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise ValueError(f"images: expected (n, height, width), with 1 or 3 channels or none, got shape {images.shape}")
    return images
