"""A recurrent layer over a sequence: one layer, one direction, all steps.

The input's products of all steps are one product; so is the gradient of the weights. Between them lies what has to go
step by step: ``Backend.recurrence``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from nnkit.backends import Backend
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.kernels.recurrences import GATES
from nnkit.ops.elementwise import check_float
from nnkit.ops.remade import Again, Remade
from nnkit.ops.unrolled import unrolled
from nnkit.tensors import dtypes
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import op
from nnkit.tensors.precision import autocast_type, rounding
from nnkit.tensors.results import OUTPUT, Asked, result, same_backend
from nnkit.tensors.tape import is_grad_enabled
from nnkit.tensors.tensor import Tensor


class Weights(NamedTuple):
    """Of the input (G H, I) and of the hidden state (G H, H), and their biases (G H,); the gates in PyTorch's order."""

    input: Tensor
    hidden: Tensor
    input_bias: Tensor | None = None
    hidden_bias: Tensor | None = None


class _Layer(NamedTuple):
    """What the pullback of a layer knows of its forward pass, as arrays."""

    kind: str
    backend: Backend
    half: str | None
    reverse: bool
    x: Any  # (B T, I)
    weights: tuple[Any, Any]  # of the input as it is multiplied, and of the hidden state
    start: tuple[Any, Any]
    y: Any
    before: Any
    kept: Any
    end: tuple[Any, Any]
    gates: Any
    keep: Any


@op
def recurrence(
    x: Tensor, weights: Sequence[Tensor | None], kind: str, h: Tensor | None = None, c: Tensor | None = None,
    keep: Tensor | None = None, reverse: bool = False,
) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
    """The hidden states of all steps (B, T, H), and the last hidden state and cell state (B, H).

    Args:
        x: (B, T, I).
        weights: see ``Weights``.
        kind: "tanh", "relu", "lstm" or "gru"; the last state of a cell is None for all but an LSTM.
        h: the hidden state before the first step, (B, H); 0 if not given.
        c: the cell state of an LSTM before the first step.
        keep: (B, T), 0 where a row's states stay as they are in a step, and its input is not read.
        reverse: run from the last step to the first.

    All are of one float type. Raises ShapeError where sizes do not fit, DtypeError for whole numbers, UnknownNameError
    for another kind. Definitions are PyTorch's. Gradients of gradients run all steps again as ops of their own.

    >>> import nnkit
    >>> y, last, _ = recurrence(nnkit.zeros(2, 5, 3), [nnkit.zeros(4, 3), nnkit.zeros(4, 4)], "tanh"); y.shape
    (2, 5, 4)
    """
    w = Weights(*weights)  # type: ignore[arg-type]
    _check(x, w, kind, h, c, keep)
    x, w, h, c = _of_one_type(x, w, h, c)
    backend = same_backend("recurrence", *(t for t in (x, *w, h, c, keep) if t is not None))
    half = autocast_type() if x.dtype == dtypes.float32 else None
    inputs = [t for t in (x, *w, h, c if kind == "lstm" else None) if t is not None]
    on_tape = is_grad_enabled() and any(t.requires_grad for t in inputs)
    layer = _forward(kind, backend, half, reverse, x, w, h, c, keep, on_tape)
    late: dict[str, Any] = {}

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> list[Any]:
        wanted = dict(zip([name for name, t in _named(x, w, h, c, kind) if t is not None], into, strict=True))
        found = _backward(layer, dy, late.pop("h", None), late.pop("c", None), wanted)
        return [found.get(name) for name in wanted]

    def rule(dy: Tensor, asked: Asked) -> list[Tensor | None]:
        with rounding(half):
            return remade.gradients([dy, late.pop("h", None), late.pop("c", None)], asked.wanted)

    remade = Remade("recurrence", inputs, _again(x, w, h, c, kind, keep, reverse))
    read = [t for t in (x, w.input, w.hidden) if t is not None]
    read += [c] if c is not None and kind == "lstm" else []
    y = result("recurrence", layer.y, backend, inputs, pullback, [[OUTPUT, *read] for _ in inputs], rule)
    last = _last(layer, y, layer.end[0], late, "h")
    return y, last, _last(layer, y, layer.end[1], late, "c") if kind == "lstm" else None


def _named(x: Any, w: Weights, h: Any, c: Any, kind: str) -> list[tuple[str, Any]]:
    names = ("x", "input", "hidden", "input_bias", "hidden_bias", "h", "c")
    return list(zip(names, (x, *w, h, c if kind == "lstm" else None), strict=True))


