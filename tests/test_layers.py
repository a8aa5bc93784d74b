"""Linear, containers, dropout and the layers that change shapes; fusing and the errors at the door."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn
from nnkit.errors import DtypeError, ShapeError, UnknownNameError


def features(device: str, rows: int = 5, columns: int = 3) -> nnkit.Tensor:
    return nnkit.tensor(np.linspace(-2.0, 2.0, rows * columns).reshape(rows, columns), nnkit.float32, device)


# ---- Linear -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 4, 3), (0, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_x_times_weight_transposed_plus_bias(shape: tuple[int, ...], bias: bool, device: str) -> None:
    layer = nn.Linear(3, 2, bias, device, nnkit.float64)
    x = np.arange(np.prod(shape), dtype=float).reshape(shape)
    expected = x @ layer.weight.detach().numpy().T
    if layer.bias is not None:
        expected = expected + layer.bias.detach().numpy()
    found = layer(nnkit.tensor(x, device=device))
    assert found.shape == (*shape[:-1], 2) and found.dtype == nnkit.float64
    np.testing.assert_allclose(found.detach().numpy(), expected, 1e-12)


def test_linear_starts_within_one_over_the_root_of_its_inputs(device: str) -> None:
    layer = nn.Linear(100, 400, device=device)
    for parameter in layer.parameters():
        assert 0.098 < abs(parameter.detach().numpy()).max() <= 0.1 * (1 + 1e-6)
    assert layer.weight.shape == (400, 100) and layer.weight.dtype == nnkit.float32


ACTIVATION_FORMS: list[tuple[Any, Callable[[Any], Any]]] = [
    ("relu", lambda x: x.relu()),
    ("swish", lambda x: x * x.sigmoid()),
    ("softmax", lambda x: nnkit.softmax(x, dim=-1)),
    (nn.LeakyReLU(0.3), lambda x: nnkit.where(x > 0, x, 0.3 * x)),
    (nn.Softmax(dim=1), lambda x: nnkit.softmax(x, dim=-1)),
    (nnkit.tanh, lambda x: x.tanh()),
    (lambda x: x * x, lambda x: x * x),
]


@pytest.mark.parametrize(("activation", "function"), ACTIVATION_FORMS)
def test_linear_takes_any_form_of_activation(activation: Any, function: Callable[[Any], Any], device: str) -> None:
    layer = nn.Linear(3, 4, device=device, activation=activation)
    plain = nn.Linear(3, 4, device=device)
    plain.load_state_dict(layer.state_dict())
    x = features(device)
    found, expected = layer(x), function(plain(x))
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), 1e-5, 1e-6)
    found.square().sum().backward()
    expected.square().sum().backward()
    for mine, theirs in zip(layer.parameters(), plain.parameters(), strict=True):
        np.testing.assert_allclose(mine.grad.numpy(), theirs.grad.numpy(), 1e-4, 1e-5)


def test_an_activation_of_the_user_may_have_parameters(device: str) -> None:
    class PReLU(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slope = nn.Parameter(nnkit.full((1,), 0.25))

        def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
            return nnkit.where(x > 0, x, x * self.slope)

    layer = nn.Linear(3, 1, bias=False, activation=PReLU())
    nn.init.constant_(layer.weight, -1.0)
    assert list(layer.state_dict()) == ["weight", "activation.slope"]
    y = layer(nnkit.ones(1, 3))
    y.sum().backward()
    assert y.tolist() == [[-0.75]] and layer.activation.slope.grad.tolist() == [-3.0]


BAD_LINEAR: list[tuple[Callable[[str], Any], type[Exception], str]] = [
    (
        lambda device: nn.Linear(4, 3, device=device)(features(device)),
        ShapeError,
        "Linear(in_features=4, out_features=3, bias=True) expects 4 features in the last dimension of its "
        "input, got 3 (input of shape (5, 3))",
    ),
    (
        lambda device: nn.Linear(4, 3, device=device)(nnkit.tensor(1.0, device=device)),
        ShapeError,
        "got none (input of shape ())",
    ),
    (
        lambda device: nn.Linear(4, 3, device=device)(np.zeros((5, 4))),
        DtypeError,
        "expects a Tensor, got ndarray: use nnkit.as_tensor, or model.predict",
    ),
    (lambda device: nn.Linear(0, 3, device=device), ValueError, "in_features must be at least 1, got 0"),
    (lambda device: nn.Linear(3, -1, device=device), ValueError, "out_features must be at least 1, got -1"),
    (lambda device: nn.Linear(3, 2.5, device=device), TypeError, "out_features must be an integer, got 2.5"),
    (
        lambda device: nn.Linear(1, 1, device=device, activation="rleu"),
        UnknownNameError,
        "unknown activation 'rleu'; did you mean 'relu'",
    ),
    (
        lambda device: nn.Linear(1, 1, device=device, activation=nn.ReLU),
        TypeError,
        "write ReLU()",
    ),
    (lambda device: nn.Linear(1, 1, device=device, l1=-1.0), ValueError, "l1 must be a number >= 0, got -1.0"),
]


@pytest.mark.parametrize(("action", "error", "words"), BAD_LINEAR)
def test_linear_explains_bad_input_alike_on_every_device(
    action: Callable[[str], Any], error: type[Exception], words: str, device: str
) -> None:
    with pytest.raises(error) as raised:
        action(device)
    assert words in str(raised.value)


# ---- Sequential ---------------------------------------------------------------------------------------------


class Doubled(nn.ReLU):
    """An activation with a forward of its own: it must not be taken for its base."""

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return x.relu() * 2.0


class Negated(nn.Linear):
    """A linear layer with a forward of its own."""

    def forward(self, x: nnkit.Tensor) -> nnkit.Tensor:
        return -super().forward(x)


@pytest.fixture
def product_calls(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The activation of every call of ``ops.linear``."""
    calls: list[str | None] = []
    original = nnkit.ops.linear

    def linear(x: Any, w: Any, b: Any = None, activation: str | None = None, **scalars: float) -> Any:
        calls.append(activation)
        return original(x, w, b) if activation is None else original(x, w, b, activation, **scalars)

    monkeypatch.setattr(nnkit.ops, "linear", linear)
    return calls


