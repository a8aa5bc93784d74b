"""Switches of PyTorch that mean nothing here, because what they ask for is always so.

Sums are made in one order, whatever the threads do: every computation here is deterministic.
"""

from __future__ import annotations

__all__ = [
    "are_deterministic_algorithms_enabled", "get_deterministic_debug_mode",
    "is_deterministic_algorithms_warn_only_enabled", "set_deterministic_debug_mode", "set_flush_denormal",
    "use_deterministic_algorithms",
]  # fmt: skip


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Nothing: algorithms here are deterministic, also after ``False``.

    As ``torch.use_deterministic_algorithms``. Never raises.

    >>> use_deterministic_algorithms(True)
    """


def are_deterministic_algorithms_enabled() -> bool:
    """True.

    As ``torch.are_deterministic_algorithms_enabled``.

    >>> are_deterministic_algorithms_enabled()
    True
    """
    return True


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """False.

    As ``torch.is_deterministic_algorithms_warn_only_enabled``.

    >>> is_deterministic_algorithms_warn_only_enabled()
    False
    """
    return False


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Nothing: algorithms here are deterministic.

    As ``torch.set_deterministic_debug_mode``. Never raises.

    >>> set_deterministic_debug_mode("error")
    """


def get_deterministic_debug_mode() -> int:
    """2: what is not deterministic would be an error.

    As ``torch.get_deterministic_debug_mode``.

    >>> get_deterministic_debug_mode()
    2
    """
    return 2


def set_flush_denormal(mode: bool) -> bool:
    """False: numbers near 0 are kept as they are, which is the answer of a processor that cannot do otherwise.

    As ``torch.set_flush_denormal``. Never raises.

    >>> set_flush_denormal(False)
    False
    """
    return False
