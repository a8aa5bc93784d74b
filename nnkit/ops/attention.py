"""Attention: queries take the values whose keys fit them (Vaswani et al., Attention is all you need, 2017).

One primitive computes it and one its gradient; the scores of all queries and keys are never in memory at once. Arrays
may lie in any regular way, so heads are split and joined by strides, without a copy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from nnkit.backends import Backend
from nnkit.backends.attention import Rule as Weighing
from nnkit.backends.precision import is_half
from nnkit.backends.recording import recorder
from nnkit.errors import DtypeError, GradientError, ShapeError
from nnkit.ops.elementwise import check_float
from nnkit.ops.in_place import open_to_change
from nnkit.ops.remade import Again, Remade
from nnkit.ops.shape import contiguous, permute, reshape, split
from nnkit.ops.whole_attention import in_ops, rounded, whole_attention
from nnkit.tensors import dtypes, random
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import op
from nnkit.tensors.precision import autocast_type, rounding
from nnkit.tensors.results import OUTPUT, Asked, result, same_backend
from nnkit.tensors.shares import Part, part_of
from nnkit.tensors.tape import Rule
from nnkit.tensors.tensor import Tensor


class _Run(NamedTuple):
    """One computation, as its gradient needs it again."""

    backend: Backend
    arrays: tuple[Any, Any, Any, Any, Any, Any]  # queries, keys, values, mask, past, the key of dropout's numbers
    rule: Weighing
    out: Any
    lse: Any

    def gradient(self, dy: Any, half: str | None, *into: Any) -> None:
        """Write the gradients of queries, keys and values."""
        dy = dy if half is None else self.backend.rounded(dy, half)
        self.backend.attention_grad(*self.arrays, self.rule, self.out, self.lse, dy, *into)


@op
def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False, scale: float | None = None,
    p: float = 0.0, past: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """softmax(scale q k^T + mask) v: q (B, H, L, E), k (B, G, S, E), v (B, G, S, F), result (B, H, L, F).

    H is a multiple of G: neighbouring queries' heads share a head of keys and values. ``mask`` broadcasts to
    (B, H, L, S): floats are added to the scores, booleans say which keys are seen. ``causal``: query i sees keys 0 to
    i. ``scale`` is 1/sqrt(E) where not given. Weights are dropped with probability p. ``past``, int64 (1,) on the
    device, is how many keys come before the first query; keys after the last query's place are then not there. A query
    that sees no key gives 0, as in PyTorch. The result lies in memory as q does. Under ``autocast`` q, k, v and the
    gradient that comes are rounded. With ``create_graph``, and for a mask that wants a gradient, all weights are in
    memory at once. Raises ShapeError and DtypeError for what does not fit.

    >>> import nnkit
    >>> x = nnkit.ones(1, 2, 3, 4)
    >>> attention(x, x, x, causal=True).shape
    (1, 2, 3, 4)
    """
    _check(q, k, v)
    backend = same_backend("attention", q, k, v, *(t for t in (mask, past) if t is not None))
    if mask is not None and mask.requires_grad:
        return whole_attention(q, k, v, mask, causal, scale, p)
    half = _half_for(q.dtype)
    (B, H, L, E), F = q.shape, v.shape[3]
    rule = _rule(E, causal, scale, p)
    part = part_of((B, H, L, k.shape[2])) if p else None
    if part is not None:
        return in_ops(q, k, v, (mask, past, random.current().next_key(backend)), rule, half, part)
    arrays = tuple(_operand(backend, t, half) for t in (q, k, v))
    out = _like_queries(backend, q, (B, H, L, F))
    run = _run(backend, arrays, _checked_mask(mask, (B, H, L, k.shape[2]), q.dtype), past, rule, out)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any, ...]:
        rooms = [_room(backend, t, place) for t, place in zip((q, k, v), into, strict=True)]
        run.gradient(_in_rows(backend, dy), half, *(array for array, _ in rooms))
        return tuple(array if passed else None for array, passed in rooms)

    def again(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor]:
        return (in_ops(q, k, v, (mask, past, run.arrays[5]), rule, half),)

    read = (q, k, v, OUTPUT, *(t for t in (mask, past) if t is not None))
    again_by = _gradients_by("attention", (q, k, v), again, half)
    return result("attention", out, backend, (q, k, v), pullback, (read, read, read), again_by)


@op
def self_attention(
    x: Tensor, heads: int, groups: int | None = None, mask: Tensor | None = None, causal: bool = False,
    scale: float | None = None, p: float = 0.0,
) -> Tensor:  # fmt: skip
    """``attention`` of queries, keys and values that lie side by side, as one product makes them.

    x (B, L, (heads + 2 groups) E) -> (B, L, heads E): first all heads of queries, then of keys, then of values. The
    gradient is written where the product's gradient reads it. x is float32 or float64. Raises ShapeError for a width of
    other parts, DtypeError for whole numbers. Source: Vaswani et al., Attention is all you need, 2017.

    >>> import nnkit
    >>> self_attention(nnkit.ones(1, 3, 24), heads=2).shape
    (1, 3, 8)
    """
    groups = heads if groups is None else groups
    check_float("self_attention", x)
    if x.ndim != 3 or x.shape[2] % (heads + 2 * groups):
        raise ShapeError(
            f"self_attention: expected x of shape (batch, tokens, {heads + 2 * groups} times the width of a head), "
            f"got {x.shape}"
        )
    backend = same_backend("self_attention", x, *(() if mask is None else (mask,)))
    B, L, width = x.shape
    E = width // (heads + 2 * groups)
    half = _half_for(x.dtype)

    def parts(array: Any) -> tuple[Any, ...]:
        whole = backend.reshape(array, (B, L, heads + 2 * groups, E))
        cuts = (slice(0, heads), slice(heads, heads + groups), slice(heads + groups, heads + 2 * groups))
        return tuple(backend.permute(whole[:, :, cut, :], (0, 2, 1, 3)) for cut in cuts)

    def through_ops(x: Tensor, key: Any, part: Part | None = None) -> Tensor:
        whole = reshape(x, (B, L, heads + 2 * groups, E))
        q, k, v = (permute(each, (0, 2, 1, 3)) for each in split(whole, [heads, groups, groups], 2))
        mean = in_ops(q, k, v, (mask, None, key), rule, half, part)
        return reshape(permute(mean, (0, 2, 1, 3)), (B, L, heads * E))

    rule = _rule(E, causal, scale, p)
    part = part_of((B, heads, L, L)) if p else None
    if part is not None:
        return through_ops(x, random.current().next_key(backend), part)
    out = _like_tokens(backend, x, heads * E)
    by_head = backend.permute(backend.reshape(out, (B, L, heads, E)), (0, 2, 1, 3))
    given = _checked_mask(mask, (B, heads, L, L), x.dtype)
    run = _run(backend, parts(_operand(backend, x, half)), given, None, rule, by_head)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = _like_tokens(backend, x, width)
        dz = backend.permute(backend.reshape(_in_rows(backend, dy), (B, L, heads, E)), (0, 2, 1, 3))
        run.gradient(dz, half, *parts(dx))
        return (dx,)

    def again(x: Tensor) -> tuple[Tensor]:
        return (through_ops(x, run.arrays[5]),)

    read = (x, OUTPUT, *(() if mask is None else (mask,)))
    again_by = _gradients_by("self_attention", (x,), again, half)
    return result("self_attention", out, backend, (x,), pullback, (read,), again_by)


def _gradients_by(name: str, inputs: Sequence[Tensor], again: Again, half: str | None) -> Rule:
    """The gradients of what a kernel computes, made of ops, by way of all the weights at once."""
    remade = Remade(name, inputs, again)

    def rule(dy: Tensor, asked: Asked) -> list[Tensor | None]:
        with rounding(None):
            return remade.gradients([rounded(dy, half)], asked.wanted)

    return rule


def check_room(length: Tensor, more: int, capacity: int) -> None:
    """Raise ShapeError where ``length``, int64 (1,), and ``more`` rows are more than fit; a replay looks, too.

    Source: nnkit's own, for caches of keys and values.

    >>> import nnkit
    >>> check_room(nnkit.tensor([2]), 1, capacity=3)
    """
    backend, at_work = length.backend, recorder()

    def test(array: Any) -> bool:
        there = int(backend.to_numpy(array)[0])
        if there + more > capacity:
            raise ShapeError(f"cache: {there} tokens and {more} more do not fit its capacity of {capacity}")
        return False

    _ = test(length.array) if at_work is None else at_work.check(length.array, test)


def append_rows(memory: Tensor, length: Tensor, rows: Tensor) -> None:
    """Write rows (B, T, width) into ``memory`` (capacity, B, width) from place ``length``, int64 (1,), on.

    The memory is 0 there, and T rows have room. The place is read on the device. Off the tape: raises GradientError for
    rows that want a gradient. Source: nnkit's own, for caches of keys and values.

    >>> import nnkit
    >>> memory, length = nnkit.zeros(3, 1, 1), nnkit.tensor([1])
    >>> append_rows(memory, length, nnkit.tensor([[[5.0], [6.0]]])); memory.flatten()
    tensor([0., 5., 6.])
    """
    if open_to_change(memory, rows):
        raise GradientError("a cache of keys and values has no gradient: call the model under nnkit.no_grad()")
    backend, T = same_backend("append_rows", memory, length, rows), rows.shape[1]
    places = length.array
    if T != 1:
        places = backend.empty((T,), dtypes.int64)
        backend.map("add", (length.array, backend.asarray(list(range(T)), dtypes.int64)), (places,))
    by_token = contiguous(permute(rows.detach(), (1, 0, 2)))
    backend.add_rows(by_token.array, places, memory.array)
    memory.version.count += 1


def _half_for(dtype: Any) -> str | None:
    """The half type of ``autocast``, for float32."""
    return autocast_type() if dtype == dtypes.float32 else None


def _operand(backend: Backend, x: Tensor, half: str | None) -> Any:
    return x.array if half is None else backend.rounded(x.array, half)


# ---- what all begin with ----------------------------------------------------------------------------------------


def _check(q: Tensor, k: Tensor, v: Tensor) -> None:
    for name, t in (("q", q), ("k", k), ("v", v)):
        check_float("attention", t)
        if t.ndim != 4:
            raise ShapeError(f"attention: expected {name} of shape (batch, heads, tokens, width), got {t.shape}")
        if t.dtype != q.dtype:
            raise DtypeError(f"attention: q, k and v must be of one type, got {q.dtype} and {t.dtype} for {name}")
    B, H, _, E = q.shape
    if k.shape[0] != B or v.shape[0] != B or k.shape[3] != E or k.shape[1:3] != v.shape[1:3]:
        raise ShapeError(
            "attention: expected q (B, H, L, E), k (B, G, S, E) and v (B, G, S, F), got shapes "
            f"{q.shape}, {k.shape} and {v.shape}"
        )
    if (H % k.shape[1] if k.shape[1] else H) != 0:
        raise ShapeError(f"attention: {H} heads of queries cannot share {k.shape[1]} heads of keys in equal groups")


def _rule(E: int, causal: bool, scale: float | None, p: float) -> Weighing:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"the dropout probability p must be from 0 to 1, got {p!r}")
    return Weighing((1.0 / math.sqrt(E) if E else 1.0) if scale is None else float(scale), bool(causal), float(p))


def _checked_mask(mask: Tensor | None, shape: tuple[int, int, int, int], dtype: Any) -> Any:
    """The mask's array with four axes, of booleans or of the type of the queries."""
    if mask is None:
        return None
    if mask.dtype != dtypes.bool_ and not mask.is_floating_point():
        raise DtypeError(f"attention: expected a mask of booleans or floats, got {mask.dtype}")
    if mask.dtype != dtypes.bool_:
        mask = mask.to(dtype)
    sizes = (1,) * (4 - mask.ndim) + mask.shape
    if len(sizes) != 4 or any(size not in (1, wanted) for size, wanted in zip(sizes, shape, strict=True)):
        raise ShapeError(f"attention: a mask of shape {mask.shape} does not broadcast to {shape}")
    return reshape(mask.detach(), sizes).array


