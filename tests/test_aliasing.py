"""Recorded steps whose arguments, results and state share memory: each call does what plain Python does."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import Tensor, nn, optim

Step = Callable[..., Any]


def both(run: Callable[[bool], Any]) -> tuple[Any, Any]:
    """What a run gives recorded and plainly; that a step cannot be replayed is said in other tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(True), run(False)


# ---- an argument in memory that the step changes --------------------------------------------------------------------


class Trained:
    """A step that trains w and counts; it returns twice its argument, after that."""

    def __init__(self) -> None:
        self.count = nnkit.tensor([1.0, 2.0, 3.0, 4.0])
        self.w = nnkit.ones(3, requires_grad=True)
        self.optimizer = optim.SGD([self.w], lr=0.1, momentum=0.9)

    def step(self, x: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        (self.w * self.w).sum().backward()
        self.optimizer.step()
        self.count[:3].add_(1.0)
        return x * 2.0


ALIASES: dict[str, Callable[[Trained], Any]] = {
    "part of the state": lambda t: t.count[:3],
    "a part that overlaps": lambda t: t.count[1:],
    "a part that stays": lambda t: t.count[3:].expand(3),
    "state, detached": lambda t: t.count.detach()[:3],
    "data of the state": lambda t: t.count.data[:3],
    "a parameter": lambda t: t.w.detach(),
    "data of a parameter": lambda t: t.w.data,
    "a gradient": lambda t: t.w.grad,
    "an optimizer's state": lambda t: t.optimizer.state[t.w]["momentum_buffer"],
}


@pytest.mark.parametrize("name", ALIASES)
def test_an_argument_in_memory_that_the_step_changes_changes_with_it(name: str, device: str) -> None:
    def run(recorded: bool) -> list[Any]:
        trained = Trained()
        step = nnkit.compile(trained.step) if recorded else trained.step
        alias = ALIASES[name]
        results = [step(nnkit.ones(3)).tolist() for _ in range(4)]
        results += [step(alias(trained)).tolist() for _ in range(2)]
        return [*results, step(nnkit.ones(3)).tolist(), trained.count.tolist(), trained.w.tolist()]

    recorded, plain = both(run)
    assert recorded == plain


# ---- results in memory of the state or of an argument ---------------------------------------------------------------

RETURNED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "the state": lambda state, x: state.add_(1.0),
    "a view of it": lambda state, x: state.add_(1.0)[1:],
    "a view of a view": lambda state, x: state.add_(1.0).reshape(2, 2).t()[0],
    "detached": lambda state, x: state.add_(1.0).detach(),
    "state that stays": lambda state, x: (x * 2.0, state[:2]),
    "the argument": lambda state, x: x,
    "a view of the argument": lambda state, x: {"part": x.reshape(2, 2)[1], "double": x * 2.0},
    "the argument, detached": lambda state, x: x.detach(),
    "what is computed": lambda state, x: [x + state.add_(1.0)],
    "numbers": lambda state, x: nnkit.tensor([1.0, 2.0]),
    "numbers that are changed": lambda state, x: nnkit.tensor([1.0, 2.0]).add_(state.add_(1.0)[0]),
}


@pytest.mark.parametrize("name", RETURNED)
def test_a_result_shares_the_memory_that_it_shares_in_python(name: str, device: str) -> None:
    def run(recorded: bool) -> list[Any]:
        state = nnkit.tensor([1.0, 2.0, 3.0, 4.0])
        step: Step = lambda x: RETURNED[name](state, x)  # noqa: E731
        step = nnkit.compile(step) if recorded else step
        kept: list[Any] = []
        seen: list[Any] = []
        for _ in range(5):
            x = nnkit.tensor([1.0, 2.0, 3.0, 4.0])
            kept.append(step(x))
            x.add_(10.0)
            for tensor in leaves(kept[-1]):
                tensor.mul_(2.0)
            seen.append([tensor.tolist() for tensor in leaves(kept)] + state.tolist())
        return seen

    recorded, plain = both(run)
    assert recorded == plain


