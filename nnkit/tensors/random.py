"""Random numbers that do not depend on the device: a seed, and a draw number that grows by one.

Everything comes from the counter-based generator of ``kernels.philox``. Initial weights and shuffles are drawn on
the host and copied, dropout masks and samples are drawn on the device from its own draw counter; with the same
seed and the same sequence of calls they are the same on every device, uniforms and masks to the bit.

A stream belongs to who draws: there is one for the process, and ``fit`` with a seed, an estimator, or anybody else with
a Generator draws from another, which moves nobody else's.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nnkit import backends
from nnkit.backends import Backend
from nnkit.backends.recording import paused, recorder
from nnkit.kernels import philox, special
from nnkit.kernels.vocabulary import array_words, bind
from nnkit.tensors.shares import refuse_draws

_normal_quantile = bind({"quantile": special.normal_quantile}, array_words(np))["quantile"]


def _signed(seed: int) -> int:
    """The same 64 bits as a signed number."""
    return (int(seed) + 2**63) % 2**64 - 2**63


class Generator:
    """A stream of random numbers with a state of its own: a seed, and how often was drawn, on the host and each device.

    The same seed and the same calls give the same numbers on every device. What is drawn in one stream does not move
    another; the draws of several threads from the same stream come in the threads' order. As ``torch.Generator``. The
    numbers are float32 or as asked, of any shape. ``device`` raises ValueError for a name that is none.

    >>> stream = Generator(3); a = rand_of(stream, 2); state = stream.get_state(); b = rand_of(stream, 2)
    >>> stream.set_state(state); bool((rand_of(stream, 2) == b).all()), bool((a == b).all())
    (True, False)
    """

    def __init__(self, seed: Any = 0, device: Any = None) -> None:
        # As PyTorch's, whose first argument is a device: here one stream serves every device.
        number, named = (seed, device) if isinstance(seed, (int, np.integer)) else (0, seed)
        self._seed, self._draw = _signed(int(number)), 0
        self._device = "cpu" if named is None else named
        self._states: dict[Backend, Any] = {}
        self._awaited: dict[str, list[int]] = {}  # device -> where its stream goes on, when it first draws
        self._lock = threading.Lock()

    @property
    def device(self) -> Any:
        """The device that it was made for; it serves every other as well."""
        return backends.get(self._device).device

    def manual_seed(self, seed: int) -> Generator:
        """Start anew, on the host and on every device. ``seed`` is any int of 64 bits."""
        self.set_state({"host": [_signed(seed), 0], "devices": {}})
        return self

    def seed(self) -> int:
        """Start anew from a seed that the operating system gives, and return it."""
        found = int.from_bytes(os.urandom(7), "little")
        self.manual_seed(found)
        return found

    def initial_seed(self) -> int:
        """The seed in use."""
        return self._seed

    def host_state(self) -> tuple[int, int]:
        """Seed and draw number of the next draw on the host."""
        return self._seed, self._draw

    def get_state(self) -> dict[str, Any]:
        """The stream as it is now, for ``set_state``: seed and draw number, on the host and on each device."""
        devices = {str(backend.device): [int(n) for n in backend.to_numpy(s)] for backend, s in self._states.items()}
        return {"host": list(self.host_state()), "devices": self._awaited | devices}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on as from the moment of ``get_state``; a device that had not drawn begins where the host began."""
        self._seed, self._draw = state["host"]
        self._awaited = {device: list(numbers) for device, numbers in state["devices"].items()}
        for backend, numbers in self._states.items():
            backend.copy(backend.asarray(self._start(backend)), numbers)

    def _start(self, backend: Backend) -> np.ndarray:
        """Where the stream of a device begins: seed and draw number."""
        return np.array(self._awaited.get(str(backend.device), [self._seed, 0]), np.int64)

    def state_on(self, backend: Backend) -> Any:
        """Where the stream stands on a device: int64 (2,), in its memory, which every draw there moves on."""
        state = self._states.get(backend)
        if state is None:
            with paused():
                state = self._states.setdefault(backend, backend.asarray(self._start(backend)))
        return state

    def next_key(self, backend: Backend) -> Any:
        """The key of the next draw on a device: int64 (2,), seed and draw number, in device memory."""
        state = self.state_on(backend)
        at_work = recorder()
        if at_work is not None:
            at_work.stream = self
        key = backend.empty((2,), np.int64)
        backend.next_key(state, key)
        return key

    def host_key(self) -> np.ndarray:
        """The key of the next draw on the host: int64 (2,)."""
        with self._lock:
            draw = self._draw
            self._draw += 1
        return np.array([self._seed, draw], np.int64)


