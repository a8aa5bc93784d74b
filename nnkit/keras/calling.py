"""What a call of a layer knows of the calls around it: whether it is training, and which layer began."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from nnkit import get_default_dtype
from nnkit.keras.masks import mask_of
from nnkit.recording.structures import leaves, rebuilt
from nnkit.tensors.creation import tensor
from nnkit.tensors.tensor import Tensor

__all__ = ["as_input", "as_inputs", "calls", "masks_of", "shapes_of", "within_call"]


class _Calls(threading.local):
    """The calls that this thread is in: how many, and what the outer ones were told of training (None: nothing)."""

    depth = 0
    training: bool | None = None


calls = _Calls()


@contextmanager
def within_call(training: bool | None) -> Iterator[None]:
    """A block in which layers that are not told whether they are training do as this one."""
    before = calls.training
    calls.depth += 1
    calls.training = training if training is not None else before
    try:
        yield
    finally:
        calls.depth -= 1
        calls.training = before


def as_input(inputs: Any) -> Tensor:
    """A Tensor as it is; numbers as one of the default type, but for whole numbers and booleans in arrays.

    >>> as_input([[1, 2]]).dtype
    dtype('float32')
    """
    if isinstance(inputs, Tensor):
        return inputs
    array = np.asarray(inputs)
    return tensor(array, dtype=get_default_dtype() if array.dtype.kind in "fiub" else None)


def as_inputs(inputs: Any) -> Any:
    """Tensors in the structure of ``inputs``; a list of numbers is one array, a list of arrays several inputs."""
    if isinstance(inputs, Tensor):
        return inputs
    if isinstance(inputs, Mapping) or (isinstance(inputs, (list, tuple)) and _has_arrays(inputs)):
        return rebuilt(inputs, lambda leaf: None if leaf is None else as_input(leaf))
    return as_input(inputs)


def _has_arrays(items: Iterable[Any]) -> bool:
    return any(isinstance(leaf, (Tensor, np.ndarray)) for leaf in leaves(items))


def shapes_of(inputs: Any) -> Any:
    """The shapes in the structure of the inputs, with None for the batch size."""
    found: Callable[[Any], Any] = lambda x: (None, *x.shape[1:]) if isinstance(x, Tensor) else None  # noqa: E731
    return rebuilt(inputs, found)


def masks_of(inputs: Any) -> Any:
    """The mask that an input carries; of several inputs a structure of them, or None where none has one."""
    if isinstance(inputs, Tensor):
        return mask_of(inputs)
    masks = [mask_of(leaf) for leaf in leaves(inputs)]
    return None if all(mask is None for mask in masks) else rebuilt(inputs, mask_of)
