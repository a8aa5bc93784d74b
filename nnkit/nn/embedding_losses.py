"""Losses that compare vectors or scores with one another: ranking, cosine and triplets.

PyTorch's definitions, names, argument order and defaults. Their modules take more than a prediction and a target, so
they are called by a training step of your own, not by ``fit``.
"""

from __future__ import annotations

from collections.abc import Callable

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.nn.distances import pairwise_distance
from nnkit.nn.loss_options import check_reduction, chosen_reduction
from nnkit.nn.loss_terms import reduced, tensors
from nnkit.nn.module import Module
from nnkit.recording.observer import call
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "CosineEmbeddingLoss", "MarginRankingLoss", "TripletMarginLoss", "TripletMarginWithDistanceLoss",
    "cosine_embedding_loss", "margin_ranking_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss",
]
# fmt: on

Distance = Callable[[Tensor, Tensor], Tensor]


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin - target (input1 - input2)): target 1 where input1 should be the larger, else -1.

    All three have the same shape. Raises ShapeError otherwise.

    >>> import nnkit
    >>> one = nnkit.tensor([1.0])
    >>> margin_ranking_loss(one, nnkit.tensor([3.0]), one).item()
    2.0
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    tensors("margin_ranking_loss", input1=input1, input2=input2, target=target)
    if not input1.shape == input2.shape == target.shape:
        raise ShapeError(
            "margin_ranking_loss: input1, input2 and target must have one shape, got "
            f"{input1.shape}, {input2.shape} and {target.shape}"
        )
    return reduced(ops.clamp(margin - target.to(input1.dtype) * (input1 - input2), 0.0), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(input1, input2) where the target is 1; max(0, cos - margin) where it is -1.

    Inputs (B, D) with a target (B,), or (D,) with (). Raises ShapeError otherwise.

    >>> import nnkit
    >>> x = nnkit.tensor([[1.0, 0.0]])
    >>> cosine_embedding_loss(x, x, nnkit.tensor([-1.0])).item()
    1.0
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    tensors("cosine_embedding_loss", input1=input1, input2=input2, target=target)
    if input1.shape != input2.shape or input1.ndim not in (1, 2) or target.shape != input1.shape[:-1]:
        raise ShapeError(
            "cosine_embedding_loss: expected inputs (B, D) and a target (B,), or (D,) and (), got "
            f"{input1.shape}, {input2.shape} and {target.shape}"
        )
    norms = [(x * x).sum(dim=-1) + 1e-12 for x in (input1, input2)]
    cosine = (input1 * input2).sum(dim=-1) / ops.sqrt(norms[0] * norms[1])
    alike = ops.where(ops.eq(target, 1), 1.0 - cosine, 0.0)
    return reduced(alike + ops.where(ops.eq(target, -1), ops.clamp(cosine - margin, 0.0), 0.0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d the p-norm of the difference.

    Balntas et al., Learning local feature descriptors with triplets, 2016. Each is (B, D) or (D,). ``swap``: the
    negative's distance from the positive counts where it is less than from the anchor. Raises ValueError unless
    margin > 0, ShapeError for different numbers of dimensions.

    >>> import nnkit
    >>> zero, far = nnkit.zeros(1, 2), nnkit.tensor([[0.5, 0.0]])
    >>> round(triplet_margin_loss(zero, zero, far).item(), 3)
    0.5
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    return _triplet(
        anchor, positive, negative, lambda x, y: pairwise_distance(x, y, float(p), eps), margin, swap, reduction
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Distance | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``triplet_margin_loss`` with a distance of your own; without one ``pairwise_distance``.

    >>> import nnkit
    >>> zero, far = nnkit.zeros(1, 2), nnkit.tensor([[0.5, 0.0]])
    >>> triplet_margin_with_distance_loss(zero, zero, far, distance_function=lambda x, y: (x - y).abs().sum(1)).item()
    0.5
    """
    return _triplet(anchor, positive, negative, distance_function or pairwise_distance, margin, swap, reduction)


def _triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance: Distance,
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    check_margin(margin)
    tensors("triplet_margin_loss", anchor=anchor, positive=positive, negative=negative)
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise ShapeError(
            "triplet_margin_loss: anchor, positive and negative must have as many dimensions, got "
            f"{anchor.shape}, {positive.shape} and {negative.shape}"
        )
    near, far = call(distance, anchor, positive), call(distance, anchor, negative)
    if swap:
        far = ops.minimum(far, call(distance, positive, negative))
    return reduced(ops.clamp(margin + near - far, 0.0), reduction)


def check_margin(margin: float) -> float:
    """``margin``, if it is greater than 0."""
    if not margin > 0.0:
        raise ValueError(f"margin must be greater than 0, got {margin!r}")
    return margin


# ---- modules ----------------------------------------------------------------------------------------------


class MarginRankingLoss(Module):
    """``margin_ranking_loss`` as a module: ``loss(input1, input2, target)``.

    >>> import nnkit
    >>> one = nnkit.tensor([1.0])
    >>> MarginRankingLoss()(one, nnkit.tensor([3.0]), one).item()
    2.0
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.margin = margin
        self.reduction = check_reduction(chosen_reduction(size_average, reduce, reduction))

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(Module):
    """``cosine_embedding_loss`` as a module: ``loss(input1, input2, target)``.

    >>> import nnkit
    >>> x = nnkit.tensor([[1.0, 0.0]])
    >>> CosineEmbeddingLoss(margin=0.25)(x, x, nnkit.tensor([-1.0])).item()
    0.75
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.margin = margin
        self.reduction = check_reduction(chosen_reduction(size_average, reduce, reduction))

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class TripletMarginLoss(Module):
    """``triplet_margin_loss`` as a module: ``loss(anchor, positive, negative)``.

    >>> import nnkit
    >>> zero, far = nnkit.zeros(1, 2), nnkit.tensor([[0.5, 0.0]])
    >>> round(TripletMarginLoss()(zero, zero, far).item(), 3)
    0.5
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.margin, self.p, self.eps, self.swap = check_margin(margin), p, eps, swap
        self.reduction = check_reduction(chosen_reduction(size_average, reduce, reduction))

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction
        )


class TripletMarginWithDistanceLoss(Module):
    """``triplet_margin_with_distance_loss`` as a module: ``loss(anchor, positive, negative)``.

    >>> import nnkit
    >>> zero, far = nnkit.zeros(1, 2), nnkit.tensor([[0.5, 0.0]])
    >>> round(TripletMarginWithDistanceLoss()(zero, zero, far).item(), 3)
    0.5
    """

    def __init__(
        self,
        *,
        distance_function: Distance | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.distance_function = distance_function or pairwise_distance
        self.margin, self.swap, self.reduction = check_margin(margin), swap, check_reduction(reduction)

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
