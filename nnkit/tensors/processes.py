"""The processes that a script in PyTorch's words has joined: ``nnkit.distributed`` sets them, samplers and DDP ask."""

from __future__ import annotations

from typing import Any

_group: list[Any] = []


def join(group: Any) -> None:
    """From now on these, an ``nnkit.parallel.MPI``; None: none."""
    _group[:] = [] if group is None else [group]


def joined() -> Any:
    """The processes, or None."""
    return _group[0] if _group else None
