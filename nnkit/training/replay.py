"""Steps of ``fit`` and ``evaluate`` as programs: batching, forward, loss, backward and update without Python.

The data, the epoch's order and a cursor lie on the device. A program takes the batch at the cursor, runs the step
and moves the cursor on, so one call replays many steps. A step over another number of rows (the last of an epoch)
has a program of its own. Where a step cannot be replayed it runs plainly, after one warning.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from nnkit import ops
from nnkit.backends.program import Program
from nnkit.backends.recording import Stale, recording
from nnkit.backends.trace import Trace
from nnkit.parallel import MPI
from nnkit.recording.compiled import PATIENCE, enabled
from nnkit.recording.guards import Guards
from nnkit.recording.observer.frames import observing
from nnkit.tensors.creation import arange, zeros
from nnkit.tensors.dtypes import int64
from nnkit.tensors.shares import Share
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor
from nnkit.training.agreement import same_batch
from nnkit.training.batches import ArraySource, Batch, Source
from nnkit.training.divided import own_part, part_of_batch
from nnkit.training.places import check_places
from nnkit.training.plainly import say_plain
from nnkit.training.second_look import SecondLook
from nnkit.training.several import each
from nnkit.training.streamed import StreamedSource

__all__ = ["Plain", "Replay", "Runner", "runner_of"]

CHANGED = "it does something else than when it was recorded, though nothing that it was seen to read has changed"
MAXIMUM_RECORDINGS = 64  # without a replay between them


class Step(Protocol):
    """A step of training or evaluation, as ``nnkit.training.steps`` has them."""

    @property
    def model(self) -> Any:
        """The model that runs."""

    @property
    def objective(self) -> Any:
        """The loss with its penalties; None where there is none."""

    @property
    def totals(self) -> Any:
        """The sums that it leaves."""

    def __call__(self, batch: Batch) -> None:
        """Run on one batch."""


class Runner(Protocol):
    """Runs the steps of an epoch, some at a time."""

    def begin(self, number: int, step: int = 0) -> None:
        """Start epoch ``number``, with its batch number ``step``."""

    def ready(self) -> bool:
        """Whether the epoch has a further step."""

    def run(self, most: int) -> int:
        """Run the next steps of the epoch, at most ``most``, of which there is at least one; returns how many."""


def runner_of(step: Step, source: Source, recorded: bool, ranks: MPI | None = None) -> Runner:
    """Programs over arrays, where they are wanted; else one batch after the other. With ``ranks`` its part of each."""
    if recorded and enabled() and isinstance(source, StreamedSource):
        return StreamedReplay(step, source, ranks)
    if recorded and enabled() and isinstance(source, ArraySource):
        return Replay(step, source, ranks)
    return Plain(step, source, ranks)


class Plain:
    """The batches of any source, one by one in Python."""

    def __init__(self, step: Step, source: Source, ranks: MPI | None = None) -> None:
        self.step = step
        self.source = source
        self.ranks = ranks
        self._batches: Iterator[Batch] = iter(())
        self._batch: Batch | None = None
        self._warm = False
        self._first = True  # of the epoch
        self._counts: list[int] = []

    def begin(self, number: int, step: int = 0) -> None:
        """Start epoch ``number``."""
        self._batches, self._first = self.source.epoch(number, step), True

    def ready(self) -> bool:
        """Whether the source has a further batch."""
        self._batch = next(self._batches, None)
        if self.ranks is None:
            return self._batch is not None
        if self.ranks.data == "own":
            self._counts = self.ranks.gather(0 if self._batch is None else self._batch.rows)
            return any(self._counts)
        same_batch(self.ranks, self._batch, self._first)
        self._first = False
        return self._batch is not None

    def run(self, most: int) -> int:
        """Run the next step."""
        batch, ranks = self._part()
        rows = batch.rows if batch.share is None else batch.share.whole
        self.step.totals.prepare(self.step.model, batch, self.step.totals.samples + rows)
        if ranks is not None and not self._warm:
            check_places(self.step.model, self.source.sample().x)
        with contextlib.nullcontext() if self._warm else batch.x.backend.batch_of(rows):
            self.step(batch)
        self._warm = True
        self.step.totals.count(rows)
        return 1

    def _part(self) -> tuple[Batch, MPI | None]:
        """What this process computes of the next batch, and the processes."""
        ranks = self.ranks
        if ranks is not None and ranks.data == "own":
            return own_part(self._batch, self.source, ranks, self._counts), ranks
        assert self._batch is not None
        return self._batch if ranks is None else part_of_batch(self._batch, ranks), ranks


class Cut(NamedTuple):
    """What a step computes: ``rows`` from ``start`` behind the cursor, which then moves on by ``moved``; they are
    this process's ``share`` of a batch of ``whole`` rows, None where there is one process."""

    start: int
    rows: int
    moved: int
    whole: int
    share: Share | None = None


