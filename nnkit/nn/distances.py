"""How near two vectors are: the cosine of their angle, and the norm of their difference."""

from __future__ import annotations

from nnkit import ops
from nnkit.nn.module import Module
from nnkit.tensors.tensor import Tensor

__all__ = ["CosineSimilarity", "PairwiseDistance", "cosine_similarity", "pairwise_distance"]


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along ``dim``; a norm below ``eps`` counts as ``eps``.

    ``x1`` and ``x2`` broadcast; the result has one dimension less. As in PyTorch, the gradient of a norm that is held
    at ``eps`` is that of the norm.

    >>> import nnkit
    >>> cosine_similarity(nnkit.tensor([[1.0, 0.0]]), nnkit.tensor([[2.0, 0.0]])).tolist()
    [1.0]
    """
    return (x1 / _held_norm(x1, dim, eps) * (x2 / _held_norm(x2, dim, eps))).sum(dim=dim)


def _held_norm(x: Tensor, dim: int, eps: float) -> Tensor:
    norm = ops.norm(x, 2.0, dim, True)
    return norm + (ops.clamp(norm, eps) - norm).detach()


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of ``x1 - x2 + eps`` along the last dimension; the two broadcast.

    >>> import nnkit
    >>> pairwise_distance(nnkit.tensor([[3.0, 4.0]]), nnkit.zeros(1, 2), eps=0.0).tolist()
    [5.0]
    """
    return ops.norm(x1 - x2 + eps, p, -1, keepdim)


class CosineSimilarity(Module):
    """``cosine_similarity`` as a module.

    >>> import nnkit
    >>> CosineSimilarity(dim=0)(nnkit.tensor([1.0, 0.0]), nnkit.tensor([0.0, 3.0])).item()
    0.0
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """``pairwise_distance`` as a module.

    >>> import nnkit
    >>> PairwiseDistance(p=1.0, eps=0.0)(nnkit.tensor([[3.0, 4.0]]), nnkit.zeros(1, 2)).tolist()
    [7.0]
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
