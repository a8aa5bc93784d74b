"""From the arguments of ``fit`` and its sisters to sources of batches: arrays, datasets, loaders or generators."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnkit.errors import DataError
from nnkit.tensors.tensor import Tensor, resolve
from nnkit.training.batches import ArraySource, Source
from nnkit.training.door import Door, HostData, has_rows
from nnkit.training.inputs import positive_integer, refuse_unordered
from nnkit.training.several import each, parts_of
from nnkit.training.streamed import StreamedSource
from nnkit.utils.data import DataLoader, Dataset, TensorDataset

__all__ = ["DEFAULT_BATCH_SIZE", "Plan", "evaluation_source", "input_batches", "training_sources"]

#: Where it is larger than the data, it is cut without a warning.
DEFAULT_BATCH_SIZE = 32


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
        """Samples of a batch of arrays."""
        return DEFAULT_BATCH_SIZE if self.batch_size is None else self.batch_size


def training_sources(door: Door, x: Any, y: Any, weight: Any, plan: Plan) -> tuple[Source, Source | None]:
    """The sources of training and validation batches; all arrays are checked, and moved to the device, here."""
    x, y = _arrays_of(x, y)
    source: Source
    if yields_batches(x, y):
        _refuse_for_loaders(weight, plan, x)
        source = door.loader(_loader_of(x, plan.rows, plan.shuffle), plan.steps_per_epoch, by_class=True)
    else:
        _require_targets(x, y)
        data = door.checked(x, y, weight, by_class=True)
        kept = None
        if plan.validation_split:
            data, kept = _split(door, data, x, y, weight, plan.validation_split)
        size = _fitting_batch_size(plan, len(data.x))
        source = _array_source(door, data, size, plan)
        if kept is not None:
            return source, _array_source(door, kept, min(plan.rows, len(kept.x)))
    if plan.validation_data is None:
        return source, None
    return source, _validation_source(door, plan)


def evaluation_source(
    door: Door, x: Any, y: Any, weight: Any, batch_size: int, where: str = "", limit: int | None = None
) -> Source:
    """The source of batches to evaluate on, in order."""
    size = positive_integer(batch_size, "batch_size")
    x, y = _arrays_of(x, y)
    if yields_batches(x, y):
        if weight is not None:
            raise DataError("sample_weight goes with arrays; a loader yields (x, y, sample_weight) instead")
        return door.loader(_loader_of(x, size, False), limit, where)
    _require_targets(x, y)
    data = door.checked(x, y, weight, where)
    return _array_source(door, data, min(size, len(data.x)))


def _array_source(door: Door, data: HostData, batch_size: int, plan: Plan | None = None) -> ArraySource:
    """The data on the device, or on the host where they are too large for it; in order unless ``plan`` says else."""
    shuffle, seed, limit = (plan.shuffle, plan.seed, plan.steps_per_epoch) if plan else (False, None, None)
    backend = resolve(door.device)
    nbytes = data.x.nbytes + data.y.nbytes + (0 if data.weight is None else data.weight.nbytes)
    originals = [part for original in data.originals for part in parts_of(original)]
    there = any(isinstance(original, Tensor) and original.device == door.device for original in originals)
    if there or backend.keeps(nbytes):
        return ArraySource(door.move(data), batch_size, shuffle, seed, limit)
    return StreamedSource(data, backend, batch_size, shuffle, seed, limit)


def input_batches(door: Door, x: Any, batch_size: int) -> Iterator[Tensor]:
    """Batches of inputs on the device, for ``predict``: of an array, or of what an iterable yields first."""
    size = positive_integer(batch_size, "batch_size")
    if isinstance(x, TensorDataset):
        x = x.tensors[0]
    if not isinstance(x, (Dataset, DataLoader, Iterator)):
        host = door.inputs(x, finite=False)
        if resolve(door.device).keeps(host.nbytes):
            moved = door.moved(host, x)
            yield from (moved[start : min(start + size, len(moved))] for start in range(0, len(moved), size))
        else:
            yield from (door.moved(host[start : start + size]) for start in range(0, len(host), size))
        return
    for number, item in enumerate(_loader_of(x, size, False)):
        first = item[0] if isinstance(item, (tuple, list)) else item
        yield door.moved(door.inputs(first, f"x of batch {number}", finite=False), first)


def yields_batches(x: Any, y: Any) -> bool:
    """Whether ``x`` is not data but yields it; raises DataError where targets were given besides."""
    refuse_unordered(x, "x")
    by_kind = isinstance(x, (Dataset, DataLoader, Iterator))
    pairs = y is None and isinstance(x, (list, tuple)) and len(x) > 0 and _is_pair(x[0])
    other = not isinstance(x, (list, tuple, str, bytes)) and isinstance(x, Iterable)
    other = other and not hasattr(x, "__array__") and not isinstance(x, Tensor)
    if not (by_kind or pairs or other):
        return False
    if y is not None:
        raise DataError(f"y was given although x is a {type(x).__name__}, which yields (x, y) itself; leave y out")
    return True


def _is_pair(item: Any) -> bool:
    """Whether an item of a list looks like a batch (x, y), both with rows, rather than like a row of numbers."""
    return isinstance(item, (tuple, list)) and len(item) in (2, 3) and all(map(has_rows, item[:2]))


def _arrays_of(x: Any, y: Any) -> tuple[Any, Any]:
    """A TensorDataset of two tensors is arrays already."""
    if y is None and isinstance(x, TensorDataset) and len(x.tensors) == 2:
        return x.tensors
    return x, y


def _loader_of(x: Any, batch_size: int, shuffle: bool) -> Iterable[Any]:
    return DataLoader(x, batch_size=batch_size, shuffle=shuffle) if isinstance(x, Dataset) else x


def _require_targets(x: Any, y: Any) -> None:
    if y is None:
        raise TypeError(
            f"y is missing: x is of type {type(x).__name__}, so the targets must be given too, "
            "or x must yield batches (x, y)"
        )


def _refuse_for_loaders(weight: Any, plan: Plan, x: Any) -> None:
    if weight is not None:
        raise DataError("sample_weight goes with arrays; a loader yields (x, y, sample_weight) instead")
    if plan.validation_split:
        raise ValueError("validation_split goes with arrays; with a loader pass validation_data")
    if plan.batch_size not in (None, getattr(x, "batch_size", None)) and not isinstance(x, Dataset):
        raise ValueError(
            f"batch_size={plan.batch_size} goes with arrays and Datasets; x is a {type(x).__name__}, which yields "
            "batches of its own: leave batch_size out, or give it where those are made"
        )
    if isinstance(x, Iterator) and plan.epochs > 1 and plan.steps_per_epoch is None:
        raise ValueError(
            f"x is a {type(x).__name__}, which can be read only once, and epochs={plan.epochs}: pass "
            "steps_per_epoch, or a DataLoader or list of batches, which can be read again"
        )


def _split(door: Door, data: HostData, x: Any, y: Any, weight: Any, share: float) -> tuple[HostData, HostData]:
    """The last ``share`` of the samples for validation, as in Keras; class weights do not count there."""
    count = len(data.x)
    first = math.floor(count * (1.0 - share))
    if not 0 < first < count:
        raise ValueError(
            f"validation_split={share} of {count} samples leaves {first} for training and {count - first} for "
            "validation; each needs at least one"
        )
    own = None if weight is None else each(weight, lambda given: np.asarray(given, dtype=door.dtype)[first:])
    kept = HostData(data.x[first:], data.y[first:], own)
    return data.part(slice(0, first)), kept


def _fitting_batch_size(plan: Plan, samples: int) -> int:
    if plan.batch_size is not None and plan.batch_size > samples:
        warnings.warn(
            f"batch_size {plan.batch_size} is larger than the {samples} training samples; using {samples}", stacklevel=4
        )
    return min(plan.rows, samples)


def _validation_source(door: Door, plan: Plan) -> Source:
    data = plan.validation_data
    where = " of validation_data"
    if isinstance(data, Iterator):
        raise DataError(
            f"validation_data is a {type(data).__name__}, which can be read only once, but is needed after each epoch: "
            "pass arrays (x, y), a DataLoader or a list of batches"
        )
    if isinstance(data, tuple) and len(data) in (2, 3):
        x, y, *weight = data
        return evaluation_source(door, x, y, weight[0] if weight else None, plan.rows, where)
    if not yields_batches(data, None):
        raise DataError(
            f"validation_data is a {type(data).__name__}; expected (x, y), (x, y, sample_weight) or a DataLoader"
        )
    return evaluation_source(door, data, None, None, plan.rows, where)
