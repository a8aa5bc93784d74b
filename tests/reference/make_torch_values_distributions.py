"""What PyTorch computes for ``nnkit.distributions``, stored in ``distributions_values.npz``.

Every case is run by one function for both libraries. Run it where PyTorch is installed:
``python tests/reference/make_torch_values_distributions.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

VALUES = Path(__file__).with_name("distributions_values.npz")


class Case(NamedTuple):
    """A distribution of parameters, which are made of these numbers, and values to look at."""

    make: Callable[..., Any]
    parameters: tuple[Any, ...]
    value: Any


TRIANGLE = [[[1.0, 0.0, 0.0], [0.5, 2.0, 0.0], [-0.3, 0.1, 0.7]], [[0.5, 0.0, 0.0], [1.5, 1.0, 0.0], [0.2, -1.0, 2.0]]]
COVARIANCE = (np.array(TRIANGLE) @ np.array(TRIANGLE).swapaxes(-1, -2)).tolist()
WEIGHTS = [[0.2, 1.0, 3.0, 0.1], [1.0, 1.0, 0.5, 0.25]]
PLACES = [[0.5, -1.0, 2.0], [3.0, 0.25, -0.5]]

CASES: dict[str, Case] = {
    "normal": Case(lambda d, m, s: d.Normal(m, s), ([0.5, -1.0, 3.0], [1.0, 0.3, 2.0]), [0.1, -2.0, 4.0]),
    "normal broadcast": Case(lambda d, m, s: d.Normal(m, s), ([[0.5], [-1.0]], [1.0, 0.3, 2.0]), [0.1, -2.0, 4.0]),
    "log normal": Case(lambda d, m, s: d.LogNormal(m, s), ([0.5, -1.0], [1.0, 0.3]), [0.1, 2.0]),
    "uniform": Case(lambda d, a, b: d.Uniform(a, b), ([0.5, -1.0], [1.0, 0.3]), [0.75, 0.1]),
    "bernoulli": Case(lambda d, p: d.Bernoulli(p), ([0.1, 0.5, 0.9],), [1.0, 0.0, 0.0]),
    "bernoulli logits": Case(lambda d, x: d.Bernoulli(logits=x), ([-3.0, 0.0, 20.0],), [1.0, 0.0, 0.0]),
    "beta": Case(lambda d, a, b: d.Beta(a, b), ([0.5, 2.0, 30.0], [0.5, 5.0, 7.0]), [0.1, 0.6, 0.8]),
    "gamma": Case(lambda d, a, r: d.Gamma(a, r), ([0.5, 2.0, 30.0], [0.5, 5.0, 7.0]), [0.1, 0.6, 8.0]),
    "chi2": Case(lambda d, n: d.Chi2(n), ([0.5, 2.0, 30.0],), [0.1, 0.6, 8.0]),
    "dirichlet": Case(
        lambda d, a: d.Dirichlet(a), ([[0.5, 2.0, 30.0], [0.3, 0.2, 0.9]],), [[0.1, 0.2, 0.7], [0.25, 0.25, 0.5]]
    ),
    "student": Case(
        lambda d, n, m, s: d.StudentT(n, m, s), ([5.5, 30.0, 12.0], [0.5, -1.0, 0.0], [1.0, 0.3, 2.0]), [0.1, -2.0, 9.0]
    ),
    "exponential": Case(lambda d, r: d.Exponential(r), ([0.5, 4.0],), [0.3, 2.0]),
    "laplace": Case(lambda d, m, s: d.Laplace(m, s), ([0.5, -4.0], [1.0, 3.0]), [0.3, 2.0]),
    "categorical": Case(lambda d, p: d.Categorical(p), (WEIGHTS,), [3, 0]),
    "categorical logits": Case(lambda d, x: d.Categorical(logits=x), (PLACES,), [[2, 0], [1, 1], [0, 2]]),
    "one hot": Case(lambda d, p: d.OneHotCategorical(p), (WEIGHTS,), [[0.0, 0, 1, 0], [1.0, 0, 0, 0]]),
    "independent": Case(lambda d, m, s: d.Independent(d.Normal(m, s), 1), (PLACES, [1.0, 0.5, 2.0]), PLACES[::-1]),
    "triangle": Case(lambda d, m, t: d.MultivariateNormal(m, scale_tril=t), (PLACES, TRIANGLE), PLACES[::-1]),
    "covariance": Case(lambda d, m, c: d.MultivariateNormal(m, c), (PLACES, COVARIANCE), PLACES[::-1]),
    "precision": Case(
        lambda d, m, c: d.MultivariateNormal(m, precision_matrix=c), (PLACES[0], COVARIANCE[0]), PLACES
    ),
}  # fmt: skip
#: Two sets of parameters for a case's distribution.
DIVERGENCES: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "normal": (([0.5, -1.0], [1.0, 0.3]), ([0.0, 1.0], [2.0, 0.7])),
    "log normal": (([0.5, -1.0], [1.0, 0.3]), ([0.0, 1.0], [2.0, 0.7])),
    "uniform": (([0.5, -1.0], [1.0, 0.3]), ([0.0, -0.5], [2.0, 0.7])),
    "bernoulli": (([0.1, 0.5],), ([0.7, 0.4],)),
    "bernoulli logits": (([0.1, -5.0],), ([0.7, 4.0],)),
    "beta": (([0.5, 2.0], [0.5, 5.0]), ([1.5, 3.0], [2.5, 1.0])),
    "gamma": (([0.5, 2.0], [0.5, 5.0]), ([1.5, 3.0], [2.5, 1.0])),
    "dirichlet": (([[0.5, 2.0, 30.0], [0.3, 0.2, 0.9]],), ([[1.5, 1.0, 3.0], [0.3, 1.2, 0.2]],)),
    "exponential": (([0.5, 2.0],), ([1.5, 0.2],)),
    "laplace": (([0.5, -4.0], [1.0, 3.0]), ([0.0, -3.0], [2.0, 1.0])),
    "categorical": ((WEIGHTS,), (WEIGHTS[::-1],)),
    "categorical logits": ((PLACES,), (PLACES[::-1],)),
    "independent": ((PLACES, [1.0, 0.5, 2.0]), (PLACES[::-1], [2.0, 0.75, 1.0])),
    "triangle": ((PLACES, TRIANGLE), (PLACES[::-1], TRIANGLE[::-1])),
}


def given(library: Any, numbers: tuple[Any, ...], **place: Any) -> list[Any]:
    """Parameters in float64 that want gradients."""
    return [library.tensor(n, dtype=library.float64, requires_grad=True, **place) for n in numbers]


def results(library: Any, distributions: Any, name: str, **place: Any) -> dict[str, np.ndarray]:
    """The statistics, the densities of the values, and the gradients of both in the parameters."""
    case, found = CASES[name], {}
    moments = () if name.startswith("categorical") else ("mean", "variance")
    for what in (*moments, "log_prob", "entropy"):
        parameters = given(library, case.parameters, **place)
        distribution = case.make(distributions, *parameters)
        if what == "log_prob":
            whole = name.startswith("categorical")
            kind = library.int64 if whole else library.float64
            out = distribution.log_prob(library.tensor(case.value, dtype=kind, **place))
        elif what == "entropy":
            out = distribution.entropy()
        else:
            out = getattr(distribution, what)
        found[what] = out.detach().numpy()
        if out.requires_grad and np.isfinite(found[what]).all():
            out.sum().backward()
            for number, parameter in enumerate(parameters):
                if parameter.grad is not None:
                    found[f"{what} gradient {number}"] = parameter.grad.numpy()
    return found


def divergence(library: Any, distributions: Any, name: str, **place: Any) -> dict[str, np.ndarray]:
    """The divergence of two, and its gradients in the parameters of both."""
    both = [given(library, numbers, **place) for numbers in DIVERGENCES[name]]
    out = distributions.kl_divergence(*(CASES[name].make(distributions, *parameters) for parameters in both))
    out.sum().backward()
    found = {"divergence": out.detach().numpy()}
    for which, parameters in enumerate(both):
        for number, parameter in enumerate(parameters):
            found[f"gradient {which} {number}"] = parameter.grad.numpy()
    return found


def compute(torch: Any) -> dict[str, np.ndarray]:
    """Everything that is stored."""
    draws = torch.tensor([[0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0, 100.0, 1000.0]] * 2, dtype=torch.float64)
    draws[1] *= torch.linspace(0.6, 1.1, 9, dtype=torch.float64)
    slopes = torch._standard_gamma_grad(*draws)
    values = {"slopes: draws": draws.numpy(), "slopes: slopes": slopes.numpy()}
    for name in CASES:
        values |= {f"{name}: {what}": value for what, value in results(torch, torch.distributions, name).items()}
    for name in DIVERGENCES:
        found = divergence(torch, torch.distributions, name)
        values |= {f"{name}, divergence: {what}": value for what, value in found.items()}
    return values


if __name__ == "__main__":
    import torch

    np.savez_compressed(VALUES, **compute(torch))
