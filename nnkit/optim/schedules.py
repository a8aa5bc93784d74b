"""Learning-rate schedules: the rate as a function of how often ``scheduler.step()`` was called.

Definitions and defaults are those of ``torch.optim.lr_scheduler``. Each schedule changes the rate that it finds in
``group["lr"]``, so several may work on one optimizer, and a rate set by hand counts. Setting ``group["lr"]`` reaches
the device at once: a recorded training step that is replayed uses the new rate. Several in one are in ``composed``.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nnkit.errors import ModelFileError
from nnkit.optim.checkpoint import check_schedule
from nnkit.optim.groups import ParameterGroup, note_option_read
from nnkit.optim.optimizer import Optimizer, check_not_negative


class LRScheduler:
    """The base of the schedules: a subclass gives ``factor``, or ``get_lr`` as in PyTorch.

    Making a scheduler takes its step 0. Without ``last_epoch`` a group's first rate, "initial_lr", is the one that an
    earlier scheduler noted, else the present one. Groups that are added later join in at the present step.

    Args:
        optimizer: the optimizer whose groups' "lr" is set.
        last_epoch: the number of the last step that was taken; -1 to start.

    Raises TypeError when ``optimizer`` is not one, KeyError to resume with a group that has no "initial_lr".

    >>> import nnkit
    >>> optimizer = nnkit.optim.SGD([nnkit.ones(1, requires_grad=True)], lr=0.5)
    >>> class Halving(LRScheduler):
    ...     def factor(self, epoch):
    ...         return 0.5**epoch
    >>> Halving(optimizer).get_last_lr()
    [0.5]
    """

    #: What the rate approaches instead of 0: ``factor`` is the share of the distance from it.
    eta_min: float = 0.0
    #: What is divided by, and so cannot be 0 or nothing in a state.
    divisors: tuple[str, ...] = (
        "step_size", "T_max", "total_iters", "total_steps", "div_factor", "final_div_factor", "phases",
    )  # fmt: skip

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an nnkit.optim.Optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch != -1 and "initial_lr" not in group:
                raise KeyError(
                    f"group {number} has no 'initial_lr': to resume with last_epoch={last_epoch}, "
                    "load the optimizer's state first"
                )
        self.base_lrs: list[float] = []
        self.last_epoch = last_epoch
        self.step()

    def factor(self, epoch: int) -> float:
        """What the first rate is multiplied by after ``epoch`` steps."""
        raise NotImplementedError(f"{type(self).__name__} must define factor(epoch) or get_lr()")

    def get_lr(self) -> list[float]:
        """The rate of each group at the present step, from the one that it has."""
        now = self.factor(self.last_epoch)
        before = self.factor(self.last_epoch - 1) if self.last_epoch > 0 else 1.0
        present = [float(group["lr"]) for group in self.optimizer.param_groups]
        if now == before:
            return present
        if before == 0.0:  # No factor leads back from nothing: the way from the first rate is added.
            return [rate + (base - self.eta_min) * now for rate, base in zip(present, self.base_lrs, strict=True)]
        return [self.eta_min + (rate - self.eta_min) * (now / before) for rate in present]

    def first_lr(self) -> list[float]:
        """The rate of each group at step 0, whatever it has now."""
        start = self.factor(0)
        return [self.eta_min + (base - self.eta_min) * start if start != 1.0 else base for base in self.base_lrs]

    def get_last_lr(self) -> list[float]:
        """The rates that were set last, one for each group."""
        note_option_read(self, "_last_lr", list(self._last_lr))
        return self._last_lr

    def step(self) -> None:
        """Go one step on and set the rates. Call it after ``optimizer.step()``."""
        self._meet_groups()
        self.last_epoch += 1
        self._set(self.get_lr())

    def restart(self) -> None:
        """Be at step 0 again, from the first rates: how ``SequentialLR`` begins with a schedule."""
        self._meet_groups()
        self.last_epoch = 0
        self._set(self.first_lr())

    def undo(self) -> None:
        """Count one step less; the rates stay."""
        self.last_epoch -= 1

    def _meet_groups(self) -> None:
        """Note the first rate of groups that are new to the optimizer."""
        for number, group in enumerate(self.optimizer.param_groups[len(self.base_lrs) :], len(self.base_lrs)):
            self.base_lrs.append(self.first_rate(number, group))

    def first_rate(self, number: int, group: ParameterGroup) -> float:
        """The first rate of a group that this schedule meets."""
        return float(group.setdefault("initial_lr", group["lr"]))

    def _set(self, rates: Sequence[float]) -> None:
        for number, rate in enumerate(rates):
            if not rate >= 0.0:
                raise ValueError(
                    f"{type(self).__name__}: step {self.last_epoch} would set the rate of group {number} "
                    f"to {rate:.4g}, and lr must be at least 0{self._why_negative()}"
                )
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = list(rates)

    def _why_negative(self) -> str:
        """What made a rate negative, where it can be known."""
        if not self.eta_min > 0.0:
            return ""
        return f": it was set below eta_min={self.eta_min!r}, by another schedule or by hand; pass eta_min=0"

    # ---- checkpoints ----------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All of the scheduler but its optimizer and its functions, and the present rates."""
        kept = {k: v for k, v in vars(self).items() if k not in ("optimizer", "lr_lambdas", "schedulers")}
        return kept | {"group_lrs": [float(group["lr"]) for group in self.optimizer.param_groups]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned, at its rates; another's raises ModelFileError, nothing changes."""
        self.check_state(state_dict)
        self.take_state(state_dict)
        for group, rate in zip(self.optimizer.param_groups, _saved_rates(state_dict), strict=False):
            group["lr"] = rate

    def check_state(self, state_dict: Mapping[str, Any]) -> None:
        """Raise ModelFileError unless all of this is the state of such a scheduler."""
        check_schedule(self, state_dict)
        rates, groups = _saved_rates(state_dict), len(self.optimizer.param_groups)
        if not isinstance(rates, (list, tuple)) or len(rates) > groups or not all(_is_rate(rate) for rate in rates):
            raise ModelFileError(
                f"the state must have at most {groups} rates, one for each group, numbers from 0 on, got {rates!r}; "
                "nothing was loaded"
            )

    def take_state(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state that was checked, but for the rates of the groups."""
        vars(self).update({k: _copied(v) for k, v in state_dict.items() if k not in ("group_lrs", "schedulers")})


def _saved_rates(state_dict: Mapping[str, Any]) -> Any:
    return state_dict.get("group_lrs", state_dict.get("_last_lr"))


def _is_rate(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value <= sys.float_info.max  # also of whole numbers beyond float's


def _copied(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value


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
