"""Whether the rows that come in are still like those a model was trained on.

``reference(x)`` is made of the training data and stands in the card of a published version; ``Drift`` compares with it
the rows that a model is asked for, in windows, in constant memory. Two numbers tell: the population stability index
and the Kolmogorov-Smirnov distance. Needs SciPy, imported on first use: ``pip install "nnkit-engine[monitor]"``.
"""

from __future__ import annotations

from nnkit.monitor.drift import Drift
from nnkit.monitor.references import reference
from nnkit.monitor.statistics import kolmogorov_smirnov, population_stability

__all__ = ["Drift", "kolmogorov_smirnov", "population_stability", "reference"]


def __dir__() -> list[str]:
    return sorted(__all__)
