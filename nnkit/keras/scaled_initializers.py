"""First weights whose spread goes by the numbers of inputs and outputs, under Keras's names and defaults.

Definitions: ``keras.initializers``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnkit.keras.initializer import Initializer
from nnkit.nn import init
from nnkit.tensors.tensor import Tensor

#: The standard deviation of a standard normal variable cut off at -2 and 2.
TRUNCATED_DEVIATION = 0.87962566103423978


class VarianceScaling(Initializer):
    """A spread of variance ``scale / n``, with n the fan-in, the fan-out or their average.

    Args:
        scale: a positive factor.
        mode: ``"fan_in"``, ``"fan_out"`` or ``"fan_avg"``.
        distribution: ``"truncated_normal"``, ``"untruncated_normal"`` or ``"uniform"``.
        seed: an integer that makes every call the same.

    >>> VarianceScaling()((2, 3)).shape
    (2, 3)
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        if scale <= 0:
            raise ValueError(f"scale must be larger than 0; got {scale}")
        distribution = "truncated_normal" if distribution == "normal" else distribution
        for argument, given, known in (
            ("mode", mode, ("fan_in", "fan_out", "fan_avg")),
            ("distribution", distribution, ("truncated_normal", "untruncated_normal", "uniform")),
        ):
            if given not in known:
                raise ValueError(f"{argument} must be one of {', '.join(known)}; got {given!r}")
        self.scale, self.mode, self.distribution = scale, mode, distribution

    def fill(self, values: Tensor) -> None:
        fan_in, fan_out = _fans(values.shape)
        count = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        deviation = math.sqrt(self.scale / max(1.0, count))
        if self.distribution == "uniform":
            limit = math.sqrt(3.0) * deviation
            init.uniform_(values, -limit, limit)
        elif self.distribution == "untruncated_normal":
            init.normal_(values, 0.0, deviation)
        else:
            deviation /= TRUNCATED_DEVIATION
            init.trunc_normal_(values, 0.0, deviation, -2 * deviation, 2 * deviation)


class _Scaled(VarianceScaling):
    """A :class:`VarianceScaling` whose subclass fixes everything but the seed."""

    settings: tuple[float, str, str]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self.settings, seed=seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class GlorotUniform(_Scaled):
    """Uniform within ``sqrt(6 / (fan_in + fan_out))`` of 0 (Glorot & Bengio, 2010): ``Dense``'s default.

    >>> GlorotUniform()((2, 3)).shape
    (2, 3)
    """

    settings = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal of standard deviation ``sqrt(2 / (fan_in + fan_out))`` (Glorot & Bengio, 2010).

    >>> GlorotNormal()((2, 3)).shape
    (2, 3)
    """

    settings = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform within ``sqrt(6 / fan_in)`` of 0 (He et al., 2015).

    >>> HeUniform()((2, 3)).shape
    (2, 3)
    """

    settings = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal of standard deviation ``sqrt(2 / fan_in)`` (He et al., 2015).

    >>> HeNormal()((2, 3)).shape
    (2, 3)
    """

    settings = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform within ``sqrt(3 / fan_in)`` of 0 (LeCun et al., 1998).

    >>> LecunUniform()((2, 3)).shape
    (2, 3)
    """

    settings = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal of standard deviation ``sqrt(1 / fan_in)`` (LeCun et al., 1998).

    >>> LecunNormal()((2, 3)).shape
    (2, 3)
    """

    settings = (1.0, "fan_in", "truncated_normal")


def _fans(shape: Sequence[int]) -> tuple[float, float]:
    """Inputs and outputs of a weight: rows and columns, times the size of the window before them."""
    if len(shape) < 2:
        count = float(shape[0]) if shape else 1.0
        return count, count
    window = math.prod(shape[:-2])
    return float(window * shape[-2]), float(window * shape[-1])
