"""What ``fit`` was told about its data, checked before any data is looked at."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnkit.parallel import MPI

__all__ = ["DEFAULT_BATCH_SIZE", "Plan", "positive_integer"]

#: Where it is larger than the data, it is cut without a warning.
DEFAULT_BATCH_SIZE = 32


def positive_integer(value: Any, name: str, least: int = 1) -> int:
    """``value`` as an int of at least ``least``; raises TypeError or ValueError that names it.

    >>> positive_integer(0, "batch_size")
    Traceback (most recent call last):
    ValueError: batch_size must be at least 1, got 0
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


@dataclass(frozen=True)
class Plan:
    """How the training data are cut into batches and what is kept for validation."""

    batch_size: int | None = None  # DEFAULT_BATCH_SIZE
    shuffle: bool = True
    seed: int | None = None
    epochs: int = 1
    steps_per_epoch: int | None = None
    validation_data: Any = None
    validation_split: float = 0.0
    parts: MPI | None = None  # the processes, where each gives rows of its own

    def __post_init__(self) -> None:
        if self.batch_size is not None:
            positive_integer(self.batch_size, "batch_size")
        if self.steps_per_epoch is not None:
            positive_integer(self.steps_per_epoch, "steps_per_epoch")
        if not isinstance(self.validation_split, (int, float)) or not 0.0 <= self.validation_split < 1.0:
            raise ValueError(
                f"validation_split must be at least 0 and less than 1, got {self.validation_split!r}: "
                "it is the share of the samples to keep for validation"
            )
        if self.validation_split and self.validation_data is not None:
            raise ValueError("validation_split and validation_data were both given; pass one of them")

    @property
    def rows(self) -> int:
        """Samples of a batch of arrays; of those this process's, where its data are its own."""
        rows = DEFAULT_BATCH_SIZE if self.batch_size is None else self.batch_size
        if self.parts is None:
            return rows
        if rows < self.parts.size:
            raise ValueError(
                f"batch_size is {rows} for {self.parts.size} processes with data='own': each gives at least one row to "
                "every batch"
            )
        return self.parts.share(rows).rows
