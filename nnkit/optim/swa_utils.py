"""Averages of weights along the way: stochastic weight averaging and exponential moving averages, by PyTorch's names.

The averaging functions and the schedule are here; ``AveragedModel`` and ``update_bn``, which know modules, are in
``nnkit.training.averaging``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from nnkit import ops
from nnkit.optim.optimizer import Optimizer
from nnkit.optim.schedule import LRScheduler
from nnkit.recording.observer import call
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "AveragedModel", "SWALR", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn",
    "update_bn",
]


def __dir__() -> list[str]:
    return sorted(__all__)


# fmt: on

#: (average, present value, Tensor () of how many were averaged before) -> the next average.
Average = Callable[[Tensor, Tensor, Tensor], Tensor]
#: The same for lists, written into the first.
AverageAll = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor], None]

# Attached when nnkit is imported, by nnkit.training.averaging.
AveragedModel: Any
update_bn: Callable[..., None]


def get_swa_avg_fn() -> Average:
    """The function that makes plain means.

    Source: ``torch.optim.swa_utils.get_swa_avg_fn``.

    >>> import nnkit
    >>> get_swa_avg_fn()(nnkit.tensor([2.0]), nnkit.tensor([5.0]), nnkit.tensor(2)).tolist()
    [3.0]
    """

    @no_grad()
    def averaged(average: Tensor, present: Tensor, count: Tensor) -> Tensor:
        return average + (present - average) / (count + 1).to(average.dtype)

    return averaged


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """The function that makes exponential moving averages: decay average + (1 - decay) present.

    Raises ValueError unless ``decay`` is from 0 to 1. Source: ``torch.optim.swa_utils.get_ema_avg_fn``.

    >>> import nnkit
    >>> get_ema_avg_fn(0.5)(nnkit.tensor([2.0]), nnkit.tensor([5.0]), nnkit.tensor(2)).tolist()
    [3.5]
    """
    check_decay(decay)

    @no_grad()
    def averaged(average: Tensor, present: Tensor, count: Tensor) -> Tensor:
        return decay * average + (1.0 - decay) * present

    return averaged


def get_swa_multi_avg_fn() -> AverageAll:
    """``get_swa_avg_fn`` for lists, in place.

    Tensors of any shapes and float dtypes. Source: ``torch.optim.swa_utils.get_swa_multi_avg_fn``.

    >>> import nnkit
    >>> averages = [nnkit.tensor([2.0])]
    >>> get_swa_multi_avg_fn()(averages, [nnkit.tensor([5.0])], nnkit.tensor(2)); averages
    [tensor([3.])]
    """
    return _for_all(get_swa_avg_fn())


def get_ema_multi_avg_fn(decay: float = 0.999) -> AverageAll:
    """``get_ema_avg_fn`` for lists, in place.

    Tensors of any shapes and float dtypes. Raises ValueError unless ``decay`` is from 0 to 1. Source:
    ``torch.optim.swa_utils.get_ema_multi_avg_fn``.

    >>> import nnkit
    >>> averages = [nnkit.tensor([2.0])]
    >>> get_ema_multi_avg_fn(0.5)(averages, [nnkit.tensor([5.0])], nnkit.tensor(2)); averages
    [tensor([3.5])]
    """
    return _for_all(get_ema_avg_fn(decay))


def _for_all(one: Average) -> AverageAll:
    @no_grad()
    def averaged(averages: Sequence[Tensor], present: Sequence[Tensor], count: Tensor) -> None:
        for average, value in zip(averages, present, strict=True):
            average.copy_(one(average, value, count))

    return averaged


def check_decay(decay: float) -> None:
    """Raise ValueError unless ``decay`` is from 0 to 1."""
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"decay must be from 0 to 1, got {decay!r}")


@no_grad()
def average_into(average: Tensor, present: Tensor, count: Tensor, one: Average) -> None:
    """Replace an average by the next one; by the present value where ``count``, on the device, is 0."""
    present = present.detach().to(average.device)
    keep_first(average, present, count, call(one, average.detach(), present, count))


def keep_first(average: Tensor, present: Tensor, count: Tensor, then: Tensor) -> None:
    """Write the present value where ``count`` is 0, else ``then``."""
    average.copy_(ops.where(ops.eq(count, 0), present.to(average.dtype), then.to(average.dtype)))


class SWALR(LRScheduler):
    """From the present rate to ``swa_lr`` in ``anneal_epochs`` steps; then it stays.

    Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, 2018.

    Args:
        optimizer: its groups get an option "swa_lr".
        swa_lr: the rate at the end, one for all groups or a list.
        anneal_epochs: 0 goes there at the first step.
        anneal_strategy: "cos" or "linear".

    Raises ValueError for an option out of range. Source: ``torch.optim.swa_utils.SWALR``.

    >>> import nnkit
    >>> scheduler = SWALR(nnkit.optim.SGD([nnkit.zeros(1)], lr=1.0), swa_lr=0.5, anneal_epochs=2)
    >>> [scheduler.step() or scheduler.get_last_lr()[0] for _ in range(3)]
    [0.75, 0.5, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be a whole number of at least 0, got {anneal_epochs!r}")
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        groups = optimizer.param_groups
        ends = list(swa_lr) if isinstance(swa_lr, Sequence) else [swa_lr] * len(groups)
        if len(ends) != len(groups):
            raise ValueError(f"swa_lr: {len(ends)} values for {len(groups)} parameter groups")
        for group, end in zip(groups, ends, strict=True):
            group["swa_lr"] = float(end)
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How far along the way a step is, from 0 to 1."""
        share = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return share if self.anneal_strategy == "linear" else (1.0 - math.cos(math.pi * share)) / 2.0

    def get_lr(self) -> list[float]:
        """The rate of each group, from the one that it has."""
        step = self.last_epoch if self.anneal_epochs else max(1, self.last_epoch)
        now, before = self._share(step), self._share(step - 1)
        rates = []
        for group in self.optimizer.param_groups:
            end, rate = group.get("swa_lr", group["lr"]), group["lr"]
            first = end if before == 1.0 else (rate - before * end) / (1.0 - before)
            rates.append(end * now + first * (1.0 - now))
        return rates
