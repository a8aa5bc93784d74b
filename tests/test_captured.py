"""Recorded and plain runs of the same training give the same numbers, to the bit; and no recording is ever stale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from captured import CALLS, Training, batch, mlp, momentum, replays, run

import nnkit
from nnkit import nn, optim
from nnkit.optim import lr_scheduler

pytest.mark.usefixtures(replays.__name__)

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "sgd decay maximize": lambda p: optim.SGD(p, lr=0.05, weight_decay=0.1, maximize=True),
    "momentum dampening": lambda p: optim.SGD(p, lr=0.1, momentum=0.8, dampening=0.3),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "adam amsgrad decay": lambda p: optim.Adam(p, lr=0.01, betas=(0.8, 0.9), amsgrad=True, weight_decay=0.1),
    "adamw": lambda p: optim.AdamW(p, lr=0.01, eps=1e-6),
    "adamw amsgrad maximize": lambda p: optim.AdamW(p, lr=0.01, amsgrad=True, maximize=True),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01),
    "rmsprop centered momentum": lambda p: optim.RMSprop(p, lr=0.01, alpha=0.9, centered=True, momentum=0.5),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.1),
    "adagrad decay": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1, initial_accumulator_value=0.2, weight_decay=0.1),
    "two groups": lambda p: optim.Adam([{"params": list(p)[:2], "lr": 0.1}], lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name: str, device: str, replays: list[Any]) -> None:
    assert run(True, optimizer=OPTIMIZERS[name]) == run(False, optimizer=OPTIMIZERS[name])
    assert len(replays) == CALLS - 2


def weighted() -> nnkit.Tensor:
    return nnkit.tensor([0.5, 2.0, 1.0])


LOSSES: dict[str, tuple[Callable[[], Any], str]] = {
    "cross_entropy": (nn.CrossEntropyLoss, "labels"),
    "class weights": (lambda: nn.CrossEntropyLoss(weight=weighted()), "labels"),
    "label smoothing": (lambda: nn.CrossEntropyLoss(label_smoothing=0.1, reduction="sum"), "labels"),
    "ignored label": (lambda: nn.CrossEntropyLoss(ignore_index=1), "labels"),
    "probabilities": (nn.CrossEntropyLoss, "chances"),
    "nll": (lambda: lambda z, y: nn.NLLLoss()(z.log_softmax(1), y), "labels"),
    "bce": (lambda: lambda z, y: nn.BCELoss()(z.sigmoid(), y), "chances"),
    "bce_with_logits": (lambda: nn.BCEWithLogitsLoss(pos_weight=weighted()), "chances"),
    "mse": (nn.MSELoss, "numbers"),
    "l1": (nn.L1Loss, "numbers"),
    "huber": (lambda: nn.HuberLoss(delta=0.5), "numbers"),
    "smooth_l1": (lambda: nn.SmoothL1Loss(beta=0.5), "numbers"),
    "own": (lambda: lambda z, y: ((z - y).abs() ** 1.5).mean() + z.var() / (1.0 + y.max()), "numbers"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str, device: str, replays: list[Any]) -> None:
    loss, target = LOSSES[name]
    assert run(True, loss=loss, target=target) == run(False, loss=loss, target=target)
    assert len(replays) >= CALLS - 3  # a label that is ignored may come later than the first recording


ACTIVATIONS = ("leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "softplus", "selu", "mish",
               "softsign", "hardtanh", "relu6", "hard_sigmoid", "hardswish", "softmax")  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str, device: str, replays: list[Any]) -> None:
    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 6, activation=name, l1=0.01, l2=0.02), nn.Linear(6, 3))

    assert run(True, model=model) == run(False, model=model)
    assert len(replays) == CALLS - 2


FINISHES: dict[str, Callable[[nn.Module], Any]] = {
    "norm": lambda model: optim.clip_grad_norm_(model.parameters(), 0.05),
    "norm 1": lambda model: optim.clip_grad_norm_(model.parameters(), 0.05, norm_type=1.0),
    "norm inf": lambda model: optim.clip_grad_norm_(model.parameters(), 0.01, norm_type=float("inf")),
    "value": lambda model: optim.clip_grad_value_(model.parameters(), 0.01),
}


@pytest.mark.parametrize("name", FINISHES)
def test_clipping(name: str, device: str, replays: list[Any]) -> None:
    assert run(True, finish=FINISHES[name]) == run(False, finish=FINISHES[name])
    assert len(replays) == CALLS - 2


# ---- changes between calls --------------------------------------------------------------------------------

Change = Callable[[Training, int], None]


def at(call: int, change: Callable[[Training], Any]) -> Change:
    """A change before that call."""
    return lambda training, number: change(training) if number == call else None


def freeze(training: Training, frozen: bool = True) -> None:
    training.model[0].weight.requires_grad_(not frozen)


def new_memory(training: Training) -> None:
    training.model[0].bias.data = nnkit.tensor([0.5] * 6)


def new_parameter(training: Training) -> None:
    training.model[3].bias = nn.Parameter(nnkit.tensor([0.5, -0.5, 0.0]))


def new_optimizer(training: Training) -> None:
    training.optimizer = optim.Adam(training.model.parameters(), lr=0.01)


def make_double(training: Training) -> None:
    training.model.double()
    training.dtype = nnkit.float64


def double_output(module: Any, args: Any, output: nnkit.Tensor) -> nnkit.Tensor:
    return output * 2.0


def hook(training: Training) -> None:
    training.handles.append(training.model[0].register_forward_hook(double_output))


def reload(training: Training) -> None:
    other = mlp()
    training.model.load_state_dict(other.state_dict())


def reload_optimizer(training: Training) -> None:
    other = momentum(training.model.parameters())
    training.optimizer.load_state_dict(other.state_dict())


def new_layer(training: Training) -> None:
    training.model[1] = nn.Tanh()


def penalize(training: Training) -> None:
    training.model[0].regularizers["weight"] = nn.L1L2(l1=0.01, l2=0.1)


def penalize_less(training: Training) -> None:
    training.model[0].regularizers["weight"].l2 = 0.01


def forgive(training: Training) -> None:
    training.model[0].regularizers.clear()


def set_gradient(training: Training) -> None:
    for parameter in training.model.parameters():
        parameter.grad = nnkit.ones_like(parameter)


def forget_one_gradient(training: Training) -> None:
    training.fresh = False
    training.model[0].weight.grad = None


def with_a_schedule(training: Training, call: int) -> None:
    if call == 0:
        training.handles = [lr_scheduler.CosineAnnealingLR(training.optimizer, 5)]
    else:
        training.handles[0].step()


def plain_optimizer(training: Training) -> None:
    training.optimizer = optim.SGD(training.model.parameters(), lr=0.1)


def add_group(training: Training) -> None:
    training.optimizer = optim.SGD(training.model[0].parameters(), lr=0.1)


def add_second_group(training: Training) -> None:
    training.optimizer.add_param_group({"params": training.model[3].parameters(), "lr": 0.3})


def option(name: str, value: Any) -> Callable[[Training], None]:
    return lambda training: training.optimizer.param_groups[0].__setitem__(name, value)


def both(*changes: Change) -> Change:
    return lambda training, call: [change(training, call) for change in changes] and None


def every_second(first: Callable[[Training], Any], second: Callable[[Training], Any]) -> Change:
    return lambda training, call: (first if call % 2 else second)(training)


CHANGES: dict[str, Change] = {
    "rate": lambda training, call: option("lr", 0.1 / (call + 1))(training),
    "schedule": with_a_schedule,
    "weight decay": at(4, option("weight_decay", 0.2)),
    "momentum off": at(4, option("momentum", 0.0)),
    "momentum on": both(at(0, plain_optimizer), at(4, option("momentum", 0.9))),
    "nesterov": at(4, option("nesterov", True)),
    "frozen": at(4, freeze),
    "frozen and learned": both(at(0, freeze), at(4, lambda t: freeze(t, False))),
    "frozen to and fro": every_second(freeze, lambda t: freeze(t, False)),
    "memory of a parameter": at(4, new_memory),
    "a parameter": at(4, new_parameter),
    "an optimizer": at(4, new_optimizer),
    "a group": both(at(0, add_group), at(4, add_second_group)),
    "evaluation mode": at(4, lambda t: t.model.eval()),
    "modes to and fro": every_second(lambda t: t.model.eval(), lambda t: t.model.train()),
    "float64": at(4, make_double),
    "dropout": at(4, lambda t: setattr(t.model[2], "p", 0.7)),
    "no dropout": at(4, lambda t: setattr(t.model[2], "p", 0.0)),
    "a hook": at(4, hook),
    "a hook, removed": both(at(4, hook), at(5, lambda t: t.handles[0].remove())),
    "loaded weights": at(4, reload),
    "loaded optimizer": at(4, reload_optimizer),
    "a layer": at(4, new_layer),
    "an activation": at(4, lambda t: setattr(t.model[0], "activation", "tanh")),
    "a part deleted": at(4, lambda t: t.model.__delitem__(2)),
    "a penalty": at(4, penalize),
    "a penalty changed": both(at(0, penalize), at(4, penalize_less)),
    "a penalty removed": both(at(0, penalize), at(4, forgive)),
    "gradient accumulation": lambda training, call: setattr(training, "fresh", call % 2 == 0),
    "gradients by hand": both(at(0, lambda t: setattr(t, "fresh", False)), at(4, set_gradient)),
    "a gradient forgotten": at(4, forget_one_gradient),
    "another loss": at(4, lambda t: setattr(t, "loss", nn.CrossEntropyLoss(reduction="sum"))),
    "an option of the loss": at(4, lambda t: setattr(t.loss, "label_smoothing", 0.3)),
    "a number of the object": at(4, lambda t: setattr(t, "scale", 0.25)),
    "a new seed": at(4, lambda t: nnkit.manual_seed(11)),
    "values in place": at(4, lambda t: t.model[0].weight.detach().mul_(0.5)),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.filterwarnings("ignore:plain_step cannot be replayed. Linear has a forward hook")
def test_no_change_between_calls_is_missed(name: str, device: str, replays: list[Any]) -> None:
    assert run(True, CHANGES[name]) == run(False, CHANGES[name])
    assert len(replays) >= 2


def test_only_a_part_of_the_step_is_recorded(device: str, replays: list[Any]) -> None:
    """Gradients are forgotten and used outside: whether there are any is what it would be without recording."""

    def train(decorate: Callable[[Any], Any]) -> list[Any]:
        training = Training(False)

        @decorate
        def backward(x: nnkit.Tensor, y: nnkit.Tensor) -> nnkit.Tensor:
            loss = training.loss(training.model(x), y)
            loss.backward()
            return loss.detach()

        seen: list[Any] = []
        for call in range(8):
            if call not in (3, 6):
                training.optimizer.zero_grad()
            seen.append([p.grad is None for p in training.model.parameters()])
            backward(*batch(call, "labels"))
            training.optimizer.step()
            seen.append(training.left())
        return seen

    assert train(nnkit.compile) == train(lambda function: function)
    assert len(replays) == 8 - 1 - 2  # one program begins with empty gradients, one with filled ones


class Limited(optim.SGD):
    """An optimizer of one's own: an option in Python, and a count that changes in every step."""

    def __init__(self, parameters: Any, counting: bool = False) -> None:
        super().__init__(parameters, lr=0.1)
        self.limit, self.counting, self.count = 1.0, counting, 0

    def step(self, closure: Any = None) -> Any:
        self.count += self.counting
        optim.clip_grad_value_(self.param_groups[0]["params"], self.limit / (1 + self.count))
        return super().step(closure)


