"""Connectionist temporal classification: the probability of a labelling, whatever its alignment to the frames.

Graves et al., Connectionist Temporal Classification, 2006. The forward algorithm, in logarithms and made of ops, so
the tape has its gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from nnkit import ops
from nnkit.errors import LabelError, ShapeError
from nnkit.nn.loss_options import check_reduction
from nnkit.nn.loss_terms import reduced, tensors
from nnkit.nn.module import Module
from nnkit.ops.elementwise import check_float
from nnkit.tensors import dtypes
from nnkit.tensors.creation import arange, as_tensor, full
from nnkit.tensors.tensor import Tensor

__all__ = ["CTCLoss", "ctc_loss"]

Lengths = Tensor | Sequence[int]

#: The logarithm of nothing: finite, so that differences of it are no NaN, and beyond any sum of logarithms.
NOTHING = -1e30


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability of each sample's labels, over all their alignments to its frames.

    Args:
        log_probs: log-probabilities (T, B, C), or (T, C) of one sample, as from ``log_softmax``.
        targets: class numbers (B, S), padded with anything, or of all samples one after another (sum of lengths,).
        input_lengths: how many frames of each sample count: (B,) or (), integers from 0 to T.
        target_lengths: how many labels each sample has: (B,) or ().
        blank: the class that means no label.
        reduction: "none" gives (B,), "sum" their sum; "mean" first divides each by its number of labels (at least 1).
        zero_infinity: a sample whose labels do not fit into its frames counts 0 instead of infinity; its gradient is 0
            in both cases.

    The gradient is that of this function. PyTorch's is that of this function after ``log_softmax``, so the two agree
    on what comes before a ``log_softmax``. Targets one after another are taken apart on the host. Raises LabelError for
    labels out of range, ShapeError for shapes and lengths that do not fit.

    >>> import nnkit
    >>> even = nnkit.zeros(2, 1, 2).log_softmax(dim=2)
    >>> round(ctc_loss(even, nnkit.tensor([[1]]), [2], [1]).item(), 4)  # 3 of 4 alignments
    0.2877
    """
    check_reduction(reduction)
    tensors("ctc_loss", log_probs=log_probs, targets=targets)
    check_float("ctc_loss: log_probs", log_probs)
    if log_probs.ndim not in (2, 3):
        raise ShapeError(f"ctc_loss: log_probs must have shape (T, B, C) or (T, C), got {log_probs.shape}")
    single = log_probs.ndim == 2
    frames = log_probs.unsqueeze(1) if single else log_probs
    batch, classes = frames.shape[1:]
    if not 0 <= blank < classes:
        raise ValueError(f"blank must be a class from 0 to {classes - 1}, got {blank}")
    inputs = _lengths("input_lengths", input_lengths, batch, frames.shape[0], log_probs)
    counts = _lengths("target_lengths", target_lengths, batch, targets.shape[-1] if targets.ndim else 0, log_probs)
    if frames.dtype in (dtypes.float16, dtypes.bfloat16):
        frames = frames.float()
    labels = _padded(targets, counts, batch, single)
    losses = _log_loss(frames, _checked_labels(labels, counts, classes, blank), inputs, counts, blank)
    impossible = ops.gt(losses, -0.5 * NOTHING)
    losses = ops.where(impossible, 0.0 if zero_infinity else float("inf"), losses).to(log_probs.dtype)
    if reduction == "mean":
        losses = losses / ops.maximum(counts, 1).to(losses.dtype)
    return reduced(losses.reshape(()) if single else losses, reduction)


def _lengths(name: str, given: Lengths, batch: int, most: int, like: Tensor) -> Tensor:
    """Lengths as int64 (B,) on the device. Raises ShapeError unless each is from 0 to ``most``."""
    lengths = as_tensor(given, device=like.device)
    if lengths.numel() != batch or lengths.dtype.kind not in "iu":
        raise ShapeError(f"{name} must be {batch} integers, one for each sample, got {lengths.dtype} {lengths.shape}")
    lengths = lengths.reshape(batch).long()
    try:
        ops.check_labels(lengths, (batch,), most + 1)
    except LabelError as error:
        raise ShapeError(f"{name} must be from 0 to {most}: {error}") from None
    return lengths


