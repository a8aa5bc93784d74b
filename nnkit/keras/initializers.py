"""First weights, under Keras's names and defaults.

An initializer is called with a shape and returns a Tensor of it. For a matrix Keras counts the rows as inputs
and the columns as outputs, and calls their numbers fan-in and fan-out. The ``…Normal`` initializers that
scale by the fans draw from a normal distribution cut off at two standard deviations, widened so that its
standard deviation after the cut is the one asked for. Definitions: ``keras.initializers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nnkit.errors import ShapeError
from nnkit.keras import objects
from nnkit.keras.initializer import Initializer
from nnkit.keras.naming import resolve, snake_case
from nnkit.keras.scaled_initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    VarianceScaling,
)
from nnkit.keras.told import tell, tell_of_names
from nnkit.nn import init
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
    """``gain`` on the diagonal of a matrix, else 0.

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

    It is called with a shape, and ``dtype``.

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


TOLD = """A call with a shape gives a Tensor of it, of ``dtype``, or ``floatx``. Raises TypeError for what is no shape,
DtypeError for what is no dtype. Source: ``keras.initializers.{name}``."""
DRAWN = (
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform", "Ones",
    "RandomNormal", "RandomUniform", "TruncatedNormal", "Zeros",
)  # fmt: skip
tell(globals(), DRAWN, TOLD)
tell(globals(), ("Identity", "Orthogonal"), f"Raises ShapeError for a shape that is no matrix's. {TOLD}")
tell(globals(), ("VarianceScaling",), f"Raises ValueError for a scale or a mode that is none. {TOLD}")
tell_of_names(globals(), "initializers")


def __dir__() -> list[str]:
    return sorted(__all__)
