"""Formulas, products, reductions, orders, softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.onnx.formulas import activated, formula
from nnkit.onnx.graph import Graph, Value
from nnkit.tensors import dtypes

REDUCTIONS = {"sum": "ReduceSum", "prod": "ReduceProd", "max": "ReduceMax", "min": "ReduceMin"}


def mapped(g: Graph, outs: list[Any], formula: str, inputs: Any, scalars: Any = ()) -> Any:
    return say(g, formula, [g.value(x) for x in inputs], scalars)


say = formula


def reduce(g: Graph, outs: list[Any], kind: str, x: Any, axes: Any) -> Any:
    out, value = outs[0], g.value(x)
    if kind in ("any", "all"):
        value = g.cast(value, np.int32)
    found = g.reduce(REDUCTIONS.get(kind, "ReduceMax" if kind == "any" else "ReduceMin"), value, axes, False)
    kept = tuple(size for i, size in enumerate(value.shape) if i not in axes)
    return g.reshape(found._replace(shape=kept), out.shape)


def mean(g: Graph, outs: list[Any], x: Any, axes: Any, keepdim: bool) -> Any:
    return g.reduce("ReduceMean", g.value(x), axes, keepdim)


def arg_reduce(g: Graph, outs: list[Any], kind: str, x: Any, axis: int) -> Any:
    value = g.value(x)
    found = g.node("ArgMax" if kind == "argmax" else "ArgMin", [value], np.int64, axis=axis, keepdims=0)
    kept = tuple(size for i, size in enumerate(value.shape) if i != axis)
    return g.reshape(found._replace(shape=kept), outs[0].shape)


def matmul(g: Graph, outs: list[Any], x: Any, y: Any) -> Any:
    dtype = outs[0].dtype
    return g.node("MatMul", [g.cast(g.value(x), dtype), g.cast(g.value(y), dtype)])


def linear(g: Graph, outs: list[Any], x: Any, w: Any, b: Any, activation: Any, scalars: Any) -> Any:
    dtype = outs[0].dtype
    x, w, b = (None if t is None else g.cast(g.value(t), dtype) for t in (x, w, b))
    if len(x.shape) == 2:
        y = g.node("Gemm", [x, w, b], transB=1)
    else:
        y = g.node("MatMul", [x, g.transpose(w, (1, 0))])
        y = y if b is None else g.node("Add", [y, b])
    return activated(g, activation, y, scalars)


def softmax(g: Graph, outs: list[Any], x: Any, dim: int, log: bool) -> Any:
    value = g.value(x)
    if not value.shape:
        return formula(g, "scale", [value], (0.0,)) if log else g.node("Exp", [formula(g, "scale", [value], (0.0,))])
    return g.node("LogSoftmax" if log else "Softmax", [value], axis=dim % len(value.shape))


def cross_entropy(g: Graph, outs: list[Any], logits: Any, labels: Any, row_weights: Any, checked: bool) -> Any:
    scores = g.node("LogSoftmax", [g.value(logits)], axis=1)
    (rows,) = outs[0].shape
    places = g.reshape(g.cast(g.value(labels), np.int64), (rows, 1))
    picked = g.reshape(g.node("GatherElements", [scores, places], axis=1), (rows,))
    loss = g.node("Neg", [picked])
    return loss if row_weights is None else g.node("Mul", [loss, g.cast(g.value(row_weights), loss.dtype)])


def sort(g: Graph, outs: list[Any], x: Any, axis: int, descending: bool) -> Any:
    value = g.value(x)
    count = g.integers([value.shape[axis]])
    values, places = g.node("TopK", [value, count], outputs=2, axis=axis, largest=int(descending), sorted=1)
    return [values, places._replace(dtype=np.dtype(np.int64))]


def scan(g: Graph, outs: list[Any], kind: str, x: Any, axis: int) -> Any:
    value = g.value(x)
    if kind == "sum":
        return g.node("CumSum", [value, g.constant(axis, np.int64)])
    steps = int(g.fixed(value.shape[axis], f"the length of a running {kind}"))
    op = {"prod": "Mul", "max": "Max", "min": "Min"}[kind]
    parts = [g.cut(value, axis, i, i + 1) for i in range(steps)]
    so_far = parts[:1]
    for part in parts[1:]:
        so_far.append(g.node(op, [so_far[-1], part]))
    return g.node("Concat", so_far, axis=axis) if so_far else value


def search(g: Graph, outs: list[Any], edges: Any, x: Any, right: bool) -> Any:
    """How many edges lie before each x, along the last axis of both."""
    edges, value = g.value(edges), g.value(x)
    if len(edges.shape) != 1:
        raise g.refuse("searchsorted of several rows of edges has no operator in ONNX")
    wide = g.reshape(value, (*value.shape, 1))
    before = g.node("LessOrEqual" if right else "Less", [edges, wide], bool)
    return g.reduce("ReduceSum", g.cast(before, np.int64), [len(value.shape)], False)


def fill(g: Graph, outs: list[Any], value: Any) -> Any:
    return g.expand(g.number(value, outs[0].dtype), outs[0].shape)


def _scaled(g: Graph, x: Value, scale: float) -> Value:
    return x if scale == 1.0 else g.node("Mul", [x, g.constant(scale, x.dtype)])


def attended(g: Graph, q: Value, k: Value, v: Value, mask: Any, past: Any, causal: bool, scale: float | None) -> Value:
    """The mean of v by softmax(scale q k^T + mask), a row that sees nothing being 0."""
    (B, H, L, E), (_, G, S, _), F = q.shape, k.shape, v.shape[3]
    scale = (1.0 / math.sqrt(E) if E else 1.0) if scale is None else scale
    q = _scaled(g, q, float(scale))
    if G != H:
        q = g.reshape(q._replace(shape=(B, H, L, E)), (B, G, _times(g, H // G, L), E))
    scores = g.node("MatMul", [q, g.transposed_last(k)], shape=(B, G, *q.shape[2:3], S))
    scores = g.reshape(scores, (B, H, L, S))
    safe = False
    least = g.constant(-math.inf, q.dtype)
    if mask is not None:
        given, safe = g.value(mask), True
        if given.dtype == dtypes.bool_:
            scores = g.node("Where", [given, scores, least], q.dtype, (B, H, L, S))
        else:
            scores = g.node("Add", [scores, g.cast(given, q.dtype)], shape=(B, H, L, S))
    if causal or past is not None:
        safe = safe or past is not None
        keys = _counted(g, S)
        queries = g.reshape(_counted(g, L), (L, 1)) if causal else g.integers([L])
        if not causal:
            queries = g.node("Sub", [queries, g.constant([1], np.int64)])
        if past is not None:
            queries = g.node("Add", [queries, g.value(past)])
        after = g.node("Greater", [keys, queries], bool)
        scores = g.node("Where", [after, least, scores], q.dtype, (B, H, L, S))
    if not safe:
        weights = g.node("Softmax", [scores], axis=-1)
    else:
        seen = g.node("Greater", [g.reduce("ReduceMax", scores, [3], True), least], bool)
        zero = g.constant(0, q.dtype)
        weights = g.node("Softmax", [g.node("Where", [seen, scores, zero], q.dtype)], axis=-1)
        weights = g.node("Where", [seen, weights, zero], q.dtype)
    weights = weights._replace(shape=(B, H, L, S))
    if G != H:
        weights = g.reshape(weights, (B, G, _times(g, H // G, L), S))
    mean = g.node("MatMul", [weights, v], shape=(B, G, *weights.shape[2:3], F))
    return g.reshape(mean, (B, H, L, F))


def _times(g: Graph, factor: int, size: Any) -> Any:
    return size if factor == 1 else factor * g.fixed(size, "how many tokens share keys")


def _counted(g: Graph, count: Any) -> Value:
    """0, 1, 2, …"""
    if isinstance(count, int):
        return g.constant(np.arange(count), np.int64)
    zero, one = g.constant(0, np.int64), g.constant(1, np.int64)
    return g.node("Range", [zero, g.number(count, np.int64), one], shape=(count,))


def attention(
    g: Graph, outs: list[Any], q: Any, k: Any, v: Any, mask: Any, causal: bool, scale: Any, p: float, past: Any
) -> Any:
    _no_dropout(g, p)
    return attended(g, g.value(q), g.value(k), g.value(v), mask, past, causal, scale)


def self_attention(
    g: Graph, outs: list[Any], x: Any, heads: int, groups: Any, mask: Any, causal: bool, scale: Any, p: float
) -> Any:
    _no_dropout(g, p)
    value, groups = g.value(x), heads if groups is None else groups
    B, L, width = value.shape
    E = width // (heads + 2 * groups)
    whole = g.reshape(value, (B, L, heads + 2 * groups, E))
    parts, at = [], 0
    for count in (heads, groups, groups):
        part = g.cut(whole, 2, at, at + count, (B, L, count, E))
        parts.append(g.transpose(part, (0, 2, 1, 3)))
        at += count
    q, k, v = parts
    mean = attended(g, q, k, v, mask, None, causal, scale)
    return g.reshape(g.transpose(mean, (0, 2, 1, 3)), (B, L, heads * E))


def _no_dropout(g: Graph, p: float) -> None:
    if p:
        raise g.refuse("attention drops weights at random, which a file cannot: export it in evaluation mode")


RULES: dict[str, Callable[..., Any]] = {
    "primitive map": mapped, "primitive reduce": reduce, "primitive arg_reduce": arg_reduce, "mean": mean,
    "matmul": matmul, "linear": linear, "softmax": softmax, "cross_entropy": cross_entropy, "primitive sort": sort,
    "primitive scan": scan, "primitive search": search, "primitive fill": fill, "attention": attention,
    "self_attention": self_attention,
}  # fmt: skip
