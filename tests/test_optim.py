"""Optimizers and clipping equal PyTorch's, and everything around a step: groups, state, options, errors.

The trajectories and the function that runs them, for either library, are in ``reference/make_torch_values_optim.py``.
"""

from __future__ import annotations

import copy
import functools
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from reference import make_torch_values_optim as reference

import nnkit
from nnkit import optim
from nnkit.backends.recording import recording
from nnkit.errors import DeviceError, DivergenceError, ModelFileError, UnknownNameError
from nnkit.kernels import updates
from nnkit.nn import Parameter

#: The largest difference from PyTorch's float64: relative, and absolute near 0.
TOLERANCE = {"float32": (1e-4, 1e-6), "float64": (1e-11, 1e-13)}


@functools.cache
def stored() -> dict[str, np.ndarray]:
    """What PyTorch computed."""
    with np.load(reference.VALUES) as values:
        return dict(values)


def assert_close(actual: np.ndarray, name: str, dtype: str) -> None:
    rtol, atol = TOLERANCE[dtype]
    np.testing.assert_allclose(actual, stored()[name], rtol, atol)


def parameters(*shapes: tuple[int, ...], dtype: Any = None) -> list[Any]:
    """Parameters whose elements count 1, 2, 3, ... and go on from one parameter to the next."""
    made, start = [], 1
    for shape in shapes:
        count = math.prod(shape)
        values = np.arange(start, start + count, dtype=np.float64).reshape(shape)
        made.append(Parameter(nnkit.tensor(values.tolist(), dtype=dtype or nnkit.float32)))
        start += count
    return made


def backward(*learned: Any) -> None:
    """The gradient of half the sum of squares: each parameter's own value."""
    for parameter in learned:
        (0.5 * parameter * parameter).sum().backward()


def snapshot(tensors: list[Any]) -> list[bytes]:
    return [np.asarray(t.detach().tolist()).tobytes() for t in tensors]


# ---- trajectories and clipping against PyTorch ------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", reference.OPTIMIZERS)
def test_trajectory_is_pytorchs(device: str, name: str, dtype: str) -> None:
    assert_close(reference.trajectory(nnkit, name, dtype), f"trajectory {name}", dtype)


@pytest.mark.parametrize("name", reference.SECOND_GROUPS)
def test_groups_have_their_own_options(device: str, name: str) -> None:
    actual = reference.trajectory(nnkit, name, second=reference.SECOND_GROUPS[name])
    assert_close(actual, f"groups {name}", "float64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("in_arena", [True, False])
@pytest.mark.parametrize("name", reference.CLIPPINGS)
def test_clipping_is_pytorchs(
    device: str, name: str, in_arena: bool, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_arena:
        make = reference.start

        def start_in_arena(library: Any, dtype: str) -> Any:
            result = make(library, dtype)
            optim.Arena(result[0])
            return result

        monkeypatch.setattr(reference, "start", start_in_arena)
    assert_close(reference.clipped(nnkit, optim, name, dtype), f"clipped {name}", dtype)


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
    assert recorder.host_reads == []
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
    assert (recorder.host_reads == []) is replayable
    assert [instruction.name for instruction in recorder.instructions] == ["map", "map"]


# ---- state ------------------------------------------------------------------------------------------------

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


def wrong_steps(saved: dict[str, Any]) -> None:
    del saved["param_groups"][0]["step"]
    saved["state"][0]["step"], saved["state"][1]["step"] = 3, 4


def not_a_state(saved: dict[str, Any]) -> None:
    saved.clear()


@pytest.mark.parametrize(
    ("spoil", "messages"),
    [
        (
            wrong_shape,
            [
                r"parameter 0: 'exp_avg' has shape \(4,\) in the state, the parameter has \(3,\)",
                r"parameter 1: 'exp_avg_sq' has shape \(2, 1\) in the state, the parameter has \(2,\)",
            ],
        ),
        (
            wrong_names,
            ["parameter 0: 'exp_avg' is missing", "parameter 1: 'momentum_buffer' is not kept by this optimizer"],
        ),
        (wrong_options, ["group 0: option 'eps' is missing", "group 0: lr must be at least 0, got -1.0"]),
        (wrong_count, ["group 0: 3 parameters in the state, 2 in the optimizer"]),
        (wrong_groups, ["2 parameter groups are in the state, 1 in the optimizer"]),
        (wrong_steps, [r"group 0: the step counts of its parameters differ: \[3, 4\]"]),
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


# ---- clipping: what the comparison with PyTorch does not show ------------------------------------------------


def test_clipping_leaves_out_what_has_no_gradient(device: str) -> None:
    p, q = parameters((2,), (2,))
    assert optim.clip_grad_norm_([p, q], 1.0).item() == 0.0
    p.grad = nnkit.tensor([3.0, 4.0])
    assert optim.clip_grad_norm_(iter([p, q, p]), 1.0).item() == 5.0
    np.testing.assert_allclose(p.grad.tolist(), [0.6, 0.8], rtol=1e-6)
    assert q.grad is None
    optim.clip_grad_value_(p, 0.25)
    assert p.grad.tolist() == [0.25, 0.25]


def test_a_nan_gradient_makes_gradients_nan_but_not_the_padding(device: str) -> None:
    p, q = ps = parameters((2,), (2,))
    optimizer = optim.SGD(ps)
    p.grad, q.grad = nnkit.tensor([math.nan, 1.0]), nnkit.tensor([1.0, 2.0])
    assert math.isnan(optim.clip_grad_norm_(ps, 1.0).item())
    assert all(math.isnan(value) for value in q.grad.tolist())
    block = optimizer.arena.blocks()[0]
    assert np.isnan(block.backend.to_numpy(block.gradients)).sum() == 4
    with pytest.raises(DivergenceError, match="the norm of the gradients is nan"):
        optim.clip_grad_norm_(ps, 1.0, error_if_nonfinite=True)


# ---- errors -----------------------------------------------------------------------------------------------


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
    (lambda: optim.get("adma", [leaf()]), UnknownNameError, "unknown optimizer 'adma'; did you mean 'adam'"),
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
