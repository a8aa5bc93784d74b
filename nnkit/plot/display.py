"""What all displays share: where they draw, in which colours, and how long a name may be."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.backends.advice import install

__all__ = [
    "COLOURS", "Display", "colours", "grid", "labels", "marked", "over_epochs", "panels", "pyplot", "say", "shorten",
    "spread_ticks",
]  # fmt: skip

#: Eight colours that people with any kind of colour vision can tell apart (Okabe and Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
LONGEST = 28  # letters of a name in a picture
MARKED = 20  # points of a line that are marked one by one


class Display:
    """The base of displays: after ``plot``, ``ax_`` is the Axes drawn into and ``figure_`` its Figure.

    A display of several panels draws them within the place of ``ax``; ``axes_`` has all of them, ``ax_`` is the first.
    """

    ax_: Any
    axes_: list[Any]
    figure_: Any

    def _drawn(self, axes: Sequence[Any]) -> None:
        self.axes_, self.ax_ = list(axes), axes[0]
        self.figure_ = axes[0].figure


def pyplot() -> Any:
    """matplotlib.pyplot. Raises ImportError that says how to install it."""
    try:
        from matplotlib import pyplot as found
    except ImportError as error:
        raise ImportError(f"pictures are drawn by matplotlib: {install('plot')}") from error
    return found


def panels(ax: Any, count: int, columns: int = 1, size: tuple[float, float] = (6.4, 4.8)) -> list[Any]:
    """``count`` Axes in rows of ``columns``: of a new figure, each of ``size`` inches; or where ``ax`` is.

    ``ax`` may be a list or array of Axes, too. Raises ValueError where these are not as many as needed.
    """
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    if ax is None:
        figure, places = pyplot().subplots(
            rows, columns, squeeze=False, layout="constrained", figsize=(size[0] * columns, size[1] * rows)
        )
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)  # inches
        return _used(list(places.flat), count)
    if isinstance(ax, (list, tuple, np.ndarray)):
        given = list(np.ravel(np.asarray(ax, dtype=object)))
        if len(given) < count:
            raise ValueError(f"ax: {count} panels are drawn, got {len(given)} Axes: pass one Axes, or {count}")
        return given[:count]
    if count == 1:
        return [ax]
    ax.set_axis_off()
    inner = ax.get_subplotspec().subgridspec(rows, columns)
    return [ax.figure.add_subplot(inner[place // columns, place % columns]) for place in range(count)]


def _used(axes: list[Any], count: int) -> list[Any]:
    for spare in axes[count:]:
        spare.remove()
    return axes[:count]


def colours(count: int) -> list[Any]:
    """So many colours: the eight where that is enough, else a scale from dark to light (viridis)."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    scale = pyplot().get_cmap("viridis")
    return [scale(place) for place in np.linspace(0.0, 0.93, count)]


def marked(count: int) -> dict[str, Any]:
    """How a line of so many points is drawn: each marked where there are few, so that a lone one is seen."""
    return {"marker": "o", "markersize": 3.5} if count <= MARKED else {}


def shorten(name: Any, longest: int = LONGEST) -> str:
    """A name with its middle left out where it is long.

    >>> shorten("a" * 20 + "b" * 20, 11)
    'aaaaa…bbbbb'
    """
    text = str(name)
    half = (longest - 1) // 2
    return text if len(text) <= longest else f"{text[: longest - 1 - half]}…{text[-half:]}"


def labels(names: Sequence[Any], longest: int = LONGEST) -> list[str]:
    """Names short enough to stand in a picture, and still different: what all have in common goes first.

    >>> labels(["encoder.layers.0.attention.weight", "encoder.layers.1.attention.weight"])
    ['…0…', '…1…']
    >>> labels(["0", "a.long.name"])
    ['0', 'a.long.name']
    """
    texts = [str(name) for name in names]
    if len(texts) > 1 and max(map(len, texts)) > longest:
        first = _shared(texts)
        texts = ["…" + text[first:] if first else text for text in texts]
        last = _shared([text[::-1] for text in texts])
        texts = [text[: len(text) - last] + "…" if last else text for text in texts]
    short = [shorten(text, longest) for text in texts]
    if len(set(short)) < len(set(texts)):
        short = [f"{number} {shorten(text, longest - 4)}" for number, text in enumerate(texts)]
    return short


def _shared(texts: Sequence[str]) -> int:
    """How many letters all begin with, up to the last that parts words."""
    letters = itertools.takewhile(lambda same: len(set(same)) == 1, zip(*(text[:-1] for text in texts), strict=False))
    common = "".join(one for one, *_ in letters)
    return max(common.rfind("."), common.rfind("_"), common.rfind("/"), common.rfind(" ")) + 1


def spread_ticks(count: int, most: int) -> list[int]:
    """At most ``most`` places of ``count``, equally far apart.

    >>> spread_ticks(5, 10), spread_ticks(100, 4)
    ([0, 1, 2, 3, 4], [0, 25, 50, 75])
    """
    return list(range(0, count, max(1, math.ceil(count / most))))


def say(axis: Any, text: str) -> None:
    """A text in the middle of a panel that has nothing else to show."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes)


def grid(axis: Any, which: str = "both") -> None:
    """Fine gray lines behind what is drawn."""
    axis.grid(True, axis=which, color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)


def over_epochs(axis: Any, epochs: Sequence[int]) -> None:
    """The axis of epochs: whole numbers, and room around a lone one."""
    axis.set_xlabel("epoch")
    grid(axis)
    if len(epochs) < 5:
        axis.set_xticks(list(epochs))
        axis.set_xlim(min(epochs, default=0) - 0.5, max(epochs, default=1) + 0.5)
    else:
        axis.locator_params(axis="x", integer=True)
