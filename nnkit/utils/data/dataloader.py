"""The DataLoader: batches of a dataset, made here or by worker processes."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from nnkit.tensors import random
from nnkit.tensors.default_device import get_default_device
from nnkit.tensors.random import Generator
from nnkit.tensors.tensor import Tensor
from nnkit.utils.data.collate import default_collate, default_convert
from nnkit.utils.data.dataset import IterableDataset
from nnkit.utils.data.orders import checked
from nnkit.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler, batched, checked_count
from nnkit.utils.data.workers import Workers, get_worker_info

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

T = TypeVar("T")


class DataLoader(Generic[T]):
    """Batches of a dataset, in order or shuffled anew each time it is iterated over.

    Arrays and numbers of samples, of any shape and dtype, are stacked: (B, ...). Source:
    ``torch.utils.data.DataLoader``.

    - ``sampler`` or ``batch_sampler``: an order of your own, instead of ``shuffle``
    - ``batch_size=None``: samples one by one, not in batches
    - ``collate_fn``: makes a batch of a list of samples; ``default_collate`` unless given
    - ``generator``: a Generator or a seed for the order; without one nnkit's stream (``nnkit.manual_seed``) is used
    - ``num_workers``: processes that load ahead, ``prefetch_factor`` batches each, and that stay for the next time with
      ``persistent_workers``; ``worker_init_fn(number)`` is called in each. The batches are the same as without. A
      dataset with ``gather`` (a TensorDataset) has nothing to wait for and is read here.
    - ``timeout``: how many seconds to wait for a worker; ``pin_memory`` and ``in_order=False`` have no effect

    Raises ValueError for arguments that contradict one another. While it is iterated over, RuntimeError for a worker
    that died or was waited for too long, and what a worker raised, with its traceback.

    >>> from nnkit.utils.data import TensorDataset
    >>> loader = DataLoader(TensorDataset([1.0, 2.0, 3.0], [0, 1, 0]), batch_size=2)
    >>> [(x.tolist(), y.tolist()) for x, y in loader]
    [([1.0, 2.0], [0, 1]), ([3.0], [0])]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        self._streams = isinstance(dataset, IterableDataset)
        _check_order(self._streams, batch_size, shuffle, sampler, batch_sampler, drop_last)
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset = dataset
        self.batch_size = None if batch_size is None or batch_sampler is not None else batch_size
        self.drop_last = drop_last
        self.num_workers = num_workers
        self.pin_memory, self.pin_memory_device, self.in_order = pin_memory, pin_memory_device, in_order
        self.timeout, self.worker_init_fn = timeout, worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = checked(generator)
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        makes_batches = self.batch_size is not None or batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if makes_batches else default_convert)
        self._gathers = collate_fn is None and makes_batches and hasattr(dataset, "gather")
        if self._streams:
            sampler = itertools.repeat(None)
        elif sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        self.sampler: Any = sampler
        if batch_sampler is None and batch_size is not None and not self._streams:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_sampler = batch_sampler
        self._workers: Workers | None = None

    def __iter__(self) -> Iterator[Any]:
        if self.num_workers and not self._gathers:
            yield from self._from_workers()
            return
        fetch = self._fetcher()(self.dataset)
        for task in self._tasks():
            try:
                batch = fetch(task)
            except StopIteration:
                return
            yield batch

    def _tasks(self) -> Iterator[Any]:
        """What each batch is made of: numbers of samples; None where the dataset says itself what comes."""
        return iter(self.sampler if self.batch_sampler is None else self.batch_sampler)

    def _fetcher(self) -> Callable[[Any], Callable[[Any], Any]]:
        """What makes batches of the dataset; a worker gets it, and not the loader."""
        if self._streams:
            return functools.partial(_streamed, self.batch_size, self.drop_last, self.collate_fn)
        if self._gathers:
            return _gathered
        return functools.partial(_by_number, self.batch_sampler is not None, self.collate_fn)

    def _from_workers(self) -> Iterator[Any]:
        workers, self._workers = self._workers, None  # who iterates in the meantime gets others
        if workers is None:
            workers = Workers(
                self.dataset, self._fetcher(), self.num_workers, self.worker_init_fn, self.timeout,
                self.multiprocessing_context,
            )  # fmt: skip
        assert self.prefetch_factor is not None
        finished = False
        try:
            for batch in workers.batches(self._tasks(), self.prefetch_factor, self._worker_seed()):
                yield _at_home(batch)
            finished = True
        finally:
            if finished and self.persistent_workers and self._workers is None:
                self._workers = workers
            else:
                workers.end()

    def _worker_seed(self) -> int:
        """Where the workers' streams begin, found without drawing, so that workers change no number drawn here."""
        if isinstance(self.generator, int):
            seed, draw = self.generator, getattr(self.sampler, "_epoch", 0)
        else:
            stream = self.generator if isinstance(self.generator, Generator) else random
            seed, draw = stream.host_state()
        return (seed * 6364136223846793005 + draw * 1442695040888963407) % 2**62

    def __del__(self) -> None:
        workers = self.__dict__.get("_workers")
        if workers is not None:
            workers.end()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_workers": None}

    def state_dict(self) -> dict[str, Any]:
        """How often it was iterated over, where its order depends on that: for ``fit`` to go on later."""
        return {"epoch": self.sampler._epoch} if isinstance(self.sampler, RandomSampler) else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Give the next orders as from the moment of ``state_dict``."""
        if isinstance(self.sampler, RandomSampler):
            self.sampler._epoch = int(state["epoch"])

    def __len__(self) -> int:
        if self.batch_sampler is not None:
            return len(self.batch_sampler)  # type: ignore[arg-type]
        if not self._streams:
            return len(self.sampler)
        if self.batch_size is None:
            return len(self.dataset)
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)


# ---- how batches are made: of a dataset, a function from a task to a batch ---------------------------------


def _by_number(batches: bool, collate: Callable[[Any], Any], dataset: Any) -> Callable[[Any], Any]:
    if batches:
        if hasattr(dataset, "__getitems__"):
            return lambda indices: collate(dataset.__getitems__(indices))
        return lambda indices: collate([dataset[index] for index in indices])
    return lambda index: collate(dataset[index])


def _gathered(dataset: Any) -> Callable[[Any], Any]:
    return lambda indices: dataset.gather(indices)


def _streamed(size: int | None, drop_last: bool, collate: Callable[[Any], Any], dataset: Any) -> Callable[[Any], Any]:
    samples = iter(dataset)
    found = samples if size is None else batched(samples, size, drop_last)
    return lambda task: collate(next(found))


def _at_home(batch: Any) -> Any:
    """A batch on the default device, where a worker could not put it."""
    if get_default_device().type != "cuda":
        return batch
    if isinstance(batch, Tensor):
        return batch.to(get_default_device())
    if isinstance(batch, Mapping):
        return {key: _at_home(value) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(_at_home, batch))
    return type(batch)(map(_at_home, batch)) if isinstance(batch, (list, tuple)) else batch


# ---- arguments that contradict one another -----------------------------------------------------------------


def _check_order(
    streams: bool, batch_size: Any, shuffle: Any, sampler: Any, batch_sampler: Any, drop_last: bool
) -> None:
    if (sampler is not None or batch_sampler is not None or streams) and shuffle:
        raise ValueError("shuffle=True cannot be combined with a sampler or an IterableDataset: it has its own order")
    if streams and (sampler is not None or batch_sampler is not None):
        raise ValueError("an IterableDataset has its own order: leave sampler and batch_sampler out")
    if batch_sampler is not None and (batch_size != 1 or sampler is not None or drop_last):
        raise ValueError("batch_sampler makes the batches: leave batch_size, shuffle, sampler and drop_last out")
    if batch_size is None:
        if drop_last:
            raise ValueError("batch_size=None gives single samples, of which drop_last leaves none out: leave it out")
    else:
        checked_count("batch_size", batch_size)


def _check_workers(num_workers: Any, timeout: Any, prefetch_factor: Any, persistent_workers: bool) -> None:
    if isinstance(num_workers, bool) or not isinstance(num_workers, int) or num_workers < 0:
        raise ValueError(f"num_workers must be an integer of at least 0, got {num_workers!r}")
    if timeout < 0:
        raise ValueError(f"timeout must be at least 0 seconds, got {timeout!r}")
    if not num_workers and prefetch_factor is not None:
        raise ValueError("prefetch_factor is for workers: pass num_workers too, or leave it out")
    if prefetch_factor is not None:
        checked_count("prefetch_factor", prefetch_factor)
    if persistent_workers and not num_workers:
        raise ValueError("persistent_workers is for workers: pass num_workers too, or leave it out")
