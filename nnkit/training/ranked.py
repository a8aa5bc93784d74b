"""The loop of ``fit`` where several processes train one model: every one takes the same decisions at the same steps."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from nnkit.errors import DivergenceError, UnknownNameError
from nnkit.nn.module import Module
from nnkit.parallel import MPI
from nnkit.tensors import random
from nnkit.tensors.precision import half_type
from nnkit.training.agreement import same_sizes
from nnkit.training.batches import IterableSource, Source
from nnkit.training.blame import bad_gradients
from nnkit.training.callbacks import Callback
from nnkit.training.checkpoints import RunCheckpoint
from nnkit.training.divergence import broken_gradient
from nnkit.training.divided import divisor_of
from nnkit.training.evaluation import Evaluation
from nnkit.training.history import History
from nnkit.training.objective import Objective
from nnkit.training.replay import Runner
from nnkit.training.steps import Totals, TrainingStep
from nnkit.training.trainer import SNAPSHOT_STEPS, Trainer, broken, when_of
from nnkit.training.weights import first_not_finite

__all__ = ["LOOK_STEPS", "RankedTrainer", "alone", "begin", "processes", "quiet", "same_stream", "trainer_of"]

#: Steps between two looks; the clocks of the processes would not agree.
LOOK_STEPS = 64


def processes(parallel: Any, precision: Any) -> MPI | None:
    """What ``fit(parallel=...)`` stands for; None where there is one process. Raises UnknownNameError or TypeError for
    what is neither, ValueError for a precision that scales its loss."""
    if parallel is None:
        return None
    if isinstance(parallel, str) and parallel != "mpi":
        raise UnknownNameError("parallel", parallel, ["mpi"])
    if not isinstance(parallel, (str, MPI)):
        raise TypeError(f"parallel must be 'mpi' or an nnkit.parallel.MPI, got {type(parallel).__name__}")
    mpi = MPI() if isinstance(parallel, str) else parallel
    if mpi.size > 1 and precision is not None and half_type(precision) == "float16":
        raise ValueError(
            "precision='float16' scales its loss, which several processes do not do together yet: use 'bfloat16'"
        )
    return mpi if mpi.size > 1 else None


def quiet(mpi: MPI | None) -> AbstractContextManager[Any]:
    """Of several processes, the first warns."""
    if mpi is None or mpi.rank == 0:
        return contextlib.nullcontext()
    return warnings.catch_warnings(action="ignore")


_trainings: list[tuple[Any, int, str]] = []  # of this process: the communicator, and the thread's number and name
_changing = threading.Lock()


@contextlib.contextmanager
def alone(mpi: MPI | None) -> Iterator[None]:
    """Inside, no other thread of this process trains over the same communicator.

    Where one does all processes end, after RuntimeError is told: nobody knows which of the two the others have begun.
    """
    if mpi is None:
        yield
        return
    own = (mpi.communicator, threading.get_ident(), threading.current_thread().name)
    with _changing:
        others = [name for known, thread, name in _trainings if known == own[0] and thread != own[1]]
        _trainings.append(own)
    try:
        if others:
            error = RuntimeError(
                f"thread {own[2]!r} begins a fit(parallel=...) while {others[0]!r} runs one: their exchanges would "
                "mix. Run them one after the other, or give each a communicator of its own, made before the threads "
                "begin: parallel=nnkit.parallel.MPI(MPI.COMM_WORLD.Dup())"
            )
            mpi.fail(error)
            raise error
        yield
    finally:
        with _changing:
            _trainings.remove(own)


def same_stream(mpi: MPI | None) -> None:
    """Let all processes draw the same random numbers."""
    if mpi is not None:
        random.set_state(mpi.from_first(random.get_state()))


def begin(
    mpi: MPI, model: Module, objective: Objective, source: Source, validation: Source | None, totals: Sequence[Totals]
) -> None:
    """Give every process the weights of the first, and let loss and results be those of all rows."""
    same_sizes(mpi, source, validation)
    objective.counted = any(mpi.gather(divisor_of(objective, source)))
    for part in totals:
        part.ranks = mpi
    mpi.broadcast(model)


def trainer_of(mpi: MPI | None, step: TrainingStep, source: Source, validation: Evaluation | None,
               callbacks: list[Callback], epochs: range, runner: Runner) -> Trainer:  # fmt: skip
    """The loop of one process, or of one among several."""
    if mpi is None:
        return Trainer(step, source, validation, callbacks, epochs, runner)
    if mpi.data == "own" and isinstance(source, IterableSource):
        for callback in callbacks:
            if isinstance(callback, RunCheckpoint):
                raise ValueError(
                    "RunCheckpoint cannot keep the place in a loader of each process's own data: give arrays, or leave "
                    "it out (ModelCheckpoint keeps the weights)"
                )
    return RankedTrainer(mpi, step, source, validation, heard(callbacks, mpi), epochs, runner)


def heard(callbacks: list[Callback], mpi: MPI) -> list[Callback]:
    """The callbacks that this process runs: all, but for those that speak or write a log, which rank 0 does.

    Raises ValueError for one that looks or saves within epochs, when only a RunCheckpoint has the sums of all, and for
    that where each process has running statistics of its own until an epoch ends.
    """
    for callback in callbacks:
        own = mpi.batch_statistics == "own"
        if callback.settle_every and (own or not isinstance(callback, RunCheckpoint)):
            raise ValueError(
                f"{type(callback).__name__}(every={callback.settle_every}) works within epochs, when each process has "
                f"{'running statistics' if own else 'the sums of its rows'} of its own: leave 'every' out, so that it "
                "works after each epoch"
            )
    return [callback for callback in callbacks if mpi.rank == 0 or not callback.first_rank_only]


class RankedTrainer(Trainer):
    """A Trainer whose looks, snapshots and stops come at the same steps in every process."""

    def __init__(self, mpi: MPI, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.mpi = mpi
        self.speaks = mpi.rank == 0
        self._every_step = any(mpi.gather(bool(self._at_batches)))
        self._agreed = False
        self._last: int | None = None  # the batch before the last look

    def run(self) -> History:
        try:
            return super().run()
        except (SystemExit, KeyboardInterrupt) as error:  # the others wait for the next step of this one
            self.mpi.fail(error)
            raise

    @property
    def _stopping(self) -> bool:
        return self._agreed

    def _agree(self) -> None:
        self._agreed = any(self.mpi.gather(self.stop_training))
        if self._agreed:
            self.stop_training = True
            self.history.stopped_by = self.history.stopped_by or "another rank"

    def _most(self, done: int) -> int:
        return 1 if self._every_step else min(super()._most(done), LOOK_STEPS - done % LOOK_STEPS)

    def _is_time(self, done: int, seconds: float) -> bool:
        return self._every_step or done % LOOK_STEPS == 0

    def _is_time_to_keep(self, seconds: float) -> bool:
        return self._since_snapshot >= SNAPSHOT_STEPS

    def _batch_logs(self) -> Mapping[str, Any]:
        return dict(self.step.totals.read().values)  # by all, whoever looks at them

    def _call(self, method: str, *arguments: Any) -> None:
        if method == "on_settled" and arguments[1]:  # after a signal, within an epoch
            return
        super()._call(method, *arguments)

    def _look(self, epoch: int, done: int, whole: bool = False) -> None:
        self._last = done - 1
        super()._look(epoch, done, whole)
        if whole:
            self._check_weights()  # as long as the batch is there that may have broken them
        self._agree()

    def _before_validation(self) -> None:
        self.mpi.average(list(self.model.buffers()))

    def _diverged(self, epoch: int, good: int) -> DivergenceError:
        """The error of the process that lost it first, in every process."""
        rank = self._reading.rank
        if rank is None and good and first_not_finite(self.model) is not None:
            blamed = self._blamed(good - 1, when_of(epoch, good))
            if blamed is not None:
                return blamed
        message = broken(self, epoch, good) if self.mpi.rank == (rank or 0) else None
        if message is None:
            self._snapshot.restore()
        who = "all ranks" if rank is None else f"rank {rank}"
        return DivergenceError(f"{who}: {self.mpi.gather(message)[rank or 0]}")

    def _broken_weights(self, parameter: str) -> DivergenceError:
        found = None if self._last is None else self._blamed(self._last, self._moment)
        return found or DivergenceError(f"all ranks: {super()._broken_weights(parameter)}")

    def _blamed(self, last: int, when: str) -> DivergenceError | None:
        """The error that names the process whose rows of batch ``last`` gave a gradient that is not finite, if one
        did with the last finite weights, too."""
        names = bad_gradients(self.step, self._snapshot, self.source, last)
        for rank, name in enumerate(names):
            if name is not None:
                return DivergenceError(f"rank {rank}: {broken_gradient(name, when, self.learning_rate)}")
        return None
