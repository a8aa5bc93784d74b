"""Networks of one shape trained side by side: a step recorded on one more like them, and run over the memory of each.

The one more is made for the recording and thrown away. Between epochs each network's callbacks see their own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.backends.base import Array
from nnkit.backends.program import Copied, Program
from nnkit.backends.recording import CannotCopy
from nnkit.recording.compiled import enabled
from nnkit.recording.state import changed
from nnkit.tensors import random
from nnkit.tensors.creation import arange
from nnkit.tensors.dtypes import int64
from nnkit.tensors.random import using
from nnkit.training.batches import ArraySource
from nnkit.training.modes import evaluating, training
from nnkit.training.objective import Objective
from nnkit.training.steps import EvaluationStep, Totals, TrainingStep
from nnkit.tune.common import Common
from nnkit.tune.member import Member, Pass
from nnkit.tune.networks import Network, varying
from nnkit.tune.recording import programs_of
from nnkit.tune.results import Run

__all__ = ["Together"]

#: Seconds after which Python has its turn, for Ctrl-C, and the steps of the first chunk.
CHUNK_SECONDS, FIRST_CHUNK = 0.2, 64
#: What the dropouts of the recorded network are set to: numbers that nobody else has, to be found by in the program.
SIGN, NEXT_SIGN = 0.25, 2.0**-40


class Walk:
    """A pass of many networks over the same data."""

    def __init__(self, source: ArraySource, programs: dict[int, Copied]) -> None:
        size = source.batch_size
        self._whole, self._count = programs.get(size), source.rows // size
        self._rest = programs.get(source.rows % size)
        self._chunk = FIRST_CHUNK

    def run(self, which: Sequence[int]) -> None:
        """One pass of these networks."""
        left = self._count
        while left and self._whole is not None:
            times = min(left, self._chunk)
            before = time.perf_counter()
            self._whole.run(which, times)
            seconds = max(time.perf_counter() - before, 1e-9)
            left -= times
            self._chunk = max(1, min(2 * self._chunk, int(times * CHUNK_SECONDS / seconds)))
        if self._rest is not None:
            self._rest.run(which)


class Together:
    """The training of ``networks``, each over its ``rows``; ``template`` is like them, and is recorded on.

    Raises CannotCopy where one program cannot do it; then the networks are as they were.
    """

    def __init__(
        self, template: Network, common: Common, networks: Sequence[Network], rows: Sequence[np.ndarray | None]
    ) -> None:
        _refuse(template, common)
        self._common = common
        self._objective = common.objective(template)
        first = self._first(template, rows[0])
        signs = {SIGN + (k + 1) * NEXT_SIGN: part for k, part in enumerate(varying(template.model))}
        for sign, part in signs.items():
            part.p = sign
        numbers = {sign: [varying(n.model)[k].p for n in networks] for k, sign in enumerate(signs)}
        with using(first.stream):
            recorded = self._programs(first)
        self._members = [
            first.like(network, common.own_callbacks(), own) for network, own in zip(networks, rows, strict=True)
        ]
        memory, others = first.memory(), [member.memory() for member in self._members]
        _check_alike(memory, others)
        self._walks = [
            Walk(one.source, {n: p.copies(memory, others, signed) for n, p in programs.items()})
            for one, programs, signed in zip(first.passes, recorded, (numbers, {}), strict=False)
        ]

    def _first(self, template: Network, rows: np.ndarray | None) -> Member:
        """The network that is recorded on, with its ways through the data."""
        common, objective = self._common, self._objective
        sources = common.sources(template, objective, None if rows is None else len(rows))
        passes = []
        for source in sources:
            if source is None:
                continue
            if type(source) is not ArraySource:
                raise CannotCopy("the data do not lie on the device as a whole")
            totals = Totals(common.measured(objective), objective)
            totals.prepare(template.model, source.sample(), source.rows)
            passes.append(Pass(source, totals, arange(source.rows, dtype=int64, device=source.data.x.device)))
        return Member(template, [], common.epochs, rows, passes)

    def _programs(self, first: Member) -> list[dict[int, Program]]:
        common, objective, model = self._common, self._objective, first.model
        learning, *checking = first.passes
        step = TrainingStep(model, objective, first.optimizer, learning.totals, common.clip_norm, common.clip_value)
        with training(model):
            found = [_recorded(first, learning, step)]
        for one in checking:
            with evaluating(model):
                found.append(_recorded(first, one, EvaluationStep(model, objective, one.totals)))
        return found

    # ---- the training -------------------------------------------------------------------------------------

    def run(self) -> list[Run]:
        """Train; whatever ends it, every callback's ``on_train_end`` runs."""
        begun: list[Member] = []
        try:
            for member in self._members:
                begun.append(member)
                member.begin()
            for epoch in range(self._common.epochs):
                if not self._run_epoch(epoch):
                    break
        except BaseException as error:
            for member in begun:
                if not member.stop_training:
                    member.note(error)
            raise
        finally:
            changed()
            runs = [member.end(Objective(member.model, self._objective.loss)) for member in begun]
        return runs

    def _run_epoch(self, epoch: int) -> bool:
        """One epoch of those that still train; False where none does."""
        which = [k for k, member in enumerate(self._members) if not member.stop_training]
        orders = self._orders(which, epoch)
        for k in which:
            self._members[k].begin_epoch(epoch, orders.get(_key(self._members[k], epoch)))
        which = [k for k in which if not self._members[k].stop_training]
        self._walks[0].run(which)
        which = [k for k in which if self._members[k].learned(epoch)]
        for place, walk in enumerate(self._walks[1:], 1):
            for k in which:
                self._members[k].passes[place].begin()
            walk.run(which)
        for k in which:
            self._members[k].end_epoch(epoch)
        return bool(which)

    def _orders(self, which: Sequence[int], epoch: int) -> dict[tuple[int, int], np.ndarray]:
        """The order of an epoch by what it is drawn from: it follows from the seed and the epoch's number."""
        if not self._common.shuffle:
            return {}
        keys = list({_key(self._members[k], epoch): None for k in which})
        return dict(zip(keys, random.permutations(self._members[0].passes[0].source.rows, keys), strict=True))


def _key(member: Member, epoch: int) -> tuple[int, int]:
    """Seed and draw number of the order of an epoch."""
    return member.network.seed, member.network.first_draw + epoch


def _recorded(first: Member, one: Pass, step: Any) -> dict[int, Program]:
    memory = [*first.memory(), *one.memory()]
    return programs_of(step, one.source, one.order, one.cursor, memory)


def _refuse(template: Network, common: Common) -> None:
    if any(callback.wants_batches or callback.settle_every for callback in common.callbacks):
        raise CannotCopy("a callback acts within epochs")
    if not enabled():
        raise CannotCopy("recording is off")
    if not template.optimizer.has_formulas:
        raise CannotCopy("the optimizer has a step of its own")


def _check_alike(memory: Sequence[Array], others: Sequence[Sequence[Array]]) -> None:
    shapes = [(tuple(array.shape), array.dtype) for array in memory]
    if any([(tuple(array.shape), array.dtype) for array in other] != shapes for other in others):
        raise CannotCopy("after a step its memory is laid out otherwise: some parameter gets no gradient")
