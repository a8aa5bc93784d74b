"""Checked arrays on a device: all of them, window by window, or batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nnkit.tensors.creation import as_tensor
from nnkit.tensors.default_device import resolve
from nnkit.training.arguments import Plan
from nnkit.training.batches import ArraySource, Batch
from nnkit.training.checked import HostData
from nnkit.training.several import each, parts_of
from nnkit.training.streamed import StreamedSource

__all__ = ["batch_on", "moved", "pieces_of", "source_of"]


def source_of(data: HostData, device: Any, batch_size: int, plan: Plan | None = None) -> ArraySource:
    """The batches of an epoch on the device; in order, and all of them, unless ``plan`` says else."""
    shuffle, seed, limit = (plan.shuffle, plan.seed, plan.steps_per_epoch) if plan else (False, None, None)
    rows, backend, weights = min(batch_size, len(data)), resolve(device), data.weights
    nbytes = data.x.nbytes + data.y.nbytes + (0 if weights is None else weights.nbytes)
    there = any(part.lies_on(device) for side in (data.x, data.y) for part in parts_of(side))
    if there or backend.keeps(nbytes):
        return ArraySource(batch_on(data, device), rows, shuffle, seed, limit)
    return StreamedSource(data, backend, rows, shuffle, seed, limit)


def batch_on(data: HostData, device: Any) -> Batch:
    """All of the data as one batch on the device."""
    weights = data.weights
    weights = None if weights is None else each(weights, lambda part: as_tensor(part, device=device))
    return Batch(moved(data.x, device), moved(data.y, device), weights)


def moved(checked: Any, device: Any) -> Any:
    """A checked array, or each of several, on the device."""
    backend = resolve(device)
    return each(checked, lambda part: part.moved(backend))


def pieces_of(checked: Any, device: Any, rows: int) -> Iterator[Any]:
    """A checked array on the device, so many rows at a time; moved as a whole where there is room for it."""
    if resolve(device).keeps(checked.nbytes):
        whole = moved(checked, device)
        yield from (whole[start : min(start + rows, len(whole))] for start in range(0, len(whole), rows))
    else:
        yield from (moved(checked[start : start + rows], device) for start in range(0, len(checked), rows))