@pytest.mark.filterwarnings("ignore:plain_step cannot be replayed. it sets Limited.count")
@pytest.mark.parametrize(("counting", "replayed"), [(False, CALLS - 3), (True, 0)])
def test_attributes_of_an_optimizer_are_not_missed(
    counting: bool, replayed: int, device: str, replays: list[Any]
) -> None:
    change = at(4, lambda training: setattr(training.optimizer, "limit", 0.01))
    plain, recorded = (run(c, change, optimizer=lambda p: Limited(p, counting)) for c in (False, True))
    assert plain == recorded and len(replays) == replayed


@pytest.mark.parametrize("what", ["memory", "gradient"])
def test_new_memory_is_not_missed_where_there_is_no_optimizer(what: str, device: str, replays: list[Any]) -> None:
    weight = nn.Parameter([1.0, 2.0])

    @nnkit.compile
    def step(x: nnkit.Tensor) -> nnkit.Tensor:
        weight.grad = None
        (weight * x).sum().backward()
        return x + weight.grad

    for call in range(6):
        if call == 4 and what == "memory":
            weight.data = nnkit.tensor([5.0, 6.0])
        if call == 4 and what == "gradient":
            weight.gradient = type(weight.gradient)()
        assert step(nnkit.tensor([1.0, float(call)])).tolist() == [2.0, 2.0 * call]
        assert weight.grad is not None and weight.grad.tolist() == [1.0, float(call)]
    assert len(replays) == 3


