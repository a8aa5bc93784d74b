"""What comes around an update: gradients of several batches added up, and a moving average of the weights.

Counters and averages are tensors, so that a recorded step goes on by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nnkit import ops
from nnkit.tensors import dtypes
from nnkit.tensors.creation import zeros, zeros_like
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["Accumulated", "MovingAverage"]


class Accumulated:
    """Adds up the gradients of ``steps`` batches; an update by their mean comes at the last of them."""

    def __init__(self, parameters: Sequence[Tensor], steps: int) -> None:
        self.steps = steps
        self.parameters = list(parameters)
        self.sums = [zeros_like(parameter.detach()) for parameter in self.parameters]
        #: How many batches were added up since the last update.
        self.count = zeros(1, dtype=dtypes.float64, device=self.parameters[0].device)

    @no_grad()
    def run(self, update: Callable[[Tensor], None], skipped: Tensor | None) -> None:
        """Add the gradients, and call ``update(flag)``: where the flag is not 0 it must change nothing.

        ``skipped`` is not 0 where a gradient overflowed: such a batch counts as none.
        """
        is_lost = ops.gt(self.count * 0.0 if skipped is None else skipped, 0.0)
        counted = ops.where(is_lost, self.count, self.count + 1.0)
        waits = ops.to(ops.logical_or(is_lost, counted < float(self.steps)), dtype=dtypes.float64)
        held = []
        for parameter, total in zip(self.parameters, self.sums, strict=True):
            gradient = parameter.grad
            if gradient is None:
                continue
            lost = ops.reshape(is_lost, (1,) * total.ndim)
            total.copy_(ops.where(lost, total, total + gradient))
            gradient.copy_(total / float(self.steps))
            held.append(total)
        update(waits)
        for total in held:
            total.copy_(ops.where(ops.reshape(ops.gt(waits, 0.0), (1,) * total.ndim), total, 0.0))
        self.count.copy_(ops.where(counted < float(self.steps), counted, 0.0))


class MovingAverage:
    """Keeps ``momentum * average + (1 - momentum) * weight`` of each weight, from the first update's weights on.

    With ``overwrite_every`` the weights become their averages after so many updates. As in Keras, an average is taken
    at every batch, also where an update takes ``batches`` of them.
    """

    def __init__(
        self, parameters: Sequence[Tensor], momentum: float, overwrite_every: int | None, batches: int = 1
    ) -> None:
        self.momentum, self.overwrite_every, self.batches = momentum, overwrite_every, batches
        self.parameters = list(parameters)
        self.averages = [zeros_like(parameter.detach()) for parameter in self.parameters]
        #: How many batches there were.
        self.count = zeros(1, dtype=dtypes.int64, device=self.parameters[0].device)

    @no_grad()
    def update(self) -> None:
        """Take the weights in as they are now."""
        updates = ops.floor_divide(self.count, self.batches)
        momentum = ops.where(ops.eq(updates, 0), 0.0, self.momentum)
        for parameter, average in zip(self.parameters, self.averages, strict=True):
            kept = ops.to(ops.reshape(momentum, (1,) * parameter.ndim), dtype=parameter.dtype)
            average.copy_(kept * average + (1.0 - kept) * parameter)
            if self.overwrite_every:
                now = ops.eq(ops.remainder(updates + 1, self.overwrite_every), 0)
                parameter.copy_(ops.where(ops.reshape(now, (1,) * parameter.ndim), average, parameter))
        self.count.add_(1)

    @no_grad()
    def overwrite(self) -> None:
        """Make the weights their averages."""
        for parameter, average in zip(self.parameters, self.averages, strict=True):
            parameter.copy_(average)


def checked_options(kind: str, options: Any) -> dict[str, Any]:
    """``use_ema``, ``ema_momentum``, ``ema_overwrite_frequency`` and ``gradient_accumulation_steps``, checked."""
    use_ema, momentum = bool(options.get("use_ema", False)), options.get("ema_momentum", 0.99)
    every, steps = options.get("ema_overwrite_frequency"), options.get("gradient_accumulation_steps")
    if use_ema and not 0 <= momentum <= 1:
        raise ValueError(f"{kind}: ema_momentum must be a number from 0 to 1; got {momentum!r}")
    if use_ema and every is not None and (not isinstance(every, int) or every < 1):
        raise ValueError(f"{kind}: ema_overwrite_frequency must be a whole number of at least 1; got {every!r}")
    if steps is not None and (not isinstance(steps, int) or steps < 2):
        raise ValueError(f"{kind}: gradient_accumulation_steps must be a whole number of at least 2; got {steps!r}")
    return {
        "use_ema": use_ema, "ema_momentum": momentum, "ema_overwrite_frequency": every,
        "gradient_accumulation_steps": steps,
    }  # fmt: skip
