"""Conformance of attention: blocks against whole matrices, masks of every kind, and dropout to the bit of its key."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.attention import Rule
from nnkit.kernels import philox
from nnkit.testing.bench import FLOATS, LAYOUTS, Bench, Case, sample


class Sizes(NamedTuple):
    """Batches, heads of queries, heads of keys, queries, keys, widths of keys and values; what is shut out, and how."""

    B: int = 2
    H: int = 2
    G: int = 2
    L: int = 5
    S: int = 7
    E: int = 3
    F: int = 4
    causal: bool = False
    mask: tuple[int, int, int, int] | None = None  # 0 stands for the whole size
    kind: str = "bool"  # of a mask
    past: int | None = None
    scale: float = 0.3
    dropout: float = 0.0


#: Around the width of registers and of blocks; masks that repeat every axis; rows that see nothing.
CASES_OF_SIZES = (
    Sizes(), Sizes(E=16, F=33), Sizes(B=1, H=1, G=1, L=1, S=1, E=1, F=1), Sizes(L=0), Sizes(S=0), Sizes(B=0),
    Sizes(H=4, L=3, S=70, E=31, F=32, causal=True), Sizes(B=1, H=6, L=70, S=66, causal=True), Sizes(L=65, S=130, E=17),
    Sizes(L=5, S=66, mask=(0, 0, 0, 0)), Sizes(mask=(1, 1, 0, 0), kind="float"), Sizes(L=66, mask=(0, 1, 1, 0)),
    Sizes(mask=(1, 1, 0, 1)), Sizes(mask=(0, 0, 0, 0), kind="float", causal=True), Sizes(scale=-0.5, causal=True),
    Sizes(mask=(1, 0, 1, 0), kind="float", scale=0.0), Sizes(L=1, S=70, E=32, F=32, past=64, causal=True),
    Sizes(L=3, S=9, past=4, causal=True), Sizes(L=6, S=130, past=60), Sizes(L=6, S=7, dropout=0.4),
    Sizes(H=4, L=2, S=70, dropout=0.25, causal=True), Sizes(dropout=1.0),
)  # fmt: skip
#: Block sizes of the reference bodies and more.
LONG = Sizes(B=1, L=300, S=270, E=4, F=4, causal=True)


class Given(NamedTuple):
    """Inputs of a case on the host."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    dy: np.ndarray
    mask: np.ndarray | None
    past: np.ndarray | None
    key: np.ndarray | None


def _given(sizes: Sizes, dtype: str) -> Given:
    B, H, G, L, S, E, F = sizes[:7]
    mask = None
    if sizes.mask is not None:
        shape = tuple(n or whole for n, whole in zip(sizes.mask, (B, H, L, S), strict=True))
        mask = sample(shape, "bool", seed=5)
        mask[..., :1, :] = False  # a query that sees nothing
        if sizes.kind == "float":
            mask = np.where(mask, sample(shape, dtype, seed=6), -math.inf).astype(dtype)
    shapes = ((B, H, L, E), (B, G, S, E), (B, G, S, F), (B, H, L, F))
    q, k, v, dy = (sample(shape, dtype, seed=number) for number, shape in enumerate(shapes, 1))
    past = None if sizes.past is None else np.array([sizes.past])
    return Given(q, k, v, dy, mask, past, np.array([7, 2**33]) if sizes.dropout else None)


