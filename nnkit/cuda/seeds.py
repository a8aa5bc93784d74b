"""Seeds by PyTorch's names for GPUs. A stream of random numbers here has one seed, for all devices."""

from __future__ import annotations

from typing import Any

from nnkit.tensors import random

__all__ = [
    "get_rng_state", "get_rng_state_all", "initial_seed", "manual_seed", "manual_seed_all", "seed", "seed_all",
    "set_rng_state", "set_rng_state_all",
]  # fmt: skip


def manual_seed(seed: int) -> None:
    """``nnkit.manual_seed``: GPUs and CPUs draw the same numbers from the same seed."""
    random.manual_seed(seed)


def seed() -> None:
    """Start anew from a seed that the operating system gives."""
    random.default_generator.seed()


def initial_seed() -> int:
    """The seed in use."""
    return random.initial_seed()


def get_rng_state(device: Any = "cuda") -> dict[str, Any]:
    """``nnkit.get_rng_state``."""
    return random.get_rng_state()


def set_rng_state(new_state: dict[str, Any], device: Any = "cuda") -> None:
    """``nnkit.set_rng_state``."""
    random.set_rng_state(new_state)


def get_rng_state_all() -> list[dict[str, Any]]:
    """The one state that there is."""
    return [random.get_rng_state()]


def set_rng_state_all(new_states: list[dict[str, Any]]) -> None:
    """Go on from ``get_rng_state_all``."""
    random.set_rng_state(new_states[0])


manual_seed_all, seed_all = manual_seed, seed
