"""Steps of an optimizer that the processes of one machine divide among them (ZeRO's first stage).

Each has all weights and all gradients; what the optimizer keeps is there once, in memory that all of them see. Where an
update is made element by element, a process makes that of its part of the weights alone, with its part of what is kept,
and writes the new weights to everybody's place. When all have done so, everybody has what an undivided step gives, to
the bit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, cast

from nnkit.optim import Optimizer
from nnkit.optim.arena import Block, Run
from nnkit.parallel.exchanging import Exchanging
from nnkit.parallel.rooms import Node, Room

__all__ = ["divided", "is_elementwise", "own_part", "shared_blocks"]

#: Parts begin at multiples of so many elements: no two processes write to one cache line.
STEP = 64


def own_part(count: int, rank: int, size: int) -> slice:
    """Of so many elements those that the process of this rank, of ``size``, computes for all.

    >>> [own_part(200, rank, 3) for rank in range(3)]
    [slice(0, 128, None), slice(128, 200, None), slice(200, 200, None)]
    """
    share = -(-count // (size * STEP)) * STEP
    return slice(min(rank * share, count), min((rank + 1) * share, count))


def is_elementwise(optimizer: Optimizer) -> bool:
    """Whether a step is made of formulas, which are of one element each, and of nothing else.

    >>> from nnkit import nn, optim
    >>> [is_elementwise(kind(nn.Linear(2, 2, bias=False).parameters())) for kind in (optim.Adam, optim.Muon)]
    [True, False]
    """
    steps = [vars(kind)["step"] for kind in type(optimizer).__mro__ if kind is not Exchanging and "step" in vars(kind)]
    return optimizer.has_formulas and steps[0] is Optimizer.step and "step" not in vars(optimizer)


def shared_blocks(node: Node, optimizer: Optimizer) -> list[Block]:
    """The blocks whose values and gradients live where all processes of the node see them."""
    return [
        block
        for block in optimizer.arena.blocks()
        if node.room_of(block.values) is not None and node.room_of(block.gradients) is not None
    ]


@contextlib.contextmanager
def divided(node: Node, optimizer: Optimizer) -> Iterator[None]:
    """Inside, a step changes this process's part of the blocks whose state is shared, too; then all have all of it."""
    blocks = {id(block) for block in shared_blocks(node, optimizer) if optimizer.shares_state(block)}
    made: list[Run] = []

    def parts(runs: list[Run]) -> list[Run]:
        own = [_part_of(node, optimizer, run) for run in runs if id(run.block) in blocks]
        own = [run for run in own if run.start < run.stop]
        made.extend(own)
        return [*(run for run in runs if id(run.block) not in blocks), *own]

    if not blocks:
        yield
        return
    with optimizer.divided(parts):
        yield
    for run in made:
        _give(node, run)
    _meet(node, next(block for block in optimizer.arena.blocks() if id(block) in blocks))


def _part_of(node: Node, optimizer: Optimizer, run: Run) -> Run:
    """What of a run this process updates; it may be empty."""
    start, stop = optimizer.arena.window(run.block)
    mine = own_part(stop - start, node.rank, node.size)
    return Run(run.block, max(run.start, start + mine.start), min(run.stop, start + mine.stop))


def _give(node: Node, run: Run) -> None:
    """Write the values of a run to the others' places."""
    backend: Any = run.block.backend
    places = cast(Room, node.room_of(run.block.values)).parts(run.block.dtype, run.start, run.stop)
    own = places.pop(node.rank)
    backend.merge([own], [], None, places)


def _meet(node: Node, block: Block) -> None:
    backend: Any = block.backend
    backend.meet(cast(Room, node.room_of(block.gradients)).counts, node.rank)
