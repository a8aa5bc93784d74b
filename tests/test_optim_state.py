"""The state of an optimizer: a copy goes on to the bit, PyTorch's is read, and what does not fit changes nothing."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from optim_helpers import backward, parameters, snapshot

import nnkit
from nnkit import optim
from nnkit.errors import ModelFileError
from nnkit.nn import Parameter

STATEFUL: list[tuple[Any, dict[str, Any]]] = [
    (optim.SGD, {"momentum": 0.9, "dampening": 0.5}),
    (optim.Adam, {"amsgrad": True}),
    (optim.RMSprop, {"centered": True, "momentum": 0.5}),
    (optim.Adagrad, {"lr_decay": 0.1, "initial_accumulator_value": 0.5}),
]


def by_state_dict(optimizer: Any, ps: list[Any]) -> tuple[Any, list[Any]]:
    fresh = [Parameter(p.detach().clone()) for p in ps]
    other = type(optimizer)([{"params": [p]} for p in fresh])
    other.load_state_dict(optimizer.state_dict())
    return other, fresh


def by_deepcopy(optimizer: Any, ps: list[Any]) -> tuple[Any, list[Any]]:
    return copy.deepcopy((optimizer, ps))


def by_pickle(optimizer: Any, ps: list[Any]) -> tuple[Any, list[Any]]:
    other = pickle.loads(pickle.dumps(optimizer))
    return other, [p for group in other.param_groups for p in group["params"]]


@pytest.mark.parametrize("move", [by_state_dict, by_deepcopy, by_pickle])
@pytest.mark.parametrize(("kind", "options"), STATEFUL)
def test_a_copy_goes_on_to_the_bit(device: str, kind: Any, options: dict[str, Any], move: Any) -> None:
    ps = parameters((3,), (2, 2))
    optimizer = kind([{"params": [ps[0]], "lr": 0.1}, {"params": [ps[1]], "weight_decay": 0.1}], **options)
    for _ in range(3):
        optimizer.zero_grad()
        backward(*ps)
        optimizer.step()
    other, copies = move(optimizer, ps)
    assert snapshot(copies) == snapshot(ps)
    for _ in range(3):
        for one, learned in ((optimizer, ps), (other, copies)):
            one.zero_grad()
            backward(*learned)
            one.step()
    assert snapshot(copies) == snapshot(ps)
    assert other.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


def test_state_dict_has_pytorchs_form_and_is_a_copy(device: str) -> None:
    ps = parameters((3,), (2,))
    optimizer = optim.Adam(ps, lr=0.5)
    assert optimizer.state_dict()["state"] == {}
    backward(*ps)
    optimizer.step()
    saved = optimizer.state_dict()
    assert saved["param_groups"] == [
        {
            "lr": 0.5, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False, "maximize": False,
            "decoupled_weight_decay": False, "step": 1, "params": [0, 1],
        }
    ]  # fmt: skip
    assert {i: sorted(entry) for i, entry in saved["state"].items()} == {
        0: ["exp_avg", "exp_avg_sq"],
        1: ["exp_avg", "exp_avg_sq"],
    }
    kept = snapshot([saved["state"][0]["exp_avg"]])
    optimizer.step()
    assert snapshot([saved["state"][0]["exp_avg"]]) == kept


def test_a_state_is_loaded_into_the_memory_in_use(device: str) -> None:
    """A recorded step goes on with what was loaded."""
    (p,) = parameters((3,))
    optimizer = optim.Adam([p])
    view = optimizer.state[p]["exp_avg"]
    backward(p)
    optimizer.step()
    saved = optimizer.state_dict()
    optimizer.step()
    assert view.tolist() != saved["state"][0]["exp_avg"].tolist()
    optimizer.load_state_dict(saved)
    assert view.tolist() == saved["state"][0]["exp_avg"].tolist()


def test_a_state_of_pytorchs_own_form_is_loaded(device: str) -> None:
    """There the step is kept with each parameter, SGD's absent momentum is None, and groups have further keys."""
    (p,) = parameters((2,))
    adam = optim.Adam([p])
    entry = {"step": np.float32(7.0), "exp_avg": np.ones(2), "exp_avg_sq": np.full(2, 2.0)}
    group = {**adam.defaults, "lr": 0.125, "fused": None, "params": [0]}
    adam.load_state_dict({"state": {0: entry}, "param_groups": [group]})
    assert (adam.param_groups[0].step, adam.param_groups[0]["lr"]) == (7, 0.125)
    assert adam.state[p]["exp_avg_sq"].tolist() == [2.0, 2.0]
    sgd = optim.SGD([p])
    group = {**sgd.defaults, "lr": 0.5, "params": [0]}
    sgd.load_state_dict({"state": {0: {"momentum_buffer": None}}, "param_groups": [group]})
    backward(p)
    sgd.step()
    assert p.tolist() == [0.5, 1.0]


