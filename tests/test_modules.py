"""Module: registration by attribute, names, modes, hooks, moves, state, text."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.errors import DtypeError, ModelFileError


class Block(nn.Module):
    """Two linear layers, a bare parameter, a buffer, and a buffer that is not saved."""

    def __init__(self, device: Any = None) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4, device=device)
        self.scale = nn.Parameter(nnkit.ones(4, device=device))
        self.second = nn.Linear(4, 2, bias=False, device=device)
        self.register_buffer("count", nnkit.tensor([1, 2], device=device))
        self.register_buffer("shift", nnkit.zeros(2, device=device))
        self.register_buffer("cache", nnkit.zeros(1, device=device), persistent=False)
        self.note = "an ordinary attribute"

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return self.second(self.first(x) * self.scale) + self.shift


def arrays(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: np.array(tensor.numpy()) for name, tensor in model.state_dict().items()}


# ---- registration -------------------------------------------------------------------------------------------


def test_attributes_are_sorted_by_what_they_are() -> None:
    model = Block()
    assert [name for name, _ in model.named_parameters()] == [
        "scale",
        "first.weight",
        "first.bias",
        "second.weight",
    ]
    assert [name for name, _ in model.named_buffers()] == ["count", "shift", "cache"]
    assert [name for name, _ in model.named_children()] == ["first", "second"]
    assert [name for name, _ in model.named_modules()] == ["", "first", "second"]
    assert [name for name, _ in model.named_parameters(recurse=False)] == ["scale"]
    assert [name for name, _ in model.named_parameters(prefix="net")][:2] == ["net.scale", "net.first.weight"]
    assert list(model.state_dict()) == [
        "scale",
        "count",
        "shift",
        "first.weight",
        "first.bias",
        "second.weight",
    ]
    assert list(model.parameters())[1] is model.first.weight and next(model.modules()) is model
    assert model.second.bias is None and model.note == "an ordinary attribute"


def test_a_tensor_is_an_ordinary_attribute() -> None:
    model = nn.Module()
    model.constant = nnkit.ones(2)
    assert list(model.parameters()) == [] and list(model.buffers()) == []
    assert model.constant.tolist() == [1.0, 1.0]


def test_assignment_replaces_and_deletion_removes() -> None:
    model = Block()
    model.first = nn.Identity()
    model.scale = nn.Parameter(nnkit.zeros(4))
    model.shift = None
    del model.second
    assert list(model.state_dict()) == ["scale", "count"] and model.scale.tolist() == [0.0] * 4
    assert not hasattr(model, "second")
    model.note = nn.Parameter(nnkit.zeros(1))
    assert [name for name, _ in model.named_parameters()] == ["scale", "note"]
    del model.note
    assert not hasattr(model, "note")


def test_a_bias_can_be_added_later() -> None:
    layer = nn.Linear(2, 3, bias=False)
    layer.bias = nn.Parameter(nnkit.ones(3))
    assert list(layer.state_dict()) == ["weight", "bias"]


def _forgets_init() -> None:
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    Forgetful()


def _calls_uninitialised() -> None:
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.width = 3

        def forward(self, x: Any) -> Any:
            return x

    Forgetful()(1)


BAD_REGISTRATIONS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (_forgets_init, AttributeError, "super().__init__() first in Forgetful.__init__"),
    (_calls_uninitialised, AttributeError, "super().__init__() first in Forgetful.__init__"),
    (
        lambda: setattr(Block(), "scale", nnkit.ones(4)),
        TypeError,
        "Block.scale is a registered Parameter: it can be set to a Parameter or None, got Tensor",
    ),
    (lambda: setattr(Block(), "first", 3), TypeError, "set to a Module or None, got int"),
    (lambda: setattr(Block(), "shift", 3), TypeError, "set to a Tensor or None, got int"),
    (lambda: Block().register_parameter("p", nnkit.ones(1)), TypeError, "'p' must be a Parameter or None"),
    (lambda: Block().register_buffer("b", 1.0), TypeError, "'b' must be a Tensor or None, got float"),
    (lambda: Block().add_module("a.b", nn.ReLU()), ValueError, "text without dots, got 'a.b'"),
    (lambda: Block().add_module("", nn.ReLU()), ValueError, "text without dots, got ''"),
    (lambda: Block().add_module("forward", nn.ReLU()), KeyError, "already has an attribute 'forward'"),
    (lambda: Block().missing, AttributeError, "'Block' object has no attribute 'missing'"),
    (lambda: delattr(Block(), "missing"), AttributeError, "missing"),
    (lambda: nn.Module()(1), NotImplementedError, "define forward(self, x)"),
    (lambda: Block().train("yes"), TypeError, "True or False, got 'yes'"),
    (lambda: Block().register_forward_hook(3), TypeError, "must be a function"),
]


@pytest.mark.parametrize(("action", "error", "words"), BAD_REGISTRATIONS)
def test_misuse_is_explained(action: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as raised:
        action()
    assert words in str(raised.value)


def test_shared_parameters_and_modules_count_once(device: str) -> None:
    model = nn.Sequential(nn.Linear(2, 2, device=device), nn.Linear(2, 2, device=device))
    model[1].weight = model[0].weight
    model.append(model[0])
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert len(list(model.modules())) == 3 and len(list(model.children())) == 2
    assert list(model.state_dict()) == [f"{i}.{name}" for i in range(3) for name in ("weight", "bias")]
    assert [n for n, _ in model.named_parameters(remove_duplicate=False)] == list(model.state_dict())
    x = nnkit.ones(1, 2, device=device)
    model(x).sum().backward()
    assert model[0].weight.grad is not None and model[1].weight is model[2].weight


# ---- modes, gradients, hooks --------------------------------------------------------------------------------


def test_train_and_eval_reach_every_part() -> None:
    model = nn.Sequential(Block(), nn.Dropout())
    assert model.training and model.eval() is model
    assert [module.training for module in model.modules()] == [False] * 5
    model.train()
    assert all(module.training for module in model.modules())


def test_requires_grad_and_zero_grad(device: str) -> None:
    model = Block(device)
    model.first.requires_grad_(False)
    model(nnkit.ones(2, 3, device=device)).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["scale", "second.weight"]
    model.zero_grad(set_to_none=False)
    assert model.scale.grad.tolist() == [0.0] * 4 and model.first.bias.grad is None
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_hooks_see_and_may_replace_the_output(device: str) -> None:
    model = nn.Sequential(nn.Linear(2, 2, device=device), nn.ReLU())
    x = nnkit.tensor([[1.0, -1.0]], device=device)
    plain = model(x).tolist()
    seen: list[Any] = []
    look = model[0].register_forward_hook(lambda module, args, output: seen.append((module, args, output)))
    assert model(x).tolist() == plain
    assert seen[0][0] is model[0] and seen[0][1] == (x,) and seen[0][2].shape == (1, 2)
    look.remove()
    look.remove()
    with model[1].register_forward_hook(lambda module, args, output: output + 1.0):
        assert model(x).tolist() == [[value + 1.0 for value in plain[0]]]
    assert model(x).tolist() == plain and len(seen) == 1


def test_apply_visits_children_first() -> None:
    visited: list[str] = []
    model = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU()))
    assert model.apply(lambda module: visited.append(type(module).__name__)) is model
    assert visited == ["Linear", "ReLU", "Sequential", "Sequential"]


def test_penalty_sums_the_regularizers_of_all_parts(device: str) -> None:
    assert Block(device).penalty() is None
    model = nn.Sequential(
        nn.Linear(2, 1, device=device, l1=0.5),
        nn.Sequential(nn.Linear(1, 2, device=device, l2=0.25), nn.Linear(2, 2, device=device)),
    )
    model[1][1].regularizers["bias"] = lambda bias: bias.sum()
    nn.init.constant_(model[0].weight, -2.0)
    nn.init.constant_(model[1][0].weight, 4.0)
    nn.init.constant_(model[1][1].bias, 1.0)
    penalty = model.penalty()
    assert penalty.shape == () and penalty.item() == 0.5 * 4.0 + 0.25 * 32.0 + 2.0
    penalty.backward()
    assert model[0].weight.grad.tolist() == [[-0.5, -0.5]]
    assert model[1][0].weight.grad.tolist() == [[2.0], [2.0]]


# ---- moves --------------------------------------------------------------------------------------------------


def test_to_converts_in_place_with_gradients(device: str) -> None:
    model = Block(device)
    x = nnkit.ones(2, 3, device=device)
    model(x).sum().backward()
    parameters, before = list(model.parameters()), arrays(model)
    gradients = [parameter.grad.tolist() for parameter in parameters]
    assert model.to(nnkit.float64) is model
    assert all(new is old for new, old in zip(model.parameters(), parameters, strict=True))
    assert {p.dtype for p in parameters} == {nnkit.float64} and model.count.dtype == nnkit.int64
    assert model.shift.dtype == nnkit.float64
    assert [parameter.grad.tolist() for parameter in parameters] == gradients
    assert model(x.double()).dtype == nnkit.float64
    for name, value in arrays(model.float()).items():
        assert value.dtype == before[name].dtype and np.array_equal(value, before[name]), name


def test_to_moves_between_devices(device: str) -> None:
    model = Block(device)
    before = arrays(model)
    model.to("numpy", nnkit.float64)
    assert {str(tensor.device) for tensor in model.state_dict().values()} == {"numpy"}
    model.to(device=device, dtype="float32")
    assert {str(tensor.device) for tensor in model.state_dict().values()} == {device}
    for name, value in arrays(model).items():
        assert np.array_equal(value, before[name]), name


@pytest.mark.parametrize("same", [lambda m: m.to(m.scale.device), lambda m: m.float(), lambda m: m.cpu()])
def test_a_move_to_where_it_is_keeps_the_memory(same: Callable[[Any], Any], device: str) -> None:
    model = Block(device)
    memory = [parameter.array for parameter in model.parameters()]
    same(model)
    assert all(p.array is old for p, old in zip(model.parameters(), memory, strict=True))


@pytest.mark.parametrize("dtype", [nnkit.int64, "int32", np.uint8])
def test_to_refuses_types_that_are_not_floating(dtype: Any) -> None:
    model = Block()
    with pytest.raises(DtypeError, match="use float32 or float64"):
        model.to(dtype=dtype)
    assert model.scale.dtype == nnkit.float32


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_independent(duplicate: Callable[[Any], Any], device: str) -> None:
    model = nn.Sequential(Block(device), nn.ReLU())
    model.append(model[0].first)
    model[0].register_buffer("odd", None)
    other = duplicate(model)
    assert repr(other) == repr(model) and other[2].weight is other[0].first.weight
    for (name, mine), theirs in zip(arrays(model).items(), arrays(other).values(), strict=True):
        assert np.array_equal(mine, theirs), name
    nn.init.zeros_(other[0].scale)
    assert model[0].scale.tolist() == [1.0] * 4


# ---- state --------------------------------------------------------------------------------------------------


def test_state_dict_round_trip_copies_in_place(device: str) -> None:
    source, target = Block(device), Block(device)
    nn.init.normal_(source.shift)
    parameters = [(parameter, parameter.array) for parameter in target.parameters()]
    state = source.state_dict()
    assert isinstance(state, OrderedDict) and not any(tensor.requires_grad for tensor in state.values())
    assert target.load_state_dict(state) == ([], [])
    for parameter, (old, memory) in zip(target.parameters(), parameters, strict=True):
        assert parameter is old and parameter.array is memory and parameter.requires_grad
    for name, value in arrays(target).items():
        assert np.array_equal(value, arrays(source)[name]), name
    nn.init.zeros_(source.scale)
    assert target.scale.tolist() == [1.0] * 4


def test_state_loads_from_arrays_of_another_type_and_device(device: str) -> None:
    model = nn.Linear(2, 1, device=device)
    model.load_state_dict({"weight": np.array([[1.0, 2.0]]), "bias": nnkit.tensor([3.0], device="numpy")})
    assert model(nnkit.ones(1, 2, device=device)).tolist() == [[6.0]]
    assert model.weight.dtype == nnkit.float32


def test_load_lists_every_mismatch_and_loads_nothing(device: str) -> None:
    model = Block(device)
    before = arrays(model)
    state = {name: np.full_like(value, 7) for name, value in before.items()}
    del state["scale"], state["first.bias"]
    state |= {"first.weight": np.zeros((4, 9)), "shift": np.zeros(()), "third.weight": np.zeros(1)}
    with pytest.raises(ModelFileError) as raised:
        model.load_state_dict(state)
    assert str(raised.value).splitlines() == [
        "the state does not fit Block; nothing was loaded. 5 mismatches:",
        "  'scale' is missing",
        "  'first.bias' is missing",
        "  'third.weight' is not part of it",
        "  'shift' has shape () in the state, expected (2,)",
        "  'first.weight' has shape (4, 9) in the state, expected (4, 3)",
    ]
    for name, value in arrays(model).items():
        assert np.array_equal(value, before[name]), name


def test_load_that_is_not_strict_reports_names_but_refuses_shapes(device: str) -> None:
    model = nn.Linear(2, 1, device=device)
    found = model.load_state_dict({"bias": np.ones(1), "other": np.ones(1)}, strict=False)
    assert found.missing_keys == ["weight"] and found.unexpected_keys == ["other"]
    assert model.bias.tolist() == [1.0]
    with pytest.raises(ModelFileError, match=r"'bias' has shape \(2,\)"):
        model.load_state_dict({"bias": np.ones(2)}, strict=False)


def test_load_refuses_what_is_no_mapping_or_no_numbers(device: str) -> None:
    model = nn.Linear(1, 1, device=device)
    before = arrays(model)
    with pytest.raises(TypeError, match="mapping of names to tensors, got str"):
        model.load_state_dict("model.safetensors")
    with pytest.raises(ModelFileError):
        model.load_state_dict({"weight": np.ones((1, 1)), "bias": np.array(["a"])})
    assert all(np.array_equal(value, before[name]) for name, value in arrays(model).items())


# ---- text ---------------------------------------------------------------------------------------------------

TEXTS: list[tuple[Callable[[], nn.Module], str]] = [
    (lambda: nn.Linear(4, 3), "Linear(in_features=4, out_features=3, bias=True)"),
    (
        lambda: nn.Linear(4, 3, bias=False, activation="relu", l2=0.1),
        "Linear(in_features=4, out_features=3, bias=False, activation='relu', l2=0.1)",
    ),
    (
        lambda: nn.Linear(4, 3, activation=nn.GELU()),
        "Linear(\n  in_features=4, out_features=3, bias=True\n  (activation): GELU(approximate='none')\n)",
    ),
    (
        lambda: nn.Linear(1, 1, activation=nnkit.tanh),
        "Linear(in_features=1, out_features=1, bias=True, activation=tanh)",
    ),
    (nn.ReLU, "ReLU()"),
    (nn.LeakyReLU, "LeakyReLU(negative_slope=0.01)"),
    (nn.Softplus, "Softplus(beta=1.0, threshold=20.0)"),
    (nn.Hardtanh, "Hardtanh(min_val=-1.0, max_val=1.0)"),
    (lambda: nn.Softmax(dim=1), "Softmax(dim=1)"),
    (nn.Dropout, "Dropout(p=0.5, inplace=False)"),
    (nn.Flatten, "Flatten(start_dim=1, end_dim=-1)"),
    (lambda: nn.Unflatten(1, (2, 3)), "Unflatten(dim=1, unflattened_size=(2, 3))"),
    (nn.CrossEntropyLoss, "CrossEntropyLoss()"),
    (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Identity())),
        "Sequential(\n  (0): Linear(in_features=4, out_features=3, bias=True)\n"
        "  (1): Sequential(\n    (0): ReLU()\n    (1): Identity()\n  )\n)",
    ),
]


@pytest.mark.parametrize(("make", "text"), TEXTS)
def test_text_is_laid_out_as_in_pytorch(make: Callable[[], nn.Module], text: str) -> None:
    assert repr(make()) == text
