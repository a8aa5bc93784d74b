"""Losses of distributions: Kullback-Leibler, negative log-likelihoods of counts and of measurements, quantiles.

PyTorch's definitions, but for ``quantile_loss`` (Koenker and Bassett 1978), which PyTorch does not have.
"""

from __future__ import annotations

import math

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.nn.loss_options import check_reduction, chosen_reduction
from nnkit.nn.loss_terms import matched, reduced, tensors
from nnkit.nn.losses import NAMES, Loss
from nnkit.nn.module import Module
from nnkit.tensors.creation import full_like
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "GaussianNLLLoss", "KLDivLoss", "PoissonNLLLoss", "QuantileLoss", "gaussian_nll_loss", "kl_div",
    "poisson_nll_loss", "quantile_loss",
]
# fmt: on


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target (log target - input): the divergence of ``target`` from the distribution whose logarithm is ``input``.

    Both have the same shape. ``log_target``: the target is given by its logarithm too. ``reduction="batchmean"`` is
    the sum over the first dimension's size, which is the divergence; "mean" is over all elements, as in PyTorch.

    >>> import nnkit
    >>> half = nnkit.tensor([[0.5, 0.5]])
    >>> kl_div(half.log(), half, reduction="batchmean").item()
    0.0
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    target = matched("kl_div", input, target)
    if log_target:
        losses = ops.exp(target) * (target - input)
    else:
        nothing = ops.eq(target, 0.0)
        losses = target * ops.log(ops.where(nothing, 1.0, target)) - target * input
    if reduction == "batchmean":
        return losses.sum() / float(input.shape[0]) if input.ndim else losses
    return reduced(losses, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of counts ``target`` under Poisson's distribution, whose mean is exp(input).

    Args:
        input: any shape; the mean's logarithm, or the mean itself unless ``log_input``.
        full: add Stirling's approximation of log(target!), for targets over 1.
        eps: added to a mean before its logarithm is taken.

    >>> import nnkit
    >>> poisson_nll_loss(nnkit.tensor([0.0]), nnkit.tensor([3.0])).item()
    1.0
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    target = matched("poisson_nll_loss", input, target)
    losses = ops.exp(input) - target * input if log_input else input - target * ops.log(input + eps)
    if full:
        large = ops.gt(target, 1.0)
        count = ops.where(large, target, 1.0)
        stirling = count * ops.log(count) - count + 0.5 * ops.log(2.0 * math.pi * count)
        losses = losses + ops.where(large, stirling, 0.0)
    return reduced(losses, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log var + (input - target)**2 / var) / 2: measurements under a normal distribution.

    Args:
        input, target: mean and measurement, of shapes that broadcast.
        var: the variance, of input's shape, or with its last dimension 1 or left out, or one number for all.
        full: add log(2 pi) / 2.
        eps: a variance below it counts as it; as in PyTorch, the gradient passes there.

    Raises ShapeError for another shape of ``var``, ValueError for a negative number.

    >>> import nnkit
    >>> gaussian_nll_loss(nnkit.tensor([1.0]), nnkit.tensor([3.0]), nnkit.tensor([1.0])).item()
    2.0
    """
    tensors("gaussian_nll_loss", input=input, target=target)
    variance = _variance(input, var)
    held = variance + (ops.clamp(variance, eps) - variance).detach()
    error = input - target
    losses = 0.5 * (ops.log(held) + error * error / held)
    return reduced(losses + 0.5 * math.log(2.0 * math.pi) if full else losses, reduction)


def _variance(input: Tensor, var: Tensor | float) -> Tensor:
    if not isinstance(var, Tensor):
        if not var >= 0.0:
            raise ValueError(f"var must be at least 0, got {var!r}")
        return full_like(input, var)
    if var.shape == input.shape or (var.ndim == input.ndim and var.shape == (*input.shape[:-1], 1)):
        return var
    if var.shape == input.shape[:-1]:
        return var.unsqueeze(-1)
    raise ShapeError(
        f"var must have the shape of input, {input.shape}, or with its last dimension 1 or left out, got {var.shape}"
    )


def quantile_loss(input: Tensor, target: Tensor, quantile: float = 0.5, reduction: str = "mean") -> Tensor:
    """max(q e, (q - 1) e) of the error e = target - input: least where ``input`` is the target's q-quantile.

    Koenker and Bassett, Regression Quantiles, 1978. Both have the same shape. Raises ValueError unless 0 < q < 1.

    >>> import nnkit
    >>> quantile_loss(nnkit.tensor([0.0, 2.0]), nnkit.tensor([1.0, 1.0]), 0.75, "none").tolist()
    [0.75, 0.25]
    """
    error = matched("quantile_loss", input, target) - input
    q = check_quantile(quantile)
    return reduced(q * error + ops.relu(-error), reduction)


def check_quantile(quantile: float) -> float:
    """``quantile``, if it lies between 0 and 1."""
    if not 0.0 < quantile < 1.0:
        raise ValueError(f"quantile must be greater than 0 and less than 1, got {quantile!r}")
    return float(quantile)


# ---- modules ----------------------------------------------------------------------------------------------


class KLDivLoss(Loss):
    """``kl_div`` as a module; its reduction may be "batchmean" too.

    >>> import nnkit
    >>> half = nnkit.tensor([[0.5, 0.5]])
    >>> KLDivLoss(reduction="sum")(half.log(), half).item()
    0.0
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        reduction = chosen_reduction(size_average, reduce, reduction)
        super().__init__("mean" if reduction == "batchmean" else reduction)
        self.reduction = reduction
        self.log_target = log_target

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return kl_div(prediction, target, reduction=reduction, log_target=self.log_target)

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample (B,): of "batchmean" the sum over all else."""
        terms, _ = self.terms(prediction, target)
        if self.reduction != "batchmean" or terms.ndim == 1:
            return super().per_sample(prediction, target)
        return terms.sum(dim=1)


class PoissonNLLLoss(Loss):
    """``poisson_nll_loss`` as a module.

    >>> import nnkit
    >>> PoissonNLLLoss()(nnkit.tensor([0.0]), nnkit.tensor([3.0])).item()
    1.0
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(chosen_reduction(size_average, reduce, reduction))
        self.log_input, self.full, self.eps = log_input, full, eps

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return poisson_nll_loss(prediction, target, self.log_input, self.full, eps=self.eps, reduction=reduction)


class GaussianNLLLoss(Module):
    """``gaussian_nll_loss`` as a module: ``loss(input, target, var)``.

    >>> import nnkit
    >>> GaussianNLLLoss()(nnkit.tensor([1.0]), nnkit.tensor([3.0]), nnkit.tensor([1.0])).item()
    2.0
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__()
        self.full, self.eps, self.reduction = full, eps, check_reduction(reduction)

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        return gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class QuantileLoss(Loss):
    """``quantile_loss`` as a module.

    >>> import nnkit
    >>> QuantileLoss(0.75)(nnkit.tensor([0.0]), nnkit.tensor([1.0])).item()
    0.75
    """

    def __init__(self, quantile: float = 0.5, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.quantile = check_quantile(quantile)

    def compute(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        return quantile_loss(prediction, target, self.quantile, reduction)


NAMES |= {"kl_div": KLDivLoss, "poisson_nll": PoissonNLLLoss, "quantile": QuantileLoss}