FUSING: list[tuple[Callable[[str], list[nn.Module]], list[str | None]]] = [
    (lambda device: [nn.Linear(3, 3, device=device), nn.ReLU()], ["relu"]),
    (lambda device: [nn.Linear(3, 3, device=device), nn.ReLU(), nn.GELU("tanh")], ["relu"]),
    (lambda device: [nn.Linear(3, 3, device=device), nn.Linear(3, 3, device=device), nn.ELU(2.0)], [None, "elu"]),
    (lambda device: [nn.Linear(3, 3, device=device), nn.Softmax(dim=1)], [None]),
    (lambda device: [nn.Linear(3, 3, device=device), Doubled()], [None]),
    (lambda device: [Negated(3, 3, device=device), nn.ReLU()], [None]),
    (lambda device: [nn.Linear(3, 3, device=device, activation="tanh"), nn.ReLU()], ["tanh"]),
    (lambda device: [nn.ReLU(), nn.Linear(3, 3, device=device), nn.Dropout(0.0), nn.ReLU()], [None]),
]


@pytest.mark.parametrize(("make", "expected_calls"), FUSING)
def test_sequential_fuses_a_linear_and_its_activation_with_the_same_result(
    make: Callable[[str], list[nn.Module]],
    expected_calls: list[str | None],
    device: str,
    product_calls: list[str | None],
) -> None:
    modules = make(device)
    x = features(device)
    found = nn.Sequential(*modules)(x)
    assert product_calls == expected_calls
    for module in modules:
        x = module(x)
    np.testing.assert_allclose(found.detach().numpy(), x.detach().numpy(), 1e-6, 1e-6)


@pytest.mark.parametrize("hooked", [0, 1])
def test_hooked_modules_are_not_fused(hooked: int, device: str, product_calls: list[str | None]) -> None:
    model = nn.Sequential(nn.Linear(3, 3, device=device), nn.ReLU())
    seen: list[Any] = []
    model[hooked].register_forward_hook(lambda module, args, output: seen.append(output))
    model(features(device))
    assert product_calls == [None] and len(seen) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda a, b: nn.Sequential(a, b),
        lambda a, b: nn.Sequential([a, b]),
        lambda a, b: nn.Sequential(a).append(b),
        lambda a, b: nn.Sequential(b).insert(0, a),
        lambda a, b: nn.Sequential().extend([a, b]),
    ],
)
def test_sequential_is_a_list(make: Callable[[Any, Any], nn.Sequential]) -> None:
    a, b = nn.Linear(3, 2), nn.ReLU()
    model = make(a, b)
    assert len(model) == 2 and list(model) == [a, b] and model[0] is a and model[-1] is b
    assert list(model.state_dict()) == ["0.weight", "0.bias"]
    tail = model[1:]
    assert type(tail) is nn.Sequential and list(tail) == [b] and list(tail.append(a)) == [b, a]
    model[1] = nn.Tanh()
    assert repr(model[1]) == "Tanh()"
    del model[0]
    assert [name for name, _ in model.named_children()] == ["0"] and isinstance(model[0], nn.Tanh)
    with pytest.raises(IndexError, match="index 1 is out of range for Sequential of 1 modules"):
        model[1]


