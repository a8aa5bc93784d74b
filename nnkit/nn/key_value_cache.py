"""Keys and values of the tokens so far, kept while a model writes one token after the other."""

from __future__ import annotations

from typing import Any

from nnkit import ops
from nnkit.backends.recording import paused
from nnkit.errors import ShapeError
from nnkit.nn.sizes import positive
from nnkit.recording.state import Watched
from nnkit.tensors import dtypes
from nnkit.tensors.creation import arange, zeros
from nnkit.tensors.tensor import Tensor

__all__ = ["KeyValueCache"]


class _Layer:
    """What one attention layer has seen: its keys and values side by side, and how many tokens those are of."""

    def __init__(self, capacity: int, batch: int, width: int, like: Tensor) -> None:
        self.memory = zeros(capacity, batch, width, dtype=like.dtype, device=like.device)
        self.length = zeros(1, dtype=dtypes.int64, device=like.device)


class KeyValueCache(Watched):
    """Keys and values of up to ``capacity`` tokens, for the attention layers that are called with ``cache=``.

    A layer that is given a cache appends the keys and values of the tokens at hand, and its queries see all tokens so
    far, and none that comes later: so a model is called with a prompt, and from then on with one token at a time. It
    makes no gradients: call the model under ``nnkit.no_grad()``. How many tokens there are is a number on the device,
    so that a step under ``nnkit.compile`` is replayed. Raises ShapeError where the tokens would be more than the
    capacity, or come in batches of another size. Source: nnkit's own.

    >>> import nnkit
    >>> layer = nnkit.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    >>> cache, x = KeyValueCache(10), nnkit.ones(1, 3, 8)
    >>> with nnkit.no_grad():
    ...     prompt, one = layer(x, cache=cache), layer(x[:, :1], cache=cache)
    >>> len(cache), one.shape
    (4, (1, 1, 8))
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = positive("capacity", capacity)
        self._layers: dict[int, tuple[Any, _Layer]] = {}

    def __len__(self) -> int:
        """How many tokens have been seen; reads the device."""
        layer = self._first()
        return 0 if layer is None else int(layer.length.item())

    def positions(self, tokens: int, device: Any = None) -> Tensor:
        """The places of the next ``tokens`` tokens, int64 (tokens,): for embeddings of positions.

        >>> KeyValueCache(10).positions(3).tolist()
        [0, 1, 2]
        """
        layer = self._first()
        if layer is None:
            return arange(tokens, device=device)
        return layer.length if tokens == 1 else layer.length + arange(tokens, device=layer.length.device)

    def reset(self) -> None:
        """Forget all tokens; the memory stays."""
        self.truncate(0)

    def truncate(self, length: int) -> None:
        """Forget the tokens from place ``length`` on."""
        if not 0 <= length <= len(self):
            raise ShapeError(f"length: expected a number of tokens from 0 to {len(self)}, got {length}")
        for _, layer in self._layers.values():
            layer.memory[length:] = 0.0
            layer.length.fill_(length)

    def extend(self, owner: Any, keys_and_values: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values (B, T, width), side by side, to those of the layer ``owner``.

        Returns those of all tokens (capacity, B, width), which are 0 where none was seen yet, and how many came before,
        int64 (1,). ``advance`` counts the new ones, when the layer has used them.
        """
        B, T, width = keys_and_values.shape
        found = self._layers.get(id(owner))
        if found is None:
            with paused():  # its memory outlives a step that is being recorded
                layer = _Layer(self.capacity, B, width, keys_and_values)
            self._layers[id(owner)] = (owner, layer)
        else:
            layer = found[1]
        if layer.memory.shape[1:] != (B, width):
            raise ShapeError(
                f"cache: it holds batches of {layer.memory.shape[1]} and keys and values of width "
                f"{layer.memory.shape[2]}, got shape {keys_and_values.shape}: use another cache"
            )
        if layer is self._first():
            ops.check_room(layer.length, T, self.capacity)
        ops.append_rows(layer.memory, layer.length, keys_and_values)
        return layer.memory, layer.length

    def advance(self, owner: Any, tokens: int) -> None:
        """Count the tokens that the layer ``owner`` has appended."""
        self._layers[id(owner)][1].length.add_(tokens)

    def _first(self) -> _Layer | None:
        return next((layer for _, layer in self._layers.values()), None)