def leaves(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [leaf for item in (value.values() if isinstance(value, dict) else value) for leaf in leaves(item)]


# ---- state that is changed through views ----------------------------------------------------------------------------

CHANGED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "a column, reshaped": lambda state, x: state[:, 0].unsqueeze(1).add_(x[:, :1]),
    "a column": lambda state, x: state[:, 1].mul_(x[:, 0]),
    "transposed": lambda state, x: state.t().add_(x.t()),
    "transposed rows": lambda state, x: state.t()[1:].copy_(x.t()[:2]),
    "every other column": lambda state, x: state[:, ::2].sub_(x[:, ::2]),
    "a slice set": lambda state, x: state.__setitem__((slice(None), 0), x[:, 1]),
    "all set": lambda state, x: state.__setitem__(slice(None), x * 0.5 + state),
    "flat": lambda state, x: state.view(-1)[3:7].add_(1.0),
    "a copy of a transposed one": lambda state, x: state.t().reshape(-1).add_(1.0),
    "contiguous": lambda state, x: state.t().contiguous().mul_(3.0),
    "a product with a column": lambda state, x: state[:, 0].add_(x @ x[0] * 0.1),
    "a product of columns": lambda state, x: state[0].copy_((x[:, 0] @ x[:, 1]).reshape(1).expand(3)),
}


@pytest.mark.parametrize("name", CHANGED)
def test_state_is_changed_through_views_to_the_bit(name: str, device: str) -> None:
    def run(recorded: bool) -> list[Any]:
        state = nnkit.ones(4, 3)

        def step(x: Tensor) -> Tensor:
            CHANGED[name](state, x)
            return state.sum() + x.sum()

        call = nnkit.compile(step) if recorded else step
        inputs = np.linspace(-1.0, 2.0, 12, dtype=np.float32).reshape(4, 3)
        return [[call(nnkit.tensor(inputs + number)).tolist(), state.tolist()] for number in range(4)]

    recorded, plain = both(run)
    assert recorded == plain


class Averaged(nn.Module):
    """Keeps averages of what passes, each changed through a view of its own kind."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.register_buffer("mean", nnkit.zeros(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        with nnkit.no_grad():
            self.mean[0] = self.mean[0] * 0.9 + y.mean(dim=0) * 0.1
            self.mean[:, 1].unsqueeze(1).add_(y.detach()[:2, 1:])
            self.mean.t()[0, 1:] += 1.0
        return y - self.mean.sum() * 0.01


def test_buffers_changed_through_views_are_the_same_in_a_recorded_fit(device: str) -> None:
    x = np.linspace(-1.0, 1.0, 48, dtype=np.float32).reshape(16, 3)
    y = np.linspace(0.0, 1.0, 32, dtype=np.float32).reshape(16, 2)

    def run(recorded: bool) -> list[Any]:
        nnkit.manual_seed(0)
        model = Averaged()
        model.fit(x, y, loss="mse", epochs=3, batch_size=4, compile=recorded, verbose=0)
        return [tensor.tolist() for tensor in model.state_dict().values()]

    recorded, plain = run(True), run(False)
    assert recorded == plain


def test_what_outlives_a_recorded_step_is_not_put_on_the_tape_by_it(device: str) -> None:
    total, w = nnkit.zeros(()), nnkit.ones(2, requires_grad=True)

    @nnkit.compile
    def step(x: Tensor) -> None:
        total.add_((w * x).sum())

    step(nnkit.ones(2))
    with pytest.warns(UserWarning, match="puts a tensor that outlives the step on the tape"):
        step(nnkit.ones(2))
    step(nnkit.ones(2))
    total.backward()
    assert w.grad is not None and w.grad.tolist() == [3.0, 3.0]


def test_an_argument_that_a_step_puts_on_the_tape_is_on_it(device: str) -> None:
    w = nnkit.tensor([2.0, 3.0], requires_grad=True)

    def run(recorded: bool) -> list[Any]:
        step = nnkit.compile(lambda x: x.mul_(w)) if recorded else lambda x: x.mul_(w)
        seen = []
        for _ in range(4):
            x, w.grad = nnkit.tensor([1.0, 4.0]), None
            step(x)
            x.sum().backward()
            assert w.grad is not None
            seen.append([x.tolist(), w.grad.tolist()])
        return seen

    recorded, plain = both(run)
    assert recorded == plain == [[[2.0, 12.0], [1.0, 4.0]]] * 4
