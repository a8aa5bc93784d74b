"""Rows of a table by number as plain functions: PyTorch's ``embedding`` and ``embedding_bag``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.errors import DtypeError, ShapeError, UnknownNameError
from nnkit.nn.utils.rnn import on_host
from nnkit.ops.embedding import check_rows
from nnkit.tensors.creation import full, ones, tensor, zeros
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["check_bag", "check_frequencies", "embedding", "embedding_bag", "row_number"]

MODES = ("sum", "mean", "max")


def embedding(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:  # fmt: skip
    """Rows of ``weight`` (N, D) by number: whole numbers from 0 to N - 1 of any shape -> (..., D).

    See ``nn.Embedding`` for the arguments. Raises IndexError for a number out of range. Weights are floats, and so are
    the rows. Raises DtypeError for numbers that are not whole. Source: ``torch.nn.functional.embedding``.

    >>> embedding(tensor([1, 0]), tensor([[1.0], [2.0]])).tolist()
    [[2.0], [1.0]]
    """
    check_frequencies(scale_grad_by_freq)
    if not isinstance(input, Tensor):
        raise DtypeError(f"embedding: expected a Tensor of whole numbers, got {type(input).__name__}")
    if max_norm is not None:
        _shorten(input, weight, float(max_norm), float(norm_type))
    return ops.embedding(weight, input, row_number(padding_idx, weight.shape[0]))


def check_frequencies(scale_grad_by_freq: bool) -> None:
    """Raise ValueError for an option that is not there."""
    if scale_grad_by_freq:
        raise ValueError("scale_grad_by_freq=True is not supported: divide the loss of each word by its count instead")


def row_number(padding_idx: int | None, rows: int) -> int | None:
    """``padding_idx`` from 0 on. Raises ValueError where it is no row's number.

    >>> row_number(-1, 10), row_number(None, 10)
    (9, None)
    """
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise ValueError(f"padding_idx must be the number of one of {rows} rows, got {padding_idx!r}")
    return padding_idx % rows


def _shorten(input: Tensor, weight: Tensor, max_norm: float, norm_type: float) -> None:
    """Rows that are used and whose norm is above ``max_norm`` get that norm, in place."""
    check_rows(input, weight.shape[0])
    with no_grad():
        table, numbers = weight.detach(), ops.reshape(input, (-1,)).long()
        used = zeros(weight.shape[0], 1, dtype=weight.dtype, device=weight.device)
        given = ones(numbers.shape[0], 1, dtype=weight.dtype, device=weight.device)
        weight.backend.add_rows(given.array, numbers.array, used.array)
        norms = ops.norm(table, norm_type, 1, True)
        long = ops.logical_and(ops.gt(used, 0), ops.gt(norms, max_norm))
        weight.mul_(ops.where(long, max_norm / (norms + 1e-7), ops.add(ops.mul(norms, 0.0), 1.0)))


# ---- bags -----------------------------------------------------------------------------------------------------------


def check_bag(mode: str) -> str:
    """The mode, if it is one."""
    if mode not in MODES:
        raise UnknownNameError("mode", mode, MODES)
    return mode


def embedding_bag(
    input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
    per_sample_weights: Tensor | None = None, include_last_offset: bool = False, padding_idx: int | None = None,
) -> Tensor:  # fmt: skip
    """Sums, means or maxima of rows of ``weight``; see ``nn.EmbeddingBag``.

    input (B, N), or (N,) with offsets (B,), of int64; weights and result are of one float dtype, (B, D). Raises
    IndexError for a number out of range, DtypeError for one that is not whole, UnknownNameError for another mode.
    Source: ``torch.nn.functional.embedding_bag``.

    >>> embedding_bag(tensor([[0, 1]]), tensor([[1.0], [2.0]]), mode="sum").tolist()
    [[3.0]]
    """
    check_bag(mode)
    if per_sample_weights is not None and mode != "sum":
        raise ValueError(f"per_sample_weights need mode='sum', got mode={mode!r}")
    if per_sample_weights is not None and per_sample_weights.shape != input.shape:
        raise ShapeError(
            f"per_sample_weights: expected shape {input.shape} like the input's, got {per_sample_weights.shape}"
        )
    there: Tensor | None = None
    if input.ndim == 1:
        if offsets is None:
            raise ValueError("embedding_bag: an input of one axis needs offsets, where each bag begins")
        places, found = _bags(on_host(offsets, "offsets"), input.shape[0], include_last_offset)
        at = tensor(places, device=input.device)
        there = None if found.all() else tensor(found, device=input.device)
        input = ops.take_rows(input, at, checked=True) if input.shape[0] else zeros(*places.shape, dtype="int64")
        if per_sample_weights is not None:
            per_sample_weights = ops.take_rows(per_sample_weights, at, checked=True)
    elif input.ndim != 2 or offsets is not None:
        raise ValueError(f"embedding_bag: expected an input (B, N), or (N,) with offsets, got shape {input.shape}")
    padding = row_number(padding_idx, weight.shape[0])
    if padding is not None:
        others = ops.ne(input, padding)
        there = others if there is None else ops.logical_and(there, others)
    rows = embedding(input, weight, padding, max_norm, norm_type, scale_grad_by_freq, sparse)
    if per_sample_weights is not None:
        rows = rows * ops.unsqueeze(per_sample_weights, -1)
    return _reduced(rows, there, mode)


def _bags(offsets: list[int], count: int, include_last_offset: bool) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of one axis as bags side by side: the place of each (B, longest), and whether it is there."""
    ends = [*offsets[1:], *([] if include_last_offset else [count])]
    starts = offsets[: len(ends)]
    if not offsets or offsets[0] != 0 or any(a > b for a, b in zip(starts, ends, strict=True)) or ends[-1:] > [count]:
        raise ValueError(f"offsets must begin with 0 and rise to at most {count}, got {offsets}")
    sizes = np.array(ends, np.int64) - np.array(starts, np.int64)
    steps = np.arange(max(int(sizes.max(initial=0)), 1))
    there = steps < sizes[:, None]
    return np.where(there, np.array(starts, np.int64)[:, None] + steps, 0), there


def _reduced(rows: Tensor, there: Tensor | None, mode: str) -> Tensor:
    """Rows (B, N, D) as one of each bag; those that are not there count nothing."""
    if rows.shape[1] == 0:
        return ops.sum(rows, 1)
    if there is None:
        return rows.max(1)[0] if mode == "max" else {"sum": ops.sum, "mean": ops.mean}[mode](rows, 1)
    mask = ops.unsqueeze(there, -1)
    if mode == "max":
        lowest: Any = full((), -math.inf, dtype=rows.dtype, device=rows.device)
        greatest = ops.where(mask, rows, lowest).max(1)[0]  # the gradient goes to the first of equals
        some = ops.unsqueeze(ops.any(there, 1), -1)
        return ops.where(some, greatest, full((), 0.0, dtype=rows.dtype, device=rows.device))
    total = ops.sum(ops.where(mask, rows, full((), 0.0, dtype=rows.dtype, device=rows.device)), 1)
    if mode == "sum":
        return total
    return total / ops.clamp(ops.unsqueeze(ops.sum(there.to(rows.dtype), 1), -1), 1.0)
