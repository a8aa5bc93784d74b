"""The way of the data, from the arguments of ``fit`` and its sisters to batches on the device. It goes one way:

what came in (``kinds``) → checked arrays on the host (``door``) → batches on the device (``sources``) → the steps.
Arrays go it once, as a whole; what yields batches goes it batch by batch, while the steps run.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

from nnkit.training.arguments import Plan, positive_integer
from nnkit.training.batches import Batch, IterableSource, Source
from nnkit.training.checked import HostData
from nnkit.training.door import CheckedBatches, Door
from nnkit.training.kinds import Batches, evaluation_data, input_data, training_data, validation_data
from nnkit.training.sources import batch_on, moved, pieces_of, source_of

__all__ = ["evaluation_source", "input_batches", "training_sources"]


def training_sources(door: Door, x: Any, y: Any, weight: Any, plan: Plan) -> tuple[Source, Source | None]:
    """The sources of training and validation batches; all arrays are checked, and moved to the device, here."""
    given = training_data(x, y, weight, plan)
    data = door.checked(given, by_class=True)
    held = None
    if isinstance(data, HostData):
        if plan.validation_split:
            data, held = _split(data, plan.validation_split)
        if plan.batch_size is not None and plan.rows > len(data):
            _warn_of_larger(plan.rows, len(data))
    source = _source_of(data, door.device, plan.rows, plan)
    if held is not None:
        return source, _source_of(held, door.device, plan.rows)
    if plan.validation_data is None:
        return source, None
    return source, _source_of(door.checked(validation_data(plan)), door.device, plan.rows)


def evaluation_source(door: Door, x: Any, y: Any, weight: Any, batch_size: int) -> Source:
    """The source of batches to evaluate on, in order."""
    rows = positive_integer(batch_size, "batch_size")
    given = evaluation_data(x, y, weight, rows)
    return _source_of(door.checked(given), door.device, rows)


def input_batches(door: Door, x: Any, batch_size: int) -> Iterator[Any]:
    """Batches of inputs on the device, for ``predict``: of an array, or of what an iterable yields first."""
    rows = positive_integer(batch_size, "batch_size")
    given = input_data(x, rows)
    if not isinstance(given, Batches):
        yield from pieces_of(door.inputs(given.x, finite=False), door.device, rows)
        return
    for number, item in enumerate(given.items):
        first = item[0] if isinstance(item, (tuple, list)) else item
        yield moved(door.inputs(first, f"x of batch {number}", finite=False), door.device)


def _source_of(data: HostData | CheckedBatches, device: Any, rows: int, plan: Plan | None = None) -> Source:
    if isinstance(data, HostData):
        return source_of(data, device, rows, plan)

    def convert(item: Any, number: int) -> Batch | None:
        checked = data.checked(item, number)
        return None if checked is None else batch_on(checked, device)

    return IterableSource(data.given.items, convert, data.given.limit)


def _split(data: HostData, share: float) -> tuple[HostData, HostData]:
    """The last ``share`` of the samples for validation, as in Keras; class weights do not count there."""
    first = math.floor(len(data) * (1.0 - share))
    if not 0 < first < len(data):
        raise ValueError(
            f"validation_split={share} of {len(data)} samples leaves {first} for training and {len(data) - first} for "
            "validation; each needs at least one"
        )
    return data[:first], HostData(data.x[first:], data.y[first:], None if data.weight is None else data.weight[first:])


def _warn_of_larger(batch_size: int, samples: int) -> None:
    warnings.warn(
        f"batch_size {batch_size} is larger than the {samples} training samples; using {samples}", stacklevel=4
    )
