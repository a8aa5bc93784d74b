"""Loss scaling: steps that overflow are left out by the device, the scale follows, and recorded steps do the same."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from captured import CALLS, batch, mlp, replays, values

import nnkit
from nnkit import nn, optim
from nnkit.errors import DeviceError, GradientError, ModelFileError
from nnkit.keras import optimizers as keras_optimizers

pytest.mark.usefixtures(replays.__name__)
INF, NAN = float("inf"), float("nan")

OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "adamw amsgrad": lambda p: optim.AdamW(p, lr=0.01, amsgrad=True),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1),
    "two groups": lambda p: optim.Adam([{"params": list(p)[:2], "lr": 0.1}, {"params": list(p)[2:]}], lr=0.01),
}


def built(parameters: Any) -> optim.Optimizer:
    """Keras's optimizer clips by itself in its step."""
    optimizer = keras_optimizers.Adam(learning_rate=0.01, global_clipnorm=1.0)
    optimizer.build(parameters)
    return optimizer


OPTIMIZERS["keras clipping"] = built


def state(model: nn.Module, optimizer: optim.Optimizer) -> list[Any]:
    """Everything that a step changes."""
    kept = [tensor for parts in optimizer.state.values() for tensor in parts.values()]
    return [*map(values, model.parameters()), *map(values, kept), [group.step for group in optimizer.param_groups]]


def gradients(model: nn.Module, spoil: float | None, scaler: Any = None) -> None:
    """Gradients of some loss, scaled where there is a scaler; one element of them may be spoilt."""
    model.zero_grad()
    loss = model(nnkit.ones(2, 5)).square().sum()
    (loss if scaler is None else scaler.scale(loss)).backward()
    if spoil is not None:
        parameter = list(model.parameters())[-1]
        with nnkit.no_grad():
            parameter.grad[1] = spoil


# ---- steps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_good_steps_are_those_without_a_scaler(name: str, device: str) -> None:
    """The scale is a power of two, so not a bit is lost."""
    nnkit.manual_seed(0)
    plain = nn.Linear(5, 3)
    scaled, scaler = copy.deepcopy(plain), nnkit.GradScaler()
    one, other = OPTIMIZERS[name](plain.parameters()), OPTIMIZERS[name](scaled.parameters())
    for _ in range(3):
        gradients(plain, None)
        one.step()
        gradients(scaled, None, scaler)
        scaler.step(other)
        scaler.update()
    assert state(scaled, other) == state(plain, one)
    assert scaler.get_scale() == 65536.0


@pytest.mark.parametrize("spoil", [INF, -INF, NAN])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_with_an_overflow_changes_nothing(name: str, spoil: float, device: str) -> None:
    model = nn.Linear(5, 3)
    optimizer, scaler = OPTIMIZERS[name](model.parameters()), nnkit.GradScaler(init_scale=8.0)
    gradients(model, None, scaler)
    scaler.step(optimizer)
    scaler.update()
    before = state(model, optimizer)
    gradients(model, spoil, scaler)
    scaler.step(optimizer)
    assert state(model, optimizer) == before and scaler.get_scale() == 8.0
    scaler.update()
    assert scaler.get_scale() == 4.0
    gradients(model, None, scaler)
    scaler.step(optimizer)
    scaler.update()
    assert state(model, optimizer) != before and scaler.get_scale() == 4.0


#: After each step, whether it overflowed -> the scale and the steps in a row without overflow.
COURSE = [(False, 8.0, 1), (False, 8.0, 2), (False, 32.0, 0), (True, 16.0, 0), (False, 16.0, 1), (True, 8.0, 0)]


def test_the_scale_grows_after_enough_steps_and_backs_off_after_an_overflow(device: str) -> None:
    model = nn.Linear(5, 3)
    optimizer = optim.SGD(model.parameters(), lr=0.0)
    scaler = nnkit.GradScaler(init_scale=8.0, growth_factor=4.0, backoff_factor=0.5, growth_interval=3)
    for overflow, scale, streak in COURSE:
        gradients(model, INF if overflow else None, scaler)
        scaler.step(optimizer)
        scaler.update()
        assert (scaler.get_scale(), scaler.state_dict()["_growth_tracker"]) == (scale, streak)


def test_the_scale_does_not_grow_beyond_float32(device: str) -> None:
    x = nnkit.zeros(1, requires_grad=True)
    optimizer, scaler = optim.SGD([x]), nnkit.GradScaler(init_scale=2.0**127, growth_interval=1)
    for _ in range(2):
        scaler.scale(x.sum() * 0.0).backward()
        scaler.step(optimizer)
        scaler.update()
        assert scaler.get_scale() == 2.0**127