def test_sequential_of_names_and_the_empty_one(device: str) -> None:
    model = nn.Sequential(OrderedDict([("hidden", nn.Linear(3, 2, device=device)), ("squash", nn.Tanh())]))
    assert list(model.state_dict()) == ["hidden.weight", "hidden.bias"] and model.squash is model[1]
    assert list(model[:1].state_dict()) == ["hidden.weight", "hidden.bias"]
    x = features(device)
    assert model(x).shape == (5, 2) and nn.Sequential()(x) is x


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Sequential(nn.ReLU), "Sequential item 0 must be a Module, got ReLU: make an instance"),
        (lambda: nn.Sequential(nn.ReLU(), 3), "Sequential item 1 must be a Module, got int"),
        (lambda: nn.Sequential({"a": 3}), "Sequential item 'a' must be a Module, got int"),
        (lambda: nn.ModuleList([len]), "ModuleList item 0 must be a Module"),
        (lambda: nn.ModuleDict({"a": None}), "ModuleDict item 'a' must be a Module, got NoneType"),
    ],
)
def test_containers_refuse_what_is_no_module(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(TypeError) as raised:
        make()
    assert words in str(raised.value)


def test_module_list_and_dict_register_their_parts() -> None:
    layers = nn.ModuleList([nn.Linear(1, 2), nn.Linear(2, 1)])
    assert [name for name, _ in layers.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert len(layers[:1]) == 1 and layers[:1][0] is layers[0]
    heads = nn.ModuleDict({"a": layers[0]})
    heads["b"] = nn.ReLU()
    heads.update([("c", nn.Tanh())])
    assert list(heads) == list(heads.keys()) == ["a", "b", "c"] and "b" in heads and len(heads) == 3
    assert next(iter(heads.values())) is layers[0] and list(heads.items())[2][0] == "c"
    assert isinstance(heads.pop("b"), nn.ReLU) and "b" not in heads
    assert list(heads.state_dict()) == ["a.weight", "a.bias"]


# ---- shapes and dropout -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Flatten(), (2, 60)),
        (nn.Flatten(0), (120,)),
        (nn.Flatten(1, 2), (2, 12, 5)),
        (nn.Unflatten(1, (3, 1)), (2, 3, 1, 4, 5)),
        (nn.Unflatten(-1, (-1, 1)), (2, 3, 4, 5, 1)),
        (nn.Reshape((5, 12)), (2, 5, 12)),
        (nn.Reshape((-1,)), (2, 60)),
        (nn.Identity(1, unused=True), (2, 3, 4, 5)),
    ],
    ids=repr,
)
def test_shape_modules_keep_the_order_of_elements(module: nn.Module, shape: tuple[int, ...], device: str) -> None:
    x = nnkit.tensor(np.arange(120.0).reshape(2, 3, 4, 5), device=device, requires_grad=True)
    y = module(x)
    assert y.shape == shape and np.array_equal(y.detach().numpy().ravel(), np.arange(120.0))
    (y * y).sum().backward()
    assert np.array_equal(x.grad.numpy(), 2 * x.detach().numpy())


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_dropout_drops_p_and_scales_the_rest(p: float, device: str) -> None:
    nnkit.manual_seed(1)
    x = nnkit.ones(100, 100, device=device, requires_grad=True)
    y = nn.Dropout(p)(x)
    values = y.detach().numpy()
    assert set(np.unique(values)) == {np.float32(0.0), np.float32(1.0) / (np.float32(1.0) - np.float32(p))}
    assert abs((values == 0).mean() - p) < 0.02
    y.sum().backward()
    assert np.array_equal(x.grad.numpy(), values)


def test_dropout_masks_are_equal_on_every_device(device: str) -> None:
    def mask(where: str) -> bytes:
        nnkit.manual_seed(7)
        return nn.Dropout(0.3)(nnkit.ones(33, 5, device=where)).numpy().tobytes()

    assert mask(device) == mask("numpy")


def test_dropout_rests_in_evaluation_and_at_the_ends(device: str) -> None:
    x = nnkit.ones(4, device=device)
    assert nn.Dropout(0.9).eval()(x) is x and nn.Dropout(0.0)(x) is x
    assert nn.Dropout(1.0)(x).tolist() == [0.0] * 4


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_dropout_refuses_what_is_no_probability(p: float) -> None:
    with pytest.raises(ValueError, match="must be from 0 to 1, got"):
        nn.Dropout(p)


def test_the_number_of_threads_changes_no_gradient_of_layer_norm() -> None:
    before, numba = nnkit.get_num_threads(), nnkit.device("numba")
    x = nnkit.tensor(np.random.default_rng(0).normal(size=(1300, 96)).astype(np.float32), device=numba)
    found = []
    try:
        for threads in (1, 2, 3):
            nnkit.set_num_threads(threads)
            layer = nn.LayerNorm(96).to(numba)
            for _ in range(2):  # the second adds to the first
                (layer(x) * x).sum().backward()
            found.append([np.array(p.grad.tolist()) for p in layer.parameters() if p.grad is not None])
    finally:
        nnkit.set_num_threads(before)
    values = x.tolist()
    normal = (values - np.mean(values, 1, keepdims=True)) / np.sqrt(np.var(values, 1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(found[0][0], 2 * (normal * values).sum(0), rtol=1e-4)
    np.testing.assert_allclose(found[0][1], 2 * np.sum(values, 0), rtol=1e-4, atol=1e-3)
    for other in found[1:]:
        assert all(np.array_equal(one, two) for one, two in zip(found[0], other, strict=True))
