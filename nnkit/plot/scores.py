"""How good predictions are: scikit-learn's own Displays, made from a model and data in one call."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from nnkit.backends.advice import install
from nnkit.plot.display import COLOURS, Display, colours, grid, labels, panels, pyplot, say, spread_ticks
from nnkit.plot.labelled import class_labels, labelled
from nnkit.plot.models import array_of, predictions

__all__ = ["ConfusionMatrixDisplay", "PrecisionRecallDisplay", "PredictionErrorDisplay", "RocCurveDisplay"]

WRITTEN = 15  # classes up to which each cell of a confusion matrix has its number
NAMED = 30  # classes that are named along an axis
LINES = 8  # classes with a line of their own in a legend
PANELS = 12  # outputs of a regression that are drawn


def _metrics() -> Any:
    try:
        return importlib.import_module("sklearn.metrics")
    except ImportError as error:
        raise ImportError(f"this picture is scikit-learn's: {install('plot')}") from error


class ConfusionMatrixDisplay(Display):
    """How often which class was taken for which: rows are true classes, columns predicted ones.

    ``display_`` is scikit-learn's own, ``confusion_matrix`` its counts. Up to fifteen classes have their numbers
    written into the cells; of many, only some are named along the axes.

    Raises ValueError for another number of names than classes.

    >>> import numpy as np, nnkit
    >>> from nnkit.plot import ConfusionMatrixDisplay
    >>> display = ConfusionMatrixDisplay.from_model(nnkit.nn.Identity(), np.eye(3), [0, 1, 1])
    >>> display.confusion_matrix.tolist()
    [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    """

    def __init__(self, confusion_matrix: Any, class_names: Sequence[str] | None = None) -> None:
        self.confusion_matrix = np.asarray(confusion_matrix)
        self.class_names = class_labels(range(len(self.confusion_matrix)), class_names)
        self.display_: Any = None

    @classmethod
    def from_model(
        cls, model: Any, x: Any, y: Any, *, class_names: Sequence[str] | None = None, normalize: str | None = None,
        ax: Any = None,
    ) -> Self:  # fmt: skip
        """Predict ``x`` and draw; ``normalize`` is "true", "pred" or "all", scikit-learn's. Raises ValueError where
        labels do not fit the model's outputs.
        """
        found = labelled(model, x, y)
        places = range(len(found.classes))
        said = found.chances.argmax(1)
        counts = _metrics().confusion_matrix(found.truth, said, labels=places, normalize=normalize)
        return cls(counts, class_labels(found.classes, class_names)).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into a new figure, or into ``ax``."""
        count, written = len(self.class_names), len(self.class_names) <= WRITTEN
        size = min(max(4.2, 2.4 + 0.42 * count), 9.5)
        (axis,) = panels(ax, 1, 1, (size * 1.12, size))
        form = ".2f" if self.confusion_matrix.dtype.kind == "f" else "d"
        self.display_ = _metrics().ConfusionMatrixDisplay(self.confusion_matrix, display_labels=self.class_names)
        self.display_.plot(ax=axis, include_values=written, values_format=form, cmap="Blues")
        ticks = spread_ticks(count, NAMED)
        turned = max(map(len, self.class_names)) > 3 or count > WRITTEN
        shown = [self.class_names[place] for place in ticks]
        axis.set_xticks(ticks, shown, rotation=90 if turned else 0, fontsize=9 if count <= WRITTEN else 7)
        axis.set_yticks(ticks, shown, fontsize=9 if count <= WRITTEN else 7)
        self._drawn([axis])
        return self


class _Curves(Display):
    """One curve for two classes; else one for each class against all others, and the mean of their areas."""

    kind: ClassVar[str]
    area: ClassVar[str]
    legend: ClassVar[str]
    corner: ClassVar[str]  # of Axes that were given, where curves of good models are not

    def __init__(self, displays: dict[str, Any]) -> None:
        #: Name of a class -> scikit-learn's Display.
        self.displays_ = displays

    @classmethod
    def from_model(
        cls, model: Any, x: Any, y: Any, *, class_names: Sequence[str] | None = None, ax: Any = None
    ) -> Self:
        """Predict ``x`` and draw. Raises ValueError where fewer than two classes are in ``y``."""
        found = labelled(model, x, y)
        names, there = class_labels(found.classes, class_names), np.unique(found.truth)
        if len(there) < 2:
            raise ValueError(f"y: a {cls.kind} needs labels of two classes or more, got only {names[int(there[0])]}")
        chosen = [1] if len(names) == 2 else [int(place) for place in there]
        return cls({names[k]: cls._curve(found.truth == k, found.chances[:, k]) for k in chosen}).plot(ax=ax)

    @classmethod
    def _curve(cls, truth: np.ndarray, scores: np.ndarray) -> Any:
        raise NotImplementedError

    def areas(self) -> dict[str, float]:
        """The area under each curve."""
        return {name: float(getattr(display, self.area)) for name, display in self.displays_.items()}

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into a new figure, or into ``ax``."""
        (axis,) = panels(ax, 1, 1, (7.6, 4.8))
        areas, count = self.areas(), len(self.displays_)
        shown = count <= LINES
        order = sorted(areas, key=areas.__getitem__)
        told = list(areas) if shown else [order[-1], order[count // 2], order[0]]
        for (name, display), colour in zip(self.displays_.items(), colours(count), strict=True):
            style: dict[str, Any] = {"color": colour, "alpha": 1.0} if shown else {"color": "#b8b8b8", "linewidth": 0.7}
            display.plot(ax=axis, name=name, curve_kwargs=style)
            axis.lines[-1].set_label(f"{name}: {areas[name]:.3f}" if shown else "_")
        for name, colour, word in zip(told, COLOURS, ("best", "middle", "worst"), strict=False) if not shown else ():
            line = list(axis.lines)[list(self.displays_).index(name)]
            line.set(color=colour, linewidth=2.0, zorder=3, label=f"{word}, {name}: {areas[name]:.3f}")
        title = self.legend if count == 1 else f"{self.legend}, mean {np.mean(list(areas.values())):.3f}"
        grid(axis)
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="auto")
        lines = [list(axis.lines)[list(self.displays_).index(name)] for name in told]
        beside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
        place = beside if ax is None else {"loc": self.corner}
        axis.legend(lines, [line.get_label() for line in lines], title=title, **place)
        self._drawn([axis])
        return self


class RocCurveDisplay(_Curves):
    """The share of a class that was found over the share of the others that was taken for it, at every threshold.

    ``displays_`` are scikit-learn's own. With more than eight classes all curves are gray but the best, the middle and
    the worst.

    Outputs have shape (n,) or (n, classes), of a floating dtype, labels (n,). Raises ValueError for labels of one
    class.

    >>> import numpy as np, nnkit
    >>> from nnkit.plot import RocCurveDisplay
    >>> x = np.array([[0.1], [0.4], [0.35], [0.8]])
    >>> RocCurveDisplay.from_model(nnkit.nn.Identity(), x, [0, 0, 1, 1]).areas()
    {'1': 0.75}
    """

    kind, area, legend, corner = "ROC curve", "roc_auc", "area under the curve", "lower right"

    @classmethod
    def _curve(cls, truth: np.ndarray, scores: np.ndarray) -> Any:
        metrics = _metrics()
        false, true, _ = metrics.roc_curve(truth, scores)
        return metrics.RocCurveDisplay(fpr=false, tpr=true, roc_auc=metrics.auc(false, true))

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into a new figure, or into ``ax``; dashed is what guessing gives."""
        super().plot(ax=ax)
        self.ax_.plot([0, 1], [0, 1], "--", color="#888888", linewidth=1.0, label="_guess")
        self.ax_.set(xlabel="share of the others that was taken for it", ylabel="share that was found")
        return self


class PrecisionRecallDisplay(_Curves):
    """The share of what was taken for a class that is of it, over the share of the class that was found.

    ``displays_`` are scikit-learn's own; the numbers are average precisions.

    Outputs have shape (n,) or (n, classes), of a floating dtype, labels (n,). Raises ValueError for labels of one
    class.

    >>> import numpy as np, nnkit
    >>> from nnkit.plot import PrecisionRecallDisplay
    >>> x = np.array([[0.1], [0.4], [0.35], [0.8]])
    >>> PrecisionRecallDisplay.from_model(nnkit.nn.Identity(), x, [0, 0, 1, 1]).areas()
    {'1': 0.833...}
    """

    kind, area, legend = "precision-recall curve", "average_precision", "average precision"
    corner = "lower left"

    @classmethod
    def _curve(cls, truth: np.ndarray, scores: np.ndarray) -> Any:
        metrics = _metrics()
        precision, recall, _ = metrics.precision_recall_curve(truth, scores)
        mean = metrics.average_precision_score(truth, scores)
        return metrics.PrecisionRecallDisplay(precision=precision, recall=recall, average_precision=mean)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into a new figure, or into ``ax``."""
        super().plot(ax=ax)
        self.ax_.set(xlabel="recall: share that was found", ylabel="precision: share that is right")
        return self


class PredictionErrorDisplay(Display):
    """True over predicted values of a regression, a panel for each output; on the dashed line they are equal.

    ``displays_`` are scikit-learn's own. Rows in which either is not finite are left out, and counted in the title.

    Both have shape (n,) or (n, outputs), of any dtype of numbers. Raises ValueError for unlike shapes.

    >>> import numpy as np, nnkit
    >>> from nnkit.plot import PredictionErrorDisplay
    >>> display = PredictionErrorDisplay.from_model(nnkit.nn.Identity(), np.ones((4, 1)), np.zeros(4))
    >>> display.ax_.get_title()
    'R² 0.000, mean error 1'
    """

    def __init__(self, y_true: Any, y_pred: Any, names: Sequence[str] | None = None) -> None:
        truth, said = (np.asarray(value, np.float64).reshape(len(value), -1) for value in (y_true, y_pred))
        if truth.shape != said.shape:
            raise ValueError(f"y: {truth.shape} true values for {said.shape} predicted ones; the shapes must be equal")
        self.y_true, self.y_pred, self.names = truth, said, names
        self.displays_: list[Any] = []

    @classmethod
    def from_model(cls, model: Any, x: Any, y: Any, *, names: Sequence[str] | None = None, ax: Any = None) -> Self:
        """Predict ``x`` and draw; ``names`` of the outputs. Raises ValueError where shapes differ."""
        return cls(array_of(y), predictions(model, x), names).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into a new figure, within ``ax``, or into a list of Axes."""
        count = min(self.y_true.shape[1], PANELS)
        axes = panels(ax, count, 4 if count > 4 else count, (4.6, 4.4) if count == 1 else (3.6, 3.6))
        self.displays_ = []
        for output, axis in enumerate(axes):
            truth, said = self.y_true[:, output], self.y_pred[:, output]
            good = np.isfinite(truth) & np.isfinite(said)
            title = self._title(output, truth, said, good)
            axis.set_title(title, fontsize=10)
            if good.any():
                display = _metrics().PredictionErrorDisplay(y_true=truth[good], y_pred=said[good])
                points = {"color": COLOURS[0], "alpha": max(0.15, min(0.7, 300 / good.sum())), "s": 14, "linewidths": 0}
                line = {"color": COLOURS[1], "alpha": 1.0}
                display.plot(ax=axis, kind="actual_vs_predicted", scatter_kwargs=points, line_kwargs=line)
                axis.set(xlabel="predicted", ylabel="true")
                for side in (axis.xaxis, axis.yaxis):
                    side.set_major_locator(pyplot().MaxNLocator(6))
                self.displays_.append(display)
                grid(axis)
            else:
                say(axis, "no finite value")
        self._drawn(axes)
        return self

    def _title(self, output: int, truth: np.ndarray, said: np.ndarray, good: np.ndarray) -> str:
        spread = float(((truth[good] - truth[good].mean()) ** 2).sum()) if good.any() else 0.0
        squares = float(((truth[good] - said[good]) ** 2).sum())
        share = 1.0 - squares / spread if spread else float(squares == 0.0)  # as scikit-learn's r2_score
        parts = [f"R² {share:.3f}"] if good.any() else []
        parts += [f"mean error {np.abs(truth - said)[good].mean():.3g}"] if good.any() else []
        parts += [f"{int((~good).sum())} not finite"] if not good.all() else []
        several = self.y_true.shape[1] > 1
        names = labels(self.names if self.names is not None else [f"output {n}" for n in range(self.y_true.shape[1])])
        return f"{names[output]}\n{', '.join(parts)}" if several else ", ".join(parts)
