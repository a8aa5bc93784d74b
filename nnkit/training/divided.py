"""A training step on this process's rows of a batch: which rows, and what part of the batch's loss they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from nnkit import ops
from nnkit.errors import DataError
from nnkit.parallel import MPI
from nnkit.tensors.shares import Share
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor
from nnkit.training.batches import ArraySource, Batch, Source
from nnkit.training.objective import LABELS, BatchLoss, Objective
from nnkit.training.outputs import LossOfOutputs
from nnkit.training.several import each
from nnkit.training.streamed import StreamedSource

__all__ = ["divisor_of", "own_part", "part_of_batch", "part_of_loss", "sum_of_all"]


def part_of_batch(batch: Batch, ranks: MPI) -> Batch:
    """The rows of ``batch`` that this process computes."""
    share = ranks.share(batch.rows)
    rows = slice(share.computed.start, share.computed.stop)
    weight = None if batch.weight is None else each(batch.weight, lambda tensor: tensor[rows])
    return Batch(each(batch.x, lambda tensor: tensor[rows]), each(batch.y, lambda tensor: tensor[rows]), weight, share)


def own_part(batch: Batch | None, source: Source, ranks: MPI, counts: Sequence[int] | None = None) -> Batch:
    """The rows that this process, whose data are its own, gives to a batch: ``batch``, or none, of which it then
    computes a row that counts nothing. Called by all, unless ``counts`` tells how many rows each gives."""
    rows = 0 if batch is None else batch.rows
    share = ranks.share_of(ranks.gather(rows) if counts is None else counts)
    if batch is not None and rows:
        return replace(batch, share=share)
    one: Callable[[Any], Any] = lambda side: None if side is None else each(side, lambda tensor: tensor[:1])  # noqa: E731
    few = source.sample()
    return Batch(one(few.x), one(few.y), one(few.weight), share)


def part_of_loss(loss: BatchLoss, batch: Batch, objective: Objective, ranks: MPI) -> Tensor:
    """What these rows add to the loss of the whole batch: over all processes the sum is that loss."""
    share: Share = batch.share
    part = share.rows / share.whole
    if loss.total is None or objective.shown_apart:
        return loss.value * part
    own = loss.total if share.rows else loss.total * 0.0
    if not objective.summed:
        own = own / (_divisor(loss, share, ranks) if objective.counted else float(share.whole))
    return own if loss.penalty is None else own + loss.penalty * part


def _divisor(loss: BatchLoss, share: Share, ranks: MPI) -> Tensor:
    """What the mean over the whole batch is divided by, where labels have weights or may be ignored; not 0."""
    assert loss.total is not None
    with no_grad():
        own = loss.total.detach() * 0.0 if loss.excess is None else loss.excess.detach()
        found = sum_of_all(own + float(share.rows), share, ranks)
        return ops.where(ops.eq(found, 0.0), 1.0, found)


def sum_of_all(own: Tensor, share: Share, ranks: MPI) -> Tensor:
    """The sum of a scalar of every process's rows; of one without rows it counts nothing."""
    with no_grad():
        count = (own.detach() if share.rows else own.detach() * 0.0).double().reshape(1).clone()
        ranks.add_up(count.backend, count.array)
        return count.to(own.dtype).reshape(())


def divisor_of(objective: Objective, source: Source) -> bool:
    """Whether the mean of a batch is over something that must be counted over the processes in every step: weights of
    classes, or labels of which some are ignored. Raises DataError where that is one of several outputs."""
    if isinstance(objective.loss, LossOfOutputs):
        targets = _targets(source)
        for place in objective.loss.order:
            loss: Any = objective.loss.parts[place]
            if getattr(loss, "reduction", "mean") != "mean":
                raise DataError(f"output {place} has a loss with reduction={loss.reduction!r}: processes need means")
            if _counts(loss, None if targets is None else targets.parts[place]):
                raise DataError(
                    f"output {place} has a loss of labels with class weights, or with labels that are or may be "
                    "ignored: with several outputs and processes its mean would be another; leave these out, or give "
                    "arrays without ignored labels"
                )
        return False
    return not objective.summed and _counts(objective.loss, _targets(source))


def _targets(source: Source) -> Any:
    """All targets on the device; None where they come as they are read."""
    return source.data.y if isinstance(source, ArraySource) and not isinstance(source, StreamedSource) else None


def _counts(loss: Any, targets: Tensor | None) -> bool:
    if not isinstance(loss, LABELS) or (targets is not None and targets.is_floating_point()):
        return False
    if loss.weight is not None or targets is None:
        return True
    return bool((targets.numpy() == loss.ignore_index).any())
