"""Schedules made of schedules: one after another, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from nnkit.errors import ModelFileError
from nnkit.optim.optimizer import Optimizer
from nnkit.optim.plateau import ReduceLROnPlateau
from nnkit.optim.schedule import LRScheduler


class Composed(LRScheduler):
    """What both kinds share: the schedules, all of one optimizer, and their states."""

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name}: schedulers is empty; it needs at least one")
        for number, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"{name}: schedulers[{number}] must be a schedule, got {type(scheduler).__name__}")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(f"{name}: schedulers[{number}] is a ReduceLROnPlateau, whose step needs a metric")
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"{name}: schedulers[{number}] belongs to another optimizer")
        self.optimizer, self.schedulers = optimizer, list(schedulers)
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]

    def undo(self) -> None:
        for scheduler in self.schedulers:
            scheduler.undo()

    def _note(self) -> None:
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """As of one schedule, and the states of its parts under "schedulers"."""
        return super().state_dict() | {"schedulers": [scheduler.state_dict() for scheduler in self.schedulers]}

    def check_state(self, state_dict: Mapping[str, Any]) -> None:
        super().check_state(state_dict)
        states = state_dict["schedulers"]
        if not isinstance(states, (list, tuple)) or len(states) != len(self.schedulers):
            raise ModelFileError(f"the state must have {len(self.schedulers)} schedulers; nothing was loaded")
        for scheduler, state in zip(self.schedulers, states, strict=True):
            scheduler.check_state(state)

    def take_state(self, state_dict: Mapping[str, Any]) -> None:
        super().take_state(state_dict)
        for scheduler, state in zip(self.schedulers, state_dict["schedulers"], strict=True):
            scheduler.take_state(state)


class SequentialLR(Composed):
    """One schedule after another: ``schedulers[k]`` from step ``milestones[k - 1]`` on, where it begins anew.

    Args:
        optimizer: the optimizer of all of them.
        schedulers: schedules of that optimizer; no ``ReduceLROnPlateau``.
        milestones: the steps at which the next one begins, one fewer than schedulers.
        last_epoch: the number of the last step that was taken; -1 to start.

    Raises TypeError or ValueError for what does not fit together. Source: ``torch.optim.lr_scheduler.SequentialLR``.

    >>> import nnkit
    >>> o = nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0)
    >>> from nnkit.optim.lr_scheduler import ConstantLR, ExponentialLR
    >>> scheduler = SequentialLR(o, [ConstantLR(o, 0.25), ExponentialLR(o, 0.5)], milestones=[2])
    >>> for _ in range(3): scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, schedulers)
        if len(milestones) != len(self.schedulers) - 1:
            raise ValueError(
                f"milestones must be {len(self.schedulers) - 1} steps for {len(self.schedulers)} schedulers, "
                f"got {len(milestones)}"
            )
        self.milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        self._begin()

    def _begin(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self.undo()
        self.schedulers[bisect_right(self.milestones, 0)].step()
        self._note()

    def step(self) -> None:
        self.last_epoch += 1
        number = bisect_right(self.milestones, self.last_epoch)
        scheduler = self.schedulers[number]
        if number > 0 and self.milestones[number - 1] == self.last_epoch:
            scheduler.restart()
        else:
            scheduler.step()
        self._note()

    def restart(self) -> None:
        self.last_epoch = 0
        self.schedulers[bisect_right(self.milestones, 0)].restart()
        self._note()


class ChainedScheduler(Composed):
    """Several schedules at once: each step is one of each, in order.

    Args:
        schedulers: schedules of one optimizer; no ``ReduceLROnPlateau``.
        optimizer: that optimizer; the first schedule's unless given.

    Raises TypeError or ValueError for what does not fit together. Source: ``torch.optim.lr_scheduler``.

    >>> import nnkit
    >>> o = nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0)
    >>> from nnkit.optim.lr_scheduler import ExponentialLR, StepLR
    >>> scheduler = ChainedScheduler([ExponentialLR(o, 0.5), StepLR(o, 1, 0.5)])
    >>> scheduler.step(); scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        first = schedulers[0] if schedulers else None
        super().__init__(optimizer or getattr(first, "optimizer", None), schedulers)  # type: ignore[arg-type]
        self._note()

    def step(self) -> None:
        for scheduler in self.schedulers:
            scheduler.step()
        self._note()

    def restart(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in self.schedulers:
            scheduler.last_epoch = -1
            scheduler.step()
        self._note()
