"""The primitives of attention; reference bodies in array-API calls, a block of queries by a block of keys at a time.

The scores of a block are forgotten once its weighted values are added up: what a row has seen so far is its greatest
score and the sum of its exponentials (Milakov and Gimelshein, Online normalizer calculation for softmax, 2018; Rabe and
Staats, Self-attention does not need O(n^2) memory, 2021). The logarithm of that sum is kept, and the gradient computes
the weights again from it (Dao et al., FlashAttention, 2022). So memory grows with the tokens, not with their square.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from nnkit.backends.memory import Memory
from nnkit.backends.recording import Array, primitive
from nnkit.kernels import philox

#: Queries and keys of a block of the reference bodies; a multiple of four, as random numbers come.
BLOCK = 256


class Rule(NamedTuple):
    """How queries and keys make weights: numbers, so that a program keeps them as they are."""

    scale: float  # of the products of queries and keys
    causal: bool = False  # whether a query sees no key that comes after it
    dropout: float = 0.0  # the probability that a weight is dropped; the others are divided by 1 less that

    @property
    def keep(self) -> float:
        """What a weight that is not dropped counts."""
        return 0.0 if self.dropout >= 1.0 else 1.0 / (1.0 - self.dropout)


class Places(NamedTuple):
    """A block: queries i to i_end, keys j to j_end."""

    i: int
    i_end: int
    j: int
    j_end: int


class Attention(Memory):
    """What ``Backend`` can do with queries, keys and values."""

    if TYPE_CHECKING:
        _wide: Callable[[Array], Array]
        _write: Callable[[Array, Array], None]

    @primitive
    def attention(
        self, q: Array, k: Array, v: Array, mask: Array | None, past: Array | None, key: Array | None, rule: Rule,
        out: Array, lse: Array,
    ) -> None:  # fmt: skip
        """out = softmax(scale q k^T + mask) v: q (B, H, L, E), k (B, G, S, E), v (B, G, S, F), out (B, H, L, F).

        Heads come in G equal groups of one k and v each. mask broadcasts to (B, H, L, S): floats are added, of booleans
        those that are False shut a key out. ``past``, int64 (1,) in device memory, counts the keys that come before
        the first query: keys from past + L on are not there. A row that sees no key is 0. lse (B, H, L), of the type
        that is computed in, is the logarithm of the sum of exponentials; infinite for a row that sees none. ``key``,
        int64 (2,), is what dropout draws its numbers with.
        """
        xp = self.xp
        q, k, v = self._heads_by_group(q, k.shape[1]), self._keys(k), self._keys(v)
        (B, G, R, L, _), F = q.shape, v.shape[4]
        for i in range(0, L, BLOCK):
            i_end = min(i + BLOCK, L)
            rows = (B, G, R, i_end - i, 1)
            top = xp.zeros(rows, dtype=q.dtype) - math.inf
            total, mean = xp.zeros(rows, dtype=q.dtype), xp.zeros((*rows[:4], F), dtype=q.dtype)
            for place in self._blocks(i, i_end, k.shape[3], rule, past):
                with self.quietly():
                    scores = self._scores(q, k, mask, past, rule, place)
                    higher = xp.maximum(top, xp.max(scores, axis=-1, keepdims=True))
                    base = xp.where(higher == -math.inf, 0.0, higher)
                    weights, fade = xp.exp(scores - base), xp.exp(top - base)
                    total = total * fade + xp.sum(weights, axis=-1, keepdims=True)
                    weights = self._dropped(weights, key, rule, place, (L, k.shape[3]))
                    mean = mean * fade + xp.matmul(weights, v[:, :, :, place.j : place.j_end, :])
                    top = higher
            with self.quietly():
                seen = total != 0.0
                value = xp.where(seen, mean / xp.where(seen, total, 1.0), 0.0)
                sums = xp.where(seen, top + xp.log(xp.where(seen, total, 1.0)), math.inf)
            self._write(xp.reshape(value, (B, G * R, i_end - i, F)), out[:, :, i:i_end, :])
            self._write(xp.reshape(sums, (B, G * R, i_end - i)), lse[:, :, i:i_end])

    @primitive
    def attention_grad(
        self, q: Array, k: Array, v: Array, mask: Array | None, past: Array | None, key: Array | None, rule: Rule,
        out: Array, lse: Array, dy: Array, dq: Array, dk: Array, dv: Array,
    ) -> None:  # fmt: skip
        """The gradients of ``attention``: out and lse as it left them, and dy like out; dq, dk and dv are written."""
        xp, shapes = self.xp, (tuple(dq.shape), tuple(dk.shape), tuple(dv.shape))
        given, made = self._heads_by_group(dy, k.shape[1]), self._heads_by_group(out, k.shape[1])
        q, k, v = self._heads_by_group(q, k.shape[1]), self._keys(k), self._keys(v)
        (B, G, R, L, _), S = q.shape, k.shape[3]
        sums = xp.reshape(lse, (B, G, R, L, 1))
        to_k, to_v = xp.zeros_like(k), xp.zeros_like(v)
        for i in range(0, L, BLOCK):
            i_end = min(i + BLOCK, L)
            queries, dz = q[:, :, :, i:i_end, :], given[:, :, :, i:i_end, :]
            to_q = xp.zeros_like(queries)
            with self.quietly():
                along = xp.sum(dz * made[:, :, :, i:i_end, :], axis=-1, keepdims=True)
                for place in self._blocks(i, i_end, S, rule, past):
                    keys, values = (x[:, :, :, place.j : place.j_end, :] for x in (k, v))
                    weights = xp.exp(self._scores(q, k, mask, past, rule, place) - sums[:, :, :, i:i_end, :])
                    used = self._dropped(weights, key, rule, place, (L, S))
                    change = xp.matmul(dz, _turned(xp, values))
                    change = weights * (self._dropped(change, key, rule, place, (L, S)) - along) * rule.scale
                    to_q = to_q + xp.matmul(change, keys)
                    part = (slice(None), slice(None), slice(None), slice(place.j, place.j_end), slice(None))
                    to_k[part] = to_k[part] + self._of_group(xp.matmul(_turned(xp, change), queries))
                    to_v[part] = to_v[part] + self._of_group(xp.matmul(_turned(xp, used), dz))
            self._write(xp.reshape(to_q, (*shapes[0][:2], i_end - i, shapes[0][3])), dq[:, :, i:i_end, :])
        self._write(xp.reshape(to_k, shapes[1]), dk)
        self._write(xp.reshape(to_v, shapes[2]), dv)

    # ---- parts of both ----------------------------------------------------------------------------------------

    def _heads_by_group(self, x: Array, groups: int) -> Array:
        """(B, H, L, E) as (B, G, heads of a group, L, E), of the type that is computed in."""
        B, H, L, E = x.shape
        return self.xp.reshape(self._wide(x), (B, groups, H // max(groups, 1), L, E))

    def _keys(self, x: Array) -> Array:
        """(B, G, S, E) as (B, G, 1, S, E), of the type that is computed in."""
        return self.xp.expand_dims(self._wide(x), axis=2)

    def _of_group(self, x: Array) -> Array:
        return self.xp.sum(x, axis=2, keepdims=True)

    def _blocks(self, i: int, i_end: int, S: int, rule: Rule, past: Array | None) -> Iterator[Places]:
        """The blocks of keys that queries i to i_end may see."""
        stop = min(S, i_end) if rule.causal and past is None else S
        for j in range(0, stop, BLOCK):
            yield Places(i, i_end, j, min(j + BLOCK, S))

    def _scores(self, q: Array, k: Array, mask: Array | None, past: Array | None, rule: Rule, place: Places) -> Array:
        """The scores of a block, minus infinity where a key is not seen: (B, G, heads of a group, queries, keys)."""
        xp = self.xp
        i, i_end, j, j_end = place
        scores = xp.matmul(q[:, :, :, i:i_end, :], _turned(xp, k[:, :, :, j:j_end, :])) * rule.scale
        if mask is not None:
            part = self._part_of_mask(mask, place, tuple(scores.shape))
            if "bool" in str(part.dtype):
                scores = xp.where(part, scores, -math.inf)
            else:
                scores = scores + self._wide(part)
        if rule.causal or past is not None:
            columns = xp.arange(j, j_end, dtype=xp.int64)
            rows = xp.expand_dims(xp.arange(i, i_end, dtype=xp.int64), axis=1)
            before = xp.asarray(0, dtype=xp.int64) if past is None else past
            last = rows + before if rule.causal else rows * 0 + (q.shape[3] - 1) + before
            scores = xp.where(columns <= last, scores, -math.inf)
        return scores

    def _part_of_mask(self, mask: Array, place: Places, shape: tuple[int, ...]) -> Array:
        """The part of a mask (B or 1, H or 1, L or 1, S or 1) that belongs to a block."""
        i, i_end, j, j_end = place
        part = mask[:, :, i:i_end, :] if mask.shape[2] > 1 else mask
        part = part[:, :, :, j:j_end] if mask.shape[3] > 1 else part
        B, H, rows, columns = part.shape
        heads = (1, 1) if H == 1 else shape[1:3]
        return self.xp.reshape(part, (B, *heads, rows, columns))

    def _dropped(self, x: Array, key: Array | None, rule: Rule, place: Places, sizes: tuple[int, int]) -> Array:
        """x, of a block, where some are 0 and the rest multiplied. A row's numbers begin at a multiple of four."""
        if key is None:
            return x
        xp = self.xp
        (i, i_end, j, j_end), (L, S) = place, sizes
        B, G, R = x.shape[:3]
        per_row, blocks = -(-S // 4), -(-j_end // 4) - j // 4
        heads = xp.reshape(xp.arange(B * G * R, dtype=xp.int64), (-1, 1, 1))
        rows = xp.reshape(xp.arange(i, i_end, dtype=xp.int64), (1, -1, 1))
        numbers = (heads * L + rows) * per_row + xp.arange(j // 4, j // 4 + blocks, dtype=xp.int64)
        u = self.uniforms_of(xp.reshape(numbers, (-1,)), philox.PURPOSES["dropout"], key, x.dtype)
        u = xp.reshape(u, (B, G, R, i_end - i, 4 * blocks))[..., : j_end - j]
        return xp.where(u >= self._probability(rule.dropout, x), x * rule.keep, 0.0)

    def uniforms_of(self, blocks: Array, purpose: int, key: Array, dtype: Any) -> Array:
        """The numbers in [0, 1) of blocks of four (n,) of a stream, one after the other: (4 n,)."""
        return philox.uniforms(self.xp, philox.words_of(self.xp, blocks, purpose, key[0:1], key[1:2]), dtype)

    def _probability(self, p: float, x: Array) -> Any:
        return self.xp.asarray(p, dtype=x.dtype)


def _turned(xp: Any, x: Array) -> Array:
    """The last two axes exchanged."""
    return xp.permute_dims(x, (0, 1, 2, 4, 3))
