"""Samplers: numbers of samples in some order, and batches of them. PyTorch's names and arguments.

``generator`` is a Generator, or a seed, with which the orders are the same in every run; without one nnkit's stream
(``nnkit.manual_seed``) is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np

from nnkit.tensors.tensor import Tensor
from nnkit.utils.data.orders import checked, fine_uniform, permutation

__all__ = [
    "BatchSampler", "RandomSampler", "Sampler", "SequentialSampler", "SubsetRandomSampler", "WeightedRandomSampler",
]  # fmt: skip

T = TypeVar("T")


class Sampler(Generic[T]):
    """Numbers of samples in some order: a subclass writes ``__iter__``, and ``__len__`` where it is known.

    Raises nothing. Source: ``torch.utils.data.Sampler``.

    >>> class Backwards(Sampler):
    ...     def __init__(self, data): self.data = data
    ...     def __iter__(self): return reversed(range(len(self.data)))
    >>> list(Backwards([5, 6, 7]))
    [2, 1, 0]
    """

    def __init__(self, data_source: Any = None) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} has no __iter__ method")


class SequentialSampler(Sampler):
    """0, 1, 2, ...

    Raises TypeError while it is iterated over where the data has no length. Source:
    ``torch.utils.data.SequentialSampler``.

    >>> list(SequentialSampler([5, 6, 7]))
    [0, 1, 2]
    """

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class _Drawn(Sampler):
    """A sampler that draws anew each time it is iterated over."""

    def __init__(self, generator: Any) -> None:
        self.generator = checked(generator)
        self._epoch = 0

    def _next_epoch(self) -> int:
        epoch = self._epoch
        self._epoch += 1
        return epoch


class RandomSampler(_Drawn):
    """Every number once, in a new random order each time; with ``replacement`` each drawn from all of them.

    ``num_samples`` is how many are drawn, as many as there are unless given; more are whole orders and part of
    another.

    Raises ValueError for a ``num_samples`` below 1. Source: ``torch.utils.data.RandomSampler``.

    >>> sorted(RandomSampler([5, 6, 7], generator=0)), len(list(RandomSampler([5, 6], num_samples=5)))
    ([0, 1, 2], 5)
    """

    def __init__(
        self, data_source: Any, replacement: bool = False, num_samples: int | None = None, generator: Any = None
    ) -> None:
        super().__init__(generator)
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement must be True or False, got {replacement!r}")
        if num_samples is not None:
            checked_count("num_samples", num_samples)
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples

    @property
    def num_samples(self) -> int:
        """How many are drawn."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        count, wanted, epoch = len(self.data_source), self.num_samples, self._next_epoch()
        if self.replacement:
            drawn = (fine_uniform(wanted, self.generator, epoch) * count).astype(np.int64)
            return iter(drawn.tolist())
        order: list[int] = []
        while count and len(order) < wanted:
            order += permutation(count, self.generator, epoch)
            epoch += len(order) < wanted and isinstance(self.generator, int)
        return iter(order[:wanted])

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(_Drawn):
    """The numbers ``indices`` in a new random order each time.

    Raises TypeError while it is iterated over where ``indices`` has no length. Source:
    ``torch.utils.data.SubsetRandomSampler``.

    >>> sorted(SubsetRandomSampler([7, 3, 5]))
    [3, 5, 7]
    """

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        super().__init__(generator)
        self.indices = indices

    def __iter__(self) -> Iterator[int]:
        order = permutation(len(self.indices), self.generator, self._next_epoch())
        return (self.indices[place] for place in order)

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(_Drawn):
    """``num_samples`` numbers, drawn with the given weights, which need not add up to 1.

    Without ``replacement`` no number comes twice: each is drawn with its weight from those that are left (Efraimidis
    and Spirakis 2006). Raises ValueError for weights that are negative, not finite or all 0, and where there are fewer
    weights above 0 than numbers to draw.

    Weights have shape (n,) and a floating dtype. Source: ``torch.utils.data.WeightedRandomSampler``.

    >>> list(WeightedRandomSampler([0.0, 2.0, 0.0], 3))
    [1, 1, 1]
    """

    def __init__(
        self, weights: Sequence[float] | Tensor, num_samples: int, replacement: bool = True, generator: Any = None
    ) -> None:
        super().__init__(generator)
        self.num_samples = checked_count("num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement must be True or False, got {replacement!r}")
        self.replacement = replacement
        host = weights.detach().numpy() if isinstance(weights, Tensor) else weights
        self.weights = np.array(host, dtype=np.float64)
        if self.weights.ndim != 1 or not self.weights.size:
            raise ValueError(f"weights must be one number for each sample, got shape {self.weights.shape}")
        if not np.isfinite(self.weights).all() or (self.weights < 0).any() or not self.weights.any():
            raise ValueError("weights must be finite numbers of at least 0, and not all 0")
        above = int(np.count_nonzero(self.weights))
        if not replacement and above < num_samples:
            raise ValueError(f"num_samples={num_samples} without replacement: only {above} weights are above 0")

    def __iter__(self) -> Iterator[int]:
        epoch = self._next_epoch()
        if self.replacement:
            ends = np.cumsum(self.weights)
            places = fine_uniform(self.num_samples, self.generator, epoch) * ends[-1]
            last = np.flatnonzero(self.weights)[-1]  # a sum that was rounded could lead behind it
            drawn = np.minimum(np.searchsorted(ends, places, side="right"), last)
        else:
            uniform = 1.0 - fine_uniform(len(self.weights), self.generator, epoch)
            with np.errstate(divide="ignore"):
                keys = np.where(self.weights > 0, -np.log(uniform) / self.weights, np.inf)
            drawn = np.argsort(keys, kind="stable")[: self.num_samples]
        return iter(drawn.tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of ``batch_size`` numbers from a sampler; the last may be shorter, or is left out with ``drop_last``.

    Raises ValueError for a ``batch_size`` below 1. Source: ``torch.utils.data.BatchSampler``.

    >>> list(BatchSampler(range(5), 2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        self.sampler = sampler
        self.batch_size = checked_count("batch_size", batch_size)
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return batched(iter(self.sampler), self.batch_size, self.drop_last)

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return whole + (rest > 0 and not self.drop_last)


def batched(items: Iterator[Any], size: int, drop_last: bool) -> Iterator[list[Any]]:
    """Lists of ``size`` items; the last may be shorter, or is left out."""
    while batch := list(islice(items, size)):
        if len(batch) == size or not drop_last:
            yield batch


def checked_count(name: str, count: Any) -> int:
    """``count`` as an int of at least 1. Raises ValueError."""
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {count!r}")
    return int(count)