def _padded(targets: Tensor, counts: Tensor, batch: int, single: bool) -> Tensor:
    """Labels (B, S), int64."""
    if targets.dtype.kind not in "iu":
        raise LabelError(f"targets must be integers, got {targets.dtype}: convert whole numbers with y.long()")
    if targets.ndim == 2 and targets.shape[0] == batch:
        return targets.long()
    if targets.ndim != 1:
        raise ShapeError(f"targets must have shape ({batch}, S), or (sum of target_lengths,), got {targets.shape}")
    if single:
        return targets.long().unsqueeze(0)
    lengths, values = counts.tolist(), iter(targets.tolist())
    if sum(lengths) != targets.numel():
        raise ShapeError(f"target_lengths sum to {sum(lengths)}, and targets has {targets.numel()} labels")
    most = max(lengths, default=0)
    padded = [[*islice(values, count), *[0] * (most - count)] for count in lengths]
    return as_tensor(padded, device=targets.device).long().reshape(batch, most)


def _checked_labels(labels: Tensor, counts: Tensor, classes: int, blank: int) -> Tensor:
    """Labels, ``blank`` beyond their number. Raises LabelError for one out of range."""
    counted = ops.lt(arange(labels.shape[1], device=labels.device), counts.unsqueeze(1))
    labels = ops.where(counted, labels, blank)
    ops.check_labels(labels.reshape(-1), (labels.numel(),), classes)
    return labels


def _log_loss(frames: Tensor, labels: Tensor, inputs: Tensor, counts: Tensor, blank: int) -> Tensor:
    """The losses (B,): frames (T, B, C), labels (B, S) between blanks are L = 2 S + 1 states."""
    steps, (batch, classes) = frames.shape[0], frames.shape[1:]
    states = _between_blanks(labels, blank)
    length, device = states.shape[1], frames.device
    rows = states + (arange(batch, device=device) * classes).unsqueeze(1)
    scores = ops.take_rows(frames.permute(1, 2, 0).reshape(batch * classes, steps), rows, checked=True)  # (B, L, T)
    nothing = full((batch, 2), NOTHING, dtype=frames.dtype, device=device)
    places = arange(length, device=device)
    # A label may follow the one before it without a blank, unless they are the same.
    before = ops.cat([states[:, :2], states[:, :-2]], 1) if length > 2 else states
    barred = ops.logical_or(ops.eq(states, blank), ops.eq(states, before))
    barred = ops.where(barred, NOTHING, 0.0).to(frames.dtype)
    # Before any frame nothing is said; the first frame is a blank or the first label.
    alpha, first = (
        ops.where(ops.lt(places, most), 0.0, NOTHING).to(frames.dtype).expand((batch, length)) for most in (1, 2)
    )
    for step in range(steps):
        moved = _moved(alpha, nothing, barred) if step else first
        alpha = ops.where(ops.gt(inputs, step).unsqueeze(1), moved + scores[:, :, step], alpha)
    ends = 2 * counts.unsqueeze(1)
    last = ops.logical_or(ops.eq(places, ends), ops.eq(places, ends - 1))
    return -ops.logsumexp(ops.where(last, alpha, NOTHING), 1)


def _moved(alpha: Tensor, nothing: Tensor, barred: Tensor) -> Tensor:
    """log of the sum of the probabilities to stay, to go one state on, and to go two."""
    length = alpha.shape[1]
    once = ops.cat([nothing[:, :1], alpha[:, : length - 1]], 1)
    if length < 3:
        return ops.logsumexp(ops.stack([alpha, once]), 0)
    twice = ops.cat([nothing, alpha[:, : length - 2]], 1) + barred
    return ops.logsumexp(ops.stack([alpha, once, twice]), 0)


def _between_blanks(labels: Tensor, blank: int) -> Tensor:
    """(B, S) -> (B, 2 S + 1): a blank before each label and after the last."""
    batch, count = labels.shape
    blanks = full((batch, count, 1), blank, dtype=labels.dtype, device=labels.device)
    pairs = ops.cat([blanks, labels.unsqueeze(2)], 2).reshape(batch, 2 * count)
    return ops.cat([pairs, full((batch, 1), blank, dtype=labels.dtype, device=labels.device)], 1)


class CTCLoss(Module):
    """``ctc_loss`` as a module: ``loss(log_probs, targets, input_lengths, target_lengths)``.

    log_probs is (T, B, C), of floats; targets and lengths are int64. Raises UnknownNameError for another reduction and,
    when it is called, ShapeError for sizes that do not fit. Source: ``torch.nn.CTCLoss``.

    >>> import nnkit
    >>> even = nnkit.zeros(2, 1, 2).log_softmax(dim=2)
    >>> round(CTCLoss()(even, nnkit.tensor([[1]]), [2], [1]).item(), 4)
    0.2877
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__()
        self.blank, self.reduction, self.zero_infinity = blank, check_reduction(reduction), zero_infinity

    def forward(self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any) -> Tensor:
        return ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )
