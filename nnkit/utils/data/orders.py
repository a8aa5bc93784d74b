"""The random draws of samplers: by the stream of nnkit, by a Generator, or by a seed and the number of the epoch.

With a seed the order of an epoch depends on these two alone, so that a run can be resumed without more state.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnkit.tensors import random
from nnkit.tensors.random import Generator

__all__ = ["checked", "fine_uniform", "permutation"]


def checked(generator: Any) -> Any:
    """``generator``, if it is a Generator, a seed or None. Raises TypeError."""
    if isinstance(generator, bool) or not isinstance(generator, (int, Generator, type(None))):
        raise TypeError(f"generator must be a Generator, a seed (an integer) or None, got {type(generator).__name__}")
    return generator


def permutation(count: int, generator: Any, epoch: int) -> list[int]:
    """0 … count - 1 in random order."""
    if isinstance(generator, int):
        order = random.permutation(count, generator, epoch)
    else:
        with random.using(generator):
            order = random.permutation(count)
    return [int(index) for index in order]


def fine_uniform(count: int, generator: Any, epoch: int) -> np.ndarray:
    """Uniform numbers in [0, 1), float64, of 48 random bits."""
    if isinstance(generator, int):
        stream = Generator(generator)
        stream.set_state({"host": [stream.initial_seed(), 2 * epoch], "devices": {}})
        generator = stream
    with random.using(generator):
        high, low = random.host_uniform((count,)), random.host_uniform((count,))
    return np.asarray(high + low * 2.0**-24)