def _weights(sizes: Sizes, given: Given) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, what dropout makes of them, and the logarithms of the sums of exponentials, in float64."""
    _, H, G, L, S = sizes[:5]
    q, k = (x.astype("float64") for x in given[:2])
    scores = sizes.scale * q @ np.repeat(k, H // G, axis=1).swapaxes(2, 3)
    if given.mask is not None:
        scores = scores + given.mask if given.mask.dtype != bool else np.where(given.mask, scores, -math.inf)
    before = sizes.past or 0
    stop = S if sizes.past is None else before + L
    last = before + np.arange(L)[:, None] if sizes.causal else np.full((L, 1), S)
    scores = np.where((np.arange(S) <= last) & (np.arange(S) < stop), scores, -math.inf)
    top = scores.max(-1, keepdims=True, initial=-math.inf)
    exponentials = np.exp(scores - np.where(top > -math.inf, top, 0.0))
    total = exponentials.sum(-1, keepdims=True)
    seen = total > 0
    weights = exponentials / np.where(seen, total, 1.0)
    lse = np.where(seen, np.where(seen, top, 0.0) + np.log(np.where(seen, total, 1.0)), math.inf)[..., 0]
    return weights, weights * _kept(sizes, given, weights.shape), lse


def _kept(sizes: Sizes, given: Given, shape: tuple[int, ...]) -> np.ndarray:
    """What each weight counts: a row's numbers begin at a multiple of four."""
    if given.key is None:
        return np.ones(shape)
    rows, per_row = math.prod(shape[:3]), -(-shape[3] // 4) * 4
    words = philox.words(np, rows * per_row, philox.PURPOSES["dropout"], given.key[:1], given.key[1:])
    u = philox.uniforms(np, words, np.float32).reshape(rows, per_row)[:, : shape[3]].reshape(shape)
    return np.where(u >= np.float32(sizes.dropout), Rule(1.0, False, sizes.dropout).keep, 0.0)


def _expected(sizes: Sizes, given: Given) -> tuple[np.ndarray, ...]:
    """out, lse, dq, dk and dv in float64."""
    B, H, G, _, S, E, F = sizes[:7]
    q, k, v, dy = (x.astype("float64") for x in given[:4])
    wide_k, wide_v = (np.repeat(x, H // G, axis=1) for x in (k, v))
    weights, used, lse = _weights(sizes, given)
    out = used @ wide_v
    change = dy @ wide_v.swapaxes(2, 3) * _kept(sizes, given, weights.shape)
    change = weights * (change - (dy * out).sum(-1, keepdims=True)) * sizes.scale
    of_groups = [(change.swapaxes(2, 3) @ q).reshape(B, G, H // G, S, E), used.swapaxes(2, 3) @ dy]
    dk, dv = of_groups[0].sum(2), of_groups[1].reshape(B, G, H // G, S, F).sum(2)
    return out, lse, change @ wide_k, dk, dv


def _on(bench: Bench, given: Given, dtype: str) -> list[Any]:
    """Queries, keys, values, mask, past and key on the device."""
    arrays = [None if x is None else bench.given(x) for x in (given.q, given.k, given.v, given.mask)]
    rest = (given.past, given.key)
    return [*arrays, *(None if x is None else bench.backend.asarray(x.astype(np.int64)) for x in rest)]


def _attention(sizes: Sizes, dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        bench, given = Bench(backend, layout), _given(sizes, dtype)
        rule, (B, H, _, L) = Rule(sizes.scale, sizes.causal, sizes.dropout), sizes[:4]
        out, lse = bench.output((B, H, L, sizes.F), dtype), backend.empty((B, H, L), np.dtype(dtype))
        backend.attention(*_on(bench, given, dtype), rule, out, lse)
        expected = _expected(sizes, given)
        bench.close(out, expected[0])
        bench.close(lse, expected[1], "lse")
        bench.finish()

    return Case(f"attention-{_name(sizes)}-{layout}-{dtype}", "attention", check)


def _attention_grad(sizes: Sizes, dtype: str, layout: str) -> Case:
    def check(backend: Backend) -> None:
        bench, given = Bench(backend, layout), _given(sizes, dtype)
        rule, expected = Rule(sizes.scale, sizes.causal, sizes.dropout), _expected(sizes, given)
        out, lse = bench.given(expected[0].astype(dtype)), backend.asarray(expected[1].astype(dtype))
        made = [bench.output(x.shape, dtype) for x in expected[2:]]
        arrays = _on(bench, given, dtype)
        backend.attention_grad(*arrays, rule, out, lse, bench.given(given.dy), *made)
        for name, array, wanted in zip(("dq", "dk", "dv"), made, expected[2:], strict=True):
            bench.close(array, wanted, name)
        bench.finish()

    return Case(f"attention_grad-{_name(sizes)}-{layout}-{dtype}", "attention_grad", check)


def _name(sizes: Sizes) -> str:
    """What distinguishes a case."""
    found = [f"{name}{value}" for name, value in sizes._asdict().items() if value != Sizes._field_defaults[name]]
    return "_".join(found).replace(" ", "") or "plain"


CASES = [
    *(make(sizes, dtype, "contiguous") for make in (_attention, _attention_grad) for sizes in CASES_OF_SIZES
      for dtype in FLOATS),
    *(make(sizes, "float32", layout) for make in (_attention, _attention_grad) for layout in LAYOUTS[1:]
      for sizes in (Sizes(), Sizes(E=16, F=32, mask=(0, 1, 0, 0)))),
    *(make(LONG, "float64", "contiguous") for make in (_attention, _attention_grad)),
]  # fmt: skip
