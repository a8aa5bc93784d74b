"""Datasets, samplers and the DataLoader: PyTorch's names for "samples by number" and "batches in some order".

A dataset gives sample number i. A sampler gives numbers in some order. The loader joins them: it collects the samples
of a batch and stacks them. A dataset that is tensors already hands over all rows of a batch in one gather.
"""

from __future__ import annotations

from nnkit.utils.data.collate import default_collate, default_convert
from nnkit.utils.data.dataloader import DataLoader, get_worker_info
from nnkit.utils.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from nnkit.utils.data.distributed import DistributedSampler
from nnkit.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler", "ChainDataset", "ConcatDataset", "DataLoader", "Dataset", "DistributedSampler", "IterableDataset",
    "RandomSampler", "Sampler", "SequentialSampler", "StackDataset", "Subset", "SubsetRandomSampler", "TensorDataset",
    "WeightedRandomSampler", "default_collate", "default_convert", "get_worker_info", "random_split",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)