def _again(
    x: Tensor, w: Weights, h: Tensor | None, c: Tensor | None, kind: str, keep: Tensor | None, reverse: bool
) -> Again:
    """All steps made of ops, from the inputs that there are."""
    there = [t is not None for _, t in _named(x, w, h, c, kind)]

    def again(*inputs: Tensor) -> Sequence[Tensor]:
        given = iter(inputs)
        x, wx, wh, bx, bh, h, c = (next(given) if one else None for one in there)
        assert x is not None and wx is not None and wh is not None
        return unrolled(kind, x, (wx, wh, bx, bh), (h, c), keep, reverse)

    return again


def _last(layer: _Layer, y: Tensor, state: Any, late: dict[str, Any], name: str) -> Tensor:
    """A last state. Its gradient goes into the pullback of y, which runs after this one, beside dy."""
    backend, (B, T, H) = layer.backend, layer.y.shape
    dtype = backend.dtype_of(state)

    def pullback(d: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        late[name] = d
        return (backend.broadcast_to(backend.zeros((H,), dtype), (B, T, H)),)

    def rule(d: Tensor, asked: Asked) -> tuple[Tensor]:
        late[name] = d
        return (Tensor(backend.zeros((B, T, H), dtype), backend),)

    return result(f"last_{name}", state, backend, (y,), pullback, (), rule)


def _forward(
    kind: str, backend: Backend, half: str | None, reverse: bool, x: Tensor, w: Weights, h: Tensor | None,
    c: Tensor | None, keep: Tensor | None, on_tape: bool,
) -> _Layer:  # fmt: skip
    (B, T, I), (N, H), dtype = x.shape, w.hidden.shape, x.dtype
    gates = backend.empty((B, T, N), dtype)
    flat = _operand(backend, half, backend.reshape(x.array, (B * T, I)))
    weights = _operand(backend, half, w.input.array), w.hidden.array
    bias, inner = _biases(kind, backend, w)
    backend.linear(flat, weights[0], bias, "identity", None, backend.reshape(gates, (B * T, N)))
    zeros = backend.zeros((B, H), dtype) if h is None or (c is None and kind == "lstm") else None
    first = zeros if h is None else _contiguous(backend, h.array)
    start = first, first if kind != "lstm" else zeros if c is None else _contiguous(backend, c.array)
    y, last = backend.empty((B, T, H), dtype), backend.empty((B, H), dtype)
    end = last, backend.empty((B, H), dtype) if kind == "lstm" else last
    kept = backend.empty((B, T, H), dtype) if kind in ("lstm", "gru") else y
    before = backend.empty((B, T, H), dtype) if on_tape else None
    stays = None if keep is None else _contiguous(backend, keep.to(dtype).array)
    backend.recurrence(kind, gates, w.hidden.array, inner, start, y, before, kept, end, stays, reverse, half)
    return _Layer(kind, backend, half, reverse, flat, weights, start, y, before, kept, end, gates, stays)


def _operand(backend: Backend, half: str | None, x: Any) -> Any:
    return x if half is None else backend.rounded(x, half)


def _contiguous(backend: Backend, x: Any) -> Any:
    if backend.is_contiguous(x):
        return x
    out = backend.empty(tuple(x.shape), backend.dtype_of(x))
    backend.copy(x, out)
    return out


def _biases(kind: str, backend: Backend, w: Weights) -> tuple[Any, Any]:
    """The bias of the input's products, and the one that a GRU adds to the hidden state's."""
    given = [b.array for b in (w.input_bias, w.hidden_bias) if b is not None]
    if kind == "gru":
        return None if w.input_bias is None else w.input_bias.array, None if w.hidden_bias is None else given[-1]
    if len(given) < 2:
        return (given or [None])[0], None
    both = backend.empty(tuple(given[0].shape), backend.dtype_of(given[0]))
    backend.map("add", given, (both,))
    return both, None


def _backward(layer: _Layer, dy: Any, dh: Any, dc: Any, wanted: dict[str, Gradient | None]) -> dict[str, Any]:
    """The gradients of what is wanted, by name; those of weights are written into their places."""
    backend, (B, T, N), (_, H) = layer.backend, layer.gates.shape, layer.weights[1].shape
    dtype = backend.dtype_of(layer.gates)
    dx = backend.empty((B, T, N), dtype)
    dz = backend.empty((B, T, N), dtype) if layer.kind == "gru" else dx
    states = []
    for given in (dh, dc) if layer.kind == "lstm" else (dh,):
        state = backend.empty((B, H), dtype)
        backend.fill(0.0, state) if given is None else backend.copy(given, state)
        states.append(state)
    backend.recurrence_grad(
        layer.kind, layer.gates, layer.weights[1], layer.start[1], layer.y, layer.before, layer.kept, layer.keep,
        layer.reverse, dy, states[0], states[-1], dx, dz, layer.half,
    )  # fmt: skip
    found = {"h": states[0], "c": states[-1]}
    I, flat = layer.x.shape[1], backend.reshape(dx, (B * T, N))
    turn = flat if dz is dx else backend.reshape(dz, (B * T, N))
    out = backend.empty((B * T, I), dtype) if wanted.get("x") is not None else None
    found["x"] = None if out is None else backend.reshape(out, (B, T, I))
    same = dz is dx and wanted.get("hidden_bias") is not None
    found["input_bias"] = _products_back(
        layer, layer.x, layer.weights[0], flat, out, wanted.get("input"), same or wanted.get("input_bias") is not None
    )
    before = _operand(backend, layer.half, backend.reshape(layer.before, (B * T, H)))
    alone = wanted.get("hidden_bias") is not None and not same
    bias = _products_back(layer, before, layer.weights[1], turn, None, wanted.get("hidden"), alone)
    found["hidden_bias"] = bias if alone else found["input_bias"]
    return found


def _products_back(layer: _Layer, x: Any, w: Any, dz: Any, dx: Any, place: Gradient | None, biased: bool) -> Any:
    """The gradients of the products x w^T of all steps: dx and that of w in their places; the bias's, or None."""
    backend, dtype = layer.backend, layer.backend.dtype_of(dz)
    gradient = backend.linear_grad if layer.half is None else functools.partial(backend.half_linear_grad, layer.half)
    dw, add = place.place(backend, tuple(w.shape), dtype) if place is not None else (None, False)
    db = backend.empty((w.shape[0],), dtype) if biased else None
    if dx is not None or dw is not None or db is not None:
        gradient(x, w, dz, dz, "identity", dz, dx, dw, db, (add, False))
    return db


# ---- what is refused ----------------------------------------------------------------------------------------------


def _of_one_type(
    x: Tensor, w: Weights, h: Tensor | None, c: Tensor | None
) -> tuple[Tensor, Weights, Tensor | None, Tensor | None]:
    given = [t for t in (x, *w, h, c) if t is not None]
    dtype = functools.reduce(dtypes.promote, [t.dtype for t in given])
    if all(t.dtype == dtype for t in given):
        return x, w, h, c
    x, *made = (t if t is None else t.to(dtype) for t in (x, *w, h, c))  # type: ignore[assignment]
    return x, Weights(*made[:4]), *made[4:]  # type: ignore[arg-type, return-value]


def _check(x: Tensor, w: Weights, kind: str, h: Tensor | None, c: Tensor | None, keep: Tensor | None) -> None:
    if kind not in GATES:
        raise UnknownNameError("kind", kind, GATES)
    check_float("recurrence", x)
    if x.ndim != 3 or w.hidden.ndim != 2 or w.input.ndim != 2:
        raise ShapeError(
            f"recurrence: expected x of shape (batch, steps, features) and two matrices of weights, got {x.shape}, "
            f"{w.input.shape} and {w.hidden.shape}"
        )
    (B, T, I), (N, H) = x.shape, w.hidden.shape
    if T == 0:
        raise ShapeError(f"recurrence: expected at least one step, got x of shape {x.shape}")
    expected = {
        "the input's weights": (w.input, (GATES[kind] * H, I)),
        "the hidden state's weights": (w.hidden, (GATES[kind] * H, H)),
        "the input's bias": (w.input_bias, (N,)), "the hidden state's bias": (w.hidden_bias, (N,)),
        "the hidden state": (h, (B, H)), "the cell state": (c, (B, H)), "keep": (keep, (B, T)),
    }  # fmt: skip
    for what, (given, shape) in expected.items():
        if given is not None and given.shape != shape:
            raise ShapeError(
                f"recurrence: expected {what} of shape {shape} for x of shape {x.shape}, got {given.shape}"
            )
