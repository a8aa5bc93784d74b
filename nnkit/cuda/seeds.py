"""Seeds by PyTorch's names for GPUs. A stream of random numbers here has one seed, for all devices."""

from __future__ import annotations

from typing import Any

from nnkit.tensors import random

__all__ = [
    "get_rng_state", "get_rng_state_all", "initial_seed", "manual_seed", "manual_seed_all", "seed", "seed_all",
    "set_rng_state", "set_rng_state_all",
]  # fmt: skip


def manual_seed(seed: int) -> None:
    """``nnkit.manual_seed``: GPUs and CPUs draw the same numbers from the same seed.

    Raises ValueError or TypeError for what is no integer. Source: ``torch.cuda.manual_seed``.

    >>> manual_seed(3); initial_seed()
    3
    """
    random.manual_seed(seed)


def seed() -> None:
    """Start anew from a seed that the operating system gives.

    Source: ``torch.cuda.seed``.

    >>> seed(); begun = initial_seed()
    >>> seed(); initial_seed() == begun
    False
    """
    random.default_generator.seed()


def initial_seed() -> int:
    """The seed in use.

    Source: ``torch.cuda.initial_seed``.

    >>> manual_seed_all(7); initial_seed()
    7
    """
    return random.initial_seed()


def get_rng_state(device: Any = "cuda") -> dict[str, Any]:
    """``nnkit.get_rng_state``: where the one stream of random numbers stands, whatever the device.

    Tensors of any shape and dtype are drawn from it. Raises nothing. Source: ``torch.cuda.get_rng_state``, which gives
    bytes of the GPU's own stream.

    >>> import nnkit
    >>> state = get_rng_state(); drawn = nnkit.rand(2)
    >>> set_rng_state(state); nnkit.equal(nnkit.rand(2), drawn)
    True
    """
    return random.get_rng_state()


def set_rng_state(new_state: dict[str, Any], device: Any = "cuda") -> None:
    """``nnkit.set_rng_state``: go on from what ``get_rng_state`` returned.

    Raises KeyError for a mapping without its entries. Source: ``torch.cuda.set_rng_state``.

    >>> set_rng_state(get_rng_state())
    """
    random.set_rng_state(new_state)


def get_rng_state_all() -> list[dict[str, Any]]:
    """The one state that there is, in a list.

    Source: ``torch.cuda.get_rng_state_all``.

    >>> len(get_rng_state_all())
    1
    """
    return [random.get_rng_state()]


def set_rng_state_all(new_states: list[dict[str, Any]]) -> None:
    """Go on from what ``get_rng_state_all`` returned.

    Raises IndexError for an empty list. Source: ``torch.cuda.set_rng_state_all``.

    >>> set_rng_state_all(get_rng_state_all())
    """
    random.set_rng_state(new_states[0])


manual_seed_all, seed_all = manual_seed, seed
