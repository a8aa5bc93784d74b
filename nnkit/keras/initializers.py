"""First weights, under Keras's names and defaults.

An initializer is called with a shape and returns a Tensor of it. For a matrix Keras counts the rows as inputs
and the columns as outputs, and calls their numbers fan-in and fan-out. The ``…Normal`` initializers that
scale by the fans draw from a normal distribution cut off at two standard deviations, widened so that its
standard deviation after the cut is the one asked for. Definitions: ``keras.initializers``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from nnkit.errors import ShapeError
from nnkit.keras import objects
from nnkit.keras.naming import resolve, snake_case
from nnkit.nn import init
from nnkit.tensors import random
from nnkit.tensors.creation import empty
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = [
    "deserialize",
    "serialize",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]

#: The standard deviation of a standard normal variable cut off at -2 and 2.
TRUNCATED_DEVIATION = 0.87962566103423978


class Initializer:
    """The base class: a callable from a shape to a Tensor.

    With an integer ``seed`` every call gives the same numbers; without, they come from nnkit's random stream,
    which ``keras.utils.set_random_seed`` starts afresh.

    >>> class Sevens(Initializer):
    ...     def __call__(self, shape, dtype=None):
    ...         return 7.0 * Ones()(shape, dtype)
    >>> Sevens()((2,)).tolist()
    [7.0, 7.0]
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        values = empty(*shape, dtype=dtype)
        if init.are_skipped():
            return values
        if self.seed is None:
            self.fill(values)
        else:
            with random.using(random.Generator(self.seed)):
                self.fill(values)
        return values

    def fill(self, values: Tensor) -> None:
        """Write the first values in place; a subclass defines this."""
        raise NotImplementedError(f"{type(self).__name__} must define fill(self, values)")

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild this initializer."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The initializer that ``get_config`` described."""
        return cls(**config)

    def clone(self) -> Self:
        """Another like it."""
        return self.from_config(self.get_config())


class Zeros(Initializer):
    """All 0.

    >>> Zeros()((2,))
    tensor([0., 0.])
    """

    def __init__(self) -> None:
        super().__init__()

    def fill(self, values: Tensor) -> None:
        init.zeros_(values)

    def get_config(self) -> dict[str, Any]:
        return {}


class Ones(Zeros):
    """All 1.

    >>> Ones()((2,))
    tensor([1., 1.])
    """

    def fill(self, values: Tensor) -> None:
        init.ones_(values)


class Constant(Initializer):
    """All ``value``.

    >>> Constant(2.5)((1, 2)).tolist()
    [[2.5, 2.5]]
    """

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def fill(self, values: Tensor) -> None:
        init.constant_(values, self.value)

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


class Identity(Initializer):
    """``gain`` on the diagonal of a matrix, else 0. Raises ShapeError for another shape.

    >>> Identity()((2, 3)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain

    def fill(self, values: Tensor) -> None:
        if values.ndim != 2:
            raise ShapeError(f"Identity: expected the shape of a matrix, got {values.shape}")
        init.eye_(values)
        with no_grad():
            values.mul_(self.gain)

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}


class RandomNormal(Initializer):
    """Normal with the given mean and standard deviation.

    >>> RandomNormal()((2, 3)).shape
    (2, 3)
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def fill(self, values: Tensor) -> None:
        init.normal_(values, self.mean, self.stddev)


class TruncatedNormal(RandomNormal):
    """Normal, cut off at two standard deviations from the mean.

    >>> TruncatedNormal()((2, 3)).shape
    (2, 3)
    """

    def fill(self, values: Tensor) -> None:
        low, high = self.mean - 2 * self.stddev, self.mean + 2 * self.stddev
        init.trunc_normal_(values, self.mean, self.stddev, low, high)


class RandomUniform(Initializer):
    """Uniform from ``minval`` to ``maxval``.

    >>> RandomUniform()((2, 3)).shape
    (2, 3)
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def fill(self, values: Tensor) -> None:
        init.uniform_(values, self.minval, self.maxval)


class Orthogonal(Initializer):
    """Rows or columns at right angles, times ``gain`` (Saxe et al., 2013); columns are along the last axis.

    >>> Orthogonal()((2, 3)).shape
    (2, 3)
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def fill(self, values: Tensor) -> None:
        init.orthogonal_(values if values.ndim < 3 else values.reshape(-1, values.shape[-1]), self.gain)


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


zeros = Zeros
ones = Ones
constant = Constant
identity = Identity
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
orthogonal = Orthogonal
variance_scaling = VarianceScaling
glorot_uniform = GlorotUniform
glorot_normal = GlorotNormal
he_uniform = HeUniform
he_normal = HeNormal
lecun_uniform = LecunUniform
lecun_normal = LecunNormal

_CLASSES: tuple[type[Initializer], ...] = (
    Zeros,
    Ones,
    Constant,
    Identity,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    Orthogonal,
    VarianceScaling,
    GlorotUniform,
    GlorotNormal,
    HeUniform,
    HeNormal,
    LecunUniform,
    LecunNormal,
)
_BY_NAME = {name: cls for cls in _CLASSES for name in (cls.__name__, snake_case(cls.__name__))}
_BY_NAME |= {"uniform": RandomUniform, "normal": RandomNormal}


def get(
    identifier: str | Mapping[str, Any] | type[Initializer] | Callable[..., Tensor] | None,
) -> Callable[..., Tensor] | None:
    """The initializer that a name, a class, a config, a function of a shape or ``None`` stands for.

    Raises:
        UnknownNameError: no initializer has this name; the message lists the nearest.

    >>> get("he_normal").scale
    2.0
    """
    if isinstance(identifier, type):
        return identifier()
    if identifier is None or callable(identifier):
        return identifier
    return resolve("initializer", identifier, _BY_NAME)


def _fans(shape: Sequence[int]) -> tuple[float, float]:
    """Inputs and outputs of a weight: rows and columns, times the size of the window before them."""
    if len(shape) < 2:
        count = float(shape[0]) if shape else 1.0
        return count, count
    window = math.prod(shape[:-2])
    return float(window * shape[-2]), float(window * shape[-1])


def serialize(initializer: Any) -> Any:
    """An initializer as ``{"class_name", "config"}``, for JSON; a function by its name.

    >>> serialize(Ones())["class_name"]
    'Ones'
    """
    return objects.described(initializer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The initializer that ``serialize`` described, or that a name stands for.

    >>> type(deserialize(serialize(Ones()))).__name__
    'Ones'
    """
    with objects.CustomObjectScope(custom_objects or {}):
        return get(config)


def __dir__() -> list[str]:
    return sorted(__all__)
