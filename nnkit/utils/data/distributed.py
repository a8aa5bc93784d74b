"""The sampler that shares a dataset out to several processes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from nnkit.tensors.processes import joined
from nnkit.utils.data.orders import permutation
from nnkit.utils.data.sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler):
    """Process ``rank`` of ``num_replicas`` gets every ``num_replicas``-th number, all of them as many.

    What is short is filled up from the beginning, or left out with ``drop_last``. ``set_epoch`` gives another order,
    which depends on ``seed`` and the epoch alone. By default the processes are those of ``nnkit.distributed``, and one
    before ``init_process_group``: a random order of all.

    Raises ValueError for a rank that is not below ``num_replicas``. Source:
    ``torch.utils.data.distributed.DistributedSampler``.

    >>> list(DistributedSampler(range(5), num_replicas=2, rank=1, shuffle=False))
    [1, 3, 0]
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        self.dataset = dataset
        processes = joined()
        size, own = (1, 0) if processes is None else (processes.size, processes.rank)
        self.num_replicas = size if num_replicas is None else num_replicas
        self.rank = own if rank is None else rank
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError(f"rank must be from 0 to {self.num_replicas - 1}, got {rank}")
        self.epoch, self.shuffle, self.seed, self.drop_last = 0, shuffle, seed, drop_last
        count = len(dataset)
        self.num_samples = count // self.num_replicas if drop_last else math.ceil(count / self.num_replicas)
        self.total_size = self.num_samples * self.num_replicas

    def __iter__(self) -> Iterator[int]:
        count = len(self.dataset)
        order = permutation(count, self.seed, self.epoch) if self.shuffle else list(range(count))
        while order and len(order) < self.total_size:
            order += order[: self.total_size - len(order)]
        return iter(order[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """The number of the epoch, before it is iterated over."""
        self.epoch = epoch
