"""Random tensors, with Keras's names, arguments and defaults: ``keras.random``.

A whole number as seed gives the same numbers at every call, a :class:`SeedGenerator` others each time, None goes on in
nnkit's stream, which ``keras.utils.set_random_seed`` starts. The numbers are nnkit's, not those of another library, and
the same on every device.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.backends import Backend
from nnkit.backends.recording import paused
from nnkit.distributions.beta import log_gamma_draw
from nnkit.errors import DtypeError
from nnkit.keras.naming import automatic_name
from nnkit.keras.ops.elementwise import erfinv
from nnkit.keras.ops.types import axes_of, convert_to_tensor, floats, of_type, to_list
from nnkit.keras.symbolic import symbolic
from nnkit.keras.told import tell
from nnkit.tensors import creation, dtypes, random_tensors
from nnkit.tensors.dtypes import is_float
from nnkit.tensors.random import Generator, using
from nnkit.tensors.tensor import Tensor

__all__ = [
    "SeedGenerator",
    "beta",
    "binomial",
    "categorical",
    "dropout",
    "gamma",
    "normal",
    "randint",
    "shuffle",
    "truncated_normal",
    "uniform",
]


class _Fixed(Generator):
    """A stream that begins anew at every call, in a replayed step too: its keys are constants."""

    def next_key(self, backend: Backend) -> Any:
        with paused():
            return backend.asarray(self.host_key())


class SeedGenerator(Generator):
    """A stream of its own: others than before at every draw, and the same ones in every run with the same seed.

    Args:
        seed: a whole number; drawn at random where None.
        name: what it is called.

    >>> stream = SeedGenerator(7); again = SeedGenerator(7)
    >>> a, b = normal((2,), seed=stream), normal((2,), seed=stream)
    >>> bool((a == b).any()), bool((a == normal((2,), seed=again)).all())
    (False, True)
    """

    #: A recorded step that draws moves the state on the device, which stays in its memory.
    is_on_the_device = True

    def __init__(self, seed: int | None = None, name: str | None = None, **ignored: Any) -> None:
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
            raise ValueError(f"SeedGenerator: seed must be a whole number or None; got {seed!r}")
        if seed is None:
            seed = int(np.random.randint(2**31 - 1))  # noqa: NPY002 - what set_random_seed seeds
        super().__init__(int(seed))
        self.name = automatic_name(type(self)) if name is None else name
        self._given = int(seed)

    def next_key(self, backend: Backend) -> Any:
        """The key of the next draw; the step that draws may be recorded under any other stream."""
        state = self._states.get(backend)
        if state is None:
            with paused():
                state = self._states.setdefault(backend, backend.asarray(self._start(backend)))
        key = backend.empty((2,), np.int64)
        backend.next_key(state, key)
        return key

    @property
    def state(self) -> Tensor:
        """Seed and draw number of the next draw on the default device: a copy."""
        host = list(self.host_state())
        found = next(iter(self.get_state()["devices"].values()), host)
        return creation.tensor(found, dtype=dtypes.int64)

    def next(self, ordered: bool = True) -> Tensor:
        """Seed and draw number, and on to the next."""
        return creation.tensor(self.host_key(), dtype=dtypes.int64)

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild it."""
        return {"seed": self._given, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """The generator that :meth:`get_config` described, from its beginning."""
        return cls(**config)


def _stream(seed: Any) -> Generator | None:
    if seed is None or isinstance(seed, Generator):
        return seed
    if isinstance(seed, (bool, float)) or np.ndim(seed) != 0:
        raise ValueError(f"seed must be a whole number, a SeedGenerator or None; got {seed!r}")
    return _Fixed(int(seed))


def _float_type(name: str, dtype: Any) -> np.dtype:
    kind = of_type(dtype)
    if not is_float(kind):
        raise DtypeError(f"{name}: dtype must be a float type; got {kind}")
    return kind


def _wide(kind: np.dtype) -> np.dtype:
    """Half types are drawn in float32."""
    return dtypes.float32 if kind.itemsize == 2 else kind


def normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None) -> Tensor:
    """Normal numbers.

    >>> bool((normal((3,), seed=1) == normal((3,), seed=1)).all())
    True
    """
    kind = _float_type("normal", dtype)
    with using(_stream(seed)):
        x = random_tensors.randn(*to_list(shape), dtype=_wide(kind))
    return ops.to(x * stddev + mean, dtype=kind)


def uniform(shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Any = None) -> Tensor:
    """Uniform numbers from minval to before maxval.

    >>> uniform((2, 3), seed=1).shape
    (2, 3)
    """
    kind = _float_type("uniform", dtype)
    with using(_stream(seed)):
        x = random_tensors.rand(*to_list(shape), dtype=_wide(kind))
    return ops.to(x * (maxval - minval) + minval, dtype=kind)


def randint(shape: Any, minval: Any, maxval: Any, dtype: Any = "int32", seed: Any = None) -> Tensor:
    """Whole numbers from minval to maxval - 1.

    >>> randint((2,), 0, 5, seed=1).shape
    (2,)
    """
    kind = of_type(dtype)
    if is_float(kind):
        raise DtypeError(f"randint: dtype must be a type of whole numbers; got {kind}")
    with using(_stream(seed)):
        return random_tensors.randint(int(minval), int(maxval), tuple(to_list(shape)), dtype=kind)


#: The share of a normal distribution below -2.
TAIL = 0.5 * math.erfc(2.0 / math.sqrt(2.0))


