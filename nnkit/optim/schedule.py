"""What a schedule of the learning rate is: a rate for each step or epoch, put into an optimizer's groups."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from nnkit.errors import ModelFileError
from nnkit.optim.checkpoint import check_schedule
from nnkit.optim.groups import ParameterGroup, note_option_read
from nnkit.optim.optimizer import Optimizer


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
