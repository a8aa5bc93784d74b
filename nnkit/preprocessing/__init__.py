"""Data made ready for a network: complete, scaled, numbered, divided, augmented.

Everything here works on NumPy arrays on the host. What learns from data (``fit``) remembers its
statistics and gives them as a ``state_dict``; user arrays are never changed.
"""

from __future__ import annotations

from nnkit.preprocessing.augment import Augment, GaussianNoise, RandomFlip, RandomShift
from nnkit.preprocessing.labels import Labels, one_hot
from nnkit.preprocessing.missing import FillMissing, drop_missing, fill_missing
from nnkit.preprocessing.scale import MinMaxScale, Standardize
from nnkit.preprocessing.split import train_test_split, train_validation_test_split
from nnkit.preprocessing.table import Table

__all__ = [
    "Augment",
    "FillMissing",
    "GaussianNoise",
    "Labels",
    "MinMaxScale",
    "RandomFlip",
    "RandomShift",
    "Standardize",
    "Table",
    "drop_missing",
    "fill_missing",
    "one_hot",
    "train_test_split",
    "train_validation_test_split",
]


def __dir__() -> list[str]:
    return sorted(__all__)
