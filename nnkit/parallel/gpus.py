"""Processes with a GPU each agree to add up by NCCL, without the host's memory; or why they cannot."""

from __future__ import annotations

import importlib
import warnings
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from nnkit.backends import Backend, Device
from nnkit.backends.recording import paused

__all__ = ["team_of"]


class Offer(NamedTuple):
    """What a process brings: the place of its GPU, or the reason why it takes no part."""

    place: str | None
    reason: str | None = None


#: What was agreed, by communicator and this process's device.
_agreed: list[tuple[Any, Device, Any]] = []


def team_of(communicator: Any, backend: Backend, waiting: AbstractContextManager[None]) -> Any:
    """The NCCL team of all processes of ``communicator`` on the GPU of ``backend``; None where not all of them can.

    Every process has to ask first at the same time, and waits within ``waiting``; all get a team, or none does, and
    then the first one warns.
    """
    for known, device, team in _agreed:
        if device == backend.device and known == communicator:
            return team
    with waiting:
        team = _agree(communicator, backend)
    _agreed.append((communicator, backend.device, team))
    return team


def _agree(communicator: Any, backend: Backend) -> Any:
    with paused():
        offers = communicator.allgather(_offer(backend))
        reason = _against(offers)
        team = None
        if reason is None:
            team, reason = _met(communicator, backend)
    if reason is not None and any(offer.place for offer in offers) and communicator.Get_rank() == 0:
        warnings.warn(
            f"gradients go through the host's memory, and not from GPU to GPU by NCCL: {reason}. The numbers are the "
            "same but for rounding; each step takes longer",
            stacklevel=4,
        )
    return team


def _offer(backend: Backend) -> Offer:
    if backend.device.type != "cuda":
        return Offer(None, f"it computes on {str(backend.device)!r}")
    nccl = _nccl()
    return Offer(nccl.place(backend.device.index), nccl.missing())


def _against(offers: list[Offer]) -> str | None:
    """Why these cannot be a team."""
    seen: dict[str | None, int] = {}
    for rank, offer in enumerate(offers):
        if offer.reason is not None:
            return f"rank {rank}: {offer.reason}"
        if offer.place in seen:
            return (
                f"ranks {seen[offer.place]} and {rank} share one GPU ({offer.place}), which NCCL refuses: start no "
                "more processes on a machine than it has GPUs, and ask for device='cuda' without a number"
            )
        seen[offer.place] = rank
    return None


def _met(communicator: Any, backend: Backend) -> tuple[Any, str | None]:
    """The team, or what kept some rank from it."""
    nccl, rank, team, failed = _nccl(), communicator.Get_rank(), None, None
    try:
        identity = nccl.new_identity() if rank == 0 else None
    except RuntimeError as error:
        identity, failed = b"", str(nccl.told(error, "drawing an identity", str(backend.device)))
    identity = communicator.bcast(identity, root=0)
    if identity:
        try:
            team = nccl.Team(communicator.Get_size(), rank, identity, backend.device.index)
        except RuntimeError as error:
            failed = str(error)
    for other, reason in enumerate(communicator.allgather(failed)):
        if reason is not None:
            return None, f"rank {other}: {reason}"
    return team, None


def _nccl() -> Any:
    return importlib.import_module("nnkit.backends.cuda.nccl")
