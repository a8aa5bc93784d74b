"""The one-cycle policy: the learning rate climbs, then falls far below its start; the momentum mirrors it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nnkit.optim.groups import ParameterGroup
from nnkit.optim.optimizer import Optimizer
from nnkit.optim.schedule import LRScheduler
from nnkit.optim.schedules import positive_int


class OneCycleLR(LRScheduler):
    """Smith and Topin, Super-Convergence, 2018: one climb and one fall of the rate.

    Step it after every batch.

    Args:
        optimizer: an optimizer with "momentum" or "betas" among its options, if ``cycle_momentum``.
        max_lr: the highest rate, one for all groups or a list.
        total_steps: the length of the cycle; or give ``epochs`` and ``steps_per_epoch``.
        pct_start: the share of the cycle in which the rate climbs.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether the momentum moves from ``max_momentum`` to ``base_momentum`` and back.
        div_factor: the first rate is max_lr / div_factor.
        final_div_factor: the last rate is the first one / final_div_factor.
        three_phase: fall back to the first rate as fast as it climbed, then to the last one.

    Raises ValueError for an option out of range, and for a step beyond the cycle.
    Source: ``torch.optim.lr_scheduler.OneCycleLR``.

    >>> import nnkit
    >>> optimizer = nnkit.optim.SGD([nnkit.zeros(1)], momentum=0.9)
    >>> OneCycleLR(optimizer, max_lr=1.0, total_steps=10, div_factor=4.0).get_last_lr()
    [0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ValueError("give total_steps, or epochs and steps_per_epoch")
        if total_steps is None:
            total_steps = positive_int("epochs", epochs) * positive_int("steps_per_epoch", steps_per_epoch)
        if not 0.0 <= pct_start <= 1.0:
            raise ValueError(f"pct_start must be from 0 to 1, got {pct_start!r}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        if cycle_momentum and not {"momentum", "betas"} & optimizer.defaults.keys():
            raise ValueError(
                f"cycle_momentum: {type(optimizer).__name__} has neither momentum nor betas; pass cycle_momentum=False"
            )
        self.total_steps = positive_int("total_steps", total_steps)
        self.anneal_strategy, self.cycle_momentum = anneal_strategy, cycle_momentum
        self.momenta = {"low": base_momentum, "high": max_momentum}
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        self.phases = self._phases(pct_start, three_phase)
        self.max_lr: float | list[float] = [float(one) for one in max_lr] if isinstance(max_lr, Sequence) else max_lr
        if isinstance(self.max_lr, list):
            _same_count(self.max_lr, optimizer)
        super().__init__(optimizer, last_epoch)

    def first_rate(self, number: int, group: ParameterGroup) -> float:
        """A group begins its cycle at its own part of max_lr, whatever rate it has."""
        if isinstance(self.max_lr, list):
            _same_count(self.max_lr, self.optimizer)
        if self.last_epoch == -1 or "initial_lr" not in group:
            highest = self.max_lr[number] if isinstance(self.max_lr, list) else self.max_lr
            group["initial_lr"] = highest / self.div_factor
        return float(group["initial_lr"])

    def first_lr(self) -> list[float]:
        return self.get_lr()

    def _phases(self, pct_start: float, three_phase: bool) -> list[tuple[float, str, str, str, str]]:
        """Rows of (last step, rate from, rate to, momentum from, momentum to)."""
        climb = (pct_start * self.total_steps - 1, "first", "max", "high", "low")
        if not three_phase:
            return [climb, (self.total_steps - 1, "max", "last", "low", "high")]
        fall = (2 * pct_start * self.total_steps - 2, "max", "first", "low", "high")
        return [climb, fall, (self.total_steps - 1, "first", "last", "high", "high")]

    def get_lr(self) -> list[float]:
        """The rate of each group at the present step; sets the momentum too."""
        if self.last_epoch > self.total_steps:
            raise ValueError(f"step {self.last_epoch} is beyond the cycle's total_steps={self.total_steps}")
        start = 0.0
        for phase in self.phases:
            if self.last_epoch <= phase[0] or phase is self.phases[-1]:
                break
            start = phase[0]
        end, rate_from, rate_to, momentum_from, momentum_to = phase
        share = (self.last_epoch - start) / (end - start) if end != start else 1.0
        if self.cycle_momentum:
            self._set_momentum(self._anneal(self.momenta[momentum_from], self.momenta[momentum_to], share))
        rates = []
        for number, first in enumerate(self.base_lrs):
            highest = self.max_lr[number] if isinstance(self.max_lr, list) else self.max_lr
            named = {"first": first, "max": highest, "last": first / self.final_div_factor}
            rates.append(self._anneal(named[rate_from], named[rate_to], share))
        return rates

    def _anneal(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * share
        return end + (start - end) / 2.0 * (1.0 + math.cos(math.pi * share))

    def _set_momentum(self, momentum: float) -> None:
        for group in self.optimizer.param_groups:
            if "betas" in self.optimizer.defaults:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum


def _same_count(max_lr: list[float], optimizer: Optimizer) -> None:
    if len(max_lr) != len(optimizer.param_groups):
        raise ValueError(f"max_lr: {len(max_lr)} values for {len(optimizer.param_groups)} parameter groups")