def rand_of(stream: Generator, count: int) -> np.ndarray:
    """Uniform numbers of a stream, on the host."""
    with using(stream):
        return host_uniform((count,))


default_generator = Generator()


class _Current(threading.local):
    stream: Generator | None = None


_current = _Current()


def current() -> Generator:
    """The stream that this thread draws from: its own, inside ``using``; else the one of the whole process."""
    return _current.stream or default_generator


@contextlib.contextmanager
def using(stream: Generator | None) -> Iterator[None]:
    """Let this thread draw from ``stream`` inside the block; with None, from what it drew from before.

    Never raises. Source: nnkit's own.

    >>> with using(Generator(3)):
    ...     a = host_uniform((2,))
    >>> with using(Generator(3)):
    ...     bool((host_uniform((2,)) == a).all())
    True
    """
    before = _current.stream
    _current.stream = stream or before
    try:
        yield
    finally:
        _current.stream = before


def manual_seed(seed: int) -> None:
    """Start the stream anew, on the host and on every device. ``seed`` is any int of 64 bits.

    Raises ValueError for what is no number. As ``torch.manual_seed``.

    >>> manual_seed(0); a = host_uniform((2,)); manual_seed(0); bool((a == host_uniform((2,))).all())
    True
    """
    current().manual_seed(seed)


def initial_seed() -> int:
    """The seed in use.

    As ``torch.initial_seed``.

    >>> manual_seed(7); initial_seed()
    7
    """
    return current().initial_seed()


