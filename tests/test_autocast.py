"""``autocast``: which products round their operands and which do not, forward, backward, recorded, and in ``fit``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from captured import CALLS, batch, mlp, programs, replays, values
from test_precision import HALVES, rounded

import nnkit
from nnkit import nn, ops, optim
from nnkit.errors import DivergenceError, UnknownNameError
from nnkit.training import replay

pytest.mark.usefixtures(replays.__name__)
Tensor = nnkit.Tensor


def sample(*shape: int, seed: int = 0, requires_grad: bool = True) -> Tensor:
    values = np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)
    return nnkit.tensor(values, requires_grad=requires_grad)


def host(tensor: Tensor | None) -> np.ndarray:
    assert tensor is not None
    return tensor.detach().numpy().astype(np.float64)


def by_hand(x: Tensor, half: str) -> np.ndarray:
    return rounded(x.detach().numpy(), half).astype(np.float64)


# ---- what is rounded ------------------------------------------------------------------------------------------------

#: Shapes of two operands, batch axes broadcast.
PRODUCTS = [((5, 7), (7, 3)), ((2, 5, 7), (7, 3)), ((5, 7), (2, 7, 3)), ((2, 1, 5, 7), (4, 7, 3))]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("shapes", PRODUCTS, ids=str)
def test_matmul(shapes: tuple[tuple[int, ...], tuple[int, ...]], half: str, device: str) -> None:
    x, y = sample(*shapes[0]), sample(*shapes[1], seed=1)
    with nnkit.autocast(half):
        z = x @ y
    a, b = by_hand(x, half), by_hand(y, half)
    np.testing.assert_allclose(host(z), a @ b, rtol=1e-5, atol=1e-5)
    seed = sample(*z.shape, seed=2, requires_grad=False)
    z.backward(seed)
    dz = by_hand(seed, half)
    for tensor, gradient in ((x, dz @ np.swapaxes(b, -1, -2)), (y, np.swapaxes(a, -1, -2) @ dz)):
        lead = gradient.ndim - tensor.ndim
        axes = [i for i in range(gradient.ndim) if i < lead or tensor.shape[i - lead] < gradient.shape[i]]
        expected = gradient.sum(axis=tuple(axes)).reshape(tensor.shape)
        np.testing.assert_allclose(host(tensor.grad), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_linear(activation: str, bias: bool, half: str, device: str) -> None:
    x, w, b = sample(2, 4, 7), sample(3, 7, seed=1), sample(3, seed=2) if bias else None
    with nnkit.autocast(half):
        y = ops.linear(x, w, b, activation)
    a, v = by_hand(x, half).reshape(8, 7), by_hand(w, half)
    z = a @ v.T + (0.0 if b is None else host(b))
    expected = np.maximum(z, 0.0) if activation == "relu" else z
    np.testing.assert_allclose(host(y).reshape(8, 3), expected, rtol=1e-5, atol=1e-5)
    seed = sample(*y.shape, seed=3, requires_grad=False)
    y.backward(seed)
    dz = host(seed).reshape(8, 3) * ((host(y).reshape(8, 3) > 0.0) if activation == "relu" else 1.0)
    rounded_dz = rounded(dz, half).astype(np.float64)
    np.testing.assert_allclose(host(x.grad).reshape(8, 7), rounded_dz @ v, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(host(w.grad), rounded_dz.T @ a, rtol=1e-5, atol=1e-5)
    if b is not None:
        np.testing.assert_allclose(host(b.grad), dz.sum(axis=0), rtol=1e-5, atol=1e-5, err_msg="db sums dz itself")


@pytest.mark.parametrize("activation", ["gelu", "tanh", "leaky_relu"])
def test_activations_are_computed_in_float32(activation: str, device: str) -> None:
    x, w = sample(6, 5), sample(4, 5, seed=1)
    with nnkit.autocast("bfloat16"):
        fused, apart = ops.linear(x, w, activation=activation), ops.activation(ops.linear(x, w), activation)
    np.testing.assert_allclose(host(fused), host(apart), rtol=1e-5, atol=1e-6)
    half_x, half_w = nnkit.tensor(by_hand(x, "bfloat16")), nnkit.tensor(by_hand(w, "bfloat16"))
    exact = ops.linear(half_x, half_w, activation=activation)
    np.testing.assert_allclose(host(apart), host(exact), rtol=1e-5, atol=1e-5)


UNTOUCHED: dict[str, Callable[[], Tensor]] = {
    "float64 product": lambda: sample(5, 5).double() @ sample(5, 5, seed=1).double(),
    "float64 layer": lambda: ops.linear(sample(5, 5).double(), sample(4, 5).double()),
    "whole numbers": lambda: nnkit.arange(6).reshape(2, 3) @ nnkit.arange(6).reshape(3, 2) * 12345,
    "elementwise": lambda: sample(33) * 1.00390625 + sample(33, seed=1),
    "sum": lambda: sample(33).sum(),
    "softmax": lambda: sample(5, 33).softmax(),
    "loss": lambda: ops.cross_entropy(sample(3, 4), nnkit.tensor([0, 1, 2])),
}


@pytest.mark.parametrize("name", UNTOUCHED)
def test_everything_else_stays_as_it_is(name: str, device: str) -> None:
    expected = values(UNTOUCHED[name]())
    with nnkit.autocast("bfloat16"):
        assert values(UNTOUCHED[name]()) == expected


def test_parameters_stay_in_float32_as_they_are(device: str) -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))
    before = [values(p) for p in model.parameters()]
    with nnkit.autocast("float16"):
        loss = model(sample(6, 5, requires_grad=False)).square().mean()
        loss.backward()
    assert [values(p) for p in model.parameters()] == before
    assert loss.dtype == nnkit.float32 and all(str(p.grad.dtype) == "float32" for p in model.parameters())


def test_what_float16_cannot_hold_becomes_infinite(device: str) -> None:
    x = nnkit.tensor([[65520.0, 1.0]])
    with nnkit.autocast("float16"):
        assert (x @ nnkit.ones(2, 1)).item() == float("inf")
    with nnkit.autocast("bfloat16"):
        assert (x @ nnkit.ones(2, 1)).item() == 65537.0


# ---- where it holds -------------------------------------------------------------------------------------------------

#: Rounds to 1 in bfloat16, not in float16.
ONE = 1.00390625


def product() -> float:
    return float((nnkit.tensor([[ONE]]) @ nnkit.tensor([[1.0]])).item())


#: How PyTorch, and who is in a hurry, spell it -> the type.
SPELLINGS: dict[str, tuple[Callable[[], Any], str]] = {
    "name": (lambda: nnkit.autocast("float16"), "float16"),
    "dtype": (lambda: nnkit.autocast(nnkit.float16), "float16"),
    "nothing": (lambda: nnkit.autocast(), "bfloat16"),
    "by keyword": (lambda: nnkit.autocast(dtype="float16"), "float16"),
    "PyTorch": (lambda: nnkit.amp.autocast("cuda", dtype=nnkit.float16), "float16"),
    "PyTorch, by position": (lambda: nnkit.autocast("cpu", "float16", True, False), "float16"),
    "PyTorch, by keyword": (lambda: nnkit.autocast(device_type="cuda", dtype="bfloat16"), "bfloat16"),
    "PyTorch's default on a GPU": (lambda: nnkit.autocast("cuda"), "float16"),
    "PyTorch's default on a CPU": (lambda: nnkit.autocast("cpu"), "bfloat16"),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings(name: str) -> None:
    make, half = SPELLINGS[name]
    with make():
        assert product() == (1.0 if half == "bfloat16" else ONE)
        assert nnkit.tensors.precision.autocast_type() == half
    assert nnkit.tensors.precision.autocast_type() is None


@pytest.mark.parametrize("wrong", ["float32", "bf16", "gpu", nnkit.float64])
def test_another_type_is_refused(wrong: Any) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown half type .*Known: bfloat16, float16"):
        nnkit.autocast(wrong)


def test_blocks_can_be_nested_and_switched_off(device: str) -> None:
    with nnkit.autocast("bfloat16") as nothing:
        assert nothing is None and product() == 1.0
        with nnkit.autocast("float16"):
            assert product() == ONE
            with nnkit.autocast("bfloat16", enabled=False):
                assert nnkit.tensors.precision.autocast_type() is None
            assert nnkit.tensors.precision.autocast_type() == "float16"
        assert product() == 1.0
    again = nnkit.autocast("bfloat16")
    with pytest.raises(ZeroDivisionError), again, again:
        1 / 0  # noqa: B018
    assert product() == ONE


def test_it_is_a_decorator_too(device: str) -> None:
    @nnkit.autocast("bfloat16")
    def rounding(depth: int) -> float:
        """Itself."""
        return rounding(depth - 1) if depth else product()

    assert rounding(3) == 1.0 and product() == ONE
    assert rounding.__name__ == "rounding" and rounding.__doc__ == "Itself."
    assert nnkit.autocast("bfloat16", enabled=False)(product)() == ONE


def test_other_threads_are_not_affected() -> None:
    seen = []
    with nnkit.autocast("bfloat16"):
        thread = threading.Thread(target=lambda: seen.append(product()))
        thread.start()
        thread.join()
    assert seen == [ONE]


def test_the_gradient_rounds_where_the_product_did(device: str) -> None:
    """Whether backward is called inside the block or not."""

    def gradient(inside: bool, backward_inside: bool) -> float:
        x, w = nnkit.tensor([[1.0]], requires_grad=True), nnkit.tensor([[ONE]], requires_grad=True)
        with nnkit.autocast("bfloat16", enabled=inside):
            y = ops.linear(x, w)
        with nnkit.autocast("bfloat16", enabled=backward_inside):
            (y * 2.0).sum().backward()
        assert x.grad is not None
        return float(x.grad.item())

    assert gradient(True, True) == gradient(True, False) == 2.0
    assert gradient(False, False) == gradient(False, True) == 2 * ONE


# ---- recorded -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", HALVES)
def test_a_recorded_step_gives_the_same_numbers(half: str, device: str, replays: list[Any]) -> None:
    def left(compiled: bool) -> list[Any]:
        nnkit.manual_seed(3)
        model, loss = mlp(), nn.CrossEntropyLoss()
        optimizer = optim.Adam(model.parameters(), lr=0.01)

        def step(x: Tensor, y: Tensor) -> Tensor:
            optimizer.zero_grad()
            with nnkit.autocast(half):
                value = loss(model(x) @ nnkit.ones(3, 3), y)
            value.backward()
            optimizer.step()
            return value.detach()

        run = nnkit.compile(step, fullgraph=True) if compiled else step
        return [*(values(run(*batch(call, "labels"))) for call in range(CALLS)), *map(values, model.parameters())]

    assert left(True) == left(False)
    assert len(replays) == CALLS - 2


def test_a_program_is_kept_for_each_type_around_it(device: str) -> None:
    x, step = nnkit.tensor([[ONE]]), nnkit.compile(lambda x: x @ nnkit.ones(1, 1))
    for count, half in ((1, None), (2, "bfloat16"), (2, None), (3, "float16"), (3, "bfloat16")):
        for _ in range(3):
            with nnkit.autocast(half or "float16", enabled=half is not None):
                assert step(x).item() == (1.0 if half == "bfloat16" else ONE)
        assert programs(step) == count


def test_predict_looks_at_it(device: str) -> None:
    model, x = nn.Linear(1, 1, bias=False), np.array([[ONE]], np.float32)
    with nnkit.no_grad():
        model.weight.fill_(1.0)
    for half in (None, "bfloat16", None, "bfloat16"):
        for _ in range(3):
            with nnkit.autocast("bfloat16", enabled=half is not None):
                assert model.predict(x).item() == (1.0 if half else ONE)


def test_the_instructions_of_a_layer_are_kernels() -> None:
    """Rounding and products one by one: no step back into Python."""
    nnkit.set_default_device("numba")
    x, w = sample(8, 5, requires_grad=False), nnkit.Parameter(sample(4, 5, requires_grad=False))
    backend = x.backend
    work = backend.recorder()
    with nnkit.backends.recording.recording(work), nnkit.autocast("bfloat16"):
        ops.linear(x, w, activation="gelu").sum().backward()
    assert all(instruction.kernel is not None for instruction in work.instructions)
    nnkit.set_default_device("cpu")


# ---- fit ------------------------------------------------------------------------------------------------------------


def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(size=(96, 5)).astype(np.float32)
    return x, (x[:, 0] + x[:, 1] > 0).astype(np.int64)


def fitted(precision: Any, compile: bool = True, **options: Any) -> tuple[nn.Module, dict[str, list[float]]]:
    nnkit.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8, activation="gelu"), nn.Dropout(0.1), nn.Linear(8, 2))
    options = {"epochs": 4, "batch_size": 20, "optimizer": "adam", "verbose": 0, "validation_split": 0.25} | options
    history = model.fit(*data(), loss="cross_entropy", precision=precision, compile=compile, **options)
    return model, history.history


@pytest.mark.parametrize("half", HALVES)
def test_fit_recorded_and_not(half: str, device: str) -> None:
    (model, history), (plain, plain_history) = fitted(half, True, clip_norm=1.0), fitted(half, False, clip_norm=1.0)
    assert history == plain_history
    assert [values(p) for p in model.parameters()] == [values(p) for p in plain.parameters()]
    full = fitted(None, clip_norm=1.0)[1]
    assert history["loss"] != full["loss"] and history["val_loss"] != full["val_loss"]
    np.testing.assert_allclose(history["loss"], full["loss"], rtol=0.02)
    assert all(p.dtype == nnkit.float32 for p in model.parameters())


def test_fit_uses_programs(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = replay.Replay._replay
    monkeypatch.setattr(replay.Replay, "_replay", lambda self, *a: seen.append(original(self, *a)) or seen[-1])
    fitted("float16")
    assert sum(seen) >= 4 * 4 - 4


def test_fit_takes_a_dtype_and_refuses_another(device: str) -> None:
    assert fitted(nnkit.float16)[1] == fitted("float16")[1]
    with pytest.raises(UnknownNameError, match="unknown half type 'float8'"):
        fitted("float8")


def test_fit_goes_on_with_the_scale_of_the_last(device: str) -> None:
    model, _ = fitted("float16", optimizer="sgd")
    scaler = model.__dict__["_last_fit"].scaler
    assert scaler.get_scale() == 65536.0 and scaler.state_dict()["_growth_tracker"] == 16
    model.fit(*data(), loss="cross_entropy", optimizer=None, precision="float16", batch_size=96, verbose=0)
    assert model.__dict__["_last_fit"].scaler is scaler and scaler.state_dict()["_growth_tracker"] == 17
    model.fit(*data(), loss="cross_entropy", optimizer="sgd", precision="bfloat16", verbose=0)
    assert model.__dict__["_last_fit"].scaler is None


def test_a_divergence_is_explained_in_the_same_precision(device: str) -> None:
    """The weights are beyond float16: only there is the output infinite."""
    model = nn.Sequential(nn.Linear(5, 2))
    with nnkit.no_grad():
        model[0].weight.fill_(1e5)
    with pytest.raises(DivergenceError, match="the first module whose output went bad is '0'"):
        model.fit(*data(), loss="cross_entropy", precision="float16", verbose=0)