def test_the_default_type_and_device_are_not_missed(device: str) -> None:
    def constant() -> nnkit.Tensor:
        return nnkit.zeros(2) + 1

    compiled = nnkit.compile(constant)
    seen = []
    for dtype in (nnkit.float32, nnkit.float32, nnkit.float32, nnkit.float64, nnkit.float64, nnkit.float32):
        nnkit.set_default_dtype(dtype)
        seen.append(compiled().dtype)
    assert [str(dtype) for dtype in seen] == ["float32"] * 3 + ["float64"] * 2 + ["float32"]
    nnkit.set_default_device("numpy" if device != "numpy" else "strict")
    assert str(compiled().device) == str(nnkit.get_default_device()) != device


def test_masks_differ_from_call_to_call_and_follow_the_seed(device: str, replays: list[Any]) -> None:
    def masks(function: Callable[..., Any]) -> list[Any]:
        nnkit.manual_seed(5)
        return [function(nnkit.ones(64)).numpy().copy() for _ in range(5)]

    plain = masks(lambda x: nnkit.dropout(x, 0.5))
    assert not np.array_equal(plain[3], plain[4])
    np.testing.assert_array_equal(masks(nnkit.compile(lambda x: nnkit.dropout(x, 0.5))), plain)
    assert len(replays) == 3
