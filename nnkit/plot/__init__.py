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
    from nnkit.plot.history import HistoryDisplay

#: Display -> its module.
_PLACES = {"HistoryDisplay": "history"}

__all__ = ["HistoryDisplay"]


def __getattr__(name: str) -> Any:
    """A display, whose module is imported when it is first asked for."""
    if name in _PLACES:
        return getattr(importlib.import_module(f"nnkit.plot.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
