"""Learning-rate schedules: functions from the number of updates made so far to a learning rate.

Give one to an optimizer in place of a number, ``SGD(learning_rate=ExponentialDecay(0.1, 1000, 0.9))``: the
rate is then computed anew before every update. Definitions: ``keras.optimizers.schedules``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nnkit.keras.naming import configured, resolve

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


class LearningRateSchedule:
    """The base class: a schedule defines ``__call__(step)``, which gives the rate.

    ``step`` counts updates from 0. Source: ``keras.optimizers.schedules.LearningRateSchedule``.

    >>> class Halved(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.1 * 0.5**step
    >>> Halved()(1)
    0.05
    """

    def __call__(self, step: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, step)")

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild this schedule."""
        return dict(vars(self))


class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``; in whole steps with ``staircase``.

    Raises ValueError for ``decay_steps`` of 0 or less. Source: ``keras.optimizers.schedules.ExponentialDecay``.

    >>> ExponentialDecay(0.5, decay_steps=10, decay_rate=0.25)(5)
    0.25
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate * self.decay_rate ** _periods(self, step)


class InverseTimeDecay(LearningRateSchedule):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Raises ValueError for ``decay_steps`` of 0 or less. Source: ``keras.optimizers.schedules.InverseTimeDecay``.

    >>> InverseTimeDecay(0.5, decay_steps=1, decay_rate=1.0)(4)
    0.1
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate / (1 + self.decay_rate * _periods(self, step))


class PolynomialDecay(LearningRateSchedule):
    """From ``initial_learning_rate`` to ``end_learning_rate`` in ``decay_steps``, by a power of the rest.

    With ``cycle`` the way is as many times ``decay_steps`` long as it takes to be longer than the steps so far. Raises
    ValueError for ``decay_steps`` of 0 or less. Source: ``keras.optimizers.schedules.PolynomialDecay``.

    >>> PolynomialDecay(1.0, decay_steps=4, end_learning_rate=0.0)(1)
    0.75
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def __call__(self, step: int) -> float:
        way = self.decay_steps * (max(math.ceil(step / self.decay_steps), 1) if self.cycle else 1)
        rest = 1 - min(step, way) / way
        return (self.initial_learning_rate - self.end_learning_rate) * rest**self.power + (self.end_learning_rate)


class CosineDecay(LearningRateSchedule):
    """Half a cosine wave from the initial rate down to ``alpha`` times it (Loshchilov & Hutter, 2016).

    With ``warmup_target`` the rate first climbs linearly from ``initial_learning_rate`` to that target in
    ``warmup_steps`` updates, and decays from there. Raises ValueError for ``decay_steps`` of 0 or less. Source:
    ``keras.optimizers.schedules.CosineDecay``.

    >>> CosineDecay(0.5, decay_steps=2)(1)
    0.25
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def __call__(self, step: int) -> float:
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top, step = self.warmup_target, step - self.warmup_steps
        wave = (1 + math.cos(math.pi * min(step, self.decay_steps) / self.decay_steps)) / 2
        return top * ((1 - self.alpha) * wave + self.alpha)


class CosineDecayRestarts(LearningRateSchedule):
    """Half cosine waves one after another, each ``t_mul`` times as long and ``m_mul`` times as high as the one before.

    Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017. Raises ValueError for
    ``first_decay_steps`` of 0 or less. Source: ``keras.optimizers.schedules.CosineDecayRestarts``.

    >>> [CosineDecayRestarts(1.0, first_decay_steps=2, m_mul=0.5)(step) for step in (0, 1, 2, 4)]
    [1.0, 0.5, 0.5, 0.25]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = _positive("first_decay_steps", first_decay_steps)
        self.t_mul, self.m_mul, self.alpha, self.name = t_mul, m_mul, alpha, name

    def __call__(self, step: int) -> float:
        done = step / self.first_decay_steps
        if self.t_mul == 1.0:
            wave = math.floor(done)
            share = done - wave
        else:
            wave = math.floor(math.log(1.0 - done * (1.0 - self.t_mul)) / math.log(self.t_mul))
            share = (done - (1.0 - self.t_mul**wave) / (1.0 - self.t_mul)) / self.t_mul**wave
        height = self.m_mul**wave * (1.0 + math.cos(math.pi * share)) / 2.0
        return self.initial_learning_rate * ((1.0 - self.alpha) * height + self.alpha)


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[i]`` up to and including step ``boundaries[i]``, the last value after that.

    Raises ValueError where there is not one value more than boundaries. Source:
    ``keras.optimizers.schedules.PiecewiseConstantDecay``.

    >>> schedule = PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1])
    >>> [schedule(step) for step in (10, 11, 20, 21)]
    [1.0, 0.5, 0.5, 0.1]
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant") -> None:
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "values must have one entry more than boundaries; "
                f"got {len(values)} values and {len(boundaries)} boundaries"
            )
        self.boundaries = list(boundaries)
        self.values = list(values)
        self.name = name

    def __call__(self, step: int) -> float:
        return self.values[bisect_left(self.boundaries, step)]


_BY_NAME: Mapping[str, Callable[..., LearningRateSchedule]] = {
    cls.__name__: cls
    for cls in (
        ExponentialDecay,
        InverseTimeDecay,
        PolynomialDecay,
        CosineDecay,
        CosineDecayRestarts,
        PiecewiseConstantDecay,
    )
}


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any]:
    """``{"class_name": …, "config": …}``, of which :func:`deserialize` makes the schedule again.

    Raises TypeError for what is no schedule. Source: ``keras.optimizers.schedules.serialize``.

    >>> serialize(InverseTimeDecay(0.5, 1, 1.0))["class_name"]
    'InverseTimeDecay'
    """
    return dict(configured(learning_rate_schedule))


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> LearningRateSchedule:
    """The schedule that ``{"class_name": …, "config": …}`` describes.

    ``custom_objects`` are further classes by name. Raises UnknownNameError, a ValueError, for another class. Source:
    ``keras.optimizers.schedules.deserialize``.

    >>> deserialize(serialize(InverseTimeDecay(0.5, 1, 1.0)))(4)
    0.1
    """
    return resolve("learning-rate schedule", config, {**_BY_NAME, **(custom_objects or {})})


def _periods(schedule: ExponentialDecay | InverseTimeDecay, step: int) -> float:
    """How many decay periods have passed: a fraction, or the whole number below it for a staircase."""
    periods = step / schedule.decay_steps
    return math.floor(periods) if schedule.staircase else periods


def _positive(name: str, value: int) -> int:
    if value <= 0:
        raise ValueError(f"{name} must be larger than 0; got {value}")
    return value
