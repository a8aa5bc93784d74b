"""Recurrent layers: ONNX's own, whose gates come in another order; step by step where a mask keeps states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.kernels.recurrences import GATES, STATELESS
from nnkit.onnx.formulas import formula
from nnkit.onnx.graph import Graph, Value

#: Of ONNX's gates, in order, which of ours each is.
ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "tanh": (0,), "relu": (0,)}
OPERATOR = {"lstm": "LSTM", "gru": "GRU", "tanh": "RNN", "relu": "RNN"}


def recurrence(
    g: Graph, outs: list[Any], x: Any, weights: Any, kind: str, h: Any, c: Any, keep: Any, reverse: bool
) -> Any:
    dtype = outs[0].dtype
    B, T, H = outs[0].shape
    value = g.cast(g.value(x), dtype)
    given = [None if w is None else g.cast(g.value(w), dtype) for w in (*weights, None, None)[:4]]
    states = [None if t is None else g.cast(g.value(t), dtype) for t in (h, c if kind == "lstm" else None)]
    if keep is not None:
        return _step_by_step(g, value, given, kind, states, g.value(keep), reverse, (B, T, H))
    w, r = (_stacked(g, _ordered(g, t, kind, H)) for t in given[:2] if t is not None)
    bias = _biases(g, given[2:], kind, H, dtype)
    first = [None if t is None else _stacked(g, t, (1, B, H)) for t in states]
    if kind == "lstm" and first[1] is not None and first[0] is None:
        first[0] = g.expand(g.constant(0, dtype), (1, B, H))
    attributes: dict[str, Any] = {"hidden_size": H, "direction": "reverse" if reverse else "forward"}
    if kind == "gru":
        attributes["linear_before_reset"] = 1
    if kind == "relu":
        attributes["activations"] = ["Relu"]
    tokens = g.transpose(value, (1, 0, 2))
    inputs = [tokens, w, r, bias, None, *(first if kind == "lstm" else first[:1])]
    y, *last = g.node(OPERATOR[kind], inputs, outputs=3 if kind == "lstm" else 2, **attributes)
    y = g.node("Squeeze", [y, g.constant([1], np.int64)], shape=(T, B, H))
    ends = [g.node("Squeeze", [t, g.constant([0], np.int64)], shape=(B, H)) for t in last]
    return [g.transpose(y, (1, 0, 2)), *ends, *([None] if kind != "lstm" else [])]


def _biases(g: Graph, given: Sequence[Value | None], kind: str, H: int, dtype: Any) -> Value | None:
    """Both biases in one row, as ONNX has them."""
    if all(t is None for t in given):
        return None
    zeros = g.constant(np.zeros(GATES[kind] * H), dtype)
    there = [_ordered(g, zeros if t is None else t, kind, H) for t in given]
    both = g.folded(there, lambda *arrays: np.concatenate(arrays), "both biases")
    return _stacked(g, both or g.node("Concat", there, axis=0, shape=(2 * GATES[kind] * H,)))


def _stacked(g: Graph, t: Value, shape: Any = None) -> Value:
    """With a leading axis: the directions."""
    found = g.folded([t], lambda array: array[None], "stacked")
    shape = (1, *t.shape) if shape is None else shape
    return found or g.node("Unsqueeze", [t, g.constant([0], np.int64)], shape=shape)


def _ordered(g: Graph, t: Value, kind: str, H: int) -> Value:
    """Weights (G H, …) with the gates in ONNX's order."""
    order = ORDER[kind]
    if len(order) == 1:
        return t
    found = g.folded([t], lambda array: np.concatenate([array[k * H : (k + 1) * H] for k in order]), "in ONNX's order")
    if found is not None:
        return found
    parts = [g.cut(t, 0, gate * H, (gate + 1) * H) for gate in order]
    return g.node("Concat", parts, axis=0, shape=t.shape)


def _step_by_step(
    g: Graph, x: Value, given: Sequence[Value | None], kind: str, states: Sequence[Value | None], keep: Value,
    reverse: bool, shape: Any,
) -> Any:  # fmt: skip
    """Every step as nodes of its own: where ``keep`` is 0 a row's states stay as they are."""
    B, T, H = shape
    steps = g.fixed(T, "the number of steps of a recurrent layer with a mask")
    w, r, bx, bh = given
    assert w is not None and r is not None
    turned = [g.transpose(t, (1, 0)) for t in (w, r)]
    entering = g.node("MatMul", [x, turned[0]])
    entering = entering if bx is None else g.node("Add", [entering, bx])
    zeros = None if all(t is not None for t in states) else g.expand(g.constant(0, x.dtype), (B, H))
    h = zeros if states[0] is None else states[0]
    c = (zeros if states[1] is None else states[1]) if kind == "lstm" else None
    outputs: list[Any] = [None] * steps
    one = g.constant([1], np.int64)
    for t in range(steps - 1, -1, -1) if reverse else range(steps):
        now = g.node("Squeeze", [g.cut(entering, 1, t, t + 1), one])
        assert h is not None
        products = g.node("MatMul", [h, turned[1]])
        products = products if bh is None else g.node("Add", [products, bh])
        after, cell = _stepped(g, kind, now, products, h, c, H)
        there = g.cut(g.cast(keep, x.dtype), 1, t, t + 1)
        stays = g.node("Equal", [there, g.constant(0, x.dtype)], bool)
        h = g.node("Where", [stays, h, after], x.dtype)
        c = c if cell is None or c is None else g.node("Where", [stays, c, cell], x.dtype)
        outputs[t] = g.node("Unsqueeze", [h, one])
    return [g.node("Concat", outputs, axis=1), h, c]


def _stepped(
    g: Graph, kind: str, entering: Value, products: Value, h: Value, c: Value | None, H: int
) -> tuple[Value, Value | None]:
    """The states after a step, as PyTorch defines them."""
    if kind in STATELESS:
        return formula(g, STATELESS[kind], [g.node("Add", [entering, products])]), None

    def gates(t: Value) -> list[Value]:
        return [g.cut(t, 1, k * H, (k + 1) * H) for k in range(GATES[kind])]

    if kind == "lstm":
        i, f, new, o = gates(g.node("Add", [entering, products]))
        kept = g.node("Mul", [g.node("Sigmoid", [f]), c])
        cell = g.node("Add", [kept, g.node("Mul", [g.node("Sigmoid", [i]), g.node("Tanh", [new])])])
        return g.node("Mul", [g.node("Sigmoid", [o]), g.node("Tanh", [cell])]), cell
    (r, z, n), (hr, hz, hn) = gates(entering), gates(products)
    r, z = (g.node("Sigmoid", [g.node("Add", pair)]) for pair in ((r, hr), (z, hz)))
    n = g.node("Tanh", [g.node("Add", [n, g.node("Mul", [r, hn])])])
    return g.node("Add", [n, g.node("Mul", [z, g.node("Sub", [h, n])])]), None


RULES: dict[str, Callable[..., Any]] = {"recurrence": recurrence}
