"""The optimizers that are not made of one formula, or that PyTorch does not have: L-BFGS, Muon, Lion."""

from __future__ import annotations

import numpy as np
import pytest
from optim_helpers import stored
from reference import make_torch_values_optim as reference

import nnkit
from nnkit import optim
from nnkit.optim.muon import orthogonalized


def test_lbfgs_goes_pytorchs_way(device: str) -> None:
    np.testing.assert_allclose(reference.lbfgs(nnkit, lr=0.1), stored()["lbfgs"], 1e-9)


def test_a_line_search_ends_at_the_bottom_of_the_valley(device: str) -> None:
    options = {"line_search_fn": "strong_wolfe", "max_eval": 100, "tolerance_change": 1e-14}
    np.testing.assert_allclose(reference.lbfgs(nnkit, **options)[-1], [1.0, 1.0], 1e-5)


def test_lbfgs_of_a_quadratic_needs_few_evaluations(device: str) -> None:
    """In n dimensions, with a search, it is there after little more than n iterations."""
    x = nnkit.tensor(np.linspace(-2.0, 3.0, 6), requires_grad=True)
    optimizer, calls = optim.LBFGS([x], max_iter=30, tolerance_change=1e-14, line_search_fn="strong_wolfe"), []
    scales = nnkit.tensor([1.0, 2.0, 3.0, 5.0, 8.0, 13.0], dtype=nnkit.float64)

    def closure() -> nnkit.Tensor:
        optimizer.zero_grad()
        loss = (scales * (x - 1.0) ** 2).sum()
        loss.backward()
        calls.append(loss.item())
        return loss

    first = optimizer.step(closure)
    assert first.item() == calls[0] and len(calls) <= 30
    np.testing.assert_allclose(x.detach().numpy(), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda x: optim.LBFGS([x]).step(), "needs a closure"),
        (lambda x: optim.LBFGS([{"params": [x]}, {"params": [nnkit.zeros(2, requires_grad=True)]}]), "in one group"),
        (lambda x: optim.LBFGS([x], line_search_fn="wolfe"), "line_search_fn must be None or 'strong_wolfe'"),
        (lambda x: optim.Muon([x]), "Muon is for matrices, got a parameter of shape"),
        (lambda x: optim.Muon([x.reshape(1, 2).detach()], adjust_lr_fn="adam"), "adjust_lr_fn must be one of"),
        (lambda x: optim.Rprop([x], etas=(1.5, 1.2)), "etas must be one number between 0 and 1"),
        (lambda x: optim.Adadelta([x], rho=1.5), "rho must be from 0 to 1, got 1.5"),
        (lambda x: optim.Lion([x], betas=(0.9, 1.0)), "betas"),
    ],
)
def test_what_cannot_be_is_refused(device: str, make: object, said: str) -> None:
    x = nnkit.zeros(2, requires_grad=True)
    with pytest.raises((TypeError, ValueError), match=said):
        make(x)  # type: ignore[operator]


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3)])
def test_orthogonalized_keeps_the_singular_vectors(device: str, shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    left, sizes, right = np.linalg.svd(orthogonalized(nnkit.tensor(x)).numpy(), full_matrices=False)
    assert np.all((0.6 < sizes) & (sizes < 1.3))
    u, _, v = np.linalg.svd(x, full_matrices=False)
    np.testing.assert_allclose(abs((u @ v * (left @ right)).sum()) / min(shape), 1.0, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"adjust_lr_fn": "match_rms_adamw", "nesterov": False, "momentum": 0.5}])
def test_muon_goes_pytorchs_way(device: str, options: dict[str, object]) -> None:
    """As near as bfloat16, in which PyTorch iterates."""
    torch = pytest.importorskip("torch")
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this PyTorch has no Muon")
    start, ends = np.random.default_rng(0).normal(size=(6, 9)).astype(np.float32), []
    for library in (nnkit, torch):
        x = library.tensor(start, requires_grad=True)
        optimizer = library.optim.Muon([x], lr=0.1, **options)
        for _ in range(4):
            optimizer.zero_grad()
            (x**4).sum().backward()
            optimizer.step()
        ends.append(x.detach().numpy())
    np.testing.assert_allclose(ends[0], ends[1], atol=0.02)


def test_lion_steps_by_the_sign_of_an_average(device: str) -> None:
    x, kept = np.array([1.0, -2.0, 0.0]), np.zeros(3)
    parameter = nnkit.tensor(x, requires_grad=True)
    optimizer = optim.Lion([parameter], lr=0.1, betas=(0.6, 0.9), weight_decay=0.5)
    for _ in range(5):
        optimizer.zero_grad()
        (parameter**2).sum().backward()
        optimizer.step()
        gradient = 2.0 * x
        x, kept = (1.0 - 0.05) * x - 0.1 * np.sign(0.6 * kept + 0.4 * gradient), 0.9 * kept + 0.1 * gradient
    np.testing.assert_allclose(parameter.detach().numpy(), x, 1e-12)


@pytest.mark.parametrize("name", ["Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD", "Lion", "Muon"])
def test_a_recorded_step_is_the_plain_one(device: str, name: str) -> None:
    start, ends = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32), []
    for recorded in (False, True):
        x = nnkit.tensor(start, requires_grad=True)
        optimizer = getattr(optim, name)([x], lr=0.1)

        def step(x: nnkit.Tensor = x, optimizer: optim.Optimizer = optimizer) -> None:
            optimizer.zero_grad()
            (x**4).sum().backward()
            optimizer.step()

        run = nnkit.compile(step) if recorded else step
        for _ in range(6):
            run()
        ends.append(x.detach().numpy())
    assert np.array_equal(*ends) and np.isfinite(ends[0]).all()
