"""Each parameter counts its own steps: one that was frozen, or got no gradient, goes on where it stopped."""

from __future__ import annotations

from typing import Any

import pytest
from optim_helpers import parameters, snapshot

import nnkit
from nnkit import optim


def step(optimizer: Any, *learned: Any) -> None:
    optimizer.zero_grad()
    for parameter in learned:
        parameter.sum().backward()
    optimizer.step()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda ps: optim.Adam(ps, lr=0.01), -0.01),
        (lambda ps: optim.Adagrad(ps, lr=0.01, lr_decay=0.1), -0.01),
        (lambda ps: optim.SGD(ps, lr=0.01, momentum=0.9, dampening=0.5), -0.01),
    ],
)
@pytest.mark.parametrize("frozen", [False, True])
def test_a_parameter_that_comes_late_begins_at_its_first_step(
    device: str, make: Any, expected: float, frozen: bool
) -> None:
    p, q = parameters((2,), (2,), dtype=nnkit.float64)
    q.requires_grad = not frozen
    optimizer = make([p, q])
    for _ in range(20):
        step(optimizer, p)
    q.requires_grad = True
    before = q.tolist()[0]
    step(optimizer, p, q)
    assert q.tolist()[0] - before == pytest.approx(expected, rel=1e-5)


def test_counts_are_saved_with_the_parameters(device: str) -> None:
    first, second = ([*parameters((2,), (2,))] for _ in range(2))
    one, two = optim.Adam(first, lr=0.1), optim.Adam(second, lr=0.1)
    for learned in ([0], [0], [0, 1]):
        step(one, *(first[number] for number in learned))
    with nnkit.no_grad():
        for p, q in zip(first, second, strict=True):
            q.copy_(p)
    two.load_state_dict(one.state_dict())
    assert two.param_groups[0].steps() == one.param_groups[0].steps() == [3, 1]
    step(one, *first)
    step(two, *second)
    assert snapshot(first) == snapshot(second)


def test_parameters_that_step_together_share_one_count(device: str) -> None:
    ps = parameters((2,), (2,))
    optimizer = optim.Adam(ps)
    for _ in range(3):
        step(optimizer, *ps)
    assert len(optimizer.param_groups[0].lanes) == 1
