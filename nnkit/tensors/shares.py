"""A batch that is divided among processes: which of its rows this process has.

While a training step runs on such a part, what depends on more than its rows must know it: a sample's random numbers
are keyed by its place in the whole batch, so that they do not depend on how many processes there are, and statistics
of a batch are refused, of these rows only, or of all.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = [
    "Draw",
    "Part",
    "Share",
    "divided",
    "drawing",
    "part_of",
    "refuse_draws",
    "samples_along",
    "share_of_statistics",
]


class Share(NamedTuple):
    """``rows`` of the ``whole`` batch, from number ``first`` on.

    Where there are fewer rows than processes, some have none: they compute on row 0, which then counts nothing.
    ``statistics``: whether a batch's mean and variance are to "refuse", of these rows ("own"), or of the whole batch
    ("all"), for which ``add_up(backend, array)`` lets an array become its sum over the processes.
    """

    first: int
    rows: int
    whole: int
    statistics: str = "refuse"
    add_up: Callable[..., None] | None = None

    @property
    def computed(self) -> range:
        """The rows that are computed."""
        return range(self.first, self.first + self.rows) if self.rows else range(1)


class Part(NamedTuple):
    """Where a tensor's samples are in that of the whole batch: along ``axis``, from ``start`` of ``whole`` on."""

    axis: int
    start: int
    whole: int


class Draw(NamedTuple):
    """Random numbers of a shape that were drawn, whose samples are taken to lie along ``axis``."""

    shape: tuple[int, ...]
    axis: int


class _Current(threading.local):
    share: Share | None = None
    axis: int = 0
    hear: Callable[[Draw], None] | None = None


_current = _Current()


@contextlib.contextmanager
def divided(share: Share | None) -> Iterator[None]:
    """Inside, this thread computes on a share of a batch; on a whole one where it is None."""
    before = _current.share
    _current.share = share
    try:
        yield
    finally:
        _current.share = before


@contextlib.contextmanager
def samples_along(axis: int) -> Iterator[None]:
    """Inside, random numbers are drawn for tensors whose samples lie along ``axis``; else that is 0."""
    before = _current.axis
    _current.axis = axis
    try:
        yield
    finally:
        _current.axis = before


@contextlib.contextmanager
def drawing(hear: Callable[[Draw], None]) -> Iterator[None]:
    """Inside, ``hear`` is told of what is drawn by this thread for samples."""
    _current.hear = hear
    try:
        yield
    finally:
        _current.hear = None


def part_of(shape: tuple[int, ...]) -> Part | None:
    """Which part random numbers of a shape are of those of the whole batch; None if it is not divided.

    Raises NotImplementedError where its axis of samples is not as long as there are samples.

    >>> with divided(Share(2, 3, 8)):
    ...     part_of((3, 10))
    Part(axis=0, start=2, whole=8)
    """
    share, axis = _current.share, _current.axis
    if _current.hear is not None:
        _current.hear(Draw(tuple(shape), axis))
    if share is None:
        return None
    if len(shape) <= axis or shape[axis] != len(share.computed):
        raise NotImplementedError(
            f"random numbers (dropout, noise) of shape {tuple(shape)} in a batch divided among processes: "
            f"axis {axis} must be the samples ({len(share.computed)} here), by whose places they are keyed; give it "
            "the samples first, or leave it out"
        )
    return Part(axis, share.computed.start, share.whole)


def refuse_draws() -> None:
    """Raise where random numbers are drawn that are not keyed by the samples' places in the whole batch."""
    if _current.share is not None:
        raise NotImplementedError(
            "this model draws random numbers in training that are not keyed by the samples' places (whole numbers, "
            "permutations, a host's draw), and in a batch divided among processes those would depend on how many there "
            "are: use nnkit.rand or randn with the samples first, dropout, or leave it out"
        )


def share_of_statistics() -> Share | None:
    """The share whose rows are normalized by the statistics of the whole batch; None for those of the rows at hand.

    Raises NotImplementedError where there are only some of a batch's rows here, and nobody has said which are meant.
    """
    share = _current.share
    if share is None or share.statistics == "own":
        return None
    if share.statistics == "all":
        return share
    raise NotImplementedError(
        "batch normalization over processes: each has only its rows of a batch, so the statistics would be others than "
        "those of one process. Take them over all with fit(..., parallel=nnkit.parallel.MPI(batch_statistics='all')), "
        "let each process normalize by its own rows (batch_statistics='own'), or use GroupNorm or LayerNorm"
    )
