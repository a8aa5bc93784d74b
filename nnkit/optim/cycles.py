"""Schedules that come back: the rate between two bounds, and cosines that begin again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from nnkit.optim.groups import ParameterGroup
from nnkit.optim.optimizer import Optimizer
from nnkit.optim.schedule import LRScheduler
from nnkit.optim.schedules import positive_int


class CosineAnnealingWarmRestarts(LRScheduler):
    """Along half a cosine from the first rate to ``eta_min`` in ``T_0`` steps, then again in ``T_mult`` times as many.

    Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017. As in PyTorch, it does not heed
    the present rate. ``step(epoch)`` goes to that place, which may lie between two steps.

    Raises ValueError for T_0 or T_mult below 1 or not whole, and for a negative place.

    >>> import nnkit
    >>> scheduler = CosineAnnealingWarmRestarts(nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0), T_0=2)
    >>> [scheduler.step() or scheduler.get_last_lr()[0] for _ in range(2)]
    [0.5, 1.0]
    """

    divisors = ("T_0", "T_mult")

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_0, self.T_mult, self.eta_min = positive_int("T_0", T_0), positive_int("T_mult", T_mult), eta_min
        self.place = float(max(last_epoch, -1))
        super().__init__(optimizer, last_epoch)

    def step(self, epoch: float | None = None) -> None:
        """Go one step on, or to the place ``epoch``, and set the rates."""
        if epoch is not None and not epoch >= 0:
            raise ValueError(f"epoch must be at least 0, got {epoch!r}")
        self._meet_groups()
        self.place = self.place + 1.0 if epoch is None else float(epoch)
        self.last_epoch = math.floor(self.place)
        self._set(self.get_lr())

    def restart(self) -> None:
        self.place = 0.0
        super().restart()

    def undo(self) -> None:
        self.place -= 1.0
        super().undo()

    @property
    def T_i(self) -> int:
        """The length of the present cosine."""
        return self._cosine()[1]

    @property
    def T_cur(self) -> float:
        """How far along the present cosine the schedule is."""
        return self._cosine()[0]

    def _cosine(self) -> tuple[float, int]:
        begun, length = self.place, self.T_0
        if self.T_mult == 1:
            return begun % length if begun >= 0 else begun, length
        while begun >= length:
            begun, length = begun - length, length * self.T_mult
        return begun, length

    def get_lr(self) -> list[float]:
        place, length = self._cosine()
        share = (1.0 + math.cos(math.pi * place / length)) / 2.0
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def first_lr(self) -> list[float]:
        return self.get_lr()


class CyclicLR(LRScheduler):
    """From ``base_lr`` straight up to ``max_lr`` and down again, over and over.

    Step it after every batch. Smith, Cyclical Learning Rates for Training Neural Networks, 2017.

    Args:
        optimizer: with "momentum" or "betas" among its options, if ``cycle_momentum``.
        base_lr, max_lr: the bounds, one for all groups or a list.
        step_size_up: the steps of a climb.
        step_size_down: those of a fall; without it as many.
        mode: "triangular"; "triangular2", each cycle half as high; "exp_range", the height times gamma**step.
        gamma: the constant of "exp_range".
        scale_fn: instead of a mode, a function of the cycle (from 1) or the step that multiplies the height.
        scale_mode: "cycle" or "iterations": what ``scale_fn`` takes.
        cycle_momentum: whether the momentum mirrors the rate, from ``max_momentum`` to ``base_momentum`` and back.

    Raises ValueError for an option out of range. Source: ``torch.optim.lr_scheduler.CyclicLR``.

    >>> import nnkit
    >>> scheduler = CyclicLR(nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0, momentum=0.9), 0.0, 1.0, step_size_up=2)
    >>> [scheduler.step() or scheduler.get_last_lr()[0] for _ in range(4)]
    [0.5, 1.0, 0.5, 0.0]
    """

    divisors = ("step_size_up", "step_size_down")

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self.step_size_up = positive_int("step_size_up", step_size_up)
        self.step_size_down = step_size_up if step_size_down is None else positive_int("step_size_down", step_size_down)
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f"mode must be 'triangular', 'triangular2' or 'exp_range', got {mode!r}")
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(f"scale_mode must be 'cycle' or 'iterations', got {scale_mode!r}")
        if cycle_momentum and not {"momentum", "betas"} & optimizer.defaults.keys():
            raise ValueError(
                f"cycle_momentum: {type(optimizer).__name__} has neither momentum nor betas; pass cycle_momentum=False"
            )
        self.lowest, self.highest = _bound(optimizer, "base_lr", base_lr), _bound(optimizer, "max_lr", max_lr)
        self.mode, self.gamma, self.cycle_momentum = mode, gamma, cycle_momentum
        self.lr_lambdas = scale_fn  # kept out of states, as functions are
        self.by_cycle = scale_mode == "cycle" if scale_fn is not None else mode != "exp_range"
        self.momenta = {"low": base_momentum, "high": max_momentum}
        super().__init__(optimizer, last_epoch)

    def first_rate(self, number: int, group: ParameterGroup) -> float:
        """A group begins at its lower bound, whatever rate it has."""
        lowest = _of_group(self.lowest, number)
        if self.last_epoch == -1 or "initial_lr" not in group:
            group["initial_lr"] = lowest
        return lowest

    def _scale(self, cycle: int) -> float:
        if self.lr_lambdas is not None:
            return float(self.lr_lambdas(cycle if self.by_cycle else self.last_epoch))
        if self.mode == "exp_range":
            return float(self.gamma**self.last_epoch)
        return float(0.5 ** (cycle - 1)) if self.mode == "triangular2" else 1.0

    def get_lr(self) -> list[float]:
        """The rate of each group at the present step; sets the momentum too."""
        total = self.step_size_up + self.step_size_down
        cycle, place = self.last_epoch // total + 1, self.last_epoch % total
        climbs = place <= self.step_size_up
        height = place / self.step_size_up if climbs else (total - place) / self.step_size_down
        height *= self._scale(cycle)
        if self.cycle_momentum:
            low, high = self.momenta["low"], self.momenta["high"]
            self._set_momentum(high - (high - low) * height)
        lows, highs = (
            [_of_group(bound, number) for number in range(len(self.base_lrs))] for bound in (self.lowest, self.highest)
        )
        return [low + (high - low) * height for low, high in zip(lows, highs, strict=True)]

    def first_lr(self) -> list[float]:
        return self.get_lr()

    def _set_momentum(self, momentum: float) -> None:
        for group in self.optimizer.param_groups:
            if "betas" in self.optimizer.defaults:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum


def _bound(optimizer: Optimizer, name: str, given: float | Sequence[float]) -> float | list[float]:
    """One number, or one for each group."""
    if not isinstance(given, Sequence):
        return float(given)
    if len(given) != len(optimizer.param_groups):
        raise ValueError(f"{name}: {len(given)} values for {len(optimizer.param_groups)} parameter groups")
    return [float(one) for one in given]


def _of_group(bound: float | list[float], number: int) -> float:
    """A group's own bound; a group that is added later has the last one's."""
    return bound[min(number, len(bound) - 1)] if isinstance(bound, list) else bound
