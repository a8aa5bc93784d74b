"""Learning-rate schedules: the rate as a function of how often ``scheduler.step()`` was called.

Definitions and defaults are those of ``torch.optim.lr_scheduler``. Each schedule changes the rate that it finds in
``group["lr"]``, so several may work on one optimizer, and a rate set by hand counts. Setting ``group["lr"]`` reaches
the device at once: a recorded training step that is replayed uses the new rate. Several in one are in ``composed``.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from nnkit.optim.optimizer import Optimizer, check_not_negative
from nnkit.optim.schedule import LRScheduler


def positive_int(name: str, value: Any) -> int:
    """``value`` if it is a whole number above 0. Raises ValueError otherwise."""
    if not isinstance(value, int) or value <= 0:
        raise ValueError(f"{name} must be a whole number greater than 0, got {value!r}")
    return value


class StepLR(LRScheduler):
    """Multiply the rate by ``gamma`` every ``step_size`` steps.

    Raises ValueError unless step_size > 0. Raises TypeError for what is no Optimizer. As
    ``torch.optim.lr_scheduler.StepLR``.

    >>> import nnkit
    >>> optimizer = nnkit.optim.SGD([nnkit.Parameter(nnkit.zeros(1))], lr=1.0)
    >>> scheduler = StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for _ in range(2): scheduler.step()
    >>> optimizer.param_groups[0]["lr"]
    0.5
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = positive_int("step_size", step_size), gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return float(self.gamma ** (epoch // self.step_size))


class MultiStepLR(LRScheduler):
    """Multiply the rate by ``gamma`` at each of the steps ``milestones``.

    Raises TypeError for what is no Optimizer. As ``torch.optim.lr_scheduler.MultiStepLR``.

    >>> import nnkit
    >>> scheduler = MultiStepLR(nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0), [1, 5], gamma=0.5)
    >>> scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return float(self.gamma ** bisect_right(self.milestones, epoch))


class ExponentialLR(LRScheduler):
    """Multiply the rate by ``gamma`` every step.

    Raises TypeError for what is no Optimizer. As ``torch.optim.lr_scheduler.ExponentialLR``.

    >>> import nnkit
    >>> scheduler = ExponentialLR(nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0), gamma=0.5)
    >>> scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return float(self.gamma**epoch)


class InverseTimeLR(LRScheduler):
    """The rate divided by 1 + decay * step: the ``decay=`` of Keras's first optimizers.

    Raises ValueError for a decay below 0. Raises TypeError for what is no Optimizer.

    >>> import nnkit
    >>> scheduler = InverseTimeLR(nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0), decay=1.0)
    >>> scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, decay: float, last_epoch: int = -1) -> None:
        check_not_negative("decay", decay)
        self.decay = decay
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return 1.0 / (1.0 + self.decay * epoch)


class ConstantLR(LRScheduler):
    """The rate times ``factor`` for ``total_iters`` steps, 0 or more, then the rate itself.

    Raises ValueError for a number of steps below 0. Raises TypeError for what is no Optimizer. As
    ``torch.optim.lr_scheduler.ConstantLR``.

    >>> import nnkit
    >>> ConstantLR(nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0), factor=0.5).get_last_lr()
    [0.5]
    """

    divisors = ()

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0.0 <= factor <= 1.0:
            raise ValueError(f"factor must be from 0 to 1, got {factor!r}")
        if not isinstance(total_iters, int) or total_iters < 0:
            raise ValueError(f"total_iters must be a whole number of at least 0, got {total_iters!r}")
        self.start_factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return self.start_factor if epoch < self.total_iters else 1.0


class LinearLR(LRScheduler):
    """From ``start_factor`` times the rate straight to ``end_factor`` times it, in ``total_iters`` steps.

    Raises ValueError for a factor or a number of steps out of range. Raises TypeError for what is no Optimizer. As
    ``torch.optim.lr_scheduler.LinearLR``.

    >>> import nnkit
    >>> scheduler = LinearLR(nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0), start_factor=0.5, total_iters=2)
    >>> scheduler.step(); scheduler.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0.0 < start_factor <= 1.0:
            raise ValueError(f"start_factor must be greater than 0 and at most 1, got {start_factor!r}")
        if not 0.0 <= end_factor <= 1.0:
            raise ValueError(f"end_factor must be from 0 to 1, got {end_factor!r}")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = positive_int("total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        share = min(epoch, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * share


class PolynomialLR(LRScheduler):
    """(1 - step / total_iters) ** power times the rate; 0 from ``total_iters`` on.

    Raises ValueError unless total_iters > 0. Raises TypeError for what is no Optimizer. As
    ``torch.optim.lr_scheduler.PolynomialLR``.

    >>> import nnkit
    >>> scheduler = PolynomialLR(nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0), total_iters=4)
    >>> scheduler.step(); scheduler.get_last_lr()
    [0.75]
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = positive_int("total_iters", total_iters), power
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return float((1.0 - min(epoch, self.total_iters) / self.total_iters) ** self.power)


class CosineAnnealingLR(LRScheduler):
    """Along half a cosine from the rate to ``eta_min`` in ``T_max`` steps, and back.

    Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017.

    Raises ValueError unless T_max > 0. Raises TypeError for what is no Optimizer.

    >>> import nnkit
    >>> scheduler = CosineAnnealingLR(nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0), T_max=2)
    >>> scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = positive_int("T_max", T_max), eta_min
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return (1.0 + math.cos(math.pi * epoch / self.T_max)) / 2.0


