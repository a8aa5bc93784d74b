"""The Kullback-Leibler divergence of two distributions, by a table of pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.distributions.bernoulli import Bernoulli
from nnkit.distributions.beta import Beta
from nnkit.distributions.categorical import Categorical
from nnkit.distributions.dirichlet import Dirichlet
from nnkit.distributions.distribution import Distribution
from nnkit.distributions.exponential import Exponential, Laplace
from nnkit.distributions.gamma import Gamma
from nnkit.distributions.independent import Independent
from nnkit.distributions.multivariate_normal import MultivariateNormal
from nnkit.distributions.normal import LogNormal, Normal
from nnkit.distributions.uniform import Uniform
from nnkit.linalg import solve_triangular
from nnkit.nn.functional import softplus
from nnkit.tensors.tensor import Tensor

__all__ = ["kl_divergence", "register_kl"]

Divergence = Callable[[Any, Any], Tensor]
_known: dict[tuple[type, type], Divergence] = {}


def register_kl(type_p: type[Distribution], type_q: type[Distribution]) -> Callable[[Divergence], Divergence]:
    """Have ``kl_divergence`` use the decorated function for these two classes and what derives from them.

    Never raises; the latest of several counts. As ``torch.distributions.register_kl``.

    >>> class Mine(Normal):
    ...     pass
    >>> @register_kl(Mine, Mine)
    ... def of_mine(p, q):
    ...     return p.mean - q.mean
    >>> kl_divergence(Mine(2.0, 1.0), Mine(0.0, 1.0)).item()
    2.0
    """

    def registered(function: Divergence) -> Divergence:
        _known[type_p, type_q] = function
        return function

    return registered


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The mean of log p(x) - log q(x) over x from p, in nats: batch_shape.

    As ``torch.distributions.kl_divergence``. Raises NotImplementedError for a pair that has no formula here: see
    ``register_kl``. It is a Tensor of that shape, of floats.

    >>> from nnkit.distributions import Normal
    >>> kl_divergence(Normal(1.0, 1.0), Normal(0.0, 1.0))
    tensor(0.5)
    """
    for kind_p in type(p).__mro__:
        for kind_q in type(q).__mro__:
            if (kind_p, kind_q) in _known:
                return _known[kind_p, kind_q](p, q)
    raise NotImplementedError(
        f"no formula for the divergence of {type(p).__name__} from {type(q).__name__}; add one with register_kl"
    )


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale).square()
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).square() - 1.0 - ratio.log())


@register_kl(LogNormal, LogNormal)
def _log_normal(p: LogNormal, q: LogNormal) -> Tensor:
    return _normal(p.base, q.base)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    yes = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    return yes + (1.0 - p.probs) * (softplus(q.logits) - softplus(p.logits))


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    terms = ops.where((p.probs == 0.0).expand(terms.shape), 0.0, terms)
    return terms.sum(-1)


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    apart = ((q.high - q.low) / (p.high - p.low)).log()
    return ops.where((q.low > p.low).logical_or(q.high < p.high), float("inf"), apart)


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - 1.0 - ratio.log()


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    ratio, away = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() - 1.0 + away / q.scale + ratio * (-away / p.scale).exp()


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Tensor:
    total = p.concentration1 + p.concentration0
    return (
        q.log_normalizer() - p.log_normalizer()
        + (p.concentration1 - q.concentration1) * ops.digamma(p.concentration1)
        + (p.concentration0 - q.concentration0) * ops.digamma(p.concentration0)
        + (q.concentration1 + q.concentration0 - total) * ops.digamma(total)
    )  # fmt: skip


@register_kl(Gamma, Gamma)
def _gamma(p: Gamma, q: Gamma) -> Tensor:
    a, b = p.concentration, q.concentration
    return (
        b * (p.rate / q.rate).log() + ops.lgamma(b) - ops.lgamma(a) + (a - b) * ops.digamma(a)
        + (q.rate - p.rate) * (a / p.rate)
    )  # fmt: skip


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    a, total = p.concentration, p.concentration.sum(-1, keepdim=True)
    along = (a - q.concentration) * (ops.digamma(a) - ops.digamma(total))
    return q.log_normalizer() - p.log_normalizer() + along.sum(-1)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    batch = np.broadcast_shapes(p.batch_shape, q.batch_shape)
    N = p.event_shape[0]
    to_q = q.scale_tril.expand((*batch, N, N))
    spread = solve_triangular(to_q, p.scale_tril.expand((*batch, N, N)), upper=False).square().sum((-1, -2))
    away = (q.loc - p.loc).expand((*batch, N)).unsqueeze(-1)
    distance = solve_triangular(to_q, away, upper=False).square().sum((-1, -2))
    return q.half_log_det() - p.half_log_det() + 0.5 * (spread + distance - N)


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("the two events have different numbers of axes")
    return p.summed(kl_divergence(p.base_dist, q.base_dist))