def _run(backend: Backend, arrays: tuple[Any, ...], mask: Any, past: Tensor | None, rule: Weighing, out: Any) -> _Run:
    q, k, v = arrays
    key = random.next_key(backend) if rule.dropout else None
    dtype = backend.dtype_of(out)
    lse = backend.empty(tuple(q.shape[:3]), dtypes.float32 if is_half(dtype) else dtype)
    given = (q, k, v, mask, None if past is None else past.detach().array, key)
    backend.attention(*given, rule, out, lse)
    return _Run(backend, given, rule, out, lse)


def _like_tokens(backend: Backend, x: Tensor, width: int) -> Any:
    """Memory for (B, L, width) in the order in which the tokens of x lie, batch by batch or place by place."""
    B, L, _ = x.shape
    steps = backend.strides(x.array)
    if steps[0] >= steps[1] or B == 1 or L == 1:
        return backend.empty((B, L, width), x.dtype)
    return backend.permute(backend.empty((L, B, width), x.dtype), (1, 0, 2))


def _by_token(backend: Backend, t: Tensor) -> bool:
    """Whether the heads of a token lie side by side in memory, as where a product's columns were split."""
    steps = backend.strides(t.array)
    return t.shape[1] > 1 and t.shape[2] > 1 and steps[1] < steps[2]


def _like_queries(backend: Backend, q: Tensor, shape: tuple[int, int, int, int]) -> Any:
    """Memory of a shape (B, H, L, F), where heads and tokens lie as those of q."""
    if not _by_token(backend, q):
        return backend.empty(shape, q.dtype)
    B, H, L, F = shape
    return backend.permute(backend.empty((B, L, H, F), q.dtype), (0, 2, 1, 3))


def _room(backend: Backend, t: Tensor, place: Gradient | None) -> tuple[Any, bool]:
    """Memory for a gradient, and whether it has to be passed on: a leaf's own where that holds nothing yet."""
    if type(place) is Gradient and not place.filled:
        return place.place(backend, t.shape, t.dtype)[0], False
    return _like_queries(backend, t, t.shape), True  # type: ignore[arg-type]


def _in_rows(backend: Backend, dy: Any) -> Any:
    """dy, or a copy where its rows do not lie in order, as those of a sum's gradient, which repeats one number."""
    if backend.strides(dy)[-1] == backend.dtype_of(dy).itemsize or dy.shape[-1] < 2:
        return dy
    made = backend.empty(tuple(dy.shape), backend.dtype_of(dy))
    backend.copy(dy, made)
    return made