def test_unscaled_gradients_can_be_clipped(device: str) -> None:
    x = nnkit.tensor([3.0, 4.0], requires_grad=True)
    optimizer, scaler = optim.SGD([x], lr=1.0), nnkit.GradScaler(init_scale=1024.0)
    scaler.scale((x * x).sum()).backward()
    scaler.unscale_(optimizer)
    assert x.grad is not None and x.grad.tolist() == [6.0, 8.0]
    optim.clip_grad_norm_([x], 1.0)
    scaler.step(optimizer)
    np.testing.assert_allclose(x.tolist(), [2.4, 3.2], rtol=1e-6)


def test_each_optimizer_is_left_out_for_its_own_gradients(device: str) -> None:
    x, y = nnkit.ones(2, requires_grad=True), nnkit.ones(2, requires_grad=True)
    one, other, scaler = optim.SGD([x], lr=0.25), optim.SGD([y], lr=0.25), nnkit.GradScaler(init_scale=2.0)
    losses = scaler.scale([(x * x).sum(), (y * nnkit.tensor([1.0, INF])).sum()])
    for loss in losses:
        loss.backward()
    for optimizer in (one, other):
        scaler.step(optimizer)
    scaler.update()
    assert x.tolist() == [0.5, 0.5] and y.tolist() == [1.0, 1.0]
    assert scaler.get_scale() == 1.0, "one overflow is enough"


def test_gradients_that_would_underflow_survive(device: str) -> None:
    def gradient(scaler: Any) -> float:
        x = nnkit.tensor([[1.0]], requires_grad=True)
        with nnkit.autocast("float16"):
            y = (x @ nnkit.tensor([[1.0]])) * 2.0**-30
        scaler.scale(y.sum()).backward()
        optimizer = optim.SGD([x], lr=2.0**29)
        scaler.step(optimizer)
        return float(x.item())

    assert gradient(nnkit.GradScaler(enabled=False)) == 1.0, "2**-30 is 0 in float16"
    assert gradient(nnkit.GradScaler()) == 0.5


def test_parameters_without_gradients_and_without_elements(device: str) -> None:
    x, empty = nnkit.ones(2, requires_grad=True), nnkit.zeros(0, requires_grad=True)
    optimizer, scaler = optim.SGD([x, empty], lr=0.25), nnkit.GradScaler()
    scaler.scale(nnkit.ones(1))
    scaler.step(optimizer)
    scaler.update()
    assert x.tolist() == [1.0, 1.0]
    scaler.scale((x * x).sum() + (empty * empty).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert x.tolist() == [0.5, 0.5]


# ---- recorded -----------------------------------------------------------------------------------------------------


def training(compiled: bool, name: str, spoilt: set[int], **options: Any) -> list[Any]:
    """What a training leaves after each call; in some calls the batch makes the gradients infinite."""
    nnkit.manual_seed(3)
    model, loss = mlp(), nn.CrossEntropyLoss()
    optimizer, scaler = OPTIMIZERS[name](model.parameters()), nnkit.GradScaler(**options)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        with nnkit.autocast("float16"):
            value = loss(model(x), y)
        scaler.scale(value).backward()
        scaler.unscale_(optimizer)
        optim.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return value.detach()

    run = nnkit.compile(step, fullgraph=True) if compiled else step
    seen = []
    for call in range(CALLS):
        x, y = batch(call, "labels")
        x = x * 1e5 if call in spoilt else x
        seen.append([values(run(x, y)), state(model, optimizer), scaler.state_dict()])
    return seen


@pytest.mark.parametrize("spoilt", [set(), {1, 4}, {0, 3, 5}], ids=str)
@pytest.mark.parametrize("name", ["sgd", "adam", "keras clipping"])
def test_a_recorded_step_does_the_same(name: str, spoilt: set[int], device: str, replays: list[Any]) -> None:
    options = {"init_scale": 1024.0, "growth_interval": 2}
    recorded, plain = training(True, name, spoilt, **options), training(False, name, spoilt, **options)
    assert recorded == plain
    assert len(replays) == CALLS - 2
    for call in spoilt - {0}:
        assert plain[call][1] == plain[call - 1][1] and plain[call][2]["scale"] < plain[call - 1][2]["scale"]


def test_a_scale_that_grows_too_large_backs_off_in_replays(device: str) -> None:
    """No batch is spoilt: the scale itself overflows the gradients, and halves until they fit."""
    options = {"init_scale": 2.0**40, "backoff_factor": 2.0**-8}
    recorded, plain = training(True, "adam", set(), **options), training(False, "adam", set(), **options)
    assert recorded == plain
    scales = [seen[2]["scale"] for seen in recorded]
    assert scales[0] == 2.0**32 and scales[-1] == scales[-2] < 2.0**30, "it was left out until the scale fitted"


def test_the_scale_is_read_anew_by_every_replay(device: str, replays: list[Any]) -> None:
    x, scaler = nnkit.tensor([2.0]), nnkit.GradScaler(init_scale=4.0)
    step = nnkit.compile(lambda x: scaler.scale(x))
    found = [step(x).item() for _ in range(3)]
    scaler.update(16.0)
    found += [step(x).item() for _ in range(2)]
    scaler.update(nnkit.tensor(32.0))
    assert [*found, step(x).item()] == [8.0, 8.0, 8.0, 32.0, 32.0, 64.0]
    assert len(replays) == 4


def test_a_step_split_over_two_functions_is_not_replayed(device: str) -> None:
    """``unscale_`` in one, ``step`` in the other, once plainly: that the gradients are unscaled is known to Python."""
    x = nnkit.tensor([2.0], requires_grad=True)
    optimizer, scaler = optim.SGD([x], lr=0.25), nnkit.GradScaler(init_scale=4.0)

    def forward() -> None:
        optimizer.zero_grad()
        scaler.scale((x * x).sum()).backward()
        scaler.unscale_(optimizer)

    def update() -> None:
        scaler.step(optimizer)
        scaler.update()

    first, second = nnkit.compile(forward), nnkit.compile(update)
    for call in range(5):
        first()
        update() if call == 3 else second()
        assert x.item() == 2.0 * 0.5 ** (call + 1)


# ---- misuse, options and checkpoints ------------------------------------------------------------------------------


def prepared() -> tuple[Any, Any]:
    x = nnkit.ones(1, requires_grad=True)
    optimizer, scaler = optim.SGD([x]), nnkit.GradScaler()
    scaler.scale(x.sum()).backward()
    return scaler, optimizer


MISUSE: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "unscaled twice": (lambda s, o: (s.unscale_(o), s.unscale_(o)), "unscale_: the gradients were unscaled already"),
    "unscaled after the step": (lambda s, o: (s.step(o), s.unscale_(o)), "unscale_: the gradients were used"),
    "stepped twice": (lambda s, o: (s.step(o), s.step(o)), "step: the optimizer has made its step already"),
    "updated without a step": (lambda s, o: s.update(), "update: nothing was unscaled since the last call"),
    "nothing scaled": (lambda s, o: nnkit.GradScaler().step(o), "has scaled no loss yet"),
}