class Recorded(NamedTuple):
    """A step's program, what it relies on, and what it did, where code of the user's is part of it."""

    program: Program
    guards: Guards
    trace: Trace | None


class Replay:
    """The batches of an ArraySource, run through ``step`` by programs."""

    def __init__(self, step: Step, source: ArraySource, ranks: MPI | None = None) -> None:
        self.step = step
        self.source = source
        self.ranks = ranks
        rows, device = source.data.rows, source.data.x.device
        self._order = arange(rows, dtype=int64, device=device)
        self._cursor = zeros(1, dtype=int64, device=device)
        self._done, self._part = 0, range(0)  # batches of this pass over the data that are done; those of the epoch
        step.totals.prepare(
            step.model, source.sample(), source.rows if source.parts is None else sum(source.parts.rows)
        )
        self._programs: dict[Cut, Recorded] = {}
        self._recordings = 0
        self._restless: Counter[str] = Counter()  # what recordings in a row left otherwise than they found it
        self._look = SecondLook()
        self._broken = "something that it relies on"
        self._warm = False
        self._plain = False

    def begin(self, number: int, step: int = 0) -> None:
        """Start epoch ``number``: draw its order, put the cursor at its start."""
        backend = self._order.backend
        order, self._part = self.source.draw(number)
        if order is not None:
            backend.upload(order, self._order.array)
        self._done = self._part.start + step
        backend.fill(float(self._done * self.source.batch_size), self._cursor.array)

    def ready(self) -> bool:
        """Whether the epoch has a further batch."""
        return self._done < self._part.stop

    def run(self, most: int) -> int:
        """Run the next steps of the epoch by a program, or one in Python."""
        size = self.source.batch_size
        left = min(self.source.data.rows, self._part.stop * size) - self._done * size
        return self._run(*self._next(left, most))

    def _run(self, cut: Cut, most: int) -> int:
        """Run at most so many steps, which are cut alike; returns how many."""
        times = self._replay(cut, most) or self._one(cut)
        self._done += times
        self.step.totals.count(cut.whole * times)
        return times

    def _next(self, left: int, most: int) -> tuple[Cut, int]:
        """How the next step is cut where so many rows are left, and how many steps in a row are cut so."""
        parts, ranks = self.source.parts, self.ranks
        if parts is None or ranks is None:
            size = self.source.batch_size
            rows = min(size, left)
            return self._cut(rows), min(most, max(left // size, 1))
        counts = parts.of_batch(self._done)
        share = ranks.share_of(counts)
        times = min(most, parts.alike(self._done), self._part.stop - self._done)
        if share.rows:
            times = min(times, max(left // share.rows, 1))  # of a window
        return Cut(0, len(share.computed), share.rows, share.whole, share), times

    def _cut(self, rows: int) -> Cut:
        """Of a batch of so many rows that all processes have."""
        if self.ranks is None:
            return Cut(0, rows, rows, rows)
        share = self.ranks.share(rows)
        return Cut(share.computed.start, len(share.computed), rows, rows, share)

    def _replay(self, cut: Cut, times: int) -> int:
        found = self._programs.get(cut)
        if found is None:
            return 0
        program, guards, trace = found
        if not guards.hold():
            self._broken = guards.broken()
            return 0
        if trace is not None and self._look.due():
            self._look_again(cut, trace)
            return 1
        try:
            for check in program.checks:
                check()
        except Stale:
            return 0
        if not guards.enter():
            return 0
        program.replay(times)
        guards.leave()
        self._recordings = 0
        self._restless.clear()
        return times

    def _look_again(self, cut: Cut, trace: Trace) -> None:
        """One step in Python, recorded anew and compared with the program."""
        with self._look.taken():
            work, observer = self._record(cut)
        difference = "it calls no code of the user's" if work.trace is None else trace.difference(work.trace)
        if work.obstacles or difference is not None:
            self._run_plainly(work.obstacles[0] if work.obstacles else f"{CHANGED} ({difference})")
        elif observer.lasting() is not None or work.restless() is not None:
            del self._programs[cut]

    def _one(self, cut: Cut) -> int:
        """One step in Python; recorded, unless it is the first of all or cannot be replayed."""
        if not self._warm:
            self._warm = True
            if self.ranks is not None:
                check_places(self.step.model, self.source.sample().x)
            with self._order.backend.batch_of(cut.whole):
                self._step(cut)
            return 1
        if self._plain:
            self._step(cut)
            return 1
        self._recordings += 1
        work, observer = self._record(cut)
        lasting = observer.lasting()
        restless = lasting or work.restless()
        self._restless.update([restless] if restless else [])
        if work.obstacles:
            self._run_plainly(work.obstacles[0])
        elif lasting is not None and self._restless[lasting] >= PATIENCE:
            self._run_plainly(lasting)
        elif self._recordings > MAXIMUM_RECORDINGS:
            self._run_plainly(restless or f"{self._broken} changes in every step: keep it in a Tensor")
        elif restless is None:
            self._programs[cut] = Recorded(work.finish(), Guards(work, observer), work.trace)
        return 1

    def _record(self, cut: Cut) -> tuple[Any, Any]:
        """Run one step, recorded: the recorder, and the observer of the user's code."""
        work = self._order.backend.recorder()
        with recording(work), self._order.backend.batch_of(cut.whole), observing(work) as observer:
            self._step(cut)
        return work, observer

    def _step(self, cut: Cut) -> None:
        with no_grad():
            cursor = self._cursor + cut.start if cut.start else self._cursor
            cursor = cursor if cut.moved else cursor * 0  # behind the last row there is none to compute on
        take: Callable[[Tensor], Tensor] = lambda x: ops.take_batch(x, self._order, cursor, cut.rows)  # noqa: E731
        data = self.source.data
        weight = None if data.weight is None else each(data.weight, take)
        self.step(Batch(each(data.x, take), each(data.y, take), weight, cut.share))
        if cut.moved:
            with no_grad():
                self._cursor.add_(cut.moved)

    def _run_plainly(self, reason: str) -> None:
        self._plain = True
        self._programs.clear()
        say_plain(self.step.model, reason)


class StreamedReplay(Replay):
    """The batches of a StreamedSource: the programs run over its window."""

    source: StreamedSource

    def begin(self, number: int, step: int = 0) -> None:
        """Start epoch ``number``."""
        _, self._part = self.source.part(number)
        self._windows = self.source.windows(number, step)
        self._left, self._done = 0, self._part.start + step

    def run(self, most: int) -> int:
        """Run the next steps of the epoch; the next window is fetched when there are none left in this one."""
        if not self._left:
            self._left = next(self._windows, 0)  # none where the others have rows left alone
            self._cursor.backend.fill(0.0, self._cursor.array)
        cut, times = self._next(self._left, most)
        times = self._run(cut, times)
        self._left -= cut.moved * times
        return times
