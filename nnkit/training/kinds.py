"""What came in: arrays with a row for each sample, or something that yields batches of them?

Nothing of the values is looked at here. ``Arrays`` and ``Batches`` are what the door checks next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from nnkit.errors import DataError
from nnkit.tensors.tensor import Tensor
from nnkit.training.arguments import Plan
from nnkit.training.values import has_rows, refuse_unordered
from nnkit.utils.data import DataLoader, Dataset, TensorDataset

__all__ = [
    "Arrays", "Batches", "evaluation_data", "input_data", "training_data", "validation_data", "yields_batches",
]  # fmt: skip


class Arrays(NamedTuple):
    """One row per sample each, as they were given; ``where`` is put behind their names in messages."""

    x: Any
    y: Any = None
    weight: Any = None
    where: str = ""


class Batches(NamedTuple):
    """What yields (x, y) or (x, y, sample_weight), and how many of them make an epoch (None: all)."""

    items: Iterable[Any]
    limit: int | None = None
    where: str = ""


def training_data(x: Any, y: Any, weight: Any, plan: Plan) -> Arrays | Batches:
    """What there is to learn from. Raises TypeError, DataError or ValueError for what does not go together."""
    x, y = _tensors_of(x, y)
    if yields_batches(x, y):
        _refuse_beside_batches(weight, plan, x)
        return Batches(_loader_of(x, plan.rows, plan.shuffle), plan.steps_per_epoch)
    _require_targets(x, y)
    return Arrays(x, y, weight)


def evaluation_data(x: Any, y: Any, weight: Any, batch_size: int, where: str = "") -> Arrays | Batches:
    """What there is to evaluate on; raises as ``training_data`` does."""
    x, y = _tensors_of(x, y)
    if yields_batches(x, y):
        _refuse_weights_beside_batches(weight)
        return Batches(_loader_of(x, batch_size, False), where=where)
    _require_targets(x, y)
    return Arrays(x, y, weight, where)


def validation_data(plan: Plan) -> Arrays | Batches:
    """What the ``validation_data`` of ``fit`` are. Raises DataError for what is no data."""
    data = plan.validation_data
    if isinstance(data, Iterator):
        raise DataError(
            f"validation_data is a {type(data).__name__}, which can be read only once, but is needed after each epoch: "
            "pass arrays (x, y), a DataLoader or a list of batches"
        )
    where = " of validation_data"
    if isinstance(data, tuple) and len(data) in (2, 3):
        x, y, *weight = data
        return evaluation_data(x, y, weight[0] if weight else None, plan.rows, where)
    if not yields_batches(data, None):
        raise DataError(
            f"validation_data is a {type(data).__name__}; expected (x, y), (x, y, sample_weight) or a DataLoader"
        )
    return evaluation_data(data, None, None, plan.rows, where)


def input_data(x: Any, batch_size: int) -> Arrays | Batches:
    """What there is to predict; of batches the first part counts."""
    if isinstance(x, TensorDataset):
        return Arrays(x.tensors[0])
    if isinstance(x, (Dataset, DataLoader, Iterator)):
        return Batches(_loader_of(x, batch_size, False))
    return Arrays(x)


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


def _tensors_of(x: Any, y: Any) -> tuple[Any, Any]:
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


def _refuse_weights_beside_batches(weight: Any) -> None:
    if weight is not None:
        raise DataError("sample_weight goes with arrays; a loader yields (x, y, sample_weight) instead")


def _refuse_beside_batches(weight: Any, plan: Plan, x: Any) -> None:
    _refuse_weights_beside_batches(weight)
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
