"""From a list of samples to a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.errors import DataError
from nnkit.tensors.creation import tensor
from nnkit.tensors.tensor import Tensor

__all__ = ["default_collate", "default_convert"]


def default_collate(batch: list[Any]) -> Any:
    """A batch from a list of samples: numbers, arrays and tensors are stacked; tuples, lists and dicts part by part.

    Python floats become float64, as in PyTorch. Text stays a list.
    Raises TypeError for anything else, DataError for samples of different shapes.

    >>> default_collate([(1.0, 2), (3.0, 4)])
    [tensor([1., 3.], dtype=float64), tensor([2, 4])]
    """
    samples = batch
    first = samples[0]
    if isinstance(first, Tensor):
        _check_shapes([tuple(sample.shape) for sample in samples])
        return ops.stack(samples)
    if isinstance(first, (np.ndarray, np.generic)):
        _check_shapes([np.shape(sample) for sample in samples])
        return tensor(np.stack(samples))
    if isinstance(first, (bool, int, float)):
        return tensor(samples, dtype="float64" if isinstance(first, float) else None)
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


def default_convert(data: Any) -> Any:
    """A sample as it is in a loader that makes no batches: arrays become tensors, at any depth of lists and dicts.

    Arrays of any shape keep their dtype. Raises nothing: what is no array stays as it is. Source:
    ``torch.utils.data.default_convert``.

    >>> default_convert({"x": np.ones(2, "float32"), "name": "a"})
    {'x': tensor([1., 1.]), 'name': 'a'}
    """
    if isinstance(data, (np.ndarray, np.generic)) and data.dtype.kind in "fiub":
        return tensor(data)
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, (tuple, list)):
        return [default_convert(value) for value in data]
    return data
