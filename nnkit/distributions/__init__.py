"""Probability distributions: drawing from them, and the logarithms of their densities. PyTorch's names.

``sample`` draws without a way back; ``rsample``, where there is one, draws so that a gradient reaches the parameters
(Kingma and Welling, Auto-Encoding Variational Bayes, 2014). Draws come from nnkit's own streams, so they are the same
on every device and can be recorded. Values are checked in eager code (``validate_args``); not in recorded steps.
"""

from nnkit.distributions import (
    bernoulli,
    beta,
    categorical,
    distribution,
    exponential,
    independent,
    kl,
    multivariate_normal,
    normal,
    uniform,
)  # fmt: skip
from nnkit.distributions.bernoulli import Bernoulli
from nnkit.distributions.beta import Beta
from nnkit.distributions.categorical import Categorical, OneHotCategorical
from nnkit.distributions.distribution import Distribution
from nnkit.distributions.exponential import Exponential, Laplace
from nnkit.distributions.independent import Independent
from nnkit.distributions.kl import kl_divergence, register_kl
from nnkit.distributions.multivariate_normal import MultivariateNormal
from nnkit.distributions.normal import LogNormal, Normal
from nnkit.distributions.uniform import Uniform

# fmt: off
__all__ = [
    "Bernoulli", "Beta", "Categorical", "Distribution", "Exponential", "Independent", "Laplace", "LogNormal",
    "MultivariateNormal", "Normal", "OneHotCategorical", "Uniform", "bernoulli", "beta", "categorical", "distribution",
    "exponential", "independent", "kl", "kl_divergence", "multivariate_normal", "normal", "register_kl", "uniform",
]
# fmt: on
