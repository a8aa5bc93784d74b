"""Search for good settings: many small networks in one program, grids, random and Bayesian search.

``train_many`` trains networks of one shape side by side; ``GridSearchCV`` and ``RandomizedSearchCV`` are scikit-learn's
with it; ``objective``, ``Pruning`` and ``plot_study`` go with optuna (``pip install nnkit-engine[tune]``).
"""

from __future__ import annotations

import importlib
from typing import Any

#: Name -> the module that has it, imported when the name is first asked for.
_HOMES = {
    "GridSearchCV": "searches",
    "Pruning": "objectives",
    "RandomizedSearchCV": "searches",
    "Run": "results",
    "Runs": "results",
    "StudyDisplay": "display",
    "objective": "objectives",
    "plot_study": "display",
    "train_many": "many",
    "train_one": "many",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'nnkit.tune' has no attribute {name!r}")
    return getattr(importlib.import_module(f"nnkit.tune.{home}"), name)


def __dir__() -> list[str]:
    return __all__
