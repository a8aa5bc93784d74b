"""Random numbers that do not depend on the device: one seed, and a draw number that grows by one.

Everything comes from the counter-based generator of ``kernels.philox``. Initial weights and shuffles are drawn on
the host and copied, dropout masks and samples are drawn on the device from its own draw counter; with the same
seed and the same sequence of calls they are the same on every device, uniforms and masks to the bit.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nnkit import backends
from nnkit.backends import Backend
from nnkit.backends.recording import recorder
from nnkit.kernels import philox, special
from nnkit.kernels.vocabulary import array_words, bind

_normal_quantile = bind({"quantile": special.normal_quantile}, array_words(np))["quantile"]
_host = {"seed": 0, "draw": 0}
_device_states: dict[Backend, Any] = {}
_awaited: dict[str, list[int]] = {}  # device -> where its stream goes on, when it first draws


def manual_seed(seed: int) -> None:
    """Start every stream anew, on the host and on every device. ``seed`` is any int of 64 bits.

    >>> manual_seed(0); a = host_uniform((2,)); manual_seed(0); bool((a == host_uniform((2,))).all())
    True
    """
    _host["seed"], _host["draw"] = _signed(seed), 0
    _awaited.clear()
    for backend, state in _device_states.items():
        backend.copy(backend.asarray(np.array([_host["seed"], 0], np.int64)), state)


def initial_seed() -> int:
    """The seed in use."""
    return _host["seed"]


def _signed(seed: int) -> int:
    """The same 64 bits as a signed number."""
    return (int(seed) + 2**63) % 2**64 - 2**63


def _start(backend: Backend) -> np.ndarray:
    """Where the stream of a device begins: seed and draw number."""
    return np.array(_awaited.get(str(backend.device), [_host["seed"], 0]), np.int64)


def next_key(backend: Backend) -> Any:
    """The key of the next draw on a device: int64 (2,), seed and draw number, in device memory."""
    state = _device_states.get(backend)
    if state is None:
        state = _device_states[backend] = backend.asarray(_start(backend))
    key = backend.empty((2,), np.int64)
    backend.next_key(state, key)
    return key


def _host_key(seed: int | None = None, draw: int | None = None) -> np.ndarray:
    """The key of a draw on the host: of the next one, unless ``draw`` is given."""
    at_work = recorder()
    if at_work is not None:
        at_work.obstacle("it draws random numbers on the host")
    if draw is None:
        draw = _host["draw"]
        _host["draw"] += 1
    return np.array([_host["seed"] if seed is None else _signed(seed), draw], np.int64)


def _host_words(count: int, purpose: str) -> np.ndarray:
    key = _host_key()
    return philox.words(np, count, philox.PURPOSES[purpose], key[:1], key[1:])


def host_uniform(shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Float64 numbers in [low, high) on the host, of 24 random bits each: the source of initial weights."""
    u = philox.uniforms(np, _host_words(math.prod(shape), "initialize"), np.float64)
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
    backend = backends.get("cpu")
    keys = backend.empty((count,), np.int64)
    backend.random_bits(_host_key(seed, draw), philox.PURPOSES["shuffle"], keys)
    low = (1 << max(count - 1, 1).bit_length()) - 1
    keys &= ~low
    keys |= _numbers(count)
    keys.sort()
    keys &= low
    return keys


def host_state() -> tuple[int, int]:
    """Seed and draw number of the next draw on the host."""
    return _host["seed"], _host["draw"]


def get_state() -> dict[str, Any]:
    """The streams as they are now, for ``set_state``: seed and draw number, on the host and on each device."""
    devices = {str(backend.device): [int(n) for n in backend.to_numpy(s)] for backend, s in _device_states.items()}
    return {"host": list(host_state()), "devices": devices}


def set_state(state: Mapping[str, Any]) -> None:
    """Go on drawing as from the moment of ``get_state``; a device that had not drawn begins where the host began."""
    _host["seed"], _host["draw"] = state["host"]
    _awaited.clear()
    _awaited.update(state["devices"])
    for backend, numbers in _device_states.items():
        backend.copy(backend.asarray(_start(backend)), numbers)


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
    host = dict(_host)
    states = {backend: np.array(backend.to_numpy(state)) for backend, state in _device_states.items()}
    try:
        yield
    finally:
        _host.update(host)
        for backend, state in _device_states.items():
            before = states.get(backend, np.array([_host["seed"], 0], np.int64))
            backend.copy(backend.asarray(before), state)
