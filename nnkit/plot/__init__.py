"""Pictures, drawn by matplotlib (the extra ``plot``), in scikit-learn's Display protocol.

Each class is made by one of its methods ``from_…``, which draws at once, into ``ax`` if that is given; what is drawn
stands in the display's attributes, ``plot(ax=…)`` draws it again, and ``ax_`` and ``figure_`` are where. Models are
modules of ``nnkit.nn``, models of ``nnkit.keras`` or estimators of ``nnkit.sklearn``, where that makes sense.

matplotlib and scikit-learn are imported when something is drawn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnkit.plot.attention import AttentionDisplay
    from nnkit.plot.boundary import DecisionBoundaryDisplay
    from nnkit.plot.gradients import GradientFlowDisplay
    from nnkit.plot.histograms import ActivationDisplay, WeightDisplay
    from nnkit.plot.history import HistoryDisplay
    from nnkit.plot.images import FeatureMapDisplay, FilterDisplay
    from nnkit.plot.mistakes import MistakesDisplay
    from nnkit.plot.rates import LearningRateDisplay
    from nnkit.plot.scores import (
        ConfusionMatrixDisplay,
        PrecisionRecallDisplay,
        PredictionErrorDisplay,
        RocCurveDisplay,
    )

#: Display -> its module.
_PLACES = {
    "ActivationDisplay": "histograms", "AttentionDisplay": "attention", "ConfusionMatrixDisplay": "scores",
    "DecisionBoundaryDisplay": "boundary", "FeatureMapDisplay": "images", "FilterDisplay": "images",
    "GradientFlowDisplay": "gradients", "HistoryDisplay": "history", "LearningRateDisplay": "rates",
    "MistakesDisplay": "mistakes", "PrecisionRecallDisplay": "scores", "PredictionErrorDisplay": "scores",
    "RocCurveDisplay": "scores", "WeightDisplay": "histograms",
}  # fmt: skip

__all__ = [
    "ActivationDisplay", "AttentionDisplay", "ConfusionMatrixDisplay", "DecisionBoundaryDisplay", "FeatureMapDisplay",
    "FilterDisplay", "GradientFlowDisplay", "HistoryDisplay", "LearningRateDisplay", "MistakesDisplay",
    "PrecisionRecallDisplay", "PredictionErrorDisplay", "RocCurveDisplay", "WeightDisplay",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """A display, whose module is imported when it is first asked for."""
    if name in _PLACES:
        return getattr(importlib.import_module(f"nnkit.plot.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
