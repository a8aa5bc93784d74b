"""The decision boundary: what a model says of every place of a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from nnkit.plot.display import Display, colours, labels, panels, pyplot, spread_ticks
from nnkit.plot.labelled import probabilities
from nnkit.plot.models import array_of, predictions

__all__ = ["DecisionBoundaryDisplay"]

MARKS = "osD^vP*X"
NAMED = 8  # classes with a colour, a mark and a name each; more by a scale of colours


class DecisionBoundaryDisplay(Display):
    """The plane of two features, coloured by the class or the value that is predicted there, and the samples on it.

    ``response`` (rows, columns) are the places of classes in ``classes``, or values where that is None; ``xs`` and
    ``ys`` the features' values. Of more features the others stay at their median. Up to eight classes have a mark
    each.

    Samples are (n, features), of any dtype of numbers. Raises ValueError for fewer than two features. Source:
    ``sklearn.inspection.DecisionBoundaryDisplay``.

    >>> import numpy as np, nnkit
    >>> from nnkit.plot import DecisionBoundaryDisplay
    >>> x = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> display = DecisionBoundaryDisplay.from_model(nnkit.nn.Identity(), x, [1, 0], resolution=2)
    >>> display.response.tolist()
    [[0, 0], [1, 0]]
    """

    def __init__(
        self, xs: np.ndarray, ys: np.ndarray, response: np.ndarray, classes: Sequence[Any] | None, points: np.ndarray,
        truth: np.ndarray, feature_names: Sequence[str] = ("", ""),
    ) -> None:  # fmt: skip
        self.xs, self.ys, self.response, self.classes = xs, ys, response, classes
        self.points, self.truth, self.feature_names = points, truth, list(feature_names)

    @classmethod
    def from_model(
        cls, model: Any, x: Any, y: Any, *, features: tuple[int, int] = (0, 1), resolution: int = 200,
        class_names: Sequence[str] | None = None, ax: Any = None,
    ) -> Self:  # fmt: skip
        """Predict a grid of ``resolution`` by ``resolution`` places around ``x`` (n, features), and draw it with ``y``.

        Labels ``y`` are whole numbers or texts; floats are values of a regression. Raises ValueError where ``x`` has
        fewer than two features.
        """
        values, truth = array_of(x), array_of(y)
        if values.ndim != 2 or values.shape[1] < 2:
            raise ValueError(f"x: expected samples with two features or more, (n, features), got shape {values.shape}")
        truth = truth[:, 0] if truth.ndim == 2 and truth.shape[1] == 1 else truth
        pair = values[:, list(features)].astype(np.float64)
        xs, ys = (_around(column, resolution) for column in pair.T)
        places = np.tile(np.median(values, axis=0), (resolution * resolution, 1)).astype(values.dtype)
        places[:, features[0]], places[:, features[1]] = (part.ravel() for part in np.meshgrid(xs, ys))
        said = predictions(model, _like(x, places))
        classes: list[Any] | None = None
        if truth.dtype.kind != "f":
            response = probabilities(said).argmax(1)
            classes = list(getattr(model, "classes_", range(max(int(response.max()), int(_most(truth))) + 1)))
            known = {value: place for place, value in enumerate(np.asarray(classes).tolist())}
            truth = np.array([known[value] for value in truth.tolist()])
            classes = classes if class_names is None else list(class_names)
        else:
            response = said.reshape(len(places), -1)[:, 0]
        columns = list(getattr(x, "columns", [f"feature {number}" for number in range(values.shape[1])]))
        names = [str(columns[place]) for place in features]
        grid = response.reshape(resolution, resolution)
        return cls(xs, ys, grid, classes, pair, truth, names).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into a new figure, or into ``ax``."""
        (axis,) = panels(ax, 1, 1, (6.6, 4.8))
        (self._classes if self.classes is not None else self._values)(axis)
        first, second = labels(self.feature_names)
        axis.set(xlabel=first, ylabel=second, xlim=(self.xs[0], self.xs[-1]), ylim=(self.ys[0], self.ys[-1]))
        self._drawn([axis])
        return self

    def _classes(self, axis: Any) -> None:
        assert self.classes is not None
        count, plain, names = len(self.classes), pyplot(), labels(self.classes)
        chosen = colours(count)
        scale = plain.matplotlib.colors.ListedColormap(chosen)
        norm = plain.Normalize(-0.5, count - 0.5)
        shown = axis.pcolormesh(self.xs, self.ys, self.response, cmap=scale, norm=norm, alpha=0.3, shading="nearest")
        shown.set_rasterized(True)
        for place in range(count):
            rows = self.points[self.truth == place]
            mark = MARKS[place] if count <= NAMED else "o"
            axis.scatter(
                *rows.T,
                color=[chosen[place]],
                marker=mark,
                s=22,
                edgecolors="white",
                linewidths=0.5,
                label=names[place],
            )
        if count <= NAMED:
            axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
            return
        ticks = spread_ticks(count, 12)
        bar = axis.figure.colorbar(plain.cm.ScalarMappable(norm, scale), ax=axis, ticks=ticks)
        bar.ax.set_yticklabels([names[place] for place in ticks])

    def _values(self, axis: Any) -> None:
        both = np.concatenate([self.response.ravel(), self.truth.ravel()]).astype(np.float64)
        finite = both[np.isfinite(both)] if np.isfinite(both).any() else np.zeros(1)
        norm = pyplot().Normalize(finite.min(), finite.max())
        shown = axis.pcolormesh(self.xs, self.ys, self.response, cmap="cividis", norm=norm, shading="nearest")
        shown.set_rasterized(True)
        kind = {"cmap": "cividis", "norm": norm, "s": 22, "edgecolors": "white", "linewidths": 0.6}
        axis.scatter(*self.points.T, c=self.truth.ravel()[: len(self.points)], **kind)
        axis.figure.colorbar(shown, ax=axis, label="predicted; of samples: true")


def _around(column: np.ndarray, resolution: int) -> np.ndarray:
    finite = column[np.isfinite(column)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    room = 0.08 * (high - low) or 0.5
    places: np.ndarray = np.linspace(low - room, high + room, resolution)
    return places


def _like(x: Any, places: np.ndarray) -> Any:
    """The places as what the samples came in: a frame where that was one."""
    return type(x)(places, columns=x.columns) if hasattr(x, "iloc") else places


def _most(truth: np.ndarray) -> int:
    return int(truth.max()) if truth.dtype.kind in "biu" and truth.size else 0
