"""Learning-rate schedules: the rate as a function of how often ``scheduler.step()`` was called.

Definitions and defaults are those of ``torch.optim.lr_scheduler``. Each rate is computed from the group's
first one (its "initial_lr") and the step count, not from the previous rate, so it carries no rounding along.
Setting ``group["lr"]`` reaches the device at once: a recorded training step that is replayed uses the new rate.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nnkit.optim.checkpoint import check_schedule
from nnkit.optim.optimizer import Optimizer, check_not_negative


class LRScheduler:
    """The base of the schedules: a subclass gives ``factor``, by which the first rate is multiplied.

    Making a scheduler sets the rate of step 0.

    Args:
        optimizer: the optimizer whose groups' "lr" is set.
        last_epoch: the number of the last step that was taken; -1 to start.

    Raises TypeError when ``optimizer`` is not one, KeyError to resume with a group that has no "initial_lr".
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an nnkit.optim.Optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"group {number} has no 'initial_lr': to resume with last_epoch={last_epoch}, "
                    "load the optimizer's state first"
                )
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def factor(self, epoch: int) -> float:
        """What the first rate is multiplied by after ``epoch`` steps."""
        raise NotImplementedError(f"{type(self).__name__} must define factor(epoch) or get_lr()")

    def get_lr(self) -> list[float]:
        """The rate of each group at the present step."""
        return [base * self.factor(self.last_epoch) for base in self.base_lrs]

    def get_last_lr(self) -> list[float]:
        """The rates that were set last, one for each group."""
        return self._last_lr

    def step(self) -> None:
        """Go one step on and set the rates. Call it after ``optimizer.step()``."""
        self.last_epoch += 1
        self._set(self.get_lr())

    def _set(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = list(rates)

    def state_dict(self) -> dict[str, Any]:
        """All of the scheduler but its optimizer and its functions."""
        return {k: v for k, v in vars(self).items() if k not in ("optimizer", "lr_lambdas")}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned; another's raises ModelFileError and changes nothing."""
        check_schedule(self, state_dict)
        vars(self).update(state_dict)


def positive_int(name: str, value: Any) -> int:
    """``value`` if it is a whole number above 0. Raises ValueError otherwise."""
    if not isinstance(value, int) or value <= 0:
        raise ValueError(f"{name} must be a whole number greater than 0, got {value!r}")
    return value


class StepLR(LRScheduler):
    """Multiply the rate by ``gamma`` every ``step_size`` steps.

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
    """The rate times ``factor`` for ``total_iters`` steps, then the rate itself.

    >>> import nnkit
    >>> ConstantLR(nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0), factor=0.5).get_last_lr()
    [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0.0 <= factor <= 1.0:
            raise ValueError(f"factor must be from 0 to 1, got {factor!r}")
        self.start_factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return self.start_factor if epoch < self.total_iters else 1.0


class LinearLR(LRScheduler):
    """From ``start_factor`` times the rate straight to ``end_factor`` times it, in ``total_iters`` steps.

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

    >>> import nnkit
    >>> scheduler = CosineAnnealingLR(nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0), T_max=2)
    >>> scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = positive_int("T_max", T_max), eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        share = (1.0 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2.0
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]


class LambdaLR(LRScheduler):
    """The rate times ``lr_lambda(step)``: one function, or a list with one for each group.

    ``state_dict`` leaves the functions out.

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
        groups = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"lr_lambda: {len(self.lr_lambdas)} functions for {groups} parameter groups")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * float(rule(self.last_epoch)) for base, rule in zip(self.base_lrs, self.lr_lambdas, strict=True)]
