"""Probability distributions: drawing from them, and the logarithms of their densities. PyTorch's names.

``sample`` draws without a way back; ``rsample``, where there is one, draws so that a gradient reaches the parameters
(Kingma and Welling, Auto-Encoding Variational Bayes, 2014). Draws come from nnkit's own streams, so they are the same
on every device and can be recorded. Values are checked in eager code (``validate_args``); not in recorded steps.
"""

from nnkit.distributions import (
    bernoulli,
    beta,
    categorical,
    dirichlet,
    distribution,
    exponential,
    gamma,
    gamma_draws,
    independent,
    kl,
    multivariate_normal,
    normal,
    student_t,
    uniform,
)  # fmt: skip
from nnkit.distributions.bernoulli import Bernoulli
from nnkit.distributions.beta import Beta
from nnkit.distributions.categorical import Categorical, OneHotCategorical
from nnkit.distributions.dirichlet import Dirichlet
from nnkit.distributions.distribution import Distribution
from nnkit.distributions.exponential import Exponential, Laplace
from nnkit.distributions.gamma import Chi2, Gamma
from nnkit.distributions.independent import Independent
from nnkit.distributions.kl import kl_divergence, register_kl
from nnkit.distributions.multivariate_normal import MultivariateNormal
from nnkit.distributions.normal import LogNormal, Normal
from nnkit.distributions.student_t import StudentT
from nnkit.distributions.uniform import Uniform

# fmt: off
__all__ = [
    "Bernoulli", "Beta", "Categorical", "Chi2", "Dirichlet", "Distribution", "Exponential", "Gamma", "Independent",
    "Laplace", "LogNormal", "MultivariateNormal", "Normal", "OneHotCategorical", "StudentT", "Uniform", "bernoulli",
    "beta", "categorical", "dirichlet", "distribution", "exponential", "gamma", "gamma_draws", "independent", "kl",
    "kl_divergence", "multivariate_normal", "normal", "register_kl", "student_t", "uniform",
]
# fmt: on


def __dir__() -> list[str]:
    return sorted(__all__)
