"""A gradient that came in rows: whoever reads it sees it whole, and plain descent changes those rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnkit
from nnkit import nn

ROWS, WIDTH = 9, 4
OPTIMIZERS: dict[str, tuple[type, dict[str, Any]]] = {
    "plain": (nnkit.optim.SGD, {"lr": 0.5}), "climbing": (nnkit.optim.SGD, {"lr": 0.01, "maximize": True}),
    "momentum": (nnkit.optim.SGD, {"lr": 0.5, "momentum": 0.9}),
    "decay": (nnkit.optim.SGD, {"lr": 0.5, "weight_decay": 0.1}), "adam": (nnkit.optim.Adam, {"lr": 0.1}),
}  # fmt: skip
INDICES = ([[1, 3], [3, 0]], [[1, 1], [1, 1]], [[8, 0], [2, 2]], [[5, 6], [7, 5]])


def trained(name: str, table: bool, recorded: bool, tied: bool, clip: bool) -> list[np.ndarray]:
    """Losses, gradients and weights of some steps, of an embedding, or of a product with rows of 0 and 1."""
    nnkit.manual_seed(0)
    weight = nn.Parameter(nnkit.tensor(np.random.default_rng(0).normal(size=(ROWS, WIDTH)), dtype="float32"))
    kind, options = OPTIMIZERS[name]
    optimizer, found = kind([weight], **options), []

    def step(indices: nnkit.Tensor, hot: nnkit.Tensor, target: nnkit.Tensor) -> nnkit.Tensor:
        optimizer.zero_grad()
        h = nn.functional.embedding(indices, weight) if table else hot @ weight
        h = h @ weight.T if tied else h
        loss = ((h - target) * (h - target)).mean()
        loss.backward()
        if clip:
            nnkit.optim.clip_grad_norm_([weight], 1.0)
        optimizer.step()
        return loss

    run = nnkit.compile(step, fullgraph=True) if recorded else step
    for number, indices in enumerate(INDICES * 2):
        hot = np.eye(ROWS, dtype=np.float32)[indices]
        target = np.random.default_rng(number).normal(size=(2, 2, ROWS if tied else WIDTH)).astype(np.float32)
        found.append(run(nnkit.tensor(indices), nnkit.tensor(hot), nnkit.tensor(target)).detach().numpy().copy())
        if number % 3 == 2:  # a look at the gradient now and then, between replays too
            found.append(np.array(weight.grad.numpy()))
        if number == 4:  # and another backward before the next step forgets it
            (nn.functional.embedding(nnkit.tensor([1, 1, 2]), weight) * 2.0).sum().backward()
            found.append(np.array(weight.grad.numpy()))
        found.append(weight.detach().numpy().copy())
    return found


@pytest.mark.parametrize(("tied", "clip"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_is_that_of_a_whole_gradient(name: str, recorded: bool, tied: bool, clip: bool, device: str) -> None:
    expected = trained(name, False, False, tied, clip)
    found = trained(name, True, recorded, tied, clip)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, 2e-4, 2e-4)


def test_a_recorded_step_is_eager_to_the_bit(device: str) -> None:
    for one, other in zip(*(trained("plain", True, recorded, False, False) for recorded in (False, True)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_plain_descent_keeps_the_rows_apart_until_they_are_looked_at(device: str) -> None:
    table = nn.Embedding(ROWS, WIDTH)
    optimizer = nnkit.optim.SGD(table.parameters(), lr=0.5)
    before = table.weight.detach().numpy().copy()
    table(nnkit.tensor([2, 2])).sum().backward()
    slot: Any = table.weight.gradient
    optimizer.step()
    assert len(slot.rows) == 1
    changed = np.flatnonzero((table.weight.detach().numpy() != before).any(1))
    assert changed.tolist() == [2]
    grad = table.weight.grad
    assert not slot.rows and grad.numpy().sum() == 2 * WIDTH
    optimizer.zero_grad()
    assert table.weight.grad is None


def test_what_went_in_may_change_before_the_step(device: str) -> None:
    """The indices and the gradient that came from outside are copied."""
    table = nn.Embedding(ROWS, WIDTH)
    optimizer = nnkit.optim.SGD(table.parameters(), lr=1.0)
    before = table.weight.detach().numpy().copy()
    indices, seed = nnkit.tensor([1]), nnkit.ones(1, WIDTH)
    table(indices).backward(seed)
    indices[0] = 3
    seed.zero_()
    optimizer.step()
    np.testing.assert_allclose(
        before - table.weight.detach().numpy(), np.eye(ROWS)[1][:, None] * np.ones(WIDTH), atol=1e-6
    )


def test_weight_decay_that_is_switched_on_is_felt_by_a_recorded_step(device: str) -> None:
    table = nn.Embedding(ROWS, WIDTH)
    optimizer = nnkit.optim.SGD(table.parameters(), lr=0.5)

    @nnkit.compile
    def step(indices: nnkit.Tensor) -> nnkit.Tensor:
        optimizer.zero_grad()
        loss = table(indices).sum()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        step(nnkit.tensor([1]))
    optimizer.param_groups[0]["weight_decay"] = 0.5
    before = table.weight.detach().numpy().copy()
    step(nnkit.tensor([1]))
    np.testing.assert_allclose(table.weight.detach().numpy()[2:], 0.75 * before[2:], 1e-5)


def test_fit_gives_an_embedding_whole_numbers(device: str) -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 50, (96, 3))
    y = (x[:, 0] > 25).astype(np.int64)
    nnkit.manual_seed(0)
    model = nn.Sequential(nn.Embedding(50, 8), nn.Flatten(), nn.Linear(24, 2))
    optimizer = nnkit.optim.SGD(model.parameters(), lr=1.0)
    history = model.fit(x, y, loss="cross_entropy", optimizer=optimizer, epochs=20, batch_size=16, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert model.predict(x).shape == (96, 2)
