"""What all trainings of a search have in common: data, loss, epochs and the rest of what ``fit`` takes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnkit.errors import DataError
from nnkit.nn import losses
from nnkit.tensors.tensor import Tensor
from nnkit.training.api import fit, metrics_of
from nnkit.training.arguments import Plan, positive_integer
from nnkit.training.batches import ArraySource, Source
from nnkit.training.callbacks import Callback
from nnkit.training.data import training_sources
from nnkit.training.door import Door
from nnkit.training.lone_rows import refuse_lone_rows
from nnkit.training.metric import Metric
from nnkit.training.objective import Objective
from nnkit.training.tables import pair_of, samples_of
from nnkit.tune.networks import Network

__all__ = ["Common"]


@dataclass(frozen=True)
class Common:
    """Arguments of ``fit`` that are the same for every network."""

    x: Any
    y: Any
    loss: Any
    epochs: int
    batch_size: int | None
    validation_data: Any
    validation_split: float
    metrics: Sequence[Any]
    callbacks: Sequence[Callback]
    sample_weight: Any
    class_weight: Any
    shuffle: bool
    clip_norm: float | None
    clip_value: float | None

    def __post_init__(self) -> None:
        positive_integer(self.epochs, "epochs")
        if isinstance(self.callbacks, Callback) or not all(isinstance(c, Callback) for c in self.callbacks):
            raise TypeError("callbacks must be a list of Callback instances; each network gets copies of them")

    def own_callbacks(self) -> list[Callback]:
        """The callbacks of one network."""
        return [copy.deepcopy(callback) for callback in self.callbacks]

    def fit(self, network: Network, callbacks: list[Callback], rows: np.ndarray | None) -> None:
        """Train one network by itself, on these rows of the data."""
        x, y, weight = self.x, self.y, self.sample_weight
        if rows is not None:
            x, y = _part(x, rows), _part(y, rows)
            weight = None if weight is None else _part(weight, rows)
        fit(
            network.model, x, y, loss=self.loss, optimizer=network.optimizer, epochs=self.epochs,
            batch_size=self.batch_size, validation_data=self.validation_data, validation_split=self.validation_split,
            metrics=self.metrics, callbacks=callbacks, sample_weight=weight, class_weight=self.class_weight,
            shuffle=self.shuffle, verbose=0, clip_norm=self.clip_norm, clip_value=self.clip_value, seed=network.seed,
        )  # fmt: skip

    def objective(self, network: Network) -> Objective:
        """What a network makes small."""
        return Objective(network.model, losses.get(self.loss))

    def measured(self, objective: Objective) -> list[Metric]:
        """The metrics."""
        return metrics_of(self.metrics, objective.loss)

    def sources(self, network: Network, objective: Objective, count: int | None) -> tuple[Source, Source | None]:
        """The data, checked and on the device: to learn from (each network takes ``count`` rows), and to validate."""
        loss = objective.loss
        x, y, weight = samples_of(network.model, loss, self.x, self.y, self.sample_weight)
        held = pair_of(network.model, loss, self.validation_data)
        plan = Plan(self.batch_size, self.shuffle, network.seed, self.epochs, None, held, self.validation_split)
        source, validation = training_sources(Door(network.model, loss, self.class_weight), x, y, weight, plan)
        if count is not None and isinstance(source, ArraySource):
            source = ArraySource(source.data, min(source.batch_size, count), self.shuffle, network.seed)
            source.rows = count
        refuse_lone_rows(network.model, source)
        return source, validation


def _part(values: Any, rows: np.ndarray) -> Any:
    return values[rows] if isinstance(values, Tensor) else np.asarray(values)[rows]


def checked_rows(rows: Any, networks: int, samples: int) -> list[np.ndarray | None]:
    """The rows that each network learns from, as int64; None for all. Raises DataError for what cannot be."""
    if rows is None:
        return [None] * networks
    found: list[np.ndarray | None] = []
    if len(rows) != networks:
        raise DataError(f"rows must have an entry for each of the {networks} settings, got {len(rows)}")
    for number, one in enumerate(rows):
        array = None if one is None else np.asarray(one)
        if array is not None:
            if array.dtype == np.bool_ and array.shape == (samples,):
                array = np.flatnonzero(array)
            whole = array.ndim == 1 and array.size > 0 and array.dtype.kind in "iu"
            if not whole or array.min() < 0 or array.max() >= samples:
                raise DataError(
                    f"rows[{number}] must be numbers of rows from 0 to {samples - 1} (or {samples} booleans), got "
                    f"{array.dtype} of shape {array.shape}"
                )
            array = array.astype(np.int64)
        found.append(array)
    return found