def wrong_shape(saved: dict[str, Any]) -> None:
    saved["state"][0]["exp_avg"] = nnkit.zeros(4)
    saved["state"][1]["exp_avg_sq"] = nnkit.zeros(2, 1)


def wrong_names(saved: dict[str, Any]) -> None:
    del saved["state"][0]["exp_avg"]
    saved["state"][1]["momentum_buffer"] = nnkit.zeros(2)


def wrong_options(saved: dict[str, Any]) -> None:
    saved["param_groups"][0]["lr"] = -1.0
    del saved["param_groups"][0]["eps"]


def wrong_count(saved: dict[str, Any]) -> None:
    saved["param_groups"][0]["params"] = [0, 1, 2]


def wrong_groups(saved: dict[str, Any]) -> None:
    saved["param_groups"].append(saved["param_groups"][0])


def wrong_kinds(saved: dict[str, Any]) -> None:
    saved["param_groups"][0] |= {"decoupled_weight_decay": None, "amsgrad": 0, "betas": [0.9], "step": float("nan")}
    saved["state"][1] = [1]
    saved["state"][0]["exp_avg"] = "zeros"


def wrong_numbers(saved: dict[str, Any]) -> None:
    saved["param_groups"][0]["params"] = [5, 5]


def not_a_state(saved: dict[str, Any]) -> None:
    saved.clear()


@pytest.mark.parametrize(
    ("spoil", "messages"),
    [
        (
            wrong_shape,
            [
                r"parameter 0: 'exp_avg' has shape \(4,\) in the state, expected \(3,\)",
                r"parameter 1: 'exp_avg_sq' has shape \(2, 1\) in the state, expected \(2,\)",
            ],
        ),
        (
            wrong_names,
            ["parameter 0: 'exp_avg' is missing", "parameter 1: 'momentum_buffer' is not part of it"],
        ),
        (wrong_options, ["group 0: option 'eps' is missing", "group 0: lr must be at least 0, got -1.0"]),
        (wrong_count, ["group 0: 3 parameters in the state, 2 in the optimizer"]),
        (wrong_groups, ["2 parameter groups are in the state, 1 in the optimizer"]),
        (
            wrong_kinds,
            [
                "group 0: 'decoupled_weight_decay' must be True or False, got None",
                "group 0: 'amsgrad' must be True or False, got 0",
                r"group 0: 'betas' must be 2 values, got \[0.9\]",
                "group 0: 'step' must be a whole number of at least 0, got nan",
                r"parameter 1 must be a dict, got \[1\]",
            ],
        ),
        (
            wrong_numbers,
            [
                "group 0: 'params' must be a different number for each parameter, got 5",
                "parameter 0 has a state, but is in no group",
            ],
        ),
        (not_a_state, ["a dict with 'state' and 'param_groups'"]),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(device: str, spoil: Any, messages: list[str]) -> None:
    ps = parameters((3,), (2,))
    optimizer = optim.Adam(ps)
    backward(*ps)
    optimizer.step()
    saved = optimizer.state_dict()
    saved["param_groups"][0]["lr"] = 0.75
    saved["state"][0]["exp_avg_sq"] = nnkit.zeros(3)
    spoil(saved)
    before = snapshot([t for p in ps for t in optimizer.state[p].values()])
    for message in messages:
        with pytest.raises(ModelFileError, match=message):
            optimizer.load_state_dict(saved)
    assert snapshot([t for p in ps for t in optimizer.state[p].values()]) == before
    assert optimizer.param_groups[0]["lr"] == 1e-3