def truncated_normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None) -> Tensor:
    """Normal numbers, given that they lie within two standard deviations of the mean.

    >>> truncated_normal((2,), seed=1).shape
    (2,)
    """
    kind = _float_type("truncated_normal", dtype)
    with using(_stream(seed)):
        u = random_tensors.rand(*to_list(shape), dtype=_wide(kind))
    x = erfinv((2.0 * TAIL - 1.0) + u * (2.0 - 4.0 * TAIL)) * math.sqrt(2.0)
    return ops.to(x * stddev + mean, dtype=kind)


def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None) -> Tensor:
    """Class numbers by the shares softmax(logits): (batch, classes) -> (batch, num_samples).

    >>> import nnkit
    >>> categorical(nnkit.zeros(2, 3), 4, seed=1).shape
    (2, 4)
    """
    logits = floats(logits)
    if logits.ndim != 2:
        raise ValueError(f"categorical: logits must be (batch, classes); got shape {tuple(logits.shape)}")
    with using(_stream(seed)):
        u = random_tensors.rand(
            logits.shape[0], num_samples, logits.shape[1], dtype=_wide(logits.dtype), device=logits.device
        )
    gumbel = -ops.log(-ops.log(u + 2.0**-25))
    return ops.to(ops.argmax(ops.unsqueeze(logits, 1) + gumbel, -1), dtype=of_type(dtype))


def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Tensor:
    """A share of the elements set to 0, the others divided by 1 - rate; alike along axes of size 1 in noise_shape.

    >>> import nnkit
    >>> dropout(nnkit.ones(3), 0.0).tolist()
    [1.0, 1.0, 1.0]
    """
    x = convert_to_tensor(inputs)
    if not 0 <= rate <= 1:
        raise ValueError(f"dropout: rate must be a number from 0 to 1; got {rate!r}")
    if rate in (0, 1):
        return x * (1 - rate)
    with using(_stream(seed)):
        if noise_shape is None:
            return ops.dropout(x, rate)
        sizes = [n if size is None else size for n, size in zip(x.shape, to_list(noise_shape), strict=True)]
        return x * ops.dropout(creation.ones(*sizes, dtype=x.dtype, device=x.device), rate)


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Tensor:
    """The parts along an axis in random order.

    >>> import nnkit
    >>> sorted(shuffle(nnkit.tensor([1, 2, 3]), seed=1).tolist())
    [1, 2, 3]
    """
    x = convert_to_tensor(x)
    axis = axes_of(axis, x.ndim)[0]
    with using(_stream(seed)):
        order = random_tensors.randperm(x.shape[axis], device=x.device)
    return ops.index_select(x, axis, order)


def gamma(shape: Any, alpha: Any, dtype: Any = None, seed: Any = None) -> Tensor:
    """Numbers of gamma distributions of shape alpha and scale 1.

    >>> gamma((2,), 1.0, seed=1).shape
    (2,)
    """
    kind = _float_type("gamma", dtype)
    with using(_stream(seed)):
        x = ops.exp(log_gamma_draw(_spread(alpha, shape, kind)))
    return ops.to(x, dtype=kind)


def beta(shape: Any, alpha: Any, beta: Any, dtype: Any = None, seed: Any = None) -> Tensor:
    """Numbers of beta distributions.

    >>> beta((2,), 1.0, 2.0, seed=1).shape
    (2,)
    """
    kind = _float_type("beta", dtype)
    with using(_stream(seed)):
        x, y = (log_gamma_draw(_spread(part, shape, kind)) for part in (alpha, beta))
    return ops.to(ops.sigmoid(x - y), dtype=kind)


def binomial(shape: Any, counts: Any, probabilities: Any, dtype: Any = None, seed: Any = None) -> Tensor:
    """How many of ``counts`` trials succeed, each with its probability; the time grows with the greatest count.

    >>> binomial((2,), 10.0, 0.5, seed=1).shape
    (2,)
    """
    kind = _float_type("binomial", dtype)
    trials, p = (_spread(part, shape, kind) for part in (counts, probabilities))
    most = int(ops.max(trials).item()) if trials.numel() else 0
    with using(_stream(seed)):
        u = random_tensors.rand(most, *trials.shape, dtype=_wide(kind), device=trials.device)
    place = ops.reshape(creation.arange(most, dtype=trials.dtype, device=trials.device), (-1, *[1] * trials.ndim))
    return ops.to(ops.sum(ops.to(ops.logical_and(u < p, place < trials), dtype=trials.dtype), 0), dtype=kind)


def _spread(parameter: Any, shape: Any, kind: np.dtype) -> Tensor:
    x = ops.to(convert_to_tensor(parameter), dtype=_wide(kind))
    return ops.clone(ops.broadcast_to(x.detach(), to_list(shape)))


DRAWN = """A Tensor of that shape, of ``dtype``, or ``floatx``; parameters are numbers that broadcast to it. Raises
TypeError for what is no shape. Source: ``keras.random.{name}``."""
NUMBERS = "DtypeError for what\nare no numbers. Source: ``keras.random.{name}``."
tell(globals(), ("normal", "truncated_normal", "uniform", "beta", "binomial", "gamma", "randint"), DRAWN)
tell(globals(), ("categorical",), f"Floats, and integers of ``dtype``. Raises ValueError for other shapes, {NUMBERS}")
tell(globals(), ("dropout",), f"Of any shape and floating dtype. Raises ValueError for a share that is none, {NUMBERS}")
tell(globals(), ("shuffle",), f"Of any shape and dtype. Raises ValueError for an axis that it has not, {NUMBERS}")
tell(globals(), ("SeedGenerator",), "Raises ValueError for a seed that is no number. Source: ``keras.random.{name}``.")


for _name in ("categorical", "dropout", "shuffle"):
    globals()[_name] = symbolic(globals()[_name])


def __dir__() -> list[str]:
    return sorted(__all__)
