"""The processes of one training, by MPI: who this one is, and what they exchange."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.recording import recorder
from nnkit.nn.module import Module
from nnkit.optim import Optimizer
from nnkit.parallel.exchange import Exchange, Weight, exchange_of
from nnkit.parallel.exchanging import exchanging
from nnkit.parallel.guard import look_after
from nnkit.parallel.launch import abort, end_together, world
from nnkit.parallel.watch import TIMEOUT, Waiting, watch_of
from nnkit.tensors.shares import Share
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["MPI"]


class MPI:
    """All processes that mpirun started; one, without mpi4py, where it started none.

    Args:
        communicator: one of mpi4py's, in place of all processes.
        batch_statistics: "refuse" batch normalization, whose statistics would be of a part of the batch, take them over
            "all" processes' rows (two small exchanges a layer and step), or let each process normalize by its "own"
            rows; running statistics are then averaged after each epoch.
        data: each process gives ``fit`` "all" of the data, or its "own" rows: then a batch consists of
            ``batch_size`` / size rows of each, and which rows are together depends on the number of processes.
        timeout: seconds that the others wait for a process in each exchange, which has to cover what one process does
            alone (rank 0 saves, a callback reads); None: for ever.

    An exception that nobody catches in one process ends all, after a line that names the rank; so does a process for
    which the others wait longer than ``timeout``. Raises ImportError where mpirun started this process and mpi4py is
    missing, ValueError for another ``batch_statistics`` or ``data``, or a timeout that is not greater than 0.

    Source: MPI by mpi4py; ``torch.distributed``.

    >>> mpi = MPI()
    >>> mpi.rank, mpi.size
    (0, 1)
    """

    rank = 0
    size = 1
    is_on_the_device = True  # what changes here is memory: a recorded step need not look

    def __init__(
        self,
        communicator: Any = None,
        batch_statistics: str = "refuse",
        timeout: float | None = TIMEOUT,
        data: str = "all",
    ) -> None:
        if batch_statistics not in ("refuse", "all", "own"):
            raise ValueError(f"batch_statistics must be 'refuse', 'all' or 'own', got {batch_statistics!r}")
        if timeout is not None and not timeout > 0.0:
            raise ValueError(f"timeout must be a number of seconds greater than 0, or None, got {timeout!r}")
        if data not in ("all", "own"):
            raise ValueError(f"data must be 'all' or 'own', got {data!r}: what each process gives to fit")
        self.batch_statistics, self.data, self._timeout = batch_statistics, data, timeout
        self.communicator = world() if communicator is None else communicator
        if self.communicator is not None:
            self.rank, self.size = self.communicator.Get_rank(), self.communicator.Get_size()
            if self.size > 1:
                end_together(self.communicator)
                self._waiting = Waiting(watch_of(self.communicator), timeout)
                self._exchange = exchange_of(self.communicator, self._waiting)

    def __deepcopy__(self, memo: dict[int, Any]) -> MPI:
        return self  # processes are not copied, where an estimator that names them is

    def __reduce__(self) -> tuple[Any, ...]:
        return MPI, (None, self.batch_statistics, self._timeout, self.data)  # those that are there where it is read

    def __repr__(self) -> str:
        return f"MPI(rank {self.rank} of {self.size})"

    # ---- rows ---------------------------------------------------------------------------------------------

    def share(self, rows: int) -> Share:
        """Which rows of a batch are this process's: parts of one size, the first ones a row larger where it needs be.

        >>> MPI().share(5)
        Share(first=0, rows=5, whole=5, statistics='refuse', add_up=None)
        """
        each, more = divmod(rows, self.size)
        return self.share_of([each + (rank < more) for rank in range(self.size)])

    def share_of(self, counts: Sequence[int]) -> Share:
        """The rows of a batch that are this process's, where every process has so many of them, in the order of ranks.

        >>> MPI().share_of([5])
        Share(first=0, rows=5, whole=5, statistics='refuse', add_up=None)
        """
        add_up = self.add_up if self.batch_statistics == "all" else None
        return Share(sum(counts[: self.rank]), counts[self.rank], sum(counts), self.batch_statistics, add_up)

    # ---- what is exchanged --------------------------------------------------------------------------------

    def gather(self, value: Any) -> list[Any]:
        """``value`` of every process, in the order of the ranks, in each of them. Any object that can be pickled."""
        if self.size == 1:
            return [value]
        _outside_a_step("what processes gather")
        with self._waiting:
            return list(self.communicator.allgather(value))

    def from_first(self, value: Any) -> Any:
        """The ``value`` that the process of rank 0 has."""
        if self.size == 1:
            return value
        _outside_a_step("what rank 0 sends")
        with self._waiting:
            return self.communicator.bcast(value, root=0)

    def same_call(self, told: str) -> None:
        """Raise ValueError, in every process, where one makes another call than the first; ``told`` says which this
        one makes. Not recorded, so that a recorded step compares once."""
        if self.size == 1:
            return
        own, every = np.array([zlib.crc32(told.encode())], np.int64), np.empty(self.size, np.int64)
        with self._waiting:
            self.communicator.Allgather(own, every)
        if (every != every[0]).any():
            calls = self.gather(told)
            rank = next(rank for rank, call in enumerate(calls) if call != calls[0])
            raise ValueError(
                f"rank {rank} calls {calls[rank]}, and rank 0 {calls[0]}: all processes must make the same calls in "
                "the same order, with tensors of one shape and dtype"
            )

    def add_up(self, backend: Backend, *arrays: Any) -> None:
        """Let each contiguous array become its sum over all processes; part of a recorded step."""
        if self.size > 1:
            self._exchange_now().add_up(backend, *arrays)

    def _exchange_now(self) -> Exchange:
        """The communicator's exchange, which waits as long as this MPI says: another one may have used it since."""
        self._exchange.waiting = self._waiting
        return self._exchange

    def fail(self, error: BaseException) -> None:
        """End every process because of ``error`` in this one, after a line that names its rank."""
        if self.size > 1:
            abort(self.communicator, type(error), error, error.__traceback__)

    # ---- models and optimizers ----------------------------------------------------------------------------

    def broadcast(self, model: Module) -> None:
        """Give every process the weights and buffers that the model has in that of rank 0.

        >>> import nnkit
        >>> MPI().broadcast(nnkit.nn.Linear(2, 1))
        """
        if self.size == 1:
            return
        with self._waiting:
            look_after(self.communicator)
        tensors = [*model.parameters(), *model.buffers()]
        shapes = self.gather([tuple(tensor.shape) for tensor in tensors])
        for rank, other in enumerate(shapes):
            if other != shapes[0]:
                raise ValueError(
                    f"the model of rank {rank} has other weights than that of rank 0: their shapes are {other!s:.200} "
                    f"beside {shapes[0]!s:.200}. Build the same model in every process"
                )
        for tensor, array in zip(tensors, self.from_first([_host(tensor) for tensor in tensors]), strict=True):
            tensor.backend.upload(array, tensor.array)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Let each floating-point tensor become its mean over all processes; nothing is recorded."""
        if self.size == 1:
            return
        with no_grad():
            for tensor in tensors:
                if tensor.is_floating_point():
                    parts = self.gather(_host(tensor).astype(np.float64))
                    mean = sum(parts[1:], parts[0]) / self.size
                    tensor.backend.upload(mean.astype(tensor.dtype), tensor.array)

    def optimizer(self, optimizer: Optimizer) -> Optimizer:
        """``optimizer``, whose ``step()`` first lets every gradient become the mean over all processes.

        ``step(samples=n)``, in every process, weighs its gradients by its number of samples, where these are unequal.
        The optimizer is of the same class and shares its state with the one given, whose own ``step`` still exchanges
        nothing; ``state_dict`` is the same. In one process it does what it did.

        >>> import nnkit
        >>> model = nnkit.nn.Linear(2, 1)
        >>> optimizer = MPI().optimizer(nnkit.optim.SGD(model.parameters(), lr=0.1))
        >>> model(nnkit.ones(4, 2)).mean().backward(); optimizer.step()
        """
        return exchanging(optimizer, self)

    def exchange(self, optimizer: Optimizer) -> None:
        """Let the optimizer's gradients become their sums over all processes; part of a recorded step."""
        if self.size > 1:
            self._exchange_now().gradients(optimizer)

    def mean(self, optimizer: Optimizer, samples: int | None = None) -> None:
        """Let them become their means, to which a process counts by its number of ``samples``, where it is given."""
        if self.size > 1:
            weight = Weight(1.0, float(self.size)) if samples is None else Weight(float(samples), None)
            self._exchange_now().gradients(optimizer, weight)

    def divided(self, optimizer: Optimizer) -> AbstractContextManager[None]:
        """Inside, after an exchange in all processes, ``optimizer.step()`` of all is divided among those of a machine.

        Each updates its part of the weights and gives it to the others, where that comes to the same bits; where it
        does not, or there is no memory that all see, inside is as outside.

        >>> import nnkit
        >>> optimizer = nnkit.optim.SGD(nnkit.nn.Linear(2, 1).parameters(), lr=0.1)
        >>> with MPI().divided(optimizer):
        ...     optimizer.step()
        """
        return self._exchange_now().divided(optimizer) if self.size > 1 else contextlib.nullcontext()


def _outside_a_step(what: str) -> None:
    at_work = recorder()
    if at_work is not None:
        at_work.obstacle(f"{what} is read by Python, which a step that is replayed does not run")


def _host(tensor: Tensor) -> np.ndarray:
    return tensor.backend.download(tensor.array)
