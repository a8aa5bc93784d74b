"""PyTorch's words for modules: hooks before forward, things by name, states, lists of parameters, nn.utils."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.errors import ModelFileError, ShapeError
from nnkit.nn import utils


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)))


# ---- hooks -----------------------------------------------------------------------------------------------------


def test_hooks_before_and_behind_forward(device: str) -> None:
    layer, x, seen = nn.Linear(2, 2), nnkit.ones(1, 2), []
    plain = layer(x)
    handles = [
        layer.register_forward_pre_hook(lambda module, args: (args[0] * 2.0,)),
        layer.register_forward_pre_hook(lambda module, args: seen.append(args[0].tolist())),
        layer.register_forward_pre_hook(lambda module, args: seen.append("first"), prepend=True),
        layer.register_forward_hook(lambda module, args, output: output + 1.0),
        layer.register_forward_hook(lambda module, args, kwargs, output: seen.append(kwargs), with_kwargs=True),
    ]
    assert layer(x).tolist() == (layer.forward(x * 2.0) + 1.0).tolist()
    assert seen == ["first", [[2.0, 2.0]], {}]
    for handle in handles:
        handle.remove()
    assert layer(x).tolist() == plain.tolist()


def test_a_hook_may_change_keyword_arguments() -> None:
    class Scale(nn.Module):
        def forward(self, x: nnkit.Tensor, by: float = 1.0) -> nnkit.Tensor:
            return x * by

    module = Scale()
    module.register_forward_pre_hook(lambda m, args, kwargs: (args, {"by": 3.0}), with_kwargs=True)
    module.register_forward_pre_hook(lambda m, args: args[0] + 1.0)
    assert module(nnkit.ones(1), by=2.0).tolist() == [6.0]


def test_an_activation_with_a_hook_is_not_fused(device: str) -> None:
    model, seen = nn.Sequential(nn.Linear(2, 2), nn.ReLU()), []
    model[1].register_forward_pre_hook(lambda module, args: seen.append(args[0].shape))
    model(nnkit.ones(3, 2))
    assert seen == [(3, 2)]


# ---- by name ---------------------------------------------------------------------------------------------------


def test_things_are_found_by_name() -> None:
    model = net()
    assert model.get_submodule("2.1") is model[2][1] and model.get_submodule("") is model
    assert model.get_parameter("2.0.weight") is model[2][0].weight
    assert model.get_buffer("2.1.running_mean") is model[2][1].running_mean
    model.set_submodule("2.0", nn.Identity())
    assert isinstance(model[2][0], nn.Identity)
    model.register_module("extra", nn.ReLU())
    assert "extra" in dict(model.named_children())
    for find, name in [(model.get_submodule, "2.7"), (model.get_parameter, "2.x"), (model.get_buffer, "0.weight")]:
        with pytest.raises(AttributeError, match="has no"):
            find(name)


# ---- states ----------------------------------------------------------------------------------------------------


def test_states_with_a_prefix_and_with_the_parameters_themselves() -> None:
    model = net()
    state = model.state_dict(prefix="net.")
    assert next(iter(state)) == "net.0.weight" and len(state) == len(model.state_dict())
    kept = model.state_dict(keep_vars=True)
    assert kept["0.weight"] is model[0].weight and kept["2.1.running_var"] is model[2][1].running_var
    target: dict[str, Any] = {"old": 1}
    assert model.state_dict(destination=target) is target and "0.bias" in target


def test_given_tensors_take_the_places(device: str) -> None:
    model = net()
    model[0].weight.requires_grad_(False)
    state = {name: value.clone().double() if value.is_floating_point() else value.clone()
             for name, value in net().state_dict().items()}  # fmt: skip
    found = model.load_state_dict(state, assign=True)
    assert found.missing_keys == [] and model[0].weight.dtype == nnkit.float64
    assert not model[0].weight.requires_grad and model[0].bias.requires_grad
    assert isinstance(model[0].weight, nn.Parameter) and model[2][1].running_mean.dtype == nnkit.float64
    state["0.weight"] = nnkit.ones(1)
    with pytest.raises(ModelFileError, match=r"0\.weight"):
        model.load_state_dict(state, assign=True)


def test_shared_parts_are_walked_once_or_each_time() -> None:
    layer = nn.Linear(1, 1)
    model = nn.ModuleList([layer, layer])
    assert len(list(model.modules())) == 2 and len(list(model.modules(remove_duplicate=False))) == 3
    assert [name for name, _ in model.named_modules(prefix="m")] == ["m", "m.0"]
    assert model.apply(fn=lambda module: None) is model


# ---- containers ------------------------------------------------------------------------------------------------


def test_lists_of_modules_behave_like_lists() -> None:
    parts = [nn.Linear(1, size) for size in (1, 2, 3)]
    row = nn.ModuleList(parts[:1])
    row += parts[1:]
    assert len(row) == 3 and parts[1] in row and nn.Linear(1, 1) not in row
    assert len(row + [nn.ReLU()]) == 4 and row.pop() is parts[2] and row.pop(0) is parts[0] and len(row) == 1
    del row[0:]
    assert len(row) == 0 and list(nn.ModuleList().parameters()) == []
    named = nn.ModuleDict({"a": parts[0]})
    named.update(nn.ModuleDict({"b": parts[1]}))
    assert list(named) == ["a", "b"] and named.pop("a") is parts[0]
    named.clear()
    assert len(named) == 0


def test_lists_of_parameters(device: str) -> None:
    row = nn.ParameterList([nnkit.ones(2), nn.Parameter(nnkit.zeros(1), requires_grad=False)])
    row += [nnkit.ones(3)]
    row[0] = nnkit.zeros(2)
    assert [p.tolist() for p in row] == [[0.0, 0.0], [0.0], [1.0, 1.0, 1.0]] and len(row[1:]) == 2
    assert list(row.state_dict()) == ["0", "1", "2"] and row.pop().shape == (3,) and len(row) == 2
    assert row[-1].requires_grad is False and "shape (2,)" in repr(row)
    with pytest.raises(TypeError, match="must be a Parameter or a Tensor"):
        row.append(3)
    named = nn.ParameterDict({"a": nnkit.ones(1)})
    named["b"] = nn.Parameter(nnkit.zeros(2))
    assert set(named.keys()) == {"a", "b"} and named.get("c") is None and named.setdefault("a") is named["a"]
    assert named.pop("b").shape == (2,) and len(list(named.items())) == 1 and list(named) == ["a"]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.ParameterList([nnkit.ones(2), nnkit.ones(2)])

        def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
            for weight in self.weights:
                x = x * weight
            return x.sum(dim=1, keepdim=True)

    model = Net()
    losses = model.fit(np.ones((8, 2), np.float32), np.zeros((8, 1), np.float32), loss="mse", epochs=4, verbose=0)
    assert losses.history["loss"][-1] < losses.history["loss"][0]


# ---- layers ----------------------------------------------------------------------------------------------------


def test_a_lazy_layer_becomes_what_its_first_input_asks_for(device: str, tmp_path: Any) -> None:
    model = nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.LazyLinear(1, bias=False))
    first = model[0].weight
    optimizer = nnkit.optim.SGD(model.parameters(), lr=0.1)
    seen: list[Any] = []
    model[0].register_forward_hook(lambda module, args, output: seen.append(output.shape))
    x = nnkit.rand(8, 3)
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    assert type(model[0]) is nn.Linear and model[0].weight is first and first.shape == (4, 3) and len(seen) == 3
    assert model[2].bias is None and optimizer.param_groups[0]["params"][0] is first
    nnkit.save(model, tmp_path / "x.safetensors")
    assert nnkit.load(tmp_path / "x.safetensors")(x).tolist() == model(x).tolist()
    with pytest.raises(ShapeError, match="LazyLinear expects features"):
        nn.LazyLinear(2)(nnkit.tensor(1.0))


#: Lazy layer -> its arguments, the shape of an input, and what it becomes.
LAZY: dict[str, tuple[tuple[Any, ...], tuple[int, ...], Any]] = {
    **{f"LazyConv{n}d": ((4, 2), (2, 3, *(4,) * n), getattr(nn, f"Conv{n}d")) for n in (1, 2, 3)},
    **{f"LazyConvTranspose{n}d": ((4, 2), (2, 3, *(4,) * n), getattr(nn, f"ConvTranspose{n}d")) for n in (1, 2, 3)},
    **{f"LazyBatchNorm{n}d": ((), (2, 3, *(4,) * n), getattr(nn, f"BatchNorm{n}d")) for n in (1, 2, 3)},
    **{f"LazyInstanceNorm{n}d": ((), (2, 3, *(4,) * n), getattr(nn, f"InstanceNorm{n}d")) for n in (1, 2, 3)},
}


@pytest.mark.parametrize("name", LAZY)
def test_lazy_layers_of_channels(name: str, device: str) -> None:
    arguments, shape, becomes = LAZY[name]
    layer = getattr(nn, name)(*arguments, dtype="float64")
    weight, x = layer.weight, nnkit.rand(*shape, dtype="float64")
    with pytest.raises(ShapeError, match=f"{name} expects"):
        layer(nnkit.ones(2))
    optimizer = nnkit.optim.SGD(layer.parameters(), lr=0.1)
    layer.eval()
    out = layer(x)
    assert type(layer) is becomes and layer.weight is weight and weight.dtype == np.float64 and not layer.training
    plain = becomes(3, *arguments, dtype="float64") if arguments else becomes(3, affine=True, track_running_stats=True)
    plain.load_state_dict(layer.state_dict())
    assert repr(plain) == repr(layer) and plain.eval()(x.to(plain.weight.dtype)).shape == out.shape
    out.sum().backward()
    optimizer.step()
    assert len(optimizer.param_groups[0]["params"]) == len(list(layer.parameters()))


def test_several_devices_are_one(device: str) -> None:
    layer = nn.Linear(2, 1)
    model = nn.DataParallel(layer, device_ids=[0, 1])
    assert model(nnkit.ones(3, 2)).tolist() == layer(nnkit.ones(3, 2)).tolist() and model.module is layer
    norm = nn.SyncBatchNorm(2)
    assert norm(nnkit.rand(4, 2, 3)).tolist() != [] and norm.running_mean.tolist() != [0.0, 0.0]
    assert nn.SyncBatchNorm.convert_sync_batchnorm(model) is model
    with pytest.raises(ValueError, match="init_process_group"):
        nn.parallel.DistributedDataParallel(layer)


@pytest.mark.parametrize(
    "make", [lambda: nn.BatchNorm1d(2, bias=False), lambda: nn.GroupNorm(1, 2, bias=False),
             lambda: nn.InstanceNorm1d(2, affine=True, bias=False)]
)  # fmt: skip
def test_normalizations_without_a_bias(make: Callable[[], Any]) -> None:
    layer = make()
    assert layer.bias is None and layer.weight.shape == (2,) and layer(nnkit.rand(3, 2, 4)).shape == (3, 2, 4)


# ---- nn.utils --------------------------------------------------------------------------------------------------


def test_parameters_as_one_vector(device: str) -> None:
    model = nn.Linear(2, 2)
    vector = utils.parameters_to_vector(model.parameters())
    assert vector.shape == (6,) and vector.requires_grad
    weight = model.weight
    utils.vector_to_parameters(nnkit.arange(6.0), model.parameters())
    assert model.weight is weight and weight.tolist() == [[0.0, 1.0], [2.0, 3.0]] and model.bias.tolist() == [4.0, 5.0]
    with pytest.raises(ShapeError, match="6 elements together"):
        utils.vector_to_parameters(nnkit.arange(5.0), model.parameters())


def test_clipping_by_its_names(device: str) -> None:
    x = nnkit.tensor([3.0, 4.0], requires_grad=True)
    (x * x).sum().backward()
    assert utils.get_total_norm([x.grad]).item() == pytest.approx(10.0)
    with pytest.warns(FutureWarning, match="clip_grad_norm_"):
        assert utils.clip_grad_norm([x], 1.0).item() == pytest.approx(10.0)
    assert utils.clip_grad_norm_([x], 2.0, foreach=True).item() == pytest.approx(1.0)
    utils.clip_grad_value_([x], 0.5, foreach=False)
    assert max(x.grad.tolist()) <= 0.5


WEIGHT = np.array([[1.0, -2.0, 2.0], [0.0, 3.0, 4.0]])


def layer_of(kind: str, dtype: str = "float64") -> nn.Module:
    layer = nn.Linear(3, 2, dtype=dtype)
    layer.load_state_dict({"weight": WEIGHT, "bias": np.zeros(2)})
    return getattr(utils, kind)(layer)


def test_length_and_direction(device: str) -> None:
    layer = layer_of("weight_norm")
    assert layer.weight_g.tolist() == [[3.0], [5.0]] and np.allclose(layer.weight.tolist(), WEIGHT)
    with nnkit.no_grad():
        layer.weight_g.fill_(1.0)
    np.testing.assert_allclose(layer.weight.detach().numpy(), WEIGHT / np.array([[3.0], [5.0]]))
    layer.weight.sum().backward()
    np.testing.assert_allclose(layer.weight_g.grad.numpy(), [[1 / 3], [7 / 5]], rtol=1e-12)
    for row, norm in ((0, 3.0), (1, 5.0)):
        v = WEIGHT[row]
        expected = (np.ones(3) - v * v.sum() / norm**2) / norm
        np.testing.assert_allclose(layer.weight_v.grad.numpy()[row], expected, rtol=1e-12, atol=1e-12)
    assert utils.remove_weight_norm(layer) is layer and type(layer) is nn.Linear
    assert sorted(layer.state_dict()) == ["bias", "weight"] and layer.weight.requires_grad


def test_the_largest_singular_value(device: str) -> None:
    layer = layer_of("spectral_norm")
    for _ in range(50):
        layer(nnkit.ones(1, 3, dtype="float64"))
    largest = np.linalg.svd(WEIGHT)[1][0]
    layer.eval()
    np.testing.assert_allclose(layer.weight.detach().numpy(), WEIGHT / largest, rtol=1e-10)
    before = layer.weight_u.tolist()
    layer(nnkit.ones(1, 3, dtype="float64"))
    assert layer.weight_u.tolist() == before
    layer.weight.sum().backward()
    u, s, v = np.linalg.svd(WEIGHT)
    expected = np.ones((2, 3)) / s[0] - WEIGHT.sum() / s[0] ** 2 * np.outer(u[:, 0], v[0])
    np.testing.assert_allclose(layer.weight_orig.grad.numpy(), expected, rtol=1e-8)
    assert type(utils.remove_spectral_norm(layer)) is nn.Linear and layer.weight.shape == (2, 3)


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
def test_computed_weights_train_in_recorded_steps(device: str, kind: str) -> None:
    losses = []
    for recorded in (False, True):
        nnkit.manual_seed(1)
        layer = layer_of(kind, "float32")
        optimizer = nnkit.optim.SGD(layer.parameters(), lr=0.1)

        def step(x: nnkit.Tensor) -> nnkit.Tensor:
            optimizer.zero_grad()  # noqa: B023
            loss = layer(x).square().mean()  # noqa: B023
            loss.backward()
            optimizer.step()  # noqa: B023
            return loss

        run = nnkit.compile(step, fullgraph=True) if recorded else step
        losses.append([run(nnkit.tensor(np.eye(3, dtype=np.float32))).item() for _ in range(5)])
    assert losses[0] == losses[1] and losses[0][-1] < losses[0][0]


def test_computed_weights_are_made_and_ended_once() -> None:
    layer = layer_of("weight_norm")
    with pytest.raises(ValueError, match="computed already"):
        utils.weight_norm(layer)
    with pytest.raises(ValueError, match="was not found"):
        utils.remove_spectral_norm(layer)
    with pytest.raises(ValueError, match="has no parameter 'x'"):
        utils.spectral_norm(nn.Linear(1, 1), "x")
    again = copy.deepcopy(layer)
    assert again.weight.tolist() == layer.weight.tolist() and again.weight_g is not layer.weight_g


# ---- losses and optimizers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reduction"),
    [
        ({"size_average": True}, "mean"),
        ({"size_average": False}, "sum"),
        ({"reduce": False}, "none"),
        ({"reduce": True}, "mean"),
        ({"size_average": True, "reduce": False}, "none"),
    ],
)
def test_old_words_of_losses(device: str, options: dict[str, bool], reduction: str) -> None:
    x, y = nnkit.tensor([[0.25, 0.5], [0.75, 0.5]]), nnkit.tensor([[0.0, 1.0], [1.0, 0.0]])
    labels = nnkit.tensor([0, 1])
    functional = nn.functional
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"):
        with pytest.warns(UserWarning, match=f"write reduction='{reduction}'"):
            old = getattr(functional, name)(x, y, **options)
        assert old.tolist() == getattr(functional, name)(x, y, reduction=reduction).tolist()
    for name, target in (("cross_entropy", labels), ("nll_loss", labels)):
        with pytest.warns(UserWarning, match="old words"):
            assert getattr(functional, name)(x, target, **options).shape == (() if reduction != "none" else (2,))
    for kind in (
        nn.MSELoss,
        nn.L1Loss,
        nn.SmoothL1Loss,
        nn.BCELoss,
        nn.BCEWithLogitsLoss,
        nn.NLLLoss,
        nn.CrossEntropyLoss,
    ):
        with pytest.warns(UserWarning, match="old words"):
            assert kind(**options).reduction == reduction


def test_weighted_means_of_elementwise_losses(device: str) -> None:
    x, y, w = (nnkit.tensor(v) for v in ([1.0, 2.0, 4.0], [0.0, 0.0, 0.0], [1.0, 0.0, 3.0]))
    functional = nn.functional
    assert functional.mse_loss(x, y, weight=w).item() == pytest.approx(49 / 4)
    assert functional.l1_loss(x, y, weight=w, reduction="sum").item() == 13.0
    assert functional.huber_loss(x, y, weight=w, reduction="none").tolist() == [0.5, 0.0, 10.5]
    with pytest.raises(ShapeError, match="shape of the predictions"):
        functional.mse_loss(x, y, weight=w[:2])


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_choices_among_pytorchs_loops_change_nothing(device: str, kind: str) -> None:
    results = []
    for options in ({}, {"foreach": True}):
        x = nnkit.tensor([3.0], requires_grad=True)
        optimizer = getattr(nnkit.optim, kind)([x], lr=0.1, **options)
        (x * x).sum().backward()
        optimizer.step()
        results.append(x.item())
    assert results[0] == results[1]
    with pytest.raises(ValueError, match="no part of the tape"):
        getattr(nnkit.optim, kind)([x], differentiable=True)


def test_verbose_plateaus() -> None:
    optimizer = nnkit.optim.SGD([nnkit.zeros(1, requires_grad=True)], lr=1.0)
    nnkit.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min", patience=2, verbose=True).step(1.0)
