"""A batch that is divided among processes: which of its rows this process has.

While a training step runs on such a part, what depends on more than its rows must know it: a sample's random numbers
are keyed by its place in the whole batch, so that they do not depend on how many processes there are.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Share", "divided", "keyed_by_place", "own_statistics", "refuse_draws"]


class Share(NamedTuple):
    """``rows`` of the ``whole`` batch, from number ``first`` on.

    Where there are fewer rows than processes, some have none: they compute on row 0, which then counts nothing.
    ``statistics``: whether these rows may be normalized by their own mean and variance.
    """

    first: int
    rows: int
    whole: int
    statistics: bool = False

    @property
    def computed(self) -> range:
        """The rows that are computed."""
        return range(self.first, self.first + self.rows) if self.rows else range(1)


class _Current(threading.local):
    share: Share | None = None


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


def keyed_by_place(shape: tuple[int, ...]) -> int:
    """The number of the first element of a tensor (rows, ...) in that of the whole batch; 0 if it is not divided.

    >>> with divided(Share(2, 3, 8)):
    ...     keyed_by_place((3, 10))
    20
    """
    share = _current.share
    if share is None:
        return 0
    if len(shape) == 0 or shape[0] != len(share.computed):
        raise NotImplementedError(
            f"dropout of shape {tuple(shape)} in a batch divided among processes: its first dimension must be the "
            f"samples ({len(share.computed)} here), by whose places the random numbers are keyed; give it the samples "
            "first, or leave it out"
        )
    elements = 1
    for size in shape[1:]:
        elements *= size
    return share.computed.start * elements


def refuse_draws() -> None:
    """Raise where random numbers are drawn that are not keyed by the samples' places in the whole batch."""
    if _current.share is not None:
        raise NotImplementedError(
            "this model draws random numbers other than nn.Dropout's in training (in attention, noise, a host's draw), "
            "and in a batch divided among processes those would depend on how many there are: set that dropout to 0, "
            "or leave it out"
        )


def own_statistics() -> None:
    """Raise where rows are normalized by a batch's statistics, and there are only some of its rows here."""
    share = _current.share
    if share is not None and not share.statistics:
        raise NotImplementedError(
            "batch normalization over processes: each has only its rows of a batch, so the statistics would be others "
            "than those of one process. Use GroupNorm or LayerNorm; or let each process normalize by its own rows: "
            "fit(..., parallel=nnkit.parallel.MPI(batch_statistics='own'))"
        )
