"""One of many networks that are trained together: its memory, its callbacks and its history."""

from __future__ import annotations

import numpy as np

from nnkit.backends.base import Array, Backend
from nnkit.errors import DivergenceError
from nnkit.nn.module import Module
from nnkit.optim import Optimizer
from nnkit.tensors import random
from nnkit.tensors.tensor import Tensor, written
from nnkit.training.api import last_fit
from nnkit.training.batches import ArraySource
from nnkit.training.callbacks import Callback
from nnkit.training.conductor import Conductor
from nnkit.training.objective import Objective
from nnkit.training.steps import Reading, Totals
from nnkit.tune.networks import Network
from nnkit.tune.results import Run

__all__ = ["Member", "Pass"]


class Pass:
    """A network's way through data: the order of the rows, where it stands in it, and the sums on the way."""

    def __init__(self, source: ArraySource, totals: Totals, order: Tensor) -> None:
        backend: Backend = source.data.x.backend
        self.source, self.totals, self.order, self._backend = source, totals, order, backend
        self.cursor = Tensor(backend.zeros((1,), np.int64), backend)
        totals.reset()
        self._beginning = [(backend.duplicate(array), array) for array in self.memory()]

    def like(self, order: Tensor) -> Pass:
        """Another network's."""
        return Pass(self.source, self.totals.like(self.source.data.x.device), order)

    def begin(self) -> None:
        """Start anew."""
        self.totals.samples = 0
        for start, array in self._beginning:
            self._backend.transfer(start, array)

    def read(self) -> Reading:
        """The sums of a whole pass."""
        self.totals.count(self.source.rows)
        return self.totals.read(whole=True)

    def memory(self) -> list[Array]:
        """Every array that a step writes."""
        return [self.cursor.array, *self.totals.memory()]


class Member(Conductor):
    """One network's part in a training; callbacks see it as their trainer.

    ``rows``: the rows that it learns from, None for all; ``passes``: over the data to learn from, and those to
    validate on where there are any.
    """

    first_epoch = 0

    def __init__(
        self, network: Network, callbacks: list[Callback], epochs: int, rows: np.ndarray | None, passes: list[Pass]
    ) -> None:
        super().__init__(callbacks)
        self.network, self.epochs, self.rows, self.passes = network, epochs, rows, passes
        self.stream = network.stream or random.Generator(network.seed)
        self.error: str | None = None
        self._backend: Backend = passes[0].source.data.x.backend
        self._weights = self._own_weights()
        self._saved = [self._backend.duplicate(array) for array in self._weights]
        for callback in self.callbacks:
            callback.set_trainer(self)  # type: ignore[arg-type]

    def like(self, network: Network, callbacks: list[Callback], rows: np.ndarray | None) -> Member:
        """The same for another network."""
        learning, *checking = self.passes
        order = Tensor(self._backend.duplicate(learning.order.array), self._backend)
        return Member(
            network, callbacks, self.epochs, rows, [learning.like(order), *(p.like(p.order) for p in checking)]
        )

    # ---- what callbacks see -------------------------------------------------------------------------------

    @property
    def model(self) -> Module:
        """The network that learns."""
        return self.network.model

    @property
    def optimizer(self) -> Optimizer:
        """What changes its weights."""
        return self.network.optimizer

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return self.passes[0].source.steps

    @property
    def log_names(self) -> list[str]:
        """The names in the logs of an epoch."""
        names = self.passes[0].totals.names
        return [*names, *(f"val_{name}" for checking in self.passes[1:] for name in checking.totals.names), "lr"]

    @property
    def learning_rate(self) -> float:
        """The learning rate of the first parameter group."""
        return float(self.optimizer.param_groups[0]["lr"])

    # ---- memory -------------------------------------------------------------------------------------------

    def _own_weights(self) -> list[Array]:
        """The network's weights and buffers, each piece of memory once."""
        slots = self.optimizer.arena.slots
        outside = [p.array for p in self.model.parameters() if id(p) not in slots]
        buffers = {id(b.array): b.array for b in self.model.buffers()}
        return [*(block.values for block in self.optimizer.arena.blocks()), *outside, *buffers.values()]

    def memory(self) -> list[Array]:
        """All memory that is this network's own, in the order in which that of others like it comes."""
        known = {id(block.values) for block in self.optimizer.arena.blocks()}
        others = [array for array in self._weights if id(array) not in known]
        passes = [array for one in self.passes for array in one.memory()]
        state = self.stream.state_on(self._backend)
        return [*self.optimizer.everything(), *others, self.passes[0].order.array, *passes, state]

    # ---- an epoch -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Before the first epoch."""
        self._call("on_train_begin")

    def begin_epoch(self, epoch: int, order: np.ndarray | None) -> None:
        """Before an epoch, which goes through the rows in this order."""
        self._call("on_epoch_begin", epoch)
        for array, saved in zip(self._weights, self._saved, strict=True):
            self._backend.transfer(array, saved)
        self.passes[0].begin()
        if order is not None:
            self._backend.upload(order if self.rows is None else self.rows[order], self.passes[0].order.array)
        elif self.rows is not None:
            self._backend.upload(self.rows, self.passes[0].order.array)

    def learned(self, epoch: int) -> bool:
        """Look at what the epoch's steps left; False where a loss turned NaN or infinite, which ends the training."""
        self._reading = self.passes[0].read()
        good = self._reading.good_steps
        if good < self.steps:
            self._break(f"the loss turned NaN or infinite at epoch {epoch + 1}, step {good + 1}")
            return False
        self._call("on_read", self.steps, self._reading.values)
        return True

    def end_epoch(self, epoch: int) -> None:
        """After an epoch and its validation."""
        logs = dict(self._reading.values)
        for checking in self.passes[1:]:
            logs |= {f"val_{name}": value for name, value in checking.read().values.items()}
        logs["lr"] = self.learning_rate
        self.history.add(epoch, logs)
        self._call("on_epoch_end", epoch, logs)
        self._call("on_settled", epoch + 1, 0)

    def _break(self, what: str) -> None:
        for array, saved in zip(self._weights, self._saved, strict=True):
            self._backend.transfer(saved, array)
        error = DivergenceError(
            f"{what} (learning rate {self.learning_rate:g}). The weights from the beginning of that epoch were put "
            "back, the optimizer's state was not. Lower the learning rate, clip gradients (clip_norm=1.0), or scale "
            "the data"
        )
        self._note(error)
        self.stop_training = True
        if not self._forgiven(error):
            self.error = str(error)

    def note(self, error: BaseException) -> None:
        """What ended the training of all, before its time."""
        self._note(error)

    def end(self, objective: Objective) -> Run:
        """After the last epoch."""
        finite = all(np.isfinite(self._backend.download(a)).all() for a in self._weights)
        if not finite and self.error is None:
            self._break(
                f"weights are NaN or infinite after epoch {len(self.history.epoch)}, although the loss was finite"
            )
        self._finish(failed=self.error is not None)
        written(*self.model.parameters())
        last = last_fit(self.model)
        last.loss, last.optimizer, last.history = objective.loss, self.optimizer, self.history
        last.metrics, last.scaler = self.passes[0].totals.metrics, None
        return Run(self.network.setting, self.model, self.history, tuple(self.callbacks), self.error)
