"""Softmax, cross-entropy and the negative log-likelihood; and dropout, the one op that draws random numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.backends import Backend
from nnkit.backends.recording import recorder
from nnkit.errors import LabelError, ShapeError
from nnkit.ops.axes import axes_of
from nnkit.ops.choice import eq
from nnkit.ops.elementwise import check_float, exp
from nnkit.ops.indexing import take_rows
from nnkit.ops.reductions import sum
from nnkit.ops.shape import reshape, transpose
from nnkit.tensors import dtypes, random
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import op
from nnkit.tensors.results import OUTPUT, Asked, changes, require_unchanged, result, same_backend
from nnkit.tensors.shares import Part, part_of
from nnkit.tensors.tensor import Tensor


def _softmax(x: Tensor, dim: int, log: bool) -> Tensor:
    name = "log_softmax" if log else "softmax"
    check_float(name, x)
    axes = axes_of(x, dim, name)
    if axes and x.shape[axes[0]] == 0:
        raise ShapeError(f"{name}: expected at least one element along dim {dim}, got shape {x.shape}")
    if axes and axes[0] != x.ndim - 1:
        return transpose(_softmax(transpose(x, axes[0], -1), -1, log), axes[0], -1)
    if x.ndim == 0:
        return reshape(_softmax(reshape(x, (1,)), -1, log), ())
    backend = x.backend
    y = backend.empty(x.shape, x.dtype)
    backend.softmax(x.array, log, y)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = backend.empty(x.shape, x.dtype)
        backend.softmax_grad(dy, y, log, dx)
        return (dx,)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor]:
        own = asked.output(y)
        if log:
            return (dy - exp(own) * sum(dy, -1, keepdim=True),)
        return (own * (dy - sum(dy * own, -1, keepdim=True)),)

    return result(name, y, backend, (x,), pullback, ((OUTPUT,),), rule)


@op
def softmax(x: Tensor, dim: int = -1, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis, of x as ``dtype`` where given.

    >>> import nnkit
    >>> softmax(nnkit.zeros(2))
    tensor([0.5, 0.5])
    """
    return _softmax(x if dtype is None else x.to(dtype=dtype), dim, log=False)


@op
def log_softmax(x: Tensor, dim: int = -1, dtype: Any = None) -> Tensor:
    """x - log(sum(exp(x))) along an axis, of x as ``dtype`` where given."""
    return _softmax(x if dtype is None else x.to(dtype=dtype), dim, log=True)


def check_labels(labels: Tensor, rows: tuple[int, ...], classes: int, ignore: int | None = None) -> bool:
    """Labels must be integers of shape ``rows`` from 0 to classes - 1, or ``ignore``.

    Raises LabelError or ShapeError. Reads the labels on the host, so that a wrong one is found before any kernel runs.
    Returns whether some are ``ignore``; in a recorded step, whether some may be. Source: nnkit's own.

    >>> import nnkit
    >>> check_labels(nnkit.tensor([0, 2]), (2,), 3), check_labels(nnkit.tensor([0, -1]), (2,), 3, ignore=-1)
    (False, True)
    """
    if labels.shape != rows:
        raise ShapeError(f"labels: expected shape {rows}, one class number for each row, got {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise LabelError(f"labels: expected integers, got {labels.dtype}; convert them with .long()")
    backend, at_work = labels.backend, recorder()
    test: Callable[[Any], bool] = lambda array: _some_ignored(backend.to_numpy(array), classes, ignore)  # noqa: E731
    return test(labels.array) if at_work is None else at_work.check(labels.array, test)


def _some_ignored(host: np.ndarray, classes: int, ignore: int | None) -> bool:
    wrong = (host < 0) | (host >= classes)
    if not wrong.any():
        return ignore is not None and 0 <= ignore < classes and bool((host == ignore).any())
    if ignore is not None:
        wrong &= host != ignore
    if wrong.any():
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        at = first[0] if len(first) == 1 else first
        raise LabelError(
            f"labels: expected integers from 0 to {classes - 1}, got {host[first]} at index {at}; "
            f"the prediction has {classes} classes"
        )
    return True


@op
def cross_entropy(logits: Tensor, labels: Tensor, row_weights: Tensor | None = None, checked: bool = False) -> Tensor:
    """Per row, log(sum(exp(logits))) - logits[label], fused with its gradient: logits (B, C), labels int (B,),
    result (B,).

    Each row's loss is multiplied by ``row_weights`` (B,) where given. Raises LabelError for labels out of range, unless
    ``checked`` says that the caller has seen to that. Raises DtypeError for logits of whole numbers, ShapeError where
    sizes do not fit. Source: nnkit's own, behind ``torch.nn.functional.cross_entropy``.

    >>> import nnkit
    >>> cross_entropy(nnkit.zeros(1, 2), nnkit.tensor([1]))
    tensor([0.6931])
    """
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ShapeError(f"logits: expected shape (rows, classes), got {logits.shape}")
    check_float("cross_entropy", logits)
    B, C = logits.shape
    weights = [] if row_weights is None else [row_weights]
    backend = same_backend("cross_entropy", logits, labels, *weights)
    if not checked:
        check_labels(labels, (B,), C)
    if row_weights is not None and row_weights.shape != (B,):
        raise ShapeError(f"row_weights: expected shape {(B,)}, got {row_weights.shape}")
    loss, dz = backend.empty((B,), logits.dtype), backend.empty((B, C), logits.dtype)
    scale = None if row_weights is None else row_weights.to(logits.dtype).array
    backend.cross_entropy(logits.array, labels.to(dtypes.int64).array, scale, loss, dz)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = backend.empty((B, C), logits.dtype)
        backend.map("mul", (dz, backend.reshape(dy, (B, 1))), (dx,))
        return (dx,)

    count = changes(logits)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor]:
        require_unchanged("cross_entropy", (logits,), (count,))
        classes = Tensor(backend.asarray(np.arange(C, dtype=np.int64)), backend)
        right = eq(reshape(labels.to(dtypes.int64), (B, 1)), classes).to(logits.dtype)
        gradient = (softmax(logits) - right) * reshape(dy, (B, 1))
        return (gradient if row_weights is None else gradient * reshape(row_weights.to(logits.dtype).detach(), (B, 1)),)

    return result("cross_entropy", loss, backend, (logits,), pullback, (), rule)


