"""Optimizers and activations written outside of nnkit: they train as their mathematics says, recorded or not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optim_helpers import parameters, snapshot

import nnkit
from nnkit import keras, nn, ops, optim
from nnkit.backends.base import FORMULAS
from nnkit.kernels.formulas import relu
from nnkit.kernels.registered import adopt
from nnkit.kernels.vocabulary import exp, maximum, sign, tanh, where

HALF = 0.5
TWO = 2
TABLE = [1.0]


def lion_rates(step, *, lr, beta1, beta2, weight_decay):
    return step + 1.0, lr, beta1, beta2, 1.0 - lr * weight_decay


def mixed(share, old, new):
    return share * old + (1.0 - share) * new


def lion(parameter, gradient, exp_avg, *, lr, keep, average, shrink):
    """Chen et al., Symbolic Discovery of Optimization Algorithms, 2023."""
    direction = sign(mixed(keep, exp_avg, gradient))
    return shrink * parameter - lr * direction, mixed(average, exp_avg, gradient)


LION = {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.1}


class OwnFormulas(optim.Optimizer):
    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, LION | options)

    def formulas(self, options: Any) -> Any:
        return lion_rates, lion


class OwnStep(optim.Optimizer):
    """As one writes it for PyTorch."""

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, LION | options)

    @nnkit.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            lr, (beta1, beta2) = group["lr"], group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if len(state) == 0:
                    state["exp_avg"] = nnkit.zeros_like(p)
                exp_avg = state["exp_avg"]
                update = (exp_avg * beta1 + p.grad * (1.0 - beta1)).sign()
                p.mul_(1.0 - lr * group["weight_decay"])
                p.sub_(update * lr)
                exp_avg.mul_(beta2).add_(p.grad * (1.0 - beta2))


Lion = optim.register("own_lion", lion_rates, lion, **LION)
OWN = {"registered": Lion, "formulas": OwnFormulas, "step": OwnStep}


def trained(make: Any, compiled: bool, steps: int = 9) -> tuple[Any, list[np.ndarray]]:
    """An optimizer and its parameters after some steps of a quadratic, with a rate that changes on the way."""
    ps = parameters((3,), (2, 2), dtype=nnkit.float64)
    optimizer = make(ps)

    def step() -> Any:
        optimizer.zero_grad()
        loss = sum((p * p).sum() for p in ps)
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = nnkit.compile(step) if compiled else step
    for number in range(steps):
        if number == 6:
            optimizer.param_groups[0]["lr"] = 0.125
        run()
    return optimizer, [np.asarray(p.detach().tolist()) for p in ps]


def by_hand(steps: int = 9) -> list[np.ndarray]:
    values = [np.array([1.0, 2.0, 3.0]), np.array([[4.0, 5.0], [6.0, 7.0]])]
    averages = [np.zeros_like(v) for v in values]
    for number in range(steps):
        lr = 0.125 if number >= 6 else 0.01
        for v, m in zip(values, averages, strict=True):
            g = 2.0 * v
            update = np.sign(0.9 * m + (1.0 - 0.9) * g)
            v *= 1.0 - lr * 0.1
            v -= lr * update
            m *= 0.99
            m += (1.0 - 0.99) * g
    return values


@pytest.mark.filterwarnings("ignore:.*OwnStep.*")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", OWN)
def test_an_optimizer_of_ones_own_trains(device: str, name: str, compiled: bool) -> None:
    _, values = trained(OWN[name], compiled)
    for value, expected in zip(values, by_hand(), strict=True):
        np.testing.assert_allclose(value, expected, 1e-12)


@pytest.mark.filterwarnings("ignore:.*OwnStep.*")
@pytest.mark.parametrize("name", OWN)
def test_recorded_steps_are_the_plain_ones_to_the_bit(device: str, name: str) -> None:
    plain, recorded = trained(OWN[name], False)[1], trained(OWN[name], True)[1]
    assert [v.tobytes() for v in plain] == [v.tobytes() for v in recorded]


@pytest.mark.parametrize("name", OWN)
def test_its_state_is_saved_and_loaded(device: str, name: str) -> None:
    first, values = trained(OWN[name], False)
    ps = parameters((3,), (2, 2), dtype=nnkit.float64)
    with nnkit.no_grad():
        for p, value in zip(ps, values, strict=True):
            p.copy_(nnkit.tensor(value))
    second = OWN[name](ps)
    second.load_state_dict(first.state_dict())
    assert second.param_groups[0]["lr"] == 0.125
    for optimizer in (first, second):
        optimizer.zero_grad()
        learned = [p for group in optimizer.param_groups for p in group["params"]]
        sum((p * p).sum() for p in learned).backward()
        optimizer.step()
    assert snapshot(first.param_groups[0]["params"]) == snapshot(ps)


def test_fit_knows_a_registered_optimizer_by_name(device: str) -> None:
    model = nn.Linear(1, 1)
    history = model.fit([[0.0], [1.0]], [[1.0], [3.0]], loss="mse", optimizer="own_lion", epochs=5, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


@pytest.mark.filterwarnings("ignore:.*OwnStep.*")
def test_fit_with_a_step_of_ones_own_is_the_plain_one(device: str) -> None:
    seen = []
    for compile in (False, True):
        nnkit.manual_seed(0)
        model = nn.Linear(1, 1)
        model.fit(
            np.arange(8.0)[:, None], np.arange(8.0)[:, None], loss="mse", optimizer=OwnStep(model.parameters()),
            epochs=4, batch_size=2, shuffle=False, verbose=0, compile=compile,
        )  # fmt: skip
        seen.append(snapshot(list(model.parameters())))
    assert seen[0] == seen[1]


# ---- activations ------------------------------------------------------------------------------------------


def bump(x, *, height=1.0):
    return height * exp(-x * x)


def bump_grad(dy, x, *, height):
    return -TWO * x * height * exp(-x * x) * dy


def squash(x):
    return tanh(HALF * x)


def squash_grad(dy, y):
    return dy * HALF * (1.0 - y * y)


Bump = nn.register_activation("own_bump", bump, bump_grad)
Squash = nn.register_activation("own_squash", squash, squash_grad)

X = np.linspace(-2.0, 2.0, 12).reshape(4, 3).astype(np.float32)
EXPECTED: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "own_bump": (lambda x: np.exp(-x * x), lambda x: -2.0 * x * np.exp(-x * x)),
    "own_squash": (lambda x: np.tanh(0.5 * x), lambda x: 0.5 * (1.0 - np.tanh(0.5 * x) ** 2)),
}


def linear_layer(name: str) -> Callable[[Any], Any]:
    layer = nn.Linear(3, 3, bias=False, activation=name)
    with nnkit.no_grad():
        layer.weight.copy_(nnkit.eye(3) if hasattr(nnkit, "eye") else nnkit.tensor(np.eye(3, dtype=np.float32)))
    return layer


def keras_layer(name: str) -> Callable[[Any], Any]:
    model = keras.Sequential([keras.layers.Dense(3, activation=name, input_shape=(3,), use_bias=False)])
    model.set_weights([np.eye(3, dtype=np.float32)])
    return model.layers[0]


USES: dict[str, Callable[[str], Callable[[Any], Any]]] = {
    "op": lambda name: lambda x: ops.activation(x, name),
    "function": lambda name: nn.activations.get(name),
    "module": lambda name: {"own_bump": Bump, "own_squash": Squash}[name](),
    "linear": linear_layer,
    "keras": keras_layer,
    "compiled": lambda name: nnkit.compile(lambda x: ops.activation(x, name)),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", EXPECTED)
def test_an_activation_of_ones_own_is_known_everywhere(device: str, name: str, use: str) -> None:
    function, derivative = EXPECTED[name]
    call = USES[use](name)
    if use == "compiled":
        call(nnkit.tensor(X))
        np.testing.assert_allclose(call(nnkit.tensor(X)).tolist(), function(X), 1e-5, 1e-6)
        return
    x = nnkit.tensor(X, requires_grad=True)
    y = call(x)
    np.testing.assert_allclose(y.detach().tolist(), function(X), 1e-5, 1e-6)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.tolist(), derivative(X), 1e-5, 1e-6)


def test_its_scalars_have_names_and_defaults(device: str) -> None:
    x = nnkit.tensor([0.0])
    assert Bump(height=3.0)(x).tolist() == [3.0] == ops.activation(x, "own_bump", height=3.0).tolist()
    assert repr(Bump(height=3.0)) == "own_bump(height=3.0)"


def test_an_edited_formula_is_another_one(device: str) -> None:
    x = nnkit.tensor([1.0])

    def make(text: str) -> Any:
        words: dict[str, Any] = {}
        exec(text, words)
        return words["edited"], words["edited_grad"]

    for factor in ("2.0", "3.0"):
        pair = make(f"def edited(x): return {factor} * x\ndef edited_grad(dy, x): return {factor} * dy")
        nn.register_activation("own_edited", *pair)
        assert ops.activation(x, "own_edited").tolist() == [float(factor)]
        assert ops.linear(x.reshape(1, 1), nnkit.ones(1, 1), None, "own_edited").tolist() == [[float(factor)]]


def test_constants_and_helpers_of_another_module_change_nothing_of_nnkits() -> None:
    before = set(FORMULAS)
    assert adopt(relu) is relu
    copy = adopt(lion)
    assert copy is adopt(lion) and copy.__name__ != "lion"
    assert set(FORMULAS) == before


# ---- what a formula may not be -----------------------------------------------------------------------------


def decides(x):
    return x if x > 0.0 else 0.0


def has_a_whole_number(x):
    return 2 * x


def uses_a_module(x):
    return math.exp(x)


def reads_a_list(x):
    return x + TABLE


def calls_itself(x):
    return calls_itself(x)


def reads_nothing_there(x):
    return x + nowhere  # noqa: F821


def with_default(x, y=1.0):
    return x + y


def around(k: float) -> Any:
    return lambda x: k * x


def with_b(x, *, b=1.0):
    return b * x


def with_b_grad(dy, x, *, b):
    return b * dy


def two_inputs(x, z):
    return maximum(x, z)


def one_rate(step, *, lr):
    return step + 1.0


def stateless(parameter, gradient, velocity, *, lr):
    return where(gradient > 0.0, parameter - lr, parameter)


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: adopt(decides), ValueError, r"decides or loops .* write where\(condition, x, y\)"),
    (lambda: adopt(has_a_whole_number), ValueError, r"has 2 in it: write 2\.0"),
    (lambda: adopt(uses_a_module), ValueError, r"uses \.exp: call the words by themselves"),
    (lambda: adopt(reads_a_list), ValueError, "reads 'TABLE', a list"),
    (lambda: adopt(calls_itself), ValueError, "calls itself"),
    (lambda: adopt(reads_nothing_there), ValueError, "reads 'nowhere', which is no word of formulas"),
    (lambda: adopt(with_default), ValueError, "defaults of positional parameters cannot be compiled"),
    (lambda: adopt(around(2.0)), ValueError, "reads 'k' from the function around it"),
    (lambda: adopt(np.exp), TypeError, "a formula must be a plain Python function, got ufunc"),
    (lambda: nn.register_activation("relu", bump, bump_grad), ValueError, "is an activation of nnkit's"),
    (lambda: nn.register_activation("own_b", with_b, with_b_grad), ValueError, r"cannot be called 'b'"),
    (lambda: nn.register_activation("own_c", bump, squash_grad), ValueError, "must have the same keyword-only"),
    (lambda: nn.register_activation("own_d", squash, squash), ValueError, r"must be \(dy, x\), where it reads"),
    (lambda: nn.register_activation("own_e", two_inputs, squash_grad), ValueError, "one positional parameter"),
    (lambda: nn.register_activation("own-f", squash, squash_grad), ValueError, "name must be a word"),
    (lambda: optim.register("adam", lion_rates, lion, **LION), ValueError, "is an optimizer of nnkit's"),
    (lambda: optim.register("own", lion_rates, lion), ValueError, "lion_rates reads 'beta1', which is no number"),
    (lambda: optim.register("own", one_rate, lion), ValueError, "one_rate returns 1 numbers, expected the next step"),
    (lambda: optim.register("own", lion_rates, stateless, **LION), ValueError, "lion_rates returns 5 numbers"),
    (lambda: Lion(parameters((2,)), rho=1.0), TypeError, "own_lion has no option 'rho'; it has lr"),
    (lambda: optim.Optimizer(parameters((2,)), {"lr": 1.0}).step(), NotImplementedError, "neither formulas"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refused_with_what_to_write(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
