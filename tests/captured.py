"""What the tests of recorded steps share: a training that runs plainly or compiled, and all that it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn, optim
from nnkit.recording.compiled import Compiled, Recorded

CALLS = 7


class Training:
    """A model with its loss and optimizer; ``step`` is one call of the training step, plainly or compiled."""

    def __init__(self, compiled: bool, **parts: Any) -> None:
        nnkit.manual_seed(3)
        self.dtype = nnkit.float32
        self.model: Any = parts.get("model", mlp)()
        self.loss: Any = parts.get("loss", nn.CrossEntropyLoss)()
        self.optimizer: Any = parts.get("optimizer", momentum)(self.model.parameters())
        self.finish: Callable[[Any], Any] = parts.get("finish", lambda model: None)
        self.fresh = True  # whether a step forgets the gradients of the last one
        self.scale = 1.0
        self.handles: list[Any] = []
        self.step = nnkit.compile(self.plain_step) if compiled else self.plain_step

    def plain_step(self, x: nnkit.Tensor, y: nnkit.Tensor) -> dict[str, nnkit.Tensor]:
        if self.fresh:
            self.optimizer.zero_grad()
        output = self.model(x)
        loss = self.loss(output, y) * self.scale
        penalty = self.model.penalty()
        if penalty is not None:
            loss = loss + penalty
        loss.backward()
        self.finish(self.model)
        self.optimizer.step()
        return {"loss": loss.detach(), "output": output.detach()}

    def left(self) -> list[Any]:
        """Weights, buffers, gradients and the optimizer's state."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        states = [tensor for parts in self.optimizer.state.values() for tensor in parts.values()]
        return [None if t is None else values(t) for t in [*tensors, *[t.grad for t in tensors], *states]]


def values(tensor: nnkit.Tensor) -> tuple[Any, ...]:
    """Type, shape and the bytes of every element."""
    host = np.asarray(tensor.detach().numpy())
    return str(host.dtype), host.shape, host.tobytes()


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 3))


def momentum(parameters: Any) -> optim.Optimizer:
    return optim.SGD(parameters, lr=0.1, momentum=0.9)


def batch(number: int, target: str, dtype: Any = np.float32, rows: int = 8) -> tuple[nnkit.Tensor, nnkit.Tensor]:
    """Inputs (rows, 5), and targets for an output (rows, 3): "labels", "numbers" or "chances"."""
    random = np.random.default_rng(number)
    x = random.normal(size=(rows, 5))
    y = {
        "labels": random.integers(0, 3, rows),
        "numbers": random.normal(size=(rows, 3)).astype(dtype),
        "chances": random.random((rows, 3)).astype(dtype),
    }[target]
    return nnkit.tensor(x.astype(dtype)), nnkit.tensor(y)


def run(
    compiled: bool, change: Callable[[Training, int], None] = lambda training, call: None,
    target: str = "labels", **parts: Any,
) -> list[Any]:  # fmt: skip
    """What each of some calls returned, and what all left; ``change`` is called before each call."""
    training = Training(compiled, **parts)
    seen: list[Any] = []
    results: list[Any] = []
    for call in range(CALLS):
        change(training, call)
        results.append(training.step(*batch(call, target, training.dtype)))
        seen.append({name: values(tensor) for name, tensor in results[-1].items()})
    later = [{name: values(tensor) for name, tensor in result.items()} for result in results]
    assert later == seen, "a later call changed what an earlier one had returned"
    return [seen, training.left()]


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Recorded]]:
    """The programs that were replayed, one entry for each replay."""
    seen: list[Recorded] = []
    replay = Recorded.replay

    def counting(self: Recorded, tensors: list[Any]) -> Any:
        result = replay(self, tensors)
        seen.append(self)
        return result

    monkeypatch.setattr(Recorded, "replay", counting)
    yield seen


def programs(compiled: Compiled) -> int:
    """How many programs a compiled function has."""
    return sum(map(len, compiled.programs.values()))


def compare(function: Callable[..., Any], *calls: tuple[Any, ...], **options: Any) -> Any:
    """Call a function plainly and compiled with the same arguments; returns the compiled one."""
    compiled = nnkit.compile(function, **options)
    for arguments in calls:
        expected, found = function(*arguments), compiled(*arguments)
        assert type(found) is type(expected)
        assert [values(t) for t in flat(found)] == [values(t) for t in flat(expected)]
    return compiled


def flat(value: Any) -> list[nnkit.Tensor]:
    if isinstance(value, nnkit.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return [tensor for item in items for tensor in flat(item)]


def numbers(count: int = 6, start: float = 0.0) -> nnkit.Tensor:
    return nnkit.tensor([start + 0.5 * i for i in range(count)])
