"""What optimizers, their groups and clipping refuse, and in which words."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from optim_helpers import backward, parameters

import nnkit
from nnkit import optim
from nnkit.errors import DeviceError, UnknownNameError
from nnkit.nn import Parameter


def leaf() -> Any:
    return Parameter(nnkit.zeros(2))


def twice() -> Any:
    p = leaf()
    return [p, p]


def twice_in_groups() -> Any:
    p = leaf()
    return [{"params": [p]}, {"params": [p]}]


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: optim.SGD([]), ValueError, "params is an empty list"),
    (lambda: optim.SGD(iter(())), ValueError, "params is an empty list"),
    (lambda: optim.SGD(leaf()), TypeError, r"an iterable of Tensors or of dicts, got Parameter: write \[tensor\]"),
    (lambda: optim.SGD(3), TypeError, "an iterable of Tensors or of dicts, got int"),
    (lambda: optim.SGD([1.0]), TypeError, "params must be Tensors, but one of them is float"),
    (lambda: optim.SGD([{"params": {leaf()}}]), TypeError, "a set has none: use a list"),
    (lambda: optim.SGD([{"lr": 0.1}]), TypeError, "a dict with the key 'params'"),
    (lambda: optim.SGD([leaf() * 2.0]), ValueError, "the result of an operation and cannot be optimized"),
    (lambda: optim.SGD([("w", leaf()), leaf()]), ValueError, "give every parameter a name, or none"),
    (lambda: optim.SGD(twice()), ValueError, r"a parameter of shape \(2,\) comes twice"),
    (lambda: optim.SGD(twice_in_groups()), ValueError, r"a parameter of shape \(2,\) comes twice"),
    (lambda: optim.SGD([leaf()], lr=-0.1), ValueError, "lr must be at least 0, got -0.1"),
    (lambda: optim.SGD([leaf()], lr=math.nan), ValueError, "lr must be at least 0, got nan"),
    (lambda: optim.SGD([leaf()], lr="fast"), TypeError, "lr must be a number, got str: 'fast'"),
    (lambda: optim.SGD([leaf()], momentum=-1), ValueError, "momentum must be at least 0, got -1"),
    (lambda: optim.SGD([leaf()], nesterov=True), ValueError, "nesterov needs momentum greater than 0 and dampening 0"),
    (lambda: optim.SGD([{"params": leaf(), "lr": -1}]), ValueError, "lr must be at least 0, got -1"),
    (lambda: optim.Adam([leaf()], eps=-1e-8), ValueError, "eps must be at least 0, got -1e-08"),
    (lambda: optim.Adam([leaf()], betas=(1.0, 0.9)), ValueError, r"betas\[0\] must be at least 0 and less than 1"),
    (lambda: optim.Adam([leaf()], betas=(0.9, -0.1)), ValueError, r"betas\[1\] must be .*got -0.1"),
    (lambda: optim.Adam([leaf()], betas=0.9), ValueError, "betas must be two numbers, got 0.9"),
    (lambda: optim.AdamW([leaf()], weight_decay=-1.0), ValueError, "weight_decay must be at least 0"),
    (lambda: optim.RMSprop([leaf()], alpha=-0.5), ValueError, "alpha must be at least 0"),
    (lambda: optim.Adagrad([leaf()], lr_decay=-0.5), ValueError, "lr_decay must be at least 0"),
    (lambda: optim.get("adma", [leaf()]), UnknownNameError, "unknown optimizer 'adma'; did you mean .*'adam'"),
    (lambda: optim.get(7, [leaf()]), TypeError, "optimizer must be a name .*got int"),
    (lambda: optim.clip_grad_norm_([leaf()], 1.0, norm_type=0), ValueError, "norm_type must be greater than 0"),
    (lambda: optim.clip_grad_value_([leaf()], -1.0), ValueError, "clip_value must be at least 0, got -1.0"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_refused_option_changes_nothing(device: str) -> None:
    (p,) = parameters((2,))
    optimizer = optim.SGD([p], lr=0.5)
    group = optimizer.param_groups[0]
    with pytest.raises(ValueError, match="lr must be at least 0"):
        group["lr"] = -1.0
    with pytest.raises(KeyError, match="'lr' is an option of this optimizer"):
        del group["lr"]
    with pytest.raises(ValueError, match="a group's parameters are fixed"):
        group["params"] = [p]
    group["note"] = "mine"
    assert group.pop("note") == "mine"
    backward(p)
    optimizer.step()
    assert p.tolist() == [0.5, 1.0]


def test_a_group_lives_on_one_device() -> None:
    here, there = Parameter(nnkit.zeros(2, device="numpy")), Parameter(nnkit.zeros(2, device="strict"))
    with pytest.raises(DeviceError, match="must be on one device, got 'numpy' and 'strict'"):
        optim.SGD([here, there])
    optimizer = optim.SGD([{"params": here}, {"params": there}], lr=1.0)
    (here.sum()).backward()
    (there.sum()).backward()
    with pytest.raises(DeviceError, match="the gradients to clip must be on one device"):
        optim.clip_grad_norm_([here, there], 1.0)
    optimizer.step()
    assert here.tolist() == there.tolist() == [-1.0, -1.0]
