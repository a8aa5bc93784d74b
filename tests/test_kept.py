"""What someone holds keeps its meaning: gradients across ``zero_grad``, detached parameters across an optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn, optim
from nnkit.nn import Parameter


def forget_by_hand(p: Any, optimizer: Any) -> None:
    p.grad = None


def set_anew(p: Any, optimizer: Any) -> None:
    p.grad = nnkit.zeros(2)


FORGET: dict[str, Callable[[Any, Any], None]] = {
    "optimizer": lambda p, optimizer: optimizer.zero_grad(),
    "by hand": forget_by_hand,
    "set anew": set_anew,
}


@pytest.mark.parametrize("seated", [False, True])
@pytest.mark.parametrize("way", FORGET)
def test_a_gradient_that_is_held_keeps_its_value(device: str, way: str, seated: bool) -> None:
    p = Parameter(nnkit.tensor([1.0, 2.0]))
    optimizer = optim.SGD([p if seated else Parameter(nnkit.ones(2))])
    (p * p).sum().backward()
    held = p.grad
    if way == "optimizer" and not seated:
        optimizer.add_param_group({"params": [p]})
        held = p.grad
    FORGET[way](p, optimizer)
    (5.0 * p).sum().backward()
    assert held.tolist() == [2.0, 4.0]
    assert p.grad.tolist() == [5.0, 5.0]


PARTS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda g: g,
    "row": lambda g: g[0],
    "part of a part": lambda g: g[:, 1:][0],
    "transposed": lambda g: g.t(),
    "reshaped": lambda g: g.reshape(6),
    "detached": lambda g: g.detach(),
    "a part, detached": lambda g: g[0].detach(),
    "a part of detached": lambda g: g.detach()[0],
    "data": lambda g: g.data,
    "a parameter": lambda g: Parameter(g, requires_grad=False),
}


def train(p: Any, optimizer: Any) -> Callable[[Any], Any]:
    """One step of training, whose gradient is its argument."""

    def step(slope: Any) -> Any:
        optimizer.zero_grad()
        loss = (slope * p).sum()
        loss.backward()
        optimizer.step()
        return loss.detach() + p.grad.sum()

    return step


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_gradient_that_is_held_keeps_its_values(device: str, part: str, recorded: bool) -> None:
    p = Parameter(nnkit.ones(2, 3))
    plain = train(p, optim.SGD([p]))
    step = nnkit.compile(plain, fullgraph=True) if recorded else plain
    held = []
    for slope in range(6):
        step(nnkit.tensor(float(slope)))
        held.append(PARTS[part](p.grad))
    assert [values.reshape(-1).tolist() for values in held] == [[float(s)] * held[0].numel() for s in range(6)]
    if recorded:
        assert not isinstance(step.find(nnkit.tensor(0.0)), str)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_gradient_follows_it_until_it_is_forgotten(device: str, part: str) -> None:
    p = Parameter(nnkit.ones(2, 3))
    p.sum().backward()
    held, row = PARTS[part](p.grad), p.grad[0]
    p.sum().backward()
    assert held.reshape(-1)[0].item() == 2.0
    p.grad = None
    with nnkit.no_grad():
        row.fill_(7.0)
    assert held.reshape(-1)[0].item() == 7.0  # those that were parts of one memory still are


@pytest.mark.parametrize("take", [lambda g: g.numpy(), lambda g: g[0].numpy(), np.asarray])
def test_an_array_of_a_gradient_keeps_its_values(device: str, take: Callable[[Any], Any]) -> None:
    p = Parameter(nnkit.ones(2, 3))
    step = train(p, optim.SGD([p]))
    step(nnkit.tensor(3.0))
    taken = take(p.grad)
    step(nnkit.tensor(4.0))
    assert (taken == 3.0).all()
    with pytest.raises(ValueError, match="read-only"):
        taken[...] = 0.0


def test_a_module_forgets_gradients_likewise(device: str) -> None:
    layer = nn.Linear(2, 1)
    layer(nnkit.ones(1, 2)).sum().backward()
    held = layer.weight.grad
    layer.zero_grad()
    layer(nnkit.full((1, 2), 7.0)).sum().backward()
    assert held.tolist() == [[1.0, 1.0]]


def test_a_gradient_that_nobody_holds_is_written_over_where_it_lies(device: str) -> None:
    p = Parameter(nnkit.ones(2))
    optimizer = optim.SGD([p])
    (p * p).sum().backward()
    place = p.gradient.array
    assert p.grad is not None
    optimizer.zero_grad()
    (p * p).sum().backward()
    assert p.grad.array is place


@pytest.mark.parametrize("take", ["detach", "data", "state_dict"])
def test_what_was_detached_before_an_optimizer_was_made_follows_the_parameter(device: str, take: str) -> None:
    layer = nn.Linear(2, 1, bias=False)
    ways = {"detach": layer.weight.detach, "data": lambda: layer.weight.data}
    taken = layer.state_dict()["weight"] if take == "state_dict" else ways[take]()
    optimizer = optim.SGD(layer.parameters(), lr=1.0)
    layer(nnkit.ones(1, 2)).sum().backward()
    optimizer.step()
    assert taken.tolist() == layer.weight.tolist()
    with nnkit.no_grad():
        taken.fill_(3.0)
    assert layer.weight.tolist() == [[3.0, 3.0]]
