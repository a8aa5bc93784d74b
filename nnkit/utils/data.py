"""Datasets, samplers and the DataLoader: PyTorch's names for "samples by number" and "batches in some order".

A dataset gives sample number i. A sampler gives numbers in some order. The loader joins them: it collects the samples
of a batch and stacks them. A dataset that is tensors already hands over all rows of a batch in one gather.
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from typing import Any

import numpy as np

from nnkit import ops, random
from nnkit.creation import as_tensor, tensor
from nnkit.errors import DataError
from nnkit.tensor import Tensor

__all__ = [
    "BatchSampler", "ConcatDataset", "DataLoader", "Dataset", "IterableDataset", "RandomSampler", "Sampler",
    "SequentialSampler", "Subset", "TensorDataset", "default_collate", "random_split",
]  # fmt: skip


class Dataset:
    """Samples by number: a subclass writes ``__getitem__(index)`` and ``__len__()``.

    It may write ``gather(indices)`` too, which returns the whole batch of these samples at once.
    """

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__ method")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """Samples one after another: a subclass writes ``__iter__()``."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} has no __iter__ method")


class TensorDataset(Dataset):
    """Sample i is row i of every tensor; arrays become tensors. Raises DataError for unequal lengths.

    >>> data = TensorDataset(np.arange(6.0).reshape(3, 2), np.array([0, 1, 0]))
    >>> len(data), data[1][0].tolist(), data[1][1].item()
    (3, [2.0, 3.0], 1)
    """

    def __init__(self, *tensors: Any) -> None:
        if not tensors:
            raise ValueError("TensorDataset needs at least one tensor")
        self.tensors = tuple(as_tensor(values) for values in tensors)
        lengths = [len(values) for values in self.tensors]
        if len(set(lengths)) > 1:
            raise DataError(f"TensorDataset needs tensors of one length, got {', '.join(map(str, lengths))}")

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(values[index] for values in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def gather(self, indices: Sequence[int]) -> list[Tensor]:
        """The rows ``indices`` of every tensor."""
        chosen = np.asarray(indices, dtype=np.int64)
        return [ops.take_rows(values, tensor(chosen, device=values.device)) for values in self.tensors]


class Subset(Dataset):
    """The samples of ``dataset`` with the numbers ``indices``.

    >>> Subset(TensorDataset([10.0, 11.0, 12.0]), [2, 0])[0]
    (tensor(12.),)
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = list(indices)
        if hasattr(dataset, "gather"):
            self.gather = lambda indices: dataset.gather([self.indices[i] for i in indices])

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset):
    """Several datasets, one after another.

    >>> ConcatDataset([TensorDataset([1.0]), TensorDataset([2.0, 3.0])])[2]
    (tensor(3.),)
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset needs at least one dataset")
        self._ends = list(accumulate(len(dataset) for dataset in self.datasets))

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} samples")
        index %= len(self)
        number = bisect_right(self._ends, index)
        return self.datasets[number][index - (self._ends[number - 1] if number else 0)]

    def __len__(self) -> int:
        return self._ends[-1]


