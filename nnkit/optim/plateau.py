"""The schedule that watches a metric: when it stops getting better, the learning rate is lowered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import SupportsFloat

from nnkit.optim.optimizer import Optimizer
from nnkit.optim.schedule import LRScheduler


class ReduceLROnPlateau(LRScheduler):
    """Lower the rate when ``step(metric)`` has brought no improvement for more than ``patience`` calls.

    Args:
        optimizer: the optimizer whose groups' "lr" is lowered.
        mode: "min" if less is better, "max" if more is.
        factor: what the rate is multiplied by, less than 1.
        patience: how many calls without improvement are borne.
        threshold: how much better counts as better: relative to the best ("rel") or absolute ("abs").
        threshold_mode: "rel" or "abs".
        cooldown: how many calls after a reduction are not counted.
        min_lr: the rate is not lowered below this; one for all groups or a list.
        eps: a smaller change of the rate is not made.
        verbose: PyTorch's old word, which changes nothing: read ``get_last_lr()`` and print it.

    Raises ValueError for an option out of range. Source: ``torch.optim.lr_scheduler.ReduceLROnPlateau``.

    >>> import nnkit
    >>> optimizer = nnkit.optim.SGD([nnkit.Parameter(nnkit.zeros(1))], lr=1.0)
    >>> scheduler = ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
    >>> for loss in (1.0, 1.0): scheduler.step(loss)
    >>> optimizer.param_groups[0]["lr"]
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
        verbose: bool | str = "deprecated",
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an nnkit.optim.Optimizer, got {type(optimizer).__name__}")
        if not factor < 1.0:
            raise ValueError(f"factor must be less than 1, got {factor!r}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold_mode must be 'rel' or 'abs', got {threshold_mode!r}")
        self.min_lr: float | list[float] = list(min_lr) if isinstance(min_lr, Sequence) else min_lr
        self.optimizer, self.mode, self.reduction, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = (
            threshold,
            threshold_mode,
            cooldown,
            eps,
        )
        self._least()
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._last_lr = self.get_lr()

    def _least(self) -> list[float]:
        """The least rate of each group."""
        groups = len(self.optimizer.param_groups)
        if not isinstance(self.min_lr, list):
            return [self.min_lr] * groups
        if len(self.min_lr) != groups:
            raise ValueError(f"min_lr: {len(self.min_lr)} values for {groups} parameter groups")
        return self.min_lr

    def get_lr(self) -> list[float]:
        """The present rate of each group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def step(self, metrics: SupportsFloat) -> None:  # type: ignore[override]
        """Note the metric's new value, a number or a Tensor of one element; lower the rate if it is time."""
        value = float(metrics)
        self.last_epoch += 1
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        rates = self.get_lr()
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            rates = [self._reduced(rate, least) for rate, least in zip(rates, self._least(), strict=True)]
        self._set(rates)

    def _is_better(self, value: float) -> bool:
        change = -self.threshold if self.mode == "min" else self.threshold
        bar = self.best * (1.0 + change) if self.threshold_mode == "rel" else self.best + change
        return value < bar if self.mode == "min" else value > bar

    def _reduced(self, rate: float, least: float) -> float:
        lowered = max(rate * self.reduction, least)
        return lowered if rate - lowered > self.eps else rate
