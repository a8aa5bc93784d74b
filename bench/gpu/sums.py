"""Sums over processes by NCCL: of one process, and of two, which have a GPU each where there are two."""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import nnkit
from bench.gpu.checks import Check, Sizes, Skip
from bench.gpu.process import Process
from nnkit import backends
from nnkit.backends.errors import DeviceFault
from nnkit.backends.recording import recording

PATIENCE = 120.0  # seconds
RANK = "bench.gpu.sums:rank"


def _nccl() -> Any:
    found = importlib.import_module("nnkit.backends.cuda.nccl")
    reason = found.missing()
    if reason is not None:
        raise Skip(reason)
    return found


def summed(team: Any, own: float, count: int) -> list[float]:
    """What every process has after its ``own`` number, doubled, was added up, plus one, in a graph's third replay; and
    how many sums are in that graph."""
    backend = backends.get(f"cuda:{team.index}")
    work = backend.recorder()
    x = nnkit.full((count,), own, device=backend.device)
    with recording(work):
        y = x * 2.0
        team.add_up(y.array)
        y = y + 1.0
    program = work.finish()
    program.replay(3)
    captured = [step for step in program.instructions if step.name == "add_up" and step.kernel is not None]
    return [float(y.min().item()), float(y.max().item()), float(len(captured))]


def rank(number: int, size: int, identity: str, index: int, count: int) -> dict[str, Any]:
    """What one of several processes comes to: its numbers, or NCCL's refusal."""
    nccl = _nccl()
    try:
        team = nccl.Team(size, number, bytes.fromhex(identity), index)
    except DeviceFault as error:
        return {"refused": str(error)}
    return {"found": summed(team, number + 1.0, count)}


def _alone(sizes: Sizes) -> str:
    nccl = _nccl()
    found = summed(nccl.Team(1, 0, nccl.new_identity(), 0), 3.0, sizes.pick(1 << 22, 1 << 20, 33))
    assert found[:2] == [7.0, 7.0], f"expected 7 everywhere, got {found[:2]}"
    return "captured in a graph" if found[2] else "called between graphs: NCCL cannot be captured here"


def _two(sizes: Sizes) -> str:
    nccl = _nccl()
    count = int(importlib.import_module("cupy").cuda.runtime.getDeviceCount())
    size, identity = sizes.pick(1 << 22, 1 << 20, 33), nccl.new_identity().hex()

    def ask(number: int) -> dict[str, Any]:
        with Process() as process:
            found: dict[str, Any] = process.ask(PATIENCE, RANK, number, 2, identity, number % count, size)
            return found

    with ThreadPoolExecutor(2) as pool:
        ranks = list(pool.map(ask, range(2)))
    refused = [found["refused"] for found in ranks if "refused" in found]
    if refused:
        assert count == 1 and len(refused) == 2, refused
        return f"two GPUs could not be tried, there is one; two processes on it are refused, as expected: {refused[0]}"
    for found in ranks:
        assert found["found"][:2] == [7.0, 7.0], f"expected 7 everywhere, got {ranks}"
    where = "on two GPUs" if count > 1 else "on one GPU, which NCCL was expected to refuse"
    return f"{where}, {'captured in graphs' if ranks[0]['found'][2] else 'between graphs'}"


CHECKS: dict[str, Check] = {"sums by NCCL, one process": _alone, "sums by NCCL, two processes": _two}
