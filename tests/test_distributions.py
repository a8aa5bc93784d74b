"""Distributions: PyTorch's numbers and gradients, draws that look as they must, and what is refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from reference import make_torch_values_distributions as reference

import nnkit
from nnkit import distributions as d
from nnkit.testing import check_gradient


@functools.cache
def stored() -> dict[str, np.ndarray]:
    with np.load(reference.VALUES) as values:
        return dict(values)


def assert_stored(found: dict[str, np.ndarray], prefix: str) -> None:
    names = [name for name in stored() if name.startswith(f"{prefix}: ")]
    assert sorted(names) == sorted(f"{prefix}: {what}" for what in found)
    # PyTorch's slope of digamma has errors of 1e-9.
    digamma = prefix.startswith(("beta", "gamma", "chi2", "dirichlet", "student"))
    rtol, atol = (1e-7, 2e-9) if digamma else (1e-9, 1e-12)
    for what, value in found.items():
        np.testing.assert_allclose(value, stored()[f"{prefix}: {what}"], rtol, atol, err_msg=f"{prefix}: {what}")


@pytest.mark.parametrize("name", reference.CASES)
def test_numbers_and_gradients_are_pytorchs(device: str, name: str) -> None:
    assert_stored(reference.results(nnkit, d, name), name)


@pytest.mark.parametrize("name", reference.DIVERGENCES)
def test_divergences_are_pytorchs(device: str, name: str) -> None:
    assert_stored(reference.divergence(nnkit, d, name), f"{name}, divergence")


def test_stored_values_are_what_the_installed_pytorch_computes() -> None:
    torch = pytest.importorskip("torch")
    for name, values in reference.compute(torch).items():
        np.testing.assert_allclose(values, stored()[name], 1e-9, 1e-12, err_msg=name)


# ---- draws ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in reference.CASES if "categorical" not in name])
def test_draws_have_the_mean_and_the_variance(device: str, name: str) -> None:
    nnkit.manual_seed(0)
    case, count = reference.CASES[name], 4000
    distribution = case.make(d, *reference.given(nnkit, case.parameters))
    draws = distribution.sample((count,))
    assert draws.shape == (count, *distribution.batch_shape, *distribution.event_shape) and not draws.requires_grad
    mean, spread = distribution.mean.detach().numpy(), distribution.stddev.detach().numpy()
    assert np.all(np.abs(draws.numpy().mean(0) - mean) < 5 * spread / count**0.5 + 1e-6)
    if name != "log normal":  # whose fourth moment is large
        np.testing.assert_allclose(draws.numpy().std(0), spread, rtol=0.15, atol=1e-4)


def test_classes_come_as_often_as_they_should(device: str) -> None:
    nnkit.manual_seed(0)
    distribution = d.Categorical(nnkit.tensor(reference.WEIGHTS))
    draws = distribution.sample((5000,)).numpy()
    assert draws.shape == (5000, 2) and draws.dtype == np.int64
    shares = np.stack([(draws == k).mean(0) for k in range(4)], axis=-1)
    np.testing.assert_allclose(shares, distribution.probs.numpy(), atol=0.03)
    assert distribution.sample().shape == (2,)


#: Concentration, logarithm of a draw, and how fast that moves: differences of the distribution function in 40 digits.
SLOPES = np.array([
    (0.001, -1507.0, 1506424.43), (0.001, -506.9, 506324.428), (0.001, -6.893, 6324.84986), (0.001, -5.408, 4858.59378),
    (0.001, -2.408, 2100.91308), (0.001, 0.5922, 390.889039), (0.1, -17.3, 168.762456), (0.1, -7.303, 68.8401538), (0.1,
    -2.288, 21.3508948), (0.1, -0.8026, 10.8672565), (0.1, 2.197, 1.29468291), (0.5, -3.693, 7.60651354), (0.5, -1.693,
    4.10025835), (0.5, -0.6781, 2.65562804), (0.5, 0.8069, 1.17031293), (1, -9.21, 9.63329116), (1, -1.763, 2.43164813),
    (1, -0.3421, 1.38103649), (1, 0.602, 0.858010692), (1, 1.908, 0.388187447), (1, 2.815, 0.206605317), (2, -3.622,
    2.29427701), (2, -0.3396, 0.866596696), (2, 0.5291, 0.58861249), (2, 1.19, 0.419463583), (2, 2.198, 0.232544521),
    (2, 2.952, 0.141879164), (5, -0.292, 0.460297692), (5, 1.046, 0.27033181), (5, 1.547, 0.213301054), (5, 1.968,
    0.171918209), (5, 2.672, 0.115918667), (5, 3.242, 0.0818114497), (20, 2.215, 0.0726225291), (20, 2.745,
    0.0570020449), (20, 2.981, 0.0507909734), (20, 3.196, 0.045538152), (20, 3.587, 0.0369704576), (20, 3.934,
    0.0304045425), (100, 4.285, 0.0117055561), (100, 4.5, 0.010552635), (100, 4.603, 0.0100275562), (100, 4.7,
    0.0095492444), (100, 4.888, 0.00866682142), (100, 5.065, 0.00788948726), (1000, 6.811, 0.00104933247), (1000, 6.876,
    0.00101613101), (1000, 6.908, 0.00100004431), (1000, 6.939, 0.000984623079), (1000, 7.001, 0.00095426107), (1000,
    7.062, 0.000925013511),
])  # fmt: skip


def test_how_fast_a_gamma_draw_moves(device: str) -> None:
    a, y, expected = SLOPES.T
    found = d.gamma_draws.slope(nnkit.tensor(a), nnkit.tensor(y))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-8)
    draws, theirs = stored()["slopes: draws"], stored()["slopes: slopes"]
    found = d.gamma_draws.slope(nnkit.tensor(draws[0]), nnkit.tensor(draws[1]).log()) * nnkit.tensor(draws[1])
    np.testing.assert_allclose(found.numpy(), theirs, rtol=2e-4)  # PyTorch's are approximations


def test_slopes_of_the_slopes_of_gamma_draws(device: str) -> None:
    a = nnkit.tensor([0.3, 1.0, 2.5, 40.0, 7.0], dtype="float64", requires_grad=True)
    y = nnkit.tensor([-2.0, 0.9, 0.7, 3.8, 1.2], dtype="float64", requires_grad=True)
    check_gradient(d.gamma_draws.slope, a, y, tolerance=1e-6)
    nnkit.manual_seed(2)
    draws = d.Gamma(a, 2.0).rsample()
    first = nnkit.grad(draws.sum(), a)[0]
    nnkit.manual_seed(2)
    again = nnkit.grad(d.Gamma(a, 2.0).rsample().sum(), a, create_graph=True)[0]
    np.testing.assert_allclose(again.detach().numpy(), first.numpy(), rtol=1e-12)
    assert np.isfinite(nnkit.grad(again.sum(), a)[0].numpy()).all()


@pytest.mark.parametrize("name", ["gamma", "chi2", "beta", "dirichlet"])
def test_the_mean_moves_as_its_draws_do_on_average(device: str, name: str) -> None:
    nnkit.manual_seed(4)
    case = reference.CASES[name]
    parameters = reference.given(nnkit, case.parameters)
    weights = nnkit.tensor([1.0, -2.0, 0.5], dtype="float64")
    distribution = case.make(d, *parameters)
    expected = nnkit.grad((distribution.mean * weights).sum(), parameters, retain_graph=True)
    found = nnkit.grad((distribution.rsample((20000,)).mean(0) * weights).sum(), parameters)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=0.06, atol=0.01)


def test_a_step_through_shares_is_recorded(device: str) -> None:
    ends = []
    for recorded in (False, True):
        nnkit.manual_seed(3)
        a = nnkit.nn.Parameter(nnkit.ones(5))
        optimizer = nnkit.optim.SGD([a], lr=0.1)

        def step(a: Any = a, optimizer: Any = optimizer) -> nnkit.Tensor:
            optimizer.zero_grad()
            draws = d.Beta(a.exp(), 2.0).rsample((3,)) + d.StudentT(a.exp() + 1.0).rsample((3,))
            loss = (draws - d.Dirichlet(a.exp()).rsample()).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = nnkit.compile(step, fullgraph=True) if recorded else step
        ends.append([run().item() for _ in range(6)])
    assert ends[0] == ends[1]


@pytest.mark.parametrize("make", [d.Normal, d.LogNormal, d.Laplace, d.Uniform], ids=lambda c: c.__name__)
def test_gradients_reach_the_parameters_through_draws(device: str, make: Callable[..., Any]) -> None:
    """What moves both parameters by c moves a location family's draws by c."""
    a, b = nnkit.tensor([0.5, 1.0], requires_grad=True), nnkit.tensor([2.0, 3.0], requires_grad=True)
    out = make(a, b).rsample((7,))
    out.sum().backward()
    expected = np.full(2, 7.0) if make is not d.LogNormal else out.detach().numpy().sum(0)
    gradients = a.grad.numpy() + (b.grad.numpy() if make is d.Uniform else 0.0)  # type: ignore[union-attr]
    np.testing.assert_allclose(gradients, expected, rtol=1e-5)