class LambdaLR(LRScheduler):
    """The first rate times ``lr_lambda(step)``: one function, or a list with one for each group.

    The one schedule, with ``OneCycleLR``, that does not heed the present rate. ``state_dict`` leaves the functions out.

    Raises ValueError for another number of functions than groups. Raises TypeError for what is no Optimizer. As
    ``torch.optim.lr_scheduler.LambdaLR``.

    >>> import nnkit
    >>> scheduler = LambdaLR(nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0), lambda step: 0.5**step)
    >>> scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = [lr_lambda] if callable(lr_lambda) else list(lr_lambda)
        self.one_for_all = callable(lr_lambda)
        super().__init__(optimizer, last_epoch)

    def factors(self) -> list[float]:
        """What the functions say at the present step, one number for each group. Raises ValueError where one lacks."""
        groups = len(self.optimizer.param_groups)
        rules = self.lr_lambdas * groups if self.one_for_all else self.lr_lambdas
        if len(rules) != groups:
            raise ValueError(f"lr_lambda: {len(rules)} functions for {groups} parameter groups")
        return [float(rule(self.last_epoch)) for rule in rules]

    def get_lr(self) -> list[float]:
        return [base * factor for base, factor in zip(self.base_lrs, self.factors(), strict=True)]

    def first_lr(self) -> list[float]:
        return self.get_lr()


class MultiplicativeLR(LambdaLR):
    """The present rate times ``lr_lambda(step)`` every step, from step 1 on.

    Raises TypeError for what is no Optimizer. As ``torch.optim.lr_scheduler.MultiplicativeLR``.

    >>> import nnkit
    >>> scheduler = MultiplicativeLR(nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0), lambda step: 0.5)
    >>> scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def get_lr(self) -> list[float]:
        factors = self.factors() if self.last_epoch > 0 else [1.0] * len(self.base_lrs)
        return self._multiplied(factors)

    def first_lr(self) -> list[float]:
        """As in PyTorch, a schedule of a sequence multiplies where it begins, also by ``lr_lambda(0)``."""
        return self._multiplied(self.factors())

    def _multiplied(self, factors: Sequence[float]) -> list[float]:
        return [group["lr"] * factor for group, factor in zip(self.optimizer.param_groups, factors, strict=True)]
