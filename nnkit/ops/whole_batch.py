"""Sums and statistics over the rows of a whole batch, of which each process has some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nnkit.ops.shape import stack
from nnkit.tensors.memory import Gradient
from nnkit.tensors.results import result
from nnkit.tensors.shares import Share, share_of_statistics
from nnkit.tensors.tensor import Tensor

__all__ = ["mean_of_batch", "normalize_whole", "sum_of_batch"]


def sum_of_batch() -> Callable[[Tensor], Tensor]:
    """What makes of a sum over the rows at hand one over the batch whose statistics are asked for.

    Raises NotImplementedError where that is divided and nobody has said what is meant.
    """
    share = share_of_statistics()
    return (lambda part: part) if share is None else (lambda part: _over_processes(part, share))


def mean_of_batch(x: Tensor) -> Tensor:
    """The mean of x over the samples, its first axis, of the batch whose statistics are asked for."""
    share = share_of_statistics()
    return x.mean(dim=0) if share is None else _over_processes(x.sum(0), share) / float(share.whole)


def _over_processes(x: Tensor, share: Share) -> Tensor:
    """The sum over the processes; one without rows, which computes on a row of another's, counts nothing."""
    return _summed(x if share.rows else x * 0.0, share)


def _summed(x: Tensor, share: Share) -> Tensor:
    add_up, backend = share.add_up, x.backend
    assert add_up is not None

    def summed(array: Any) -> Any:
        made = backend.empty(x.shape, x.dtype)
        backend.copy(array, made)
        add_up(backend, made)
        return made

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        return (summed(dy),)  # what comes of the sum in every process comes of x

    y = summed(x.array)
    return result("sum_over_processes", y, backend, (x,), pullback, (), lambda dy, asked: (_summed(dy, share),))


def normalize_whole(
    x: Tensor, w: Tensor | None, b: Tensor | None, eps: float, share: Share
) -> tuple[Tensor, Tensor, Tensor, int]:
    """``normalize`` of x (A, C, L) by each channel's statistics over the rows of all processes, and their number.

    One exchange forward and one backward, of 2 C numbers: each process gives the mean and the mean square about 0 of
    its rows by their share, in float64, so that nothing is lost where the mean is far from 0 (Chan et al., 1979).
    """
    own = x.float() if x.dtype.itemsize == 2 else x
    A, C, L = x.shape
    computed = len(share.computed)
    if A % computed:
        raise NotImplementedError(
            f"batch normalization of shape {tuple(x.shape)} in a batch divided among processes: its first axis must be "
            f"the samples, of which there are {computed} here"
        )
    count = share.whole * (A // computed) * L
    mean = own.mean((0, 2))
    off = own - mean.reshape(1, C, 1)
    centre, variance = mean.double(), (off * off).mean((0, 2)).double()
    part = stack([centre, variance + centre * centre]) * (max(share.rows, 1) / share.whole)
    whole = _over_processes(part, share)
    centre = whole[0]
    variance = (whole[1] - centre * centre).to(own.dtype)
    mean = centre.to(own.dtype)
    scale = 1.0 / (variance + eps).sqrt()
    scale = scale if w is None else scale * w
    y = (own - mean.reshape(1, C, 1)) * scale.reshape(1, C, 1)
    y = y if b is None else y + b.reshape(1, C, 1)
    return y.to(x.dtype), mean.detach(), variance.detach(), count