def get_rng_state() -> dict[str, Any]:
    """The state of the stream, for ``set_rng_state``: seed and draw numbers, of the host and of each device.

    As ``torch.get_rng_state``, whose state is a Tensor.

    >>> state = get_rng_state(); a = host_uniform((2,)); set_rng_state(state)
    >>> bool((host_uniform((2,)) == a).all())
    True
    """
    return current().get_state()


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Go on drawing as from the moment of ``get_rng_state``.

    Raises KeyError for a state that did not come from there. As ``torch.set_rng_state``.

    >>> state = get_rng_state(); a = host_uniform((2,)); set_rng_state(state)
    >>> bool((host_uniform((2,)) == a).all())
    True
    """
    current().set_state(state)


def host_state() -> tuple[int, int]:
    """Seed and draw number of the next draw on the host."""
    return current().host_state()


get_state, set_state = get_rng_state, set_rng_state


def next_key(backend: Backend) -> Any:
    """The key of the next draw on a device: int64 (2,), seed and draw number, in device memory."""
    refuse_draws()
    return current().next_key(backend)


def _host_key(seed: int | None = None, draw: int | None = None) -> np.ndarray:
    """The key of a draw on the host: of the next one, unless ``draw`` is given."""
    refuse_draws()
    at_work = recorder()
    if at_work is not None:
        at_work.obstacle("it draws random numbers on the host")
    key = current().host_key() if draw is None else np.array([initial_seed(), draw], np.int64)
    if seed is not None:
        key[0] = _signed(seed)
    return key


#: Where the upper 24 bits of both words are, in an int64 of ``random_bits``.
_UPPER_BITS = np.array([39, 8])


def _host_words(count: int, purpose: str) -> np.ndarray:
    key = _host_key()
    return philox.words(np, count, philox.PURPOSES[purpose], key[:1], key[1:])


def host_uniform(shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Float64 numbers in [low, high) on the host, of 24 random bits each: the source of initial weights."""
    count = math.prod(shape)
    words = _bits((count + 1) // 2, "initialize", _host_key()).reshape(-1, 1) >> _UPPER_BITS
    u = (words & 0xFFFFFF).reshape(-1)[:count] * 2.0**-24
    return (low + (high - low) * u).reshape(shape)


def host_normal(shape: tuple[int, ...], mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    """Float64 normal numbers on the host, by the Box-Muller transform of 32-bit uniforms."""
    count = math.prod(shape)
    words = _host_words(2 * count, "initialize")
    u = (words.astype(np.float64) + 0.5) * 2.0**-32
    radius, angle = np.sqrt(-2.0 * np.log(u[:count])), 2.0 * np.pi * u[count:]
    return (mean + std * radius * np.cos(angle)).reshape(shape)


def host_truncated_normal(shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    """Float64 numbers of the standard normal distribution given that they lie between low and high, on the host.

    The inverse of the distribution function turns uniform numbers into these.
    """
    if low > 0.0:  # near 1 the distribution function has no digits left; near 0 it has
        return -host_truncated_normal(shape, -high, -low)
    first, last = (0.5 * math.erfc(-x / math.sqrt(2.0)) for x in (low, high))
    return _normal_quantile(host_uniform(shape, first, last))


def permutation(count: int, seed: int | None = None, draw: int | None = None) -> np.ndarray:
    """0 … count - 1 in random order, int64, on the host.

    With ``draw`` (an epoch's number, say) it is a function of (seed, draw) alone, so that a resumed run needs no state.
    Each number stands in the low bits of a random key; sorting the keys, which are all different, shuffles it.
    """
    return _ordered(_bits(count, "shuffle", _host_key(seed, draw)))


def permutations(count: int, draws: Sequence[tuple[int, int]]) -> np.ndarray:
    """``permutation(count, seed, draw)`` for each (seed, draw): int64 (draws, count).

    >>> bool((permutations(5, [(1, 3), (2, 3)])[1] == permutation(5, 2, 3)).all())
    True
    """
    with paused():
        keys: np.ndarray = backends.get("cpu").empty((len(draws), count), np.int64)
    for row, (seed, draw) in zip(keys, draws, strict=True):
        row[...] = _bits(count, "shuffle", _host_key(seed, draw))
    return _ordered(keys)


def _bits(count: int, purpose: str, key: np.ndarray) -> np.ndarray:
    """63 random bits in each int64, of two words side by side; in the host's memory, whatever device a step records."""
    backend = backends.get("cpu")
    with paused():
        bits: np.ndarray = backend.empty((count,), np.int64)
        backend.random_bits(key, philox.PURPOSES[purpose], bits)
    return bits


def _ordered(keys: np.ndarray) -> np.ndarray:
    """The places of the keys (..., n) in order of their size, which changes them."""
    count = keys.shape[-1]
    low = (1 << max(count - 1, 1).bit_length()) - 1
    keys &= ~low
    keys |= _numbers(count)
    keys.sort()
    keys &= low
    return keys


@functools.lru_cache(maxsize=4)
def _numbers(count: int) -> np.ndarray:
    return np.arange(count)


@contextlib.contextmanager
def preserved() -> Iterator[None]:
    """Draws inside this ``with`` block leave those after it as they would have been without, on every device.

    >>> manual_seed(0); a = host_uniform((2,)); manual_seed(0)
    >>> with preserved():
    ...     b = host_uniform((2,))
    >>> bool((a == host_uniform((2,))).all())
    True
    """
    stream = Generator()
    stream.set_state(get_rng_state())
    with using(stream):
        yield
