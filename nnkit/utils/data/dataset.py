"""Datasets: samples by number, or one after another; parts of them, and several as one."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Any, Generic, TypeVar

import numpy as np

from nnkit import ops
from nnkit.errors import DataError
from nnkit.tensors.creation import as_tensor, tensor
from nnkit.tensors.tensor import Tensor
from nnkit.utils.data.orders import permutation

__all__ = [
    "ChainDataset", "ConcatDataset", "Dataset", "IterableDataset", "StackDataset", "Subset", "TensorDataset",
    "random_split",
]  # fmt: skip

T = TypeVar("T")


class Dataset(Generic[T]):
    """Samples by number: a subclass writes ``__getitem__(index)`` and ``__len__()``.

    It may write ``gather(indices)`` too, which returns the whole batch of these samples at once. The base raises
    NotImplementedError. Source: ``torch.utils.data.Dataset``.

    >>> class Squares(Dataset):
    ...     def __getitem__(self, index): return index * index
    ...     def __len__(self): return 3
    >>> list((Squares() + Squares())[i] for i in range(6))
    [0, 1, 4, 0, 1, 4]
    """

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__ method")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """Samples one after another: a subclass writes ``__iter__()``.

    The base raises NotImplementedError. Source: ``torch.utils.data.IterableDataset``.

    >>> class Letters(IterableDataset):
    ...     def __iter__(self): return iter("ab")
    >>> list(Letters())
    ['a', 'b']
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} has no __iter__ method")

    def __add__(self, other: Any) -> Any:
        return ChainDataset([self, other])


class ChainDataset(IterableDataset):
    """Several datasets of samples one after another, one after another.

    Raises TypeError while it is iterated over where a dataset cannot be. Source: ``torch.utils.data.ChainDataset``.

    >>> class Letters(IterableDataset):
    ...     def __iter__(self): return iter("ab")
    >>> list(Letters() + Letters())
    ['a', 'b', 'a', 'b']
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise TypeError(f"ChainDataset joins IterableDatasets, got {type(dataset).__name__}: use ConcatDataset")
        return chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)


class TensorDataset(Dataset):
    """Sample i is row i of every tensor; arrays become tensors.

    They have shape (n, …) and any dtype. Raises DataError for unequal lengths. Source:
    ``torch.utils.data.TensorDataset``.

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


class StackDataset(Dataset):
    """Sample i is the tuple (or, of datasets given by name, the dict) of sample i of each dataset.

    Raises DataError for unequal lengths.

    Source: ``torch.utils.data.StackDataset``.

    >>> StackDataset(x=[1.0, 2.0], y="ab")[1]
    {'x': 2.0, 'y': 'b'}
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset takes datasets either by place or by name, and at least one")
        self.datasets: Any = args or kwargs
        lengths = [len(dataset) for dataset in (args or kwargs.values())]
        if len(set(lengths)) > 1:
            raise DataError(f"StackDataset needs datasets of one length, got {', '.join(map(str, lengths))}")
        self._length = lengths[0]

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __len__(self) -> int:
        return self._length


class Subset(Dataset):
    """The samples of ``dataset`` with the numbers ``indices``.

    Its samples are the dataset's, of any shape and dtype. Raises IndexError beyond the last. Source:
    ``torch.utils.data.Subset``.

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

    Its samples are those of the datasets, of any shape and dtype. Raises IndexError beyond the last. Source:
    ``torch.utils.data.ConcatDataset``.

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


def random_split(dataset: Any, lengths: Sequence[float], generator: Any = None) -> list[Subset]:
    """Split at random into subsets of these lengths, or of these shares of the whole (which add up to 1).

    ``generator`` is a Generator or a seed; without one nnkit's stream is used. Raises ValueError where the lengths do
    not add up. Rounded shares: what is left over goes to the first subsets, one sample each, as in PyTorch.

    Samples may be of any shape and dtype. Source: ``torch.utils.data.random_split``.

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
    order = permutation(count, generator, 0)
    ends = list(accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
