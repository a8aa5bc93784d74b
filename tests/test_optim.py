"""Optimizers go PyTorch's way, step by step, and everything around a step: who moves, options, recording.

The trajectories and the function that runs them, for either library, are in ``reference/make_torch_values_optim.py``.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from optim_helpers import assert_close, backward, parameters, snapshot, stored
from reference import make_torch_values_optim as reference

import nnkit
from nnkit import optim
from nnkit.backends.recording import recording
from nnkit.kernels import updates

# ---- trajectories and clipping against PyTorch ------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", reference.OPTIMIZERS)
def test_trajectory_is_pytorchs(device: str, name: str, dtype: str) -> None:
    assert_close(reference.trajectory(nnkit, name, dtype), f"trajectory {name}", dtype)


@pytest.mark.parametrize("name", reference.SECOND_GROUPS)
def test_groups_have_their_own_options(device: str, name: str) -> None:
    actual = reference.trajectory(nnkit, name, second=reference.SECOND_GROUPS[name])
    assert_close(actual, f"groups {name}", "float64")


def test_stored_values_are_what_the_installed_pytorch_computes() -> None:
    torch = pytest.importorskip("torch")
    for name, values in reference.compute(torch).items():
        np.testing.assert_allclose(values, stored()[name], 1e-12, 1e-14, err_msg=name)


# ---- which parameters move --------------------------------------------------------------------------------


def test_a_parameter_without_gradient_or_frozen_stays_as_it_is(device: str) -> None:
    first, idle, frozen, last = ps = parameters((3,), (2,), (4,), (5,))
    optimizer = optim.Adam(ps, lr=0.1, weight_decay=0.5)
    backward(*ps)
    optimizer.step()
    optimizer.zero_grad()
    backward(first, frozen, last)
    frozen.requires_grad = False
    before = snapshot([idle, frozen])
    moving = snapshot([first, last])
    state = snapshot([optimizer.state[idle]["exp_avg"], optimizer.state[frozen]["exp_avg"]])
    optimizer.step()
    assert snapshot([idle, frozen]) == before
    assert snapshot([optimizer.state[idle]["exp_avg"], optimizer.state[frozen]["exp_avg"]]) == state
    assert all(a != b for a, b in zip(snapshot([first, last]), moving, strict=True))


def test_a_step_without_any_gradient_is_not_counted(device: str) -> None:
    (p,) = parameters((3,))
    optimizer = optim.Adam([p])
    optimizer.step()
    assert optimizer.param_groups[0].step == 0
    backward(p)
    optimizer.step()
    assert optimizer.param_groups[0].step == 1


def test_a_parameter_frozen_from_the_start_can_be_learned_later(device: str) -> None:
    p, q = parameters((3,), (2,))
    q.requires_grad = False
    optimizer = optim.SGD([p, q], lr=0.5)
    backward(p)
    optimizer.step()
    q.requires_grad = True
    optimizer.zero_grad()
    backward(p, q)
    optimizer.step()
    assert p.tolist() == [0.25, 0.5, 0.75]
    assert q.tolist() == [2.0, 2.5]


def test_gradients_add_up_until_zero_grad(device: str) -> None:
    (p,) = parameters((2,))
    optimizer = optim.SGD([p], lr=1.0)
    backward(p)
    backward(p)
    assert p.grad.tolist() == [2.0, 4.0]
    optimizer.zero_grad()
    assert p.grad is None
    backward(p)
    assert p.grad.tolist() == [1.0, 2.0]
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0.0, 0.0]


def test_assigned_gradients_are_used(device: str) -> None:
    (p,) = parameters((2,))
    optimizer = optim.SGD([p], lr=1.0)
    p.grad = nnkit.tensor([0.5, 1.0])
    optimizer.step()
    assert p.tolist() == [0.5, 1.0]


# ---- options ----------------------------------------------------------------------------------------------


def test_a_changed_rate_is_used_by_the_next_step(device: str) -> None:
    (p,) = parameters((2,))
    optimizer = optim.SGD([p], lr=0.5)
    for rate, expected in ((0.5, [0.5, 1.0]), (0.0, [0.5, 1.0]), (1.0, [0.0, 0.0])):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        backward(p)
        optimizer.step()
        assert p.tolist() == expected


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        (optim.SGD, {"momentum": 0.9, "nesterov": True}),
        (optim.Adam, {"amsgrad": True}),
        (optim.RMSprop, {"centered": True}),
        (optim.RMSprop, {"momentum": 0.5}),
    ],
)
def test_an_option_that_needs_more_state_can_be_switched_on(
    device: str, kind: type[optim.Optimizer], changed: dict[str, Any]
) -> None:
    """After the switch it goes as with the option from the start: what was kept so far is kept on."""
    (p,) = parameters((3,))
    optimizer = kind([p], lr=0.1)
    backward(p)
    optimizer.step()
    before = {name: tensor.tolist() for name, tensor in optimizer.state[p].items()}
    optimizer.param_groups[0].assign(changed)
    optimizer.param_groups[0]["lr"] = 0.0
    assert {name: optimizer.state[p][name].tolist() for name in before} == before
    optimizer.step()
    assert optimizer.param_groups[0].step == 2
    assert len(optimizer.state[p]) == len(before) + 1


def test_eps_0_leaves_elements_without_gradient_alone(device: str) -> None:
    for kind in (optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad):
        p, q = parameters((2,), (2,))
        optimizer = kind([p, q], lr=0.5, eps=0.0, weight_decay=0.0)
        p.grad, q.grad = nnkit.tensor([0.0, 1.0]), nnkit.tensor([1.0, 0.0])
        optimizer.step()
        assert (p.tolist()[0], q.tolist()[1]) == (1.0, 4.0)
        assert np.isfinite(optimizer.arena.blocks()[0].backend.to_numpy(optimizer.arena.blocks()[0].values)).all()


def test_parameters_come_as_generator_names_or_groups(device: str) -> None:
    p, q = parameters((2,), (3,))
    assert len(optim.SGD(x for x in (p, q)).param_groups[0]["params"]) == 2
    named = optim.SGD([("weight", p), ("bias", q)])
    assert [entry.name for entry in named.arena.table()] == ["weight", "bias"]
    grouped = optim.SGD([{"params": p, "lr": 0.5}, {"params": [q]}], lr=0.25)
    grouped.add_param_group({"params": parameters((4,)), "momentum": 0.5})
    assert [(g["lr"], g["momentum"]) for g in grouped.param_groups] == [(0.5, 0.0), (0.25, 0.0), (0.25, 0.5)]


def test_a_group_added_later_keeps_what_the_others_have(device: str) -> None:
    p, q = parameters((3,), (2,))
    optimizer = optim.Adam([p], lr=0.1)
    backward(p)
    optimizer.step()
    before = snapshot(list(optimizer.state[p].values()))
    optimizer.add_param_group({"params": [q], "lr": 0.5})
    assert snapshot(list(optimizer.state[p].values())) == before
    backward(q)
    optimizer.step()
    assert [group.step for group in optimizer.param_groups] == [2, 1]
    np.testing.assert_allclose(q.tolist(), [3.5, 4.5], rtol=1e-6)


def test_closure_is_called_with_gradients_enabled(device: str) -> None:
    (p,) = parameters((2,))
    optimizer = optim.SGD([p], lr=1.0)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with nnkit.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 5.0
    assert p.tolist() == [-1.0, -2.0]


def test_repr_is_pytorchs() -> None:
    assert repr(optim.AdamW(parameters((2,)), lr=0.5)) == (
        "AdamW (\nParameter Group 0\n    amsgrad: False\n    betas: (0.9, 0.999)\n"
        "    decoupled_weight_decay: True\n    eps: 1e-08\n    lr: 0.5\n    maximize: False\n"
        "    weight_decay: 0.01\n)"
    )


@pytest.mark.parametrize("name", ["sgd", "Adam", "adamw", "rmsprop", "adagrad"])
def test_get_by_name(name: str) -> None:
    optimizer = optim.get(name, iter(parameters((2,))))
    assert type(optimizer).__name__.lower() == name.lower()
    assert optim.get(optimizer, []) is optimizer
    made = optim.get(functools.partial(type(optimizer), lr=0.25), parameters((2,)))
    assert made.param_groups[0]["lr"] == 0.25


def test_an_optimizer_of_ones_own_is_a_few_lines(device: str) -> None:
    class Polyak(optim.Optimizer):
        """Heavy ball."""

        def __init__(self, params: Any, lr: float = 0.5) -> None:
            super().__init__(
                params, {"lr": lr, "momentum": 0.5, "dampening": 0.0, "weight_decay": 0.0, "maximize": False}
            )

        def formulas(self, options: Any) -> Any:
            return updates.sgd_momentum_rates, updates.sgd_momentum

    p, q = parameters((2,), (2,))
    q.data = p.data.clone()
    ours, theirs = Polyak([p]), optim.SGD([q], lr=0.5, momentum=0.5)
    for _ in range(3):
        for optimizer in (ours, theirs):
            optimizer.zero_grad()
        backward(p, q)
        for optimizer in (ours, theirs):
            optimizer.step()
    assert p.tolist() == q.tolist() != [1.0, 2.0]


# ---- a step can be recorded -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad])
def test_a_replayed_step_goes_on_to_the_bit(device: str, kind: Any) -> None:
    """No number of a step is in Python: the recorded primitives take the next step, at the rate of the time."""
    options = {"momentum": 0.9} if kind in (optim.SGD, optim.RMSprop) else {}
    p, q = parameters((5,), (5,))
    q.data = p.data.clone()
    eager, replayed = kind([p], lr=0.1, **options), kind([q], lr=0.1, **options)
    recorder = q.backend.recorder()
    backward(p, q)
    with recording(recorder):
        optim.clip_grad_norm_([q], 3.0)
        replayed.step()
    program = recorder.finish()
    optim.clip_grad_norm_([p], 3.0)
    eager.step()
    for rate in (0.2, 0.05, 0.05):
        for optimizer in (eager, replayed):
            optimizer.zero_grad()
            optimizer.param_groups[0]["lr"] = rate
        backward(p, q)
        optim.clip_grad_norm_([p], 3.0)
        eager.step()
        program.replay()
        assert snapshot([p, p.grad]) == snapshot([q, q.grad])
    assert recorder.obstacles == []
    assert replayed.param_groups[0].step == 4


def step(optimizer: Any, p: Any) -> None:
    optimizer.step()


def step_with_new_rate(optimizer: Any, p: Any) -> None:
    optimizer.param_groups[0]["lr"] = 0.25
    optimizer.step()


def step_after_a_move(optimizer: Any, p: Any) -> None:
    with recording(None):
        p.data = p.data.clone()
    optimizer.step()


def step_after_a_move_and_prepare(optimizer: Any, p: Any) -> None:
    with recording(None):
        p.data = p.data.clone()
        optimizer.prepare()
    optimizer.step()


@pytest.mark.parametrize(
    ("act", "replayable"),
    [(step, True), (step_with_new_rate, False), (step_after_a_move, False), (step_after_a_move_and_prepare, True)],
)
def test_a_recorded_step_says_whether_it_can_be_replayed(device: str, act: Any, replayable: bool) -> None:
    (p,) = parameters((3,))
    optimizer = optim.SGD([p], lr=0.5)
    p.grad = nnkit.tensor([1.0, 1.0, 1.0])
    recorder = p.backend.recorder()
    with recording(recorder):
        act(optimizer, p)
    assert (recorder.restless() is None and not recorder.obstacles) is replayable
    assert [instruction.name for instruction in recorder.instructions] == ["map", "map"]