@pytest.mark.parametrize("name", MISUSE)
def test_the_order_of_calls_is_checked(name: str, device: str) -> None:
    wrong, message = MISUSE[name]
    with pytest.raises(GradientError, match=message):
        wrong(*prepared())


def test_tensors_of_another_device_are_refused() -> None:
    scaler, _ = prepared()
    with pytest.raises(DeviceError, match="this GradScaler is on 'numba', got a tensor on 'numpy'"):
        scaler.scale(nnkit.ones(1, device="numpy"))


@pytest.mark.parametrize(
    "options",
    [{"init_scale": 0.0}, {"growth_factor": 1.0}, {"backoff_factor": 1.0}, {"backoff_factor": 0.0},
     {"growth_interval": 0}, {"init_scale": NAN}],
    ids=str,
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} must be"):
        nnkit.GradScaler(**options)  # type: ignore[arg-type]


def test_disabled_it_does_nothing(device: str) -> None:
    x = nnkit.tensor([2.0], requires_grad=True)
    optimizer, scaler = optim.SGD([x], lr=0.25), nnkit.amp.GradScaler("cuda", enabled=False)
    loss = (x * x).sum()
    assert scaler.scale(loss) is loss and not scaler.is_enabled()
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert x.item() == 1.0 and scaler.get_scale() == 1.0 and scaler.state_dict() == {}
    scaler.load_state_dict({})


def test_the_state_is_that_of_pytorch_and_comes_back(device: str) -> None:
    scaler, optimizer = prepared()
    scaler.step(optimizer)
    scaler.update()
    saved = scaler.state_dict()
    assert saved == {
        "scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 1,
    }  # fmt: skip
    saved |= {"scale": 8.0, "_growth_tracker": 1999}
    scaler.load_state_dict(saved)
    fresh = nnkit.GradScaler()
    fresh.load_state_dict(saved)
    for other in (scaler, fresh, pickle.loads(pickle.dumps(scaler)), copy.deepcopy(fresh)):
        assert other.state_dict() == saved
        x = nnkit.ones(1, requires_grad=True)
        other.scale(x.sum()).backward()
        assert x.grad is not None and x.grad.item() == 8.0
        other.step(optim.SGD([x]))
        other.update()
        assert other.get_scale() == 16.0, "the 2000th step in a row"


@pytest.mark.parametrize("wrong", [{}, {"scale": 1.0}, [1.0]], ids=str)
def test_another_state_is_refused(wrong: Any) -> None:
    with pytest.raises(ModelFileError, match="the state does not fit GradScaler; nothing was loaded"):
        nnkit.GradScaler().load_state_dict(wrong)


def test_reading_the_scale_inside_a_step_cannot_be_replayed(device: str) -> None:
    scaler, _ = prepared()
    step = nnkit.compile(lambda x: x * scaler.get_scale())
    step(nnkit.ones(1))
    with pytest.warns(UserWarning, match="it reads a value on the host"):
        step(nnkit.ones(1))