@op
def nll(log_probabilities: Tensor, labels: Tensor, row_weights: Tensor | None = None, checked: bool = False) -> Tensor:
    """Per row, -log_probabilities[label]: (B, C), labels int (B,), result (B,).

    Floats give floats of their type; each row's is multiplied by ``row_weights`` (B,) where given. Raises LabelError
    for labels out of range, unless ``checked`` says that the caller has seen to that, ShapeError where sizes do not
    fit. Source: nnkit's own, behind ``torch.nn.functional.nll_loss``.

    >>> import nnkit
    >>> nll(nnkit.tensor([[-1.0, -2.0]]), nnkit.tensor([1]))
    tensor([2.])
    """
    if log_probabilities.ndim != 2:
        raise ShapeError(f"log_probabilities: expected shape (rows, classes), got {log_probabilities.shape}")
    B, C = log_probabilities.shape
    backend = same_backend("nll", log_probabilities, labels)
    if not checked:
        check_labels(labels, (B,), C)
    positions = backend.empty((B,), dtypes.int64)
    first = backend.asarray(np.arange(B, dtype=np.int64) * C)
    backend.map("add", (first, labels.to(dtypes.int64).array), (positions,))
    picked = -take_rows(reshape(log_probabilities, (-1,)), Tensor(positions, backend), checked=True)
    return picked if row_weights is None else picked * row_weights


@op
def dropout(x: Tensor, p: float = 0.5) -> Tensor:
    """0 with probability p, else x / (1 - p): Srivastava et al., Dropout, 2014.

    A new mask every call. The mask is a function of the seed and a draw number, the same on every device. Raises
    ShapeError for p outside [0, 1]. x is of floats, of any shape, and the result has its shape and dtype. Raises
    DtypeError for whole numbers.
    """
    if not 0.0 <= p <= 1.0:
        raise ShapeError(f"p: expected a probability from 0 to 1, got {p}")
    check_float("dropout", x)
    if p == 0.0:
        return x
    if p == 1.0:
        return x * 0.0
    part = part_of(tuple(x.shape))
    return dropped(x, p, random.current().next_key(x.backend), part)


def dropped(x: Tensor, p: float, key: Any, part: Part | None = None) -> Tensor:
    """``dropout`` by the mask of a key, or a part of that; so its gradient is of the same kind."""
    backend = x.backend
    y = backend.empty(x.shape, x.dtype)
    _drop(backend, x.array, p, key, y, part)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = backend.empty(x.shape, x.dtype)
        _drop(backend, dy, p, key, dx, part)
        return (dx,)

    return result("dropout", y, backend, (x,), pullback, (), lambda dy, asked: (dropped(dy, p, key, part),))


def _drop(backend: Backend, x: Any, p: float, key: Any, y: Any, part: Part | None) -> None:
    """Write x, or 0, into y: a call for each block of samples that lie together."""
    if part is None:
        backend.dropout(x, p, key, y, 0)
        return
    inner = math.prod(x.shape[part.axis + 1 :])
    for number, place in enumerate(itertools.product(*map(range, x.shape[: part.axis]))):
        block = (*place, ...)
        backend.dropout(x[block], p, key, y[block], (number * part.whole + part.start) * inner)