def random_split(dataset: Any, lengths: Sequence[float], generator: int | None = None) -> list[Subset]:
    """Split at random into subsets of these lengths, or of these shares of the whole (which add up to 1).

    ``generator`` is a seed; without one nnkit's shuffle stream is used. Raises ValueError where the lengths do not
    add up. Rounded shares: what is left over goes to the first subsets, one sample each, as in PyTorch.

    >>> [len(part) for part in random_split(TensorDataset(np.zeros(10)), [0.75, 0.25], generator=0)]
    [8, 2]
    """
    count = len(dataset)
    sizes = [int(length) for length in lengths]
    if any(isinstance(length, float) for length in lengths):
        if min(lengths) < 0 or not math.isclose(sum(lengths), 1.0):
            raise ValueError(f"shares must be at least 0 and add up to 1, got {list(lengths)}")
        sizes = [math.floor(count * share) for share in lengths]
        for extra in range(count - sum(sizes)):
            sizes[extra % len(sizes)] += 1
    if sum(sizes) != count or min(sizes) < 0:
        raise ValueError(f"lengths must be at least 0 and add up to the {count} samples, got {list(lengths)}")
    order = random.permutation(count, generator, None if generator is None else 0).tolist()
    ends = list(accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


# ---- orders -----------------------------------------------------------------------------------------------


class Sampler:
    """Numbers of samples in some order: a subclass writes ``__iter__``, and ``__len__`` where it is known."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} has no __iter__ method")


class SequentialSampler(Sampler):
    """0, 1, 2, ...

    >>> list(SequentialSampler([5, 6, 7]))
    [0, 1, 2]
    """

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """Every number once, in a new random order each time; with a seed as ``generator`` the same orders in every run.

    >>> sorted(RandomSampler([5, 6, 7], generator=0))
    [0, 1, 2]
    """

    def __init__(self, data_source: Any, generator: int | None = None) -> None:
        if generator is not None and not isinstance(generator, int):
            raise TypeError(f"generator must be a seed (an integer) or None, got {type(generator).__name__}")
        self.data_source = data_source
        self.generator = generator
        self._epoch = 0

    def __iter__(self) -> Iterator[int]:
        draw = None if self.generator is None else self._epoch
        self._epoch += 1
        return iter(random.permutation(len(self.data_source), self.generator, draw).tolist())

    def __len__(self) -> int:
        return len(self.data_source)


class BatchSampler(Sampler):
    """Lists of ``batch_size`` numbers from a sampler; the last may be shorter, or is left out with ``drop_last``.

    >>> list(BatchSampler(range(5), 2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        self.sampler = sampler
        self.batch_size = _checked_size(batch_size)
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return batched(iter(self.sampler), self.batch_size, self.drop_last)

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return whole + (rest > 0 and not self.drop_last)


# ---- the loader -------------------------------------------------------------------------------------------


class DataLoader:
    """Batches of a dataset, in order or shuffled anew each time it is iterated over.

    - ``sampler`` or ``batch_sampler``: an order of your own, instead of ``shuffle``
    - ``collate_fn``: makes a batch of a list of samples; ``default_collate`` unless given
    - ``generator``: a seed for the order; without one nnkit's shuffle stream (``nnkit.manual_seed``) is used
    - ``num_workers``: samples are loaded in this process, and a warning says so; ``pin_memory`` has no effect

    >>> loader = DataLoader(TensorDataset([1.0, 2.0, 3.0], [0, 1, 0]), batch_size=2)
    >>> [(x.tolist(), y.tolist()) for x, y in loader]
    [([1.0, 2.0], [0, 1]), ([3.0], [0])]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        drop_last: bool = False,
        generator: int | None = None,
        pin_memory: bool = False,
    ) -> None:
        if num_workers:
            warnings.warn(
                f"num_workers={num_workers}: nnkit loads samples in this process; results are the same", stacklevel=2
            )
        self.dataset = dataset
        self.batch_size = _checked_size(batch_size)
        self.drop_last = drop_last
        self.num_workers = 0
        self.pin_memory = pin_memory
        self.collate_fn = default_collate if collate_fn is None else collate_fn
        self._gathers = collate_fn is None and hasattr(dataset, "gather")
        self._streams = isinstance(dataset, IterableDataset)
        if (sampler is not None or batch_sampler is not None or self._streams) and shuffle:
            raise ValueError(
                "shuffle=True cannot be combined with a sampler or an IterableDataset: it has its own order"
            )
        if not self._streams and batch_sampler is None:
            if sampler is None:
                sampler = RandomSampler(dataset, generator) if shuffle else SequentialSampler(dataset)
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_sampler = batch_sampler

    def __iter__(self) -> Iterator[Any]:
        if self.batch_sampler is None:
            for samples in batched(iter(self.dataset), self.batch_size, self.drop_last):
                yield self.collate_fn(samples)
            return
        for indices in self.batch_sampler:
            if self._gathers:
                yield self.dataset.gather(indices)
            else:
                yield self.collate_fn([self.dataset[index] for index in indices])

    def state_dict(self) -> dict[str, Any]:
        """How often it was iterated over, where its order depends on that: for ``fit`` to go on later."""
        sampler = getattr(self.batch_sampler, "sampler", None)
        return {"epoch": sampler._epoch} if isinstance(sampler, RandomSampler) else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Give the next orders as from the moment of ``state_dict``."""
        sampler = getattr(self.batch_sampler, "sampler", None)
        if isinstance(sampler, RandomSampler):
            sampler._epoch = int(state["epoch"])

    def __len__(self) -> int:
        if self.batch_sampler is not None:
            return len(self.batch_sampler)  # type: ignore[arg-type]
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)


def default_collate(samples: list[Any]) -> Any:
    """A batch from a list of samples: numbers, arrays and tensors are stacked; tuples, lists and dicts part by part.

    Text stays a list. Raises TypeError for anything else, DataError for samples of different shapes.

    >>> default_collate([(1.0, 2), (3.0, 4)])
    [tensor([1., 3.]), tensor([2, 4])]
    """
    first = samples[0]
    if isinstance(first, Tensor):
        _check_shapes([tuple(sample.shape) for sample in samples])
        return ops.stack(samples)
    if isinstance(first, (np.ndarray, np.generic)):
        _check_shapes([np.shape(sample) for sample in samples])
        return tensor(np.stack(samples))
    if isinstance(first, (bool, int, float)):
        return tensor(samples)
    if isinstance(first, (str, bytes)):
        return samples
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        _check_shapes([(len(sample),) for sample in samples])
        return [default_collate(list(parts)) for parts in zip(*samples, strict=True)]
    raise TypeError(
        f"samples of type {type(first).__name__} cannot be stacked to a batch; return numbers, arrays, Tensors, or "
        "tuples and dicts of them, or pass collate_fn"
    )


def _check_shapes(shapes: list[tuple[int, ...]]) -> None:
    for number, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise DataError(
                f"sample {number} of the batch has shape {shape}, sample 0 has {shapes[0]}; all must be equal, "
                "or pass a collate_fn that pads them"
            )


def batched(items: Iterator[Any], size: int, drop_last: bool) -> Iterator[list[Any]]:
    """Lists of ``size`` items; the last may be shorter, or is left out."""
    while batch := list(islice(items, size)):
        if len(batch) == size or not drop_last:
            yield batch


def _checked_size(batch_size: Any) -> int:
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"batch_size must be an integer of at least 1, got {batch_size!r}")
    return int(batch_size)