def test_a_vectors_draws_have_its_covariance(device: str) -> None:
    nnkit.manual_seed(1)
    covariance = nnkit.tensor(reference.COVARIANCE[0])
    draws = d.MultivariateNormal(nnkit.zeros(3), covariance).sample((8000,)).numpy()
    np.testing.assert_allclose(np.cov(draws.T), covariance.numpy(), atol=0.3)


def test_a_policy_gradient_step_is_recorded(device: str) -> None:
    """Drawing, scoring and descending replay as they run plainly."""
    ends = []
    for recorded in (False, True):
        nnkit.manual_seed(3)
        model = nnkit.nn.Linear(4, 3)
        optimizer = nnkit.optim.SGD(model.parameters(), lr=0.1)
        x = nnkit.tensor(np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32))

        def step(model: Any = model, optimizer: Any = optimizer, x: nnkit.Tensor = x) -> nnkit.Tensor:
            policy = d.Categorical(logits=model(x))
            action = policy.sample()
            loss = -(policy.log_prob(action) * action.float()).mean() - 0.01 * policy.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = nnkit.compile(step) if recorded else step
        ends.append([run().item() for _ in range(6)])
    assert ends[0] == ends[1]


# ---- what is refused ------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a negative scale": (lambda: d.Normal(0.0, -1.0), "expected scale to be above 0, got values from -1 to -1"),
    "a mean of NaN": (lambda: d.Normal(float("nan"), 1.0), "expected loc to be a number"),
    "no probability": (lambda: d.Bernoulli(1.5), "expected probs to be from 0 to 1"),
    "both": (lambda: d.Categorical(nnkit.ones(2), nnkit.ones(2)), "either probs or logits"),
    "neither": (lambda: d.Bernoulli(), "either probs or logits"),
    "weights of 0": (lambda: d.Categorical(nnkit.zeros(3)), "0 or more, and not all 0"),
    "low above high": (lambda: d.Uniform(2.0, 1.0), "expected high - low to be above 0"),
    "no triangle": (
        lambda: d.MultivariateNormal(nnkit.zeros(2), scale_tril=nnkit.ones(2, 2)), "expected scale_tril to be a lower"
    ),
    "two matrices": (
        lambda: d.MultivariateNormal(nnkit.zeros(2), nnkit.eye(2), nnkit.eye(2)), "expected one of covariance_matrix"
    ),
    "a matrix that does not fit": (lambda: d.MultivariateNormal(nnkit.zeros(3), nnkit.eye(2)), r"got \(3,\) and"),
    "too many axes": (lambda: d.Independent(d.Normal(nnkit.zeros(2), 1.0), 2), "expected 0 to 1 axes of the batch"),
    "a value of another shape": (
        lambda: d.MultivariateNormal(nnkit.zeros(2), nnkit.eye(2)).log_prob(nnkit.zeros(3)), "to end in the shape"
    ),
    "half a yes": (lambda: d.Bernoulli(0.5).log_prob(nnkit.tensor(0.5)), "expected value to be 0 or 1"),
    "a number as value": (lambda: d.Normal(0.0, 1.0).log_prob(0.5), "expected value to be a Tensor, got float"),  # type: ignore[arg-type]
    "a way through a choice": (lambda: d.Categorical(nnkit.ones(2)).rsample(), "has no rsample"),
    "no shares": (
        lambda: d.Dirichlet(nnkit.ones(2)).log_prob(nnkit.ones(2)), "expected value to be 0 or more, and to add up to 1"
    ),
    "one share": (lambda: d.Dirichlet(nnkit.tensor(1.0)), "at least one axis"),
    "an unknown pair": (lambda: d.kl_divergence(d.Normal(0.0, 1.0), d.Beta(1.0, 1.0)), "add one with register_kl"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(device: str, call: Callable[[], Any], said: str) -> None:
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=said):
        call()


def test_what_is_set_stays(device: str) -> None:
    with pytest.raises(AttributeError, match="make another distribution"):
        d.Normal(0.0, 1.0).loc = nnkit.tensor(1.0)


def test_checks_can_be_left_out(device: str) -> None:
    assert d.Normal(0.0, -1.0, validate_args=False).scale.item() == -1.0


def test_a_pair_of_ones_own_can_be_added(device: str) -> None:
    class Mine(d.Normal):
        pass

    @d.register_kl(Mine, d.Uniform)
    def divergence(p: Mine, q: d.Uniform) -> nnkit.Tensor:
        return p.loc - q.low

    assert d.kl_divergence(Mine(3.0, 1.0), d.Uniform(1.0, 2.0)).item() == 2.0


def test_modules_and_classes_have_pytorchs_places() -> None:
    from nnkit.distributions.categorical import Categorical
    from nnkit.distributions.kl import kl_divergence
    from nnkit.distributions.normal import Normal

    assert (Categorical, Normal, kl_divergence) == (d.Categorical, d.Normal, d.kl_divergence)
    assert nnkit.distributions is d
